"""The public crossings: `to_numpy`, `to_tensor`, `to_arrow`, `route`, `like`.

Each tries the fast path for plain memory (`fast_paths`), where no option asks for more than a view. Everything else is
described, its route looked up, and carried along that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypedDict, overload

import numpy as np
from numpy import ma

from bridgeflow._optional import require
from bridgeflow.bridge.devices import parse_device
from bridgeflow.bridge.fast_paths import ARROW_VIEWS, NUMPY_VIEWS, TENSOR_VIEWS
from bridgeflow.bridge.inputs import describe_received, receive
from bridgeflow.bridge.kinds import kind_of
from bridgeflow.bridge.routes import find_route
from bridgeflow.bridge.rules import Options, Route, Target, parse_options
from bridgeflow.bridge.tracing import ACTIVE, record
from bridgeflow.policy import Bfloat16, Copy, Grad, Layout, Nulls, Ragged, words
from bridgeflow.spec import ArraySpec

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from typing_extensions import Unpack

    from bridgeflow.bridge.ragged import Padded

__all__ = ["Masked", "like", "options_of", "route", "to_arrow", "to_numpy", "to_tensor"]


class Masked(NamedTuple):
    """Values with their nulls told apart: `mask` is True where `values` holds nothing real (a zero stands there)."""

    values: Any
    mask: Any


def route(spec: ArraySpec, target: Target, **options: Any) -> Route:
    """What a crossing of a value described by `spec` will do, before any data moves.

    Args:
        spec: of the value, as `describe` gives it or as a plan foresees it.
        target: the target kind, `"numpy"`, `"torch"` or `"arrow"`.
        **options: those of `to_numpy`, `to_tensor` or `to_arrow`.

    Raises:
        NoRoute, CopyRefused: as the conversion would.

    >>> import numpy as np
    >>> from bridgeflow.bridge import describe
    >>> plan = route(describe(np.zeros(3, ">f8")), "torch")
    >>> plan.action, plan.reason, plan.nbytes
    ('copy', 'byte-order', 24)
    """
    return find_route(spec, target, options_of(target, options))


def options_of(target: Target, raw: dict[str, Any]) -> Options:
    """The options of `to_numpy`, `to_tensor` or `to_arrow`, checked; what is missing has that function's default."""
    if target == "torch":
        raw = {"writable": True, **raw}
        if raw.get("device") is not None:
            raw["device"] = parse_device(raw["device"])
    return parse_options(**raw)


_BFLOAT16: Final = words(Bfloat16)
_SHARING: Final = ("auto", "never", None, False)
_TO_NUMPY: Final = Options()
_TO_TENSOR: Final = Options(writable=True)


def _only_defaults(copy: Any, grad: Any, nulls: Any, ragged: Any, layout: Any, pad_value: Any) -> bool:
    """Whether the options leave the value as it is, in any memory."""
    try:
        return bool(
            nulls == "error"
            and ragged == "error"
            and layout is None
            and grad == "detach"
            and pad_value == 0
            and copy in _SHARING
        )
    except ValueError:  # an array among them is neither equal nor unequal
        return False


def _cross(x: Any, target: Target, options: Options) -> Any:
    """Describe, find the route, walk it, record it."""
    values, kind, spec = receive(x)
    route = find_route(spec, target, options)
    result = route.run(values, options)
    if ACTIVE and (route.steps or kind != spec.kind):
        _record(route, spec if kind == spec.kind else replace(spec, kind=kind), result)
    if options.nulls == "mask" and (spec.kind == "arrow" or "masked" in spec.flags) and target != "arrow":
        return Masked(result, _mask_of(values, spec, target, options))
    if spec.layout == "nested" and options.ragged == "pad" and target == "numpy":
        from bridgeflow.bridge.ragged import Padded

        return Padded(result, np.asarray([len(row) for row in values.unbind()], np.int64))
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


def _record(route: Route, source: ArraySpec, result: Any) -> None:
    exchange = replace(route.exchange(), source=source)
    if exchange.nbytes is None:
        arrays = result if isinstance(result, list) else [result[0] if isinstance(result, tuple) else result]
        exchange = replace(exchange, nbytes=sum(describe_received(array).nbytes or 0 for array in arrays))
    record(exchange)


