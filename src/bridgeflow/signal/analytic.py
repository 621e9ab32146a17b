"""Analytic signals: `hilbert` and `envelope`, SciPy's functions, on NumPy, torch and Arrow arrays.

Both come from one Fourier transform of the whole recording, so neither can be had chunk by chunk: each sample depends
on all others. What filters live is another thing, a Hilbert transformer of finite length (`Remez(type="hilbert")`),
which has a delay and a band that it is good for.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, overload

import numpy as np

from bridgeflow.errors import ConfigError, DataError
from bridgeflow.policy import words
from bridgeflow.ranges import hold, whole_number
from bridgeflow.signal._arguments import names_arguments
from bridgeflow.signal._axes import time_last, time_where_it_was
from bridgeflow.signal._chunks import count, count_rows, join
from bridgeflow.signal._input import prepare
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal.fourier import Fourier, in_precision, is_complex, like_data, squared_magnitude
from bridgeflow.signal.padding import pad_zeros

__all__ = ["Band", "Residual", "check_band", "envelope", "hilbert"]

Band: TypeAlias = tuple[int | None, int | None]
"""From and to (exclusive), in multiples of 1 over the recording's duration; `None` for as far as there is any."""

Residual: TypeAlias = Literal["lowpass", "all"]
"""What the band left out: what is below it, or everything."""


