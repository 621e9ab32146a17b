"""Handles: a segment goes to other processes in a few bytes; what is never fetched does not pile up."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import socket
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import pytest

from bridgeflow.errors import DataError, OutOfSharedMemory, StaleHandle
from bridgeflow.memory import Segment, handles
from bridgeflow.memory.mapping import Descriptor
from tests.memory.census import census, eventually

CONTEXTS = ("fork", "spawn", "forkserver")


@pytest.fixture(autouse=True)
def _nothing_waits():
    """Each test finds the thread that answers, which the first handle starts, and leaves nothing with it."""
    pickle.dumps(filled(0))
    handles._server.expire(0)
    yield
    handles._server.expire(0)
    assert handles.waiting() == 0


def filled(value: int, size: int = 10_000) -> Segment:
    segment = Segment(size)
    segment.array((size,), "u1")[:] = value
    return segment


def first(segment: Segment) -> int:
    return int(segment.array((1,), "u1")[0])


def answer(line: Connection, segment: Segment | None) -> None:
    """A process that adds one to every segment it receives, and sends segments of its own."""
    if segment is not None:
        segment.array((1,), "u1")[0] += 1
        line.send(first(segment))
    while True:
        received = line.recv()
        if received is None:
            return
        if isinstance(received, int):
            line.send(filled(received))  # the only reference is on its way
        else:
            received.array((1,), "u1")[0] += 1
            line.send(os.getpid())


@pytest.mark.parametrize("method", CONTEXTS)
def test_to_and_from_processes_of_every_kind(method: str):
    context = multiprocessing.get_context(method)
    mine, theirs = context.Pipe()
    segment = filled(7)
    worker = context.Process(target=answer, args=(theirs, segment), daemon=True)
    worker.start()
    theirs.close()
    assert mine.recv() == 8  # as an argument
    assert first(segment) == 8
    mine.send(segment)  # through a pipe
    assert mine.recv() == worker.pid
    assert first(segment) == 9
    mine.send(filled(1))  # dropped here before it is opened there
    assert mine.recv() == worker.pid
    mine.send(42)
    assert first(mine.recv()) == 42
    mine.send(None)
    worker.join(20)
    assert worker.exitcode == 0
    assert eventually(lambda: handles.waiting() == 0)
    mine.close()


def test_through_a_queue_after_the_sender_dropped_it():
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    before = census()
    for value in range(5):
        queue.put(filled(value))
    assert eventually(lambda: handles.waiting() == 5)
    assert [first(queue.get()) for _ in range(5)] == list(range(5))
    assert handles.waiting() == 0
    after = census()
    assert (after.memfds, after.mappings) == (before.memfds, before.mappings)
    queue.close()
    queue.join_thread()


def test_the_size_of_a_pickle_does_not_depend_on_the_size_of_the_memory():
    small, large = Segment(1 << 14), Segment(1 << 26)
    sizes = [len(pickle.dumps(each)) for each in (small, large)]
    print(f"pickle of 16 KiB: {sizes[0]} bytes, of 64 MiB: {sizes[1]} bytes")
    assert max(sizes) < 300
    assert abs(sizes[0] - sizes[1]) <= 8


def test_a_handle_stays_good_as_long_as_the_sender_keeps_the_memory():
    segment = filled(3)
    sent = pickle.dumps(segment)
    for _ in range(3):
        assert first(pickle.loads(sent)) == 3
    assert handles.waiting() == 0
    before = census()
    received = pickle.loads(sent)
    received.array((1,), "u1")[0] = 4
    assert first(segment) == 4
    del received
    assert census() == before


def test_one_pickle_of_dropped_memory_can_be_opened_once():
    sent = pickle.dumps(filled(3))
    assert first(pickle.loads(sent)) == 3
    with pytest.raises(StaleHandle, match="keep a reference in the sender"):
        pickle.loads(sent)


def test_private_access_goes_with_the_handle():
    segment = filled(3)
    received = pickle.loads(pickle.dumps(segment.private()))
    received.array((1,), "u1")[0] = 9
    assert (first(segment), first(received)) == (3, 9)


class TestWhatNobodyFetches:
    def test_is_given_up_after_a_while(self):
        before = census().memfds
        sent = pickle.dumps(filled(1))
        assert census().memfds == before + 1
        handles._server.expire(3600)
        assert handles.waiting() == 1
        handles._server.expire(0)
        assert census().memfds == before
        with pytest.raises(StaleHandle):
            pickle.loads(sent)

    def test_is_bounded_in_number(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(handles, "limit", lambda: 10)
        before = census().memfds
        for _ in range(10):
            pickle.dumps(filled(1))
        with pytest.raises(OutOfSharedMemory, match="10 handles were sent"):
            pickle.dumps(filled(1))
        monkeypatch.setattr(handles, "_NOT_DROPPED_BEFORE", 0.0)  # now they are old enough to make room
        sent = pickle.dumps(filled(2))
        assert handles.waiting() == 1
        assert first(pickle.loads(sent)) == 2
        assert census().memfds == before

    def test_counts_against_the_open_files(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
            assert handles.limit() == min(1024, hard) // 4
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def test_pickling_one_segment_often_keeps_it_once(self):
        segment = filled(1)
        before = census()
        for _ in range(1000):
            pickle.dumps(segment)
        assert handles.waiting() == 1
        assert census() == before


def in_a_child(action: Callable[[], Any]) -> Any:
    """What an action gives in a forked process."""
    mine, theirs = multiprocessing.Pipe(duplex=False)
    worker = multiprocessing.get_context("fork").Process(target=lambda: theirs.send(action()))
    worker.start()
    theirs.close()
    segment = mine.recv()
    worker.join(20)
    mine.close()
    return segment


def test_a_forked_child_answers_for_itself():
    """It sends what it inherited by its own thread, and keeps nothing that the parent has on its way."""
    segment = filled(5)
    kept = pickle.dumps(filled(6))
    waiting, listeners = in_a_child(lambda: (handles.waiting(), handles._server._listener is None))
    assert (waiting, listeners) == (0, True)

    def opened_by_a_grandchild() -> tuple[int, int]:
        mine = pickle.dumps(segment)
        return in_a_child(lambda: (first(pickle.loads(mine)), first(pickle.loads(kept))))

    assert in_a_child(opened_by_a_grandchild) == (5, 6)


def test_a_sender_that_has_ended_is_named():
    mine, theirs = multiprocessing.Pipe(duplex=False)
    worker = multiprocessing.get_context("fork").Process(target=lambda: theirs.send_bytes(pickle.dumps(filled(1))))
    worker.start()
    sent = mine.recv_bytes()
    worker.join(20)
    with pytest.raises(StaleHandle, match=f"process {worker.pid} leads nowhere"):
        pickle.loads(sent)


def test_who_does_not_know_the_token_gets_nothing():
    segment = filled(1)
    pickle.dumps(segment)
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(handles._server.address)
        line.sendall(b"x" * 16)
        assert socket.recv_fds(line, 1, 1)[:2] == (b"\0", [])
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(handles._server.address)  # and closes without sending anything
    assert first(pickle.loads(pickle.dumps(segment))) == 1


def test_who_calls_and_says_nothing_keeps_nobody_waiting():
    segment = filled(4)
    kept = pickle.dumps(segment)
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as half_way:
        silent.connect(handles._server.address)
        half_way.connect(handles._server.address)
        half_way.sendall(b"half")
        assert in_a_child(lambda: first(pickle.loads(kept))) == 4


def test_what_is_no_segment_is_not_mapped():
    """A forged handle may lead to a file that could shrink under our feet."""
    plain = Descriptor(os.memfd_create("bridgeflow"))
    os.ftruncate(plain.fd, 10_000)
    forged = Segment._over(filled(1).mapping, 10_000)
    forged.mapping.descriptor = plain
    with pytest.raises(DataError, match="not sealed"):
        pickle.loads(pickle.dumps(forged))


def test_many_threads_at_once():
    failures: list[BaseException] = []

    def work(value: int) -> None:
        try:
            for _ in range(50):
                assert first(pickle.loads(pickle.dumps(filled(value)))) == value
        except BaseException as error:
            failures.append(error)

    before = census()
    threads = [threading.Thread(target=work, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert census() == before


def test_no_descriptor_is_left_to_open_the_memory():
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()

    def starve() -> None:
        received = theirs.recv_bytes()
        soft = len(os.listdir("/proc/self/fd")) + 1  # a place for the line, none for what comes along it
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
        while True:
            try:
                os.dup(0)
            except OSError:
                break
        os.closerange(soft - 1, soft)
        try:
            pickle.loads(received)
        except OutOfSharedMemory as refusal:
            theirs.send(str(refusal))
        except BaseException as error:
            theirs.send(repr(error))

    worker = context.Process(target=starve, daemon=True)
    worker.start()
    sent = filled(1)
    mine.send_bytes(pickle.dumps(sent))
    assert "no file descriptor is left" in mine.recv()
    worker.join(20)
    mine.close()
    theirs.close()
