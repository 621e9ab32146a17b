"""Shuffled windows out of files of recordings, their memory, the index of many, and the first pass over a long one.

Files are EDF, 16 bits. A batch is 64 windows `[8, 1024]`; times are seconds per 512 windows of a second epoch, whose
workers live since the first. Ours are band-passed without phase; braindecode's and MNE's cannot be filtered lazily.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.harness import MissingPeer, Race, benchmark, faster, within

CHANNELS, TIME, SAMPLES, FILES, BATCH, WINDOWS = 8, 1024, 250_000, 4, 64, 512
BAND = {"design": "butter", "btype": "bandpass", "cutoff": (1.0, 40.0), "order": 4, "fs": 250.0, "mode": "zero_phase"}
MANY = 2000


@cache
def folder() -> Path:
    """A folder that is removed at the end: the long file has half a gigabyte."""
    owner = tempfile.TemporaryDirectory(prefix="bridgeflow-bench-")
    atexit.register(owner.cleanup)
    return Path(owner.name)


@cache
def files(count: int = FILES, samples: int = SAMPLES, channels: int = CHANNELS) -> list[Path]:
    """EDF files of counts."""
    from bridgeflow import Recording

    rng = np.random.default_rng(0)
    paths = [folder() / f"{count}x{channels}x{samples}" / f"r{number:04}.edf" for number in range(count)]
    paths[0].parent.mkdir(exist_ok=True)
    names = [f"C{number}" for number in range(channels)]
    for path in paths:
        x = rng.integers(-3000, 3000, (channels, samples), np.int16)
        Recording.from_arrays(x, fs=250, channels=names, unit="uV", scale=0.1).write(path)
    return paths


def epoch_of(loader: Iterable[Any]) -> Callable[[], float]:
    """Seconds of an epoch for so many windows; the one before it has started workers and made states."""
    for _ in loader:
        pass

    def run() -> float:
        start = perf_counter()
        for _ in loader:
            pass
        return (perf_counter() - start) * WINDOWS / (FILES * (SAMPLES // TIME))

    return run


def ours(*stages: Any) -> Callable[[], float]:
    """Windows of ours after these stages."""
    from bridgeflow import Compose, Loader, Recordings, SignalDataset, Window

    pipeline = Compose([*stages, Window(length=TIME)])
    dataset = SignalDataset(Recordings(files()), pipeline, cache_nbytes=1 << 22)
    return epoch_of(Loader(dataset, BATCH, shuffle=True))


def sequential() -> Callable[[], float]:
    """Our filter over a whole file, in order, for as many windows."""
    from bridgeflow import Recording, SignalFilter

    stage = SignalFilter(**BAND)

    def run() -> float:
        start = perf_counter()
        column = Recording.open(files()[0]).columns["signal"]
        stage(column.read(0, column.length))
        return (perf_counter() - start) * WINDOWS / (SAMPLES / TIME)

    return run


def quiet(name: str) -> Any:
    """A peer; that its dependencies do not fit this torch makes it missing too."""
    import importlib
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise MissingPeer(f"{name} cannot be imported; pip install -e '.[bench]'") from error


def raws() -> list[Any]:
    """MNE's recordings of the files, whose samples are read when asked for."""
    mne = quiet("mne")
    return [mne.io.read_raw_edf(path, preload=False, verbose=False) for path in files()]


def braindecode_windows(workers: int) -> Callable[[], float]:
    """braindecode's lazily loaded windows in a DataLoader."""
    quiet("mne")
    datasets, preprocessing = quiet("braindecode.datasets"), quiet("braindecode.preprocessing")
    from torch.utils.data import DataLoader

    one = getattr(datasets, "RawDataset", None) or datasets.BaseDataset
    windows = preprocessing.create_fixed_length_windows(
        datasets.BaseConcatDataset([one(raw, {"subject": n}) for n, raw in enumerate(raws())]),
        start_offset_samples=0,
        stop_offset_samples=None,
        window_size_samples=TIME,
        window_stride_samples=TIME,
        drop_last_window=True,
        preload=False,
        verbose="ERROR",
    )
    return epoch_of(DataLoader(windows, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0))


