"""What an ndarray or a tensor is: its `ArraySpec`, from its attributes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

# Here and at once: what NumPy imports when it is first used may be imported by one thread while another forks, and the
# child then waits for that import, at its own first use, forever. `np.unique` is among what uses it.
from numpy import ma

from bridgeflow._optional import loaded
from bridgeflow.spec import ArraySpec

if TYPE_CHECKING:
    import torch

__all__ = [
    "REACH",
    "describe_numpy",
    "describe_torch",
    "extent",
    "has_tangent",
    "misaligned",
    "overlaps",
]

REACH = 2**57
"""Bytes that no memory spans: strides that lead so far make torch abort and a copy read what is not there."""


def extent(shape: tuple[int, ...], strides: tuple[int, ...], item: int) -> int:
    """Bytes from the first to the end of the last element, or 0 where two index tuples may name the same byte.

    Axes are taken from the smallest step to the largest; each must step over all that the smaller ones span.
    Exact for everything that slicing, transposing, expanding and windowing produce; errs on the side of "overlaps".
    """
    if len(shape) == 2:  # the common case, without a sort
        (rows, columns), (outer, inner) = shape, strides
        if rows > 1 and columns > 1:
            if outer < 0 or inner < 0:
                outer, inner = abs(outer), abs(inner)
            if outer < inner:
                rows, columns, outer, inner = columns, rows, inner, outer
            row = item + inner * (columns - 1)
            return 0 if inner < item or outer < row else row + outer * (rows - 1)
    span = item
    for step, length in sorted((abs(s), n) for s, n in zip(strides, shape, strict=True) if n > 1):
        if step < span:
            return 0
        span += step * (length - 1)
    return span


def overlaps(shape: tuple[int, ...], strides: tuple[int, ...], item: int) -> bool:
    """Whether two index tuples may name the same byte: true for expanded, sliding-window and similar views."""
    return item > 0 and extent(shape, strides, item) == 0


def negative_stride(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether an axis that is really walked runs backwards."""
    return any(s < 0 and n > 1 for s, n in zip(strides, shape, strict=True))


def misaligned(x: Any) -> bool:
    """Whether an ndarray of complex numbers begins where torch cannot read them.

    torch loads a complex number as one unit that is aligned to its own size (`alignas(2 * sizeof(T))` in c10), while
    NumPy and the compilers of C ask for the alignment of its parts alone.
    """
    return bool(x.dtype.kind == "c" and x.dtype.itemsize <= 16 and x.__array_interface__["data"][0] % x.dtype.itemsize)


def describe_numpy(x: Any) -> ArraySpec:
    """The spec of an ndarray, a subclass of it, or a NumPy scalar."""
    if isinstance(x, np.generic):
        x = np.asarray(x)
        flags = {"scalar"}
    else:
        flags = set() if type(x) is np.ndarray else {"subclass"}
    dtype, shape, strides, item = x.dtype, x.shape, x.strides, x.dtype.itemsize
    null_count = 0
    if isinstance(x, ma.MaskedArray):
        flags.add("masked")
        null_count = _masked_elements(x)
    if not dtype.isnative:
        flags.add("byte-order")
        dtype = dtype.newbyteorder("=")
    if x.size:
        if negative_stride(shape, strides):
            flags.add("negative-stride")
        if item and any(s % item for s, n in zip(strides, shape, strict=True) if n > 1):
            flags.add("odd-stride")
        if overlaps(shape, strides, item):
            flags.add("overlap")
        if sum((n - 1) * abs(s) for n, s in zip(shape, strides, strict=True)) >= REACH:
            flags.add("beyond")
        if misaligned(x):
            flags.add("unaligned")
    if not x.flags.c_contiguous:
        flags.add("non-contiguous")
    if dtype.hasobject or dtype.kind in "SUT" or issubclass(dtype.type, np.void):
        flags.add("no-number")
    return ArraySpec(
        kind="numpy",
        dtype=dtype.name,
        shape=shape,
        strides=strides if x.size else None,
        writable=bool(x.flags.writeable),
        flags=frozenset(flags),
        null_count=null_count,
        nbytes=x.nbytes,
    )


def _masked_elements(x: Any) -> int:
    """How many elements are masked; of records, how many have a masked field."""
    mask: Any = ma.getmaskarray(x)
    if mask.dtype.names and mask.size:
        mask = np.ascontiguousarray(mask).view(bool).reshape(mask.size, -1).any(axis=1)
    return int(mask.sum()) if mask.dtype == bool else 0


_LAYOUTS = {
    "torch.strided": "strided",
    "torch.jagged": "jagged",
    "torch.sparse_coo": "sparse_coo",
    "torch.sparse_csr": "sparse_csr",
    "torch.sparse_csc": "sparse_csc",
    "torch.sparse_bsr": "sparse_bsr",
    "torch.sparse_bsc": "sparse_bsc",
    "torch._mkldnn": "mkldnn",
}


