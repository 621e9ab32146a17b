"""IMU samples whose timestamps jitter, out of Parquet: standing, walking or running, tested on another person."""

from pathlib import Path

import torch

from bridgeflow import Compose, Loader, Recordings, Regrid, SignalDataset, Window, WindowLabels

FOLDER = Path(__file__).parent / "data" / "recordings" / "imu"


def main() -> None:
    torch.manual_seed(0)
    regrid = Regrid(to_hz=50, method="nearest", max_gap=0.5)  # pauses beyond half a second become gaps
    people = Recordings(FOLDER / "*.parquet", time="time", regrid=regrid)
    people = people.with_columns({"acc": "acc_*", "activity": "activity"})
    stages = [Window(length=100, hop=50, keys=("acc",)), WindowLabels(length=100, hop=50, keys=("activity",))]
    windows = SignalDataset(people, Compose(stages))
    train, test = windows.split((0.5, 0.5))  # a person each
    conv = torch.nn.Conv1d(3, 8, 15, stride=2)
    model = torch.nn.Sequential(
        conv, torch.nn.ReLU(), torch.nn.AdaptiveMaxPool1d(1), torch.nn.Flatten(), torch.nn.Linear(8, 3)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        for batch in Loader(train, 16, shuffle=True):
            x, labels = batch["acc"] / 1000, batch["activity"].long().flatten()
            loss = torch.nn.functional.cross_entropy(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    batch = test.batch(slice(None))
    right = (model(batch["acc"] / 1000).argmax(1) == batch["activity"].long().flatten()).float().mean()
    print(f"{len(test)} windows of the other person, {right:.0%} right")
    assert right > 0.9


if __name__ == "__main__":
    main()
