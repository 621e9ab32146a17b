"""The coordinates that the block engine computes in: the same filter, and powers that never grow."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from bridgeflow.signal.iir.realisation import powers, realise
from tests.signal.iir.filters import EASY, HARD

FILTERS = EASY | HARD
everywhere = pytest.mark.parametrize("name", FILTERS)


@everywhere
def test_it_is_the_same_filter(name):
    sos, got = FILTERS[name], realise(FILTERS[name])
    z = np.exp(1j * np.linspace(0.05, np.pi, 20))
    a, b, c = (np.asarray(part, np.float64) for part in (got.a, got.b, got.c))
    response = [c @ np.linalg.solve(each * np.eye(len(a)) - a, b) + float(got.d) for each in z]
    _, expected = scipy.signal.sosfreqz(sos, np.angle(z))
    np.testing.assert_allclose(response, expected, rtol=0, atol=1e-9)


@everywhere
def test_a_section_alone_loses_no_energy_but_what_it_shows(name):
    for section in FILTERS[name]:
        alone = realise(section[None])
        shown = alone.c * _state_scale(section, alone)
        gram = alone.a.T @ alone.a + np.outer(shown, shown)
        np.testing.assert_allclose(gram.astype(np.float64), np.eye(2), rtol=0, atol=1e-14)


def _state_scale(section, alone):
    """By which power of two the state was scaled: SciPy's s0 is what the state shows."""
    enter = alone.enter.astype(np.float64)
    _, _, _, _, a1, a2 = section
    return enter[0, 0] * np.sqrt(2 * (1 - a2) * ((1 + a1) + a2))


@everywhere
def test_no_power_of_a_section_grows(name):
    for section in FILTERS[name]:
        norms = np.linalg.norm(powers(realise(section[None]).a, 300).astype(np.float64), ord=2, axis=(1, 2))
        assert norms.max() <= 1 + 1e-12


@everywhere
def test_scipys_states_go_in_and_come_out(name):
    got = realise(FILTERS[name])
    there_and_back = (got.leave @ got.enter).astype(np.float64)
    np.testing.assert_allclose(there_and_back, np.eye(len(got.a)), rtol=0, atol=1e-12)


@everywhere
def test_states_are_of_the_size_of_their_input(name):
    got = realise(FILTERS[name])
    reached = powers(got.a, 40_000 if name in HARD else 2_000)[:-1] @ got.b
    energy = np.square(reached.astype(np.float64)).sum(axis=0).reshape(-1, 2).sum(axis=1)
    assert ((energy > 0.3) & (energy < 3)).all()


def test_what_is_not_stable_keeps_scipys_states():
    got = realise(np.array([[1.0, 0.0, 0.0, 1.0, -1.0, 0.0]]))
    np.testing.assert_array_equal(got.enter, np.eye(2))
    np.testing.assert_array_equal(got.a, [[1, 1], [0, 0]])


def test_powers():
    a = np.array([[0.5, 1.0], [0.0, 0.25]], np.longdouble)
    for count in (0, 1, 2, 3, 7, 8):
        expected = [np.linalg.matrix_power(a, k) for k in range(count + 1)]
        np.testing.assert_allclose(powers(a, count).astype(float), np.array(expected, float))
