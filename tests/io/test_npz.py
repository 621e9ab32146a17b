"""npz: judged by `np.load` and `np.savez`; archives that lie, by hand."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from bridgeflow.errors import DataError
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.mapped import COPIED_BELOW

RNG = np.random.default_rng(4)
COLUMNS = {"ecg": RNG.normal(size=(20, 3)).astype(np.float32), "label": np.arange(20), "z": RNG.normal(size=20) * 1j}


def archive(*entries, compression=zipfile.ZIP_STORED):
    """An archive with these (name, bytes), as zipfile writes it."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", compression) as file:
        for name, content in entries:
            file.writestr(name, content)
    return whole.getvalue()


def npy(array, **options):
    content = io.BytesIO()
    np.save(content, array, **options)
    return content.getvalue()


def put(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    return tmp_path / "a.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_numpys_is_read_by_us(tmp_path, save):
    save(tmp_path / "a.npz", fs=250.0, **COLUMNS)
    with open_source(tmp_path / "a.npz") as source:
        assert source.fs == 250
        assert source.random_access == (save is np.savez)
        assert list(source.specs) == list(COLUMNS)
        for columns, where in ((source.read(), ...), (source.slice(3, 9), slice(3, 9)), (source.take([5, 5]), [5, 5])):
            for name, column in columns.items():
                assert column.dtype == COLUMNS[name].dtype
                assert np.array_equal(column, COLUMNS[name][where])
                column[...] = 0
        assert np.array_equal(source.read()["ecg"], COLUMNS["ecg"])


def test_ours_is_read_by_numpy(tmp_path):
    with open_sink(tmp_path / "a.npz", settings={"fs": 250}) as sink:
        for start in range(0, 20, 6):
            sink.write({name: column[start : start + 6] for name, column in COLUMNS.items()})
    with np.load(tmp_path / "a.npz") as loaded:
        assert loaded.files == [*COLUMNS, "fs"]
        assert loaded["fs"] == 250
        assert all(np.array_equal(loaded[name], column) for name, column in COLUMNS.items())
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        assert file.testzip() is None
    assert list(tmp_path.iterdir()) == [tmp_path / "a.npz"]


def test_large_arrays_are_pages_of_the_file(tmp_path):
    values = np.arange(COPIED_BELOW // 4, dtype=np.float64)
    with open_sink(tmp_path / "a.npz") as sink:
        sink.write({"small": values[:, None].astype("int8"), "ecg": values})
    before = (tmp_path / "a.npz").read_bytes()
    with open_source(tmp_path / "a.npz", columns=["ecg"]) as source:
        source.slice(0, 1)
        tracemalloc.start()
        column = source.read()["ecg"]
        allocated = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert allocated < values.nbytes // 10
        assert column.flags.aligned
        column[:] = 0
        assert np.array_equal(source.slice(5, 9)["ecg"], values[5:9])
    assert (tmp_path / "a.npz").read_bytes() == before


def test_a_piped_archive_has_descriptors(tmp_path):
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.content = b""

        def writable(self):
            return True

        def write(self, piece):
            self.content += bytes(piece)
            return len(piece)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as file:
        file.writestr("a.npy", npy(np.arange(3)))
        file.writestr("b.npy", npy(np.arange(3.0)))
    with open_source(put(tmp_path, pipe.content)) as source:
        assert source.read()["b"].tolist() == [0, 1, 2]


def test_columns_are_chosen_where_lengths_differ(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(3), b=np.arange(4), gain=2.5)
    with pytest.raises(DataError, match="needs columns of one length, got a 3, b 4; choose with `columns`"):
        open_source(tmp_path / "a.npz", columns=["a", "b"])
    with pytest.raises(DataError, match=r"'gain': has shape \(\)"):
        open_source(tmp_path / "a.npz")
    assert open_source(tmp_path / "a.npz", columns=["b"]).rows == 4


def test_a_rate_that_is_none(tmp_path):
    for rate, problem in [(-1.0, "'fs': is -1.0 and no sampling rate"), (np.nan, "'fs': is nan")]:
        np.savez(tmp_path / "a.npz", fs=rate, a=np.arange(3))
        with pytest.raises(DataError, match=problem):
            open_source(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", fs=np.arange(3.0))
    assert open_source(tmp_path / "a.npz").read()["fs"].tolist() == [0, 1, 2]
    with (
        pytest.raises(DataError, match="'fs': has the place of the sampling rate"),
        open_sink(tmp_path / "b.npz", settings={"fs": 3}) as sink,
    ):
        sink.write({"fs": np.arange(3)})


def test_names_in_other_alphabets(tmp_path):
    with open_sink(tmp_path / "a.npz") as sink:
        sink.write({"Spannung µV": np.arange(3)})
    assert list(np.load(tmp_path / "a.npz")) == list(open_source(tmp_path / "a.npz").specs) == ["Spannung µV"]
    with pytest.raises(DataError, match="its name does not fit"), open_sink(tmp_path / "b.npz") as sink:
        sink.write({"a\x1b[31m": np.arange(3)})


# --- archives that lie ------------------------------------------------------------------------------------------------

PLAIN = archive(("a.npy", npy(np.arange(6))), ("b.npy", npy(np.arange(6.0))))
DEFLATED = archive(("a.npy", npy(np.zeros(4096))), compression=zipfile.ZIP_DEFLATED)


def patched(content, find, put_there, *, last=False):
    """The content with bytes at (the first or last occurrence of a signature) + offset replaced."""
    signature, offset = find
    at = (content.rindex(signature) if last else content.index(signature)) + offset
    return content[:at] + put_there + content[at + len(put_there) :]


def both_headers(content, local, central, value):
    return patched(patched(content, (b"PK\3\4", local), value), (b"PK\1\2", central), value)


CENTRAL, END, LOCAL = b"PK\1\2", b"PK\5\6", b"PK\3\4"
HUGE = struct.pack("<I", 1 << 31)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (PLAIN + b"x", "cut off, or something follows"),
        (PLAIN[:-1], "cut off, or something follows"),
        (PLAIN[:-2] + b"\1\0x", "cut off, or something follows"),
        (patched(PLAIN, (END, 20), b"\1\0"), "with a comment"),
        (patched(PLAIN, (END, 4), b"\1"), "a part of several"),
        (patched(PLAIN, (END, 10), b"\1\0"), "a part of several"),
        (patched(PLAIN, (END, 8), b"\1\0\1\0"), "bytes that belong to no entry"),
        (patched(PLAIN, (END, 8), b"\3\0\3\0"), "cannot be read as npz"),
        (patched(PLAIN, (END, 16), HUGE), "does not end at"),
        (patched(PLAIN, (END, 16), b"\xff" * 4), "no place where they stand"),
        (LOCAL + bytes(26) + PLAIN, "does not end at"),
        (patched(PLAIN, (CENTRAL, 42), b"\1"), "begins at byte 1, and the one before ends at 0"),
        (patched(PLAIN, (CENTRAL, 42), bytes(4), last=True), "begins at byte 0, and the one before ends at"),
        (both_headers(PLAIN, 6, 8, b"\1\0"), "is encrypted"),
        (both_headers(PLAIN, 8, 10, b"\x0c\0"), "compressed by method 12 (bzip2)"),
        (patched(PLAIN, (LOCAL, 8), b"\x08\0"), "and the directory disagree"),
        (patched(PLAIN, (LOCAL, 30), b"x"), "and the directory disagree"),
        (patched(PLAIN, (LOCAL, 14), b"\0\0\0\0"), "disagree about its size or checksum"),
        (patched(PLAIN, (CENTRAL, 20), HUGE), "and the directory disagree, or it is cut off"),
        (both_headers(PLAIN, 22, 24, HUGE), "is stored in 176 bytes and declares 2,147,483,648"),
        (both_headers(DEFLATED, 22, 24, HUGE), "cannot become 2,147,483,648 bytes out of"),
        (both_headers(DEFLATED, 22, 24, struct.pack("<I", 32_897)), "its header promises 32,896 bytes in all"),
        (both_headers(PLAIN, 14, 16, b"\0\0\0\0"), r"'a': its checksum (CRC) does not fit its bytes"),
        (both_headers(DEFLATED, 14, 16, b"\0\0\0\0"), r"'a': its checksum (CRC) does not fit its bytes"),
        (archive(("a.npy", npy(np.arange(3))), ("a.txt", b"x")), "its entry 'a.txt' is not an array"),
        (archive((".npy", npy(np.arange(3)))), "its entry '.npy' is not an array"),
        (
            archive(("a.npy", npy(np.array([{}]), allow_pickle=True))),
            "'a': holds object elements, not numbers; no pickles",
        ),
        (archive(("a.npy", npy(np.arange(3)) + b"x")), "'a': its header promises 152 bytes in all, and it has 153"),
        (archive(("a.npy", b"text")), "cannot be read as npz"),
        (archive(), "needs columns of one length, got none"),
    ],
)
def test_lies(tmp_path, content, problem):
    with pytest.raises(DataError, match=r"a\.npz: ") as caught:
        open_source(put(tmp_path, content)).read()
    assert problem in str(caught.value)


def test_two_entries_of_one_name(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        content = archive(("a.npy", npy(np.arange(3))), ("a.npy", npy(np.arange(4))))
    with pytest.raises(DataError, match="two entries of one name"):
        open_source(put(tmp_path, content))


def test_bombs_are_refused_before_they_go_off(tmp_path):
    """What an array becomes is its header's and the directory's word, which must agree, and is never exceeded."""
    content = archive(("a.npy", npy(np.zeros(1 << 25, np.uint8))), compression=zipfile.ZIP_DEFLATED)
    less = struct.pack("<I", 128 + 1000)
    honest_head = npy(np.zeros(1000, np.uint8)) + bytes(1 << 25)
    beyond = both_headers(archive(("a.npy", honest_head), compression=zipfile.ZIP_DEFLATED), 22, 24, less)
    tracemalloc.start()
    for bomb, problem in [
        (both_headers(content, 22, 24, less), "its header promises 33,554,560 bytes in all, and it has 1,128"),
        (both_headers(content, 22, 24, HUGE), "cannot become 2,147,483,648 bytes out of"),
        (beyond, "does not become what it declares"),
    ]:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with pytest.raises(DataError, match=problem):
            open_source(put(tmp_path, bomb)).read()
        assert tracemalloc.get_traced_memory()[1] - before < 1 << 20
    tracemalloc.stop()
