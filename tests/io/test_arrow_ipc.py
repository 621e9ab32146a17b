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
