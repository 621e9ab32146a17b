"""`FitStandardize`: level and scale of a training set, for `Normalize`; the same bits in any number of processes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bridgeflow._threads import compute_threads
from bridgeflow.bridge import to_numpy
from bridgeflow.errors import BridgeflowError, ConfigError, DataError, at_place
from bridgeflow.pipeline.batches import Batch
from bridgeflow.pipeline.dataset import SignalDataset
from bridgeflow.policy import parse_integer, parse_word
from bridgeflow.recordings.split_part import SplitPart
from bridgeflow.signal._axes import axis_of, parse_axis
from bridgeflow.transforms.base import Transform
from bridgeflow.transforms.normalize import Normalize, NormalizeBy, Unseen, group_label, group_labels, plain_label
from bridgeflow.transforms.runner import opened, select
from bridgeflow.transforms.standardize import Scope, StandardizeMethod
from bridgeflow.transforms.statistics import Moments, Part
from bridgeflow.tree import parse_keys

__all__ = ["FitStandardize", "FittedStatistics", "merge_statistics"]

_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True)
class FitStandardize:
    """An estimator of the level and scale of many samples: `fit` gives the `Normalize` that brings them to 0 and 1.

    Args:
        keys: which array of a sample, by one key; `None` for the only one.
        method: as for `Standardize`: `"z-score"` (of the population), `"robust"`, `"min-max"`, `"peak"`, `"rms"`.
        per: `"channel"`, for each channel (every axis of a sample but time); `"all"`, one level and scale for all.
        by: the key of a label in each sample, such as `"subject"`: statistics for each of its values. `None` for none.
        unseen: with `by`, what `NormalizeBy` does with groups that were not in the data: `"error"`, or `"overall"`, the
            statistics of all groups together.
        axis: of time in a sample, negative.

    The statistics are NumPy's in float64 over all samples at once. NaN and infinity are left out. They depend on the
    samples alone, to the last bit: not on their order, nor on batches, threads, workers, ranks and engines; see
    `bridgeflow.transforms.statistics`. `"robust"` keeps every different value for this, and refuses more than 2 GiB.

    >>> fitted = FitStandardize(keys="x").fit([{"x": np.array([[0.0, 2.0]])}, {"x": np.array([[4.0, 6.0]])}])
    >>> fitted
    Normalize(keys=('x',), axis=-1, center=(3.0,), scale=(2.23606797749979,))
    """

    keys: str | None = None
    method: StandardizeMethod = "z-score"
    per: Scope = "channel"
    by: str | None = None
    unseen: Unseen = "error"
    axis: int = -1

    def __post_init__(self) -> None:
        parse_word(self.method, StandardizeMethod, field="FitStandardize: method")
        parse_word(self.per, Scope, field="FitStandardize: per")
        parse_word(self.unseen, Unseen, field="FitStandardize: unseen")
        keys = parse_keys(self.keys)
        if keys is not None and len(keys) != 1:
            raise ConfigError(f"FitStandardize: keys must be one key, got {self.keys!r}; fit each array by itself")
        object.__setattr__(self, "keys", None if keys is None else keys[0])
        if parse_axis(self.axis) >= 0:
            raise ConfigError(f"FitStandardize: axis must count from the end, got {self.axis}")

    def fit(self, data: Any, *, batch_size: int = 256, threads: int | None = None) -> Normalize | NormalizeBy:
        """The transform with the statistics of these samples, and of no others; it names the part of a split they are.

        Args:
            data: a `SignalDataset`, also a part of one (`split`), of recordings or of a folder of shards; a path of
                one; any other map-style dataset; an iterable of samples, or of a `Loader`'s batches, that comes to an
                end. Samples are taken as they come out of its transform, which must not be random.
            batch_size: rows that are read at once.
            threads: that read; `None` for as many as torch computes with.

        Raises:
            DataError: no samples; samples of different channels; a channel without a finite number.
            ConfigError: the dataset's transform is random.
        """
        return self.statistics(data, batch_size=batch_size, threads=threads).transform()

    def statistics(self, data: Any, *, batch_size: int = 256, threads: int | None = None) -> FittedStatistics:
        """What is known after these samples, which `merge_statistics` puts together with that of others.

        Args and errors as for `fit`.
        """
        size = parse_integer(batch_size, field="batch_size", least=1)
        if isinstance(data, (str, os.PathLike)):
            data = SignalDataset(data, kind="numpy")
        transforms = (getattr(one, "transform", None) for one in (data, getattr(data, "dataset", None)))
        if any(isinstance(one, Transform) and one.random for one in transforms):
            raise ConfigError(
                "FitStandardize: the dataset's transform is random; fit on one without augmentations, "
                "transform.eval() gives it"
            )
        part, split_parts = Part(self.method, self.per), _split_parts(data)
        if not (hasattr(data, "__getitem__") and hasattr(data, "__len__")) or isinstance(data, (list, tuple)):
            for batch in _batches_of(data, size):
                self._add(part, batch)
            return FittedStatistics(self, part, split_parts)
        if isinstance(data, Mapping):
            data = SignalDataset(data, kind="numpy")
        count = len(data)
        blocks = [range(first, min(first + size, count)) for first in range(0, count, size)]
        workers = min(compute_threads() if threads is None else parse_integer(threads, field="threads", least=1), 64)

        def each(number: int) -> Part:
            own = Part(self.method, self.per)
            for block in blocks[number::workers]:
                for batch in _rows_of(data, block):
                    self._add(own, batch)
            return own

        if workers == 1:
            return FittedStatistics(self, each(0), split_parts)
        with ThreadPoolExecutor(workers) as pool:
            for own in pool.map(each, range(workers)):
                part.merge(own)
        return FittedStatistics(self, part, split_parts)

    # --- samples ---

    def _add(self, part: Part, batch: Batch | list[Any]) -> None:
        if isinstance(batch, Batch):
            labels = [None] * _rows_in(batch, self._probe) if self.by is None else group_labels(batch, self.by)
            if labels is None:
                raise DataError(f"FitStandardize: the batch has one {self.by!r}, and not one for each sample")
            part.add(self._values(batch, 1), [self._label(one) for one in labels])
            return
        samples = [self._values(sample, 0) for sample in batch]
        labels = [None if self.by is None else self._label_of(sample) for sample in batch]
        start = 0
        for end in range(1, len(samples) + 1):  # those of one shape together
            if end == len(samples) or samples[end].shape != samples[start].shape:
                part.add(np.stack(samples[start:end]), labels[start:end])
                start = end

    def _values(self, data: Any, batch: int) -> np.ndarray[Any, Any]:
        """The array of a sample or batch as float64, time last."""
        data = opened(data, self._probe)
        recipe, leaves = select(data, self._probe)
        if len(leaves) != 1:
            raise ConfigError(f"FitStandardize: keys={self.keys!r} means {len(leaves)} arrays; name one of them")
        values = to_numpy(leaves[0])
        try:
            if values.dtype.kind not in "fiub":
                raise DataError(f"FitStandardize: real numbers are needed, got {values.dtype}")
            axis_of(self.axis, values.shape[batch:])
        except BridgeflowError as error:
            raise at_place(error, recipe.places[0]) from None
        return np.ascontiguousarray(np.moveaxis(values, self.axis, -1), np.float64)

    @property
    def _probe(self) -> Normalize:
        return Normalize(keys=self.keys)

    def _label(self, label: Any) -> Any:
        return None if self.by is None else plain_label(label, self.by)

    def _label_of(self, sample: Any) -> Any:
        return self._label(group_label(sample, self.by or ""))


class FittedStatistics:
    """What an estimator knows after some samples; ranks gather these, or their `state_dict()`, and merge them.

    Attributes:
        estimator: whose they are.
        split_parts: the parts of splits that the samples come from, as text, sorted; empty where they are of none.
        counts: how many finite numbers there were, by group; under `None` where there are no groups.
    """

    def __init__(self, estimator: FitStandardize, part: Part, split_parts: Iterable[str] = ()) -> None:
        self.estimator = estimator
        self.split_parts = tuple(sorted(set(split_parts)))
        self._part = part

    @property
    def counts(self) -> dict[Any, int]:
        """How many finite numbers there were, by group; under `None` where there are no groups."""
        return {label: sum(moments.settled_counts()) for label, moments in self._part.groups.items()}

    def transform(self) -> Normalize | NormalizeBy:
        """The transform that brings samples to these statistics' level and scale.

        Raises:
            DataError: no samples, or a channel without a finite number.
        """
        one, groups, shape = self.estimator, self._part.groups, self._part.shape
        if not groups or shape is None:
            raise DataError("FitStandardize: no samples to fit to")
        places = next(iter(groups.values())).places
        together = Moments(one.method, places)
        for moments in groups.values():
            together.merge(moments)
        center, scale = (_nested(values, shape) for values in together.level_and_scale())
        origin = "; ".join(self.split_parts) or None
        if one.by is None:
            return Normalize(center=center, scale=scale, part=origin, keys=one.keys, axis=one.axis)
        labels = sorted(groups, key=lambda label: (isinstance(label, str), label))
        pairs = []
        for label in labels:
            try:
                pairs.append([_nested(values, shape) for values in groups[label].level_and_scale()])
            except DataError as error:
                raise DataError(f"FitStandardize: of {one.by} {label!r}, {error}") from None
        return NormalizeBy(
            by=one.by,
            groups=tuple(labels),
            centers=tuple(pair[0] for pair in pairs),
            scales=tuple(pair[1] for pair in pairs),
            unseen=one.unseen,
            center=center,
            scale=scale,
            part=origin,
            keys=one.keys,
            axis=one.axis,
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything as plain values that JSON can hold."""
        part = self._part
        groups = [{"label": label, **moments.to_plain()} for label, moments in part.groups.items()]
        fields = {name: getattr(self.estimator, name) for name in self.estimator.__dataclass_fields__}
        shape = None if part.shape is None else list(part.shape)
        return {
            "version": _VERSION,
            "estimator": fields,
            "split_parts": list(self.split_parts),
            "shape": shape,
            "groups": groups,
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> FittedStatistics:
        """The statistics that `state_dict` wrote.

        Raises:
            DataError: they are damaged, or of another version.
        """
        try:
            if state["version"] != _VERSION:
                raise DataError(f"statistics of version {state['version']!r}; this library reads {_VERSION}")
            estimator = FitStandardize(**state["estimator"])
            part = Part(estimator.method, estimator.per)
            part.shape = None if state["shape"] is None else tuple(state["shape"])
            for one in state["groups"]:
                part.groups[one["label"]] = Moments.from_plain(estimator.method, one)
            split_parts = state.get("split_parts", [])
            if not isinstance(split_parts, list) or not all(isinstance(one, str) for one in split_parts):
                raise TypeError(f"split_parts must be a list of text, got {split_parts!r}")
        except BridgeflowError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"expected what FittedStatistics.state_dict() gave: {error!r}") from error
        return cls(estimator, part, split_parts)


