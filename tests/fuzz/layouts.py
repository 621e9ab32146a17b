"""Arrays as hostile memory holds them: expanded, backwards, at odd distances, not aligned, of a stated byte order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

Array = np.ndarray[Any, Any]

REAL = ("float32", "float64", "int16", "int32", "uint8", "uint16", "int64", "bool", "float16")
COMPLEX = ("complex64", "complex128")


def plain(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> Array:
    """Moderate numbers in C order."""
    kind = np.dtype(dtype)
    if kind.kind in "iub":
        return rng.integers(0, 2 if kind.kind == "b" else 100, shape).astype(kind)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if kind.kind == "c" else x).astype(kind)


def in_order(x: Array) -> Array:
    return x


def expanded_in_time(x: Array) -> Array:
    return np.broadcast_to(x[..., :1], x.shape)


def expanded_in_rows(x: Array) -> Array:
    return np.broadcast_to(x[:1], x.shape)


def expanded(x: Array) -> Array:
    return np.broadcast_to(x.ravel()[:1].reshape((1,) * x.ndim), x.shape) if x.size else x


def backwards(x: Array) -> Array:
    return x[..., ::-1]


def rows_backwards(x: Array) -> Array:
    return x[::-1]


def with_gaps(x: Array) -> Array:
    room = np.zeros((*x.shape[:-1], 3 * x.shape[-1]), x.dtype)
    room[..., ::3] = x
    return room[..., ::3]


def time_first(x: Array) -> Array:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 0)), 0, -1)


def packed(x: Array) -> Array:
    """A field of records without padding: strides that are not multiples of the element, memory that is not aligned."""
    records = np.zeros(x.shape, np.dtype([("before", "u1"), ("x", x.dtype), ("after", "u1", (2,))]))
    records["x"] = x
    return records["x"]


def unaligned(x: Array) -> Array:
    """As after a header of one byte."""
    memory = np.zeros(x.nbytes + 1, np.uint8)
    memory[1:] = np.frombuffer(x.tobytes(), np.uint8)
    return memory[1:].view(x.dtype).reshape(x.shape)


def overlapping(x: Array) -> Array:
    """Windows over one row, each a sample after the one before."""
    line = x.ravel()
    if x.ndim != 2 or line.size < sum(x.shape):
        return x
    return as_strided(line, x.shape, (line.itemsize, line.itemsize))


def far_apart(x: Array) -> Array:
    """Rows a page and a bit apart."""
    pitch = -(-x.shape[-1] * x.itemsize // 4096) * 4096 // x.itemsize + 1
    room = np.zeros((*x.shape[:-1], pitch), x.dtype)
    room[..., : x.shape[-1]] = x
    return room[..., : x.shape[-1]]


LAYOUTS: tuple[Callable[[Array], Array], ...] = (
    in_order,
    expanded_in_time,
    expanded_in_rows,
    expanded,
    backwards,
    rows_backwards,
    with_gaps,
    time_first,
    packed,
    unaligned,
    overlapping,
    far_apart,
)
ORDERS = ("=", "<", ">")


def hostile(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> tuple[Array, str]:
    """An array in a layout drawn at random, and its name."""
    layout = LAYOUTS[rng.integers(len(LAYOUTS))]
    order = ORDERS[rng.integers(len(ORDERS))]
    x = layout(plain(rng, dtype, shape).astype(np.dtype(dtype).newbyteorder(order)))
    if order == "<" and x.dtype.itemsize > 1 and layout is not packed:
        x = x.view(x.dtype.newbyteorder("<"))  # states the order, where a plain array leaves it unsaid
    if x.flags.writeable and rng.integers(2):
        x.flags.writeable = False
    return x, f"{layout.__name__} {order}{dtype}{shape}"


def straight(x: Array) -> Array:
    """The same numbers in the machine's byte order, aligned, contiguous and writable."""
    return np.array(x, x.dtype.newbyteorder("="), order="C", copy=True)
