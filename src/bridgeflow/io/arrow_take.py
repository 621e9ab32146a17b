"""Rows of any Arrow column, in any order, for the types that pyarrow's `take` has no kernel for.

These are views of text and bytes, run-end-encoded columns, and whatever contains one of them. All other types go to
pyarrow. Layout: https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from pyarrow import compute

__all__ = ["no_rows", "referenced_nbytes", "remembered_by_type", "take"]

_Result = TypeVar("_Result")

_VIEW = np.dtype("V16")
"""An element of a view of text or bytes: its length, and its bytes or where they are."""


def remembered_by_type(function: Callable[[pa.DataType], _Result]) -> Callable[[pa.DataType], _Result]:
    """Decorator: compute a function of a type once, because a file may have thousands of columns of the same."""
    remembered = lru_cache(maxsize=1024)(function)

    @wraps(function)
    def call(type: pa.DataType) -> _Result:
        try:
            return remembered(type)
        except TypeError:  # an extension type of a user's own need not be hashable
            return function(type)

    return call


def no_rows(type: pa.DataType) -> pa.Array:
    """A column without rows, of any type.

    >>> no_rows(pa.dictionary(pa.int8(), pa.string_view())).type
    DictionaryType(dictionary<values=string_view, indices=int8, ordered=0>)
    """
    if isinstance(type, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(type, no_rows(type.storage_type))
    if pa.types.is_run_end_encoded(type):
        return pa.RunEndEncodedArray.from_arrays(no_rows(type.run_end_type), no_rows(type.value_type), type)
    if pa.types.is_struct(type):
        children = [no_rows(field.type) for field in type]
        return pa.StructArray.from_buffers(type, 0, [None], children=children)
    if _is_list(type):
        offsets = pa.py_buffer(bytes(_offset(type).itemsize))
        return pa.Array.from_buffers(type, 0, [None, offsets], children=[no_rows(type.field(0).type)])
    return pa.nulls(0, type)


def take(column: pa.Array, indices: Any) -> pa.Array:
    """The rows at `indices` (int64, in range), in their order.

    >>> take(pa.array(["a", "b", "c"], pa.string_view()), np.array([2, 0])).to_pylist()
    ['c', 'a']
    """
    if not len(indices):
        return no_rows(column.type)
    if _has_kernel(column.type):
        return column.take(pa.array(indices))
    return _take(column, indices)


def referenced_nbytes(column: pa.Array) -> int:
    """Bytes that the rows of a column are, each of them by itself, where rows may share what they refer to: in views of
    text, views of lists, dictionaries and runs. 0 for all other types, whose rows are no more than their buffers.
    """
    type = column.type
    if isinstance(type, pa.BaseExtensionType):
        return referenced_nbytes(column.storage)
    if not len(column) or not _shares(type):
        return 0
    if pa.types.is_string_view(type) or pa.types.is_binary_view(type):
        words = np.frombuffer(column.buffers()[1], np.int32)[4 * column.offset :][: 4 * len(column) : 4]
        return int(words.sum(dtype=np.int64))
    if _is_list_view(type):
        sizes = np.frombuffer(column.buffers()[2], "int64" if pa.types.is_large_list_view(type) else "int32")
        return int(sizes[column.offset :][: len(column)].sum(dtype=np.int64)) * _mean_nbytes(column.values)
    if pa.types.is_dictionary(type):
        if not len(column.dictionary):
            return 0
        if _is_text(column.dictionary.type):
            lengths = np.asarray(compute.binary_length(column.dictionary).fill_null(0)).astype(np.int64)
            return int(lengths[np.asarray(column.indices.fill_null(0))].sum())
        return len(column) * _mean_nbytes(column.dictionary)
    if pa.types.is_run_end_encoded(type):
        return len(column) * _mean_nbytes(column.values)
    if pa.types.is_union(type) or pa.types.is_struct(type):
        return sum(referenced_nbytes(column.field(child)) for child in range(type.num_fields))
    children = [column.keys, column.items] if pa.types.is_map(type) else [column.values]
    return sum(map(referenced_nbytes, children))


def _mean_nbytes(values: pa.Array) -> int:
    return -(-int(values.nbytes) // max(len(values), 1))


def _is_text(type: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(each(type) for each in tests)


@remembered_by_type
def _shares(type: pa.DataType) -> bool:
    if isinstance(type, pa.BaseExtensionType):
        return _shares(type.storage_type)
    own = (pa.types.is_string_view, pa.types.is_binary_view, pa.types.is_dictionary, pa.types.is_run_end_encoded)
    if any(each(type) for each in own) or _is_list_view(type):
        return True
    return any(_shares(type.field(child).type) for child in range(type.num_fields))


@remembered_by_type
def _has_kernel(type: pa.DataType) -> bool:
    if isinstance(type, pa.BaseExtensionType):
        return _has_kernel(type.storage_type)
    if pa.types.is_string_view(type) or pa.types.is_binary_view(type) or pa.types.is_run_end_encoded(type):
        return False
    if _is_list_view(type) or pa.types.is_dictionary(type):
        return True  # what they refer to stays where it is
    return all(_has_kernel(type.field(child).type) for child in range(type.num_fields))


def _take(column: pa.Array, indices: Any) -> pa.Array:
    type, count = column.type, len(indices)
    if isinstance(type, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(type, take(column.storage, indices))
    if pa.types.is_run_end_encoded(type):
        return _runs(column, indices)
    if pa.types.is_union(type):
        return _union(column, indices)
    validity = _validity(column, indices)
    if pa.types.is_struct(type):
        children = [take(column.field(child), indices) for child in range(type.num_fields)]
        return pa.StructArray.from_buffers(type, count, [validity], children=children)
    if pa.types.is_fixed_size_list(type):
        size = type.list_size
        places = ((indices + column.offset)[:, None] * size + np.arange(size)).reshape(-1)
        # `values` ignores the offset of the lists
        return pa.Array.from_buffers(type, count, [validity], children=[take(column.values, places)])
    if _is_list(type):
        return _lists(column, indices, validity)
    _, views, *data = column.buffers()
    chosen = np.frombuffer(views, _VIEW, column.offset + len(column))[indices + column.offset]
    return pa.Array.from_buffers(type, count, [validity, pa.py_buffer(chosen.view(np.uint8)), *data])


def _lists(column: pa.Array, indices: Any, validity: pa.Buffer | None) -> pa.Array:
    dtype = _offset(column.type)
    bounds = np.frombuffer(column.buffers()[1], dtype, column.offset + len(column) + 1)[column.offset :]
    starts, lengths = bounds[indices].astype(np.int64), (bounds[indices + 1] - bounds[indices]).astype(np.int64)
    if validity is not None:
        lengths[~_valid(column, indices)] = 0  # a null may have a length, which does not count
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    if total > np.iinfo(dtype).max:
        raise ValueError(f"lists of {total:,} values in all are longer than {column.type} can say")
    places = np.repeat(starts - (ends - lengths), lengths) + np.arange(total)
    offsets = np.concatenate([[0], ends]).astype(dtype)
    values = _values(column)
    return pa.Array.from_buffers(
        column.type, len(indices), [validity, pa.py_buffer(offsets)], children=[take(values, places)]
    )


def _values(column: pa.Array) -> pa.Array:
    """What the offsets of lists and maps refer to."""
    if not pa.types.is_map(column.type):
        return column.values
    entries = column.type.field(0).type
    return pa.StructArray.from_arrays([column.keys, column.items], fields=list(entries))


def _runs(column: pa.Array, indices: Any) -> pa.Array:
    """The runs that hold the rows, where equal neighbours stay one run."""
    type = column.type
    ends = np.asarray(column.run_ends)
    runs = np.searchsorted(ends, indices + column.offset, "right")
    first = np.ones(len(runs), bool)
    first[1:] = runs[1:] != runs[:-1]
    stops = np.append(np.flatnonzero(first)[1:], len(runs)) if len(runs) else np.empty(0, np.int64)
    if len(runs) > np.iinfo(ends.dtype).max:
        raise ValueError(f"{len(runs):,} rows are more than the run ends of {type} can say")
    return pa.RunEndEncodedArray.from_arrays(pa.array(stops.astype(ends.dtype)), take(column.values, runs[first]), type)


def _union(column: pa.Array, indices: Any) -> pa.Array:
    """The rows of each child: of a dense union those that are chosen, one after the other; of a sparse one all."""
    type = column.type
    buffers = column.buffers()  # the properties of a column that was cut ignore where it begins
    codes = np.frombuffer(buffers[1], np.int8)[indices + column.offset]
    names = [field.name for field in type]
    children = [column.field(child) for child in range(type.num_fields)]
    if type.mode == "sparse":
        chosen = [take(child, indices) for child in children]
        return pa.UnionArray.from_sparse(pa.array(codes), chosen, names, type.type_codes).cast(type)
    places = np.frombuffer(buffers[2], np.int32)[indices + column.offset].astype(np.int64)
    offsets = np.zeros(len(codes), np.int32)
    for number, code in enumerate(type.type_codes):
        mine = codes == code
        children[number] = take(children[number], places[mine])
        offsets[mine] = np.arange(int(mine.sum()))
    return pa.UnionArray.from_dense(pa.array(codes), pa.array(offsets), children, names, type.type_codes).cast(type)


def _valid(column: pa.Array, indices: Any) -> Any:
    return np.asarray(column.is_valid())[indices]


def _validity(column: pa.Array, indices: Any) -> pa.Buffer | None:
    """The bitmap of the rows; `None` where all of them are valid."""
    if not column.null_count:
        return None
    return pa.array(_valid(column, indices)).buffers()[1]


def _is_list(type: pa.DataType) -> bool:
    return bool(pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_map(type))


def _is_list_view(type: pa.DataType) -> bool:
    return bool(pa.types.is_list_view(type) or pa.types.is_large_list_view(type))


def _offset(type: pa.DataType) -> np.dtype[Any]:
    return np.dtype("int64" if pa.types.is_large_list(type) else "int32")
