"""npy beyond the common contract: what `np.load` would forgive."""

import io
import struct

import numpy as np
import pytest

from bridgeflow.errors import DataError
from bridgeflow.io import open_sink, open_source

VALUES = np.arange(12, dtype=np.int16)


def header(text, version=(1, 0)):
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text


def test_the_bytes_are_those_of_np_save(tmp_path):
    for array in (VALUES, VALUES.reshape(4, 3), np.array([1 + 2j]), np.array(["2020"], "M8[Y]"), VALUES.astype(">i2")):
        with open_sink(tmp_path / "a.npy", overwrite=True) as sink:
            sink.write({"x": array})
        expected = io.BytesIO()
        np.save(expected, array)
        assert (tmp_path / "a.npy").read_bytes() == expected.getvalue()


def test_the_array_may_be_written_to_and_the_file_stays(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    before = (tmp_path / "a.npy").read_bytes()
    with open_source(tmp_path / "a.npy") as source:
        source.read()["values"][:] = 0
    assert (tmp_path / "a.npy").read_bytes() == before


def test_fortran_order(tmp_path):
    np.save(tmp_path / "a.npy", np.asfortranarray(VALUES.reshape(3, 4)))
    with open_source(tmp_path / "a.npy") as source:
        assert np.array_equal(source.read()["values"], VALUES.reshape(3, 4))


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.array([{}, None], dtype=object), "holds object elements, not numbers; no pickles are opened"),
        (np.array(["text"]), "holds <U4 elements, not numbers"),
        (np.zeros(2, dtype=[("a", "f4"), ("b", "O")]), "no pickles are opened"),
        (np.zeros(2, dtype=[("a", "f4")]), "store one array of numbers"),
        (np.float32(1), r"has shape \(\)"),
    ],
)
def test_what_is_no_array_of_numbers(tmp_path, array, problem):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=problem):
        open_source(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "head",
    [
        header(b"{'descr': '<i2', 'fortran_order': False, 'shape': (99999999999999,)}\n"),
        header(b"{'descr': '<i2', 'fortran_order': False, 'shape': (-1, -12)}\n"),
        header(b"{'descr': '<i2', 'fortran_order': False, 'shape': (12,), 'extra': 1}\n"),
        header(b"{'descr': '<i2', 'fortran_order': False}\n"),
        header(b"{'descr': '|V1000000000000', 'fortran_order': False, 'shape': (12,)}\n"),
        header(b"__import__('os').system('true')\n"),
        header(b"(" * 9000),
        header(b"{" * 60_000),
        header(b"\xff\xfe"),
        header(b"{'descr': '<i2', 'fortran_order': False, 'shape': (12,)}\n", version=(3, 0)),
        header(b"{'descr': '<i2', 'fortran_order': False, 'shape': (12,)}\n", version=(9, 9)),
        b"\x93NUMPY\x01\x00\xff\xff",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    ],
)
def test_forged_headers(tmp_path, head):
    (tmp_path / "a.npy").write_bytes(head + VALUES.tobytes())
    with pytest.raises(DataError, match=r"a\.npy: "):
        open_source(tmp_path / "a.npy")


def test_an_npy_file_has_one_column(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    with pytest.raises(DataError, match="holds one array, got 2 names"):
        open_source(tmp_path / "a.npy", columns=["a", "b"])
    with pytest.raises(DataError, match="holds one array, got a, b"), open_sink(tmp_path / "b.npy") as sink:
        sink.write({"a": VALUES, "b": VALUES})


def test_headers_parsed_by_several_threads(tmp_path, monkeypatch):
    """Python 3.11 raises a SystemError now and then, where threads parse literals at once."""
    np.save(tmp_path / "a.npy", VALUES)
    from bridgeflow.io.formats import npy

    true_read, errors = npy.npy.read_array_header_1_0, [SystemError("recursion depth mismatch")] * 3

    def read(head, **options):
        result = true_read(head, **options)
        if errors:
            raise errors.pop()
        return result

    monkeypatch.setattr(npy.npy, "read_array_header_1_0", read)
    with open_source(tmp_path / "a.npy") as source:
        assert np.array_equal(source.read()["values"], VALUES)
    assert not errors
