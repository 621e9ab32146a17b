"""Numbers into the element type that a sink was asked for: nearest values, and what does not fit by declared policy."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from bridgeflow.policy import parse_word

__all__ = ["Fitted", "OnOverflow", "SinkDtype", "counted", "fit"]

SinkDtype: TypeAlias = Literal[
    "int8", "int16", "int24", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"
]
"""What the values of a sink may become; `"int24"` is wav's, and int32 with 8 zero bits below in memory."""

OnOverflow: TypeAlias = Literal["raise", "saturate"]
"""What becomes of values that do not fit: an error, or the nearest value that does, counted."""


class Fitted(NamedTuple):
    """The values in their new type, how many were out of its range, and where the first of them was (-1 for none)."""

    values: np.ndarray
    outside: int
    first: int


def fit(values: np.ndarray, dtype: SinkDtype) -> Fitted:
    """Real numbers as the nearest of `dtype`, halves to the even one; those out of its range as its last.

    Raises:
        ValueError: NaN for an integer type.
        TypeError: values other than real numbers.

    >>> fit(np.array([1.5, 40000.0]), "int16")
    Fitted(values=array([    2, 32767], dtype=int16), outside=1, first=1)
    """
    parse_word(dtype, SinkDtype, field="dtype")
    if values.dtype.kind not in "iuf":
        raise TypeError(f"{values.dtype} values are not real numbers")
    if dtype.startswith("float"):
        return _as_float(values, np.dtype(dtype))
    step = 256 if dtype == "int24" else 1
    target = np.dtype("int32" if step > 1 else dtype)
    low, high = int(np.iinfo(target).min), int(np.iinfo(target).max) // step * step
    if values.dtype.kind == "f" or step > 1:
        if np.isnan(values).any():
            raise ValueError(f"{int(np.isnan(values).sum())} of the values are NaN, which {dtype} has not")
        values = np.rint(values.astype(np.float64, copy=False) / step)
        # `high + step` is a power of two, which floats hold exactly, as `high` itself may not be
        below, above = values < low / step, values >= (high + step) / step
        whole = np.where(below | above, 0, values).astype(target) * target.type(step)
    else:
        below, above = values < low, values > high
        whole = np.where(below | above, values.dtype.type(0), values).astype(target)
    whole[below], whole[above] = low, high
    return counted(whole, below | above)


def _as_float(values: np.ndarray, target: np.dtype) -> Fitted:
    with np.errstate(over="ignore"):
        result = values.astype(target)
    outside = np.isinf(result) & np.isfinite(values)
    result[outside] = np.copysign(np.finfo(target).max, values[outside])
    return counted(result, outside)


def counted(values: np.ndarray, outside: np.ndarray) -> Fitted:
    """Values in their new type with the mask of those that were out of its range."""
    count = int(outside.sum())
    return Fitted(values, count, int(outside.reshape(len(values), -1).any(axis=1).argmax()) if count else -1)
