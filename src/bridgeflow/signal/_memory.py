"""Memory for results: at the start of a cache line, where a result that was deleted has lain, else in large pages.

Filters write a result once, at the speed of memory, so where it lies counts. The first touch of new pages takes as
long as the filter itself, so memory is used again (`bridgeflow.memory.reuse`). What is new comes from NumPy, which asks
Linux for large pages, and saves most of the page faults; torch does not. Torch begins arrays with a cache line, which
saves a tenth of the native engine's time; NumPy does not. In a worker process that makes a batch in shared memory,
results lie there at once (`bridgeflow.memory.in_slot`), so this is for results alone.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bridgeflow.memory import in_slot
from bridgeflow.memory.reuse import fresh

if TYPE_CHECKING:
    import torch

__all__ = ["empty", "empty_tensor", "overlaps_itself"]

_WORTH_WHILE: Final = 1 << 15
"""Bytes from which on it is noticed."""


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """An ndarray whose values are still to be written.

    >>> empty((100, 1000), np.float32).ctypes.data % 64
    0
    """
    kind = np.dtype(dtype)
    size = prod(shape) * kind.itemsize
    if size < _WORTH_WHILE:
        return np.empty(shape, kind)
    if (here := in_slot(shape, kind)) is not None:
        return here
    array: np.ndarray[Any, Any] = fresh(size).view(kind).reshape(shape)
    return array


def empty_tensor(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A tensor whose values are still to be written."""
    import torch

    there = _NUMPYS.get(str(dtype))
    small = prod(shape) * dtype.itemsize < _WORTH_WHILE
    if small or there is None or device.type != "cpu" or torch._C._len_torch_dispatch_stack():
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.from_numpy(empty(shape, there))


_NUMPYS: Final = {f"torch.{name}": name for name in ("float16", "float32", "float64", "complex64", "complex128")}


def overlaps_itself(x: Any) -> bool:
    """Whether two elements of an ndarray or a tensor share a byte, as where an axis is expanded.

    >>> overlaps_itself(np.zeros((3, 4)).T), overlaps_itself(np.lib.stride_tricks.sliding_window_view(np.zeros(9), 3))
    (False, True)
    """
    if isinstance(x, np.ndarray):
        steps, size = x.strides, x.itemsize
    else:
        steps, size = x.stride(), 1
    axes = sorted((abs(step), n) for step, n in zip(steps, x.shape, strict=True) if n > 1)
    if 0 in x.shape or not axes:
        return False
    reach = size
    for step, n in axes:
        if step < reach:
            break
        reach += step * (n - 1)
    else:
        return False
    if axes[0][0] == 0:
        return True
    places = np.zeros(1, np.int64)  # axes that interleave: rare, so each element is looked at
    for step, n in axes:
        places = (places[:, None] + step * np.arange(n)).ravel()
    return bool(np.diff(np.sort(places)).min() < size)
