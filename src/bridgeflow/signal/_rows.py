"""Rows [..., time] of any array, where NumPy code may read them or torch must, and the way back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bridgeflow.bridge import kind_of, like, to_arrow, to_tensor
from bridgeflow.errors import DataError
from bridgeflow.signal._arrays import Opened, open_array, require_strided, time_last, time_where_it_was
from bridgeflow.signal.iir.door import is_watched
from bridgeflow.spec import ArraySpec

__all__ = [
    "Rows",
    "as_marked",
    "count",
    "count_rows",
    "join",
    "kind_mark",
    "known_rows",
    "open_rows",
    "own",
    "together",
    "torch_must",
]


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


def kind_mark(spec: ArraySpec) -> np.ndarray[Any, Any]:
    """Kind and dtype of the chunks of a stream, as an array of text [] that its state can hold beside numbers."""
    return np.asarray(f"{spec.kind} {spec.dtype}")


def as_marked(y: Any, mark: Any, *, same_dtype: bool = False) -> Any:
    """A result that no chunk stands beside, as the kind of the stream; in its dtype too where that is to be kept."""
    kind, dtype = str(mark).split(" ", 1)
    if not isinstance(y, np.ndarray) or kind == "numpy":
        return y
    keeps = same_dtype and dtype.startswith(("bfloat16", "complex32", "float8_"))  # what NumPy has no type for
    if kind in ("torch", "dlpack") or (keeps and dtype == "bfloat16"):
        import torch

        tensor = to_tensor(y).to(getattr(torch, dtype)) if keeps else to_tensor(y)
        return to_arrow(tensor) if kind == "arrow" else tensor
    return to_arrow(y)


def known_rows(spec: ArraySpec, *, what: str) -> tuple[int, ...]:
    """The shape of a stream's chunks but for time."""
    known = tuple(n for n in spec.shape[:-1] if n is not None)
    if len(known) != len(spec.shape) - 1:
        raise DataError(f"{what}: the rows of a stream must be known before it starts, got {spec}")
    return known


def together(held: Any, chunk: Any, *, what: str) -> tuple[Any, Any]:
    """What a stream holds and what comes, both as tensors if one has to be; refused where their rows differ."""
    if tuple(held.shape[:-1]) != tuple(chunk.shape[:-1]):
        raise DataError(
            f"{what}: a chunk of shape {tuple(chunk.shape)} in a stream whose rows have shape {tuple(held.shape[:-1])}"
        )
    if isinstance(held, np.ndarray) == isinstance(chunk, np.ndarray):
        return held, chunk
    device = (chunk if isinstance(held, np.ndarray) else held).device
    return to_tensor(held, device=device, writable=False), to_tensor(chunk, device=device, writable=False)


def join(parts: Sequence[Any]) -> Any:
    """Pieces [..., t] of one kind and dtype one behind the other, in memory of their own."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis=-1)
    import torch

    return torch.cat(tuple(parts), dim=-1)


def own(x: Any) -> Any:
    """The same values in memory of their own."""
    return x.copy() if isinstance(x, np.ndarray) else x.clone()


def count(x: Any) -> int:
    """How many elements an ndarray or a tensor has."""
    return math.prod(x.shape)


def count_rows(x: Any) -> int:
    """How many rows [..., T] has."""
    return math.prod(x.shape[:-1])


def torch_must(*values: Any) -> bool:
    """Whether only torch can do it: one is a tensor on a device, or watched by autograd, a compiler, functorch."""
    return any(kind_of(x) == "torch" and (x.device.type != "cpu" or is_watched(x)) for x in values)
