"""The look-ahead of a backward pass: a bound that is one, and not a wasteful one."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.errors import ConfigError
from bridgeflow.signal import Butter, Comb, Ellip, Notch, Sos
from bridgeflow.signal.lookahead import look_ahead, tail_bounds

EPS = np.finfo(float).eps
DESIGNS = [
    Butter(order=2, cutoff=10.0, fs=100.0),
    Butter(order=4, cutoff=(0.5, 40.0), btype="bandpass", fs=360.0),
    Butter(order=4, cutoff=0.05, btype="highpass", fs=1000.0),
    Notch(w0=60.0, Q=500.0, fs=360.0),
    Ellip(order=12, rp=0.1, rs=80.0, cutoff=100.0, fs=1000.0),
    Comb(w0=50.0, Q=30.0, fs=1000.0),
    Sos(sections=((0.5, 0.5, 0.0, 1.0, 0.0, 0.0),)),
]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_the_bounds_hold_and_are_close(design):
    bounds = tail_bounds(design, until=1e-9)
    impulse = np.zeros(2 * len(bounds))
    impulse[0] = 1.0
    tails = np.cumsum(np.abs(scipy.signal.sosfilt(design.sos, impulse))[::-1])[::-1][: len(bounds)]
    assert (bounds >= tails * (1 - 1e-12)).all()
    near = tails > 1e-6 * tails[0]
    assert (bounds[near] <= 1.1 * tails[near]).all()


@given(radius=st.floats(0.01, 0.999), angle=st.floats(0.0, np.pi), gain=st.floats(0.01, 100.0))
def test_one_pair_of_poles(radius, angle, gain):
    design = Sos(sections=((gain, 0.0, 0.0, 1.0, -2 * radius * np.cos(angle), radius**2),))
    bounds = tail_bounds(design, until=1e-6)
    response = scipy.signal.sosfilt(design.sos, np.eye(1, 4 * len(bounds))[0])
    tails = np.cumsum(np.abs(response)[::-1])[::-1][: len(bounds)]
    assert (bounds >= tails * (1 - 1e-9)).all()


def test_slower_filters_and_smaller_tolerances_look_further():
    lengths = [look_ahead(Butter(order=2, cutoff=cutoff, fs=100.0), 1e-6, EPS) for cutoff in (20.0, 5.0, 1.0)]
    assert lengths == sorted(lengths)
    lengths = [look_ahead(DESIGNS[0], tolerance, EPS) for tolerance in (1e-3, 1e-6, 1e-9, 1e-12)]
    assert lengths == sorted(lengths)


def test_what_cannot_be_met_is_refused():
    with pytest.raises(ConfigError, match=r"tolerance=1e-15 is below what rounding leaves"):
        look_ahead(DESIGNS[0], 1e-15, EPS)
    with pytest.raises(ConfigError, match=r"tolerance=1e-06 is below what rounding leaves"):
        look_ahead(DESIGNS[0], 1e-6, float(np.finfo("float32").eps))
    slow = Butter(order=4, cutoff=0.0005, btype="highpass", fs=1000.0)
    with pytest.raises(ConfigError, match=r"radius 0\.9999987.* look ahead by more than 4,194,304 samples"):
        look_ahead(slow, 1e-6, EPS)
