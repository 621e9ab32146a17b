"""Transforms in a Dataset, called by DataLoader workers that were spawned or forked.

    python examples/dataset_workers.py

A transform is an immutable object of plain fields, so it pickles to a spawned worker, and one object serves them all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from torch.utils.data import DataLoader, Dataset

from bridgeflow import Compose, Scale, SignalFilter, ToTensor, to_numpy

RECORDING = Path(__file__).parent / "data" / "mitdb208_mlii.parquet"
FS = 360.0
WINDOW = 720  # samples: two seconds


class Windows(Dataset[dict[str, Any]]):
    """Windows of the recording, each a sample of a signal and its start in seconds."""

    def __init__(self, transform: Compose) -> None:
        self.counts = to_numpy(pq.read_table(RECORDING)["ecg"])  # [108000] uint16, a view of Arrow's memory
        self.transform = transform

    def __len__(self) -> int:
        return len(self.counts) // WINDOW

    def __getitem__(self, index: int) -> dict[str, Any]:
        start = index * WINDOW
        return self.transform({"ecg": self.counts[start : start + WINDOW], "start": start / FS})


def main() -> None:
    prepare = Compose(
        [
            Scale(scale=1 / 200, offset=-1024 / 200, keys=("ecg",)),  # counts to millivolt
            SignalFilter(
                design="butter", btype="bandpass", cutoff=(0.5, 40.0), order=2, fs=FS, initial="steady", keys=("ecg",)
            ),
            ToTensor(keys=("ecg",)),
        ]
    )
    windows = Windows(prepare)
    print(prepare.explain({"ecg": windows.counts[:WINDOW], "start": 0.0}))

    epochs = {}
    for workers, context in ((0, None), (2, "spawn"), (2, "fork")):
        loader = DataLoader(windows, batch_size=32, num_workers=workers, multiprocessing_context=context)
        batches = list(loader)
        epochs[context] = torch.cat([batch["ecg"] for batch in batches])
        print(
            f"{context or 'no'} workers: {len(batches)} batches, {tuple(epochs[context].shape)} {epochs[context].dtype}"
        )

    assert epochs[None].shape == (150, WINDOW)
    assert epochs[None].dtype == torch.float32
    assert torch.equal(epochs["spawn"], epochs[None]), "spawned workers give the same numbers"
    assert torch.equal(epochs["fork"], epochs[None]), "forked workers too"


if __name__ == "__main__":
    main()
