"""Parts of the windows of recordings: splits that share nothing, and windows that no rule rejects."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeflow.bridge import to_numpy
from bridgeflow.errors import DataError
from bridgeflow.recordings.splits import parts

if TYPE_CHECKING:
    from bridgeflow.pipeline.lazy import RecordingWindows

__all__ = ["reject_windows", "split_windows"]

_AT_ONCE = 256


def split_windows(
    windows: RecordingWindows, fractions: Sequence[float], *, by: str | None, stratify: str | None, seed: int
) -> list[Any]:
    """The rows of each part; see `SignalDataset.split`."""
    shares = [float(fraction) for fraction in fractions]
    if len(shares) < 2 or not all(isfinite(one) and one > 0 for one in shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"fractions must be two or more above 0 that sum to 1, got {tuple(fractions)}")
    if by == "time":
        if stratify is not None:
            raise ValueError("stratify is for parts of recordings; by='time' cuts each recording; leave it out")
        return _in_time(windows, shares)
    recordings: Any = windows.recordings
    if not hasattr(recordings, "ids"):
        raise DataError("parts by recording or label need bridgeflow.Recordings; make them of the list")
    return [windows.rows_of(part) for part in parts(recordings, shares, by=by, stratify=stratify, seed=seed)]


def _in_time(windows: RecordingWindows, shares: Sequence[float]) -> list[Any]:
    """Windows that lie in one part of their recording, as it was recorded, with all their samples."""
    until = np.cumsum(shares)[:-1]
    rows: list[list[int]] = [[] for _ in shares]
    for row in range(windows.rows):
        number, places = windows.where(row)
        name = next(iter(places))
        column = windows.recordings[number].columns[name]
        start, since, end, _ = windows.times(number, places)
        bounds = np.round(until * column.length)
        stop = start + (end - since) * column.fs
        part = int(np.searchsorted(bounds, start, side="right"))
        if part == len(bounds) or stop <= bounds[part] + 1e-6:
            rows[part].append(row)
    return [np.array(one, np.int64) for one in rows]


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
