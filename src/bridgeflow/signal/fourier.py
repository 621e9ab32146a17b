"""Fourier transforms of ndarrays by SciPy and of tensors by torch, in the precision of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from bridgeflow._threads import compute_threads

__all__ = ["Fourier", "in_precision", "is_complex", "like_data", "spectral_dtype", "squared_magnitude"]

Array: TypeAlias = np.ndarray[Any, Any]


class Fourier:
    """Fourier transforms along the last axis, SciPy's or torch's as the data are."""

    def __init__(self, x: Any) -> None:
        self._is_array = isinstance(x, np.ndarray)
        self._options: dict[str, Any] = {}
        if self._is_array:
            import scipy.fft

            self._module: Any = scipy.fft
            self._options = {"workers": compute_threads() if x.size > 1 << 18 else 1}
        else:
            import torch

            self._module = torch.fft

    def __getattr__(self, name: str) -> Callable[[Any, int], Any]:
        transform = getattr(self._module, name)
        return lambda x, n: transform(x, n, **self._options)

    def roll(self, x: Any, by: int) -> Any:
        """Turned to the right by so many places."""
        if not by:
            return x
        return np.roll(x, by, axis=-1) if self._is_array else x.roll(by, dims=-1)


def squared_magnitude(z: Any) -> Any:
    """|z|², by the real numbers that it is made of."""
    return z.real**2 + z.imag**2


def in_precision(x: Any, *, complex_too: bool = False) -> Any:
    """Data as the numbers that are transformed: half precision as single, integers as double."""
    if isinstance(x, np.ndarray):
        kind = {"e": "f4", "f": "f4", "F": "c8", "D": "c16", "G": "c16"}.get(x.dtype.char, "f8")
        return x.astype(np.result_type(kind, np.complex64) if complex_too else kind, copy=False)
    import torch

    wide = torch.promote_types(x.dtype, torch.float32) if x.is_floating_point() or x.is_complex() else torch.float64
    return x.to(torch.promote_types(wide, torch.complex64) if complex_too else wide)


def spectral_dtype(x: Any) -> Any:
    """The complex dtype of the transform of a tensor."""
    return x.dtype if x.is_complex() else x.dtype.to_complex()


def is_complex(x: Any) -> bool:
    """Whether an ndarray or a tensor is complex."""
    return bool(np.iscomplexobj(x) if isinstance(x, np.ndarray) else x.is_complex())


def like_data(weights: Array, x: Any) -> Any:
    """Weights in the precision and on the device of the data they are multiplied with."""
    if isinstance(x, np.ndarray):
        single = x.dtype.itemsize == (8 if x.dtype.kind == "c" else 4)
        return weights.astype(("c8" if single else "c16") if np.iscomplexobj(weights) else ("f4" if single else "f8"))
    import torch

    real = x.dtype.to_real() if x.is_complex() else x.dtype
    return torch.as_tensor(np.array(weights)).to(x.device, real.to_complex() if np.iscomplexobj(weights) else real)
