"""Arrow <-> NumPy, both directions: the rules of the crossing."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy import ma

from bridgeflow.bridge.arrow_layout import (
    ARROW_TYPES,
    COMPLEX,
    PRIMITIVES,
    STORED,
    VENDOR,
    bytes_as,
    decode,
    element_of,
    joined,
    null_mask,
    raw,
    rows_of,
    sole_chunk,
)
from bridgeflow.bridge.dtypes import CARRIED, SHARED_DTYPES, fill_value
from bridgeflow.bridge.numpy_torch import BEYOND, BYTE_ORDER, MASKED_CLEAN
from bridgeflow.bridge.rules import (
    Options,
    as_kind,
    copies,
    is_kind,
    refuse,
    unchanged,
    views,
    without,
)
from bridgeflow.errors import NoRoute
from bridgeflow.spec import ArraySpec, Shape

__all__ = [
    "ARROW_TO_ARROW",
    "ARROW_TO_NUMPY",
    "NUMPY_TO_ARROW",
    "VIEWS",
    "WIDEST",
    "from_numpy",
]

_TIMES = {f"{base}[{unit}]" for base in ("datetime64", "timedelta64") for unit in ("s", "ms", "us", "ns")}


def _in_order(x: pa.Array, _spec: ArraySpec, _options: Options) -> pa.Array:
    """A list view as a list, its rows gathered in order."""
    values, offsets = rows_of(x)
    return pa.LargeListArray.from_arrays(pa.array(offsets), values, mask=x.is_null() if x.null_count else None)


def _plain_view(x: pa.Array) -> Any:
    """A primitive array as an ndarray, unless it has nulls."""
    return None if x.null_count else x.to_numpy()


def _tensor_view(x: pa.Array) -> Any:
    """A tensor array as an ndarray, unless it has nulls at any depth, axes out of order, or values other than plain
    numbers.
    """
    element = element_of(x.type)
    if element.permutation or element.layout != "strided" or element.dtype not in ARROW_TYPES or x.null_count:
        return None
    storage, size = x.storage, prod(element.inner)
    values = storage.values
    if values.null_count or values.type.id not in PRIMITIVES:
        return None
    flat = bytes_as(
        _DTYPES[element.dtype], values.slice(storage.offset * size) if storage.offset else values, len(x) * size
    )
    return flat.reshape(len(x), *element.inner)


_DTYPES = {name: np.dtype(name) for name in ARROW_TYPES}

VIEWS: dict[type, Callable[[pa.Array], Any]] = {
    **{type(pa.nulls(0, kind)): _plain_view for kind in ARROW_TYPES.values()},
    pa.FixedShapeTensorArray: _tensor_view,
}
"""The view of an array of a class, without the table of routes; `None` where nulls or the order of axes need it."""


def _has_nulls(spec: ArraySpec) -> bool:
    return spec.kind == "arrow" and (spec.null_count != 0 or "child-nulls" in spec.flags)


def _filled(x: pa.Array, spec: ArraySpec, options: Options) -> Any:
    values = np.array(raw(x, spec), order="C")
    values[null_mask(x, spec)] = fill_value(spec.dtype, options.nulls)
    return values


def _decoded(spec: ArraySpec, _options: Options) -> ArraySpec:
    """NumPy over Arrow's own bytes: C order but for a permutation."""
    return as_kind(spec, "numpy", strides=None, flags=spec.flags & {"unaligned"}, layout="strided", null_count=0)


def _in_numpy(spec: ArraySpec, _options: Options) -> ArraySpec:
    return spec.fresh(kind="numpy", layout="strided", null_count=0)


def _numeric(spec: ArraySpec) -> bool:
    return spec.dtype in SHARED_DTYPES or spec.dtype in CARRIED or spec.dtype.startswith(("datetime64", "timedelta64"))


def _combined(x: Any, _spec: ArraySpec, _options: Options) -> pa.Array:
    return joined(x)


