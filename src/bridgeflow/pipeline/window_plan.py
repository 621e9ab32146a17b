"""The plan of a pipeline over recordings: continuous stages, windows, and what sees one window."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from bridgeflow.errors import BridgeflowError, StageId
from bridgeflow.pipeline.chains import spec_after
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.window_places import Cut
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms import LeafTransform, Plan, Transform
from bridgeflow.transforms.plan import UNKNOWN, Opaque, is_spec, select_specs
from bridgeflow.transforms.recording_windows import EventLabels
from bridgeflow.transforms.runner import locate
from bridgeflow.tree import compile_recipe

__all__ = ["plan_windows", "rates_after", "recording_specs"]


def recording_specs(recording: Any) -> dict[str, ArraySpec]:
    """What the columns of a recording are, [channels, time]."""
    return {
        name: ArraySpec(
            kind="numpy", dtype=np.dtype(column.dtype).name, shape=(*column.shape, column.length), fs=column.fs
        ).fresh()
        for name, column in recording.columns.items()
    }


def plan_windows(
    recording: Any,
    transform: Compose,
    rows: int,
    windows: Mapping[str, ArraySpec],
    labels: Mapping[str, np.dtype],
) -> Plan:
    """What the stages will do to a recording, and to its windows.

    Args:
        recording: whose columns are read.
        transform: the whole pipeline, of which a `SignalDataset` of the recording was made without an error.
        rows: how many windows there are.
        windows: what they are after the stages that cut them, [rows, channels, length].
        labels: those that are numbers.

    Raises:
        BridgeflowError: a stage refuses what it is given.
    """
    data: Any = recording_specs(recording)
    steps: list[Exchange | Opaque] = []
    row = list(transform.row)
    last_cut = max((number for number, (_, stage) in enumerate(row) if isinstance(stage, Cut)), default=-1)
    count = last_cut + 1
    while count < len(row) and isinstance(row[count][1], EventLabels):
        count += 1
    for label, stage in row[:count]:
        if isinstance(stage, EventLabels):
            spec = ArraySpec(kind="numpy", dtype="int64", shape=(rows,)).fresh()
            labelled = Exchange(
                source=spec,
                target=spec,
                action="copy",
                nbytes=spec.nbytes,
                detail="from events",
                place=f"$.{stage.name}",
            )
            steps.append(dataclasses.replace(labelled, stage=label))
        elif isinstance(stage, LeafTransform):
            data, done = _continuous(label, stage, data, windows, rows)
            steps += done
    labelled_specs = {
        stage.name: ArraySpec(kind="numpy", dtype="int64", shape=(rows,)).fresh()
        for _, stage in row[:count]
        if isinstance(stage, EventLabels)
    }
    numbers = {name: ArraySpec(kind="numpy", dtype=kind.name, shape=(rows,)).fresh() for name, kind in labels.items()}
    data = {**data, **numbers, **labelled_specs}
    for label, stage in row[count:]:
        if data is UNKNOWN or not isinstance(stage, Transform):
            steps.append(Opaque(stage=label, detail="says nothing of what it does, or follows a stage that does not"))
            data = UNKNOWN
            continue
        plan = stage.plan(data, label)
        steps += plan.steps
        data = plan.result
    return Plan(tuple(steps), data)


def _continuous(
    label: StageId, stage: LeafTransform, data: Any, windows: Mapping[str, ArraySpec], rows: int
) -> tuple[Any, list[Exchange]]:
    """A continuous stage, or one that cuts windows."""
    recipe, specs = select_specs(data, stage, label)
    steps, results = [], []
    for where, spec in zip(recipe.places, specs, strict=True):
        try:
            if isinstance(stage, Cut):
                cut = windows.get(where.removeprefix("$."), spec)
                result = cut.fresh(shape=(rows, *cut.shape[1:]))
                detail = f"{rows:,} windows, computed as they are asked for"
                done = [Exchange(source=spec, target=result, action="copy", nbytes=result.nbytes, detail=detail)]
            else:
                at_rate = stage.at_rate(spec.fs)
                result, done = spec_after(stage, spec), list(at_rate.exchanges(spec))
        except Exception as error:
            locate(error, where, label, stage)
            raise
        steps += [dataclasses.replace(one, place=where, stage=label) for one in done]
        results.append(result)
    return recipe.put(data, results), steps


def rates_after(recording: Any, stages: list[Transform], keys: Any) -> set[float | None]:
    """The sampling rates of the arrays that `keys` selects, after some stages over a recording and its windows.

    Where a stage refuses what it is given nothing is known, and the plan of the job says why.
    """

    data: Any = recording_specs(recording)
    try:
        for number, stage in enumerate(stages, 1):
            for label, one in Compose([stage]).row:
                if isinstance(one, EventLabels):
                    continue
                if isinstance(one, LeafTransform):
                    recipe, specs = select_specs(data, one, label)
                    results = [spec if isinstance(one, Cut) else spec_after(one, spec) for spec in specs]
                    data = recipe.put(data, results)
                elif isinstance(one, Transform):
                    data = one.plan(data, StageId.of(one, number)).result
        _, selected = compile_recipe(data, is_spec, keys)
    except BridgeflowError:
        return set()
    return {spec.fs for spec in selected}
