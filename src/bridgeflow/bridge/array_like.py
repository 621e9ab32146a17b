"""What NumPy reads as an array without being one: lists of numbers, buffers, and arrays that a file or a store holds.

`array.array` and `memoryview` are memory that NumPy looks at (kind `buffer`), so they cross without a copy. Lists and
tuples of numbers, h5py datasets, zarr arrays and all else with `__array__`, `shape` and `dtype` are read into memory
first (kind `array_like`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np

from bridgeflow.bridge.descriptions import describe_numpy
from bridgeflow.bridge.rules import Options, copies, is_kind
from bridgeflow.errors import NoRoute
from bridgeflow.spec import ArraySpec

__all__ = [
    "ARRAY_LIKE_TO_NUMPY",
    "RowList",
    "describe_array_like",
    "is_number_list",
    "is_scalar_list",
    "is_text_list",
    "read_list",
]


class RowList(list[Any]):
    """A row of a column that is a list of text or of structures; otherwise a list.

    To `collate` it is one value, as such rows may differ in length.
    """

    __slots__ = ()


_NUMBERS: Final = frozenset({bool, int, float, complex})
_ROWS: Final = frozenset({list, tuple, RowList})


def is_number_list(x: object) -> bool:
    """Whether a value is a list or tuple of numbers, nested or not; `None` among them counts as a missing number.

    Whether it can be read is another question: its rows may differ in length, or numbers be missing.

    >>> is_number_list([[1, 2], (3.5, 4)]), is_number_list([1, "a"]), is_number_list([])
    (True, False, False)
    """
    return _numbers_in(x) != ""


def is_scalar_list(x: object) -> bool:
    """Whether a list of numbers holds NumPy's, each of which would otherwise be an array by itself.

    >>> is_scalar_list(list(np.arange(3))), is_scalar_list([1, 2])
    (True, False)
    """
    return _numbers_in(x) == "numpy"


def is_text_list(x: object) -> bool:
    """Whether a value is a list or tuple of text, nested or not; `None` among it counts as missing text.

    >>> is_text_list(["N", "V"]), is_text_list([("N",), ("V",)]), is_text_list(["N", 1]), is_text_list([])
    (True, True, False, False)
    """
    if type(x) not in _ROWS or not x:
        return False
    types = set(map(type, x))  # type: ignore[call-overload]
    return all(map(is_text_list, x)) if types <= _ROWS else str in types and types <= {str, type(None)}  # type: ignore[call-overload]


def _numbers_in(x: object) -> Literal["", "python", "numpy"]:
    if type(x) not in _ROWS:
        return ""
    pending: list[Any] = [x]
    met: Literal["", "python", "numpy"] = ""
    while pending:
        row = pending.pop()
        types = set(map(type, row))
        if types <= _ROWS:
            pending.extend(row)
            continue
        types.discard(type(None))
        if types - _NUMBERS:
            if not all(cls in _NUMBERS or issubclass(cls, (np.number, np.bool_)) for cls in types):
                return ""
            met = "numpy"
        elif types:
            met = met or "python"
    return met


def read_list(x: Any) -> np.ndarray[Any, Any]:
    """A list of numbers, or of text, as an ndarray with the element type that NumPy chooses.

    Raises:
        NoRoute: rows of unequal length, `None` in place of an item, integers that no element type holds.

    >>> read_list([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    kind = type(x).__name__
    try:
        values = np.asarray(x)
    except (ValueError, OverflowError, TypeError):
        remedy = "pad the rows to one length first, or pass them one by one"
        raise NoRoute("ragged", f"the rows of the {kind} of numbers differ in length or depth", remedy) from None
    if values.dtype.kind not in "biufcU":
        if _has_none(x) and is_text_list(x):
            raise NoRoute("nulls", f"the {kind} of text holds None", "put text in its place, such as ''")
        if _has_none(x):
            raise NoRoute("nulls", f"the {kind} of numbers holds None", "put float('nan') or a number in its place")
        what = f"the {kind} of numbers holds an integer of more than 64 bits"
        raise NoRoute("dtype", what, "convert it to floats first")
    return values


def _has_none(x: Any) -> bool:
    return any(item is None or (type(item) in _ROWS and _has_none(item)) for item in x)


def describe_array_like(x: Any) -> ArraySpec:
    """The spec of a list of numbers, or of an object with `__array__`, `shape` and `dtype`, whose data is not read."""
    if type(x) in _ROWS:
        return _spec_of(read_list(x))
    try:
        dtype = np.dtype(x.dtype)
        shape = tuple(map(int, x.shape))
    except (TypeError, ValueError, AttributeError):
        return _spec_of(_read(x))
    spec = _spec_of(np.empty((0,) * len(shape), dtype))
    count = int(np.prod(shape, dtype=object))
    return ArraySpec(
        kind=spec.kind,
        dtype=spec.dtype,
        shape=shape,
        writable=False,
        flags=spec.flags & {"byte-order", "no-number"},
        nbytes=None if dtype.hasobject else count * dtype.itemsize,
    )


def _spec_of(values: np.ndarray[Any, Any]) -> ArraySpec:
    spec = describe_numpy(values)
    return replace(spec, kind="array_like", writable=False, strides=None, flags=spec.flags - {"subclass"})


def _read(x: Any) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(x)
    except Exception as error:
        what = f"the {type(x).__name__} cannot be read as an array ({type(error).__name__}: {error})"
        raise NoRoute("unknown", what, "read it by its own means first") from error


def _in_memory(x: Any, spec: ArraySpec, options: Options) -> np.ndarray[Any, Any]:
    values = _read(x)
    return np.array(values) if options.copy == "always" or not values.flags.writeable else values


ARRAY_LIKE_TO_NUMPY = (
    copies(
        "read",
        "its values are read into an ndarray",
        "read it once, np.asarray(x), and share that",
        when=is_kind("array_like"),
        reason="decode",
        then=lambda s, o: s.fresh(kind="numpy", nbytes=s.nbytes) if not s.flags else _read_spec(s),
        apply=_in_memory,
    ),
)


def _read_spec(spec: ArraySpec) -> ArraySpec:
    """Byte order and element types that are not numbers stay for the rules that follow."""
    return replace(spec, kind="numpy", writable=True)
