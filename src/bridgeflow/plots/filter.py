"""What a filter does: magnitude, phase, group delay, zeros and poles, impulse response."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from bridgeflow.io import Roots
from bridgeflow.plots._picture import AFTER, BEFORE, MARK, TEXT, picture, publish_picture, require_matplotlib
from bridgeflow.signal import CausalFilter, Design, FirFilter, IirFilter, ZeroPhaseFilter
from bridgeflow.signal.response import (
    group_delay,
    half_power,
    impulse_response,
    phase_response,
    telling_frequencies,
)

__all__ = ["Curves", "draw_filter", "filter_curves"]

_RANGE = 100.0
"""Decibels below the top that are shown."""

_AUDIBLE = 0.1
"""Part of the largest gain above which a delay matters, so that the axis is chosen by what passes."""

_MOST_ZEROS = 256
"""Beyond this many, the roots of taps are slow to compute and cannot be distinguished."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """What a filter does, as numbers; the result of `filter_curves`.

    Args:
        frequency: [n], in Hz where the design has `fs`, else in cycles per sample; between 0 and fs/2.
        gain: [n], above or equal to 0.
        phase: [n], in radians.
        delay: [n], group delay in seconds where the design has `fs`, else in samples.
        impulse: [m], response to a single 1.
        origin: the index of `impulse` that stands at time 0.
        half_power: the frequencies where the gain crosses its largest value less 3 dB.
    """

    frequency: Any
    gain: Any
    phase: Any
    delay: Any
    impulse: Any
    origin: int
    half_power: tuple[float, ...]


def filter_curves(filter: CausalFilter | ZeroPhaseFilter) -> Curves:
    """The curves of a filter as it is applied: zero phase squares the gain of an IIR design and has no delay.

    `scale` and `offset` are left out: they are the unit's, not the filter's.
    """
    design = filter.design
    frequency = telling_frequencies(design)
    gain, phase = np.abs(design.response(frequency)), phase_response(design, frequency)
    delay, impulse, origin = group_delay(design, frequency), impulse_response(design), 0
    if isinstance(filter, ZeroPhaseFilter) and isinstance(design, FirFilter):  # runs once, its delay taken back
        origin = len(impulse) // 2
        phase = phase + frequency * (2 * np.pi * origin / (design.fs or 1.0))
        delay = np.zeros_like(delay)
    elif isinstance(filter, ZeroPhaseFilter):  # runs forwards and backwards
        gain, phase, delay = gain**2, np.zeros_like(phase), np.zeros_like(delay)
        origin = len(impulse) - 1
        impulse = _autocorrelation(impulse)
    crossings = tuple(half_power(frequency, gain))
    return Curves(
        frequency=frequency,
        gain=gain,
        phase=phase,
        delay=delay,
        impulse=impulse,
        origin=origin,
        half_power=crossings,
    )


def _autocorrelation(h: Any) -> Any:
    """`np.correlate(h, h, "full")`, by way of the spectrum, for long ones too."""
    length = 2 * len(h) - 1
    return np.roll(np.fft.irfft(np.abs(np.fft.rfft(h, length)) ** 2, length), len(h) - 1)


def draw_filter(
    filter: CausalFilter | ZeroPhaseFilter,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    roots: Roots = None,
) -> Curves:
    """Draw a filter as a PNG: magnitude, phase, group delay, zeros and poles, impulse response.

    Returns:
        the curves drawn.

    Raises:
        DataError: the file is not called .png, exists and may not be replaced, or lies outside the roots.
        MissingDependency: matplotlib cannot be imported.
    """
    require_matplotlib("the picture of a filter")
    curves = filter_curves(filter)
    with picture(11, 10) as (figure, png):
        axes = figure.subplot_mosaic([["gain", "gain"], ["phase", "delay"], ["plane", "impulse"]])
        figure.suptitle(_name(filter), x=0.012, ha="left", fontsize=13.5, fontweight="bold", parse_math=False)
        _draw_gain(axes["gain"], filter, curves)
        _draw_phase(axes["phase"], filter, curves)
        _draw_delay(axes["delay"], filter, curves)
        _draw_plane(axes["plane"], filter)
        _draw_impulse(axes["impulse"], filter, curves)
    publish_picture(png.getvalue(), path, overwrite=overwrite, roots=roots)
    return curves


def _name(filter: CausalFilter | ZeroPhaseFilter) -> str:
    """The design with those of its parameters that fit on a line."""
    design = filter.design
    words = [design.name]
    for field in fields(design):
        value = getattr(design, field.name)
        if field.name == "fs" or value is None or value == field.default:
            continue
        if isinstance(value, (bool, int, float, str)):
            words.append(f"{field.name} {_short(value)}")
        elif isinstance(value, tuple) and len(value) <= 4 and not any(isinstance(item, tuple) for item in value):
            words.append(f"{field.name} " + "\N{EN DASH}".join(map(_short, value)))
    words += [f"fs {design.fs:g} Hz"] if design.fs else []
    return ", ".join([*words, "zero phase" if isinstance(filter, ZeroPhaseFilter) else "causal"])


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _over_frequency(axes: Any, design: Design) -> None:
    """The frequency axis: logarithmic where the filter's life is far below fs/2."""
    nyquist = (design.fs or 1.0) / 2
    axes.set_xlabel("frequency (Hz)" if design.fs else "frequency (cycles per sample)")
    axes.set_xlim(0, nyquist)
    if isinstance(design, IirFilter):
        poles = design.poles[np.abs(design.poles) > 0]
        slowest = float(np.abs(np.log(poles)).min(initial=np.inf)) / np.pi * nyquist
        if slowest < nyquist / 40:
            axes.set_xscale("log")
            axes.set_xlim(slowest / 20, nyquist)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _remark(axes: Any, text: str, color: str) -> None:
    axes.set_title(text, loc="right", color=color, fontsize=10.5, fontweight="normal")


