"""Which columns of a source are ndarrays: those of plain numbers without nulls, in every format, at every position."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pyarrow import ipc

from bridgeflow import SignalDataset, SignalFilter
from bridgeflow.bridge import to_arrow, to_numpy, trace
from bridgeflow.errors import DataError
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.mapped import COPIED_BELOW

ROWS = 12
NUMBERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"]


def values(dtype, *inner):
    return np.random.default_rng(0).integers(0, 100, (ROWS, *inner)).astype(dtype)


def written(path, column, cuts=()):
    batch = pa.record_batch({"x": column})
    with ipc.new_file(path, batch.schema) as writer:
        for begin, end in zip((0, *cuts), (*cuts, ROWS), strict=True):
            writer.write_batch(batch[begin:end])
    return open_source(path, format="arrow", nulls="keep")


def lists(array):
    flat = pa.array(array.reshape(-1))
    for length in array.shape[:0:-1]:
        flat = pa.FixedSizeListArray.from_arrays(flat, length)
    return flat


COLUMNS = {
    "numbers": lambda dtype: pa.array(values(dtype)),
    "tensors": lambda dtype: pa.FixedShapeTensorArray.from_numpy_ndarray(values(dtype, 2, 3)),
    "lists": lambda dtype: lists(values(dtype, 5)),
    "lists of lists": lambda dtype: lists(values(dtype, 2, 3)),
}


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_numbers_are_seen_where_they_lie(tmp_path, column, dtype):
    expected = to_numpy(column(dtype))
    with written(tmp_path / "a", column(dtype), (5,)) as source:
        assert source.specs["x"].kind == "numpy"
        assert (source.specs["x"].dtype, source.specs["x"].shape) == (dtype, expected.shape)
        for start, stop in [(0, 5), (1, 3), (5, ROWS), (11, ROWS), (3, 8), (4, 4)]:
            seen = source.slice(start, stop, writable=False)["x"]
            assert type(seen) is np.ndarray
            assert (seen.dtype, seen.shape) == (expected.dtype, expected[start:stop].shape)
            np.testing.assert_array_equal(seen, expected[start:stop])
            own = source.slice(start, stop)["x"]
            np.testing.assert_array_equal(own, expected[start:stop])
            own[:] = 0
            assert own.dtype == expected.dtype
            chosen = [ROWS - 1, 0, start, 7, start]
            taken = source.take(chosen)["x"]
            assert (taken.dtype, taken.shape) == (expected.dtype, expected[chosen].shape)
            np.testing.assert_array_equal(taken, expected[chosen])
            taken[:] = 0
        first, again = source.slice(1, 2, writable=False)["x"], source.slice(1, 2, writable=False)["x"]
        assert np.shares_memory(first, again)
        assert not first.flags.writeable
        kept = source.slice(0, 5, writable=False)["x"]
    np.testing.assert_array_equal(kept, expected[:5])


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "bool"])
@pytest.mark.parametrize("inner", [(), (3,), (2, 3)], ids=str)
def test_numbers_that_arrow_stores_as_others_are_plain_too(tmp_path, dtype, inner):
    array = values(dtype, *inner)
    with written(tmp_path / "a", to_arrow(array), (5,)) as source:
        for columns, rows in [(source.slice(1, 8), slice(1, 8)), (source.take([9, 0]), [9, 0])]:
            assert type(columns["x"]) is np.ndarray
            assert columns["x"].dtype == dtype
            np.testing.assert_array_equal(columns["x"], array[rows])


NOT_PLAIN = [
    pa.array([f"row {row}" for row in range(ROWS)]),
    pa.array(values("bool")),
    pa.array(values("int64"), pa.timestamp("us")),
    pa.array(values("int32"), pa.date32()),
    pa.array([1.0, None] * (ROWS // 2)),
    pa.array(values("int32")).dictionary_encode(),
    pa.array([[1.0] * row for row in range(ROWS)]),
    pa.array([[1.0, None]] * ROWS, pa.list_(pa.float64(), 2)),
    to_arrow(values(ml_dtypes.bfloat16, 3)),
    pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float32(), (2, 3), permutation=[1, 0]), lists(values("float32", 6))
    ),
]


@pytest.mark.parametrize("column", NOT_PLAIN, ids=lambda column: str(column.type).partition("[")[0][:30])
def test_what_numpy_cannot_hold_stays_in_arrow(tmp_path, column):
    for source in (written(tmp_path / "a", column, (5,)), open_source({"x": column}, nulls="keep")):
        with source:
            assert source.specs["x"].kind == "arrow"
            assert not source.specs["x"].writable
            for columns, rows in [(source.slice(0, 3), range(3)), (source.take([2, 0, 7]), [2, 0, 7])]:
                assert isinstance(columns["x"], pa.Array)
                assert columns["x"].to_pylist() == [column[row].as_py() for row in rows]


def test_each_column_by_itself(tmp_path):
    with open_sink(tmp_path / "a.arrow") as sink:
        sink.write({"x": values("float32", 4), "name": pa.array(["a"] * ROWS)})
    columns = open_source(tmp_path / "a.arrow").slice(0, 3, writable=False)
    assert {name: type(column) for name, column in columns.items()} == {"x": np.ndarray, "name": pa.StringArray}
    assert list(open_source(tmp_path / "a.arrow", columns=["x"]).slice(0, 3, writable=False)) == ["x"]


def test_rows_of_two_pieces_are_put_together(tmp_path):
    with written(tmp_path / "a", pa.array(values("float32")), (5, 5)) as source:
        for start, stop in [(4, 6), (0, ROWS), (3, 3)]:
            np.testing.assert_array_equal(source.slice(start, stop, writable=False)["x"], values("float32")[start:stop])
        for start, stop in [(5, 2), (-1, 3), (10, ROWS + 1)]:
            with pytest.raises(ValueError, match="start"):
                source.slice(start, stop, writable=False)


def test_a_file_that_changes_or_is_closed(tmp_path):
    source = written(tmp_path / "a", pa.array(values("float32")))
    source.slice(0, 3, writable=False)
    with (tmp_path / "a").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(DataError, match="changed"):
        source.slice(0, 3, writable=False)
    source.close()
    with pytest.raises(ValueError, match="closed"):
        source.slice(0, 3, writable=False)


@pytest.mark.parametrize("suffix", ["parquet", "npy", "npz", "arrow", "arrows"])
def test_all_formats(tmp_path, suffix):
    with open_sink(tmp_path / f"a.{suffix}") as sink:
        sink.write({"x": values("float32", 4)})
    with open_source(tmp_path / f"a.{suffix}") as source:
        (spec,) = source.specs.values()
        assert (spec.kind, spec.writable) == ("numpy", True)
        for columns, rows in [
            (source.slice(2, 5, writable=False), slice(2, 5)),
            (source.take([4, 1]), [4, 1]),
            (source.read(), slice(None)),
            (next(source.chunks(7)), slice(7)),
            (source.slice(0, 0), slice(0)),
        ]:
            (column,) = columns.values()
            assert type(column) is np.ndarray
            np.testing.assert_array_equal(column, values("float32", 4)[rows])


@pytest.mark.parametrize("number", range(3))
def test_a_folder_whose_files_differ_in_nulls(tmp_path, number):
    """Where one file has nulls, which are kept, the column is Arrow's in all of them."""
    for each in range(3):
        column = pa.array([each + 0.5, None if each == number else 7.0])
        pq.write_table(pa.table({"x": column, "y": [each, each]}), tmp_path / f"{each}.parquet")
    expected = [value for each in range(3) for value in (each + 0.5, None if each == number else 7.0)]
    with open_source(tmp_path, nulls="keep") as source:
        assert {name: spec.kind for name, spec in source.specs.items()} == {"x": "arrow", "y": "numpy"}
        for columns, rows in [
            *((source.slice(row, row + 1), [row]) for row in range(6)),
            (source.slice(1, 5), range(1, 5)),
            (source.slice(3, 3), []),
            (source.take([5, 0, 3]), [5, 0, 3]),
            (source.take([2]), [2]),
            (source.take([]), []),
            *zip(source.chunks(2), [[0, 1], [2, 3], [4, 5]], strict=True),
        ]:
            assert isinstance(columns["x"], pa.Array)
            assert columns["x"].to_pylist() == [expected[row] for row in rows]
            assert columns["y"].tolist() == [row // 2 for row in rows]
    with pytest.raises(DataError, match="1 null, the first in row 1"):
        open_source(tmp_path)


@pytest.mark.parametrize("nulls", ["error", "keep"])
def test_nulls_where_the_file_declares_none(tmp_path, nulls, monkeypatch):
    from bridgeflow.io.formats import parquet

    lists_of_two = pa.array([[1.0, 2.0], [3.0, None]], pa.list_(pa.float64(), 2))
    pq.write_table(pa.table({"x": pa.array([1.0, None]), "y": lists_of_two}), tmp_path / "a.parquet")
    monkeypatch.setattr(parquet, "null_counts", lambda groups: {"x": 0, "y.list.element": 0})
    for name in ("x", "y"):
        with open_source(tmp_path / "a.parquet", columns=[name], nulls=nulls) as source:
            assert source.slice(0, 1)[name].tolist() in ([1.0], [[1.0, 2.0]])
            with pytest.raises(DataError, match=f"'{name}': 1 null, the first in row 1"):
                source.take([1, 0])
            with pytest.raises(DataError, match=f"'{name}': 1 null, the first in row 1"):
                source.read()


def test_a_folder_shows_what_lies_in_one_file(tmp_path):
    for number in range(3):
        with open_sink(tmp_path / f"{number}.arrow") as sink:
            sink.write({"x": values("float32", 4) + number})
    whole = np.concatenate([values("float32", 4) + number for number in range(3)])
    with open_source(tmp_path) as source:
        for start, stop in [(ROWS, ROWS + 3), (2 * ROWS - 1, 2 * ROWS), (ROWS - 1, ROWS + 1)]:
            np.testing.assert_array_equal(source.slice(start, stop, writable=False)["x"], whole[start:stop])
        one, other = (source.slice(ROWS, ROWS + 3, writable=False)["x"] for _ in range(2))
        assert np.shares_memory(one, other)
        np.testing.assert_array_equal(source.take([0])["x"], whole[:1])


def test_large_pieces_are_maps_of_their_own(tmp_path):
    rows = np.random.default_rng(0).standard_normal((5, COPIED_BELOW // 4))
    with open_sink(tmp_path / "a.arrow") as sink:
        sink.write({"x": rows})
    before = (tmp_path / "a.arrow").read_bytes()
    with open_source(tmp_path / "a.arrow") as source:
        for start in range(4):
            own = source.slice(start, start + 1)["x"]
            np.testing.assert_array_equal(own[0], rows[start])
            own[:] = 0
        np.testing.assert_array_equal(source.slice(0, 1, writable=False)["x"][0], rows[0])
    assert (tmp_path / "a.arrow").read_bytes() == before


@pytest.mark.parametrize(
    ("indices", "error"), [([0, ROWS], IndexError), ([-1], IndexError), ([0.5], TypeError), ([[1]], TypeError)]
)
def test_rows_that_there_are_not(tmp_path, indices, error):
    with written(tmp_path / "a", pa.array(values("float32"))) as source:
        with pytest.raises(error):
            source.take(indices)
        assert source.take([])["x"].shape == (0,)


LOWPASS = SignalFilter(keys=("x",), design="butter", cutoff=10.0, order=2, fs=100.0)


@pytest.mark.parametrize("kind", ["torch", "numpy"])
@pytest.mark.parametrize("nulls", ["error", "mask"])
@pytest.mark.parametrize("transform", [None, LOWPASS, replace(LOWPASS, keys="*")], ids=["none", "one", "all"])
@pytest.mark.parametrize("rows", [range(3, 9), [7, 0, 7, 11], range(3, 8)[::-1]], ids=str)
def test_a_dataset_gives_the_same_while_it_is_traced(tmp_path, kind, nulls, transform, rows):
    with open_sink(tmp_path / "a.arrow") as sink:
        sink.write({"x": values("float32", 2, 50), "y": values("int16", 30)})
    dataset = SignalDataset(tmp_path / "a.arrow", transform, kind=kind, nulls=nulls)
    short = dataset.batch(rows)
    with trace() as crossings:
        long = dataset.batch(rows)
    assert crossings or kind == "numpy"
    assert list(short) == list(long)
    for name in short:
        assert type(short[name]) is type(long[name]) is (torch.Tensor if kind == "torch" else np.ndarray)
        assert short[name].dtype == long[name].dtype
        np.testing.assert_array_equal(np.asarray(short[name]), np.asarray(long[name]))
        short[name][:] = 0
    for name, again in dataset.batch(rows).items():
        np.testing.assert_array_equal(np.asarray(again), np.asarray(long[name]))
