"""Tar shards of WebDataset's own writers, read by ours; ours, read by WebDataset; archives that mean harm."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow import Loader, SignalDataset, SignalFilter
from bridgeflow.config import load_job
from bridgeflow.engines.shards import run_shards
from bridgeflow.errors import DataError, NotSupported
from bridgeflow.io import open_sink, open_source

wds = pytest.importorskip("webdataset")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # webdataset leaves its files to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

N = 7
ECG = np.random.default_rng(0).standard_normal((N, 2, 32)).astype("float32")
BUTTER = SignalFilter(design="butter", order=4, cutoff=20.0, fs=100.0, keys="ecg")


def sample(row: int) -> dict[str, Any]:
    return {
        "__key__": f"patient/{row:04d}",
        "ecg.npy": ECG[row],
        "cls": row % 3,
        "meta.json": {"age": 40 + row, "note": "ü"},
        "txt": f"row {row}",
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards as WebDataset writes them, of 3, 3 and 1 rows."""
    folder = tmp_path_factory.mktemp("shards")
    with wds.ShardWriter(str(folder / "part-%03d.tar"), maxcount=3, verbose=0) as sink:
        for row in range(N):
            sink.write(sample(row))
    return folder


class TestTheirShards:
    def test_are_rows_with_a_column_of_each_ending(self, folder: Path):
        with open_source(folder / "part-000.tar") as source:
            assert source.random_access
            assert source.specs["ecg"].shape == (3, 2, 32)
            columns = source.take([2, 0])
        assert sorted(columns) == ["__key__", "cls", "ecg", "meta", "txt"]
        assert np.array_equal(columns["ecg"], ECG[[2, 0]])
        assert columns["cls"].tolist() == [2, 0]
        assert columns["txt"].to_pylist() == ["row 2", "row 0"]
        assert columns["meta"].to_pylist() == [{"age": 42, "note": "ü"}, {"age": 40, "note": "ü"}]
        assert columns["__key__"].to_pylist() == ["patient/0002", "patient/0000"]

    @pytest.mark.parametrize("mapped", [True, False])
    def test_a_folder_of_shards_is_one_source(self, folder: Path, mapped: bool):
        with open_source(folder, columns=["ecg", "cls"], mapped=mapped) as source:
            assert source.rows == N
            assert np.array_equal(source.read()["ecg"], ECG)
            assert np.array_equal(source.take([6, 3, 0])["ecg"], ECG[[6, 3, 0]])

    @pytest.mark.parametrize("workers", [0, 2])
    def test_loader_shuffles_and_filters_them(self, folder: Path, workers: int):
        loader = Loader(SignalDataset(folder, BUTTER), 3, shuffle=True, seed=1, num_workers=workers)
        own = SignalDataset({"ecg": ECG}, BUTTER)
        for batch in loader:
            rows = [int(key[-4:]) for key in batch["__key__"]]
            assert torch.equal(batch["ecg"], own.batch(rows)["ecg"])
            assert batch["cls"].tolist() == [row % 3 for row in rows]
        loader.close()

    def test_arrays_of_any_order_and_scalars(self, tmp_path: Path):
        with wds.TarWriter(str(tmp_path / "odd.tar")) as sink:
            for row in range(3):
                sink.write({"__key__": f"{row}", "f.npy": np.asfortranarray(ECG[row]), "n.npy": np.float64(row / 2)})
        columns = open_source(tmp_path / "odd.tar").read()
        assert np.array_equal(columns["f"], ECG[:3])
        assert columns["n"].tolist() == [0.0, 0.5, 1.0]

    def test_rows_of_unequal_length(self, tmp_path: Path):
        with wds.TarWriter(str(tmp_path / "ragged.tar")) as sink:
            for row in range(3):
                sink.write({"__key__": f"{row}", "x.npy": ECG[row][:, : 4 + row]})
        batch = SignalDataset(tmp_path / "ragged.tar", kind="numpy", ragged="pad").batch([0, 2])
        assert batch["x_length"].tolist() == [4, 6]
        assert np.array_equal(batch["x"][1], ECG[2][:, :6])

    @pytest.mark.parametrize("kind", ["wav", "flac"])
    def test_audio_is_decoded_when_it_is_asked_for(self, tmp_path: Path, kind: str):
        soundfile = pytest.importorskip("soundfile")
        with wds.TarWriter(str(tmp_path / "audio.tar")) as sink:
            for row in range(3):
                file = io.BytesIO()
                soundfile.write(file, np.full(100 + row, row / 4), 8000, format=kind.upper(), subtype="PCM_16")
                sink.write({"__key__": f"{row}", f"speech.{kind}": file.getvalue(), "cls": row})
        sample = SignalDataset(tmp_path / "audio.tar", kind="numpy")[2]
        np.testing.assert_array_equal(sample["speech"], np.full(102, 0.5, "float32"))
        assert sample["speech_fs"] == 8000
        assert sample["cls"] == 2

    def test_names_that_two_endings_share_stay_whole(self, tmp_path: Path):
        with wds.TarWriter(str(tmp_path / "both.tar")) as sink:
            sink.write({"__key__": "a", "ecg.npy": ECG[0], "ecg.json": [1], "json": {"a": 1}})
        assert sorted(open_source(tmp_path / "both.tar").specs) == ["__key__", "ecg.json", "ecg.npy", "json"]

    def test_pickles_are_not_opened(self, tmp_path: Path):
        with wds.TarWriter(str(tmp_path / "pickled.tar")) as sink:
            sink.write({"__key__": "a", "ecg.npy": ECG[0], "state.pyd": {"a": 1}})
        with pytest.raises(NotSupported, match="column 'state': is of pyd files, which are pickles"):
            open_source(tmp_path / "pickled.tar")
        assert np.array_equal(open_source(tmp_path / "pickled.tar", columns=["ecg"]).read()["ecg"], ECG[:1])

    def test_a_row_that_lacks_a_file_is_named(self, tmp_path: Path):
        with wds.TarWriter(str(tmp_path / "holed.tar")) as sink:
            sink.write({"__key__": "a", "ecg.npy": ECG[0], "cls": 1})
            sink.write({"__key__": "b", "ecg.npy": ECG[1]})
        with pytest.raises(DataError, match=r"column 'cls': there is no 'b\.cls'"):
            open_source(tmp_path / "holed.tar")
        assert open_source(tmp_path / "holed.tar", columns=["ecg"]).rows == 2