_CHUNKED = copies(
    "chunked",
    "the values lie in several chunks, and an array is one",
    "convert chunk by chunk, or combine_chunks() once where it is read",
    then=without("chunked"),
    apply=_combined,
)
_SOLE_CHUNK = views(
    "sole-chunk",
    "a chunked array with one filled chunk is that chunk",
    then=without("sole-chunk"),
    apply=lambda x, s, o: sole_chunk(x),
)

_TENSOR = views(
    "tensor",
    "pyarrow.Tensor: the same memory",
    when=lambda s, o: s.layout == "tensor" and s.dtype in SHARED_DTYPES,
    then=lambda s, o: as_kind(s, "numpy", layout="strided"),
    apply=lambda x, s, o: x.to_numpy(),
)

ARROW_TO_NUMPY = (
    _TENSOR,
    refuse(
        "nested-lists",
        "lists of lists ({spec.dtype}) are not supported, only lists of numbers are",
        "where all have one shape, cast the column to fixed-size lists: pa.list_(pa.list_(pa.float64(), m), n)",
        reason="dtype",
        when=lambda s, o: s.kind == "arrow" and s.dtype.count("list") > 1 and "struct" not in s.dtype,
    ),
    refuse(
        "dtype",
        "arrays have no counterpart of Arrow's {spec.dtype}",
        "cast the column to numbers first: a dictionary's indices, a struct's fields, decimals as floats",
        when=lambda s, o: s.kind == "arrow" and not _numeric(s),
    ),
    refuse(
        "ambiguous-permutation",
        "the tensor's permutation is not its own inverse, and pyarrow writes the inverse of what Arrow specifies",
        "decode storage.flatten() yourself, with the axis order that its writer meant",
        reason="permutation",
    ),
    copies(
        "scalar",
        "an Arrow scalar is a value, not memory",
        reason="zero-dim",
        then=without("scalar"),
        apply=lambda x, s, o: pa.repeat(x, 1),
    ),
    _CHUNKED,
    _SOLE_CHUNK,
    copies(
        "decode",
        "{spec.layout} encoded values have to be written out",
        "convert .indices and .dictionary (or .run_ends and .values) apart",
        when=lambda s, o: s.layout in {"dictionary", "run-end"},
        then=without(layout="strided"),
        apply=lambda x, s, o: decode(x),
    ),
    copies(
        "list-view",
        "the rows of the list view overlap, or lie in another order; they are gathered",
        "build a list instead of a list view (pyarrow's cast from one to the other loses rows)",
        when=lambda s, o: "scattered" in s.flags and "ragged" not in s.flags,
        reason="layout",
        then=without("scattered", layout="large_list"),
        apply=_in_order,
    ),
    refuse("ragged", "the rows have unequal lengths", 'pass ragged="pad", "list", or (to torch) "jagged"'),
    copies(
        "nulls-fill",
        "null elements are filled in",
        when=lambda s, o: _has_nulls(s) and fill_value(s.dtype, o.nulls) is not None,
        reason="nulls",
        then=_in_numpy,
        apply=_filled,
    ),
    refuse(
        "nulls",
        "{spec.null_count} of the rows are null (or elements inside them), and {spec.dtype} cannot say so",
        'pass nulls="mask" for (values, mask), nulls="nan" where the type has one, or a value to fill in',
        when=lambda s, o: _has_nulls(s),
    ),
    copies(
        "bit-packed",
        "Arrow keeps eight booleans in a byte, arrays one",
        "store booleans as pa.bool8()",
        when=lambda s, o: s.kind == "arrow" and "bit-packed" in {s.layout, *s.flags},
        then=_in_numpy,
        apply=lambda x, s, o: raw(x, s),
    ),
    copies(
        "narrow",
        "Arrow keeps this type in 32 bits, NumPy's {spec.dtype} in 64",
        "arr.view(pa.int32()) shares the ticks",
        when=lambda s, o: s.kind == "arrow" and "narrow" in {s.layout, *s.flags},
        reason="dtype",
        then=_in_numpy,
        apply=lambda x, s, o: raw(x, s),
    ),
    views(
        "share",
        "the same memory, read-only (datetimes in UTC, without their time zone)",
        when=is_kind("arrow"),
        then=_decoded,
        apply=lambda x, s, o: raw(x, s),
    ),
)


