"""What happens to each column of recordings: its continuous stages, and the stage that cuts it into windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bridgeflow.errors import ConfigError, StageId
from bridgeflow.pipeline.compose import AnyStage
from bridgeflow.pipeline.window_places import Cut
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.base import LeafTransform
from bridgeflow.transforms.plan import select_specs
from bridgeflow.transforms.recording_windows import EventLabels
from bridgeflow.tree import place

__all__ = ["ColumnPlan", "compile_columns"]


class ColumnPlan(NamedTuple):
    """What happens to a column: its continuous stages, and the stage that cuts it."""

    stages: tuple[tuple[StageId | None, LeafTransform], ...]
    cut: Any


def compile_columns(
    row: Sequence[tuple[StageId | None, AnyStage]], specs: Mapping[str, ArraySpec]
) -> dict[str, ColumnPlan]:
    """The plan of each column.

    Args:
        row: the stages of the pipeline up to the windows, with their labels.
        specs: what the columns are.

    Raises:
        ConfigError: a stage that cannot be computed stretch by stretch, a column that no stage cuts, or two cut.
    """
    stages: dict[str, list[tuple[StageId | None, LeafTransform]]] = {name: [] for name in specs}
    cuts: dict[str, LeafTransform] = {}
    places = {place([name]): name for name in specs}
    for label, stage in row:
        if isinstance(stage, EventLabels):
            continue
        if not isinstance(stage, LeafTransform):
            raise ConfigError(
                f"{label}: stands before the windows, and only transforms of arrays can be computed stretch by "
                "stretch; put it after Window"
            )
        if stage.random:
            raise ConfigError(
                f"{label}: stands before the windows and draws random numbers, which belong to windows; put it "
                "after Window"
            )
        recipe, _ = select_specs(dict(specs), stage, label)
        for name in (places[each] for each in recipe.places):
            if name in cuts:
                raise ConfigError(f"{label}: {name} is cut into windows by a stage before it already")
            if isinstance(stage, Cut):
                cuts[name] = stage
            else:
                stages[name].append((label, stage))
    if uncut := [name for name in specs if name not in cuts]:
        raise ConfigError(f"no stage cuts {', '.join(uncut)} into windows; add to the keys of Window, or leave out")
    return {name: ColumnPlan(tuple(stages[name]), cuts[name]) for name in specs}
