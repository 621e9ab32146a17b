"""Lengths in samples, or as durations: `1024`, `"2 s"`, `"250 ms"`."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from bridgeflow.errors import ConfigError

__all__ = ["parse_duration", "samples_of"]

_UNITS: Final = {"s": Fraction(1), "ms": Fraction(1, 1000), "min": Fraction(60), "h": Fraction(3600)}
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|ms|min|h)")


def parse_duration(length: int | str, *, field: str) -> Fraction | None:
    """The seconds of a duration as text; `None` for a number of samples.

    Raises:
        ConfigError: neither.

    >>> parse_duration("250 ms", field="length"), parse_duration(100, field="length")
    (Fraction(1, 4), None)
    """
    if isinstance(length, int) and not isinstance(length, bool) and length >= 1:
        return None
    match = _DURATION.fullmatch(length.strip()) if isinstance(length, str) else None
    seconds = Fraction(match[1]) * _UNITS[match[2]] if match else Fraction(0)
    if not seconds:
        raise ConfigError(
            f"{field} must be a number of samples, or a duration such as '2 s' or '250 ms', got {length!r}",
            field=field.rpartition(": ")[2],
        )
    return seconds


def samples_of(length: int | str, fs: float | None, *, field: str) -> int:
    """A length in samples at this rate, rounded to the nearest.

    Raises:
        ConfigError: a duration where the rate is not known, or one of less than a sample.

    >>> samples_of("2 s", 250.0, field="length"), samples_of(100, None, field="length")
    (500, 100)
    """
    seconds = parse_duration(length, field=field)
    if seconds is None:
        return int(length)
    if fs is None:
        raise ConfigError(
            f"{field}={length!r} needs a sampling rate, which recordings have; of other data, give samples",
            field=field.rpartition(": ")[2],
        )
    samples = round(seconds * Fraction(repr(float(fs))))
    if not samples:
        raise ConfigError(f"{field}={length!r} is less than a sample at {fs:g} Hz", field=field.rpartition(": ")[2])
    return samples
