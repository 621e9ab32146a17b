"""What the engine ray costs for each recording, beside the local engine: small recordings, whose own work is little."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.harness import Race, benchmark, need
from bridgeflow.config import load_job
from bridgeflow.engines.shards import run_shards
from bridgeflow.io import open_sink

JOB = """\
version: 1
source: {arrow: in/, fs: 360, rows: instants}
transforms:
  - SignalFilter: {design: butter, btype: bandpass, cutoff: [0.5, 40], order: 4}
sink: {arrow: out/}
"""
RECORDINGS = 64
NUMBER = count()


def seconds_each(run: Callable[..., object], folder: Path, threads: int) -> float:
    """Seconds that a new folder of shards takes for each recording."""
    job = load_job(folder / "job.yaml", roots=[folder])
    job = replace(job, threads=threads, sink=replace(job.sink, path=folder / f"out{next(NUMBER)}"))
    began = perf_counter()
    run(job)
    return (perf_counter() - began) / RECORDINGS


@benchmark("a recording of 64 KiB, on {workers} workers of Ray that run already", workers=[1, 2])
def overhead(workers: int) -> Race:
    need("ray")
    from bridgeflow.engines.ray import run_on_ray
    from bridgeflow.engines.ray_cluster import connected

    folder = Path(tempfile.mkdtemp(prefix="bridgeflow-bench-"))
    for number in range(RECORDINGS):
        with open_sink(folder / "in" / f"r{number:03d}.arrow") as sink:
            sink.write({"ecg": np.random.default_rng(number).standard_normal((4096, 4), "float32")})
    (folder / "job.yaml").write_text(JOB, encoding="utf-8")
    cluster = connected(None, cores=2)
    cluster.__enter__()  # ends with this process
    seconds_each(run_on_ray, folder, 2)  # workers start, and import
    return Race(
        ours=partial(seconds_each, run_on_ray, folder, workers),
        peers={f"the local engine, {workers} threads": partial(seconds_each, run_shards, folder, workers)},
        self_timed=True,
        rounds=3,
    )
