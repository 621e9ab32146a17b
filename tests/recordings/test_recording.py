"""Recordings of arrays in memory: channels, columns, units, gaps, events."""

from __future__ import annotations

import pickle
from datetime import datetime, timezone
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow import BridgeflowError, DataError, KeyNotFound, Recording


def counts(channels: int = 3, length: int = 20, dtype: str = "int16") -> np.ndarray:
    return (np.arange(channels * length).reshape(channels, length) * 7 % 1000).astype(dtype)


def test_one_array_is_one_column():
    x = counts()
    recording = Recording.from_arrays(x, fs=250, id="a", unit="uV", scale=0.5, offset=1)
    column = recording.columns["signal"]
    assert list(recording.columns) == ["signal"]
    assert [channel.name for channel in recording.channels] == ["ch0", "ch1", "ch2"]
    assert (column.fs, column.rate, column.shape, column.length) == (250.0, Fraction(250), (3,), 20)
    assert column.segments == ((0, 20),)
    assert column.dtype == np.int16
    assert np.array_equal(column.read(3, 9), x[:, 3:9])
    physical = column.read(3, 9, units="physical")
    assert physical.dtype == np.float64
    assert np.array_equal(physical, x[:, 3:9] * 0.5 + 1)
    assert recording.duration == 20 / 250


@pytest.mark.parametrize(
    "array",
    [torch.arange(6), pa.array(range(6)), np.arange(6.0), list(range(6))],
    ids=lambda array: type(array).__name__,
)
def test_arrays_of_every_kind(array):
    assert Recording.from_arrays(array, fs=1).columns["signal"].read(1, 4).tolist() == [[1, 2, 3]]


def test_what_is_read_is_the_callers_own():
    x = counts()
    column = Recording.from_arrays(x, fs=1).columns["signal"]
    column.read(0, 20)[:] = 0
    column.read(0, 20, units="physical")[:] = 0
    assert np.array_equal(column.read(0, 20), counts())


def test_channels_of_several_rates():
    arrays = {"eeg": counts(2, 40), "ecg": counts(1, 10, "float32")[0]}
    recording = Recording.from_arrays(arrays, fs={"eeg": 4, "ecg": 1}, channels={"eeg": ["Fp1", "Fp2"]})
    assert [channel.name for channel in recording.channels] == ["Fp1", "Fp2", "ecg"]
    assert recording.columns["eeg"].shape == (2,)
    assert recording.columns["ecg"].length == 10
    assert recording.columns["ecg"].read(0, 2, units="physical").dtype == np.float32
    assert list(recording.pick(["ecg", "Fp*"]).columns) == ["signal_1", "signal_4"]
    with pytest.raises(DataError, match=r"memory: column 'all': channels Fp1, Fp2, ecg differ in rate; put them"):
        recording.with_columns({"all": "*"}).columns["all"]


def test_columns_of_your_own_and_their_order():
    x = counts(4)
    recording = Recording.from_arrays(x, fs=1, channels=["a", "b", "c", "d"])
    chosen = recording.with_columns({"left": ["c", "a"], "right": "d"})
    assert np.array_equal(chosen.columns["left"].read(0, 20), x[[2, 0]])
    assert np.array_equal(chosen.columns["right"].read(5, 6), x[[3], 5:6])
    assert "signal" not in chosen.columns
    with pytest.raises(KeyNotFound, match="memory: no column 'rigth'; did you mean 'right'"):
        chosen.columns["rigth"]


def test_pick_keeps_the_order_that_is_asked_for():
    recording = Recording.from_arrays(counts(3), fs=1, channels=["a", "b", "c"])
    assert [one.name for one in recording.pick(["c", "a"]).channels] == ["c", "a"]
    assert np.array_equal(recording.pick(["c", "a"]).columns["signal"].read(0, 20), counts(3)[[2, 0]])
    assert [one.name for one in recording.rename({"a": "lead I"}).channels] == ["lead I", "b", "c"]