def archive(path: Path, *files: tuple[str, bytes], change: Any = None, **info: Any) -> Path:
    """A tar file of these members; `info` are attributes of the last one, `change` of its bytes."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for number, (name, content) in enumerate(files):
            one = tarfile.TarInfo(name)
            one.size = len(content)
            if number == len(files) - 1:
                for key, value in info.items():
                    setattr(one, key, value)
            tar.addfile(one, io.BytesIO(content))
    if change is not None:
        path.write_bytes(change(path.read_bytes()))
    return path


def header(name: bytes, size: bytes) -> bytes:
    """A header block with a size field of one's own and the checksum that fits."""
    block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    block[:100] = name.ljust(100, b"\0")
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


class TestHostileArchives:
    @pytest.mark.parametrize(
        "name", ["/etc/passwd.npy", "../up.npy", "a/../../b.npy", "a\\b.npy", "a\x1b[2J.npy"], ids=repr
    )
    def test_names_that_lead_elsewhere(self, tmp_path: Path, name: str):
        with pytest.raises(DataError, match=r"has a member named .*; names are relative"):
            open_source(archive(tmp_path / "a.tar", (name, b"")))

    @pytest.mark.parametrize(
        ("kind", "what"),
        [(tarfile.SYMTYPE, "a symbolic link"), (tarfile.LNKTYPE, "a link"), (tarfile.CHRTYPE, "a device"),
         (tarfile.FIFOTYPE, "a pipe")],
        ids=["symbolic link", "link", "device", "pipe"],
    )  # fmt: skip
    def test_links_and_devices(self, tmp_path: Path, kind: bytes, what: str):
        path = archive(tmp_path / "a.tar", ("a.npy", b""), type=kind, linkname="/etc/passwd")
        with pytest.raises(NotSupported, match=f"'a.npy' is {what}"):
            open_source(path)

    @pytest.mark.parametrize(
        "size",
        [b"77777777777\0", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"00000001001\0"],
        ids=["octal", "base 256", "negative", "by one byte"],
    )
    def test_sizes_beyond_the_end(self, tmp_path: Path, size: bytes):
        (tmp_path / "a.tar").write_bytes(header(b"a.npy", size) + bytes(512))
        with pytest.raises(DataError, match="which lie beyond the end"):
            open_source(tmp_path / "a.tar")

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            (lambda data: data[:1024], "has no end"),
            (lambda data: b"X" + data[1:], "is not a tar file"),
            (
                lambda data: data[:124] + b"12z45678901\0" + data[136:],
                "checksum|in the place of a number|not a tar file",
            ),
            (lambda data: data[:1030], "has no end"),
            (lambda data: b"", "is empty|has no end"),
        ],
        ids=["no end", "checksum", "no number", "half a block", "empty"],
    )
    def test_damage(self, tmp_path: Path, change: Any, problem: str):
        file = io.BytesIO()
        np.save(file, ECG[0])
        path = archive(tmp_path / "a.tar", ("a.npy", file.getvalue()), change=change)
        with pytest.raises(DataError, match=problem):
            open_source(path)

    def test_extended_headers_that_lie(self, tmp_path: Path):
        for content in (b"99 path=x\n", b"path=x\n", b"9 path=\xff\n", b"12 size=99999\n"):
            block = bytearray(tarfile.TarInfo("pax").tobuf(tarfile.USTAR_FORMAT))
            block[156:157] = b"x"
            block[124:136] = b"%011o\0" % len(content)
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
            data = bytes(block) + content.ljust(512, b"\0") + header(b"a.txt", b"00000000000\0") + bytes(1024)
            (tmp_path / "a.tar").write_bytes(data)
            with pytest.raises(DataError):
                open_source(tmp_path / "a.tar")

    def test_arrays_that_promise_more_than_there_is(self, tmp_path: Path):
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)})
        with pytest.raises(DataError, match="promises another number of bytes"):
            open_source(archive(tmp_path / "a.tar", ("a.npy", file.getvalue())))

    @pytest.mark.parametrize(
        ("name", "content"),
        [("a.json", b"[" * 100_000), ("a.json", b"{"), ("a.cls", b"1.5"), ("a.cls", b"9" * 5000), ("a.txt", b"\xff")],
        ids=["deep", "broken", "no integer", "long", "not UTF-8"],
    )
    def test_values_that_cannot_be_read(self, tmp_path: Path, name: str, content: bytes):
        with pytest.raises(DataError, match="cannot be read"):
            open_source(archive(tmp_path / "a.tar", (name, content)))

    def test_objects_are_refused(self, tmp_path: Path):
        file = io.BytesIO()
        np.save(file, np.array([{"a": 1}], object), allow_pickle=True)
        with pytest.raises(NotSupported, match="no pickles are opened"):
            open_source(archive(tmp_path / "a.tar", ("a.npy", file.getvalue())))

    def test_rows_whose_files_are_scattered(self, tmp_path: Path):
        path = archive(tmp_path / "a.tar", ("a.txt", b"1"), ("b.txt", b"2"), ("a.cls", b"3"))
        with pytest.raises(DataError, match="the files of the row 'a' do not follow each other"):
            open_source(path)

    def test_long_names_and_folders_are_read(self, tmp_path: Path):
        name = "folder/" * 30 + "a.txt"
        path = tmp_path / "a.tar"
        for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            with tarfile.open(path, "w", format=form) as tar:
                folder = tarfile.TarInfo("folder")
                folder.type = tarfile.DIRTYPE
                tar.addfile(folder)
                one = tarfile.TarInfo(name)
                one.size = 2
                tar.addfile(one, io.BytesIO(b"ok"))
            columns = open_source(path).read()
            assert columns["txt"].to_pylist() == ["ok"]
            assert columns["__key__"].to_pylist() == [name.removesuffix(".txt")]


