"""The sampling rate at each place of a pipeline, for transforms that need one and do not say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bridgeflow.errors import BridgeflowError, ConfigError, Location, StageId
from bridgeflow.io import Roots, Source
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.config_places import Steps, locate_source
from bridgeflow.pipeline.job import Job
from bridgeflow.pipeline.job_parts import JobSink, JobSource
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms import LeafTransform, Transform
from bridgeflow.transforms.plan import UNKNOWN, is_spec
from bridgeflow.tree import compile_recipe

__all__ = ["Rates"]


@dataclass
class Rates:
    """Follows the rate of the source through stages, in their order.

    Stages that keep the rate of any signal (filters, arithmetic) need no look at the source beyond its rate. After any
    other, the rate of each column is that of the plan for the source, or of the first of many recordings.

    Args:
        source: what is read.
        roots, places: as for `Job`.

    Attributes:
        lost: the stage after which the data have no rate any more, `None` where they have one.
    """

    source: JobSource
    roots: Roots
    places: Mapping[Steps, Location]
    lost: StageId | None = None
    _stages: list[Transform] = field(default_factory=list)
    _changed: bool = False
    _first: list[float | None] = field(default_factory=list)

    def add(self, stage: Transform) -> None:
        """The next stage."""
        self._stages.append(stage)
        self._changed = self._changed or not _keeps_rate(stage)

    def here(self, keys: Any) -> float | None:
        """The sampling rate in Hz of the arrays that `keys` selects after all stages so far; `None` where they have
        none, or it is not known.

        Raises:
            ConfigError: they have different rates.
            DataError: the source is needed to learn the rate, and cannot be opened.
        """
        self.lost = None
        if not self._changed:
            return self._of_source()
        with self._opened() as source:
            return self._planned(source, keys)

    def _of_source(self) -> float | None:
        if self.source.fs is not None:
            return self.source.fs
        if not self._first:
            with self._opened() as source:
                self._first.append(source.fs)
        return self._first[0]

    def _opened(self) -> Source:
        """The source, or the first of many recordings; whether it has nulls does not matter here."""
        job = self._job(replace(self.source, nulls="keep"))
        try:
            first = job.recordings()[0].path
        except BridgeflowError as error:
            locate_source(error, self.source, self.places)
            raise
        return job.open(first)

    def _job(self, source: JobSource) -> Job:
        transform, nowhere = Compose(self._stages), JobSink(path=Path())
        return Job(source=source, transform=transform, sink=nowhere, roots=self.roots, places=self.places)

    def _planned(self, source: Source, keys: Any) -> float | None:
        job = self._job(self.source)
        try:
            data: Any = job.layout(source).specs(job.specs(source))
            before = _rates(data, None)
            for number, stage in enumerate(self._stages, 1):
                stage_id = StageId.of(stage, number)
                data = stage.plan(data, stage_id).result
                after = set() if data is UNKNOWN else _rates(data, keys)
                if after <= {None} and not self.lost:
                    self.lost = stage_id if before - {None} else None
                elif after - {None}:
                    self.lost = None
        except BridgeflowError as error:
            if isinstance(error, ConfigError) and error.field == "keys":
                raise
            return None  # what is wrong with a stage is said by the plan of the job, with its line
        distinct = {rate for rate in after if rate is not None}
        if len(distinct) > 1:
            several = " and ".join(f"{rate:g}" for rate in sorted(distinct))
            raise ConfigError(f"fs: the data here are at {several} Hz; give fs, or select columns of one with keys")
        return next(iter(distinct), None)


def _rates(data: Any, keys: Any) -> set[float | None]:
    """The rates of the arrays that the keys select, or of all where they select none."""
    try:
        _, specs = compile_recipe(data, is_spec, keys)
    except BridgeflowError:
        return set()
    return {spec.fs for spec in specs}


def _keeps_rate(stage: Transform) -> bool:
    """Whether the rate of any signal along time stays what it was, whatever the signal's length."""
    if not isinstance(stage, LeafTransform):
        return False
    fs = float(getattr(stage, "fs", None) or 1.0)
    for dtype in ("float64", "complex128"):
        spec = ArraySpec(kind="numpy", dtype=dtype, shape=(1000,), fs=fs)
        try:
            if all(stage.out_spec(one).fs == fs for one in (spec, spec.with_time(None))):
                return True
        except BridgeflowError:
            continue
    return False
