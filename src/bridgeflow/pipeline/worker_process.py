"""A worker process as its parent sees it: how it is started, written to, listened to, and ended."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import select
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from typing import Any, Final, Literal, TypeAlias

from bridgeflow._optional import loaded
from bridgeflow.errors import CannotFork, WorkerDied
from bridgeflow.memory import Packed, Ring
from bridgeflow.pipeline.worker import FRAME, TASK, Done, Failed, Ready, WorkerConfig, work

__all__ = ["StartMethod", "Task", "WorkerProcess", "check_fork", "end_all", "revived", "start_worker", "worker_died"]

StartMethod: TypeAlias = Literal["fork", "spawn", "forkserver"]
"""How a worker process comes into being, in `multiprocessing`'s words."""

_START_SECONDS: Final = 120.0
"""A worker that has not said a word by then hangs: a fork may have caught a lock that some thread held."""

_GRACE_SECONDS: Final = 0.5
"""What a worker has, on closing, to end by itself; and again, to end on SIGTERM."""


class Task:
    """A task with its slot, from when it is given to a worker until its batch is handed over."""

    __slots__ = ("attempts", "content", "is_needed", "outcome", "payload", "slot", "ticket")

    def __init__(self, ticket: int, content: Any, payload: bytes, slot: int) -> None:
        self.ticket = ticket
        self.content = content
        self.payload = payload
        self.slot = slot
        self.attempts = 0
        self.is_needed = True
        self.outcome: Packed | BaseException | None = None


class WorkerProcess:
    """A worker process as the parent sees it. Nothing here ever waits for the worker, except for its end."""

    def __init__(self, process: BaseProcess, line: socket.socket) -> None:
        self._process = process
        self.line = line
        self.pid = process.pid or 0
        try:
            self.pidfd = os.pidfd_open(self.pid)
        except (OSError, AttributeError):  # it has ended, and been waited for, already; or an old kernel or Python
            self.pidfd = os.dup(process.sentinel)
        self.tasks: deque[Task] = deque()
        self.ready = False
        self.outbox = bytearray()
        self._inbox = bytearray()
        self._closed = False
        self._began = time.monotonic()
        line.setblocking(False)

    def patience(self) -> float:
        """Seconds that it has left to say its first word."""
        return max(0.0, self._began + _START_SECONDS - time.monotonic())

    def assign(self, task: Task) -> None:
        """Put a task at the end of its list."""
        self.tasks.append(task)
        self.outbox += FRAME.pack(TASK.size + len(task.payload)) + TASK.pack(task.ticket, task.slot) + task.payload
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
        return self._closed or self.ends_within(0)

    def ends_within(self, seconds: float) -> bool:
        """Whether it has died, or does within `seconds`."""
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
        if not self.ends_within(0):
            self.signal(signal.SIGKILL)
        self._process.join()

    def reap(self) -> int | None:
        """Release all that was kept for it; return how it ended."""
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


def start_worker(
    fetch: Callable[[Any], Any], ring: Ring, method: StartMethod, threads: int | None, lines: Sequence[socket.socket]
) -> WorkerProcess:
    """A new worker process.

    Args:
        fetch, method, threads: as for `WorkerPool`.
        ring: where it makes batches.
        lines: to the other workers, of which a forked process must close its copies.
    """
    check_fork(method, threads)
    context = multiprocessing.get_context(method)
    is_forked = method == "fork"
    function = fetch if is_forked else pickle.dumps(fetch, protocol=5)
    # The kernel can tie a child to the thread that starts it; that is the process only if it is the main thread.
    bound = method != "forkserver" and threading.current_thread() is threading.main_thread()
    here, there = socket.socketpair()
    with there:
        inherited = [here, *lines] if is_forked else []
        process = context.Process(  # type: ignore[attr-defined]
            target=work,
            args=(there, ring, function, WorkerConfig(os.getpid(), threads, bound), inherited),
            name="bridgeflow-worker",
            daemon=True,
        )
        try:
            with _interrupts_held():
                process.start()
        except BaseException:
            here.close()
            raise
    return WorkerProcess(process, here)


def end_all(workers: list[WorkerProcess], owner: int) -> None:
    """End all workers of the process `owner`; in a fork of it, only close what connects to them."""
    if os.getpid() != owner:  # a fork of the owner: the workers are not its own
        for worker in workers:
            worker.release()
        return
    for worker in workers:
        worker.shutdown()
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _GRACE_SECONDS
        for worker in workers:
            if not worker.ends_within(max(0.0, deadline - time.monotonic())):
                worker.signal(number)
    for worker in workers:
        worker.reap()
    workers.clear()


def check_fork(method: StartMethod, threads: int | None) -> None:
    """Refuse workers where they could not work.

    Raises:
        CannotFork: as for `WorkerPool`.
    """
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


def worker_died(what: str, exitcode: int | None, task: Task | None) -> WorkerDied:
    """The error about a worker that ended with this exit code."""
    if exitcode is not None and exitcode < 0:
        how = f"was killed by {signal.Signals(-exitcode).name}"
        how += " (by the system, if memory ran out)" if exitcode == -signal.SIGKILL else ""
    else:
        how = f"ended with exit status {exitcode}"
    error = WorkerDied(f"WorkerPool: {what} {how}; what it wrote to the standard error may say more")
    error.exitcode = exitcode
    if task is not None:
        error.task, error.attempts = task.content, task.attempts
    return error


def revived(failed: Failed) -> Exception:
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
