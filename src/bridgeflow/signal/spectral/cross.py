"""Spectra of two signals and of whole recordings: SciPy's `csd`, `coherence` and `periodogram`, as `welch` runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, overload

import numpy as np

from bridgeflow.bridge import kind_of, to_tensor
from bridgeflow.errors import ConfigError, DataError, names_errors
from bridgeflow.policy import parse_word
from bridgeflow.signal._axes import time_where_it_was
from bridgeflow.signal._input import Prepared, prepare
from bridgeflow.signal._numbers import as_size
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal.fourier import in_precision, is_complex, squared_magnitude
from bridgeflow.signal.padding import pad_zeros
from bridgeflow.signal.spectral.average import (
    Average,
    Scaling,
    frequencies,
    median_bias,
    segment_median,
    welch,
    welch_transform,
    with_both_sides,
)
from bridgeflow.signal.spectral.short_time import ShortTimeFFT
from bridgeflow.signal.trends import Trend

__all__ = ["coherence", "csd", "periodogram"]

Array: TypeAlias = np.ndarray[Any, Any]

Window: TypeAlias = str | tuple[Any, ...] | Array | Sequence[float]

SegmentTrend: TypeAlias = Trend | Callable[[Any], Any] | Literal[False] | None


@overload
def csd(
    x: SameKind,
    y: Any,
    fs: float = ...,
    window: Window = ...,
    nperseg: int | None = ...,
    noverlap: int | None = ...,
    nfft: int | None = ...,
    detrend: SegmentTrend = ...,
    return_onesided: bool = ...,
    scaling: Scaling = ...,
    axis: int = ...,
    average: Average = ...,
) -> tuple[SameKind, SameKind]: ...
@overload
def csd(
    x: Any,
    y: Any,
    fs: float = ...,
    window: Window = ...,
    nperseg: int | None = ...,
    noverlap: int | None = ...,
    nfft: int | None = ...,
    detrend: SegmentTrend = ...,
    return_onesided: bool = ...,
    scaling: Scaling = ...,
    axis: int = ...,
    average: Average = ...,
) -> tuple[Any, Any]: ...
@names_errors("csd")
def csd(
    x: Any,
    y: Any,
    fs: float = 1.0,
    window: Window = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: SegmentTrend = "constant",
    return_onesided: bool = True,
    scaling: Scaling = "density",
    axis: int = -1,
    average: Average = "mean",
) -> tuple[Any, Any]:
    """The cross power spectrum `conj(X) Y` by Welch's method, as `scipy.signal.csd` gives it.

    Args:
        x, y: data of any shape and kind; real or complex. The shorter one goes on as zeros; other axes broadcast.
        fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis, average: as for `welch`.

    Returns:
        f: frequencies in Hz, of the kind of the data.
        Pxy: x with frequency in place of time, complex (real where y is x); as the data in kind and device; double
            precision, or single for data of at most single precision. Gradients flow.

    Raises:
        ConfigError, DataError: parameters that do not fit each other, or the data.

    >>> t = np.arange(1000) / 100
    >>> f, power = csd(np.sin(2 * np.pi * 10 * t), np.cos(2 * np.pi * 10 * t), fs=100.0, nperseg=200)
    >>> float(f[abs(power).argmax()]), float(np.angle(power[20]).round(6))
    (10.0, 1.570796)
    """
    pair = _Pair.open(x, y, axis)
    if pair.is_empty:
        return pair.nothing()
    parse_word(average, Average, field="average")
    sft = welch_transform(window, nperseg, noverlap, nfft, fs, return_onesided and pair.is_real, scaling, pair.samples)
    first, second = pair.spectra(sft, detrend)
    power = _averaged(with_both_sides(sft, first.conj() * second), average)
    return pair.close(sft.f, power.real if pair.same and is_complex(power) else power)


@overload
def coherence(
    x: SameKind,
    y: Any,
    fs: float = ...,
    window: Window = ...,
    nperseg: int | None = ...,
    noverlap: int | None = ...,
    nfft: int | None = ...,
    detrend: SegmentTrend = ...,
    axis: int = ...,
) -> tuple[SameKind, SameKind]: ...
@overload
def coherence(
    x: Any,
    y: Any,
    fs: float = ...,
    window: Window = ...,
    nperseg: int | None = ...,
    noverlap: int | None = ...,
    nfft: int | None = ...,
    detrend: SegmentTrend = ...,
    axis: int = ...,
) -> tuple[Any, Any]: ...
@names_errors("coherence")
def coherence(
    x: Any,
    y: Any,
    fs: float = 1.0,
    window: Window = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: SegmentTrend = "constant",
    axis: int = -1,
) -> tuple[Any, Any]:
    """How linearly two signals hang together at each frequency, 0 to 1, as `scipy.signal.coherence` gives it.

    Args:
        x, y, fs, window, nperseg, noverlap, nfft, detrend, axis: as for `csd`.

    Returns:
        f: frequencies in Hz, of the kind of the data.
        Cxy: `|Pxy|^2 / (Pxx Pyy)`; as for `csd`, real.

    Raises:
        ConfigError, DataError: parameters that do not fit each other, or the data.

    >>> x = np.random.default_rng(0).standard_normal(1000)
    >>> f, c = coherence(x, -3 * x, nperseg=100)
    >>> np.allclose(c, 1)
    True
    """
    pair = _Pair.open(x, y, axis)
    if pair.is_empty:
        return pair.nothing()
    if pair.x.shape[-1] != pair.y.shape[-1]:
        raise DataError(f"x and y must have the same number of samples, got {pair.x.shape[-1]} and {pair.y.shape[-1]}")
    sft = welch_transform(window, nperseg, noverlap, nfft, fs, pair.is_real, "density", pair.samples)
    first, second = pair.spectra(sft, detrend)
    powers = [_averaged(squared_magnitude(spectrum), "mean") for spectrum in (first, second)]
    cross = squared_magnitude(_averaged(first.conj() * second, "mean"))
    return pair.close(sft.f, cross / powers[0] / powers[1])


@overload
def periodogram(
    x: SameKind,
    fs: float = ...,
    window: Window | None = ...,
    nfft: int | None = ...,
    detrend: SegmentTrend = ...,
    return_onesided: bool = ...,
    scaling: Scaling = ...,
    axis: int = ...,
) -> tuple[SameKind, SameKind]: ...
@overload
def periodogram(
    x: Any,
    fs: float = ...,
    window: Window | None = ...,
    nfft: int | None = ...,
    detrend: SegmentTrend = ...,
    return_onesided: bool = ...,
    scaling: Scaling = ...,
    axis: int = ...,
) -> tuple[Any, Any]: ...
@names_errors("periodogram")
def periodogram(
    x: Any,
    fs: float = 1.0,
    window: Window | None = "boxcar",
    nfft: int | None = None,
    detrend: SegmentTrend = "constant",
    return_onesided: bool = True,
    scaling: Scaling = "density",
    axis: int = -1,
) -> tuple[Any, Any]:
    """The power spectrum of the data as one segment, as `scipy.signal.periodogram` gives it.

    Args:
        x: data of any shape and kind; real or complex.
        fs: sampling rate in Hz.
        window: by name or by samples, as many as are transformed; `None` for none.
        nfft: length of the transform; fewer than there are samples leave the others out. `None` for all.
        detrend, return_onesided, scaling, axis: as for `welch`.

    Returns:
        f: frequencies in Hz, of the kind of the data.
        Pxx: as for `welch`.

    Raises:
        ConfigError, DataError: parameters that do not fit each other, or the data.

    >>> f, power = periodogram(np.sin(2 * np.pi * 10 * np.arange(200) / 100), fs=100.0, scaling="spectrum")
    >>> float(f[power.argmax()]), float(power.max().round(6))
    (10.0, 0.5)
    """
    rows = prepare(x, axis)
    samples = int(rows.values.shape[-1])
    if 0 in tuple(rows.values.shape):
        empty = rows.restore(in_precision(rows.values))
        return empty, empty
    size = None if nfft is None else as_size(nfft, name="nfft", least=1)
    if size is not None and size < samples:
        rows, samples, size = rows._replace(values=rows.values[..., :size]), size, None
    chosen = "boxcar" if window is None else window
    if not isinstance(chosen, (str, tuple)) and np.shape(chosen) != (samples,):
        raise ConfigError(
            f"the size of the window must be the same size of the input on the specified axis, "
            f"got {np.shape(chosen)} and {samples}"
        )
    options: dict[str, Any] = {"detrend": detrend, "return_onesided": return_onesided, "scaling": scaling}
    f, power = welch(rows.values, fs, chosen, samples, 0, size, axis=-1, **options)
    return (f if rows.is_tensor else frequencies(f, x)), rows.restore_new(time_where_it_was(power, axis))


class _Pair(NamedTuple):
    """Two signals as rows, both for NumPy or both for torch.

    Args:
        x, y: [..., T] each, broadcasting against each other.
        same: whether they are one object.
        axis: where time was.
        template: what results are like.
    """

    x: Any
    y: Any
    same: bool
    axis: int
    template: Any

    @classmethod
    def open(cls, x: Any, y: Any, axis: int) -> _Pair:
        first = prepare(x, axis)
        if y is x:
            return cls(first.values, first.values, True, axis, x)
        second = prepare(y, axis)
        values = [first.values, second.values]
        if first.is_tensor or second.is_tensor:
            device = (first if first.is_tensor else second).values.device
            values = [to_tensor(value, device=device, writable=False) for value in values]
        try:
            np.broadcast_shapes(*(tuple(value.shape[:-1]) for value in values))
        except ValueError as error:
            raise DataError(f"x and y cannot be broadcast together ({error})") from error
        template = x if kind_of(x) not in {None, "numpy"} else y
        return cls(values[0], values[1], False, axis, template)

    @property
    def is_empty(self) -> bool:
        return 0 in self.x.shape or 0 in self.y.shape

    @property
    def is_real(self) -> bool:
        return not (is_complex(self.x) or is_complex(self.y))

    @property
    def samples(self) -> int:
        return max(int(self.x.shape[-1]), int(self.y.shape[-1]))

    def spectra(self, sft: ShortTimeFFT, detrend: SegmentTrend) -> tuple[Any, Any]:
        """Of all segments of both, [..., segments, f] each."""
        if self.same:
            spectrum = self._spectrum(sft, self.x, detrend)
            return spectrum, spectrum
        return self._spectrum(sft, self.x, detrend), self._spectrum(sft, self.y, detrend)

    def _spectrum(self, sft: ShortTimeFFT, x: Any, detrend: SegmentTrend) -> Any:
        whole = pad_zeros(in_precision(x), 0, self.samples - int(x.shape[-1]))
        return sft.transformed(whole, detrend or None).swapaxes(-1, -2)

    def nothing(self) -> tuple[Any, Any]:
        """What comes of data without samples or rows."""
        rows = np.broadcast_shapes(tuple(self.x.shape[:-1]), tuple(self.y.shape[:-1]))
        empty = np.empty((*rows, min(int(self.x.shape[-1]), int(self.y.shape[-1]))))
        moved = time_where_it_was(empty, self.axis)
        return frequencies(moved, self.template), frequencies(moved, self.template)

    def close(self, f: Array, power: Any) -> tuple[Any, Any]:
        """Results as the kind of the data."""
        return frequencies(f, self.template), Prepared(self.x, self.template, self.axis).restore_new(
            time_where_it_was(power, self.axis)
        )


def _averaged(power: Any, average: str) -> Any:
    """Over segments, [..., segments, f] to [..., f]."""
    count = int(power.shape[-2])
    if average == "mean" or count == 1:
        return power.mean(-2)
    if is_complex(power):
        parts = [segment_median(part) / median_bias(count) for part in (power.real, power.imag)]
        if isinstance(power, np.ndarray):
            return (parts[0] + 1j * parts[1]).astype(power.dtype)
        import torch

        return torch.complex(*parts)
    return segment_median(power) / median_bias(count)