def merge_statistics(parts: Iterable[FittedStatistics | Mapping[str, Any]]) -> FittedStatistics:
    """The statistics of the samples of all parts together, in whatever order they come.

    Args:
        parts: of ranks or machines that each read samples of their own; or their `state_dict()`s.

    Raises:
        DataError: no parts, or parts that were not fitted alike.

    >>> fit = FitStandardize(per="all")
    >>> halves = [fit.statistics([np.array([0.0, 2.0])]), fit.statistics([np.array([4.0, 6.0])]).state_dict()]
    >>> merge_statistics(halves).transform().center
    3.0
    """
    each = [one if isinstance(one, FittedStatistics) else FittedStatistics.from_state_dict(one) for one in parts]
    if not each:
        raise DataError("merge_statistics: no parts")
    estimator = each[0].estimator
    if any(one.estimator != estimator for one in each):
        raise DataError(f"merge_statistics: parts of one estimator are merged, {estimator!r}, and others came")
    together = Part(estimator.method, estimator.per)
    for one in each:
        together.merge(one._part)
    return FittedStatistics(estimator, together, [name for one in each for name in one.split_parts])


def _split_parts(data: Any) -> list[str]:
    """The part of a split that a dataset, or that of a loader, is."""
    parts = (getattr(one, "part", None) for one in (data, getattr(data, "dataset", None)))
    return [str(part) for part in parts if isinstance(part, SplitPart)]


