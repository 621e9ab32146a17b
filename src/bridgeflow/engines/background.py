"""Work in the background while the main thread attends to signals, which it could not do within a long call."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Condition, Event, Thread
from time import monotonic
from typing import Any, Final

from bridgeflow.io.commit import abandon

__all__ = ["GRACE", "CancelToken", "Cancelled", "MemoryBudget", "run_interruptibly", "was_left_running"]

GRACE: Final = 1.2
"""Seconds that work has to end once it was told to, before it is left where it is."""

_TICK: Final = 0.05
_LEFT: Final = "bridgeflow: work was left running"


class Cancelled(Exception):
    """Raised within work that was told to end; never leaves `run_interruptibly`."""


class CancelToken:
    """Says to work in progress that it is to end."""

    def __init__(self) -> None:
        self._event = Event()

    def set(self) -> None:
        """Tell all who ask."""
        self._event.set()

    def check(self) -> None:
        """Raise `Cancelled` where the work is to end; to be called between pieces of it."""
        if self._event.is_set():
            raise Cancelled


class MemoryBudget:
    """A budget that work on several threads shares: who needs more than is left waits for the others.

    Args:
        nbytes: the budget. Who asks for more than all of it works alone.
    """

    def __init__(self, nbytes: int) -> None:
        self._left = nbytes
        self._users = 0
        self._changed = Condition()

    @contextmanager
    def of(self, nbytes: int, check: Callable[[], None]) -> Iterator[None]:
        """Have so many bytes of it while the block runs; `check` may end the wait by raising."""
        with self._changed:
            while self._users and nbytes > self._left:
                self._changed.wait(_TICK)
                check()
            self._users += 1
            self._left -= nbytes
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._left += nbytes
                self._changed.notify_all()


def run_interruptibly(
    works: Sequence[Callable[[], None]], cancel: CancelToken, *, tick: Callable[[], None] | None = None
) -> None:
    """Run functions side by side, each in a thread of its own, and wait for all of them.

    Args:
        works: the functions; they call `cancel.check()` between pieces of their work.
        cancel: set as soon as one of them fails, or the wait is interrupted.
        tick: called now and then while waiting.

    Raises:
        Exception: of the functions that failed, the first one's in their order.
        BaseException: what interrupted the wait (`KeyboardInterrupt`). Work that has not ended after a second is left
            running, and what it was writing is removed; `was_left_running` then says so, and the process should end
            without waiting for it.
    """
    errors: list[BaseException | None] = [None] * len(works)
    ended = [Event() for _ in works]  # Python 3.11 takes a thread for ended whose join() was interrupted

    def run(number: int, work: Callable[[], None]) -> None:
        try:
            work()
        except Cancelled:
            pass
        except BaseException as error:
            errors[number] = error
            cancel.set()
        finally:
            ended[number].set()

    threads = [
        Thread(
            target=contextvars.copy_context().run, args=(run, number, work), daemon=True, name=f"bridgeflow-{number}"
        )
        for number, work in enumerate(works)
    ]
    try:
        for thread in threads:
            thread.start()
        for event in ended:
            while not event.wait(_TICK):
                if tick is not None:
                    tick()
    except BaseException as error:
        cancel.set()
        end = monotonic() + GRACE
        begun = [event for thread, event in zip(threads, ended, strict=True) if thread.ident is not None]
        if not all(event.wait(max(end - monotonic(), 0)) for event in begun):
            abandon()
            error.__notes__ = [*getattr(error, "__notes__", ()), _LEFT]  # type: ignore[attr-defined, unused-ignore]
        raise
    failed: Any = next((error for error in errors if error is not None), None)
    if failed is not None:
        raise failed


def was_left_running(error: BaseException) -> bool:
    """Whether work goes on although its `run_interruptibly` was interrupted by this."""
    return _LEFT in getattr(error, "__notes__", ())
