"""WorkerPool: batches in order, whichever worker makes them; slots that come back; errors that arrive."""

from __future__ import annotations

import collections
import gc
import itertools
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from bridgeflow import memory
from bridgeflow.errors import BatchTooLarge, BridgeflowError, CannotFork, DataError, WorkerDied, WorkerFailed
from bridgeflow.pipeline import worker_process
from bridgeflow.pipeline.workers import WorkerPool
from tests.memory.census import alive, census, eventually

Pair = collections.namedtuple("Pair", ["left", "right"])


def batch(n: int) -> dict[str, Any]:
    """Every kind of leaf, a slow one now and then so that workers overtake each other."""
    time.sleep(0.003 if n % 3 == 0 else 0)
    x = memory.empty((50, 4), "float32")
    x[:] = n
    return {"x": x, "t": torch.full((3,), float(n)), "pair": Pair([n, str(n)], np.arange(n)), "none": None}


def check(result: dict[str, Any], n: int) -> None:
    assert result["x"].shape == (50, 4)
    assert (result["x"] == n).all()
    assert torch.equal(result["t"], torch.full((3,), float(n)))
    assert result["pair"] == Pair([n, str(n)], result["pair"].right)
    assert result["pair"].right.tolist() == list(range(n))
    assert result["none"] is None


def pool(fetch: Any = batch, **options: Any) -> WorkerPool:
    return WorkerPool(fetch, **{"num_workers": 2, "slot_nbytes": 1 << 16, **options})


class TestResults:
    @pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
    def test_in_the_order_of_the_tasks(self, context: Any):
        with pool(multiprocessing_context=context) as result:
            for _ in range(2):  # the same workers serve one run after the other
                for n, each in enumerate(result.run(range(15))):
                    check(each, n)
                assert n == 14

    @pytest.mark.parametrize(
        "options",
        [
            {"num_workers": 1},
            {"num_workers": 3},
            {"prefetch_factor": 1},
            {"prefetch_factor": 5},
            {"slots": 2},
            {"slots": 3, "prefetch_factor": 4},
            {"slots": 20},
        ],
        ids=str,
    )
    def test_do_not_depend_on_how_many_work(self, options: dict[str, int]):
        with pool(**options) as result:
            for n, each in enumerate(result.run(range(20))):
                check(each, n)
            assert n == 19

    def test_of_no_tasks_at_all(self):
        with pool() as result:
            assert list(result.run([])) == []

    def test_without_arrays(self):
        with pool(lambda n: n * n) as result:
            assert list(result.run(range(30))) == [n * n for n in range(30)]

    def test_large_messages_in_both_directions(self):
        """Neither side waits for the other to read before it writes."""
        with pool(lambda words: words[::-1], num_workers=1, prefetch_factor=4) as result:
            tasks = [f"{n}" * 3_000_000 for n in range(6)]
            assert list(result.run(tasks)) == [task[::-1] for task in tasks]


