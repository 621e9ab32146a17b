"""Window stages that were left to know the names of channels, which the recordings of the windows have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridgeflow.errors import BridgeflowError
from bridgeflow.pipeline.compose import AnyStage, Compose
from bridgeflow.pipeline.lazy import RecordingWindows
from bridgeflow.pipeline.stage_functions import Labelled
from bridgeflow.transforms.base import LeafTransform
from bridgeflow.transforms.facts import RecordingFacts
from bridgeflow.transforms.plan import select_specs
from bridgeflow.tree import place

__all__ = ["stages_of", "window_stages"]

"""A stage and its label."""


def stages_of(transform: AnyStage | None) -> tuple[Labelled, ...]:
    """The stages of a transform, with their labels."""
    if transform is None:
        return ()
    return transform.row if type(transform) is Compose else ((None, transform),)


def window_stages(transform: AnyStage | None, windows: RecordingWindows) -> tuple[Labelled, ...]:
    """The stages that see one window, with the names of channels where they look at these."""
    stages = stages_of(transform)[windows.stages :]
    if not any(_looks_at_recordings(stage) for _, stage in stages):
        return stages
    return _bound(stages, windows.specs, {place([name]): names for name, names in windows.channels().items()})


def _looks_at_recordings(stage: AnyStage) -> bool:
    return isinstance(stage, LeafTransform) and type(stage).in_recording is not LeafTransform.in_recording


def _bound(
    stages: Sequence[Labelled], specs: Mapping[str, Any], channels: dict[str, tuple[str, ...] | None]
) -> tuple[Labelled, ...]:
    """The stages, as far as what each is given can be foreseen; those after it stay as they are."""
    bound: list[Labelled] = []
    data: Any = dict(specs)
    try:
        for label, stage in stages:
            if not isinstance(stage, LeafTransform):
                break
            recipe, _ = select_specs(data, stage, label)
            names = {channels.get(each) for each in recipe.places}
            common = names.pop() if len(names) == 1 else None
            one = stage.in_recording(RecordingFacts("these recordings", common, {}))
            data = one.plan(data, label).result
            bound.append((label, one))
            for each in recipe.places:
                channels[each] = None if common is None else one.channels_after(common)
    except (BridgeflowError, ValueError, TypeError):
        pass  # the stage will say what is wrong, when it is run
    return (*bound, *stages[len(bound) :])
