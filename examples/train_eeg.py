"""Train on EEG: a split in time, fitted statistics, augmentation, balanced batches, and a resume in mid-epoch.

python examples/train_eeg.py
"""

from itertools import chain, repeat
from pathlib import Path

import torch
from torch import nn

import bridgeflow as bf

RECORDINGS = bf.Recordings(Path(__file__).parent / "data" / "recordings" / "eeg" / "*.edf")
CHECKPOINT = Path("results") / "train_eeg.pt"
BAND = bf.SignalFilter(design="butter", btype="bandpass", cutoff=(4, 25), order=3, fs=64, mode="zero_phase")
CUT = [bf.EventWindow(event="*", start=0.0, stop=1.5), bf.EventLabels(classes=("left", "right"))]
AUGMENT = [bf.Gain(db=(-3, 3), keys="signal"), bf.AddNoise(snr_db=(10, 30), keys="signal")]


def parts(*stages: bf.Transform) -> tuple[bf.SignalDataset, ...]:
    """The windows of the first three quarters of each recording, and those of the rest."""
    return bf.SignalDataset(RECORDINGS, bf.Compose([BAND, *CUT, *stages])).split((0.75, 0.25), by="time")


def train(dataset: bf.SignalDataset, steps: int, resume: bool = False) -> nn.Module:
    """The model after so many steps, counted from the first, and a checkpoint of them."""
    torch.manual_seed(0)
    convolutions = [nn.Conv1d(4, 16, 17), nn.ReLU(), nn.Conv1d(16, 16, 17), nn.ReLU()]
    model = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(16 * 64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = bf.Loader(dataset, 8, sampler=bf.Balanced(by="label"), seed=1)
    saved = torch.load(CHECKPOINT) if resume else {"step": 0}
    if resume:
        for name, part in (("model", model), ("optimizer", optimizer), ("loader", loader)):
            part.load_state_dict(saved[name])
    batches = chain.from_iterable(repeat(loader))  # each pass is the next epoch
    for _, batch in zip(range(saved["step"], steps), batches, strict=False):
        loss = nn.functional.cross_entropy(model(batch["signal"].float()), batch["label"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "loader": loader.state_dict()}
    CHECKPOINT.parent.mkdir(exist_ok=True)
    torch.save({**states, "step": steps}, CHECKPOINT)
    return model


if __name__ == "__main__":
    fitted = bf.FitStandardize(keys="signal").fit(parts()[0])  # of the training part alone
    (training, _), (_, test) = parts(fitted, *AUGMENT), parts(fitted)
    whole = train(training, 60)
    train(training, 25)  # stops in the middle of the fourth epoch
    model = train(training, 60, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), model.parameters(), strict=True))
    batch = test.batch(range(len(test)))
    right = (model(batch["signal"].float()).argmax(1) == batch["label"]).float().mean()
    print(f"{right:.0%} of {len(test)} test windows told apart, with the weights of a run that was never stopped")
