"""What a pipeline file describes: recordings or files, parts, transforms and batches, for a training script."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from bridgeflow.errors import BridgeflowError, ConfigError, DataError, KeyNotFound, Location, nearest, quoted
from bridgeflow.io import Roots, open_source
from bridgeflow.io.options import SourceOptions, options_of
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.config_places import Steps, locate, locate_recordings, locate_source
from bridgeflow.pipeline.dataset import SignalDataset
from bridgeflow.pipeline.epoch_plans import Sampler
from bridgeflow.pipeline.job_parts import JobSource
from bridgeflow.pipeline.lazy import RecordingWindows
from bridgeflow.pipeline.loader import Loader
from bridgeflow.pipeline.recordings_source import RecordingsSource
from bridgeflow.pipeline.training_parts import DatasetOptions, LoaderOptions, RejectOptions, SplitOptions
from bridgeflow.pipeline.window_plan import numeric_labels, plan_windows
from bridgeflow.recordings import Recordings
from bridgeflow.transforms import Plan

__all__ = ["TRAIN", "TrainingPipeline"]

TRAIN = "train"
"""The part with augmentations, whose batches are shuffled; the only one where nothing is split."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingPipeline:
    """Sources, how they are split, transforms, and how batches are made: what `bridgeflow.load_pipeline` reads.

    Datasets and loaders are made when they are asked for, by the name of their part. The part `train` has the whole
    transform and batches that are shuffled; the others have `transform.eval()`, without augmentations, in order.

    Args:
        sources: what is read, by part; under `train` alone where `split` makes the parts.
        transform: all stages.
        split: how recordings are split; `None` for not at all.
        reject: rules on windows.
        dataset, loader: options of all parts.
        sampler: of the training part; `None` to shuffle as the loader says.
        roots: folders beneath which every file that is read must lie, links followed; `None` for anywhere.
        places: where each value is written, for messages; empty for pipelines made in Python.
        indexes: recordings that are open already, by part.
        cache: folder in which headers and filter states are kept, see `SignalDataset`.
    """

    sources: Mapping[str, JobSource | RecordingsSource]
    transform: Compose = field(default_factory=Compose)
    split: SplitOptions | None = None
    reject: RejectOptions | None = None
    dataset: DatasetOptions = field(default_factory=DatasetOptions)
    loader: LoaderOptions = field(default_factory=LoaderOptions)
    sampler: Sampler | None = None
    roots: Roots = None
    places: Mapping[Steps, Location] = field(default_factory=dict)
    indexes: Mapping[str, Recordings] = field(default_factory=dict)
    cache: str | os.PathLike[str] | None = None

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts, in order.

        Raises:
            DataError: a label is to name them, and the recordings lack it.
        """
        split = self.split
        if split is None:
            return tuple(self.sources)
        if split.fractions is not None:
            return tuple(split.fractions)
        if split.folds is not None:
            return (TRAIN, "test")
        return tuple(self._by_label)

    @cached_property
    def recordings(self) -> Mapping[str, Recordings]:
        """The recordings of each part; of all together where stretches of time are the parts.

        Raises:
            DataError: they cannot be read, or cannot be split so.
            KeyNotFound: no such label.
        """
        return _Lazy(self.parts, self._recordings_of)

    @cached_property
    def datasets(self) -> Mapping[str, SignalDataset]:
        """The dataset of each part.

        Raises:
            KeyNotFound: there is no such part.
            BridgeflowError: what it reads cannot be read, or the transform cannot handle it.
        """
        return _Lazy(self.parts, self._dataset_of)

    @cached_property
    def loaders(self) -> Mapping[str, Loader]:
        """The loader of each part; errors as for `datasets`."""
        return _Lazy(self.parts, lambda part: Loader(self.datasets[part], **self.loader_options(part)))

    def check(self, part: str = TRAIN) -> Plan | None:
        """Work out whether the stages can handle a part and batches can be drawn from it, before any epoch.

        Of recordings only headers are read, and the plan is the answer; of files of rows the first row goes through
        the stages, and the answer is `None`. Rules of `reject` read every window; see `without_rejection`.

        Raises:
            BridgeflowError: what reading the data or iterating over the loader would raise at its start.
        """
        dataset, plan = self.datasets[part], None
        try:
            if isinstance(dataset.source, RecordingWindows):
                recordings: Any = dataset.source.recordings
                labels = numeric_labels(recordings)
                if len(recordings):
                    plan = plan_windows(recordings[0], self.transform_of(part), len(dataset), dataset.source, labels)
            elif len(dataset):
                dataset[0]
        except BridgeflowError as error:
            self._locate_stage(error)
            raise
        try:
            len(self.loaders[part])
        except BridgeflowError as error:
            locate(error, self.places, ("sampler",) if self.sampler is not None and part == TRAIN else ("loader",))
            raise
        return plan

    def without_rejection(self) -> TrainingPipeline:
        """The same, with all windows: the rules of `reject` would read every one of them."""
        return self if self.reject is None else replace(self, reject=None)

    def transform_of(self, part: str) -> Compose:
        """The transform of a part: without augmentations in all but `train`."""
        return self.transform if part == TRAIN else self.transform.eval()

    def loader_options(self, part: str) -> dict[str, Any]:
        """The arguments of the `Loader` of a part."""
        options = {one.name: getattr(self.loader, one.name) for one in fields(self.loader)}
        if part != TRAIN:
            return {**options, "shuffle": False, "drop_last": False}
        return options if self.sampler is None else {**options, "sampler": self.sampler, "shuffle": False}

    def __repr__(self) -> str:
        sources = self.sources.values()
        named = ", ".join(str(one.named if isinstance(one, RecordingsSource) else one.path) for one in sources)
        return f"<TrainingPipeline of {named}: {len(self.transform.stages)} stages>"

    # --- recordings ---

    def opened(self, part: str) -> Recordings:
        """All recordings of a source, before any split.

        Args:
            part: a key of `sources`.
        """
        return self._opened[part]

    @cached_property
    def _opened(self) -> Mapping[str, Recordings]:
        return _Lazy(tuple(self.sources), self._open)

    def _open(self, part: str) -> Recordings:
        source = self.sources[part]
        if part in self.indexes:
            return self.indexes[part]
        if not isinstance(source, RecordingsSource):
            raise ConfigError(f"the source of {quoted(part)} is files of rows, not recordings")
        try:
            return source.open(self.roots, cache=self.cache)
        except BridgeflowError as error:
            locate_recordings(error, source.channels, source.columns, self.places, self._steps(part))
            raise

    def _steps(self, part: str) -> Steps:
        """Where the source of a part is written."""
        return ("source",) if ("source",) in self.places else ("sources", part)

    def _recordings_of(self, part: str) -> Recordings:
        split = self.split
        if split is None or split.by == "time":
            return self.opened(part if split is None else TRAIN)
        return self._split_parts[part]

    @cached_property
    def _split_parts(self) -> dict[str, Recordings]:
        split, recordings = self.split, self.opened(TRAIN)
        assert split is not None
        options: dict[str, Any] = {"by": split.by, "stratify": split.stratify, "seed": split.seed}
        try:
            if split.fractions is not None:
                return dict(
                    zip(split.fractions, recordings.split(list(split.fractions.values()), **options), strict=True)
                )
            if split.folds is not None:
                return dict(zip((TRAIN, "test"), recordings.folds(split.folds, **options)[split.fold], strict=True))
            return {name: recordings[rows] for name, rows in self._by_label.items()}
        except BridgeflowError as error:
            locate(error, self.places, ("split",))
            raise

    @cached_property
    def _by_label(self) -> dict[str, list[int]]:
        """The positions of the recordings that a label puts into each part."""
        split = self.split
        assert split is not None
        assert split.column is not None
        rows: dict[str, list[int]] = {}
        try:
            for number, value in enumerate(self.opened(TRAIN).labels(split.column)):
                if value is None:
                    continue
                rows.setdefault(str(value), []).append(number)
            if not rows:
                raise DataError(f"no recording has a value of the label {quoted(split.column)}; name another")
        except BridgeflowError as error:
            locate(error, self.places, ("split", "column"))
            raise
        return rows

    # --- datasets ---

    def _dataset_of(self, part: str) -> SignalDataset:
        source = self.sources[TRAIN if self.split is not None else part]
        try:
            dataset = (
                self._of_windows(part, source) if isinstance(source, RecordingsSource) else self._of_rows(part, source)
            )
        except BridgeflowError as error:
            self._locate_stage(error)
            raise
        if self.reject is None:
            return dataset
        options = {one.name: getattr(self.reject, one.name) for one in fields(self.reject)}
        try:
            return dataset.reject(**{**options, "events": options["events"] or ()})
        except BridgeflowError as error:
            self._locate_stage(error)
            locate(error, self.places, ("reject",))
            raise

    def _of_windows(self, part: str, source: RecordingsSource) -> SignalDataset:
        dataset = SignalDataset(
            self.recordings[part],
            self.transform_of(part),
            kind=self.dataset.kind,
            ragged=self.dataset.ragged,
            seed=self.loader.seed,
            whole=source.whole,
            state_nbytes=source.state_nbytes,
            cache_nbytes=source.cache_nbytes,
            cache=self.cache,
        )
        dataset.source.specs  # noqa: B018  a stage that needs the whole recording is refused here, with its place
        split = self.split
        if split is None or split.by != "time" or split.fractions is None:
            return dataset
        windows = dataset.split(list(split.fractions.values()), by="time")
        return windows[self.parts.index(part)]

    def _of_rows(self, part: str, source: JobSource) -> SignalDataset:
        try:
            options = {
                **options_of(SourceOptions, source),
                "nulls": "error" if self.dataset.nulls == "error" else "keep",
            }
            rows = open_source(source.path, roots=self.roots, **options)
        except BridgeflowError as error:
            locate_source(error, source, self.places, self._steps(part))
            raise
        options = {one.name: getattr(self.dataset, one.name) for one in fields(self.dataset)}
        return SignalDataset(rows, self.transform_of(part), seed=self.loader.seed, **options)

    def _locate_stage(self, error: BridgeflowError) -> None:
        """Give the error of a stage of ours the place of `transforms`, or of the stage."""
        numbers = error.stage.numbers if error.stage else ()
        steps: Steps = ("transforms", numbers[0] - 1) if numbers else ("transforms",)
        if error.stage is not None or isinstance(error, ConfigError):
            locate(error, self.places, steps)


class _Lazy(Mapping[str, _Value], Generic[_Value]):
    """Values by name, each made when it is first asked for."""

    def __init__(self, names: tuple[str, ...], make: Callable[[str], _Value]) -> None:
        self._names = names
        self._make = make
        self._values: dict[str, _Value] = {}

    def __getitem__(self, name: str) -> _Value:
        if name not in self._names:
            raise KeyNotFound(f"there is no part {quoted(name)}; {nearest(str(name), self._names)}")
        if name not in self._values:
            self._values[name] = self._make(name)
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<{', '.join(self._names)}>"
