"""From a pipeline file to a `TrainingPipeline`: a training script holds no constants of preprocessing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridgeflow._document import overridden, read_document, shown
from bridgeflow.config.files import read_bytes
from bridgeflow.config.models import (
    SAMPLERS,
    DatasetSection,
    LoaderSection,
    RejectSection,
    Section,
    SplitSection,
    parse_section,
)
from bridgeflow.config.paths import PathReader, declared_roots
from bridgeflow.config.rates import Rates
from bridgeflow.config.recording_rates import RecordingRates
from bridgeflow.config.sections import SectionReader
from bridgeflow.errors import nearest, quoted
from bridgeflow.io import shown as shown_path
from bridgeflow.pipeline.bucketed import Bucketed
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.epoch_plans import Sampler
from bridgeflow.pipeline.job_parts import JobSource
from bridgeflow.pipeline.recordings_source import RecordingsSource
from bridgeflow.pipeline.row_sampling import Balanced, PerGroup, Weighted
from bridgeflow.pipeline.training import TRAIN, TrainingPipeline
from bridgeflow.pipeline.training_parts import DatasetOptions, LoaderOptions, RejectOptions, SplitOptions
from bridgeflow.pipeline.yaml_stages import StageReader
from bridgeflow.transforms.plugins import load_plugins

__all__ = ["load_pipeline", "parse_pipeline"]

_SAMPLERS: dict[str, Any] = {"Balanced": Balanced, "Bucketed": Bucketed, "PerGroup": PerGroup, "Weighted": Weighted}

_SECTIONS = ("version", "source", "sources", "split", "reject", "transforms", "dataset", "loader", "sampler")


def load_pipeline(
    path: str | os.PathLike[str],
    *,
    roots: Sequence[str | os.PathLike[str]] | None = None,
    overrides: Sequence[str] = (),
    plugins: Sequence[str] = (),
    cache: str | os.PathLike[str] | None = None,
) -> TrainingPipeline:
    """Read a pipeline file: sources, split, transforms and loader options of a training script.

    Args:
        path: the configuration.
        roots: folders beneath one of which every file that it reads must lie, all links followed. `None` means the
            current folder and the configuration's own. A URL among them allows the URLs below it, as for `load_job`.
        overrides: values that take the place of those in the file, `key.path=value` each, as in `loader.batch_size=8`.
        plugins: names of entry points of the group `bridgeflow.transforms` whose transforms the file may name.
        cache: folder in which headers and filter states of recordings are kept, see `SignalDataset`; the caller's to
            say, never the file's.

    Raises:
        ConfigError: the file does not describe a pipeline; with file, line and column.
        DataError: the configuration cannot be opened, or a source is needed to learn the sampling rate and cannot.
    """
    load_plugins(plugins)
    folder = Path(os.path.abspath(path)).parent
    allowed = declared_roots(roots, (Path.cwd(), folder))
    return parse_pipeline(
        read_bytes(path), name=shown_path(path), folder=folder, roots=allowed, overrides=overrides, cache=cache
    )


def parse_pipeline(
    data: bytes,
    *,
    name: str,
    folder: str | os.PathLike[str],
    roots: tuple[Path, ...] | None = None,
    overrides: Sequence[str] = (),
    cache: str | os.PathLike[str] | None = None,
) -> TrainingPipeline:
    """A pipeline from the bytes of a configuration.

    Args:
        data: the bytes, UTF-8.
        name: what messages call the configuration.
        folder: the folder that its paths are relative to.
        roots: as for `load_pipeline`, but `None` means anywhere.
        overrides, cache: as for `load_pipeline`.
    """
    document = overridden(read_document(data, name), overrides)
    return _PipelineReader(document, PathReader(document, Path(folder), roots, None)).pipeline(cache)


class _PipelineReader(SectionReader):
    """Reads a pipeline file."""

    def pipeline(self, cache: str | os.PathLike[str] | None) -> TrainingPipeline:
        """The pipeline, which keeps headers and states in `cache`."""
        top = self.top(_SECTIONS, ("version",))
        sources = self._sources()
        of_recordings = all(isinstance(one, RecordingsSource) for one in sources.values())
        split = self._split() if "split" in top else None
        parts: dict[str, Any] = {
            "sources": sources,
            "split": split,
            "reject": RejectOptions(**self._section("reject", RejectSection)) if "reject" in top else None,
            "dataset": DatasetOptions(**self._section("dataset", DatasetSection)),
            "loader": LoaderOptions(**self._section("loader", LoaderSection)),
            "sampler": self._sampler() if "sampler" in top else None,
            "roots": self.paths.roots,
            "places": self.document.places(),
            "cache": cache,
        }
        for key in ("split", "reject"):
            if key in top and not of_recordings:
                problem = "is for recordings; files of rows have a source for each part, in `sources`"
                raise self.document.error([key], problem, at_key=True)
        if parts["reject"] is not None and not any(map(_is_set, vars(parts["reject"]).values())):
            raise self.document.error(["reject"], "needs a rule: amplitude, flat, clipped or events")
        if of_recordings and parts["dataset"].nulls != "error":
            raise self.document.error(
                ["dataset", "nulls"], "recordings say it in their source; leave it out", at_key=True
            )
        first = next(iter(sources))
        rates: Rates | RecordingRates
        if isinstance(source := sources[first], JobSource):
            rates = Rates(source, self.paths.roots, parts["places"])
        else:
            rates = RecordingRates(lambda: TrainingPipeline(**parts).opened(first))
        node = top.get("transforms")
        stages = (
            []
            if node is None
            else StageReader(self.document, rates, self.paths.statistics).stages(["transforms"], node)
        )
        opened = getattr(rates, "recordings", None)
        indexes = {} if opened is None else {first: opened}
        return TrainingPipeline(**parts, transform=Compose(stages), indexes=indexes)

    def _sources(self) -> dict[str, JobSource | RecordingsSource]:
        top = self.map([])
        if ("source" in top) == ("sources" in top):
            if "source" in top:
                raise self.document.error(["sources"], "has a source for each part; leave out `source`", at_key=True)
            raise self.document.error([], "the key 'source' is missing")
        if "source" in top:
            return {TRAIN: self.source(["source"])}
        parts = self.map(["sources"], "a map such as `{train: {parquet: train.parquet}, val: {parquet: val.parquet}}`")
        if not parts:
            raise self.document.error(["sources"], "expected a source for each part, got an empty map")
        if "split" in top:
            problem = "makes parts of one source, and there is a source for each; leave it out"
            raise self.document.error(["split"], problem, at_key=True)
        sources = {part: self.source(["sources", part]) for part in parts}
        if len({type(one) for one in sources.values()}) > 1:
            raise self.document.error(["sources"], "recordings and files of rows do not go together; choose one")
        return sources

    def _section(self, key: str, model: type[Section]) -> dict[str, Any]:
        if key not in self.map([]):
            return {}
        self.map([key])
        return parse_section(self.document, [key], model)

    def _sampler(self) -> Sampler:
        content = self.map(["sampler"], "a map such as `{Balanced: {by: label}}`")
        for name in content:
            if name not in SAMPLERS:
                hint = nearest(name, SAMPLERS)
                raise self.document.error(["sampler", name], f"there is no sampler {quoted(name)}; {hint}", at_key=True)
        if len(content) != 1:
            raise self.document.error(["sampler"], f"takes one of {', '.join(SAMPLERS)}, got {len(content)}")
        (name,) = content
        if content[name].value is not None:
            self.map(["sampler", name])
        options = {} if content[name].value is None else parse_section(self.document, ["sampler", name], SAMPLERS[name])
        loader = self.map([]).get("loader")
        for key in ("shuffle", "window"):
            if loader is not None and isinstance(loader.value, dict) and key in loader.value:
                raise self.document.error(["loader", key], "does not go with a sampler; leave it out", at_key=True)
        sampler: Sampler = _SAMPLERS[name](**options)
        return sampler

    def _split(self) -> SplitOptions:
        split = SplitOptions(**self._section("split", SplitSection))
        chosen = [one for one in ("fractions", "folds", "column") if getattr(split, one) is not None]
        if len(chosen) != 1:
            what = "none of them" if not chosen else " and ".join(chosen)
            raise self.document.error(["split"], f"takes one of fractions, folds and column, got {what}")
        written = self.map(["split"])
        refused = {
            "fractions": ("fold",),
            "folds": (),
            "column": ("fold", "by", "stratify", "seed"),
        }[chosen[0]]
        if one := next((key for key in refused if key in written), None):
            raise self.document.error(["split", one], f"does not go with {chosen[0]}; leave it out", at_key=True)
        if split.fractions is not None:
            shares = list(split.fractions.values())
            if len(shares) < 2 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
                problem = f"expected two or more above 0 that sum to 1, got {shares}"
                raise self.document.error(["split", "fractions"], problem)
            if split.by == "time" and split.stratify is not None:
                raise self.document.error(["split", "stratify"], "does not go with by: time; leave it out", at_key=True)
        if split.folds is not None:
            if split.by == "time":
                raise self.document.error(["split", "by"], "folds are of recordings; time goes with fractions")
            if split.fold >= split.folds:
                node = self.document.root.at(["split", "fold"])
                problem = f"expected a number from 0 to {split.folds - 1}, got {shown(node)}"
                raise self.document.error(["split", "fold"], problem)
        return split


def _is_set(value: object) -> bool:
    return value is not None
