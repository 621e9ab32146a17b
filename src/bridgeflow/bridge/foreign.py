"""Foreign arrays: objects with `__dlpack__` or an Arrow capsule method, and bare DLPack capsules. They are
received as arrays of NumPy, torch or Arrow, without a copy.

torch aborts the process on negative strides, and ignores the read-only mark. So an array on the CPU is received by
NumPy, which honours both; only what NumPy lacks (bfloat16, another device) goes to torch, after the strides have been
read from the capsule.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from bridgeflow._frames import as_column, why_copied
from bridgeflow._optional import loaded
from bridgeflow.bridge.tracing import ACTIVE, record
from bridgeflow.errors import NoRoute, Reason
from bridgeflow.spec import ArraySpec, Exchange

__all__ = ["import_arrow", "import_buffer", "import_dlpack"]

_CPU = 1
_NAMES = (b"dltensor", b"dltensor_versioned")


class _DLTensor(ctypes.Structure):
    """`DLTensor` of dlpack.h, the part that both capsule versions share."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Versioned(ctypes.Structure):
    """`DLManagedTensorVersioned` of dlpack.h, up to the tensor."""

    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _DLTensor),
    ]


_api = ctypes.pythonapi
_api.PyCapsule_GetName.restype = ctypes.c_char_p
_api.PyCapsule_GetName.argtypes = [ctypes.py_object]
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


class _Capsule:
    """A bare capsule as an object with the methods of DLPack; it is used up here."""

    def __init__(self, capsule: Any, device: tuple[int, int]) -> None:
        self._capsule, self._device = capsule, device

    def __dlpack__(self, **_how: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device


def _tensor_in(capsule: Any) -> _DLTensor:
    is_capsule = type(capsule).__name__ == "PyCapsule"
    name = _api.PyCapsule_GetName(capsule) if is_capsule else None
    if name not in _NAMES:
        shown = repr((name or b"unnamed").decode(errors="replace")) if is_capsule else type(capsule).__name__
        raise NoRoute(
            "unknown",
            f"DLPack capsules are named 'dltensor' or 'dltensor_versioned' and used once, got {shown}",
            "pass a fresh capsule, or the object itself",
        )
    pointer = _api.PyCapsule_GetPointer(capsule, name)
    if name == b"dltensor":
        return _DLTensor.from_address(pointer)
    tensor: _DLTensor = _Versioned.from_address(pointer).tensor
    return tensor


def import_dlpack(x: Any) -> Any:
    """A foreign array as an ndarray or (another device, a type NumPy lacks) a tensor over the same memory.

    Raises:
        NoRoute: a used or foreign capsule; a producer that refuses; negative strides in a type that NumPy lacks; a type
            that neither NumPy nor torch has.
    """
    if hasattr(x, "__bridgeflow_array__"):
        return x.__bridgeflow_array__()
    if type(x).__name__ == "PyCapsule":
        tensor = _tensor_in(x)
        x = _Capsule(x, (tensor.device_type, tensor.device_id))
    try:
        device, _ = x.__dlpack_device__()
        if int(device) == _CPU:
            return np.from_dlpack(x)
    except Exception:  # of the producer, or because of a type that NumPy lacks: torch may have it
        pass
    return _import_into_torch(x)


def _is_immutable(x: Any) -> bool:
    """Whether an array on the CPU is never written to, which its capsule does not say: JAX's."""
    jax = loaded("jax")
    return jax is not None and isinstance(x, jax.Array) and int(x.__dlpack_device__()[0]) == _CPU


def _import_into_torch(x: Any) -> Any:
    import torch

    try:
        capsule = x.__dlpack__()
    except Exception as error:
        raise NoRoute(
            "unknown", f"the {type(x).__name__} refuses to export itself ({error})", "convert it by its own means first"
        ) from error
    tensor = _tensor_in(capsule)
    if tensor.strides and any(tensor.strides[axis] < 0 < tensor.shape[axis] - 1 for axis in range(tensor.ndim)):
        raise NoRoute(
            "negative-stride",
            "the DLPack array has negative strides, on which torch aborts the process",
            "copy it where it is created",
        )
    try:
        result = torch.utils.dlpack.from_dlpack(capsule)
        return result.clone() if _is_immutable(x) else result  # torch cannot mark it read-only
    except (BufferError, RuntimeError) as error:
        raise NoRoute(
            "dtype", f"neither NumPy nor torch can hold the DLPack array ({error})", "convert it where it is created"
        ) from None


def import_arrow(x: Any) -> Any:
    """An Arrow capsule producer (polars, DuckDB, pandas, ...) as a pyarrow array or chunked array over the same
    memory.

    Raises:
        NoRoute: the producer refuses.
    """
    try:
        array = as_column(x)
    except Exception as error:
        raise NoRoute(
            "unknown", f"the {type(x).__name__} refuses to export itself ({error})", "convert it by its own means first"
        ) from error
    if ACTIVE and (why := why_copied(x)) is not None:
        _record_copy(x, array, *why)
    return array


def _record_copy(x: Any, array: Any, reason: Reason, detail: str) -> None:
    from bridgeflow.bridge.arrow_layout import describe_arrow

    source = ArraySpec(kind="capsule", dtype=str(x.dtype), shape=(len(x),))
    record(
        Exchange(
            source=source,
            target=describe_arrow(array),
            action="copy",
            nbytes=int(array.nbytes),
            reason=reason,
            detail=detail,
        )
    )


def import_buffer(x: Any) -> np.ndarray[Any, Any]:
    """An `array.array` or a `memoryview` as an ndarray over the same memory.

    Raises:
        NoRoute: a released memoryview, or a format that NumPy does not read.
    """
    remedy = "say what the bytes are: np.frombuffer(x, dtype)"
    try:
        values = np.asarray(x)
    except (ValueError, TypeError, BufferError) as error:
        raise NoRoute("unknown", f"NumPy cannot read the {type(x).__name__} ({error})", remedy) from error
    if values.dtype.hasobject:  # what NumPy makes of a memoryview that was released
        raise NoRoute("unknown", f"NumPy cannot read the {type(x).__name__}: released, or of an unknown format", remedy)
    return values
