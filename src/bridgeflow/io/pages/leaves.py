"""What a column of numbers is in a Parquet file: its leaf in the schema, and the levels of its values.

A footer is data from outside. What is not plainly a column of numbers, or contradicts itself, is `None` here, and
pyarrow reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import pyarrow as pa

from bridgeflow.io.plain import Numbers, numbers

__all__ = ["ChunkPlace", "Leaf", "NumberLeaf", "chunk_places", "full_lists", "leaves_of", "number_leaf"]

_REQUIRED, _OPTIONAL, _REPEATED = range(3)
_MOST_LEVELS = 32

_INT32, _INT64, _FLOAT, _DOUBLE, _BYTES = 1, 2, 4, 5, 7
"""Physical types by their numbers in the format."""

_STORED = {
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16", "uint32"), (_INT32, 4)),
    **dict.fromkeys(("int64", "uint64"), (_INT64, 8)),
    "float": (_FLOAT, 4),
    "double": (_DOUBLE, 8),
    "halffloat": (_BYTES, 2),
}
"""The physical type and the bytes of a value in a page, by Arrow's name of its type; narrow integers have four."""

_CODECS = {0: None, 1: "snappy", 2: "gzip", 6: "zstd", 7: "lz4"}
"""Codecs that are read here, by their numbers in the format."""

_ENCODINGS = frozenset({0, 2, 3, 4, 8, 9})
"""Plain, by dictionary, in split streams of bytes; and the two that writers name for the levels."""


_LONGEST_ROW = 1 << 25
"""Most values of a row, whose levels are laid out once."""


class Leaf(NamedTuple):
    """A leaf of a schema: where it is, what its values are, and its greatest levels."""

    path: tuple[bytes, ...]
    physical: int
    nbytes: int
    most_rep: int
    most_def: int


class NumberLeaf(NamedTuple):
    """A leaf whose rows are numbers of one shape."""

    leaf: Leaf
    shape: tuple[int, ...]
    stored: int
    width: int

    @property
    def row_values(self) -> int:
        """Values of a row."""
        return prod(self.shape)


class ChunkPlace(NamedTuple):
    """Where the pages of a column lie in a row group, and how they are compressed."""

    start: int
    end: int
    values: int
    codec: str | None


def leaves_of(schema: Sequence[Mapping[int, Any]]) -> list[Leaf] | None:
    """The leaves of the schema in a footer, in its order; `None` where it is none."""
    leaves: list[Leaf] = []
    try:
        rest = iter(schema)
        _collect(rest, next(rest)[5], (), 0, 0, leaves)
        return leaves if next(rest, None) is None else None
    except (KeyError, TypeError, StopIteration, RecursionError):
        return None


def _collect(rest: Any, children: int, path: tuple[bytes, ...], rep: int, deep: int, leaves: list[Leaf]) -> None:
    for _ in range(children):
        node = next(rest)
        kind, name = node.get(3, _REQUIRED), (*path, node[4])
        if len(name) > _MOST_LEVELS:
            raise RecursionError
        levels = rep + (kind == _REPEATED), deep + (kind != _REQUIRED)
        if node.get(5):
            _collect(rest, node[5], name, *levels, leaves)
        else:
            leaves.append(Leaf(name, node.get(1, -1), node.get(2, 0), *levels))


def number_leaf(type: pa.DataType, kind: Numbers, leaf: Leaf) -> NumberLeaf | None:
    """What the column of a plain type is; `None` if its leaf holds something else."""
    shape, bottom = _shape(type)
    physical, stored = _STORED.get(str(bottom), (-1, 0))
    width = bottom.bit_width // 8 if stored else 0
    if leaf.physical != physical or (physical == _BYTES and leaf.nbytes != stored):
        return None
    if leaf.most_rep != len(shape) or width * prod(shape) != kind.width or not kind.width:
        return None
    return NumberLeaf(leaf, shape, stored, width)


def _shape(type: pa.DataType) -> tuple[tuple[int, ...], pa.DataType]:
    """The lengths of lists of a fixed length from the outside in, and what is in them."""
    shape, bottom = [], getattr(type, "storage_type", type)
    while pa.types.is_fixed_size_list(bottom):
        shape.append(bottom.list_size)
        bottom = getattr(bottom.value_type, "storage_type", bottom.value_type)
    return tuple(shape), bottom


def full_lists(type: pa.DataType, chunks: Sequence[Mapping[int, Any]], rows: Sequence[int]) -> pa.DataType | None:
    """The type of a column of lists of numbers, as of lists of a fixed length, where the footer counts as many values
    as lists of one length have; whether they are is seen in their levels. Of lists of lists it needs the statistics
    that count each level.
    """
    fields, bottom = [], type
    while pa.types.is_list(bottom) or pa.types.is_large_list(bottom):
        fields.append(bottom.value_field)
        bottom = bottom.value_type
    if not fields or numbers(bottom) is None:
        return None
    inner, shapes = prod(_shape(bottom)[0]), set()
    for chunk, count in zip(chunks, rows, strict=True):
        if count:
            shapes.add(_lengths(chunk.get(3, {}), len(fields), count, inner))
    shape = shapes.pop() if len(shapes) == 1 else None
    if shape is None:
        return None
    for field, length in zip(reversed(fields), reversed(shape), strict=True):
        bottom = pa.list_(field.with_type(bottom), length)
    return bottom


def _lengths(described: Mapping[int, Any], depth: int, rows: int, inner: int) -> tuple[int, ...] | None:
    """The lengths of lists in a column chunk, if those on each level can have one; `inner` values lie in the last."""
    levels = described.get(16, {}).get(2, []) if depth > 1 else []
    if depth > 1 and (len(levels) <= depth or levels[0] != rows):
        return None
    begun = [rows, *(sum(levels[: level + 1]) for level in range(1, depth)), described.get(5, 0) // inner]
    if described.get(5, 0) % inner or any(begin < 1 or end % begin for begin, end in pairwise(begun)):
        return None
    lengths = tuple(end // begin for begin, end in pairwise(begun))
    return lengths if all(0 < length <= _LONGEST_ROW for length in lengths) else None


def chunk_places(
    chunks: Sequence[Mapping[int, Any]], numbers: NumberLeaf, rows: Sequence[int]
) -> list[ChunkPlace] | None:
    """Where the pages of a column are, by row group; `None` if the footer says that they hold more than full rows."""
    if numbers.row_values > _LONGEST_ROW:
        return None
    places = [_chunk_place(chunk, numbers, count) for chunk, count in zip(chunks, rows, strict=True)]
    return None if None in places else [place for place in places if place is not None]


def _chunk_place(chunk: Mapping[int, Any], numbers: NumberLeaf, rows: int) -> ChunkPlace | None:
    described, leaf = chunk.get(3, {}), numbers.leaf
    if not rows:  # need not have pages
        return ChunkPlace(0, 0, 0, None)
    if chunk.keys() & {1, 8, 9} or tuple(described.get(3, ())) != leaf.path or described.get(1) != leaf.physical:
        return None
    values, codec, nulls = described.get(5), described.get(4, 0), described.get(12, {}).get(3, 0)
    if values != rows * numbers.row_values or codec not in _CODECS or nulls:
        return None
    if not _ENCODINGS.issuperset(described.get(2, ())):
        return None
    data = described.get(9, -1)
    start = min(data, described.get(11) or data)
    end = start + described.get(7, -1)
    return ChunkPlace(start, end, values, _CODECS[codec]) if 0 < start <= end else None
