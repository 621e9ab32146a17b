"""Peaks counted: `peak_rate`, how many a minute there are in a window, as heart rate and breathing rate are counted."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, overload

import numpy as np

from bridgeflow.bridge import kind_of, like
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.policy import parse_word
from bridgeflow.ranges import Finite, NonNegative, Rate, Seconds, problem
from bridgeflow.signal._arguments import names_arguments
from bridgeflow.signal._axes import time_last
from bridgeflow.signal._input import read_array
from bridgeflow.signal._typing import SameKind

__all__ = ["RateBy", "check_peaks", "peak_rate"]

RateBy: TypeAlias = Literal["count", "interval"]
"""How the rate is computed: peaks over duration; or by the median interval from one peak to the next."""


@overload
def peak_rate(
    x: SameKind,
    fs: float,
    *,
    height: float | None = ...,
    prominence: float | None = ...,
    distance: float | None = ...,
    by: RateBy = ...,
    axis: int = ...,
) -> SameKind: ...
@overload
def peak_rate(
    x: Any,
    fs: float,
    *,
    height: float | None = ...,
    prominence: float | None = ...,
    distance: float | None = ...,
    by: RateBy = ...,
    axis: int = ...,
) -> Any: ...
@names_arguments
def peak_rate(
    x: Any,
    fs: float,
    *,
    height: float | None = None,
    prominence: float | None = None,
    distance: float | None = None,
    by: RateBy = "count",
    axis: int = -1,
) -> Any:
    """Peaks a minute in each row, found by `scipy.signal.find_peaks`.

    Args:
        x: real data [..., time] of at least one sample: ndarray, tensor, Arrow array or nested lists. Only read.
        fs: sampling rate in Hz.
        height: least value of a peak, in the unit of x; `None` for any.
        prominence: how far a peak must stand out of its surroundings, in the unit of x; `None` for no matter.
        distance: least seconds from one peak to the next; of two closer ones the lower is dropped. `None` for any.
        by: `"count"`, the number of peaks over the duration, in steps of 60 / duration; or `"interval"`, 60 over the
            median seconds from one peak to the next, NaN where there are fewer than two.
        axis: of time.

    Returns:
        [...] float64 of the kind of x, peaks a minute; NaN for a row that holds NaN, in which there is no telling.

    Raises:
        ConfigError: a rate or a distance that is not positive, an unknown option.
        DataError: complex elements, no samples.
        NoRoute: a tensor whose gradient is wanted.

    >>> beats = np.sin(2 * np.pi * 1.25 * np.arange(1000) / 100) ** 8
    >>> float(peak_rate(beats, 100.0, height=0.5)), float(peak_rate(beats, 100.0, by="interval"))
    (150.0, 150.0)
    """
    check_peaks(fs, distance, by, height, prominence)
    values = time_last(read_array(x), axis)
    if values.dtype.kind == "c" or not values.shape[-1]:
        raise DataError(f"peak_rate: real samples are needed, got {values.dtype}{list(values.shape)}")
    rows = values.reshape(-1, values.shape[-1])
    rates = np.array([_rate(row.astype(np.float64), fs, height, prominence, distance, by) for row in rows])
    y = rates.astype(np.float64).reshape(values.shape[:-1])
    return y if kind_of(x) is None else like(y, x)


def check_peaks(fs: float, distance: float | None, by: str, height: float | None, prominence: float | None) -> None:
    """Numbers within their ranges, a word that is one.

    Raises:
        ConfigError: they are not; names the parameter.
    """
    try:
        parse_word(by, RateBy, field="by")
    except ValueError as error:
        raise ConfigError(str(error), field="by") from None
    checks = (("fs", fs, Rate), ("distance", distance, Seconds), ("height", height, Finite))
    for name, number, hint in (*checks, ("prominence", prominence, NonNegative)):
        if wrong := problem(hint, number):
            raise ConfigError(f"{name} {wrong}", field=name)


def _rate(
    row: np.ndarray[Any, Any],
    fs: float,
    height: float | None,
    prominence: float | None,
    distance: float | None,
    by: RateBy,
) -> float:
    from scipy.signal import find_peaks

    if np.isnan(row).any():
        return np.nan
    apart = None if distance is None else max(distance * fs, 1.0)
    peaks, _ = find_peaks(row, height=height, prominence=prominence, distance=apart)
    if by == "count":
        return float(len(peaks) * 60 * fs / len(row))
    return float(60 * fs / np.median(np.diff(peaks))) if len(peaks) > 1 else np.nan
