"""Rows [..., time] of any array, where NumPy code may read them or torch must, and the way back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bridgeflow.bridge import kind_of, like
from bridgeflow.signal._axes import time_last, time_where_it_was
from bridgeflow.signal._input import Opened, open_array, require_strided
from bridgeflow.signal.iir.door import is_watched

__all__ = ["Rows", "open_rows", "torch_must"]


class Rows(NamedTuple):
    """Data with time last, only to be read.

    Args:
        values: an ndarray in the machine's byte order; or a tensor, where only torch can do it: on a device, or watched
            (by autograd, a compiler, a functorch transform).
        axis: where time was.
        source: what came in.
    """

    values: Any
    axis: int
    source: Any

    @property
    def is_tensor(self) -> bool:
        """Whether torch must do it."""
        return not isinstance(self.values, np.ndarray)

    def close(self, y: Any) -> Any:
        """A result of as many axes as the kind that came in, with time where it was; bfloat16 returns to itself."""
        y = time_where_it_was(y, self.axis)
        return y if self.is_tensor else Opened(self.values, self.source).close(y)

    def close_new(self, y: Any) -> Any:
        """A result of other axes or of another dtype as the kind that came in."""
        return y if self.is_tensor or kind_of(self.source) is None else like(y, self.source)


def open_rows(x: Any, axis: int, *, what: str, strided: bool = False) -> Rows:
    """Data as rows.

    Args:
        x: ndarray, tensor, Arrow array, DLPack, nested lists.
        axis: of time.
        what: the function on whose behalf, for errors.
        strided: whether the samples of a row may lie apart. Where they are summed they must not: NumPy's and torch's
            sums add in an order that depends on it, and results would differ in their last bits.

    Raises:
        DataError: elements that are no numbers, or no such axis.
    """
    require_strided(x, what=what)
    values = x if torch_must(x) else open_array(x, what=what).values
    if isinstance(values, np.ndarray) and not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    values = time_last(values, axis, what=what)
    return Rows(values if strided else _in_order(values), axis, x)


def _in_order(x: Any) -> Any:
    """Rows whose samples follow each other in memory."""
    if x.shape[-1] < 2:
        return x
    if isinstance(x, np.ndarray):
        return x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)
    return x if x.stride(-1) == 1 else x.contiguous()


def torch_must(*values: Any) -> bool:
    """Whether only torch can do it: one is a tensor on a device, or watched by autograd, a compiler, functorch."""
    return any(kind_of(x) == "torch" and (x.device.type != "cpu" or is_watched(x)) for x in values)
