"""Columns of numbers decoded page by page: pyarrow's numbers, whatever the writer, and its answer to anything else."""

from __future__ import annotations

import gc
import itertools
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeflow.errors import BridgeflowError, DataError
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.formats.parquet import ParquetReader
from bridgeflow.io.pages import columns
from bridgeflow.io.pages.cache import KEPT, PageCache

pytestmark = pytest.mark.skipif(not columns.is_built(), reason="built without the compiled modules")

native = columns._native
RNG = np.random.default_rng(5)
TENSOR = RNG.standard_normal((60, 3, 17), dtype=np.float32)


def fixed(values, *shape):
    """An Arrow array of nested fixed-size lists over these values."""
    column = pa.array(values.reshape(-1))
    for size in reversed(shape):
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column


def lists(values, length, kind=pa.ListArray, offset=np.int32):
    flat = pa.array(values.reshape(-1))
    return kind.from_arrays(pa.array(np.arange(0, len(flat) + 1, length, dtype=offset)), flat)


def read_by_pages(path, nulls="error"):
    """The columns that are read by pages, after everything was read."""
    with open_source(path, nulls=nulls) as source:
        source.read()
        return set(source._reader._pages)


def both(path, monkeypatch, read):
    """What `read` makes of the source, by pages and by pyarrow: values, or the text of the error."""
    answers = []
    for built in (True, False):
        with monkeypatch.context() as patch:
            patch.setattr("bridgeflow.io.formats.parquet.is_built", lambda built=built: built)
            try:
                with open_source(path, nulls="keep") as source:
                    answers.append(read(source))
            except BridgeflowError as error:
                answers.append(f"{type(error).__name__}: {error}")
    return answers


def assert_equal(first, second):
    assert list(first) == list(second)
    for name in first:
        a, b = first[name], second[name]
        assert type(a) is type(b), name
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            assert a.shape == b.shape
            assert a.tobytes() == b.tobytes()
        else:
            assert a.type == b.type
            assert a.equals(b)


# --- the parts ---


@pytest.mark.parametrize("isa", native.instruction_sets() if columns.is_built() else [])
def test_the_checksum_is_zlibs(isa):
    data = RNG.bytes(1 << 16)
    for nbytes in (*range(600), 1000, 4095, 4096, 4097, 1 << 16):
        for start in (0, 1, 7):
            piece = data[start : start + nbytes]
            assert native.crc32(piece, isa) == zlib.crc32(piece)


