"""HDF5, Zarr, CSV and files of rows: values, rates, names, missing values; files that are damaged."""

from __future__ import annotations

import shutil
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bridgeflow import DataError, Recording
from tests.recordings.formats.damage import flips, prefixes

X = np.random.default_rng(0).integers(-1000, 1000, (3, 500)).astype(np.int16)


def write_hdf5(path, x=X, **options):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        array = file.create_dataset("run/acceleration", data=x, **options)
        array.attrs["fs"] = 1000.0
        array.attrs["units"] = "g"
        array.attrs["channels"] = ["x", "y", "z"]
        file["time"] = "not numbers"
    return path


def write_zarr(path, x=X, **options):
    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(str(path), mode="w")
    array = root.create_array("run/acceleration", data=x, chunks=(2, 128), **options)
    array.attrs.update({"fs": 1000, "units": "g", "channels": ["x", "y", "z"]})
    return path


WRITERS = {"h5": write_hdf5, "zarr": write_zarr}


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_array_in_a_container(tmp_path, suffix):
    path = WRITERS[suffix](tmp_path / f"a.{suffix}")
    for inside in (None, "run/acceleration", "/run/acceleration"):
        recording = Recording.open(path, inside=inside, time_axis=-1)
        assert [(one.name, one.unit, one.fs) for one in recording.channels] == [(n, "g", 1000.0) for n in "xyz"]
        column = recording.columns["signal"]
        assert column.dtype == np.int16
        assert np.array_equal(column.read(0, 500), X)
        assert np.array_equal(column.read(100, 300), X[:, 100:300])
        assert np.array_equal(recording.pick(["z", "x"]).columns["signal"].read(7, 8), X[[2, 0], 7:8])
    with pytest.raises(DataError, match=r"has no array 'run/accel'.*did you mean 'run/acceleration'"):
        Recording.open(path, inside="run/accel")


@pytest.mark.parametrize("suffix", WRITERS)
def test_time_along_the_first_axis(tmp_path, suffix):
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", X.T[:, :2])
    column = Recording.open(path).columns["signal"]
    assert (column.shape, column.length) == ((2,), 500)
    assert np.array_equal(column.read(9, 99), X[:2, 9:99])


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_containers_in_other_processes(tmp_path, suffix, method):
    column = Recording.open(WRITERS[suffix](tmp_path / f"a.{suffix}"), time_axis=-1).columns["signal"]
    column.read(0, 10)
    with get_context(method).Pool(2) as pool:
        for x in pool.starmap(column.read, [(10, 490)] * 4):
            assert np.array_equal(x, X[:, 10:490])


def test_hdf5_whose_values_lie_elsewhere(tmp_path):
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret.bin").write_bytes(bytes(800))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (100,), "f8", external=[(str(tmp_path / "secret.bin"), 0, 800)])
    with pytest.raises(DataError, match="has its values in other files"):
        Recording.open(tmp_path / "a.h5", fs=1)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = h5py.ExternalLink(str(write_hdf5(tmp_path / "c.h5")), "run/acceleration")
    with pytest.raises(DataError, match="has 0 arrays"):
        Recording.open(tmp_path / "b.h5", fs=1)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_dataset("x", (1 << 40,), "f8", chunks=(1024,))
    with pytest.raises(DataError, match="and holds none"):
        Recording.open(tmp_path / "d.h5", fs=1)


@pytest.mark.parametrize("damage", [prefixes, flips], ids=["prefix", "flip"])
@pytest.mark.parametrize("name", ["zarr.json", "c/0/0"])
def test_damaged_zarr(tmp_path, damage, name):
    path = write_zarr(tmp_path / "a.zarr")
    file = path / "run" / "acceleration" / name
    data = file.read_bytes()
    for number, bad in enumerate(damage(data)):
        if number % 10 == 0:
            file.write_bytes(bad)
            try:
                recording = Recording.open(path, time_axis=-1)
                recording.columns["signal"].read(0, 200)
            except DataError:
                continue
    shutil.rmtree(path)
    with pytest.raises(DataError, match="no such file"):
        Recording.open(path)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "arrow", "npy", "npz"])
def test_rows(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    names = ["x", "y", "z"]
    if suffix in ("csv", "tsv"):
        lines = [["what", *names], *(["walk", *row] for row in X.T)]
        path.write_text("\n".join(("," if suffix == "csv" else "\t").join(map(str, line)) for line in lines) + "\n")
    elif suffix == "npy":
        np.save(path, X.T)
        names = ["signal0", "signal1", "signal2"]
    elif suffix == "npz":
        np.savez(path, **dict(zip(names, X, strict=True)))
    else:
        table = pa.table({"what": ["walk"] * 500, **dict(zip(names, X, strict=True))})
        if suffix == "parquet":
            pq.write_table(table, path)
        else:
            with pa.ipc.new_file(str(path), table.schema) as writer:
                writer.write_table(table)
    recording = Recording.open(path, fs=50)
    assert len(recording.channels) == 3
    if suffix != "npy":
        assert [one.name for one in recording.channels] == names
    column = recording.columns["signal"]
    assert column.fs == 50
    assert np.array_equal(column.read(0, 500), X)
    assert np.array_equal(column.read(13, 77), X[:, 13:77])
    with pytest.raises(DataError, match=r"does not say its sampling rate; give it with `fs`"):
        Recording.open(path)
    with pytest.raises(ValueError, match="inside: is for hdf5 and zarr"):
        Recording.open(path, fs=50, inside="x")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_missing_values_of_rows(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    values = [1.5, 2.5, None, 4.5, 5.5, None]
    if suffix == "csv":
        path.write_text("x\n" + "\n".join("" if one is None else str(one) for one in values) + "\n", "utf-8")
        path.write_text("x,n\n" + "\n".join(f"{'' if one is None else one},1" for one in values) + "\n", "utf-8")
    else:
        pq.write_table(pa.table({"x": values, "n": [1] * 6}), path)
    with pytest.raises(DataError, match="null"):
        Recording.open(path, fs=1)
    column = Recording.open(path, fs=1, nulls="nan").pick("x").columns["signal"]
    assert np.array_equal(column.read(0, 6)[0], [1.5, 2.5, np.nan, 4.5, 5.5, np.nan], equal_nan=True)
    column = Recording.open(path, fs=1, nulls="gap").pick("x").columns["signal"]
    assert column.segments == ((0, 2), (3, 5))
    assert column.onsets == (0.0, 3.0)
    assert column.read(3, 5).tolist() == [[4.5, 5.5]]


def test_an_unknown_suffix(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"1")
    with pytest.raises(DataError, match=r"no format has the suffix '.xyz'; name the format"):
        Recording.open(tmp_path / "a.xyz")
    with pytest.raises(ValueError, match="format: no format 'edff'; did you mean 'edf'"):
        Recording.open(tmp_path / "a.xyz", format="edff")
