"""Flipped bits and prefixes against the reference libraries: formats with checksums notice them, and of the others what
is read is what the library of the format reads from the same bytes. A few in the quick suite, 500 in the slow one.
"""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from bridgeflow import BridgeflowError, Recording
from tests.recordings.formats.damage import everything, flips, prefixes

X = np.random.default_rng(0).integers(-999, 999, (2, 300)).astype(np.int16)
TONE = (0.4 * np.sin(2 * np.pi * 0.055 * np.arange(2000)) * 32767).astype(np.int16)
MANY = [pytest.param(25, id="25"), pytest.param(500, id="500", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the reference libraries say of damaged files
        yield


def same(arrays, others):
    return len(arrays) == len(others) and all(
        x.shape == y.shape and np.allclose(x, y, rtol=1e-9, atol=1e-12, equal_nan=True)
        for x, y in zip(arrays, others, strict=True)
    )


def counted(folder, write, part, count, reference=None, damage=flips, **options):
    """How many damaged files were refused, and read as the whole one; all others as the reference reads them."""
    original = everything(write(folder / "whole"), **options)
    data = (folder / "whole" / part).read_bytes()
    damaged = flips(data, count) if damage is flips else prefixes(data, 30 if count < 100 else 1500)
    refused = exact = 0
    for number, bad in enumerate(damaged):
        path = write(folder / f"{number}")  # a path of its own: HDF5 shares what it knows of open files
        (folder / f"{number}" / part).write_bytes(bad)
        try:
            arrays = everything(path, **options)
        except BridgeflowError:
            refused += 1
            continue
        if same(arrays, original):
            exact += 1
            continue
        assert reference is not None, f"damage {number} went unnoticed"
        try:
            expected = reference(path)
        except Exception as error:
            raise AssertionError(f"damage {number}: the reference refuses it ({error!r})") from error
        assert same(arrays, expected), f"damage {number} is read in another way"
    return refused, exact


def audio_writer(suffix, subtype):
    soundfile = pytest.importorskip("soundfile")

    def write(folder):
        folder.mkdir()
        soundfile.write(folder / f"a.{suffix}", TONE, 8000, subtype=subtype)
        return folder / f"a.{suffix}"

    return write


def audio_reference(path):
    import soundfile

    frames, _ = soundfile.read(path, dtype="float64", always_2d=True)
    return [frames.T] if len(frames) else []


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize(("suffix", "subtype"), [("flac", "PCM_16"), ("ogg", "VORBIS"), ("ogg", "OPUS")])
def test_formats_of_audio_with_checksums_notice_flips(tmp_path, suffix, subtype, count):
    refused, exact = counted(tmp_path, audio_writer(suffix, subtype), f"a.{suffix}", count)
    assert refused > 0.8 * count
    assert refused + exact == count


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize(("suffix", "subtype"), [("aiff", "PCM_16"), ("wav", "ULAW")])
def test_audio_without_checksums_is_read_as_soundfile_reads_it(tmp_path, suffix, subtype, count):
    counted(tmp_path, audio_writer(suffix, subtype), f"a.{suffix}", count, audio_reference)


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize(
    ("suffix", "subtype"), [("flac", "PCM_16"), ("ogg", "VORBIS"), ("ogg", "OPUS"), ("aiff", "PCM_16"), ("wav", "ULAW")]
)
def test_every_prefix_of_audio_is_refused(tmp_path, suffix, subtype, count):
    refused, exact = counted(tmp_path, audio_writer(suffix, subtype), f"a.{suffix}", count, damage=prefixes)
    assert refused > 25
    assert exact == 0


def hdf5_writer(checksums):
    h5py = pytest.importorskip("h5py")

    def write(folder):
        folder.mkdir()
        if checksums:
            return Recording.from_arrays(X, fs=250).write(folder / "a.h5").path
        with h5py.File(folder / "a.h5", "w") as file:
            file.create_dataset("signal", data=X.T).attrs["fs"] = 250.0
        return folder / "a.h5"

    return write


def hdf5_reference(path):
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        values = file["signal"][:].astype(np.float64).T
    return [values]


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("damage", [flips, prefixes])
def test_hdf5_is_read_as_h5py_reads_it(tmp_path, checksums, damage, count):
    counted(tmp_path, hdf5_writer(checksums), "a.h5", count, hdf5_reference, damage)


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize("damage", [flips, prefixes])
def test_chunks_of_zarr_notice_damage(tmp_path, damage, count):
    pytest.importorskip("zarr")

    def write(folder):
        folder.mkdir()
        return Recording.from_arrays(X, fs=250).write(folder / "a.zarr").path

    refused, _ = counted(tmp_path, write, "a.zarr/c/0/0", count, damage=damage)
    assert refused >= min(count, 25)


def write_csv(folder):
    folder.mkdir()
    rows = "\n".join(f"{n},{n * 0.37}" for n in range(80))
    (folder / "a.csv").write_text(f"x,y\n{rows}\n")
    return folder / "a.csv"


def csv_reference(path):
    """The columns of numbers: one with a text in it is no channel."""
    table = csv.read_csv(path)
    numbers = [
        column.to_numpy()
        for column in table.columns
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    ]
    return [np.stack(numbers).astype(np.float64)] if len(numbers[0]) else []


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize("damage", [flips, prefixes])
def test_csv_is_read_as_pyarrow_reads_it(tmp_path, damage, count):
    counted(tmp_path, write_csv, "a.csv", count, csv_reference, damage, fs=10)


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize("damage", [flips, prefixes])
def test_samples_of_wfdb_are_read_as_wfdb_reads_them(tmp_path, damage, count):
    wfdb = pytest.importorskip("wfdb")

    def write(folder):
        folder.mkdir()
        return Recording.from_arrays(X, fs=250, scale=0.005).write(folder / "a.hea").path

    def reference(path):
        return [wfdb.rdrecord(str(path.with_suffix("")), return_res=64).p_signal.T]

    counted(tmp_path, write, "a.dat", count, reference, damage, nulls="nan")


@pytest.mark.parametrize("count", MANY)
@pytest.mark.parametrize("damage", [flips, prefixes])
def test_miniseed_is_read_as_obspy_reads_it(tmp_path, damage, count):
    obspy = pytest.importorskip("obspy")

    def write(folder):
        folder.mkdir()
        header = {"network": "XX", "station": "A", "channel": "BHZ", "sampling_rate": 20}
        trace = obspy.Trace(np.cumsum(X[0]).astype(np.int32), header)
        trace.write(str(folder / "a.mseed"), format="MSEED", encoding="STEIM2", reclen=512)
        return folder / "a.mseed"

    def reference(path):
        traces = sorted(obspy.read(str(path), format="MSEED"), key=lambda one: (one.id, one.stats.starttime))
        return [one.data[np.newaxis].astype(np.float64) for one in traces]

    counted(tmp_path, write, "a.mseed", count, reference, damage)