def _arrow_spec(spec: ArraySpec, _options: Options) -> ArraySpec:
    flags = {"scalar"} if spec.ndim == 0 else set()
    return as_kind(spec, "arrow", strides=None, writable=False, flags=frozenset(flags), layout="strided")


def from_numpy(x: Any, dtype: str) -> pa.Array:
    """An Arrow array over the memory of a C-contiguous ndarray of one axis or more, whose element type is (or carries)
    `dtype`.
    """
    rows, inner = x.shape[0], x.shape[1:]
    if dtype in _TIMES:
        values = pa.array(x.reshape(-1))
    elif dtype in COMPLEX:
        part = COMPLEX[dtype]
        values = pa.Array.from_buffers(ARROW_TYPES[part], 2 * x.size, [None, pa.py_buffer(x.view(part))])
        return _opaque(_nested(values, (*inner, 2), rows), dtype)
    elif dtype in STORED:
        stored = STORED[dtype]
        values = pa.Array.from_buffers(ARROW_TYPES[stored], x.size, [None, pa.py_buffer(x.view(stored))])
        if dtype == "bool" and not inner:
            return pa.ExtensionArray.from_storage(pa.bool8(), values)
        return _opaque(_nested(values, inner, rows), dtype)
    else:
        values = pa.Array.from_buffers(ARROW_TYPES[dtype], x.size, [None, pa.py_buffer(x)])
    if not inner:
        return values
    storage_type, tensor_type = _tensor_types(values.type, inner)
    storage = pa.Array.from_buffers(storage_type, rows, [None], children=[values])
    return pa.ExtensionArray.from_storage(tensor_type, storage)


@lru_cache(maxsize=1024)
def _tensor_types(value: pa.DataType, inner: tuple[int, ...]) -> tuple[pa.DataType, pa.DataType]:
    """The storage and the type of a tensor column."""
    return pa.list_(value, prod(inner)), pa.fixed_shape_tensor(value, inner)


WIDEST = 2**31 - 1
"""Elements of Arrow's fixed-size lists, at most."""


def _too_wide(shape: Shape, dtype: str) -> bool:
    """Whether a row has more elements than Arrow's fixed-size lists, whose length is an int32."""
    inner = [1 if n is None else n for n in shape[1:]]
    nested = dtype in COMPLEX or dtype in STORED  # a list for each axis
    return (max(inner, default=0) if nested else prod(inner)) > WIDEST


def _nested(values: pa.Array, inner: tuple[int, ...], rows: int) -> pa.Array:
    """`values` as fixed-size lists of the inner lengths, without a copy."""
    for axis in reversed(range(len(inner))):
        count = rows * prod(inner[:axis])
        values = pa.Array.from_buffers(pa.list_(values.type, inner[axis]), count, [None], children=[values])
    return values


def _opaque(storage: pa.Array, dtype: str) -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.opaque(storage.type, dtype, VENDOR), storage)


def _to_arrow(x: Any, spec: ArraySpec, _options: Options) -> Any:
    if "masked" in spec.flags:
        return _with_nulls(x, spec)
    x = np.asarray(x)
    if spec.shape == ():
        return from_numpy(x.reshape(1), spec.dtype)[0]
    return from_numpy(x, spec.dtype)


def _with_nulls(x: Any, spec: ArraySpec) -> pa.Array:
    """A masked array of one axis: its data as they lie, its mask as Arrow's nulls."""
    if spec.dtype != "bool":
        return pa.array(x)
    return pa.ExtensionArray.from_storage(pa.bool8(), pa.array(ma.array(x.data.view(np.int8), mask=x.mask)))


def _from_days(x: Any, _spec: ArraySpec, _options: Options) -> Any:
    ticks = x.view(np.int64)
    if (np.abs(ticks[~np.isnat(x)]) > np.iinfo(np.int32).max).any():
        raise NoRoute("dtype", "some of the days lie beyond what Arrow's date32 can count", "x.astype('datetime64[s]')")
    return pa.array(x)


