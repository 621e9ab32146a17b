"""Parts of the windows of recordings: splits and folds that share nothing, and windows that no rule rejects."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from bridgeflow.bridge import to_numpy
from bridgeflow.errors import DataError, KeyNotFound, listed, nearest, quoted
from bridgeflow.policy import parse_integer
from bridgeflow.recordings.index import Recordings
from bridgeflow.recordings.recording import Recording
from bridgeflow.recordings.splits import (
    Splitter,
    as_fold_table,
    folds,
    leave_one_group_out,
    parse_fractions,
    parts,
)

if TYPE_CHECKING:
    from bridgeflow.pipeline.lazy import RecordingWindows

__all__ = ["fold_windows", "leave_out_windows", "reject_windows", "split_windows"]

Rows: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

_AT_ONCE = 256


def split_windows(
    windows: RecordingWindows, fractions: Sequence[float], *, by: str | None, stratify: str | None, seed: int
) -> list[Any]:
    """The rows of each part; see `SignalDataset.split`."""
    shares = parse_fractions(fractions)
    if by == "time":
        if stratify is not None:
            raise ValueError("stratify is for parts of recordings; by='time' cuts each recording; leave it out")
        return _in_time(windows, shares)
    members = parts(_index_of(windows), shares, by=by, stratify=stratify, seed=seed)
    return [windows.rows_of(part) for part in members]


def fold_windows(
    windows: RecordingWindows, k: Any, *, by: str | None, stratify: str | None, seed: int, purge: bool
) -> list[tuple[Any, Any]]:
    """The rows of training and test part of each fold; see `SignalDataset.folds`."""
    table = as_fold_table(k)
    if by == "time":
        if stratify is not None or table is not None or isinstance(k, Splitter):
            raise ValueError("by='time' cuts each recording into k parts: give a number, and leave stratify out")
        return _folds_in_time(windows, parse_integer(k, field="k", least=2))
    if isinstance(k, Splitter):
        return _folds_of(windows, k, by=by, stratify=stratify, purge=purge)
    members = folds(_index_of(windows), k if table is None else table, by=by, stratify=stratify, seed=seed)
    return [(windows.rows_of(train), windows.rows_of(test)) for train, test in members]


def leave_out_windows(windows: RecordingWindows, by: str) -> list[tuple[Any, Any]]:
    """The rows of training and test part for each value of a label; see `SignalDataset.leave_one_group_out`."""
    members = leave_one_group_out(_index_of(windows), by)
    return [(windows.rows_of(train), windows.rows_of(test)) for train, test in members]


def _index_of(windows: RecordingWindows) -> Recordings:
    """The recordings as an index, which has labels."""
    recordings: Any = windows.recordings
    if isinstance(recordings, Recordings):
        return recordings
    if not all(isinstance(one, Recording) for one in recordings):
        raise DataError("parts by recording or label need bridgeflow.Recordings; make them of the list")
    return Recordings(list(recordings))


class _Spans(NamedTuple):
    """The samples of windows as they were recorded: number of the recording, first sample and end; [windows] each."""

    numbers: Rows
    starts: Any
    stops: Any

    @classmethod
    def of(cls, windows: RecordingWindows) -> _Spans:
        """Those of all windows, in their first column."""
        spans = np.empty((3, windows.rows))
        for row in range(windows.rows):
            number, places = windows.where(row)
            start, since, until, _ = windows.times(number, places)
            column = windows.recordings[number].columns[next(iter(places))]
            spans[:, row] = number, start, start + (until - since) * column.fs
        return cls(spans[0].astype(np.int64), spans[1], spans[2])

    def sharing(self, rows: Rows, others: Rows) -> Any:
        """Which of these windows share samples with one of the others, bool [rows]."""
        shared = np.zeros(len(rows), bool)
        for number in np.unique(self.numbers[others]).tolist():
            own = np.flatnonzero(self.numbers[rows] == number)
            against = others[self.numbers[others] == number]
            against = against[np.argsort(self.starts[against], kind="stable")]
            reach = np.maximum.accumulate(self.stops[against])
            before = np.searchsorted(self.starts[against], self.stops[rows[own]] - 1e-6)
            latest = np.where(before > 0, reach[np.maximum(before - 1, 0)], -np.inf)
            shared[own] = latest > self.starts[rows[own]] + 1e-6
        return shared


def _parts_in_time(windows: RecordingWindows, spans: _Spans, shares: Sequence[float]) -> Any:
    """The part of its recording that each window lies in with all its samples, -1 where it lies in two; [windows]."""
    until = np.cumsum(shares)[:-1]
    part_of = np.empty(windows.rows, np.int64)
    for number in np.unique(spans.numbers).tolist():
        rows = np.flatnonzero(spans.numbers == number)
        column = next(iter(windows.recordings[number].columns.values()))
        bounds = np.append(np.round(until * column.length), np.inf)
        part = np.searchsorted(bounds, spans.starts[rows], side="right")
        part_of[rows] = np.where(spans.stops[rows] <= bounds[part] + 1e-6, part, -1)
    return part_of


def _in_time(windows: RecordingWindows, shares: Sequence[float]) -> list[Any]:
    """Windows that lie in one part of their recording, as it was recorded, with all their samples."""
    part_of = _parts_in_time(windows, _Spans.of(windows), shares)
    return [np.flatnonzero(part_of == part) for part in range(len(shares))]


def _folds_in_time(windows: RecordingWindows, count: int) -> list[tuple[Any, Any]]:
    """Each part of the recordings' time once as the test part; training windows share no sample with it."""
    spans = _Spans.of(windows)
    part_of = _parts_in_time(windows, spans, [1 / count] * count)
    pairs = []
    for part in range(count):
        test, train = np.flatnonzero(part_of == part), np.flatnonzero(part_of != part)
        pairs.append((train[~spans.sharing(train, test)], test))
    return pairs


