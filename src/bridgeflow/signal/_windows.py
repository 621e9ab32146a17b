"""Windows by the name that `scipy.signal.get_window` knows, with parameters that it can work with."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from numbers import Integral, Real
from typing import Any, Final

import numpy as np

from bridgeflow.errors import BridgeflowError, ConfigError, printable
from bridgeflow.ranges import number_text

__all__ = ["named_window", "refuse_parameters"]

_MOST_SIDELOBES: Final = 100
"""The most that SciPy makes a Taylor window of with finite numbers; its time grows with the square."""

_MOST_COEFFICIENTS: Final = 1000


def refuse_parameters(window: Any, *, error: type[BridgeflowError] = ConfigError) -> None:
    """Refuse a window's parameters for which SciPy would work for hours, or that are not numbers.

    Args:
        window: a name, or a name and its parameters; anything else is left to SciPy.
        error: what is raised.

    >>> refuse_parameters(("kaiser", 5.0))
    >>> refuse_parameters(("taylor", 10**7))
    Traceback (most recent call last):
    bridgeflow.errors.ConfigError: window: nbar of 'taylor' must be a whole number from 1 to 100, got 10000000
    """
    if not isinstance(window, tuple) or not window or not isinstance(window[0], str):
        return
    name, parameters = window[0], window[1:]
    for value in parameters:
        if isinstance(value, Real) and not _is_finite(value):
            raise _refusal(
                error, f"window: the parameters of {name!r} must be finite numbers, got {number_text(value)}"
            )
        if isinstance(value, (Sequence, np.ndarray)) and len(value) > _MOST_COEFFICIENTS:
            raise _refusal(
                error,
                f"window: {name!r} takes at most {_MOST_COEFFICIENTS} numbers, got {len(value)}; pass the samples",
            )
    if name in {"taylor", "taylorwin"} and parameters:
        nbar = parameters[0]
        if not _is_whole(nbar) or not 1 <= nbar <= _MOST_SIDELOBES:
            raise _refusal(
                error,
                f"window: nbar of {name!r} must be a whole number from 1 to {_MOST_SIDELOBES}, got "
                f"{number_text(nbar) if isinstance(nbar, Real) else printable(repr(nbar), 60)}",
            )


def _refusal(error: type[BridgeflowError], text: str) -> BridgeflowError:
    return error(text, field="window") if issubclass(error, ConfigError) else error(text)


def _is_finite(value: Any) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # an integer beyond the floats
        return False


def _is_whole(value: Any) -> bool:
    return not isinstance(value, bool) and (
        isinstance(value, Integral) or (isinstance(value, Real) and float(value).is_integer())
    )


def named_window(
    name: Any,
    length: int,
    *,
    periodic: bool = True,
    error: type[BridgeflowError] = ConfigError,
) -> np.ndarray[Any, Any]:
    """The window of that name.

    Args:
        name: as `scipy.signal.get_window` takes it.
        length: how many samples.
        periodic: continued, it begins again without a jump; otherwise it is symmetric.
        error: what is raised.

    Raises:
        ConfigError, or `error`: a window that SciPy does not know, or whose parameters give no finite samples.
    """
    from scipy.signal import get_window

    refuse_parameters(name, error=error)
    shown = printable(repr(name), 80)
    try:
        with np.errstate(all="ignore"):
            samples = np.asarray(get_window(name, length, fftbins=periodic))
    except (ValueError, TypeError, IndexError, ArithmeticError) as refused:
        raise _refusal(
            error,
            f"window must be one that scipy.signal.get_window knows, got {shown} ({printable(str(refused), 80)})",
        ) from refused
    if not np.isfinite(samples).all():
        raise _refusal(error, f"window: the parameters of {shown} give no finite samples at a length of {length}")
    return samples
