"""Pictures of what a job did: before and after, in time and as spectra."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridgeflow._optional import require
from bridgeflow.io import Roots, publish
from bridgeflow.pipeline.measure import spectrum

__all__ = ["BeforeAfter", "draw_before_after", "require_matplotlib"]

_BEFORE, _AFTER, _MARK = "#9a9a94", "#0b5fa5", "#b8432f"
_TEXT, _GRID = "#33332f", "#e4e4df"
_STYLE = {
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "font.size": 10.5,
    "text.color": _TEXT,
    "axes.edgecolor": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}
"""matplotlib's own defaults with quiet axes, whatever the user's settings: the same picture everywhere."""

_SPAN = 4.0
"""Seconds shown where nobody says which."""


@dataclass(frozen=True, kw_only=True)
class BeforeAfter:
    """What is drawn.

    Args:
        before, after: the two signals, `[time]`, real, of one length; of several rows `[..., time]` the first is shown.
        fs: sampling rate in Hz.
        title: what the recording is.
        name: what the values are ("ecg").
        unit: of the values ("mV"); may be empty.
        hum: frequency in Hz to mark in the spectra; its height above its neighbours in dB before, and after.
        seconds: stretch of time to show; `None` for a few seconds from the middle.
    """

    before: Any
    after: Any
    fs: float
    title: str
    name: str
    unit: str = ""
    hum: tuple[float, float, float] | None = None
    seconds: tuple[float, float] | None = None


def require_matplotlib() -> None:
    """Fail early where the picture could not be drawn at the end.

    Raises:
        MissingDependency: matplotlib cannot be imported.
    """
    require("matplotlib.figure", needed_for="the picture of a report")


def draw_before_after(
    what: BeforeAfter, path: str | os.PathLike[str], *, overwrite: bool = False, roots: Roots = None
) -> None:
    """Draw both signals as a PNG: a stretch of time above, the spectra of the whole below.

    Raises:
        DataError: the file exists and may not be replaced, or lies outside the roots.
        MissingDependency: matplotlib cannot be imported.
    """
    require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = matplotlib.rcParams  # whose stubs list every key
        settings.update(_STYLE)
        figure = Figure(figsize=(10, 7), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.1, hspace=0.06))
        time, power = figure.subplots(2, 1)
        _draw_time(time, what)
        _draw_spectra(power, what)
        with publish(path, overwrite=overwrite, roots=roots) as output:
            figure.savefig(output.file, format="png", metadata={"Software": None})


def _draw_time(axes: Any, what: BeforeAfter) -> None:
    start, stop = _stretch(what)
    t = np.arange(start, stop) / what.fs
    for signal, color, width, label in _pair(what):
        axes.plot(t, _first(signal)[start:stop], color=color, linewidth=width, label=label)
    axes.set_title(what.title)
    axes.set_xlabel("time (s)")
    axes.set_ylabel(f"{what.name} ({what.unit})" if what.unit else what.name)
    axes.set_xlim(start / what.fs, stop / what.fs)
    axes.margins(y=0.12)
    axes.legend(loc="upper right", ncols=2, bbox_to_anchor=(1.0, 1.14), borderaxespad=0)


def _draw_spectra(axes: Any, what: BeforeAfter) -> None:
    floor = np.inf
    for signal, color, width, label in _pair(what):
        frequency, power = spectrum(signal, what.fs)
        db = 10 * np.log10(np.maximum(power[1:], np.finfo(float).tiny))
        axes.plot(frequency[1:], db, color=color, linewidth=width, label=label)
        floor = min(floor, db.max() - 90)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, floor), high)
    unit = f"{what.unit}²/Hz" if what.unit else "1/Hz"
    axes.set_title("Spectra of the whole recording")
    axes.set_xlabel("frequency (Hz)")
    axes.set_ylabel(f"power density (dB re 1 {unit})")
    axes.set_xlim(0, what.fs / 2)
    if what.hum is not None:
        _mark_hum(axes, *what.hum)


def _mark_hum(axes: Any, frequency: float, before: float, after: float) -> None:
    axes.axvline(frequency, color=_MARK, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
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
        color=_MARK,
    )


def _first(signal: Any) -> Any:
    """The signal, or of a set of examples the first."""
    return np.reshape(signal, (-1, np.shape(signal)[-1]))[0]


def _stretch(what: BeforeAfter) -> tuple[int, int]:
    """First and last sample shown: as asked, or from the middle; at least two samples, and none that are not there."""
    length = np.shape(what.before)[-1]
    middle = length / what.fs / 2
    begin, end = what.seconds or (middle - _SPAN / 2, middle + _SPAN / 2)
    start = min(max(round(begin * what.fs), 0), max(length - 2, 0))
    return start, max(min(round(end * what.fs), length), start + 2)


def _pair(what: BeforeAfter) -> Sequence[tuple[Any, str, float, str]]:
    return ((what.before, _BEFORE, 1.0, "before"), (what.after, _AFTER, 1.6, "after"))