class MneWindows:
    """Windows of MNE's recordings as a map-style dataset, each read when asked for."""

    def __init__(self) -> None:
        self.raws = raws()

    def __len__(self) -> int:
        return FILES * (SAMPLES // TIME)

    def __getitem__(self, row: int) -> Any:
        import torch

        number, window = divmod(row, SAMPLES // TIME)
        values = self.raws[number].get_data(start=window * TIME, stop=(window + 1) * TIME, verbose=False)
        return torch.from_numpy(values.astype(np.float32))


def mne_windows(workers: int) -> Callable[[], float]:
    """MNE's windows in a DataLoader."""
    from torch.utils.data import DataLoader

    return epoch_of(DataLoader(MneWindows(), BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0))


@benchmark("shuffled windows [8, 1024] of EDF files, ours filtered zero phase, 512 of them")
def windows_of_files() -> Race:
    from bridgeflow import SignalFilter

    peers = {"our filter over whole files, in order": sequential(), "ours, unfiltered": ours()}
    targets = {"our filter over whole files, in order": within(4)}
    for name, make in (("braindecode", braindecode_windows), ("MNE", mne_windows)):
        for workers in (0, 2):
            title = f"{name}, unfiltered, DataLoader, {workers} workers"
            try:
                peers[title] = make(workers)
            except MissingPeer:
                continue
            targets[title] = faster(10)
    return Race(ours=ours(SignalFilter(**BAND)), peers=peers, targets=targets, self_timed=True, rounds=3)


# --- memory ---

_PEAK = """
def peak():
    with open("/proc/self/status") as file:  # getrusage would count the process that this one was forked from
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
"""

_MEMORY = """
import sys
from bridgeflow import Compose, Loader, Recordings, SignalDataset, SignalFilter, Window

band = {band!r}
recordings = Recordings(sys.argv[1])
dataset = SignalDataset(
    recordings, Compose([SignalFilter(**band), Window(length=1024)]), cache_nbytes=1 << 22, state_nbytes=1 << 20
)
for number, batch in enumerate(Loader(dataset, 64, shuffle=True, threads=1)):
    if number == int(sys.argv[2]):
        break
print(peak())
"""


def peak_of(paths: list[Path], batches: int) -> int:
    """Most memory, in bytes, of a process that takes shuffled batches of filtered windows."""
    command = [sys.executable, "-c", _PEAK + _MEMORY.format(band=BAND), str(paths[0].parent), str(batches)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@benchmark("peak memory of shuffled filtered windows, {what}", what=["8 times as many recordings", "8 times as long"])
def memory(what: str) -> Race:
    few = files(2, 50_000)
    more = files(16, 50_000) if "many" in what else files(2, 400_000)
    peer = "2 recordings of 50,000 samples"
    return Race(
        ours=partial(peak_of, more, 20),
        peers={peer: partial(peak_of, few, 20)},
        targets={peer: within(1.1)},
        self_timed=True,
        unit="byte",
        rounds=2,
    )


# --- the index ---


def index_seconds() -> float:
    """Seconds to read the headers of many files."""
    from bridgeflow import Recordings

    paths = files(MANY, 500)
    start = perf_counter()
    assert len(Recordings(paths)) == MANY
    return perf_counter() - start


def load_seconds() -> float:
    """Seconds to load the saved index of many files."""
    from bridgeflow import Recordings

    path = folder() / "index.arrow"
    if not path.exists():
        Recordings(files(MANY, 500)).save(path)
    start = perf_counter()
    assert len(Recordings.load(path)) == MANY
    return perf_counter() - start


def mne_headers() -> float:
    """Seconds in which MNE reads the same headers, by a tenth of the files."""
    mne = quiet("mne")
    paths = files(MANY, 500)[::10]
    start = perf_counter()
    for path in paths:
        mne.io.read_raw_edf(path, preload=False, verbose=False)
    return (perf_counter() - start) * 10


@benchmark("headers of 2,000 EDF files")
def index() -> Race:
    quiet("mne")
    title = "mne.io.read_raw_edf(preload=False) for each"
    return Race(
        ours=index_seconds,
        peers={title: mne_headers},
        targets={title: faster(10)},
        self_timed=True,
        rounds=3,
        work=(MANY, "file"),
    )


@benchmark("a saved index of 2,000 files")
def saved_index() -> Race:
    return Race(ours=load_seconds, limit=1.0, self_timed=True, rounds=3, work=(MANY, "file"))


# --- the first pass ---

HOURS, WIDE = 10, 32

_PASS = """
import sys, time
from bridgeflow import Compose, Recordings, SignalDataset, SignalFilter, Window

dataset = SignalDataset(Recordings(sys.argv[1]), Compose([SignalFilter(**{band!r}), Window(length=1024)]))
start = time.perf_counter()
dataset[len(dataset) // 2]
print(time.perf_counter() - start, peak())
"""


def first_pass(place: int) -> float:
    """Seconds until the first window of a long file is there, and the most memory of the process."""
    path = files(1, HOURS * 3600 * 250, WIDE)[0]
    command = [sys.executable, "-c", _PEAK + _PASS.format(band=BAND), str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[place])


@benchmark("the first pass over 10 hours of 32 channels at 250 Hz, zero phase: seconds until the first window")
def pass_seconds() -> Race:
    return Race(ours=partial(first_pass, 0), self_timed=True, rounds=1, work=(HOURS * 3600 * 250 * WIDE, "sample"))


@benchmark("the first pass over 10 hours of 32 channels at 250 Hz, zero phase: peak memory")
def pass_memory() -> Race:
    return Race(ours=partial(first_pass, 1), self_timed=True, unit="byte", rounds=1)
