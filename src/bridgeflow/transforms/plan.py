"""Plans: what a transform will do to data of a given structure, worked out from specs before any data moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from bridgeflow._html import card, table, text
from bridgeflow.bridge import describe, route
from bridgeflow.bridge.array_like import is_scalar_list
from bridgeflow.bridge.tracing import text_table
from bridgeflow.errors import BridgeflowError, StageId
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms.runner import READ_FIRST, ArrayTransform, is_array, locate, opened, reading_copies, select
from bridgeflow.tree import Recipe, compile_recipe, map_leaves, open_tables

__all__ = ["UNKNOWN", "Opaque", "Plan", "assumed", "describe_leaves", "is_spec", "opened_specs", "select_specs"]


class _Unknown:
    """Data of which nothing is known beforehand."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
"""What comes out of a callable that says nothing about itself."""


@dataclass(frozen=True, kw_only=True)
class Opaque:
    """A stage without a plan: a plain callable, or whatever follows one."""

    stage: StageId
    detail: str


_HEADER = ("stage", "place", "from", "to", "action", "bytes", "why")


@dataclass(frozen=True)
class Plan:
    """What a transform will do, row by row; prints as a table, and renders as one in a notebook.

    Args:
        steps: one `Exchange` for each crossing, in the order in which they will happen, with place and stage; an
            `Opaque` for each stage without a plan.
        result: the data that comes out, with an `ArraySpec` for every array; `UNKNOWN` after an opaque stage.
        obstacles: why the transform cannot run chunk by chunk; empty where it can.
    """

    steps: tuple[Exchange | Opaque, ...]
    result: Any
    obstacles: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Exchange | Opaque]:
        return iter(self.steps)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The steps that are known."""
        return tuple(step for step in self.steps if isinstance(step, Exchange))

    @property
    def total_bytes(self) -> int | None:
        """Bytes that will be written, over all steps; `None` where some step's size is not known."""
        sizes = [step.nbytes if isinstance(step, Exchange) else None for step in self.steps]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def rows(self) -> list[tuple[str, ...]]:
        """One row of text for each step: stage, place, from, to, action, bytes, why."""
        return [_row(step) for step in self.steps]

    def summary(self) -> str:
        """The last line: bytes in all, and whether the transform can run chunk by chunk."""
        nbytes = sum(exchange.nbytes or 0 for exchange in self.exchanges)
        size = f"{nbytes:,} bytes to be written" + (
            "" if self.total_bytes is not None else ", and some that are not known beforehand"
        )
        return f"{size}; " + (
            "streams" if not self.obstacles else f"does not stream: {'; '.join(dict.fromkeys(self.obstacles))}"
        )

    def __str__(self) -> str:
        return text_table(_HEADER, self.rows()) + f"\n{self.summary()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return card("Plan", table(_HEADER, self.rows()), f"<p>{text(self.summary())}</p>")


def _row(step: Exchange | Opaque) -> tuple[str, ...]:
    if isinstance(step, Opaque):
        return (str(step.stage), "", "", "", "opaque", "?", step.detail)
    why = ": ".join(word for word in (step.reason, step.detail) if word)
    size = "?" if step.nbytes is None else f"{step.nbytes:,}"
    return (str(step.stage or ""), step.place, str(step.source), str(step.target), step.action, size, why)


def is_spec(leaf: object) -> bool:
    """Whether a leaf stands for an array."""
    return isinstance(leaf, ArraySpec)


def assumed(spec: ArraySpec) -> ArraySpec:
    """The description without nulls where their number is not known: no reason to refuse before they are read."""
    return spec if spec.null_count is not None else replace(spec, null_count=0)


def describe_leaves(sample: Any) -> Any:
    """The sample with an `ArraySpec` in place of every array.

    >>> import numpy as np
    >>> print(describe_leaves({"ecg": np.zeros((2, 100)), "id": "a"})["ecg"])
    numpy float64[2, 100]
    """
    return map_leaves(describe, open_tables(sample), lambda leaf: is_array(leaf) or is_scalar_list(leaf))


def select_specs(data: Any, transform: ArrayTransform, label: StageId | None = None) -> tuple[Recipe, list[Any]]:
    """What `select` does for arrays, for the specs that stand for them."""
    return select(data, transform, label, counts=is_spec)


def opened_specs(data: Any, transform: ArrayTransform, label: StageId | None = None) -> tuple[Any, list[Exchange]]:
    """What `opened` does for arrays, for specs: as ndarrays what must be read first, and the crossings that this is."""
    data = opened(data, transform, label, counts=is_spec, read=describe)
    recipe, specs = compile_recipe(data, is_spec, transform.keys)
    reads: list[Exchange] = []
    for slot, spec in enumerate(specs):
        if spec.kind in READ_FIRST:
            try:
                crossing = route(spec, "numpy", copy=reading_copies(transform))
            except BridgeflowError as error:
                locate(error, recipe.places[slot], label, transform)
                raise
            specs[slot] = crossing.target
            if crossing.action != "view":
                reads.append(crossing.exchange(place=recipe.places[slot]))
    return recipe.put(data, specs), reads
