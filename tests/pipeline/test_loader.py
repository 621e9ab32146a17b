"""The same batches at any number of threads and workers, from any point on, once per epoch; and nothing left over."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from bridgeflow import Compose, Scale, SignalFilter
from bridgeflow._threads import compute_threads
from bridgeflow.errors import DataError, NoRoute
from bridgeflow.io import open_sink
from bridgeflow.pipeline.batches import Batch, collate
from bridgeflow.pipeline.dataset import SignalDataset
from bridgeflow.pipeline.loader import Loader
from bridgeflow.pipeline.prefetch import Prefetcher
from bridgeflow.randomness import generators

ROWS = 53
BUTTER: dict[str, Any] = {"design": "butter", "cutoff": 20.0, "fs": 100.0, "order": 4, "keys": "ecg"}
WAYS: list[dict[str, Any]] = [{"threads": 0}, {"threads": 1}, {"threads": 3, "prefetch_factor": 4}, {"num_workers": 2}]


def jitter(sample: dict[str, Any]) -> dict[str, Any]:
    """A random transform of the plainest kind; the first rows take longest."""
    (rng,) = generators()
    time.sleep(0.002 * (int(sample["row"]) < 5))
    return {**sample, "shift": rng.integers(1 << 60)}


def refuse(sample: dict[str, Any]) -> dict[str, Any]:
    if int(sample["row"]) == 17:
        raise ZeroDivisionError("row 17")
    return sample


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("loader")
    ecg = np.random.default_rng(0).standard_normal((ROWS, 2, 32), dtype=np.float32)
    for suffix in ("arrow", "parquet"):
        with open_sink(folder / f"all.{suffix}") as sink:
            sink.write({"ecg": ecg, "row": np.arange(ROWS)})
    return {suffix: folder / f"all.{suffix}" for suffix in ("arrow", "parquet")}


@pytest.fixture
def dataset(files: dict[str, Path]) -> SignalDataset:
    return SignalDataset(files["arrow"], Compose([SignalFilter(**BUTTER), jitter]))


def rows(batches: Any) -> list[list[int]]:
    return [batch["row"].tolist() for batch in batches]


def flat(batches: Any) -> list[int]:
    return [row for batch in rows(batches) for row in batch]


def assert_same(seen: list[Any], expected: list[Any]) -> None:
    assert len(seen) == len(expected)
    for one, other in zip(seen, expected, strict=True):
        assert list(one) == list(other)
        for name in other:
            assert one[name].dtype == other[name].dtype
            assert one[name].tolist() == other[name].tolist()


@contextmanager
def nothing_left() -> Iterator[None]:
    """No thread, child or descriptor more than before."""

    def alive() -> tuple[int, int]:
        gc.collect()
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("bridgeflow-loader")]
        return len(threads), len(os.listdir("/proc/self/fd"))

    before = alive()
    yield
    assert alive() == before


class TestBatches:
    @pytest.mark.parametrize("way", WAYS, ids=str)
    @pytest.mark.parametrize("shuffle", [False, True, "windowed"])
    def test_are_stacked_samples(self, dataset: SignalDataset, way: dict[str, Any], shuffle: Any):
        loader = Loader(dataset, 7, shuffle=shuffle, seed=3, window=16, **way)
        twin = SignalDataset(dataset.source, dataset.transform, seed=3)
        for epoch in range(2):
            twin.set_epoch(epoch)
            batches = list(loader)
            assert sorted(flat(batches)) == list(range(ROWS))
            assert_same(batches, [collate([twin[row] for row in batch]) for batch in rows(batches)])
            assert all(type(batch) is Batch for batch in batches)
        loader.close()

    def test_of_every_epoch_differ(self, dataset: SignalDataset):
        loader = Loader(dataset, 7, shuffle=True)
        first, second = list(loader), list(loader)
        assert rows(first) != rows(second)
        shifts = [
            {int(r): int(s) for b in e for r, s in zip(b["row"], b["shift"], strict=True)} for e in (first, second)
        ]
        assert all(shifts[0][row] != shifts[1][row] for row in range(ROWS))
        loader.set_epoch(0)
        assert_same(list(loader), first)

    @given(data=st.data())
    def test_are_those_of_torchs_loader_whatever_the_order(self, data: st.DataObject):
        count = data.draw(st.integers(1, 60))
        table = {"x": np.random.default_rng(0).standard_normal((count, 8)), "row": np.arange(count)}
        dataset = SignalDataset(table, Scale(scale=3.0, keys="x"))
        loader = Loader(
            dataset,
            data.draw(st.integers(1, 70)),
            shuffle=data.draw(st.sampled_from([True, False, "windowed"])),
            seed=data.draw(st.integers(0, 2**64 - 1)),
            drop_last=data.draw(st.booleans()),
            window=data.draw(st.integers(1, 80)),
            world_size=2,
            rank=data.draw(st.integers(0, 1)),
            threads=data.draw(st.integers(0, 2)),
        )
        theirs = list(DataLoader(dataset, batch_sampler=loader.batch_sampler))
        ours = list(loader)
        assert_same(ours, theirs)
        assert_same(ours, [collate([dataset[row] for row in batch]) for batch in rows(ours)])

    @pytest.mark.parametrize("way", WAYS, ids=str)
    @pytest.mark.parametrize("stop", [0, 1, 4, 8])
    def test_of_passes_left_early_are_of_the_next_epoch(self, dataset: SignalDataset, way: dict[str, Any], stop: int):
        """Whether a loop ends at a count of its own (8 is all) or by the loader's end makes no difference."""
        whole, counted = (
            Loader(dataset, 7, shuffle=True, seed=2, threads=0),
            Loader(dataset, 7, shuffle=True, seed=2, **way),
        )
        for _ in range(3):
            expected, batches = list(whole)[:stop], iter(counted)
            assert_same([next(batches) for _ in range(stop)], expected)
        counted.close()

    def test_of_a_set_epoch_go_on_from_it(self, dataset: SignalDataset):
        loader, twin = Loader(dataset, 7, shuffle=True), Loader(dataset, 7, shuffle=True)
        epochs = [rows(twin) for _ in range(6)]
        loader.set_epoch(3)
        assert [rows(loader), rows(loader)] == epochs[3:5]
        take(loader, 2)
        loader.set_epoch(0)
        assert [rows(loader), rows(loader)] == epochs[:2]

    def test_of_a_pass_that_has_not_begun_are_of_the_epoch_set_last(self, dataset: SignalDataset):
        """Lightning makes the iterator, and then says which epoch it is."""
        loader, twin = Loader(dataset, 7, shuffle=True), Loader(dataset, 7, shuffle=True)
        epochs = [rows(twin) for _ in range(7)]
        batches = iter(loader)
        loader.set_epoch(5)
        assert rows(batches) == epochs[5]
        assert rows(loader) == epochs[6]

    def test_of_two_passes_at_once_are_of_two_epochs(self, dataset: SignalDataset):
        loader, twin = Loader(dataset, 7, shuffle=True), Loader(dataset, 7, shuffle=True)
        epochs = [rows(twin), rows(twin)]
        both = [list(pair) for pair in zip(loader, loader, strict=True)]
        assert [rows(batch for batch, _ in both), rows(batch for _, batch in both)] == epochs

    @pytest.mark.parametrize("way", WAYS, ids=str)
    def test_go_each_to_one_of_several_consumers(self, dataset: SignalDataset, way: dict[str, Any]):
        loader = Loader(dataset, 3, shuffle=True, **way)
        expected = sorted(map(tuple, rows(Loader(dataset, 3, shuffle=True))))
        for _ in range(3):
            loader.set_epoch(0)
            batches, seen = iter(loader), []

            def consume(batches: Iterator[Any] = batches, seen: list[Any] = seen) -> None:
                for batch in batches:
                    seen.append(tuple(batch["row"].tolist()))

            consumers = [threading.Thread(target=consume, daemon=True) for _ in range(6)]
            for consumer in consumers:
                consumer.start()
            for consumer in consumers:
                consumer.join(60)
            assert not any(consumer.is_alive() for consumer in consumers)
            assert sorted(seen) == expected
            assert loader.epoch == 1
        loader.close()

    @pytest.mark.parametrize("shuffle", [True, False])
    def test_of_parquet_are_those_of_arrow(self, files: dict[str, Path], shuffle: bool):
        loaders = [Loader(SignalDataset(path), 7, shuffle="windowed" if shuffle else False) for path in files.values()]
        assert_same(list(loaders[0]), list(loaders[1]))

    def test_are_shuffled_as_the_source_allows(self, files: dict[str, Path]):
        exact, windowed = (Loader(SignalDataset(files[name]), 7, shuffle=True) for name in ("arrow", "parquet"))
        assert (exact.order.shuffle, windowed.order.shuffle) == ("exact", "windowed")
        assert sorted(flat(windowed)) == list(range(ROWS))

    def test_can_be_left_incomplete(self, dataset: SignalDataset):
        assert [len(batch) for batch in rows(Loader(dataset, 10, drop_last=True))] == [10] * 5
        assert len(Loader(dataset, 10, drop_last=True)) == 5
        assert len(Loader(dataset, 10)) == 6

    def test_are_shared_among_ranks(self, dataset: SignalDataset):
        shares = [flat(Loader(dataset, 4, shuffle=True, rank=rank, world_size=3, uneven="drop")) for rank in range(3)]
        assert [len(share) for share in shares] == [17] * 3
        assert len({row for share in shares for row in share}) == 51

    def test_by_a_collate_of_ones_own(self, dataset: SignalDataset):
        for way in WAYS:
            loader = Loader(dataset, 10, collate_fn=lambda samples: [int(s["row"]) for s in samples], **way)
            assert list(loader) == [list(range(start, min(start + 10, ROWS))) for start in range(0, ROWS, 10)]
            loader.close()

    def test_tell_how_many_are_to_come(self, dataset: SignalDataset):
        batches = iter(Loader(dataset, 10))
        next(batches)
        assert len(batches) == 5  # type: ignore[arg-type]

    def test_of_an_empty_source(self, tmp_path: Path):
        with open_sink(tmp_path / "none.arrow") as sink:
            sink.write({"x": np.zeros((0, 3))})
        loader = Loader(SignalDataset(tmp_path / "none.arrow"), 4, shuffle=True)
        assert (len(loader), list(loader)) == (0, [])

    def test_larger_than_a_slot(self, files: dict[str, Path]):
        loader = Loader(SignalDataset(files["arrow"], repeated), 20, num_workers=1)
        assert [tuple(batch["big"].shape) for batch in loader] == [(20, 200_000), (20, 200_000), (13, 200_000)]
        loader.close()

    @pytest.mark.slow
    @pytest.mark.parametrize("context", ["spawn", "forkserver"])
    def test_from_workers_started_otherwise(self, dataset: SignalDataset, context: Any):
        with_workers = Loader(dataset, 7, shuffle=True, num_workers=2, multiprocessing_context=context)
        assert_same(list(with_workers), list(Loader(dataset, 7, shuffle=True)))
        with_workers.close()


