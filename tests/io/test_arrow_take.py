"""Every Arrow type, in memory and in every file that can hold it: rows in file order, in any other, and in batches."""

import datetime
from contextlib import nullcontext, suppress
from decimal import Decimal
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc

from bridgeflow import SignalDataset
from bridgeflow.errors import DataError, NoRoute, NotSupported
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.arrow_take import no_rows, take

NOON = datetime.datetime(2020, 1, 2, 12)
TEXT = ["a", "longer than twelve bytes", "", "b", "c", "d"]
LISTS = [[1], [2, 3], [], [4, 5, 6], [7], [8, 9]]
PLACES = pa.array([0, 1, 0, 2, 1, 0], pa.int8())


def runs(values):
    return pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 6], pa.int32()), values)


def union(second, mode):
    codes = pa.array([0, 1, 0, 1, 0, 1], pa.int8())
    if mode == "sparse":
        return pa.UnionArray.from_sparse(codes, [pa.array(range(6)), second])
    return pa.UnionArray.from_dense(codes, pa.array([0, 0, 1, 1, 2, 2], pa.int32()), [pa.array([1, 2, 3]), second[:3]])


VALUES = {
    "int64": pa.array([10, 20, 30]),
    "float16": pa.array(np.array([1, 2, 3], "float16")),
    "decimal": pa.array([Decimal("1.5"), Decimal("2.5"), Decimal("3.5")]),
    "timestamp": pa.array([NOON] * 3),
    "string": pa.array(["x", "y", "z"]),
    "large_string": pa.array(["x", "y", "z"], pa.large_string()),
    "string_view": pa.array(["x", "a text of more than twelve bytes", "z"], pa.string_view()),
    "binary_view": pa.array([b"x", b"y", b"z"], pa.binary_view()),
    "list": pa.array([[1], [2, 3], []]),
    "fixed_size_list": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int8(), 2)),
    "struct": pa.array([{"a": 1}, {"a": 2}, {"a": 3}]),
    "struct of views": pa.array([{"a": "x"}, {"a": "y"}, {"a": "z"}], pa.struct([("a", pa.string_view())])),
}
ARRAYS = {
    "null": pa.nulls(6),
    "bool": pa.array([True, False, None] * 2),
    **{
        f"{kind}{bits}": pa.array(np.arange(6).astype(f"{kind}{bits}"))
        for kind, bits in [*product(["int", "uint"], [8, 16, 32, 64]), *product(["float"], [16, 32, 64])]
    },
    **{str(type): pa.array(TEXT, type) for type in (pa.string(), pa.large_string(), pa.string_view())},
    **{str(type): pa.array(map(str.encode, TEXT), type) for type in (pa.binary(), pa.large_binary(), pa.binary_view())},
    "views with nulls": pa.array([None, *TEXT[1:5], None], pa.string_view()),
    "fixed_size_binary": pa.array([b"abc"] * 6, pa.binary(3)),
    **{
        str(type): pa.array([Decimal("1.5")] * 6, type)
        for type in (pa.decimal32(5, 2), pa.decimal64(10, 2), pa.decimal128(20, 2), pa.decimal256(50, 2))
    },
    **{f"timestamp {unit}": pa.array([NOON] * 6, pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")},
    **{f"duration {u}": pa.array([datetime.timedelta(1)] * 6, pa.duration(u)) for u in ("s", "ms", "us", "ns")},
    "timestamp with zone": pa.array([NOON] * 6, pa.timestamp("us", "Europe/Berlin")),
    "date32": pa.array([NOON.date()] * 6, pa.date32()),
    "date64": pa.array([NOON.date()] * 6, pa.date64()),
    "time32": pa.array([NOON.time()] * 6, pa.time32("ms")),
    "time64": pa.array([NOON.time()] * 6, pa.time64("ns")),
    "interval": pa.array([pa.MonthDayNano([1, 2, i]) for i in range(6)], pa.month_day_nano_interval()),
    **{
        str(type): pa.array(LISTS, type)
        for type in (
            pa.list_(pa.int32()),
            pa.large_list(pa.int32()),
            pa.list_view(pa.int32()),
            pa.large_list_view(pa.int32()),
        )
    },
    "fixed_size_list": pa.array([[i, i + 1] for i in range(6)], pa.list_(pa.int16(), 2)),
    "fixed_size_list with nulls": pa.array([[i, i + 1] if i % 2 else None for i in range(6)], pa.list_(pa.int16(), 2)),
    "list of views": pa.array([["a"], None, [], ["c", None], ["d"], [TEXT[1]]], pa.list_(pa.string_view())),
    "large_list of views": pa.array([["a"], None, [], ["c", None], ["d"], ["e"]], pa.large_list(pa.string_view())),
    "list_view of views": pa.array([["a"], None, [], ["c", None], ["d"], ["e"]], pa.list_view(pa.string_view())),
    "fixed_size_list of views": pa.array([["a", "b"], None, ["c", None]] * 2, pa.list_(pa.string_view(), 2)),
    "map": pa.array([[("k", i)] for i in range(6)], pa.map_(pa.string(), pa.int32())),
    "map of views": pa.array(
        [[("k", "v")], None, [], [("a", "b"), ("c", None)], [("d", "e")], [("f", "g")]],
        pa.map_(pa.string_view(), pa.string_view()),
    ),
    "struct": pa.array([{"a": i, "b": "x" * i} if i else None for i in range(6)]),
    "struct of views": pa.array(
        [{"a": "x" * i} if i else None for i in range(6)], pa.struct([("a", pa.string_view())])
    ),
    "struct of lists": pa.array([{"a": {"b": [i]}} for i in range(6)]),
    **{f"{mode} union": union(pa.array(TEXT), mode) for mode in ("dense", "sparse")},
    **{f"{mode} union of views": union(pa.array(TEXT, pa.string_view()), mode) for mode in ("dense", "sparse")},
    **{f"dictionary of {name}": pa.DictionaryArray.from_arrays(PLACES, values) for name, values in VALUES.items()},
    "dictionary with nulls": pa.DictionaryArray.from_arrays(pa.array([0, None, 0, 2, 1, 0]), VALUES["string_view"]),
    "dictionary of uint32": pa.DictionaryArray.from_arrays(PLACES.cast(pa.uint32()), VALUES["string"]),
    **{f"runs of {name}": runs(values) for name, values in VALUES.items()},
    "runs of dictionary": runs(VALUES["string"].dictionary_encode()),
    "runs with nulls": runs(pa.array([1, None, 3])),
    "list of runs": pa.ListArray.from_arrays(pa.array(range(7), pa.int32()), runs(VALUES["int64"])),
    "struct of runs": pa.StructArray.from_arrays([runs(VALUES["string"])], ["r"]),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(range(16))] * 6, pa.binary(16))),
    "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"] * 6)),
    "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1] * 3, pa.int8())),
    "opaque": pa.ExtensionArray.from_storage(pa.opaque(pa.string_view(), "a", "b"), pa.array(TEXT, pa.string_view())),
    "tensor": pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(24.0).reshape(6, 2, 2)),
}