class TestSlots:
    def test_a_batch_is_its_consumers_alone(self):
        """It may be written to; when it has been released the slot is used again, and shows nothing of that."""
        with pool(num_workers=1, slots=4) as result:
            for n, each in enumerate(result.run(range(12))):
                check(each, n)
                each["x"][:] = -1
                each["t"].fill_(-1)
            assert result.copied == 0

    def test_batches_kept_are_never_overwritten(self):
        with pool(slots=6) as result:
            kept = list(result.run(range(25)))
            for n, each in enumerate(kept):
                check(each, n)
            assert result.copied == 25 - 2  # 2 workers with 2 tasks each leave 2 slots to lend
            assert result._ring.leased == 2
            del kept, each
            assert result._ring.leased == 0

    def test_part_of_a_batch_keeps_its_slot(self):
        with pool(slots=6) as result:
            run = result.run(range(10))
            kept = next(run)["t"][1:]
            for n, each in enumerate(run, 1):
                check(each, n)
            assert kept.tolist() == [0.0, 0.0]
            del each
            assert result._ring.leased == 1
            del kept
            assert result._ring.leased == 0

    def test_batches_outlive_the_pool(self):
        before = census().mappings
        with pool() as result:
            first, second = itertools.islice(result.run(range(5)), 2)
        del result
        gc.collect()
        check(first, 0)
        check(second, 1)
        del first, second
        assert census().mappings == before

    def test_workers_run_ahead_by_so_many_batches(self):
        taken: list[int] = []

        def tasks() -> Iterator[int]:
            for n in range(1000):
                taken.append(n)
                yield n

        with pool(slots=5) as result:
            run = result.run(tasks())
            next(run)
            time.sleep(0.1)
            assert len(taken) <= 6
            run.close()

    def test_a_batch_that_does_not_fit(self):
        with pool(lambda n: np.ones(n), slot_nbytes=8192) as result:
            run = result.run([1024, 10, 1025, 3])
            assert [next(run).size for _ in range(2)] == [1024, 10]
            with pytest.raises(BatchTooLarge, match="8,200 bytes does not fit into a slot of 8,192 bytes") as refusal:
                next(run)
            assert (refusal.value.batch_nbytes, refusal.value.slot_nbytes) == (8200, 8192)
            assert [each.size for each in result.run([3, 4])] == [3, 4]

    def test_memory_that_fetch_keeps_becomes_its_own(self):
        """A cache in the worker neither changes with later batches nor sees what the consumer writes."""
        kept: dict[int, Any] = {}

        def cached(n: int) -> Any:
            if n not in kept:
                kept[n] = memory.empty((100, 100))
                kept[n][:] = n
            assert all((x == key).all() for key, x in kept.items())
            return {"x": kept[n], "part": kept[n][1:3], "kept": len(kept)}

        with pool(cached, num_workers=1, slot_nbytes=100_000) as result:
            for n, each in enumerate(result.run([*range(20), *range(20)])):
                assert (each["x"] == n % 20).all()
                assert (each["part"] == n % 20).all()
                assert each["kept"] == min(n + 1, 20)
                each["x"][:] = -1
                each["part"][:] = -1

    def test_memory_kept_by_a_fetch_that_failed_too(self):
        kept: list[Any] = []

        def fetch(n: int) -> Any:
            x = memory.empty(100)
            x[:] = n
            if n == 0:
                kept.append(x)
                raise KeyError("none")
            return {"x": x, "kept": kept[0].tolist()}

        with pool(fetch, num_workers=1, slots=2) as result:
            with pytest.raises(KeyError):
                list(result.run([0]))
            for each in result.run(range(1, 6)):
                assert each["kept"] == [0.0] * 100

    def test_memory_in_a_cycle_is_found(self):
        def cycle(n: int) -> Any:
            x = memory.empty(10)
            x[:] = n
            knot: list[Any] = [x]
            knot.append(knot)
            return x

        with pool(cycle, num_workers=1) as result:
            assert [each[0] for each in result.run(range(5))] == list(range(5))


