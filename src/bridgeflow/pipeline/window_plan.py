"""The plan of a pipeline over recordings: continuous stages, windows, and what sees one window."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from bridgeflow.errors import BridgeflowError, StageId
from bridgeflow.pipeline.chains import spec_after
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.lazy import RecordingWindows
from bridgeflow.pipeline.window_places import Cut
from bridgeflow.pipeline.window_stages import window_stages
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms import LeafTransform, Plan, Transform
from bridgeflow.transforms.facts import RecordingFacts
from bridgeflow.transforms.plan import UNKNOWN, Opaque, is_spec, select_specs
from bridgeflow.transforms.recording_windows import EventLabels
from bridgeflow.transforms.runner import locate
from bridgeflow.tree import compile_recipe, place

__all__ = ["numeric_labels", "plan_windows", "rates_after", "recording_specs"]


def recording_specs(recording: Any) -> dict[str, ArraySpec]:
    """What the columns of a recording are, [channels, time]."""
    return {
        name: ArraySpec(
            kind="numpy", dtype=np.dtype(column.dtype).name, shape=(*column.shape, column.length), fs=column.fs
        ).fresh()
        for name, column in recording.columns.items()
    }


def numeric_labels(recordings: Any) -> dict[str, np.dtype]:
    """The dtype of each label that is a number in all recordings, by its name."""
    names = dict.fromkeys(name for one in recordings for name in one.labels)
    dtypes: dict[str, np.dtype] = {}
    for name in names:
        values = [one.labels.get(name) for one in recordings]
        if all(isinstance(value, (bool, int, float, np.number)) for value in values):
            dtypes[name] = np.result_type(*(np.asarray(value).dtype for value in values))
    return dtypes


def plan_windows(
    recording: Any,
    transform: Compose,
    rows: int,
    windows: RecordingWindows,
    labels: Mapping[str, np.dtype],
) -> Plan:
    """What the stages will do to a recording, and to its windows.

    Args:
        recording: whose columns are read.
        transform: the whole pipeline.
        rows: how many windows there are.
        windows: those of the recording, of a dataset with this transform.
        labels: those that are numbers.

    Raises:
        BridgeflowError: a stage refuses what it is given.
    """
    followed = _Followed(recording)
    specs = windows.specs
    steps: list[Exchange | Opaque] = []
    labelled = {}
    for label, stage in transform.row[: windows.stages]:
        if isinstance(stage, EventLabels):
            spec = ArraySpec(kind="numpy", dtype="int64", shape=(rows,)).fresh()
            exchange = Exchange(source=spec, target=spec, action="copy", nbytes=spec.nbytes, detail="from events")
            steps.append(dataclasses.replace(exchange, stage=label, place=f"$.{stage.name}"))
            labelled[stage.name] = spec
        elif isinstance(stage, Cut):
            steps += followed.cut(label, stage, specs, rows)
        elif isinstance(stage, LeafTransform):
            steps += followed.add(label, stage)
    numbers = {name: ArraySpec(kind="numpy", dtype=kind.name, shape=(rows,)).fresh() for name, kind in labels.items()}
    data: Any = {**followed.data, **numbers, **labelled}
    for stage_id, one in window_stages(transform, windows):
        if data is UNKNOWN or not isinstance(one, Transform):
            name = stage_id or StageId.of(one)
            steps.append(Opaque(stage=name, detail="says nothing of what it does, or follows a stage that does not"))
            data = UNKNOWN
            continue
        plan = one.plan(data, stage_id)
        steps += plan.steps
        data = plan.result
    return Plan(tuple(steps), data)


class _Followed:
    """The columns of a recording on their way through continuous stages, with the names of their channels."""

    def __init__(self, recording: Any) -> None:
        self.data: Any = recording_specs(recording)
        self._facts = {
            place([name]): RecordingFacts(recording.id, _channel_names(column), recording.labels)
            for name, column in recording.columns.items()
        }

    def add(self, label: StageId | None, stage: LeafTransform) -> list[Exchange]:
        """One stage more; the crossings that it makes."""
        recipe, specs = select_specs(self.data, stage, label)
        steps, results = [], []
        for where, spec in zip(recipe.places, specs, strict=True):
            facts = self._facts[where]
            try:
                bound = stage.in_recording(facts).at_rate(spec.fs)
                result = spec_after(bound, spec)
                done = bound.exchanges(spec)
            except Exception as error:
                locate(error, where, label, stage)
                raise
            names = None if facts.channels is None else bound.channels_after(facts.channels)
            if names is not None and (result.ndim != spec.ndim or result.shape[-2] != len(names)):
                names = None
            self._facts[where] = facts._replace(channels=names)
            steps += [dataclasses.replace(one, place=where, stage=label) for one in done]
            results.append(result)
        self.data = recipe.put(self.data, results)
        return steps

    def cut(self, label: StageId | None, stage: Any, windows: Mapping[str, ArraySpec], rows: int) -> list[Exchange]:
        """A stage that cuts windows.

        Args:
            windows: what they are, by column; nothing where there are none.
        """
        recipe, specs = select_specs(self.data, stage, label)
        steps, results = [], []
        for where, spec in zip(recipe.places, specs, strict=True):
            cut = windows.get(where.removeprefix("$."), spec)
            result = cut.fresh(shape=(rows, *cut.shape[1:]))
            detail = f"{rows:,} windows, computed as they are asked for"
            one = Exchange(source=spec, target=result, action="copy", nbytes=result.nbytes, detail=detail)
            steps.append(dataclasses.replace(one, place=where, stage=label))
            results.append(result)
        self.data = recipe.put(self.data, results)
        return steps


def _channel_names(column: Any) -> tuple[str, ...] | None:
    channels = getattr(column, "channels", None)
    return None if channels is None else tuple(channel.name for channel in channels)


def rates_after(recording: Any, stages: list[Transform], keys: Any) -> set[float | None]:
    """The sampling rates of the arrays that `keys` selects, after some stages over a recording and its windows.

    Where a stage refuses what it is given nothing is known, and the plan of the job says why.
    """
    followed = _Followed(recording)
    try:
        for label, one in Compose(stages).row:
            if isinstance(one, (EventLabels, *Cut)):
                continue
            if isinstance(one, LeafTransform):
                followed.add(label, one)
            elif isinstance(one, Transform):
                followed.data = one.plan(followed.data, label).result
        _, selected = compile_recipe(followed.data, is_spec, keys)
    except BridgeflowError:
        return set()
    return {spec.fs for spec in selected}
