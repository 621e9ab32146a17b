"""FIR designs: an impulse response of a few up to some thousand taps, always stable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from bridgeflow.errors import naming
from bridgeflow.signal._windows import refuse_parameters
from bridgeflow.signal.design.base import Array, FirFilter

__all__ = ["Firls", "Firwin", "Remez", "Savgol", "Taps"]

RemezType: TypeAlias = Literal["bandpass", "differentiator", "hilbert"]
"""SciPy's three kinds of `remez`."""

Window: TypeAlias = str | float | tuple[str | float, ...]
"""A window as `scipy.signal.get_window` takes it: `"hamming"`, `("kaiser", 8.0)`, or the beta of a Kaiser window."""


@dataclass(frozen=True, kw_only=True)
class Firwin(FirFilter):
    """A windowed ideal filter. As `scipy.signal.firwin`, with unit gain at the centre of the first passband.

    Args:
        numtaps: number of taps. Odd wherever fs/2 passes.
        cutoff: one corner frequency in Hz or several, ascending, 0 < cutoff < fs/2.
        pass_zero: whether 0 Hz passes, or `"lowpass"`, `"highpass"`, `"bandpass"`, `"bandstop"`.
        window: name, (name, parameter), or a number, a Kaiser window's beta.
        width: width of the transition in Hz; then the window is the Kaiser window that reaches it.
        fs: sampling rate in Hz.

    >>> Firwin(numtaps=5, cutoff=20.0, fs=100.0).taps.sum().round(12)
    np.float64(1.0)
    """

    name: ClassVar[str] = "firwin"
    numtaps: int
    cutoff: float | tuple[float, ...]
    pass_zero: bool | str = True
    window: Window = "hamming"
    width: float | None = None

    def _parse(self) -> None:
        several = isinstance(self.cutoff, (Sequence, np.ndarray)) and not isinstance(self.cutoff, str)
        edges = tuple(
            self._frequency("cutoff", edge) for edge in (self._sequence("cutoff") if several else (self.cutoff,))
        )
        if list(edges) != sorted(set(edges)):
            raise self._fail(f"cutoff must ascend, got {edges}", field="cutoff")
        self._set(
            numtaps=self._integer("numtaps", least=1),
            cutoff=edges if several else edges[0],
            pass_zero=self.pass_zero if isinstance(self.pass_zero, str) else self._flag("pass_zero"),
            window=self._window(),
            width=None if self.width is None else self._positive("width"),
        )

    def _window(self) -> Window:
        if isinstance(self.window, str):
            return self.window
        if isinstance(self.window, (Sequence, np.ndarray)):
            parts = self._sequence("window")
            window = tuple(part if isinstance(part, str) else self._number("window", part) for part in parts)
            with naming(self.name):
                refuse_parameters(window)
            return window
        return self._number("window")

    def _solve(self) -> Array:
        from scipy.signal import firwin

        options = {"width": self.width, "window": self.window, "pass_zero": self.pass_zero, "fs": self.fs}
        taps: Array = self._scipy(firwin, self.numtaps, self.cutoff, **options)
        return taps


class _Banded(FirFilter):
    """What `Firls` and `Remez` share: a list of bands, and what is wanted in each."""

    bands: tuple[float, ...]
    weight: tuple[float, ...] | None

    def _bands(self) -> tuple[float, ...]:
        """Band edges in Hz, two for each band, ascending, 0 and fs/2 allowed; pairs are flattened."""
        items = self._sequence("bands")
        flat = [edge for item in items for edge in (item if isinstance(item, (tuple, list)) else (item,))]
        edges = self._numbers("bands", flat)
        nyquist = self._rate("bands") / 2
        if len(edges) % 2:
            raise self._fail(f"bands must hold two edges for each band, got {len(edges)} edges", field="bands")
        if list(edges) != sorted(edges):
            raise self._fail(f"bands must ascend, got {edges}", field="bands")
        if edges[0] < 0 or edges[-1] > nyquist:
            raise self._fail(f"bands must lie between 0 and fs/2 = {nyquist:g} Hz, got {edges}", field="bands")
        return edges

    def _weights(self) -> tuple[float, ...] | None:
        if self.weight is None:
            return None
        weights = self._numbers("weight")
        if len(weights) != len(self.bands) // 2:
            raise self._fail(
                f"weight must hold one number for each of {len(self.bands) // 2} bands, got {len(weights)}"
            )
        return weights


