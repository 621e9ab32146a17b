"""Arrow IPC beyond the common contract: views of the map, end marks, declared sizes."""

import struct

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc

from bridgeflow.errors import DataError
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.formats.ipc_messages import stream_messages

VALUES = np.arange(1000, dtype=np.float64)


def stream_of(*batches, **options):
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, batches[0].schema, options=ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def batch_of(values):
    return pa.record_batch({"ecg": values})


@pytest.mark.parametrize("name", ["a.arrow", "a.arrows"])
def test_one_record_batch_is_read_in_place(tmp_path, name):
    with open_sink(tmp_path / name) as sink:
        sink.write({"ecg": VALUES})
    before = pa.total_allocated_bytes()
    with open_source(tmp_path / name) as source:
        column = source.read()["ecg"]
        assert pa.total_allocated_bytes() - before < VALUES.nbytes
    assert np.array_equal(column, VALUES)


@pytest.mark.parametrize("name", ["a.arrow", "a.arrows"])
def test_a_write_to_the_map_does_not_reach_the_file(tmp_path, name):
    with open_sink(tmp_path / name) as sink:
        sink.write({"ecg": VALUES})
    before = (tmp_path / name).read_bytes()
    with open_source(tmp_path / name) as source:
        view = source.read()["ecg"]
        alias = np.lib.stride_tricks.as_strided(view, writeable=False)
        address = view.__array_interface__["data"][0]
        import ctypes

        ctypes.memset(address, 0xFF, 8)
        assert np.isnan(alias[0])
    assert (tmp_path / name).read_bytes() == before


def test_a_stream_may_end_between_messages_only_with_its_mark(tmp_path):
    """The four prefixes that pyarrow takes for shorter streams."""
    whole = stream_of(*[batch_of(VALUES[i : i + 250]) for i in range(0, 1000, 250)])
    ends = [message.end for message in stream_messages(memoryview(whole))]
    for end in ends[:-1]:
        assert len(ipc.open_stream(whole[:end]).read_all()) < 1000
    for end in ends:
        (tmp_path / "a.arrows").write_bytes(whole[:end])
        with pytest.raises(DataError, match="no end-of-stream mark"):
            open_source(tmp_path / "a.arrows")


def test_an_end_mark_among_the_values_is_not_the_end(tmp_path):
    """A body that ends with the very bytes of the mark, cut there, is still cut off."""
    lookalike = pa.record_batch({"ecg": np.array([-1, 0] * 32, dtype=np.int32)})
    whole = stream_of(lookalike, lookalike)
    first = [message.end for message in stream_messages(memoryview(whole))][1]
    assert whole[first - 8 : first] == b"\xff\xff\xff\xff\0\0\0\0"
    (tmp_path / "a.arrows").write_bytes(whole[:first])
    with pytest.raises(DataError, match="no end-of-stream mark"):
        open_source(tmp_path / "a.arrows")


def test_a_forged_decompressed_size_is_refused_before_allocating(tmp_path):
    whole = bytearray(stream_of(batch_of(np.zeros(10_000)), compression="zstd"))
    true_size = struct.pack("<q", 80_000)
    assert whole.count(true_size) == 1
    position = whole.index(true_size)
    whole[position : position + 8] = struct.pack("<q", 1 << 40)
    (tmp_path / "a.arrows").write_bytes(whole)
    with pytest.raises(DataError, match="declares 1,099,511,627,776 bytes"):
        open_source(tmp_path / "a.arrows")


@pytest.mark.parametrize("suffix", ["arrow", "arrows"])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_foreign_files_with_dictionaries_and_several_batches(tmp_path, suffix, compression):
    labels = pa.array(["n", "v", "n", None]).dictionary_encode()
    batch = pa.record_batch({"label": labels, "ecg": pa.array([1.0, 2.0, 3.0, 4.0])})
    new = ipc.new_file if suffix == "arrow" else ipc.new_stream
    path = tmp_path / f"a.{suffix}"
    with new(path, batch.schema, options=ipc.IpcWriteOptions(compression=compression)) as writer:
        for _ in range(3):
            writer.write_batch(batch)
    with open_source(path, nulls="keep") as source:
        assert source.rows == 12
        assert source.seekable == (suffix == "arrow" or compression is None)
        assert source.random_access == (compression is None)
        assert source.read()["label"].to_pylist() == ["n", "v", "n", None] * 3
        (chunk,) = source.chunks(6, start=5, stop=11)
    assert chunk["ecg"].tolist() == [2.0, 3.0, 4.0, 1.0, 2.0, 3.0]


def test_what_is_inside_is_validated_in_full(tmp_path):
    """A dictionary index out of range passes pyarrow's own reading; used, it reads foreign memory."""
    broken = pa.DictionaryArray.from_arrays(pa.array([0, 7], pa.int8()), pa.array(["n"]), safe=False)
    (tmp_path / "a.arrows").write_bytes(stream_of(pa.record_batch({"label": broken})))
    with open_source(tmp_path / "a.arrows") as source:
        with pytest.raises(DataError, match="cannot be read as arrow_stream"):
            source.read()
        with pytest.raises(DataError, match="cannot be read as arrow_stream"):
            list(source.chunks(2))


def big_endian(whole, arrays):
    """The bytes of an uncompressed file or stream as a writer of the other byte order would have written them: every
    schema says so, and the values of these arrays are swapped.
    """
    changed = bytearray(whole)
    for array in arrays:
        place = whole.index(array.tobytes())
        changed[place : place + array.nbytes] = array.byteswap().tobytes()

    def declare(schema):
        """Let the table's first field, the byte order, be the 1 that stands somewhere after it."""
        vtable = schema - struct.unpack_from("<i", changed, schema)[0]
        one = next(n for n in range(4, 1 << 12, 2) if struct.unpack_from("<h", changed, schema + n)[0] == 1)
        struct.pack_into("<H", changed, vtable + 4, one)

    def child(table, field):
        vtable = table - struct.unpack_from("<i", changed, table)[0]
        place = table + struct.unpack_from("<H", changed, vtable + 4 + 2 * field)[0]
        return place + struct.unpack_from("<I", changed, place)[0]

    def root(place):
        return place + struct.unpack_from("<I", changed, place)[0]

    is_file = whole.startswith(b"ARROW1")
    declare(child(root(8 + (8 if is_file else 0)), 2))
    if is_file:
        footer = len(whole) - 10 - struct.unpack_from("<i", changed, len(whole) - 10)[0]
        declare(child(root(footer), 1))
    return bytes(changed)


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("suffix", ["arrow", "arrows"])
def test_a_file_of_the_other_byte_order_is_read_exactly(tmp_path, suffix, mapped):
    arrays = {"a": np.arange(1000.0) + 0.25, "b": np.arange(5000, 6000, dtype=np.int16)}
    batch = pa.record_batch(arrays)
    path = tmp_path / f"x.{suffix}"
    with (ipc.new_file if suffix == "arrow" else ipc.new_stream)(path, batch.schema) as writer:
        writer.write_batch(batch)
    path.write_bytes(big_endian(path.read_bytes(), arrays.values()))
    opened = (ipc.open_file if suffix == "arrow" else ipc.open_stream)(path.read_bytes())
    assert opened.schema.equals(batch.schema)
    with open_source(path, mapped=mapped) as source:
        for name, array in arrays.items():
            np.testing.assert_array_equal(source.read()[name], array, strict=True)
            np.testing.assert_array_equal(source.slice(3, 9, writable=False)[name], array[3:9], strict=True)
            np.testing.assert_array_equal(source.take([999, 0])[name], array[[999, 0]], strict=True)
