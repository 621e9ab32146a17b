"""The description of a filtered array, from that of the data."""

from __future__ import annotations

import math
from typing import Any

from bridgeflow.errors import ConfigError, DataError
from bridgeflow.ranges import hold
from bridgeflow.spec import ArraySpec

__all__ = ["filtered_spec", "hold_spec", "result_dtype_name"]

_KEPT = ("float16", "float32", "float64", "bfloat16", "complex64", "complex128", "longdouble", "clongdouble")


def result_dtype_name(dtype: str) -> str:
    """The dtype of a filtered array: floating and complex ones keep theirs, integers and booleans become float64.

    >>> result_dtype_name("int16")
    'float64'
    """
    if dtype in _KEPT or dtype in {"float128", "complex256"}:
        return dtype
    if dtype == "bool" or dtype.removeprefix("u").startswith("int"):
        return "float64"
    raise DataError(f"cannot filter elements of type {dtype}; convert them to numbers first")


def filtered_spec(spec: ArraySpec, *, fs: float | None) -> ArraySpec:
    """The spec of a filtered array of the same shape.

    Raises:
        ConfigError: the data say a sampling rate, and the filter was designed for another.
        DataError: elements that are not numbers, or no axis.
    """
    if not spec.shape:
        raise DataError("x must have at least one axis, got a single number")
    if fs is not None and spec.fs is not None and fs != spec.fs:
        raise ConfigError(
            f"designed for fs={fs:g} Hz, but the data have {spec.fs:g} Hz; resample, or redesign",
            field="fs",
        )
    return spec.fresh(
        dtype=result_dtype_name(spec.dtype),
        layout="strided",
        null_count=0,
        writable=spec.kind != "arrow",
        kind="arrow" if spec.kind == "capsule" else spec.kind,
    )


def hold_spec(spec: ArraySpec, elements: float, **fields: Any) -> None:
    """Refuse what would make too much of each row of an array described by `spec`, as `bridgeflow.ranges.hold`.

    Args:
        spec: the data; where their number is not known, nothing is refused.
        elements: how many a row would become.
        fields: see there.
    """
    lengths = [n for n in spec.shape if n is not None]
    if len(lengths) == len(spec.shape):
        hold(elements * math.prod(lengths[:-1]), math.prod(lengths), **fields)
