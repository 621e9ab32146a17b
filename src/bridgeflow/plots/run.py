"""What a job did: one column before and after, in time and as spectra."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridgeflow.io import Roots
from bridgeflow.pipeline.measure import spectrum
from bridgeflow.plots._picture import AFTER, BEFORE, MARK, picture, publish_picture, write_text

__all__ = ["BeforeAfter", "before_after_png", "draw_before_after"]

_SPAN = 4.0
"""Seconds shown by default."""


@dataclass(frozen=True, kw_only=True)
class BeforeAfter:
    """What is drawn.

    Args:
        before, after: the two signals, `[time]`, real; of several rows `[..., time]` the first is shown.
        fs: sampling rate in Hz of the signal after; before_fs: of that before, `None` for the same.
        title: what the recording is.
        name: what the values are ("ecg").
        unit: of the values ("mV"); may be empty. Like all text, it is drawn as it is written.
        one_unit: whether the signal before is in this unit too; else it has an axis of its own.
        hum: frequency of the mains in Hz to mark in the spectra; its level above its neighbours in dB before, and
            after.
        seconds: stretch of time to show; `None` for a few seconds from the middle of the shorter signal.
    """

    before: Any
    after: Any
    fs: float
    title: str
    name: str
    unit: str = ""
    before_fs: float | None = None
    one_unit: bool = True
    hum: tuple[float, float, float] | None = None
    seconds: tuple[float, float] | None = None


def draw_before_after(
    what: BeforeAfter, path: str | os.PathLike[str], *, overwrite: bool = False, roots: Roots = None
) -> None:
    """Draw both signals as a PNG: a stretch of time above, the spectra of the whole below.

    Raises:
        DataError: the file is not called .png, exists and may not be replaced, or lies outside the roots.
        MissingDependency: matplotlib cannot be imported.
    """
    publish_picture(before_after_png(what), path, overwrite=overwrite, roots=roots)


def before_after_png(what: BeforeAfter) -> bytes:
    """The picture that `draw_before_after` publishes."""
    with picture(10, 7) as (figure, png):
        time, power = figure.subplots(2, 1)
        _draw_time(time, what)
        _draw_spectra(power, what)
    return png.getvalue()


def _draw_time(axes: Any, what: BeforeAfter) -> None:
    begin, end = _stretch(what)
    shown = []
    for (signal, fs, color, width, label), own in zip(_pair(what), _own_axes(axes, what), strict=True):
        first = _first(signal)
        start, stop = _samples(begin, end, fs, len(first))
        values = first[start:stop]
        shown += own.plot((start + np.arange(len(values))) / fs, values, color=color, linewidth=width, label=label)
    write_text(axes.set_title, what.title)
    axes.set_xlabel("time (s)")
    write_text(axes.set_ylabel, f"{what.name} ({what.unit})" if what.unit else what.name)
    axes.set_xlim(begin, end)
    axes.margins(y=0.12)
    axes.legend(handles=shown, loc="upper right", ncols=2, bbox_to_anchor=(1.0, 1.14), borderaxespad=0)


def _own_axes(axes: Any, what: BeforeAfter) -> tuple[Any, Any]:
    """The axes of both signals: the same, or one of its own for what is in another unit."""
    if what.one_unit:
        return axes, axes
    beside = axes.twinx()
    beside.spines["right"].set_visible(True)
    beside.grid(visible=False)
    beside.margins(y=0.12)
    beside.set_ylabel("before, in its own unit", color=BEFORE)
    axes.set_zorder(beside.get_zorder() + 1)
    axes.patch.set_visible(False)
    return beside, axes


def _draw_spectra(axes: Any, what: BeforeAfter) -> None:
    floors: dict[Any, float] = {}
    for (signal, fs, color, width, label), own in zip(_pair(what), _own_axes(axes, what), strict=True):
        frequency, power = spectrum(signal, fs)
        db = 10 * np.log10(np.maximum(power[1:], np.finfo(float).tiny))
        db = np.where(np.isfinite(db), db, np.nan)
        own.plot(frequency[1:], db, color=color, linewidth=width, label=label)
        if np.isfinite(db).any():
            floors[own] = min(floors.get(own, np.inf), np.nanmax(db) - 90)
    for own, floor in floors.items():
        low, high = own.get_ylim()
        own.set_ylim(max(low, floor), high)
    unit = f"{what.unit}²/Hz" if what.unit else "1/Hz"
    axes.set_title("Spectra of the whole recording")
    axes.set_xlabel("frequency (Hz)")
    write_text(axes.set_ylabel, f"power density (dB re 1 {unit})")
    axes.set_xlim(0, max(fs for _, fs, *_ in _pair(what)) / 2)
    if what.hum is not None:
        _mark_mains(axes, *what.hum)


def _mark_mains(axes: Any, frequency: float, before: float, after: float) -> None:
    axes.axvline(frequency, color=MARK, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
    text = f"{frequency:g} Hz\n{before:+.0f} dB before, {after:+.0f} dB after,\nagainst its neighbours".replace(
        "-", "\N{MINUS SIGN}"
    )
    axes.annotate(
        text,
        (frequency, 1),
        xycoords=("data", "axes fraction"),
        xytext=(8, -4),
        textcoords="offset points",
        va="top",
        color=MARK,
    )


def _first(signal: Any) -> Any:
    """The signal, or of a set of examples the first."""
    return np.reshape(signal, (-1, np.shape(signal)[-1]))[0]


def _stretch(what: BeforeAfter) -> tuple[float, float]:
    """The stretch shown, in seconds: as asked, or from the middle of the shorter signal; at least two samples of the
    finer one, and none that are not there.
    """
    lengths = [(np.shape(signal)[-1], fs) for signal, fs, *_ in _pair(what)]
    fs = max(fs for _, fs in lengths)
    middle = min(samples / fs for samples, fs in lengths) / 2
    begin, end = what.seconds or (middle - _SPAN / 2, middle + _SPAN / 2)
    samples = round(max(samples / one for samples, one in lengths) * fs)
    start, stop = _samples(begin, end, fs, samples)
    return start / fs, stop / fs


def _samples(begin: float, end: float, fs: float, length: int) -> tuple[int, int]:
    """First and last sample of a stretch: at least two, and none that are not there."""
    start = int(min(max(round(begin * fs), 0), max(length - 2, 0)))
    return start, int(max(min(round(end * fs), length), start + 2))


def _pair(what: BeforeAfter) -> Sequence[tuple[Any, float, str, float, str]]:
    before_fs = what.fs if what.before_fs is None else what.before_fs
    return (what.before, before_fs, BEFORE, 1.0, "before"), (what.after, what.fs, AFTER, 1.6, "after")
