"""torchvision v2 transforms in our `Compose`, and ours in `v2.Compose`, with the real torchvision."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from bridgeflow.bridge import describe, to_numpy
from bridgeflow.errors import ConfigError, DataError, NoRoute
from bridgeflow.pipeline import Compose
from bridgeflow.transforms import Cast, Clone, Detach, Scale, SignalFilter, ToArrow, ToDevice, ToNumpy, ToTensor
from bridgeflow.transforms.plan import Opaque

PIXELS = np.arange(2 * 4 * 3, dtype="uint8").reshape(2, 4, 3)
PICTURE = Image.fromarray(PIXELS)


class TestTheirsInOurs:
    def test_get_the_whole_sample(self):
        compose = Compose(
            [ToTensor(layout="CHW"), v2.ToDtype(torch.float32, scale=True), Scale(scale=2.0, offset=-1.0)]
        )
        actual = compose({"image": PICTURE, "label": 3})
        expected = torch.from_numpy(PIXELS.transpose(2, 0, 1).copy()).float() / 255 * 2 - 1
        torch.testing.assert_close(actual["image"], expected)
        assert actual["label"] == 3

    def test_keep_what_torchvision_knows_about_a_tensor(self):
        image = tv_tensors.Image(torch.zeros(3, 4, 4, dtype=torch.uint8))
        boxes = tv_tensors.BoundingBoxes(torch.tensor([[0, 0, 1, 1]]), format="XYXY", canvas_size=(4, 4))
        compose = Compose([Detach(), v2.RandomHorizontalFlip(p=1.0)])
        actual = compose({"image": image, "boxes": boxes})
        assert type(actual["image"]) is tv_tensors.Image
        assert actual["boxes"].tolist() == [[3, 0, 4, 1]]

    def test_see_tuples(self):
        compose = Compose([ToTensor(), v2.ToDtype(torch.float64)])
        image, label = compose((np.ones((1, 2, 2), "float32"), 7))
        assert (image.dtype, label) == (torch.float64, 7)

    def test_are_opaque_in_a_plan(self):
        steps = Compose([ToTensor(), v2.Identity(), Detach()]).explain({"x": np.ones((1, 2, 2))}).steps
        assert [type(step) is Opaque for step in steps] == [False, True, True]
        assert str(steps[1].stage) == "stage 2 (Identity)"

    def test_errors_name_the_stage(self):
        with pytest.raises(RuntimeError, match="Padding size") as caught:
            Compose([ToTensor(), v2.Pad(padding=1, padding_mode="reflect")])({"x": np.zeros((1, 1, 1, 1, 1))})
        assert caught.value.__notes__ == ["in stage 2 (Pad), at $"]

    def test_have_no_configuration(self):
        with pytest.raises(ConfigError, match=r"stage 2 \(ToDtype\) is a plain callable"):
            Compose([ToTensor(), v2.ToDtype(torch.float32)]).to_config()

    def test_pickle_with_ours(self):
        compose = pickle.loads(pickle.dumps(Compose([ToTensor(), v2.ToDtype(torch.float32)])))
        assert compose({"x": np.ones((1, 2, 2))})["x"].dtype is torch.float32


class TestOursInTheirs:
    def test_in_a_row(self):
        compose = v2.Compose([ToTensor(layout="CHW"), v2.ToDtype(torch.float32, scale=True), ToNumpy()])
        actual = compose({"image": PICTURE, "label": 3})
        assert isinstance(actual["image"], np.ndarray)
        np.testing.assert_allclose(actual["image"], PIXELS.transpose(2, 0, 1) / 255, rtol=1e-6)
        assert actual["label"] == 3

    def test_with_several_arguments(self):
        image, target = v2.Compose([ToTensor(layout="CHW"), v2.ToDtype(torch.float32), Cast(dtype="float64")])(
            PICTURE, {"boxes": np.ones((1, 4))}
        )
        assert image.dtype is torch.float64
        assert target["boxes"].dtype is torch.float64

    def test_a_whole_composition(self):
        ours = Compose([ToTensor(keys=("x",)), Scale(scale=2.0, keys=("x",))])
        assert v2.Compose([ours, v2.Identity()])({"x": np.ones((1, 2, 2)), "y": "z"})["x"].max() == 2.0

    def test_what_theirs_pass_over_in_silence_ours_convert_or_refuse(self):
        """vision#8874: v2 transforms ignore NumPy arrays."""
        assert v2.ToDtype(torch.float32)({"x": PIXELS})["x"] is PIXELS
        assert Cast(dtype="float32")({"x": PIXELS})["x"].dtype == "float32"
        with pytest.raises(NoRoute, match=r"^\$\.x: "):
            Cast(dtype="float32")({"x": np.array(["text"])})


class TestImages:
    @pytest.mark.parametrize("transform", [ToNumpy(), ToTensor(), ToArrow()])
    def test_axes_are_declared_never_guessed(self, transform: Any):
        for call in (transform, transform.explain):
            with pytest.raises(NoRoute, match=r'^\$\.image: .* pass layout="HWC" or layout="CHW"'):
                call({"image": PICTURE})

    @pytest.mark.parametrize(("layout", "order"), [("HWC", (0, 1, 2)), ("CHW", (2, 0, 1))])
    def test_values_stay(self, layout: Any, order: tuple[int, ...]):
        for transform in (ToNumpy(layout=layout), ToTensor(layout=layout)):
            actual = transform({"image": PICTURE})["image"]
            np.testing.assert_array_equal(to_numpy(actual), PIXELS.transpose(order))
            assert transform.explain({"image": PICTURE}).result["image"].admits(describe(actual))

    def test_differ_from_torchvisions_own_to_tensor(self):
        theirs = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])(PICTURE)
        ours = ToTensor(layout="CHW")(PICTURE)
        assert ours.dtype is torch.uint8
        torch.testing.assert_close(ours / 255, torch.as_tensor(theirs))

    def test_layout_says_nothing_about_arrays(self):
        assert ToTensor(layout="CHW")(PIXELS).shape == (2, 4, 3)


class TestTvTensors:
    IMAGE = tv_tensors.Image(torch.arange(12.0).reshape(3, 2, 2))

    def test_are_tensors(self):
        actual = ToNumpy()({"image": self.IMAGE})["image"]
        assert actual.__array_interface__["data"][0] == self.IMAGE.data_ptr()
        assert type(ToTensor()(self.IMAGE)) is tv_tensors.Image

    @pytest.mark.parametrize("transform", [Detach(), Clone(), ToDevice(device="meta")])
    def test_keep_their_type_where_the_values_stay(self, transform: Any):
        assert type(transform(self.IMAGE)) is tv_tensors.Image

    def test_keep_their_type_where_images_stay_images(self):
        assert type(Scale(scale=2.0)(self.IMAGE)) is tv_tensors.Image

    def test_become_tensors_where_they_are_signals(self):
        low = SignalFilter(design="butter", cutoff=0.2, order=1, fs=1.0)
        assert type(low(self.IMAGE)) is torch.Tensor


def test_integer_overflow_is_told_with_its_stage():
    with pytest.raises(DataError, match=r"^stage 2 \(Cast\), \$\.x: "):
        Compose([v2.Identity(), Cast(dtype="int8")])({"x": torch.tensor([1e4])})


def test_torchvision_is_not_imported_for_it():
    code = (
        "import sys; from bridgeflow import Compose, ToTensor; import numpy as np; "
        "Compose([ToTensor()])({'x': np.ones(2)}); sys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
