"""Callables that draw from the global generators: the numbers belong to (seed, epoch, batch), and to nothing else."""

from __future__ import annotations

import random
import threading
import time
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from bridgeflow import Compose, LeafTransform, Loader, Scale, SignalDataset, SignalFilter, collate, to_tensor
from bridgeflow.pipeline.foreign import BatchKey, is_foreign, seeded_globally

ROWS = 40
WAYS: list[dict[str, Any]] = [
    {"threads": 0},
    {"threads": 1},
    {"threads": 4, "prefetch_factor": 3},
    {"num_workers": 1},
    {"num_workers": 3},
]
SOURCES = ("numpy", "python", "torch")


def augment(sample: dict[str, Any]) -> dict[str, Any]:
    """Draws from all three, and lets other threads come between."""
    first = np.random.rand()
    time.sleep(0.0005)
    return {"row": sample["x"], "numpy": first, "python": random.random(), "torch": torch.rand(()).item()}


class Noisy(LeafTransform):
    """A user's transform that draws where it should not."""

    core_ndim = 0

    def apply(self, x: Any) -> Any:
        return x + torch.rand(x.shape)

    def out_spec(self, spec: Any) -> Any:
        return spec.fresh()


def mixed(samples: Any) -> Any:
    return {"row": [int(sample["x"]) for sample in samples], "drawn": np.random.permutation(1000).tolist()}


def dataset(transform: Any = augment) -> SignalDataset:
    return SignalDataset({"x": np.arange(ROWS)}, transform)


def drawn(loader: Loader, epochs: int = 2) -> list[list[dict[str, Any]]]:
    result = [
        [{name: np.asarray(values).tolist() for name, values in batch.items()} for batch in loader]
        for _ in range(epochs)
    ]
    loader.close()
    return result


def states() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]


@pytest.mark.parametrize("way", WAYS, ids=str)
class TestNumbers:
    def test_differ_between_samples_batches_and_epochs(self, way: dict[str, Any]):
        epochs = drawn(Loader(dataset(), 5, **way))
        for source in SOURCES:
            numbers = [number for epoch in epochs for batch in epoch for number in batch[source]]
            assert len(set(numbers)) == 2 * ROWS

    def test_are_the_same_in_any_way(self, way: dict[str, Any]):
        assert drawn(Loader(dataset(), 5, shuffle=True, seed=3, **way)) == drawn(
            Loader(dataset(), 5, shuffle=True, seed=3)
        )

    def test_are_the_same_after_resuming(self, way: dict[str, Any]):
        loader, resumed = Loader(dataset(), 5, threads=0), Loader(dataset(), 5, **way)
        expected = drawn(loader, 1)[0]
        resumed.load_state_dict(loader.state_dict() | {"epoch": 0, "batch": 3})
        assert drawn(resumed, 1)[0] == expected[3:]

    def test_of_a_users_leaf_transform_too(self, way: dict[str, Any]):
        floats = SignalDataset(
            {"x": np.zeros((ROWS, 3), "float32")}, Compose([Scale(scale=2.0), Noisy(), Scale(scale=1.0)])
        )
        epochs = drawn(Loader(floats, 5, **way))
        assert epochs == drawn(Loader(floats, 5, threads=0))
        assert (
            len({number for epoch in epochs for batch in epoch for row in batch["x"] for number in row})
            > 2 * ROWS * 3 - 3
        )

    def test_of_a_collation_too(self, way: dict[str, Any]):
        epochs = drawn(Loader(dataset(None), 5, collate_fn=mixed, **way))
        assert epochs == drawn(Loader(dataset(None), 5, collate_fn=mixed, threads=0))
        assert len({tuple(batch["drawn"]) for epoch in epochs for batch in epoch}) == 16

    def test_do_not_depend_on_what_the_consumer_draws_nor_change_it(self, way: dict[str, Any]):
        expected = drawn(Loader(dataset(), 5), 1)[0]
        np.random.seed(1)
        torch.manual_seed(1)
        random.seed(1)
        alone = [(np.random.rand(), torch.rand(3).tolist(), random.random()) for _ in range(8)]
        np.random.seed(1)
        torch.manual_seed(1)
        random.seed(1)
        loader = Loader(dataset(), 5, **way)
        beside, seen = [], []
        for batch in loader:
            seen.append({name: np.asarray(values).tolist() for name, values in batch.items()})
            beside.append((np.random.rand(), torch.rand(3).tolist(), random.random()))
        loader.close()
        assert (beside, seen) == (alone, expected)


