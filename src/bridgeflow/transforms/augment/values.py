"""Random numbers put to work on rows `[rows, ..., time]`, in NumPy and torch alike, each row by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.errors import ConfigError
from bridgeflow.ranges import Finite, Natural
from bridgeflow.signal._memory import empty

__all__ = [
    "Span",
    "WholeSpan",
    "gathered",
    "kept",
    "like_values",
    "over_sample",
    "parse_span",
    "spread",
    "uniform",
    "whole",
]

Array = np.ndarray[Any, Any]

Span = Finite | tuple[Finite, Finite]
"""A number, or the lowest and the highest that may be drawn."""

WholeSpan = Natural | tuple[Natural, Natural]
"""The same for whole numbers."""


def parse_span(value: Any, *, what: str, field: str, least: float | None = None, integer: bool = False) -> None:
    """Refuse what is neither a number nor a range `(low, high)`.

    Args:
        value: the field's value.
        what: the transform's name, for errors.
        field: the field's name.
        least: the smallest number allowed.
        integer: whether the numbers must be whole.

    Raises:
        ConfigError: says what is wrong.

    >>> parse_span((30, 5), what="AddNoise", field="snr_db")
    Traceback (most recent call last):
    bridgeflow.errors.ConfigError: AddNoise: snr_db must be a number or a range (low, high), got (30, 5)
    """
    bounds = value if isinstance(value, tuple) else (value, value)
    kinds: Any = int if integer else (int, float)
    right = len(bounds) == 2 and all(isinstance(one, kinds) and not isinstance(one, bool) for one in bounds)
    number = "a whole number" if integer else "a number"
    if not right or not bounds[0] <= bounds[1]:
        raise ConfigError(f"{what}: {field} must be {number} or a range (low, high), got {value!r}", field=field)
    if least is not None and bounds[0] < least:
        raise ConfigError(f"{what}: {field} must be at least {least:g}, got {value!r}", field=field)


def uniform(rng: np.random.Generator, span: Any) -> float:
    """A number of a range; the number itself where it is one."""
    return float(span[0] + (span[1] - span[0]) * rng.random()) if isinstance(span, tuple) else float(span)


def whole(rng: np.random.Generator, span: Any) -> int:
    """A whole number of a range, its ends included; the number itself where it is one."""
    return int(rng.integers(span[0], span[1], endpoint=True)) if isinstance(span, tuple) else int(span)


def spread(values: Any, x: Any) -> Any:
    """Numbers `[rows]`, or `[rows, time]`, with axes of length 1 so that they broadcast against `x`."""
    shape = tuple(values.shape)
    if len(shape) >= x.ndim:
        return values
    return values.reshape((*shape[:1], *[1] * (x.ndim - len(shape)), *shape[1:]))


def like_values(values: Array, x: Any) -> Any:
    """Draws in the library, the real element type and on the device of `x`, ready to broadcast against it."""
    values = spread(values, x)
    if isinstance(x, np.ndarray):
        return values.astype(x.real.dtype, copy=False)
    torch: Any = loaded("torch")
    return torch.from_numpy(np.ascontiguousarray(values)).to(device=x.device, dtype=x.real.dtype)


def _on_device(values: Array, x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return values
    torch: Any = loaded("torch")
    return torch.from_numpy(np.ascontiguousarray(values)).to(x.device)


def kept(x: Any, keep: Array) -> Any:
    """`x` where `keep` is true, zero elsewhere.

    Args:
        x: rows `[rows, ..., time]`.
        keep: booleans `[rows, time]`.
    """
    keep = _on_device(spread(keep, x), x)
    if isinstance(x, np.ndarray):
        result = empty(x.shape, x.dtype)
        if x.itemsize in (1, 2, 4, 8):  # zero has no bits in any type; a mask of bits costs less than one of booleans
            bits = f"i{x.itemsize}"
            np.bitwise_and(x.view(bits), -keep.astype(bits), out=result.view(bits))
            return result
        result[...] = 0
        np.copyto(result, x, where=keep)
        return result
    return loaded("torch").where(keep, x, x.new_zeros(()))  # type: ignore[union-attr]


def gathered(x: Any, places: Array) -> Any:
    """The samples of each row at these places along the last axis: `[rows, ..., time]` to `[rows, ..., n]`.

    Args:
        x: rows.
        places: `[rows, n]`, each from 0 to time - 1.
    """
    if isinstance(x, np.ndarray):
        result = empty((*x.shape[:-1], places.shape[1]), x.dtype)
        for row, where in enumerate(places):
            np.take(x[row], where, axis=-1, out=result[row], mode="clip")
        return result
    torch: Any = loaded("torch")
    return torch.take_along_dim(x, _on_device(spread(places, x), x), dim=-1)


def over_sample(x: Any) -> Any:
    """Rows `[rows, ..., time]` as `[rows, numbers]`."""
    return x.reshape((x.shape[0], -1))
