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


def text_table():
    return pa.table({"v": VALUES[: 1 << 16], "text": [f"row {row}" for row in range(1 << 16)]})


def written_form(folder, form):
    """A file of a form whose values are not simply lying there to be mapped."""
    name, _, how = form.partition(" ")
    path = folder / f"x{SUFFIXES[name]}"
    if how == "fortran":
        np.save(path, np.asfortranarray(VALUES.reshape(-1, 4)))
    elif how == "deflated":
        np.savez_compressed(path, v=np.random.default_rng(0).integers(0, 1 << 30, 1 << 17))
    elif how == "24":
        with open_sink(path, settings={"fs": 100}, dtype="int24", normalize=False) as sink:
            sink.write({"v": (VALUES % 30_000).astype("int32") * 256})
    elif how in ("text", "lz4"):
        make = pa.ipc.new_file if name == "arrow" else pa.ipc.new_stream
        options = pa.ipc.IpcWriteOptions(compression=None if how == "text" else how)
        with make(path, text_table().schema, options=options) as writer:
            writer.write_table(text_table(), max_chunksize=1 << 14)
    else:
        return written(folder, name)
    return path


FORMS = [*SUFFIXES, "npy fortran", "npz deflated", "wav 24", "arrow text", "arrow_stream text", "arrow lz4"]

READ_AFTER = """
import os, sys
import numpy as np
from bridgeflow.errors import DataError
from bridgeflow.io import open_source

path = sys.argv[1]
source = open_source(path, mapped=False)
source._reader.file.require_unchanged = lambda: os.truncate(path, 4096)
last = source.rows - 1
for read in (
    lambda: source.take([last, 3, last - 5]),
    lambda: source.slice(last - 9, last),
    lambda: source.slice(last - 9, last, writable=False),
    lambda: source.read(),
    lambda: list(source.chunks(1 << 14)),
):
    try:
        read()
    except DataError as error:
        print("error")
"""


@pytest.mark.parametrize("form", FORMS)
def test_no_format_reads_values_from_the_map_of_a_file_cut_off(tmp_path, form):
    """Cut off after the check, as another process may do at any moment: gathers, copies, decodings and text."""
    line = [sys.executable, "-W", "ignore", "-c", READ_AFTER, str(written_form(tmp_path, form))]
    done = subprocess.run(line, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout.split() == ["error"] * 5


OPENED_AFTER = """
import os, sys
from bridgeflow.errors import DataError
from bridgeflow.io import mapped, open_source

path, identity_of = sys.argv[1], mapped.Identity.of

def of(descriptor):
    identity = identity_of(descriptor)
    os.truncate(path, 4096)
    return identity

mapped.Identity.of = of
try:
    open_source(path, mapped=False)
except DataError as error:
    print("error")
"""


@pytest.mark.parametrize("form", FORMS)
def test_no_format_reads_its_header_from_the_map_of_a_file_cut_off(tmp_path, form):
    """Cut off between the first look at its size and the header: only what stands at the beginning can be read."""
    line = [sys.executable, "-W", "ignore", "-c", OPENED_AFTER, str(written_form(tmp_path, form))]
    done = subprocess.run(line, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout.split() == ([] if form.startswith("wav") else ["error"])


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_as_it_is_mapped(tmp_path, form):
    path = written_form(tmp_path, form)
    with open_source(path) as mapped, open_source(path, mapped=False) as read:
        last = mapped.rows - 1
        for one, other in (
            (mapped.read(), read.read()),
            (mapped.slice(7, 9), read.slice(7, 9)),
            (mapped.slice(last - 3, last, writable=False), read.slice(last - 3, last, writable=False)),
            (mapped.take([last, 0, 5, 6, 7, 5]), read.take([last, 0, 5, 6, 7, 5])),
            (mapped.take([]), read.take([])),
        ):
            for name in one:
                np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(other[name]), strict=True)
