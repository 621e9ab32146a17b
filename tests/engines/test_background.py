"""Work in the background: all of it is waited for, its errors arrive, and an interrupt is not held up by it."""

import sys
import threading
import time

import numpy as np
import pytest

from bridgeflow.bridge import to_tensor, trace
from bridgeflow.engines.background import Cancelled, CancelToken, MemoryBudget, WorkLeftRunning, run_interruptibly


def test_all_works_are_done_side_by_side():
    meeting = threading.Barrier(3, timeout=10)
    done = []
    run_interruptibly([lambda: done.append(meeting.wait())] * 3, CancelToken())
    assert sorted(done) == [0, 1, 2]


def test_the_first_error_in_order_arrives_and_ends_the_others():
    cancel = CancelToken()
    both = threading.Barrier(2, timeout=10)

    def fails(message):
        both.wait()
        raise ValueError(message)

    def goes_on():
        while True:
            cancel.check()
            time.sleep(0.001)

    with pytest.raises(ValueError, match="first"):
        run_interruptibly([goes_on, lambda: fails("first"), lambda: fails("second")], cancel)


def test_what_asks_is_told_to_end_and_waited_for():
    cancel, ended = CancelToken(), []

    def works():
        try:
            while True:
                cancel.check()
                time.sleep(0.001)
        finally:
            ended.append(True)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run_interruptibly([works], cancel, tick=interrupt)
    assert ended == [True]
    assert not isinstance(caught.value.__cause__, WorkLeftRunning)


def test_what_does_not_ask_is_left_running(monkeypatch):
    monkeypatch.setattr("bridgeflow.engines.background.GRACE", 0.05)
    release = threading.Event()

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run_interruptibly([lambda: release.wait(10)], CancelToken(), tick=interrupt)
    release.set()
    assert isinstance(caught.value.__cause__, WorkLeftRunning)


@pytest.mark.parametrize("wait", range(50))
def test_an_interrupt_at_any_moment_of_the_wait_arrives_as_it_is(wait):
    """Raised before each line that the waiting thread runs, in its own frames and in those of the standard library."""
    release, main = threading.Event(), threading.current_thread()
    lines = iter(range(1_000))
    files = {run_interruptibly.__code__.co_filename, threading.__file__}  # not those of finalizers that happen to run

    def interrupt(frame, event, argument):
        if event == "line" and frame.f_code.co_filename in files and next(lines, None) == wait:
            release.set()
            raise KeyboardInterrupt
        return interrupt

    def trace_the_wait():
        assert threading.current_thread() is main
        sys.settrace(interrupt)
        sys._getframe(1).f_trace = interrupt

    before = sys.gettrace()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_interruptibly([lambda: release.wait(10)], CancelToken(), tick=trace_the_wait)
    finally:
        sys.settrace(before)


def test_crossings_in_the_background_are_traced():
    with trace() as crossings:
        run_interruptibly([lambda: to_tensor(np.arange(3.0))], CancelToken())
    assert len(crossings) == 1


def test_a_budget_is_shared_and_whoever_needs_more_than_all_of_it_works_alone():
    memory, inside, most = MemoryBudget(100), [], []

    def works(nbytes):
        for _ in range(20):
            with memory.of(nbytes, lambda: None):
                inside.append(nbytes)
                most.append(tuple(inside))
                inside.remove(nbytes)

    run_interruptibly([lambda n=n: works(n) for n in (40, 60, 70, 500)], CancelToken())
    assert all(sum(one) <= 100 or one == (500,) for one in most)
    assert len(most) == 80


def test_a_wait_for_memory_can_be_ended():
    memory, cancel = MemoryBudget(10), CancelToken()
    with memory.of(10, cancel.check):
        cancel.set()
        with pytest.raises(Cancelled), memory.of(1, cancel.check):
            pass
