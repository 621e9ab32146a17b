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
    """Equal values of equal dtype under the same keys."""
    assert ours.keys() == theirs.keys()
    assert ours["label"] == theirs["label"]
    torch.testing.assert_close(ours["ecg"], torch.as_tensor(theirs["ecg"]), rtol=0, atol=0)


@benchmark("Compose of three casts on a dict sample")
def three_casts() -> Race:
    from bridgeflow import Cast, Compose

    v2 = need("torchvision.transforms.v2")
    names = ("float64", "float32", "float64")
    ours = Compose([Cast(dtype=name, keys=("ecg",)) for name in names])
    theirs = v2.Compose([v2.ToDtype(getattr(torch, name)) for name in names])
    return Race(
        ours=partial(ours, sample()),
        peers={"torchvision v2.Compose of ToDtype": partial(theirs, sample())},
        targets={"torchvision v2.Compose of ToDtype": faster(5)},
        agree=equal_samples,
    )


@benchmark("ToNumpy and ToTensor by key")
def there_and_back_by_key() -> Race:
    from bridgeflow import Compose, ToNumpy, ToTensor

    monai = need("monai.transforms")
    ours = Compose([ToNumpy(keys=("ecg",)), ToTensor(keys=("ecg",))])
    theirs = monai.Compose([monai.ToNumpyd(keys="ecg"), monai.ToTensord(keys="ecg", track_meta=False)])
    return Race(
        ours=partial(ours, sample()),
        peers={"MONAI ToNumpyd, ToTensord": partial(theirs, sample())},
        targets={"MONAI ToNumpyd, ToTensord": faster(20)},
        agree=equal_samples,
    )
