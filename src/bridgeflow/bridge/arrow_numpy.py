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
import pyarrow.compute as pc

from bridgeflow.bridge.numpy_torch import CARRIED, SHARED_DTYPES
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
    """The primitive at the bottom of a type: its NumPy name, how it is stored, and the axes above it."""

    dtype: str
    stored: str
    inner: tuple[int, ...] = ()
    permutation: tuple[int, ...] = ()
    layout: str = "strided"

    @property
    def known(self) -> bool:
        """Whether NumPy (or torch, by its bits) can hold it."""
        return (
            self.dtype in SHARED_DTYPES or self.dtype in CARRIED or self.dtype.startswith(("datetime64", "timedelta64"))
        )


@lru_cache(maxsize=1024)
def element_of(kind: pa.DataType) -> _Element:
    """What the values of a (non-list) Arrow type are in NumPy's words."""
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
    if types.is_dictionary(kind):
        return replace(element_of(kind.value_type), layout="dictionary")
    if types.is_run_end_encoded(kind):
        return replace(element_of(kind.value_type), layout="run-end")
    if types.is_fixed_size_list(kind):
        below = element_of(kind.value_type)
        if below.layout not in {"strided", "bit-packed", "narrow"} or below.permutation:
            return _Element(str(kind), "", layout="other")
        return replace(below, inner=(kind.list_size, *below.inner))
    if isinstance(kind, pa.FixedShapeTensorType):
        below = element_of(kind.value_type)
        shape, order = tuple(kind.shape), tuple(kind.permutation or range(len(kind.shape)))
        identity = order == tuple(range(len(order)))
        return replace(below, inner=shape, permutation=() if identity else order)
    if isinstance(kind, pa.Bool8Type):
        return _Element("bool", "bool")
    if isinstance(kind, pa.OpaqueType) and kind.vendor_name == VENDOR:
        below = element_of(kind.storage_type)
        inner = below.inner[:-1] if kind.type_name in COMPLEX else below.inner
        return _Element(kind.type_name, STORED.get(kind.type_name, kind.type_name), inner)
    return _Element(str(kind), "", layout="other")


