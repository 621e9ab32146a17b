"""Compose: transforms in sequence, as one transform."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from bridgeflow._optional import loaded
from bridgeflow.errors import BridgeflowError, CannotStream, ConfigError, NoRoute, StageId, at_place
from bridgeflow.pipeline.chunk_axes import AnyStage, axes_after, first_axes, in_time, obstacle_at, open_specs, timings
from bridgeflow.pipeline.joining import joined
from bridgeflow.pipeline.stage_functions import as_function
from bridgeflow.pipeline.stage_functions import fused as as_one
from bridgeflow.pipeline.stage_steps import step_at
from bridgeflow.pipeline.yaml_stages import read_stages
from bridgeflow.pipeline.yaml_text import stages_text
from bridgeflow.policy import Nulls
from bridgeflow.transforms.along_time import TimeTransform
from bridgeflow.transforms.base import LeafTransform, Transform, is_leafwise
from bridgeflow.transforms.plan import UNKNOWN, Opaque, Plan, is_spec, select_specs
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.runner import Stage, opened, parts_of, put_back, select
from bridgeflow.tree import compile_recipe, map_leaves

if TYPE_CHECKING:
    from bridgeflow.pipeline.live_model import LiveModel
    from bridgeflow.pipeline.stage_modules import PipelineModule

__all__ = ["AnyStage", "Compose", "ComposeState"]

_Self = TypeVar("_Self", bound="Compose")


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
        try:
            return self._run((data, *more) if more else data)
        except NoRoute:
            if more or (plain := _with_plain_tensors(data)) is data:
                raise
        return self._run(plain)

    def map_batches(self, batches: Iterable[Any], *, nulls: Nulls | float = "error") -> Iterator[Any]:
        """Arrow record batches in, record batches out: for Spark's `mapInArrow`, bags of Dask, and any other iterator.

        Rows are samples, with the numbers of `SignalDataset`. Tensors of one shape stay such; where a batch has none,
        rows of numbers go out as lists. Columns that the pipeline replaces are read where they lie.

        Args:
            batches: record batches or tables; those without rows are left out.
            nulls: as for `SignalDataset`.

        Raises:
            ConfigError: augmentations, which draw by row number.

        >>> import pyarrow as pa
        >>> from bridgeflow.transforms import Scale
        >>> batch = pa.record_batch({"ecg": pa.array([[1.0, 2.0], [3.0, 4.0]]), "label": pa.array([0, 1])})
        >>> [out["ecg"].to_pylist() for out in Compose([Scale(scale=2.0, keys="ecg")]).map_batches([batch])]
        [[[2.0, 4.0], [6.0, 8.0]]]
        """
        from bridgeflow.pipeline.record_batches import mapped_batches

        if self.random:
            raise ConfigError(
                "map_batches: the pipeline has augmentations, which draw by row number, and a batch does not say which "
                "rows it holds; use pipeline.eval()"
            )
        return mapped_batches(self.row, batches, nulls)

    @cached_property
    def row(self) -> tuple[tuple[StageId, AnyStage], ...]:
        """All stages with their labels, those of inner compositions in their place."""
        return tuple(_numbered(self.stages, ()))

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
            runs += [as_one(fused)] if fused else []
            runs.append(as_function(label, stage))
            fused = []
        return (*runs, as_one(fused)) if fused else tuple(runs)

    def opened(self, data: Any) -> Any:
        """The data with what the first stage reads first (lists of numbers, stored arrays) as ndarrays."""
        if self.row and isinstance(self.row[0][1], LeafTransform):
            return opened(data, self.row[0][1], self.row[0][0])
        return data

    def _repr_html_(self) -> str:
        from bridgeflow.pipeline.stage_table import compose_html

        return compose_html(self.row)

    # --- augmentation ---

    @property
    def random(self) -> bool:
        """Whether any of the transforms is random; of plain callables nothing is known."""
        return any(isinstance(stage, Transform) and stage.random for stage in self.stages)

    def eval(self) -> Compose:
        """The same pipeline for evaluation, without its augmentations.

        `RandomCrop` stays, and takes the middle. Plain callables stay as they are.

        >>> from bridgeflow import Gain, Scale
        >>> Compose([Gain(db=(-6, 6)), Scale(scale=2.0)]).eval() == Compose([Scale(scale=2.0)])
        True
        """
        stages = [stage.eval() if isinstance(stage, Transform) else stage for stage in self.stages]
        return Compose([stage for stage in stages if stage is not None])

    # --- modules ---

    def to_module(
        self, key: str | None = None, *, precision: Literal["float64", "float32"] = "float64"
    ) -> PipelineModule:
        """The pipeline of one array as a `torch.nn.Module` of torch's own operators, without its augmentations.

        It takes a tensor as the pipeline takes an array, a sample or a batch, on any device, and has gradients;
        `torch.nn.Sequential(pipeline.to_module("ecg"), model)` is one program for `torch.export`, `torch.compile` and
        ONNX (`bridgeflow.export_onnx`). Crossings fall away; what stages know is in buffers. Values are not looked at:
        NaN and infinity propagate, by products of matrices also within a block of 32 samples or more.

        Args:
            key: the array whose stages are meant, where those of several stand in the pipeline; `None` where all stages
                take the same one.
            precision: what filters, resampling and spectra compute in, whatever the data are; results are in the
                precision of the data.

        Returns:
            A module whose results are those of the pipeline but for rounding; see docs/export.md.

        Raises:
            CannotExport: a stage that has no module, or an option of it that has none; names the stage.
            ConfigError: several arrays and no key.

        >>> import torch
        >>> from bridgeflow import Resample, SignalFilter
        >>> low = SignalFilter(design="butter", order=4, cutoff=40.0, fs=360.0)
        >>> module = Compose([low, Resample(from_hz=360, to_hz=100)]).to_module()
        >>> module(torch.zeros(8, 2, 720)).shape
        torch.Size([8, 2, 200])
        """
        from bridgeflow.pipeline.stage_modules import pipeline_module

        return pipeline_module(self.eval().row, key, precision)

    def live(self, model: Callable[[Any], Any]) -> LiveModel:
        """The pipeline and a model on a live signal: `push(chunk)` takes samples as they come and gives the model's
        answers, with the bits of the whole recording before the model; augmentations are left out.

        Args:
            model: takes a batch [windows, ...] of what the pipeline gives.

        Raises:
            CannotStream: (with the first chunk) a stage that needs the whole recording; says which.
        """
        from bridgeflow.pipeline.live_model import LiveModel

        return LiveModel(self, model)

    # --- configuration ---

    def to_config(self) -> dict[str, Any]:
        """The stages as plain values: `{"Compose": {"stages": [...]}}`.

        Raises:
            ConfigError: a stage is a plain callable, which no configuration can name.
        """
        configs = []
        for number, stage in enumerate(self.stages, 1):
            if not isinstance(stage, Transform):
                what = f"{StageId.of(stage, number)} is a plain callable, and a configuration names transforms alone"
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
    def from_yaml(cls: type[_Self], source: str | os.PathLike[str]) -> _Self:
        """The stages that a YAML file or text describes, with the names, checks and limits of jobs.

        Args:
            source: a path; or text, which has a line break or begins with `-`, `[` or `{`. One transform, a list of
                them, or a map with `version: 1` and `transforms`.

        Raises:
            ConfigError, DataError: it describes none, with file, line and column; or cannot be opened.

        >>> Compose.from_yaml("- Scale: {scale: 0.005}\\n- ToTensor").stages[0].scale
        0.005
        """
        return cls(read_stages(source))

    def to_yaml(self) -> str:
        """The stages as text that `from_yaml` makes equal ones of; fields at their defaults are left out.

        Raises:
            ConfigError: a stage is a plain callable, or a value has no place in a configuration, such as NaN.

        >>> from bridgeflow.transforms import Scale
        >>> print(Compose([Scale(scale=0.005, keys="ecg")]).to_yaml())
        version: 1
        transforms:
          - Scale: {keys: [ecg], scale: 0.005}
        <BLANKLINE>
        """
        return stages_text(self.to_config()["Compose"]["stages"], self.stages)

    @classmethod
    def field_schema(cls) -> dict[str, Any]:
        """The JSON Schema of the one field; a stage is any transform."""
        stage = {"$ref": "#/$defs/transform"}
        return {
            "type": "object",
            "description": "Transforms one after the other.",
            "properties": {"stages": {"type": "array", "items": stage, "description": "Transforms, in their order."}},
            "required": ["stages"],
            "additionalProperties": False,
        }

    # --- plans ---

    def plan(self, data: Any, stage: StageId | None = None, *, axis: int = -1) -> Plan:
        """Stage by stage; from the first plain callable on, nothing is known beforehand.

        Args:
            axis: on which axis of each array chunks would follow each other, for the plan's obstacles; see
                `init_state`.
        """
        steps: list[Any] = []
        obstacles: list[str] = []
        axes = first_axes(data, axis)
        for label, one in self.row:
            label = label.within(stage)
            if not isinstance(one, Transform):
                obstacle = self._obstacle(label, one)
                steps.append(Opaque(stage=label, detail="a plain callable: says nothing of what it does"))
                data = UNKNOWN
            elif data is UNKNOWN:
                obstacle = one.stream_obstacle
                steps.append(Opaque(stage=label, detail="follows a plain callable: unknown until run"))
            else:
                data, axes, reads = open_specs(label, one, data, axes, axis)
                plan = one.plan(data, label)
                obstacle = obstacle_at(label, one, data, axes)
                axes = axes_after(one, data, axes, plan.result)
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
        for label, stage, _, is_whole in timings(self.row):
            obstacles += [] if is_whole else [self._obstacle(label, stage)]
        return "; ".join(filter(None, obstacles))

    @property
    def time_axis(self) -> int:
        """The axis of time in the data: that of the first stage that looks along time."""
        return next((stage.time_axis for _, stage in self.row if isinstance(stage, TimeTransform)), -1)

    @property
    def latency(self) -> int:
        """By how many samples the output of a stream lags behind its input, at most.

        After a stage that changes the rate, samples are counted in those of the input.
        """
        return max((math.ceil(lag) for _, _, lag, _ in timings(self.row)), default=0)

    def _obstacle(self, label: StageId, stage: AnyStage) -> str:
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
        axes = [first_axes(spec, axis)]
        for label, stage in self.row:
            spec, axes[-1], _ = open_specs(label, stage, spec, axes[-1], axis)
            obstacle = obstacle_at(label, stage, spec, axes[-1]) if isinstance(stage, Transform) else ""
            obstacle = obstacle if isinstance(stage, Transform) else self._obstacle(label, stage)
            if obstacle or not isinstance(stage, Transform):
                raise CannotStream(obstacle)
            if isinstance(stage, LeafTransform):
                recipe, specs = select_specs(spec, stage, label)
                carried = {
                    place: stage.init_state(one)
                    for place, one in zip(recipe.places, specs, strict=True)
                    if in_time(stage, axes[-1][place], one.ndim)
                }
                states.append({place: carried.get(place) for place in recipe.places})
            else:
                states.append({"$": stage.init_state(spec)})
            result = stage.plan(spec, label).result
            axes.append(axes_after(stage, spec, axes[-1], result))
            spec = result
        # Of nulls a stream knows nothing beforehand: its state must not depend on those of its first chunk.
        described = map_leaves(lambda one: replace(one, null_count=None), spec, is_spec)
        return ComposeState(tuple(states), tuple(axes), described)

    def out_axes(self, spec: Any, *, axis: int = -1) -> dict[str, int]:
        """On which axis, counted from the front, chunks of each array follow each other after the last stage.

        Args:
            spec, axis: as for `init_state`; whether the stages can stream does not matter. Of what comes out of a plain
                callable nothing is known.
        """
        axes = first_axes(spec, axis)
        for label, stage in self.row:
            spec, axes, _ = open_specs(label, stage, spec, axes, axis)
            result = stage.plan(spec, label).result if isinstance(stage, Transform) and spec is not UNKNOWN else UNKNOWN
            axes = axes_after(stage, spec, axes, result) if isinstance(stage, Transform) else {}
            spec = result
        return axes

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
                    value, after[place] = step_at(label, place, stage, leaf, before, axes)
                    values.append(value)
                x = put_back(recipe, x, values)
            elif isinstance(stage, Transform):
                x, after["$"] = step_at(label, "$", stage, x, before, {})
            states.append(after)
        return x, state._replace(stages=tuple(states))

    def flush(self, state: ComposeState) -> Any | None:
        """What is still to come of each array after the last chunk, in the structure of the data; or `None`."""
        tails: dict[str, Any] = {}
        for number, ((label, stage), states) in enumerate(zip(self.row, state.stages, strict=True)):
            axes, next_axes = state.axes[number : number + 2]
            for place in states:
                parts = []
                if place in tails and isinstance(stage, Transform):
                    value, after = step_at(label, place, stage, tails.pop(place), states, axes)
                    parts.append(value)
                    states = {**states, place: after}
                carries = not isinstance(stage, LeafTransform) or states[place] is not None
                last = stage.flush(states[place]) if carries and isinstance(stage, Transform) else None
                parts += [] if last is None else [last]
                if parts:
                    main, beside = parts_of(joined(parts, next_axes.get(place, -1)))
                    tails.update({place: main, **{f"{place}_{suffix}": part for suffix, part in beside.items()}})
        if not tails:
            return None
        recipe, _ = compile_recipe(state.result, is_spec)
        return recipe.put(state.result, [tails.get(place) for place in recipe.places])


class ComposeState(NamedTuple):
    """What a composition carries from chunk to chunk.

    Args:
        stages: the states of the stages by place; `None` where a stage carries nothing.
        axes: before each stage and after the last, on which axis of each array, counted from the front, chunks follow
            each other.
        result: the specs of what comes out, which give a flush its structure.
    """

    stages: tuple[dict[str, Any], ...]
    axes: tuple[dict[str, int], ...]
    result: Any


def _with_plain_tensors(data: Any) -> Any:
    """A table whose tensors are of Ray's own types with those of Arrow; all else as it is."""
    if loaded("ray.data") is None or not hasattr(data, "schema"):
        return data
    from bridgeflow.pipeline.ray_rows import with_plain_tensors

    return with_plain_tensors(data)


def _numbered(stages: Iterable[AnyStage], outer: tuple[int, ...]) -> Iterator[tuple[StageId, AnyStage]]:
    for number, stage in enumerate(stages, 1):
        if type(stage) is Compose:
            yield from _numbered(stage.stages, (*outer, number))
        else:
            yield StageId.of(stage, *outer, number), stage
