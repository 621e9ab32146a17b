"""Pictures of recordings: envelopes hold every peak, events and gaps are where they are."""

from __future__ import annotations

import numpy as np
import pytest

from bridgeflow import DataError, Recording
from bridgeflow.plots import draw_recording, envelope
from bridgeflow.plots import recording as module

X = np.random.default_rng(0).normal(size=(3, 50_000))


def night(**described):
    return Recording.from_arrays(X, fs=100, id="night", channels=["a", "b", "c"], unit="uV", **described)


@pytest.mark.parametrize("at_once", [1000, 1 << 20])
def test_envelope_is_least_and_greatest(monkeypatch, at_once):
    monkeypatch.setattr(module, "_READ_AT_ONCE", at_once)
    counted = []
    bands = envelope(night(), "signal", bins=100, on_samples=counted.append)
    assert sum(counted) == X.size
    for row, band in enumerate(bands):
        assert np.array_equal(band.low, X[row].reshape(100, 500).min(axis=1))
        assert np.array_equal(band.high, X[row].reshape(100, 500).max(axis=1))
    (band, *_) = envelope(night(segments=[(0, 20_000), (30_000, 50_000)]), "signal", bins=50)
    assert np.isnan(band.low).nonzero()[0].tolist() == list(range(20, 30))
    (band, *_) = envelope(night(), "signal", seconds=(100, 150), bins=10)
    assert np.array_equal(band.high[:9], X[0, 10_000:15_000].reshape(10, 500).max(axis=1)[:9])


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("seconds", [None, (10, 15)], ids=str)
def test_lanes_events_and_gaps(tmp_path, drawn, dark, seconds):
    events = [(12.0, None, "$x_1$"), (13, 1, "arousal"), *((float(n), None, f"kind {n}") for n in range(20, 40))]
    one = night(events=events, segments=[(0, 1300), (1400, 50_000)])
    result = draw_recording(one, tmp_path / "a.png", seconds=seconds, dark=dark)
    assert (result.channels, result.of, result.events) == (("a", "b", "c"), 3, 2 if seconds else 22)
    above, axes = drawn[0].axes[:2]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    texts = [label.get_text() for label in above.get_yticklabels()]
    assert texts == (
        ["$x_1$", "arousal"]
        if seconds
        else ["$x_1$", "arousal", *[f"kind {n}" for n in range(20, 24)], "16 other texts"]
    )
    assert axes.get_xlim() == (seconds or (0, 500))
    assert bool(axes.lines) == bool(axes.lines)
    assert any(patch.get_x() == pytest.approx(13) and patch.get_width() == pytest.approx(1) for patch in axes.patches)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert drawn[0].get_facecolor()[0] == pytest.approx(22 / 255 if dark else 1.0)


def test_the_first_channels_of_many(tmp_path, drawn):
    many = Recording.from_arrays({"a": np.zeros((3, 10)), "b": np.zeros((40, 100))}, fs={"a": 1, "b": 10})
    result = draw_recording(many, tmp_path / "a.png")
    assert (len(result.channels), result.of) == (32, 43)
    assert result.channels[-1] == "b28"
    with pytest.raises(DataError, match="exists already"):
        draw_recording(many, tmp_path / "a.png")


@pytest.mark.parametrize("seconds", [(5, 3), (-1, 3), (600, 700), (3, 3)], ids=str)
def test_seconds_that_are_none(tmp_path, seconds):
    with pytest.raises(DataError, match="night: no samples from"):
        draw_recording(night(), tmp_path / "a.png", seconds=seconds)