def describe_arrow(x: Any) -> ArraySpec:
    """The spec of an Arrow array, chunked array, scalar or tensor."""
    if isinstance(x, pa.Tensor):
        return _describe_tensor(x)
    flags: set[str] = set()
    if isinstance(x, pa.Scalar):
        x = pa.repeat(x, 1)
        flags.add("scalar")
    x = sole_chunk(x)
    chunks = x.chunks if isinstance(x, pa.ChunkedArray) else [x]
    if len(chunks) > 1:
        flags.add("chunked")
    name = list_name(x.type)
    element = element_of(x.type.value_type if name else x.type)
    inner: Shape = element.inner
    layout, dtype = element.layout, element.dtype
    if name:
        known = element.known and layout in {"strided", "bit-packed", "narrow"} and not element.permutation
        length = _common_length(chunks)
        inner = (length, *inner)
        flags |= {"ragged"} if length is None else set()
        flags |= {layout} & {"narrow", "bit-packed"}
        layout, dtype = name, (dtype if known else str(x.type))
    elif element.permutation:
        flags.add("permuted" if _is_involution(element.permutation) else "ambiguous-permutation")
        inner = tuple(element.inner[axis] for axis in element.permutation)
    if layout in LISTS or element.known:
        flags |= {"child-nulls"} if any(_inner_nulls(chunk) for chunk in chunks) else set()
    if pa.types.is_timestamp(x.type) and x.type.tz:
        flags.add("timezone")
    spec = ArraySpec(
        kind="arrow",
        dtype=dtype,
        shape=inner if "scalar" in flags else (len(x), *inner),
        writable=False,
        flags=frozenset(flags),
        null_count=sum(_null_rows(chunk) for chunk in chunks),
        layout=layout,
    )
    if name and spec.expected_nbytes() is None:
        values = sum(len(rows_of(chunk)[0]) for chunk in chunks)
        return replace(spec, nbytes=spec.fresh(shape=(values, *inner[1:])).nbytes)
    nbytes = spec.expected_nbytes() if element.known else x.nbytes
    return replace(spec, nbytes=nbytes // 2 if nbytes and element.layout == "narrow" else nbytes)


def _describe_tensor(x: Any) -> ArraySpec:
    return ArraySpec(
        kind="arrow",
        dtype=_PRIMITIVES.get(x.type.id, str(x.type)),
        shape=tuple(x.shape),
        strides=tuple(x.strides),
        writable=x.is_mutable,
        layout="tensor",
        nbytes=x.size * x.type.byte_width,
    )


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
    return filled[0] if filled else pa.array([], type=x.type)


def joined(x: Any) -> pa.Array:
    """A scalar, an array or a chunked array as one array."""
    x = pa.repeat(x, 1) if isinstance(x, pa.Scalar) else sole_chunk(x)
    return x.combine_chunks() if isinstance(x, pa.ChunkedArray) else x


def _common_length(chunks: list[Any]) -> int | None:
    """The length that all rows share, 0 where there is no row, `None` where they differ."""
    lengths = {int(n) for chunk in chunks for n in np.unique(np.diff(rows_of(chunk)[1]))}
    return None if len(lengths) > 1 else lengths.pop() if lengths else 0


def _null_rows(x: pa.Array) -> int:
    """How many rows are null, also where the null is in a dictionary or a run."""
    if isinstance(x, pa.DictionaryArray):
        return int(x.dictionary_decode().null_count if x.dictionary.null_count else x.null_count)
    if isinstance(x, pa.RunEndEncodedArray):
        return int(pc.run_end_decode(x).null_count if x.values.null_count else 0)
    return int(x.null_count)


def _inner_nulls(x: pa.Array) -> bool:
    """Whether anything below the rows is null: pyarrow's own conversions read such elements as stale bytes."""
    if list_name(x.type):
        values, _ = rows_of(x)
        return any(level.null_count for level in levels(values))
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
        NoRoute: offsets that decrease or point outside the values; pyarrow does not check, and torch reads what is
            there.
    """
    if list_name(x.type).endswith("_view"):
        lengths = pc.list_value_length(x).fill_null(0).to_numpy(zero_copy_only=False)
        return x.flatten(), np.concatenate([[0], np.cumsum(lengths)])
    offsets = raw(x.offsets, describe_arrow(x.offsets)) if len(x) else np.zeros(1, np.int64)
    start, stop = int(offsets[0]), int(offsets[-1])
    if start < 0 or stop > len(x.values) or (np.diff(offsets) < 0).any():
        raise NoRoute(
            "offsets", "the list offsets decrease or point outside the values", "the file or its producer is damaged"
        )
    return x.values.slice(start, stop - start), offsets - start if start else offsets


def raw(x: pa.Array, spec: ArraySpec) -> Any:
    """The values as an ndarray in the shape of `spec`, nulls read as whatever lies there; a read-only view where
    Arrow's bytes are NumPy's.
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
    if element.layout == "narrow":
        values = values.astype(element.dtype)
    elif element.dtype == "bool":
        values = values.view(bool)
    return values


def _bytes_as(dtype: np.dtype[Any], bottom: pa.Array, count: int) -> Any:
    """`count` values of a primitive array's data buffer, read-only; the ndarray holds the buffer."""
    buffer = bottom.buffers()[1]
    if buffer is None or count == 0:
        return np.zeros(count, dtype)
    values = np.frombuffer(buffer, dtype, count=count, offset=bottom.offset * bottom.type.bit_width // 8)
    values.flags.writeable = False
    return values


def null_mask(x: pa.Array, spec: ArraySpec) -> Any:
    """True where an element, or a row or inner list around it, is null; in the shape of `spec`."""
    shape = tuple(n for n in spec.shape if n is not None)
    mask = np.zeros(prod(shape), bool)
    above = levels(x)
    if spec.layout in LISTS:
        mask |= np.repeat(_nulls(x), mask.size // max(len(x), 1))
        above = levels(rows_of(x)[0])
    for level in above:
        if level.null_count:
            nulls = _nulls(level)
            each = mask.size // len(level)
            mask |= np.repeat(nulls, each) if each else nulls.reshape(mask.size, -1).any(axis=1)
    order = element_of(x.type).permutation
    if not order:
        return mask.reshape(shape)
    return mask.reshape(len(x), *element_of(x.type).inner).transpose(0, *(axis + 1 for axis in order))


def _nulls(x: pa.Array) -> Any:
    return x.is_null().to_numpy(zero_copy_only=False)


def _plain_view(x: pa.Array) -> Any:
    """A primitive array as an ndarray, unless it has nulls."""
    return None if x.null_count else x.to_numpy()


def _tensor_view(x: pa.Array) -> Any:
    """A tensor array as an ndarray, unless it has nulls at any depth, axes out of order, or values that are no plain
    numbers.
    """
    element = element_of(x.type)
    if element.permutation or element.layout != "strided" or element.dtype not in _ARROW_TYPES or x.null_count:
        return None
    storage, size = x.storage, prod(element.inner)
    values = storage.values
    if values.null_count:
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


def _fill_value(spec: ArraySpec, options: Options) -> Any:
    """What null elements become, as a scalar of the element type; `None` where the type cannot hold it."""
    fill = options.nulls
    if fill == "mask":
        return np.zeros((), spec.dtype) if spec.dtype not in CARRIED else np.zeros((), STORED[spec.dtype])
    if spec.dtype in CARRIED:
        return None
    if fill == "nan":
        instant = spec.dtype.startswith(("datetime64", "timedelta64"))
        if not instant and not spec.dtype.startswith(("float", "complex")):
            return None
        return np.array("NaT" if instant else np.nan, spec.dtype)
    if isinstance(fill, str) or spec.dtype.startswith(("datetime64", "timedelta64")):
        return None
    with np.errstate(all="ignore"):
        try:
            value = np.asarray(fill).astype(spec.dtype)
        except (OverflowError, ValueError):
            return None
    return (
        value
        if np.isnan(fill) or value == fill or (spec.dtype.startswith(("float", "complex")) and np.isfinite(value))
        else None
    )


def _filled(x: pa.Array, spec: ArraySpec, options: Options) -> Any:
    values = np.array(raw(x, spec), order="C")
    values[null_mask(x, spec)] = _fill_value(spec, options)
    return values


def _decoded(spec: ArraySpec, _options: Options) -> ArraySpec:
    """NumPy over Arrow's own bytes: read-only, C order but for a permutation."""
    return as_kind(spec, "numpy", strides=None, flags=frozenset(), layout="strided", null_count=0)


def _in_numpy(spec: ArraySpec, _options: Options) -> ArraySpec:
    return spec.fresh(kind="numpy", layout="strided", null_count=0)


def _numeric(spec: ArraySpec) -> bool:
    return spec.dtype in SHARED_DTYPES or spec.dtype in CARRIED or spec.dtype.startswith(("datetime64", "timedelta64"))


def _plain(x: Any, _spec: ArraySpec, _options: Options) -> Any:
    """Decode what stands for the values: dictionary, runs."""
    return x.dictionary_decode() if isinstance(x, pa.DictionaryArray) else pc.run_end_decode(x)


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
        when=lambda s, o: s.kind == "arrow" and s.layout != "tensor",
        says="a chunked array with one filled chunk is that chunk",
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
        apply=_plain,
    ),
    Rule(
        name="list-view",
        when=lambda s, o: s.layout.endswith("list_view") and "ragged" not in s.flags,
        action="copy",
        reason="layout",
        says="a list view's rows may lie in any order; they are gathered",
        then=_in_numpy,
        apply=lambda x, s, o: _filled(x, s, o) if _has_nulls(s) else raw(x, s),
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
        when=lambda s, o: _has_nulls(s) and _fill_value(s, o) is not None,
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
        says="the same memory, read-only (instants in UTC, without their time zone)",
        then=_decoded,
        apply=lambda x, s, o: raw(x, s),
    ),
    Rule(
        name="zero-dim",
        when=lambda s, o: s.shape == (),
        says="one value, without axes",
        apply=lambda x, s, o: x.reshape(()),
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
    if spec.shape == ():
        return from_numpy(x.reshape(1), spec.dtype)[0]
    return from_numpy(x, spec.dtype)


def _from_days(x: Any, spec: ArraySpec, _options: Options) -> Any:
    if spec.ndim != 1:
        raise NoRoute("dtype", "dates of more than one axis have no Arrow tensor", "x.astype('datetime64[s]')")
    return pa.array(x)


NUMPY_TO_ARROW = (
    Rule(
        name="masked",
        when=lambda s, o: "masked" in s.flags and s.ndim == 1 and s.dtype in _ARROW_TYPES and o.copy != "always",
        says="the same values, and the mask as Arrow's nulls",
        then=lambda s, o: as_kind(s, "arrow", strides=None, writable=False, flags=frozenset()),
        apply=lambda x, s, o: pa.array(x),
    ),
    Rule(
        name="masked-tensor",
        when=lambda s, o: "masked" in s.flags and s.kind == "numpy",
        action="refuse",
        reason="masked",
        says="Arrow tensors have no nulls, and the mask would be lost",
        remedy="x.filled(value), or convert x.data and x.mask apart",
    ),
    Rule(
        name="byte-order",
        when=lambda s, o: "byte-order" in s.flags,
        action="copy",
        reason="byte-order",
        says="the array is stored in the other byte order than this machine's",
        remedy="x.astype(x.dtype.newbyteorder('=')), once, where it is read",
        then=lambda s, o: s.fresh(),
        apply=lambda x, s, o: x.astype(x.dtype.newbyteorder("=")),
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
        then=lambda s, o: s.fresh(),
        apply=lambda x, s, o: np.array(x, order="C"),
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
        then=lambda s, o: s.fresh(),
        apply=lambda x, s, o: np.array(x, order="C"),
    ),
    Rule(
        name="share",
        when=lambda s, o: s.kind == "numpy",
        says="Arrow buffers over the same memory",
        then=_arrow_spec,
        apply=lambda x, s, o: _to_arrow(np.asarray(x), s, o),
    ),
)

ARROW_TO_ARROW = (
    Rule(
        name="tensor",
        when=lambda s, o: s.layout == "tensor" and s.dtype in SHARED_DTYPES,
        says="pyarrow.Tensor: the same memory as a fixed-shape tensor array",
        then=lambda s, o: as_kind(s, "numpy", layout="strided", flags=_contiguity(s), writable=s.writable),
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
        when=lambda s, o: s.kind == "arrow",
        says="a chunked array with one filled chunk is that chunk",
        apply=lambda x, s, o: sole_chunk(x),
    ),
    Rule(
        name="asked",
        when=lambda s, o: s.kind == "arrow" and o.copy == "always" and "scalar" not in s.flags,
        action="copy",
        reason="asked",
        says='copy="always"',
        apply=lambda x, s, o: pa.concat_arrays([x]),
    ),
)


def _contiguity(spec: ArraySpec) -> frozenset[str]:
    """Whether a tensor's strides are those of C order."""
    expected, step = [], spec.expected_nbytes() and 1
    size = (spec.nbytes or 0) // max(prod(n for n in spec.shape if n is not None), 1)
    step = size
    for length in reversed(spec.shape):
        expected.append(step)
        step *= length or 1
    return frozenset() if tuple(reversed(expected)) == spec.strides else frozenset({"non-contiguous"})
