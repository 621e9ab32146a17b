"""Arrow lists <-> torch's jagged tensors, and lists as padded arrays or as Python lists of arrays.

What is not ragged crosses through NumPy (`arrow_numpy`, then `numpy_torch`), which costs nothing: the memory is the
same. Rows of unequal length are values plus offsets on both sides: the values take the ordinary route, and a last
step puts the rows back together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import pyarrow as pa

from bridgeflow.bridge.arrow_numpy import from_numpy, joined, rows_of
from bridgeflow.bridge.routes import Options, Route, Rule, Step, Target, _fold, as_kind
from bridgeflow.errors import NoRoute
from bridgeflow.spec import ArraySpec, itemsize

if TYPE_CHECKING:
    import torch

__all__ = ["JAGGED_TO_ARROW", "ROWS", "Padded", "RowsRoute", "rows_route"]


class Padded(NamedTuple):
    """Rows of unequal length as one array: `values` `[rows, longest, ...]`, and how many of each row are real."""

    values: Any
    lengths: Any


# --- arrow -> rows ----------------------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """Converted values `[total, ...]` with their offsets (n + 1 integers from 0), on the way to their last form."""

    values: Any
    offsets: Any


def _as_list(rows: Rows, _spec: ArraySpec, _options: Options) -> list[Any]:
    bounds = rows.offsets.tolist()
    return [rows.values[start:stop] for start, stop in pairwise(bounds)]


def _as_padded(rows: Rows, spec: ArraySpec, options: Options) -> Padded:
    """One fill and one assignment: the places that hold real values, in row order, take them all at once."""
    lengths = np.diff(rows.offsets)
    shape = (len(lengths), int(lengths.max(initial=0)))
    real = np.arange(shape[1]) < lengths[:, None]
    if spec.kind == "numpy":
        values = np.full((*shape, *rows.values.shape[1:]), options.pad_value, rows.values.dtype)
        values[real] = rows.values
        return Padded(values, lengths)
    import torch

    at = rows.values.device
    padded = torch.full((*shape, *rows.values.shape[1:]), options.pad_value, dtype=rows.values.dtype, device=at)
    padded[torch.from_numpy(real).to(at)] = rows.values
    return Padded(padded, torch.from_numpy(lengths).to(at))


_SHARED_OFFSETS: WeakValueDictionary[tuple[str, bytes], Any] = WeakValueDictionary()
"""Offsets in use: torch adds two jagged tensors only if they hold the same offsets object, so columns with equal rows
get one.
"""


def _as_jagged(rows: Rows, spec: ArraySpec, options: Options) -> torch.Tensor:
    import torch

    lengths = np.diff(rows.offsets)
    offsets: Any
    if options.writable is False and options.device is None:
        offsets = torch.utils.dlpack.from_dlpack(rows.offsets)  # shared, on the caller's promise not to write
    else:
        key = (str(rows.values.device), rows.offsets.astype(np.int64).tobytes())
        offsets = _SHARED_OFFSETS.get(key)
        if offsets is None:
            offsets = torch.tensor(rows.offsets, device=rows.values.device, dtype=torch.int64)
            _SHARED_OFFSETS[key] = offsets
    nested: torch.Tensor = torch.nested.nested_tensor_from_jagged(
        rows.values, offsets, min_seqlen=int(lengths.min(initial=0)), max_seqlen=int(lengths.max(initial=0))
    )
    return nested


def _row_shape(**changes: Any) -> Callable[[ArraySpec, Options], ArraySpec]:
    return lambda spec, _options: replace(spec, flags=frozenset(), **changes)


ROWS = (
    Rule(
        name="rows-list",
        when=lambda s, o: o.ragged == "list",
        says="one view of the values for each row, in a Python list",
        then=_row_shape(layout="rows"),
        apply=_as_list,
    ),
    Rule(
        name="rows-pad",
        when=lambda s, o: o.ragged == "pad",
        action="copy",
        reason="ragged",
        says="rows of unequal length are padded to the longest",
        remedy='ragged="jagged" (to torch) or ragged="list" shares',
        then=lambda s, o: s.fresh(),
        apply=_as_padded,
    ),
    Rule(
        name="rows-jagged",
        when=lambda s, o: o.ragged == "jagged" and s.kind == "torch",
        says="torch's nested layout: the same values, offsets beside them",
        then=_row_shape(layout="jagged"),
        apply=_as_jagged,
    ),
    Rule(
        name="rows",
        when=lambda s, o: o.ragged == "jagged" and s.kind != "torch",
        action="refuse",
        reason="ragged",
        says="NumPy has no jagged arrays",
        remedy='pass ragged="pad" or ragged="list"',
    ),
)
"""The last step for lists of unequal length: what the rows become, once their values have crossed."""


@dataclass(frozen=True)
class RowsRoute(Route):
    """A route whose values cross as one array and are cut into rows at the end."""

    def run(self, x: Any) -> Any:
        values, offsets = rows_of(joined(x))
        *inner, last = [step for step in self.steps if step.rule not in _GATHER]
        for step in inner:
            values = step.rule.apply(values, step.before, self.options)
        return last.rule.apply(Rows(values, offsets), last.before, self.options)


_GATHER = (
    Rule(
        name="chunked",
        when=lambda s, o: "chunked" in s.flags,
        action="copy",
        reason="chunked",
        says="the rows lie in several chunks, and an array is one",
        remedy="convert chunk by chunk, or combine_chunks() once where it is read",
        then=lambda s, o: replace(s, flags=s.flags - {"chunked"}),
    ),
    Rule(
        name="list-view",
        when=lambda s, o: s.layout.endswith("list_view"),
        action="copy",
        reason="layout",
        says="a list view's rows may lie in any order; they are gathered",
        remedy="cast the column to list",
    ),
)


def rows_route(source: ArraySpec, target: Target, options: Options) -> RowsRoute:
    """The route for an Arrow list column when `ragged` says what its rows become, whether or not they differ in
    length.
    """
    if source.null_count or options.nulls == "mask":
        what = f"{source.null_count} rows are null" if source.null_count else 'nulls="mask" asks for a mask'
        raise NoRoute("nulls", f"{what}, and rows of unequal length have none", "drop_null() or fill the column first")
    gathered = [Step(rule, source, rule.then(source, options)) for rule in _GATHER if rule.when(source, options)]
    inner = source.shape[2:]
    size = (itemsize(source.dtype) or 1) * prod(n or 1 for n in inner)
    layout = next(iter(source.flags & {"bit-packed", "narrow"}), "strided")
    values = replace(
        source,
        shape=((source.nbytes or 0) // max(size, 1), *inner),
        flags=source.flags & {"child-nulls"},
        layout=layout,
        null_count=int("child-nulls" in source.flags),
    )
    inside = replace(options, ragged="error")
    if options.ragged == "pad":  # the padded array is new memory anyway
        inside = replace(inside, copy="auto", writable=False if target == "torch" else None)
    crossed = _fold(values, ("arrow", target), inside)
    before = replace(crossed[-1].after, shape=(source.shape[0], None, *inner))
    for rule in ROWS:
        if rule.when(before, options):
            if rule.action == "refuse":
                raise NoRoute(rule.reason or "ragged", rule.says, rule.remedy)
            last = Step(rule, before, rule.then(before, options))
            break
    steps = (*gathered, *crossed, last)
    return RowsRoute(source, last.after, steps, options)


# --- jagged -> arrow --------------------------------------------------------------------------------------------------


def _jagged_to_arrow(t: Any, _spec: ArraySpec, options: Options) -> pa.Array:
    """Values as they lie; offsets are copied, since Arrow trusts them and torch may write them."""
    from bridgeflow.bridge.api import to_numpy

    values = to_numpy(t.values(), copy=options.copy, grad=options.grad, bfloat16="uint16")
    offsets = to_numpy(t.offsets()).astype(np.int64)
    dtype = str(t.dtype).removeprefix("torch.")
    return pa.LargeListArray.from_arrays(pa.array(offsets), from_numpy(np.ascontiguousarray(values), dtype))


def _contiguous_jagged(t: torch.Tensor, _spec: ArraySpec, _options: Options) -> torch.Tensor:
    return t.contiguous()


JAGGED_TO_ARROW = (
    Rule(
        name="jagged-device",
        when=lambda s, o: s.layout == "jagged" and s.device != "cpu",
        action="move",
        reason="device",
        says="the tensor lives on {spec.device}, Arrow arrays on the CPU",
        remedy="move it yourself with .cpu(), once for a whole batch",
        then=lambda s, o: replace(s, device="cpu"),
        apply=lambda t, s, o: t.cpu(),
    ),
    Rule(
        name="jagged-holes",
        when=lambda s, o: s.layout == "jagged" and bool({"holes", "transposed"} & s.flags),
        action="copy",
        reason="layout",
        says="the jagged rows have holes between them or lie transposed; they are gathered",
        remedy=".contiguous() it once, where it is made",
        then=lambda s, o: s.fresh(),
        apply=_contiguous_jagged,
    ),
    Rule(
        name="jagged-values",
        when=lambda s, o: s.layout == "jagged" and "jagged-strided" in s.flags,
        action="copy",
        reason="non-contiguous",
        says="Arrow's values lie one behind the other, these do not",
        remedy=".contiguous() it once, where it is made",
        then=lambda s, o: replace(s, flags=s.flags - {"jagged-strided"}),
    ),
    Rule(
        name="jagged",
        when=lambda s, o: s.layout == "jagged" and not (s.flags & {"grad"} and o.grad == "error"),
        says="a large_list over the same values",
        then=lambda s, o: as_kind(s, "arrow", layout="large_list", strides=None, writable=False, flags=frozenset()),
        apply=_jagged_to_arrow,
    ),
)
