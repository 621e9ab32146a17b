"""Handles: file descriptors on their way to another process, inside any pickle.

While `multiprocessing` starts a process, the descriptor travels as its other arguments do. At any other time (queues,
pipes, DataLoader workers) the pickle holds an address and a token, and a thread of the sender hands the descriptor to
any process of the same user that presents the token. So the pickle is small whatever it stands for, and the sender may
drop its own reference before the receiver has looked.

What was sent and never fetched must not stay forever: such a descriptor is kept for `KEPT_SECONDS` at most, and
`limit()` of them at most. As long as the sender refers to the memory itself, its handles stay good anyway.
"""

from __future__ import annotations

import errno
import os
import secrets
import selectors
import socket
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from multiprocessing import reduction
from multiprocessing.context import get_spawning_popen
from typing import Any, Final, NamedTuple, Protocol

from bridgeflow._forks import call_in_children
from bridgeflow.errors import OutOfSharedMemory, StaleHandle
from bridgeflow.memory.mapping import Descriptor

__all__ = ["KEPT_SECONDS", "Handle", "hand_over", "limit", "waiting"]

KEPT_SECONDS: Final = 600.0
"""How long a descriptor that the sender has dropped waits to be fetched."""

_NOT_DROPPED_BEFORE: Final = 60.0
"""Where there are too many, those that have waited this long go first; younger ones are kept."""

_PATIENCE: Final = 30.0
"""Seconds for one exchange between two processes; a stopped process must not stop the other."""

_TOKEN_NBYTES: Final = 16
_HERE_IT_IS: Final = b"\1"
_NOT_HERE: Final = b"\0"
_GOT_IT: Final = b"\1"
_PEER = struct.Struct("3i")


class Handle(Protocol):
    """What a pickle holds in place of a descriptor."""

    def open(self) -> Descriptor:
        """The descriptor, in the process that unpickled the handle."""
        ...


def hand_over(descriptor: Descriptor) -> Handle:
    """A handle of the descriptor, to be pickled now.

    Raises:
        OutOfSharedMemory: too many handles have been sent and not opened.
    """
    if get_spawning_popen() is not None:
        return _Inherited(reduction.DupFd(descriptor.fd))
    return _server.offer(descriptor)


