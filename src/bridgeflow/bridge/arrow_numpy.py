"""Arrow <-> NumPy, both directions: descriptions, and the rules of the crossing.

An Arrow array is decoded here from its buffers rather than by pyarrow's own conversions, several of which decode a
dictionary under "zero copy", drop masks and child nulls, or mix up tensor permutations. `unwrap` peels tensors and
fixed-size lists down to one primitive array; everything else follows from that.

Element types that Arrow has not (complex, bfloat16, float8, and bool as bytes with more than one axis) travel as
`pa.opaque` over nested fixed-size lists, vendor "bridgeflow", the type's name saying what they are: any Arrow reader
keeps it, and we read it back as it went.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy import ma

from bridgeflow.bridge.numpy_torch import BEYOND, CARRIED, MASKED_CLEAN, SHARED_DTYPES, describe_numpy, fill_value
from bridgeflow.bridge.private import is_private
from bridgeflow.bridge.routes import LISTS, Options, Rule, as_kind
from bridgeflow.errors import NoRoute
from bridgeflow.spec import ArraySpec, Shape

__all__ = [
    "ARROW_TO_ARROW",
    "ARROW_TO_NUMPY",
    "NUMPY_TO_ARROW",
    "describe_arrow",
    "from_numpy",
    "joined",
    "null_mask",
    "rows_of",
    "written_out",
]

VENDOR = "bridgeflow"
COMPLEX = {"complex64": "float32", "complex128": "float64"}
STORED = {"bool": "int8", "bfloat16": "uint16", **{name: "uint8" for name in CARRIED if name.startswith("float8")}}
"""Element types kept as another of the same size, and which."""

_PRIMITIVES = {
    pa.lib.Type_INT8: "int8",
    pa.lib.Type_INT16: "int16",
    pa.lib.Type_INT32: "int32",
    pa.lib.Type_INT64: "int64",
    pa.lib.Type_UINT8: "uint8",
    pa.lib.Type_UINT16: "uint16",
    pa.lib.Type_UINT32: "uint32",
    pa.lib.Type_UINT64: "uint64",
    pa.lib.Type_HALF_FLOAT: "float16",
    pa.lib.Type_FLOAT: "float32",
    pa.lib.Type_DOUBLE: "float64",
}
_ARROW_TYPES = {
    **{name: getattr(pa, name)() for name in _PRIMITIVES.values() if not name.startswith("float")},
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}
_TIMES = {f"{base}[{unit}]" for base in ("datetime64", "timedelta64") for unit in ("s", "ms", "us", "ns")}


# --- what an Arrow array is -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Element:
    """The primitive at the bottom of a type: its NumPy name, how it is stored, the axes above it, and whether it is
    encoded as a dictionary or in runs.
    """

    dtype: str
    stored: str
    inner: tuple[int, ...] = ()
    permutation: tuple[int, ...] = ()
    layout: str = "strided"
    encoding: str = ""

    @property
    def known(self) -> bool:
        """Whether NumPy (or torch, by its bits) can hold it."""
        return (
            self.dtype in SHARED_DTYPES or self.dtype in CARRIED or self.dtype.startswith(("datetime64", "timedelta64"))
        )


def element_of(kind: pa.DataType) -> _Element:
    """What the values of a (non-list) Arrow type are in NumPy's words."""
    try:
        return _element_of(kind)
    except TypeError:  # somebody's own extension type, somewhere inside: those need not be hashable
        return _other(kind)


def _other(kind: pa.DataType) -> _Element:
    return _Element(str(kind), "", layout="other")


