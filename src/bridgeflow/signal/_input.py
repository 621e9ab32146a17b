"""The door of this room: any array comes in and is read as an ndarray; results go out as the kind that came in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bridgeflow._optional import loaded, require
from bridgeflow.bridge import kind_of, like, to_arrow, to_numpy
from bridgeflow.errors import DataError, NoRoute

__all__ = [
    "Opened",
    "as_ndarray",
    "differentiates",
    "open_array",
    "read_nested",
    "refuse_table",
    "require_strided",
]


class Opened(NamedTuple):
    """An array that came in, as an ndarray that must only be read, and the way back for results."""

    values: np.ndarray[Any, Any]
    source: Any

    def close(self, result: np.ndarray[Any, Any]) -> Any:
        """`result` as the kind, and on the device, of what came in; bfloat16 returns to its own type."""
        source = self.source
        if type(source) is np.ndarray or kind_of(source) in {None, "numpy"}:
            return result
        torch = loaded("torch")
        if torch is not None and isinstance(source, torch.Tensor):
            if source.device.type == "cpu" and result.flags.c_contiguous:
                tensor = torch.from_numpy(result)
            else:
                tensor = like(result, source)
            return tensor.to(torch.bfloat16) if source.dtype is torch.bfloat16 else tensor
        if getattr(getattr(source, "type", None), "type_name", "") == "bfloat16":
            return to_arrow(require("torch", needed_for="bfloat16").from_numpy(np.array(result)).bfloat16())
        return like(result, source)


def open_array(x: Any, *, what: str) -> Opened:
    """Read an array as an ndarray of numbers: NumPy, torch (moved to the CPU if need be), Arrow, DLPack, nested lists.

    Args:
        x: the array. It is only read, so read-only memory is shared as it is.
        what: the function on whose behalf, for errors.

    Raises:
        DataError: elements that are no numbers, or no axis at all.
        NoRoute: what the bridge cannot carry, and a tensor whose gradient is wanted: no gradient passes through NumPy
            code.
    """
    if type(x) is np.ndarray and x.dtype.isnative:
        values = x
    elif kind_of(x) is None:
        refuse_table(x, what=what)
        values = read_nested(x, what=what)
    elif differentiates(x):
        raise NoRoute(
            "grad",
            f"{what} was given a tensor that requires grad, and no gradient passes through this code",
            "pass x.detach(), or call it under torch.no_grad()",
        )
    else:
        refuse_table(x, what=what)
        values = to_numpy(x)
    if values.dtype.kind not in "fciub":
        refuse_table(values, what=what)
        raise DataError(f"{what}: cannot filter elements of type {values.dtype}; convert them to numbers first")
    if values.ndim == 0:
        raise DataError(f"{what}: x must have at least one axis, got a single number")
    return Opened(values, x)


def as_ndarray(x: Any) -> np.ndarray[Any, Any]:
    """Coefficients or a state, whatever array holds them, as an ndarray to read."""
    if type(x) is np.ndarray and x.dtype.names is None:
        return x
    refuse_table(x, what="coefficients")
    if differentiates(x):
        raise NoRoute(
            "grad",
            "coefficients, a window or a state that requires grad, and no gradient passes to it through this code",
            "pass it detached (.detach())",
        )
    return read_nested(x, what="coefficients") if kind_of(x) in {None, "numpy"} else to_numpy(x)


def read_nested(x: Any, *, what: str) -> np.ndarray[Any, Any]:
    """Nested lists and all else that NumPy reads by itself, as an ndarray.

    Raises:
        DataError: what NumPy makes no array of, such as rows of unequal length.
    """
    try:
        return np.asarray(x)
    except ValueError as error:
        reason = str(error).split(". ")[0]
        raise DataError(
            f"{what}: cannot read the {type(x).__name__} as one array: {reason}; "
            "pad its rows to one length, or pass them one by one"
        ) from None


def refuse_table(x: Any, *, what: str) -> None:
    """Refuse a table where an array is expected: only the caller knows which column is meant.

    Raises:
        DataError: x is one; names a column to pass.
    """
    columns = _columns_of(x)
    if columns is None:
        return
    listed = ", ".join(map(repr, columns[:5])) + (", ..." if len(columns) > 5 else "")
    example = columns[0] if columns else "name"
    raise DataError(
        f"{what}: expected one array, got a {type(x).__name__} with the columns {listed or '(none)'}; "
        f"pass one column, such as x[{example!r}]"
    )


def _columns_of(x: Any) -> list[str] | None:
    """The names of the columns, where x is a table: of pyarrow, pandas or polars, a dict, records; else `None`."""
    if isinstance(x, (list, tuple)):
        return None
    if isinstance(x, np.ndarray):
        return None if x.dtype.names is None else list(x.dtype.names)
    if isinstance(x, Mapping):
        return [str(key) for key in x]
    if (pyarrow := loaded("pyarrow")) is not None:
        if isinstance(x, (pyarrow.Table, pyarrow.RecordBatch, pyarrow.RecordBatchReader)):
            return list(x.schema.names)
        if isinstance(x, (pyarrow.Array, pyarrow.ChunkedArray)):
            return [field.name for field in x.type] if pyarrow.types.is_struct(x.type) else None
    if hasattr(x, "columns") and any(hasattr(x, name) for name in ("__dataframe__", "__arrow_c_stream__", "iloc")):
        return [str(name) for name in x.columns]
    return None


def require_strided(x: Any, *, what: str) -> None:
    """Refuse tensors that are not one block of memory, of which torch's operators and ours know nothing.

    Raises:
        NoRoute: a nested tensor, whose rows have lengths of their own; a sparse one.
    """
    torch = loaded("torch")
    if torch is None or not isinstance(x, torch.Tensor) or (x.layout is torch.strided and not x.is_nested):
        return
    if x.is_nested:
        raise NoRoute(
            "ragged",
            f"{what} was given a nested tensor, whose rows have lengths of their own",
            "give it the rows one by one, [... for row in x.unbind()], or pad them to one length",
        )
    raise NoRoute("layout", f"{what} was given a tensor of layout {x.layout}", "make it dense first, x.to_dense()")


def differentiates(x: Any) -> bool:
    """Whether autograd watches this value now."""
    torch = loaded("torch")
    return torch is not None and isinstance(x, torch.Tensor) and x.requires_grad and torch.is_grad_enabled()