def _mark(axes: Any, curves: Curves) -> None:
    for frequency in curves.half_power if len(curves.half_power) <= 4 else ():
        axes.axvline(frequency, color=MARK, linewidth=1, linestyle=(0, (1, 2)), zorder=1)


def _draw_gain(axes: Any, filter: CausalFilter | ZeroPhaseFilter, curves: Curves) -> None:
    db = 20 * np.log10(np.maximum(curves.gain, 1e-30))
    axes.plot(curves.frequency, db, color=AFTER, linewidth=1.8)
    axes.set_title("Magnitude")
    axes.set_ylabel("gain (dB)")
    _over_frequency(axes, filter.design)
    low, high = axes.get_xlim()
    shown = db[(curves.frequency >= low) & (curves.frequency <= high)]
    height = max(min(float(np.ptp(shown)), _RANGE), 6.0)
    axes.set_ylim(shown.max() - 1.04 * height, shown.max() + 0.06 * height)
    if 0 < len(curves.half_power) <= 4:
        where = " and ".join(f"{frequency:.4g}" for frequency in curves.half_power)
        unit = " Hz" if filter.design.fs else ""
        _remark(axes, f"\N{MINUS SIGN}3 dB at {where}{unit}", MARK)
    _mark(axes, curves)


def _draw_phase(axes: Any, filter: CausalFilter | ZeroPhaseFilter, curves: Curves) -> None:
    degrees = np.degrees(curves.phase)
    axes.plot(curves.frequency, degrees, color=AFTER, linewidth=1.8)
    axes.set_title("Phase")
    axes.set_ylabel("phase (degrees)")
    low, high = float(degrees.min()), float(degrees.max())
    if high - low < 1500:
        axes.yaxis.set_major_locator(_multiples(45 if high - low < 300 else 90 if high - low < 700 else 180))
    axes.set_ylim(min(low, -45) - 15, max(high, 45) + 15)
    _over_frequency(axes, filter.design)
    _mark(axes, curves)


def _multiples(step: float) -> Any:
    from matplotlib.ticker import MultipleLocator

    return MultipleLocator(step)


def _draw_delay(axes: Any, filter: CausalFilter | ZeroPhaseFilter, curves: Curves) -> None:
    factor, unit = (1e3, "ms") if filter.design.fs else (1.0, "samples")
    delay = factor * curves.delay
    heard = (curves.gain >= _AUDIBLE * curves.gain.max()) | (not delay.any())
    axes.plot(curves.frequency, delay, color=BEFORE, linewidth=1.2)
    axes.plot(curves.frequency, np.where(heard, delay, np.nan), color=AFTER, linewidth=1.8)
    axes.set_title("Group delay")
    if not heard.all():
        _remark(axes, "grey: gain 20 dB down", BEFORE)
    axes.set_ylabel(f"delay ({unit})")
    _over_frequency(axes, filter.design)
    low, high = axes.get_xlim()
    shown = delay[heard & (curves.frequency >= low) & (curves.frequency <= high) & np.isfinite(delay)]
    bottom, top = min(0.0, shown.min(initial=0.0)), max(0.0, shown.max(initial=0.0))
    pad = 0.08 * (top - bottom) or 1.0
    axes.set_ylim(bottom - pad, top + pad)
    _mark(axes, curves)