@pytest.mark.parametrize("name", ARRAYS)
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_rows_in_any_order(name, data):
    start = data.draw(st.integers(0, 5))
    column = ARRAYS[name][start : data.draw(st.integers(start, 6))]
    chosen = data.draw(st.lists(st.integers(0, len(column) - 1), max_size=9)) if len(column) else []
    taken = take(column, np.array(chosen, np.int64))
    taken.validate(full=True)
    assert taken.type == column.type
    values = column.to_pylist()
    assert taken.to_pylist() == [values[index] for index in chosen]


@pytest.mark.parametrize("name", ARRAYS)
def test_a_column_without_rows(name):
    column = no_rows(ARRAYS[name].type)
    column.validate(full=True)
    assert (len(column), column.type) == (0, ARRAYS[name].type)


def put(place, table, folder):
    """The table in memory or in a file; `None` where pyarrow cannot write it."""
    if place == "table":
        return table
    if place == "arrays":
        return {name: table.column(name).combine_chunks() for name in table.column_names}
    path = folder / f"a.{place}"
    if place == "parquet":
        try:
            pq.write_table(table, path, row_group_size=4)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError):
            return None
        return path
    with (ipc.new_stream if place == "arrows" else ipc.new_file)(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=4)
    return path


@pytest.mark.parametrize("place", ["table", "arrays", "arrow", "arrows", "parquet"])
@pytest.mark.parametrize("name", ARRAYS)
def test_every_type_in_every_place(tmp_path, name, place):
    column = ARRAYS[name]
    source = put(place, pa.table({"x": np.arange(6), "c": column}), tmp_path)
    if source is None:
        pytest.skip("pyarrow does not write it")
    expected = column.to_pylist()
    with open_source(source, nulls="keep") as opened:
        for rows, columns in [
            (range(6), opened.read()),
            (range(1, 6), opened.slice(1, 6)),
            (range(1, 3), opened.slice(1, 3, writable=False)),
            ([5, 0, 3, 3], opened.take([5, 0, 3, 3])),
            ([], opened.take([])),
            *zip([range(4), range(4, 6)], opened.chunks(4), strict=True),
        ]:
            chosen = [expected[row] for row in rows]
            if isinstance(columns["c"], pa.Array):
                assert columns["c"].to_pylist() == chosen
            else:  # pyarrow's lists of a tensor are flat
                np.testing.assert_array_equal(columns["c"], np.reshape(chosen, columns["c"].shape))
    has_nulls = column.null_count or any(value is None for value in expected)
    with suppress(DataError, NoRoute) if has_nulls else nullcontext():  # which not every file tells beforehand
        dataset = SignalDataset(source, ragged="list", kind="numpy")
        assert len(dataset.batch([5, 0, 3])["c"]) == 3
        dataset[4]


