"""`DataModule` under a real Trainer: resumed in the middle of an epoch, parts, ranks, augmentations."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bridgeflow import Compose, Gain, Scale, SignalDataset, load_pipeline
from bridgeflow.errors import DataError
from tests.torchvision_operators import make_torchvision_importable
from tests.workplace import ROOT

make_torchvision_importable()
lightning = pytest.importorskip("lightning.pytorch")
from lightning.pytorch.callbacks import ModelCheckpoint, OnExceptionCheckpoint  # noqa: E402

from bridgeflow.integrations.lightning import DataModule  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # Lightning's advice: workers, loggers, folders
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

ROWS, SIZE = 22, 4  # 6 batches an epoch


def dataset(transform: Any = None) -> SignalDataset:
    return SignalDataset({"x": np.ones((ROWS, 8), "float32"), "row": np.arange(ROWS)}, transform)


class Model(lightning.LightningModule):  # type: ignore[misc, name-defined]
    """Takes note of what it is given, and stops or fails at a batch."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(8, 1)
        self.seen: dict[str, list[Any]] = {"train": [], "val": [], "test": [], "predict": []}
        self.rows: list[tuple[int, list[int]]] = []
        self.fails_at = fails_at

    def training_step(self, batch: Any, number: int) -> Any:
        if self.fails_at == self.global_step:
            raise RuntimeError("the power went")
        self.seen["train"].append(batch["x"])
        self.rows.append((self.current_epoch, batch["row"].tolist()))
        return self.layer(batch["x"]).sum()

    def validation_step(self, batch: Any, number: int) -> None:
        self.seen["val"].append(batch["x"])

    def test_step(self, batch: Any, number: int) -> None:
        self.seen["test"].append(batch["x"])

    def predict_step(self, batch: Any, number: int) -> None:
        self.seen["predict"].append(batch["x"])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trainer(folder: Path, **options: Any) -> Any:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return lightning.Trainer(default_root_dir=folder, **quiet, **options)