def repeated(sample: dict[str, Any]) -> dict[str, Any]:
    return {"big": sample["row"].repeat(200_000).float()}


class TestState:
    @pytest.mark.parametrize("shuffle", [True, "windowed", False])
    def test_restored_at_every_step(self, files: dict[str, Path], shuffle: Any):
        """Two generations deep, through JSON, with the number of threads changed between."""
        dataset = SignalDataset(files["arrow"], jitter)
        whole = Loader(dataset, 10, shuffle=shuffle, seed=2)
        expected = [batch for _ in range(3) for batch in whole]
        steps = len(whole)
        for step in range(2 * steps + 1):
            first = Loader(dataset, 10, shuffle=shuffle, seed=2, threads=step % 3)
            seen = take(first, step)
            second = Loader(dataset, 10, shuffle=shuffle, seed=2, threads=(step + 1) % 3)
            second.load_state_dict(json.loads(json.dumps(first.state_dict())))
            assert second.state_dict() == first.state_dict()
            seen += take(second, 2)
            third = Loader(dataset, 10, shuffle=shuffle, seed=2)
            third.load_state_dict(json.loads(json.dumps(second.state_dict())))
            seen += take(third, 3 * steps - len(seen))
            assert_same(seen, expected)

    def test_with_the_number_of_workers_changed_between(self, dataset: SignalDataset):
        expected = list(Loader(dataset, 6, shuffle=True))
        state, seen = None, []
        for way in ({"num_workers": 2}, {"threads": 2}, {"num_workers": 1, "prefetch_factor": 1}, {"threads": 0}):
            loader = Loader(dataset, 6, shuffle=True, **way)
            if state is not None:
                loader.load_state_dict(state)
            seen += take(loader, 2)
            state = loader.state_dict()
            loader.close()
        assert_same(seen, expected[:8])

    @given(data=st.data())
    def test_any_interleaving_of_steps_and_restores(self, files: dict[str, Path], data: st.DataObject):
        dataset = SignalDataset(files["arrow"], columns=["row"])
        options: dict[str, Any] = {
            "shuffle": data.draw(st.sampled_from([True, False, "windowed"])),
            "drop_last": data.draw(st.booleans()),
            "world_size": data.draw(st.integers(1, 3)),
            "window": data.draw(st.integers(1, 60)),
        }
        size = data.draw(st.integers(1, 60))
        whole = Loader(dataset, size, **options, threads=0)
        expected = [batch for _ in range(4) for batch in rows(whole)]
        loader, seen = Loader(dataset, size, **options, threads=0), []
        for steps in data.draw(st.lists(st.integers(0, 6), max_size=6)):
            seen += rows(take(loader, min(steps, len(expected) - len(seen))))
            state = loader.state_dict()
            loader = Loader(dataset, size, **options, threads=0)
            loader.load_state_dict(state)
        assert seen == expected[: len(seen)]

    @pytest.mark.parametrize("way", WAYS[:3], ids=str)
    def test_after_exactly_the_last_batch_is_the_next_epochs(self, dataset: SignalDataset, way: dict[str, Any]):
        whole, counted = (Loader(dataset, 10, shuffle=True, **way) for _ in range(2))
        expected = [list(whole) for _ in range(3)]
        batches = iter(counted)
        assert_same([next(batches) for _ in range(len(counted))], expected[0])
        state = counted.state_dict()
        assert (state["epoch"], state["batch"]) == (1, 0)
        resumed = Loader(dataset, 10, shuffle=True, **way)
        resumed.load_state_dict(state)
        assert [len(list(batches)), list(map(len, rows(counted)))] == [0, list(map(len, rows(expected[1])))]
        assert_same(list(resumed), expected[1])
        assert_same(list(resumed), expected[2])

    def test_after_an_early_break_goes_on_there_and_the_loader_itself_does_not(self, dataset: SignalDataset):
        loader, resumed = Loader(dataset, 10, shuffle=True), Loader(dataset, 10, shuffle=True)
        expected = [list(loader) for _ in range(2)]
        loader.set_epoch(0)
        for _, _ in zip(range(2), loader, strict=False):
            pass
        resumed.load_state_dict(loader.state_dict())
        assert_same(list(loader), expected[1])
        assert_same(list(resumed), expected[0][2:])
        assert_same(list(resumed), expected[1])

    def test_of_a_loader_that_was_given_an_epoch_is_its_beginning(self, dataset: SignalDataset):
        loader, resumed = Loader(dataset, 10, shuffle=True), Loader(dataset, 10, shuffle=True)
        take(loader, 2)
        loader.set_epoch(4)
        resumed.load_state_dict(loader.state_dict())
        assert rows(resumed) == rows(loader)
        assert (loader.epoch, resumed.epoch) == (5, 5)

    def test_made_ahead_does_not_count(self, dataset: SignalDataset):
        loader = Loader(dataset, 4, threads=2, prefetch_factor=5)
        batches = iter(loader)
        next(batches)
        time.sleep(0.05)
        assert loader.state_dict()["batch"] == 1

    def test_a_pass_begins_at_its_first_batch_unless_restored(self, dataset: SignalDataset):
        loader = Loader(dataset, 10, shuffle=True)
        first = rows(take(loader, 2))
        loader.set_epoch(0)
        assert rows(take(loader, 2)) == first
        loader.load_state_dict(loader.state_dict())
        assert loader.state_dict()["batch"] == 2
        loader.set_epoch(0)  # what a training loop says at the start of each epoch, of the restored one too
        assert rows(take(loader, 1)) != first[:1]
        loader.load_state_dict(loader.state_dict())
        loader.set_epoch(1)
        assert loader.state_dict()["batch"] == 0

    def test_an_old_pass_does_not_move_the_position(self, dataset: SignalDataset):
        loader = Loader(dataset, 10)
        old = iter(loader)
        next(old)
        new = iter(loader)
        list(old)
        assert (loader.state_dict()["epoch"], loader.state_dict()["batch"]) == (1, 0)
        next(new)
        assert loader.state_dict()["batch"] == 1

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            ({"seed": 1}, r"taken with seed=0 \(here 1\)"),
            ({"batch_size": 5}, r"batch_size=6 \(here 5\)"),
            ({"shuffle": True}, r"shuffle='none' \(here 'exact'\)"),
            ({"drop_last": True}, "drop_last=False"),
            ({"world_size": 2, "rank": 1}, r"rank=0 \(here 1\), world_size=1 \(here 2\)"),
        ],
    )
    def test_of_another_order_is_refused(self, dataset: SignalDataset, other: dict[str, Any], message: str):
        state = Loader(dataset, 6).state_dict()
        with pytest.raises(DataError, match=message):
            Loader(dataset, **{"batch_size": 6, **other}).load_state_dict(state)

    def test_of_another_dataset_is_refused(self, files: dict[str, Path], dataset: SignalDataset):
        with pytest.raises(DataError, match="taken with dataset="):
            Loader(SignalDataset(files["parquet"]), 6).load_state_dict(Loader(dataset, 6).state_dict())

    @pytest.mark.parametrize(
        "spoil",
        [{"version": 2}, {"epoch": "1"}, {"epoch": -1}, {"batch": 100}, {"batch": -1}, {"batch": True}, {"of": None}],
    )
    def test_that_is_none_is_refused(self, dataset: SignalDataset, spoil: dict[str, Any]):
        loader = Loader(dataset, 6)
        with pytest.raises(DataError, match="load_state_dict"):
            loader.load_state_dict(loader.state_dict() | spoil)
        with pytest.raises(DataError, match="not a state of a loader"):
            loader.load_state_dict({})


