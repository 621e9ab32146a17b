"""Compose: transforms in sequence, as one transform."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from bridgeflow._optional import require
from bridgeflow.bridge import describe, has_numpy_dtype, kind_of, like, shape_of, strided, to_arrow
from bridgeflow.bridge.rules import LISTS
from bridgeflow.bridge.tracing import ACTIVE, at
from bridgeflow.errors import BridgeflowError, CannotStream, ConfigError, DataError, at_place
from bridgeflow.signal._axes import axis_of
from bridgeflow.spec import Exchange
from bridgeflow.transforms.along_time import TimeTransform
from bridgeflow.transforms.base import LeafTransform, Transform, is_leafwise
from bridgeflow.transforms.plan import UNKNOWN, Opaque, Plan, is_spec, opened_specs, select_specs
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.runner import Runner, Stage, locate, opened, parts_of, put_back, select
from bridgeflow.tree import compile_recipe

__all__ = ["AnyStage", "Compose", "ComposeState", "as_function", "joined", "len_along"]

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
    def row(self) -> tuple[tuple[str, AnyStage], ...]:
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
        for label, stage in self.row:
            if is_leafwise(stage):
                fused.append(Stage(label, stage))
                continue
            runs += [_fused(fused)] if fused else []
            runs.append(as_function(label, stage))
            fused = []
        return (*runs, _fused(fused)) if fused else tuple(runs)

    def opened(self, data: Any) -> Any:
        """The data with what the first stage reads first (lists of numbers, stored arrays) as ndarrays."""
        if self.row and isinstance(self.row[0][1], LeafTransform):
            return opened(data, self.row[0][1], self.row[0][0])
        return data

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

    def plan(self, data: Any, stage: str = "", *, axis: int = -1) -> Plan:
        """Stage by stage; from the first plain callable on, nothing can be foreseen.

        Args:
            axis: on which axis of each array chunks would follow each other, for the plan's obstacles; see
                `init_state`.
        """
        steps: list[Any] = []
        obstacles: list[str] = []
        axes = _first_axes(data, axis)
        for label, one in self.row:
            label = f"{stage}, {label}" if stage else label
            if not isinstance(one, Transform):
                obstacle = self._obstacle(label, one)
                steps.append(Opaque(stage=label, detail="a plain callable: says nothing of what it does"))
                data = UNKNOWN
            elif data is UNKNOWN:
                obstacle = one.stream_obstacle
                steps.append(Opaque(stage=label, detail="follows a plain callable: unknown until run"))
            else:
                data, axes, reads = _opened_here(label, one, data, axes, axis)
                plan = one.plan(data, label)
                obstacle = _obstacle_here(label, one, data, axes)
                axes = _axes_behind(one, data, axes, plan.result)
                steps += [*reads, *plan.steps]
                data = plan.result
            obstacles += [obstacle] if obstacle else []
        return Plan(tuple(steps), data, tuple(obstacles))

    # --- streaming ---

    @property
    def stream_obstacle(self) -> str:
        """Why some stage cannot run chunk by chunk, as far as that can be told without data.

        What follows a stage that puts pieces on another axis than time (`Window`) sees whole windows and carries
        nothing, so that it need not stream.
        """
        obstacles: list[str] = []
        for label, stage, _, is_whole in self._along_time():
            obstacles += [] if is_whole else [self._obstacle(label, stage)]
        return "; ".join(filter(None, obstacles))

    @property
    def time_axis(self) -> int:
        """The axis of time in the data: that of the first stage that looks along time."""
        return next((stage.time_axis for _, stage in self.row if isinstance(stage, TimeTransform)), -1)

    @property
    def latency(self) -> int:
        """By how many samples the output of a stream lags behind its input, at most.

        Behind a stage that changes the rate, samples count as so many of the input.
        """
        return max((math.ceil(behind) for _, _, behind, _ in self._along_time()), default=0)

    def _along_time(self) -> Iterator[tuple[str, AnyStage, Fraction, bool]]:
        """Each stage with its label, the lag behind it in samples of the input, and whether it sees whole pieces.

        Pieces are whole in time for a stage that looks along another axis than they follow each other on: behind
        `Window`, say. As far as that can be told without data, array by array as `keys` name them.
        """
        default = _Course(None, Fraction(1), Fraction(0), False)
        courses: dict[str, _Course] = {}
        for label, stage in self.row:
            keys = stage.keys if isinstance(stage, LeafTransform) else None
            for key in keys or ():
                similar = (one for other, one in courses.items() if _touch(key, other))
                courses.setdefault(key, next(similar, default))
            taken = [key for key in courses if keys is None or any(_touch(key, other) for other in keys)]
            after = [_course_after(courses[key], stage) for key in taken]
            courses.update(zip(taken, after, strict=True))
            if keys is None:
                default = _course_after(default, stage)
                after.append(default)
            yield label, stage, max(one.lag for one in after), all(one.is_whole for one in after)

    def _obstacle(self, label: str, stage: AnyStage) -> str:
        if isinstance(stage, Transform):
            return stage.stream_obstacle
        return f"{label} is a plain callable, which says nothing of chunks"

    def init_state(self, spec: Any, *, axis: int = -1) -> ComposeState:
        """The states of all stages before the first chunk.

        Along time, the last axis of every array, stages carry a state from chunk to chunk. Where chunks follow each
        other on another axis, because they are rows of examples (`axis=0`) or a stage has made windows, each piece is
        whole in time and goes through a stage by itself.

        Args:
            spec: the `ArraySpec` of a chunk, or data with `ArraySpec`s for arrays where chunks are nested.
            axis: on which axis of each array chunks follow each other.

        Raises:
            CannotStream: a stage needs the whole recording; says which and why.
        """
        states: list[dict[str, Any]] = []
        axes = [_first_axes(spec, axis)]
        for label, stage in self.row:
            spec, axes[-1], _ = _opened_here(label, stage, spec, axes[-1], axis)
            obstacle = _obstacle_here(label, stage, spec, axes[-1]) if isinstance(stage, Transform) else ""
            obstacle = obstacle if isinstance(stage, Transform) else self._obstacle(label, stage)
            if obstacle or not isinstance(stage, Transform):
                raise CannotStream(obstacle)
            if isinstance(stage, LeafTransform):
                recipe, specs = select_specs(spec, stage, label)
                carried = {
                    place: stage.init_state(one)
                    for place, one in zip(recipe.places, specs, strict=True)
                    if _in_time(stage, axes[-1][place], one.ndim)
                }
                states.append({place: carried.get(place) for place in recipe.places})
            else:
                states.append({"$": stage.init_state(spec)})
            made = stage.plan(spec, label).result
            axes.append(_axes_behind(stage, spec, axes[-1], made))
            spec = made
        return ComposeState(tuple(states), tuple(axes), spec)

    def out_axes(self, spec: Any, *, axis: int = -1) -> dict[str, int]:
        """On which axis, counted from the front, chunks of each array follow each other behind the last stage.

        Args:
            spec, axis: as for `init_state`; whether the stages can stream does not matter. Of what comes out of a plain
                callable nothing is known.
        """
        axes = _first_axes(spec, axis)
        for label, stage in self.row:
            spec, axes, _ = _opened_here(label, stage, spec, axes, axis)
            made = stage.plan(spec, label).result if isinstance(stage, Transform) and spec is not UNKNOWN else UNKNOWN
            axes = _axes_behind(stage, spec, axes, made) if isinstance(stage, Transform) else {}
            spec = made
        return axes

    def check_time_axis(self, spec: Any) -> None:
        """Refuse stages that look along another axis than the last, on which instants follow each other here.

        Args:
            spec: of the data, as for `init_state`, time last.

        Raises:
            ConfigError: there is such a stage; says which.
        """
        axes = _first_axes(spec, -1)
        cut: set[str] = set()
        for label, stage in self.row:
            if not isinstance(stage, Transform) or spec is UNKNOWN:
                return
            if isinstance(stage, TimeTransform):
                recipe, specs = compile_recipe(spec, is_spec, stage.keys)
                for place, one in zip(recipe.places, specs, strict=True):
                    if place not in cut and not _in_time(stage, axes[place], one.ndim):
                        lengths = ", ".join("?" if n is None else str(n) for n in one.shape)
                        error = ConfigError(
                            f"axis={stage.axis} is not time here: its rows are instants, and transforms are given "
                            f"[{lengths}], time last; leave axis out",
                            field="axis",
                        )
                        error.stage = label
                        raise at_place(error, place)
                cut |= set(recipe.places) if stage.cuts else set()
            made = stage.plan(spec, label).result
            axes = _axes_behind(stage, spec, axes, made)
            spec = made

    def step(self, x: Any, state: ComposeState) -> tuple[Any, ComposeState]:
        """One chunk through all stages."""
        states = []
        for (label, stage), before, axes in zip(self.row, state.stages, state.axes, strict=False):
            after = dict(before)
            if isinstance(stage, LeafTransform):
                x = opened(x, stage, label)
                recipe, leaves = select(x, stage, label)
                values = []
                for place, leaf in zip(recipe.places, leaves, strict=True):
                    value, after[place] = _step(label, place, stage, leaf, before, axes)
                    values.append(value)
                x = put_back(recipe, x, values)
            elif isinstance(stage, Transform):
                x, after["$"] = _step(label, "$", stage, x, before, {})
            states.append(after)
        return x, state._replace(stages=tuple(states))

    def flush(self, state: ComposeState) -> Any | None:
        """What is still to come of each array after the last chunk, in the structure of the data; or `None`."""
        tails: dict[str, Any] = {}
        for number, ((label, stage), states) in enumerate(zip(self.row, state.stages, strict=True)):
            axes, behind = state.axes[number : number + 2]
            for place in states:
                parts = []
                if place in tails and isinstance(stage, Transform):
                    value, after = _step(label, place, stage, tails.pop(place), states, axes)
                    parts.append(value)
                    states = {**states, place: after}
                carries = not isinstance(stage, LeafTransform) or states[place] is not None
                last = stage.flush(states[place]) if carries and isinstance(stage, Transform) else None
                parts += [] if last is None else [last]
                if parts:
                    main, beside = parts_of(joined(parts, behind.get(place, -1)))
                    tails.update({place: main, **{f"{place}_{suffix}": part for suffix, part in beside.items()}})
        if not tails:
            return None
        recipe, _ = compile_recipe(state.result, is_spec)
        return recipe.put(state.result, [tails.get(place) for place in recipe.places])


class ComposeState(NamedTuple):
    """What a composition carries from chunk to chunk.

    Args:
        stages: the states of the stages by place; `None` where a stage carries nothing.
        axes: before each stage and behind the last, on which axis of each array, counted from the front, chunks follow
            each other.
        result: the specs of what comes out, which give a flush its structure.
    """

    stages: tuple[dict[str, Any], ...]
    axes: tuple[dict[str, int], ...]
    result: Any


class _Course(NamedTuple):
    """How the pieces of an array go through a composition.

    Args:
        axis: on which they follow each other, where that is known.
        rate: samples there are for one of the input.
        lag: by how many samples of the input they lag behind.
        is_whole: whether they are whole in time.
    """

    axis: int | None
    rate: Fraction
    lag: Fraction
    is_whole: bool


def _course_after(course: _Course, stage: AnyStage) -> _Course:
    """How pieces go on behind a stage."""
    if course.is_whole or not isinstance(stage, Transform) or (isinstance(stage, LeafTransform) and stage.pointwise):
        return course
    if course.axis not in (None, stage.time_axis):
        return course._replace(is_whole=True)
    if not isinstance(stage, TimeTransform):
        lag = 0 if stage.stream_obstacle else getattr(stage, "latency", 0)
        return course._replace(axis=stage.stream_axis, lag=course.lag + Fraction(lag) / course.rate)
    lag = 0 if stage.stream_obstacle else stage.latency
    return _Course(stage.stream_axis, course.rate * stage.rate_factor, course.lag + Fraction(lag) / course.rate, False)


def _touch(key: str, other: str) -> bool:
    """Whether two keys may name the same array."""
    return all("*" in (one, two) or one == two for one, two in zip(key.split("."), other.split("."), strict=False))


def _in_time(stage: Transform, axis: int, ndim: int) -> bool:
    """Whether chunks that follow each other on this axis follow each other in time for a stage."""
    time = stage.time_axis
    return ndim < 2 or (-ndim <= time < ndim and axis == range(ndim)[time])


def _first_axes(spec: Any, axis: int) -> dict[str, int]:
    """The axis of chunks in each array, counted from the front."""
    if spec is UNKNOWN:
        return {}
    recipe, specs = compile_recipe(spec, is_spec)
    return {
        place: axis_of(axis, one.shape, what=f"chunks of {place}") if one.ndim > 1 else 0
        for place, one in zip(recipe.places, specs, strict=True)
    }


def _opened_here(
    label: str, stage: AnyStage, spec: Any, axes: dict[str, int], axis: int
) -> tuple[Any, dict[str, int], list[Exchange]]:
    """The specs with those of ndarrays for what the stage reads first, the axes of their chunks, and the readings."""
    if not isinstance(stage, LeafTransform) or spec is UNKNOWN:
        return spec, axes, []
    spec, reads = opened_specs(spec, stage, label)
    return spec, {**_first_axes(spec, axis), **axes}, [replace(read, stage=label) for read in reads]


def _obstacle_here(label: str, stage: Transform, spec: Any, axes: Mapping[str, int]) -> str:
    """Why the stage cannot take chunks of data described by `spec` that follow each other on these axes."""
    if not isinstance(stage, LeafTransform):
        recipe, specs = compile_recipe(spec, is_spec)
        moved = any(not _in_time(stage, axes[place], one.ndim) for place, one in zip(recipe.places, specs, strict=True))
        return stage.stream_obstacle or (f"{label} is given pieces that do not follow each other in time" * moved)
    recipe, specs = select_specs(spec, stage, label)
    obstacles = []
    for place, one in zip(recipe.places, specs, strict=True):
        core = stage.core_axes(one.ndim)
        if _in_time(stage, axes[place], one.ndim):
            obstacles.append(stage.stream_obstacle)
        elif core is None:
            obstacles.append(f"{label} does not say (core_ndim) that it treats the pieces of {place} each alone")
        elif axes[place] in core:
            obstacles.append(f"{label} looks across the pieces of {place}")
    return "; ".join(dict.fromkeys(filter(None, obstacles)))


def _axes_behind(stage: Transform, spec: Any, axes: Mapping[str, int], made: Any) -> dict[str, int]:
    """The axis of chunks in each array behind the stage."""
    if made is UNKNOWN:
        return {}
    everything, specs = compile_recipe(made, is_spec)
    lengths = {place: one.ndim for place, one in zip(everything.places, specs, strict=True)}
    if not isinstance(stage, LeafTransform):
        return {place: max(range(ndim)[stage.stream_axis], 0) if ndim else 0 for place, ndim in lengths.items()}
    recipe, before = compile_recipe(spec, is_spec, stage.keys)
    moved = {
        place: range(lengths[place])[stage.stream_axis]
        if _in_time(stage, axes[place], one.ndim)
        else stage.axis_after(axes[place], one.ndim, lengths[place])
        for place, one in zip(recipe.places, before, strict=True)
        if lengths.get(place)
    }
    behind = {**axes, **moved}
    for place in lengths:  # what stands beside an array goes with it
        if place not in behind:
            behind[place] = max((behind[main] for main in recipe.places if place.startswith(f"{main}_")), default=0)
    return {place: min(behind[place], max(ndim - 1, 0)) for place, ndim in lengths.items()}


def as_function(label: str, stage: AnyStage) -> Callable[[Any], Any]:
    """One stage by itself, whose errors tell where they come from."""
    return _fused([Stage(label, stage)]) if is_leafwise(stage) else partial(_call, label, stage)


def _fused(stages: list[Stage]) -> Callable[[Any], Any]:
    """Leaf transforms as one function; a bound method, which Python calls faster than an object that has one."""
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


def _step(
    label: str, place: str, stage: Transform, x: Any, states: Mapping[str, Any], axes: Mapping[str, int]
) -> tuple[Any, Any]:
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
    if isinstance(stage, LeafTransform) and not _in_time(stage, axes[place], len(shape_of(x))):
        return (stage.apply(x) if len_along(x, axes[place]) else _nothing(stage, x, axes[place])), None
    return stage.step(x, states[place])


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


def _nothing(stage: LeafTransform, x: Any, axis: int) -> Any:
    """The result of no pieces: transforms need not know what to make of nothing."""
    given = describe(x)
    if given.layout in LISTS:  # of no rows, their length is not known
        given = replace(given, shape=(given.shape[0], None, *given.shape[2:]))
    spec = stage.out_spec(given)
    shape = [0 if number == axis or n is None else n for number, n in enumerate(spec.shape)]
    if spec.kind == "torch" or not has_numpy_dtype(spec.dtype):
        torch = require("torch", needed_for="tensors")
        nothing = torch.empty(shape, dtype=getattr(torch, spec.dtype), device=spec.device)
        return nothing if spec.kind == "torch" else to_arrow(nothing)
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