def _own_values(x: Any, _spec: ArraySpec, _options: Options) -> Any:
    """New memory in C order; a mask stays beside the values."""
    return x.copy(order="C") if isinstance(x, ma.MaskedArray) else np.array(x, order="C")


def _fresh(spec: ArraySpec, _options: Options) -> ArraySpec:
    return spec.fresh(flags=spec.flags & {"masked"})


def _own_array(x: Any, _spec: ArraySpec, _options: Options) -> pa.Array:
    """The array in buffers of its own. Concatenating copies all but the text that string views refer to."""
    taken = {buffer.address for buffer in x.buffers() if buffer is not None and buffer.size}
    own = pa.concat_arrays([x])
    if taken.isdisjoint(buffer.address for buffer in own.buffers() if buffer is not None):
        return own
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([pa.field("x", x.type)])) as writer:
        writer.write_batch(pa.record_batch({"x": x}))
    return pa.ipc.open_stream(sink.getvalue()).read_next_batch().column(0)


NUMPY_TO_ARROW = (
    MASKED_CLEAN,
    refuse(
        "masked-tensor",
        "Arrow has nulls in columns of plain numbers only, and the mask would be lost",
        "x.filled(value), or convert x.data and x.mask apart",
        when=lambda s, o: "masked" in s.flags and not (s.ndim == 1 and s.dtype in {*ARROW_TYPES, *_TIMES, "bool"}),
        reason="masked",
    ),
    BEYOND,
    BYTE_ORDER,
    copies(
        "days",
        "NumPy keeps days in 64 bits, Arrow's date32 in 32",
        when=lambda s, o: s.kind == "numpy" and s.dtype == "datetime64[D]" and s.ndim == 1,
        reason="dtype",
        then=lambda s, o: as_kind(
            s, "arrow", strides=None, writable=False, layout="narrow", nbytes=(s.nbytes or 0) // 2
        ),
        apply=_from_days,
    ),
    refuse(
        "dtype",
        "Arrow has no arrays of {spec.dtype} that both sides read alike",
        "pa.array(x) for text and objects; x.astype('float64'), x.astype('datetime64[s]') for the others",
        when=lambda s, o: (
            s.kind == "numpy" and s.dtype not in SHARED_DTYPES and s.dtype not in CARRIED and s.dtype not in _TIMES
        ),
    ),
    refuse(
        "too-wide",
        "a row has more than the 2147483647 elements that Arrow's fixed-size lists can have",
        "reshape it into more rows, of fewer elements each",
        when=lambda s, o: s.kind == "numpy" and _too_wide(s.shape, s.dtype),
        reason="layout",
    ),
    copies(
        "non-contiguous",
        "Arrow's values are contiguous, these are not",
        "np.ascontiguousarray(x) once, where it is created",
        when=lambda s, o: s.kind == "numpy" and ("non-contiguous" in s.flags or "overlap" in s.flags),
        then=_fresh,
        apply=_own_values,
    ),
    copies(
        "zero-dim",
        "an Arrow scalar is a value, not memory",
        when=lambda s, o: s.kind == "numpy" and s.shape == (),
        then=unchanged,
        apply=lambda x, s, o: np.asarray(x),
    ),
    copies(
        "asked",
        'copy="always"',
        when=lambda s, o: s.kind == "numpy" and o.copy == "always",
        then=_fresh,
        apply=_own_values,
    ),
    views(
        "share",
        "Arrow buffers over the same memory; a mask becomes nulls, NaT a null",
        when=is_kind("numpy"),
        then=_arrow_spec,
        apply=_to_arrow,
    ),
)

ARROW_TO_ARROW = (
    _TENSOR,
    *NUMPY_TO_ARROW,
    _CHUNKED,
    _SOLE_CHUNK,
    copies(
        "asked",
        'copy="always"',
        when=lambda s, o: s.kind == "arrow" and o.copy == "always" and "scalar" not in s.flags,
        then=unchanged,
        apply=_own_array,
    ),
)
