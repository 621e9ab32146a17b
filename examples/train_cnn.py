"""Train a small CNN to tell heartbeats from artefacts, on two-second windows of a real ECG.

    python examples/train_cnn.py

`Loader` fetches, converts and filters a whole batch at a time. The stock DataLoader takes the same dataset and gives
the same batches, bit for bit, so the network ends with the same weights whichever of them feeds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import nn
from torch.utils.data import DataLoader

from bridgeflow import Compose, Loader, Scale, SignalDataset, SignalFilter, Window, collate, to_numpy
from bridgeflow.io import open_sink

RECORDING = Path(__file__).parent / "data" / "mitdb208_mlii.parquet"
EXAMPLES = Path("results") / "windows.arrow"
FS = 360.0
EPOCHS = 5


def write_examples() -> None:
    """Windows `[720]` in mV, every second one with what a loose electrode adds: steps, drift and noise."""
    counts = to_numpy(pq.read_table(RECORDING)["ecg"])
    cut = Compose([Scale(scale=1 / 200, offset=-1024 / 200, dtype="float32"), Window(length=720, hop=90)])
    windows = cut(counts).copy()
    rng = np.random.default_rng(0)
    loose = windows[1::2]
    steps = rng.laplace(scale=0.5, size=loose.shape) * (rng.random(loose.shape) < 0.01)
    loose += np.cumsum(steps + rng.normal(scale=0.02, size=loose.shape), axis=-1) + rng.normal(
        scale=0.2, size=loose.shape
    )
    with open_sink(EXAMPLES, overwrite=True, settings={"fs": FS}) as sink:
        sink.write({"ecg": windows, "artefact": np.arange(len(windows)) % 2})


def network() -> nn.Module:
    """The same network each time: three convolutions, a maximum over time, a line."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels_in, channels in ((1, 8), (8, 16), (16, 16)):
        layers += [nn.Conv1d(channels_in, channels, 9, stride=4), nn.ReLU()]
    return nn.Sequential(nn.Unflatten(1, (1, -1)), *layers, nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(16, 2))


def train(batches_of: Callable[[int], Iterable[dict[str, Any]]]) -> tuple[nn.Module, list[torch.Tensor]]:
    """The trained network, and the first batch of each epoch."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    seen = []
    for epoch in range(EPOCHS):
        right = total = 0
        for number, batch in enumerate(batches_of(epoch)):
            if number == 0:
                seen.append(batch["ecg"].clone())
            guess = model(batch["ecg"])
            loss = nn.functional.cross_entropy(guess, batch["artefact"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right += int((guess.argmax(1) == batch["artefact"]).sum())
            total += len(guess)
        print(f"  epoch {epoch}: {100 * right / total:.1f} % right")
    return model, seen


def main() -> None:
    write_examples()
    clean = SignalFilter(keys=("ecg",), design="butter", btype="bandpass", cutoff=(0.5, 40.0), order=2, fs=FS)
    dataset = SignalDataset(EXAMPLES, transform=clean)
    loader = Loader(dataset, 64, shuffle=True, seed=1)
    stock = DataLoader(dataset, batch_sampler=loader.batch_sampler, collate_fn=collate)

    def from_loader(epoch: int) -> Iterable[dict[str, Any]]:
        loader.set_epoch(epoch)
        return loader

    def from_stock(epoch: int) -> Iterable[dict[str, Any]]:
        loader.batch_sampler.set_epoch(epoch)
        return stock

    results = {}
    for name, batches_of in {"Loader": from_loader, "torch's DataLoader": from_stock}.items():
        print(f"{name}, {len(dataset)} windows:")
        results[name] = train(batches_of)

    (ours, first), (theirs, others) = results.values()
    assert all(map(torch.equal, first, others)), "identical batches"
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values())), "identical weights"
    right = np.mean([(ours(b["ecg"]).argmax(1) == b["artefact"]).float().mean().item() for b in loader])
    assert right > 0.9, f"only {100 * right:.0f} % of the windows told apart"
    print("identical batches, identical weights")


if __name__ == "__main__":
    main()
