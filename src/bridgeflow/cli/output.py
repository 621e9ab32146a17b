"""What commands print: results as lines for people and as JSON for machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridgeflow.cli.console import echo, echo_json
from bridgeflow.errors import StageId, printable

if TYPE_CHECKING:
    from bridgeflow.engines.local import Result
    from bridgeflow.engines.shards import ShardsResult
    from bridgeflow.pipeline.job import Job
    from bridgeflow.pipeline.job_base import BaseJob

__all__ = [
    "duration",
    "number_of",
    "run_facts",
    "run_lines",
    "say",
    "shards_facts",
    "shards_lines",
    "shown_path",
    "step_name",
]


def say(as_json: bool, facts: dict[str, Any], lines: Sequence[tuple[str, str]]) -> None:
    """The same for machines, for a terminal, and for a pipe."""
    if as_json:
        echo_json(facts)
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for label, text in lines:
            table.add_row(Text(printable(label), style="bold"), Text(printable(text, 2_000)))
        Console().print(table)
    else:
        width = max(len(label) for label, _ in lines) + 2
        for label, text in lines:
            echo(f"{label:<{width}}{text}".rstrip())


# --- results ---


def run_facts(job: Job, result: Result, picture: Path | None) -> dict[str, Any]:
    """What a run did, for machines."""
    from dataclasses import asdict

    return {
        "ok": True,
        "source": str(job.source_path.resolve()),
        "rows": result.rows,
        "samples": result.samples,
        "fs": result.fs,
        "seconds": result.seconds,
        "samples_per_second": result.rate,
        "took": {str(step): seconds for step, seconds in result.took.items()},
        "crossings": result.crossings,
        "copies": [asdict(copy) for copy in result.copies],
        "hum": None if result.hum is None else asdict(result.hum),
        "sink": {**asdict(result.receipt), "path": str(result.receipt.path), "rows": result.rows_written},
        "without_rows": int(not result.rows_written),
        "chunks": result.chunks,
        "saturated": result.saturated,
        "beyond_full_scale": result.beyond,
        "picture": None if picture is None else str(picture),
    }


def run_lines(job: Job, result: Result, picture: Path | None) -> list[tuple[str, str]]:
    """What a run did, for people: labels and texts."""
    long = "" if result.fs is None else f", {duration(result.seconds or 0)} at {result.fs:g} Hz"
    took = ", ".join(f"{step_name(step)} {seconds:.2f}" for step, seconds in result.took.items())
    lines = [
        ("read", f"{shown_path(job.source_path)}: {result.samples:,} samples{long}"),
        ("time", f"{sum(result.took.values()):.2f} s ({took}): {result.rate:,.0f} samples/s"),
        *_copy_lines(result),
    ]
    if result.hum is not None:
        frequency, before, after = result.hum.frequency, result.hum.before_db, result.hum.after_db
        change = f"{abs(before - after):.1f} dB {'less' if after <= before else 'more'}"
        lines.append(
            (
                "hum",
                f"{frequency:g} Hz against its neighbours: {before:+.1f} dB before, {after:+.1f} dB after: {change}",
            )
        )
    lines.append(
        (
            "wrote",
            f"{shown_path(result.receipt.path)}: {result.receipt.nbytes:,} bytes, SHA-256 {result.receipt.sha256[:12]}",
        )
    )
    lines += empty_lines(int(not result.rows_written))
    lines += _saturated_lines(result.saturated, result.beyond)
    if picture is not None:
        lines.append(("picture", shown_path(picture)))
    return lines


def empty_lines(recordings: int) -> list[tuple[str, str]]:
    """That recordings give no rows, where some do not."""
    if not recordings:
        return []
    return [("empty", f"{number_of(recordings, 'recording')} gave no rows, being too short for a window or a slice")]


def _saturated_lines(saturated: int, beyond: int) -> list[tuple[str, str]]:
    lines = []
    if saturated:
        lines.append(("saturated", f"{saturated:,} values out of the range of the sink's dtype"))
    if beyond:
        lines.append(("beyond", f"{beyond:,} samples beyond full scale (1.0), which players clip"))
    return lines


def shards_facts(job: BaseJob, result: ShardsResult) -> dict[str, Any]:
    """What a run that writes shards did, for machines."""
    return {
        "ok": True,
        "source": str(job.source_path.resolve()),
        "recordings": result.recordings,
        "without_rows": result.without_rows,
        "rows": result.rows_in,
        "sink": {"path": str(result.path), "rows": result.rows, "nbytes": result.nbytes, "digest": result.digest},
        "shards": len(result.shards),
        "written": result.written,
        "kept": result.kept,
        "saturated": result.saturated,
        "beyond_full_scale": result.beyond,
        "seconds": result.took,
        "was_complete": result.was_complete,
    }


def shards_lines(job: BaseJob, result: ShardsResult) -> list[tuple[str, str]]:
    """What a run that writes shards did, for people."""
    kept = f", {result.kept:,} of them by an earlier run" if result.kept else ""
    if result.was_complete:
        kept = ", all of them there already: nothing was touched"
    return [
        (
            "read",
            f"{shown_path(job.source_path)}: {number_of(result.recordings, 'recording')}, {result.rows_in:,} rows",
        ),
        ("time", f"{result.took:.2f} s: {result.rows_in / max(result.took, 1e-9):,.0f} rows/s"),
        ("wrote", f"{shown_path(result.path)}: {number_of(len(result.shards), 'shard')}{kept}"),
        ("", f"{result.rows:,} rows, {result.nbytes:,} bytes, job {result.digest[:8]}"),
        *empty_lines(result.without_rows),
        *_saturated_lines(result.saturated, result.beyond),
    ]


def _copy_lines(result: Result) -> list[tuple[str, str]]:
    """The copies of crossings, or that there are none."""
    if not result.crossings:
        return [("copies", "none")]
    if not result.copies:
        return [("copies", f"none: all {result.crossings} crossings between Arrow, NumPy and torch shared memory")]
    total = sum(copy.nbytes or 0 for copy in result.copies)
    head = f"{len(result.copies)} of {result.crossings} crossings, {total:,} bytes"
    each = [
        f"{copy.stage}, {copy.place}: {copy.action} of {copy.nbytes or 0:,} bytes; {copy.why}" for copy in result.copies
    ]
    return [("copies", head), *(("", line) for line in each)]


# --- words ---


def duration(seconds: float) -> str:
    """A length of time for people.

    >>> duration(300), duration(3725.5), duration(0.25)
    ('5 min', '1 h 2 min 5.5 s', '0.25 s')
    """
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{value:g} {unit}" for value, unit in ((hours, "h"), (minutes, "min"), (round(rest, 3), "s")) if value]
    return " ".join(parts) or "0 s"


def step_name(step: StageId | str) -> str:
    """The name of a step, of a stage without its number."""
    return step if isinstance(step, str) else step.name


def shown_path(path: Path | str) -> str:
    """A path as messages show it."""
    from bridgeflow.io import shown

    return shown(path)


def number_of(count: int, what: str) -> str:
    """A count with its noun.

    >>> number_of(1, "shard"), number_of(2000, "shard")
    ('1 shard', '2,000 shards')
    """
    return f"{count:,} {what}" + ("" if count == 1 else "s")