def describe_torch(t: torch.Tensor) -> ArraySpec:
    """The spec of a tensor of any layout, device, subclass or wrapper; never touches its data."""
    import torch

    if type(t).__name__.startswith("Uninitialized"):  # lazy modules' parameters: they refuse to say anything
        dtype = str(t.dtype).removeprefix("torch.")
        return ArraySpec(kind="torch", dtype=dtype, shape=(None,), device=str(t.device), flags=frozenset({"no-data"}))
    flags: set[str] = set()
    dtype = str(t.dtype).removeprefix("torch.")
    layout = _LAYOUTS.get(str(t.layout), str(t.layout).removeprefix("torch."))
    if t.is_nested and layout == "strided":
        layout = "nested"
    if t.requires_grad or has_tangent(t):
        flags.add("grad")
    shape: tuple[int | None, ...]
    strides: tuple[int, ...] | None = None
    nbytes: int | None
    try:
        shape = tuple(n if type(n) is int else None for n in t.shape)
    except RuntimeError:  # nested strided tensors have no shape
        shape = (t.size(0), *[None] * (t.dim() - 1))
    if type(t) is not torch.Tensor:
        flags.add("subclass")
    if torch._C._functorch.is_functorch_wrapped_tensor(t) or torch._is_functional_tensor(t):
        flags.add("functional")
    elif layout == "jagged":
        flags |= _jagged(t)
    elif dispatching := _dispatching(t):
        flags.add(dispatching)
    elif layout == "strided":
        strides, owned = _strided(t, shape)
        flags |= owned
    if layout == "jagged":
        nbytes = t.values().nbytes
    else:
        nbytes = t.untyped_storage().nbytes() if layout == "nested" else t.numel() * t.element_size()
    if strides is not None and not t.is_contiguous():
        flags.add("non-contiguous")
    if nbytes == 0:
        strides = None
    if t.is_conj():
        flags.add("conj")
    if t.is_neg():
        flags.add("neg")
    return ArraySpec(
        kind="torch",
        dtype=dtype,
        shape=shape,
        strides=strides,
        device=str(t.device),
        flags=frozenset(flags),
        nbytes=int(nbytes),
        layout=layout,
    )


def _jagged(t: Any) -> frozenset[str]:
    """What stands between a jagged tensor and values with offsets."""
    holes = {"holes"} if t._lengths is not None else set()
    transposed = {"transposed"} if t._ragged_idx != 1 else set()
    return describe_torch(t._values).flags | holes | transposed


def _dispatching(t: torch.Tensor) -> str:
    """What a class that overrides `__torch_dispatch__` hides: "no-data" for a shape without memory (fake tensors,
    wrappers such as DTensor), "dispatch" for memory that means what the class makes of it; empty for other classes.
    """
    import torch

    if type(t) is torch.Tensor or type(t).__torch_dispatch__ is torch.Tensor.__torch_dispatch__:
        return ""
    fake = loaded("torch._subclasses.fake_tensor")
    if fake is not None and isinstance(t, fake.FakeTensor):
        return "no-data"  # asking it for its address is a warning
    return "dispatch" if _data_ptr(t) else "no-data"


def _strided(t: torch.Tensor, shape: tuple[int | None, ...]) -> tuple[tuple[int, ...] | None, set[str]]:
    """Byte strides of a strided tensor, and what is wrong with its memory."""
    item = t.element_size()
    if any(n is None for n in shape) or any(type(s) is not int for s in t.stride()):
        return None, {"no-data"}  # symbolic sizes: a tensor under tracing
    lengths = tuple(n for n in shape if n is not None)
    strides = tuple(s * item for s in t.stride())
    flags = {"overlap"} if t.numel() and overlaps(lengths, strides, item) else set()
    if t.device.type == "cpu" and t._is_zerotensor():
        flags.add("zero-tensor")
    elif t.device.type == "cpu" and t.numel():
        end = (t.storage_offset() + 1 + sum((n - 1) * s for n, s in zip(lengths, t.stride(), strict=True))) * item
        if end > t.untyped_storage().nbytes():
            flags.add("empty-storage")
        elif (address := _data_ptr(t)) == 0:
            flags.add("no-data")
        elif t.is_complex() and address % item:
            flags.add("unaligned")
    return strides, flags


def _data_ptr(t: torch.Tensor) -> int:
    try:
        return t.data_ptr()
    except RuntimeError:  # wrapper subclasses may refuse to say
        return 0


def has_tangent(t: torch.Tensor) -> bool:
    """Whether the tensor carries a forward-mode derivative, which a crossing would lose."""
    forward_ad = loaded("torch.autograd.forward_ad")
    if forward_ad is None or forward_ad._current_level < 0:
        return False
    return forward_ad.unpack_dual(t).tangent is not None
