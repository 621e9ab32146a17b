"""Headers that lie: every integer of every header, set to every odd value; and headers no writer of ours would make.

Whatever a header says, what comes out is right or a `DataError` that names the file: never a bare ValueError,
OverflowError or MemoryError, and never much memory. `make test` tries some, `make test-all` all.
"""

import errno
import io
import os
import re
import struct
import warnings
import zipfile
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.lib import format as npy
from pyarrow import ipc

from bridgeflow.errors import DataError, NotSupported
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.formats.ipc_messages import _Table
from bridgeflow.io.formats.parquet_footer import parse_footer

ODD = [0, 1, -1, 2**31 - 1, 2**32 - 1, 2**62, 2**63 - 1, -(2**63)]
ROWS = 12
SIGNAL = np.arange(ROWS, dtype="float32")
SOME = [pytest.param(7, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)]


def ours(name, **options):
    def make(folder):
        path = folder / "made"
        with open_sink(path, format=name, settings={"fs": 360}, **options) as sink:
            sink.write({"ecg": SIGNAL})
        return path.read_bytes()

    return make


def packed(value, width):
    return (value % (1 << 8 * width)).to_bytes(width, "little")


def wav_headers(whole):
    """The fields of the chunks, as Microsoft describes them."""
    begin = whole.index(b"fmt ")
    data = whole.index(b"data")
    places = [(4, 4), (begin + 4, 4), *((begin + 8 + at, width) for at, width in [(0, 2), (2, 2), (4, 4), (8, 4)])]
    places += [(begin + 20, 2), (begin + 22, 2), (data + 4, 4)]
    for at, width in places:
        for value in ODD:
            yield whole[:at] + packed(value, width) + whole[at + width :]


def npy_headers(whole):
    """Shapes, element types and lengths of the header."""
    values = whole[-SIGNAL.nbytes :]
    yield from (whole[:8] + packed(value, 2) + whole[10:] for value in ODD)
    for described in described_arrays():
        yield npy_bytes(described, values)


def described_arrays():
    shapes = [f"({value},)" for value in (*ODD, 10**30, "True", "1.0", "'a'", "None", "1e400", "[]", "()")]
    shapes += [f"({value}, {other})" for value in ODD for other in (0, 1, 2**62)]
    shapes += ["(1,) * 3", f"({'1, ' * 70})", f"({'0, ' * 40}{2**62})", "12", "None", "[12]", "{}", "(((1,),),)"]
    for shape in shapes:
        yield f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    types = [
        "'<M8'",
        "'<m8'",
        "'<M8[0ns]'",
        "'<M8[7ns]'",
        "'<M8[xx]'",
        "'<U0'",
        "'<U9999999999'",
        "'V0'",
        "'O'",
        "'|O'",
    ]
    types += [
        "'<f16'",
        "'<c32'",
        "'<f3'",
        "'|b1'",
        "'<i9'",
        "''",
        "3",
        "None",
        "[]",
        "[('a', '<f4')]",
        "[('a', '<f4', 1e9)]",
    ]
    types += ["'>f4'", "'<f4,<f4'", "'S4'", "'\\x1b[31m'", "'" + "x" * 5000 + "'", "[('a',)]", "('<f4', (2**62,))"]
    for descr in types:
        yield f"{{'descr': {descr}, 'fortran_order': False, 'shape': (12,), }}"
    for order in ("True", "None", "1", "'F'"):
        yield f"{{'descr': '<f4', 'fortran_order': {order}, 'shape': (12,), }}"
    yield from (
        "",
        "{}",
        "[]",
        "{'descr': '<f4'}",
        "(" * 900,
        "{" * 900,
        "-" * 5000,
        "1",
        "{'shape': (12,)}",
        "\x00" * 40,
    )


def npy_bytes(described, values):
    head = described.encode("latin-1") + b"\n"
    return npy.magic(1, 0) + struct.pack("<H", len(head)) + head + values


