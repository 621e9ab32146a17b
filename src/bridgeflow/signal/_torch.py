"""What several filters need of torch: convolution along the last axis, on any device, with gradients.

Imported only where a tensor has shown that torch is loaded.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["convolve", "float_dtype", "in_units"]


def float_dtype(x: torch.Tensor, *, double: bool) -> torch.dtype:
    """The dtype of results for x; or of sums over it: float64 or complex128, single where a device has no double."""
    if not double:
        return x.dtype if x.is_floating_point() or x.is_complex() else torch.float64
    work = torch.float32 if x.device.type == "mps" else torch.float64
    return work.to_complex() if x.is_complex() else work


def in_units(x: torch.Tensor, scale: float, offset: float) -> torch.Tensor:
    """`scale * x + offset` in double precision; x itself where that changes nothing."""
    if scale == 1.0 and offset == 0.0:
        return x
    return x.to(float_dtype(x, double=True)) * scale + offset


def convolve(x: torch.Tensor, taps: NDArray[np.float64], *, fft: bool) -> torch.Tensor:
    """The full convolution [..., T + n - 1] of rows [..., T] with taps [n], floating or complex.

    Args:
        fft: by one Fourier transform of the whole row; else by `conv1d`.
    """
    samples, count = x.shape[-1], len(taps)
    length = samples + count - 1
    weights = torch.tensor(taps, dtype=x.dtype.to_real() if x.is_complex() else x.dtype, device=x.device)
    if fft:
        spectrum = torch.fft.fft if x.is_complex() else torch.fft.rfft
        inverse = torch.fft.ifft if x.is_complex() else torch.fft.irfft
        size = 1 << max(length - 1, 1).bit_length()
        full: torch.Tensor = inverse(spectrum(x, size) * spectrum(weights.to(x.dtype), size), size)[..., :length]
        return full
    if x.is_complex():
        return torch.complex(convolve(x.real, taps, fft=False), convolve(x.imag, taps, fft=False))
    rows = x.reshape(-1, 1, samples)
    sums = torch.nn.functional.conv1d(rows, weights.flip(0).reshape(1, 1, -1), padding=count - 1)
    return sums.reshape(*x.shape[:-1], length)
