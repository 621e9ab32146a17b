"""Recordings in a file -> filtered torch batches, an epoch at a time: the same file, filter and batch size for all.

Every contestant reads float32 examples `[8, 1024]` and hands out each batch as a tensor `[64, 8, 1024]` of the filtered
signal; what is measured is an epoch after the first one, workers and engines running already, page cache warm.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.signal
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.harness import Race, benchmark, faster, need
from bridgeflow.io import open_sink

ROWS, CHANNELS, TIME, BATCH = 2048, 8, 1024, 64
SOS = scipy.signal.butter(4, (0.5, 40), "bandpass", fs=360, output="sos")
TRANSFORM = {"keys": ("x",), "design": "butter", "btype": "bandpass", "cutoff": (0.5, 40.0), "order": 4, "fs": 360.0}

Epoch = Callable[[], Iterable[torch.Tensor]]


@cache
def file(suffix: str) -> Path:
    """The examples as a file: a column `x` of fixed-shape tensors, as our own sinks write it."""
    path = Path(tempfile.mkdtemp(prefix="bridgeflow-bench-")) / f"examples.{suffix}"
    values = np.random.default_rng(0).standard_normal((ROWS, CHANNELS, TIME), dtype=np.float32)
    with open_sink(path) as sink:
        sink.write({"x": values})
    return path


class Plain(Dataset[torch.Tensor]):
    """What one writes by hand: the column in memory or mapped, a row at a time through SciPy."""

    def __init__(self, path: Path) -> None:
        if path.suffix == ".arrow":
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        else:
            table = pq.read_table(path)
        self.column = table["x"].combine_chunks()

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, index: int) -> torch.Tensor:
        row = self.column[index].to_numpy()
        return torch.from_numpy(scipy.signal.sosfilt(SOS, row).astype(np.float32, copy=False))


def plain(path: Path, workers: int) -> Epoch:
    """Dataset and DataLoader; of Parquet, whatever it takes to read the file again belongs to the epoch."""
    if workers or path.suffix == ".arrow":
        loader = DataLoader(Plain(path), BATCH, num_workers=workers, persistent_workers=workers > 0)
        return lambda: loader
    return lambda: DataLoader(Plain(path), BATCH)


def hugging_face(path: Path) -> Epoch:
    """datasets with its torch format, filtered a batch at a time by SciPy."""
    datasets = need("datasets")
    rows = pa.ipc.open_file(pa.memory_map(str(path))).read_all() if path.suffix == ".arrow" else pq.read_table(path)
    flat = rows["x"].combine_chunks().storage
    features = datasets.Features({"x": datasets.List(datasets.Value("float32"), length=CHANNELS * TIME)})
    dataset = datasets.Dataset(pa.table({"x": flat}, schema=features.arrow_schema)).with_format("torch")

    def epoch() -> Iterable[torch.Tensor]:
        for batch in dataset.iter(BATCH):
            yield filtered(batch["x"].reshape(-1, CHANNELS, TIME).numpy())

    return epoch


def ray_data(path: Path) -> Epoch:
    """Ray Data: blocks filtered by SciPy in its workers, whose memory is read-only (SciPy refuses such sections)."""
    ray = need("ray")
    need("ray.data")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.init(num_cpus=2, ignore_reinit_error=True, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    if path.suffix == ".arrow":
        dataset = ray.data.from_arrow(pa.ipc.open_file(pa.memory_map(str(path))).read_all())
    else:
        dataset = ray.data.read_parquet(str(path))
    dataset = dataset.map_batches(
        lambda batch: {"x": scipy.signal.sosfilt(SOS.copy(), batch["x"]).astype(np.float32)}, batch_size=BATCH
    )

    def epoch() -> Iterable[torch.Tensor]:
        for batch in dataset.iter_torch_batches(batch_size=BATCH):
            yield batch["x"]

    return epoch


def filtered(batch: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(scipy.signal.sosfilt(SOS, batch).astype(np.float32, copy=False))


def loader(path: Path, precision: str, *, shuffle: bool = False) -> Epoch:
    """Ours."""
    from bridgeflow import Loader, SignalDataset, SignalFilter

    dataset = SignalDataset(path, transform=SignalFilter(**TRANSFORM, precision=precision))
    batches = Loader(dataset, BATCH, shuffle=shuffle)
    return lambda: (batch["x"] for batch in batches)


def bare(path: Path) -> Epoch:
    """The floor: read the file's bytes and copy them once, unfiltered."""

    def epoch() -> Iterable[torch.Tensor]:
        data = np.fromfile(path, np.uint8)
        yield torch.from_numpy(data.copy())

    return epoch


