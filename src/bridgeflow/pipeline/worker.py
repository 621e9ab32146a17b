"""What runs in a worker process: read a task, make its batch in the slot that comes with it, answer.

A worker shares nothing with its siblings and holds no lock of anybody's, so it can be killed at any moment. Messages
in both directions are frames: the length in eight bytes, then as many bytes.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import select
import signal
import socket
import struct
import threading
import traceback
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from bridgeflow._optional import loaded
from bridgeflow.errors import WorkerFailed
from bridgeflow.memory import Packed, Ring, pack, writing_batch
from bridgeflow.pipeline.foreign import BatchKey, is_foreign, seed_globally

__all__ = ["FRAME", "TASK", "Done", "Failed", "Ready", "WorkerConfig", "work"]

FRAME: Final = struct.Struct("<Q")
"""The head of a frame: how many bytes follow."""

TASK: Final = struct.Struct("<QQ")
"""The head of a task: its ticket and the number of its slot; the pickled task follows."""

_PR_SET_PDEATHSIG: Final = 1


class WorkerConfig(NamedTuple):
    """How a worker is to live: whose child it is, and with how many threads torch and Arrow compute.

    `bound` is set where the kernel may kill it together with the thread that started it.
    """

    parent: int
    threads: int | None
    bound: bool


class Ready(NamedTuple):
    """The first message of a worker; `failure` says why it cannot work."""

    failure: Failed | None


class Done(NamedTuple):
    """A batch is in its slot."""

    ticket: int
    packed: Packed


class Failed(NamedTuple):
    """What `fetch` raised, pickled, and the traceback as text."""

    ticket: int
    error: bytes
    traceback: str


def work(
    line: socket.socket,
    ring: Ring,
    fetch: Callable[[Any], Any] | bytes,
    config: WorkerConfig,
    inherited: Sequence[socket.socket],
) -> None:
    """Answer tasks until the line is closed.

    Args:
        line: to the parent.
        ring: where batches are made.
        fetch: makes a batch of a task; pickled where the process was not forked.
        config: how to live.
        inherited: the parent's ends of its workers' lines, which a fork brings along. Left open here, they would keep
            siblings from seeing that the parent has ended.
    """
    _signals_of_its_own()
    for other in inherited:
        other.close()
    _end_with_the_parent(line, config)
    if config.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(config.threads)  # for a torch that is imported later
    try:
        function: Callable[[Any], Any] = pickle.loads(fetch) if isinstance(fetch, bytes) else fetch
        _limit_threads(config.threads)
    except Exception as error:
        _send(line, Ready(_failed(0, error)))
        return
    gc.freeze()  # what was there before is neither searched nor, after a fork, copied by being searched
    _send(line, Ready(None))
    while (frame := _receive(line)) is not None:
        ticket, number = TASK.unpack_from(frame)
        _send(line, _answer(function, ticket, memoryview(frame)[TASK.size :], ring, number))


def _answer(fetch: Callable[[Any], Any], ticket: int, task: memoryview, ring: Ring, number: int) -> Done | Failed:
    slot = ring.slot(number)
    slot_reference = weakref.ref(slot)
    answer: Done | Failed
    try:
        if is_foreign(fetch):
            seed_globally(BatchKey(seed=0, epoch=0, batch=ticket))
        with writing_batch(slot):
            answer = Done(ticket, pack(fetch(pickle.loads(task)), slot))
    except BaseException as error:
        answer = _failed(ticket, error)
    del slot
    if slot_reference() is not None:
        gc.collect(0)  # it may hang in a cycle
    if (kept := slot_reference()) is not None:  # another object keeps an array over it, and it will be the consumer's
        ring.detach(number, kept.used)
    return answer


def _failed(ticket: int, error: BaseException) -> Failed:
    """The error as it can cross: what cannot be pickled and read again, or is not an `Exception`, as text."""
    text = "".join(traceback.format_exception(error))
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        with suppress(Exception):  # a class of its own making may raise anything
            pickled = pickle.dumps(error)
            if type(pickle.loads(pickled)) is type(error):
                return Failed(ticket, pickled, text)
    return Failed(ticket, pickle.dumps(WorkerFailed(f"{type(error).__name__}: {error}")), text)


def _signals_of_its_own() -> None:
    """Not the parent's handlers, which a fork brings along: what they do is the parent's business."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what it means
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _limit_threads(threads: int | None) -> None:
    if threads is None:
        return
    if (torch := loaded("torch")) is not None:
        torch.set_num_threads(threads)
    if (arrow := loaded("pyarrow")) is not None:
        arrow.set_cpu_count(threads)


def _end_with_the_parent(line: socket.socket, config: WorkerConfig) -> None:
    """Be killed with the parent, also in the midst of a task.

    The kernel's own way knows the thread that started us instead of the process, so it serves where that is the main
    thread; a thread here that watches the process serves as soon as the interpreter lets it run.
    """
    if config.bound:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    try:
        parent = os.pidfd_open(config.parent)
    except ProcessLookupError:
        os._exit(1)
    except (OSError, AttributeError):
        return  # a kernel or Python without such descriptors: the line is closed when the parent ends
    try:
        has_ended = line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        has_ended = False
    if has_ended:  # before it could be watched; its number may be another's by now
        os._exit(1)
    threading.Thread(target=_watch, args=(parent,), name="bridgeflow-parent", daemon=True).start()


def _watch(parent: int) -> None:
    poll = select.poll()
    poll.register(parent, select.POLLIN)
    poll.poll()
    os._exit(1)


def _send(line: socket.socket, message: Ready | Done | Failed) -> None:
    body = pickle.dumps(message, protocol=5)
    try:
        line.sendall(FRAME.pack(len(body)) + body)
    except ConnectionError:
        os._exit(0)  # the parent has closed the line and waits for nothing


def _receive(line: socket.socket) -> bytes | None:
    head = _receive_exactly(line, FRAME.size)
    return None if head is None else _receive_exactly(line, FRAME.unpack(head)[0])


def _receive_exactly(line: socket.socket, nbytes: int) -> bytes | None:
    received = bytearray()
    while len(received) < nbytes:
        try:
            piece = line.recv(min(nbytes - len(received), 1 << 20))
        except ConnectionError:
            return None
        if not piece:
            return None
        received += piece
    return bytes(received)