@pytest.mark.parametrize("format", ["parquet", "arrow", "arrow_stream", "npz", "npy", "wav"])
@pytest.mark.parametrize("name", ARRAYS)
def test_every_type_is_written_or_refused_by_name(tmp_path, name, format):
    column = ARRAYS[name]
    options = {"format": format, "settings": {"fs": 8}, "normalize": False if format == "wav" else None}
    try:
        with open_sink(tmp_path / "a", **options) as sink:
            sink.write({"c": column[:4]})
            sink.write({"c": column[4:]})
    except DataError as error:
        said = str(error)
    else:
        with open_source(tmp_path / "a", format=format, nulls="keep") as source:
            assert source.rows == 6
        return
    assert said.isprintable()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("suffix", ["arrow", "arrows"])
def test_dictionaries_of_dictionaries_are_not_written(tmp_path, suffix):
    """pyarrow writes them so that no reader can read them."""
    inner = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array(["p", "q"]))
    with pytest.raises(NotSupported, match="dictionary of dictionaries"), open_sink(tmp_path / f"a.{suffix}") as sink:
        sink.write({"c": pa.DictionaryArray.from_arrays(PLACES, inner)})


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "arrows"])
@pytest.mark.parametrize("width", [1, (1 << 20) + 1, (1 << 21) + 3])
def test_rows_of_any_length(tmp_path, suffix, width):
    """Also those that are longer than a row group or record batch of ours is to be."""
    values = np.random.default_rng(0).integers(0, 256, (3, width)).astype("uint8").view("uint8").astype("float64")
    path = tmp_path / f"x.{suffix}"
    with open_sink(path) as sink:
        sink.write({"ecg": values[:2]})
        sink.write({"ecg": values[2:]})
    with open_source(path) as source:
        read = source.read()["ecg"]
        assert np.array_equal(read.reshape(3, width), values)
        taken = source.take([2, 0])["ecg"]
        assert np.array_equal(taken.reshape(2, width), values[[2, 0]])


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "arrows"])
def test_rows_without_values(tmp_path, suffix):
    """Parquet as pyarrow reads it has no place for them, which is said when they are written."""
    path = tmp_path / f"x.{suffix}"
    with pytest.raises(NotSupported, match="without values") if suffix == "parquet" else nullcontext():
        with open_sink(path) as sink:
            sink.write({"ecg": np.zeros((3, 0))})
        with open_source(path) as source:
            assert source.read()["ecg"].shape == (3, 0)
            assert source.take([2, 0])["ecg"].shape == (2, 0)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "arrows"])
def test_rows_of_more_values_than_arrow_counts_are_refused(tmp_path, suffix):
    row = np.broadcast_to(np.uint8(0), (1, 1 << 31))
    with pytest.raises(NotSupported, match="rows of 2,147,483,648 values"), open_sink(tmp_path / f"a.{suffix}") as sink:
        sink.write({"x": row})
