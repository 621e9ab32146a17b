"""The table of routes: which rules lead from one kind to another, and the route of a described value."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache

from bridgeflow.bridge import array_like, finish, half, images, numpy_torch
from bridgeflow.bridge.dtypes import has_numpy_dtype
from bridgeflow.bridge.rules import LISTS, Options, Route, Rule, Target, fold
from bridgeflow.errors import CopyRefused
from bridgeflow.policy import Kind
from bridgeflow.spec import ArraySpec

__all__ = [
    "find_route",
    "has_rows",
    "received",
    "rules",
    "table",
]


@cache
def rules(source: Kind, target: Target) -> tuple[Rule, ...]:
    """The rules that lead from one kind to another, in the order in which they are tried.

    >>> [rule.name for rule in rules("numpy", "torch")][-2:]
    ['move', 'asked']
    """
    into_numpy = {
        "numpy": numpy_torch.NUMPY_TO_NUMPY,
        "torch": numpy_torch.TORCH_TO_NUMPY,
        "pil": images.PIL_TO_NUMPY,
        "array_like": array_like.ARRAY_LIKE_TO_NUMPY,
    }
    if source == target == "torch":
        return finish.FINISH_TORCH
    if "arrow" in {source, target}:
        from bridgeflow.bridge import arrow_numpy

        if source == target:
            return arrow_numpy.ARROW_TO_ARROW
        if target == "arrow":
            return (() if source == "numpy" else into_numpy[source]) + arrow_numpy.NUMPY_TO_ARROW
        into_numpy["arrow"] = arrow_numpy.ARROW_TO_NUMPY
    if target == "torch":
        before = () if source == "numpy" else into_numpy[source]
        return before + numpy_torch.NUMPY_TO_TORCH + finish.FINISH_TORCH
    return into_numpy[source] + half.HALF_TO_NUMPY + finish.FINISH_NUMPY


def table() -> dict[tuple[Kind, Target], tuple[Rule, ...]]:
    """Every route between kinds: what the documentation page prints and the tests cover."""
    sources: tuple[Kind, ...] = ("numpy", "torch", "arrow", "pil", "array_like")
    targets: tuple[Target, ...] = ("numpy", "torch", "arrow")
    return {(source, target): rules(source, target) for source in sources for target in targets}


def received(spec: ArraySpec) -> ArraySpec:
    """The spec under which a foreign array's crossing is looked up: that of the library it is received by, without a
    copy.
    """
    if spec.kind == "capsule":
        return replace(spec, kind="arrow")
    if spec.kind == "dlpack":
        return replace(spec, kind="numpy" if has_numpy_dtype(spec.dtype) and spec.device == "cpu" else "torch")
    if spec.kind == "buffer":
        return replace(spec, kind="numpy")
    return spec


def has_rows(spec: ArraySpec, target: Target, options: Options) -> bool:
    """Whether a value crosses as values and offsets: lists and jagged tensors whose rows may differ in length."""
    if spec.layout == "jagged":
        return target == "arrow" or (target == "numpy" and options.ragged != "error")
    return spec.layout in LISTS and target != "arrow" and options.ragged != "error" and "scalar" not in spec.flags


@lru_cache(maxsize=4096)
def find_route(source: ArraySpec, target: Target, options: Options) -> Route:
    """The route for a described value: fold the rules of its pair over its spec.

    Raises:
        NoRoute: the value has no faithful counterpart in `target`.
        CopyRefused: `copy="never"`, and the route has to write new memory.
    """
    spec = received(source)
    pair = rules(spec.kind, target)
    route: Route
    if has_rows(source, target, options):
        from bridgeflow.bridge.ragged import rows_route

        route = rows_route(source, spec, target, pair, options)
    else:
        steps = fold(spec, pair, options)
        route = Route(source, steps[-1].after if steps else spec, steps, options)
    if options.copy == "never" and (cause := route.cause) is not None:
        raise CopyRefused(cause.rule.reason or "unknown", f'copy="never", but {cause.detail}', cause.remedy)
    return route