def npz_headers(whole):
    """The entries' headers, the directory, and its end; and arrays whose own header lies."""
    for signature, fields in [
        (b"PK\3\4", [(8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)]),
        (b"PK\1\2", [(10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4)]),
        (b"PK\5\6", [(8, 2), (10, 2), (12, 4), (16, 4), (20, 2)]),
        (b"PK\6\6", [(4, 8), (24, 8), (32, 8), (40, 8), (48, 8)]),
    ]:
        for match in re.finditer(re.escape(signature), whole):
            for at, width in fields:
                place = match.start() + at
                for value in ODD:
                    yield whole[:place] + packed(value, width) + whole[place + width :]
    for described in described_arrays():
        yield archive(ecg=npy_bytes(described, SIGNAL.tobytes()))
    for fs in ODD_RATES:
        yield archive(ecg=saved(SIGNAL), fs=saved(fs))


ODD_RATES = [
    *(np.float64(value) for value in (np.nan, np.inf, -np.inf, 0, -1, 5e-324, 1.7e308)),
    *(np.array(value) for value in (True, "360", b"360", 360 + 1j, 0, -(2**63))),
    np.array(2**64 - 1, "uint64"),
    np.array("2020-01-01", "datetime64[D]"),
    np.array(3, "timedelta64[s]"),
    np.array([], float),
    np.array([360.0]),
    np.array([[360.0]]),
    np.zeros(ROWS),
    np.array(360, "float16"),
]


def saved(value):
    content = io.BytesIO()
    np.save(content, value, allow_pickle=False)
    return content.getvalue()


def archive(**arrays):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, array in arrays.items():
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), array)
    return content.getvalue()


def ipc_headers(whole):
    """The integers in the tables of the messages, found by walking over them, and the frame around them."""
    data = memoryview(whole)
    places = set()
    start = whole.find(b"\xff\xff\xff\xff")
    while 0 <= start < len(whole) - 8:
        size = struct.unpack_from("<i", whole, start + 4)[0]
        places.add((start + 4, 4))
        if size <= 0:
            break
        for at in range(start + 8, min(start + 8 + size, len(whole) - 8), 4):
            places |= {(at, 4), (at, 8)}
        message = _Table(data, start + 8 + struct.unpack_from("<I", whole, start + 8)[0])
        start += 8 + size + message.integer(3, "<q")
    if whole.startswith(b"ARROW1"):
        places |= {(at, width) for at in range(len(whole) - 200, len(whole) - 6, 4) for width in (4, 8)}
    for at, width in sorted(places):
        for value in ODD:
            yield whole[:at] + packed(value, width) + whole[at + width :]


def parquet_headers(whole):
    """The varints of the footer and of the page headers, replaced by those of other lengths, the footer's size kept
    right; and the footer's own size.
    """
    size = struct.unpack_from("<I", whole, len(whole) - 8)[0]
    begin = len(whole) - 8 - size
    for value in ODD:
        yield whole[:-8] + packed(value, 4) + whole[-4:]
    for at in range(4, len(whole) - 8):
        if whole[at] & 0x80 or not (at >= begin or at < 80):
            continue
        for value in ODD:
            zigzag = (value << 1) ^ (value >> 63)
            varint = bytearray()
            zigzag %= 1 << 64
            while True:
                varint.append(zigzag & 0x7F | (0x80 if zigzag > 0x7F else 0))
                zigzag >>= 7
                if not zigzag:
                    break
            footer = struct.pack("<I", size + len(varint) - 1) if at >= begin else whole[-8:-4]
            yield whole[:at] + bytes(varint) + whole[at + 1 : -8] + footer + whole[-4:]


def foreign_parquet(folder):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"ecg": SIGNAL}), sink, compression="snappy", store_schema=False)
    return sink.getvalue().to_pybytes()


def deflated(folder):
    content = io.BytesIO()
    np.savez_compressed(content, ecg=SIGNAL, fs=360.0)
    return content.getvalue()