@lru_cache(maxsize=1024)
def _element_of(kind: pa.DataType) -> _Element:
    types = pa.types
    if kind.id in _PRIMITIVES:
        name = _PRIMITIVES[kind.id]
        return _Element(name, name)
    if types.is_boolean(kind):
        return _Element("bool", "bool", layout="bit-packed")
    if types.is_timestamp(kind):
        return _Element(f"datetime64[{kind.unit}]", f"datetime64[{kind.unit}]")
    if types.is_duration(kind):
        return _Element(f"timedelta64[{kind.unit}]", f"timedelta64[{kind.unit}]")
    if types.is_date64(kind):
        return _Element("datetime64[ms]", "datetime64[ms]")
    if types.is_date32(kind):
        return _Element("datetime64[D]", "int32", layout="narrow")
    if types.is_time64(kind):
        return _Element(f"timedelta64[{kind.unit}]", f"timedelta64[{kind.unit}]")
    if types.is_time32(kind):
        return _Element(f"timedelta64[{kind.unit}]", "int32", layout="narrow")
    if isinstance(kind, pa.Bool8Type):
        return _Element("bool", "bool")
    if isinstance(kind, pa.OpaqueType):
        return _opaque_element(kind) if kind.vendor_name == VENDOR else _other(kind)
    if not isinstance(kind, (pa.DictionaryType, pa.RunEndEncodedType, pa.FixedSizeListType, pa.FixedShapeTensorType)):
        return _other(kind)
    below = _element_of(kind.value_type)
    if not below.known or below.encoding or below.permutation:
        return _other(kind)
    if types.is_dictionary(kind):
        return replace(below, encoding="dictionary")
    if types.is_run_end_encoded(kind):
        return replace(below, encoding="run-end")
    if types.is_fixed_size_list(kind):
        return replace(below, inner=(kind.list_size, *below.inner))
    inner = (*kind.shape, *below.inner)
    order = (*(kind.permutation or range(len(kind.shape))), *range(len(kind.shape), len(inner)))
    return replace(below, inner=inner, permutation=() if order == tuple(range(len(inner))) else order)


def _opaque_element(kind: pa.OpaqueType) -> _Element:
    """What an opaque type of ours holds, if its storage is what we would have written."""
    below, name = _element_of(kind.storage_type), kind.type_name
    if below.layout == "strided" and not below.encoding and not below.permutation:
        if name in COMPLEX and below.dtype == COMPLEX[name] and below.inner[-1:] == (2,):
            return _Element(name, name, below.inner[:-1])
        if name in STORED and below.dtype == STORED[name]:
            return _Element(name, STORED[name], below.inner)
    return _other(kind)


def describe_arrow(x: Any) -> ArraySpec:
    """The spec of an Arrow array, chunked array, scalar or tensor."""
    if isinstance(x, pa.Tensor):
        return _describe_tensor(x)
    flags: set[str] = set()
    if isinstance(x, pa.Scalar):
        x = pa.repeat(x, 1)
        flags.add("scalar")
    if isinstance(x, pa.ChunkedArray):
        x = sole_chunk(x)
        flags.add("chunked" if isinstance(x, pa.ChunkedArray) else "sole-chunk")
    chunks = x.chunks if isinstance(x, pa.ChunkedArray) else [x]
    name = list_name(x.type)
    element = element_of(x.type.value_type if name else x.type)
    inner: Shape = element.inner
    layout, dtype = name or element.encoding or element.layout, element.dtype
    if layout != element.layout:
        flags |= {element.layout} & {"narrow", "bit-packed"}
    if name and (not element.known or element.encoding or element.permutation):
        dtype, inner = str(x.type), ()  # lists of text and the like: values of their own, without an inner axis
    elif name:
        length = _common_length(chunks)
        inner = (length, *inner)
        flags |= {"ragged"} if length is None else set()
    if name:
        flags |= {"scattered"} if any(not isinstance(_placed(chunk)[0], int) for chunk in chunks) else set()
    elif element.permutation:
        flags.add("permuted" if _is_involution(element.permutation) else "ambiguous-permutation")
        inner = tuple(element.inner[axis] for axis in element.permutation)
    if layout in LISTS or element.known:
        flags |= {"child-nulls"} if any(_inner_nulls(chunk) for chunk in chunks) else set()
    if dtype in COMPLEX and any(_misaligned(chunk, np.dtype(dtype).itemsize) for chunk in chunks):
        flags.add("unaligned")
    if pa.types.is_timestamp(x.type) and x.type.tz:
        flags.add("timezone")
    rows = sum(int(_placed(chunk)[1][-1]) for chunk in chunks) if name else len(x)
    nbytes = np.dtype(element.stored).itemsize * rows * prod(element.inner) if element.known else x.nbytes
    return ArraySpec(
        kind="arrow",
        dtype=dtype,
        shape=inner if "scalar" in flags else (len(x), *inner),
        writable=layout == "strided" and len(chunks) == 1 and "scalar" not in flags and _is_writable(x),
        flags=frozenset(flags),
        null_count=sum(_null_rows(chunk) for chunk in chunks),
        layout=layout,
        nbytes=int(nbytes),
    )


