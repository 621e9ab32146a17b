"""Rows by position: `slice` and `take` of every format, and what is handed out belongs to the caller alone."""

import ctypes
import gc
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc

from bridgeflow.bridge import to_numpy, to_tensor
from bridgeflow.errors import DataError
from bridgeflow.io import all_formats, open_sink, open_source
from bridgeflow.io.mapped import COPIED_BELOW

RNG = np.random.default_rng(11)
ROWS = 40
BATCH = RNG.normal(size=(ROWS, 2, 3)).astype(np.float32)
RATE = np.arange(ROWS, dtype=np.int16)


def several_batches(path, name):
    """A file of one format in several record batches or row groups, uneven ones and an empty one among them."""
    if name not in {"arrow", "arrow_stream", "parquet"}:
        with open_sink(path, format=name, settings={"fs": 360}) as sink:
            sink.write({"ecg": BATCH if name != "wav" else BATCH.reshape(ROWS, 6)})
        return path
    ecg, rate = pa.FixedShapeTensorArray.from_numpy_ndarray(BATCH), pa.array(RATE)
    batch = pa.record_batch({"ecg": ecg, "rate": rate, "text": pa.array([f"row {i}" for i in range(ROWS)])})
    pieces = [batch[:7], batch[7:7], batch[7:8], batch[8:31], batch[31:]]
    if name == "parquet":
        with pq.ParquetWriter(path, batch.schema) as writer:
            for piece in pieces:
                writer.write_table(pa.Table.from_batches([piece]))
        return path
    with (ipc.new_file if name == "arrow" else ipc.new_stream)(path, batch.schema) as writer:
        for piece in pieces:
            writer.write_batch(piece)
    return path


WHOLE = {"ecg": BATCH, "rate": RATE, "text": np.array([f"row {i}" for i in range(ROWS)], dtype=object)}


def as_numpy(column):
    if isinstance(column, pa.Array) and pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    return to_numpy(column)


def assert_rows(columns, where):
    for name, column in columns.items():
        got = as_numpy(column)
        assert np.array_equal(got.reshape(-1, *WHOLE[name].shape[1:]), WHOLE[name][where]), name


@pytest.fixture(scope="module", params=sorted(all_formats()))
def source(request, tmp_path_factory):
    path = several_batches(tmp_path_factory.mktemp("access") / "a", request.param)
    columns = ["ecg"] if request.param not in {"arrow", "arrow_stream", "parquet"} else None
    with open_source(path, format=request.param, columns=columns) as opened:
        yield opened


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_slices_are_numpys(source, data):
    start = data.draw(st.integers(0, ROWS))
    stop = data.draw(st.integers(start, ROWS))
    writable = data.draw(st.booleans())
    columns = source.slice(start, stop, writable=writable)
    assert list(columns) == list(source.specs)
    assert_rows(columns, slice(start, stop))


@given(
    indices=st.lists(st.integers(0, ROWS - 1), max_size=ROWS * 2), dtype=st.sampled_from(["int64", "uint8", "int32"])
)
@settings(max_examples=60, deadline=None)
def test_gathered_rows_are_numpys(source, indices, dtype):
    assert_rows(source.take(np.array(indices, dtype)), np.array(indices, dtype=int))


def test_lists_are_indices_too(source):
    assert_rows(source.take([3, 1, 3]), [3, 1, 3])
    assert_rows(source.take([]), slice(0, 0))


def test_positions_out_of_range(source):
    for start, stop in [(-1, 2), (3, 2), (0, ROWS + 1)]:
        with pytest.raises(ValueError, match=f"need 0 <= start <= stop <= {ROWS}"):
            source.slice(start, stop)
    for index in (-1, ROWS):
        with pytest.raises(IndexError, match="has rows 0 to 39"):
            source.take([0, index])
    for indices in ([0.5], [[0]], [True], ["a"], 3):
        with pytest.raises(TypeError, match="integers along one axis"):
            source.take(indices)


def test_what_is_given_can_be_written_to_and_nobody_else_sees_it(source):
    """In-place arithmetic through torch on all that is handed out: the source gives the same rows ever after."""
    before = source.path.read_bytes()
    for _ in range(2):
        for columns in (source.slice(5, 9), source.slice(8, 20), source.take([5, 6, 5]), source.read()):
            tensor = to_tensor(columns["ecg"], copy="never")
            tensor *= -1
            tensor.numpy()[...] = np.nan
        for chunk in source.chunks(9):
            to_tensor(chunk["ecg"], copy="never").fill_(-7)
    assert_rows(source.read(), slice(None))
    assert_rows(source.slice(5, 9, writable=False), slice(5, 9))
    assert source.path.read_bytes() == before


def test_the_spec_says_that_it_can_be_written_to(source):
    assert source.specs["ecg"].writable
    assert "text" not in source.specs or not source.specs["text"].writable


