"""On which axis chunks of an array follow each other before and after each stage of a composition.

Along time, a stage carries a state from chunk to chunk. Where chunks follow each other on another axis, because they
are rows of examples or a stage has made windows, each piece is whole in time and goes through a stage by itself. Axes
are counted from the front.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

from bridgeflow.errors import ConfigError, StageId, at_place, naming
from bridgeflow.signal._axes import axis_of
from bridgeflow.spec import Exchange
from bridgeflow.transforms.along_time import TimeTransform
from bridgeflow.transforms.base import LeafTransform, Transform
from bridgeflow.transforms.plan import UNKNOWN, is_spec, opened_specs, select_specs
from bridgeflow.tree import compile_recipe

__all__ = ["AnyStage", "axes_after", "check_time_axis", "first_axes", "in_time", "obstacle_at", "open_specs", "timings"]

AnyStage: TypeAlias = Transform | Callable[[Any], Any]


def timings(row: Iterable[tuple[StageId, AnyStage]]) -> Iterator[tuple[StageId, AnyStage, Fraction, bool]]:
    """Each stage with its label, the lag after it in samples of the input, and whether it sees whole pieces.

    Pieces are whole in time for a stage that looks along another axis than they follow each other on: after `Window`,
    say. As far as that can be told without data, array by array as `keys` name them.
    """
    default = AxisTiming(None, Fraction(1), Fraction(0), False)
    by_key: dict[str, AxisTiming] = {}
    for label, stage in row:
        keys = stage.keys if isinstance(stage, LeafTransform) else None
        for key in keys or ():
            similar = (one for other, one in by_key.items() if _touch(key, other))
            by_key.setdefault(key, next(similar, default))
        taken = [key for key in by_key if keys is None or any(_touch(key, other) for other in keys)]
        after = [_timing_after(by_key[key], stage) for key in taken]
        by_key.update(zip(taken, after, strict=True))
        if keys is None:
            default = _timing_after(default, stage)
            after.append(default)
        yield label, stage, max(one.lag for one in after), all(one.is_whole for one in after)


class AxisTiming(NamedTuple):
    """How the pieces of an array go through a composition.

    Args:
        axis: on which they follow each other, where that is known.
        rate: samples there are for one of the input.
        lag: by how many samples of the input they lag.
        is_whole: whether they are whole in time.
    """

    axis: int | None
    rate: Fraction
    lag: Fraction
    is_whole: bool


def _timing_after(timing: AxisTiming, stage: AnyStage) -> AxisTiming:
    """How pieces go on after a stage."""
    if timing.is_whole or not isinstance(stage, Transform) or (isinstance(stage, LeafTransform) and stage.pointwise):
        return timing
    if timing.axis not in (None, stage.time_axis):
        return timing._replace(is_whole=True)
    if not isinstance(stage, TimeTransform):
        lag = 0 if stage.stream_obstacle else getattr(stage, "latency", 0)
        return timing._replace(axis=stage.stream_axis, lag=timing.lag + Fraction(lag) / timing.rate)
    lag = 0 if stage.stream_obstacle else stage.latency
    return AxisTiming(
        stage.stream_axis, timing.rate * stage.rate_factor, timing.lag + Fraction(lag) / timing.rate, False
    )


def _touch(key: str, other: str) -> bool:
    """Whether two keys may name the same array."""
    return all("*" in (one, two) or one == two for one, two in zip(key.split("."), other.split("."), strict=False))


def in_time(stage: Transform, axis: int, ndim: int) -> bool:
    """Whether chunks that follow each other on this axis follow each other in time for a stage."""
    time = stage.time_axis
    return ndim < 2 or (-ndim <= time < ndim and axis == range(ndim)[time])


def first_axes(spec: Any, axis: int) -> dict[str, int]:
    """The axis of chunks in each array, counted from the front."""
    if spec is UNKNOWN:
        return {}
    recipe, specs = compile_recipe(spec, is_spec)
    axes = {}
    for place, one in zip(recipe.places, specs, strict=True):
        with naming(f"chunks of {place}"):
            axes[place] = axis_of(axis, one.shape) if one.ndim > 1 else 0
    return axes


def open_specs(
    label: StageId, stage: AnyStage, spec: Any, axes: dict[str, int], axis: int
) -> tuple[Any, dict[str, int], list[Exchange]]:
    """The specs with those of ndarrays for what the stage reads first, the axes of their chunks, and the readings."""
    if not isinstance(stage, LeafTransform) or spec is UNKNOWN:
        return spec, axes, []
    spec, reads = opened_specs(spec, stage, label)
    return spec, {**first_axes(spec, axis), **axes}, [replace(read, stage=label) for read in reads]


def obstacle_at(label: StageId, stage: Transform, spec: Any, axes: Mapping[str, int]) -> str:
    """Why the stage cannot take chunks of data described by `spec` that follow each other on these axes."""
    if not isinstance(stage, LeafTransform):
        recipe, specs = compile_recipe(spec, is_spec)
        moved = any(not in_time(stage, axes[place], one.ndim) for place, one in zip(recipe.places, specs, strict=True))
        return stage.stream_obstacle or (f"{label} is given pieces that do not follow each other in time" * moved)
    recipe, specs = select_specs(spec, stage, label)
    obstacles = []
    for place, one in zip(recipe.places, specs, strict=True):
        core = stage.core_axes(one.ndim)
        if in_time(stage, axes[place], one.ndim):
            obstacles.append(stage.stream_obstacle)
        elif core is None:
            obstacles.append(f"{label} does not say (core_ndim) that it treats the pieces of {place} each alone")
        elif axes[place] in core:
            obstacles.append(f"{label} looks across the pieces of {place}")
    return "; ".join(dict.fromkeys(filter(None, obstacles)))


def axes_after(stage: Transform, spec: Any, axes: Mapping[str, int], result: Any) -> dict[str, int]:
    """The axis of chunks in each array after the stage."""
    if result is UNKNOWN:
        return {}
    everything, specs = compile_recipe(result, is_spec)
    lengths = {place: one.ndim for place, one in zip(everything.places, specs, strict=True)}
    if not isinstance(stage, LeafTransform):
        return {place: max(range(ndim)[stage.stream_axis], 0) if ndim else 0 for place, ndim in lengths.items()}
    recipe, before = compile_recipe(spec, is_spec, stage.keys)
    moved = {
        place: range(lengths[place])[stage.stream_axis]
        if in_time(stage, axes[place], one.ndim)
        else stage.axis_after(axes[place], one.ndim, lengths[place])
        for place, one in zip(recipe.places, before, strict=True)
        if lengths.get(place)
    }
    next_axes = {**axes, **moved}
    for place in lengths:  # what stands beside an array goes with it
        if place not in next_axes:
            next_axes[place] = max(
                (next_axes[main] for main in recipe.places if place.startswith(f"{main}_")), default=0
            )
    return {place: min(next_axes[place], max(ndim - 1, 0)) for place, ndim in lengths.items()}


def check_time_axis(row: Iterable[tuple[StageId, AnyStage]], spec: Any) -> None:
    """Refuse stages that look along another axis than the last, on which time steps follow each other here.

    Args:
        row: the stages of a composition with their labels.
        spec: of the data, as for `Compose.init_state`, time last.

    Raises:
        ConfigError: there is such a stage; says which.
    """
    axes = first_axes(spec, -1)
    cut: set[str] = set()
    for label, stage in row:
        if not isinstance(stage, Transform) or spec is UNKNOWN:
            return
        if isinstance(stage, TimeTransform):
            recipe, specs = compile_recipe(spec, is_spec, stage.keys)
            for place, one in zip(recipe.places, specs, strict=True):
                if place not in cut and not in_time(stage, axes[place], one.ndim):
                    lengths = ", ".join("?" if n is None else str(n) for n in one.shape)
                    error = ConfigError(
                        f"axis={stage.axis} is not time here: its rows are time steps, and transforms are given "
                        f"[{lengths}], time last; leave axis out",
                        field="axis",
                    )
                    error.stage = label
                    raise at_place(error, place)
            cut |= set(recipe.places) if stage.cuts else set()
        result = stage.plan(spec, label).result
        axes = axes_after(stage, spec, axes, result)
        spec = result