def _misaligned(x: Any, size: int) -> bool:
    """Whether complex values, kept as their parts, begin at an address that is not a multiple of their own size."""
    if list_name(x.type):
        x, _ = rows_of(x)
    *_, bottom = levels(x)
    buffer = bottom.buffers()[1]
    return buffer is not None and (buffer.address + bottom.offset * bottom.type.bit_width // 8) % size != 0


def _is_writable(x: Any) -> bool:
    """Whether the values lie in memory that belongs to the caller alone (see `private`)."""
    *_, bottom = levels(x)
    return is_private(bottom.buffers()[1])


def _describe_tensor(x: Any) -> ArraySpec:
    return replace(describe_numpy(x.to_numpy()), kind="arrow", layout="tensor", writable=x.is_mutable)


def list_name(kind: pa.DataType) -> str:
    """Which of the variable-length list types it is; empty for any other type."""
    types = pa.types
    if types.is_list(kind):
        return "list"
    if types.is_large_list(kind):
        return "large_list"
    if types.is_list_view(kind):
        return "list_view"
    return "large_list_view" if types.is_large_list_view(kind) else ""


def _is_involution(order: tuple[int, ...]) -> bool:
    return all(order[order[axis]] == axis for axis in range(len(order)))


def sole_chunk(x: Any) -> Any:
    """The one chunk of a chunked array that holds anything; the chunked array itself where several do."""
    if not isinstance(x, pa.ChunkedArray):
        return x
    filled = [chunk for chunk in x.chunks if len(chunk)]
    if len(filled) > 1:
        return pa.chunked_array(filled, type=x.type)
    return filled[0] if filled else pa.nulls(0, x.type)


def joined(x: Any) -> pa.Array:
    """A scalar, an array or a chunked array as one array."""
    x = pa.repeat(x, 1) if isinstance(x, pa.Scalar) else sole_chunk(x)
    return x.combine_chunks() if isinstance(x, pa.ChunkedArray) else x


def written_out(x: Any) -> pa.Array:
    """The same with what stands for the values, a dictionary or runs, decoded."""
    x = joined(x)
    return _decode(x) if isinstance(x, (pa.DictionaryArray, pa.RunEndEncodedArray)) else x


def _decode(x: pa.Array) -> pa.Array:
    if isinstance(x, pa.DictionaryArray):
        return x.dictionary_decode()
    ends = np.clip(x.run_ends.to_numpy() - x.offset, 0, len(x))  # of the whole array, however it is sliced
    return x.values.take(pa.array(np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))))


def _common_length(chunks: list[Any]) -> int | None:
    """The length that all rows share, 0 where there is no row, `None` where they differ."""
    lengths = {int(n) for chunk in chunks for n in np.unique(np.diff(_placed(chunk)[1]))}
    return None if len(lengths) > 1 else lengths.pop() if lengths else 0


def _null_rows(x: pa.Array) -> int:
    """How many rows are null, also where the null is in a dictionary or a run."""
    if isinstance(x, pa.DictionaryArray) and not x.dictionary.null_count:
        return int(x.null_count)
    if isinstance(x, pa.RunEndEncodedArray) and not x.values.null_count:
        return 0
    return int(written_out(x).null_count)


def _inner_nulls(x: pa.Array) -> bool:
    """Whether anything below the rows is null: pyarrow's own conversions read such elements as stale bytes."""
    if list_name(x.type):
        values, _ = rows_of(x)
        return any(level.null_count for level in levels(values))
    if isinstance(x, pa.DictionaryArray):
        return _inner_nulls(x.dictionary) and _inner_nulls(_decode(x))
    if isinstance(x, pa.RunEndEncodedArray):
        return _inner_nulls(x.values) and _inner_nulls(_decode(x))
    return any(level.null_count for level in list(levels(x))[1:])


# --- values, whatever their nulls -------------------------------------------------------------------------------------


