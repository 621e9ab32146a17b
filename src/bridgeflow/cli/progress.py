"""Progress on standard error: a bar on a terminal, lines otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from bridgeflow.cli.console import echo_progress
from bridgeflow.cli.output import duration, number_of, step_name
from bridgeflow.errors import StageId, printable

if TYPE_CHECKING:
    from bridgeflow.engines.local import OnStep
    from bridgeflow.engines.shards import OnProgress, Progress

__all__ = ["progress_words", "show_counts", "show_progress", "show_steps"]


@contextmanager
def show_steps(*, quiet: bool) -> Iterator[OnStep]:
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
def show_progress(*, quiet: bool) -> Iterator[OnProgress]:
    """A bar with rate and time left on a terminal, a line every few seconds otherwise; on standard error."""
    if quiet:
        yield lambda progress: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("")
            yield lambda progress: bar.update(
                task, description=progress_words(progress), completed=progress.done, total=max(progress.total, 1)
            )
    else:
        yield _Lines()


@contextmanager
def show_counts(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, a line every few seconds otherwise, for what is done, how much of it, and of how much."""
    if quiet:
        yield lambda label, done, total: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import Progress as Bar

        with Bar(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("")
            yield lambda label, done, total: bar.update(
                task, description=escape(printable(label, 60)), completed=done, total=max(total, 1)
            )
    else:
        began, after = monotonic(), [2.0]

        def show(label: str, done: int, total: int) -> None:
            passed = monotonic() - began
            if passed >= after[0]:
                after[0] = max(passed * 1.5, passed + 5)
                left = passed * (total - done) / max(done, 1)
                echo_progress(f"[{100 * done / max(total, 1):.0f} %] {label}, {duration(round(left))} left")

        yield show


class _Lines:
    """Progress as lines: the first after two seconds, then at growing intervals."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._next = 2.0

    def __call__(self, progress: Progress) -> None:
        passed = monotonic() - self._began
        if passed >= self._next or progress.recordings == progress.of:
            self._next = max(passed * 1.5, passed + 5)
            percent = 100 * progress.done / max(progress.total, 1)
            echo_progress(f"[{percent:.0f} %] {progress_words(progress)}")


def progress_words(progress: Progress) -> str:
    """Recordings done, rate, and time left."""
    rate = f", {progress.rate / 2**20:,.1f} MiB/s" if progress.rate else ""
    is_over = progress.left is None or progress.recordings == progress.of
    left = "" if is_over else f", {duration(round(progress.left or 0))} left"
    return f"{progress.recordings:,} of {number_of(progress.of, 'recording')}{rate}{left}"
