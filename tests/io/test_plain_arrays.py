"""`slice_arrays` and `take_arrays`: the numbers of `slice` and `take`, or nothing at all."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pyarrow as pa
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


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize(
    "column",
    [
        lambda dtype: pa.array(values(dtype)),
        lambda dtype: pa.FixedShapeTensorArray.from_numpy_ndarray(values(dtype, 2, 3)),
        lambda dtype: lists(values(dtype, 5)),
        lambda dtype: lists(values(dtype, 2, 3)),
    ],
    ids=["numbers", "tensors", "lists", "lists of lists"],
)
def test_numbers_are_seen_where_they_lie(tmp_path, column, dtype):
    with written(tmp_path / "a", column(dtype), (5,)) as source:
        for start, stop in [(0, 5), (1, 3), (5, ROWS), (11, ROWS)]:
            seen, expected = (
                source.slice_arrays(start, stop, writable=False)["x"],
                to_numpy(source.slice(start, stop)["x"]),
            )
            assert (seen.dtype, seen.shape) == (expected.dtype, expected.shape)
            np.testing.assert_array_equal(seen, expected)
            assert not seen.flags.writeable
            own = source.slice_arrays(start, stop)["x"]
            np.testing.assert_array_equal(own, expected)
            own[:] = 0
            assert own.dtype == expected.dtype
            chosen = [stop - 1, 0, start, ROWS - 1, start]
            taken, expected = source.take_arrays(chosen)["x"], to_numpy(source.take(chosen)["x"])
            assert (taken.dtype, taken.shape) == (expected.dtype, expected.shape)
            np.testing.assert_array_equal(taken, expected)
            taken[:] = 0
        first, again = source.slice_arrays(1, 2, writable=False)["x"], source.slice_arrays(1, 2, writable=False)["x"]
        assert np.shares_memory(first, again)
        kept = source.slice_arrays(0, 5, writable=False)["x"]
    np.testing.assert_array_equal(kept.reshape(-1), values(dtype, *kept.shape[1:])[:5].reshape(-1))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([f"row {row}" for row in range(ROWS)]),
        pa.array(values("bool")),
        pa.array(values("int64"), pa.timestamp("us")),
        pa.array(values("int32"), pa.date32()),
        pa.array([1.0, None] * (ROWS // 2)),
        pa.array(values("int32")).dictionary_encode(),
        pa.array([[1.0] * row for row in range(ROWS)]),
        pa.array([[1.0, None]] * ROWS, pa.list_(pa.float64(), 2)),
        to_arrow(values("complex64", 3)),
        to_arrow(values(ml_dtypes.bfloat16, 3)),
        pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.float32(), (2, 3), permutation=[1, 0]), lists(values("float32", 6))
        ),
    ],
    ids=lambda column: str(column.type).partition("[")[0][:30],
)
def test_what_is_more_than_numbers_is_not(tmp_path, column):
    with written(tmp_path / "a", column) as source:
        assert source.slice_arrays(0, 3) is source.take_arrays([2, 0]) is None
        assert len(source.slice(0, 3)["x"]) == 3


def test_one_column_that_is_more_is_enough(tmp_path):
    with open_sink(tmp_path / "a.arrow") as sink:
        sink.write({"x": values("float32", 4), "name": pa.array(["a"] * ROWS)})
    assert open_source(tmp_path / "a.arrow").slice_arrays(0, 3, writable=False) is None
    assert list(open_source(tmp_path / "a.arrow", columns=["x"]).slice_arrays(0, 3, writable=False)) == ["x"]


def test_rows_of_two_pieces_and_no_rows_are_not_seen(tmp_path):
    with written(tmp_path / "a", pa.array(values("float32")), (5, 5)) as source:
        for start, stop in [(4, 6), (0, ROWS), (3, 3), (5, 2), (-1, 3), (10, ROWS + 1)]:
            assert source.slice_arrays(start, stop, writable=False) is None


def test_a_file_that_changes_or_is_closed(tmp_path):
    source = written(tmp_path / "a", pa.array(values("float32")))
    source.slice_arrays(0, 3, writable=False)
    with (tmp_path / "a").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(DataError, match="changed"):
        source.slice_arrays(0, 3, writable=False)
    source.close()
    with pytest.raises(ValueError, match="closed"):
        source.slice_arrays(0, 3, writable=False)


@pytest.mark.parametrize("suffix", ["parquet", "npy", "npz", "arrows"])
def test_other_formats(tmp_path, suffix):
    with open_sink(tmp_path / f"a.{suffix}") as sink:
        sink.write({"x": values("float32", 4)})
    with open_source(tmp_path / f"a.{suffix}") as source:
        seen = source.slice_arrays(2, 5, writable=False)
        assert (seen is not None) == (suffix == "arrows")
        if seen:
            np.testing.assert_array_equal(next(iter(seen.values())), values("float32", 4)[2:5])


def test_a_folder_shows_what_lies_in_one_file(tmp_path):
    for number in range(3):
        with open_sink(tmp_path / f"{number}.arrow") as sink:
            sink.write({"x": values("float32", 4) + number})
    with open_source(tmp_path) as source:
        np.testing.assert_array_equal(
            source.slice_arrays(ROWS, ROWS + 3, writable=False)["x"], values("float32", 4)[:3] + 1
        )
        np.testing.assert_array_equal(
            source.slice_arrays(2 * ROWS - 1, 2 * ROWS, writable=False)["x"], values("float32", 4)[-1:] + 1
        )
        assert source.slice_arrays(ROWS - 1, ROWS + 1, writable=False) is None
        assert source.take_arrays([0]) is None


def test_large_pieces_are_maps_of_their_own(tmp_path):
    rows = np.random.default_rng(0).standard_normal((5, COPIED_BELOW // 4))
    with open_sink(tmp_path / "a.arrow") as sink:
        sink.write({"x": rows})
    before = (tmp_path / "a.arrow").read_bytes()
    with open_source(tmp_path / "a.arrow") as source:
        for start in range(4):
            own = source.slice_arrays(start, start + 1)["x"]
            np.testing.assert_array_equal(own[0], rows[start])
            own[:] = 0
        np.testing.assert_array_equal(source.slice_arrays(0, 1, writable=False)["x"][0], rows[0])
    assert (tmp_path / "a.arrow").read_bytes() == before


@pytest.mark.parametrize(
    ("indices", "error"), [([0, ROWS], IndexError), ([-1], IndexError), ([0.5], TypeError), ([[1]], TypeError)]
)
def test_rows_that_there_are_not(tmp_path, indices, error):
    with written(tmp_path / "a", pa.array(values("float32"))) as source:
        with pytest.raises(error):
            source.take_arrays(indices)
        assert source.take_arrays([]) is None


LOWPASS = SignalFilter(keys=("x",), design="butter", cutoff=10.0, order=2, fs=100.0)


@pytest.mark.parametrize("kind", ["torch", "numpy"])
@pytest.mark.parametrize("nulls", ["error", "mask"])
@pytest.mark.parametrize("transform", [None, LOWPASS, replace(LOWPASS, keys="*")], ids=["none", "one", "all"])
@pytest.mark.parametrize("rows", [range(3, 9), [7, 0, 7, 11], range(3, 8)[::-1]], ids=str)
def test_a_dataset_gives_the_same_by_the_long_way(tmp_path, kind, nulls, transform, rows):
    with open_sink(tmp_path / "a.arrow") as sink:
        sink.write({"x": values("float32", 2, 50), "y": values("int16", 30)})
    dataset = SignalDataset(tmp_path / "a.arrow", transform, kind=kind, nulls=nulls)
    short = dataset.batch(rows)
    with trace() as crossings:
        long = dataset.batch(rows)
    assert crossings or (kind, nulls) == ("numpy", "error")
    assert list(short) == list(long)
    for name in short:
        assert type(short[name]) is type(long[name]) is (torch.Tensor if kind == "torch" else np.ndarray)
        assert short[name].dtype == long[name].dtype
        np.testing.assert_array_equal(np.asarray(short[name]), np.asarray(long[name]))
        short[name][:] = 0
    for name, again in dataset.batch(rows).items():
        np.testing.assert_array_equal(np.asarray(again), np.asarray(long[name]))
