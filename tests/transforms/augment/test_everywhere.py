"""Every random transform gives a row the same bits in any batch, worker, thread, rank, and after any resume.

All examples of all random transforms stand in one pipeline, each with a column of its own, so that a transform that is
added to the examples (which `test_contracts` demands of the whole registry) is tested here too.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bridgeflow import AddRecording, Compose, Loader, Recordings, SignalDataset, seeded
from bridgeflow.io import open_sink
from tests.transforms.augmentations import AUGMENTATIONS, MIXES

ROWS, SEED = 22, 3
EXAMPLES = AUGMENTATIONS | MIXES
RANDOM = {
    f"{name}{number}": one for name in sorted(EXAMPLES) for number, one in enumerate(EXAMPLES[name]) if one.random
}
each = pytest.mark.parametrize("name", sorted(RANDOM))


def signals() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((ROWS, 3, 40)).astype("float32")


def stage(name: str) -> Any:
    """The transform for its column, and for its label where it mixes."""
    one: Any = replace(RANDOM[name], keys=name)  # type: ignore[call-arg]
    return replace(one, labels=f"{name}_label", classes=4) if name.rstrip("0123456789") in MIXES else one


@cache
def dataset(kind: Any = "torch") -> SignalDataset:
    columns = {name: signals() for name in RANDOM}
    labels = {f"{name}_label": np.arange(ROWS) % 4 for name in RANDOM if name.rstrip("0123456789") in MIXES}
    columns |= labels | {"row": np.arange(ROWS)}
    return SignalDataset(columns, transform=Compose(map(stage, RANDOM)), kind=kind, seed=SEED)


@cache
def expected(epoch: int) -> dict[str, np.ndarray]:
    """All rows of an epoch as one batch."""
    return arrays(dataset().batch(range(ROWS), seed=SEED, epoch=epoch))


def arrays(batch: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(values) for name, values in batch.items()}


def assert_are_rows(batches: list[Any], epoch: int) -> list[int]:
    """Every row of the batches has the bits of the whole; the rows."""
    rows: list[int] = []
    for batch in map(arrays, batches):
        for name, values in batch.items():
            np.testing.assert_array_equal(values, expected(epoch)[name][batch["row"]], err_msg=name)
        rows += batch["row"].tolist()
    return rows


@each
def test_alone_and_in_a_batch(name: str):
    alone: Any = RANDOM[name]
    for row in (0, 13):
        np.testing.assert_array_equal(np.asarray(dataset()[row][name]), expected(0)[name][row])
        np.testing.assert_array_equal(np.asarray(dataset("numpy")[row][name]), expected(0)[name][row])
        if name.rstrip("0123456789") not in MIXES:  # whose partners are those of the dataset
            single = SignalDataset({"x": signals()}, transform=replace(alone, keys="x"), seed=SEED)
            with seeded(SEED, rows=row):
                sample = alone(torch.from_numpy(signals()[row]))
            np.testing.assert_array_equal(sample.numpy(), np.asarray(single[row]["x"]))


@pytest.mark.parametrize("name", [name for name in sorted(RANDOM) if name.rstrip("0123456789") in AUGMENTATIONS])
@pytest.mark.parametrize("length", [5001, 9001])
def test_long_samples_alone_and_in_a_batch(name: str, length: int):
    """Sums of many numbers have the same order in both."""
    x = np.random.default_rng(1).standard_normal((3, 2, length)).astype("float32")
    x[1, 0, 7] = np.nan
    with seeded(SEED, rows=range(3)):
        batch = np.asarray(RANDOM[name](x))
    for row in (1, 2):
        with seeded(SEED, rows=row):
            np.testing.assert_array_equal(np.asarray(RANDOM[name](x[row])), batch[row])


ALWAYS_ALIKE = {"BandStop1", "ChannelSymmetry1", "Polarity1", "TimeReverse1"}
"""Those that do the same to every sample: all their numbers are fixed."""


@pytest.mark.parametrize("name", sorted(set(RANDOM) - ALWAYS_ALIKE))
def test_another_epoch_and_another_row_have_other_numbers(name: str):
    x = np.tile(np.linspace(1, 2, 40, dtype="float32"), (40, 3, 1)) + np.arange(3, dtype="float32")[:, None]
    if name.rstrip("0123456789") in MIXES:
        x = x + np.arange(40, dtype="float32")[:, None, None]
    one: Any = RANDOM[name]
    results = []
    for epoch in (0, 1):
        with seeded(1, epoch=epoch, rows=range(40)):
            results.append(np.asarray(one(x)))
    assert not np.array_equal(*results)
    if name.rstrip("0123456789") not in MIXES:
        assert len(np.unique(results[0].reshape(40, -1), axis=0)) > 1


WAYS: dict[str, dict[str, Any]] = {
    "no thread": {"threads": 0},
    "threads": {"threads": 4, "prefetch_factor": 3},
    "one worker": {"num_workers": 1},
    "four workers": {"num_workers": 4},
}


@pytest.mark.parametrize("way", WAYS)
def test_in_any_worker_and_thread(way: str):
    loader = Loader(dataset(), 5, shuffle=True, seed=SEED, **WAYS[way])
    orders = [assert_are_rows(list(loader), epoch) for epoch in range(2)]
    loader.close()
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == list(range(ROWS))


@pytest.mark.parametrize("way", ["no thread", "four workers"])
def test_in_any_rank(way: str):
    rows = []
    for rank in range(2):
        loader = Loader(dataset(), 4, shuffle=True, seed=SEED, rank=rank, world_size=2, **WAYS[way])
        rows += assert_are_rows(list(loader), 0)
        loader.close()
    assert sorted(rows) == list(range(ROWS))


def test_resumed_at_every_step():
    loader = Loader(dataset(), 4, shuffle=True, seed=SEED)
    states, orders = [loader.state_dict()], []
    for batch in loader:
        orders.append(assert_are_rows([batch], 0))
        states.append(loader.state_dict())
    for step, state in enumerate(states[:-1]):
        resumed = Loader(dataset(), 4, shuffle=True, seed=SEED, threads=step % 3)
        resumed.load_state_dict(state)
        assert assert_are_rows(list(resumed), 0) == list(chain(*orders[step:]))


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_recordings_in_files_are_read_alike_in_workers(method: Any, tmp_path: Path):
    noise = np.random.default_rng(2).standard_normal((3, 4000)).astype("float32") / 8
    for number, one in enumerate(noise):
        with open_sink(tmp_path / f"{number}.wav", settings={"fs": 500}) as sink:
            sink.write({"noise": one})
    index = Recordings(str(tmp_path / "*.wav"))
    add = AddRecording(recordings=index, snr_db=(0, 10), fs=250.0, keys="x")
    data = SignalDataset({"x": signals()}, transform=add)
    whole = [np.asarray(batch["x"]) for batch in Loader(data, 4, shuffle=True, seed=SEED, threads=3)]
    loader = Loader(data, 4, shuffle=True, seed=SEED, num_workers=2, multiprocessing_context=method)
    for one, batch in zip(whole, loader, strict=True):
        np.testing.assert_array_equal(np.asarray(batch["x"]), one)
    loader.close()


@pytest.mark.parametrize("way", [*WAYS, "resumed"])
def test_torchvisions_random_transforms_repeat_too(way: str):
    """They draw from the global generators, which are seeded for each batch from (seed, epoch, batch)."""
    v2 = pytest.importorskip("torchvision.transforms.v2")
    images = np.random.default_rng(0).random((ROWS, 3, 8, 8)).astype("float32")
    augment = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomRotation(30),
            v2.ColorJitter(0.5, 0.5),
            v2.RandomErasing(),
            v2.GaussianNoise(),
        ]
    )
    data = SignalDataset({"image": images}, transform=augment)

    def epochs(first: int = 0, **options: Any) -> list[np.ndarray]:
        loader = Loader(data, 4, shuffle=True, seed=SEED, **options)
        if first:
            loader.load_state_dict(loader.state_dict() | {"epoch": 0, "batch": first})
        torch.manual_seed(first)  # what the training loop draws from changes nothing
        batches = [np.asarray(batch["image"]) for _ in range(2) for batch in loader]
        loader.close()
        return batches

    whole = epochs(threads=1)
    assert len({batch.tobytes() for batch in whole}) == len(whole)
    again = epochs(first=3, threads=2) if way == "resumed" else epochs(**WAYS[way])
    for one, other in zip(whole[3:] if way == "resumed" else whole, again, strict=True):
        np.testing.assert_array_equal(one, other)