HEADERS = {
    "wav": (ours("wav"), wav_headers),
    "wav 24": (ours("wav", dtype="int24", normalize=False), wav_headers),
    "npy": (ours("npy"), npy_headers),
    "npz": (ours("npz"), npz_headers),
    "npz deflated": (deflated, npz_headers),
    "arrow": (ours("arrow"), ipc_headers),
    "arrow zstd": (ours("arrow", compression="zstd"), ipc_headers),
    "arrow_stream": (ours("arrow_stream"), ipc_headers),
    "parquet": (foreign_parquet, parquet_headers),
}


@pytest.mark.parametrize("step", SOME)
@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_lie(tmp_path, name, step, capsys):
    make, headers = HEADERS[name]
    path = tmp_path / "lies"
    counts, texts = Counter(), set()
    whole = make(tmp_path)
    for number, content in enumerate(headers(whole)):
        if number % step:
            continue
        path.write_bytes(content)
        try:
            with open_source(path, format=name.split()[0], nulls="keep") as source:
                source.read()
                assert source.rows <= len(content) or source.rows == ROWS
                assert source.fs is None or 1e-9 <= source.fs <= 1e12
            counts["read"] += 1
        except DataError as error:
            counts["refused"] += 1
            texts.add(str(error))
    with capsys.disabled():
        print(f" {name}: {counts['refused']} refused, {counts['read']} read", end="")
    assert all("lies" in text and text.isprintable() and len(text) < 1200 for text in texts)
    assert counts["refused"] > 5


# --- what is whole, and not supported ---------------------------------------------------------------------------------


def zipped(method):
    def make(path):
        with zipfile.ZipFile(path, "w", method) as file:
            file.writestr("x.npy", saved(SIGNAL))

    return make


def marked(changes):
    """An archive of one array whose headers say something else."""

    def make(path):
        content = bytearray(archive(x=saved(SIGNAL)))
        central = content.index(b"PK\1\2")
        for local, there, value in changes:
            content[local] = content[central + there] = value
        path.write_bytes(content)

    return make


def stored(array):
    return lambda path: path.write_bytes(with_pickles(array))


def with_pickles(array):
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about names that only version 3.0 holds
        np.save(content, array, allow_pickle=True)
    return content.getvalue()


def feather(path):
    path.write_bytes(b"FEA1" + bytes(100))


def encrypted(path):
    path.write_bytes(b"PARE" + bytes(100) + b"PARE")


def legacy(version, new_file=ipc.new_file):
    """A file as Arrow wrote it before there were continuation marks."""

    def make(path):
        options = ipc.IpcWriteOptions(use_legacy_format=True, metadata_version=getattr(ipc.MetadataVersion, version))
        with new_file(path, pa.schema([("x", pa.float32())]), options=options) as writer:
            writer.write_batch(pa.record_batch({"x": SIGNAL}))

    return make


def of_codec(number):
    """A Parquet file whose footer names a codec; the field is found by changing each candidate."""

    def make(path):
        whole = foreign_parquet(None)
        size = struct.unpack_from("<I", whole, len(whole) - 8)[0]
        begin = len(whole) - 8 - size
        for at in range(begin, len(whole) - 9):
            if whole[at : at + 2] != b"\x15\x02":  # an i32 of 1: snappy
                continue
            changed = whole[: at + 1] + bytes([2 * number]) + whole[at + 2 :]
            if parse_footer(changed[begin:-8]).groups[0][1][0][3][4] == number:
                path.write_bytes(changed)
                return
        raise AssertionError("no such field")

    return make


