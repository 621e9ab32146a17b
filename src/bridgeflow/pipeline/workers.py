"""Worker processes that make batches, and the one process that coordinates them.

The parent knows everything: which worker works on which task, and who may use which slot of the ring. So nothing is
locked between processes, and a worker may die at any moment: its tasks go to another one, its slots are still known.
"""

from __future__ import annotations

import os
import pickle
import reprlib
import select
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import count
from types import TracebackType
from typing import Any, NoReturn

from bridgeflow.errors import BridgeflowError
from bridgeflow.memory import Descriptor, Packed, Ring, require_shared_memory, unpack
from bridgeflow.pipeline.worker import Done, Failed, Ready
from bridgeflow.pipeline.worker_process import (
    StartMethod,
    Task,
    WorkerProcess,
    check_fork,
    end_all,
    revived,
    start_worker,
    worker_died,
)
from bridgeflow.policy import parse_integer, parse_word, refuse_arguments

__all__ = ["StartMethod", "WorkerPool"]


class WorkerPool:
    """Processes that call `fetch(task)`, and hand their batches over through a ring of shared memory.

    The arrays and CPU tensors of a batch (nested in any containers; ndarrays, tensors, Arrow data) arrive without being
    pickled or copied: views of the slot in which the worker put them. They belong to the receiver of the batch, who
    may write to them; when the last view of a batch has died, its slot is used again. A consumer who keeps more
    batches than the ring has slots to spare gets copies (counted in `copied`), so keeping them all is never a deadlock.
    A worker gets a task only together with a free slot, so workers run ahead by `slots` batches at most.

    A worker that dies costs nothing but time: its tasks are given to a new one, in the same order, each batch once. A
    task that has cost `attempts` workers raises `WorkerDied`. When the parent ends, however it ends, its workers end.

    Results depend on the tasks alone, not on the number of workers, as long as `fetch` does. Threads may share the
    iterator of a run: each batch goes to one of them. `close()` may be called by any thread.

    Args:
        fetch: makes the batch of a task. Pickled, unless workers are forked. Within it, `bridgeflow.memory.empty()`
            allocates straight in the slot.
        num_workers: number of processes.
        slot_nbytes: bytes of a slot, into which the arrays of a batch must fit, each beginning on a multiple of 64.
        slots: number of slots; `None` gives `num_workers * prefetch_factor` to the workers and 2 to the consumer.
        multiprocessing_context: how processes are started.
        prefetch_factor: tasks that a worker has at hand, the one it works on included.
        attempts: workers that one task may cost.
        threads: threads with which torch and Arrow compute in a worker, `None` for as many as they like; 1 if forked.

    Raises:
        CannotFork: CUDA is in use here, or several threads are asked for, which forked workers could not use; or this
            is a worker process itself.
        OutOfSharedMemory: the ring cannot be had.
        UnsupportedSystem: the system has no memory that processes share.

    >>> import numpy as np
    >>> with WorkerPool(lambda n: {"x": np.full(3, n), "n": n}, num_workers=1, slot_nbytes=4096) as pool:
    ...     for batch in pool.run([1, 2]):
    ...         print(batch)
    {'x': array([1, 1, 1]), 'n': 1}
    {'x': array([2, 2, 2]), 'n': 2}
    """

    def __init__(
        self,
        fetch: Callable[[Any], Any],
        *,
        num_workers: int,
        slot_nbytes: int,
        slots: int | None = None,
        multiprocessing_context: StartMethod = "fork",
        prefetch_factor: int = 2,
        attempts: int = 3,
        threads: int | None = 1,
        **unknown: NoReturn,
    ) -> None:
        refuse_arguments(unknown, WorkerPool)
        for name, number in (
            ("num_workers", num_workers),
            ("prefetch_factor", prefetch_factor),
            ("attempts", attempts),
            ("threads", threads),
        ):
            if number is not None:
                parse_integer(number, field=f"WorkerPool: {name}", least=1)
        if slots is not None:  # one for the workers, and one to hand over
            parse_integer(slots, field="WorkerPool: slots", least=2)
        parse_word(multiprocessing_context, StartMethod, field="multiprocessing_context")
        require_shared_memory("WorkerPool", "threads do without: Loader(dataset, num_workers=0, threads=...)")
        self._fetch = fetch
        self._method: StartMethod = multiprocessing_context
        self._prefetch_factor = prefetch_factor
        self._attempts = attempts
        self._threads = threads
        slots = num_workers * prefetch_factor + 2 if slots is None else slots
        self._lent_at_most = slots - min(num_workers * prefetch_factor, slots - 1)
        self.copied = 0
        check_fork(multiprocessing_context, threads)
        self._ring = Ring(slots, slot_nbytes)
        self._tickets = count()
        self._tasks: dict[int, Task] = {}
        self._waiting: deque[Task] = deque()  # they have slots, and lost their worker
        self._failed_starts = 0
        self._running = False
        self._starting = threading.Lock()
        self._turns = threading.RLock()  # held by a run while it waits; close() in another thread waits for it
        self._wake = Descriptor(os.eventfd(0, os.EFD_CLOEXEC))
        self._workers: list[WorkerProcess] = []
        self._owner = os.getpid()
        self._end = weakref.finalize(self, end_all, self._workers, self._owner)
        self._num_workers = num_workers
        for _ in range(num_workers):
            self._start()

    # --- for users ---

    @property
    def slots(self) -> int:
        """Number of slots."""
        return self._ring.slots

    @property
    def slot_nbytes(self) -> int:
        """Bytes of a slot: what was asked for, in whole pages."""
        return self._ring.slot_nbytes

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that work now."""
        return tuple(worker.pid for worker in self._workers)

    def run(self, tasks: Iterable[Any]) -> Run:
        """The batches of `tasks`, in their order, made by any worker.

        Tasks are taken from the iterable as workers have room for them. One run at a time, which begins with its first
        batch: a run that is given up half-way (closed, or dropped) leaves the pool ready for the next one.

        Raises:
            BridgeflowError: the pool is closed, or another run has not ended.
            BatchTooLarge: the arrays of a batch need more than a slot.
            WorkerDied: a task has cost as many workers as it may, or workers die before they begin.
            Exception: what `fetch` raised, with the worker's traceback as a note; `WorkerFailed` where it cannot be
                pickled.
        """
        return Run(self._batches(tasks))

    def _batches(self, tasks: Iterable[Any]) -> Generator[Any, None, None]:
        self._check_open()
        with self._starting:
            if self._running:
                raise BridgeflowError("WorkerPool: one run at a time; finish or close() the one before")
            self._running = True
        self._failed_starts = 0
        source = _Source(tasks)
        order: deque[Task] = deque()
        try:
            while len(self._workers) < self._num_workers:  # none took the place of those that never began
                self._start()
            while (task := self._next(source, order)) is not None:
                yield self._delivered(task)
            source.check()
        finally:
            self._running = False
            for task in order:
                task.is_needed = False
                if isinstance(task.outcome, Packed):
                    self._ring.give(task.slot)
            while self._waiting:
                self._forget(self._waiting.popleft())

    def close(self) -> None:
        """End the workers, from any thread: a run that waits for a batch elsewhere raises `BridgeflowError`.

        Batches that were handed over stay as they are.
        """
        if os.getpid() != self._owner:
            self._end()
        elif self._end.alive:
            os.eventfd_write(self._wake.fd, 1)
            with self._turns:
                self._end()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- tasks to workers ---

    def _next(self, source: _Source, order: deque[Task]) -> Task | None:
        """The next task whose batch is there; `None` after the last."""
        with self._turns:
            self._feed(source, order)
            while order or not source.ended:
                if order and order[0].outcome is not None:
                    self._feed(source, order)  # before the consumer goes away with the batch
                    return order.popleft()
                self._turn()  # there may be no task yet, while workers are busy with a run that was given up
                self._feed(source, order)
        return None

    def _feed(self, source: _Source, order: deque[Task]) -> None:
        """Give tasks to workers, as long as there are slots and workers with room."""
        while (worker := self._with_room()) is not None:
            if self._waiting:
                task = self._waiting.popleft()
            elif (slot := self._ring.take()) is not None:
                if not source.advance():
                    self._ring.give(slot)
                    break
                task = Task(next(self._tickets), source.next, source.pickled, slot)
                self._tasks[task.ticket] = task
                order.append(task)
            else:
                break
            worker.assign(task)

    def _with_room(self) -> WorkerProcess | None:
        """The worker with the shortest list of tasks, unless that is as long as it may be."""
        self._check_open()
        worker = min(self._workers, key=lambda each: len(each.tasks))
        return worker if len(worker.tasks) < self._prefetch_factor else None

    # --- answers from workers ---

    def _turn(self) -> None:
        """Wait until something happens, and act on it."""
        poll = select.poll()
        poll.register(self._wake.fd, select.POLLIN)
        by_fd: dict[int, WorkerProcess] = {}
        for worker in self._workers:
            poll.register(worker.line, select.POLLIN | (select.POLLOUT if worker.outbox else 0))
            poll.register(worker.pidfd, select.POLLIN)
            by_fd[worker.line.fileno()] = by_fd[worker.pidfd] = worker
        patience = min((worker.patience() for worker in self._workers if not worker.ready), default=None)
        ready = {fd for fd, _ in poll.poll(None if patience is None else patience * 1000)}
        if self._wake.fd in ready:
            raise _closed()
        for worker in {by_fd[fd] for fd in ready}:
            worker.flush()
            for message in worker.messages():
                self._take(worker, message)
            if worker.ended():
                self._replace(worker)
        for worker in [each for each in self._workers if not each.ready and each.patience() == 0]:
            self._replace(worker)

    def _take(self, worker: WorkerProcess, message: Ready | Done | Failed) -> None:
        if isinstance(message, Ready):
            if message.failure is not None:
                raise revived(message.failure)
            worker.ready = True
            self._failed_starts = 0
            return
        task = worker.tasks.popleft()
        if isinstance(message, Done) and task.is_needed:
            del self._tasks[task.ticket]
            task.outcome = message.packed
            return
        self._forget(task)
        if isinstance(message, Failed):
            task.outcome = revived(message)

    def _replace(self, worker: WorkerProcess) -> None:
        """A worker has died, or must: what it had not answered goes to another."""
        worker.kill()
        for message in worker.messages():  # what it said before it died counts
            self._take(worker, message)
        exitcode = worker.reap()
        self._workers.remove(worker)
        if worker.ready and worker.tasks:
            task = worker.tasks[0]
            task.attempts += 1
            if task.attempts >= self._attempts:
                what = f"the batch of {reprlib.repr(task.content)} has cost {task.attempts} workers, the last of which"
                task.outcome = worker_died(what, exitcode, task)
                self._forget(worker.tasks.popleft())
        for task in worker.tasks:
            if task.is_needed:
                self._waiting.append(task)
            else:
                self._forget(task)
        self._waiting = deque(sorted(self._waiting, key=lambda task: task.ticket))
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= self._attempts * self._num_workers:
                raise worker_died(
                    f"{self._failed_starts} workers ended before they could begin, the last of which", exitcode, None
                )
        self._start()

    def _forget(self, task: Task) -> None:
        del self._tasks[task.ticket]
        self._ring.give(task.slot)

    def _delivered(self, task: Task) -> Any:
        """The batch on its slot's own memory, or a copy if the consumer keeps as many slots as there are to spare."""
        packed = task.outcome
        if isinstance(packed, BaseException):
            raise packed
        assert packed is not None
        if self._ring.leased < self._lent_at_most:
            return unpack(packed, self._ring.lease(task.slot).bytes())
        memory = self._ring.slot(task.slot).bytes()[: packed.used].copy()
        self._ring.give(task.slot)
        self.copied += 1
        return unpack(packed, memory)

    # --- processes ---

    def _start(self) -> None:
        lines = [worker.line for worker in self._workers]
        self._workers.append(start_worker(self._fetch, self._ring, self._method, self._threads, lines))

    def _check_open(self) -> None:
        if os.getpid() != self._owner:
            raise BridgeflowError(
                f"WorkerPool: it belongs to process {self._owner}, of which this is a fork; make another one in here"
            )
        if not self._end.alive:
            raise _closed()


