"""Progress on standard error: a bar on a terminal, lines otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from bridgeflow.cli.console import echo_progress
from bridgeflow.cli.output import duration, number_of, step_name
from bridgeflow.errors import StageId

if TYPE_CHECKING:
    from bridgeflow.engines.local import Progress
    from bridgeflow.engines.shards import Moving, Watch

__all__ = ["progress_bar", "progress_words", "watching"]


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress]:
    """A bar on a terminal, a line for each step otherwise; on standard error, so that the summary can be piped."""
    if quiet:
        yield lambda name, number, total: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress as Bar

        with Bar(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("")

            def show(step: StageId | str, number: int, total: int) -> None:
                bar.update(task, description=step_name(step), completed=number, total=total)

            yield show
    else:

        def print_step(step: StageId | str, number: int, total: int) -> None:
            if step:
                echo_progress(f"[{number + 1}/{total}] {step_name(step)}")

        yield print_step


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watch]:
    """A bar with rate and time left on a terminal, a line every few seconds otherwise; on standard error."""
    if quiet:
        yield lambda moving: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("")
            yield lambda moving: bar.update(
                task, description=progress_words(moving), completed=moving.done, total=max(moving.total, 1)
            )
    else:
        yield _Lines()


class _Lines:
    """Progress as lines: the first after two seconds, then as the work goes on, ever more rarely."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._next = 2.0

    def __call__(self, moving: Moving) -> None:
        passed = monotonic() - self._began
        if passed >= self._next or moving.recordings == moving.of:
            self._next = max(passed * 1.5, passed + 5)
            percent = 100 * moving.done / max(moving.total, 1)
            echo_progress(f"[{percent:.0f} %] {progress_words(moving)}")


def progress_words(moving: Moving) -> str:
    """Recordings done, rate, and time left."""
    rate = f", {moving.rate / 2**20:,.1f} MiB/s" if moving.rate else ""
    left = "" if moving.left is None or moving.recordings == moving.of else f", {duration(round(moving.left))} left"
    return f"{moving.recordings:,} of {number_of(moving.of, 'recording')}{rate}{left}"