WHOLE = {
    "bzip2.npz": (zipped(zipfile.ZIP_BZIP2), "bzip2"),
    "lzma.npz": (zipped(zipfile.ZIP_LZMA), "LZMA"),
    "zstd.npz": (marked([(8, 10, 93)]), "Zstandard"),
    "encrypted.npz": (marked([(6, 8, 1)]), "encrypted"),
    "objects.npy": (stored(np.array([1, None], object)), "no pickles"),
    "text.npy": (stored(np.array(["a", "b"])), "not numbers"),
    "structured.npy": (stored(np.zeros(3, [("a", "f4")])), "not numbers"),
    "names.npy": (stored(np.zeros(3, [("\u5fc3", "f4")])), r"not numbers|version"),
    "one.feather": (feather, "Feather version 1"),
    "before.arrow": (legacy("V4"), "before version 0.15"),
    "marks.arrow": (legacy("V5"), "before version 0.15"),
    "before.arrows": (legacy("V4", ipc.new_stream), "before version 0.15"),
    "marks.arrows": (legacy("V5", ipc.new_stream), "before version 0.15"),
    "encrypted.parquet": (encrypted, "encrypted Parquet"),
    "lzo.parquet": (of_codec(3), "LZO"),
    "later.parquet": (of_codec(9), "codec 9"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_whole_is_called_not_supported(tmp_path, name):
    make, word = WHOLE[name]
    make(tmp_path / name)
    with pytest.raises(NotSupported, match=word) as caught:
        open_source(tmp_path / name).read()
    assert "damaged" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("fs", "problem"),
    [(np.array([360.0]), "single value"), (np.array(360j), "no sampling rate"), (np.array(True), "no sampling rate"),
     (np.nan, "no sampling rate"), (np.inf, "no sampling rate"), (-1.0, "no sampling rate"), (1e300, "sampling rate"),
     (5e-324, "sampling rate"), (np.array("360"), "not numbers")],
)  # fmt: skip
def test_rates_that_are_none(tmp_path, fs, problem):
    np.savez(tmp_path / "a.npz", x=SIGNAL, fs=fs)
    with pytest.raises(DataError, match=problem):
        open_source(tmp_path / "a.npz")


@pytest.mark.parametrize("fs", ["1e400", "1" + "0" * 400, "-1", "0", "NaN", "true", '"360"', "[360]", "null", "1e-300"])
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_rates_in_settings_that_are_none(tmp_path, suffix, fs):
    table = pa.table({"x": SIGNAL}).replace_schema_metadata({b"bridgeflow": f'{{"fs": {fs}}}'.encode()})
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        with ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(DataError, match=r"bridgeflow|sampling rate"):
        open_source(path)


@pytest.mark.parametrize("unit", ["M8", "m8"])
def test_times_without_a_unit(tmp_path, unit):
    np.save(tmp_path / "a.npy", np.zeros(3, unit))
    with pytest.raises(DataError, match="without a unit"):
        open_source(tmp_path / "a.npy")


def test_deltas_and_replacements_of_dictionaries_are_read(tmp_path):
    columns = [
        pa.DictionaryArray.from_arrays(pa.array(i), pa.array(v))
        for i, v in [([0, 1], "ab"), ([0, 2], "abc"), ([0], "z")]
    ]
    schema = pa.schema([("d", columns[0].type)])
    for suffix, new, count in [("arrows", ipc.new_stream, 3), ("arrow", ipc.new_file, 2)]:
        with new(tmp_path / f"a.{suffix}", schema, options=ipc.IpcWriteOptions(emit_dictionary_deltas=True)) as writer:
            for column in columns[:count]:
                writer.write_batch(pa.record_batch([column], schema=schema))
        expected = [*"abac", "z"][: 2 * count]
        with open_source(tmp_path / f"a.{suffix}") as source:
            order = list(range(source.rows))[::-1]
            assert source.take(order)["d"].to_pylist() == expected[::-1]
            assert source.read()["d"].to_pylist() == expected


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.ENOMEM])
def test_what_the_system_says_of_the_disk_is_not_blamed_on_the_file(tmp_path, monkeypatch, number):
    np.save(tmp_path / "a.npy", SIGNAL)

    def broken(*_, **__):
        raise OSError(number, os.strerror(number))

    with open_source(tmp_path / "a.npy") as source:
        monkeypatch.setattr(source._reader, "slice", broken)
        with pytest.raises(OSError, match=re.escape(os.strerror(number))) as caught:
            source.slice(0, 1)
        assert not isinstance(caught.value, DataError)


def test_no_memory_is_said(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", SIGNAL)

    def broken(*_, **__):
        raise MemoryError

    with open_source(tmp_path / "a.npy") as source:
        monkeypatch.setattr(source._reader, "slice", broken)
        with pytest.raises(DataError, match=r"a\.npy.*more memory than there is"):
            source.slice(0, 1)