@pytest.mark.parametrize("codec", ["snappy", "lz4"])
@pytest.mark.parametrize("kind", ["noise", "steps", "text", "zeros", "pattern", "short"])
def test_what_arrow_compressed_is_decompressed(codec, kind):
    data = {
        "noise": RNG.bytes(70_000),
        "steps": np.cumsum(RNG.integers(-2, 3, 20_000)).astype("float32").tobytes(),
        "text": b"the quick brown fox jumps over the lazy dog " * 700,
        "zeros": bytes(100_000),
        "pattern": b"".join(bytes(range(period)) * (300 // period) for period in range(1, 40)),
        "short": b"abc",
    }[kind]
    arrow = pa.Codec("lz4_raw" if codec == "lz4" else codec)
    for nbytes in {0, 1, 2, 15, 16, 17, 63, 64, 65, 1000, len(data)}:
        piece = data[:nbytes]
        nbytes = len(piece)
        packed = arrow.compress(piece, asbytes=True)
        out = np.full(nbytes, 255, np.uint8)
        assert native.decompress(codec, packed, out)
        assert out.tobytes() == piece
        for wrong in (nbytes + 1, nbytes - 1):
            if wrong >= 0:
                assert not native.decompress(codec, packed, np.empty(wrong, np.uint8))


@pytest.mark.parametrize("codec", ["snappy", "lz4"])
def test_damaged_data_are_refused_or_become_what_arrow_makes_of_them(codec):
    data = (np.cumsum(RNG.integers(-2, 3, 400)).astype("float32").tobytes() + bytes(300)) * 2
    arrow = pa.Codec("lz4_raw" if codec == "lz4" else codec)
    packed = arrow.compress(data, asbytes=True)
    for number in range(3000):
        changed = bytearray(packed)
        for _ in range(1 + number % 3):
            changed[RNG.integers(len(changed))] = RNG.integers(256)
        if number % 7 == 0:
            del changed[RNG.integers(len(changed)) :]
        out = np.empty(len(data), np.uint8)
        if native.decompress(codec, bytes(changed), out):
            assert out.tobytes() == arrow.decompress(bytes(changed), len(data), asbytes=True)


@pytest.mark.parametrize("isa", native.instruction_sets() if columns.is_built() else [])
@pytest.mark.parametrize("encoding", ["PLAIN", "BYTE_STREAM_SPLIT", "DICTIONARY"])
@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "int64", "uint64", "int32", "uint32", "int16", "uint16", "int8", "uint8"]
)
def test_every_instruction_set_decodes_every_type(tmp_path, isa, encoding, dtype, monkeypatch):
    if encoding == "BYTE_STREAM_SPLIT" and dtype == "float16" and pa.__version__ < "16":
        pytest.skip("pyarrow does not write it")
    values = RNG.integers(0, 250, (90, 7)).astype(dtype)
    options = (
        {"use_dictionary": True} if encoding == "DICTIONARY" else {"use_dictionary": False, "column_encoding": encoding}
    )
    pq.write_table(pa.table({"x": fixed(values, 7)}), tmp_path / "a.parquet", data_page_size=200, **options)
    decode = native.Column.decode

    class Column:
        def __init__(self, *args):
            self.column = native.Column(*args)

        def check_levels(self, *args):
            self.column.check_levels(*args)

        def decode(self, *args):
            decode(self.column, *args, isa=isa)

    monkeypatch.setattr(columns, "_native", type("native", (), {**vars(native), "Column": Column}))
    with open_source(tmp_path / "a.parquet") as source:
        np.testing.assert_array_equal(source.read()["x"], values, strict=True)
        np.testing.assert_array_equal(source.take([80, 3, 3, 55])["x"], values[[80, 3, 3, 55]], strict=True)
        assert list(source._reader._pages) == ["x"]


# --- whatever the writer ---

DTYPES = ["float32", "float64", "float16", "int64", "int32", "uint32", "int16", "uint16", "int8", "uint8"]