class Odd(Exception):
    """Pickles, and cannot be read again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def fail(how: str) -> Any:
    if how == "key":
        raise KeyError("thirteen")
    if how == "ours":
        error = DataError("a column is missing")
        error.place = "$.ecg"
        raise error
    if how == "odd":
        raise Odd(1, 2)
    if how == "lambda":
        raise ValueError(lambda: None)
    if how == "stop":
        raise StopIteration
    if how == "exit":
        raise SystemExit(3)
    if how == "unpicklable":
        return lambda: None
    return how


class TestErrors:
    @pytest.mark.parametrize(
        ("how", "kind", "words"),
        [
            ("key", KeyError, "thirteen"),
            ("ours", DataError, r"\$\.ecg: a column is missing"),
            ("odd", WorkerFailed, "Odd: 1 and 2"),
            ("lambda", WorkerFailed, "ValueError: "),
            ("stop", WorkerFailed, "StopIteration"),
            ("exit", WorkerFailed, "SystemExit: 3"),
            ("unpicklable", (AttributeError, pickle.PicklingError), "pickle"),
        ],
    )
    def test_arrive_with_the_workers_traceback(self, how: str, kind: Any, words: str):
        with pool(fail) as result:
            run = result.run(["fine", how, "never"])
            assert next(run) == "fine"
            with pytest.raises(kind, match=words) as error:
                next(run)
            (note,) = error.value.__notes__
            assert note.startswith("in a worker process:\nTraceback")
            assert how == "unpicklable" or "in fail" in note
            assert list(result.run(["still", "here"])) == ["still", "here"]

    def test_of_the_tasks_themselves_come_after_what_was_before(self):
        def tasks() -> Iterator[int]:
            yield from range(5)
            raise OSError("no more")

        with pool(lambda n: n) as result:
            run = result.run(tasks())
            assert [next(run) for _ in range(5)] == list(range(5))
            with pytest.raises(OSError, match="no more"):
                next(run)

    def test_a_task_that_cannot_be_pickled(self):
        with pool(lambda n: n) as result:
            run = result.run([1, 2, lambda: None, 3])
            assert [next(run), next(run)] == [1, 2]
            with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
                next(run)
            assert list(result.run([1])) == [1]
            assert result._ring.free == result.slots

    @pytest.mark.parametrize(
        "options",
        [
            {"num_workers": 0},
            {"prefetch_factor": 0},
            {"attempts": 0},
            {"threads": 0},
            {"slots": 1},
            {"multiprocessing_context": "thread"},
        ],
        ids=str,
    )
    def test_options_out_of_range(self, options: dict[str, Any]):
        with pytest.raises(ValueError, match=next(iter(options))):
            pool(**options)

    def test_one_run_at_a_time(self):
        with pool() as result:
            first = result.run(range(5))
            next(first)
            with pytest.raises(BridgeflowError, match="one run at a time"):
                next(result.run(range(5)))
            check(next(first), 1)

    @pytest.mark.parametrize("consumers", [2, 5])
    def test_threads_that_share_a_run_get_each_batch_once(self, consumers: int):
        with pool() as result:
            run, numbers = result.run(range(40)), [[] for _ in range(consumers)]
            threads = [
                threading.Thread(target=lambda own=own: own.extend(each["pair"].left[0] for each in run))
                for own in numbers
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert sorted(itertools.chain(*numbers)) == list(range(40))
            assert all(own == sorted(own) for own in numbers)
            check(next(result.run([3])), 3)

    def test_of_threads_that_begin_runs_at_once_one_has_its_batches_and_others_are_refused(self):
        with pool() as result:
            barrier, outcomes = threading.Barrier(6), []

            def consume() -> None:
                barrier.wait()
                try:
                    outcomes.append([each["pair"].left[0] for each in result.run(range(6))])
                except BridgeflowError as error:
                    outcomes.append(str(error))

            threads = [threading.Thread(target=consume) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            whole = [outcome for outcome in outcomes if isinstance(outcome, list)]
            assert whole
            assert all(outcome == list(range(6)) for outcome in whole)
            assert all("one run at a time" in outcome for outcome in outcomes if isinstance(outcome, str))
            assert len(outcomes) == 6

    def test_closed_is_closed(self):
        result = pool()
        run = result.run(range(5))
        next(run)
        result.close()
        result.close()
        with pytest.raises(BridgeflowError, match="closed"):
            list(run)
        with pytest.raises(BridgeflowError, match="closed"):
            next(result.run(range(5)))


class Refuses:
    """Cannot be read again where it arrives."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __getstate__(self) -> dict[str, Any]:
        return {"how": self.how, "home": os.getpid()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["how"] == "exit":
            os._exit(7)
        raise DataError("the file has changed")

    def __call__(self, n: int) -> int:
        return n


def threads_of_torch(_: int) -> int:
    torch.ones(1000, 1000).sin().sum()
    return torch.get_num_threads()


class TestLives:
    def test_a_run_given_up_half_way_leaves_the_pool_ready(self):
        with pool() as result:
            for stop in (1, 3, 0):
                run = result.run(range(100))
                for _ in range(stop):
                    next(run)
                run.close()
            for n, each in enumerate(result.run(range(10))):
                check(each, n)
            del each
            assert eventually(lambda: result._ring.leased == 0)
            assert result._ring.free == result.slots

    def test_processes_end_with_the_pool(self):
        before = census()
        with pool() as result:
            pids = result.pids
            next(result.run(range(5)))
            assert all(map(alive, pids))
        assert not any(map(alive, pids))
        del result
        assert census() == before

    def test_processes_end_with_a_pool_that_nobody_closed(self):
        before = census()
        result = pool()
        pids = result.pids
        list(result.run(range(5)))
        del result
        gc.collect()
        assert not any(map(alive, pids))
        assert census() == before

    def test_a_worker_in_the_midst_of_something_is_ended_all_the_same(self):
        result = pool(lambda n: time.sleep(600))
        pids = result.pids
        run = result.run(range(4))
        closing = threading.Timer(0.2, result.close)
        closing.start()
        with pytest.raises(BridgeflowError, match="closed"):
            next(run)
        closing.join()
        assert not any(map(alive, pids))

    @pytest.mark.parametrize("context", ["spawn", "forkserver"])
    def test_a_fetch_that_cannot_be_read_is_told_at_once(self, context: Any):
        with pool(Refuses("raise"), multiprocessing_context=context, num_workers=1) as result:
            with pytest.raises(DataError, match="the file has changed") as error:
                list(result.run(range(3)))
            assert "__setstate__" in error.value.__notes__[0]

    def test_workers_that_die_before_they_begin(self):
        with pool(Refuses("exit"), multiprocessing_context="forkserver", num_workers=1, attempts=2) as result:
            with pytest.raises(WorkerDied, match="2 workers ended before they could begin") as error:
                list(result.run(range(3)))
            assert error.value.exitcode == 7

    def test_ctrl_c_is_for_the_parent_alone(self):
        with pool(num_workers=1) as result:
            list(result.run([1]))
            (pid,) = result.pids
            for n, each in enumerate(result.run(range(10))):
                os.kill(pid, signal.SIGINT)
                check(each, n)
            assert result.pids == (pid,)

    def test_torch_computes_with_one_thread_unless_told_otherwise(self):
        torch.ones(1000, 1000).sin().sum()  # the parent's threads are at work before the fork
        with pool(threads_of_torch, num_workers=1) as result:
            assert list(result.run([0])) == [1]
        with pool(threads_of_torch, num_workers=1, threads=2, multiprocessing_context="forkserver") as result:
            assert list(result.run([0])) == [2]

    @pytest.mark.parametrize("threads", [None, 2])
    def test_several_threads_do_not_survive_a_fork(self, threads: int | None):
        with pytest.raises(CannotFork, match='pass threads=1, or multiprocessing_context="spawn"'):
            pool(threads=threads)

    def test_a_pool_made_in_a_thread_outlives_it(self):
        result: list[WorkerPool] = []
        thread = threading.Thread(target=lambda: result.append(pool()))
        thread.start()
        thread.join()
        pids = result[0].pids
        with result[0]:
            for n, each in enumerate(result[0].run(range(10))):
                check(each, n)
            assert result[0].pids == pids

    def test_two_pools_close_at_once_in_any_order(self):
        """The second one's workers have inherited the first one's lines."""
        first, second = pool(), pool()
        list(first.run(range(3)))
        list(second.run(range(3)))
        pids = first.pids
        began = time.monotonic()
        first.close()
        assert not any(map(alive, pids))
        print(f"closed in {time.monotonic() - began:.3f} s")
        for n, each in enumerate(second.run(range(5))):
            check(each, n)
        second.close()

    def test_a_fork_of_the_parent_has_no_part_in_it(self):
        """It can neither use the workers nor end them, and its end is not the parent's."""
        with pool() as result:
            run = result.run(range(20))
            check(next(run), 0)
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    with pytest.raises(BridgeflowError, match="belongs to process"):
                        next(result.run(range(3)))
                    run.close()
                    result.close()
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            for n, each in enumerate(run, 1):
                check(each, n)
            assert n == 19

    def test_handlers_of_the_parent_stay_with_the_parent(self):
        met: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda *_: met.append(os.getpid()))
        try:
            with pool(lambda _: signal.getsignal(signal.SIGTERM) is signal.SIG_DFL) as result:
                assert list(result.run([0])) == [True]
                os.kill(result.pids[0], signal.SIGTERM)
                assert list(result.run(range(5))) == [True] * 5
        finally:
            signal.signal(signal.SIGTERM, before)
        assert not met

    def test_workers_have_no_workers(self):
        def nest(_: int) -> str:
            with pytest.raises(CannotFork, match="is itself a worker") as refusal:
                pool()
            return str(refusal.value)

        with pool(nest) as result:
            assert "Loader(num_workers=0)" in next(result.run([0]))

    def test_cuda_in_use_is_refused_before_the_fork(self, monkeypatch: pytest.MonkeyPatch):
        before = census()
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        with pytest.raises(CannotFork, match='pass multiprocessing_context="spawn"'):
            pool()
        assert census() == before
        with pool(multiprocessing_context="forkserver", num_workers=1) as result:
            check(next(result.run([1])), 1)

    def test_cuda_in_use_later_is_refused_before_a_worker_is_replaced(self, monkeypatch: pytest.MonkeyPatch):
        with pool(num_workers=1) as result:
            list(result.run([1]))
            monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
            os.kill(result.pids[0], signal.SIGKILL)
            with pytest.raises(CannotFork):
                list(result.run(range(3)))

    def test_a_worker_that_never_speaks_is_replaced(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(worker_process, "_START_SECONDS", 0.2)
        monkeypatch.setattr(worker_process, "work", lambda *_: time.sleep(600))
        with pool(num_workers=1, attempts=2) as result, pytest.raises(WorkerDied, match="2 workers ended before"):
            list(result.run(range(3)))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("workers", "num_workers"), ("prefetch", "prefetch_factor"), ("context", "multiprocessing_context")],
)
def test_an_argument_that_does_not_exist_names_the_right_one(name: str, hint: str):
    with pytest.raises(TypeError, match=f"WorkerPool: no argument is called '{name}'; did you mean '{hint}'"):
        pool(**{name: 1})
