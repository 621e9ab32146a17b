"""`SignalDataset` in PyTorch's `DataLoader` and torchdata's `StatefulDataLoader`: the same batches as from `Loader`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset, default_collate

from bridgeflow import Batch, Compose, Loader, SignalDataset, SignalFilter, collate
from bridgeflow.errors import DataError
from bridgeflow.io import open_sink
from bridgeflow.pipeline import BatchSampler
from bridgeflow.pipeline.sampling import Order
from bridgeflow.randomness import generators

ROWS = 23
BUTTER = SignalFilter(design="butter", cutoff=20.0, fs=100.0, order=4, keys="ecg")


class Example(NamedTuple):
    ecg: torch.Tensor
    row: torch.Tensor


def noisy(sample: dict[str, Any]) -> dict[str, Any]:
    noise = generators()[0].standard_normal(tuple(sample["ecg"].shape), dtype=np.float32)
    return {**sample, "ecg": sample["ecg"] + torch.from_numpy(noise)}


def example(sample: dict[str, Any]) -> Example:
    return Example(sample["ecg"], sample["row"])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torch_data") / "all.arrow"
    with open_sink(path) as sink:
        sink.write({"ecg": np.random.default_rng(0).standard_normal((ROWS, 2, 32), "float32"), "row": np.arange(ROWS)})
    return path


@pytest.fixture
def dataset(path: Path) -> SignalDataset:
    return SignalDataset(path, Compose([BUTTER, noisy]))


def assert_same(seen: list[Any], expected: list[Any]) -> None:
    assert len(seen) == len(expected)
    for one, other in zip(seen, expected, strict=True):
        assert list(one) == list(other)
        assert all(torch.equal(one[name], other[name]) for name in other)


class TestDataLoader:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_gives_what_loader_gives(self, dataset: SignalDataset, workers: int):
        theirs = list(DataLoader(dataset, 5, collate_fn=collate, num_workers=workers))
        assert all(type(batch) is Batch for batch in theirs)
        assert_same(theirs, list(Loader(dataset, 5)))

    @pytest.mark.parametrize("context", ["spawn", "forkserver"])
    @pytest.mark.slow
    def test_in_workers_started_otherwise(self, dataset: SignalDataset, context: str):
        theirs = DataLoader(dataset, 5, collate_fn=collate, num_workers=1, multiprocessing_context=context)
        assert_same(list(theirs), list(Loader(dataset, 5)))

    @pytest.mark.parametrize("workers", [0, 1])
    @pytest.mark.parametrize("transform", [BUTTER, noisy])
    def test_gives_the_same_by_its_own_collation(self, path: Path, transform: Any, workers: int):
        dataset = SignalDataset(path, transform)
        assert_same(list(Loader(dataset, 5)), list(DataLoader(dataset, 5, num_workers=workers)))

    def test_gives_the_same_sample_by_sample(self, path: Path):
        class Plain(Dataset[Any]):
            """Hides `__getitems__`, and what class samples are of."""

            def __init__(self) -> None:
                self.rows = SignalDataset(path, BUTTER)

            def __len__(self) -> int:
                return len(self.rows)

            def __getitem__(self, row: int) -> Any:
                return dict(self.rows[row])

        assert_same(list(Loader(SignalDataset(path, BUTTER), 5)), list(DataLoader(Plain(), 5)))

    def test_makes_tensors_of_ndarrays(self, path: Path):
        (batch,) = DataLoader(SignalDataset(path, BUTTER, kind="numpy"), ROWS)
        (expected,) = Loader(SignalDataset(path, BUTTER), ROWS)
        assert torch.equal(batch["ecg"], expected["ecg"])

    def test_takes_the_order_of_a_loader(self, dataset: SignalDataset):
        loader = Loader(dataset, 5, shuffle=True, seed=3, drop_last=True)
        theirs = DataLoader(
            SignalDataset(dataset.source, dataset.transform, seed=3),
            batch_sampler=loader.batch_sampler,
            collate_fn=collate,
        )
        assert len(theirs) == len(loader)
        for epoch in range(2):
            theirs.dataset.set_epoch(epoch)  # type: ignore[attr-defined]
            assert_same(list(theirs), list(loader))

    @pytest.mark.parametrize("options", [{"collate_fn": collate}, {}])
    def test_a_batch_is_made_once_and_not_copied(
        self, path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(torch, "stack", None)
        assert len(list(DataLoader(SignalDataset(path, BUTTER), 5, **options))) == 5

    @pytest.mark.parametrize("collate_fn", [collate, default_collate])
    def test_namedtuples_stay_what_they_are(self, path: Path, collate_fn: Any):
        for batch in DataLoader(SignalDataset(path, example), 5, collate_fn=collate_fn, num_workers=1):
            assert type(batch) is Example
            assert batch.ecg.shape[1:] == (2, 32)

    def test_ragged_rows_are_padded_as_the_dataset_says(self, tmp_path: Path):
        import pyarrow as pa

        with open_sink(tmp_path / "ragged.parquet") as sink:
            sink.write({"beats": pa.array([[1.0] * (i + 1) for i in range(4)])})
        dataset = SignalDataset(tmp_path / "ragged.parquet", ragged="pad")
        (batch,) = DataLoader(dataset, 4, collate_fn=collate)
        assert batch["beats_length"].tolist() == [1, 2, 3, 4]
        (again,) = DataLoader(Subset(dataset, [0, 1, 2, 3]), 4, collate_fn=partial(collate, ragged="pad"))
        assert torch.equal(again["beats"], batch["beats"])

    def test_subsets_are_batched_too(self, path: Path):
        subset = Subset(SignalDataset(path, BUTTER), range(3, 9))
        (batch,) = DataLoader(subset, 6, collate_fn=collate)
        assert batch["row"].tolist() == list(range(3, 9))

    @pytest.mark.cuda
    def test_pins_batches(self, path: Path):
        for batch in DataLoader(SignalDataset(path), 5, collate_fn=collate, pin_memory=True):
            assert type(batch) is Batch
            assert batch["ecg"].is_pinned()

    def test_pinning_asks_the_batch(self, path: Path, monkeypatch: pytest.MonkeyPatch):
        """PyTorch pins mappings one by one, keeping their class; ours and theirs come to the same."""
        from torch.utils.data._utils.pin_memory import pin_memory

        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor, *device: tensor + 0)
        batch = SignalDataset(path).batch([0, 1])
        pinned = pin_memory(batch)
        assert type(pinned) is Batch
        assert pinned["ecg"] is not batch["ecg"]
        assert type(batch.pin_memory()) is Batch


class TestBatchSampler:
    def test_is_the_order(self):
        order = Order(rows=17, batch_size=4, shuffle="exact", seed=2)
        sampler = BatchSampler(order)
        for epoch in range(3):
            assert list(sampler) == [batch.tolist() for batch in order.batches(epoch)]
        sampler.set_epoch(1)
        assert list(sampler) == [batch.tolist() for batch in order.batches(1)]

    def test_restored_at_every_step_it_goes_on(self):
        order = Order(rows=17, batch_size=4, shuffle="exact")

        def steps(sampler: BatchSampler) -> Iterator[list[int]]:
            while True:
                yield from sampler

        whole = steps(BatchSampler(order))
        expected = [next(whole) for _ in range(15)]
        for step in range(11):
            sampler = BatchSampler(order)
            before = steps(sampler)
            seen = [next(before) for _ in range(step)]
            after = BatchSampler(order)
            after.load_state_dict(json.loads(json.dumps(sampler.state_dict())))
            rest = steps(after)
            assert seen + [next(rest) for _ in range(15 - step)] == expected

    def test_refuses_the_state_of_another_order(self):
        state = BatchSampler(Order(rows=17, batch_size=4)).state_dict()
        with pytest.raises(DataError, match=r"rows=17 \(here 18\)"):
            BatchSampler(Order(rows=18, batch_size=4)).load_state_dict(state)


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")  # torchdata 0.11 under torch 2.13
class TestStatefulDataLoader:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_goes_on_where_it_was(self, dataset: SignalDataset, workers: int):
        module = pytest.importorskip("torchdata.stateful_dataloader")

        def make() -> Any:
            rows = SignalDataset(dataset.source, dataset.transform)  # a run of its own, which draws each row once
            sampler = Loader(rows, 4, shuffle=True).batch_sampler
            return module.StatefulDataLoader(rows, batch_sampler=sampler, collate_fn=collate, num_workers=workers)

        expected = list(Loader(dataset, 4, shuffle=True))
        for step in range(len(expected)) if workers == 0 else (1, 4):
            first = make()
            before = iter(first)
            seen = [next(before) for _ in range(step)]
            second = make()
            second.load_state_dict(first.state_dict())
            middle = iter(second)
            seen += [next(middle)]
            third = make()
            third.load_state_dict(second.state_dict())
            assert_same(seen + list(third), expected)
            del before, middle
