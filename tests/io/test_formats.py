"""What every format owes: compared for all formats of the registry, so that a new one is tested too."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeflow.errors import DataError
from bridgeflow.io import all_formats, open_sink, open_source

NAMES = sorted(all_formats())
NAMED = [name for name in NAMES if name not in {"npy", "wav"}]  # formats that know names
NULLABLE = [name for name in NAMED if name not in ("npz", "webdataset")]  # formats that know nulls, and all settings
DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "int64", "float16", "float32", "float64"]
ROWS = 23
VALUES = np.arange(ROWS, dtype=np.float32) * 0.5 - 3


def as_numpy(column):
    return column if isinstance(column, np.ndarray) else column.to_numpy(zero_copy_only=False)


def write(path, name, columns=None, cut=ROWS, **options):
    columns = {"ecg": VALUES} if columns is None else columns
    rows = len(next(iter(columns.values())))
    options.setdefault("settings", {"fs": 360} if name == "wav" else None)
    with open_sink(path, format=name, **options) as sink:
        for start in range(0, max(rows, 1), cut):
            sink.write({key: column[start : start + cut] for key, column in columns.items()})
    return sink


def read(path, name, **options):
    with open_source(path, format=name, columns=["ecg"], **options) as source:
        return source.read()["ecg"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_was_written_is_read(tmp_path, name, dtype):
    values = np.arange(ROWS).astype(dtype)
    if name == "wav" and dtype not in all_formats()["wav"].writer.dtypes:
        with pytest.raises(DataError, match=f"a wav file has no {dtype} samples; set the sink's `dtype`"):
            write(tmp_path / "a", name, {"ecg": values})
        return
    sink = write(tmp_path / "a", name, {"ecg": values})
    with open_source(tmp_path / "a", format=name, columns=["ecg"]) as source:
        got = as_numpy(source.read()["ecg"])
        assert (source.rows, source.specs["ecg"].dtype, source.specs["ecg"].shape) == (ROWS, dtype, (ROWS,))
    assert got.dtype == values.dtype
    assert np.array_equal(got, values)
    assert sink.rows == ROWS
    assert sink.receipt.nbytes == (tmp_path / "a").stat().st_size


@pytest.mark.parametrize("name", [name for name in NAMES if name != "wav"])
def test_a_batch_of_examples_keeps_its_inner_shape(tmp_path, name):
    batch = np.arange(2 * 3 * 4, dtype=np.float32).reshape(4, 2, 3)
    write(tmp_path / "a", name, {"ecg": batch}, cut=3)
    with open_source(tmp_path / "a", format=name, columns=["ecg"]) as source:
        assert source.specs["ecg"].shape == (4, 2, 3)
        got = source.read()["ecg"]
    got = got if isinstance(got, np.ndarray) else got.to_numpy_ndarray()
    assert np.array_equal(got, batch)


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_are_rows_too(tmp_path, name):
    write(tmp_path / "a", name, {"ecg": VALUES[:0]})
    with open_source(tmp_path / "a", format=name, columns=["ecg"]) as source:
        assert source.rows == 0
        assert len(source.read()["ecg"]) == 0
        assert list(source.chunks(5)) == []


@pytest.mark.parametrize("name", NAMES)
@given(cut=st.integers(1, ROWS), rows=st.integers(1, ROWS + 2), data=st.data())
@settings(max_examples=25, deadline=None)
def test_cuts_change_neither_bytes_nor_values(tmp_path_factory, name, cut, rows, data):
    folder = tmp_path_factory.mktemp("cuts")
    whole = write(folder / "whole", name)
    pieces = write(folder / "pieces", name, cut=cut)
    assert pieces.receipt.sha256 == whole.receipt.sha256
    start = data.draw(st.integers(0, ROWS))
    stop = data.draw(st.integers(start, ROWS))
    with open_source(folder / "pieces", format=name, columns=["ecg"]) as source:
        chunks = [as_numpy(chunk["ecg"]) for chunk in source.chunks(rows, start=start, stop=stop)]
    assert all(len(chunk) == rows for chunk in chunks[:-1])
    assert np.array_equal(np.concatenate([VALUES[:0], *chunks]), VALUES[start:stop])


@pytest.mark.parametrize("name", NAMES)
def test_writing_twice_gives_the_same_bytes(tmp_path, name):
    options = {"settings": {"fs": 360, "b": [1], "a": {"z": 1, "y": 2}}}
    first, second = write(tmp_path / "a", name, **options), write(tmp_path / "b", name, **options)
    assert first.receipt.sha256 == second.receipt.sha256
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_every_prefix_is_refused_or_exact(tmp_path, name):
    write(tmp_path / "a", name, cut=7, settings={"fs": 360})
    whole = (tmp_path / "a").read_bytes()
    path = tmp_path / "prefix"
    for size in range(0, len(whole), 1 + len(whole) // 5000):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="prefix"):
            read(path, name)
    assert np.array_equal(as_numpy(read(tmp_path / "a", name)), VALUES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("junk", [b"\0", b"junk", b"\xff\xff\xff\xff\0\0\0\0"])
def test_what_follows_the_end_is_refused(tmp_path, name, junk):
    write(tmp_path / "a", name)
    with (tmp_path / "a").open("ab") as file:
        file.write(junk)
    with pytest.raises(DataError, match="a: "):
        read(tmp_path / "a", name)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_give_values_or_typed_errors(tmp_path, name):
    """Every single byte changed: nothing but `DataError` comes out, whatever the library below raises."""
    write(tmp_path / "a", name, cut=7, settings={"fs": 360})
    whole = (tmp_path / "a").read_bytes()
    path = tmp_path / "flipped"
    for position in range(0, len(whole), 1 + len(whole) // 5000):
        changed = bytearray(whole)
        changed[position] ^= 0xFF
        path.write_bytes(changed)
        with suppress(DataError):
            read(path, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_another_format_is_named(tmp_path, name):
    other = NAMES[NAMES.index(name) - 1]
    write(tmp_path / "a", other)
    with pytest.raises(DataError, match=f"is not a file of {name}: it begins like {other}; read it as {other}"):
        read(tmp_path / "a", name)


@pytest.mark.parametrize("name", NAMES)
def test_the_suffix_means_the_format(tmp_path, name):
    for suffix in all_formats()[name].suffixes:
        path = tmp_path / f"a{suffix}"
        with open_sink(path, settings={"fs": 360}) as sink:
            sink.write({"ecg": VALUES})
        assert path.read_bytes().startswith(all_formats()[name].magic, all_formats()[name].magic_at)
        with open_source(path, columns=["ecg"]) as source:
            assert source.format.name == name


@pytest.mark.parametrize("name", NAMES)
def test_arrays_outlive_their_source(tmp_path, name):
    write(tmp_path / "a", name)
    source = open_source(tmp_path / "a", format=name, columns=["ecg"])
    column = source.read()["ecg"]
    source.close()
    del source
    assert np.array_equal(as_numpy(column), VALUES)


@pytest.mark.parametrize("name", NAMES)
def test_a_failed_block_leaves_nothing(tmp_path, name):
    def fail_halfway():
        with open_sink(tmp_path / "a", format=name, settings={"fs": 360}) as sink:
            sink.write({"ecg": VALUES})
            raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        fail_halfway()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_other_types_and_columns_midway_are_refused(tmp_path, name):
    def write_then(columns):
        with open_sink(tmp_path / "a", format=name, settings={"fs": 360}) as sink:
            sink.write({"ecg": VALUES})
            sink.write(columns)

    with pytest.raises(DataError, match="write one type"):
        write_then({"ecg": VALUES.astype("int32")})
    with pytest.raises(DataError, match="columns lead after columns ecg"):
        write_then({"lead": VALUES})
    with pytest.raises(DataError, match="'ecg': is str, not an array with rows"):
        write_then({"ecg": "text"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("columns", [{}, {"a": VALUES, "b": VALUES[1:]}])
def test_columns_must_have_one_length(tmp_path, name, columns):
    with pytest.raises(DataError, match="columns of one length"), open_sink(tmp_path / "a", format=name) as sink:
        sink.write(columns)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_written_is_no_file(tmp_path, name):
    with pytest.raises(DataError, match="nothing was written"), open_sink(tmp_path / "a", format=name):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_compression_that_the_format_lacks_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"compression: {name} takes "):
        write(tmp_path / "a", name, compression="gzip")
    for word in all_formats()[name].writer.compressions:
        write(tmp_path / word, name, compression=word)
        assert np.array_equal(as_numpy(read(tmp_path / word, name)), VALUES)


@pytest.mark.parametrize("name", NULLABLE)
def test_settings_travel_with_the_data(tmp_path, name):
    write(tmp_path / "a", name, settings={"fs": 360, "unit": "µV"})
    with open_source(tmp_path / "a", format=name) as source:
        assert source.settings == {"fs": 360, "unit": "µV"}
        assert source.specs["ecg"].fs == 360


@pytest.mark.parametrize("name", NAMED)
def test_columns_are_chosen_and_ordered(tmp_path, name):
    write(tmp_path / "a", name, {"one": VALUES, "two": VALUES + 1, "three": VALUES + 2})
    with open_source(tmp_path / "a", format=name, columns=["three", "one"]) as source:
        assert list(source.specs) == list(source.read()) == ["three", "one"]
        assert [list(chunk) for chunk in source.chunks(ROWS)] == [["three", "one"]]
        assert np.array_equal(as_numpy(source.read()["three"]), VALUES + 2)
    with pytest.raises(DataError, match="column 'thre': no such column; did you mean 'three'") as caught:
        open_source(tmp_path / "a", format=name, columns=["thre"])
    assert caught.value.column == "thre"


@pytest.mark.parametrize("name", NULLABLE)
def test_nulls_are_counted_and_placed(tmp_path, name):
    columns = {"fine": pa.array([[1], [2], [3], [4], [5]]), "ecg": pa.array([1.0, 2.0, None, 4.0, None])}
    with open_sink(tmp_path / "a", format=name) as sink:
        sink.write(columns)
    with pytest.raises(DataError, match="'ecg': 2 nulls, the first in row 2"):
        open_source(tmp_path / "a", format=name)
    with open_source(tmp_path / "a", format=name, nulls="keep") as source:
        assert {column: spec.null_count for column, spec in source.specs.items()}["ecg"] == 2
        assert source.read()["ecg"].null_count == 2
    with open_source(tmp_path / "a", format=name, columns=["fine"]) as source:
        assert source.specs["fine"].null_count == 0


def test_nulls_that_no_statistics_declare_are_found_when_read(tmp_path):
    table = pa.table({"ecg": pa.array([1.0, 2.0, None, 4.0, None])})
    pq.write_table(table, tmp_path / "a.parquet", write_statistics=False)
    with open_source(tmp_path / "a.parquet") as source:
        with pytest.raises(DataError, match="2 nulls, the first in row 2"):
            source.read()
        with pytest.raises(DataError, match="1 null, the first in row 4"):
            list(source.chunks(1, start=3))


@pytest.mark.parametrize("name", NAMES)
def test_positions_out_of_range(tmp_path, name):
    write(tmp_path / "a", name)
    with open_source(tmp_path / "a", format=name) as source:
        for rows, start, stop in [(0, 0, None), (1, -1, None), (1, 3, 2), (1, 0, ROWS + 1)]:
            with pytest.raises(ValueError, match="need rows >= 1"):
                next(source.chunks(rows, start=start, stop=stop))


@pytest.mark.parametrize("name", NAMES)
def test_descriptors_are_closed(tmp_path, name):
    write(tmp_path / "a", name)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        read(tmp_path / "a", name)
        with pytest.raises(DataError, match="exists already"):
            write(tmp_path / "a", name)
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_unknown_format_and_suffix():
    with pytest.raises(ValueError, match="no format 'parket'; did you mean 'parquet'"):
        open_source("a", format="parket")
    with pytest.raises(DataError, match=r"no format has the suffix '.parqet'; .* did you mean '.parquet'"):
        open_source(Path("a.parqet"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_are_written_in_the_type_asked_for(tmp_path, name, dtype):
    """Rounded to the nearest as `np.rint` does, and cut off where the type ends as `np.clip` does, each counted."""
    values = np.array([-7.5, -0.5, 0.5, 2.5, 100.0, 1e6, -1e6, 3e300], np.float64)
    if dtype not in all_formats()[name].writer.dtypes:
        with pytest.raises(ValueError, match=f"dtype: {name} takes "):
            write(tmp_path / "a", name, {"ecg": values}, dtype=dtype)
        return
    kind = np.finfo if dtype.startswith("float") else np.iinfo
    low, high = float(kind(dtype).min), float(kind(dtype).max)
    nearest = values if dtype.startswith("float") else np.rint(values)
    outside = int(((nearest < low) | (nearest > high)).sum())
    if outside:
        with pytest.raises(
            DataError, match=f"'ecg': {outside} values are out of the range of {dtype}, the first in row"
        ):
            write(tmp_path / "a", name, {"ecg": values}, dtype=dtype)
    sink = write(tmp_path / "a", name, {"ecg": values}, dtype=dtype, on_overflow="saturate", cut=3)
    assert sink.saturated == outside
    got = as_numpy(read(tmp_path / "a", name))
    assert got.dtype == dtype
    kept = (nearest >= low) & (nearest <= high)
    assert np.array_equal(got[kept], nearest[kept].astype(dtype))
    assert (got[nearest < low] == kind(dtype).min).all()
    assert (got[nearest > high] == kind(dtype).max).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_no_type_can_hold(tmp_path, name):
    for values, problem in [
        (np.array([1.0, np.nan]), "1 of the values are NaN"),
        (np.array([1j, 2]), "not real numbers"),
    ]:
        with pytest.raises(DataError, match=f"'ecg': cannot be written as int16: .*{problem}"):
            write(tmp_path / "a", name, {"ecg": values}, dtype="int16", on_overflow="saturate")
    with pytest.raises(ValueError, match="on_overflow must be one of 'raise', 'saturate'"):
        write(tmp_path / "a", name, on_overflow="wrap")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_sink_is_not_named_like_another_format(tmp_path, name):
    own = all_formats()[name].suffixes
    others = [suffix for form in all_formats().values() for suffix in form.suffixes if suffix not in own]
    for suffix in others:
        with (
            pytest.raises(DataError, match=f"{suffix} is a suffix of .* files, not of {name}"),
            open_sink(tmp_path / f"out{suffix}", format=name),
        ):
            pass
    assert list(tmp_path.iterdir()) == []
