"""Where the values of an Arrow array lie: its `ArraySpec`, and its buffers as ndarrays.

An Arrow array is decoded here from its buffers rather than by pyarrow's own conversions, several of which decode a
dictionary under "zero copy", drop masks and child nulls, or mix up tensor permutations. `levels` peels tensors and
fixed-size lists down to one primitive array; everything else follows from that.

Element types that Arrow has not (complex, bfloat16, float8, and bool as bytes with more than one axis) travel as
`pa.opaque` over nested fixed-size lists, vendor "bridgeflow", the type's name saying what they are: any Arrow reader
keeps it, and we read it back as it went.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa

from bridgeflow.bridge.descriptions import describe_numpy
from bridgeflow.bridge.dtypes import CARRIED, SHARED_DTYPES
from bridgeflow.bridge.rules import LISTS
from bridgeflow.errors import NoRoute
from bridgeflow.spec import ArraySpec, Shape

__all__ = [
    "ARROW_TYPES",
    "COMPLEX",
    "PRIMITIVES",
    "STORED",
    "VENDOR",
    "bytes_as",
    "decode",
    "describe_arrow",
    "element_of",
    "joined",
    "levels",
    "null_mask",
    "raw",
    "rows_of",
    "sole_chunk",
    "written_out",
]

VENDOR = "bridgeflow"

COMPLEX = {"complex64": "float32", "complex128": "float64"}

STORED = {"bool": "int8", "bfloat16": "uint16", **{name: "uint8" for name in CARRIED if name.startswith("float8")}}
"""Element types kept as another of the same size, and which."""

PRIMITIVES = {
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

ARROW_TYPES = {
    **{name: getattr(pa, name)() for name in PRIMITIVES.values() if not name.startswith("float")},
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}


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
    def supported(self) -> bool:
        """Whether NumPy (or torch, by its bits) can hold it."""
        return (
            self.dtype in SHARED_DTYPES or self.dtype in CARRIED or self.dtype.startswith(("datetime64", "timedelta64"))
        )


def element_of(kind: pa.DataType) -> _Element:
    """What the values of a (non-list) Arrow type are in NumPy's words."""
    try:
        return _element_of(kind)
    except TypeError:  # a user's extension type, somewhere inside: those need not be hashable
        return _other(kind)


def _other(kind: pa.DataType) -> _Element:
    return _Element(str(kind), "", layout="other")


@lru_cache(maxsize=1024)
def _element_of(kind: pa.DataType) -> _Element:
    types = pa.types
    if kind.id in PRIMITIVES:
        name = PRIMITIVES[kind.id]
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
    if not below.supported or below.encoding or below.permutation:
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
    if name and (not element.supported or element.encoding or element.permutation):
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
    if layout in LISTS or element.supported:
        flags |= {"child-nulls"} if any(_inner_nulls(chunk) for chunk in chunks) else set()
    if dtype in COMPLEX and any(_misaligned(chunk, np.dtype(dtype).itemsize) for chunk in chunks):
        flags.add("unaligned")
    if pa.types.is_timestamp(x.type) and x.type.tz:
        flags.add("timezone")
    rows = sum(int(_placed(chunk)[1][-1]) for chunk in chunks) if name else len(x)
    nbytes = np.dtype(element.stored).itemsize * rows * prod(element.inner) if element.supported else x.nbytes
    return ArraySpec(
        kind="arrow",
        dtype=dtype,
        shape=inner if "scalar" in flags else (len(x), *inner),
        writable=False,
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
    if not isinstance(x, pa.ChunkedArray):
        return x
    try:
        return x.combine_chunks()
    except pa.ArrowNotImplementedError:  # dictionaries of nested values, which pyarrow does not merge
        return pa.concat_arrays([decode(chunk) for chunk in x.chunks])


def written_out(x: Any) -> pa.Array:
    """The same with what stands for the values, a dictionary or runs, decoded."""
    return decode(joined(x))


def decode(x: pa.Array) -> pa.Array:
    """A dictionary or run-end encoded array with its values written out; any other array as it is.

    Raises:
        NoRoute: indices outside the dictionary, or run ends that decrease or do not reach the end.
    """
    try:
        if isinstance(x, pa.DictionaryArray):
            return x.dictionary_decode()
        if not isinstance(x, pa.RunEndEncodedArray):
            return x
        ends = np.clip(x.run_ends.to_numpy() - x.offset, 0, len(x))  # of the whole array, however it is sliced
        values = x.values.take(pa.array(np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))))
        if len(values) == len(x):
            return values
    except (IndexError, ValueError):
        pass
    what = "the indices point outside the dictionary, or the run ends do not divide the rows"
    raise NoRoute("offsets", what, "the file or its producer is damaged")


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
        return _inner_nulls(x.dictionary) and _inner_nulls(decode(x))
    if isinstance(x, pa.RunEndEncodedArray):
        return _inner_nulls(x.values) and _inner_nulls(decode(x))
    return any(level.null_count for level in list(levels(x))[1:])


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
    """Where the rows of a list array lie in its values (the first position if they follow each other, else all
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


def raw(x: pa.Array, spec: ArraySpec) -> Any:
    """The values as an ndarray in the shape of `spec` (a scalar is one row without its axis), nulls read as whatever
    lies there; a view where Arrow's bytes are NumPy's, read-only.
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
        values = bytes_as(np.dtype(element.stored), bottom, prod(shape))
    values = values.reshape(shape)
    if element.permutation:
        values = values.transpose(0, *(axis + 1 for axis in element.permutation))
    values = values.reshape(tuple(n for n in spec.shape if n is not None))
    if element.layout == "narrow":
        values = values.astype(element.dtype)
    elif element.dtype == "bool":
        values = values.view(bool)
    return values


def bytes_as(dtype: np.dtype[Any], bottom: pa.Array, count: int) -> Any:
    """`count` values of a primitive array's data buffer, read-only; the ndarray holds it."""
    buffer = bottom.buffers()[1]
    if buffer is None or count == 0:
        values = np.zeros(count, dtype)
    else:
        values = np.frombuffer(buffer, dtype, count=count, offset=bottom.offset * bottom.type.bit_width // 8)
    values.flags.writeable = False
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
