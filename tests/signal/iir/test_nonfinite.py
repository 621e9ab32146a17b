"""NaN and infinity on the way: refused by name, propagated as SciPy does, or a fresh start after the gap."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeflow.errors import NonFinite
from bridgeflow.policy import words
from bridgeflow.signal import Butter, Firwin, Notch, sosfilt, sosfiltfilt
from bridgeflow.signal.iir.engine import EngineName, why_unavailable
from bridgeflow.signal.iir.nonfinite import new_gaps, runs

LOWPASS = Butter(order=4, cutoff=20.0, fs=100.0)
ENGINES = [name for name in words(EngineName) if why_unavailable(name) is None]
engines = pytest.mark.parametrize("engine", ENGINES)
bad_values = pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])


def noise(*shape):
    return np.random.default_rng(3).standard_normal(shape)


@engines
@bad_values
@pytest.mark.parametrize("sample", [0, 1, 150, 298, 299])
def test_raise_names_the_row_and_the_first_sample(engine, bad, sample):
    x = noise(3, 4, 300)
    x[2, 1, sample] = bad
    x[2, 3, 5] = bad
    with pytest.raises(NonFinite, match=rf"sosfilt: row \(2, 1\) is {bad} at sample {sample};"):
        sosfilt(LOWPASS, x, nonfinite="raise", engine=engine)
    with pytest.raises(NonFinite, match=rf"sosfiltfilt: row \(2, 1\) is {bad} at sample {sample};"):
        sosfiltfilt(LOWPASS, x, nonfinite="raise", engine=engine)


@engines
def test_raise_names_a_bad_state_and_an_overflow(engine):
    zi = np.zeros((2, 3, 2))
    zi[1, 2, 0] = np.nan
    with pytest.raises(NonFinite, match="the initial state of row 2 is not finite"):
        sosfilt(LOWPASS, noise(3, 50), zi=zi, nonfinite="raise", engine=engine)
    if engine == "blocks":  # whose state cannot overflow there
        return
    with pytest.raises(NonFinite, match="row 1 overflowed"):
        sosfilt(
            Notch(w0=10.0, Q=30.0, fs=100.0),
            np.array([[0.0] * 50, [1.7e308, -1.7e308] * 25]),
            nonfinite="raise",
            engine=engine,
        )


@engines
def test_raise_in_place_still_names_the_sample(engine):
    if engine == "blocks":
        pytest.skip("writes into tensors")
    x = noise(2, 100)
    x[1, 30] = np.nan
    with pytest.raises(NonFinite, match="row 1 is nan at sample 30"):
        sosfilt(LOWPASS, x, nonfinite="raise", engine=engine, out=x)


@engines
@bad_values
def test_propagate_is_scipys_answer_and_clean_rows_keep_their_bits(engine, bad):
    x = noise(3, 300)
    clean = sosfilt(LOWPASS, x, engine=engine)
    x[1, 100] = bad
    y = sosfilt(LOWPASS, x, engine=engine)
    np.testing.assert_array_equal(y[[0, 2]], clean[[0, 2]])
    np.testing.assert_allclose(y[1, :100], clean[1, :100], rtol=0, atol=1e-12)
    assert not np.isfinite(y[1, 100:]).any()


@engines
@pytest.mark.parametrize("design", [LOWPASS, Notch(w0=10.0, Q=5.0, fs=100.0)], ids=lambda design: design.name)
@given(places=st.lists(st.integers(0, 59), max_size=8), zero=st.booleans())
@settings(max_examples=20)
def test_reset_filters_each_run_as_if_it_were_alone(engine, design, places, zero):
    x = noise(2, 60)
    x[1, places] = np.nan
    state = np.zeros((len(design.sos), 2, 2)) if zero else noise(len(design.sos), 2, 2)
    y, zf = sosfilt(design, x, zi=state, nonfinite="reset", engine=engine)
    clean, clean_zf = sosfilt(design, x[:1], zi=state[:, :1], engine=engine)
    tolerance = 1e-13 if engine == "blocks" else 0.0  # the others' bits do not depend on the neighbours
    np.testing.assert_allclose(y[:1], clean, rtol=0, atol=tolerance)
    np.testing.assert_allclose(zf[:, :1], clean_zf, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(np.isnan(y[1]), np.isnan(x[1]))
    for begin, end in runs(np.isfinite(x[1])):
        start = state[:, 1] if begin == 0 else np.zeros_like(state[:, 1])
        alone, alone_zf = scipy.signal.sosfilt(design.sos, x[1, begin:end], zi=start)
        np.testing.assert_allclose(y[1, begin:end], alone, rtol=0, atol=1e-12)
        if end == 60:
            np.testing.assert_allclose(zf[:, 1], alone_zf, rtol=0, atol=1e-12)
    if np.isnan(x[1, -1]):
        np.testing.assert_array_equal(zf[:, 1], 0.0)


@engines
def test_reset_of_zero_phase_treats_runs_as_recordings(engine):
    x = noise(2, 300)
    x[1, [0, 100, 101, 104, 299]] = np.nan
    y = sosfiltfilt(LOWPASS, x, nonfinite="reset", engine=engine)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    expected = scipy.signal.sosfiltfilt(LOWPASS.sos, x[1, 105:299])
    np.testing.assert_allclose(y[1, 105:299], expected, rtol=0, atol=1e-12)
    short = scipy.signal.sosfiltfilt(LOWPASS.sos, x[1, 102:104], padlen=1)
    np.testing.assert_allclose(y[1, 102:104], short, rtol=0, atol=1e-12)


def test_tensors_keep_their_kind_through_a_reset():
    x = torch.from_numpy(noise(2, 50).astype("float32"))
    x[0, 10] = torch.inf
    y = sosfilt(LOWPASS, x, nonfinite="reset")
    assert y.dtype is torch.float32
    assert torch.isnan(y).nonzero().tolist() == [[0, 10]]


def test_a_section_without_feedback_does_not_forget_either():
    mean = np.array([[0.5, 0.5, 0.0, 1.0, 0.0, 0.0]])
    x = noise(50)
    x[10] = np.nan
    with pytest.raises(NonFinite, match="x is nan at sample 10"):
        sosfilt(mean, x, nonfinite="raise")


def test_helpers():
    assert runs(np.array([], bool)) == []
    assert runs(np.array([True, False, False, True, True])) == [(0, 1), (3, 5)]
    x = np.array([[np.nan, 1, np.nan, np.nan, 2], [1, 1, 1, 1, 1]])
    both = np.array([True, True])
    assert new_gaps(x, both, np.array([False, False])).tolist() == [2, 0]
    assert new_gaps(x, both, np.array([True, False])).tolist() == [1, 0]
    assert Firwin(numtaps=3, cutoff=1.0, fs=9.0).delay == 1
