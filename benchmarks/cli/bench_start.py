"""What a user waits for before a command does its work.

Goals are absolute, so a yes or NO is one of the processor that the page names. Processes are measured by the processor
time that they take, their children's too: a machine that does nothing else needs as long by the clock, and one that is
busy does not decide. Compiled modules are kept, as an installation keeps them.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Race, benchmark

ROOT = Path(__file__).parents[2]
COMMANDS = ("run", "check", "explain", "info", "convert", "list", "schema", "verify", "doctor", "plot filter")


def seconds_of(*line: str) -> float:
    """Seconds of processor that a process takes, those of its own children counted too."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(line, check=True, capture_output=True, env=environment, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def started(*words: str) -> float:
    """Seconds of the command line with these words."""
    return seconds_of(sys.executable, "-m", "bridgeflow", *words)


def imported(names: str) -> Callable[[], float]:
    """Seconds of a process that imports packages and ends."""
    return partial(seconds_of, sys.executable, "-c", f"import {names}")


def race(limit: float | None, *words: str, peers: dict[str, Any] | None = None) -> Race:
    return Race(ours=partial(started, *words), peers=peers or {}, limit=limit, self_timed=True, rounds=5)


@benchmark("bridgeflow --help")
def help_of_all() -> Race:
    return race(0.15, "--help", peers={"python -c pass": partial(seconds_of, sys.executable, "-c", "pass")})


@benchmark("bridgeflow {command} --help", command=COMMANDS)
def help_of_one(command: str) -> Race:
    return race(0.15, *command.split(), "--help")


@benchmark("bridgeflow check of the demo")
def check() -> Race:
    peers = {"import numpy": imported("numpy"), "import numpy, pyarrow.parquet": imported("numpy, pyarrow.parquet")}
    return race(0.15, "check", "configs/ecg_denoise.yaml", "--overwrite", peers=peers)


@benchmark("bridgeflow run of the demo")
def run() -> Race:
    peers = {"import torch": imported("torch"), "import scipy.signal": imported("scipy.signal")}
    return race(3.0, "run", "configs/ecg_denoise.yaml", "--overwrite", "--quiet", peers=peers)


@benchmark("the first filtered tensor of a new process")
def first_call() -> Race:
    code = """
import torch, bridgeflow
low = bridgeflow.SignalFilter(design="butter", cutoff=20.0, fs=100.0, order=2)
low(torch.zeros(2, 1000))
"""
    own = partial(seconds_of, sys.executable, "-c", code)
    return Race(ours=own, peers={"import torch": imported("torch")}, limit=None, self_timed=True, rounds=5)


@cache
def folder() -> Path:
    """A folder for the files of these races, removed at the end."""
    return Path(_kept.name)


_kept = tempfile.TemporaryDirectory(prefix="bridgeflow-bench-")


@benchmark("explain of a job with 1,000 columns and two stages")
def explain_wide() -> Race:
    from bridgeflow.cli.checks import explain_job
    from bridgeflow.config import load_job
    from bridgeflow.io import open_sink

    with open_sink(folder() / "wide.parquet", settings={"fs": 100}, overwrite=True) as sink:
        sink.write({f"c{number}": np.zeros(1000, np.float32) for number in range(1000)})
    stages = "[Scale: {scale: 2.0, keys: '*'}, SignalFilter: {design: butter, cutoff: 20, order: 2, keys: '*'}]"
    path = folder() / "wide.yaml"
    path.write_text(
        f"version: 1\nsource: {{parquet: wide.parquet}}\ntransforms: {stages}\nsink: {{parquet: o.parquet}}\n"
    )
    return Race(ours=lambda: explain_job(load_job(path), "wide.yaml"), work=(2000, "step"), rounds=3)


@benchmark("opening a folder of 10,000 files, {what}", what=["recordings", "rows"])
def open_many(what: str) -> Race:
    from bridgeflow import Recordings, SignalDataset

    many = folder() / "many"
    if not many.exists():
        many.mkdir()
        np.save(many / "r00000.npy", np.zeros(500, np.float32))
        for number in range(1, 10_000):
            (many / f"r{number:05d}.npy").write_bytes((many / "r00000.npy").read_bytes())
    if what == "recordings":
        return Race(
            ours=lambda: Recordings(str(many / "*.npy"), fs=100, progress=False), work=(10_000, "file"), rounds=3
        )
    return Race(ours=lambda: SignalDataset(str(many)), work=(10_000, "file"), rounds=3)


@benchmark("windows of 1 s with labels, an hour of 64 channels at 256 Hz")
def labelled_windows() -> Race:
    from bridgeflow import Compose, EventLabels, Recording, SignalDataset, Window

    events = [(float(second), 0.5, "abc"[second % 3]) for second in range(3600)]
    night = Recording.from_arrays(np.zeros((64, 3600 * 256), np.int16), fs=256, events=events)
    stages = Compose([Window(length="1 s"), EventLabels(classes=("a", "b", "c"))])

    def ours() -> Any:
        dataset = SignalDataset([night], stages, kind="numpy")
        return [dataset.batch(range(row, min(row + 64, 3600))) for row in range(0, 3600, 64)]

    samples = np.zeros((64, 3600 * 256), np.int16)
    cuts = {"copies of the same slices": lambda: [samples[:, n * 256 : n * 256 + 256].copy() for n in range(3600)]}
    return Race(ours=ours, peers=cuts, work=(3600, "window"), rounds=3)
