"""Parquet beyond the common contract: checksums, row groups, foreign files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bridgeflow.bridge import to_numpy, to_tensor
from bridgeflow.errors import DataError, NoRoute, NotSupported
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.formats import parquet
from bridgeflow.io.opened import open_file
from bridgeflow.io.options import OpenOptions


def test_pages_carry_checksums_that_find_every_flip_in_the_values(tmp_path):
    values = np.random.default_rng(7).normal(size=2000)
    with open_sink(tmp_path / "a.parquet", compression="none") as sink:
        sink.write({"ecg": values})
    whole = (tmp_path / "a.parquet").read_bytes()
    needle = values[1000:1100].tobytes()
    assert needle in whole
    for position in range(whole.index(needle), whole.index(needle) + len(needle), 37):
        changed = bytearray(whole)
        changed[position] ^= 1
        (tmp_path / "flipped.parquet").write_bytes(changed)
        with open_source(tmp_path / "flipped.parquet") as source, pytest.raises(DataError, match="CRC checksum"):
            source.read()


def test_chunks_start_at_the_row_group_that_holds_them(tmp_path):
    values = np.arange(1000)
    pq.write_table(pa.table({"ecg": values}), tmp_path / "a.parquet", row_group_size=100)
    with open_source(tmp_path / "a.parquet") as source:
        got = [chunk["ecg"] for chunk in source.chunks(64, start=250, stop=777)]
    assert np.array_equal(np.concatenate(got), values[250:777])


def test_reading_in_chunks_takes_constant_memory(tmp_path):
    rows = 4_000_000
    pq.write_table(pa.table({"ecg": np.arange(rows, dtype=np.float64)}), tmp_path / "a.parquet", use_dictionary=False)
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    peak = total = 0
    with open_source(tmp_path / "a.parquet") as source:
        for chunk in source.chunks(50_000):
            peak = max(peak, pool.bytes_allocated() - before)
            total += len(chunk["ecg"])
    assert total == rows
    assert peak < 8 * rows / 4


def test_a_declared_size_beyond_the_machine_is_refused_before_allocating(tmp_path):
    rows = 1 << 20
    column = pa.repeat(pa.scalar(0.0), rows)
    with pq.ParquetWriter(tmp_path / "a.parquet", pa.schema({"ecg": pa.float64()})) as writer:
        writer.write_table(pa.table({"ecg": column}))
    with open_source(tmp_path / "a.parquet") as source:
        source.rows = source._reader.rows = 1 << 50
        source.specs = {"ecg": source.specs["ecg"].with_time(1 << 50)}
        with pytest.raises(DataError, match="need 8,388,608 GiB where this machine has"):
            source.read()


def test_unknown_extension_types_are_refused_also_when_nested(tmp_path):
    plain = pa.field("x", pa.int32(), metadata={"ARROW:extension:name": "foreign.type", "ARROW:extension:metadata": ""})
    nested = pa.field("ecg", pa.list_(plain))
    for field, column in [(plain, pa.array([1], pa.int32())), (nested, pa.array([[1]], nested.type))]:
        pq.write_table(pa.table([column], schema=pa.schema([field])), tmp_path / "a.parquet")
        with pytest.raises(DataError, match=r"unknown extension type 'foreign\.type'"):
            open_source(tmp_path / "a.parquet")


def test_two_columns_of_one_name_are_refused(tmp_path):
    pq.write_table(pa.table([[1], [2]], names=["ecg", "ecg"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="2 columns of this name"):
        open_source(tmp_path / "a.parquet")


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"fs": -1}', b'{"fs": "360"}', b'{"fs": NaN}', b"[" * 100_000])
def test_settings_that_are_not_ours_are_refused(tmp_path, text):
    schema = pa.schema({"ecg": pa.int32()}, metadata={"bridgeflow": text})
    pq.write_table(pa.table({"ecg": pa.array([1], pa.int32())}, schema=schema), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="holds no settings of ours"):
        open_source(tmp_path / "a.parquet")


FOREIGN = {
    "number": pa.array(np.random.default_rng(1).normal(size=5000)),
    "few": pa.array(np.arange(5000) % 3),
    "gaps": pa.array([None if i % 7 == 0 else i for i in range(5000)]),
    "text": pa.array([f"text {i % 100}" * (i % 3) for i in range(5000)]),
    "long": pa.array(["x" * 3000, "y" * 3000] * 2500),
    "lists": pa.array([list(range(i % 5)) for i in range(5000)]),
    "flags": pa.array(np.arange(5000) % 2 == 0),
    "fixed": pa.FixedSizeListArray.from_arrays(np.arange(10_000, dtype="float32"), 2),
    "nested": pa.array([{"a": i, "b": [i]} for i in range(5000)]),
    "nothing": pa.nulls(5000),
}


def assert_same(column, expected):
    if isinstance(column, np.ndarray):
        np.testing.assert_array_equal(column, to_numpy(expected), strict=True)
    else:
        assert column.equals(expected.combine_chunks())


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "brotli", "lz4", "zstd"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dictionary": False, "data_page_size": 1 << 10},
        {"row_group_size": 777, "write_page_index": True, "write_page_checksum": True},
        {"use_dictionary": False, "column_encoding": {"number": "BYTE_STREAM_SPLIT", "few": "DELTA_BINARY_PACKED"}},
        {"write_statistics": False, "store_schema": False},
    ],
    ids=["plain", "small pages", "groups", "encodings", "bare"],
)
def test_what_others_write_is_not_taken_for_damaged(tmp_path, version, compression, options):
    table = pa.table(FOREIGN)
    pq.write_table(table, tmp_path / "a.parquet", data_page_version=version, compression=compression, **options)
    expected = pq.read_table(tmp_path / "a.parquet")
    with open_source(tmp_path / "a.parquet", nulls="keep") as source:
        for name, column in source.read().items():
            assert_same(column, expected[name])
        rows = source.slice(770, 1600)
        for name, column in rows.items():
            assert_same(column, expected[name].slice(770, 830))


def test_nulls_by_our_own_look_at_the_footer(tmp_path):
    """Judged by pyarrow's, for columns other than lists."""
    pq.write_table(pa.table(FOREIGN), tmp_path / "a.parquet", row_group_size=999)
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    with open_source(tmp_path / "a.parquet", nulls="keep") as source:
        for index in range(metadata.num_columns):
            name = metadata.row_group(0).column(index).path_in_schema
            if name in FOREIGN and name != "nothing":
                groups = (metadata.row_group(group).column(index) for group in range(metadata.num_row_groups))
                assert source.specs[name].null_count == sum(group.statistics.null_count for group in groups)