def _folds_of(
    windows: RecordingWindows, splitter: Splitter, *, by: str | None, stratify: str | None, purge: bool
) -> list[tuple[Any, Any]]:
    """The folds of a splitter of scikit-learn over windows, which share neither a group nor a sample."""
    groups = None if by is None else _values(windows, by)
    classes = None if stratify is None else _values(windows, stratify)
    spans = _Spans.of(windows)
    pairs = []
    for train, test in splitter.split(np.arange(windows.rows), classes, groups):
        train, test = np.asarray(train, np.int64), np.asarray(test, np.int64)
        if groups is not None:
            shared = sorted({str(groups[n]) for n in train.tolist()} & {str(groups[n]) for n in test.tolist()})
            if shared:
                values = f"values of {quoted(str(by))} in training and test both: {listed(shared)}"
                raise DataError(f"{values}; use a splitter of groups")
        sharing = spans.sharing(train, test)
        if sharing.any() and not purge:
            row = int(train[np.argmax(sharing)])
            id, start = windows.recordings[int(spans.numbers[row])].id, int(spans.starts[row])
            raise DataError(
                f"{int(sharing.sum())} training windows share samples with test windows, the first at sample {start:,} "
                f"of {quoted(id)}; pass purge=True to leave them out, or use a splitter of groups"
            )
        pairs.append((train[~sharing], test))
    return pairs


def _values(windows: RecordingWindows, name: str) -> list[Any]:
    """What windows are grouped or stratified by: `"recording"`, a label of recordings, or a label from events."""
    labels = dict.fromkeys(key for n in range(len(windows.recordings)) for key in windows.recordings[n].labels)
    stages = {stage.name: stage for stage in windows.label_stages}
    if name not in {"recording", *labels, *stages}:
        raise KeyNotFound(f"no label {quoted(name)}; {nearest(name, ['recording', *labels, *stages])}")
    values: list[Any] = []
    for row in range(windows.rows):
        number, places = windows.where(row)
        if name in stages:
            values.append(windows.label(stages[name], number, places))
        else:
            recording = windows.recordings[number]
            values.append(recording.id if name == "recording" else recording.labels.get(name))
    if any(value is None for value in values):
        raise DataError(f"windows of recordings without the label {quoted(name)}; filter these recordings out")
    return values


def reject_windows(
    windows: RecordingWindows,
    *,
    amplitude: float | None,
    flat: float | None,
    clipped: float | None,
    events: str | Sequence[str],
) -> tuple[Any, dict[str, int]]:
    """The rows that no rule rejects, and how many each rule rejects; see `SignalDataset.reject`."""
    patterns = (events,) if isinstance(events, str) else tuple(events)
    limits = {"flat": flat, "clipped": clipped, "amplitude": amplitude}
    for name, value in limits.items():
        if value is not None and not (isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a number of at least 0, got {value!r}")
    counts = {name: 0 for name in ("events", *limits) if (patterns if name == "events" else limits[name] is not None)}
    if not counts:
        raise ValueError("reject needs a rule: amplitude, flat, clipped or events")
    kept = []
    for first in range(0, windows.rows, _AT_ONCE):
        rows = np.arange(first, min(first + _AT_ONCE, windows.rows))
        samples = windows.fetch(rows).samples if len(counts) > bool(patterns) else [{}] * len(rows)
        for row, sample in zip(rows.tolist(), samples, strict=True):
            number, places = windows.where(row)
            signals = [to_numpy(sample[name]) for name in places if name in sample]
            rule = "events" if patterns and _overlaps(windows, number, places, patterns) else _broken(signals, limits)
            if rule:
                counts[rule] += 1
            else:
                kept.append(row)
    return np.array(kept, np.int64), counts


def _broken(signals: Sequence[Any], limits: dict[str, float | None]) -> str:
    """The first rule that one of a window's signals [channels, time] breaks; empty for none."""
    for x in signals:
        values = x.astype(np.float64)
        if not values.size or values.ndim < 2:
            continue
        low, high = values.min(axis=-1), values.max(axis=-1)
        flat, clipped, amplitude = limits["flat"], limits["clipped"], limits["amplitude"]
        if flat is not None and (high - low <= flat).any():
            return "flat"
        if clipped is not None:
            at_ends = np.maximum((values == low[..., None]).mean(axis=-1), (values == high[..., None]).mean(axis=-1))
            if (at_ends > clipped).any():
                return "clipped"
        if amplitude is not None and not (np.maximum(-low, high) <= amplitude).all():
            return "amplitude"
    return ""


def _overlaps(windows: RecordingWindows, number: int, places: Any, patterns: Sequence[str]) -> bool:
    """Whether a window overlaps an event whose text matches."""
    _, since, until, fs = windows.times(number, places)
    events = windows.events(number)
    stops = events.onsets + np.maximum(events.durations, 1 / fs)
    shared = np.flatnonzero((events.onsets < until) & (stops > since)).tolist()
    return any(fnmatchcase(events.texts[place], pattern) for place in shared for pattern in patterns)