@st.composite
def tables(draw):
    """A table of columns of numbers, full and not, and how pyarrow is to write it."""
    rows = draw(st.integers(1, 120))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    data = {}
    for number in range(draw(st.integers(1, 3))):
        dtype = draw(st.sampled_from(DTYPES))
        shape = draw(st.sampled_from([(), (1,), (3,), (8,), (9,), (4, 5), (1, 8), (8, 1), (2, 1, 3), (70,), (3, 40)]))
        distinct = draw(st.sampled_from([1, 3, 200]))
        values = rng.integers(0, distinct, (rows, *shape)).astype(dtype)
        column = fixed(values, *shape)
        form = draw(st.sampled_from(["fixed", "fixed", "tensor", "list", "large list", "ragged", "nulls"]))
        if form == "tensor" and shape:
            column = pa.FixedShapeTensorArray.from_numpy_ndarray(values)
        elif form in ("list", "large list") and len(shape) == 1:
            kinds = {"list": (pa.ListArray, np.int32), "large list": (pa.LargeListArray, np.int64)}
            column = lists(values, shape[0], *kinds[form])
        elif form == "ragged":
            column = pa.array(
                [values.reshape(rows, -1)[i, : 1 + i % 2].tolist() for i in range(rows)],
                pa.list_(column.type if not shape else pa.from_numpy_dtype(values.dtype)),
            )
        elif form == "nulls" and not shape:
            column = (
                pa.array(
                    [None if i % 5 == 4 else v for i, v in enumerate(values.tolist())],
                    pa.from_numpy_dtype(values.dtype),
                )
                if dtype != "float16"
                else column
            )
        data[f"c{number}"] = column
    fields = [
        pa.field(name, column.type, nullable=bool(draw(st.booleans())) or column.null_count > 0)
        for name, column in data.items()
    ]
    if draw(st.booleans()):
        data["text"] = pa.array([f"row {i}" for i in range(rows)])
        fields.append(pa.field("text", pa.string()))
    options = {
        "compression": draw(st.sampled_from(["none", "snappy", "gzip", "zstd", "lz4", "brotli"])),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
        "version": draw(st.sampled_from(["1.0", "2.4", "2.6"])),
        "data_page_size": draw(st.sampled_from([40, 100, 1000, 1 << 20])),
        "write_batch_size": draw(st.sampled_from([1, 7, 1024])),
        "row_group_size": draw(st.sampled_from([1, 13, 1000])),
        "write_page_checksum": draw(st.booleans()),
        "write_page_index": draw(st.booleans()),
        "write_statistics": draw(st.booleans()),
        "store_schema": draw(st.sampled_from([True, True, False])),
        "dictionary_pagesize_limit": draw(st.sampled_from([50, 1 << 20])),
    }
    encoding = draw(st.sampled_from(["dictionary", "PLAIN", "BYTE_STREAM_SPLIT", "mixed"]))
    if encoding == "dictionary":
        options["use_dictionary"] = True
    else:
        options["use_dictionary"] = encoding == "mixed" and ["c0", "c0.list.element"]
    if encoding == "BYTE_STREAM_SPLIT" and "text" not in data:
        options["column_encoding"] = encoding
    return pa.table(data, schema=pa.schema(fields)), options


def reads(draw, rows):
    """A few slices and gathers, and the batches of a pass."""
    pieces = []
    for _ in range(4):
        start = draw(st.integers(0, rows))
        pieces.append((start, draw(st.integers(start, rows))))
    chosen = draw(st.lists(st.integers(0, rows - 1), max_size=20))
    size = draw(st.integers(1, rows))

    def read(source):
        answers = [source.slice(*piece) for piece in pieces]
        answers += [source.slice(*piece, writable=False) for piece in pieces]
        answers += [source.take(np.array(chosen, np.int64)), source.read(), *source.chunks(size, start=pieces[0][0])]
        return answers

    return read


def compare(path, monkeypatch, read):
    ours, arrows = both(path, monkeypatch, read)
    if isinstance(arrows, str):
        assert ours == arrows
        return
    assert not isinstance(ours, str), ours
    for a, b in zip(ours, arrows, strict=True):
        assert_equal(a, b)


def check_tables(tmp_path_factory, written, data):
    table, options = written
    path = tmp_path_factory.mktemp("pages") / "a.parquet"
    try:
        pq.write_table(table, path, **options)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, OSError):
        return  # nor does pyarrow write it
    with pytest.MonkeyPatch.context() as patch:
        compare(path, patch, reads(data.draw, table.num_rows))