class Run(Iterator[Any]):
    """The batches of a run. Threads that share it wait for each other, and each batch goes to one of them."""

    def __init__(self, batches: Generator[Any, None, None]) -> None:
        self._batches = batches
        self._lock = threading.RLock()

    def __next__(self) -> Any:
        with self._lock:
            return next(self._batches)

    def close(self) -> None:
        """Give up the run: what was not handed over is dropped, and the pool is ready for the next run."""
        with self._lock:
            self._batches.close()


class _Source:
    """The tasks of a run. What goes wrong with one is raised when everything before it has been handed over."""

    def __init__(self, tasks: Iterable[Any]) -> None:
        self._iterator = iter(tasks)
        self._error: Exception | None = None
        self.ended = False
        self.next: Any = None
        self.pickled = b""

    def advance(self) -> bool:
        """Whether there is another task, which is then `next`, and `pickled`."""
        if not self.ended:
            try:
                self.next = next(self._iterator)
                self.pickled = pickle.dumps(self.next, protocol=5)
                return True
            except StopIteration:
                self.ended = True
            except Exception as error:
                self.ended, self._error = True, error
        return False

    def check(self) -> None:
        """Raise what ended the tasks before their time."""
        if self._error is not None:
            raise self._error


def _closed() -> BridgeflowError:
    return BridgeflowError("WorkerPool: it is closed; make another one to run more tasks")
