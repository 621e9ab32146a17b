"""Hypothesis strategies for what transforms meet: arrays in any memory layout, nested samples, cuts of a stream."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bridgeflow.bridge import to_arrow, to_tensor

__all__ = ["LAYOUTS", "Reading", "Record", "arrays", "cuts", "ndarrays", "samples"]

LAYOUTS: Final = ("C", "F", "strided", "reversed", "transposed", "broadcast", "read-only")
"""Memory layouts of an ndarray that `ndarrays` draws from."""

_FINITE: Final = st.floats(-1e4, 1e4, width=16)


class Reading(NamedTuple):
    """A namedtuple as datasets yield them."""

    signal: Any
    label: Any


@dataclass(frozen=True)
class Record:
    """A frozen dataclass as datasets yield them."""

    signal: Any
    patient: str


@st.composite
def ndarrays(
    draw: st.DrawFn,
    dtypes: Sequence[str] = ("float32", "float64", "int16"),
    shapes: st.SearchStrategy[tuple[int, ...]] | None = None,
    layouts: Sequence[str] = LAYOUTS,
) -> np.ndarray[Any, Any]:
    """Ndarrays `[..., time]` of finite numbers, in any memory layout.

    Args:
        draw: given by Hypothesis.
        dtypes: element types to draw from.
        shapes: of the arrays; one to three axes of 0 to 6 by default.
        layouts: of the memory, from `LAYOUTS`.
    """
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6) if shapes is None else shapes)
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    elements = _FINITE if dtype.kind in "fc" else st.integers(0, 100)
    values = draw(hnp.arrays(np.float64 if dtype.kind in "fc" else np.int64, shape, elements=elements)).astype(dtype)
    return _laid_out(values, draw(st.sampled_from(layouts)))


def _laid_out(values: np.ndarray[Any, Any], layout: str) -> np.ndarray[Any, Any]:
    """The same numbers in another memory layout."""
    if layout == "F":
        return np.asfortranarray(values)
    if layout == "strided":
        return np.repeat(values, 2, axis=-1)[..., ::2]
    if layout == "reversed":
        return np.ascontiguousarray(values[..., ::-1])[..., ::-1]
    if layout == "transposed":
        return np.ascontiguousarray(values.T).T
    if layout == "broadcast":
        return np.broadcast_to(values[:1], values.shape)
    if layout == "read-only":
        values.flags.writeable = False
    return values


@st.composite
def arrays(
    draw: st.DrawFn, kinds: Sequence[str] = ("numpy", "torch", "arrow"), dtypes: Sequence[str] = ("float32", "int16")
) -> Any:
    """Arrays of any kind: ndarrays in any layout, tensors over them, Arrow arrays of one axis or of rows."""
    kind = draw(st.sampled_from(kinds))
    values = draw(ndarrays(dtypes))
    if kind == "numpy":
        return values
    return to_tensor(values) if kind == "torch" else to_arrow(values)


def samples(leaves: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[Any]:
    """Nested data: dicts, lists, tuples, namedtuples and frozen dataclasses around arrays and labels.

    Args:
        leaves: the arrays; `arrays()` by default.
    """
    arrays_or_labels = st.one_of(
        arrays() if leaves is None else leaves,
        st.none(),
        st.integers(),
        st.text(max_size=3),
        st.floats(allow_nan=False),
    )
    names = st.sampled_from(("ecg", "lead", "label", "0", "a.b", "x y"))

    def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            st.dictionaries(names, inner, max_size=3),
            st.dictionaries(names, inner, max_size=3).map(OrderedDict),
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.builds(Reading, inner, inner),
            st.builds(Record, inner, st.text(max_size=3)),
        )

    return st.recursive(arrays_or_labels, around, max_leaves=8)


@st.composite
def cuts(draw: st.DrawFn, length: int, most: int = 8) -> list[slice]:
    """Ways to cut a stream of `length` samples into chunks, empty ones and chunks of one sample among them.

    Args:
        draw: given by Hypothesis.
        length: of the whole, in samples.
        most: number of chunks at most.
    """
    inner = sorted(draw(st.lists(st.integers(0, length), max_size=most - 1)))
    return [slice(start, stop) for start, stop in pairwise([0, *inner, length])]