def test_seeds_give_different_numbers():
    one, other = (drawn(Loader(dataset(), 5, seed=seed), 1)[0] for seed in (1, 2))
    assert one[0]["numpy"] != other[0]["numpy"]


def test_two_loaders_in_two_threads_do_not_disturb_each_other():
    expected, seen = drawn(Loader(dataset(), 5)), {}

    def run(number: int) -> None:
        seen[number] = drawn(Loader(dataset(), 5, threads=number % 3))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(seen[number] == expected for number in range(4))


def test_a_transform_may_draw_from_a_loader_itself():
    noise = iter(Loader(dataset(), 1, threads=2))

    def with_noise(sample: dict[str, Any]) -> dict[str, Any]:
        return {**augment(sample), "noise": next(noise)["numpy"]}

    batches = drawn(Loader(dataset(with_noise), 5, threads=2), 1)[0]
    expected = drawn(Loader(dataset(), 1), 1)[0]
    assert [number for batch in batches for number in np.ravel(batch["noise"])] == [
        batch["numpy"][0] for batch in expected
    ]


def test_an_error_leaves_the_generators_as_they_were():
    def fails(sample: Any) -> Any:
        np.random.rand()
        raise ZeroDivisionError

    before = states()
    with pytest.raises(ZeroDivisionError):
        list(Loader(dataset(fails), 5))
    assert states() == before


def test_in_torchs_loader_torchs_own_seeds_hold():
    """Its workers are seeded by it, from torch.manual_seed, and so differently in each pass."""
    from torch.utils.data import DataLoader

    def run() -> list[Any]:
        torch.manual_seed(0)
        theirs = DataLoader(dataset(), 5, num_workers=2, collate_fn=collate)
        return [[number for batch in theirs for number in batch["numpy"].tolist()] for _ in range(2)]

    first, second = run()
    assert len({*first, *second}) == 2 * ROWS
    assert run() == [first, second]


def test_a_generator_of_another_kind_is_put_back():
    numpy_random: Any = np.random
    before = numpy_random.get_bit_generator()
    other = np.random.PCG64(5)
    numpy_random.set_bit_generator(other)
    try:
        with seeded_globally(BatchKey(0, 0, 0)):
            first = np.random.rand()
        assert numpy_random.get_bit_generator() is other
    finally:
        numpy_random.set_bit_generator(before)
    with seeded_globally(BatchKey(0, 0, 0)):
        assert np.random.rand() == first


def test_what_is_foreign():
    low = SignalFilter(design="butter", cutoff=20.0, fs=100.0, order=2)

    def own(sample: Any) -> Any:
        return sample

    assert not any(map(is_foreign, (low, Scale(scale=2.0), to_tensor, partial(to_tensor, copy="always"))))
    assert all(map(is_foreign, (own, partial(own), lambda x: x, Noisy(), torch.nn.Dropout(), np.abs)))
    own.global_random = False  # type: ignore[attr-defined]
    assert not is_foreign(own)


def test_our_own_stages_leave_the_generators_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(random, "getstate", None)
    monkeypatch.setattr(random, "seed", None)
    batches = list(Loader(SignalDataset({"x": np.zeros((9, 30))}, Scale(scale=2.0)), 4))
    assert len(batches) == 3
