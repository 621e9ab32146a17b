"""MiniSEED against obspy: values, gaps, times; files that are damaged."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import numpy as np
import pytest

from bridgeflow import DataError, Recording
from bridgeflow.io.formats import miniseed
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


def test_files_are_decoded_once_while_there_is_room(tmp_path, monkeypatch):
    recordings = [Recording.open(write(tmp_path / f"{name}.mseed")) for name in "abc"]
    decoded = []
    decode = miniseed.MiniseedReader._decoded
    monkeypatch.setattr(
        miniseed.MiniseedReader, "_decoded", lambda self: decoded.append(self._path.stem) or decode(self)
    )
    columns = [one.columns["signal"] for one in recordings]

    starts = range(0, 400, 50)

    def read_all():
        for column in columns:
            with ThreadPoolExecutor(4) as pool:
                stretches = list(pool.map(column.read, starts, [start + 99 for start in starts]))
            for start, x in zip(starts, stretches, strict=True):
                assert np.array_equal(x, X[:, start : start + 99])

    read_all()
    read_all()
    assert decoded == ["a", "b", "c"]
    monkeypatch.setattr(miniseed, "_KEPT_NBYTES", 2 * X.nbytes)
    recordings.append(Recording.open(write(tmp_path / "d.mseed")))
    columns.append(recordings[-1].columns["signal"])
    columns[3].read(0, 5)
    columns[2].read(0, 5)
    assert decoded == ["a", "b", "c", "d"]
    columns[0].read(0, 5)
    assert decoded == ["a", "b", "c", "d", "a"]


@pytest.mark.parametrize("damage", [prefixes, flips], ids=["prefix", "flip"])
def test_damaged_files(tmp_path, damage):
    data = write(tmp_path / "a.mseed").read_bytes()
    kept = (one for number, one in enumerate(damage(data)) if number % 5 == 0)
    require_refused_or_read(tmp_path / "bad.mseed", kept)


def test_no_miniseed(tmp_path):
    (tmp_path / "a.mseed").write_bytes(b"no" * 500)
    with pytest.raises(DataError, match=r"a\.mseed: cannot be read as miniseed"):
        Recording.open(tmp_path / "a.mseed")
