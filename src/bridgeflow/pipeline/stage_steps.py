"""A chunk of one array through one stage of a composition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridgeflow.bridge import shape_of
from bridgeflow.bridge.tracing import ACTIVE, at
from bridgeflow.errors import DataError, StageId, at_place
from bridgeflow.pipeline.chunk_axes import in_time
from bridgeflow.pipeline.joining import empty_result, len_along
from bridgeflow.transforms.base import LeafTransform, Transform
from bridgeflow.transforms.runner import locate

__all__ = ["step_at"]


def step_at(
    label: StageId, place: str, stage: Transform, x: Any, states: Mapping[str, Any], axes: Mapping[str, int]
) -> tuple[Any, Any]:
    """One chunk of one array through one stage, and the state after it; errors say which stage, and where.

    Args:
        states: of the stage, by place.
        axes: on which chunks follow each other, by place.
    """
    if place not in states:
        raise at_place(DataError(f"{label}: the first chunk had no array here; all chunks have one structure"), place)
    try:
        if not ACTIVE:
            return _stepped(place, stage, x, states, axes)
        with at(place, label):
            return _stepped(place, stage, x, states, axes)
    except Exception as error:
        locate(error, place, label, stage)
        raise


def _stepped(
    place: str, stage: Transform, x: Any, states: Mapping[str, Any], axes: Mapping[str, int]
) -> tuple[Any, Any]:
    if isinstance(stage, LeafTransform) and not in_time(stage, axes[place], len(shape_of(x))):
        return (stage.apply(x) if len_along(x, axes[place]) else empty_result(stage, x, axes[place])), None
    return stage.step(x, states[place])
