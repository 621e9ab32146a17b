"""Long recordings cut into windows of equal length, as views wherever that can be; and one label for each window."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["strided_windows"]


def strided_windows(x: Any, length: int, hop: int) -> Any:
    """All whole windows of rows [..., T] as a view [..., windows, length] that must not be written to.

    Args:
        x: ndarray or tensor, on any device.
        length: samples of a window.
        hop: samples from the start of one window to the start of the next.

    >>> strided_windows(np.arange(5), 3, 2)
    array([[0, 1, 2],
           [2, 3, 4]])
    """
    if isinstance(x, np.ndarray):
        if x.shape[-1] < length:
            return np.empty((*x.shape[:-1], 0, length), x.dtype)
        return np.lib.stride_tricks.sliding_window_view(x, length, axis=-1)[..., ::hop, :]
    if x.shape[-1] < length:
        return x.new_empty((*x.shape[:-1], 0, length))
    return x.unfold(-1, length, hop)
