"""MiniSEED against obspy: values, gaps, times; files that are damaged."""

from __future__ import annotations

import warnings
from datetime import datetime, timezone

import numpy as np
import pytest

from bridgeflow import DataError, Recording
from tests.recordings.formats.damage import flips, prefixes, require_refused_or_read

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    obspy = pytest.importorskip("obspy")

X = np.random.default_rng(0).integers(-1000, 1000, (2, 500)).astype(np.int32)


def write(path):
    start = obspy.UTCDateTime(2026, 1, 2, 3, 4, 5)
    traces = []
    for name, x in zip(("BHN", "BHZ"), X, strict=True):
        for begin, end, late in ((0, 200, 0), (200, 500, 30)):
            header = {
                "network": "XX",
                "station": "A",
                "channel": name,
                "sampling_rate": 20,
                "starttime": start + begin / 20 + late,
            }
            traces.append(obspy.Trace(x[begin:end], header))
    obspy.Stream(traces).write(str(path), format="MSEED", encoding="STEIM2", reclen=512)
    return path


def test_values_and_gaps(tmp_path):
    recording = Recording.open(write(tmp_path / "a.mseed"))
    assert [one.name for one in recording.channels] == ["XX.A..BHN", "XX.A..BHZ"]
    assert recording.start == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    column = recording.columns["signal"]
    assert (column.fs, column.dtype, column.segments, column.onsets) == (
        20,
        np.int32,
        ((0, 200), (200, 500)),
        (0.0, 40.0),
    )
    assert np.array_equal(column.read(0, 500), X)
    assert np.array_equal(recording.pick("*Z").columns["signal"].read(190, 210), X[1:, 190:210])


@pytest.mark.parametrize("damage", [prefixes, flips], ids=["prefix", "flip"])
def test_damaged_files(tmp_path, damage):
    data = write(tmp_path / "a.mseed").read_bytes()
    kept = (one for number, one in enumerate(damage(data)) if number % 5 == 0)
    require_refused_or_read(tmp_path / "bad.mseed", kept)


def test_no_miniseed(tmp_path):
    (tmp_path / "a.mseed").write_bytes(b"no" * 500)
    with pytest.raises(DataError, match=r"a\.mseed: cannot be read as miniseed"):
        Recording.open(tmp_path / "a.mseed")