def limit() -> int:
    """How many descriptors may wait to be fetched: a quarter of what the process may open."""
    import resource  # which Windows lacks

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if soft == resource.RLIM_INFINITY else max(16, min(4096, soft // 4))


def waiting() -> int:
    """How many descriptors this process keeps for handles that were sent and not opened."""
    return len(_server.waiting)


class _Inherited(NamedTuple):
    """A descriptor that a starting process inherits."""

    duplicate: Any

    def open(self) -> Descriptor:
        fd = self.duplicate.detach()
        os.set_inheritable(fd, False)
        return Descriptor(fd)


class _SocketHandle(NamedTuple):
    """Where to fetch a descriptor, and the token that proves that one may."""

    pid: int
    address: bytes
    token: bytes

    def open(self) -> Descriptor:
        if _server.address == self.address:
            descriptor = _server.find(self.token)
            if descriptor is None:
                raise StaleHandle(_stale_message(self.pid))
            _server.fetched(self.token)
            return descriptor
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
                line.settimeout(_PATIENCE)
                line.connect(self.address)
                line.sendall(self.token)
                answer, fds, _, _ = socket.recv_fds(line, 1, 1, socket.MSG_CMSG_CLOEXEC)
                descriptor = Descriptor(fds[0]) if fds else None
                if descriptor is not None:
                    line.sendall(_GOT_IT)
        except ConnectionError as error:
            raise StaleHandle(f"{_stale_message(self.pid)} ({error})") from error
        except TimeoutError as error:
            raise StaleHandle(f"process {self.pid}, which sent a handle, does not answer; is it stopped?") from error
        except OSError as error:
            raise OutOfSharedMemory(needed=0, number=error.errno or errno.EMFILE, available=None) from error
        if descriptor is not None:
            return descriptor
        if answer == _HERE_IT_IS:  # the kernel drops what finds no place in the table of open files
            raise OutOfSharedMemory(needed=0, number=errno.EMFILE, available=None)
        raise StaleHandle(_stale_message(self.pid))


def _stale_message(pid: int) -> str:
    return (
        f"the handle of process {pid} leads nowhere: the process has ended, or dropped the memory and the handle was "
        f"opened before, or not within {KEPT_SECONDS:.0f} s; keep a reference in the sender until it is opened"
    )


class _Offer:
    """A descriptor with a token; `kept` as long as handles are on their way."""

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = weakref.ref(descriptor)
        self.kept: Descriptor | None = None
        self.sent = 0
        self.since = 0.0


class _DescriptorServer:
    """The server from which this process hands out descriptors: one per process, empty in a forked child."""

    def __init__(self) -> None:
        # Reentrant, because the garbage collector may drop a descriptor, and so come back here, at any moment.
        self._lock = threading.RLock()
        self._offers: dict[bytes, _Offer] = {}
        self._tokens: weakref.WeakKeyDictionary[Descriptor, bytes] = weakref.WeakKeyDictionary()
        self.waiting: dict[bytes, _Offer] = {}  # the longest waiting first
        self._listener: socket.socket | None = None
        self.address = b""

    def offer(self, descriptor: Descriptor) -> _SocketHandle:
        """A handle of the descriptor, which is kept until all of its handles have been opened."""
        with self._lock:
            address = self.address or self._listen()
            token = self._tokens.get(descriptor)
            if token is None:
                token = self._tokens[descriptor] = secrets.token_bytes(_TOKEN_NBYTES)
                self._offers[token] = _Offer(descriptor)
                weakref.finalize(descriptor, self._offers.pop, token, None).atexit = False
            offer = self._offers[token]
            if offer.kept is None:
                self._make_room()
                offer.kept = descriptor
            offer.sent += 1
            offer.since = time.monotonic()
            self.waiting.pop(token, None)
            self.waiting[token] = offer
            return _SocketHandle(os.getpid(), address, token)

    def find(self, token: bytes) -> Descriptor | None:
        """The descriptor of a token."""
        with self._lock:
            offer = self._offers.get(token)
            return None if offer is None else offer.descriptor()

    def fetched(self, token: bytes) -> None:
        """One handle has been opened; the descriptor is kept until the last is."""
        with self._lock:
            offer = self.waiting.get(token)
            if offer is not None:
                offer.sent -= 1
                if offer.sent == 0:
                    self._drop(token)

    def expire(self, seconds: float) -> None:
        """Keep nothing that was sent longer ago than this."""
        with self._lock:
            for token in list(self._older_than(seconds)):
                self._drop(token)

    def close(self) -> None:
        """Forget everything, in a forked child: the parent goes on answering for what it sent."""
        if self._listener is not None:
            self._listener.close()

    def _make_room(self) -> None:
        self.expire(KEPT_SECONDS)
        most = limit()
        if len(self.waiting) >= most:
            self.expire(_NOT_DROPPED_BEFORE)
        if len(self.waiting) >= most:
            raise OutOfSharedMemory(needed=0, number=0, available=None, handles=most)

    def _older_than(self, seconds: float) -> Iterator[bytes]:
        before = time.monotonic() - seconds
        for token, offer in list(self.waiting.items()):
            if offer.since <= before:
                yield token

    def _drop(self, token: bytes) -> None:
        offer = self.waiting.pop(token, None)
        if offer is not None:
            offer.kept = None
            offer.sent = 0

    def _listen(self) -> bytes:
        """Begin to answer, at an abstract address: without a file, for the life of the process."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(b"\0bridgeflow-" + secrets.token_hex(8).encode())
            listener.listen(128)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        self.address = listener.getsockname()
        threading.Thread(target=self._serve, args=(listener,), name="bridgeflow-handles", daemon=True).start()
        return self.address

    def _serve(self, listener: socket.socket) -> None:
        """Answer many callers at a time, so that one which is stopped halfway does not block the others."""
        selector = selectors.PollSelector()
        selector.register(listener, selectors.EVENT_READ)
        calls: dict[socket.socket, _Call] = {}
        while True:
            for key, _ in selector.select(_PATIENCE):
                if key.fileobj is listener:
                    call = _accepted(listener)
                    if call is not None:
                        calls[call.line] = call
                        selector.register(call.line, selectors.EVENT_READ)
                else:
                    call = calls[key.fileobj]  # type: ignore[index]
                    call.over = self._advance(call)
            now = time.monotonic()
            for call in [each for each in calls.values() if each.over or each.since < now - _PATIENCE]:
                selector.unregister(call.line)
                del calls[call.line]
                call.line.close()
            self.expire(KEPT_SECONDS)

    def _advance(self, call: _Call) -> bool:
        """One step of an exchange: a token is answered with its descriptor, and the receipt is awaited."""
        try:
            said = call.line.recv(_TOKEN_NBYTES)
            if call.token:
                if said == _GOT_IT:
                    self.fetched(call.token)
                return True
            descriptor = self.find(said)
            if descriptor is None:
                call.line.send(_NOT_HERE)
                return True
            socket.send_fds(call.line, [_HERE_IT_IS], [descriptor.fd])
            call.token = said
            return False
        except OSError:
            return True  # the other side has closed


class _Call:
    """A caller that asks for a descriptor, and the token that was answered."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self.since = time.monotonic()
        self.token = b""
        self.over = False


def _accepted(listener: socket.socket) -> _Call | None:
    """The caller, if it is a process of this user."""
    try:
        line, _ = listener.accept()
    except OSError:
        time.sleep(0.01)  # out of descriptors, perhaps: the caller is answered when some are free again
        return None
    _, user, _ = _PEER.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if user not in (os.geteuid(), 0):
        line.close()
        return None
    line.setblocking(False)
    return _Call(line)


_server = _DescriptorServer()


def _reset() -> None:
    global _server
    _server.close()
    _server = _DescriptorServer()


call_in_children(_reset)
