"""Lightning's Trainer and Accelerate find the epochs of a `Loader` and of its samplers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from bridgeflow import Balanced, Bucketed, Loader, SignalDataset, collate
from tests.torchvision_operators import make_torchvision_importable

EPOCHS = 3


def loader() -> Loader:
    examples = {"x": np.arange(11, dtype="float32"), "row": np.arange(11)}
    return Loader(SignalDataset(examples), 4, shuffle=True, seed=1)


def rows(batches: Any) -> list[list[int]]:
    return [batch["row"].tolist() for batch in batches]


WAYS = {
    "the loader": loader,
    "its batch sampler": lambda: DataLoader(loader().dataset, batch_sampler=loader().batch_sampler, collate_fn=collate),
    "its batch sampler, in a worker": lambda: DataLoader(
        loader().dataset, batch_sampler=loader().batch_sampler, collate_fn=collate, num_workers=1
    ),
    "its sampler": lambda: DataLoader(loader().dataset, 4, sampler=loader().sampler, collate_fn=collate),
}


SAMPLERS = {
    "balanced": lambda: Balanced(np.repeat([0, 1], [8, 3])),
    "bucketed": lambda: Bucketed(np.arange(11) + 5),
    "torch's": lambda: torch.utils.data.RandomSampler(range(11)),
}


def sampled(name: str) -> Loader:
    return Loader(loader().dataset, 4, sampler=SAMPLERS[name](), seed=1)


@pytest.fixture
def expected() -> list[list[list[int]]]:
    plain = loader()
    return [rows(plain) for _ in range(EPOCHS)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
class TestLightning:
    @pytest.mark.parametrize("limit", [1.0, 2])
    @pytest.mark.parametrize("way", WAYS)
    def test_trains_on_each_epoch(self, way: str, limit: Any, expected: list[list[list[int]]], tmp_path: Any):
        make_torchvision_importable()
        lightning = pytest.importorskip("lightning")
        seen: dict[int, list[list[int]]] = {}

        class Model(lightning.LightningModule):  # type: ignore[misc]
            """Takes note of what it is given."""

            def __init__(self) -> None:
                super().__init__()
                self.layer = torch.nn.Linear(1, 1)

            def training_step(self, batch: Any, number: int) -> Any:
                seen.setdefault(self.current_epoch, []).append(batch["row"].tolist())
                return self.layer(batch["x"][:, None]).sum()

            def configure_optimizers(self) -> Any:
                return torch.optim.SGD(self.parameters(), lr=0.0)

        trainer = lightning.Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            limit_train_batches=limit,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(Model(), WAYS[way]())
        stop = 2 if limit == 2 else None
        assert seen == {epoch: batches[:stop] for epoch, batches in enumerate(expected)}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
class TestAccelerate:
    @pytest.mark.parametrize("way", WAYS)
    def test_prepares_each_epoch(self, way: str, expected: list[list[list[int]]]):
        accelerate = pytest.importorskip("accelerate")
        prepared = accelerate.Accelerator(cpu=True).prepare(WAYS[way]())
        assert [rows(prepared) for _ in range(EPOCHS)] == expected

    @pytest.mark.parametrize("name", SAMPLERS)
    def test_prepares_each_epoch_of_a_sampler(self, name: str):
        accelerate = pytest.importorskip("accelerate")
        plain = sampled(name)
        prepared = accelerate.Accelerator(cpu=True).prepare(sampled(name))
        assert [rows(prepared) for _ in range(EPOCHS)] == [rows(plain) for _ in range(EPOCHS)]

    def test_sets_the_epoch(self, expected: list[list[list[int]]]):
        accelerate = pytest.importorskip("accelerate")
        prepared = accelerate.Accelerator(cpu=True).prepare(WAYS["its batch sampler"]())
        for epoch in (2, 0):
            prepared.set_epoch(epoch)
            assert rows(prepared) == expected[epoch]
