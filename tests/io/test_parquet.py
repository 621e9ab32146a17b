"""Parquet beyond the common contract: checksums, row groups, foreign files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bridgeflow.errors import DataError
from bridgeflow.io import open_sink, open_source


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
        got = [chunk["ecg"].to_numpy() for chunk in source.chunks(64, start=250, stop=777)]
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
