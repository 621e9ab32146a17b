"""Files that arrive damaged: cut off anywhere, with a bit turned over, or declaring sizes that are not theirs.

Each series runs in a process of its own, so that a crash is a failure of its test, and counts what it saw. `make test`
tries some of the places, `make test-all` most or all.
"""

import hashlib
import io
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from bridgeflow.errors import DataError
from bridgeflow.io import all_formats, open_sink, open_source
from bridgeflow.io.commit import sha256_of
from bridgeflow.io.formats import wav_chunks

ECG = (np.arange(40, dtype=np.float32) * 0.5 - 3).reshape(20, 2)
COUNTS = np.arange(20, dtype=np.int16) * 7 - 30
HOW_MANY = [pytest.param(11, id="some"), pytest.param(1, id="every", marks=pytest.mark.slow)]


def ours(name, columns, **options):
    with tempfile.TemporaryDirectory() as folder:
        with open_sink(Path(folder) / "a", format=name, **options) as sink:
            for start in range(0, 20, 8):
                sink.write({key: column[start : start + 8] for key, column in columns.items()})
        return (Path(folder) / "a").read_bytes()


def foreign(new, **options):
    """Types that ours does not write: text, lists, dictionaries, with nulls, in several record batches."""
    labels = pa.array([None if i == 4 else "nvq"[i % 3] for i in range(20)])
    lists = pa.array([None if i == 3 else list(range(i % 4)) for i in range(20)], pa.list_(pa.int16()))
    columns = {"ecg": pa.array(COUNTS), "label": labels, "beat": labels.dictionary_encode(), "peaks": lists}
    batch = pa.record_batch(columns)
    sink = pa.BufferOutputStream()
    with new(sink, batch.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        for start in (0, 8, 16):
            writer.write_batch(batch[start : start + 8])
    return sink.getvalue().to_pybytes()


def foreign_parquet():
    sink = pa.BufferOutputStream()
    table = ipc.open_stream(foreign(ipc.new_stream)).read_all()
    pq.write_table(table, sink, row_group_size=8, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def archived(save):
    content = io.BytesIO()
    save(content, ecg=ECG, label=COUNTS)
    return content.getvalue()


def rf64():
    limit, wav_chunks.RIFF_LIMIT = wav_chunks.RIFF_LIMIT, 0
    try:
        return ours("wav", {"ecg": ECG}, settings={"fs": 360})
    finally:
        wav_chunks.RIFF_LIMIT = limit


TWO = {"ecg": ECG, "label": COUNTS}
FILES = {
    "arrow": lambda: ours("arrow", TWO, settings={"fs": 360}),
    "arrow zstd": lambda: ours("arrow", TWO, compression="zstd"),
    "arrow foreign": lambda: foreign(ipc.new_file),
    "arrow_stream": lambda: ours("arrow_stream", TWO),
    "arrow_stream lz4": lambda: ours("arrow_stream", TWO, compression="lz4"),
    "arrow_stream foreign": lambda: foreign(ipc.new_stream, compression="zstd"),
    "npy": lambda: ours("npy", {"ecg": ECG}),
    "npz": lambda: ours("npz", TWO, settings={"fs": 360}),
    "npz of numpy": lambda: archived(np.savez),
    "npz deflated": lambda: archived(np.savez_compressed),
    "parquet": lambda: ours("parquet", TWO, settings={"fs": 360}),
    "parquet plain": lambda: ours("parquet", {"ecg": ECG[:, 0].copy(), "label": COUNTS}, compression="none"),
    "parquet foreign": foreign_parquet,
    "wav": lambda: ours("wav", {"ecg": COUNTS}, settings={"fs": 360}),
    "wav 24": lambda: ours("wav", {"ecg": COUNTS.astype("int32") * 256}, settings={"fs": 360}, dtype="int24"),
    "wav float": lambda: ours("wav", {"ecg": ECG.astype("float64")}, settings={"fs": 360}),
    "wav RF64": rf64,
}


def read(path, name):
    """All values and what is said about them, as bytes that can be compared."""
    with open_source(path, format=name.split()[0], nulls="keep") as source:
        columns = source.read()
        said = {key: (spec.dtype, spec.shape, spec.fs) for key, spec in source.specs.items()}
        for column in columns.values():
            if isinstance(column, pa.Array):
                column.to_pylist()
        return said, [column if isinstance(column, pa.Array) else column.tobytes() for column in columns.values()]


def same(one, other):
    return one[0] == other[0] and all(
        a.equals(b) if isinstance(a, pa.Array) and isinstance(b, pa.Array) else a == b
        for a, b in zip(one[1], other[1], strict=True)
    )


def seen(name, damaged):
    """What became of each damaged file: a typed error, the exact data, or something else, with all the errors' text."""
    counts, texts = Counter(), Counter()
    whole = FILES[name]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(whole)
        expected = read(path, name)
        digest = sha256_of(path)
        assert digest == hashlib.sha256(whole).hexdigest()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for content in damaged(whole):
            path.write_bytes(content)
            try:
                counts["exact" if same(read(path, name), expected) else "silent"] += 1
            except DataError as error:
                counts["refused"] += 1
                texts[str(error)] += 1
            counts["unseen by SHA-256"] += hashlib.sha256(content).hexdigest() == digest
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return counts, texts, grown << 10


def in_child(work):
    """The result of `work()`, made in a child, whose death is an error here."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        code = 1
        try:
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(work(), pipe)
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        content = pipe.read()
    status = os.waitpid(child, 0)[1]
    killed = signal.Signals(status).name if os.WIFSIGNALED(status) else ""
    assert status == 0, f"the child ended with {killed or status}"
    return pickle.loads(content)


@pytest.mark.parametrize("step", HOW_MANY)
@pytest.mark.parametrize("name", FILES)
def test_every_prefix_is_refused(name, step, capsys):
    """No file that is cut off reads as a shorter one. (The whole file is no prefix.)"""
    counts, _, _ = in_child(lambda: seen(name, lambda whole: (whole[:size] for size in range(0, len(whole), step))))
    with capsys.disabled():
        print(f" {name}: {counts['refused']} prefixes refused", end="")
    assert counts == Counter(refused=counts["refused"])
    assert counts["refused"] > 100 / step


def flips(step):
    def each(whole):
        for bit in range(0, 8 * len(whole), step):
            changed = bytearray(whole)
            changed[bit // 8] ^= 1 << bit % 8
            yield bytes(changed)

    return each


CHECKSUMS = {"npz", "npz of numpy", "npz deflated", "parquet", "parquet plain"}


@pytest.mark.parametrize("step", [pytest.param(61, id="some"), pytest.param(5, id="many", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FILES)
def test_a_bit_turned_over(name, step, capsys):
    """Never a crash, never another error than ours; where there are checksums, never wrong values; and nowhere one that
    the receipt's SHA-256 does not see.
    """
    counts, _, _ = in_child(lambda: seen(name, flips(step)))
    with capsys.disabled():
        print(f" {name}: {dict(counts)}", end="")
    assert counts["unseen by SHA-256"] == 0
    if name in CHECKSUMS:
        assert counts["silent"] == 0
    assert counts["refused"]


@pytest.mark.parametrize("step", [pytest.param(97, id="some"), pytest.param(3, id="many", marks=pytest.mark.slow)])
def test_pages_of_others_have_checksums_too(step, capsys):
    """A bit turned over before the footer, which in others' files nothing protects, is always found."""

    def in_pages(whole):
        footer = len(whole) - 8 - struct.unpack_from("<I", whole, len(whole) - 8)[0]
        return (content for content in flips(step)(whole) if content[footer:] == whole[footer:])

    counts, _, _ = in_child(lambda: seen("parquet foreign", in_pages))
    with capsys.disabled():
        print(f" {dict(counts)}", end="")
    assert counts["silent"] == 0
    assert counts["refused"] > counts["exact"]


FORGED = [
    struct.pack("<i", 0x7FFFFFFF),
    struct.pack("<i", -1),
    struct.pack("<q", 1 << 40),
    struct.pack("<q", (1 << 62) + 1),
]
VARINTS = [b"\xfe\xff\xff\xff\x0f", b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"]


@pytest.mark.parametrize("step", [pytest.param(13, id="some"), pytest.param(2, id="many", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FILES)
def test_forged_sizes_take_no_memory(name, step, capsys):
    """Huge numbers written over every place of a file, as the sizes of its headers are: typed errors, and no memory."""

    def forged(whole):
        for place in range(0, len(whole), step):
            for number in FORGED + (VARINTS if "parquet" in name else []):
                yield whole[:place] + number + whole[place + len(number) :]

    counts, texts, grown = in_child(lambda: seen(name, forged))
    with capsys.disabled():
        print(f" {name}: {sum(counts.values())} forged, {counts['refused']} refused, {grown >> 20} MiB", end="")
    assert counts["refused"]
    assert grown < 64 << 20
    assert not [text for text in texts if "alloc" in text]


SHAS = """
import sys, numpy as np, tempfile, pathlib
from bridgeflow.io import all_formats, open_sink
cut = int(sys.argv[1])
values = np.sin(np.arange(5000)).astype("float32")
for name in sorted(all_formats()):
    for compression in all_formats()[name].writer.compressions:
        path = pathlib.Path(tempfile.mkdtemp()) / "a"
        settings = {"fs": 360, "b": 1, "a": {"z": [1], "y": 2}}
        with open_sink(path, format=name, compression=compression, settings=settings) as sink:
            for start in range(0, 5000, cut):
                sink.write({"ecg": values[start:start + cut]})
        print(name, compression, sink.receipt.sha256)
"""


def test_bytes_depend_on_rows_and_settings_alone():
    """Two processes, with other hash seeds, other time zones and other cuts, write the same bytes in every format."""
    said = [
        subprocess.run(
            [sys.executable, "-c", SHAS, cut],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for cut, seed, zone in (("5000", "1", "UTC"), ("37", "2", "Asia/Tokyo"))
    ]
    assert said[0] == said[1]
    assert len(said[0].splitlines()) == sum(len(form.writer.compressions) for form in all_formats().values())
