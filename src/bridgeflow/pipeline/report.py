"""What a report is about: one column before and after, each at its own rate; refused where it cannot be measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bridgeflow.bridge import route
from bridgeflow.errors import BridgeflowError, DataError, StageId
from bridgeflow.pipeline.compose import AnyStage, Compose
from bridgeflow.pipeline.measure import require_line
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms import Istft, LeafTransform, SavgolFilter, Scale, SignalFilter, Stft
from bridgeflow.transforms.plan import UNKNOWN, assumed, is_spec
from bridgeflow.tree import compile_recipe, place

__all__ = ["Sides", "plan_sides"]


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The reported column on both sides.

    Args:
        name: of the column.
        before_fs, after_fs: sampling rates in Hz.
        before_samples, after_samples: how many there are along time; `None` where that is not known.
        one_unit: whether both sides are in the unit of the report; else what was before is in another.
    """

    name: str
    before_fs: float
    after_fs: float
    before_samples: int | None = None
    after_samples: int | None = None
    one_unit: bool = True

    def require_line(self, frequency: float) -> None:
        """Refuse to measure a line at this frequency where one of the sides does not allow it.

        Raises:
            DataError: as for `bridgeflow.pipeline.measure.interference_db`.
        """
        require_line(self.before_fs, frequency, self.before_samples)
        require_line(self.after_fs, frequency, self.after_samples)

    def require_stretch(self, seconds: tuple[float, float]) -> None:
        """Refuse to draw a stretch of time that a side does not have.

        Raises:
            DataError: it begins after the end.
        """
        for side, samples, fs in (
            ("before", self.before_samples, self.before_fs),
            ("after", self.after_samples, self.after_fs),
        ):
            if samples is not None and seconds[0] >= samples / fs:
                long = f"{self.name!r} {side} is {samples / fs:g} s long"
                raise DataError(f"report: the stretch begins at {seconds[0]:g} s, and {long}; name an earlier one")


def plan_sides(
    transform: Compose,
    specs: Mapping[str, ArraySpec],
    *,
    name: str,
    before: str | None,
) -> Sides | None:
    """What a report measures, from the descriptions of the columns that transforms are given; `None` where a stage does
    not say what it makes.

    Args:
        name: the reported column.
        before: name of the stage whose result is the "before"; `None` for what was read.

    Raises:
        DataError: a side is not a signal along time that can be measured; says which, and after which stage.
    """
    stages = transform.stages
    end = next((number for number, one in enumerate(stages, 1) if type(one).__name__ == before), 0) if before else 0
    measured = []
    for side, upto in (("before", end), ("after", len(stages))):
        passed = Compose(stages[:upto])
        columns = passed.plan(dict(specs)).result
        if columns is UNKNOWN:
            return None
        where = f"{name!r} as it is {_after(passed)}"
        if name not in columns:
            raise DataError(f"report: there is no column {where}; set `before` to a stage after which there is one")
        spec = columns[name]
        if not is_spec(spec) or _is_spectrum(passed, specs, name):
            raise DataError(f"report: {where} is not a signal along time; {_REMEDY[side]}")
        measured.append((_require_signal(spec, where, side), spec.time))
    (before_fs, before_samples), (after_fs, after_samples) = measured
    return Sides(
        name=name,
        before_fs=before_fs,
        after_fs=after_fs,
        before_samples=before_samples,
        after_samples=after_samples,
        one_unit=_keep_unit(stages[end:], specs, name),
    )


_REMEDY = {
    "before": "set `before` to an earlier stage, or leave it out for what was read",
    "after": "leave the picture and `hum` out, or report on a job that ends earlier",
}


def _require_signal(spec: ArraySpec, where: str, side: str) -> float:
    """The sampling rate of real samples along time."""
    try:
        array = spec if spec.kind in ("numpy", "torch") else route(assumed(spec), "numpy", nulls="nan").target
    except BridgeflowError as error:
        raise DataError(f"report: {where} cannot be measured: {error}") from error
    if not array.dtype.startswith(("int", "uint", "float", "bfloat")):
        raise DataError(f"report: {where} holds {array.dtype}, and what is measured are real numbers; {_REMEDY[side]}")
    if not array.ndim or 0 in array.shape:
        raise DataError(f"report: {where} has no samples along time; {_REMEDY[side]}")
    if array.fs is None:
        remedy = "frequencies need a sampling rate; set `fs` of the source, or "
        raise DataError(f"report: {where} has no sampling rate: {remedy}{_REMEDY[side]}")
    return array.fs


def _after(passed: Compose) -> str:
    return f"after {StageId.of(passed.stages[-1], len(passed.stages))}" if passed.stages else "read"


def _touching(stages: Iterable[AnyStage], specs: Mapping[str, Any], name: str) -> list[AnyStage]:
    """The stages that have to do with a column, those of compositions in their place."""
    return [stage for _, stage in Compose(stages).row if _selects(stage, specs, name)]


def _selects(stage: AnyStage, specs: Mapping[str, Any], name: str) -> bool:
    if not isinstance(stage, LeafTransform) or stage.keys is None:
        return True
    for key in stage.keys:
        try:
            recipe, _ = compile_recipe(dict(specs), is_spec, (key,))
        except BridgeflowError:
            continue
        if place([name]) in recipe.places:
            return True
    return False


def _is_spectrum(passed: Compose, specs: Mapping[str, Any], name: str) -> bool:
    """Whether the last axes are frequency and time."""
    spectral = False
    for stage in _touching(passed.stages, specs, name):
        spectral = isinstance(stage, Stft) or (spectral and not isinstance(stage, Istft))
    return spectral


def _keep_unit(stages: Iterable[AnyStage], specs: Mapping[str, Any], name: str) -> bool:
    """Whether values before and after these stages are in one unit."""
    for stage in _touching(stages, specs, name):
        if isinstance(stage, (Scale, SignalFilter)) and stage.scale != 1:
            return False
        if isinstance(stage, SavgolFilter) and stage.deriv:
            return False
    return True