@overload
def hilbert(x: SameKind, N: int | None = ..., axis: int = ...) -> SameKind: ...
@overload
def hilbert(x: Any, N: int | None = ..., axis: int = ...) -> Any: ...
@names_arguments
def hilbert(x: Any, N: int | None = None, axis: int = -1) -> Any:
    """The analytic signal along one axis, as `scipy.signal.hilbert` gives it: x, and its quadrature as imaginary part.

    Args:
        x: real data of any shape: ndarray, tensor, Arrow array or nested lists. Only read.
        N: length to cut to, or to fill up to with zeros; `None` for x's.
        axis: the axis of time.

    Returns:
        As x in kind, device and shape (N along `axis`); complex128, or complex64 for data of at most single precision.
        Gradients flow.

    Raises:
        DataError: complex data, no samples.

    >>> t = np.arange(64) / 64
    >>> amplitude = np.abs(hilbert(3 * np.cos(2 * np.pi * 5 * t)))
    >>> np.allclose(amplitude, 3)
    True
    """
    rows = prepare(x, axis)
    if is_complex(rows.values):
        raise DataError("hilbert: x must be real")
    length = int(rows.values.shape[-1])
    if N is not None:
        length = whole_number(N, name="N")
        hold(length * count_rows(rows.values), count(rows.values), N=N)
    if not length:
        raise DataError("hilbert: there are no samples; N must be at least 1, got 0")
    sides = np.zeros(length)  # what a real signal has twice, this one has once
    sides[0] = 1
    sides[1 : (length + 1) // 2] = 2
    if length % 2 == 0:
        sides[length // 2] = 1
    fourier = Fourier(rows.values)
    spectrum = fourier.fft(in_precision(rows.values), length)
    return rows.restore_new(time_where_it_was(fourier.ifft(spectrum * like_data(sides, spectrum), length), axis))


@overload
def envelope(
    z: SameKind,
    bp_in: Band = ...,
    *,
    n_out: int | None = ...,
    squared: bool = ...,
    residual: Residual | None = ...,
    axis: int = ...,
) -> SameKind: ...
@overload
def envelope(
    z: Any,
    bp_in: Band = ...,
    *,
    n_out: int | None = ...,
    squared: bool = ...,
    residual: Residual | None = ...,
    axis: int = ...,
) -> Any: ...
@names_arguments
def envelope(
    z: Any,
    bp_in: Band = (1, None),
    *,
    n_out: int | None = None,
    squared: bool = False,
    residual: Residual | None = "lowpass",
    axis: int = -1,
) -> Any:
    """The envelope of a signal within a band, as `scipy.signal.envelope` gives it.

    Args:
        z: real or complex data of any shape and kind, n samples along `axis`. Only read. Real data stand for their
            analytic signal.
        bp_in: the band, `-n // 2 <= bp_in[0] < bp_in[1] <= (n + 1) // 2`; the default leaves out the mean and, of
            complex data, negative frequencies.
        n_out: samples to resample the result to; `None` for as many as there are.
        squared: give the square, which has less bandwidth.
        residual: what of the rest to give as well: `"lowpass"`, what is below the band; `"all"`; or `None`.
        axis: the axis of time.

    Returns:
        The envelope, real, of z's shape with `n_out` along `axis`; with a residual, both stacked along a new first
        axis. As z in kind and device; double precision, or single for data of at most single. Gradients flow.

    Raises:
        ConfigError, DataError: a band that does not lie within the frequencies there are, no samples.
        ValueError: a residual that is not one of the words.

    >>> t = np.arange(200) / 200
    >>> slow = 2 + np.cos(2 * np.pi * 3 * t)
    >>> np.allclose(envelope(slow * np.cos(2 * np.pi * 40 * t), residual=None), slow)
    True
    """
    check_band(bp_in)
    if residual is not None and residual not in words(Residual):
        raise ConfigError(f"envelope: residual={residual!r} not in {words(Residual)} or None", field="residual")
    asked: object = n_out
    if n_out is not None and (type(asked) is bool or not isinstance(asked, (int, np.integer)) or n_out < 1):
        raise ConfigError(f"envelope: n_out={n_out!r} is not a positive integer or None", field="n_out")
    whole = prepare(z, -1)
    shape = tuple(whole.values.shape)
    if not -len(shape) <= axis < len(shape):
        raise DataError(f"envelope: Invalid parameter axis={axis} for z.shape={shape}!")
    rows = whole._replace(values=time_last(whole.values, axis), axis=axis)
    n = int(rows.values.shape[-1])
    if not n:
        raise DataError(f"envelope: z.shape[axis] not > 0 for z.shape={shape}, axis={axis}: there are no samples")
    low, high = band_within(bp_in, n)
    out = n if n_out is None else whole_number(n_out, name="n_out")
    hold(out * count_rows(rows.values), count(rows.values), n_out=out)
    values, fourier = in_precision(rows.values), Fourier(rows.values)
    spectrum = fourier.fft(values, n) if is_complex(values) else pad_zeros(fourier.rfft(values, n), 0, (n - 1) // 2)
    band = np.arange(low, high) % n
    inside = _take(spectrum, band)
    if not is_complex(values):
        inside = inside * like_data(np.where(np.arange(low, high) > 0, 2.0, 1.0), inside)
    moved = fourier.ifft(inside, out) * (out / n)  # shifted in frequency, which no envelope notices
    magnitude = squared_magnitude(moved) if squared else abs(moved)
    result = time_where_it_was(magnitude, axis)
    if residual is None:
        return rows.restore_new(result)
    kept = np.ones(n)
    kept[band] = 0
    if residual == "lowpass":
        kept[np.arange(high, (n + 1) // 2) % n] = 0
    rest = spectrum * like_data(kept, spectrum)
    left = _resampled(rest, fourier, out) if is_complex(values) else _real_resampled(rest, fourier, out)
    return rows.restore_new(_stacked(result, time_where_it_was(left, axis)))


def band_within(bp_in: tuple[int | None, int | None], n: int) -> tuple[int, int]:
    """The ends of a band for `n` samples.

    Raises:
        DataError: there are no samples, or the band lies outside of what they have.
    """
    if not n:
        raise DataError("envelope: z.shape[axis] not > 0: there are no samples")
    low, high = -(n // 2) if bp_in[0] is None else bp_in[0], (n + 1) // 2 if bp_in[1] is None else bp_in[1]
    if not -(n // 2) <= low < high <= (n + 1) // 2:
        raise DataError(
            f"envelope: `-n//2 <= bp_in[0] < bp_in[1] <= (n+1)//2` does not hold for the band bp_in={bp_in} and n={n} "
            "samples"
        )
    return low, high


def check_band(band: object) -> None:
    """Two integers or `None`."""
    edges = [edge for edge in band if edge is not None] if isinstance(band, tuple) and len(band) == 2 else [band]
    if not all(isinstance(edge, int) and not isinstance(edge, bool) for edge in edges):
        raise ConfigError(f"envelope: bp_in={band!r} isn't a 2-tuple of integers or None", field="bp_in")


def _real_resampled(spectrum: Any, fourier: Fourier, out: int) -> Any:
    """The real signal whose non-negative frequencies stand first in a spectrum [..., n], at `out` samples."""
    n = int(spectrum.shape[-1])
    few = min(n, out)
    if out != n and few % 2 == 0:
        spectrum = spectrum * like_data(_at(n, few // 2, 2.0 if out < n else 0.5), spectrum)
    return fourier.irfft(spectrum[..., : out // 2 + 1], out) * (out / n)


def _resampled(spectrum: Any, fourier: Fourier, out: int) -> Any:
    """The complex signal of a spectrum [..., n], at `out` samples; the unpaired frequency is split or united."""
    n = int(spectrum.shape[-1])
    few = min(n, out)
    half = few // 2
    if few % 2 == 0 and out > n:
        spectrum = spectrum * like_data(_at(n, half, 0.5), spectrum)
    parts = [spectrum[..., : half + 1]]
    if out > n and few % 2 == 0:
        parts += [
            pad_zeros(spectrum[..., half : half + 1], out - n - 1, 0),
            spectrum[..., n - (half - 1) :][..., : half - 1],
        ]
    else:
        parts += [pad_zeros(spectrum[..., n - (few - half - 1) :][..., : few - half - 1], out - few, 0)]
    taken = join(parts)
    if few % 2 == 0 and out < n:
        taken = taken + pad_zeros(spectrum[..., n - half : n - half + 1], half, out - half - 1)
    return fourier.ifft(taken, out) * (out / n)


def _at(n: int, place: int, factor: float) -> np.ndarray[Any, Any]:
    factors = np.ones(n)
    factors[place] = factor
    return factors


def _take(x: Any, at: np.ndarray[Any, Any]) -> Any:
    return x[..., at] if isinstance(x, np.ndarray) else x[..., at.tolist()]


def _stacked(first: Any, second: Any) -> Any:
    if isinstance(first, np.ndarray):
        return np.stack([first, second])
    import torch

    return torch.stack([first.to(second.dtype), second])
