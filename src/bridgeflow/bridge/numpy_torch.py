"""NumPy <-> torch, both directions: the rules of the crossing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ma

from bridgeflow._optional import require
from bridgeflow.bridge.descriptions import has_tangent
from bridgeflow.bridge.dtypes import CARRIED, HALF_TYPES, SHARED_DTYPES, fill_value
from bridgeflow.bridge.rules import (
    Options,
    as_kind,
    copies,
    has,
    has_layout,
    is_kind,
    refuse,
    views,
    without,
)
from bridgeflow.errors import NoRoute, printable
from bridgeflow.spec import ArraySpec

if TYPE_CHECKING:
    import torch

__all__ = [
    "EMPTY_STORAGE",
    "NUMPY_TO_NUMPY",
    "NUMPY_TO_TORCH",
    "QUANTISED",
    "TORCH_TO_NUMPY",
    "UNALIGNED",
]


def _lowered(spec: ArraySpec, _options: Options) -> ArraySpec:
    """torch's strided CPU tensor as an ndarray over the same bytes."""
    return as_kind(spec, "numpy", flags=spec.flags & {"overlap", "non-contiguous"})


def _bits(t: torch.Tensor) -> Any:
    import torch

    return t.view(torch.uint16 if t.element_size() == 2 else torch.uint8).numpy()


def _resolved(t: torch.Tensor, _spec: ArraySpec, _options: Options) -> torch.Tensor:
    """What the conj and neg bits stand for, written out in C order: resolve_conj() would keep the strides."""
    import torch

    return torch.empty(t.shape, dtype=t.dtype).copy_(t)


def _widened_complex(t: torch.Tensor, _spec: ArraySpec, _options: Options) -> torch.Tensor:
    import torch

    return t.to(torch.complex64, memory_format=torch.contiguous_format)


def _guard_overlap(x: Any, _spec: ArraySpec, _options: Options) -> Any:
    x.flags.writeable = False
    return x


def _sub_byte(spec: ArraySpec, _options: Options) -> bool:
    return spec.dtype.startswith(("bits", "float4", *QUANTISED)) or spec.dtype in _SUB_BYTE


QUANTISED = ("qint", "quint")
_SUB_BYTE = frozenset({"bit", *(f"{sign}int{n}" for sign in ("", "u") for n in range(1, 8))})

EMPTY_STORAGE = refuse(
    "empty-storage",
    "the tensor's storage was shrunk (untyped_storage().resize_) and no longer covers its shape",
    "resize the storage back and fill it before converting",
)
UNALIGNED = refuse(
    "unaligned",
    "the tensor of {spec.dtype} begins at an address that is not a multiple of its size, where torch cannot read it",
    "torch.from_numpy(np.array(t.detach())) copies it without torch, or make it from aligned memory",
)