def filter_alone(path: Path, precision: str) -> Epoch:
    """What no loader can be faster than here: our filter over batches that lie in memory, by two threads."""
    from bridgeflow import SignalDataset, SignalFilter
    from bridgeflow._threads import share_threads

    rows = SignalDataset(path)
    batches = [rows.batch(range(start, start + BATCH))["x"] for start in range(0, ROWS, BATCH)]
    transform = SignalFilter(**{**TRANSFORM, "keys": None}, precision=precision)
    pool = ThreadPoolExecutor(2, initializer=share_threads, initargs=(2,))
    return lambda: pool.map(transform, batches)


def timed(epoch: Epoch) -> Callable[[], float]:
    """Seconds that one epoch takes."""

    def run() -> float:
        start = perf_counter()
        for _ in epoch():
            pass
        return perf_counter() - start

    return run


def same_numbers(ours: Epoch, *others: Epoch, atol: float) -> None:
    """Every contestant hands out the same signal; SciPy's recursion runs in float64."""
    expected = torch.cat(list(ours()))
    for other in others:
        torch.testing.assert_close(torch.cat(list(other())), expected, rtol=1e-6, atol=atol)


@benchmark(
    "{suffix} file -> filtered torch batches of 64 x [8, 1024], two threads, recursion in {precision}",
    suffix=["arrow", "parquet"],
    precision=["float32", "float64"],
)
def epoch(suffix: str, precision: str) -> Race:
    path = file(suffix)
    ours = loader(path, precision)
    peers: dict[str, Epoch] = {
        "Dataset, scipy, DataLoader": plain(path, 0),
        "the same, 2 workers": plain(path, 2),
    }
    for name, make in {"Hugging Face datasets, scipy": hugging_face, "Ray Data, scipy": ray_data}.items():
        try:
            peers[name] = make(path)
        except ImportError:
            continue
    same_numbers(ours, *peers.values(), atol=1e-3 if precision == "float32" else 1e-6)
    promise = faster(25 if suffix == "arrow" else 12)
    return Race(
        ours=timed(ours),
        peers={
            **{name: timed(one) for name, one in peers.items()},
            "bare read and copy": timed(bare(path)),
            "our filter alone": timed(filter_alone(path, precision)),
            "bridgeflow, rows shuffled": timed(loader(path, precision, shuffle=True)),
        },
        targets=dict.fromkeys(list(peers)[:2], promise),
        threads=2,
        self_timed=True,
        rounds=3,
    )


def first(make: Callable[[Path, int], Epoch], path: Path, workers: int) -> Callable[[], float]:
    """Seconds from a path to the first batch, workers started and ended."""

    def run() -> float:
        start = perf_counter()
        batches = iter(make(path, workers)())
        next(batches)
        return perf_counter() - start

    return run


def ours_with(path: Path, workers: int) -> Epoch:
    from bridgeflow import Loader, SignalDataset, SignalFilter

    batches = Loader(SignalDataset(path, transform=SignalFilter(**TRANSFORM)), BATCH, num_workers=workers)
    return lambda: batches


@benchmark("from a path to the first batch of 64 x [8, 1024], arrow file, {workers} workers", workers=[0, 2])
def first_batch(workers: int) -> Race:
    path = file("arrow")
    return Race(
        ours=first(ours_with, path, workers),
        peers={"Dataset, scipy, DataLoader": first(plain, path, workers)},
        threads=2,
        self_timed=True,
    )
