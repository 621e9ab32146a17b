"""Views of tensors as ndarrays and the reverse, for the fast paths; importing this module imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import from_numpy
from torch.utils.dlpack import from_dlpack

from bridgeflow.bridge.descriptions import REACH, extent, misaligned

__all__ = ["PLAIN", "numpy_of_tensor", "tensor_itself", "tensor_of_array", "tensor_through"]

PLAIN = frozenset({torch.Tensor, torch.nn.Parameter})
"""Classes without memory of their own meaning."""


def numpy_of_tensor(t: torch.Tensor) -> Any:
    """The ndarray over a tensor's memory, `None` where it has no plain memory of its own."""
    try:
        array = (t.detach() if t.requires_grad else t).numpy()
    except (RuntimeError, TypeError, ValueError):
        return None
    # what Tensor.numpy() does not see: functionalised tensors, elements that overlap, storages that were shrunk
    item = array.itemsize
    span = array.nbytes if array.flags.c_contiguous else extent(array.shape, array.strides, item)
    if span and t.data_ptr() and t.untyped_storage().nbytes() - t.storage_offset() * item >= span:
        return array
    return None


def tensor_itself(t: torch.Tensor, _writable: bool) -> torch.Tensor:
    """A tensor is a tensor."""
    return t


def tensor_of_array(x: Any, writable: bool) -> torch.Tensor | None:
    """The tensor over an ndarray's memory, `None` where torch has no such element type or strides, or must not write.

    Complex numbers are copied by a rule where their address is not a multiple of their size.
    """
    if x.dtype.kind == "c" and misaligned(x):
        return None
    flags = x.flags
    try:
        if flags.writeable and (flags.c_contiguous or 0 < extent(x.shape, x.strides, x.itemsize) < REACH):
            return from_numpy(x)
        if not (flags.writeable or writable) and flags.c_contiguous:
            return from_dlpack(x)
    except (TypeError, ValueError, BufferError):
        pass  # the table of routes knows why
    return None


def tensor_through(look: Callable[[Any], Any]) -> Callable[[Any, bool], torch.Tensor | None]:
    """The view of a value that is first seen as an ndarray, by `look`."""

    def view(x: Any, writable: bool) -> torch.Tensor | None:
        array = look(x)
        if array is None or (writable and not array.flags.writeable):
            return None
        return from_dlpack(array)

    return view
