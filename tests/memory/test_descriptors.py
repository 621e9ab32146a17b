"""Descriptors that other code has closed: nothing of theirs is closed in turn, and nothing is printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import gc, os
import numpy as np
from bridgeflow import SignalDataset, share
from bridgeflow.io import open_sink, open_source
from bridgeflow.memory import Segment

with open_sink("a.{suffix}") as sink:
    sink.write({{"x": np.zeros((50, 3))}})
used = set(os.listdir("/proc/self/fd"))
source = open_source("a.{suffix}")
segment = Segment(100)
shared = share(np.zeros(5), across="process")
array = segment.array((4,), "f8")
ours = [int(fd) for fd in os.listdir("/proc/self/fd") if fd not in used]
for fd in ours:
    try:
        os.close(fd)
    except OSError:  # of the listing itself
        pass
others = [open(os.devnull) for _ in ours]  # they get the same numbers
array[:] = 1  # the mapping is there without its descriptor
try:
    source.read()
except Exception as error:
    print(type(error).__name__)
del source, segment, shared, array
gc.collect()
for other in others:
    other.read()
    other.close()
print("end")
"""


@pytest.mark.parametrize("suffix", ["arrow", "parquet", "npy"])
def test_closed_by_others_are_let_be(suffix: str, tmp_path: Path):
    run = [sys.executable, "-W", "error", "-c", PROGRAM.format(suffix=suffix)]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() in (["DataError", "end"], ["end"])