def test_promised_not_to_write_rows_of_a_map_are_shared(source):
    one, other = (to_numpy(source.slice(9, 12, writable=False)["ecg"]) for _ in range(2))
    if source.random_access and source.format.name != "webdataset":  # whose rows are files each
        assert one.ctypes.data == other.ctypes.data
        assert not one.flags.writeable
    assert np.array_equal(one.reshape(3, 2, 3), BATCH[9:12])


def test_many_threads_read_one_source(source):
    rng = np.random.default_rng(5)
    jobs = [rng.integers(0, ROWS, 9) for _ in range(200)]

    def work(indices):
        start = int(indices.min())
        assert_rows(source.take(indices), indices)
        assert_rows(source.slice(start, ROWS), slice(start, ROWS))
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(work, jobs)) == len(jobs)


def test_sources_pickle_by_their_path(source):
    copy = pickle.loads(pickle.dumps(source))
    assert copy.specs == source.specs
    assert_rows(copy.take([4, 2]), [4, 2])
    assert len(pickle.dumps(source)) < 2000


@pytest.mark.parametrize("name", sorted(all_formats()))
def test_a_pickled_source_is_the_same_file_or_an_error(tmp_path, name):
    path = several_batches(tmp_path / "a", name)
    with open_source(path, format=name, columns=["ecg"]) as source:
        sent = pickle.dumps(source)
        os.utime(path, ns=(1, 1))
        with pytest.raises(DataError, match="a: is not the file that was opened first"):
            pickle.loads(sent)
        with pytest.raises(DataError, match="a: has changed since it was opened"):
            source.slice(0, 1)
        with pytest.raises(DataError, match="has changed"):
            source.take([0])
        with pytest.raises(DataError, match="has changed"):
            next(source.chunks(4))
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        pickle.loads(sent)


@pytest.mark.parametrize("name", sorted(all_formats()))
def test_a_file_that_became_shorter_does_not_kill_the_process(tmp_path, name):
    path = several_batches(tmp_path / "a", name)
    with open_source(path, format=name, columns=["ecg"]) as source:
        os.truncate(path, 10)
        with pytest.raises(DataError, match="has changed"):
            source.read()


@pytest.mark.parametrize("name", sorted(all_formats()))
def test_closed_is_closed_and_arrays_stay(tmp_path, name):
    source = open_source(several_batches(tmp_path / "a", name), format=name, columns=["ecg"])
    kept = source.slice(3, 6), source.slice(3, 6, writable=False), source.take([3, 4, 5])
    source.close()
    source.close()
    for act in (source.read, lambda: source.slice(0, 1), lambda: source.take([0]), lambda: next(source.chunks(1))):
        with pytest.raises(ValueError, match="is closed"):
            act()
    gc.collect()
    for columns in kept:
        assert np.array_equal(to_numpy(columns["ecg"]).reshape(3, 2, 3), BATCH[3:6])


