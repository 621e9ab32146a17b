"""State space of a cascade of second-order sections, in coordinates that rounding cannot hurt.

A section `y = b0 x + s0`, `s0' = b1 x - a1 y + s1`, `s1' = b2 x - a2 y` keeps its history in `(s0, s1)`, as SciPy does.
Near `z = 1` (a 0.05 Hz high-pass at 1 kHz) those two numbers nearly cancel: the powers of their transition matrix grow
to a thousand times their input before they decay, and every rounding with them. The block recursion multiplies by such
powers all the time, so it needs better coordinates.

There are perfect ones. With `p = 1 + a1 + a2`, `m = 1 - a1 + a2` (both positive exactly if the poles lie inside the
circle, together with `a2 < 1`), put

    w0 = (s0 + s1) / sqrt(2 (1 - a2) p),    w1 = (s0 - s1) / sqrt(2 (1 - a2) m),    q = sqrt(p m) / 2.

    w' = [[1 - p/2, -q], [q, m/2 - 1]] w + ...,    y = [sqrt((1 - a2) p / 2), sqrt((1 - a2) m / 2)] w + b0 x

The three-by-two matrix of these coefficients has orthonormal columns: what leaves a state and what stays of it together
weigh what there was. So no power ever grows, errors die with the signal, and the small numbers that say how slowly the
filter forgets (`p`, `m`, `1 - a2`) enter as they are instead of hiding in the last digits of `a1` and `a2`. (This is
the observability Gramian's square root, in closed form; Mullis and Roberts, "Synthesis of minimum roundoff noise fixed
point digital filters", IEEE Trans. Circuits Syst. 23, 1976, give the theory.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Matrix", "Realisation", "powers", "realise"]

Matrix: TypeAlias = NDArray[np.longdouble]

WIDE: Final = np.longdouble
"""What matrices are made in: 64 bits of mantissa on x86, 113 on some platforms, on others no more than float64's 53."""

_MAX_DOUBLINGS: Final = 64
"""Enough for any pole radius below 1 that float64 can hold."""


@dataclass(frozen=True, eq=False)
class Realisation:
    """A cascade of `n / 2` sections as `w' = a w + b x`, `y = c w + d x`.

    Args:
        a: [n, n], block lower triangular.
        b: [n].
        c: [n].
        d: scalar.
        enter: [n, n], from SciPy's states, section after section, to `w`.
        leave: [n, n], its inverse.
        stable: whether all poles lie inside the unit circle.
    """

    a: Matrix
    b: Matrix
    c: Matrix
    d: np.longdouble
    enter: Matrix
    leave: Matrix
    stable: bool


def realise(sos: NDArray[np.float64]) -> Realisation:
    """The cascade `sos` [S, 6] (with `a0 = 1`) in normalised coordinates, states scaled to the size of their input.

    A section that is not strictly stable (an integrator, say) has no normalised coordinates and keeps SciPy's.

    >>> slow = np.array([[1e-6, 2e-6, 1e-6, 1.0, -1.998, 0.998002]])  # two poles near 0.999
    >>> scipys = np.array([[1.998, 1.0], [-0.998002, 0.0]])
    >>> ours = realise(slow).a.astype(float)
    >>> [int(np.linalg.norm(np.linalg.matrix_power(a, 500), 2)) for a in (scipys, ours)]
    [581, 0]
    """
    n = 2 * len(sos)
    a = np.zeros((n, n), WIDE)
    b = np.zeros(n, WIDE)
    c = np.zeros(n, WIDE)
    d = WIDE(1)
    enter = np.zeros((n, n), WIDE)
    leave = np.zeros((n, n), WIDE)
    stable = True
    for i, (b0, b1, b2, _, a1, a2) in enumerate(np.asarray(sos, WIDE)):
        here = slice(2 * i, 2 * i + 2)
        p, m, r = (1 + a1) + a2, (1 - a1) + a2, 1 - a2
        if p > 0 and m > 0 and r > 0:
            q = np.sqrt(p * m) / 2
            e0, e1 = 1 / np.sqrt(2 * r * p), 1 / np.sqrt(2 * r * m)
            step = np.array([[1 - p / 2, -q], [q, m / 2 - 1]])
            # b0 + b1 + b2 first: a high-pass has zeros at z = 1, and there the sum is exactly what matters
            drive = np.array([(((b0 + b2) + b1) - p * b0) * e0, (m * b0 - ((b0 + b2) - b1)) * e1])
            read = np.array([r * p * e0, r * m * e1])
            enter[here, here] = [[e0, e0], [e1, -e1]]
            leave[here, here] = [[r * p * e0, r * m * e1], [r * p * e0, -r * m * e1]]
        else:
            stable = False
            step = np.array([[-a1, 1], [-a2, 0]])
            drive = np.array([b1 - a1 * b0, b2 - a2 * b0])
            read = np.array([1, 0], WIDE)
            enter[here, here] = leave[here, here] = np.eye(2)
        a[here] = np.outer(drive, c)  # what the sections before send in
        a[here, here] = step
        b[here] = drive * d
        c = b0 * c
        c[here] = read
        d = b0 * d
    if not stable:
        return Realisation(a, b, c, d, enter, leave, stable)
    scale = np.repeat(_scales(a, b), 2)
    back = 1 / scale  # powers of two, so nothing is rounded
    return Realisation(scale[:, None] * a * back, scale * b, c * back, d, scale[:, None] * enter, leave * back, stable)


def powers(a: Matrix, count: int) -> Matrix:
    """`a ** 0` to `a ** count`, stacked [count + 1, n, n]."""
    so_far = np.stack([np.eye(len(a), dtype=a.dtype), a])
    while len(so_far) <= count:
        more = so_far[1 : count + 2 - len(so_far)] @ so_far[-1]
        so_far = np.concatenate([so_far, more])
    return so_far[: count + 1]


def _scales(a: Matrix, b: Matrix) -> NDArray[np.longdouble]:
    """For each section the power of two that brings its state's response to an impulse to about norm 1.

    SciPy's designs put the whole gain into the first section, which may be 1e-30: float32 states would vanish.
    """
    step = a.astype(np.float64)
    sections = len(a) // 2
    # The sum over time of w w' after an impulse, by doubling the time covered; scaled, lest squares underflow.
    size = np.abs(b).reshape(sections, 2).max(axis=1)
    largest = np.repeat(np.where(size > 0, size, 1), 2)
    step = (a * (largest / largest[:, None])).astype(np.float64)
    start = (b / largest).astype(np.float64)
    gram = np.outer(start, start)
    for _ in range(_MAX_DOUBLINGS):
        more = step @ gram @ step.T
        gram = gram + more
        if not (np.abs(more).max(initial=0) > 1e-3 * np.abs(gram).max(initial=0)):
            break
        step = step @ step
    energy = np.diagonal(gram).reshape(sections, 2).sum(axis=1)
    norm = np.sqrt(np.where(np.isfinite(energy) & (energy > 0), energy, 1)) * largest[::2]
    powers_of_two: NDArray[np.longdouble] = np.ldexp(WIDE(1), -np.round(np.log2(norm)).astype(int))
    return powers_of_two
