"""The inputs of the crossings: described, and received as one of the kinds in the table of routes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bridgeflow._optional import loaded
from bridgeflow.bridge.array_like import describe_array_like, is_number_list, read_list
from bridgeflow.bridge.descriptions import describe_numpy, describe_torch
from bridgeflow.bridge.foreign import import_arrow, import_buffer, import_dlpack
from bridgeflow.bridge.images import describe_pil
from bridgeflow.bridge.kinds import kind_of
from bridgeflow.errors import NoRoute
from bridgeflow.policy import Kind
from bridgeflow.spec import ArraySpec

__all__ = ["describe", "describe_received", "receive"]


def describe(x: Any) -> ArraySpec:
    """What a value is: kind, dtype, shape, strides, device, writable, and what stands in the way of sharing it.

    Args:
        x: an ndarray, tensor, Arrow array, PIL image, or an object with `__dlpack__`, `__arrow_c_array__` or
            `__arrow_c_stream__`; an `array.array` or `memoryview`; a list or tuple of numbers, and an object with
            `__array__`, `shape` and `dtype` (h5py, zarr), whose data is not read.

    Raises:
        NoRoute: the value is not an array.

    >>> import numpy as np
    >>> print(describe(np.zeros((2, 100), "float32")[:, ::-1]))
    numpy float32[2, 100] (negative-stride, non-contiguous)
    """
    kind = kind_of(x)
    if kind in _RECEIVERS:
        return replace(describe_received(_RECEIVERS[kind](x)), kind=kind)
    return describe_array_like(x) if kind is None and is_number_list(x) else describe_received(x)


_RECEIVERS = {"dlpack": import_dlpack, "capsule": import_arrow, "buffer": import_buffer}
"""How a value of a foreign kind becomes an array of NumPy, torch or Arrow over the same memory."""


def describe_received(x: Any) -> ArraySpec:
    """The spec of a value of a kind that the table of routes knows.

    Raises:
        NoRoute: the value is not an array.
    """
    kind = kind_of(x)
    if kind == "numpy":
        return describe_numpy(x)
    if kind == "torch":
        return describe_torch(x)
    if kind == "arrow":
        from bridgeflow.bridge.arrow_layout import describe_arrow

        return describe_arrow(x)
    if kind == "pil":
        return describe_pil(x)
    if kind == "array_like":
        return describe_array_like(x)
    raise NoRoute("unknown", f"a {type(x).__name__} is not an array", _advice(x))


def receive(x: Any) -> tuple[Any, Kind, ArraySpec]:
    """The value as an array of a kind that the table knows, the kind that it was, and its spec.

    Raises:
        NoRoute: the value is not an array, or cannot be read.
    """
    kind = kind_of(x)
    if kind is None and is_number_list(x):
        values = read_list(x)
        return values, "array_like", replace(describe_numpy(values), kind="array_like")
    if kind in _RECEIVERS:
        x = _RECEIVERS[kind](x)
    spec = describe_received(x)
    return x, kind or spec.kind, spec


def _advice(x: Any) -> str:
    pyarrow = loaded("pyarrow")
    if pyarrow is not None and isinstance(x, (pyarrow.RecordBatch, pyarrow.Table)):
        return "ToNumpy()(table) gives a dict of columns; or convert one column"
    if isinstance(x, (bytes, bytearray)):
        return "say what the bytes are: np.frombuffer(x, dtype)"
    if isinstance(x, (int, float, complex)):
        return "make an array of it first: np.asarray(x), torch.tensor(x)"
    if isinstance(x, (list, tuple)):
        return "a list is an array where it holds numbers, in rows of one length"
    return "pass an ndarray, a tensor, an Arrow array, a PIL image, or an object with __dlpack__ or __arrow_c_array__"
