"""EEG epochs from the events of EDF files: the imagined hand, from the rhythm over the motor cortex."""

from pathlib import Path

import torch

from bridgeflow import Cast, Compose, EventLabels, EventWindow, Loader, Recordings, SignalDataset, SignalFilter

FOLDER = Path(__file__).parent / "data" / "recordings" / "eeg"
HANDS = ("left", "right")


def main() -> None:
    torch.manual_seed(0)
    recordings = Recordings(FOLDER / "*.edf", units="physical").pick(["C3", "C4"])
    rhythm = SignalFilter(design="butter", btype="bandpass", cutoff=(8, 13), order=4, fs=64, mode="zero_phase")
    windows = [EventWindow(event=HANDS, start=0.0, stop=1.5), EventLabels(classes=HANDS, rule="any")]
    epochs = SignalDataset(recordings, Compose([rhythm, *windows, Cast(dtype="float32", keys=("signal",))]))
    train, test = epochs.split((0.5, 0.5))  # a session each
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    loader = Loader(train, 16, shuffle=True)
    for _ in range(40):
        for batch in loader:
            loss = torch.nn.functional.cross_entropy(model(batch["signal"].var(-1).log()), batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    batch = test.batch(slice(None))
    right = (model(batch["signal"].var(-1).log()).argmax(1) == batch["label"]).float().mean()
    print(f"{len(test)} epochs of the other session, {right:.0%} right")
    assert right > 0.8


if __name__ == "__main__":
    main()