class TestOurShards:
    COLUMNS = {  # noqa: RUF012
        "ecg": ECG,
        "label": np.arange(N),
        "weight": np.linspace(0, 1, N).astype("float32"),
        "name": pa.array([f"ü{row}" for row in range(N)]),
        "beats": pa.array([list(range(row)) for row in range(N)], pa.list_(pa.int32())),
        "meta": pa.array([{"age": row} for row in range(N)]),
    }

    def write(self, path: Path, *cuts: int, **options: Any) -> Path:
        with open_sink(path, **options) as sink:
            for start, stop in zip((0, *cuts), (*cuts, N), strict=True):
                sink.write({name: column[start:stop] for name, column in self.COLUMNS.items()})
        return path

    def test_webdataset_reads_them(self, tmp_path: Path):
        rows = list(
            wds.WebDataset(str(self.write(tmp_path / "ours.tar", settings={"fs": 100})), shardshuffle=False).decode()
        )
        assert len(rows) == N
        for number, row in enumerate(rows):
            assert row["__key__"] == f"{number:09d}"
            assert np.array_equal(row["ecg.npy"], ECG[number])
            assert row["label.cls"] == number
            assert row["weight.npy"] == self.COLUMNS["weight"][number]
            assert row["name.txt"] == f"ü{number}"
            assert row["beats.npy"].tolist() == list(range(number))
            assert row["meta.json"] == {"age": number}

    def test_come_back_as_they_went(self, tmp_path: Path):
        with open_source(self.write(tmp_path / "ours.tar", settings={"fs": 100, "note": "ü"})) as source:
            assert source.fs == 100
            assert source.settings == {"fs": 100, "note": "ü"}
            columns = source.read()
        for name, column in self.COLUMNS.items():
            if isinstance(column, np.ndarray):
                assert columns[name].dtype == column.dtype
                assert np.array_equal(columns[name], column)
            elif name != "beats":
                assert columns[name].to_pylist() == column.to_pylist()
        assert [row.tolist() for row in columns["beats"]] == self.COLUMNS["beats"].to_pylist()

    def test_bytes_do_not_depend_on_the_cuts(self, tmp_path: Path):
        one = self.write(tmp_path / "one.tar").read_bytes()
        assert self.write(tmp_path / "many.tar", 1, 2, 6).read_bytes() == one
        assert len(one) % 512 == 0
        with tarfile.open(tmp_path / "one.tar") as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.uname, member.mode) == (0, 0, "", 0o444)

    def test_keys_are_the_callers(self, tmp_path: Path):
        with open_sink(tmp_path / "a.tar") as sink:
            sink.write({"__key__": pa.array(["p1/a", "p1/b"]), "x": np.arange(2.0)})
        assert [row["__key__"] for row in wds.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False)] == [
            "p1/a",
            "p1/b",
        ]
        for wrong in ("a.b", "../a", "/a", "p1/", "a\n"):
            with pytest.raises(DataError), open_sink(tmp_path / "b.tar") as sink:
                sink.write({"__key__": pa.array([wrong]), "x": np.arange(1.0)})
        with pytest.raises(DataError, match="no row has that of another"), open_sink(tmp_path / "b.tar") as sink:
            sink.write({"__key__": pa.array(["a", "a"]), "x": np.arange(2.0)})

    @pytest.mark.parametrize(
        ("columns", "problem"),
        [
            ({"a/b": np.arange(2)}, "its name cannot be the ending"),
            ({".a": np.arange(2)}, "its name cannot be the ending"),
            ({"A": np.arange(2), "a": np.arange(2)}, "differ by more than their case"),
            ({"a": pa.array([1.0, None])}, "holds nulls"),
            ({"a": pa.array([{"x": float("nan")}, {"x": 1.0}])}, "no place in JSON"),
            ({"a" * 120: np.arange(2)}, "cannot be the name of a file"),
        ],
        ids=["slash", "dot", "case", "null", "NaN", "long"],
    )
    def test_what_they_cannot_hold(self, tmp_path: Path, columns: dict[str, Any], problem: str):
        with pytest.raises(DataError, match=problem), open_sink(tmp_path / "a.tar") as sink:
            sink.write(columns)
        assert not (tmp_path / "a.tar").exists()

    def test_one_type_and_shape_throughout(self, tmp_path: Path):
        for first, then in (
            (np.zeros((1, 3)), np.zeros((1, 4))),
            (np.zeros(1), np.zeros(1, "float32")),
            (pa.array(["a"]), pa.array([["a"]])),
        ):
            with pytest.raises(DataError, match="after"):  # noqa: PT012, SIM117
                with open_sink(tmp_path / "a.tar") as sink:
                    sink.write({"x": first})
                    sink.write({"x": then})

    def test_a_job_writes_a_folder_of_them(self, tmp_path: Path):
        """The commit protocol of every format: shards, their hashes in the manifest, again the same bytes."""
        with open_sink(tmp_path / "rows.parquet", settings={"fs": 100}) as sink:
            sink.write({"ecg": ECG, "label": np.arange(N)})
        (tmp_path / "job.yaml").write_text(
            "version: 1\nsource: {parquet: rows.parquet}\n"
            "transforms: [{SignalFilter: {design: butter, order: 4, cutoff: 20.0, fs: 100.0, keys: [ecg]}}]\n"
            "sink: {webdataset: shards/, shard_rows: 3}\n"
        )
        run_shards(load_job(tmp_path / "job.yaml", roots=[tmp_path]))
        manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text())
        shards = sorted((tmp_path / "shards").rglob("*.tar"))
        assert len(shards) == 3
        assert all(shard.name in json.dumps(manifest) for shard in shards)
        rows = list(wds.WebDataset([str(shard) for shard in shards], shardshuffle=False).decode())
        expected = SignalDataset({"ecg": ECG}, BUTTER, kind="numpy").batch(slice(None))["ecg"]
        assert np.array_equal(np.stack([row["ecg.npy"] for row in rows]), expected)
        assert [row["label.cls"] for row in rows] == list(range(N))
        assert SignalDataset(tmp_path / "shards").batch([N - 1])["label"].tolist() == [N - 1]
