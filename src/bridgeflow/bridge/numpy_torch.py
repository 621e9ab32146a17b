"""NumPy <-> torch, both directions: the rules of the crossing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ma

from bridgeflow._optional import require
from bridgeflow.bridge.descriptions import has_tangent
from bridgeflow.bridge.dtypes import CARRIED, HALF_TYPES, SHARED_DTYPES, fill_value
from bridgeflow.bridge.rules import Options, Rule, as_kind
from bridgeflow.spec import ArraySpec

if TYPE_CHECKING:
    import torch

__all__ = [
    "FINISH_NUMPY",
    "FINISH_TORCH",
    "HALF_TO_NUMPY",
    "NUMPY_TO_NUMPY",
    "NUMPY_TO_TORCH",
    "TORCH_TO_NUMPY",
]


def _fresh(spec: ArraySpec, _options: Options) -> ArraySpec:
    return spec.fresh()


def _without(*flags: str) -> Any:
    return lambda spec, _options: replace(spec, flags=spec.flags - set(flags))


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
    return spec.dtype.startswith(("bits", "qint", "quint", "float4")) or spec.dtype in _SUB_BYTE


_SUB_BYTE = frozenset({"bit", *(f"{sign}int{n}" for sign in ("", "u") for n in range(1, 8))})

TORCH_TO_NUMPY = (
    Rule(
        name="functional",
        when=lambda s, o: "functional" in s.flags,
        action="refuse",
        reason="functional",
        says="the tensor is a torch.func wrapper (vmap, grad, jvp, functionalize): there is no one array behind it",
        remedy="leave the transformed function first, and convert its result",
    ),
    Rule(
        name="no-data",
        when=lambda s, o: "no-data" in s.flags or s.device == "meta",
        action="refuse",
        reason="no-data",
        says="the tensor has no data (meta, fake, uninitialised, or a wrapper subclass)",
        remedy="materialise it first: make it on a real device, or take a wrapper's inner tensor (DTensor.to_local())",
    ),
    Rule(
        name="subclass",
        when=lambda s, o: "dispatch" in s.flags,
        action="refuse",
        reason="subclass",
        says="the tensor's class decides in __torch_dispatch__ what its memory means",
        remedy="take the plain tensor out of it the way its class provides",
    ),
    Rule(
        name="sub-byte",
        when=_sub_byte,
        action="refuse",
        reason="dtype",
        says="NumPy has no counterpart of torch.{spec.dtype}, and its raw bytes are not its values",
        remedy="dequantize() or int_repr() for quantised tensors; .view(torch.uint8) for the raw bytes",
    ),
    Rule(
        name="empty-storage",
        when=lambda s, o: "empty-storage" in s.flags,
        action="refuse",
        reason="empty-storage",
        says="the tensor's storage was shrunk (untyped_storage().resize_) and no longer covers its shape",
        remedy="resize the storage back and fill it before converting",
    ),
    Rule(
        name="grad-error",
        when=lambda s, o: "grad" in s.flags and o.grad == "error",
        action="refuse",
        reason="grad",
        says='the tensor requires grad, and grad="error"',
        remedy='pass grad="detach", or detach() it yourself: what NumPy does with it is invisible to autograd',
    ),
    Rule(
        name="sparse",
        when=lambda s, o: s.layout.startswith("sparse"),
        action="refuse",
        reason="layout",
        says="a {spec.layout} tensor is several arrays, not one",
        remedy="to_dense() it, or convert its parts: values(), indices() or crow_indices() and col_indices()",
    ),
    Rule(
        name="grad",
        when=lambda s, o: "grad" in s.flags,
        says="detached: the same memory outside the autograd graph",
        then=_without("grad"),
        apply=lambda t, s, o: _detach(t),
    ),
    Rule(
        name="nested-pad",
        when=lambda s, o: s.layout == "nested" and o.ragged == "pad",
        action="copy",
        reason="ragged",
        says="rows of unequal length are padded to the longest",
        remedy='make it with layout=torch.jagged, whose rows ragged="list" shares',
        then=lambda s, o: s.fresh(kind="torch", layout="strided"),
        apply=lambda t, s, o: _padded(t, o),
    ),
    Rule(
        name="nested",
        when=lambda s, o: s.layout in {"jagged", "nested"},
        action="refuse",
        reason="ragged",
        says="a nested tensor has rows of unequal length, and an array has not",
        remedy='pass ragged="pad" or ragged="list" to to_numpy(), or unbind() and convert each row',
    ),
    Rule(
        name="mkldnn",
        when=lambda s, o: s.layout == "mkldnn",
        action="copy",
        reason="layout",
        says="oneDNN's opaque layout has to be rewritten as a strided one",
        then=lambda s, o: s.fresh(layout="strided"),
        apply=lambda t, s, o: t.to_dense(),
    ),
    Rule(
        name="device",
        when=lambda s, o: s.device != "cpu",
        action="move",
        reason="device",
        says="the tensor lives on {spec.device}, NumPy on the CPU",
        remedy="move it yourself with .cpu(), once for a whole batch",
        then=lambda s, o: replace(s, device="cpu", flags=s.flags - {"overlap"}),
        apply=lambda t, s, o: t.cpu(),
    ),
    Rule(
        name="zero-tensor",
        when=lambda s, o: "zero-tensor" in s.flags,
        action="copy",
        reason="no-data",
        says="a ZeroTensor has a shape and no memory; its zeros have to be written",
        then=_fresh,
        apply=lambda t, s, o: _zeros_like(t),
    ),
    Rule(
        name="conj",
        when=lambda s, o: "conj" in s.flags,
        action="copy",
        reason="conj-bit",
        says="the conj bit says that the memory holds the conjugates of the values",
        remedy="resolve_conj() it once, where it is made",
        then=_fresh,
        apply=_resolved,
    ),
    Rule(
        name="neg",
        when=lambda s, o: "neg" in s.flags,
        action="copy",
        reason="neg-bit",
        says="the neg bit says that the memory holds the values with the other sign",
        remedy="resolve_neg() it once, where it is made",
        then=_fresh,
        apply=_resolved,
    ),
    Rule(
        name="rank",
        when=lambda s, o: s.ndim > 64,
        action="refuse",
        reason="layout",
        says="NumPy has at most 64 axes, this has {spec.ndim}",
        remedy="reshape() it",
    ),
    Rule(
        name="complex32-error",
        when=lambda s, o: s.dtype == "complex32" and o.bfloat16 != "float32",
        action="refuse",
        reason="dtype",
        says="NumPy has no counterpart of torch.complex32",
        remedy='pass bfloat16="float32" (widens to complex64, exactly), or torch.view_as_real(t)',
    ),
    Rule(
        name="complex32",
        when=lambda s, o: s.dtype == "complex32",
        action="copy",
        reason="dtype",
        says="NumPy has no complex32; widened to complex64, exactly",
        remedy="torch.view_as_real(t) shares as float16[..., 2]",
        then=lambda s, o: s.fresh(dtype="complex64"),
        apply=_widened_complex,
    ),
    Rule(
        name="bits",
        when=lambda s, o: s.dtype in CARRIED,
        says="NumPy has no {spec.dtype}: its bits, as an unsigned integer view",
        then=_lowered,
        apply=lambda t, s, o: _bits(t),
    ),
    Rule(
        name="share",
        when=lambda s, o: s.kind == "torch",
        says="Tensor.numpy(): the same memory",
        then=_lowered,
        apply=lambda t, s, o: t.numpy(),
    ),
    Rule(
        name="overlap-copy",
        when=lambda s, o: "overlap" in s.flags and o.writable is True,
        action="copy",
        reason="overlap",
        says="elements of the expanded or windowed view share memory: a write to one would change others",
        then=_fresh,
        apply=lambda x, s, o: np.array(x, order="C"),
    ),
    Rule(
        name="overlap",
        when=lambda s, o: "overlap" in s.flags,
        says="elements of the expanded or windowed view share memory: marked read-only",
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

    padded: torch.Tensor = torch.nested.to_padded_tensor(t, options.pad_value)
    return padded


def _is_half(spec: ArraySpec, _options: Options) -> bool:
    return spec.dtype in CARRIED


def _as_ml_dtypes(x: Any, spec: ArraySpec, _options: Options) -> Any:
    ml_dtypes = require("ml_dtypes", needed_for=f'bfloat16="ml_dtypes" for {spec.dtype}')
    return x.view(getattr(ml_dtypes, spec.dtype))


def _widened(x: Any, spec: ArraySpec, _options: Options) -> Any:
    """Every bfloat16 and float8 value is a float32; bfloat16 is its upper half."""
    if spec.dtype == "bfloat16":
        return np.left_shift(x.view(np.uint16), 16, dtype=np.uint32, out=np.empty(x.shape, np.uint32)).view(np.float32)
    return np.asarray(np.take(_float8_values(spec.dtype), x.view(np.uint8)))


@cache
def _float8_values(dtype: str) -> Any:
    """The 256 values of a float8 type as float32, as torch decodes them."""
    import torch

    codes = torch.arange(256, dtype=torch.uint8).view(getattr(torch, dtype))
    return codes.to(torch.float32).numpy()


HALF_TO_NUMPY = (
    Rule(
        name="half-error",
        when=lambda s, o: _is_half(s, o) and o.bfloat16 == "error",
        action="refuse",
        reason="dtype",
        says='NumPy has no {spec.dtype}, and bfloat16="error"',
        remedy='bfloat16="float32" widens exactly, "ml_dtypes" and "uint16" share',
    ),
    Rule(
        name="half-ml_dtypes",
        when=lambda s, o: _is_half(s, o) and o.bfloat16 == "ml_dtypes",
        says="the bits, typed by the package ml_dtypes",
        apply=_as_ml_dtypes,
    ),
    Rule(
        name="half-bits",
        when=lambda s, o: _is_half(s, o) and o.bfloat16 == "uint16",
        says="the bits, as an unsigned integer",
        then=lambda s, o: replace(s, dtype=np.dtype(HALF_TYPES[s.dtype]).name),
        apply=lambda x, s, o: x.view(HALF_TYPES[s.dtype]),
    ),
    Rule(
        name="half-float32",
        when=lambda s, o: _is_half(s, o) and o.bfloat16 == "float32",
        action="copy",
        reason="dtype",
        says="NumPy has no {spec.dtype}; widened to float32, exactly",
        remedy='bfloat16="ml_dtypes" or bfloat16="uint16" shares the bits',
        then=lambda s, o: s.fresh(dtype="float32"),
        apply=_widened,
    ),
)


def _fill_masked(x: Any, spec: ArraySpec, options: Options) -> Any:
    values = np.array(x.data, order="C", dtype=x.dtype.newbyteorder("="))
    values[ma.getmaskarray(x)] = fill_value(spec.dtype, options.nulls)
    return values


def _fits(spec: ArraySpec, options: Options) -> bool:
    """Whether the fill asked for exists in the element type."""
    return "no-number" not in spec.flags and fill_value(spec.dtype, options.nulls) is not None


def _as_tensor(x: Any) -> torch.Tensor:
    """The same memory as a tensor; the rules have made sure that it can be.

    `from_numpy` warns of read-only arrays (once per process) and refuses a negative stride even on an axis of length 1;
    DLPack does neither.
    """
    import torch

    plain = x.flags.writeable and all(s >= 0 for s in x.strides)
    tensor: torch.Tensor = torch.from_numpy(x) if plain else torch.utils.dlpack.from_dlpack(x)
    return tensor


def _carried_tensor(x: Any, spec: ArraySpec, _options: Options) -> torch.Tensor:
    import torch

    tensor: torch.Tensor = _as_tensor(x.view(HALF_TYPES[spec.dtype])).view(getattr(torch, spec.dtype))
    return tensor


def _raised(spec: ArraySpec, _options: Options) -> ArraySpec:
    return as_kind(spec, "torch", writable=True, flags=spec.flags & {"overlap", "non-contiguous"}, null_count=0)


def _is_masked(spec: ArraySpec, _options: Options) -> bool:
    return "masked" in spec.flags


MASKED_CLEAN = Rule(
    name="masked-clean",
    when=lambda s, o: _is_masked(s, o) and not s.null_count,
    says="a masked array without masked elements: its data",
    then=_without("masked", "subclass"),
    apply=lambda x, s, o: np.asarray(x.data),
)

_MASKED = (
    MASKED_CLEAN,
    Rule(
        name="masked-fill",
        when=lambda s, o: _is_masked(s, o) and _fits(s, o),
        action="copy",
        reason="masked",
        says="masked elements are filled in",
        then=lambda s, o: s.fresh(null_count=0),
        apply=_fill_masked,
    ),
    Rule(
        name="masked",
        when=_is_masked,
        action="refuse",
        reason="masked",
        says="{spec.null_count} elements are masked, and the mask would be lost",
        remedy='pass nulls="mask" for (values, mask), or a value that its dtype holds (nulls="nan" for floats)',
    ),
)

BEYOND = Rule(
    name="beyond",
    when=lambda s, o: "beyond" in s.flags,
    action="refuse",
    reason="layout",
    says="the strides lead beyond any memory there can be: the array was made by as_strided() from wrong numbers",
    remedy="make it with slicing, or sliding_window_view()",
)

NUMPY_TO_TORCH = (
    *_MASKED,
    Rule(
        name="no-number",
        when=lambda s, o: s.kind == "numpy" and ("no-number" in s.flags),
        action="refuse",
        reason="dtype",
        says="torch has no tensors of {spec.dtype} (objects, text, structures)",
        remedy="take one numeric field of a structured array (x['field']), or convert the values to numbers first",
    ),
    BEYOND,
    Rule(
        name="byte-order",
        when=lambda s, o: "byte-order" in s.flags,
        action="copy",
        reason="byte-order",
        says="the array is stored in the other byte order than this machine's",
        remedy="x.astype(x.dtype.newbyteorder('=')), once, where it is read",
        then=_fresh,
        apply=lambda x, s, o: x.astype(x.dtype.newbyteorder("="), order="C"),
    ),
    Rule(
        name="instants",
        when=lambda s, o: s.dtype.startswith(("datetime64", "timedelta64")),
        says="torch has no dates: the int64 ticks of {spec.dtype}, NaT being the smallest",
        then=lambda s, o: replace(s, dtype="int64"),
        apply=lambda x, s, o: x.view(np.int64),
    ),
    Rule(
        name="dtype",
        when=lambda s, o: s.kind == "numpy" and s.dtype not in SHARED_DTYPES and s.dtype not in CARRIED,
        action="refuse",
        reason="dtype",
        says="torch has no {spec.dtype}",
        remedy="choose what to lose: x.astype('float64'), say",
    ),
    Rule(
        name="negative-stride",
        when=lambda s, o: "negative-stride" in s.flags,
        action="copy",
        reason="negative-stride",
        says="the array has negative strides and torch has none",
        remedy='pass copy="auto", or np.ascontiguousarray(x)',
        then=_fresh,
        apply=lambda x, s, o: np.array(x, order="C"),
    ),
    Rule(
        name="odd-stride",
        when=lambda s, o: "odd-stride" in s.flags,
        action="copy",
        reason="odd-stride",
        says="the strides are not a multiple of the element size, and torch counts in elements",
        remedy='pass copy="auto", or np.ascontiguousarray(x)',
        then=_fresh,
        apply=lambda x, s, o: np.array(x, order="C"),
    ),
    Rule(
        name="unaligned",
        when=lambda s, o: "unaligned" in s.flags,
        action="copy",
        reason="unaligned",
        says="{spec.dtype} begins at an address that is not a multiple of its size, where torch cannot read it",
        remedy='pass copy="auto", or np.array(x)',
        then=_fresh,
        apply=lambda x, s, o: np.array(x, order="C"),
    ),
    Rule(
        name="read-only",
        when=lambda s, o: not s.writable and s.kind == "numpy" and o.writable is not False,
        action="copy",
        reason="read-only",
        says="the memory is read-only, and torch cannot mark a tensor so: a write would change it, or kill the process",
        remedy="writable=False is your promise not to write, and shares",
        then=_fresh,
        apply=lambda x, s, o: np.array(x, order="C"),
    ),
    Rule(
        name="overlap-copy",
        when=lambda s, o: s.kind == "numpy" and "overlap" in s.flags and o.writable is not False,
        action="copy",
        reason="overlap",
        says="elements of the broadcast or windowed view share memory: a write to one would change others",
        remedy="writable=False is your promise not to write, and shares",
        then=_fresh,
        apply=lambda x, s, o: np.array(x, order="C"),
    ),
    Rule(
        name="promised",
        when=lambda s, o: s.kind == "numpy" and not s.writable,
        says="writable=False: read-only memory, shared on the caller's promise not to write",
    ),
    Rule(
        name="ulonglong",
        when=lambda s, o: "ulonglong" in s.flags,
        says="unsigned long long is uint64 by another name",
        then=_without("ulonglong"),
        apply=lambda x, s, o: np.asarray(x).view(np.uint64),
    ),
    Rule(
        name="scalar",
        when=lambda s, o: "scalar" in s.flags,
        action="copy",
        reason="zero-dim",
        says="a NumPy scalar is a value, not memory: a 0-d array is made of it",
        then=_fresh,
        apply=lambda x, s, o: np.array(x),
    ),
    Rule(
        name="carried",
        when=lambda s, o: s.kind == "numpy" and s.dtype in CARRIED,
        says="the same bits, typed as torch.{spec.dtype}",
        then=_raised,
        apply=_carried_tensor,
    ),
    Rule(
        name="share",
        when=lambda s, o: s.kind == "numpy",
        says="torch.from_numpy: the same memory",
        then=_raised,
        apply=lambda x, s, o: _as_tensor(np.asarray(x)),
    ),
)

NUMPY_TO_NUMPY = (
    *_MASKED,
    Rule(
        name="scalar",
        when=lambda s, o: "scalar" in s.flags,
        action="copy",
        reason="zero-dim",
        says="a NumPy scalar is a value, not memory: a 0-d array is made of it",
        then=_fresh,
        apply=lambda x, s, o: np.array(x),
    ),
    Rule(
        name="base-class",
        when=lambda s, o: "subclass" in s.flags and "masked" not in s.flags,
        says="the plain ndarray under a subclass",
        then=_without("subclass"),
        apply=lambda x, s, o: np.asarray(x),
    ),
)

FINISH_NUMPY = (
    Rule(
        name="writable",
        when=lambda s, o: o.writable is True and not s.writable,
        action="copy",
        reason="read-only",
        says="the memory is read-only, and writable=True asks for memory to write to",
        remedy="leave writable=None to share it as it is",
        then=_fresh,
        apply=lambda x, s, o: np.array(x, order="C"),
    ),
    Rule(
        name="asked",
        when=lambda s, o: o.copy == "always",
        action="copy",
        reason="asked",
        says='copy="always"',
        then=_fresh,
        apply=lambda x, s, o: np.array(x, order="C"),
    ),
    Rule(
        name="mark-read-only",
        when=lambda s, o: o.writable is False and s.writable,
        says="writable=False: the view is marked read-only",
        then=lambda s, o: replace(s, writable=False),
        apply=lambda x, s, o: _readonly_view(x),
    ),
)


def _readonly_view(x: Any) -> Any:
    view = x.view()
    view.flags.writeable = False
    return view


FINISH_TORCH = (
    Rule(
        name="move",
        when=lambda s, o: o.device is not None and s.device != o.device,
        action="move",
        reason="device",
        says="from {spec.device} to the device asked for",
        remedy="convert on {spec.device}, or allow the move",
        then=lambda s, o: replace(s, device=o.device or s.device, flags=s.flags - {"overlap"}),
        apply=lambda t, s, o: t.to(o.device),
    ),
    Rule(
        name="asked",
        when=lambda s, o: o.copy == "always",
        action="copy",
        reason="asked",
        says='copy="always"',
        then=lambda s, o: replace(s, flags=s.flags - {"overlap"}),
        apply=lambda t, s, o: t.clone(),
    ),
)
