"""Compose: transforms in sequence, as one transform."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from bridgeflow._optional import require
from bridgeflow.bridge import kind_of, like, to_numpy
from bridgeflow.errors import BridgeflowError, CannotStream, ConfigError, DataError, at_place
from bridgeflow.transforms.base import LeafTransform, Transform
from bridgeflow.transforms.plan import UNKNOWN, Opaque, Plan, is_spec
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.runner import Runner, Stage, locate, parts_of, put_back, select
from bridgeflow.tree import compile_recipe

__all__ = ["Compose"]

_Self = TypeVar("_Self", bound="Compose")
AnyStage = Transform | Callable[[Any], Any]


@register
@dataclass(frozen=True)
class Compose(Transform):
    """Transforms, and any other callables, one after the other; itself a transform.

    A plain callable, such as a torchvision v2 transform, is given the whole sample and may return whatever it likes.
    Our own transforms in a row run fused: the structure of a sample is studied once, after which a call fetches the
    arrays, carries each through its stages, and rebuilds the containers once. The order of calls, the results and the
    errors are those of the stages run one by one.

    Errors name the stage, counted from 1, and the place in the data.

    Args:
        stages: the transforms and callables; those of a `Compose` among them join the row.

    Raises:
        TypeError: a stage is not callable, or is a class that should have been instantiated.

    >>> import numpy as np
    >>> from bridgeflow.transforms import Scale, ToTensor
    >>> to_millivolt = Compose([Scale(scale=0.005, offset=-5.12, keys=("ecg",)), ToTensor(keys=("ecg",))])
    >>> to_millivolt({"ecg": np.array([1024, 1224], "uint16"), "label": "N"})
    {'ecg': tensor([0., 1.]), 'label': 'N'}
    """

    stages: tuple[AnyStage, ...]

    def __init__(self, stages: Iterable[AnyStage] = ()) -> None:
        object.__setattr__(self, "stages", tuple(stages))
        for number, stage in enumerate(self.stages, 1):
            if isinstance(stage, type):
                raise TypeError(f"Compose: stage {number} is the class {stage.__name__}; pass {stage.__name__}(...)")
            if not callable(stage):
                raise TypeError(f"Compose: stage {number} is a {type(stage).__name__}, which cannot be called")

    def __call__(self, data: Any, /, *more: Any) -> Any:
        """The sample or batch after the last stage."""
        return self._run((data, *more) if more else data)

    @cached_property
    def _row(self) -> tuple[tuple[str, AnyStage], ...]:
        """All stages with their labels, those of inner compositions in their place."""
        return tuple(_numbered(self.stages, ""))

    @cached_property
    def _run(self) -> Callable[[Any], Any]:
        """All runs as one function."""
        runs = self._runs
        if len(runs) == 1:
            return runs[0]

        def run(data: Any) -> Any:
            for one in runs:
                data = one(data)
            return data

        return run

    @cached_property
    def _runs(self) -> tuple[Callable[[Any], Any], ...]:
        """The row, with leaf transforms that follow each other fused."""
        runs: list[Callable[[Any], Any]] = []
        fused: list[Stage] = []
        for label, stage in self._row:
            if isinstance(stage, LeafTransform) and type(stage).__call__ is LeafTransform.__call__:
                fused.append(Stage(label, stage))
                continue
            runs += [_function(fused)] if fused else []
            runs.append(partial(_call, label, stage))
            fused = []
        return (*runs, _function(fused)) if fused else tuple(runs)

    # --- configuration ---

    def to_config(self) -> dict[str, Any]:
        """The stages as plain values: `{"Compose": {"stages": [...]}}`.

        Raises:
            ConfigError: a stage is a plain callable, which no configuration can name.
        """
        configs = []
        for number, stage in enumerate(self.stages, 1):
            if not isinstance(stage, Transform):
                what = (
                    f"stage {number} ({_name(stage)}) is a plain callable, and a configuration names transforms alone"
                )
                raise ConfigError(f"Compose: {what}; make it a registered transform")
            configs.append(stage.to_config())
        return {"Compose": {"stages": configs}}

    @classmethod
    def from_fields(cls: type[_Self], raw: Mapping[str, Any]) -> _Self:
        """The composition of the configurations under `stages`."""
        configs = raw.get("stages")
        if set(raw) != {"stages"} or not isinstance(configs, (list, tuple)):
            raise ConfigError("Compose has one field: stages, a list of transforms")
        stages = []
        for index, config in enumerate(configs):
            try:
                stages.append(Transform.from_config(config))
            except BridgeflowError as error:
                raise at_place(error, f"$.stages[{index}]") from error.__cause__
        return cls(stages)

    @classmethod
    def field_schema(cls) -> dict[str, Any]:
        """The JSON Schema of the one field; a stage is any transform."""
        return {
            "type": "object",
            "description": "Transforms one after the other.",
            "properties": {"stages": {"type": "array", "items": {"$ref": "#/$defs/transform"}}},
            "required": ["stages"],
            "additionalProperties": False,
        }

    # --- plans ---

    def plan(self, data: Any, stage: str = "") -> Plan:
        """Stage by stage; from the first plain callable on, nothing can be foreseen."""
        steps: list[Any] = []
        obstacles: list[str] = []
        for label, one in self._row:
            label = f"{stage}, {label}" if stage else label
            if not isinstance(one, Transform):
                obstacle = self._obstacle(label, one)
                steps.append(Opaque(stage=label, detail="a plain callable: says nothing of what it does"))
                data = UNKNOWN
            elif data is UNKNOWN:
                obstacle = one.stream_obstacle
                steps.append(Opaque(stage=label, detail="follows a plain callable: unknown until run"))
            else:
                plan = one.plan(data, label)
                obstacle = "; ".join(plan.obstacles)
                steps += plan.steps
                data = plan.result
            obstacles += [obstacle] if obstacle else []
        return Plan(tuple(steps), data, tuple(obstacles))

    # --- streaming ---

    @property
    def stream_obstacle(self) -> str:
        """Why some stage cannot run chunk by chunk."""
        return "; ".join(obstacle for label, stage in self._row if (obstacle := self._obstacle(label, stage)))

    def _obstacle(self, label: str, stage: AnyStage) -> str:
        if isinstance(stage, Transform):
            return stage.stream_obstacle
        return f"{label} is a plain callable, which says nothing of chunks"

    def init_state(self, spec: Any) -> ComposeState:
        """The states of all stages before the first chunk.

        Args:
            spec: the `ArraySpec` of a chunk, or data with `ArraySpec`s for arrays where chunks are nested.

        Raises:
            CannotStream: a stage needs the whole recording; says which and why.
        """
        states = []
        for label, stage in self._row:
            obstacle = self._obstacle(label, stage)
            if obstacle or not isinstance(stage, Transform):
                raise CannotStream(obstacle)
            if isinstance(stage, LeafTransform):
                recipe, specs = compile_recipe(spec, is_spec, stage.keys)
                states.append(dict(zip(recipe.places, map(stage.init_state, specs), strict=True)))
            else:
                states.append({"$": stage.init_state(spec)})
            spec = stage.plan(spec, label).result
        return ComposeState(tuple(states), spec)

    def step(self, x: Any, state: ComposeState) -> tuple[Any, ComposeState]:
        """One chunk through all stages."""
        states = []
        for (label, stage), before in zip(self._row, state.stages, strict=True):
            after = dict(before)
            if isinstance(stage, LeafTransform):
                recipe, leaves = select(x, stage.keys, label)
                values = []
                for place, leaf in zip(recipe.places, leaves, strict=True):
                    value, after[place] = _step(label, place, stage, leaf, before)
                    values.append(value)
                x = put_back(recipe, x, values)
            elif isinstance(stage, Transform):
                x, after["$"] = _step(label, "$", stage, x, before)
            states.append(after)
        return x, ComposeState(tuple(states), state.result)

    def flush(self, state: ComposeState) -> Any | None:
        """What is still to come of each array after the last chunk, in the structure of the data; or `None`."""
        tails: dict[str, Any] = {}
        for (label, stage), states in zip(self._row, state.stages, strict=True):
            for place in states:
                parts = []
                if place in tails and isinstance(stage, Transform):
                    value, after = _step(label, place, stage, tails.pop(place), states)
                    parts.append(value)
                    states = {**states, place: after}
                last = stage.flush(states[place]) if isinstance(stage, Transform) else None
                parts += [] if last is None else [last]
                if parts:
                    axis = stage.stream_axis if isinstance(stage, Transform) else -1
                    main, beside = parts_of(_joined(parts, axis))
                    tails.update({place: main, **{f"{place}_{suffix}": part for suffix, part in beside.items()}})
        if not tails:
            return None
        recipe, _ = compile_recipe(state.result, is_spec)
        return recipe.put(state.result, [tails.get(place) for place in recipe.places])


class ComposeState(NamedTuple):
    """The states of the stages by place, and the specs of what comes out, which give a flush its structure."""

    stages: tuple[dict[str, Any], ...]
    result: Any


def _function(stages: list[Stage]) -> Callable[[Any], Any]:
    """The stages fused; a bound method, which Python calls faster than an object that has one."""
    return Runner(stages).__call__


def _numbered(stages: Iterable[AnyStage], prefix: str) -> Iterator[tuple[str, AnyStage]]:
    for index, stage in enumerate(stages, 1):
        number = f"{prefix}{index}"
        if type(stage) is Compose:
            yield from _numbered(stage.stages, f"{number}.")
        else:
            yield f"stage {number} ({_name(stage)})", stage


def _name(stage: AnyStage) -> str:
    inner = stage.func if isinstance(stage, partial) else stage
    return str(getattr(inner, "__name__", type(inner).__name__))


def _call(label: str, stage: AnyStage, data: Any) -> Any:
    try:
        return stage(data)
    except Exception as error:
        locate(error, "$", label)
        raise


def _step(label: str, place: str, stage: Transform, x: Any, states: Mapping[str, Any]) -> tuple[Any, Any]:
    if place not in states:
        raise at_place(DataError(f"{label}: the first chunk had no array here; all chunks have one structure"), place)
    try:
        return stage.step(x, states[place])
    except Exception as error:
        locate(error, place, label)
        raise


def _joined(parts: list[Any], axis: int) -> Any:
    """Pieces of one array put together along the axis on which they follow each other."""
    if len(parts) == 1:
        return parts[0]
    if kind_of(parts[0]) == "torch":
        return require("torch", needed_for="joining tensors").cat(parts, dim=axis)
    return like(np.concatenate([to_numpy(part) for part in parts], axis=axis), parts[0])
