"""The one answer to how long a value is along each of its axes, whatever its kind."""

from __future__ import annotations

from typing import Any

from bridgeflow.bridge.api import to_numpy, to_tensor
from bridgeflow.bridge.dtypes import has_numpy_dtype
from bridgeflow.bridge.inputs import describe
from bridgeflow.bridge.kinds import kind_of

__all__ = ["shape_of", "strided"]


def shape_of(x: Any) -> tuple[int | None, ...]:
    """The lengths of an array of any kind: rows first, `None` along an axis on which its rows differ.

    Arrow columns have one axis more for each level of lists, fixed-size lists or tensors around their numbers, whether
    the type says its lengths (`FixedShapeTensorArray`, `FixedSizeListArray`, opaque complex numbers) or only the rows
    do (`ListArray`). Text, structures, and lists of those have the axis of their rows alone.

    Raises:
        NoRoute: the value is not an array.

    >>> import numpy as np, pyarrow as pa
    >>> shape_of(np.zeros((2, 100))), shape_of(pa.array([[1.0, 2.0]] * 3)), shape_of(pa.array([[1], [2, 3]]))
    ((2, 100), (3, 2), (2, None))
    """
    if kind_of(x) in ("numpy", "torch"):
        return tuple(x.shape)
    return describe(x).shape


def strided(x: Any) -> Any:
    """The array as an ndarray, or as a tensor where NumPy has no such element type, for moving axes: ndarrays and
    tensors as they are, and all other kinds as a view where that can be.

    Raises:
        NoRoute: nulls, rows of unequal length, or elements that are not numbers.
    """
    if kind_of(x) in ("numpy", "torch"):
        return x
    return to_numpy(x) if has_numpy_dtype(describe(x).dtype) else to_tensor(x, writable=False)
