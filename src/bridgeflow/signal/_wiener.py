"""SciPy's Wiener filter with the value that it means where neither signal nor noise varies."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["wiener"]


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
