"""How a recording goes on beyond its ends, as SciPy's zero-phase filters continue it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from bridgeflow.errors import DataError
from bridgeflow.policy import parse_word

__all__ = ["Padtype", "extend", "parse_padding"]

Padtype: TypeAlias = Literal["odd", "even", "constant"]
"""Turned about its end point, mirrored, or held; `None`, where it may stand, is no padding."""


def parse_padding(padtype: object, padlen: int | None, default: int, samples: int, *, what: str) -> int:
    """The length of the padding at either end, checked against the length of the recording.

    Args:
        padtype: a word of `Padtype` or `None`.
        padlen: what the caller asks for; `None` for the default.
        default: the length where the caller asks for none.
        samples: length of the recording.
        what: the function on whose behalf, for errors.
    """
    if padtype is not None:
        parse_word(padtype, Padtype, field="padtype")
    given: object = padlen
    if given is not None and (isinstance(given, bool) or not isinstance(given, (int, np.integer))):
        raise DataError(f"{what}: padlen must be an integer or None, got {given!r}")
    edge = 0 if padtype is None else default if padlen is None else int(padlen)
    if edge < 0:
        raise DataError(f"{what}: padlen must not be negative, got {edge}")
    if samples <= edge:
        raise DataError(
            f"{what}: the length of x along the axis must be greater than padlen, which is {edge}, "
            f"got {samples} samples; pass a longer recording (the function: or a smaller padlen, or no padtype)"
        )
    return edge


def extend(x: np.ndarray[Any, Any], padtype: str | None, edge: int) -> np.ndarray[Any, Any]:
    """The recording [..., T] with `edge` samples more at either end; `edge` < T.

    >>> extend(np.array([1.0, 2.0, 4.0]), "odd", 2)
    array([-2.,  0.,  1.,  2.,  4.,  6.,  7.])
    """
    if edge == 0:
        return x
    first, last = x[..., :1], x[..., -1:]
    before, behind = x[..., edge:0:-1], x[..., -2 : -edge - 2 : -1]
    if padtype == "odd":
        before, behind = 2 * first - before, 2 * last - behind
    elif padtype == "constant":
        before, behind = np.broadcast_to(first, before.shape), np.broadcast_to(last, behind.shape)
    return np.concatenate([before, x, behind], axis=-1)
