"""Lightning, stopped in the middle of an epoch and resumed: the batches are those of a run in one piece."""

import tempfile
import warnings

import lightning.pytorch as pl
import torch

from bridgeflow.integrations.lightning import DataModule

warnings.filterwarnings("ignore", module="lightning")  # its advice on workers and loggers


class Model(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.starts = torch.nn.Linear(3600, 1), []

    def training_step(self, batch, number):
        self.starts.append(batch["start"].tolist())
        return self.layer(batch["signal"].float()).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-5)


def fit(model, steps, **resumed):
    data = DataModule.from_yaml("configs/train_ecg.yaml")
    saving = pl.callbacks.ModelCheckpoint(folder, filename="stopped", every_n_train_steps=1)
    trainer = pl.Trainer(max_steps=steps, callbacks=saving, logger=False, enable_progress_bar=False)
    trainer.fit(model, data, **resumed)
    return model.starts


folder = tempfile.mkdtemp()
whole, before = fit(Model(), 8), fit(Model(), 5)
after = fit(Model(), 8, ckpt_path=f"{folder}/stopped.ckpt")
print("the batches are those of the run in one piece:", before + after == whole)
