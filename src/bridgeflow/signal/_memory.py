"""Memory for results: at the start of a cache line, where a result that is gone has lain, else in large pages.

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

__all__ = ["empty", "empty_tensor"]

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
    made: np.ndarray[Any, Any] = fresh(size).view(kind).reshape(shape)
    return made


def empty_tensor(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A tensor whose values are still to be written."""
    import torch

    there = _NUMPYS.get(str(dtype))
    small = prod(shape) * dtype.itemsize < _WORTH_WHILE
    if small or there is None or device.type != "cpu" or torch._C._len_torch_dispatch_stack():
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.from_numpy(empty(shape, there))


_NUMPYS: Final = {f"torch.{name}": name for name in ("float16", "float32", "float64", "complex64", "complex128")}