def test_a_footer_too_large_to_be_looked_into_is_left_to_pyarrow(tmp_path, monkeypatch):
    pq.write_table(pa.table({"ecg": pa.array([1.0, None])}), tmp_path / "a.parquet")
    monkeypatch.setattr("bridgeflow.io.formats.parquet_footer._LARGEST", 10)
    with open_source(tmp_path / "a.parquet", nulls="keep") as source:
        assert source.specs["ecg"].null_count is None
        assert source.read()["ecg"].to_pylist() == [1, None]


def test_the_checksum_of_the_footer(tmp_path):
    """Others read our files as ever; a name, a type or a setting that was changed is found."""
    with open_sink(tmp_path / "a.parquet", settings={"fs": 360}) as sink:
        sink.write({"ecg": np.arange(5, dtype=np.int16)})
    assert pq.read_table(tmp_path / "a.parquet")["ecg"].to_pylist() == [0, 1, 2, 3, 4]
    whole = (tmp_path / "a.parquet").read_bytes()
    for before, after in [(b"ecg", b"eeg"), (b'{"fs":360}', b'{"fs":350}')]:
        assert before in whole
        (tmp_path / "b.parquet").write_bytes(whole.replace(before, after))
        assert pq.read_table(tmp_path / "b.parquet").num_rows == 5
        with pytest.raises(DataError, match="the checksum of its footer does not fit"):
            open_source(tmp_path / "b.parquet")


