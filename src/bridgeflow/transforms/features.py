"""Features of signals: `MelSpectrogram`, `Mfcc`, `LogAmplitude`, `BandPower`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.policy import Gaps, parse_word
from bridgeflow.ranges import Count, Finite, Length, Natural, NonNegative, Positive, Rate
from bridgeflow.signal.spectral import Average, ShortTimeFFT
from bridgeflow.signal.spectral.bands import LiveBandPower
from bridgeflow.signal.spectral.mel import (
    LiveMel,
    LogKind,
    MelNorm,
    MelScale,
    SlicePadding,
    log_amplitude,
    mel_filters,
)
from bridgeflow.signal.trends import Trend
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.arithmetic import affine_dtype, elementwise, elementwise_spec
from bridgeflow.transforms.base import SameKindTransform
from bridgeflow.transforms.gaps import GapTransform
from bridgeflow.transforms.live import LiveTransform
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.spectral import SlicesLast, Welch, window_weights

__all__ = ["BandPower", "Convention", "LogAmplitude", "MelSpectrogram", "Mfcc"]

Array: TypeAlias = np.ndarray[Any, Any]

Convention: TypeAlias = Literal["librosa", "torchaudio"]
"""Whose defaults are taken for what is left out."""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "librosa": {"mel_scale": "slaney", "norm": "slaney", "padding": "zeros"},
    "torchaudio": {"mel_scale": "htk", "norm": "none", "padding": "reflect"},
}


@register
@dataclass(frozen=True, kw_only=True)
class MelSpectrogram(SlicesLast):
    """The spectrum of successive slices on the mel scale, whole or live, as librosa's or torchaudio's.

    Args:
        fs: sampling rate in Hz. Where the data know theirs, it must be this one.
        hop: samples from one slice to the next.
        n_fft: samples of a slice, and length of its transform.
        win, win_length: the window (periodic): its name, or name and parameters, and its samples, `n_fft` where left
            out; or its samples. A shorter one stands in the middle of the slice.
        n_mels: how many filters.
        fmin, fmax: the lowest and the highest frequency in Hz; `None` for half the rate.
        power: of the magnitude: 2 for power, 1 for amplitude.
        convention: `"librosa"` or `"torchaudio"`, whose defaults are taken for the next three.
        mel_scale: `"slaney"` (librosa) or `"htk"` (torchaudio).
        norm: of the filters: `"slaney"`, unit area (librosa), or `"none"`, unit height (torchaudio).
        padding: beyond the ends: `"zeros"` (librosa) or `"reflect"` (torchaudio).
        center: whether slices are centered on multiples of the hop, and the ends padded by half a slice.
        keys: which arrays; `None` for the only one.
        axis: of time; the filters take its place, and slices stand last.
        nonfinite, max_gap, keep_gaps: what NaN and infinity do; see `GapTransform`.

    Real arrays [..., time] of any kind become [..., n_mels, slices]: float32 for data of at most single precision,
    else float64. Gradients flow.

    Raises:
        ConfigError: parameters that do not fit each other.
        DataError: complex data; fewer samples than one slice needs.

    Sources: `librosa.feature.melspectrogram`, `torchaudio.transforms.MelSpectrogram`.

    >>> tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000).astype("float32")
    >>> mel = MelSpectrogram(fs=16000.0, n_fft=512, hop=160, n_mels=40)(tone)
    >>> mel.shape, int(mel[:, 50].argmax())
    ((40, 101), 5)
    """

    fs: Rate
    hop: Length
    n_fft: Count
    win: str | tuple[str | Finite, ...] = "hann"
    win_length: Count | None = None
    n_mels: Count = 128
    fmin: NonNegative = 0.0
    fmax: Positive | None = None
    convention: Convention = "librosa"
    mel_scale: MelScale | None = None
    norm: MelNorm | None = None
    padding: SlicePadding | None = None
    power: Positive = 2.0
    center: bool = True
    nonfinite: Gaps = "raise"

    def __post_init__(self) -> None:
        what = type(self).__name__
        parse_word(self.convention, Convention, field=f"{what}: convention")
        for name, words in (("mel_scale", MelScale), ("norm", MelNorm), ("padding", SlicePadding)):
            if getattr(self, name) is not None:
                parse_word(getattr(self, name), words, field=f"{what}: {name}")
        if self.win_length is not None and self.win_length > self.n_fft:
            raise ConfigError(
                f"{what}: win_length={self.win_length} must be at most n_fft={self.n_fft}", field="win_length"
            )
        top = self._top
        if not self.fmin < top <= self.fs / 2:
            raise ConfigError(
                f"{what}: fmin={self.fmin:g} must be below fmax={top:g} Hz, and this at most fs/2={self.fs / 2:g}",
                field="fmin" if self.fmax is None or self.fmin >= top else "fmax",
            )
        super().__post_init__()

    @property
    def _top(self) -> float:
        return self.fs / 2 if self.fmax is None else self.fmax

    def word(self, name: str) -> Any:
        """What a field says, or its convention for it."""
        value = getattr(self, name)
        return _DEFAULTS[self.convention][name] if value is None else value

    @cached_property
    def filters(self) -> Array:
        """The weights of each filter, float64 [n_mels, n_fft // 2 + 1]."""
        scale, norm = self.word("mel_scale"), self.word("norm")
        return mel_filters(self.fs, self.n_fft, self.n_mels, self.fmin, self._top, scale, norm)

    def mel(self, **options: Any) -> LiveMel:
        """What does the work."""
        length = self.n_fft if self.win_length is None else self.win_length
        named = isinstance(self.win, str) or (len(self.win) > 0 and isinstance(self.win[0], str))
        weights = window_weights(type(self).__name__, self.win, length if named or self.win_length else None)
        if len(weights) > self.n_fft:
            raise ConfigError(
                f"{type(self).__name__}: the window has {len(weights)} samples, and n_fft={self.n_fft}", field="win"
            )
        left = (self.n_fft - len(weights)) // 2
        weights = np.pad(weights, (left, self.n_fft - len(weights) - left))
        return LiveMel(
            sft=ShortTimeFFT(weights, self.hop, self.fs, phase_shift=None),
            filters=self.filters,
            center=self.center,
            padding=self.word("padding"),
            power=self.power,
            **options,
        )

    @cached_property
    def live(self) -> LiveMel:
        """The spectra at work."""
        return self.mel()

    def sources(self, first: int, count: int) -> tuple[Array, Array]:
        """The samples of each slice."""
        starts = np.arange(first, first + count) * self.hop - (self.n_fft // 2 if self.center else 0)
        return np.maximum(starts, 0), starts + self.n_fft


@register
@dataclass(frozen=True, kw_only=True)
class Mfcc(MelSpectrogram):
    """Mel-frequency cepstral coefficients, as librosa's or torchaudio's: the cosine transform of a log mel spectrum.

    Args:
        n_mfcc: how many coefficients, at most `n_mels`.
        log: `"db"`, decibels of the power, at least 1e-10; or `"ln"`, its natural logarithm, 1e-6 added (torchaudio's
            `log_mels`).
        top_db: for decibels: how far below the loudest of its row a number may lie, at most. It needs the whole signal:
            `None`, no limit, streams.
        lifter: L of the factor `1 + L / 2 * sin(pi * n / L)` for coefficient n, counted from 1; 0 for none.

    All other arguments are those of `MelSpectrogram`.

    Real arrays [..., time] of any kind become [..., n_mfcc, slices]: float32 for data of at most single precision, else
    float64. Gradients flow. Each row has a loudest number of its own, where librosa takes that of all channels.

    Raises:
        ConfigError, DataError: as for `MelSpectrogram`.

    Sources: `librosa.feature.mfcc`, `torchaudio.transforms.MFCC`; the cosine transform is of type 2, orthonormal.

    >>> noise = np.random.default_rng(0).standard_normal(16000).astype("float32")
    >>> Mfcc(fs=16000.0, n_fft=512, hop=160, n_mels=40, n_mfcc=13)(noise).shape
    (13, 101)
    """

    n_mfcc: Count = 20
    log: LogKind = "db"
    top_db: NonNegative | None = 80.0
    lifter: NonNegative = 0.0

    def __post_init__(self) -> None:
        parse_word(self.log, LogKind, field="Mfcc: log")
        if self.n_mfcc > self.n_mels:
            raise ConfigError(f"Mfcc: n_mfcc={self.n_mfcc} must be at most n_mels={self.n_mels}", field="n_mfcc")
        super().__post_init__()

    @cached_property
    def live(self) -> LiveMel:
        """The cepstra at work."""
        numbers, places = np.arange(self.n_mfcc)[:, None], np.arange(self.n_mels)
        dct = np.sqrt(2 / self.n_mels) * np.cos(np.pi * numbers * (2 * places + 1) / (2 * self.n_mels))
        dct[0] /= np.sqrt(2)
        if self.lifter:
            dct *= 1 + self.lifter / 2 * np.sin(np.pi * (numbers + 1) / self.lifter)
        is_db = self.log == "db"
        return self.mel(log=self.log, floor=1e-10 if is_db else 1e-6, top_db=self.top_db if is_db else None, dct=dct)


@register
@dataclass(frozen=True, kw_only=True)
class LogAmplitude(SameKindTransform):
    """Numbers of at least 0, such as spectra, on a logarithmic scale: decibels or natural logarithms.

    Args:
        log: `"db"`: `10 log10(max(x, floor) / ref)` of power, 20 times of amplitude, as `librosa.power_to_db`; or
            `"ln"`: `ln(x + floor)`.
        of: what the numbers are: `"power"` or `"amplitude"`.
        floor: the least number whose logarithm is taken, or what is added.
        ref: what 0 dB is.
        top_db: how far below the largest of its spectrogram (the last two axes) a number may lie; `None` for no limit.
            It needs the whole spectrogram, and does not stream.
        keys: which arrays; `None` for all, with `top_db` for the only one.

    Arrays of any kind; kind, device, shape and dtype stay (integers and booleans become float32, wide ones float64).
    NaN stays. Gradients flow; they are 0 below the floor.

    Raises:
        ConfigError: a word that is not one.
        DataError: complex numbers.

    >>> LogAmplitude()(np.array([1.0, 100.0, 0.0]))
    array([   0.,   20., -100.])
    """

    log: LogKind = "db"
    of: Literal["power", "amplitude"] = "power"
    floor: Positive = 1e-10
    ref: Positive = 1.0
    top_db: NonNegative | None = None

    reads_numbers = True
    reads_only = True

    def __post_init__(self) -> None:
        parse_word(self.log, LogKind, field="LogAmplitude: log")
        parse_word(self.of, Literal["power", "amplitude"], field="LogAmplitude: of")
        if self.log == "ln" and (self.top_db is not None or self.ref != 1 or self.of != "power"):
            raise ConfigError("LogAmplitude: of, ref and top_db are for decibels; leave them out for 'ln'", field="log")

    @property
    def core_ndim(self) -> int | None:
        """Each number alone, or a spectrogram."""
        return 0 if self.top_db is None else 2

    @property
    def stream_obstacle(self) -> str:
        """The largest of the whole."""
        if self.top_db is None:
            return ""
        return f"LogAmplitude: top_db={self.top_db:g} is below the largest of the whole; top_db=None looks at none"

    def apply(self, x: Any) -> Any:
        """The numbers of an array on the scale."""
        return elementwise(self._of_values, x)

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same shape in new memory; integers and booleans as floats."""
        return elementwise_spec(spec, lambda inside: _real_dtype(inside.dtype))

    def _of_values(self, x: Any) -> Any:
        is_array = isinstance(x, np.ndarray)
        result = _real_dtype(str(x.dtype.name) if is_array else str(x.dtype).removeprefix("torch."))
        work = "float32" if result in ("float16", "bfloat16") else result
        torch: Any = loaded("torch")
        values: Any = np.asarray(x).astype(work, copy=False) if is_array else x.to(getattr(torch, work))
        factor = 10.0 if self.of == "power" else 20.0
        axes = min(2, values.ndim) or None
        y = log_amplitude(
            values, kind=self.log, factor=factor, floor=self.floor, ref=self.ref, top_db=self.top_db, axes=axes
        )
        return np.asarray(y).astype(result, copy=False) if is_array else y.to(getattr(torch, result))


@register
@dataclass(frozen=True, kw_only=True)
class BandPower(GapTransform, LiveTransform):
    """The power of signals in bands of frequency, by Welch's method.

    Args:
        fs: sampling rate in Hz. Where the data know theirs, it must be this one.
        bands: pairs of frequencies in Hz, `((0.5, 4), (4, 8), (8, 13))`: each from its lower edge on, up to its upper
            edge, without it; so bands that touch share nothing. An edge at half the rate counts.
        relative: whether powers are shares of that of all frequencies.
        window, nperseg, noverlap, nfft, detrend, average: of the spectrum; see `Welch`.
        keys: which arrays; `None` for the only one.
        axis: of time; the bands take its place.
        nonfinite, max_gap: what NaN and infinity do; see `GapTransform`.

    Real arrays [..., time] of at least one segment become [..., bands], in the square of the data's unit: the density
    of `scipy.signal.welch`, summed over the band, times the distance of its frequencies. Gradients flow. In a stream
    nothing comes out before the end.

    Raises:
        ConfigError: parameters that do not fit each other; a band without a frequency of the spectrum.

    >>> tone = np.sin(2 * np.pi * 10 * np.arange(2000) / 100)
    >>> BandPower(fs=100.0, bands=((4, 8), (8, 13)), nperseg=200)(tone).round(3)
    array([0. , 0.5])
    """

    fs: Rate
    bands: tuple[tuple[NonNegative, Positive], ...]
    relative: bool = False
    window: str | tuple[str | Finite, ...] = "hann"
    nperseg: Count | None = None
    noverlap: Natural | None = None
    nfft: Length | None = None
    detrend: Trend | None = "constant"
    average: Average = "mean"
    nonfinite: Gaps = "raise"

    def __post_init__(self) -> None:
        self.require_places()
        bands: Any = self.bands
        right = (
            isinstance(bands, (list, tuple))
            and bands
            and all(
                isinstance(band, (list, tuple)) and len(band) == 2 and band[0] < band[1] <= self.fs / 2
                for band in bands
            )
        )
        if not right:
            expected = f"one or more pairs of frequencies, lower and upper, up to fs/2={self.fs / 2:g} Hz"
            raise ConfigError(f"BandPower: bands must be {expected}, got {bands!r}", field="bands")
        object.__setattr__(self, "bands", tuple(tuple(band) for band in bands))
        super().__post_init__()

    @cached_property
    def live(self) -> LiveBandPower:
        """The powers at work."""
        welch = Welch(
            fs=self.fs,
            window=self.window,
            nperseg=self.nperseg,
            noverlap=self.noverlap,
            nfft=self.nfft,
            detrend=self.detrend,
            average=self.average,
        )
        f = welch.frequencies
        places = []
        for low, high in self.bands:
            inside = np.flatnonzero((f >= low) & ((f < high) | ((high == self.fs / 2) & (f == high))))
            if not len(inside):
                raise ConfigError(
                    f"BandPower: no frequency of the spectrum lies in {low:g} to {high:g} Hz; they are {f[1]:g} Hz "
                    "apart, raise nperseg",
                    field="bands",
                )
            places.append((int(inside[0]), int(inside[-1]) + 1))
        return LiveBandPower(welch=welch.live, places=tuple(places), spacing=float(f[1]), relative=self.relative)


def _real_dtype(dtype: str) -> str:
    result = affine_dtype(dtype, None)
    if result.startswith("complex"):
        raise DataError("LogAmplitude: expected real numbers, got complex ones; take their magnitude first")
    return result