@dataclass(frozen=True, kw_only=True)
class Firls(_Banded):
    """The least squared error over the bands. As `scipy.signal.firls`.

    Args:
        numtaps: number of taps, odd.
        bands: edges in Hz, two for each band, ascending, 0 <= edge <= fs/2; what lies between bands is free.
        desired: wanted gain at each edge, linear in between.
        weight: one number for each band; all 1 where not given.
        fs: sampling rate in Hz.
    """

    name: ClassVar[str] = "firls"
    numtaps: int
    bands: tuple[float, ...]
    desired: tuple[float, ...]
    weight: tuple[float, ...] | None = None

    def _parse(self) -> None:
        self._set(
            numtaps=self._integer("numtaps", least=1, most=4_001), bands=self._bands(), desired=self._numbers("desired")
        )
        self._set(weight=self._weights())
        if len(self.desired) != len(self.bands):
            raise self._fail(
                f"desired must hold one gain for each of {len(self.bands)} edges, got {len(self.desired)}",
                field="desired",
            )

    def _solve(self) -> Array:
        from scipy.signal import firls

        taps: Array = self._scipy(firls, self.numtaps, self.bands, self.desired, weight=self.weight, fs=self.fs)
        return taps


@dataclass(frozen=True, kw_only=True)
class Remez(_Banded):
    """The smallest largest error over the bands (Parks-McClellan). As `scipy.signal.remez`.

    Args:
        numtaps: number of taps.
        bands: edges in Hz, two for each band, ascending, 0 <= edge <= fs/2; what lies between bands is free.
        desired: wanted gain, one number for each band.
        weight: one number for each band; all 1 where not given.
        type: `"bandpass"`, `"differentiator"` or `"hilbert"`.
        maxiter: most iterations.
        grid_density: how finely the error is looked at.
        fs: sampling rate in Hz.
    """

    name: ClassVar[str] = "remez"
    numtaps: int
    bands: tuple[float, ...]
    desired: tuple[float, ...]
    weight: tuple[float, ...] | None = None
    type: RemezType = "bandpass"
    maxiter: int = 25
    grid_density: int = 16

    def _parse(self) -> None:
        self._set(
            numtaps=self._integer("numtaps", least=1, most=4_001),
            bands=self._bands(),
            desired=self._numbers("desired"),
            type=self._word("type", RemezType),
            maxiter=self._integer("maxiter", least=1, most=10_000),
            grid_density=self._integer("grid_density", least=1, most=1_000),
        )
        self._set(weight=self._weights())
        if 2 * len(self.desired) != len(self.bands):
            raise self._fail(
                f"desired must hold one gain for each of {len(self.bands) // 2} bands, got {len(self.desired)}",
                field="desired",
            )

    def _solve(self) -> Array:
        from scipy.signal import remez

        options: dict[str, Any] = {"weight": self.weight, "type": self.type, "fs": self.fs}
        options |= {"maxiter": self.maxiter, "grid_density": self.grid_density}
        taps: Array = self._scipy(remez, self.numtaps, self.bands, self.desired, **options)
        return taps


@dataclass(frozen=True, kw_only=True)
class Savgol(FirFilter):
    """Savitzky-Golay: a polynomial fitted to each window, or its derivative. As `scipy.signal.savgol_coeffs`.

    Args:
        window_length: number of taps.
        polyorder: degree of the polynomial, below `window_length`.
        deriv: which derivative; 0 smooths.
        delta: time between samples, for derivatives; 1 gives units per sample, `1 / fs` per second.
        fs: sampling rate in Hz; only `response` uses it.

    As a causal filter it delays by half a window; `signal.savgol_filter` and mode `"zero_phase"` do not.
    """

    name: ClassVar[str] = "savgol"
    window_length: int
    polyorder: int
    deriv: int = 0
    delta: float = 1.0

    def _parse(self) -> None:
        self._set(
            window_length=self._integer("window_length", least=1),
            polyorder=self._integer("polyorder", least=0, most=100),
            deriv=self._integer("deriv", least=0),
            delta=self._positive("delta"),
        )

    def _solve(self) -> Array:
        from scipy.signal import savgol_coeffs

        options = {"deriv": self.deriv, "delta": self.delta}
        taps: Array = self._scipy(savgol_coeffs, self.window_length, self.polyorder, **options)
        return taps


@dataclass(frozen=True, kw_only=True)
class Taps(FirFilter):
    """An impulse response as given.

    Args:
        values: `values[k]` is the weight of the sample k steps back.
        fs: sampling rate in Hz; only `response` uses it.

    >>> Taps(values=(0.25, 0.5, 0.25)).delay
    1
    """

    name: ClassVar[str] = "taps"
    values: tuple[float, ...]

    def _parse(self) -> None:
        self._set(values=self._numbers("values"))

    def _solve(self) -> Array:
        return np.array(self.values)
