"""`SignalFilter`: every design by its fields, on data of every form, with configurations that come back."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch

from bridgeflow.bridge import describe, to_numpy
from bridgeflow.errors import CannotStream, ConfigError, KeyNotFound, NonFinite, UnstableFilter
from bridgeflow.signal import DESIGNS, make_design
from bridgeflow.testing import check_transform
from bridgeflow.transforms.base import Transform
from bridgeflow.transforms.signal_filter import SignalFilter

BANDPASS = {"design": "butter", "btype": "bandpass", "cutoff": (0.5, 40.0), "order": 4, "fs": 360.0}
ONE_OF_EACH = {
    "ba": {"ba": scipy.signal.butter(3, 0.2)},
    "bessel": {"order": 3, "cutoff": 20.0, "fs": 100.0, "norm": "delay"},
    "butter": {**BANDPASS},
    "cheby1": {"order": 5, "rp": 1.0, "cutoff": 20.0, "btype": "highpass", "fs": 100.0},
    "cheby2": {"order": 4, "rs": 40.0, "cutoff": 20.0, "fs": 100.0},
    "comb": {"w0": 20.0, "Q": 10.0, "ftype": "peak", "pass_zero": True, "fs": 100.0},
    "ellip": {"order": 4, "rp": 0.5, "rs": 60.0, "cutoff": (10.0, 20.0), "btype": "bandstop", "fs": 100.0},
    "firls": {"numtaps": 31, "bands": (0.0, 10.0, 15.0, 50.0), "desired": (1.0, 1.0, 0.0, 0.0), "fs": 100.0},
    "firwin": {"numtaps": 31, "cutoff": (10.0, 20.0), "pass_zero": "bandpass", "window": ("kaiser", 8.0), "fs": 100.0},
    "notch": {"w0": 60.0, "Q": 30.0, "fs": 360.0},
    "peak": {"w0": 10.0, "Q": 5.0, "fs": 100.0},
    "remez": {
        "numtaps": 31,
        "bands": (0.0, 10.0, 15.0, 50.0),
        "desired": (1.0, 0.0),
        "weight": (1.0, 2.0),
        "fs": 100.0,
    },
    "savgol": {"window_length": 11, "polyorder": 2, "deriv": 0},
    "sos": {"sos": scipy.signal.ellip(5, 1, 60, 0.3, output="sos")},
    "taps": {"taps": [0.25, 0.5, 0.25]},
    "zpk": {"zpk": scipy.signal.butter(3, 0.2, output="zpk")},
}
each = pytest.mark.parametrize("name", sorted(ONE_OF_EACH))


def build(name, **choices):
    fields = ONE_OF_EACH[name]
    return SignalFilter(**({} if name in fields else {"design": name}) | fields | choices)


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def test_the_list_here_is_the_list_there():
    assert set(ONE_OF_EACH) == set(DESIGNS)


@each
def test_configuration_pickle_and_equality(name):
    result = build(name)
    assert Transform.from_config(result.to_config()) == result
    assert pickle.loads(pickle.dumps(result)) == result
    assert hash(build(name)) == hash(result)
    assert eval(repr(result)) == result
    assert result.designed.name == name


@each
def test_the_whole_is_scipys_answer(name):
    result, x = build(name), noise(2, 500)
    design = result.designed
    recursive = hasattr(design, "sos")
    theirs = scipy.signal.sosfilt(design.sos, x) if recursive else scipy.signal.lfilter(design.taps, 1, x)
    np.testing.assert_allclose(result(x), theirs, atol=1e-11)


@each
@pytest.mark.parametrize("mode", ["causal", "zero_phase"])
def test_promise_and_deed_on_every_kind(name, mode):
    result, x = build(name, mode=mode), noise(2, 300).astype("float32")
    for value in (
        x,
        torch.from_numpy(x.copy()),
        pa.FixedShapeTensorArray.from_numpy_ndarray(x),
        x.astype("int16"),
        x + 0j,
    ):
        y = result(value)
        assert result.out_spec(describe(value)).admits(describe(y))
        assert not np.shares_memory(to_numpy(y), to_numpy(value))


@each
def test_streams(name):
    result, x = build(name, initial="steady"), noise(3, 100)
    assert result.streams
    state, pieces = result.init_state(describe(x)), []
    for begin, end in ((0, 0), (0, 1), (1, 40), (40, 100)):
        y, state = result.step(x[:, begin:end], state)
        pieces.append(y)
    assert result.flush(state) is None
    np.testing.assert_array_equal(np.concatenate(pieces, -1), result(x))


def test_zero_phase_streams_within_its_tolerance():
    result = SignalFilter(**BANDPASS, mode="zero_phase", tolerance=1e-3)
    assert result.streams
    assert result.latency > 360
    x = noise(2, 9000).astype("float32")
    state, pieces = result.init_state(describe(x)), []
    for begin in range(0, 9000, 1000):
        y, state = result.step(x[:, begin : begin + 1000], state)
        pieces.append(y)
    pieces.append(result.flush(state))
    assert len({piece.dtype for piece in pieces}) == 1
    np.testing.assert_allclose(np.concatenate(pieces, -1), result(x), rtol=0, atol=1e-3 * np.abs(x).max())
    assert SignalFilter(**BANDPASS).latency == 0
    assert SignalFilter(taps=(0.25, 0.5, 0.25), mode="zero_phase").latency == 1


def test_zero_phase_says_why_it_cannot_stream():
    result = SignalFilter(**BANDPASS, mode="zero_phase")
    assert not result.streams
    for call in (lambda: result.init_state(describe(noise(9))), lambda: result.step(noise(9), None)):
        with pytest.raises(CannotStream, match="backwards from the end"):
            call()


@each
@pytest.mark.parametrize("mode", ["causal", "zero_phase"])
def test_the_contract(name, mode):
    check_transform(build(name, mode=mode))


def test_samples_batches_and_keys():
    result = SignalFilter(**BANDPASS, keys=("ecg",))
    batch = noise(4, 2, 200)
    whole = result({"ecg": batch, "label": 3, "other": batch})
    assert whole["other"] is batch
    stacked = np.stack([result({"ecg": sample})["ecg"] for sample in batch])
    np.testing.assert_array_equal(whole["ecg"], stacked)
    with pytest.raises(KeyNotFound):
        result({"ekg": batch})


def test_counts_are_read_directly():
    counts = (noise(2, 400) * 200 + 1024).astype("uint16")
    result = SignalFilter(**BANDPASS, scale=0.005, offset=-5.12)
    sos = scipy.signal.butter(4, (0.5, 40.0), "bandpass", fs=360.0, output="sos")
    np.testing.assert_allclose(result(counts), scipy.signal.sosfilt(sos, counts * 0.005 - 5.12), atol=1e-12)


def test_nan_is_an_error_that_names_the_place():
    x = noise(2, 100)
    x[1, 30] = np.nan
    with pytest.raises(NonFinite, match=r"row 1 is nan at sample 30") as caught:
        SignalFilter(**BANDPASS)({"leads": [x]})
    assert "leads" in str(caught.value)
    assert np.isnan(SignalFilter(**BANDPASS, nonfinite="reset")(x)).sum() == 1


def test_read_only_input_is_taken_as_it_is():
    x = noise(2, 100)
    expected = SignalFilter(**BANDPASS)(x)
    x.setflags(write=False)
    np.testing.assert_array_equal(SignalFilter(**BANDPASS)(x), expected)


def test_the_schema_lists_the_words():
    schema = SignalFilter.field_schema()
    text = str(schema)
    for word in ("zero_phase", "steady", "reset", *DESIGNS):
        assert repr(word) in text, word
    assert schema["required"] == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "which filter"),
        ({"design": "butter"}, "design 'butter' needs order"),
        ({"design": "buttr"}, "did you mean 'butter'"),
        ({**BANDPASS, "Q": 3.0}, "has no parameter 'Q'"),
        ({**BANDPASS, "fs": None}, "fs is missing"),
        ({**BANDPASS, "cutoff": (0.5, 400.0)}, "must lie below fs/2 = 180 Hz"),
        ({**BANDPASS, "sos": ((1.0, 0, 0, 1, 0, 0),)}, "give one of design, sos, zpk, ba, taps"),
        ({"taps": (1.0,), "ba": ((1.0,), (1.0, 0.5))}, "give one of design, sos, zpk, ba, taps"),
        ({"design": "sos"}, "needs its coefficients: give sos="),
        ({"ba": ((1.0,), (1.0,), (1.0,))}, "ba holds b, a, got 3 parts"),
        ({"taps": (1.0, 2.0), "mode": "zero_phase"}, "symmetric taps of odd count"),
        ({"taps": (1.0, 2.0), "engine": "scipy"}, "is an FIR filter"),
        ({**BANDPASS, "tolerance": 1e-6}, "tolerance is for mode='zero_phase'"),
        ({**BANDPASS, "mode": "zero_phase", "tolerance": 1e-15}, "below what rounding leaves"),
        ({**BANDPASS, "mode": "zero_phase", "initial": "steady"}, "initial='steady' is for mode='causal'"),
    ],
)
def test_a_mistake_is_one_line_when_built(fields, message):
    with pytest.raises(ConfigError, match=message) as caught:
        SignalFilter(**fields)
    assert "\n" not in str(caught.value)


def test_words_and_stability_are_checked_when_built():
    with pytest.raises(ValueError, match="mode must be one of"):
        SignalFilter(**BANDPASS, mode="both")
    with pytest.raises(UnstableFilter, match="loses stability to rounding"):
        SignalFilter(ba=scipy.signal.butter(10, 0.001))
    assert SignalFilter(**BANDPASS).designed == make_design(
        **{"name" if k == "design" else k: v for k, v in BANDPASS.items()}
    )
