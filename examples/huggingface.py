"""From a Hugging Face dataset to a trained model: a classifier of vibrations, which filters whole batches."""

from __future__ import annotations

import datasets
import numpy as np
import torch
from torch import nn

from bridgeflow import Compose, Loader, SignalDataset, SignalFilter, Standardize

FS = 1000.0

rng = np.random.default_rng(0)
labels = np.arange(400) % 2  # healthy, or a bearing that hums at 120 Hz below the drift of the sensor
time = np.arange(512) / FS
signals = np.cumsum(rng.normal(size=(400, 1, 512)), axis=-1) + rng.normal(size=(400, 1, 512))
signals += labels[:, None, None] * np.sin(2 * np.pi * 120 * time + rng.uniform(0, 6, (400, 1, 1)))

rows = datasets.Dataset.from_dict({"signal": signals.astype("float32"), "label": labels})
parts = rows.train_test_split(test_size=0.25, seed=0)

band = SignalFilter(design="butter", btype="bandpass", order=4, cutoff=(80.0, 160.0), fs=FS, keys="signal")
pipeline = Compose([band, Standardize(keys="signal", method="z-score")])
train = Loader(SignalDataset(parts["train"], pipeline), 32, shuffle=True, seed=0)
test = Loader(SignalDataset(parts["test"], pipeline), 32)

torch.manual_seed(0)
features = nn.Sequential(nn.Conv1d(1, 8, 33, stride=4), nn.ReLU(), nn.AdaptiveMaxPool1d(4), nn.Flatten())
model = nn.Sequential(features, nn.Linear(32, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for _ in range(8):
    for batch in train:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch["signal"]), batch["label"]).backward()
        optimizer.step()
right = sum(int((model(batch["signal"]).argmax(1) == batch["label"]).sum()) for batch in test)
print(f"{right} of {len(parts['test'])} rows of the test part are told apart")
