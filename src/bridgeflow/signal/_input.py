"""The entrance of this package: any array becomes an ndarray or a tensor, and results the kind of array that came in.

`dispatch_of` says who computes: NumPy code reads what lies on the CPU; torch computes on devices, and wherever its
dispatcher has to see what is done: under autograd, `torch.compile`, `torch.func` or a dispatch mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from bridgeflow._optional import loaded, require
from bridgeflow.bridge import kind_of, like, to_arrow, to_numpy, to_tensor
from bridgeflow.errors import DataError, NoRoute
from bridgeflow.signal._axes import time_last, time_where_it_was

__all__ = [
    "Dispatch",
    "Prepared",
    "as_ndarray",
    "can_read_values",
    "dispatch_of",
    "is_tracing",
    "needs_dispatch",
    "needs_gradient",
    "prepare",
    "read_array",
    "read_nested",
    "refuse_table",
    "require_strided",
    "restore",
    "torch_modes",
]

Dispatch: TypeAlias = Literal["numpy", "torch", "traced"]
"""NumPy code computes; torch has to, on a device; torch has to, and its dispatcher sees every operation."""


# --- who computes -----------------------------------------------------------------------------------------------------


def dispatch_of(*values: Any) -> Dispatch:
    """Who has to compute with these values; all but tensors are NumPy's.

    >>> dispatch_of(np.zeros(3), [1.0])
    'numpy'
    """
    torch = loaded("torch")
    tensors = [] if torch is None else [value for value in values if isinstance(value, torch.Tensor)]
    if needs_dispatch(*tensors):
        return "traced"
    return "torch" if any(tensor.device.type != "cpu" for tensor in tensors) else "numpy"


def needs_dispatch(*values: Any) -> bool:
    """Whether torch's dispatcher has to see what is done to a tensor among the values.

    It has to under autograd, `torch.compile` or export, `torch.func`, forward mode and dispatch modes, and for tensors
    without data or of a class of their own.
    """
    torch = loaded("torch")
    tensors = [] if torch is None else [value for value in values if isinstance(value, torch.Tensor)]
    if torch is None or not tensors:
        return False
    if torch.compiler.is_compiling() or torch_modes()():
        return True
    records = torch.is_grad_enabled()
    return any((records and x.requires_grad) or type(x) not in _plain_classes() or x.is_meta for x in tensors)


def needs_gradient(x: Any) -> bool:
    """Whether autograd records what is done to this value now."""
    torch = loaded("torch")
    return torch is not None and isinstance(x, torch.Tensor) and x.requires_grad and torch.is_grad_enabled()


def is_tracing() -> bool:
    """Whether `torch.compile` or `torch.export` is tracing."""
    torch = loaded("torch")
    return torch is not None and torch.compiler.is_compiling()


def can_read_values(x: Any) -> bool:
    """Whether code may depend on the values of an ndarray or a tensor, which must then have some."""
    torch = loaded("torch")
    if torch is None or not isinstance(x, torch.Tensor):
        return True
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    return not x.is_meta and torch._C._len_torch_dispatch_stack() == 0


@cache
def torch_modes() -> Callable[[], bool]:
    """What says whether `torch.func`, forward mode or a dispatch mode is active, with torch's functions at hand."""
    import torch
    from torch.autograd import forward_ad

    modes, transforms = torch._C._len_torch_dispatch_stack, torch._C._are_functorch_transforms_active
    return lambda: modes() > 0 or transforms() or forward_ad._current_level >= 0


@cache
def _plain_classes() -> frozenset[type]:
    import torch

    return frozenset({torch.Tensor, torch.nn.Parameter, torch.nn.Buffer})


# --- the way in and the way out ---------------------------------------------------------------------------------------


class Prepared(NamedTuple):
    """Data with time last, only to be read, and the way back for results.

    Args:
        values: an ndarray; or a tensor, where torch computes.
        source: what came in.
        axis: where time was.
    """

    values: Any
    source: Any
    axis: int = -1

    @property
    def is_tensor(self) -> bool:
        """Whether torch computes."""
        return not isinstance(self.values, np.ndarray)

    def restore(self, y: Any) -> Any:
        """A result of as many axes as the kind that came in, with time where it was; bfloat16 returns to itself."""
        y = time_where_it_was(y, self.axis)
        if not self.is_tensor:
            return restore(y, self.source)
        return y if kind_of(self.source) == "torch" else restore(to_numpy(y), self.source)

    def restore_new(self, y: Any) -> Any:
        """A result of other axes or of another dtype as the kind that came in."""
        return y if self.is_tensor or kind_of(self.source) is None else like(y, self.source)

    def restore_state(self, zf: Any) -> Any:
        """A state: a tensor beside a tensor, else an ndarray."""
        if kind_of(self.source) == "torch":
            return zf if self.is_tensor else like(zf, self.source)
        return to_numpy(zf) if self.is_tensor else zf


