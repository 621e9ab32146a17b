"""What the races said: a table for the terminal, the same table as Markdown, and the machine it holds for."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.table import Table
from rich.text import Text

from benchmarks.harness import Benchmark, Outcome, Race

__all__ = ["Row", "machine", "markdown", "rows", "skipped", "table"]

HEADINGS = ("who", "median", "best", "per unit", "ours is", "promised", "kept")
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pyarrow", "monai", "philtorch", "datasets", "ray")


ABOUT = """\
Times are per call. Contestants take turns within one run, one thread each unless a title says otherwise; a ratio is the
median, over the quieter half of the rounds, of the ratios within a round. `make bench` writes this page. A promise that
was not kept stands as **NO**."""


@dataclass(frozen=True)
class Row:
    """One contestant's line; `kept` is `None` where nothing was promised."""

    who: str
    median: str = ""
    best: str = ""
    per_unit: str = ""
    ours_is: str = ""
    promised: str = ""
    kept: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """The texts under `HEADINGS`."""
        kept = {None: "", True: "yes", False: "NO"}[self.kept]
        return (self.who, self.median, self.best, self.per_unit, self.ours_is, self.promised, kept)


def rows(outcome: Outcome) -> list[Row]:
    """Ours first, then each peer with how much faster or slower ours is. Losses are shown as they are."""
    race = outcome.race
    limit = race.limit
    lines = [
        Row(
            "**bridgeflow**",
            *_measured(outcome.ours, race),
            promised="" if limit is None else f"<= {_amount(limit, race)}",
            kept=None if limit is None else statistics.median(outcome.ours) <= limit,
        )
    ]
    for peer, times in outcome.peers.items():
        speedup = outcome.speedup(peer)
        target = race.targets.get(peer)
        better, its = ("faster", "time") if race.unit == "s" else ("less", "memory")
        words = f"{_number(speedup)}x {better}" if speedup >= 1 else f"{_number(1 / speedup)}x its {its}"
        promised, kept = ("", None) if target is None else (target.words, target.met(speedup))
        lines.append(Row(peer, *_measured(times, race), words, promised, kept))
    return lines


def skipped(why: object) -> list[Row]:
    """The line of a benchmark whose peer is missing."""
    return [Row(f"skipped: {why}")]


def table(benchmark: Benchmark, lines: Sequence[Row]) -> Table:
    """One benchmark for the terminal."""
    shown = Table(title=benchmark.title, title_justify="left", title_style="bold", expand=False)
    for heading in HEADINGS:
        shown.add_column(heading, justify="left" if heading in ("who", "promised") else "right", no_wrap=True)
    for line in lines:
        style = {None: "", True: "green", False: "red"}[line.kept]
        shown.add_row(*(Text(cell.strip("*"), style=style) for cell in line.cells()))
    return shown


def markdown(results: Sequence[tuple[Benchmark, Sequence[Row]]]) -> str:
    """All benchmarks as a page."""
    lines = ["# Measured", "", *(f"- {line}" for line in machine()), ""]
    lines.append(ABOUT)
    for benchmark, entries in results:
        lines += ["", f"## {benchmark.title}", "", f"`benchmarks/{benchmark.module.replace('.', '/')}.py`", ""]
        lines += ["| " + " | ".join(HEADINGS) + " |", "| --- | ---: | ---: | ---: | ---: | --- | --- |"]
        lines += ["| " + " | ".join(cell.replace("NO", "**NO**") for cell in entry.cells()) + " |" for entry in entries]
    return "\n".join(lines) + "\n"


def machine() -> list[str]:
    """What the numbers hold for."""
    packages = []
    for name in PACKAGES:
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return [
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}, {', '.join(packages)}",
    ]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def _measured(values: Sequence[float], race: Race) -> tuple[str, str, str]:
    median = statistics.median(values)
    per_unit = "" if race.work is None else f"{_number(median * 1e9 / race.work[0])} ns/{race.work[1]}"
    return _amount(median, race), _amount(min(values), race), per_unit


def _amount(value: float, race: Race) -> str:
    return _seconds(value) if race.unit == "s" else f"{_number(value / 2**20)} MiB"


def _seconds(seconds: float) -> str:
    for scale, unit in ((1e-6, "ns"), (1e-3, "us"), (1.0, "ms")):
        if seconds < scale:
            return f"{_number(seconds / scale * 1e3)} {unit}"
    return f"{_number(seconds)} s"


def _number(value: float) -> str:
    """Three digits, and no powers of ten."""
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"
