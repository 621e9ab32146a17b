"""New memory for results: at the start of a cache line, and in large pages where there is much of it.

Filters write a result once, at the speed of memory, so where it lies counts. NumPy asks Linux for large pages, which
saves most of the page faults that the first touch of 16 MiB costs otherwise (1 to 8 ms here, as long as the filter
itself); torch does not. Torch begins arrays with a cache line, which saves a tenth of the native engine's time; NumPy
does not. Here both are done. In a worker process that makes a batch in shared memory, results lie there at once
(`bridgeflow.memory.in_slot`), so this is for results alone.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bridgeflow.memory import in_slot

if TYPE_CHECKING:
    import torch

__all__ = ["empty", "empty_tensor"]

_LINE: Final = 64
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
    made: np.ndarray[Any, Any] = _bytes(size).view(kind).reshape(shape)
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


def _bytes(size: int) -> np.ndarray[Any, Any]:
    raw: np.ndarray[Any, Any] = np.empty(size + _LINE, np.uint8)
    start = -raw.__array_interface__["data"][0] % _LINE
    return raw[start : start + size]
