"""The public crossings: `to_numpy`, `to_tensor`, `to_arrow`, `describe`, `route`.

Each is a fast path for the everyday case, checked against the traps that the libraries do not check themselves, and
otherwise one walk: describe the value, look the route up, carry the value along it. The fast path never decides
anything that the table of routes would decide otherwise; the tests hold them side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, overload

import numpy as np
from numpy import ma

from bridgeflow._optional import loaded, require
from bridgeflow.bridge.array_like import describe_array_like, is_number_list, read_list
from bridgeflow.bridge.descriptions import REACH, describe_numpy, describe_torch, extent
from bridgeflow.bridge.devices import parse_device
from bridgeflow.bridge.dtypes import SHARED_DTYPES
from bridgeflow.bridge.kinds import kind_of
from bridgeflow.bridge.routes import find_route
from bridgeflow.bridge.rules import Options, Route, Target, parse_options
from bridgeflow.bridge.tracing import ACTIVE, record
from bridgeflow.errors import NoRoute
from bridgeflow.policy import Bfloat16, Copy, Grad, Kind, Layout, Nulls, Ragged
from bridgeflow.spec import ArraySpec

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

__all__ = ["Masked", "describe", "like", "route", "to_arrow", "to_numpy", "to_tensor"]


class Masked(NamedTuple):
    """Values with their nulls told apart: `mask` is True where `values` holds nothing real (a zero stands there)."""

    values: Any
    mask: Any


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
    if kind in ("dlpack", "capsule", "buffer"):
        return replace(_describe_landed(_land(x, kind)), kind=kind)
    if kind is None and is_number_list(x):
        return describe_array_like(x)
    return _describe_landed(x)


def _describe_landed(x: Any) -> ArraySpec:
    kind = kind_of(x)
    if kind == "numpy":
        return describe_numpy(x)
    if kind == "torch":
        return describe_torch(x)
    if kind == "arrow":
        from bridgeflow.bridge.arrow_layout import describe_arrow
        from bridgeflow.bridge.arrow_numpy import VIEWS

        _ARROW_VIEWS.update(VIEWS)
        return describe_arrow(x)
    if kind == "pil":
        from bridgeflow.bridge.images import describe_pil

        return describe_pil(x)
    if kind == "array_like":
        return describe_array_like(x)
    raise NoRoute("unknown", f"a {type(x).__name__} is not an array", _advice(x))


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


def _land(x: Any, kind: Kind | None) -> Any:
    """A foreign array as one of ours; ours as they are."""
    if kind == "dlpack":
        from bridgeflow.bridge.foreign import land_dlpack
        from bridgeflow.bridge.shared import Shared

        if isinstance(x, Shared):  # DLPack has no word for read-only memory, nor NumPy's export for bfloat16
            return x.numpy if x.numpy.dtype.kind in "biufcmM" else x.tensor
        return land_dlpack(x)
    if kind == "capsule":
        from bridgeflow.bridge.foreign import land_arrow

        return land_arrow(x)
    if kind == "buffer":
        from bridgeflow.bridge.foreign import land_buffer

        return land_buffer(x)
    return x


def route(spec: ArraySpec, target: Target, **options: Any) -> Route:
    """What a crossing of a value described by `spec` will do, before any data moves.

    Args:
        spec: of the value, as `describe` gives it or as a plan foresees it.
        target: the kind wanted, `"numpy"`, `"torch"` or `"arrow"`.
        **options: those of `to_numpy`, `to_tensor` or `to_arrow`.

    Raises:
        NoRoute, CopyRefused: as the conversion would.

    >>> import numpy as np
    >>> plan = route(describe(np.zeros(3, ">f8")), "torch")
    >>> plan.action, plan.reason, plan.nbytes
    ('copy', 'byte-order', 24)
    """
    return find_route(spec, target, _with_defaults(target, options))


def _with_defaults(target: Target, raw: dict[str, Any]) -> Options:
    raw = {"writable": True, **raw} if target == "torch" else raw
    if target == "torch" and raw.get("device") is not None:
        raw["device"] = parse_device(raw["device"])
    return parse_options(**raw)


def _cross(x: Any, target: Target, options: Options) -> Any:
    """Describe, find the route, walk it, record it."""
    kind = kind_of(x)
    if kind is None and is_number_list(x):
        kind, landed = "array_like", cast(Any, read_list(x))
        spec = replace(describe_numpy(landed), kind=kind)
    elif kind is None:
        raise NoRoute("unknown", f"a {type(x).__name__} is not an array", _advice(x))
    else:
        landed = _land(x, kind)
        spec = _describe_landed(landed)
    found = find_route(spec, target, options)
    result = found.run(landed, options)
    if ACTIVE and (found.steps or kind != spec.kind):
        _record(found, spec if kind == spec.kind else replace(spec, kind=kind), result)
    if options.nulls == "mask" and (spec.kind == "arrow" or "masked" in spec.flags) and target != "arrow":
        return Masked(result, _mask_of(landed, spec, target, options))
    if spec.layout == "nested" and options.ragged == "pad" and target == "numpy":
        from bridgeflow.bridge.ragged import Padded

        return Padded(result, np.asarray([len(row) for row in landed.unbind()], np.int64))
    return result


def _mask_of(x: Any, spec: ArraySpec, target: Target, options: Options) -> Any:
    if spec.layout == "tensor":
        mask = np.zeros(x.shape, bool)
    elif spec.kind == "arrow":
        from bridgeflow.bridge.arrow_layout import null_mask, written_out

        mask = null_mask(written_out(x), spec)
    else:
        mask = ma.getmaskarray(x)
    return mask if target == "numpy" else to_tensor(mask, device=options.device)


def _record(found: Route, source: ArraySpec, result: Any) -> None:
    exchange = replace(found.exchange(), source=source)
    if exchange.nbytes is None:
        made = result if isinstance(result, list) else [result[0] if isinstance(result, tuple) else result]
        exchange = replace(exchange, nbytes=sum(_describe_landed(array).nbytes or 0 for array in made))
    record(exchange)


@overload
def to_numpy(
    x: Any,
    *,
    copy: Copy | bool | None = ...,
    grad: Grad = ...,
    bfloat16: Bfloat16 = ...,
    nulls: Literal["error", "nan"] | float = ...,
    ragged: Literal["error"] = ...,
    pad_value: float = ...,
    layout: Layout | None = ...,
    writable: bool | None = ...,
) -> np.ndarray[Any, Any]: ...
@overload
def to_numpy(
    x: Any,
    *,
    copy: Copy | bool | None = ...,
    grad: Grad = ...,
    bfloat16: Bfloat16 = ...,
    nulls: Literal["mask"],
    ragged: Literal["error"] = ...,
    pad_value: float = ...,
    layout: Layout | None = ...,
    writable: bool | None = ...,
) -> Masked: ...
@overload
def to_numpy(
    x: Any,
    *,
    copy: Copy | bool | None = ...,
    grad: Grad = ...,
    bfloat16: Bfloat16 = ...,
    nulls: Nulls | float = ...,
    ragged: Ragged = ...,
    pad_value: float = ...,
    layout: Layout | None = ...,
    writable: bool | None = ...,
) -> Any: ...
def to_numpy(
    x: Any,
    *,
    copy: Copy | bool | None = "auto",
    grad: Grad = "detach",
    bfloat16: Bfloat16 = "float32",
    nulls: Nulls | float = "error",
    ragged: Ragged = "error",
    pad_value: float = 0,
    layout: Layout | None = None,
    writable: bool | None = None,
) -> Any:
    """The value as an ndarray: a view of the same memory wherever that can be, its dtype kept.

    Args:
        x: a tensor on any device, an ndarray, an Arrow array, a PIL image, or an object with `__dlpack__`,
            `__arrow_c_array__` or `__arrow_c_stream__`, of any shape; an `array.array` or `memoryview`; and what has
            to be read first: lists of numbers, h5py datasets, zarr arrays.
        copy: `"auto"` copies only when needed, `"never"` shares or raises, `"always"` gives memory of its own; the
            array API's `None`, `False`, `True` mean the same.
        grad: `"detach"` a tensor that requires grad, or `"error"`. What NumPy does with the memory, autograd does not
            see.
        bfloat16: what bfloat16 and float8, which NumPy lacks, become: `"float32"` (exact, a copy), `"ml_dtypes"` (a
            view), `"uint16"` (the bits as unsigned integers, a view), or `"error"`.
        nulls: what Arrow nulls and masked elements become: `"error"`, `"nan"` (NaT for instants), a number to fill
            in, or `"mask"`, which returns `Masked(values, mask)`.
        ragged: what Arrow lists become: `"error"` unless all rows have one length, `"pad"` for `Padded(values,
            lengths)`, `"list"` for one view per row.
        pad_value: what `ragged="pad"` fills with.
        layout: axis order of a PIL image, `"HWC"` or `"CHW"`; required for those, without effect on other arrays.
        writable: `None` leaves the memory as it is (Arrow's is read-only); `True` copies what is read-only; `False`
            marks the result read-only.

    Returns:
        The ndarray, of the same dtype and shape; `Masked` or `Padded` where asked for; a list for `ragged="list"`.

    Raises:
        CopyRefused: `copy="never"`, and memory cannot be shared; names the reason and the remedy.
        NoRoute: NumPy has nothing that says the same (sparse layouts, meta tensors, text, nulls, ...).
        ValueError: an option's word is not one of its words.

    >>> import torch
    >>> t = torch.arange(3.0, requires_grad=True)
    >>> to_numpy(t)
    array([0., 1., 2.], dtype=float32)
    """
    torch = loaded("torch")
    if (
        torch is not None
        and (type(x) is torch.Tensor or type(x) is torch.nn.Parameter)
        and copy in ("auto", "never", None, False)
        and grad == "detach"
        and writable is None
        and not ACTIVE
        and bfloat16 in ("float32", "ml_dtypes", "uint16", "error")
        and nulls == "error"
        and ragged == "error"
        and layout is None
    ):
        try:
            array = (x.detach() if x.requires_grad else x).numpy()
        except (RuntimeError, TypeError, ValueError):
            pass
        else:
            # what Tensor.numpy() does not see: functionalised tensors, elements that overlap, storages that were shrunk
            item = array.itemsize
            span = array.nbytes if array.flags.c_contiguous else extent(array.shape, array.strides, item)
            if span and x.data_ptr() and x.untyped_storage().nbytes() - x.storage_offset() * item >= span:
                return array
    elif (
        (look := _ARROW_VIEWS.get(type(x))) is not None
        and copy in ("auto", "never", None, False)
        and grad == "detach"
        and writable is None
        and not ACTIVE
        and bfloat16 in ("float32", "ml_dtypes", "uint16", "error")
        and nulls == "error"
        and ragged == "error"
        and layout is None
        and (view := look(x)) is not None
    ):
        return view
    elif (
        type(x) is np.ndarray
        and copy in ("auto", "never", None, False)
        and grad == "detach"
        and writable is None
        and bfloat16 in ("float32", "ml_dtypes", "uint16", "error")
        and nulls == "error"
        and ragged == "error"
        and layout is None
        and x.dtype in _SHARED_NUMPY
    ):
        return x
    options = parse_options(
        copy=copy,
        grad=grad,
        bfloat16=bfloat16,
        nulls=nulls,
        ragged=ragged,
        pad_value=pad_value,
        layout=layout,
        writable=writable,
    )
    return _cross(x, "numpy", options)


_ARROW_VIEWS: dict[type, Callable[[Any], Any]] = {}
"""Classes of Arrow arrays that are one buffer of numbers, each with a look that gives the ndarray over it or, where
nulls or axes stand in the way, `None`; filled when the first Arrow array comes by.
"""
_SHARED_NUMPY = {np.dtype(name): name for name in SHARED_DTYPES}
_SHARED_TORCH: set[Any] = set()
"""torch's element types that NumPy and Arrow (as numbers or `pa.opaque`) hold bit for bit; filled when torch is first
seen.
"""


@overload
def to_tensor(
    x: Any,
    *,
    device: torch.device | str | None = ...,
    copy: Copy | bool | None = ...,
    nulls: Literal["error", "nan"] | float = ...,
    ragged: Literal["error", "jagged"] = ...,
    pad_value: float = ...,
    layout: Layout | None = ...,
    writable: bool = ...,
) -> torch.Tensor: ...
@overload
def to_tensor(
    x: Any,
    *,
    device: torch.device | str | None = ...,
    copy: Copy | bool | None = ...,
    nulls: Literal["mask"],
    ragged: Literal["error"] = ...,
    pad_value: float = ...,
    layout: Layout | None = ...,
    writable: bool = ...,
) -> Masked: ...
@overload
def to_tensor(
    x: Any,
    *,
    device: torch.device | str | None = ...,
    copy: Copy | bool | None = ...,
    nulls: Nulls | float = ...,
    ragged: Ragged = ...,
    pad_value: float = ...,
    layout: Layout | None = ...,
    writable: bool = ...,
) -> Any: ...
def to_tensor(
    x: Any,
    *,
    device: torch.device | str | None = None,
    copy: Copy | bool | None = "auto",
    nulls: Nulls | float = "error",
    ragged: Ragged = "error",
    pad_value: float = 0,
    layout: Layout | None = None,
    writable: bool = True,
) -> Any:
    """The value as a tensor: a view of the same memory wherever that can be, its dtype kept, its values never rescaled.

    Args:
        x: an ndarray, an Arrow array, a tensor, or whatever else `to_numpy` takes, of any shape.
        device: where the tensor shall live; `None` leaves it where the memory is.
        copy: `"auto"`, `"never"` or `"always"` (or `None`, `False`, `True`), as for `to_numpy`.
        nulls: as for `to_numpy`.
        ragged: as for `to_numpy`, and `"jagged"` for torch's nested layout over the same values.
        pad_value: what `ragged="pad"` fills with.
        layout: axis order of a PIL image, `"HWC"` or `"CHW"`; required for those, without effect on other arrays.
        writable: torch cannot mark a tensor read-only, and writing through one over read-only memory changes it or
            kills the process. `True` copies read-only memory (Arrow arrays, `np.load(mmap_mode="r")`); `False` is
            your promise not to
            write: shares, without a warning.

    Returns:
        The tensor; `Masked`, `Padded` or a list where asked for. Instants arrive as int64 ticks. A tensor stays the
        object it is unless `device` or `copy` ask for more; it keeps its graph.

    Raises:
        CopyRefused: `copy="never"`, and memory cannot be shared; names the reason and the remedy.
        NoRoute: torch has nothing that says the same (objects, text, structures, unmasked nulls, ...).
        ValueError: an option's word is not one of its words.

    >>> import numpy as np
    >>> x = np.zeros(3)
    >>> to_tensor(x)[0] = 7  # one memory, two faces
    >>> x
    array([7., 0., 0.])
    """
    if (
        type(x) is np.ndarray
        and device is None
        and copy in ("auto", "never", None, False)
        and writable in (True, False)
        and not ACTIVE
        and nulls == "error"
        and ragged == "error"
        and layout is None
    ):
        flags = x.flags
        try:
            tensor = None
            if flags.writeable and (flags.c_contiguous or 0 < extent(x.shape, x.strides, x.itemsize) < REACH):
                tensor = _from_numpy(x)
            elif not (flags.writeable or writable) and flags.c_contiguous:
                tensor = _from_dlpack(x)
            # complex numbers are copied by a rule where their address is not a multiple of their size
            if tensor is not None and not (tensor.is_complex() and tensor.data_ptr() % x.itemsize):
                return tensor
        except (TypeError, ValueError, BufferError):
            pass  # the table of routes knows why
    elif (
        writable in (True, False)
        and (look := _ARROW_VIEWS.get(type(x))) is not None
        and device is None
        and copy in ("auto", "never", None, False)
        and not ACTIVE
        and nulls == "error"
        and ragged == "error"
        and layout is None
        and (view := look(x)) is not None
        and (view.flags.writeable or not writable)
    ):
        return _from_dlpack(view)
    elif (
        (torch := loaded("torch")) is not None
        and (type(x) is torch.Tensor or type(x) is torch.nn.Parameter)
        and device is None
        and copy in ("auto", "never", None, False)
        and writable in (True, False)
        and nulls == "error"
        and ragged == "error"
        and layout is None
    ):
        return x
    options = _with_defaults(
        "torch",
        {
            "device": device,
            "copy": copy,
            "nulls": nulls,
            "ragged": ragged,
            "pad_value": pad_value,
            "layout": layout,
            "writable": writable,
        },
    )
    return _cross(x, "torch", options)


def _from_numpy(x: Any) -> torch.Tensor:
    """`torch.from_numpy`, after importing torch; replaces itself, so that only the first call looks for the module."""
    global _from_numpy
    _from_numpy = require("torch", needed_for="to_tensor").from_numpy
    return _from_numpy(x)


def _from_dlpack(x: Any) -> torch.Tensor:
    """torch's DLPack import, which says nothing of read-only memory; found once, like `_from_numpy`."""
    global _from_dlpack
    _from_dlpack = require("torch", needed_for="to_tensor").from_dlpack
    return _from_dlpack(x)


def to_arrow(
    x: Any, *, copy: Copy | bool | None = "auto", grad: Grad = "detach", layout: Layout | None = None
) -> pa.Array:
    """The value as an Arrow array over the same memory wherever that can be.

    One axis becomes a primitive array, more become a `FixedShapeTensorArray` of rows (`[B, ...]` is B rows); a 0-d
    value becomes a scalar. Complex, bfloat16, float8 and booleans with inner axes travel as `pa.opaque` over
    fixed-size lists, vendor "bridgeflow", and come back as they went; booleans of one axis as `pa.bool8`. NaT becomes
    null. A jagged tensor becomes a `large_list`.

    Args:
        x: a tensor on any device, an ndarray, an Arrow array, or whatever else `to_numpy` takes.
        copy: `"auto"`, `"never"` or `"always"` (or `None`, `False`, `True`), as for `to_numpy`.
        grad: `"detach"` a tensor that requires grad, or `"error"`.
        layout: axis order of a PIL image, `"HWC"` or `"CHW"`; required for those, without effect on other arrays.

    Returns:
        The array. Arrow takes its data to be immutable: writing to the source afterwards is seen through it.

    Raises:
        CopyRefused: `copy="never"`, and memory cannot be shared; names the reason and the remedy.
        NoRoute: Arrow has nothing that both sides read alike (text, objects, structures, sparse layouts, ...).
        ValueError: an option's word is not one of its words.

    >>> import numpy as np
    >>> to_arrow(np.zeros((4, 2, 100), "float32")).type
    FixedShapeTensorType(extension<arrow.fixed_shape_tensor[value_type=float, shape=[2,100]]>)
    """
    torch = loaded("torch")
    if copy in ("auto", "never", None, False) and grad == "detach" and not ACTIVE and layout is None:
        shared = torch is not None and type(x) is torch.Tensor and x.dtype in _SHARED_TORCH
        array = to_numpy(x, copy=copy) if shared else x
        if type(array) is np.ndarray and array.ndim and array.flags.c_contiguous:
            dtype = _SHARED_NUMPY.get(array.dtype)
            if dtype is not None:
                from bridgeflow.bridge.arrow_numpy import from_numpy

                return from_numpy(array, dtype)
    require("pyarrow", needed_for="to_arrow")
    if torch is not None and not _SHARED_TORCH:
        _SHARED_TORCH.update(getattr(torch, name) for name in SHARED_DTYPES)
    return _cross(x, "arrow", parse_options(copy=copy, grad=grad, layout=layout))


def like(result: Any, template: Any) -> Any:
    """`result`, an ndarray or a tensor, as the kind (and device) that `template` is: kind in = kind out, without a
    copy where that can be.

    >>> import numpy as np, pyarrow as pa
    >>> like(np.zeros(3), pa.array([1.0, 2.0])).type
    DataType(double)
    """
    kind = kind_of(template)
    if kind == "numpy" or kind is None:
        return to_numpy(result)
    if kind == "torch":
        return to_tensor(result, device=template.device)
    if kind in ("arrow", "capsule"):
        return to_arrow(result)
    return to_tensor(result) if kind == "dlpack" else to_numpy(result)
