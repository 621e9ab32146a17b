"""Peak memory of a job against the length of its recording: a run of the command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.harness import Race, benchmark, within
from bridgeflow.io import open_sink

JOB = """\
version: 1
source: {{{suffix}: in.{suffix}, fs: 360}}
transforms:
  - SignalFilter: {{design: butter, btype: bandpass, cutoff: [0.5, 40], order: 2}}
  - Resample: {{from_hz: 360, to_hz: 250}}
  - Window: {{length: 2500}}
sink: {{arrow: out.arrow}}
"""
MIB = 16


def job(suffix: str, mebibytes: int) -> Path:
    """A folder with a recording of so many MiB of float32 and a job that filters, resamples and cuts it."""
    folder = Path(tempfile.mkdtemp(prefix="bridgeflow-bench-"))
    rng = np.random.default_rng(0)
    with open_sink(folder / f"in.{suffix}") as sink:
        for _ in range(mebibytes):
            sink.write({"ecg": rng.standard_normal(1 << 18, dtype=np.float32)})
    (folder / "job.yaml").write_text(JOB.format(suffix=suffix), encoding="utf-8")
    return folder


def peak(folder: Path) -> Callable[[], int]:
    """The most memory that the run has at a time, in bytes, mapped files included."""

    def run() -> int:
        command = [sys.executable, "-m", "bridgeflow", "run", "job.yaml", "--overwrite", "--json"]
        child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        return usage.ru_maxrss * 1024

    return run


@benchmark("peak memory of a {suffix} job, a recording of 128 MiB", suffix=["arrow", "parquet"])
def peak_memory(suffix: str) -> Race:
    short, long = job(suffix, MIB), job(suffix, 8 * MIB)
    peer = f"a recording of {MIB} MiB"
    return Race(
        ours=peak(long),
        peers={peer: peak(short)},
        targets={peer: within(1.1)},
        self_timed=True,
        unit="byte",
        rounds=2,
    )