@pytest.mark.parametrize(("dtype", "value"), [("int16", 0), ("float32", np.nan)])
def test_a_missing_channel_is_named_or_padded(dtype, value):
    recording = Recording.from_arrays(counts(2, dtype=dtype), fs=1, id="s7", channels=["a", "b"])
    with pytest.raises(DataError, match="s7: no channel matches 'B'; known: 'a', 'b'") as caught:
        recording.pick(["a", "B"])
    assert (caught.value.recording, caught.value.column) == ("s7", "B")
    column = recording.pick(["B", "a"], missing="pad").columns["signal"]
    assert column.present == (False, True)
    assert np.array_equal(column.read(2, 4)[0], np.full(2, value), equal_nan=True)
    assert np.array_equal(column.read(2, 4)[1], counts(2, dtype=dtype)[0, 2:4])


def test_channels_of_one_name_are_not_guessed():
    recording = Recording.from_arrays(counts(2), fs=1, channels=["EEG", "EEG"])
    with pytest.raises(DataError, match="2 channels are called 'EEG'"):
        recording.pick("EEG")
    assert recording.columns["signal"].shape == (2,)


def test_segments_and_times():
    recording = Recording.from_arrays(counts(1, 20), fs=2, segments=[(0, 8), (12, 20)])
    column = recording.columns["signal"]
    assert column.segments == ((0, 8), (12, 20))
    assert column.onsets == (0.0, 6.0)
    assert [column.position(seconds) for seconds in (0, 3.5, 4, 5.9, 6, 9.5, 10, -1, np.nan)] == [
        0, 7, None, 12, 12, 19, None, None, None,
    ]  # fmt: skip
    assert column.seconds(13) == 6.5
    with pytest.raises(ValueError, match="sample 9 is in none"):
        column.seconds(9)


@pytest.mark.parametrize("segments", [[(0, 8), (7, 9)], [(0, 21)], [(3, 3)], [(-1, 2)]], ids=str)
def test_segments_that_make_no_sense(segments):
    with pytest.raises(ValueError, match="segments of column 'signal'"):
        Recording.from_arrays(counts(1, 20), fs=2, segments=segments)


def test_events_and_metadata():
    start = datetime(2026, 1, 2, tzinfo=timezone.utc)
    recording = Recording.from_arrays(
        counts(), fs=1, events=[(1.5, None, "beat"), (3, 2, "sleep")], start=start, metadata={"device": "x"}
    )
    assert recording.events.schema.names == ["onset", "duration", "text"]
    assert recording.events.to_pylist()[1] == {"onset": 3.0, "duration": 2.0, "text": "sleep"}
    assert (recording.start, recording.metadata) == (start, {"device": "x"})
    again = Recording.from_arrays(counts(), fs=1, events=recording.events.append_column("more", pa.array([1, 2])))
    assert again.events.equals(recording.events)


@pytest.mark.parametrize("fs", [0, -1, float("nan"), float("inf"), "100", True, None, 1e13], ids=str)
def test_rates_that_are_none(fs):
    with pytest.raises(ValueError, match="fs must be a rate"):
        Recording.from_arrays(counts(), fs=fs)


@pytest.mark.parametrize("array", [np.zeros((2, 2, 2)), np.zeros(3, bool), np.float64(3)], ids=str)
def test_arrays_that_are_no_signals(array):
    with pytest.raises(DataError, match="expected numbers of shape"):
        Recording.from_arrays(array, fs=1)


def test_positions_outside():
    column = Recording.from_arrays(counts(), fs=1).columns["signal"]
    assert column.read(20, 20).shape == (3, 0)
    for start, stop in ((-1, 3), (3, 2), (0, 21)):
        with pytest.raises(ValueError, match="need 0 <= start <= stop <= 20"):
            column.read(start, stop)
    with pytest.raises(ValueError, match="units must be one of 'raw', 'physical'"):
        column.read(0, 1, units="volts")


def test_pickled():
    recording = Recording.from_arrays(counts(), fs=1, labels={"label": 1}).with_units("physical")
    recording.columns["signal"].read(0, 1)
    again = pickle.loads(pickle.dumps(recording))
    assert again.columns["signal"].read(0, 20).tolist() == recording.columns["signal"].read(0, 20).tolist()
    assert again.labels == {"label": 1}
    assert again.columns["signal"].dtype == np.float64


def test_errors_are_ours():
    recording = Recording.from_arrays(counts(), fs=1)
    for wrong in (lambda: recording.columns["x"], lambda: recording.rename({"x": "y"}), lambda: recording.pick("x")):
        with pytest.raises(BridgeflowError):
            wrong()
