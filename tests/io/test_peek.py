"""`Source.peek`: the numbers of `slice` where a look at the map is enough, and nothing at all elsewhere."""

from __future__ import annotations

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
            seen, expected = source.peek(start, stop)["x"], to_numpy(source.slice(start, stop)["x"])
            assert (seen.dtype, seen.shape) == (expected.dtype, expected.shape)
            np.testing.assert_array_equal(seen, expected)
            assert not seen.flags.writeable
        first, again = source.peek(1, 2)["x"], source.peek(1, 2)["x"]
        assert np.shares_memory(first, again)
        kept = source.peek(0, 5)["x"]
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
        assert source.peek(0, 3) is None
        assert len(source.slice(0, 3)["x"]) == 3


def test_one_column_that_is_more_is_enough(tmp_path):
    with open_sink(tmp_path / "a.arrow") as sink:
        sink.write({"x": values("float32", 4), "name": pa.array(["a"] * ROWS)})
    assert open_source(tmp_path / "a.arrow").peek(0, 3) is None
    assert list(open_source(tmp_path / "a.arrow", columns=["x"]).peek(0, 3)) == ["x"]


def test_rows_of_two_pieces_and_no_rows_are_not_seen(tmp_path):
    with written(tmp_path / "a", pa.array(values("float32")), (5, 5)) as source:
        for start, stop in [(4, 6), (0, ROWS), (3, 3), (5, 2), (-1, 3), (10, ROWS + 1)]:
            assert source.peek(start, stop) is None


def test_a_file_that_changes_or_is_closed(tmp_path):
    source = written(tmp_path / "a", pa.array(values("float32")))
    source.peek(0, 3)
    with (tmp_path / "a").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(DataError, match="changed"):
        source.peek(0, 3)
    source.close()
    with pytest.raises(ValueError, match="closed"):
        source.peek(0, 3)


@pytest.mark.parametrize("suffix", ["parquet", "npy", "npz", "arrows"])
def test_other_formats(tmp_path, suffix):
    with open_sink(tmp_path / f"a.{suffix}") as sink:
        sink.write({"x": values("float32", 4)})
    with open_source(tmp_path / f"a.{suffix}") as source:
        seen = source.peek(2, 5)
        assert (seen is not None) == (suffix == "arrows")
        if seen:
            np.testing.assert_array_equal(next(iter(seen.values())), values("float32", 4)[2:5])


def test_a_folder_shows_what_lies_in_one_file(tmp_path):
    for number in range(3):
        with open_sink(tmp_path / f"{number}.arrow") as sink:
            sink.write({"x": values("float32", 4) + number})
    with open_source(tmp_path) as source:
        np.testing.assert_array_equal(source.peek(ROWS, ROWS + 3)["x"], values("float32", 4)[:3] + 1)
        np.testing.assert_array_equal(source.peek(2 * ROWS - 1, 2 * ROWS)["x"], values("float32", 4)[-1:] + 1)
        assert source.peek(ROWS - 1, ROWS + 1) is None


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_a_dataset_gives_the_same_by_the_long_way(tmp_path, kind):
    with open_sink(tmp_path / "a.arrow") as sink:
        sink.write({"x": values("float32", 2, 50)})
    lowpass = SignalFilter(design="butter", cutoff=10.0, order=2, fs=100.0)
    dataset = SignalDataset(tmp_path / "a.arrow", lowpass, kind=kind)
    short = dataset.batch(range(3, 9))["x"]
    with trace() as crossings:
        long = dataset.batch(range(3, 9))["x"]
    assert crossings
    assert type(short) is type(long) is (torch.Tensor if kind == "torch" else np.ndarray)
    np.testing.assert_array_equal(np.asarray(short), np.asarray(long))
    short[:] = 0
    np.testing.assert_array_equal(np.asarray(dataset.batch(range(3, 9))["x"]), np.asarray(long))