def levels(x: pa.Array) -> Iterator[pa.Array]:
    """The array, and what lies below each of its extensions and fixed-size lists, down to the primitive values."""
    yield x
    while True:
        if isinstance(x, pa.ExtensionArray):
            x = x.storage
        elif pa.types.is_fixed_size_list(x.type):
            size = x.type.list_size
            x = x.values.slice(x.offset * size, len(x) * size)
        else:
            return
        yield x


def rows_of(x: pa.Array) -> tuple[pa.Array, Any]:
    """The values of a list array and its row offsets (n + 1 integers from 0), slices and views taken into account.

    Raises:
        NoRoute: offsets that decrease or point outside the values; pyarrow does not check all, and torch reads what is
            there.
    """
    start, offsets = _placed(x)
    if isinstance(start, int):
        return x.values.slice(start, int(offsets[-1])), offsets
    return x.values.take(pa.array(start)), offsets


def _placed(x: pa.Array) -> tuple[Any, Any]:
    """Where the rows of a list array lie in its values (the first position if they lie one behind the other, else all
    positions in turn), and their offsets from 0. pyarrow's cast from list views to lists loses rows: this does not.
    """
    if not len(x):
        return 0, np.zeros(1, np.int64)
    is_view = list_name(x.type).endswith("_view")
    offsets = raw(x.offsets, describe_arrow(x.offsets))
    sizes = np.where(_nulls(x), 0, raw(x.sizes, describe_arrow(x.sizes))) if is_view else np.diff(offsets)
    starts = offsets[: len(sizes)]
    if (sizes < 0).any() or ((sizes > 0).any() and (starts.min() < 0 or (starts + sizes).max() > len(x.values))):
        raise NoRoute(
            "offsets", "the list offsets decrease or point outside the values", "the file or its producer is damaged"
        )
    if not is_view:
        start = int(offsets[0])
        return start, offsets - start if start else offsets
    packed = np.concatenate([[0], np.cumsum(sizes)])
    filled = sizes > 0
    shifts = (starts - packed[:-1])[filled]
    if (shifts == shifts[:1]).all():
        return int(shifts[0]) if len(shifts) else 0, packed
    return np.repeat(starts - packed[:-1], sizes) + np.arange(packed[-1]), packed


def _in_order(x: pa.Array, _spec: ArraySpec, _options: Options) -> pa.Array:
    """A list view as a list, its rows gathered one behind the other."""
    values, offsets = rows_of(x)
    return pa.LargeListArray.from_arrays(pa.array(offsets), values, mask=x.is_null() if x.null_count else None)


def raw(x: pa.Array, spec: ArraySpec) -> Any:
    """The values as an ndarray in the shape of `spec` (a scalar is one row without its axis), nulls read as whatever
    lies there; a view where Arrow's bytes are NumPy's, read-only unless they are private.
    """
    if spec.layout in LISTS:
        values, _ = rows_of(x)
        inner = raw(values, describe_arrow(values))
        return inner.reshape(tuple(n for n in spec.shape if n is not None))
    element = element_of(x.type)
    *_, bottom = levels(x)
    shape = (len(x), *element.inner)
    if element.layout == "bit-packed":
        bits = np.frombuffer(bottom.buffers()[1] or b"", np.uint8)
        values = np.unpackbits(bits, count=bottom.offset + len(bottom), bitorder="little")[bottom.offset :].view(bool)
    else:
        values = _bytes_as(np.dtype(element.stored), bottom, prod(shape))
    values = values.reshape(shape)
    if element.permutation:
        values = values.transpose(0, *(axis + 1 for axis in element.permutation))
    values = values.reshape(tuple(n for n in spec.shape if n is not None))
    if element.layout == "narrow":
        values = values.astype(element.dtype)
    elif element.dtype == "bool":
        values = values.view(bool)
    return values


