"""Labels of any array as an ndarray that can be compared and counted, and back: numbers, booleans and text.

Text in Arrow arrays has no counterpart in NumPy's numbers; its elements are read as Python objects, which are only
compared. Between the chunks of a stream text is kept in arrays of fixed width, which any format can hold.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.bridge import kind_of, like, to_numpy
from bridgeflow.errors import DataError
from bridgeflow.signal._chunks import as_marked

__all__ = ["is_text", "labels_as_marked", "labels_like", "read_labels", "storable"]

Array: TypeAlias = np.ndarray[Any, Any]

_TEXT = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
_DICTIONARY = re.compile(r"dictionary<values=(\w+), indices=(\w+), ordered=([01])>")
_RUNS = re.compile(r"run_end_encoded<run_ends: (\w+), values: (\w+)>")


def read_labels(labels: Any) -> Array:
    """Labels as an ndarray; text of Arrow arrays, of objects and of NumPy's `StringDType` as Python objects.

    Raises:
        DataError: no axis of time, missing labels, lists of unequal length.
        NoRoute: elements that are neither numbers nor text.
    """
    labels = _columns_own(labels)
    if _is_arrow_text(labels):
        if labels.null_count:
            raise DataError(
                f"{labels.null_count} of {len(labels)} labels are null; fill them first (pyarrow.compute's "
                "fill_null), or leave these rows out"
            )
        values = _objects(labels.to_pylist())
    elif kind_of(labels) is None:
        try:
            values = np.asarray(labels)
        except ValueError as error:
            raise DataError(f"the labels cannot be read as one array: {error}") from None
    else:
        values = np.asarray(to_numpy(labels))
    if values.ndim == 0:
        raise DataError("labels must have an axis of time, got a single one")
    return values.astype(object) if values.dtype.kind == "T" else values


def labels_like(reduced: Array, labels: Any) -> Any:
    """Labels of windows as the kind and type of the labels that they come from; booleans stay booleans."""
    labels = _columns_own(labels)
    kind = kind_of(labels)
    if kind is None or reduced.dtype == bool:
        return reduced if kind in {None, "numpy"} else like(reduced, labels)
    if _is_arrow_text(labels):
        return _arrow_text(reduced, labels.type)
    if kind == "numpy":
        return reduced.astype(labels.dtype) if labels.dtype.kind == "T" else reduced
    if kind in {"arrow", "capsule"} and _is_days(reduced):
        return _rows_of_days(reduced)
    result = like(reduced, labels)
    return result.to(labels.dtype) if kind == "torch" else result


def is_text(dtype: str) -> bool:
    """Whether an Arrow array of this dtype, spelled as specs do, holds text or bytes, however they are encoded."""
    encoded = _DICTIONARY.fullmatch(dtype) or _RUNS.fullmatch(dtype)
    return dtype in _TEXT or (encoded is not None and not {encoded[1], encoded[2]}.isdisjoint(_TEXT))


def labels_as_marked(reduced: Array, mark: Any) -> Any:
    """Labels that no chunk stands beside, as the kind and type of the stream; see `_chunks.kind_mark`."""
    kind, dtype = str(mark).split(" ", 1)
    if kind == "numpy" and dtype == "object":
        return reduced.astype(object)
    if kind == "numpy" and dtype.startswith("StringDType"):
        return reduced.astype(np.dtypes.StringDType())
    if kind in {"arrow", "capsule"} and reduced.dtype.kind in "OUS":
        plain = _arrow_type(dtype)
        return _arrow_text(reduced.astype(object), getattr(plain, "value_type", plain) if kind == "capsule" else plain)
    if kind in {"arrow", "capsule"} and _is_days(reduced):
        return _rows_of_days(reduced)
    return as_marked(reduced, mark, same_dtype=True)


def storable(labels: Array) -> Array:
    """Held labels as a state can hold them: text as an array of fixed width."""
    if labels.dtype.kind != "O" or not labels.size:
        return labels.astype("U1") if labels.dtype.kind == "O" else labels
    first = labels.flat[0]
    fixed = np.asarray(labels, bytes if isinstance(first, bytes) else str)
    if not (fixed.astype(object) == labels).all():
        raise DataError("labels of a stream must be texts that do not end in NUL characters; strip them")
    return fixed


def _objects(values: list[Any]) -> Array:
    objects = np.empty(len(values), object)
    objects[:] = values
    return objects


def _columns_own(labels: Any) -> Any:
    """A series of text that another library hands over by Arrow's interface (polars) as Arrow's own array."""
    pyarrow = loaded("pyarrow")
    if pyarrow is None or kind_of(labels) != "capsule" or not hasattr(labels, "__arrow_c_stream__"):
        return labels
    column = pyarrow.chunked_array(labels)
    if not _is_arrow_text(column):
        return labels
    if pyarrow.types.is_dictionary(column.type):  # Arrow encodes text views in none, so the labels are the text itself
        return pyarrow.array(column.to_pylist(), column.type.value_type)
    return column


def _is_arrow_text(labels: Any) -> bool:
    """Whether an Arrow array holds text or bytes, however they are encoded."""
    pyarrow = loaded("pyarrow")
    if pyarrow is None or not isinstance(labels, (pyarrow.Array, pyarrow.ChunkedArray)):
        return False
    types, kind = pyarrow.types, labels.type
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        kind = kind.value_type
    return any(getattr(types, f"is_{name}")(kind) for name in _TEXT)


def _is_days(labels: Array) -> bool:
    """Whether these are days in rows, for which Arrow has lists of a fixed length and no tensors."""
    return labels.ndim > 1 and labels.dtype == "datetime64[D]"


def _rows_of_days(labels: Array) -> Any:
    """Days [rows, ...] as lists of a fixed length."""
    import pyarrow

    days = labels.astype(np.int64).astype(np.int32)
    kind, type = pyarrow.int32(), pyarrow.date32()
    for length in reversed(labels.shape[1:]):
        kind, type = pyarrow.list_(kind, length), pyarrow.list_(type, length)
    return pyarrow.array(days.tolist(), kind).cast(type)


def _arrow_text(labels: Array, kind: Any) -> Any:
    import pyarrow

    values = labels.tolist()
    if pyarrow.types.is_run_end_encoded(kind):
        import pyarrow.compute

        return pyarrow.compute.run_end_encode(pyarrow.array(values, kind.value_type), kind.run_end_type)
    return pyarrow.array(values, kind)


def _arrow_type(name: str) -> Any:
    """The type of a column of text by the name that specs have for it."""
    import pyarrow

    if encoded := _DICTIONARY.fullmatch(name):
        values, indices, ordered = encoded.groups()
        return pyarrow.dictionary(
            pyarrow.type_for_alias(indices), pyarrow.type_for_alias(values), ordered=ordered == "1"
        )
    if runs := _RUNS.fullmatch(name):
        return pyarrow.run_end_encoded(*map(pyarrow.type_for_alias, runs.groups()))
    return pyarrow.type_for_alias(name)
