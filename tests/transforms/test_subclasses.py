"""Images stay images: classes of tensors through the transforms that work on each value by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from bridgeflow import Compose
from bridgeflow.transforms import Cast, Clone, Detach, Scale, SignalFilter, ToDevice, ToTensor, Transform

IMAGES: dict[str, Any] = {
    "Image": lambda: tv_tensors.Image(torch.arange(8.0).reshape(1, 2, 4)),
    "Mask": lambda: tv_tensors.Mask(torch.arange(8).reshape(2, 4)),
    "Video": lambda: tv_tensors.Video(torch.arange(16.0).reshape(2, 1, 2, 4)),
    "BoundingBoxes": lambda: tv_tensors.BoundingBoxes([[0.0, 0.0, 1.0, 1.0]], format="XYXY", canvas_size=(2, 4)),
    "KeyPoints": lambda: tv_tensors.KeyPoints([[0.0, 1.0]], canvas_size=(2, 4)),
}
POINTWISE: dict[str, Transform] = {
    "Scale": Scale(scale=2.0, offset=1.0),
    "Scale to float16": Scale(scale=2.0, dtype="float16"),
    "Cast to float64": Cast(dtype="float64"),
    "Cast to int16": Cast(dtype="int16"),
    "Cast to float16, saturating": Cast(dtype="float16", on_overflow="saturate", rounding="nearest"),
    "Cast to itself": Cast(dtype="float32"),
    "Clone": Clone(),
    "Detach": Detach(),
    "ToDevice": ToDevice(device="cpu"),
    "ToTensor": ToTensor(),
    "ToTensor, copied": ToTensor(copy="always"),
    "Compose": Compose([Scale(scale=2.0), Cast(dtype="float64"), Clone()]),
}


@pytest.mark.parametrize("make", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("transform", POINTWISE.values(), ids=POINTWISE)
def test_classes_of_torchvision_stay_with_their_metadata(transform: Transform, make: Any):
    x = make()
    plain = transform(x.as_subclass(torch.Tensor))
    for _ in range(2):
        result = transform({"x": x, "n": 1})["x"]
        assert type(result) is type(x)
        assert result.dtype == plain.dtype
        torch.testing.assert_close(result.as_subclass(torch.Tensor), plain, rtol=0, atol=0)
        for name in ("format", "canvas_size"):
            assert getattr(result, name, None) == getattr(x, name, None)
    assert type(x) is type(make())


@pytest.mark.parametrize("ours", [Scale(keys="image", scale=1.0), Cast(keys="image", dtype="float64")])
@pytest.mark.parametrize("place", ["before", "after", "around"])
def test_transforms_of_torchvision_see_the_same_image(ours: Transform, place: str):
    flip = v2.RandomHorizontalFlip(p=1.0)
    sample = {
        "weights": torch.tensor([[1.0, 2.0, 3.0]]),
        "image": IMAGES["Image"](),
        "boxes": IMAGES["BoundingBoxes"](),
        "mask": IMAGES["Mask"](),
    }
    stages = {"before": [ours, flip], "after": [flip, ours], "around": [ours, flip, ours]}[place]
    result, expected = Compose(stages)(sample), flip(sample)
    assert {key: type(value) for key, value in result.items()} == {key: type(value) for key, value in expected.items()}
    assert {key: value.tolist() for key, value in result.items()} == {
        key: value.tolist() for key, value in expected.items()
    }


class Tagged(torch.Tensor):
    """A subclass that torch keeps through arithmetic."""


@pytest.mark.parametrize("transform", POINTWISE.values(), ids=POINTWISE)
def test_other_subclasses_are_kept_where_torch_keeps_them(transform: Transform):
    x = torch.arange(4.0).as_subclass(Tagged)
    assert type(transform(x)) is Tagged
    assert type(transform(torch.nn.Parameter(torch.ones(2)))) in (torch.Tensor, torch.nn.Parameter)


def test_signals_filtered_out_of_an_image_are_plain_tensors():
    x = tv_tensors.Image(torch.randn(1, 4, 60))
    result = SignalFilter(design="butter", order=2, cutoff=10, fs=100)(x)
    expected = SignalFilter(design="butter", order=2, cutoff=10, fs=100)(np.asarray(x))
    np.testing.assert_array_equal(result.as_subclass(torch.Tensor).numpy(), expected)