def test_footers_that_contradict_themselves_do_not_end_the_process(tmp_path):
    """pyarrow's view of the statistics aborts here; one that was cut, or whose tag was lost, is a foreign one."""
    table = pa.table({"ecg": np.arange(5, dtype=np.int32)})
    pq.write_table(table, tmp_path / "a.parquet", compression="none", store_schema=False)
    whole = bytearray((tmp_path / "a.parquet").read_bytes())
    at = whole.index(b"\x15\x02\x25\x02\x18\x03ecg")  # the type of the column in the schema: int32
    whole[at + 1] = 0x0A  # double
    (tmp_path / "a.parquet").write_bytes(whole)
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as parquet"):
        open_source(tmp_path / "a.parquet").read()


@pytest.mark.parametrize(
    "column",
    [
        pa.RunEndEncodedArray.from_arrays([2, 5], [1.5, 2.5]),
        pa.RunEndEncodedArray.from_arrays([1, 5], ["a", "b"]),
        pa.array(["a", "b", None, "a", "b"], pa.string_view()).dictionary_encode(),
        pa.array([b"a", b"b", b"a", b"a", b"b"], pa.binary_view()).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_runs_and_categories_of_views_are_written_as_plain_columns(tmp_path, column):
    with open_sink(tmp_path / "a.parquet") as sink:
        sink.write({"v": column.slice(0, 3)})
        sink.write({"v": column.slice(3)})
    assert pq.read_table(tmp_path / "a.parquet")["v"].to_pylist() == column.to_pylist()


@pytest.mark.parametrize("name", ["read", "read_row_group", "iter_batches"])
def test_nulls_among_lists_of_a_fixed_length_are_called_not_supported(tmp_path, monkeypatch, name):
    """What pyarrow up to 25 says of them; later ones read them."""
    column = pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float64(), 2))
    pq.write_table(pa.table({"x": column}), tmp_path / "a.parquet", row_group_size=2)

    def refuse(*args, **kwargs):
        raise pa.ArrowInvalid("Expected all lists to be of size=2 but index 2 had size=0")

    monkeypatch.setattr(pq.ParquetFile, name, refuse)
    with open_source(tmp_path / "a.parquet", nulls="keep") as source:
        reads = {
            "read": source.read,
            "read_row_group": lambda: source.slice(0, 2),
            "iter_batches": lambda: list(source.chunks(1)),
        }
        with pytest.raises(NotSupported, match=r"Expected all lists.*not supported"):
            reads[name]()


LISTS_OF_LISTS = {
    "of one shape": pa.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]),
    "ragged": pa.array([[[1.0, 2.0], [3.0]], [[5.0, 6.0]]]),
}


@pytest.mark.parametrize("shape", LISTS_OF_LISTS)
@pytest.mark.parametrize("suffix", ["parquet", "arrow", "arrows"])
def test_lists_of_lists_are_kept_and_refused_as_arrays_with_what_works(tmp_path, suffix, shape):
    column = LISTS_OF_LISTS[shape]
    with open_sink(tmp_path / f"a.{suffix}") as sink:
        sink.write({"x": column})
    with open_source(tmp_path / f"a.{suffix}") as source:
        read = source.read()["x"]
        assert read.to_pylist() == column.to_pylist()
        assert source.take([1])["x"].to_pylist() == column.to_pylist()[1:]
    for convert in (to_numpy, to_tensor, lambda x: to_tensor(x, ragged="jagged"), lambda x: to_numpy(x, ragged="list")):
        with pytest.raises(NoRoute, match=r"lists of lists .* are not supported.*cast the column to fixed-size lists"):
            convert(read)
    if shape == "of one shape":
        cast = read.cast(pa.list_(pa.list_(pa.float64(), 2), 2))
        np.testing.assert_array_equal(to_numpy(cast), column.to_pylist())


def test_pages_of_each_column_are_checked_whoever_came_before(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1, 2, 3], "b": [4, 5, 6]}), path)
    names = []
    monkeypatch.setattr(
        parquet, "check_pages", lambda read, group: names.extend(chunk[3][3][0] for chunk in group[1]) or {}
    )
    whole = parquet.RowGroupReader(open_file(path), OpenOptions())
    for columns in (["a"], ["b"], ["a", "b"]):
        whole.only(columns)._load(0)
    assert names == [b"a", b"b", b"a", b"b"]
