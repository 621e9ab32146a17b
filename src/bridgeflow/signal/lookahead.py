"""How far a filter running backwards must look ahead, computed from its sections.

The backward pass of a zero-phase filter is `y[t] = sum(h[n] * f[t + n])` over all the future. Cut off after L samples
it errs by at most `max|f| * sum(|h[n]| for n >= L)`. That tail is bounded here rigorously: the impulse response is
followed for N samples, and what the state then left behind can still put out is bounded through the free responses of
the unit states, whose states after N samples must have shrunk.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from bridgeflow.errors import ConfigError
from bridgeflow.signal.design import IirFilter
from bridgeflow.signal.design.base import Array, solved
from bridgeflow.signal.iir.engine import Pass, load

__all__ = ["look_ahead", "tail_bounds"]

LONGEST: Final = 1 << 22
"""Samples; a filter that forgets more slowly is refused rather than held in memory."""


@lru_cache(maxsize=64)
def look_ahead(design: IirFilter, tolerance: float, eps: float) -> int:
    """The least L for which zero phase by pieces stays within `tolerance * max|x|` of zero phase over the whole.

    The bound is `6 * ‖h‖₁ * sum(|h[n]| for n >= L)`: the forward pass puts out at most `‖h‖₁ max|x|`, three times that
    where odd padding has tripled the range, and twice that is how far the constant that the backward pass starts from
    can be from what really follows.

    Args:
        design: the filter.
        tolerance: relative to the largest sample.
        eps: of the recursion's number format; the bound cannot be met below its rounding.

    Raises:
        ConfigError: the bound cannot be met.

    >>> from bridgeflow.signal import Butter
    >>> look_ahead(Butter(order=2, cutoff=10.0, fs=100.0), 1e-6, 2.2e-16)
    37
    """
    tails = tail_bounds(design, until=tolerance * 1e-2)
    total = float(tails[0])
    floor = 64 * eps * max(1.0, total**2)
    if tolerance < floor:
        raise ConfigError(
            f"{design.name}: tolerance={tolerance:g} is below what rounding leaves, {floor:.1g} of the largest sample; "
            "raise it",
            field="tolerance",
        )
    enough = np.flatnonzero(6 * total * tails <= tolerance)
    return int(enough[0])


def tail_bounds(design: IirFilter, *, until: float) -> Array:
    """Upper bounds of `sum(|h[n]| for n >= L)` for L = 0, 1, ..., until they have shrunk to `until` times the first.

    Raises:
        ConfigError: that takes more than `LONGEST` samples.
    """
    sos, settings = solved(design), Pass()
    count = 2 * len(sos)
    units = np.eye(count).reshape(count, len(sos), 2).swapaxes(0, 1)  # [S, a row for each state, 2]
    state: Array = np.concatenate([units, np.zeros((len(sos), 1, 2))], axis=1)  # and a row for the impulse
    gains, response, samples = np.full(count, np.finfo(float).tiny), [], 0
    while samples < LONGEST:
        x = np.zeros((count + 1, min(max(samples, 256), 1 << 16)))
        x[-1, 0] = samples == 0
        y, state = load("scipy").sosfilt(sos, x, state, settings)
        size = np.abs(y)
        gains += size[:-1].sum(axis=-1)
        response.append(size[-1])
        samples += x.shape[-1]
        # What a state s can still put out, in total, is at most |s| @ bound: after these samples it has put out |s| @
        # gains and become a state smaller by the factor `kept`, and so on.
        left = np.abs(state).swapaxes(0, 1).reshape(count + 1, count)
        kept = float((left[:-1] @ gains / gains).max())
        if kept >= 0.5:
            continue
        remainder = float(left[-1] @ gains) / (1 - kept)
        tails: Array = np.cumsum(np.concatenate([[remainder], np.concatenate(response)[::-1]]))[::-1]
        if remainder <= until * tails[0]:
            return tails
    raise ConfigError(
        f"{design.name}: its slowest pole (radius {design.pole_radius:.9g}) wants to look ahead by more than "
        f"{LONGEST:,} samples; raise tolerance, raise the corner frequency, or filter the whole recording",
        field="tolerance",
    )
