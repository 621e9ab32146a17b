"""Work in the background while the main thread handles signals, which it could not do within a long call."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Condition, Event, Thread
from time import monotonic
from typing import Any, Final

from bridgeflow.io.commit import abandon

__all__ = ["GRACE", "CancelToken", "Cancelled", "MemoryBudget", "WorkLeftRunning", "run_interruptibly"]

GRACE: Final = 1.2
"""Seconds that work has to end after it was asked to, before it is left running."""

_TICK: Final = 0.05


class Cancelled(Exception):
    """Raised within work that was asked to end; never leaves `run_interruptibly`."""


class WorkLeftRunning(Exception):
    """The cause (`__cause__`) of what interrupted `run_interruptibly`, where work did not end in time.

    The process should then end without waiting for it.
    """


class CancelToken:
    """Asks work in progress to end."""

    def __init__(self) -> None:
        self._event = Event()

    def set(self) -> None:
        """Ask all work that checks the token to end."""
        self._event.set()

    def check(self) -> None:
        """Raise `Cancelled` where the work is to end; to be called between pieces of it."""
        if self._event.is_set():
            raise Cancelled


class MemoryBudget:
    """A budget that work on several threads shares: work that needs more than is left waits for the rest.

    Args:
        nbytes: the budget. Work that asks for more than all of it runs alone.
    """

    def __init__(self, nbytes: int) -> None:
        self._left = nbytes
        self._users = 0
        self._changed = Condition()

    @contextmanager
    def of(self, nbytes: int, check: Callable[[], None]) -> Iterator[None]:
        """Have `nbytes` of it while the block runs; `check` may end the wait by raising."""
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
            running, and what it was writing is removed; the exception's cause is then a `WorkLeftRunning`.
    """
    errors: list[BaseException | None] = [None] * len(works)
    # What interrupts the wait may be raised between any two steps of a wait that is written in Python, as those of
    # Thread, Event and Condition are, and leave their locks wrong; SimpleQueue.get is one step.
    ended: SimpleQueue[int] = SimpleQueue()
    waiting = set(range(len(works)))

    def run(number: int, work: Callable[[], None]) -> None:
        try:
            work()
        except Cancelled:
            pass
        except BaseException as error:
            errors[number] = error
            cancel.set()
        finally:
            ended.put(number)

    threads = [
        Thread(
            target=contextvars.copy_context().run, args=(run, number, work), daemon=True, name=f"bridgeflow-{number}"
        )
        for number, work in enumerate(works)
    ]
    try:
        for thread in threads:
            thread.start()
        while waiting:
            try:
                waiting.discard(ended.get(timeout=_TICK))
            except Empty:
                if tick is not None:
                    tick()
    except BaseException as error:
        cancel.set()
        end = monotonic() + GRACE
        waiting = {number for number in waiting if threads[number].ident is not None}
        while waiting and end > monotonic():
            with suppress(Empty):
                waiting.discard(ended.get(timeout=max(end - monotonic(), 0)))
        if waiting:
            abandon()
            raise error from WorkLeftRunning(f"work did not end within {GRACE:g} s and was left running")
        raise
    failed: Any = next((error for error in errors if error is not None), None)
    if failed is not None:
        raise failed
