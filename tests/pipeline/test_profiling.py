"""The profile of a loader: the right part is named, times add up, and batches are those without it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from bridgeflow import Compose, Loader, Mixture, Mixup, Scale, SignalDataset, generators

WAYS: list[dict[str, Any]] = [{"threads": 0}, {"threads": 2}, {"num_workers": 2}]


def slow(sample: dict[str, Any]) -> dict[str, Any]:
    (rng,) = generators()
    time.sleep(0.004)
    return {**sample, "drawn": rng.integers(1 << 60), "numpy": np.random.rand()}


def dataset() -> SignalDataset:
    x = np.random.default_rng(0).standard_normal((24, 8), dtype="float32")
    return SignalDataset({"x": x}, Compose([Scale(scale=2.0), slow, Scale(scale=3.0, keys="x")]))


def values(batches: Any) -> list[Any]:
    return [{name: column.tolist() for name, column in batch.items()} for batch in batches]


@pytest.mark.parametrize("way", WAYS, ids=str)
class TestProfile:
    def test_changes_no_number(self, way: dict[str, Any]):
        plain, measured = (Loader(dataset(), 4, seed=2, **way) for _ in range(2))
        with measured.profile() as profile:
            assert values(measured) == values(plain)
        assert values(measured) == values(plain)
        assert profile.batches == 6
        plain.close()
        measured.close()

    def test_names_the_stage_that_the_loop_waits_for(self, way: dict[str, Any]):
        loader = Loader(dataset(), 4, **way)
        with loader.profile() as profile:
            list(loader)
        loader.close()
        assert [row.name for row in profile.stages] == [
            "reading",
            "stage 1 (Scale)",
            "stage 2 (slow)",
            "stage 3 (Scale)",
            "collation",
        ]
        assert profile.bottleneck == "stage 2 (slow)"
        assert profile.making["stage 2 (slow)"] >= 24 * 0.004
        assert sum(row.per_cent for row in profile.stages) == pytest.approx(100)
        assert "stage 2 (slow)" in str(profile).splitlines()[0]

    def test_names_the_consumer_that_lets_batches_wait(self, way: dict[str, Any]):
        loader = Loader(SignalDataset({"x": np.zeros((8, 4))}), 2, **way)
        profile = loader.profile()
        for _ in loader:
            time.sleep(0.1)
        loader.close()
        waits, hand_over, works = profile.consumer
        assert profile.working >= 0.4
        assert waits.per_cent + works.per_cent == pytest.approx(100)
        assert hand_over.seconds <= waits.seconds
        assert profile.seconds == pytest.approx(profile.waiting + profile.working)


def test_ends_with_its_block_or_when_another_begins():
    loader = Loader(dataset(), 4)
    first = loader.profile()
    second = loader.profile()
    list(loader)
    second.stop()
    list(loader)
    assert (first.batches, second.batches) == (0, 6)
    assert "no batch" in str(first)


def test_mixing_stages_keep_their_numbers():
    table = {"x": np.random.default_rng(0).standard_normal((24, 8)), "label": np.arange(24) % 3}
    pipeline = Compose([Scale(scale=2.0, keys="x"), Mixup(keys="x", labels="label", classes=3)])
    plain, measured = (Loader(SignalDataset(table, pipeline), 4, seed=2) for _ in range(2))
    with measured.profile() as profile:
        assert values(measured) == values(plain)
    assert profile.batches == 6
    assert profile.making["stage 2 (Mixup)"] > 0


def test_tells_datasets_of_a_mixture_apart():
    loader = Loader(Mixture([(dataset(), 1), (dataset(), 1)]), 6)
    with loader.profile() as profile:
        list(loader)
    assert {"dataset 1, stage 2 (slow)", "dataset 2, stage 2 (slow)"} <= set(profile.making)
