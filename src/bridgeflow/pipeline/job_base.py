"""What all jobs have: transforms, a sink, where they may read and write, and where each value is written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bridgeflow._version import __version__
from bridgeflow.errors import BridgeflowError, ConfigError, DataError, Location
from bridgeflow.io import Overwrite, Recording, Roots, Sink, Source, open_sink, refuse_existing, refuse_overlap
from bridgeflow.io.files import data_error, is_folder, is_there, require_output
from bridgeflow.io.options import SinkOptions, options_of
from bridgeflow.io.shard_folder import job_record, refuse_foreign
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.config_places import Steps, locate
from bridgeflow.pipeline.job_parts import JobReport, JobSink
from bridgeflow.pipeline.shard_folders import refuse_inside_shards
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms import Plan, Transform

__all__ = ["MAX_SHARDS", "BaseJob"]

MAX_SHARDS: Final = 20_000
"""Most shards of a folder, unless each holds a recording of its own."""


@dataclass(frozen=True, kw_only=True)
class BaseJob(ABC):
    """Transforms and sink, with what to report; a source is added by the classes derived from it.

    Args:
        transform, sink, report: the parts.
        roots: folders beneath which every file that the job reads must lie, links followed; `None` for anywhere.
        output_roots: likewise for what it writes.
        inputs: further files that no output may replace (the configuration), by what they are.
        places: where each value is written, by the keys and list positions that lead to it (`("source", "fs")`,
            `("transforms", 0)`), for messages; empty for jobs made in Python.
        threads: how many recordings to work on at a time; `None` for as many as there are processors, at most 8.
    """

    transform: Compose
    sink: JobSink
    report: JobReport | None = None
    roots: Roots = None
    output_roots: Roots = None
    inputs: Mapping[str, Path] = field(default_factory=dict)
    places: Mapping[Steps, Location] = field(default_factory=dict)
    threads: int | None = None

    @property
    @abstractmethod
    def source_path(self) -> Path:
        """What is read, for messages."""

    @property
    @abstractmethod
    def is_many(self) -> bool:
        """Whether the source is several recordings."""

    @abstractmethod
    def input_paths(self) -> dict[str, Path]:
        """The files and folders that are read, by what they are."""

    @abstractmethod
    def recordings(self) -> tuple[Recording, ...]:
        """The recordings to be read, in their order."""

    @abstractmethod
    def files(self, recording: Recording) -> tuple[Path, ...]:
        """The files that a recording consists of.

        Raises:
            DataError: one is missing, or lies outside the roots.
        """

    def described(self, recording: Recording) -> list[str]:
        """What else is known of a recording and gets into the results, as text."""
        return []

    @abstractmethod
    def reading(self) -> Any:
        """A context that gives errors of the source their place in the configuration."""

    @abstractmethod
    def source_identity(self) -> dict[str, Any]:
        """The options of the source on which the results depend, as plain values."""

    @abstractmethod
    def whole(self, plan: Plan) -> str:
        """Why a recording must be read whole; empty where it can go through in chunks."""

    def refuse_random(self) -> None:
        """Refuse stages that draw random numbers, which belong to rows and epochs of training.

        Raises:
            ConfigError: naming the first.
        """
        for label, stage in self.transform.row:
            if isinstance(stage, Transform) and stage.random:
                error = ConfigError(
                    f"{label}: draws random numbers, which belong to the rows and epochs of a Loader; leave it out of "
                    "the job, and augment what the job writes in a SignalDataset"
                )
                error.stage = label
                raise error

    def keeps_counts(self, source: Source) -> bool:
        """Whether integers of the source become integers of the same type and scale."""
        return False

    @property
    def outputs(self) -> dict[str, Path]:
        """The files that the job writes, by what they are."""
        png = self.report.png if self.report else None
        return {"sink": self.sink.path, **({"picture": png} if png else {})}

    def check_outputs(self, *, overwrite: bool = False) -> None:
        """Refuse outputs that would destroy something.

        Raises:
            DataError: an output is an input or another output, lies inside one, or exists and may not be replaced; a
                folder for shards holds other files; or many recordings are to become one file, or to be reported on.
        """
        inputs = {**self.input_paths(), **self.inputs}
        for role, path in self.outputs.items():
            with self.locating(*self._output_steps(role)):
                refuse_overlap({role: path}, inputs)
                require_output(path, roots=self.output_roots)
                refuse_inside_shards(path)
            inputs[role] = path
        if self.sink.shards:
            if self.report is not None:
                with self.locating("report"):
                    raise DataError(
                        "report: a report is about one file, and this job writes a folder of shards; remove it"
                    )
            with self.locating(*self.sink_steps):
                folder = self.sink.path
                if is_there(folder) and not is_folder(folder):
                    raise data_error(folder, "is not a folder", "name a folder for the shards")
                if is_folder(folder):
                    record = job_record(folder, roots=self.output_roots)
                    if overwrite or record is None:
                        refuse_foreign(folder, record)
            return
        if self.is_many:
            remedy = f"name a folder, with a slash at its end: {self.sink.path.stem}/"
            with self.locating(*self.sink_steps):
                raise data_error(self.sink.path, "is one file, and the source is many recordings", remedy)
        for role, path in self.outputs.items():
            with self.locating(*self._output_steps(role)):
                refuse_existing(path, overwrite=overwrite)

    @property
    def sink_steps(self) -> Steps:
        """Where the path of the sink is written in the configuration."""
        return ("sink", self.sink.format or "")

    def _output_steps(self, role: str) -> Steps:
        return ("report", "png") if role == "picture" else self.sink_steps

    @contextmanager
    def open_sink(
        self,
        settings: Mapping[str, Any],
        path: Path | None = None,
        *,
        overwrite: Overwrite = False,
        source: Source | None = None,
    ) -> Iterator[Sink]:
        """Open the sink, or with a path one of its shards, as `bridgeflow.io.open_sink` does.

        Args:
            settings: what is stored with the result.
            source: what the results come from, where it is known.
        """
        job_sink = self.sink
        opened = open_sink(
            path or job_sink.path,
            format=job_sink.format,
            overwrite=overwrite,
            **options_of(SinkOptions, job_sink),
            settings=settings,
            roots=self.output_roots,
        )
        with self.locating(*self.sink_steps), opened as sink:
            sink.careful = True
            sink.counts = source is not None and self.keeps_counts(source)
            yield sink

    def require_few_shards(self, plan: Plan, rows: Sequence[int]) -> None:
        """Refuse shards so small that a folder of them is of no use.

        Args:
            plan: for the first recording.
            rows: of each recording.

        Raises:
            DataError: there would be more than `MAX_SHARDS`, and more than recordings; says how many.
        """
        each = self.sink.shard_rows
        if each is None or self.whole(plan):
            return
        shards = sum(-(-n // each) for n in rows)
        if shards > max(MAX_SHARDS, len(rows)):
            few = -(-sum(rows) // (MAX_SHARDS // 2))
            problem = f"shards of {each:,} rows would be {shards:,} files, and {MAX_SHARDS:,} are the most"
            with self.locating("sink", "shard_rows"):
                raise data_error(self.sink.path, problem, f"set `shard_rows` to {max(few, each + 1):,} or more")

    def rate(self, plan: Plan) -> float | None:
        """The sampling rate in Hz of what comes out; `None` where no column knows it.

        Raises:
            DataError: the columns differ in it, and a file has one.
        """
        columns = plan.result.values() if isinstance(plan.result, dict) else ()
        rates = {spec.fs for spec in columns if isinstance(spec, ArraySpec)} - {None}
        if len(rates) > 1:
            raise data_error(
                self.sink.path, f"columns at {' and '.join(map(str, rates))} Hz", "write a file for each rate"
            )
        return next(iter(rates), None)

    @contextmanager
    def locating(self, *steps: str | int) -> Iterator[None]:
        """Give errors of the block the place in the configuration that `steps` lead to, or the nearest above it."""
        try:
            yield
        except BridgeflowError as error:
            locate(error, self.places, steps)
            raise

    def locate_stage(self, error: BridgeflowError) -> None:
        """Give the error of a stage the place where the stage is written, or its field where the error names one.

        Without the keys that lead there: the message says which stage.
        """
        numbers, name = error.stage or ((), "")
        steps: list[str | int] = []
        for depth, number in enumerate(numbers, 1):
            steps += ["stages" if steps else "transforms", number - 1, name if depth == len(numbers) else "Compose"]
        if steps and error.location is None:
            field = (steps[-1], error.field) if error.field else ()
            locate(
                error, {key: place._replace(path="") for key, place in self.places.items()}, tuple(steps[:-1]), field
            )

    def settings(self, plan: Plan, source: str | None = None) -> dict[str, Any]:
        """What is stored with the result: enough to make it again, and nothing that differs from run to run.

        Args:
            source: the name of the recording; `None` for that of the one file.
        """
        fs = self.rate(plan)
        return {
            "bridgeflow": __version__,
            **({"fs": fs} if fs is not None else {}),
            "source": source or self.source_path.name,
            "transforms": self.transform.to_config()["Compose"]["stages"],
        }
