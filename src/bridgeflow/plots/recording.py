"""A recording over time: a lane for each channel, events above them, gaps between segments."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeflow.errors import DataError
from bridgeflow.io import Roots
from bridgeflow.plots._picture import picture, publish_picture, require_matplotlib, write_text

if TYPE_CHECKING:
    from bridgeflow.recordings import Recording

__all__ = ["DrawnRecording", "Envelope", "draw_recording", "envelope"]

_BINS = 1400
"""Stretches of time that are told apart: about the pixels of the picture's width."""

_READ_AT_ONCE = 1 << 20
_MOST_KINDS = 7
_FEW_EVENTS = 40
"""Events up to which each is also a line through the channels."""

_LIGHT = ("#0b5fa5", "#b8432f", "#3c7a3f", "#8a5a00", "#7a3e9d", "#00787a", "#a03468")
_DARK = ("#6fb3ef", "#f08a74", "#83c987", "#e0b04f", "#c79be8", "#5cc7c9", "#ec8ab8")


@dataclass(frozen=True, kw_only=True, eq=False)
class Envelope:
    """A channel between two times, by stretches of equal length.

    Attributes:
        edges: seconds from the recording's start, `[bins + 1]`.
        low, high: least and greatest value of each stretch, `[bins]`; NaN where it has no samples.
    """

    edges: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, kw_only=True)
class DrawnRecording:
    """What `draw_recording` drew: names of channels, how many the recording has, events, and the stretch in seconds."""

    channels: tuple[str, ...]
    of: int
    events: int
    seconds: tuple[float, float]


