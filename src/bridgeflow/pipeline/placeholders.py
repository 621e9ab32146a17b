"""Columns that stand in for results: what a sink would refuse is found out before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from bridgeflow._optional import require
from bridgeflow.bridge import has_numpy_dtype, to_arrow
from bridgeflow.errors import DataError
from bridgeflow.spec import ArraySpec, itemsize
from bridgeflow.tree import place

__all__ = ["placeholder_columns", "with_a_null"]

_ROWS = 2
_LONG_ROW = 1 << 16
"""Values of a row above which no row stands in for it: rows of any length must not take memory before they are read."""


def placeholder_columns(
    result: Mapping[str, ArraySpec], axes: Mapping[str, int], columns: Mapping[str, Any]
) -> dict[str, Any]:
    """Two rows of zeros (none, where rows are long) for each column that a plan describes, of its kind, element type
    and shape; lengths that are not known are 1.

    Args:
        result: of the plan.
        axes: on which axis of each array rows follow each other.
        columns: of the source, without rows, which say the Arrow types of what is not numbers.

    Raises:
        DataError: a column is a Python list, which no file holds.
    """
    shapes = {name: _row(spec, axes.get(place([name]), 0)) for name, spec in result.items()}
    is_long = any(prod(shape) > _LONG_ROW for shape in shapes.values())
    rows = 0 if is_long and all(spec.layout != "jagged" for spec in result.values()) else _ROWS
    return {name: _stand_in(name, spec, rows, shapes[name], columns.get(name)) for name, spec in result.items()}


def with_a_null(column: Any) -> Any:
    """An Arrow column with a null row before its others."""
    pyarrow = require("pyarrow", needed_for="Arrow columns")
    return pyarrow.concat_arrays([pyarrow.nulls(1, column.type), column])


def _row(spec: ArraySpec, axis: int) -> list[int]:
    return [1 if n is None else n for number, n in enumerate(spec.shape) if number != axis]


def _stand_in(name: str, spec: ArraySpec, rows: int, shape: list[int], column: Any) -> Any:
    if spec.layout == "rows":
        raise DataError(
            f"the transforms make a column {name!r} that is a list of arrays; pad its rows, or leave it out"
        )
    if spec.kind in ("arrow", "capsule") and itemsize(spec.dtype) is None and column is not None:
        return require("pyarrow", needed_for="Arrow columns").nulls(rows, column.type)
    if spec.kind == "torch" or not has_numpy_dtype(spec.dtype):
        torch = require("torch", needed_for="tensors")
        dtype, device = getattr(torch, spec.dtype), "meta" if spec.device == "meta" else "cpu"
        if spec.layout == "jagged":
            pieces = [torch.zeros(number + 1, *shape[1:], dtype=dtype) for number in range(rows)]
            return torch.nested.nested_tensor(pieces, layout=torch.jagged)
        values = torch.zeros([rows, *shape], dtype=dtype, device=device)
        return values if spec.kind == "torch" else to_arrow(values)
    zeros = np.zeros([rows, *shape], spec.dtype)
    return to_arrow(zeros) if spec.kind in ("arrow", "capsule") else zeros