@pytest.mark.parametrize("name", ["arrow", "arrow_stream", "npy", "wav"])
def test_large_slices_are_pages_of_the_file(tmp_path, name):
    """Beyond the size where copying is cheaper: no copy, copy-on-write, and unmapped with the last view."""
    values = np.arange(COPIED_BELOW // 2, dtype=np.float64)
    batch = pa.record_batch({"ecg": values})
    path = tmp_path / "a"
    if name in {"npy", "wav"}:
        with open_sink(path, format=name, settings={"fs": 360}) as sink:
            sink.write({"ecg": values})
    else:
        with (ipc.new_file if name == "arrow" else ipc.new_stream)(path, batch.schema) as writer:
            writer.write_batch(batch)
    before = path.read_bytes()

    def maps():
        with open("/proc/self/maps") as lines:
            return sum(str(path) in line for line in lines)

    with open_source(path, format=name, columns=["ecg"]) as source:
        resting, descriptors, allocated = maps(), len(os.listdir("/proc/self/fd")), pa.total_allocated_bytes()
        first, second = (source.slice(100, len(values) - 100)["ecg"] for _ in range(2))
        assert maps() == resting + 2
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert pa.total_allocated_bytes() == allocated
        one, other = to_tensor(first, copy="never"), to_tensor(second, copy="never")
        one[:] = -1
        assert other.tolist() == values[100:-100].tolist()
        assert np.array_equal(to_numpy(source.slice(100, 200)["ecg"]), values[100:200])
        del first, second, other, source
        gc.collect()
        assert one.sum() == -len(one)
        del one
        gc.collect()
        assert maps() <= resting
    assert path.read_bytes() == before


def test_a_fortran_ordered_array_is_read_row_by_row(tmp_path):
    values = np.asfortranarray(np.arange(12).reshape(4, 3))
    np.save(tmp_path / "a.npy", values)
    with open_source(tmp_path / "a.npy") as source:
        for columns, rows in ((source.slice(1, 3), slice(1, 3)), (source.take([2, 0]), [2, 0]), (source.read(), ...)):
            assert np.array_equal(columns["values"], values[rows])
            columns["values"][:] = -1
        assert np.array_equal(source.slice(0, 2, writable=False)["values"], values[:2])


@pytest.mark.parametrize("name", ["arrow", "arrow_stream", "parquet"])
@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
def test_compressed_pieces_are_decoded_once_and_never_handed_out(tmp_path, name, compression):
    if name == "parquet" and compression == "lz4":
        compression = "snappy"
    with open_sink(tmp_path / "a", format=name, compression=compression) as sink:
        sink.write({"ecg": BATCH})
    with open_source(tmp_path / "a", format=name) as source:
        assert source.random_access == (compression == "none" and name != "parquet")
        for start in range(0, ROWS, 8):
            to_tensor(source.slice(start, start + 8)["ecg"], copy="never").zero_()
        assert np.array_equal(to_numpy(source.take(np.arange(ROWS)[::-1])["ecg"]), BATCH[::-1])


def test_row_groups_too_large_to_decode_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("bridgeflow.io.formats.parquet.is_built", lambda: False)
    monkeypatch.setattr("bridgeflow.io.formats.parquet._LARGE_GROUP", 0)
    monkeypatch.setattr("bridgeflow.io.formats.parquet._BATCH_ROWS", 4)
    path = several_batches(tmp_path / "a", "parquet")
    with open_source(path, format="parquet") as source:
        monkeypatch.setattr("bridgeflow.io.formats.parquet.RowGroupReader._load", None)
        for start, stop in [(0, 3), (5, 9), (6, 33), (0, ROWS), (39, 40), (4, 4)]:
            assert_rows(source.slice(start, stop), slice(start, stop))
        for indices in ([39, 0, 7, 7, 30], [8], []):
            assert_rows(source.take(indices), np.array(indices, int))


@pytest.mark.parametrize("nulls", ["error", "keep"])
def test_nulls_by_position(tmp_path, nulls):
    table = pa.table({"ecg": pa.array([1.0, 2.0, None, 4.0, None])})
    pq.write_table(table, tmp_path / "a.parquet", write_statistics=False)
    with open_source(tmp_path / "a.parquet", nulls=nulls) as source:
        rows = source.slice(0, 2)["ecg"]
        assert isinstance(rows, pa.Array) == (nulls == "keep")
        assert rows.tolist() == [1, 2]
        if nulls == "keep":
            assert source.take([4, 3])["ecg"].to_pylist() == [None, 4]
            return
        with pytest.raises(DataError, match="'ecg': 1 null, the first in row 2"):
            source.slice(1, 4)
        with pytest.raises(DataError, match="the first in row 4"):
            source.take([3, 4])


def test_stray_writes_behind_arrows_back_do_not_reach_the_file(tmp_path):
    several_batches(tmp_path / "a", "arrow")
    before = (tmp_path / "a").read_bytes()
    with open_source(tmp_path / "a", format="arrow") as source:
        column = source.slice(0, 7)["rate"]
        ctypes.memset(column.ctypes.data, 0xFF, 14)
        assert set(column.tolist()) == {-1}
        assert source.slice(0, 7)["rate"].tolist() == list(range(7))
    assert (tmp_path / "a").read_bytes() == before


def run_on(path, name, code):
    """Run Python code on a file and its format, in a process of its own."""
    return subprocess.run([sys.executable, "-c", code, str(path), name], capture_output=True, text=True, timeout=60)


FORKED = """
import os, sys, threading
from bridgeflow.io import open_source
source = open_source(sys.argv[1], format=sys.argv[2], columns=["ecg"])
stop = threading.Event()
def read():
    while not stop.is_set():
        source.take([1, 35, 9]); source.slice(5, 30)
threads = [threading.Thread(target=read) for _ in range(4)]
for thread in threads: thread.start()
failures = 0
for _ in range(20):
    child = os.fork()
    if not child:
        os._exit(0 if len(source.slice(3, 33)["ecg"]) == 30 and len(source.take([39, 0])["ecg"]) == 2 else 1)
    failures += os.waitpid(child, 0)[1] != 0
stop.set()
for thread in threads: thread.join()
print(failures)
"""


READ_ONCE = """
import sys
from bridgeflow.io import open_source
source = open_source(sys.argv[1], format=sys.argv[2], columns=["ecg"])
before = set(sys.modules)
source.take([1, 35, 9]); source.slice(5, 30); source.slice(5, 30, writable=True)
print(sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("name", ["arrow", "arrow_stream", "parquet"])
def test_reading_imports_nothing(tmp_path, name):
    """A child that was forked while a thread imports waits forever where it needs the same module."""
    done = run_on(several_batches(tmp_path / "a", name), name, READ_ONCE)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("name", ["arrow", "arrow_stream", "parquet"])
def test_forked_while_threads_read(tmp_path, name):
    done = run_on(several_batches(tmp_path / "a", name), name, FORKED)
    assert done.stdout == "0\n", done.stderr