def take(loader: Loader, count: int) -> list[Any]:
    """`count` batches, over as many epochs as that takes."""
    result: list[Any] = []
    while len(result) < count:
        for batch in loader:
            result.append(batch)
            if len(result) == count:
                break
    return result


class TestEnds:
    @pytest.mark.parametrize("way", WAYS, ids=str)
    def test_in_the_middle(self, dataset: SignalDataset, way: dict[str, Any]):
        with nothing_left():
            loader = Loader(dataset, 4, **way)
            assert len(take(loader, 1)) == 1
            assert rows(take(loader, 2)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
            loader.close()
            del loader

    @pytest.mark.parametrize("way", WAYS, ids=str)
    def test_by_an_error_in_its_place(self, files: dict[str, Path], way: dict[str, Any]):
        with nothing_left():
            loader = Loader(SignalDataset(files["arrow"], refuse), 5, **way)
            batches = iter(loader)
            assert [next(batches)["row"].tolist()[0] for _ in range(3)] == [0, 5, 10]
            with pytest.raises(ZeroDivisionError, match="row 17"):
                next(batches)
            assert loader.state_dict()["batch"] == 3
            loader.close()
            del loader, batches

    @pytest.mark.parametrize("way", WAYS, ids=str)
    def test_not_by_a_stop_iteration_of_a_transform(self, files: dict[str, Path], way: dict[str, Any]):
        """`next()` on something exhausted must not pass for the end of the epoch."""
        loader = Loader(SignalDataset(files["arrow"], lambda sample: next(iter(()))), 5, **way)
        with pytest.raises(RuntimeError, match="StopIteration"):
            list(loader)
        loader.close()

    def test_of_a_dropped_iterator(self, dataset: SignalDataset):
        with nothing_left():
            batches = iter(Loader(dataset, 4, threads=3))
            next(batches)
            assert any(thread.name.startswith("bridgeflow-loader") for thread in threading.enumerate())
            del batches

    @pytest.mark.parametrize("way", ["threads=2", pytest.param("num_workers=1", marks=pytest.mark.slow)])
    def test_of_the_program(self, files: dict[str, Path], way: str):
        """An iterator that is still alive keeps no program from ending."""
        code = (
            "from bridgeflow.pipeline.dataset import SignalDataset\nfrom bridgeflow.pipeline.loader import Loader\n"
            f"batches = iter(Loader(SignalDataset({str(files['arrow'])!r}), 4, {way}))\nnext(batches)\nprint('end')"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")

    def test_an_error_of_the_tasks_ends_the_threads(self):
        def tasks() -> Iterator[int]:
            yield 1
            raise KeyError("tasks")

        with nothing_left(), pytest.raises(KeyError, match="tasks"):
            list(Prefetcher(lambda task: task, tasks(), threads=1, size=1))


class TestPassesAtTheSameTime:
    @pytest.mark.parametrize("way", WAYS, ids=str)
    def test_have_an_epoch_each(self, dataset: SignalDataset, way: dict[str, Any]):
        loader = Loader(dataset, 6, shuffle=True, seed=2, **way)
        right = [rows(loader), rows(loader)]
        loader.set_epoch(0)
        first, second = iter(loader), iter(loader)
        together = [(next(first), next(second)) for _ in range(len(loader))]
        assert [rows(batches) for batches in zip(*together, strict=True)] == right
        loader.close()

    @pytest.mark.parametrize("way", WAYS, ids=str)
    def test_one_that_was_left_and_is_still_at_hand_disturbs_none(self, dataset: SignalDataset, way: dict[str, Any]):
        with nothing_left():
            loader = Loader(dataset, 6, **way)
            kept = iter(loader)
            begun = [next(kept)]
            right = [list(range(n, min(n + 6, len(dataset)))) for n in range(0, len(dataset), 6)]
            assert [rows(loader), rows(loader)] == [right, right]
            assert rows(begun + list(kept)) == right
            assert rows(loader) == right
            loader.close()
            del loader, kept, begun


class TestAhead:
    @given(count=st.integers(0, 30), threads=st.integers(1, 4), ahead=st.integers(1, 6))
    def test_keeps_the_order(self, count: int, threads: int, ahead: int):
        assert list(Prefetcher(lambda task: task * 2, iter(range(count)), threads=threads, size=ahead)) == [
            2 * number for number in range(count)
        ]

    def test_threads_share_the_processor(self):
        before = torch.get_num_threads()
        torch.set_num_threads(4)
        try:
            assert list(Prefetcher(lambda task: compute_threads(), iter(range(3)), threads=2, size=3)) == [2, 2, 2]
            assert list(Prefetcher(lambda task: compute_threads(), iter(range(3)), threads=8, size=3)) == [1, 1, 1]
            assert compute_threads() == 4
        finally:
            torch.set_num_threads(before)

    def test_runs_no_further_ahead_than_told(self):
        begun: list[int] = []
        results = Prefetcher(lambda task: begun.append(task) or task, iter(range(100)), threads=2, size=3)
        next(results)
        time.sleep(0.05)
        assert max(begun) <= 3
        results.close()
        assert list(results) in ([], [1, 2, 3])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"shuffle": "yes"}, ValueError, "shuffle must be True, False, 'exact' or 'windowed', got 'yes'"),
        ({"num_workers": -1}, ValueError, "num_workers must be a whole number of at least 0, got -1"),
        ({"threads": 1.5}, ValueError, "threads must be"),
        ({"prefetch_factor": 0}, ValueError, "prefetch_factor must be a whole number of at least 1"),
        ({"seed": "0"}, ValueError, "seed must be"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"batch_size": 2.0}, ValueError, "batch_size must be a whole number of at least 1, got 2.0"),
        ({"batch_size": True}, ValueError, "batch_size must be"),
        ({"window": 0}, ValueError, "window must be"),
        ({"rank": "0"}, ValueError, "rank must be"),
        ({"world_size": 0}, ValueError, "world_size must be"),
        ({"uneven": "cut"}, ValueError, "uneven must be one of 'pad', 'drop'"),
        ({"drop_last": "no"}, ValueError, "drop_last must be True or False, got 'no'"),
        ({"collate_fn": 3}, TypeError, "collate_fn must be a function of a list of samples, got 3"),
        ({"collate_fn": dict}, TypeError, "collate_fn must be a function"),
        (
            {"multiprocessing_context": "threads"},
            ValueError,
            "multiprocessing_context must be one of 'fork', 'spawn', 'forkserver', got 'threads'",
        ),
        ({"multiprocessing_context": None}, ValueError, "multiprocessing_context must be one of"),
        ({"device": 1.5}, NoRoute, "torch knows no device 1.5"),
        ({"device": "nowhere"}, NoRoute, "torch knows no device"),
        ({"device": "meta"}, NoRoute, "batches can go to the CPU and to CUDA devices"),
    ],
)
def test_refuses_what_makes_no_sense(
    dataset: SignalDataset, options: dict[str, Any], error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        Loader(dataset, **{"batch_size": 4, **options})


@pytest.mark.parametrize("integer", [np.int8, np.int64, np.uint16, torch.tensor])
def test_takes_whole_numbers_of_any_make(dataset: SignalDataset, integer: Any):
    numbers = {
        "batch_size": 4,
        "seed": 1,
        "window": 9,
        "num_workers": 0,
        "threads": 1,
        "prefetch_factor": 1,
        "rank": 0,
        "world_size": 2,
    }
    plain = Loader(dataset, **numbers)  # type: ignore[arg-type]
    loader = Loader(dataset, **{name: integer(number) for name, number in numbers.items()}, drop_last=np.False_)
    assert json.loads(json.dumps(loader.state_dict())) == plain.state_dict()
    assert rows(loader) == rows(plain)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_takes_a_context_of_multiprocessing(dataset: SignalDataset, method: str):
    Loader(dataset, 4, multiprocessing_context=multiprocessing.get_context(method))


def test_takes_signal_datasets_alone():
    with pytest.raises(TypeError, match="needs a SignalDataset or a Mixture, got a list"):
        Loader([1, 2], 1)  # type: ignore[arg-type]


def test_on_the_cpu_a_device_changes_nothing(dataset: SignalDataset):
    assert_same(list(Loader(dataset, 9, device="cpu")), list(Loader(dataset, 9)))


def test_a_batch_may_be_written_to_without_reaching_the_next_epoch(files: dict[str, Path]):
    for transform in (None, Scale(scale=2.0, keys="ecg")):
        for way in WAYS:
            loader = Loader(SignalDataset(files["arrow"], transform), 9, **way)
            before = [batch["ecg"].clone() for batch in loader]
            for batch in loader:
                batch["ecg"].zero_()
            assert all(torch.equal(batch["ecg"], one) for batch, one in zip(loader, before, strict=True))
            loader.close()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("workers", "'num_workers'"),
        ("prefetch", "'prefetch_factor'"),
        ("context", "'multiprocessing_context'"),
        ("collate", "'collate_fn'"),
        ("world", "'world_size'"),
        ("num_worker", "'num_workers'"),
        ("pin_memory", "device="),
    ],
)
def test_an_argument_that_does_not_exist_names_the_right_one(dataset: SignalDataset, name: str, hint: str):
    options: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError, match=f"Loader: no argument is called '{name}'; .*{hint}"):
        Loader(dataset, 4, **options)
