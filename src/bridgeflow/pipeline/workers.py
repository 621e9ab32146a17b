"""Worker processes that make batches, and the one process that coordinates them.

The parent knows everything: which worker works on which task, and who may use which slot of the ring. So nothing is
locked between processes, and a worker may die at any moment: its tasks go to another one, its slots are still known.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import reprlib
import select
import signal
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Final, Literal, NoReturn, TypeAlias

from bridgeflow._optional import loaded
from bridgeflow.errors import BridgeflowError, CannotFork, WorkerDied, refuse_arguments
from bridgeflow.memory import Descriptor, Packed, Ring, require_shared_memory, unpack
from bridgeflow.pipeline.worker import FRAME, TASK, Done, Failed, Ready, WorkerConfig, work
from bridgeflow.policy import parse_integer, parse_word

__all__ = ["StartMethod", "WorkerPool"]

StartMethod: TypeAlias = Literal["fork", "spawn", "forkserver"]
"""How a worker process comes into being, in `multiprocessing`'s words."""

_START_SECONDS: Final = 120.0
"""A worker that has not said a word by then hangs: a fork may have caught a lock that some thread held."""

_GRACE_SECONDS: Final = 0.5
"""What a worker has, on closing, to end by itself; and again, to end on SIGTERM."""


class WorkerPool:
    """Processes that call `fetch(task)`, and hand their batches over through a ring of shared memory.

    The arrays and CPU tensors of a batch (nested in any containers; ndarrays, tensors, Arrow data) arrive without being
    pickled or copied: views of the slot in which the worker put them. They belong to whoever receives the batch, who
    may write to them; when the last view of a batch has died, its slot is used again. A consumer who keeps more
    batches than the ring has slots to spare gets copies (counted in `copied`), so keeping them all is never a deadlock.
    A worker gets a task only together with a free slot, so workers run ahead by `slots` batches at most.

    A worker that dies costs nothing but time: its tasks are given to a new one, in the same order, each batch once. A
    task that has cost `attempts` workers raises `WorkerDied`. When the parent ends, however it ends, its workers end.

    Results depend on the tasks alone, not on the number of workers, as long as `fetch` does. A pool serves one thread
    at a time; only `close()` may be called by another.

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
        Unsupported: the system has no memory that processes share.

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
        _check_fork(multiprocessing_context, threads)
        self._ring = Ring(slots, slot_nbytes)
        self._tickets = count()
        self._jobs: dict[int, _Job] = {}
        self._waiting: deque[_Job] = deque()  # they have slots, and lost their worker
        self._failed_starts = 0
        self._running = False
        self._turns = threading.RLock()  # held by a run while it waits; close() in another thread waits for it
        self._wake = Descriptor(os.eventfd(0, os.EFD_CLOEXEC))
        self._workers: list[_Worker] = []
        self._owner = os.getpid()
        self._end = weakref.finalize(self, _end_all, self._workers, self._owner)
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

    def run(self, tasks: Iterable[Any]) -> Generator[Any, None, None]:
        """The batches of `tasks`, in their order, made by whichever worker.

        Tasks are taken from the iterable as workers have room for them. One run at a time: a run that is given up
        half-way (closed, or dropped) leaves the pool ready for the next one.

        Raises:
            BatchTooLarge: the arrays of a batch need more than a slot.
            WorkerDied: a task has cost as many workers as it may, or workers die before they begin.
            Exception: what `fetch` raised, with the worker's traceback as a note; `WorkerFailed` where it cannot be
                pickled.
        """
        self._check_open()
        if self._running:
            raise BridgeflowError("WorkerPool: one run at a time; finish or close() the one before")
        self._running = True
        self._failed_starts = 0
        source = _Source(tasks)
        order: deque[_Job] = deque()
        try:
            while len(self._workers) < self._num_workers:  # none took the place of those that never began
                self._start()
            while (job := self._next(source, order)) is not None:
                yield self._delivered(job)
            source.check()
        finally:
            self._running = False
            for job in order:
                job.wanted = False
                if isinstance(job.outcome, Packed):
                    self._ring.give(job.slot)
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

    def _next(self, source: _Source, order: deque[_Job]) -> _Job | None:
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

    def _feed(self, source: _Source, order: deque[_Job]) -> None:
        """Give tasks to workers, as long as there are slots and workers with room."""
        while (worker := self._with_room()) is not None:
            if self._waiting:
                job = self._waiting.popleft()
            elif (slot := self._ring.take()) is not None:
                if not source.advance():
                    self._ring.give(slot)
                    break
                job = _Job(next(self._tickets), source.task, source.pickled, slot)
                self._jobs[job.ticket] = job
                order.append(job)
            else:
                break
            worker.assign(job)

    def _with_room(self) -> _Worker | None:
        """The worker with the shortest list of tasks, unless that is as long as it may be."""
        self._check_open()
        worker = min(self._workers, key=lambda each: len(each.jobs))
        return worker if len(worker.jobs) < self._prefetch_factor else None

    # --- answers from workers ---

    def _turn(self) -> None:
        """Wait until something happens, and act on it."""
        poll = select.poll()
        poll.register(self._wake.fd, select.POLLIN)
        by_fd: dict[int, _Worker] = {}
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

    def _take(self, worker: _Worker, message: Ready | Done | Failed) -> None:
        if isinstance(message, Ready):
            if message.failure is not None:
                raise _revived(message.failure)
            worker.ready = True
            self._failed_starts = 0
            return
        job = worker.jobs.popleft()
        if isinstance(message, Done) and job.wanted:
            del self._jobs[job.ticket]
            job.outcome = message.packed
            return
        self._forget(job)
        if isinstance(message, Failed):
            job.outcome = _revived(message)

    def _replace(self, worker: _Worker) -> None:
        """A worker has died, or must: what it had not answered goes to another."""
        worker.kill()
        for message in worker.messages():  # what it said before it died counts
            self._take(worker, message)
        exitcode = worker.reap()
        self._workers.remove(worker)
        if worker.ready and worker.jobs:
            job = worker.jobs[0]
            job.attempts += 1
            if job.attempts >= self._attempts:
                what = f"the batch of {reprlib.repr(job.task)} has cost {job.attempts} workers, the last of which"
                job.outcome = _died(what, exitcode, job)
                self._forget(worker.jobs.popleft())
        for job in worker.jobs:
            if job.wanted:
                self._waiting.append(job)
            else:
                self._forget(job)
        self._waiting = deque(sorted(self._waiting, key=lambda job: job.ticket))
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= self._attempts * self._num_workers:
                raise _died(
                    f"{self._failed_starts} workers ended before they could begin, the last of which", exitcode, None
                )
        self._start()

    def _forget(self, job: _Job) -> None:
        del self._jobs[job.ticket]
        self._ring.give(job.slot)

    def _delivered(self, job: _Job) -> Any:
        """The batch on its slot's own memory, or a copy if the consumer keeps as many slots as there are to spare."""
        packed = job.outcome
        if isinstance(packed, BaseException):
            raise packed
        assert packed is not None
        if self._ring.leased < self._lent_at_most:
            return unpack(packed, self._ring.lease(job.slot).bytes())
        memory = self._ring.slot(job.slot).bytes()[: packed.used].copy()
        self._ring.give(job.slot)
        self.copied += 1
        return unpack(packed, memory)

    # --- processes ---

    def _start(self) -> None:
        _check_fork(self._method, self._threads)
        context = multiprocessing.get_context(self._method)
        forked = self._method == "fork"
        fetch = self._fetch if forked else pickle.dumps(self._fetch, protocol=5)
        # The kernel can tie a child to the thread that starts it; that is the process only if it is the main thread.
        bound = self._method != "forkserver" and threading.current_thread() is threading.main_thread()
        here, there = socket.socketpair()
        with there:
            lines = [here, *(worker.line for worker in self._workers)] if forked else []
            process = context.Process(  # type: ignore[attr-defined]
                target=work,
                args=(there, self._ring, fetch, WorkerConfig(os.getpid(), self._threads, bound), lines),
                name="bridgeflow-worker",
                daemon=True,
            )
            try:
                with _interrupts_held():
                    process.start()
            except BaseException:
                here.close()
                raise
        self._workers.append(_Worker(process, here))

    def _check_open(self) -> None:
        if os.getpid() != self._owner:
            raise BridgeflowError(
                f"WorkerPool: it belongs to process {self._owner}, of which this is a fork; make another one in here"
            )
        if not self._end.alive:
            raise _closed()