def module(workers: int = 0, **options: Any) -> Any:
    return DataModule(train=dataset(), batch_size=SIZE, seed=3, num_workers=workers, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The batches of three epochs that nothing interrupts."""
    model = Model()
    trainer(tmp_path_factory.mktemp("whole"), max_epochs=3, enable_checkpointing=False).fit(model, module())
    assert len(model.rows) == 18
    assert model.rows[:6] != [(0, rows) for _, rows in model.rows[6:12]], "each epoch has an order of its own"
    return model.rows


class TestResuming:
    @pytest.mark.parametrize(("workers", "then"), [(0, 0), (0, 2), (2, 0)])
    @pytest.mark.parametrize("step", [4, 6, 9, 12])
    def test_goes_on_in_the_middle_of_an_epoch(
        self, whole: list[Any], tmp_path: Path, workers: int, then: int, step: int
    ):
        if workers + then and step != 9:
            pytest.skip("one place is enough for processes")
        before, after = Model(), Model()
        saving = ModelCheckpoint(tmp_path, filename="stopped", every_n_train_steps=1)
        trainer(tmp_path, max_steps=step, callbacks=[saving]).fit(before, module(workers))
        assert before.rows == whole[:step]
        trainer(tmp_path, max_epochs=3, enable_checkpointing=False).fit(
            after, module(then), ckpt_path=tmp_path / "stopped.ckpt", weights_only=False
        )
        assert before.rows + after.rows == whole

    @pytest.mark.parametrize("fails_at", [0, 3, 5, 6, 8])
    def test_a_batch_that_failed_comes_again(self, whole: list[Any], tmp_path: Path, fails_at: int):
        before, after = Model(fails_at=fails_at), Model()
        saving = OnExceptionCheckpoint(tmp_path, filename="failed")
        with contextlib.suppress(RuntimeError):
            trainer(tmp_path, max_epochs=3, callbacks=[saving]).fit(before, module())
        trainer(tmp_path, max_epochs=3, enable_checkpointing=False).fit(
            after, module(), ckpt_path=tmp_path / "failed.ckpt", weights_only=False
        )
        assert [rows for _, rows in before.rows + after.rows] == [rows for _, rows in whole]

    def test_of_a_checkpoint_amid_validation_every_two_batches(self, whole: list[Any], tmp_path: Path):
        before, after = Model(), Model()
        saving = ModelCheckpoint(tmp_path, filename="stopped", every_n_train_steps=1)
        options = {"val_check_interval": 2, "num_sanity_val_steps": 0}
        trainer(tmp_path, max_steps=3, callbacks=[saving], **options).fit(before, module(val=dataset()))
        trainer(tmp_path, max_epochs=3, enable_checkpointing=False, **options).fit(
            after, module(val=dataset()), ckpt_path=tmp_path / "stopped.ckpt", weights_only=False
        )
        assert before.rows + after.rows == whole

    def test_refuses_the_checkpoint_of_other_data(self, tmp_path: Path):
        saving = ModelCheckpoint(tmp_path, filename="stopped", every_n_train_steps=1)
        trainer(tmp_path, max_steps=2, callbacks=[saving]).fit(Model(), module())
        other = DataModule(train=dataset(), batch_size=SIZE, seed=4)
        with pytest.raises(DataError, match=r"seed=3 \(here 4\)"):
            trainer(tmp_path, max_epochs=1, enable_checkpointing=False).fit(
                Model(), other, ckpt_path=tmp_path / "stopped.ckpt", weights_only=False
            )


class TestParts:
    def test_augmentations_run_in_training_alone(self, tmp_path: Path):
        louder = Compose([Scale(scale=2.0, keys="x"), Gain(db=(-6.0, 6.0), keys="x")])
        parts = {part: dataset(louder) for part in ("train", "val", "test", "predict")}
        model, data = Model(), DataModule(**parts, batch_size=8)
        run = trainer(tmp_path, max_epochs=1, enable_checkpointing=False)
        run.fit(model, data)
        run.test(model, data)
        run.predict(model, data)
        assert len({float(x) for batch in model.seen["train"] for x in batch[:, 0]}) == ROWS
        for part in ("val", "test", "predict"):
            assert torch.cat(model.seen[part]).unique().tolist() == [2.0]

    def test_what_is_left_out_is_not_there(self, tmp_path: Path):
        model = Model()
        trainer(tmp_path, max_epochs=1, enable_checkpointing=False).fit(model, module())
        assert model.seen["val"] == []
        with pytest.raises(ValueError, match="expected a dataset for train, val, test or predict, got none"):
            DataModule()

    def test_reads_a_pipeline_file(self, tmp_path: Path):
        np.savez(tmp_path / "train.npz", x=np.ones((ROWS, 8), "float32"), row=np.arange(ROWS))
        np.savez(tmp_path / "val.npz", x=np.ones((5, 8), "float32"), row=np.arange(5))
        text = """
version: 1
sources: {train: {npz: train.npz}, valid: {npz: val.npz}}
transforms:
  - Gain: {keys: [x], db: [-6, 6]}
loader: {batch_size: 4, seed: 3}
"""
        (tmp_path / "pipeline.yaml").write_text(text)
        data = DataModule.from_yaml(tmp_path / "pipeline.yaml", overrides=["loader.batch_size=8"])
        model = Model()
        trainer(tmp_path, max_epochs=1, enable_checkpointing=False, num_sanity_val_steps=0).fit(model, data)
        assert [len(rows) for _, rows in model.rows] == [8, 8, 6]
        assert torch.cat(model.seen["val"]).unique().tolist() == [1.0]
        pipeline = load_pipeline(tmp_path / "pipeline.yaml")
        (rows,) = {
            tuple(batch["row"].tolist())
            for batch in DataModule.from_pipeline(pipeline, batch_size=99).train_dataloader()
        }
        assert sorted(rows) == list(range(ROWS))

    def test_a_file_without_such_parts_is_refused(self, tmp_path: Path):
        np.save(tmp_path / "rows.npy", np.ones(3))
        (tmp_path / "pipeline.yaml").write_text(
            "version: 1\nsources: {north: {npy: rows.npy}, south: {npy: rows.npy}}\n"
        )
        with pytest.raises(DataError, match="expected a part train, val, test or predict, got north, south"):
            DataModule.from_yaml(tmp_path / "pipeline.yaml")

    def test_is_found_by_its_name(self):
        assert pickle.loads(pickle.dumps(DataModule)) is DataModule
        assert issubclass(DataModule, lightning.LightningDataModule)


@pytest.mark.slow
def test_ranks_see_shares_and_are_resumed_from_one_checkpoint(tmp_path: Path):
    """Two processes of Lightning's own: the checkpoint is the first one's, and fits both."""
    script = tmp_path / "ranks.py"
    script.write_text(RANKS.replace("FOLDER", repr(str(tmp_path))), encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "tests.run_script", str(script)]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, check=True)
    shares = [np.loadtxt(tmp_path / f"{word}{rank}.txt", dtype=int) for word in ("before", "after") for rank in (0, 1)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(24))


RANKS = """
import warnings; warnings.simplefilter("ignore")  # torchvision
import numpy as np, lightning.pytorch as pl, torch
from lightning.pytorch.callbacks import ModelCheckpoint
from bridgeflow import SignalDataset
from bridgeflow.integrations.lightning import DataModule

class Model(pl.LightningModule):
    def __init__(self, word):
        super().__init__()
        self.layer, self.word, self.seen = torch.nn.Linear(8, 1), word, []
    def training_step(self, batch, number):
        self.seen += batch["row"].tolist()
        return self.layer(batch["x"]).sum()
    def on_train_end(self):
        np.savetxt(FOLDER + f"/{self.word}{self.global_rank}.txt", self.seen, fmt="%d")
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)

def run(word, **options):
    rows = SignalDataset({"x": np.ones((24, 8), "float32"), "row": np.arange(24)})
    data = DataModule(train=rows, batch_size=4, seed=1)
    saving = ModelCheckpoint(FOLDER, filename="stopped", every_n_train_steps=1)
    resumed = {"ckpt_path": FOLDER + "/stopped.ckpt", "weights_only": False} if word == "after" else {}
    pl.Trainer(accelerator="cpu", devices=2, strategy="ddp_fork", logger=False, enable_progress_bar=False,
               enable_model_summary=False, default_root_dir=FOLDER, callbacks=[saving], **options
    ).fit(Model(word), data, **resumed)

if __name__ == "__main__":
    run("before", max_steps=1)
    run("after", max_epochs=1)
"""
