"""Spectra over time by SciPy's older functions: `spectrogram`, `stft` and `istft`, by the engine of `ShortTimeFFT`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import sqrt
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from bridgeflow.errors import ConfigError, DataError
from bridgeflow.policy import parse_word
from bridgeflow.ranges import hold
from bridgeflow.signal._arguments import names_arguments
from bridgeflow.signal._axes import moved, parse_axis
from bridgeflow.signal._input import Prepared, prepare
from bridgeflow.signal._numbers import as_rate, as_size, undivided
from bridgeflow.signal._windows import named_window
from bridgeflow.signal.fourier import in_precision, is_complex, like_data, squared_magnitude
from bridgeflow.signal.padding import extend, pad_zeros
from bridgeflow.signal.spectral.average import (
    Scaling,
    frequencies,
    segment_window,
    window_samples,
    with_both_sides,
)
from bridgeflow.signal.spectral.cross import SegmentTrend
from bridgeflow.signal.spectral.short_time import ShortTimeFFT

__all__ = ["Boundary", "SpectrogramMode", "istft", "spectrogram", "stft"]

_FAR: Final = -(1 << 31)
"""The least overlap: so many samples between segments."""

_SHORTENED: Final = "nperseg = {nperseg} is greater than input length  = {samples}, using nperseg = {samples}"

Array: TypeAlias = np.ndarray[Any, Any]

Window: TypeAlias = str | tuple[Any, ...] | Array | Sequence[float]

Boundary: TypeAlias = Literal["even", "odd", "constant", "zeros"]
"""How a recording goes on beyond its ends, for half a window."""

SpectrogramMode: TypeAlias = Literal["psd", "complex", "magnitude", "angle", "phase"]
"""Power, the transform itself, its magnitude, its angle; and that unwrapped."""

StftScaling: TypeAlias = Literal["spectrum", "psd"]

_EXTENSIONS = {"even": "reflect", "odd": "antireflect", "constant": "edge", "zeros": "constant"}


@names_arguments
def spectrogram(
    x: Any,
    fs: float = 1.0,
    window: Window = ("tukey", 0.25),
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: SegmentTrend = "constant",
    return_onesided: bool = True,
    scaling: Scaling = "density",
    axis: int = -1,
    mode: SpectrogramMode = "psd",
) -> tuple[Any, Any, Any]:
    """Spectra of successive segments, as `scipy.signal.spectrogram` gives them.

    Args:
        x: data of any shape: ndarray, tensor, Arrow array or nested lists; real or complex. Only read.
        fs: sampling rate in Hz.
        window: by the name that `scipy.signal.get_window` knows, or its samples.
        nperseg: samples of a segment; `None` for 256 or the window's.
        noverlap: samples that neighbours share; `None` for an eighth.
        nfft: length of the transform; `None` for `nperseg`.
        detrend: taken off each segment: `"constant"`, `"linear"`, a function of segments [..., samples], or `False`.
        return_onesided: only the frequencies from 0 on, for real data.
        scaling: `"density"` or `"spectrum"`.
        axis: of time.
        mode: `"psd"`, `"complex"`, `"magnitude"`, `"angle"` or `"phase"`.

    Returns:
        f: frequencies in Hz, of the kind of x.
        t: the middle of each segment in seconds, of the kind of x.
        Sxx: x with frequency in place of time, and an axis of segments after all others; as x in kind and device;
            double precision, or single for data of at most single precision. Gradients flow.

    Raises:
        ConfigError, DataError: parameters that do not fit each other, or the data.

    >>> f, t, power = spectrogram(np.sin(2 * np.pi * 10 * np.arange(400) / 100), fs=100.0, nperseg=100)
    >>> f[power.argmax(axis=0)].tolist(), t.tolist()
    ([10.0, 10.0, 10.0, 10.0], [0.5, 1.38, 2.26, 3.14])
    """
    parse_word(mode, SpectrogramMode, field="mode")
    parse_word(scaling, Scaling, field="scaling")
    rows = prepare(x, axis)
    if _is_empty(rows.values):
        return _nothing(x, rows)
    weights = segment_window(window, nperseg, int(rows.values.shape[-1]), _SHORTENED, stacklevel=4)
    shared = len(weights) // 8 if noverlap is None else as_size(noverlap, name="noverlap", least=_FAR)
    sft = _transform(weights, shared, nfft, fs, _one_side(rows.values, return_onesided))
    spectra = sft.transformed(rows.values, detrend or None) * _scale(weights, fs, scaling)
    if mode == "psd":
        spectra = with_both_sides(sft, squared_magnitude(spectra), axis=-2)
    elif mode == "magnitude":
        spectra = abs(spectra)
    elif mode != "complex":
        spectra = _angle(spectra, unwrap=mode == "phase")
    begins = np.arange(spectra.shape[-1]) * sft.hop
    return _closed(x, rows, sft, (begins + len(weights) / 2) / float(fs), spectra)


@names_arguments
def stft(
    x: Any,
    fs: float = 1.0,
    window: Window = "hann",
    nperseg: int = 256,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: SegmentTrend = False,
    return_onesided: bool = True,
    boundary: Boundary | None = "zeros",
    padded: bool = True,
    axis: int = -1,
    scaling: StftScaling = "spectrum",
) -> tuple[Any, Any, Any]:
    """The short-time Fourier transform as `scipy.signal.stft` gives it; `ShortTimeFFT` is SciPy's newer one.

    Args:
        x, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, axis: as for `spectrogram`, but that
            neighbours share half.
        boundary: how x goes on for half a window beyond its ends, so that each sample is in the middle of a segment:
            `"even"`, `"odd"`, `"constant"`, `"zeros"`, or `None`.
        padded: fill up the last segment with zeros, rather than leave it out.
        scaling: `"spectrum"`, so that a sine shows its amplitude; or `"psd"`.

    Returns:
        f, t, Zxx: as for `spectrogram`, complex.

    Raises:
        ConfigError, DataError: parameters that do not fit each other, or the data.

    >>> x = np.random.default_rng(0).standard_normal(1000)
    >>> f, t, Zxx = stft(x, nperseg=100)
    >>> np.allclose(istft(Zxx, nperseg=100)[1], x)
    True
    """
    parse_word(scaling, StftScaling, field="scaling")
    if boundary is not None:
        parse_word(boundary, Boundary, field="boundary")
    rows = prepare(x, axis)
    if _is_empty(rows.values):
        return _nothing(x, rows)
    weights = segment_window(window, nperseg, int(rows.values.shape[-1]), _SHORTENED, stacklevel=4)
    length = len(weights)
    shared = length // 2 if noverlap is None else as_size(noverlap, name="noverlap", least=_FAR)
    sft = _transform(weights, shared, nfft, fs, _one_side(rows.values, return_onesided))
    values = in_precision(rows.values)
    if boundary is not None:
        values = extend(values, _EXTENSIONS[boundary], 0.0, length // 2, length // 2)
    if padded:
        values = pad_zeros(values, 0, -(int(values.shape[-1]) - length) % sft.hop % length)
    spectra = sft.transformed(values, detrend or None) * _scale(weights, fs, scaling)
    begins = np.arange(spectra.shape[-1]) * sft.hop
    times = (begins + length / 2) / float(fs)
    return _closed(x, rows, sft, times if boundary is None else times - (length / 2) / fs, spectra)


@names_arguments
def istft(
    Zxx: Any,
    fs: float = 1.0,
    window: Window = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    input_onesided: bool = True,
    boundary: bool = True,
    time_axis: int = -1,
    freq_axis: int = -2,
    scaling: StftScaling = "spectrum",
) -> tuple[Any, Any]:
    """The recording whose `stft` this is, by least squares, as `scipy.signal.istft` gives it.

    Args:
        Zxx: spectra of any kind, as `stft` gives them. Only read.
        fs, window, noverlap, nfft, scaling: as for `stft`.
        nperseg: samples of a segment; `None` for as many as an even one has.
        input_onesided: whether Zxx has the frequencies from 0 on alone.
        boundary: whether half a window was added at either end.
        time_axis: of segments.
        freq_axis: of frequency.

    Returns:
        t: times in seconds, of the kind of Zxx.
        x: Zxx without `freq_axis`, with time in the place of segments; as Zxx in kind, device and precision; real where
            `input_onesided`. Gradients flow.

    Raises:
        ConfigError, DataError: parameters that do not fit each other, or the data.
    """
    parse_word(scaling, StftScaling, field="scaling")
    time_axis, freq_axis = (parse_axis(undivided(axis)) for axis in (time_axis, freq_axis))
    rows = prepare(Zxx, time_axis)
    axes = rows.values.ndim
    if axes < 2:
        raise DataError("Input stft must be at least 2d!")
    if not -axes <= freq_axis < axes:
        raise DataError(f"freq_axis {freq_axis} does not exist, Zxx has {axes} axes")
    at, of_time = int(freq_axis) % axes, int(time_axis) % axes
    if at == of_time:
        raise DataError("Must specify differing time and frequency axes!")
    spectra = moved(in_precision(rows.values, complex_too=True), at - (at > of_time), -2)
    even = 2 * (int(spectra.shape[-2]) - 1) if input_onesided else int(spectra.shape[-2])
    length = even if nperseg is None else as_size(nperseg, name="nperseg")
    if length < 1:
        raise ConfigError("nperseg must be a positive integer")
    by_data = length if input_onesided and length == even + 1 else even
    size = by_data if nfft is None else as_size(nfft, name="nfft")
    if size < length:
        raise ConfigError("nfft must be greater than or equal to nperseg.")
    shared = length // 2 if noverlap is None else as_size(noverlap, name="noverlap", least=_FAR)
    weights = named_window(window, length) if isinstance(window, (str, tuple)) else window_samples(window)
    if len(weights) != length:
        raise ConfigError(f"window must have length of {length}")
    sft = _transform(weights, shared, size, fs, input_onesided, dual=True)
    bins = int(sft.f_pts)
    hold(bins * int(spectra.shape[-1]), even * int(spectra.shape[-1]), nfft=size, nperseg=length)
    spectra = spectra[..., :bins, :] if spectra.shape[-2] > bins else _more_bins(spectra, bins)
    slices = int(spectra.shape[-1])
    samples = length + (slices - 1) * sft.hop
    hold(samples, bins * slices, nperseg=length, nfft=size, noverlap=shared)
    sums = sft.overlapped(spectra, None)[..., :samples] / _scale(weights, fs, scaling)
    norm = np.zeros(samples)
    for k in range(slices):
        norm[k * sft.hop : k * sft.hop + length] += weights**2
    if boundary:
        inner = slice(length // 2, samples - length // 2)
        sums, norm = sums[..., inner], norm[inner]
    if not (norm > 1e-10).all():
        hint = "" if boundary else " Possibly due to missing boundary"
        warnings.warn("NOLA condition failed, STFT may not be invertible." + hint, stacklevel=2)
    x = sums / like_data(np.where(norm > 1e-10, norm, 1.0), sums)
    place = of_time - (at < of_time)
    result = rows.restore_new(moved(x, -1, place))
    times = np.arange(int(x.shape[-1])) / float(fs)
    return frequencies(times, Zxx), result


def _transform(
    weights: Array, shared: int, nfft: int | None, fs: float, onesided: bool, *, dual: bool = False
) -> ShortTimeFFT:
    size = None if nfft is None else as_size(nfft, name="nfft")
    if size is not None and size < len(weights):
        raise ConfigError("nfft must be greater than or equal to nperseg.")
    if shared >= len(weights):
        raise ConfigError("noverlap must be less than nperseg.")
    return ShortTimeFFT(
        weights,
        len(weights) - shared,
        as_rate(fs, name="fs"),
        fft_mode="onesided" if onesided else "twosided",
        mfft=size,
        dual_win=weights if dual else None,
        phase_shift=None,
    )


def _one_side(x: Any, asked: bool) -> bool:
    if asked and is_complex(x):
        warnings.warn("Input data is complex, switching to return_onesided=False", stacklevel=4)
    return asked and not is_complex(x)


def _scale(weights: Array, fs: float, scaling: str) -> float:
    """What multiplies a transform, so that its square is a density or the power of a line."""
    if scaling == "spectrum":
        return float(1 / abs(weights.sum()))
    return 1 / sqrt(float(fs) * float(abs(weights * weights).sum()))


def _angle(spectra: Any, *, unwrap: bool) -> Any:
    """Of the transform [..., f, segments]; unwrapped from segment to segment."""
    if isinstance(spectra, np.ndarray):
        angle = np.angle(spectra)
        return np.unwrap(angle, axis=-1) if unwrap else angle
    import torch

    angles = torch.angle(spectra)
    if not unwrap:
        return angles
    steps = torch.diff(angles, dim=-1)
    turns = torch.round(steps.detach() / (2 * torch.pi)) * (2 * torch.pi)
    return angles - torch.nn.functional.pad(turns.cumsum(-1), (1, 0))


def _more_bins(spectra: Any, bins: int) -> Any:
    """Spectra [..., f, segments] with zeros at further frequencies."""
    return pad_zeros(spectra.swapaxes(-1, -2), 0, bins - int(spectra.shape[-2])).swapaxes(-1, -2)


def _is_empty(x: Any) -> bool:
    return 0 in tuple(x.shape)


def _nothing(x: Any, rows: Prepared) -> tuple[Any, Any, Any]:
    """What comes of data without samples or rows."""
    empty = frequencies(np.empty(tuple(rows.values.shape)), x)
    return empty, empty, empty


def _closed(x: Any, rows: Prepared, sft: ShortTimeFFT, times: Array, spectra: Any) -> tuple[Any, Any, Any]:
    """Spectra [..., f, segments] with frequency where time was, as the kind of the data."""
    place = rows.axis if rows.axis >= 0 else rows.axis - 1
    return frequencies(sft.f, x), frequencies(times, x), rows.restore_new(moved(spectra, -2, place))