def _rows_of(data: Any, rows: range) -> Iterator[Batch | list[Any]]:
    """Rows of a map-style dataset, as a batch where they can be one."""
    if not isinstance(data, SignalDataset):
        fetch = getattr(data, "__getitems__", None)
        yield list(fetch(list(rows))) if fetch is not None else [data[row] for row in rows]
        return
    if data.ragged == "error":
        try:
            batch = data.batch(rows)
        except DataError:
            batch = None  # rows of unequal length, or an error that the samples will tell
        if isinstance(batch, Batch):
            yield batch
            return
    yield list(data.samples(rows))


def _batches_of(data: Iterable[Any], size: int) -> Iterator[Batch | list[Any]]:
    """The samples or batches of an iterable, samples as lists of them."""
    held: list[Any] = []
    for item in data:
        if isinstance(item, Batch):
            yield item
            continue
        held.append(item)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held


def _rows_in(batch: Batch, probe: Normalize) -> int:
    _, leaves = select(opened(batch, probe), probe)
    return len(leaves[0])


def _nested(values: Sequence[float], shape: tuple[int, ...]) -> Any:
    """Numbers as tuples of this shape; one number where it is none."""
    if len(shape) > 2:
        raise DataError(
            f"FitStandardize: samples of {len(shape)} axes beside time; statistics are of at most two, take per='all'"
        )
    if not shape:
        return values[0]
    return tuple(values) if len(shape) == 1 else tuple(tuple(row) for row in np.reshape(values, shape).tolist())