def envelope(
    recording: Recording,
    column: str,
    *,
    seconds: tuple[float, float] | None = None,
    bins: int = _BINS,
    on_samples: Callable[[int], None] = lambda count: None,
) -> list[Envelope]:
    """Least and greatest physical values of each channel of a column, read block by block.

    Args:
        seconds: from and to, from the recording's start; `None` for all of it.
        on_samples: told how many values have been read, one for each block.
    """
    one = recording.columns[column]
    begin, end = (0.0, recording.duration) if seconds is None else seconds
    edges = np.linspace(begin, end, bins + 1)
    low = np.full((len(one.channels), bins), np.nan)
    high = low.copy()
    step = max(1, _READ_AT_ONCE // len(one.channels))
    for first, last in _samples_between(one, begin, end):
        segment = next(number for number, (start, stop) in enumerate(one.segments) if start <= first < stop)
        onset = one.onsets[segment] - one.segments[segment][0] / one.fs
        for start in range(first, last, step):
            stop = min(start + step, last)
            x = one.read(start, stop, units="physical")
            times = onset + np.arange(start, stop) / one.fs
            places = ((times - begin) * (bins / (end - begin))).astype(np.int64).clip(0, bins - 1)
            starts = np.flatnonzero(np.diff(places, prepend=-1))
            chosen = places[starts]
            low[:, chosen] = np.fmin(low[:, chosen], np.fmin.reduceat(x, starts, axis=1))
            high[:, chosen] = np.fmax(high[:, chosen], np.fmax.reduceat(x, starts, axis=1))
            on_samples(x.size)
    return [Envelope(edges=edges, low=a, high=b) for a, b in zip(low, high, strict=True)]


def _samples_between(column: Any, begin: float, end: float) -> list[tuple[int, int]]:
    """First and last sample in each segment that lie between two times."""
    spans = []
    for (start, stop), onset in zip(column.segments, column.onsets, strict=True):
        first = start + max(0, ceil((begin - onset) * column.fs - 1e-6))
        last = start + min(stop - start, floor((end - onset) * column.fs + 1e-6) + 1)
        if first < min(last, stop):
            spans.append((first, last))
    return spans


def draw_recording(
    recording: Recording,
    path: str | os.PathLike[str],
    *,
    seconds: tuple[float, float] | None = None,
    most_channels: int = 32,
    dark: bool = False,
    overwrite: bool = False,
    roots: Roots = None,
    on_samples: Callable[[int], None] = lambda count: None,
) -> DrawnRecording:
    """Draw a recording as a PNG: channels over time in physical values, events, gaps.

    Stretches with more samples than the picture has pixels are drawn as bands from the least to the greatest value, so
    that no peak is lost; they are read block by block.

    Args:
        recording: what to draw; `pick` chooses channels.
        seconds: from and to, from the recording's start; `None` for all of it.
        most_channels: how many channels are drawn at most, the first ones.
        dark: light on a dark ground.
        on_samples: told how many values have been read, one for each block.

    Raises:
        DataError: the recording has no samples there, or the file exists and may not be replaced.
        MissingDependency: matplotlib cannot be imported.
    """
    require_matplotlib("the picture of a recording")
    begin, end = (0.0, recording.duration) if seconds is None else map(float, seconds)
    if not 0 <= begin < end or begin >= recording.duration:
        problem = f"no samples from {begin:g} to {end:g} s; the recording has {recording.duration:g} s"
        raise DataError(f"{recording.id}: {problem}; choose other seconds")
    end = min(end, recording.duration)
    lanes = _lanes(recording, (begin, end), most_channels, on_samples)
    kinds = _kinds(recording, begin, end)
    colors = _DARK if dark else _LIGHT
    height = 1.5 + 0.28 * len(kinds) + max(0.45 * len(lanes), 1.8)
    with picture(12, min(height, 22), dark=dark) as (figure, png):
        if kinds:
            ratio = [0.28 * len(kinds), max(0.45 * len(lanes), 1.8)]
            above, axes = figure.subplots(2, 1, sharex=True, height_ratios=ratio)
            _draw_events(above, axes, kinds, colors)
        else:
            above = axes = figure.subplots(1, 1)
        _draw_lanes(axes, lanes, colors[0])
        _draw_gaps(axes, recording, begin, end)
        axes.set_xlim(begin, end)
        _label_time(axes, end - begin)
        write_text(above.set_title, recording.id)
        total = len(recording.channels)
        few = f"{len(lanes)} of {total} channels" if len(lanes) < total else ""
        about = [few, "" if recording.start is None else f"from {recording.start:%Y-%m-%d %H:%M:%S}"]
        above.set_title(", ".join(filter(None, about)), loc="right", fontsize=9.5, fontweight="normal")
    publish_picture(png.getvalue(), path, overwrite=overwrite, roots=roots)
    return DrawnRecording(
        channels=tuple(lane.name for lane in lanes),
        of=len(recording.channels),
        events=sum(len(kind.spans) for kind in kinds),
        seconds=(begin, end),
    )


# --- channels ---


@dataclass(frozen=True, eq=False)
class _Lane:
    """A channel: lines of times and values, or bands of times, least and greatest values."""

    name: str
    unit: str
    lines: list[tuple[np.ndarray, np.ndarray]]
    bands: list[tuple[np.ndarray, np.ndarray, np.ndarray]]

    @property
    def limits(self) -> tuple[float, float]:
        """What the lane shows: all values, but for the outermost thousandth where that is far away."""
        values = [value for _, *parts in (*self.lines, *self.bands) for value in parts]
        x = np.concatenate(values) if values else np.zeros(1)
        x = x[np.isfinite(x)]
        if not len(x):
            return -1.0, 1.0
        low, high = float(x.min()), float(x.max())
        inner = np.quantile(x, [0.002, 0.998])
        spread = float(np.ptp(inner))
        if spread and high - low > 4 * spread:
            low, high = float(inner[0]) - spread / 2, float(inner[1]) + spread / 2
        return (low, high) if high > low else (low - 1, high + 1)


def _lanes(
    recording: Recording, seconds: tuple[float, float], most: int, on_samples: Callable[[int], None]
) -> list[_Lane]:
    lanes: list[_Lane] = []
    for name in recording.columns:
        column = recording.columns[name]
        if len(lanes) + len(column.channels) > most:
            if len(lanes) == most:
                break
            kept = recording.layout[name][: most - len(lanes)]
            recording = _with_members(recording, name, kept)
            column = recording.columns[name]
        count = sum(last - first for first, last in _samples_between(column, *seconds))
        if count > 2 * _BINS:
            bands = envelope(recording, name, seconds=seconds, on_samples=on_samples)
            rows = [
                _Lane(one.name, one.unit, [], _runs(band)) for one, band in zip(column.channels, bands, strict=True)
            ]
        else:
            rows = _line_lanes(column, seconds)
            on_samples(count * len(column.channels))
        lanes += rows
    return lanes


def _with_members(recording: Recording, name: str, members: tuple[int, ...]) -> Recording:
    from dataclasses import replace

    return replace(recording, layout={**recording.layout, name: members})


def _line_lanes(column: Any, seconds: tuple[float, float]) -> list[_Lane]:
    lanes = [_Lane(one.name, one.unit, [], []) for one in column.channels]
    for first, last in _samples_between(column, *seconds):
        x = column.read(first, last, units="physical")
        times = column.seconds(first) + np.arange(last - first) / column.fs
        for lane, row in zip(lanes, x, strict=True):
            lane.lines.append((times, row.astype(np.float64)))
    return lanes


def _runs(band: Envelope) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Stretches with samples one after the other; each reaches to its neighbour, as a line through them would."""
    present = np.isfinite(band.low)
    borders = np.flatnonzero(np.diff(present.astype(np.int8), prepend=0, append=0))
    middle = (band.edges[:-1] + band.edges[1:]) / 2
    runs = []
    for start, stop in zip(borders[::2], borders[1::2], strict=True):
        low, high = band.low[start:stop].copy(), band.high[start:stop].copy()
        low[1:] = np.minimum(low[1:], band.high[start : stop - 1])
        high[1:] = np.maximum(high[1:], band.low[start : stop - 1])
        times = middle[start:stop].copy()
        times[0], times[-1] = band.edges[start], band.edges[stop]
        runs.append((times, low, high))
    return runs


def _draw_lanes(axes: Any, lanes: Sequence[_Lane], color: str) -> None:
    names, ranges = [], []
    for number, lane in enumerate(lanes):
        low, high = lane.limits
        base, factor = -number - 0.45, 0.9 / (high - low)

        def place(x: np.ndarray, base: float = base, low: float = low, factor: float = factor) -> np.ndarray:
            return (base + (x - low) * factor).clip(base - 0.04, base + 0.94)

        for times, values in lane.lines:
            axes.plot(times, place(values), color=color, linewidth=0.8)
        for times, least, most in lane.bands:
            axes.fill_between(times, place(least), place(most), color=color, linewidth=0.5)
        names.append(lane.name)
        unit = f" {lane.unit}" if lane.unit else ""
        ranges.append(f"{_number(low)} to {_number(high)}{unit}".replace("-", "\N{MINUS SIGN}"))
    places = [-number for number in range(len(lanes))]
    axes.set_ylim(-len(lanes) + 0.4, 0.6)
    axes.set_yticks(places, [_short(name) for name in names], parse_math=False)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for border in places[1:]:
        axes.axhline(border + 0.5, color=axes.yaxis.label.get_color(), linewidth=0.3, alpha=0.35, zorder=0)
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(places, [_short(one) for one in ranges], parse_math=False)
    beside.tick_params(length=0, labelsize=8.5)
    beside.spines["right"].set_visible(False)


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def _short(text: str) -> str:
    from bridgeflow.errors import printable

    return printable(text if len(text) <= 24 else f"{text[:23]}\N{HORIZONTAL ELLIPSIS}")


def _draw_gaps(axes: Any, recording: Recording, begin: float, end: float) -> None:
    """Shade what no channel has samples of."""
    spans = sorted(
        (onset, onset + (stop - start) / channel.fs)
        for channel, track in zip(recording.channels, recording.tracks, strict=True)
        for start, stop, onset in track.segments
    )
    color = axes.yaxis.label.get_color()
    reached, longest = 0.0, 1.5 / min((one.fs for one in recording.channels), default=1.0)
    for start, stop in [*spans, (recording.duration, recording.duration)]:
        if start - reached > longest and reached < end and start > begin:
            axes.axvspan(max(reached, begin), min(start, end), facecolor=color, alpha=0.14, linewidth=0, zorder=0.5)
        reached = max(reached, stop)


# --- events ---


@dataclass(frozen=True, eq=False)
class _Kind:
    """Events of one text: where each begins and ends, in seconds."""

    text: str
    spans: list[tuple[float, float]]


def _kinds(recording: Recording, begin: float, end: float) -> list[_Kind]:
    """The events that are seen, by their texts: those that are most, and then all others together."""
    by_text: dict[str, list[tuple[float, float]]] = {}
    table = recording.events
    for onset, duration, text in zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True):
        until = onset + (duration or 0.0)
        if onset <= end and until >= begin:
            by_text.setdefault(text, []).append((onset, until))
    kinds = [_Kind(text, spans) for text, spans in sorted(by_text.items(), key=lambda one: -len(one[1]))]
    if len(kinds) <= _MOST_KINDS:
        return kinds
    others = kinds[_MOST_KINDS - 1 :]
    rest = _Kind(f"{len(others)} other texts", [span for kind in others for span in kind.spans])
    return [*kinds[: _MOST_KINDS - 1], rest]


def _draw_events(axes: Any, lanes: Any, kinds: Sequence[_Kind], colors: Sequence[str]) -> None:
    """A row of marks for each kind; a few events also through the channels."""
    is_few = sum(len(kind.spans) for kind in kinds) <= _FEW_EVENTS
    for number, kind in enumerate(kinds):
        color, spans = colors[(number + 1) % len(colors)], np.array(kind.spans)
        bars = spans[spans[:, 1] > spans[:, 0]]
        axes.broken_barh([(a, b - a) for a, b in bars], (-number - 0.3, 0.6), facecolor=color, alpha=0.45)
        axes.vlines(
            spans[:, 0], -number - 0.36, -number + 0.36, color=color, linewidth=0.9 if len(spans) < 400 else 0.4
        )
        if is_few:
            for start, stop in kind.spans:
                lanes.axvline(start, color=color, linewidth=0.8, alpha=0.7, zorder=1)
                if stop > start:
                    lanes.axvspan(start, stop, facecolor=color, alpha=0.1, linewidth=0, zorder=0.4)
    places = [-number for number in range(len(kinds))]
    axes.set_ylim(-len(kinds) + 0.4, 0.6)
    axes.set_yticks(places, [_short(kind.text) for kind in kinds], parse_math=False)
    for number, label in enumerate(axes.get_yticklabels()):
        label.set_color(colors[(number + 1) % len(colors)])
    axes.tick_params(axis="both", length=0)
    axes.tick_params(axis="x", labelbottom=False)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(places, [f"{len(kind.spans):,} event{'s' * (len(kind.spans) != 1)}" for kind in kinds])
    beside.tick_params(length=0, labelsize=8.5)
    beside.spines["right"].set_visible(False)


# --- time ---


def _label_time(axes: Any, span: float) -> None:
    if span <= 600:
        axes.set_xlabel("time (s)")
        return
    from matplotlib.ticker import MultipleLocator

    steps = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
    axes.xaxis.set_major_locator(MultipleLocator(next((one for one in steps if span / one <= 12), span / 10)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{int(value) // 3600}:{int(value) // 60 % 60:02}")
    axes.set_xlabel("time (h:min)")
