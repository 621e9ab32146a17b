"""Parameters that are numbers, of whatever type: Python's, NumPy's, or arrays without axes."""

from __future__ import annotations

from fractions import Fraction
from math import isfinite
from typing import Any

import numpy as np

from bridgeflow.bridge import kind_of
from bridgeflow.errors import ConfigError, printable
from bridgeflow.ranges import number_text, whole_number

__all__ = ["as_number", "as_rate", "as_size", "undivided"]


def as_number(value: Any) -> Any:
    """A parameter that may have come as an array without axes, such as the difference of two elements of a tensor."""
    if isinstance(value, np.generic) or (kind_of(value) in {"numpy", "torch"} and not value.ndim):
        return value.item()
    return value


def undivided(value: Any) -> Any:
    """A float that is a whole number as an integer, all else as it is."""
    number = as_number(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def as_size(value: Any, *, name: str, least: int = 0) -> int:
    """A number of samples, of whatever type: a fraction is cut off, as SciPy does it.

    Raises:
        ConfigError: no number, or out of range.

    >>> as_size(16.0, name="nperseg"), as_size(np.int16(16), name="nperseg")
    (16, 16)
    """
    number = as_number(value)
    if isinstance(number, float) and isfinite(number):
        number = int(number)
    return whole_number(number, name=name, least=least)


def as_rate(value: Any, *, name: str) -> float:
    """A sampling rate.

    Raises:
        ConfigError: no finite number above 0.
    """
    number = as_number(value)
    if not isinstance(number, (int, float, Fraction)) or isinstance(number, bool) or not 0 < number < 1e300:
        raise ConfigError(
            f"{name} must be a finite number above 0, got {printable(number_text(number), 60)}", field="fs"
        )
    return number  # type: ignore[return-value]
