"""`resample`: SciPy's resampling by the Fourier transform of the whole, on every kind of array, differentiable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, overload

import numpy as np

from bridgeflow.bridge import kind_of
from bridgeflow.errors import DataError
from bridgeflow.policy import parse_word
from bridgeflow.ranges import hold, whole_number
from bridgeflow.signal._arguments import names_arguments
from bridgeflow.signal._axes import time_where_it_was
from bridgeflow.signal._chunks import count, count_rows
from bridgeflow.signal._input import as_ndarray, prepare
from bridgeflow.signal._numbers import undivided
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal._windows import named_window
from bridgeflow.signal.fourier import Fourier, in_precision, is_complex, like_data

__all__ = ["Domain", "resample"]

Array: TypeAlias = np.ndarray[Any, Any]

Domain: TypeAlias = Literal["time", "freq"]
"""What the data are: samples, or their Fourier transform."""


@overload
def resample(
    x: SameKind,
    num: int,
    t: None = ...,
    axis: int = ...,
    window: str | float | tuple[Any, ...] | Array | Sequence[float] | Callable[[Array], Any] | None = ...,
    domain: Domain = ...,
) -> SameKind: ...
@overload
def resample(
    x: Any,
    num: int,
    t: Any = ...,
    axis: int = ...,
    window: str | float | tuple[Any, ...] | Array | Sequence[float] | Callable[[Array], Any] | None = ...,
    domain: Domain = ...,
) -> Any: ...
@names_arguments
def resample(
    x: Any,
    num: int,
    t: Any = None,
    axis: int = 0,
    window: str | float | tuple[Any, ...] | Array | Sequence[float] | Callable[[Array], Any] | None = None,
    domain: Domain = "time",
) -> Any:
    """Resample to `num` samples by the Fourier transform, as `scipy.signal.resample` does; periodic signals stay exact.

    Args:
        x: data of any shape: ndarray, tensor, Arrow array or nested lists; real, complex, integer or boolean. Only
            read.
        num: samples of the result along `axis`.
        t: times of the samples of x, equally spaced; their resampled counterpart is then given too.
        axis: the axis of time; mind SciPy's default, the first.
        window: applied to the spectrum: by the name that `scipy.signal.get_window` knows, its samples in the order of
            frequencies that `fft` has, or a function of frequencies.
        domain: `"time"`; or `"freq"`, where x is a Fourier transform.

    Returns:
        y: as x in kind and device; of x's dtype, at least single precision; integers become float64. Gradients flow.
        new_t: times of its samples, only if `t` was given.

    Raises:
        DataError: a number of samples or a window that does not fit.
        ValueError: a domain that does not exist.

    >>> x = np.cos(2 * np.pi * np.arange(8) / 8)
    >>> np.allclose(resample(x, 12), np.cos(2 * np.pi * np.arange(12) / 12))
    True
    """
    parse_word(domain, Domain, field="domain")
    num = whole_number(undivided(num), name="num", error=DataError)
    rows = prepare(x, axis)
    samples = int(rows.values.shape[-1])
    if not samples:
        raise DataError("there are no samples")
    hold(num * count_rows(rows.values), count(rows.values), num=num)
    values, fourier = in_precision(rows.values, complex_too=domain == "freq"), Fourier(rows.values)
    weights = _weights(window, samples)
    if domain == "time" and not is_complex(values):
        y = _real(fourier, values, weights, num)
    else:
        y = _complex(fourier, fourier.fft(values, samples) if domain == "time" else values, weights, num)
    result = rows.restore_new(time_where_it_was(y, axis))
    if t is None:
        return result
    places = np.arange(num) * samples / num
    try:
        first, step = t[0], t[1] - t[0]
    except (TypeError, IndexError, KeyError) as error:
        raise DataError(
            f"t must hold the times of the samples, at least two numbers, got {type(t).__name__}"
        ) from error
    return result, first + step * (first.new_tensor(places.tolist()) if kind_of(t) == "torch" else places)


def _weights(window: Any, samples: int) -> Array | None:
    """Of each frequency, in the order of `fft`."""
    if window is None:
        return None
    if callable(window):
        return np.asarray(window(np.fft.fftfreq(samples)))
    if isinstance(window, list) or kind_of(window) is not None:
        weights = as_ndarray(window)
        if weights.shape != (samples,):
            raise DataError(
                f"window.shape={weights.shape} != ({samples},), i.e., window length is not equal to number "
                "of frequency bins!"
            )
        return weights
    return np.fft.fftshift(named_window(window, samples, error=DataError))


def _real(fourier: Fourier, x: Any, weights: Array | None, num: int) -> Any:
    """Real rows by the frequencies from 0 on."""
    samples = int(x.shape[-1])
    few = min(num, samples)
    spectrum = fourier.rfft(x, samples)
    bins = int(spectrum.shape[-1])
    factors = np.full(bins, num / samples)
    if weights is not None:
        folded = weights[:bins] * 1.0
        folded[1:] = (weights[1:bins] + weights[-1:-bins:-1]) / 2
        factors = factors * folded
    if few % 2 == 0 and num != samples:  # the frequency in the middle stands for two, or is shared by two
        factors[few // 2] *= 2 if num < samples else 0.5
    kept = (spectrum * like_data(factors, spectrum))[..., : few // 2 + 1]
    return fourier.irfft(kept, num)


def _complex(fourier: Fourier, spectrum: Any, weights: Array | None, num: int) -> Any:
    """Rows by their spectrum [..., n]: what goes to which frequency, as one table of places and factors."""
    samples = int(spectrum.shape[-1])
    few = min(num, samples)
    if weights is not None:
        spectrum = spectrum * like_data(np.asarray(weights), spectrum)
    source = [*range(few // 2 + 1), *range(samples - (few - few // 2 - 1), samples)]
    target = [*range(few // 2 + 1), *range(num - (few - few // 2 - 1), num)]
    factors = np.full(few, num / samples)
    if few % 2 == 0 and num > samples:
        factors[few // 2] /= 2
        source, target, factors = [*source, few // 2], [*target, num - few // 2], np.append(factors, factors[few // 2])
    elif few % 2 == 0 and num < samples:
        source, target, factors = (
            [*source, samples - few // 2],
            [*target, num - few // 2],
            np.append(factors, factors[0]),
        )
    moved = spectrum[..., source] * like_data(factors, spectrum)
    if isinstance(spectrum, np.ndarray):
        placed = np.zeros((*spectrum.shape[:-1], num), spectrum.dtype)
        placed[..., target[:few]] = moved[..., :few]
        placed[..., target[few:]] += moved[..., few:]
    else:
        import torch

        at = torch.as_tensor(target, device=spectrum.device)
        placed = spectrum.new_zeros((*spectrum.shape[:-1], num)).index_add(-1, at, moved)
    return fourier.ifft(placed, num)
