"""Resampling by a rational factor: which sample meets which tap, and who adds up.

`up` zeros but one are put in for each sample, a low-pass filter `h` runs over them, and every `down`-th value is kept.
All that has to be computed is

    y[i] = sum over j of x[j] * h[centre + i * down - j * up],

where j runs over about `len(h) / up` samples: those taps are one phase of the filter, and there are `up` phases. The
sum is added up from the oldest sample to the newest, each product and each sum rounded once (unless the filter is
`fused`): the order and the bits of `scipy.signal.upfirdn`, wherever the output stands in its recording, and so the same
bits for every chunking.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridgeflow.bridge import kind_of
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.ranges import number_text
from bridgeflow.signal._windows import refuse_parameters
from bridgeflow.signal.resampling import cpu
from bridgeflow.signal.resampling.rates import LARGEST_FACTOR, hold_taps

__all__ = ["Polyphase", "RateFilter", "Window", "floating", "lowpass", "narrowed", "reduced", "widened"]

Array: TypeAlias = np.ndarray[Any, Any]

Window: TypeAlias = str | float | tuple[str | float, ...]
"""A window by the name that `scipy.signal.get_window` knows, with its parameters: `"hamming"`, `("kaiser", 5.0)`."""


class RateFilter(ABC):
    """A filter between two rates: which samples an output depends on, and the sums over them."""

    up: int
    down: int

    @property
    @abstractmethod
    def reach(self) -> int:
        """How many samples an output depends on, at most."""

    def outputs(self, samples: int) -> int:
        """How many outputs SciPy makes of a recording: as many as begin before its end."""
        return -(-samples * self.up // self.down)

    def span(self, first_tick: int, outputs: int) -> tuple[int, int]:
        """The samples `[begin, end)` that outputs depend on.

        Args:
            first_tick: what `centre + i * down` is for the first of them.
            outputs: how many, at least one.
        """
        last_tick = first_tick + (outputs - 1) * self.down
        return first_tick // self.up - self.reach + 1, last_tick // self.up + 1

    def run_array(self, x: Array, first_tick: int, outputs: int) -> Array:
        """Outputs from the samples at hand; what lies beyond them counts as zero.

        Args:
            x: [..., T], floating or complex; only read.
            first_tick: what `centre + i * down` is for the first output.
            outputs: how many.

        Returns:
            y: [..., outputs], in the dtype of x.
        """
        values = widened(x)
        if values.dtype.kind == "c":  # the taps are real: real and imaginary part are rows of their own
            parts = np.stack([values.real, values.imag])
            y = np.empty((*x.shape[:-1], outputs), values.dtype)
            y.real, y.imag = self._run_real(parts, first_tick, outputs)
        else:
            y = self._run_real(values, first_tick, outputs)
        result: Array = narrowed(y, x)
        return result

    @abstractmethod
    def _run_real(self, x: Array, first_tick: int, outputs: int) -> Array:
        """`run_array` for float32 and float64."""


@dataclass(frozen=True, eq=False)
class Polyphase(RateFilter):
    """One filter between two rates.

    Args:
        up: factor by which the rate grows.
        down: factor by which it shrinks.
        taps: [n], float64, the filter at the higher rate.
        centre: which tap meets sample 0 in output 0.
        gain: multiplies the taps after these have been rounded to the dtype of the data, as SciPy does it.
        fused: a product and its sum are rounded once, as processors do it fastest, and not twice, as SciPy does it.
    """

    up: int
    down: int
    taps: NDArray[np.float64]
    centre: int
    gain: float = 1.0
    fused: bool = False

    @cached_property
    def reach(self) -> int:
        """Taps of one phase: how many samples an output depends on, at most."""
        return -(-len(self.taps) // self.up)

    @cached_property
    def tables(self) -> dict[str, Array]:
        """The phases [up, reach], each from the tap for its oldest sample to that for its newest, by dtype."""
        tables = {}
        for name in ("float32", "float64"):
            padded = np.zeros(self.up * self.reach, name)
            padded[: len(self.taps)] = self.taps
            padded *= np.dtype(name).type(self.gain)
            tables[name] = np.ascontiguousarray(padded.reshape(self.reach, self.up)[::-1].T)
        return tables

    @cached_property
    def adjoint(self) -> Polyphase:
        """The transposed map, with which gradients flow: the taps reversed, and up and down exchanged."""
        reversed_taps = np.ascontiguousarray(self.taps[::-1])
        return Polyphase(self.down, self.up, reversed_taps, len(self.taps) - 1 - self.centre, self.gain, self.fused)

    def _run_real(self, x: Array, first_tick: int, outputs: int) -> Array:
        begin, _end = self.span(first_tick, max(outputs, 1))
        table = self.tables[x.dtype.name]
        phase = first_tick % self.up
        return cpu.run(x, table, self.up, self.down, phase=phase, first=begin, outputs=outputs, fused=self.fused)


def reduced(up: Any, down: Any, largest: int = LARGEST_FACTOR) -> tuple[int, int]:
    """Two factors, as integers without a common factor.

    Args:
        up, down: as a caller gave them.
        largest: that either may be.

    Raises:
        DataError: a factor that is not a positive integer.
    """
    for name, value in (("up", up), ("down", down)):
        try:
            is_whole = not isinstance(value, (str, bytes)) and value == int(value)
        except (TypeError, ValueError, OverflowError):
            is_whole = False
        if not is_whole:
            raise DataError(f"{name} must be an integer, got {value!r}")
        if value < 1:
            raise DataError(f"{name} must be at least 1, got {number_text(value)}")
        if value > largest:
            raise DataError(f"{name} must be at most {largest}, got {number_text(value)}")
    common = math.gcd(int(up), int(down))
    return int(up) // common, int(down) // common


def floating(x: Any) -> Any:
    """Rows as numbers that have fractions: integers and booleans as float64, the others as they are."""
    if not isinstance(x, np.ndarray):
        return x if x.is_floating_point() or x.is_complex() else x.double()
    if x.dtype.char in "gG":
        raise DataError(f"cannot resample {x.dtype}; convert it to float64")
    return x if x.dtype.kind in "fc" else x.astype(np.float64)


def widened(x: Any) -> Any:
    """Rows in what is computed in: half precision in single, the others as they are."""
    if isinstance(x, np.ndarray):
        return x.astype(np.float32) if x.dtype.char == "e" else x
    import torch

    return x.to(torch.promote_types(x.dtype, torch.float32))


def narrowed(y: Any, x: Any) -> Any:
    """A result in the dtype of x."""
    return y.astype(x.dtype, copy=False) if isinstance(y, np.ndarray) else y.to(x.dtype)


def lowpass(up: int, down: int, window: Window | Sequence[float] | Array, *, samples: int | None = None) -> Polyphase:
    """The filter that `scipy.signal.resample_poly` takes between two rates.

    Args:
        up, down: without a common factor.
        window: for a design by windows, 20 zero crossings wide; or the taps themselves, as a list or an array.
        samples: of the recording, which a filter that is designed has to fit; `None` where that is not known.

    Raises:
        DataError: taps other than a row of real numbers.
        ConfigError: a window that does not exist; a filter out of all proportion to the data.
    """
    if isinstance(window, list) or kind_of(window) is not None:
        from bridgeflow.signal._input import as_ndarray

        taps = as_ndarray(window)
        if taps.ndim != 1 or not len(taps) or taps.dtype.kind not in "fiub":
            raise DataError(
                f"window must be 1-D: the taps as a row of real numbers, got {taps.dtype} of shape {taps.shape}"
            )
        return Polyphase(up, down, taps.astype(np.float64), (len(taps) - 1) // 2, float(up))
    if samples is not None:
        hold_taps(up, down, samples)
    return _designed(up, down, window)  # type: ignore[arg-type]  # no list, no array: a name and its parameters


@lru_cache(maxsize=64)
def _designed(up: int, down: int, window: Window) -> Polyphase:
    from scipy.signal import firwin

    slower = max(up, down)
    half = 10 * slower
    chosen: Any = window
    refuse_parameters(window)
    try:
        taps = np.asarray(firwin(2 * half + 1, 1.0 / slower, window=chosen), np.float64)
    except (ValueError, TypeError, IndexError, ArithmeticError) as error:
        raise ConfigError(
            f"window must be one that scipy.signal.get_window knows, got {window!r} ({error})", field="window"
        ) from error
    if not np.isfinite(taps).all():
        raise ConfigError(f"window: the parameters of {window!r} give no finite taps", field="window")
    return Polyphase(up, down, taps, half, float(up))
