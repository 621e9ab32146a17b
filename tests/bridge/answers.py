"""Answers of other libraries: values, element types and addresses, asked of the libraries and never of the bridge."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import ml_dtypes
import numpy as np
import polars as pl
import pyarrow as pa
import torch
from numpy.lib.array_utils import byte_bounds

from bridgeflow.bridge import Shared
from tests.bridge.producers import ArrayProducer, Producer, StreamProducer

NAT = -(2**63)
"""NaT as the ticks that torch sees."""


# --- values -----------------------------------------------------------------------------------------------------------


def values(x: Any) -> Any:
    """An array's elements as nested Python lists: numbers as numbers, datetimes as ticks, nulls as None."""
    if isinstance(x, torch.Tensor):
        return _of_torch(x)
    if isinstance(x, np.ma.MaskedArray):
        return x.tolist()
    if isinstance(x, (np.ndarray, np.generic)):
        return _of_numpy(np.asarray(x))
    if isinstance(x, pa.ChunkedArray):
        return [row for chunk in x.chunks for row in _of_arrow(chunk)]
    if isinstance(x, pa.Scalar):
        return _of_arrow(pa.repeat(x, 1))[0]
    if isinstance(x, pa.Tensor):
        return x.to_numpy().tolist()
    if isinstance(x, pa.Array):
        return _of_arrow(x)
    if isinstance(x, tuple):  # Masked, Padded: field by field
        return [values(field) for field in x]
    if isinstance(x, list):  # one array per row
        return [values(row) for row in x]
    raise TypeError(type(x))


def _of_torch(t: torch.Tensor) -> Any:
    t = t.detach()
    if t.is_nested:
        return [_of_torch(row) for row in t.unbind()]
    if t.dtype == torch.complex32:
        return t.to(torch.complex64).tolist()
    if t.dtype == torch.bfloat16 or str(t.dtype).startswith("torch.float8"):
        return t.float().tolist()
    return t.tolist()


def _of_numpy(x: np.ndarray) -> Any:
    if x.dtype.kind in "mM":
        return x.view("i8").tolist() if x.dtype.isnative else x.astype(x.dtype.newbyteorder("=")).view("i8").tolist()
    if x.dtype.name == "bfloat16" or x.dtype.name.startswith("float8"):
        return x.astype(np.float32).tolist()
    return x.tolist()


def _of_arrow(x: pa.Array) -> list[Any]:
    if isinstance(x, pa.FixedShapeTensorArray):
        return _tensors(x)
    if isinstance(x, pa.OpaqueArray):
        decode = _DECODERS[x.type.type_name]
        depth = _depth(x.type.storage_type) - (x.type.type_name in ("complex64", "complex128"))
        return [_at_depth(decode, row, depth) for row in x.storage.to_pylist()]
    if pa.types.is_temporal(x.type):
        return x.cast(pa.int64() if x.type.bit_width == 64 else pa.int32()).to_pylist()
    if pa.types.is_dictionary(x.type):
        return _of_arrow(x.dictionary_decode())
    if pa.types.is_list(x.type) or pa.types.is_large_list(x.type):
        rows, offsets = _of_arrow(x.values), x.offsets.to_pylist()
        return [rows[a:b] if ok.as_py() else None for (a, b), ok in zip(pairwise(offsets), x.is_valid(), strict=True)]
    return x.to_pylist()


def _tensors(x: pa.FixedShapeTensorArray) -> list[Any]:
    """pyarrow's own reading is right for permutations that are their own inverse and where no element is null."""
    flat = _of_arrow(x.storage.flatten())
    shape, order = tuple(x.type.shape), x.type.permutation or range(len(x.type.shape))
    assert x.null_count == 0
    stored = np.empty(len(flat), object)
    stored[:] = flat
    return stored.reshape(len(x), *shape).transpose(0, *(axis + 1 for axis in order)).tolist()


def _depth(kind: pa.DataType) -> int:
    return 1 + _depth(kind.value_type) if pa.types.is_fixed_size_list(kind) else 0


def _at_depth(decode: Any, row: Any, depth: int) -> Any:
    return [_at_depth(decode, inner, depth - 1) for inner in row] if depth else decode(row)


def _bfloat16(code: int) -> float:
    return struct.unpack("<f", struct.pack("<I", code << 16))[0]


def _float8(name: str) -> Any:
    kind = getattr(ml_dtypes, name)
    return lambda code: float(np.array([code], np.uint8).view(kind).astype(np.float32)[0])


_FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")
_DECODERS = {
    "complex64": lambda pair: complex(*pair),
    "complex128": lambda pair: complex(*pair),
    "bool": bool,
    "bfloat16": _bfloat16,
    **{name: _float8(name) for name in _FLOAT8},
}


def same(one: Any, other: Any) -> bool:
    """Whether nested lists hold the same numbers, NaN being equal to NaN and -0.0 not to 0.0."""
    if isinstance(one, (list, tuple)):
        return isinstance(other, (list, tuple)) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, complex) or isinstance(other, complex):
        one, other = complex(one), complex(other)
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, float) or isinstance(other, float):
        return str(float(one)) == str(float(other))
    return type(one) is type(other) and bool(one == other)