TORCH_TO_NUMPY = (
    refuse(
        "functional",
        "the tensor is a torch.func wrapper (vmap, grad, jvp, functionalize): it stands for no single array",
        "leave the transformed function first, and convert its result",
    ),
    refuse(
        "no-data",
        "the tensor has no data (meta, fake, uninitialised, or a wrapper subclass)",
        "materialise it first: create it on a real device, or take a wrapper's inner tensor (DTensor.to_local())",
        when=lambda s, o: "no-data" in s.flags or s.device == "meta",
    ),
    refuse(
        "subclass",
        "the tensor's class decides in __torch_dispatch__ what its memory means",
        "take the plain tensor out of it the way its class provides",
        when=has("dispatch"),
    ),
    refuse(
        "sub-byte",
        "NumPy has no counterpart of torch.{spec.dtype}, and its raw bytes are not its values",
        "dequantize() or int_repr() for quantised tensors; .view(torch.uint8) for the raw bytes",
        when=_sub_byte,
        reason="dtype",
    ),
    EMPTY_STORAGE,
    replace(UNALIGNED, when=lambda s, o: "unaligned" in s.flags and not s.flags.isdisjoint({"conj", "neg"})),
    refuse(
        "grad-error",
        'the tensor requires grad, and grad="error"',
        'pass grad="detach", or detach() it yourself: what NumPy does with it is invisible to autograd',
        when=lambda s, o: "grad" in s.flags and o.grad == "error",
        reason="grad",
    ),
    refuse(
        "sparse",
        "a {spec.layout} tensor is several arrays, not one",
        "to_dense() it, or convert its parts: values(), indices() or crow_indices() and col_indices()",
        when=lambda s, o: s.layout.startswith("sparse"),
        reason="layout",
    ),
    views(
        "grad",
        "detached: the same memory outside the autograd graph",
        then=without("grad"),
        apply=lambda t, s, o: _detach(t),
    ),
    copies(
        "nested-pad",
        "rows of unequal length are padded to the longest",
        'make it with layout=torch.jagged, whose rows ragged="list" shares',
        when=lambda s, o: s.layout == "nested" and o.ragged == "pad",
        reason="ragged",
        then=lambda s, o: s.fresh(kind="torch", layout="strided"),
        apply=lambda t, s, o: _padded(t, o),
    ),
    refuse(
        "nested",
        "a nested tensor has rows of unequal length, and an array has not",
        'pass ragged="pad" or ragged="list" to to_numpy(), or unbind() and convert each row',
        when=lambda s, o: s.layout in {"jagged", "nested"},
        reason="ragged",
    ),
    copies(
        "mkldnn",
        "oneDNN's opaque layout has to be rewritten as a strided one",
        when=has_layout("mkldnn"),
        reason="layout",
        then=lambda s, o: s.fresh(layout="strided"),
        apply=lambda t, s, o: t.to_dense(),
    ),
    copies(
        "device",
        "the tensor lives on {spec.device}, NumPy on the CPU",
        "move it yourself with .cpu(), once for a whole batch",
        when=lambda s, o: s.device != "cpu",
        then=lambda s, o: replace(s, device="cpu", flags=s.flags - {"overlap"}),
        apply=lambda t, s, o: t.cpu(),
        action="move",
    ),
    copies(
        "zero-tensor",
        "a ZeroTensor has a shape and no memory; its zeros have to be written",
        reason="no-data",
        apply=lambda t, s, o: _zeros_like(t),
    ),
    copies(
        "conj",
        "the conj bit says that the memory holds the conjugates of the values",
        "call resolve_conj() once, where the tensor is created",
        reason="conj-bit",
        apply=_resolved,
    ),
    copies(
        "neg",
        "the neg bit says that the memory holds the values with the other sign",
        "call resolve_neg() once, where the tensor is created",
        reason="neg-bit",
        apply=_resolved,
    ),
    refuse(
        "rank",
        "NumPy has at most 64 axes, this has {spec.ndim}",
        "reshape() it",
        when=lambda s, o: s.ndim > 64,
        reason="layout",
    ),
    refuse(
        "complex32-error",
        "NumPy has no counterpart of torch.complex32",
        'pass bfloat16="float32" (widens to complex64, exactly), or torch.view_as_real(t)',
        when=lambda s, o: s.dtype == "complex32" and o.bfloat16 != "float32",
        reason="dtype",
    ),
    copies(
        "complex32",
        "NumPy has no complex32; widened to complex64, exactly",
        "torch.view_as_real(t) shares as float16[..., 2]",
        when=lambda s, o: s.dtype == "complex32",
        reason="dtype",
        then=lambda s, o: s.fresh(dtype="complex64"),
        apply=_widened_complex,
    ),
    views(
        "bits",
        "NumPy has no {spec.dtype}: its bits, as an unsigned integer view",
        when=lambda s, o: s.dtype in CARRIED,
        then=_lowered,
        apply=lambda t, s, o: _bits(t),
    ),
    views(
        "share",
        "Tensor.numpy(): the same memory",
        when=is_kind("torch"),
        then=_lowered,
        apply=lambda t, s, o: t.numpy(),
    ),
    copies(
        "overlap-copy",
        "elements of the expanded or windowed view share memory: a write to one would change others",
        when=lambda s, o: "overlap" in s.flags and o.writable is True,
        reason="overlap",
    ),
    views(
        "overlap",
        "elements of the expanded or windowed view share memory: marked read-only",
        then=lambda s, o: replace(s, writable=False),
        apply=_guard_overlap,
    ),
)


