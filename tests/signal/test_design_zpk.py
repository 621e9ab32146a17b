"""Designs in NumPy alone have the bits of SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.signal.design.zpk import butter_sos, notch_or_peak, zpk2sos
from bridgeflow.signal.iir.steady import sosfilt_zi

EDGES = st.floats(0.001, 0.499)


@given(order=st.integers(1, 12), edge=EDGES, btype=st.sampled_from(["lowpass", "highpass"]), fs=st.floats(0.5, 5e4))
def test_butterworth_with_one_edge(order, edge, btype, fs):
    expected = scipy.signal.butter(order, edge * fs, btype, output="sos", fs=fs)
    np.testing.assert_array_equal(butter_sos(order, edge * fs, btype, fs), expected)


@given(order=st.integers(1, 8), low=EDGES, width=st.floats(0.001, 0.4), btype=st.sampled_from(["bandpass", "bandstop"]))
def test_butterworth_with_two_edges(order, low, width, btype):
    edges = (low, min(low + width, 0.4995))
    expected = scipy.signal.butter(order, edges, btype, output="sos", fs=1.0)
    np.testing.assert_array_equal(butter_sos(order, edges, btype, 1.0), expected)


@given(w0=EDGES, Q=st.floats(0.6, 200), kind=st.sampled_from(["notch", "peak"]))
def test_notch_and_peak(w0, Q, kind):
    expected = np.concatenate(getattr(scipy.signal, f"iir{kind}")(w0, Q, fs=1.0))
    np.testing.assert_array_equal(notch_or_peak(w0, Q, 1.0, kind)[0], expected)


PARTS = st.sampled_from([0.0, 0.5, -0.5, 0.25, 1.0]) | st.floats(-1, 1, allow_subnormal=False)


@st.composite
def roots(draw):
    """Real roots, and pairs of conjugates, in any order; ties are drawn often."""
    real = draw(st.lists(PARTS, max_size=4))
    pairs = [complex(*pair) for pair in draw(st.lists(st.tuples(PARTS, PARTS), max_size=3))]
    every = [*real, *pairs, *(pair.conjugate() for pair in pairs)]
    return draw(st.permutations(every)) if every else []


@given(z=roots(), p=roots(), k=st.floats(-4, 4))
def test_sections_of_roots(z, p, k):
    try:
        expected = scipy.signal.zpk2sos(z, p, k)
    except (ValueError, IndexError) as error:
        with pytest.raises(type(error)):
            zpk2sos(z, p, k)
    else:
        np.testing.assert_array_equal(zpk2sos(z, p, k), expected)


def test_a_root_without_its_conjugate():
    with pytest.raises(ValueError, match="no matching conjugate"):
        zpk2sos([0.5 + 0.1j], [0.5], 1.0)


@given(order=st.integers(1, 9), edge=EDGES, dtype=st.sampled_from(["float32", "float64"]))
def test_steady_states(order, edge, dtype):
    sos = scipy.signal.ellip(order, 1, 40, edge, output="sos", fs=1.0).astype(dtype)
    expected = scipy.signal.sosfilt_zi(sos)
    result = sosfilt_zi(sos)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)
