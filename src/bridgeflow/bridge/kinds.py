"""Whose memory is it? Asked of modules that are already loaded: a value can only be a tensor where torch is."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any, Final

from bridgeflow._optional import being_imported, loaded
from bridgeflow.policy import Kind

__all__ = ["kind_of"]

_BY_TYPE: dict[type, Kind | None] = {}
"""Types seen before. A class never changes its kind, and asking a dictionary costs a tenth of asking the libraries."""


_BY_CLASS: Final = ("numpy", "torch", "arrow", "pil")
"""Kinds that a library's own class decides, so that no library that is loaded later can say otherwise."""


def kind_of(x: object) -> Kind | None:
    """The kind of a value, or `None` for what is not an array by its class: labels, numbers, strings, containers.

    A list of numbers is a container by its class; whether it is read as an array, `is_number_list` says.

    >>> import numpy as np
    >>> kind_of(np.zeros(3)), kind_of("label")
    ('numpy', None)
    """
    cls = type(x)
    try:
        return _BY_TYPE[cls]
    except KeyError:
        kind = _kind_of_type(cls)
        if kind in _BY_CLASS or not any(map(being_imported, ("numpy", "torch", "pyarrow", "PIL.Image"))):
            _BY_TYPE[cls] = kind
        return kind


def _kind_of_type(cls: type) -> Kind | None:
    numpy, torch, pyarrow = loaded("numpy"), loaded("torch"), loaded("pyarrow")
    if numpy is not None and issubclass(cls, (numpy.ndarray, numpy.generic)):
        return "numpy"
    if torch is not None and issubclass(cls, torch.Tensor):
        return "torch"
    if pyarrow is not None:
        if issubclass(cls, (pyarrow.Array, pyarrow.ChunkedArray, pyarrow.Scalar, pyarrow.Tensor)):
            return "arrow"
        if issubclass(cls, (pyarrow.RecordBatch, pyarrow.Table, pyarrow.RecordBatchReader)):
            return None  # containers: the columns are the arrays
    pil = loaded("PIL.Image")
    if pil is not None and issubclass(cls, pil.Image):
        return "pil"
    if cls.__name__ == "PyCapsule" or hasattr(cls, "__dlpack__"):
        return "dlpack"
    if hasattr(cls, "__arrow_c_array__") or hasattr(cls, "__arrow_c_stream__"):
        return "capsule"
    if cls is memoryview or issubclass(cls, array):
        return "buffer"
    if all(hasattr(cls, name) for name in ("__array__", "shape", "dtype")) and not issubclass(cls, Mapping):
        return "array_like"
    return None


def is_array(x: Any) -> bool:
    """Whether the bridge can carry the value."""
    return kind_of(x) is not None
