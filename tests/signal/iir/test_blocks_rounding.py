"""How far the block engine is from the exact answer: the bound that its documentation states, on filters that hurt."""

from __future__ import annotations

from functools import cache

import mpmath
import numpy as np
import pytest
import scipy.signal
import torch

from bridgeflow.signal.iir import blocks, realisation
from tests.signal.iir.filters import EASY, HARD, exact

UNIT = {"float64": 2.0**-53, "float32": 2.0**-24}
BOUND = 64

SAMPLES = 4000
RNG = np.random.default_rng(0)
SIGNALS = {
    "noise": RNG.standard_normal(SAMPLES),
    "drift": np.cumsum(RNG.standard_normal(SAMPLES)) / 20,
    "step": np.ones(SAMPLES),
    "hum": np.sin(2 * np.pi * 0.06 * np.arange(SAMPLES)),
}


@cache
def exactly(name, signal, dtype):
    return exact((EASY | HARD)[name], SIGNALS[signal].astype(dtype))


def error_in_units(y, x, reference, unit):
    """The largest difference to the exact output, as a multiple of the unit roundoff of full scale."""
    high, low = reference
    full_scale = max(np.abs(high).max(), np.abs(x).max())
    return np.abs(y.astype(np.float64) - high - low).max() / full_scale / unit


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("name", [*EASY, *HARD])
def test_both_precisions_stay_within_the_stated_bound(name, signal):
    sos = (EASY | HARD)[name]
    x = SIGNALS[signal].astype(np.float32)
    reference = exactly(name, signal, "float32")
    for precision, unit in UNIT.items():
        y, _ = blocks.filter_tensor(sos, torch.from_numpy(x.astype(precision)), None, precision)
        assert error_in_units(y.numpy(), x, reference, unit) <= BOUND


@pytest.mark.parametrize("name", HARD)
def test_hard_filters_come_out_at_least_as_exact_as_from_scipy(name):
    sos, x = HARD[name], SIGNALS["drift"].astype(np.float32).astype(np.float64)
    reference = exactly(name, "drift", "float32")
    y, _ = blocks.filter_tensor(sos, torch.from_numpy(x), None, "float64")
    ours = error_in_units(y.numpy(), x, reference, UNIT["float64"])
    assert ours <= max(BOUND / 4, error_in_units(scipy.signal.sosfilt(sos, x), x, reference, UNIT["float64"]))


def test_without_a_wider_longdouble_the_bound_grows_with_the_memory_of_the_filter(monkeypatch):
    monkeypatch.setattr(realisation, "WIDE", np.float64)
    blocks._plan.cache_clear()
    for name, sos in HARD.items():
        memory = 1 / (1 - max(abs(np.roots(section[3:])).max() for section in sos))
        for signal in SIGNALS:
            x = SIGNALS[signal].astype(np.float32).astype(np.float64)
            y, _ = blocks.filter_tensor(sos, torch.from_numpy(x), None, "float64")
            error = error_in_units(y.numpy(), x, exactly(name, signal, "float32"), UNIT["float64"])
            assert error <= BOUND + 4 * memory, (name, signal)
    blocks._plan.cache_clear()


@pytest.mark.parametrize("name", HARD)
def test_pieces_joined_by_scipys_states_are_no_worse_than_scipy(name):
    sos, x = HARD[name], SIGNALS["drift"].astype(np.float32)
    reference = exactly(name, "drift", "float32")
    theirs = error_in_units(scipy.signal.sosfilt(sos, x.astype(np.float64)), x, reference, UNIT["float64"])
    for precision, unit in UNIT.items():
        state, out = None, []
        for piece in torch.from_numpy(x.astype(precision)).split(997):
            y, state = blocks.filter_tensor(sos, piece, state, precision)
            out.append(y)
        error = error_in_units(torch.cat(out).numpy(), x, reference, unit)
        assert error <= (max(BOUND, theirs) if precision == "float64" else BOUND)


def test_the_reference_is_what_mpmath_says():
    sos, x = HARD["notch, Q = 500"], SIGNALS["noise"][:50]
    with mpmath.workdps(60):
        b0, b1, b2, _, a1, a2 = (mpmath.mpf(float(c)) for c in sos[0])
        s0 = s1 = mpmath.mpf(0)
        for value, high, low in zip(x, *exact(sos, x), strict=True):
            value = mpmath.mpf(float(value))
            y = b0 * value + s0
            s0, s1 = b1 * value - a1 * y + s1, b2 * value - a2 * y
            assert abs(y - mpmath.mpf(float(high)) - mpmath.mpf(float(low))) < 1e-30
