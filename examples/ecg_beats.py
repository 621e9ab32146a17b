"""Windows around the annotated beats of WFDB records, none of them across a gap: usual beats, and unusual ones."""

from pathlib import Path

import torch

from bridgeflow import Compose, EventWindow, Loader, Recordings, SignalDataset, SignalFilter, Standardize

FOLDER = Path(__file__).parent / "data" / "recordings" / "ecg"
BEATS = ("N", "V")


def labels(batch: dict) -> torch.Tensor:
    return torch.tensor([BEATS.index(text) for text in batch["event"]])


def main() -> None:
    torch.manual_seed(0)
    recordings = Recordings(FOLDER / "*.hea", nulls="gap")  # missing samples become a gap between segments
    band = SignalFilter(design="butter", btype="bandpass", cutoff=(1, 40), order=2, fs=360, mode="zero_phase")
    stages = [band, EventWindow(event=BEATS, start=-0.3, stop=0.4), Standardize(keys=("signal",))]
    train, test = SignalDataset(recordings, Compose(stages)).split((0.5, 0.5))  # a record each
    conv = torch.nn.Conv1d(1, 8, 31, stride=4, dtype=torch.float64)
    model = torch.nn.Sequential(conv, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(2, dtype=torch.float64))
    model(train.batch([0])["signal"])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(15):
        for batch in Loader(train, 16, shuffle=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(batch["signal"]), labels(batch)).backward()
            optimizer.step()
    batch = test.batch(slice(None))
    right = (model(batch["signal"]).argmax(1) == labels(batch)).float().mean()
    print(f"{len(test)} beats of the other record, {right:.0%} right; {labels(batch).double().mean():.0%} are unusual")
    assert right > 0.9


if __name__ == "__main__":
    main()
