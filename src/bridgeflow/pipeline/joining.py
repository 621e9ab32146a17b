"""Pieces of arrays that follow each other along an axis: their lengths, one after another as one array, none at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bridgeflow._optional import require
from bridgeflow.bridge import describe, has_numpy_dtype, kind_of, like, shape_of, strided, to_arrow
from bridgeflow.bridge.rules import LISTS
from bridgeflow.errors import DataError
from bridgeflow.transforms.base import LeafTransform
from bridgeflow.transforms.runner import is_array
from bridgeflow.tree import compile_recipe

__all__ = ["empty_result", "joined", "len_along", "with_tail"]


def len_along(x: Any, axis: int) -> int:
    """The length of any array along an axis.

    Raises:
        DataError: its rows differ in their lengths along it.
    """
    if axis == 0 and hasattr(x, "__len__"):
        return len(x)
    length = shape_of(x)[axis]
    if length is None:
        raise DataError(f"the rows differ in their lengths along axis {axis}, and pieces of a signal have one length")
    return int(length)


def empty_result(stage: LeafTransform, x: Any, axis: int) -> Any:
    """The result of no pieces, without a call of the transform, which need not take empty arrays."""
    described = describe(x)
    if described.layout in LISTS:  # of no rows, their length is not known
        described = replace(described, shape=(described.shape[0], None, *described.shape[2:]))
    spec = stage.out_spec(described)
    shape = [0 if number == axis or n is None else n for number, n in enumerate(spec.shape)]
    if spec.kind == "torch" or not has_numpy_dtype(spec.dtype):
        torch = require("torch", needed_for="tensors")
        result = torch.empty(shape, dtype=getattr(torch, spec.dtype), device=spec.device)
        return result if spec.kind == "torch" else to_arrow(result)
    empty = np.empty(shape, spec.dtype)
    return empty if spec.kind == "numpy" else to_arrow(empty)


def joined(parts: list[Any], axis: int) -> Any:
    """Pieces of one array put together along the axis on which they follow each other."""
    if len(parts) == 1:
        return parts[0]
    if kind_of(parts[0]) == "torch":
        return require("torch", needed_for="joining tensors").cat(parts, dim=axis)
    if kind_of(parts[0]) == "arrow" and axis % len(shape_of(parts[0])) == 0:
        return require("pyarrow", needed_for="joining Arrow arrays").concat_arrays(parts)
    pieces = [strided(part) for part in parts]
    if kind_of(pieces[0]) == "torch":
        return like(joined(pieces, axis), parts[0])
    return like(np.concatenate(pieces, axis=axis), parts[0])


def with_tail(result: Any, tail: Any, axes: Mapping[str, int]) -> Any:
    """What a last chunk gave, and what was still held back.

    Args:
        result, tail: data of one structure; no tail where nothing was held back.
        axes: on which axis, by place, pieces of each array follow each other.
    """
    if tail is None:
        return result
    both, parts = compile_recipe(result, is_array)
    rest, tails = compile_recipe(tail, is_array)
    late = dict(zip(rest.places, tails, strict=True))
    arrays = []
    for place, part in zip(both.places, parts, strict=True):
        axis = axes[place]
        pieces = [piece for piece in (part, late.get(place)) if piece is not None]
        pieces = [piece for piece in pieces if len_along(piece, axis)] or pieces[:1]
        arrays.append(joined(pieces, axis))
    return both.put(result, arrays)