def _detach(t: torch.Tensor) -> torch.Tensor:
    if has_tangent(t):
        t = require("torch.autograd.forward_ad", needed_for="a dual tensor").unpack_dual(t).primal
    return t.detach()


def _zeros_like(t: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.zeros(t.shape, dtype=t.dtype)


def _padded(t: torch.Tensor, options: Options) -> torch.Tensor:
    import torch

    try:
        padded: torch.Tensor = torch.nested.to_padded_tensor(t, options.pad_value)
    except RuntimeError as error:
        what = f"torch cannot pad this nested tensor ({printable(str(error), 120)})"
        raise NoRoute("ragged", what, "unbind() it and convert each row") from error
    return padded


def _fill_masked(x: Any, spec: ArraySpec, options: Options) -> Any:
    values = np.array(x.data, order="C", dtype=x.dtype.newbyteorder("="))
    values[ma.getmaskarray(x)] = fill_value(spec.dtype, options.nulls)
    return values


def _fits(spec: ArraySpec, options: Options) -> bool:
    """Whether the fill asked for exists in the element type."""
    return "no-number" not in spec.flags and fill_value(spec.dtype, options.nulls) is not None


def _as_tensor(x: Any) -> torch.Tensor:
    """The same memory as a tensor; the rules have checked that it can be.

    `from_numpy` warns of read-only arrays (once per process), which DLPack does not. Both refuse negative and odd
    strides even on axes of length 1.
    """
    import torch

    if x.dtype.char == "Q":  # unsigned long long: uint64 under a name that torch does not know
        x = x.view(np.uint64)
    item, writable = x.itemsize, x.flags.writeable
    if any(s < 0 or s % item for s in x.strides):
        strides = tuple(s if n > 1 and x.size else item for s, n in zip(x.strides, x.shape, strict=True))
        x = np.lib.stride_tricks.as_strided(x, strides=strides, writeable=writable)
    tensor: torch.Tensor = torch.from_numpy(x) if writable else torch.utils.dlpack.from_dlpack(x)
    return tensor


def _carried_tensor(x: Any, spec: ArraySpec, _options: Options) -> torch.Tensor:
    import torch

    tensor: torch.Tensor = _as_tensor(x.view(HALF_TYPES[spec.dtype])).view(getattr(torch, spec.dtype))
    return tensor


def _raised(spec: ArraySpec, _options: Options) -> ArraySpec:
    return as_kind(spec, "torch", writable=True, flags=spec.flags & {"overlap", "non-contiguous"}, null_count=0)


def _is_masked(spec: ArraySpec, _options: Options) -> bool:
    return "masked" in spec.flags


MASKED_CLEAN = views(
    "masked-clean",
    "a masked array without masked elements: its data",
    when=lambda s, o: _is_masked(s, o) and not s.null_count,
    then=without("masked", "subclass"),
    apply=lambda x, s, o: np.asarray(x.data),
)

_MASKED = (
    MASKED_CLEAN,
    copies(
        "masked-fill",
        "masked elements are filled in",
        when=lambda s, o: _is_masked(s, o) and _fits(s, o),
        reason="masked",
        then=lambda s, o: s.fresh(null_count=0),
        apply=_fill_masked,
    ),
    refuse(
        "masked",
        "{spec.null_count} elements are masked, and the mask would be lost",
        'pass nulls="mask" for (values, mask), or a value that its dtype holds (nulls="nan" for floats)',
        when=_is_masked,
    ),
)

BEYOND = refuse(
    "beyond",
    "the strides lead beyond all memory: as_strided() was called with wrong numbers",
    "create it by slicing, or by sliding_window_view()",
    reason="layout",
)
BYTE_ORDER = copies(
    "byte-order",
    "the array is stored in the other byte order than this machine's",
    "x.astype(x.dtype.newbyteorder('=')), once, where it is read",
    then=lambda s, o: s.fresh(flags=s.flags & {"masked"}),
    apply=lambda x, s, o: x.astype(x.dtype.newbyteorder("="), order="C"),
)
SCALAR = copies(
    "scalar",
    "a NumPy scalar is a value, not memory: it becomes a 0-d array",
    reason="zero-dim",
)

NUMPY_TO_TORCH = (
    BEYOND,
    *_MASKED,
    refuse(
        "no-number",
        "torch has no tensors of {spec.dtype} (objects, text, structures)",
        "take one numeric field of a structured array (x['field']), or convert the values to numbers first",
        when=lambda s, o: s.kind == "numpy" and ("no-number" in s.flags),
        reason="dtype",
    ),
    BYTE_ORDER,
    views(
        "datetimes",
        "torch has no dates: the int64 ticks of {spec.dtype}, NaT being the smallest",
        when=lambda s, o: s.dtype.startswith(("datetime64", "timedelta64")),
        then=lambda s, o: replace(s, dtype="int64"),
        apply=lambda x, s, o: x.view(np.int64),
    ),
    refuse(
        "dtype",
        "torch has no {spec.dtype}",
        "choose what to lose: x.astype('float64'), say",
        when=lambda s, o: s.kind == "numpy" and s.dtype not in SHARED_DTYPES and s.dtype not in CARRIED,
    ),
    copies(
        "negative-stride",
        "torch does not support the negative strides of the array",
        'pass copy="auto", or np.ascontiguousarray(x)',
    ),
    copies(
        "odd-stride",
        "the strides are not a multiple of the element size, and torch counts in elements",
        'pass copy="auto", or np.ascontiguousarray(x)',
    ),
    copies(
        "unaligned",
        "{spec.dtype} begins at an address that is not a multiple of its size, where torch cannot read it",
        'pass copy="auto", or np.array(x)',
    ),
    copies(
        "read-only",
        "the memory is read-only, and torch cannot mark a tensor so: a write would change it, or kill the process",
        "writable=False is your promise not to write, and shares",
        when=lambda s, o: not s.writable and s.kind == "numpy" and o.writable is not False,
    ),
    copies(
        "overlap-copy",
        "elements of the broadcast or windowed view share memory: a write to one would change others",
        "writable=False is your promise not to write, and shares",
        when=lambda s, o: s.kind == "numpy" and "overlap" in s.flags and o.writable is not False,
        reason="overlap",
    ),
    views(
        "promised",
        "writable=False: read-only memory, shared on the caller's promise not to write",
        when=lambda s, o: s.kind == "numpy" and not s.writable,
    ),
    SCALAR,
    views(
        "carried",
        "the same bits, typed as torch.{spec.dtype}",
        when=lambda s, o: s.kind == "numpy" and s.dtype in CARRIED,
        then=_raised,
        apply=_carried_tensor,
    ),
    views(
        "share",
        "torch.from_numpy: the same memory",
        when=is_kind("numpy"),
        then=_raised,
        apply=lambda x, s, o: _as_tensor(np.asarray(x)),
    ),
)

NUMPY_TO_NUMPY = (
    replace(
        BEYOND,
        when=lambda s, o: "beyond" in s.flags and ("masked" in s.flags or o.copy == "always" or o.writable is True),
    ),
    *_MASKED,
    SCALAR,
    views(
        "base-class",
        "the plain ndarray under a subclass",
        when=lambda s, o: "subclass" in s.flags and "masked" not in s.flags,
        then=without("subclass"),
        apply=lambda x, s, o: np.asarray(x),
    ),
)
