"""What a stream holds between its chunks: pieces [..., t] put together, and results as the kind of the stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from bridgeflow._optional import require
from bridgeflow.bridge import to_arrow, to_tensor
from bridgeflow.errors import DataError
from bridgeflow.spec import ArraySpec

__all__ = ["State", "as_kind", "as_marked", "count", "count_rows", "join", "kind_mark", "own", "rows_shape", "together"]

State: TypeAlias = dict[str, Any]
"""What is carried between chunks: arrays by name. Never modified: each step gives new ones."""


def as_kind(y: np.ndarray[Any, Any], kind: str, dtype: str, device: str) -> Any:
    """A result as the kind, dtype and device that a stream began with; what is too large for the dtype is infinite."""
    if kind == "torch" or dtype == "bfloat16":
        torch = require("torch", needed_for="tensors")
        tensor = torch.from_numpy(np.ascontiguousarray(y)).to(dtype=getattr(torch, dtype), device=device)
        return tensor if kind == "torch" else to_arrow(tensor)
    with np.errstate(over="ignore"):
        values = y.astype(dtype)
    return values if kind == "numpy" else to_arrow(values)


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


def rows_shape(spec: ArraySpec) -> tuple[int, ...]:
    """The shape of a stream's chunks but for time."""
    rows = tuple(n for n in spec.shape[:-1] if n is not None)
    if len(rows) != len(spec.shape) - 1:
        raise DataError(f"the rows of a stream must be known before it starts, got {spec}")
    return rows


def together(held: Any, chunk: Any) -> tuple[Any, Any]:
    """What a stream holds and what comes, both as tensors if one has to be; refused where their rows differ."""
    if tuple(held.shape[:-1]) != tuple(chunk.shape[:-1]):
        raise DataError(
            f"a chunk of shape {tuple(chunk.shape)} in a stream whose rows have shape {tuple(held.shape[:-1])}"
        )
    if isinstance(held, np.ndarray) == isinstance(chunk, np.ndarray):
        return held, chunk
    device = (chunk if isinstance(held, np.ndarray) else held).device
    return to_tensor(held, device=device, writable=False), to_tensor(chunk, device=device, writable=False)


def join(parts: Sequence[Any]) -> Any:
    """Pieces [..., t] of one kind and dtype one after the other, in memory of their own."""
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