# --- element types ----------------------------------------------------------------------------------------------------


def dtype(x: Any) -> str:
    """The element type of a result, in NumPy's words and, where it has none, torch's."""
    if isinstance(x, torch.Tensor):
        return str(x.dtype).removeprefix("torch.")
    if isinstance(x, (np.ndarray, np.generic)):
        return x.dtype.name
    if isinstance(x, (tuple, list)):  # Masked, Padded: of the values; a list: of any row
        return dtype(x[0])
    return _arrow_dtype(x.type)


def _arrow_dtype(kind: pa.DataType) -> str:
    types = pa.types
    if isinstance(kind, pa.OpaqueType):
        return kind.type_name
    if isinstance(kind, pa.Bool8Type):
        return "bool"
    if isinstance(kind, pa.FixedShapeTensorType) or types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _arrow_dtype(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind) or "list_view" in str(kind):
        return _arrow_dtype(kind.value_type)
    if types.is_timestamp(kind):
        return f"datetime64[{kind.unit}]"
    if types.is_duration(kind):
        return f"timedelta64[{kind.unit}]"
    if types.is_date32(kind):
        return "datetime64[D]"
    return {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(kind), str(kind))


# --- addresses --------------------------------------------------------------------------------------------------------


def memory(x: Any) -> list[tuple[int, int]]:
    """The address ranges that belong to an array: everything a view of it may lie in."""
    return [span for span in _memory(x) if span[0] != span[1]]


def _memory(x: Any) -> Iterator[tuple[int, int]]:
    if isinstance(x, torch.Tensor):
        if x.is_nested:
            yield from _memory(x.values() if x.layout == torch.jagged else x.unbind()[0])
        elif has_address(x):
            storage = x.untyped_storage()
            yield storage.data_ptr(), storage.data_ptr() + storage.nbytes()
    elif isinstance(x, np.ndarray):
        if x.size:
            yield byte_bounds(x)
    elif isinstance(x, (pa.Array, pa.ChunkedArray)):
        for chunk in x.chunks if isinstance(x, pa.ChunkedArray) else [x]:
            plain = chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk
            for buffer in plain.buffers():
                if buffer is not None:
                    yield buffer.address, buffer.address + buffer.size
            if isinstance(plain, pa.DictionaryArray):
                yield from _memory(plain.dictionary)
    elif isinstance(x, pa.Tensor):
        yield from _memory(x.to_numpy())
    elif isinstance(x, (Producer, ArrayProducer, StreamProducer)):
        yield from _memory(x.array)
    elif isinstance(x, Shared):
        yield from _memory(x.numpy)
    elif isinstance(x, pl.Series):
        yield from _memory(pa.chunked_array(x))
    elif isinstance(x, (array, memoryview)):
        yield from _memory(np.asarray(x))
    elif isinstance(x, list):
        for row in x:
            yield from _memory(row)


def has_address(t: torch.Tensor) -> bool:
    """Whether it has memory that may be asked for; fake tensors warn, wrappers and lazy parameters raise."""
    if type(t).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__ or type(t).__name__.startswith("Uninit"):
        return False
    return t.layout == torch.strided and t.device.type == "cpu" and not t._is_zerotensor()


def payload(x: Any) -> list[tuple[int, int]]:
    """The address ranges of a result's values, without what lies beside them (offsets, lengths, null bitmaps)."""
    if isinstance(x, tuple):
        return payload(x[0])
    if isinstance(x, list):
        return [span for row in x for span in payload(row)]
    if isinstance(x, torch.Tensor):
        if not x.is_nested and not has_address(x):
            return []
        plain = x.detach().values() if x.layout == torch.jagged else x.detach()
        if plain.is_nested:
            return memory(plain)
        item = plain.element_size()
        reach = sum((n - 1) * s for n, s in zip(plain.shape, plain.stride(), strict=True)) + 1
        return [(plain.data_ptr(), plain.data_ptr() + reach * item)] if plain.numel() else []
    if isinstance(x, pa.Scalar):
        return []
    if isinstance(x, pa.Array):
        return _bottom(x)
    return memory(x)


def _bottom(x: pa.Array) -> list[tuple[int, int]]:
    if isinstance(x, pa.ExtensionArray):
        return _bottom(x.storage)
    if pa.types.is_fixed_size_list(x.type):
        return _bottom(x.values.slice(x.offset * x.type.list_size, len(x) * x.type.list_size))
    if pa.types.is_list(x.type) or pa.types.is_large_list(x.type):
        return _bottom(x.values)
    if not len(x) or pa.types.is_nested(x.type) or not pa.types.is_primitive(x.type):
        return []
    size = x.type.bit_width // 8
    start = x.buffers()[1].address + x.offset * size
    return [(start, start + len(x) * size)]


def inside(result: Any, source: Any) -> bool:
    """Whether all values of the result lie in the source's memory."""
    spans = memory(source)
    return all(any(a <= start and stop <= b for a, b in spans) for start, stop in payload(result))


def apart(result: Any, source: Any) -> bool:
    """Whether no value of the result lies in the source's memory."""
    return not any(start < b and a < stop for start, stop in payload(result) for a, b in memory(source))
