"""A dataset's epoch reaches its workers, and rows that are drawn twice in one are told of."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader, Subset

from bridgeflow import SignalDataset, collate
from bridgeflow.pipeline import epoch as module
from bridgeflow.randomness import generators
from tests.workplace import ROOT


def noisy(sample: dict[str, Any]) -> dict[str, Any]:
    (rng,) = generators()
    return {**sample, "noise": float(rng.standard_normal())}


def dataset(transform: Any = noisy) -> SignalDataset:
    return SignalDataset({"x": np.arange(8)}, transform, seed=1)


def epochs(rows: SignalDataset, numbers: list[int], **options: Any) -> list[Any]:
    batches = DataLoader(rows, 4, collate_fn=collate, **options)
    result = []
    for number in numbers:
        rows.set_epoch(number)
        result.append([batch["noise"].tolist() for batch in batches])
    return result


class TestWorkers:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_that_persist_see_each_epoch(self, workers: int):
        expected = epochs(dataset(), [0, 1, 5, 2])
        assert len({str(epoch) for epoch in expected}) == 4
        got = epochs(dataset(), [0, 1, 5, 2], num_workers=workers, persistent_workers=True)
        assert got == expected

    @pytest.mark.slow
    @pytest.mark.parametrize("context", ["spawn", "forkserver"])
    def test_that_persist_see_it_however_they_were_started(self, context: str):
        options = {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": context}
        assert epochs(dataset(), [0, 3, 1], **options) == epochs(dataset(), [0, 3, 1])

    def test_see_it_where_no_file_can_be_made(self, monkeypatch: pytest.MonkeyPatch):
        def refused(*_: Any) -> Any:
            raise OSError("read-only file system")

        monkeypatch.setattr(module, "RawArray", refused)
        got = epochs(dataset(), [0, 2], num_workers=1, persistent_workers=True, multiprocessing_context="fork")
        assert got == epochs(dataset(), [0, 2])


@pytest.mark.parametrize("copied", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_a_copy_has_an_epoch_of_its_own(copied: Any):
    one = dataset()
    one.set_epoch(3)
    other = copied(one)
    one.set_epoch(4)
    assert (one.epoch, other.epoch) == (4, 3)


PROGRAM = """
from torch.utils.data import DataLoader
from bridgeflow import collate
from tests.pipeline.test_epoch import dataset
batches = DataLoader(dataset(), 4, collate_fn=collate, {options})
for _ in range(4):
    list(batches)
"""


class TestRowsDrawnTwice:
    @pytest.mark.parametrize("options", ["", "shuffle=True", "num_workers=2", "num_workers=1, persistent_workers=True"])
    def test_are_told_of_once(self, options: str):
        run = [sys.executable, "-c", PROGRAM.format(options=options)]
        done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, check=True)
        about = [line for line in done.stderr.splitlines() if "is drawn a second time in epoch 0" in line]
        assert len(about) == 1
        assert "set_epoch" in about[0]

    def test_are_told_of_in_a_part_of_the_rows_too(self):
        batches = DataLoader(Subset(dataset(), [6, 2]), 1, collate_fn=collate)
        list(batches)
        with pytest.warns(UserWarning, match="row 6 of <.*> is drawn a second time in epoch 0"):
            list(batches)

    @pytest.mark.parametrize("transform", [None, lambda sample: sample])
    def test_without_random_numbers_are_nobodys_business(self, transform: Any):
        batches = DataLoader(dataset(transform), 4, collate_fn=collate)
        for _ in range(3):
            list(batches)

    def test_in_another_epoch_are_not_twice(self):
        epochs(dataset(), [0, 1, 2, 3])
        epochs(dataset(), [2, 2, 2])  # asked for by name

    def test_by_hand_may_be_drawn_as_often_as_one_likes(self):
        rows = dataset()
        assert rows[3] == rows[3]
        assert rows.batch([1])["noise"] == rows.batch([1])["noise"]
