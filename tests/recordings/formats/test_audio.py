"""Audio against soundfile; files that are damaged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bridgeflow import DataError, Recording

soundfile = pytest.importorskip("soundfile")

KINDS = [
    ("flac", "PCM_16", "int16"),
    ("flac", "PCM_24", "int32"),
    ("ogg", "VORBIS", "float32"),
    ("ogg", "OPUS", "float32"),
    ("mp3", "MPEG_LAYER_III", "float32"),
    ("aiff", "PCM_16", "int16"),
    ("wav", "ULAW", "float32"),
    ("wav", "PCM_16", "int16"),
    ("wav", "FLOAT", "float32"),
]


def write(path, subtype, *, frames=8000, channels=2):
    time = np.arange(frames)[:, np.newaxis] / 8000
    x = 0.5 * np.sin(2 * np.pi * time * np.array([440, 99])[:channels])
    soundfile.write(path, x, 8000, subtype=subtype)
    return path


def reference(path):
    x, _ = soundfile.read(path, dtype="float64", always_2d=True)
    return [x.T]


@pytest.mark.parametrize(("suffix", "subtype", "dtype"), KINDS, ids=lambda one: one)
def test_values_equal_those_of_soundfile(tmp_path, suffix, subtype, dtype):
    path = write(tmp_path / f"a.{suffix}", subtype)
    column = Recording.open(path).columns["signal"]
    expected = reference(path)[0]
    assert (column.fs, column.shape, column.length, column.dtype) == (
        soundfile.info(path).samplerate,
        (2,),
        expected.shape[1],
        dtype,
    )
    values = column.read(0, column.length, units="physical")
    assert np.allclose(values, expected, rtol=0, atol=0 if dtype.startswith("int") else 1e-7)
    assert np.array_equal(column.read(0, column.length, units="physical"), values)


@pytest.mark.parametrize(("suffix", "subtype"), [("flac", "PCM_16"), ("aiff", "PCM_16"), ("wav", "ULAW")])
def test_stretches_in_threads(tmp_path, suffix, subtype):
    column = Recording.open(write(tmp_path / f"a.{suffix}", subtype)).columns["signal"]
    whole = column.read(0, 8000)
    spans = np.sort(np.random.default_rng(0).integers(0, 8001, (60, 2)), axis=1).tolist()
    with ThreadPoolExecutor(8) as pool:
        for (start, stop), x in zip(spans, pool.map(lambda span: column.read(*span), spans), strict=True):
            assert np.array_equal(x, whole[:, start:stop])


def test_a_cut_flac_file_is_refused(tmp_path):
    path = write(tmp_path / "a.flac", "PCM_16")
    path.write_bytes(path.read_bytes()[:-2000])
    column = Recording.open(path).columns["signal"]
    with pytest.raises(DataError, match=r"a\.flac"):
        column.read(0, column.length)
    with pytest.raises(ValueError, match=r"fs: .* says its sampling rate; leave fs out"):
        Recording.open(path, fs=100)
