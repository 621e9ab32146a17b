"""Arrow lists <-> torch's jagged tensors, and both as padded arrays or as Python lists of arrays.

What is not ragged crosses through NumPy (`arrow_numpy`, then `numpy_torch`), which costs nothing: the memory is the
same. Rows of unequal length are values plus offsets on both sides: the values take the ordinary route, and a last
step puts the rows back together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import pyarrow as pa

from bridgeflow.bridge.arrow_layout import joined, rows_of
from bridgeflow.bridge.dtypes import CARRIED, fill_value
from bridgeflow.bridge.rules import (
    Options,
    Route,
    Rule,
    Step,
    Target,
    Then,
    copies,
    fold,
    has,
    is_kind,
    refuse,
    same,
    unchanged,
    views,
)
from bridgeflow.errors import NoRoute
from bridgeflow.spec import ArraySpec, itemsize

if TYPE_CHECKING:
    import torch

__all__ = ["GATHER", "ROWS", "Padded", "RowsRoute", "rows_route"]


class Padded(NamedTuple):
    """Rows of unequal length as one array: `values` `[rows, longest, ...]`, and how many of each row are real."""

    values: Any
    lengths: Any


# --- what the rows become ---------------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """Converted values `[total, ...]` with their offsets (n + 1 integers from 0), on the way to their last form."""

    values: Any
    offsets: Any


def _as_list(rows: Rows, _spec: ArraySpec, _options: Options) -> list[Any]:
    bounds = rows.offsets.tolist()
    return [rows.values[start:stop] for start, stop in pairwise(bounds)]


def _as_padded(rows: Rows, spec: ArraySpec, options: Options) -> Padded:
    """One fill and one assignment: the places that hold real values, in row order, take them all at once."""
    lengths = np.diff(rows.offsets).astype(np.int64)
    shape = (len(lengths), int(lengths.max(initial=0)))
    real = np.arange(shape[1]) < lengths[:, None]
    if spec.kind == "numpy":
        values = np.full((*shape, *rows.values.shape[1:]), options.pad_value, rows.values.dtype)
        values[real] = rows.values
        return Padded(values, lengths)
    import torch

    at = rows.values.device
    padded = torch.full((*shape, *rows.values.shape[1:]), options.pad_value, dtype=rows.values.dtype, device=at)
    bits = _signed(rows.values.dtype)
    padded.view(bits)[torch.from_numpy(real).to(at)] = rows.values.view(bits)
    return Padded(padded, torch.from_numpy(lengths).to(at))


def _signed(dtype: torch.dtype) -> torch.dtype:
    """A type of the same size that torch can assign by mask, which it cannot to all of its types."""
    import torch

    integers = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
    return integers.get(dtype, torch.uint8 if str(dtype).startswith("torch.float8") else dtype)


_SHARED_OFFSETS: WeakValueDictionary[tuple[str, bool, bytes], Any] = WeakValueDictionary()
"""Offsets in use: torch adds two jagged tensors only if they hold the same offsets object, so columns with equal rows
get one. Those of inference mode are kept apart: autograd refuses to save them.
"""


def _as_jagged(rows: Rows, spec: ArraySpec, options: Options) -> torch.Tensor:
    import torch

    lengths = np.diff(rows.offsets)
    offsets: Any
    if options.writable is False and options.device is None:
        offsets = torch.utils.dlpack.from_dlpack(rows.offsets)  # shared, on the caller's promise not to write
    else:
        key = (str(rows.values.device), torch.is_inference_mode_enabled(), rows.offsets.astype(np.int64).tobytes())
        offsets = _SHARED_OFFSETS.get(key)
        if offsets is None:
            offsets = torch.tensor(rows.offsets, device=rows.values.device, dtype=torch.int64)
            _SHARED_OFFSETS[key] = offsets
    nested: torch.Tensor = torch.nested.nested_tensor_from_jagged(
        rows.values,
        offsets,
        min_seqlen=int(lengths.min()) if len(lengths) else 0,
        max_seqlen=int(lengths.max(initial=0)),
    )
    return nested


def _as_column(rows: Rows, _spec: ArraySpec, _options: Options) -> pa.Array:
    """Values as they lie; offsets of its own, since Arrow trusts them and torch may write them."""
    return pa.LargeListArray.from_arrays(pa.array(rows.offsets.astype(np.int64)), rows.values)


def _row_shape(**changes: Any) -> Then:
    return lambda spec, _options: replace(spec, flags=frozenset(), **changes)


ROWS = (
    views(
        "rows-column",
        "a large_list over the same values",
        when=is_kind("arrow"),
        then=_row_shape(layout="large_list"),
        apply=_as_column,
    ),
    views(
        "rows-list",
        "one view of the values for each row, in a Python list",
        when=lambda s, o: o.ragged == "list",
        then=_row_shape(layout="rows"),
        apply=_as_list,
    ),
    refuse(
        "rows-pad-value",
        "{spec.dtype} cannot hold the pad_value asked for",
        "pass a pad_value that the element type has, or convert the values first",
        when=lambda s, o: o.ragged == "pad" and not _pads(s, o),
        reason="dtype",
    ),
    copies(
        "rows-pad",
        "rows of unequal length are padded to the longest",
        'ragged="jagged" (to torch) or ragged="list" shares',
        when=lambda s, o: o.ragged == "pad",
        reason="ragged",
        then=lambda s, o: s.fresh(),
        apply=_as_padded,
    ),
    views(
        "rows-jagged",
        "torch's nested layout: the same values, offsets beside them",
        when=lambda s, o: o.ragged == "jagged" and s.kind == "torch",
        then=_row_shape(layout="jagged"),
        apply=_as_jagged,
    ),
    refuse(
        "rows",
        "NumPy has no jagged arrays",
        'pass ragged="pad" or ragged="list"',
        when=lambda s, o: o.ragged == "jagged" and s.kind != "torch",
        reason="ragged",
    ),
)
"""The last step for rows of unequal length: what they become, once their values have crossed."""


def _pads(spec: ArraySpec, options: Options) -> bool:
    """Whether the element type holds the fill; datetimes take ticks, bfloat16 and float8 what is nearest."""
    if spec.dtype in CARRIED:
        return True
    if spec.dtype.startswith(("datetime64", "timedelta64")):
        return isinstance(options.pad_value, int)
    return fill_value(spec.dtype, options.pad_value) is not None


# --- where the values and the offsets are -----------------------------------------------------------------------------


GATHER = (
    refuse(
        "transposed",
        "the rows of the jagged tensor do not differ along its first inner axis: it lies transposed",
        "transpose it back first",
        reason="layout",
    ),
    copies(
        "holes",
        "the jagged rows have holes between them; they are gathered",
        "call .contiguous() once, where the tensor is created",
        reason="layout",
        then=lambda s, o: replace(s, nbytes=None),
        apply=same,
    ),
    copies(
        "chunked",
        "the rows lie in several chunks, and an array is one",
        "convert chunk by chunk, or combine_chunks() once where it is read",
        then=unchanged,
        apply=same,
    ),
    copies(
        "list-view",
        "the rows of the list view overlap, or lie in another order; they are gathered",
        "build a list instead of a list view (pyarrow's cast from one to the other loses rows)",
        when=has("scattered"),
        reason="layout",
        then=unchanged,
        apply=same,
    ),
)
"""Rules that bring the rows into order, without gaps, before the values cross."""


def _jagged_rows(t: Any) -> Rows:
    """The values of a jagged tensor and its row offsets, from 0 to the end; rows with holes between them gathered.

    Raises:
        NoRoute: offsets that torch accepted and that do not divide the values; it checks none, Arrow trusts all.
    """
    import torch

    values = t.values()
    offsets, lengths = t.offsets().cpu().numpy(), t.lengths()
    sizes = np.diff(offsets) if lengths is None else lengths.cpu().numpy()
    starts = offsets[: len(sizes)]
    whole = offsets.dtype.kind == "i" and len(offsets) and (lengths is not None or offsets[0] == 0)
    if whole and lengths is None:
        whole = offsets[-1] == len(values)
    if not whole or (sizes < 0).any() or (starts < 0).any() or (starts + sizes > len(values)).any():
        raise NoRoute(
            "offsets",
            "the offsets of the jagged tensor do not divide its values",
            "they must start at 0, never decrease, and end at len(values())",
        )
    if lengths is None:
        return Rows(values, offsets)
    packed = np.concatenate([[0], np.cumsum(sizes)])
    index = np.repeat(starts - packed[:-1], sizes) + np.arange(packed[-1])
    return Rows(values[torch.from_numpy(index).to(values.device)], packed)


@dataclass(frozen=True)
class RowsRoute(Route):
    """A route whose values cross as one array and are cut into rows at the end."""

    def run(self, x: Any, options: Options | None = None) -> Any:
        """Values and offsets taken apart, the values carried along the route, both put together again."""
        options = options or self.options
        values, offsets = _jagged_rows(x) if self.source.kind == "torch" else Rows(*rows_of(joined(x)))
        *inner, last = [step for step in self.steps if step.rule not in GATHER]
        for step in inner:
            values = step.rule.apply(values, step.before, options)
        return last.rule.apply(Rows(values, offsets), last.before, options)


def rows_route(
    source: ArraySpec, spec: ArraySpec, target: Target, rules: tuple[Rule, ...], options: Options
) -> RowsRoute:
    """The route for lists and jagged tensors when `ragged` says what their rows become, whether or not these differ in
    length. `rules` are those of the values, from the kind of `spec` to `target`.
    """
    if spec.kind == "arrow" and (spec.null_count or options.nulls == "mask"):
        what = f"{spec.null_count} rows are null" if spec.null_count else 'nulls="mask" asks for a mask'
        raise NoRoute("nulls", f"{what}, and rows of unequal length have none", "drop_null() or fill the column first")
    gathered = [Step(rule, spec, rule.then(spec, options)) for rule in GATHER if rule.when(spec, options)]
    if gathered and (rule := gathered[0].rule).action == "refuse":
        raise NoRoute(rule.reason or "ragged", rule.says, rule.remedy)
    inside = replace(options, ragged="error")
    if options.ragged == "pad":  # the padded array is new memory anyway
        inside = replace(inside, copy="auto", writable=False if target == "torch" else None)
    crossed = fold(_values_of(spec), rules, inside)
    before = replace(crossed[-1].after, shape=(spec.shape[0], None, *spec.shape[2:]))
    for rule in ROWS:
        if rule.when(before, options):
            if rule.action == "refuse":
                raise NoRoute(rule.reason or "ragged", rule.says.format(spec=before), rule.remedy)
            last = Step(rule, before, rule.then(before, options))
            break
    steps = (*gathered, *crossed, last)
    return RowsRoute(source, last.after, steps, options)


def _values_of(spec: ArraySpec) -> ArraySpec:
    """The spec of the values inside a column of lists, or inside a jagged tensor."""
    inner = spec.shape[2:]
    row = (itemsize(spec.dtype) or 1) * prod(n or 1 for n in inner) // (2 if "narrow" in spec.flags else 1)
    count = None if "holes" in spec.flags else (spec.nbytes or 0) // row
    if spec.kind == "torch":
        flags, nbytes = spec.flags - {"holes", "subclass"}, None if count is None else spec.nbytes
        return replace(spec, shape=(count, *inner), flags=flags, layout="strided", nbytes=nbytes)
    return replace(
        spec,
        shape=(count, *inner),
        flags=spec.flags & {"child-nulls", "unaligned"},
        layout=next(iter(spec.flags & {"bit-packed", "narrow"}), "strided"),
        null_count=int("child-nulls" in spec.flags),
    )
