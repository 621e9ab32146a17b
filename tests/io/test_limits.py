"""What a few bytes may become: files that blow up are refused before they do, whatever the trick is."""

import time
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from bridgeflow import SignalDataset
from bridgeflow.errors import DataError
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.arrow_take import referenced_nbytes, take

ROWS = 80 << 20  # 640 MiB of float64
LIMIT = r"become [\d,]+, more than the [\d,]+ that are allowed; if that is meant, open it with max_nbytes="


def npz(path):
    np.savez_compressed(path.with_suffix(".npz"), x=np.zeros(ROWS))
    return path.with_suffix(".npz")


def compressed_arrow(path, new=ipc.new_file):
    batch = pa.record_batch({"x": np.zeros(ROWS)})
    with new(path, batch.schema, options=ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    return path


def parquet_runs(path):
    pq.write_table(pa.table({"x": np.zeros(ROWS)}), path.with_suffix(".parquet"), compression="none")
    return path.with_suffix(".parquet")


def parquet_lists(path):
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(ROWS)), 1 << 10)
    pq.write_table(pa.table({"x": values}), path.with_suffix(".parquet"), compression="none")
    return path.with_suffix(".parquet")


def run_ends(path):
    column = pa.RunEndEncodedArray.from_arrays(pa.array([ROWS]), pa.array([0.0]))
    return plain_arrow(path, column)


def plain_arrow(path, column):
    with ipc.new_file(path, pa.schema([("x", column.type)])) as writer:
        writer.write_batch(pa.record_batch({"x": column}))
    return path


def shared_text(path):
    column = take(pa.array(["x" * (1 << 20)], pa.string_view()), np.zeros(700, np.int64))
    return plain_arrow(path, column)


def shared_categories(path):
    return plain_arrow(path, pa.DictionaryArray.from_arrays(np.zeros(700, np.int16), pa.array(["x" * (1 << 20)])))


def shared_lists(path):
    values = pa.array(np.zeros(1 << 17))
    offsets, sizes = pa.array(np.zeros(700, "int32")), pa.array(np.full(700, 1 << 17, "int32"))
    return plain_arrow(path, pa.ListViewArray.from_arrays(offsets, sizes, values))


def parquet_texts(path):
    table = pa.table({"x": pa.DictionaryArray.from_arrays(np.zeros(700, np.int16), pa.array(["x" * (1 << 20)]))})
    pq.write_table(table.cast(pa.schema([("x", pa.string())])), path.with_suffix(".parquet"), store_schema=False)
    return path.with_suffix(".parquet")


BOMBS = [
    npz,
    parquet_texts,
    compressed_arrow,
    parquet_runs,
    parquet_lists,
    run_ends,
    shared_text,
    shared_categories,
    shared_lists,
]


@pytest.mark.parametrize("make", BOMBS)
def test_a_few_bytes_do_not_become_a_great_many(tmp_path, make):
    path = make(tmp_path / "bomb.arrow")
    assert path.stat().st_size < 3 << 20
    for read in (lambda: open_source(path).read(), lambda: SignalDataset(path, ragged="list")[0]):
        tracemalloc.start()
        with pytest.raises(DataError, match=LIMIT):
            read()
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
        tracemalloc.stop()


@pytest.mark.parametrize("format", ["npz", "arrow", "parquet", "wav", "npy"])
@pytest.mark.parametrize("rows", [1, 1000])
def test_a_limit_of_ones_own(tmp_path, format, rows):
    path = tmp_path / "a"
    values = np.random.default_rng(0).integers(0, 255, rows).astype("int16")
    with open_sink(path, format=format, settings={"fs": 8}, compression="zstd" if format == "arrow" else None) as sink:
        sink.write({"x": values})
    with open_source(path, format=format, max_nbytes=path.stat().st_size + 4 * rows) as source:
        assert len(next(iter(source.read().values()))) == rows
    with pytest.raises(DataError, match=LIMIT):
        open_source(path, format=format, max_nbytes=rows)
    with pytest.raises(DataError, match=LIMIT):
        SignalDataset(path, format=format, max_nbytes=rows)


def test_what_compresses_well_is_no_bomb(tmp_path):
    """300 MiB of zeros in a few KiB: less than what is allowed to any file."""
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros(300 << 20, np.uint8))
    with open_source(path) as source:
        assert source.rows == 300 << 20


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1"])
def test_a_limit_is_a_number_of_bytes(tmp_path, value):
    with pytest.raises(ValueError, match="max_nbytes"):
        open_source(tmp_path / "a.npy", max_nbytes=value)


@pytest.mark.parametrize(
    ("column", "nbytes"),
    [
        (pa.array(["a", "bc", None]), 0),
        (pa.array(["a", "bc", "d" * 20], pa.string_view()), 23),
        (pa.array(["a", "bc", "d" * 20], pa.string_view())[1:], 22),
        (pa.DictionaryArray.from_arrays(pa.array([0, 1, 1, None]), pa.array(["a", "bcd"])), 1 + 3 + 3 + 1),
        (pa.array([[1, 2], [3]], pa.list_view(pa.int64())), 24),
        (pa.RunEndEncodedArray.from_arrays(pa.array([1000]), pa.array([1.5])), 8000),
        (pa.array([{"a": "x" * 5}], pa.struct([("a", pa.string_view())])), 5),
    ],
)
def test_bytes_that_rows_refer_to(column, nbytes):
    assert referenced_nbytes(column) == nbytes


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_the_time_to_open_grows_with_the_number_of_columns_no_faster(tmp_path, suffix):
    """Ten times as many columns take about ten times as long; quadratic would be a hundred times."""
    took = []
    for count in (500, 5000):
        table = pa.table({f"c{number}": [1.0] for number in range(count)})
        path = tmp_path / f"{count}.{suffix}"
        if suffix == "parquet":
            pq.write_table(table, path)
        else:
            with ipc.new_file(path, table.schema) as writer:
                writer.write_table(table)
        best = float("inf")
        for _ in range(3):
            begun = time.process_time()
            assert len(open_source(path).specs) == count
            best = min(best, time.process_time() - begun)
        took.append(best)
    assert took[1] < 30 * took[0]
