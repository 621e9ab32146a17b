"""Vibration in HDF5: worn bearings told from healthy ones, run by run, by the envelope of a resonance."""

from pathlib import Path

import torch

from bridgeflow import Compose, Envelope, Loader, Recordings, Scale, SignalDataset, SignalFilter, Window

FOLDER = Path(__file__).parent / "data" / "recordings" / "vibration"


def features(batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """How far the envelope of each axis peaks above its mean; and 1 for worn bearings."""
    labels = torch.tensor([state == "worn" for state in batch["state"]]).float()
    return (batch["signal"].amax(-1) / batch["signal"].mean(-1)).log(), labels


def main() -> None:
    torch.manual_seed(0)
    names = r"(?P<state>healthy|worn)_(?P<run>\d)\.h5"
    runs = Recordings(FOLDER / "*.h5", inside="run/acceleration", time_axis=1, group=names)
    resonance = SignalFilter(design="butter", btype="bandpass", cutoff=(1500, 3000), order=4, fs=8000)
    pipeline = Compose([Scale(scale=0.005), resonance, Window(length=512), Envelope()])
    train, test = (SignalDataset(runs.filter(lambda one, n=n: one.labels["run"] == n), pipeline) for n in "12")
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(40):
        for x, worn in map(features, Loader(train, 8, shuffle=True)):
            optimizer.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(model(x)[:, 0], worn).backward()
            optimizer.step()
    x, worn = features(test.batch(slice(None)))
    right = ((model(x)[:, 0] > 0) == worn.bool()).double().mean()
    print(f"{len(test)} windows of the second runs, {right:.0%} right")
    assert right > 0.8


if __name__ == "__main__":
    main()
