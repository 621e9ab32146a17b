"""Files that become shorter while they are read."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from bridgeflow.errors import DataError
from bridgeflow.io import open_sink, open_source

VALUES = np.arange(3 << 20, dtype=np.float64)
SUFFIXES = {"npy": ".npy", "arrow": ".arrow", "arrow_stream": ".arrows", "npz": ".npz", "wav": ".wav"}


def written(folder, format):
    path = folder / f"x{SUFFIXES[format]}"
    if format == "npy":
        np.save(path, VALUES)
    elif format == "npz":
        np.savez(path, v=VALUES)
    elif format == "wav":
        with open_sink(path, settings={"fs": 100}, normalize=False) as sink:
            sink.write({"v": VALUES})
    else:
        table = pa.table({"v": VALUES})
        make = pa.ipc.new_file if format == "arrow" else pa.ipc.new_stream
        with make(path, table.schema) as writer:
            writer.write_table(table)
    return path


CUT_OFF = """
import os, sys
import numpy as np
from bridgeflow.errors import DataError
from bridgeflow.io import open_source

path = sys.argv[1]
with open_source(path, mapped=False) as source:
    whole = source.read()
    pieces = source.chunks(1 << 20)
    first = next(pieces)
    os.truncate(path, 4096)
    (name,) = first
    print(float(np.asarray(first[name]).sum()), float(np.asarray(whole[name]).sum()))
    try:
        next(pieces)
    except DataError as error:
        print(error)
"""


@pytest.mark.parametrize("format", SUFFIXES)
def test_what_was_read_stays_when_the_file_is_cut_off(tmp_path, format):
    """In a process of its own, which a map of a file cut off would end (SIGBUS)."""
    path = written(tmp_path, format)
    line = [sys.executable, "-W", "ignore", "-c", CUT_OFF, str(path)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    sums, said = done.stdout.splitlines()
    assert sums == f"{VALUES[: 1 << 20].sum()} {VALUES.sum()}"
    assert "has changed since it was opened" in said


def test_a_file_cut_off_between_check_and_read_is_an_error(tmp_path, monkeypatch):
    path = written(tmp_path, "npy")
    with open_source(path, mapped=False) as source:
        monkeypatch.setattr(type(source._reader.file), "require_unchanged", lambda self: os.truncate(path, 4096))
        with pytest.raises(DataError, match="has become shorter since it was opened"):
            source.read()


@pytest.mark.parametrize("format", SUFFIXES)
def test_what_is_read_is_what_is_mapped(tmp_path, format):
    path = written(tmp_path, format)
    with open_source(path) as mapped, open_source(path, mapped=False) as read:
        for one, other in ((mapped.read(), read.read()), (mapped.slice(7, 9), read.slice(7, 9))):
            for column in one:
                np.testing.assert_array_equal(np.asarray(one[column]), np.asarray(other[column]))
