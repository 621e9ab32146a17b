"""Roots of a polynomial, right to the last bit of float64 for the coefficients as they were row.

`numpy.roots` finds the roots of a *nearby* polynomial. For the denominators of low-pass filters, whose roots crowd
around z = 1, nearby is not near enough: for `butter(8, 0.01)` its largest pole radius is wrong in the third digit. Here
its answer is only the start of an Aberth iteration in decimal arithmetic of 200 digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

__all__ = ["roots"]

_DIGITS = 200
_BACKWARD_ERROR = Decimal("1e-170")  # an m-fold root is then right to 170 / m digits
_SWEEPS = 400
_REAL = Decimal("1e-14")  # a pair this close to the real axis and two real roots give the same float64 quadratic

_Complex = tuple[Decimal, Decimal]


def roots(coefficients: Sequence[float] | NDArray[np.float64]) -> NDArray[np.complex128]:
    """The roots of `c[0] z**n + ... + c[n]`, each right to float64, complex ones in exact conjugate pairs.

    Args:
        coefficients: finite real numbers, highest power first, `c[0] != 0`.

    Returns:
        n roots: the real ones first, then each complex one followed by its conjugate.

    >>> roots([1.0, -1.0, 0.25])
    array([0.5+0.j, 0.5+0.j])
    """
    row = np.asarray(coefficients, dtype=np.float64)
    at_origin = len(row) - 1 - np.flatnonzero(row)[-1]
    row = row[: len(row) - at_origin]
    exact = [Decimal(float(c)) for c in row]
    start = np.roots(row)
    # Aberth needs distinct starting points, and numpy may return a double root twice.
    scale = 1e-9 * (1.0 + np.abs(start))
    start = start + scale * np.exp(1j * np.arange(len(start)))
    with localcontext() as context:
        context.prec = _DIGITS
        points = [(Decimal(float(z.real)), Decimal(float(z.imag))) for z in start]
        _aberth(exact, points)
        real = [x for x, y in points if abs(y) <= _REAL * (1 + abs(x))]
        upper = [(x, y) for x, y in points if y > _REAL * (1 + abs(x))]
    if len(real) + 2 * len(upper) != len(points):
        raise ArithmeticError(f"the roots of {[float(c) for c in exact]} did not settle into conjugate pairs")
    pairs = [complex(x, sign * y) for x, y in upper for sign in (1, -1)]
    return np.array([0j] * at_origin + [complex(x) for x in real] + pairs, dtype=np.complex128)


def _aberth(coefficients: list[Decimal], points: list[_Complex]) -> None:
    """Move every point onto a root of its own, in place: Newton's step, repelled by the other points.

    Source: O. Aberth, Iteration methods for finding all zeros of a polynomial simultaneously, Math. Comp. 27 (1973).
    """
    unsettled = list(range(len(points)))
    for _ in range(_SWEEPS):
        still = []
        for i in unsettled:
            value, slope, size = _horner(coefficients, points[i])
            if max(abs(value[0]), abs(value[1])) <= _BACKWARD_ERROR * size:
                continue
            newton = _divide(value, slope)
            repulsion = (Decimal(0), Decimal(0))
            for j, other in enumerate(points):
                if j != i:
                    inverse = _divide((Decimal(1), Decimal(0)), (points[i][0] - other[0], points[i][1] - other[1]))
                    repulsion = (repulsion[0] + inverse[0], repulsion[1] + inverse[1])
            product = _multiply(newton, repulsion)
            step = _divide(newton, (1 - product[0], -product[1]))
            points[i] = (points[i][0] - step[0], points[i][1] - step[1])
            still.append(i)
        unsettled = still
        if not unsettled:
            return


def _horner(coefficients: list[Decimal], z: _Complex) -> tuple[_Complex, _Complex, Decimal]:
    """The polynomial at z, its derivative there, and the sum of the sizes of its terms."""
    radius = (z[0] * z[0] + z[1] * z[1]).sqrt()
    value = slope = (Decimal(0), Decimal(0))
    size = Decimal(0)
    for c in coefficients:
        moved = _multiply(slope, z)
        slope = (moved[0] + value[0], moved[1] + value[1])
        moved = _multiply(value, z)
        value = (moved[0] + c, moved[1])
        size = size * radius + abs(c)
    return value, slope, size


def _multiply(a: _Complex, b: _Complex) -> _Complex:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _divide(a: _Complex, b: _Complex) -> _Complex:
    size = b[0] * b[0] + b[1] * b[1]
    if not size:  # two points met, or a flat spot: any small push separates them again
        return Decimal("1e-30"), Decimal("1e-30")
    return (a[0] * b[0] + a[1] * b[1]) / size, (a[1] * b[0] - a[0] * b[1]) / size
