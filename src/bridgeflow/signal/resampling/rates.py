"""Sampling rates as exact numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, TypeAlias

from bridgeflow import ranges
from bridgeflow.errors import ConfigError

__all__ = ["LARGEST_FACTOR", "LARGEST_TICKS", "Rate", "hold_taps", "is_quick", "parse_rate", "rate_ratio"]

Rate: TypeAlias = ranges.Rate | str
"""Samples a second in Hz: a number, or a fraction as text, `"1000/3"`."""

LARGEST_FACTOR: Final = 1 << 20
"""The largest factor that anybody can have meant: its filter has twenty times as many taps."""

LARGEST_TICKS: Final = 1 << 40
"""The largest factor where taps are computed and not tabled: a sample in 2^80 is the error of a ratio cut to it."""

_QUICK_FACTOR: Final = 200_000
"""Up to here the design takes a second or two, whatever the data; the primes near 192000 Hz are below."""


def is_quick(up: int, down: int) -> bool:
    """Whether the filter is so short that it may be designed before the data are known."""
    return max(up, down) <= _QUICK_FACTOR


def hold_taps(up: int, down: int, samples: int) -> None:
    """Refuse a filter out of all proportion to the data, which would take all the time and memory to design.

    Args:
        up, down: without a common factor.
        samples: of the recording.

    Raises:
        ConfigError: naming the factors, the taps and what would fit.

    >>> hold_taps(48000, 44101, 10)
    >>> hold_taps(1 << 20, 3, 500)
    Traceback (most recent call last):
    bridgeflow.errors.ConfigError: resampling: up=1048576, down=3 takes a filter of 20971520 taps for 500 samples, at \
most 4000000; choose rates with a simpler ratio
    """
    taps, most = 20 * max(up, down), max(20 * _QUICK_FACTOR, 40 * samples)
    if taps > most:
        raise ConfigError(
            f"resampling: up={up}, down={down} takes a filter of {taps} taps for {samples} samples, at most {most}; "
            "choose rates with a simpler ratio",
            field="to_hz",
        )


def parse_rate(rate: Rate, *, field: str) -> Fraction:
    """A rate as an exact fraction: a float is the decimal number that it prints as.

    >>> parse_rate(333.25, field="from_hz"), parse_rate("1000/3", field="from_hz")
    (Fraction(1333, 4), Fraction(1000, 3))
    """
    try:
        exact = Fraction(rate if isinstance(rate, str) else repr(float(rate)))
    except (ValueError, TypeError, ZeroDivisionError):
        raise ConfigError(
            f"{field} must be a rate in Hz such as 44100, 333.25 or '1000/3', got {rate!r}", field=field
        ) from None
    if isinstance(rate, bool) or exact <= 0:
        raise ConfigError(f"{field} must be a rate in Hz above 0, got {rate!r}", field=field)
    return exact


def rate_ratio(from_hz: Rate, to_hz: Rate, *, any_ratio: bool = False) -> tuple[int, int]:
    """The factors `up, down` without a common one, exactly `to_hz / from_hz`.

    Args:
        from_hz, to_hz: the rates.
        any_ratio: whether factors may be as large as `LARGEST_TICKS`; the nearest ratio where they are larger still.

    Raises:
        ConfigError: a rate that is none, or factors too large to be meant.

    >>> rate_ratio(44100, 48000), rate_ratio("1000/3", 250), rate_ratio(0.1, 0.3)
    ((160, 147), (3, 4), (3, 1))
    """
    ratio = parse_rate(to_hz, field="to_hz") / parse_rate(from_hz, field="from_hz")
    if any_ratio:
        ratio = ratio.limit_denominator(max(int(LARGEST_TICKS / ratio), 1) if ratio > 1 else LARGEST_TICKS)
        return ratio.numerator, ratio.denominator
    up, down = ratio.numerator, ratio.denominator
    if max(up, down) > LARGEST_FACTOR:
        near = ratio.limit_denominator(1000)
        raise ConfigError(
            f"from {from_hz!r} to {to_hz!r} Hz is exactly {up}/{down}, a filter of {20 * max(up, down)} taps; did you "
            f"mean {near}? Write a rate that is not a decimal number as a fraction, such as '1000/3'; or take "
            "quality='high', which resamples by any ratio",
            field="to_hz",
        )
    return up, down
