"""A folder of audio clips with labels in a CSV file: which species calls, trained on some sites, tested on others."""

from pathlib import Path

import torch

from bridgeflow import Compose, Loader, Recordings, SignalDataset, Spectrogram, WholeRecording

FOLDER = Path(__file__).parent / "data" / "recordings" / "audio"


def main() -> None:
    torch.manual_seed(0)
    clips = Recordings.from_table(FOLDER / "labels.csv", path="file", units="physical")
    spectra = Spectrogram(win="hann", nperseg=128, hop=64, fs=4000, keys=("signal",))
    pipeline = Compose([WholeRecording(max_length="0.5 s", pad="zeros"), spectra])
    train, test = SignalDataset(clips, pipeline).split((0.75, 0.25), by="site")
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(65, 2)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(30):
        for batch in Loader(train, 4, shuffle=True):
            loss = torch.nn.functional.cross_entropy(model(batch["signal"].mean(-1).log10()), batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    batch = test.batch(slice(None))
    answer = model(batch["signal"].mean(-1).log10()).argmax(1)
    for clip, species, one in zip(batch["recording"], batch["species"], answer.tolist(), strict=True):
        print(f"{clip}: {species}, taken for {('whistler', 'pulser')[one]}")
    assert (answer == batch["label"]).all()


if __name__ == "__main__":
    main()
