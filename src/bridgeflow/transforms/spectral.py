"""Spectra as transforms: `Stft`, `Spectrogram`, `Istft`, `Welch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np

from bridgeflow.errors import ConfigError, DataError, naming
from bridgeflow.policy import Gaps, parse_word
from bridgeflow.ranges import Count, Finite, Length, Natural, Position, Rate
from bridgeflow.signal._axes import axis_of
from bridgeflow.signal.spectral import (
    Average,
    FftMode,
    LiveIstft,
    LiveStft,
    Padding,
    ScaleTo,
    Scaling,
    ShortTimeFFT,
    WelchAverage,
    named_window,
)
from bridgeflow.signal.trends import Trend
from bridgeflow.transforms.along_time import Order
from bridgeflow.transforms.gaps import GapTransform
from bridgeflow.transforms.live import LiveTransform
from bridgeflow.transforms.registry import register

__all__ = ["Istft", "SlicesLast", "Spectrogram", "Stft", "Welch", "window_weights"]

Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class SlicesLast(GapTransform, LiveTransform):
    """A transform of slices of time, which stand after all other axes; what a slice becomes stands where time was."""

    hop: Length

    @property
    def rate_factor(self) -> Fraction:
        """Slices that come out for a sample that goes in."""
        return Fraction(1, self.hop)

    @property
    def stream_axis(self) -> int:
        """Slices stand after all other axes."""
        return -1

    def result_order(self, ndim: int, result_ndim: int) -> Order:
        """Frequencies where time was, slices last, as in SciPy."""
        time = range(ndim)[self.axis]
        return [*range(time), ndim - 1, *range(time, ndim - 1), ndim]

    def _rows_before(self, result_ndim: int) -> int:
        return result_ndim - 1


@dataclass(frozen=True, kw_only=True)
class _ShortTime(GapTransform, LiveTransform):
    """The parameters of `scipy.signal.ShortTimeFFT`."""

    fs: Rate
    hop: Length
    win: str | tuple[str | Finite, ...] = "hann"
    nperseg: Count | None = None
    fft_mode: FftMode = "onesided"
    mfft: Length | None = None
    scale_to: ScaleTo | None = None
    phase_shift: Position | None = 0

    @cached_property
    def sft(self) -> ShortTimeFFT:
        """The transform of a slice, and where slices lie."""
        return ShortTimeFFT(
            window_weights(type(self).__name__, self.win, self.nperseg),
            self.hop,
            self.fs,
            fft_mode=self.fft_mode,
            mfft=self.mfft,
            scale_to=self.scale_to,
            phase_shift=self.phase_shift,
        )


@register
@dataclass(frozen=True, kw_only=True)
class Stft(_ShortTime, SlicesLast):
    """Short-time Fourier transform of signals along their last axis, whole or live, by `scipy.signal.ShortTimeFFT`.

    Args:
        fs: sampling rate in Hz. Where the data know theirs, it must be this one.
        hop: samples from one slice to the next.
        win: a window that `scipy.signal.get_window` knows (periodic): name, or name and parameters; or its samples.
        nperseg: samples of a named window.
        fft_mode: `"onesided"`, `"onesided2X"`, `"twosided"` or `"centered"`; complex data need one of the last two.
        mfft: length of the transform; `None` for the window's.
        scale_to: `"magnitude"`, `"psd"` or `None`.
        phase_shift: of slices, in samples; `None` lets the phase refer to the start of each slice.
        padding: beyond the ends, `"zeros"`, `"edge"`, `"even"`, `"odd"`; the first two stream.
        detr: taken off each slice: `"constant"`, `"linear"`, or `None`.
        keys: which arrays; `None` for all.
        axis: of time; frequencies take its place, and slices stand last, as in SciPy.
        nonfinite, max_gap, keep_gaps: what NaN and infinity do; see `GapTransform`. What `keep_gaps` marks are the
            slices whose window holds a sample that was filled.

    Arrays [..., time] of any kind, at least half a window long, become complex [..., frequency, slices]: complex64 for
    data of at most single precision, else complex128. Gradients flow.

    Raises:
        ConfigError: what `scipy.signal.ShortTimeFFT` refuses.

    >>> x = np.random.default_rng(0).standard_normal((2, 1000))
    >>> Stft(fs=250.0, nperseg=128, hop=32)(x).shape
    (2, 65, 35)
    """

    padding: Padding = "zeros"
    detr: Trend | None = None
    nonfinite: Gaps = "raise"

    def __post_init__(self) -> None:
        parse_word(self.padding, Padding, field=f"{type(self).__name__}: padding")
        if self.detr is not None:
            parse_word(self.detr, Trend, field=f"{type(self).__name__}: detr")
        super().__post_init__()

    @cached_property
    def live(self) -> LiveStft:
        """The transform at work."""
        return LiveStft(sft=self.sft, padding=self.padding, detr=self.detr)

    def sources(self, first: int, count: int) -> tuple[Array, Array]:
        """The samples in the window of each slice."""
        starts = (self.sft.p_min + np.arange(first, first + count)) * self.hop - self.sft.m_num_mid
        return np.maximum(starts, 0), starts + self.sft.m_num


@register
@dataclass(frozen=True, kw_only=True)
class Spectrogram(Stft):
    """The squared magnitude of the short-time Fourier transform, whole or live, by `scipy.signal.ShortTimeFFT`.

    The fields are those of `Stft`.

    Arrays [..., time] become real [..., frequency, slices]: float32 for data of at most single precision, else float64.

    Raises:
        ConfigError: what `scipy.signal.ShortTimeFFT` refuses.

    >>> tone = np.sin(2 * np.pi * 50 * np.arange(1000) / 250).astype("float32")
    >>> power = Spectrogram(fs=250.0, nperseg=125, hop=25, scale_to="magnitude")(tone)
    >>> power.shape, int(power[:, 20].argmax()) * 250 / 125
    ((63, 45), 50.0)
    """

    @cached_property
    def live(self) -> LiveStft:
        """The transform at work."""
        return LiveStft(sft=self.sft, padding=self.padding, detr=self.detr, power=True)


@register
@dataclass(frozen=True, kw_only=True)
class Istft(_ShortTime):
    """The signals whose short-time Fourier transform it is: undoes `Stft` of the same parameters, whole or live.

    Args:
        fs, hop, win, nperseg, fft_mode, mfft, scale_to, phase_shift, keys: as for the `Stft` to be undone.
        axis: of time in the result, as for the `Stft` to be undone: of frequencies in the data, whose slices are last.
        nonfinite: `"raise"`, or `"propagate"`: NaN in all samples that a slice with NaN reaches.
        k1: how many samples there were; `None` for as many as the slices reach, which is past the end by up to a
            window.

    Arrays [..., frequency, slices] become [..., time], real for the one-sided modes.

    Raises:
        ConfigError: what `scipy.signal.ShortTimeFFT` refuses; a window that cannot be undone at this hop.

    >>> x = np.random.default_rng(0).standard_normal((2, 1000))
    >>> same = {"fs": 250.0, "nperseg": 128, "hop": 32}
    >>> np.allclose(Istft(**same, k1=1000)(Stft(**same)(x)), x)
    True
    """

    k1: Length | None = None
    nonfinite: Literal["raise", "propagate"] = "raise"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sft.invertible:
            raise ConfigError(
                f"Istft: this window of {self.sft.m_num} samples cannot be undone with hop={self.hop}", field="hop"
            )
        if self.k1 is not None and self.k1 < 1:
            raise ConfigError(f"Istft: k1 must be at least 1, got {self.k1}", field="k1")

    @cached_property
    def live(self) -> LiveIstft:
        """The transform at work."""
        return LiveIstft(sft=self.sft, k1=self.k1)

    @property
    def rate_factor(self) -> Fraction:
        """Samples that come out for a slice that goes in."""
        return Fraction(self.hop)

    @property
    def core_ndim(self) -> int | None:
        """From the axis of frequencies to the last, that of slices."""
        return None if self.axis >= 0 else 1 - self.axis

    @property
    def time_axis(self) -> int:
        """Slices follow each other on the last axis."""
        return -1

    def core_axes(self, ndim: int) -> frozenset[int] | None:
        """Frequencies and slices."""
        return frozenset(self.rows_order([None] * ndim)[-2:]) if ndim > 1 else None

    def rows_order(self, shape: Sequence[int | None]) -> Order:
        """Frequencies, which stand where time will be, and slices, which are last, after the rows."""
        if len(shape) < 2:
            raise DataError(f"Istft: spectra have axes of frequency and of slices, got {len(shape)} axis; see Stft")
        with naming("Istft"):
            place = axis_of(self.axis, shape[:-1])
        return [*(n for n in range(len(shape) - 1) if n != place), place, len(shape) - 1]

    def result_order(self, ndim: int, result_ndim: int) -> Order:
        """Time where frequencies were."""
        return super().result_order(result_ndim, result_ndim)

    def _rows_before(self, result_ndim: int) -> int:
        return result_ndim + 1


@register
@dataclass(frozen=True, kw_only=True)
class Welch(GapTransform, LiveTransform):
    """The average power spectrum of signals along their last axis, by `scipy.signal.welch`.

    Args:
        fs: sampling rate in Hz. Where the data know theirs, it must be this one.
        window: one that `scipy.signal.get_window` knows: name, or name and parameters; or its samples.
        nperseg: samples of a segment; `None` for 256, or the window's.
        noverlap: samples that neighbouring segments share; `None` for half.
        nfft: length of the transform; `None` for `nperseg`.
        detrend: taken off each segment: `"constant"`, `"linear"`, or `None`.
        return_onesided: for real data; complex data need `False`.
        scaling: `"density"` (power per Hz) or `"spectrum"` (power).
        average: `"mean"`, which streams in constant memory; or `"median"`.
        keys: which arrays; `None` for all.
        axis: of time; frequencies take its place.
        nonfinite, max_gap: what NaN and infinity do; see `GapTransform`.

    Arrays [..., time] of at least one segment become [..., frequency]; `frequencies` names them. In a stream nothing
    comes out before the end.

    Raises:
        ConfigError: parameters that do not fit each other.

    >>> tone = np.sin(2 * np.pi * 50 * np.arange(10_000) / 250)
    >>> welch = Welch(fs=250.0, nperseg=500)
    >>> float(welch.frequencies[welch(tone).argmax()])
    50.0
    """

    fs: Rate = 1.0
    window: str | tuple[str | Finite, ...] = "hann"
    nperseg: Count | None = None
    noverlap: Natural | None = None
    nfft: Length | None = None
    detrend: Trend | None = "constant"
    return_onesided: bool = True
    scaling: Scaling = "density"
    average: Average = "mean"
    nonfinite: Gaps = "raise"

    def __post_init__(self) -> None:
        if self.detrend is not None:
            parse_word(self.detrend, Trend, field="Welch: detrend")
        parse_word(self.scaling, Scaling, field="Welch: scaling")
        self.require_places()
        super().__post_init__()

    @cached_property
    def live(self) -> WelchAverage:
        """The average at work."""
        named = isinstance(self.window, str) or (len(self.window) > 0 and isinstance(self.window[0], str))
        weights = window_weights("Welch", self.window, 256 if named and self.nperseg is None else self.nperseg)
        shared = len(weights) // 2 if self.noverlap is None else self.noverlap
        if not 0 <= shared < len(weights):
            raise ConfigError(
                f"Welch: noverlap must be less than the {len(weights)} samples of a segment, got {shared}",
                field="noverlap",
            )
        sft = ShortTimeFFT(
            weights,
            len(weights) - shared,
            self.fs,
            fft_mode="onesided" if self.return_onesided else "twosided",
            mfft=self.nfft,
            scale_to="psd" if self.scaling == "density" else "magnitude",
            phase_shift=None,
        )
        return WelchAverage(sft=sft, detr=self.detrend, average=self.average)

    @property
    def frequencies(self) -> np.ndarray[Any, Any]:
        """In Hz, [frequency]."""
        return np.asarray(self.live.sft.f)


def window_weights(what: str, win: str | tuple[str | float, ...], nperseg: int | None) -> np.ndarray[Any, Any]:
    """The samples of a window given by name or by its samples."""
    if isinstance(win, tuple) and win and not isinstance(win[0], str):
        if nperseg not in (None, len(win)):
            raise ConfigError(f"{what}: nperseg={nperseg}, but the window has {len(win)} samples", field="nperseg")
        return np.asarray(win, np.float64)
    if nperseg is None or isinstance(nperseg, bool) or nperseg < 1:
        raise ConfigError(
            f"{what}: the window {win!r} needs its number of samples, nperseg, got {nperseg!r}", field="nperseg"
        )
    with naming(what):
        return named_window(win, nperseg)
