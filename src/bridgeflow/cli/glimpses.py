"""What stages do to real data: the first rows of a file, the first row of examples, or the first window of recordings.

Nothing of the job itself is run. Rows are taken by themselves, and windows from the stretch of their recording that is
around the first one, through the first stage, then the first two, and so on, as a `SignalDataset` gives them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bridgeflow.errors import BridgeflowError

if TYPE_CHECKING:
    from bridgeflow.errors import StageId
    from bridgeflow.pipeline.compose import Compose
    from bridgeflow.pipeline.dataset import SignalDataset
    from bridgeflow.pipeline.training import TrainingPipeline

__all__ = ["Glimpse", "glimpses_of_first_row", "glimpses_of_first_window", "glimpses_of_rows"]

_LONGEST = 65_536
"""Samples of a stretch that is shown where a window is a whole recording."""


class Glimpse(NamedTuple):
    """One array before and after a stage, or why there is none to show.

    Attributes:
        before, after: the first row of the array, [time]; `before` is `None` where there was no array of that name.
        channels: how many rows the array has, after the stage.
    """

    stage: str
    place: str
    before: np.ndarray | None
    after: np.ndarray | None
    note: str = ""
    channels: int = 1


def glimpses_of_rows(transform: Compose, columns: Mapping[str, Any]) -> Iterator[Glimpse]:
    """The first array that each stage changes, before and after it.

    Args:
        columns: arrays by name, of which every stage is given what the one before it made.
    """
    data: Any = dict(columns)
    for label, stage in transform.row:
        result = stage(data)
        yield _glimpse(label, data, result)
        data = result


def glimpses_of_first_row(pipeline: TrainingPipeline, part: str) -> Iterator[Glimpse]:
    """The same for the first row of a part of a pipeline over files of rows, with the random numbers of epoch 0."""
    from bridgeflow.pipeline.compose import Compose
    from bridgeflow.pipeline.dataset import SignalDataset

    first = replace(pipeline, transform=Compose()).datasets[part]
    options: dict[str, Any] = {"kind": first.kind, "nulls": first.nulls, "ragged": first.ragged, "seed": first.seed}

    def row(stages: Sequence[Any]) -> Any:
        return SignalDataset(first.source, Compose(stages), **options)[0]

    yield from _by_prefixes(pipeline.transform_of(part).row, row)


def glimpses_of_first_window(dataset: SignalDataset) -> tuple[str, Iterator[Glimpse]]:
    """Which window it is, in words, and what each stage of a dataset of recordings does to it.

    Continuous stages are shown on the whole stretch that is around the window, all others on the window.
    """
    windows: Any = dataset.source
    if not len(dataset):
        return "No recording has a window, so there is nothing to show.", iter(())
    number, places, _ = windows.located(0 if windows._chosen is None else int(windows._chosen[0]))
    recording = windows.recordings[number]
    _, since, until, fs = windows.times(number, places)
    begin, end = _stretch(dataset, since, until, fs)
    words = (
        f"The first window, {since:g} to {until:g} s of {recording.id}, out of {begin:g} to {end:g} s by themselves."
    )
    return words, _of_stretch(dataset, _cropped(recording, begin, end))


def _stretch(dataset: SignalDataset, since: float, until: float, fs: float) -> tuple[float, float]:
    """The seconds around a window that stages are shown on: as long again before it and after it."""
    from bridgeflow.transforms import WholeRecording

    length = until - since
    if any(isinstance(stage, WholeRecording) for _, stage in _row(dataset)):
        return since, min(until, since + _LONGEST / fs)
    return max(0.0, since - length), until + length


def _cropped(recording: Any, begin: float, end: float) -> Any:
    """The recording, as if it had nothing but the samples of these seconds."""

    def crop(track: Any, rate: float) -> Any:
        segments = []
        for one in track.segments:
            first = one.start + max(0, math.ceil((begin - one.onset) * rate - 1e-6))
            stop = min(one.stop, one.start + math.floor((end - one.onset) * rate + 1e-6))
            if first < stop:
                segments.append(one._replace(start=first, stop=stop, onset=one.onset + (first - one.start) / rate))
        return track._replace(segments=tuple(segments))

    tracks = (crop(track, channel.fs) for track, channel in zip(recording.tracks, recording.channels, strict=True))
    return replace(recording, tracks=tuple(tracks))


def _of_stretch(dataset: SignalDataset, recording: Any) -> Iterator[Glimpse]:
    from bridgeflow.pipeline.compose import Compose
    from bridgeflow.pipeline.dataset import SignalDataset
    from bridgeflow.pipeline.window_places import Cut
    from bridgeflow.transforms import WholeRecording

    def first(stages: Sequence[Any]) -> Any:
        if not any(isinstance(stage, Cut) for stage in stages):
            stages = [*stages, WholeRecording(keys="*")]
        options: dict[str, Any] = {"kind": dataset.kind, "ragged": dataset.ragged, "seed": dataset.seed}
        return SignalDataset([recording], Compose(stages), whole="cache", **options)[0]

    yield from _by_prefixes(_row(dataset), first)


def _row(dataset: SignalDataset) -> Sequence[tuple[StageId | None, Any]]:
    from bridgeflow.pipeline.window_stages import stages_of

    return stages_of(dataset.transform)


def _by_prefixes(row: Sequence[tuple[StageId | None, Any]], first: Callable[[Sequence[Any]], Any]) -> Iterator[Glimpse]:
    """What each stage changes, where only data after the first stages can be asked for.

    Args:
        first: the first sample after these stages.
    """
    stages = [stage for _, stage in row]
    numbers = range(len(stages) + 1)
    before = None
    for begin, end in pairwise(numbers):
        label = row[begin][0] or type(stages[begin]).__name__
        try:
            before = first(stages[:begin]) if before is None else before
            after = first(stages[:end])
        except BridgeflowError as error:
            yield Glimpse(str(label), "", None, None, f"cannot be shown on this stretch: {error}")
            before = None
            continue
        yield _glimpse(label, before, after)
        before = after


def _glimpse(label: StageId | str | None, before: Any, after: Any) -> Glimpse:
    """The first array of numbers that is another than before."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        values = _numbers(after)
        return Glimpse(str(label), "", None, values, "" if values is not None else _NOTHING, _channels(after))
    for name, value in after.items():
        if value is before.get(name) or (values := _numbers(value)) is None:
            continue
        earlier = _numbers(before.get(name))
        if earlier is None or not np.array_equal(earlier, values, equal_nan=True) or _is_other(before[name], value):
            return Glimpse(str(label), str(name), earlier, values, channels=_channels(value))
    return Glimpse(str(label), "", None, None, _NOTHING)


_NOTHING = "changes no array of numbers"


def _is_other(before: Any, after: Any) -> bool:
    """Whether two arrays of equal numbers differ in their library, element type or shape."""
    return (type(before), str(getattr(before, "dtype", "")), tuple(getattr(before, "shape", ()))) != (
        type(after),
        str(getattr(after, "dtype", "")),
        tuple(getattr(after, "shape", ())),
    )


def _channels(value: Any) -> int:
    shape = tuple(getattr(value, "shape", ()))
    return math.prod(shape[:-1]) if len(shape) > 1 else 1


def _numbers(value: Any) -> np.ndarray | None:
    """The first row of an array of real numbers, [time]; of complex ones their magnitude."""
    from bridgeflow.bridge import to_numpy

    try:
        array = np.asarray(to_numpy(value, nulls="nan"))
    except (BridgeflowError, TypeError, ValueError):
        return None
    if array.dtype.kind not in "biufc" or not array.size:
        return None
    row = array.reshape(-1, array.shape[-1])[0] if array.ndim else array.reshape(1)
    return np.asarray(np.abs(row) if array.dtype.kind == "c" else row, np.float64)
