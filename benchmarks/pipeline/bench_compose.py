"""What a composition costs beside its stages, on a dict sample small enough for the cost to show."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from benchmarks.harness import Race, benchmark, faster, need

Sample = dict[str, Any]


def sample() -> Sample:
    """A short window of two leads with its label, as a Dataset returns it."""
    return {"ecg": torch.linspace(-1, 1, 2 * 64).reshape(2, 64), "label": 3}


def equal_samples(ours: Sample, theirs: Sample) -> None:
    """Equal values of equal dtype; MONAI adds a key of its own, the log of what it did."""
    assert ours["label"] == theirs["label"]
    assert torch.equal(ours["ecg"], torch.as_tensor(theirs["ecg"]))
    assert ours["ecg"].dtype == theirs["ecg"].dtype


@benchmark("Compose of three stages on a dict sample, {work}", work=["nothing to convert", "each converts"])
def three_casts(work: str) -> Race:
    from bridgeflow import Cast, Compose

    v2 = need("torchvision.transforms.v2")
    names = ("float32",) * 3 if work == "nothing to convert" else ("float64", "float32", "float64")
    ours = Compose([Cast(dtype=name, keys=("ecg",)) for name in names])
    theirs = v2.Compose([v2.ToDtype(getattr(torch, name)) for name in names])
    peer = "torchvision v2.Compose of three ToDtype"
    return Race(
        ours=partial(ours, sample()),
        peers={peer: partial(theirs, sample())},
        targets={peer: faster(5)} if work == "nothing to convert" else {},
        agree=equal_samples,
    )


@benchmark("ToNumpy and ToTensor by key")
def there_and_back_by_key() -> Race:
    from bridgeflow import Compose, ToNumpy, ToTensor

    monai = need("monai.transforms")
    ours = Compose([ToNumpy(keys=("ecg",)), ToTensor(keys=("ecg",))])
    theirs = monai.Compose([monai.ToNumpyd(keys="ecg"), monai.ToTensord(keys="ecg")])
    plain = monai.Compose([monai.ToNumpyd(keys="ecg"), monai.ToTensord(keys="ecg", track_meta=False)])
    return Race(
        ours=partial(ours, sample()),
        peers={
            "MONAI ToNumpyd, ToTensord": partial(theirs, sample()),
            "MONAI the same, track_meta=False": partial(plain, sample()),
        },
        targets={"MONAI ToNumpyd, ToTensord": faster(20)},
        agree=equal_samples,
    )