def _draw_plane(axes: Any, filter: CausalFilter | ZeroPhaseFilter) -> None:
    zeros, poles, notes = _roots(filter.design)
    farthest = float(np.abs(zeros).max(initial=1.0))
    reach = 1.1 * farthest if 1.15 < farthest < 2 else 1.25
    turn = np.linspace(0, 2 * np.pi, 361)
    axes.plot(np.cos(turn), np.sin(turn), color=BEFORE, linewidth=1)
    ring: dict[str, Any] = {"fillstyle": "none", "markersize": 8, "markeredgewidth": 1.5}
    axes.plot(zeros.real, zeros.imag, "o", color=AFTER, label="zeros", **ring)
    axes.plot(poles.real, poles.imag, "x", color=MARK, label="poles", **ring)
    for points, offset, color in ((zeros, (7, 6), AFTER), (poles, (7, -13), MARK)):
        for place, count in Counter(np.round(points, 3).tolist()).items():
            if count > 1 and max(abs(place.real), abs(place.imag)) <= reach:
                where = (place.real, place.imag)
                axes.annotate(f"{count}", where, offset, textcoords="offset points", color=color, fontsize=9.5)
    beyond = int((np.maximum(np.abs(zeros.real), np.abs(zeros.imag)) > reach).sum())
    notes += [f"{beyond} {'zeros' if beyond > 1 else 'zero'}\nfarther out"] if beyond else []
    axes.set_title("Zeros and poles")
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    axes.set(xlabel="real part", ylabel="imaginary part")
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    axes.annotate("\n\n".join(notes), (1.06, 0.02), xycoords="axes fraction", va="bottom", color=BEFORE)


def _roots(design: Design) -> tuple[Any, Any, list[str]]:
    """Zeros and poles but for those at the origin that cancel, and words about them."""
    if isinstance(design, IirFilter):
        return *_cancelled(design.zeros, design.poles), [f"largest radius\nof a pole:\n{design.pole_radius:.6g}"]
    assert isinstance(design, FirFilter)
    taps = design.taps
    poles = np.zeros(len(taps) - 1, dtype=np.complex128)
    if len(taps) > _MOST_ZEROS:
        return np.zeros(0, dtype=np.complex128), poles, [f"{len(taps) - 1:,} zeros,\nnot drawn"]
    return *_cancelled(np.roots(taps).astype(np.complex128), poles), []


def _cancelled(zeros: Any, poles: Any) -> tuple[Any, Any]:
    both = min(int((zeros == 0).sum()), int((poles == 0).sum()))
    left, right = (np.concatenate([roots[roots != 0], roots[roots == 0][both:]]) for roots in (zeros, poles))
    return left, right


def _draw_impulse(axes: Any, filter: CausalFilter | ZeroPhaseFilter, curves: Curves) -> None:
    h, fs = curves.impulse, filter.design.fs
    t = (np.arange(len(h)) - curves.origin) / (fs or 1.0)
    if len(h) <= 64:
        axes.vlines(t, 0, h, color=AFTER, linewidth=1.4)
        axes.plot(t, h, "o", color=AFTER, markersize=3.5)
    else:
        axes.plot(t, h, color=AFTER, linewidth=1.5)
    axes.axhline(0, color=TEXT, linewidth=0.8, zorder=1)
    axes.set_title("Impulse response")
    axes.set_xlabel("time (s)" if fs else "time (samples)")
    axes.set_ylabel("value")
    axes.margins(x=0.02, y=0.1)
    highest = int(np.abs(h).argmax())
    rest = np.delete(h, highest)
    if len(rest) and 0 < np.abs(rest).max() < abs(h[highest]) / 5:  # one sample, which would flatten the others
        low, high = min(rest.min(), 0.0), max(rest.max(), 0.0)
        axes.set_ylim(low - 0.35 * (high - low), high + 0.35 * (high - low))
        axes.annotate(
            f"{h[highest]:.4g} at {t[highest]:g}".replace("-", "\N{MINUS SIGN}"),
            (t[highest], 0.98 if h[highest] > 0 else 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(8, 0),
            textcoords="offset points",
            va="top" if h[highest] > 0 else "bottom",
            color=MARK,
        )
