"""Recordings by URL: what the files of this machine give, or a refusal that says to download."""

import shutil
from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from bridgeflow import Recording, Recordings, SignalDataset, Window
from bridgeflow.errors import DataError, NotSupported, StoreError
from bridgeflow.io import open_sink
from tests.store_fixtures import bucket, moto_port, quickly, s3, web

__all__ = ["bucket", "moto_port", "quickly", "s3", "web"]

FS = 200
SIGNAL = np.random.default_rng(0).integers(-2000, 2000, (2, 40_000)).astype(np.int16)


def write(folder, suffix):
    """A file of a recording, and the options to open it with."""
    path = folder / f"night.{suffix}"
    recording = Recording.from_arrays(SIGNAL, fs=FS, channels=["C3", "C4"], unit="uV")
    if suffix == "csv":
        table = pa.table({"C3": SIGNAL[0], "C4": SIGNAL[1]})
        csv.write_csv(table, path)
        return path, {"fs": FS}
    if suffix in ("npy", "wav"):
        with open_sink(path, settings={"fs": FS}) as sink:
            sink.write({"values": SIGNAL.T})
        return path, {"fs": FS} if suffix == "npy" else {}
    recording.write(path, lossy=True)
    return path, {"fs": FS} if suffix in ("parquet", "arrow", "h5") else {}


@pytest.mark.parametrize("suffix", ["edf", "bdf", "flac", "h5", "parquet", "arrow", "csv", "npy", "wav"])
def test_samples_are_those_of_the_file(web, tmp_path, suffix):
    for package in {"flac": ("soundfile",), "h5": ("h5py",)}.get(suffix, ()):
        pytest.importorskip(package)
    path, options = write(tmp_path, suffix)
    if suffix in ("parquet", "arrow", "h5"):
        try:
            Recording.open(path)
            options = {}
        except DataError:
            pass
    web.files[f"/night.{suffix}"] = path.read_bytes()
    near, far = Recording.open(path, **options), Recording.open(f"{web.url}/night.{suffix}", **options)
    assert far.id == "night"
    assert list(far.columns) == list(near.columns)
    for name, column in near.columns.items():
        assert np.array_equal(far.columns[name].read(1000, 5000), column.read(1000, 5000))
        assert np.array_equal(far.columns[name].read(0, column.length), column.read(0, column.length))


@pytest.mark.parametrize("suffix", ["edf", "flac"])
def test_another_version_is_an_error(web, tmp_path, suffix, quickly):
    if suffix == "flac":
        pytest.importorskip("soundfile")
    quickly(block_nbytes=4096, read_ahead_nbytes=0)
    path, _ = write(tmp_path, suffix)
    web.files[f"/night.{suffix}"] = path.read_bytes()
    far = Recording.open(f"{web.url}/night.{suffix}")
    (column, *_) = far.columns.values()
    column.read(0, 10)
    web.etags[f"/night.{suffix}"] = '"2"'
    with pytest.raises(DataError, match="has changed since"):
        column.read(20_000, 40_000)


def test_windows_of_recordings_on_a_store(bucket, s3, tmp_path):
    for number in range(3):
        path, _ = write(tmp_path, "edf")
        s3.put_object(Bucket=bucket, Key=f"in/{number}.edf", Body=path.read_bytes())
        shutil.move(path, tmp_path / f"{number}.edf")
    far, near = Recordings(f"s3://{bucket}/in/*.edf"), Recordings(str(tmp_path / "*.edf"))
    assert [one.id for one in far] == [one.id for one in near] == ["0", "1", "2"]
    assert [one.id for one in Recordings(f"s3://{bucket}/in")] == ["0", "1", "2"]
    window = Window(length=500)
    assert np.array_equal(
        np.asarray(SignalDataset(far, window)[7]["signal"]), np.asarray(SignalDataset(near, window)[7]["signal"])
    )


def test_an_index_of_urls_is_saved_and_notices_changes(bucket, s3, tmp_path):
    path, _ = write(tmp_path, "edf")
    s3.put_object(Bucket=bucket, Key="a.edf", Body=path.read_bytes())
    Recordings(f"s3://{bucket}/a.edf").save(tmp_path / "index.arrow")
    assert np.array_equal(
        Recordings.load(tmp_path / "index.arrow")[0].columns["signal"].read(0, 40_000),
        Recording.open(path).columns["signal"].read(0, 40_000),
    )
    s3.put_object(Bucket=bucket, Key="a.edf", Body=path.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match="has changed since its header was read"):
        Recordings.load(tmp_path / "index.arrow")
    with pytest.raises(NotSupported, match="takes files of this machine alone"):
        Recordings(path).save(f"s3://{bucket}/index.arrow")


def test_tables_name_urls(web, tmp_path):
    path, _ = write(tmp_path, "edf")
    web.files["/in/a.edf"] = web.files["/in/b.edf"] = path.read_bytes()
    web.files["/in/table.csv"] = b"path,age\na.edf,30\nb.edf,40\n"
    assert Recordings.from_table(f"{web.url}/in/table.csv").labels("age") == [30, 40]
    table = {"path": [f"{web.url}/in/a.edf", str(path)], "id": ["far", "near"]}
    assert [one.id for one in Recordings.from_table(table, id="id")] == ["far", "near"]


@pytest.mark.parametrize("name", ["a.hea", "a.zarr", "a.mseed"])
def test_what_cannot_be_read_over_a_url_says_so(web, name):
    web.files[f"/{name}"] = b"something"
    with pytest.raises(NotSupported, match="download first"):
        Recording.open(f"{web.url}/{name}")


def test_recordings_follow_no_redirect_to_another_host(web, tmp_path):
    path, _ = write(tmp_path, "edf")
    web.files["/a.edf"] = path.read_bytes()
    web.redirects["/here.edf"] = "/a.edf"
    web.redirects["/there.edf"] = f"http://localhost:{web.server_port}/a.edf"
    assert Recording.open(f"{web.url}/here.edf").columns
    with pytest.raises(StoreError, match=r"is redirected to .* which is not allowed"):
        Recording.open(f"{web.url}/there.edf")


def test_every_third_request_fails(web, tmp_path, quickly):
    quickly(block_nbytes=4096)
    path, _ = write(tmp_path, "edf")
    web.files["/a.edf"] = path.read_bytes()
    web.fail_every = 3
    far = Recording.open(f"{web.url}/a.edf")
    assert np.array_equal(far.columns["signal"].read(0, 40_000), Recording.open(path).columns["signal"].read(0, 40_000))


def test_npz_bytes(web):
    file = BytesIO()
    np.savez(file, ecg=SIGNAL[0], fs=250.0)
    web.files["/a.npz"] = file.getvalue()
    assert SignalDataset(f"{web.url}/a.npz").source.fs == 250.0
