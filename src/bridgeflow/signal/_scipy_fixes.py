"""Functions that stand in the place of SciPy's, which give NaN or warn for legal data: one table for all callers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

__all__ = ["FIXED", "medfilt", "wiener"]


def wiener(im: Any, mysize: Any = None, noise: Any = None) -> np.ndarray[Any, Any]:
    """The local Wiener filter of an array, as `scipy.signal.wiener` gives it.

    SciPy divides the noise by the local variance. Where both are zero, as in constant data, that gives NaN and warnings
    of NumPy; the filter's value there is the local mean, which equals the data.

    >>> wiener(np.zeros(4)).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    import scipy.signal

    with np.errstate(divide="ignore", invalid="ignore"):
        filtered = np.asarray(scipy.signal.wiener(im, mysize, noise))
    undefined = np.isnan(filtered)
    if undefined.any() and np.isfinite(data := np.asarray(im)).all():
        filtered = np.where(undefined, data, filtered)
    return filtered


def medfilt(volume: np.ndarray[Any, Any], kernel_size: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """The median over a window along the last axis, as `scipy.signal.medfilt` gives it for `(1, ..., 1, k)`.

    SciPy warns of rows shorter than the window. The zeros that it takes beyond their ends are appended here.

    >>> medfilt(np.array([3.0, 1.0]), (3,)).tolist()
    [1.0, 1.0]
    """
    import scipy.signal

    missing = max(kernel_size[-1] - volume.shape[-1], 0)
    padded = np.pad(volume, [(0, 0)] * (volume.ndim - 1) + [(0, missing)]) if missing else volume
    return np.asarray(scipy.signal.medfilt(padded, kernel_size))[..., : volume.shape[-1]]


FIXED: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType({"signal.medfilt": medfilt, "signal.wiener": wiener})
"""By SciPy's names, as the list of curated functions has them."""