def prepare(
    x: Any,
    axis: int = -1,
    *,
    by: Literal["numpy", "torch"] | None = None,
    strided: bool = False,
    native: bool = True,
) -> Prepared:
    """Data as rows [..., time].

    Args:
        x: ndarray, tensor, Arrow array, DLPack, nested lists.
        axis: of time.
        by: who computes; `None` leaves it to `dispatch_of`.
        strided: whether the samples of a row may lie apart. Where they are summed they must not: NumPy's and torch's
            sums add in an order that depends on it, and results would differ in their last bits.
        native: whether ndarrays are brought to the machine's byte order.

    Raises:
        DataError: elements that are not numbers, or no such axis.
        NoRoute: a nested or sparse tensor; a tensor under autograd that NumPy code has to read.
    """
    require_strided(x)
    if by == "torch" or (by is None and dispatch_of(x) != "numpy"):
        values = x if kind_of(x) == "torch" else to_tensor(read_array(x), writable=False)
    else:
        values = read_array(x)
        if native and not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
    values = time_last(values, axis)
    return Prepared(values if strided else _contiguous_rows(values), x, axis)


def _contiguous_rows(x: Any) -> Any:
    """Rows whose samples follow each other in memory."""
    if x.shape[-1] < 2:
        return x
    if isinstance(x, np.ndarray):
        return x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)
    return x if x.stride(-1) == 1 else x.contiguous()


def restore(result: np.ndarray[Any, Any], source: Any) -> Any:
    """A result as the kind, and on the device, of what came in; bfloat16 returns to its own type."""
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


def read_array(x: Any) -> np.ndarray[Any, Any]:
    """An array as an ndarray of numbers: NumPy, torch (moved to the CPU if need be), Arrow, DLPack, nested lists.

    Args:
        x: the array. It is only read, so read-only memory is shared as it is.

    Raises:
        DataError: elements that are not numbers, or no axis at all.
        NoRoute: what the bridge cannot carry, and a tensor under autograd: no gradient passes through NumPy code.
    """
    if type(x) is np.ndarray and x.dtype.isnative:
        values = x
    elif kind_of(x) is None:
        refuse_table(x)
        values = read_nested(x)
    elif needs_gradient(x):
        raise NoRoute(
            "grad",
            "a tensor that requires grad was given, and no gradient passes through this code",
            "pass x.detach(), or call it under torch.no_grad()",
        )
    else:
        refuse_table(x)
        values = to_numpy(x)
    if values.dtype.kind not in "fciub":
        refuse_table(values)
        raise DataError(f"cannot filter elements of type {values.dtype}; convert them to numbers first")
    if values.ndim == 0:
        raise DataError("x must have at least one axis, got a single number")
    return values


def as_ndarray(x: Any) -> np.ndarray[Any, Any]:
    """Coefficients or a state, whatever array holds them, as an ndarray to read."""
    if type(x) is np.ndarray and x.dtype.names is None:
        return x
    refuse_table(x)
    if needs_gradient(x):
        raise NoRoute(
            "grad",
            "coefficients, a window or a state that requires grad, and no gradient passes to it through this code",
            "pass it detached (.detach())",
        )
    return read_nested(x) if kind_of(x) in {None, "numpy"} else to_numpy(x)


def read_nested(x: Any) -> np.ndarray[Any, Any]:
    """Nested lists and all else that NumPy reads by itself, as an ndarray.

    Raises:
        DataError: what NumPy cannot read as one array, such as rows of unequal length.
    """
    try:
        return np.asarray(x)
    except ValueError as error:
        reason = str(error).split(". ")[0]
        raise DataError(
            f"cannot read the {type(x).__name__} as one array: {reason}; "
            "pad its rows to one length, or pass them one by one"
        ) from None


def refuse_table(x: Any) -> None:
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
        f"expected one array, got a {type(x).__name__} with the columns {listed or '(none)'}; "
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


def require_strided(x: Any) -> None:
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
            "a nested tensor was given, whose rows have lengths of their own",
            "give it the rows one by one, [... for row in x.unbind()], or pad them to one length",
        )
    raise NoRoute("layout", f"a tensor of layout {x.layout} was given", "make it dense first, x.to_dense()")
