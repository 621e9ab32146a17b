"""Element types: which ones the kinds share, which travel as their bits, and what fills in for a null."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np

from bridgeflow.policy import Nulls

__all__ = [
    "CARRIED",
    "FLOAT8",
    "HALF_TYPES",
    "SHARED_DTYPES",
    "fill_value",
    "has_numpy_dtype",
]

SHARED_DTYPES = frozenset({"bool"}) | frozenset(
    f"{name}{bits}"
    for name, sizes in {
        "int": (8, 16, 32, 64),
        "uint": (8, 16, 32, 64),
        "float": (16, 32, 64),
        "complex": (64, 128),
    }.items()
    for bits in sizes
)
"""Element types that torch and NumPy have in common, bit for bit."""

FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")

CARRIED = ("bfloat16", *FLOAT8)
"""Element types of torch that NumPy has not: they travel as their bits, uint16 or uint8 arrays (`ArraySpec.dtype`
remembers).
"""

HALF_TYPES = {"bfloat16": np.uint16} | dict.fromkeys(FLOAT8, np.uint8)


def fill_value(dtype: str, fill: Nulls | float) -> Any:
    """What stands in for a null: `fill` as a scalar of the element type; `None` where that type cannot hold it.

    >>> fill_value("float32", "nan"), fill_value("uint8", 7), fill_value("uint8", 300)
    (array(nan, dtype=float32), array(7, dtype=uint8), None)
    """
    is_time = dtype.startswith(("datetime64", "timedelta64"))
    if fill == "mask":
        return np.zeros((), HALF_TYPES.get(dtype, dtype))
    if fill == "nan":
        if is_time:
            return np.array("NaT", dtype)
        return np.array(np.nan, dtype) if dtype.startswith(("float", "complex")) and dtype not in CARRIED else None
    if isinstance(fill, str) or is_time or dtype not in SHARED_DTYPES:
        return None
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(fill).astype(dtype)
    except OverflowError:
        return None
    if value.dtype.kind in "fc":  # rounding is what floats do; an overflow to infinity is not
        return value if np.isfinite(value) or not isfinite(fill) else None
    return value if value.item() == fill else None


def has_numpy_dtype(dtype: str) -> bool:
    """Whether NumPy has an element type of this name, rather than torch alone."""
    return not dtype.startswith(("bfloat16", "float8_", "complex32"))