class _Common(TypedDict, total=False):
    copy: Copy | bool | None
    pad_value: float
    layout: Layout | None


class _NumpyOptions(_Common, total=False):
    grad: Grad
    bfloat16: Bfloat16
    writable: bool | None


class _TensorOptions(_Common, total=False):
    device: torch.device | str | None
    writable: bool


_Filled = Literal["error", "nan"] | float


@overload
def to_numpy(
    x: Any, *, nulls: _Filled = ..., ragged: Literal["error"] = ..., **options: Unpack[_NumpyOptions]
) -> np.ndarray[Any, Any]: ...
@overload
def to_numpy(
    x: Any, *, nulls: Literal["mask"], ragged: Literal["error"] = ..., **options: Unpack[_NumpyOptions]
) -> Masked: ...
@overload
def to_numpy(x: Any, *, nulls: _Filled = ..., ragged: Literal["pad"], **options: Unpack[_NumpyOptions]) -> Padded: ...
@overload
def to_numpy(x: Any, *, nulls: Nulls | float = ..., ragged: Ragged = ..., **options: Unpack[_NumpyOptions]) -> Any: ...
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
        nulls: what Arrow nulls and masked elements become: `"error"`, `"nan"` (NaT for datetimes), a number to fill
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
    defaults = writable is None and _only_defaults(copy, grad, nulls, ragged, layout, pad_value)
    if defaults and bfloat16 in _BFLOAT16 and not ACTIVE:
        array = NUMPY_VIEWS[type(x)](x)
        if array is not None:
            return array
    if defaults and copy == "auto" and bfloat16 == "float32":
        return _cross(x, "numpy", _TO_NUMPY)
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


@overload
def to_tensor(
    x: Any, *, nulls: _Filled = ..., ragged: Literal["error", "jagged"] = ..., **options: Unpack[_TensorOptions]
) -> torch.Tensor: ...
@overload
def to_tensor(
    x: Any, *, nulls: Literal["mask"], ragged: Literal["error"] = ..., **options: Unpack[_TensorOptions]
) -> Masked: ...
@overload
def to_tensor(x: Any, *, nulls: _Filled = ..., ragged: Literal["pad"], **options: Unpack[_TensorOptions]) -> Padded: ...
@overload
def to_tensor(
    x: Any, *, nulls: Nulls | float = ..., ragged: Ragged = ..., **options: Unpack[_TensorOptions]
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
        The tensor; `Masked`, `Padded` or a list where asked for. Datetimes arrive as int64 ticks. A tensor stays the
        object it is unless `device` or `copy` ask for more; it keeps its graph.

    Raises:
        CopyRefused: `copy="never"`, and memory cannot be shared; names the reason and the remedy.
        NoRoute: torch has nothing that says the same (objects, text, structures, unmasked nulls, ...).
        ValueError: an option's word is not one of its words.

    >>> import numpy as np
    >>> x = np.zeros(3)
    >>> to_tensor(x)[0] = 7  # one memory, two views
    >>> x
    array([7., 0., 0.])
    """
    defaults = device is None and _only_defaults(copy, "detach", nulls, ragged, layout, pad_value)
    if defaults and not ACTIVE and writable in (True, False):
        tensor = TENSOR_VIEWS[type(x)](x, writable)
        if tensor is not None:
            return tensor
    if defaults and copy == "auto" and writable is True:
        return _cross(x, "torch", _TO_TENSOR)
    raw = {"nulls": nulls, "ragged": ragged, "pad_value": pad_value, "layout": layout, "writable": writable}
    return _cross(x, "torch", options_of("torch", {"device": device, "copy": copy, **raw}))


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
    if _only_defaults(copy, grad, "error", "error", layout, 0) and not ACTIVE:
        array = ARROW_VIEWS[type(x)](x)
        if array is not None:
            return array
    require("pyarrow", needed_for="to_arrow")
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
