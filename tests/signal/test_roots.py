"""Roots of polynomials, against arbitrary precision."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.signal.design.roots import roots


def distances(computed, coefficients):
    with mpmath.workdps(60):
        exact = mpmath.polyroots([mpmath.mpf(float(c)) for c in coefficients], maxsteps=900, extraprec=600)
    return [float(min(abs(mpmath.mpc(root) - other) for other in computed)) for root in exact]


@pytest.mark.parametrize(("order", "cutoff"), [(4, 0.01), (8, 0.01), (10, 0.001), (12, 0.1)])
def test_denominators_of_lowpass_filters(order, cutoff):
    _, a = scipy.signal.butter(order, cutoff)
    assert max(distances(roots(a), a)) < 1e-15
    assert max(distances(np.roots(a), a)) > 1e-13


@pytest.mark.parametrize(
    ("coefficients", "expected"),
    [
        ([1.0, -1.0, 0.25], [0.5, 0.5]),
        ([1.0, 4.0, 6.0, 4.0, 1.0], [-1.0] * 4),
        ([2.0, -1.0, 0.0, 0.0], [0.5, 0.0, 0.0]),
        ([1.0, 0.0, 0.0], [0.0, 0.0]),
        ([3.0], []),
        ([1.0, 0.0, 1.0], [1j, -1j]),
    ],
)
def test_multiple_roots_and_roots_at_the_origin(coefficients, expected):
    np.testing.assert_allclose(
        np.sort_complex(roots(coefficients)), np.sort_complex(np.array(expected, complex)), atol=1e-15
    )


@given(
    real=st.lists(st.floats(-2, 2), max_size=3),
    pairs=st.lists(st.tuples(st.floats(-1, 1), st.floats(0.01, 1)), max_size=3),
)
def test_as_many_as_the_degree_in_exact_pairs(real, pairs):
    complex_ones = [complex(x, sign * y) for x, y in pairs for sign in (1, -1)]
    coefficients = np.real(np.poly([*real, *complex_ones])) if real or pairs else np.ones(1)
    computed = roots(coefficients)
    assert len(computed) == len(coefficients) - 1
    np.testing.assert_array_equal(np.sort_complex(computed), np.sort_complex(computed.conj()))
    rebuilt = np.real(np.poly(computed))
    np.testing.assert_allclose(rebuilt, coefficients, atol=1e-9)