@given(written=tables(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_both_ways_give_the_same(tmp_path_factory, written, data):
    check_tables(tmp_path_factory, written, data)


@pytest.mark.slow
@given(written=tables(), data=st.data())
@settings(max_examples=400, deadline=None)
def test_both_ways_give_the_same_many_times(tmp_path_factory, written, data):
    check_tables(tmp_path_factory, written, data)


@pytest.mark.parametrize("compression", ["uncompressed", "snappy", "gzip", "zstd", "lz4"])
@pytest.mark.parametrize("statistics", [True, False], ids=["with statistics", "without"])
def test_what_polars_writes(tmp_path, compression, statistics, monkeypatch):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {
            "x": TENSOR.reshape(60, -1),
            "label": np.arange(60) % 3,
            "short": np.arange(60, dtype=np.int16),
            "y": RNG.random(60),
        }
    )
    path = tmp_path / "a.parquet"
    frame.write_parquet(path, compression=compression, statistics=statistics, row_group_size=25, data_page_size=1000)
    compare(path, monkeypatch, lambda source: [source.read(), source.slice(20, 40), source.take([59, 0, 3])])
    with open_source(path) as source:
        np.testing.assert_array_equal(source.read()["x"], TENSOR.reshape(60, -1))
    assert {"x", "y"} <= read_by_pages(path)


@pytest.mark.parametrize("compression", ["uncompressed", "snappy", "gzip", "zstd", "lz4_raw", "brotli"])
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_what_duckdb_writes(tmp_path, compression, version, monkeypatch):
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "a.parquet"
    rows = "select i, i::float * 0.5 as f, (i % 7)::smallint as s, [i::float, i + 0.5, i * 2]::float[] as l"
    options = f"format parquet, compression {compression}, row_group_size 2048, parquet_version {version}"
    duckdb.sql(f"copy ({rows} from range(5000) t(i)) to '{path}' ({options})")
    compare(path, monkeypatch, lambda source: [source.read(), source.slice(2000, 2100), source.take([4999, 0, 3])])


# --- what is not regular ---


def mutations(whole, rng, count):
    """The bytes of a file with some of them changed, anywhere or among those of its headers."""
    for _ in range(count):
        changed = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(4, min(len(whole) - 8, 200) if rng.integers(2) else len(whole) - 8))
            changed[at] = (changed[at] ^ 1 << rng.integers(8)) if rng.integers(2) else rng.integers(256)
        yield bytes(changed)


HOSTILE = {
    "plain": {"compression": "none", "use_dictionary": False},
    "snappy": {"compression": "snappy", "use_dictionary": False},
    "lz4": {"compression": "lz4", "use_dictionary": False},
    "zstd": {"compression": "zstd", "use_dictionary": False},
    "gzip": {"compression": "gzip", "use_dictionary": False},
    "dictionary": {"compression": "none"},
    "split": {"compression": "none", "use_dictionary": False, "column_encoding": "BYTE_STREAM_SPLIT"},
    "version 2": {"compression": "snappy", "data_page_version": "2.0"},
    "version 2 plain": {"compression": "none", "data_page_version": "2.0", "use_dictionary": False},
}


@pytest.mark.parametrize("count", [30, pytest.param(600, marks=pytest.mark.slow)])
@pytest.mark.parametrize("checksums", [True, False], ids=["checksums", "none"])
@pytest.mark.parametrize("name", HOSTILE)
def test_damaged_pages_are_answered_as_pyarrow_does(tmp_path, name, checksums, count, monkeypatch):
    """Never a crash; where pyarrow has an answer, the same. A page that pyarrow refuses may be one not asked for."""
    values = (RNG.integers(0, 40, (40, 11)) / 2).astype(np.float32)
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"x": fixed(values, 11)}),
        path,
        data_page_size=300,
        write_batch_size=16,
        write_page_checksum=checksums,
        **HOSTILE[name],
    )
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for content in mutations(whole, rng, count):
        path.write_bytes(content)
        ours, arrows = both(path, monkeypatch, lambda source: [source.read(), source.take([39, 0, 17])])
        if isinstance(ours, str):
            assert ours == arrows
        elif not isinstance(arrows, str):
            for a, b in zip(ours, arrows, strict=True):
                assert_equal(a, b)
        elif checksums:
            assert_equal(ours[0], {"x": values})


@pytest.mark.parametrize("kind", ["null row", "null value", "short row"])
@pytest.mark.parametrize("statistics", [True, False])
def test_rows_that_are_not_full_go_through_pyarrow(tmp_path, kind, statistics, monkeypatch):
    rows = TENSOR.reshape(60, -1)[:, :4].tolist()
    if kind == "null row":
        rows[50] = None
    elif kind == "null value":
        rows[50][2] = None
    else:
        rows[50], rows[51] = rows[50][:3], [*rows[51], 1.0]
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"x": pa.array(rows, pa.list_(pa.float32()))}), path, write_statistics=statistics, row_group_size=60
    )
    compare(path, monkeypatch, lambda source: [source.slice(0, 10), source.slice(45, 60), source.read()])
    assert read_by_pages(path, "keep") == set()


