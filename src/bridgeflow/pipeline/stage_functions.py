"""Stages of a pipeline as functions, whose errors say which stage they come from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bridgeflow.errors import StageId
from bridgeflow.pipeline.chunk_axes import AnyStage
from bridgeflow.transforms.base import is_leafwise
from bridgeflow.transforms.runner import Runner, Stage, locate

__all__ = ["Labelled", "as_function", "fused"]

Labelled = tuple[StageId | None, AnyStage]
"""A stage and what errors call it."""


def as_function(label: StageId | None, stage: AnyStage) -> Callable[[Any], Any]:
    """One stage by itself, whose errors say where they come from."""
    return fused([Stage(label, stage)]) if is_leafwise(stage) else partial(_call, label, stage)


def fused(stages: list[Stage]) -> Callable[[Any], Any]:
    """Leaf transforms as one function; a bound method, which Python calls faster than an object that has one."""
    return Runner(stages).__call__


def _call(label: StageId | None, stage: AnyStage, data: Any) -> Any:
    try:
        return stage(data)
    except Exception as error:
        locate(error, "$", label)
        raise