def _bytes_as(dtype: np.dtype[Any], bottom: pa.Array, count: int) -> Any:
    """`count` values of a primitive array's data buffer, read-only unless that is private; the ndarray holds it."""
    buffer = bottom.buffers()[1]
    if buffer is None or count == 0:
        values = np.zeros(count, dtype)
    else:
        values = np.frombuffer(buffer, dtype, count=count, offset=bottom.offset * bottom.type.bit_width // 8)
    values.flags.writeable = is_private(buffer)
    return values


def null_mask(x: pa.Array, spec: ArraySpec) -> Any:
    """True where an element, or a row or inner list around it, is null; in the shape of `spec`."""
    shape = tuple(n for n in spec.shape if n is not None)
    mask = np.zeros(prod(shape), bool)
    if not mask.size:
        return mask.reshape(shape)
    above = levels(x)
    if spec.layout in LISTS:
        mask |= np.repeat(_nulls(x), mask.size // len(x))
        above = levels(rows_of(x)[0])
    for level in above:
        if level.null_count:
            nulls = _nulls(level)
            each = mask.size // len(level)
            mask |= np.repeat(nulls, each) if each else nulls.reshape(mask.size, -1).any(axis=1)
    element = element_of(x.type)
    if element.permutation:
        axes = (0, *(axis + 1 for axis in element.permutation))
        mask = mask.reshape(len(x), *element.inner).transpose(axes)
    return mask.reshape(shape)


def _nulls(x: pa.Array) -> Any:
    return x.is_null().to_numpy(zero_copy_only=False)


def _plain_view(x: pa.Array) -> Any:
    """A primitive array as an ndarray, unless it has nulls."""
    if x.null_count:
        return None
    return _bytes_as(_DTYPES[_PRIMITIVES[x.type.id]], x, len(x)) if is_private(x.buffers()[1]) else x.to_numpy()


def _tensor_view(x: pa.Array) -> Any:
    """A tensor array as an ndarray, unless it has nulls at any depth, axes out of order, or values that are no plain
    numbers.
    """
    element = element_of(x.type)
    if element.permutation or element.layout != "strided" or element.dtype not in _ARROW_TYPES or x.null_count:
        return None
    storage, size = x.storage, prod(element.inner)
    values = storage.values
    if values.null_count or values.type.id not in _PRIMITIVES:
        return None
    flat = _bytes_as(
        _DTYPES[element.dtype], values.slice(storage.offset * size) if storage.offset else values, len(x) * size
    )
    return flat.reshape(len(x), *element.inner)


_DTYPES = {name: np.dtype(name) for name in _ARROW_TYPES}
VIEWS: dict[type, Callable[[pa.Array], Any]] = {
    **{type(pa.array([], kind)): _plain_view for kind in _ARROW_TYPES.values()},
    pa.FixedShapeTensorArray: _tensor_view,
}
"""How the everyday arrays are seen without a walk through the table."""


# --- arrow -> numpy ---------------------------------------------------------------------------------------------------


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


def _settled(*flags: str, **changes: Any) -> Any:
    """The same Arrow value in new memory, without the flags."""
    return lambda spec, _options: replace(spec, flags=spec.flags - set(flags), **changes)


ARROW_TO_NUMPY = (
    Rule(
        name="tensor",
        when=lambda s, o: s.layout == "tensor" and s.dtype in SHARED_DTYPES,
        says="pyarrow.Tensor: the same memory",
        then=lambda s, o: as_kind(s, "numpy", layout="strided"),
        apply=lambda x, s, o: x.to_numpy(),
    ),
    Rule(
        name="dtype",
        when=lambda s, o: s.kind == "arrow" and not _numeric(s),
        action="refuse",
        reason="dtype",
        says="arrays have no counterpart of Arrow's {spec.dtype}",
        remedy="cast the column to numbers first: a dictionary's indices, a struct's fields, decimals as floats",
    ),
    Rule(
        name="ambiguous-permutation",
        when=lambda s, o: "ambiguous-permutation" in s.flags,
        action="refuse",
        reason="permutation",
        says="the tensor's permutation is not its own inverse, and pyarrow writes the inverse of what Arrow specifies",
        remedy="decode storage.flatten() yourself, with the axis order that its writer meant",
    ),
    Rule(
        name="scalar",
        when=lambda s, o: "scalar" in s.flags,
        action="copy",
        reason="zero-dim",
        says="an Arrow scalar is a value, not memory",
        then=_settled("scalar"),
        apply=lambda x, s, o: pa.repeat(x, 1),
    ),
    Rule(
        name="chunked",
        when=lambda s, o: "chunked" in s.flags,
        action="copy",
        reason="chunked",
        says="the values lie in several chunks, and an array is one",
        remedy="convert chunk by chunk, or combine_chunks() once where it is read",
        then=_settled("chunked"),
        apply=_combined,
    ),
    Rule(
        name="sole-chunk",
        when=lambda s, o: "sole-chunk" in s.flags,
        says="a chunked array with one filled chunk is that chunk",
        then=_settled("sole-chunk"),
        apply=lambda x, s, o: sole_chunk(x),
    ),
    Rule(
        name="decode",
        when=lambda s, o: s.layout in {"dictionary", "run-end"},
        action="copy",
        reason="decode",
        says="{spec.layout} encoded values have to be written out",
        remedy="convert .indices and .dictionary (or .run_ends and .values) apart",
        then=_settled(layout="strided"),
        apply=lambda x, s, o: _decode(x),
    ),
    Rule(
        name="list-view",
        when=lambda s, o: "scattered" in s.flags and "ragged" not in s.flags,
        action="copy",
        reason="layout",
        says="the rows of the list view overlap, or lie in another order; they are gathered",
        remedy="make a list of it, where it is made (pyarrow's cast from list views loses rows)",
        then=_settled("scattered", layout="large_list"),
        apply=_in_order,
    ),
    Rule(
        name="ragged",
        when=lambda s, o: "ragged" in s.flags,
        action="refuse",
        reason="ragged",
        says="the rows have unequal lengths",
        remedy='pass ragged="pad", "list", or (to torch) "jagged"',
    ),
    Rule(
        name="nulls-fill",
        when=lambda s, o: _has_nulls(s) and fill_value(s.dtype, o.nulls) is not None,
        action="copy",
        reason="nulls",
        says="null elements are filled in",
        then=_in_numpy,
        apply=_filled,
    ),
    Rule(
        name="nulls",
        when=lambda s, o: _has_nulls(s),
        action="refuse",
        reason="nulls",
        says="{spec.null_count} of the rows are null (or elements inside them), and {spec.dtype} cannot say so",
        remedy='pass nulls="mask" for (values, mask), nulls="nan" where the type has one, or a value to fill in',
    ),
    Rule(
        name="bit-packed",
        when=lambda s, o: s.kind == "arrow" and "bit-packed" in {s.layout, *s.flags},
        action="copy",
        reason="bit-packed",
        says="Arrow keeps eight booleans in a byte, arrays one",
        remedy="store booleans as pa.bool8()",
        then=_in_numpy,
        apply=lambda x, s, o: raw(x, s),
    ),
    Rule(
        name="narrow",
        when=lambda s, o: s.kind == "arrow" and "narrow" in {s.layout, *s.flags},
        action="copy",
        reason="dtype",
        says="Arrow keeps this type in 32 bits, NumPy's {spec.dtype} in 64",
        remedy="arr.view(pa.int32()) shares the ticks",
        then=_in_numpy,
        apply=lambda x, s, o: raw(x, s),
    ),
    Rule(
        name="share",
        when=lambda s, o: s.kind == "arrow",
        says="the same memory, read-only unless it is the caller's own (instants in UTC, without their time zone)",
        then=_decoded,
        apply=lambda x, s, o: raw(x, s),
    ),
)


# --- numpy -> arrow ---------------------------------------------------------------------------------------------------


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
        values = pa.Array.from_buffers(_ARROW_TYPES[part], 2 * x.size, [None, pa.py_buffer(x.view(part))])
        return _opaque(_nested(values, (*inner, 2), rows), dtype)
    elif dtype in STORED:
        stored = STORED[dtype]
        values = pa.Array.from_buffers(_ARROW_TYPES[stored], x.size, [None, pa.py_buffer(x.view(stored))])
        if dtype == "bool" and not inner:
            return pa.ExtensionArray.from_storage(pa.bool8(), values)
        return _opaque(_nested(values, inner, rows), dtype)
    else:
        values = pa.Array.from_buffers(_ARROW_TYPES[dtype], x.size, [None, pa.py_buffer(x)])
    if not inner:
        return values
    storage_type, tensor_type = _tensor_types(values.type, inner)
    storage = pa.Array.from_buffers(storage_type, rows, [None], children=[values])
    return pa.ExtensionArray.from_storage(tensor_type, storage)


@lru_cache(maxsize=1024)
def _tensor_types(value: pa.DataType, inner: tuple[int, ...]) -> tuple[pa.DataType, pa.DataType]:
    """The storage and the type of a tensor column."""
    return pa.list_(value, prod(inner)), pa.fixed_shape_tensor(value, inner)


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
    """The array in buffers of its own. Concatenating writes them anew, but for the text that string views point at."""
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
    Rule(
        name="masked-tensor",
        when=lambda s, o: "masked" in s.flags and not (s.ndim == 1 and s.dtype in {*_ARROW_TYPES, *_TIMES, "bool"}),
        action="refuse",
        reason="masked",
        says="Arrow has nulls in columns of plain numbers only, and the mask would be lost",
        remedy="x.filled(value), or convert x.data and x.mask apart",
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
        name="days",
        when=lambda s, o: s.kind == "numpy" and s.dtype == "datetime64[D]" and s.ndim == 1,
        action="copy",
        reason="dtype",
        says="NumPy keeps days in 64 bits, Arrow's date32 in 32",
        then=lambda s, o: as_kind(
            s, "arrow", strides=None, writable=False, layout="narrow", nbytes=(s.nbytes or 0) // 2
        ),
        apply=_from_days,
    ),
    Rule(
        name="dtype",
        when=lambda s, o: (
            s.kind == "numpy" and s.dtype not in SHARED_DTYPES and s.dtype not in CARRIED and s.dtype not in _TIMES
        ),
        action="refuse",
        reason="dtype",
        says="Arrow has no arrays of {spec.dtype} that both sides read alike",
        remedy="pa.array(x) for text and objects; x.astype('float64'), x.astype('datetime64[s]') for the others",
    ),
    Rule(
        name="non-contiguous",
        when=lambda s, o: s.kind == "numpy" and ("non-contiguous" in s.flags or "overlap" in s.flags),
        action="copy",
        reason="non-contiguous",
        says="Arrow's values lie one behind the other, these do not",
        remedy="np.ascontiguousarray(x) once, where it is made",
        then=_fresh,
        apply=_own_values,
    ),
    Rule(
        name="zero-dim",
        when=lambda s, o: s.kind == "numpy" and s.shape == (),
        action="copy",
        reason="zero-dim",
        says="an Arrow scalar is a value, not memory",
        apply=lambda x, s, o: np.asarray(x),
    ),
    Rule(
        name="asked",
        when=lambda s, o: s.kind == "numpy" and o.copy == "always",
        action="copy",
        reason="asked",
        says='copy="always"',
        then=_fresh,
        apply=_own_values,
    ),
    Rule(
        name="share",
        when=lambda s, o: s.kind == "numpy",
        says="Arrow buffers over the same memory; a mask becomes nulls, NaT a null",
        then=_arrow_spec,
        apply=_to_arrow,
    ),
)

ARROW_TO_ARROW = (
    Rule(
        name="tensor",
        when=lambda s, o: s.layout == "tensor" and s.dtype in SHARED_DTYPES,
        says="pyarrow.Tensor: the same memory as a fixed-shape tensor array",
        then=lambda s, o: as_kind(s, "numpy", layout="strided"),
        apply=lambda x, s, o: x.to_numpy(),
    ),
    *NUMPY_TO_ARROW,
    Rule(
        name="chunked",
        when=lambda s, o: "chunked" in s.flags,
        action="copy",
        reason="chunked",
        says="the values lie in several chunks, and an array is one",
        remedy="convert chunk by chunk, or combine_chunks() once where it is read",
        then=_settled("chunked"),
        apply=_combined,
    ),
    Rule(
        name="sole-chunk",
        when=lambda s, o: "sole-chunk" in s.flags,
        says="a chunked array with one filled chunk is that chunk",
        then=_settled("sole-chunk"),
        apply=lambda x, s, o: sole_chunk(x),
    ),
    Rule(
        name="asked",
        when=lambda s, o: s.kind == "arrow" and o.copy == "always" and "scalar" not in s.flags,
        action="copy",
        reason="asked",
        says='copy="always"',
        apply=_own_array,
    ),
)