def test_a_checksum_that_does_not_fit_is_found_when_its_page_is_read(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"x": TENSOR[:, 0, 0]}),
        path,
        compression="none",
        use_dictionary=False,
        write_page_checksum=True,
        data_page_size=40,
        write_batch_size=10,
    )
    whole = bytearray(path.read_bytes())
    whole[whole.index(TENSOR[41, 0, 0].tobytes())] ^= 1
    path.write_bytes(whole)
    with open_source(path) as source:
        np.testing.assert_array_equal(source.slice(0, 40)["x"], TENSOR[:40, 0, 0])
        with pytest.raises(DataError, match="CRC checksum"):
            source.slice(30, 50)


def test_what_a_page_declares_is_not_allocated_before_it_is_compared(tmp_path):
    """A page of Snappy that says it becomes 2^31 - 1 bytes, in a file without checksums."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": fixed(TENSOR, 3, 17)}), path, compression="snappy", use_dictionary=False)
    whole = path.read_bytes()
    for forged in (b"\xfe\xff\xff\xff\x0f", b"\x80\x80\x80\x20\x00"):
        path.write_bytes(whole[:6] + forged + whole[11:])
        with open_source(path) as source, pytest.raises(DataError):
            source.read()


# --- how it is done ---


def test_a_pass_decodes_each_page_once_and_the_next_none_where_all_are_kept(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"x": fixed(TENSOR, 3, 17)}), path, data_page_size=1000, write_batch_size=50, use_dictionary=False
    )
    calls = []
    payload = columns.PageColumn._payload
    monkeypatch.setattr(
        columns.PageColumn, "_payload", lambda self, *args: calls.append(args[-1]) or payload(self, *args)
    )
    with open_source(path) as source:
        for start in range(0, 60, 7):
            source.slice(start, min(start + 7, 60))
        assert len(calls) == len(set(calls)) > 5
        calls.clear()
        source.take(np.arange(60))
        source.slice(3, 50)
        assert not calls
        list(source.chunks(7))
        assert len(calls) == len(set(calls)) > 5
        source._reader._pages["x"].keeps_all = False
        KEPT.forget()
        for start in range(0, 60, 7):
            source.slice(start, min(start + 7, 60))
        calls.clear()
        source.slice(0, 30)
        assert calls


def test_rows_of_an_uncompressed_page_are_views_of_the_map_where_they_are_aligned(tmp_path):
    path, shared = tmp_path / "a.parquet", set()
    flags = (True, False)
    for rows, nullable, statistics, checksum in itertools.product((50, 1000, 10_000), flags, flags, flags):
        values = np.arange(rows, dtype=np.float32)
        schema = pa.schema([pa.field("x", pa.float32(), nullable=nullable)])
        options = {"use_dictionary": False, "write_statistics": statistics, "write_page_checksum": checksum}
        pq.write_table(pa.table({"x": values}, schema=schema), path, compression="none", **options)
        with open_source(path) as source:
            view, mine = source.slice(10, 20, writable=False)["x"], source.slice(10, 20)["x"]
            shared.add(np.shares_memory(view, source._reader.file.data))
            assert not np.shares_memory(mine, source._reader.file.data)
            mine[:] = 0
            np.testing.assert_array_equal(view, values[10:20])
            np.testing.assert_array_equal(source.read()["x"], values)
    assert True in shared


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
def test_many_threads_read_the_same_numbers(tmp_path, compression):
    path = tmp_path / "a.parquet"
    values = RNG.integers(0, 99, (500, 40)).astype(np.float32)
    pq.write_table(
        pa.table({"x": fixed(values, 40)}), path, compression=compression, data_page_size=500, write_page_checksum=True
    )

    def read(seed):
        rows = np.random.default_rng(seed).integers(0, 500, 50)
        return np.array_equal(source.take(rows)["x"], values[rows]) and np.array_equal(
            source.slice(7, 300)["x"], values[7:300]
        )

    with open_source(path) as source, ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(60)))
        assert list(source._reader._pages) == ["x"]


@pytest.mark.parametrize("mapped", [True, False])
def test_mapped_or_read(tmp_path, mapped):
    path = tmp_path / "a.parquet"
    for compression in ("none", "snappy"):
        for options in ({"use_dictionary": False}, {}):
            pq.write_table(
                pa.table({"x": fixed(TENSOR, 3, 17)}), path, compression=compression, data_page_size=600, **options
            )
            with open_source(path, mapped=mapped) as source:
                np.testing.assert_array_equal(source.read()["x"], TENSOR)
                np.testing.assert_array_equal(source.take([59, 2])["x"], TENSOR[[59, 2]])
                np.testing.assert_array_equal(source.slice(3, 9, writable=False)["x"], TENSOR[3:9])
                assert list(source._reader._pages) == ["x"]


def test_without_the_compiled_module_pyarrow_reads(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    with open_sink(path) as sink:
        sink.write({"x": TENSOR, "label": np.arange(60)})
    monkeypatch.setattr(columns, "_native", None)
    with open_source(path) as source:
        assert not source._reader._pages
        np.testing.assert_array_equal(source.read()["x"], TENSOR)
        np.testing.assert_array_equal(source.take([59, 2])["label"], [59, 2])
        np.testing.assert_array_equal(np.concatenate([chunk["x"] for chunk in source.chunks(7)]), TENSOR)


def test_files_of_ours_are_read_by_pages(tmp_path):
    numbers = {
        "x": TENSOR, "complex": TENSOR[:, 0, :2].astype(np.complex64), "counts": (TENSOR * 100).astype(np.int16),
        "label": np.arange(60), "rate": np.full(60, 360.0),
    }  # fmt: skip
    for compression in ("none", "snappy", "zstd"):
        path = tmp_path / f"{compression}.parquet"
        with open_sink(path, compression=compression) as sink:
            sink.write({**numbers, "text": pa.array(["a"] * 60)})
        assert read_by_pages(path) == set(numbers)
        assert pq.read_table(path)["text"].to_pylist() == ["a"] * 60
        with open_source(path) as source:
            for name, column in numbers.items():
                np.testing.assert_array_equal(source.read()[name], column, strict=True)
        used = {
            chunk.path_in_schema: chunk.encodings for chunk in map(pq.read_metadata(path).row_group(0).column, range(6))
        }
        by_dictionary = {path.split(".")[0] for path, encodings in used.items() if "RLE_DICTIONARY" in encodings}
        assert by_dictionary == {"counts", "label", "text"}


def test_lists_of_one_length_are_arrows_lists(tmp_path):
    path = tmp_path / "a.parquet"
    values = TENSOR.reshape(60, -1)
    column = lists(values, values.shape[1])
    pq.write_table(pa.table({"x": column}), path, data_page_size=1000)
    with open_source(path) as source:
        assert source.slice(3, 9)["x"].equals(column[3:9])
        assert source.take([5, 5, 1])["x"].equals(column.take(pa.array([5, 5, 1])))
        assert source.slice(4, 4)["x"].equals(column[:0])
        assert isinstance(source._reader, ParquetReader)
    assert read_by_pages(path) == {"x"}


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("kind", ["list", "large list", "list of tensors"])
def test_lists_of_lists_of_one_shape_are_too_where_their_levels_are_counted(tmp_path, kind, statistics):
    path = tmp_path / "a.parquet"
    inner = fixed(TENSOR, 17) if kind == "list of tensors" else lists(TENSOR, 17)
    make, offset = (pa.LargeListArray, np.int64) if kind == "large list" else (pa.ListArray, np.int32)
    column = make.from_arrays(pa.array(np.arange(0, len(inner) + 1, 3, dtype=offset)), inner)
    pq.write_table(pa.table({"x": column}), path, data_page_size=1000, row_group_size=25, write_statistics=statistics)
    with open_source(path) as source:
        assert source.slice(3, 9)["x"].equals(column[3:9])
        assert source.take([5, 59, 1])["x"].equals(column.take(pa.array([5, 59, 1])))
        assert source.slice(4, 4)["x"].equals(column[:0])
        assert source.slice(4, 4)["x"].type == column.type
    assert read_by_pages(path) == {"x"}


def test_a_cache_drops_what_was_not_asked_for_longest():
    cache = PageCache(3000)
    arrays = [np.zeros(1000, np.uint8) for _ in range(4)]
    keys = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    for key, array in zip(keys[:3], arrays, strict=False):
        cache.put(key, array)
    assert cache.get_many(keys[:1])[0] is arrays[0]
    cache.put(keys[3], arrays[3])
    assert [array is not None for array in cache.get_many(keys)] == [True, False, True, True]
    cache.drop("b")
    assert [array is not None for array in cache.get_many(keys)] == [True, False, False, False]
    cache.forget()
    assert cache.get_many(keys) == [None] * 4


@pytest.mark.parametrize("how", ["close", "collect"])
def test_the_pages_of_a_file_are_dropped_with_it(tmp_path, how):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": fixed(TENSOR, 3, 17)}), path)
    before = len(KEPT._kept)
    source = open_source(path)
    source.take([1, 2])
    assert len(KEPT._kept) > before
    if how == "close":
        source.close()
    else:
        del source
        gc.collect()
    assert len(KEPT._kept) == before


def decode(spans, file=b"", payloads=None, fields=native.FIELDS if native else 0):
    native.Column([], 0, 0, 4, 4).decode(
        np.zeros((1, fields), np.int64), np.array([spans]), file, payloads, None, np.empty(1)
    )


REFUSED = {
    "not contiguous": lambda: native.crc32(np.zeros((4, 4), np.uint8)[:, ::2]),
    "instruction set": lambda: native.crc32(b"", "no such set"),
    "codec": lambda: native.decompress("zstd", b"", np.empty(1, np.uint8)),
    "levels": lambda: native.Column([3], 0, 1, 4, 4),
    "no values": lambda: native.Column([0], 1, 1, 4, 4),
    "long rows": lambda: native.Column([1 << 26], 1, 1, 4, 4),
    "width": lambda: native.Column([], 0, 0, 4, 8),
    "header": lambda: native.walk(b"\x15\x00\x15", 0, 0, 3, 1, 1),
    "table": lambda: decode([0, 0, 0, 0, 0], fields=3),
    "spans": lambda: decode([0, 0, 0]),
    "page": lambda: decode([0, 1, 0, 0, 0]),
    "values": lambda: decode([0, 0, 0, 1, 0]),
    "payload": lambda: decode([3, 0, 0, 0, 0], None, [b""]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_do_not_fit_are_refused(name):
    with pytest.raises(ValueError, match=r"."):
        REFUSED[name]()


def test_headers_are_walked_as_far_as_they_are_whole(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"x": TENSOR[:, 0, 0]}),
        path,
        compression="none",
        use_dictionary=False,
        data_page_size=40,
        write_batch_size=10,
    )
    whole = path.read_bytes()
    chunk = pq.read_metadata(path).row_group(0).column(0)
    end = 4 + chunk.total_compressed_size
    table, position = native.walk(whole, 0, 4, end, 40_000, 64 << 20)
    pages = np.frombuffer(table, np.int64).reshape(-1, native.FIELDS)
    assert position == end
    assert pages[:, columns._COUNT].sum() == 60
    assert pages[:, columns._FIRST].tolist() == np.r_[0, np.cumsum(pages[:, columns._COUNT])[:-1]].tolist()
    some, reached = native.walk(whole[: int(pages[2, columns._AT]) - 3], 0, 4, end, 40_000, 64 << 20)
    assert some == table[: 2 * 8 * native.FIELDS]
    assert reached == pages[1, columns._AT] + pages[1, columns._PACKED]
    assert struct.unpack_from("<q", table, 8) == (pages[0, 1],)
