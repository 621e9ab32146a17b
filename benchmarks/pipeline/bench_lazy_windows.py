"""Shuffled batches of windows out of zero-phase filtered 16-bit recordings, against filtering the recordings in order.

A batch is 64 windows `[8, 1024]` out of 4 recordings of 500,000 samples, in memory or in npy files, side by side or at
random places; the states of both passes are at hand, and the cache is too small to hold more than a batch. Times are
seconds per 512 windows. What the states cost is measured apart: the first pass over an hour of 32 channels against the
filter over the whole, and the first windows of four recordings with the states in a folder and without.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.harness import Race, benchmark, faster, within

CHANNELS, TIME, SAMPLES, RECORDINGS, BATCH, WINDOWS = 8, 1024, 500_000, 4, 64, 512
BAND = {"design": "butter", "btype": "bandpass", "cutoff": (1.0, 40.0), "order": 4, "fs": 250.0, "mode": "zero_phase"}


@cache
def signals() -> list[np.ndarray[Any, Any]]:
    """The recordings."""
    rng = np.random.default_rng(0)
    return [rng.integers(-3000, 3000, (CHANNELS, SAMPLES)).astype("int16") for _ in range(RECORDINGS)]


def epoch_of(loader: Iterable[Any]) -> Callable[[], float]:
    """Seconds for the windows of a loader, after its first batch."""

    def run() -> float:
        batches = iter(loader)
        next(batches)
        start = perf_counter()
        for _ in range(WINDOWS // BATCH):
            next(batches)
        return perf_counter() - start

    return run


@cache
def files() -> Path:
    """The recordings as npy files `[time, channels]` in a folder."""
    folder = Path(tempfile.mkdtemp(prefix="bridgeflow-bench-"))
    for number, x in enumerate(signals()):
        np.save(folder / f"r{number}.npy", np.ascontiguousarray(x.T))
    return folder


def lazy_windows(where: str, places: str) -> Callable[[], float]:
    """Seconds for shuffled windows from a loader."""
    from bridgeflow import Compose, Loader, RandomWindow, Recording, Recordings, SignalDataset, SignalFilter, Window

    recordings: Any = Recordings(files(), fs=250)
    if where == "memory":
        recordings = [Recording.from_arrays(x, fs=250, id=f"r{n}") for n, x in enumerate(signals())]
    count = SAMPLES // TIME
    cut = Window(length=TIME) if places == "side by side" else RandomWindow(length=TIME, per_recording=count)
    dataset = SignalDataset(recordings, Compose([SignalFilter(**BAND), cut]), cache_nbytes=1 << 22)
    loader = Loader(dataset, BATCH, shuffle=True)
    for _ in loader:  # the states of all recordings
        pass

    return epoch_of(loader)


def sequential(where: str) -> Callable[[], float]:
    """Seconds in which a whole recording is read, filtered and cut into batches in order, for as many windows."""
    from bridgeflow import Recording, SignalFilter, Window

    stage, cut = SignalFilter(**BAND), Window(length=TIME, first=True)
    one = (
        Recording.open(files() / "r0.npy", fs=250) if where == "files" else Recording.from_arrays(signals()[0], fs=250)
    )
    column = one.columns["signal"]

    def run() -> float:
        start = perf_counter()
        windows = cut(stage(column.read(0, column.length)))
        for first in range(0, len(windows), BATCH):
            np.ascontiguousarray(windows[first : first + BATCH])
        return (perf_counter() - start) * WINDOWS / (SAMPLES / TIME)

    return run


def scipy_whole() -> Callable[[], float]:
    """The same by SciPy."""
    import scipy.signal

    sos = scipy.signal.butter(4, BAND["cutoff"], "bandpass", fs=250, output="sos")

    def run() -> float:
        start = perf_counter()
        scipy.signal.sosfiltfilt(sos, signals()[0])
        return (perf_counter() - start) * WINDOWS / (SAMPLES / TIME)

    return run


def opening(folder: str | None) -> Callable[[], float]:
    """Seconds for the first window of each recording in files, in a dataset that is new."""
    from bridgeflow import Compose, Recordings, SignalDataset, SignalFilter, Window

    def run() -> float:
        start = perf_counter()
        recordings = Recordings(files(), fs=250, cache=folder)
        dataset = SignalDataset(recordings, Compose([SignalFilter(**BAND), Window(length=TIME)]), cache=folder)
        for number in range(RECORDINGS):
            dataset[number * (SAMPLES // TIME)]
        return perf_counter() - start

    return run


@benchmark("the first window of each of 4 recordings, zero phase, states in a folder")
def second_opening() -> Race:
    folder = tempfile.mkdtemp(prefix="bridgeflow-bench-")
    return Race(
        ours=opening(folder),
        peers={"without the folder": opening(None)},
        targets={"without the folder": faster(5)},
        threads=1,
        self_timed=True,
        rounds=3,
    )


@benchmark("the first window of an hour of 32 channels, zero phase")
def first_pass() -> Race:
    from bridgeflow import Compose, Recording, SignalDataset, SignalFilter, Window

    x = np.random.default_rng(0).integers(-3000, 3000, (32, 900_000)).astype("int16")
    stage = SignalFilter(**BAND)

    def ours() -> Any:
        recording = Recording.from_arrays(x, fs=250)
        return SignalDataset([recording], Compose([stage, Window(length=TIME)]))[400]["signal"]

    def whole() -> Any:
        return stage(x)[:, 400 * TIME : 401 * TIME]

    peer = "our filter over the whole"
    return Race(ours=ours, peers={peer: whole}, targets={peer: within(2.5)}, agree=same, threads=1, rounds=2)


def same(ours: Any, theirs: Any) -> None:
    """Bits of the whole."""
    assert np.array_equal(ours, theirs)


@benchmark(
    "shuffled windows [8, 1024] of 16-bit recordings in {where}, {places}, zero phase, 512 of them",
    where=["memory", "files"],
    places=["side by side", "at random"],
)
def shuffled_windows(where: str, places: str) -> Race:
    peers = {"ours over the whole, in order": sequential(where), "scipy.signal.sosfiltfilt, in order": scipy_whole()}
    return Race(
        ours=lazy_windows(where, places),
        peers=peers,
        targets={"ours over the whole, in order": within(4)},
        threads=1,
        self_timed=True,
        rounds=3,
    )
