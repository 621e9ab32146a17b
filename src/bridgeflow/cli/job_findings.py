"""What `bridgeflow doctor CONFIG` says of a job or a pipeline: filters that do not fit, stages and workers at odds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bridgeflow.cli.output import shown_path
from bridgeflow.doctor import Finding

if TYPE_CHECKING:
    from bridgeflow.pipeline.compose import Compose
    from bridgeflow.signal.design import Design
    from bridgeflow.transforms import SignalFilter, Window

__all__ = ["examine_file", "examine_stages", "examine_workers"]

_LEAST_ERROR = 1e-3
"""A relative error of a filter's response in float32 from which on it is reported."""


def examine_file(
    file: Path, overrides: Sequence[str], roots: Sequence[Path] | None, plugins: Sequence[str]
) -> list[Finding]:
    """Look at the stages of a job, or at the stages and the loaders of a pipeline.

    Raises:
        BridgeflowError: the file is neither.
    """
    from bridgeflow.config import is_pipeline, load_job, load_pipeline
    from bridgeflow.pipeline.recordings_source import RecordingsSource

    if not is_pipeline(file, overrides):
        findings = examine_stages(load_job(file, roots=roots, overrides=overrides, plugins=plugins).transform)
    else:
        pipeline = load_pipeline(file, roots=roots, overrides=overrides, plugins=plugins)
        loader = pipeline.loader
        findings = examine_stages(
            pipeline.transform,
            rows=not any(isinstance(one, RecordingsSource) for one in pipeline.sources.values()),
            shuffled=loader.shuffle is not False or pipeline.sampler is not None,
        )
        findings += examine_workers(loader.num_workers, loader.threads, loader.multiprocessing_context, loader.device)
    return findings or [Finding("configuration", f"{shown_path(file)}: nothing that may hurt")]


def examine_stages(transform: Compose, *, rows: bool = False, shuffled: bool = False) -> list[Finding]:
    """Look for filters that do not fit what they are given.

    Args:
        transform: all stages.
        rows: whether each row of a file goes through by itself, whatever stands before it.
        shuffled: whether rows come in random order.
    """
    from bridgeflow.transforms import Decimate, Resample, RunningStandardize, SignalFilter, Window

    findings: list[Finding] = []
    window: Window | None = None
    alone = rows
    for label, stage in transform.row:
        if isinstance(stage, Window):
            window, alone = stage, True
        if isinstance(stage, (Resample, Decimate)):
            window = None  # whose samples are others now
        if isinstance(stage, RunningStandardize) and shuffled and alone:
            what = "each row begins without what came before it, and shuffled rows do not follow each other"
            remedy = "put it before Window, over recordings; or use Standardize, which needs one row only"
            findings.append(Finding(str(label), what, "note", remedy))
        if isinstance(stage, SignalFilter):
            findings += _of_filter(str(label), stage, window, alone=alone, shuffled=shuffled)
    return findings


def _of_filter(
    label: str, stage: SignalFilter, window: Window | None, *, alone: bool, shuffled: bool
) -> Iterator[Finding]:
    """What does not fit about one filter."""
    ringing = _ringing(stage.designed) if alone else 0
    length = None if window is None else _samples(window, stage.fs)
    if length is not None and ringing >= length:
        value = f"rings for {ringing:,} samples, and a window has {length:,}"
        remedy = "put it before Window, where it sees the whole recording; or choose a lower order or a wider band"
        yield Finding(label, value, "note", remedy)
    elif alone and shuffled and stage.mode == "causal" and stage.initial == "zero":
        value = "starts from silence in every row, and shuffled rows do not follow each other"
        remedy = "put it before Window, over recordings; or give mode: zero_phase or initial: steady"
        yield Finding(label, value, "note", remedy)
    if stage.precision == "float32" and (error := _float32_error(stage.designed)) >= _LEAST_ERROR:
        size = "is unstable" if error == float("inf") else f"is off by {100 * error:.2g} %"
        remedy = "leave precision at float64 (results stay float32), or choose a lower order or a wider band"
        yield Finding(label, f"its response {size} when its recursion runs in float32", "note", remedy)


def _samples(window: Window, fs: float | None) -> int | None:
    """The length of a window, where the rate that a duration needs is known."""
    return None if fs is None and isinstance(window.length, str) else window.framing(fs).length


def _ringing(design: Design) -> int:
    """Samples until a thousandth is left of what an edge sets ringing: by the slowest pole, or all taps."""
    from bridgeflow.signal.design import FirFilter, IirFilter

    if isinstance(design, FirFilter):
        return len(design.taps)
    radius = design.pole_radius if isinstance(design, IirFilter) else 0.0
    return math.ceil(math.log(1e-3) / math.log(radius)) if radius else 0


def _float32_error(design: Design) -> float:
    """How far the frequency response moves where the sections are rounded to float32, relative to its largest gain.

    This is what rounding the coefficients alone does, the least error: the recursion's own rounding comes on top.
    """
    import numpy as np
    from scipy import signal

    from bridgeflow.signal.design import IirFilter

    if not isinstance(design, IirFilter):
        return 0.0
    sos = design.sos
    rounded = sos.astype(np.float32).astype(np.float64)
    poles = np.concatenate([np.roots(section[3:]) for section in rounded])
    if len(poles) and np.abs(poles).max() >= 1:
        return float("inf")
    poles = design.poles
    grid = np.union1d(np.linspace(0, np.pi, 2048), np.abs(np.angle(poles)))
    _, exact = signal.sosfreqz(sos, grid)
    _, response = signal.sosfreqz(rounded, grid)
    return float(np.abs(response - exact).max() / max(np.abs(exact).max(), 1e-300))


def examine_workers(num_workers: int, threads: int | None, method: str, device: str | None) -> list[Finding]:
    """Look at how a loader computes: more threads than cores, and processes forked where CUDA is in use."""
    from bridgeflow._threads import usable_cores

    findings = []
    cores = usable_cores()
    if num_workers:
        if num_workers > cores:
            value = f"{num_workers} workers on {cores} usable cores"
            findings.append(Finding("loader", value, "note", f"num_workers: {cores}, or fewer"))
        if method == "fork" and device is not None and device.startswith("cuda"):
            value = f"workers are forked, and batches go to {device}"
            remedy = "multiprocessing_context: forkserver or spawn; a forked process cannot use CUDA"
            findings.append(Finding("loader", value, "note", remedy))
    elif threads is not None and threads > cores:
        value = f"{threads} threads on {cores} usable cores"
        findings.append(Finding("loader", value, "note", f"threads: {cores}, or leave it out"))
    return findings
