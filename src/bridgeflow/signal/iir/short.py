"""The short way into the native engine: everyday calls on plain memory of a CPU, which nobody watches.

A chunk of a live stream is a few hundred samples, which the engine filters in two microseconds. The way that serves
every kind, engine and policy costs five times that. Here are the conditions under which none of it is needed; where one
does not hold, the long way does it all. Both give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.bridge.tracing import ACTIVE
from bridgeflow.signal.iir import native
from bridgeflow.signal.iir.engine import Array

__all__ = ["as_plain", "back"]

_BUILT = native.is_built()
_READ = "fdhiBH"


def as_plain(x: Any) -> Array | None:
    """The data [..., T] as an ndarray over the same memory, where the engine may read them as they are, else `None`.

    >>> as_plain(np.zeros(3)) is not None, as_plain([1.0]) is not None
    (True, False)
    """
    torch = loaded("torch")
    if torch is not None and torch.compiler.is_compiling():
        return None
    values: Array | None = x if type(x) is np.ndarray else None
    if torch is not None and type(x) is torch.Tensor:
        values = _opener()(x)
    if values is None or values.dtype.char not in _READ or not values.dtype.isnative or not values.ndim:
        return None
    return values if _BUILT else None


def back(y: Any, x: Any) -> Any:
    """A result of `as_plain(x)` as x is: an ndarray, or a tensor over the same memory."""
    return y if type(x) is np.ndarray else _from_numpy()(y)


@cache
def _from_numpy() -> Callable[[Array], Any]:
    import torch

    return torch.from_numpy


@cache
def _opener() -> Callable[[Any], Array | None]:
    """What asks whether somebody watches a tensor; with torch's questions at hand, for each look-up counts here."""
    import torch
    from torch.autograd import forward_ad

    modes, transforms = torch._C._len_torch_dispatch_stack, torch._C._are_functorch_transforms_active

    def opened(x: Any) -> Array | None:
        if ACTIVE or modes() or transforms() or forward_ad._current_level >= 0:
            return None
        try:
            values: Array = x.numpy()
        except (
            RuntimeError,
            TypeError,
        ):  # wants a gradient, lies on a device, is sparse, negated, of a type of its own
            return None
        return values

    return opened