class _Source:
    """The tasks of a run. What goes wrong with one is raised when everything before it has been handed over."""

    def __init__(self, tasks: Iterable[Any]) -> None:
        self._tasks = iter(tasks)
        self._error: Exception | None = None
        self.ended = False
        self.task: Any = None
        self.pickled = b""

    def advance(self) -> bool:
        """Whether there is another task, which is then `task`, and `pickled`."""
        if not self.ended:
            try:
                self.task = next(self._tasks)
                self.pickled = pickle.dumps(self.task, protocol=5)
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


class _Job:
    """A task with its slot, from when it is given to a worker until its batch is handed over."""

    __slots__ = ("attempts", "outcome", "payload", "slot", "task", "ticket", "wanted")

    def __init__(self, ticket: int, task: Any, payload: bytes, slot: int) -> None:
        self.ticket = ticket
        self.task = task
        self.payload = payload
        self.slot = slot
        self.attempts = 0
        self.wanted = True
        self.outcome: Packed | BaseException | None = None


class _Worker:
    """A worker process as the parent sees it. Nothing here ever waits for the worker, except for its end."""

    def __init__(self, process: BaseProcess, line: socket.socket) -> None:
        self._process = process
        self.line = line
        self.pid = process.pid or 0
        try:
            self.pidfd = os.pidfd_open(self.pid)
        except (OSError, AttributeError):  # it has gone, and been waited for, already; or an old kernel or Python
            self.pidfd = os.dup(process.sentinel)
        self.jobs: deque[_Job] = deque()
        self.ready = False
        self.outbox = bytearray()
        self._inbox = bytearray()
        self._closed = False
        self._began = time.monotonic()
        line.setblocking(False)

    def patience(self) -> float:
        """Seconds that it has left to say its first word."""
        return max(0.0, self._began + _START_SECONDS - time.monotonic())

    def assign(self, job: _Job) -> None:
        """Put a task at the end of its list."""
        self.jobs.append(job)
        self.outbox += FRAME.pack(TASK.size + len(job.payload)) + TASK.pack(job.ticket, job.slot) + job.payload
        self.flush()

    def flush(self) -> None:
        """Write what the line takes; the worker's end is seen elsewhere."""
        with suppress(BlockingIOError, ConnectionError):
            while self.outbox:
                del self.outbox[: self.line.send(self.outbox)]

    def messages(self) -> Iterator[Ready | Done | Failed]:
        """What it has said since the last time."""
        try:
            while received := self.line.recv(1 << 16):
                self._inbox += received
            self._closed = True
        except BlockingIOError:
            pass
        except ConnectionError:
            self._closed = True
        while len(self._inbox) >= FRAME.size:
            end = FRAME.size + FRAME.unpack_from(self._inbox)[0]
            if len(self._inbox) < end:
                break
            body = bytes(self._inbox[FRAME.size : end])
            del self._inbox[:end]
            yield pickle.loads(body)

    def ended(self) -> bool:
        """Whether it has died, or has closed its line and will."""
        return self._closed or self.gone(0)

    def gone(self, seconds: float) -> bool:
        """Whether it has died, or does within so many seconds."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, to this process and no other that may have got its number since."""
        with suppress(ProcessLookupError):
            try:
                signal.pidfd_send_signal(self.pidfd, number)
            except (OSError, AttributeError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Make sure that it is dead: from then on it writes to no slot."""
        if not self.gone(0):
            self.signal(signal.SIGKILL)
        self._process.join()

    def reap(self) -> int | None:
        """Let go of everything that was kept for it; how it ended."""
        self._process.join()
        exitcode = self._process.exitcode
        self.release()
        self._process.close()
        return exitcode

    def shutdown(self) -> None:
        """End it when it looks for the next task, also if some other fork of this process holds a copy of the line."""
        with suppress(OSError):
            self.line.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close what connects to it."""
        self.line.close()
        if self.pidfd >= 0:
            with suppress(OSError):  # closed by other code
                os.close(self.pidfd)
            self.pidfd = -1


def _end_all(workers: list[_Worker], owner: int) -> None:
    if os.getpid() != owner:  # a fork of the owner: the workers are not its own
        for worker in workers:
            worker.release()
        return
    for worker in workers:
        worker.shutdown()
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _GRACE_SECONDS
        for worker in workers:
            if not worker.gone(max(0.0, deadline - time.monotonic())):
                worker.signal(number)
    for worker in workers:
        worker.reap()
    workers.clear()


def _closed() -> BridgeflowError:
    return BridgeflowError("WorkerPool: it is closed; make another one to run more tasks")


def _check_fork(method: StartMethod, threads: int | None) -> None:
    if multiprocessing.current_process().daemon:
        raise CannotFork(
            "this process is itself a worker (of a pool or of a DataLoader), and those may not have children; use no "
            "workers in here: Loader(num_workers=0)"
        )
    torch = loaded("torch")
    if method != "fork" or torch is None:
        return
    if threads != 1:  # OpenMP's threads do not come along, and the child would wait for them for ever
        raise CannotFork(
            f"threads={threads}: a forked worker cannot compute with several threads, since torch's are the parent's; "
            'pass threads=1, or multiprocessing_context="spawn" or "forkserver"'
        )
    if torch.cuda.is_initialized():
        raise CannotFork(
            "CUDA is in use in this process, and what is forked from it could not use it; make the pool before CUDA is "
            'touched, or pass multiprocessing_context="spawn" or "forkserver"'
        )


def _died(what: str, exitcode: int | None, job: _Job | None) -> WorkerDied:
    if exitcode is not None and exitcode < 0:
        how = f"was killed by {signal.Signals(-exitcode).name}"
        how += " (by the system, if memory ran out)" if exitcode == -signal.SIGKILL else ""
    else:
        how = f"ended with exit status {exitcode}"
    error = WorkerDied(f"WorkerPool: {what} {how}; what it wrote to the standard error may say more")
    error.exitcode = exitcode
    if job is not None:
        error.task, error.attempts = job.task, job.attempts
    return error


def _revived(failed: Failed) -> Exception:
    """The worker's exception, with its traceback as a note."""
    error: Exception = pickle.loads(failed.error)
    notes = [*getattr(error, "__notes__", ()), f"in a worker process:\n{failed.traceback.rstrip()}"]
    error.__notes__ = notes
    return error


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Until the block ends SIGINT waits, so that a new process can ignore it from its first instruction on."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
