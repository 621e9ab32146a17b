"""`Prefetcher`: results that threads make before they are asked for, in the order of their tasks.

What lies between a task and its result is one queue and one lock each, both of them C: with a `ThreadPoolExecutor` a
batch cost 20 to 80 us more, most of it while the threads that could make the next ones waited for the interpreter.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from typing import Any

from bridgeflow._threads import share_threads

__all__ = ["Prefetcher"]


class Prefetcher(Iterator[Any]):
    """What `function` makes of `tasks`, in their order, by threads that run ahead.

    An error comes in the place of its result, and ends the iteration. The threads end with the last result, with
    `close()`, and when the iterator is dropped.

    Args:
        function: called by several threads at a time if `threads` is more than 1.
        tasks: asked for in the thread that iterates.
        threads: how many.
        size: results that are under way or ready at most.
    """

    def __init__(self, function: Callable[[Any], Any], tasks: Iterator[Any], *, threads: int, size: int) -> None:
        self._tasks = tasks
        self._size = size
        self._places: deque[_Place] = deque()
        self._queue: SimpleQueue[_Place | None] = SimpleQueue()
        # Daemons, because the interpreter waits for others before it calls what could end them.
        workers = [
            Thread(target=_work, args=(function, self._queue, threads), name=f"bridgeflow-loader_{number}", daemon=True)
            for number in range(threads)
        ]
        self._end = weakref.finalize(self, _stop, self._queue, self._places, workers)
        for worker in workers:
            worker.start()
        self._fill()

    def __next__(self) -> Any:
        if not self._places:
            self.close()
            raise StopIteration
        try:
            result = self._places.popleft().taken()
            self._fill()
        except StopIteration as error:  # which would look like the end
            self.close()
            raise RuntimeError("StopIteration was raised while a batch was made") from error
        except BaseException:
            self.close()
            raise
        return result

    def close(self) -> None:
        """End the threads, when they have made what they are at; nothing comes after it."""
        self._end()

    def _fill(self) -> None:
        while len(self._places) < self._size and self._end.alive:
            try:
                task = next(self._tasks)
            except StopIteration:
                return
            place = _Place(task)
            self._places.append(place)
            self._queue.put(place)


class _Place:
    """A task, and later its result or error."""

    __slots__ = ("_content", "_failed", "_ready")

    def __init__(self, task: Any) -> None:
        self._content = task
        self._failed = False
        self._ready = Lock()
        self._ready.acquire()

    def fill(self, function: Callable[[Any], Any]) -> None:
        """Make the result."""
        try:
            self._content = function(self._content)
        except BaseException as error:
            self._content, self._failed = error, True
        finally:
            self._ready.release()

    def taken(self) -> Any:
        """Wait for the result, or raise the error."""
        self._ready.acquire()
        content, self._content = self._content, None
        if not self._failed:
            return content
        try:
            raise content
        finally:
            del content  # whose traceback holds this frame


def _work(function: Callable[[Any], Any], queue: SimpleQueue[_Place | None], threads: int) -> None:
    share_threads(threads)
    while (place := queue.get()) is not None:
        place.fill(function)
        del place  # whose result is not to live until the next task comes


def _stop(queue: SimpleQueue[_Place | None], places: deque[_Place], workers: Sequence[Thread]) -> None:
    places.clear()
    try:
        while True:
            queue.get_nowait()
    except Empty:
        pass
    for _ in workers:
        queue.put(None)
    for worker in workers:
        if worker is not current_thread():  # the garbage collector may run in any
            worker.join()
