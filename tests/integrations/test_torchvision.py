"""torchvision v2 transforms in our `Compose`, and ours in `v2.Compose`, with the real torchvision."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from bridgeflow.bridge import describe, to_numpy
from bridgeflow.errors import ConfigError, DataError, NoRoute
from bridgeflow.pipeline import Compose, SignalDataset
from bridgeflow.transforms import (
    Cast,
    Clone,
    DecodeImages,
    Detach,
    Scale,
    SignalFilter,
    ToArrow,
    ToDevice,
    ToNumpy,
    ToTensor,
)
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


class TestOtherTvTensors:
    SIZE = (8, 8)
    VALUES = (
        tv_tensors.Video(torch.zeros(4, 3, 8, 8)),
        tv_tensors.Mask(torch.zeros(8, 8, dtype=torch.uint8)),
        tv_tensors.BoundingBoxes(torch.tensor([[0.0, 0, 1, 1]]), format="XYXY", canvas_size=SIZE),
        tv_tensors.KeyPoints(torch.zeros(2, 2), canvas_size=SIZE),
    )

    @pytest.mark.parametrize("value", VALUES, ids=lambda one: type(one).__name__)
    @pytest.mark.parametrize(
        "transform",
        [Clone(), Detach(), ToDevice(device="cpu"), ToTensor(), Scale(scale=2.0), Cast(dtype="float64")],
        ids=lambda one: type(one).__name__,
    )
    def test_keep_their_type_and_what_they_know(self, value: Any, transform: Any):
        actual = transform(value)
        assert type(actual) is type(value)
        if isinstance(value, tv_tensors.BoundingBoxes):
            assert (actual.format, actual.canvas_size) == (value.format, value.canvas_size)

    @pytest.mark.parametrize("value", VALUES, ids=lambda one: type(one).__name__)
    def test_become_tensors_where_values_are_no_picture_any_more(self, value: Any):
        assert type(SignalFilter(design="butter", order=1, cutoff=0.1, fs=1.0)(value)) is torch.Tensor

    def test_stay_together_through_both(self):
        image, mask = tv_tensors.Image(torch.arange(192.0).reshape(3, 8, 8)), self.VALUES[1]
        compose = v2.Compose([Scale(scale=0.5, keys="image"), v2.RandomHorizontalFlip(1.0), Detach()])
        actual = compose({"image": image, "mask": mask, "boxes": self.VALUES[2]})
        assert [type(one).__name__ for one in actual.values()] == ["Image", "Mask", "BoundingBoxes"]
        torch.testing.assert_close(torch.as_tensor(actual["image"]), torch.as_tensor(image).flip(-1) / 2)
        assert actual["boxes"].tolist() == [[7, 0, 8, 1]]


MODES = {
    "1": "bool", "L": "uint8", "LA": "uint8", "RGB": "uint8", "RGBA": "uint8", "CMYK": "uint8",
    "I": "int32", "I;16": "uint16", "F": "float32",
}  # fmt: skip


def picture(mode: str) -> Image.Image:
    """A picture of 2 rows and 3 columns."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.arange(6 * bands).reshape(2, 3, bands) * 10
    if mode == "1":
        return Image.fromarray((values[..., 0] > 20).astype("uint8") * 255).convert("1")
    array = values.astype(MODES[mode])
    return Image.fromarray(array if bands > 1 else array[..., 0], mode if mode in ("LA", "CMYK") else None)


class TestModes:
    @pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
    @pytest.mark.parametrize("mode", MODES)
    def test_values_and_types_are_those_of_numpy(self, mode: str):
        image = picture(mode)
        assert image.mode == mode
        expected = np.asarray(image).reshape(2, 3, -1)
        assert expected.dtype == MODES[mode]
        np.testing.assert_array_equal(to_numpy(image, layout="HWC"), expected)
        np.testing.assert_array_equal(ToTensor(layout="CHW")(image).numpy(), expected.transpose(2, 0, 1))

    @pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
    @pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I"])
    def test_torchvision_leads_back(self, mode: str):
        again = v2.Compose([ToTensor(layout="CHW"), v2.ToPILImage()])(picture(mode))
        assert again.mode == mode
        assert again.tobytes() == picture(mode).tobytes()

    def test_a_palette_is_not_colours(self):
        with pytest.raises(NoRoute, match=r'mode P are not colours .* image.convert\("RGB"\)'):
            ToTensor(layout="CHW")(PICTURE.convert("P"))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


class TestDecodeImages:
    PNG = encoded(PICTURE)

    @pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP", "JPEG"])
    def test_pixels_are_those_of_pil(self, format: str):
        data = encoded(PICTURE, format)
        with Image.open(io.BytesIO(data)) as opened:
            expected = np.asarray(opened.convert("RGB"))
        np.testing.assert_array_equal(DecodeImages(layout="HWC", kind="numpy", mode="RGB")(data), expected)

    @pytest.mark.parametrize("leaf", [PNG, bytearray(PNG), {"bytes": PNG, "path": None}, {"bytes": PNG}, PICTURE])
    def test_what_an_image_may_be(self, leaf: Any):
        actual = DecodeImages()({"image": leaf, "label": 3, "name": "x"})
        np.testing.assert_array_equal(actual["image"].numpy(), PIXELS.transpose(2, 0, 1))
        assert (actual["label"], actual["name"]) == (3, "x")

    @pytest.mark.parametrize(
        ("image", "shape"),
        [
            (PICTURE.convert("P"), (3, 2, 4)),
            (PICTURE.convert("L"), (1, 2, 4)),
            (PICTURE.convert("RGBA"), (4, 2, 4)),
            (Image.fromarray(PIXELS[..., 0].astype("uint16") * 256), (1, 2, 4)),
        ],
        ids=["P", "L", "RGBA", "I;16"],
    )
    def test_modes(self, image: Image.Image, shape: tuple[int, ...]):
        data = encoded(image)
        assert DecodeImages()(data).shape == shape
        assert DecodeImages().explain({"image": data}).result["image"].shape == shape
        assert DecodeImages(mode="RGB")(data).shape == (3, 2, 4)

    @pytest.mark.parametrize("kind", ["binary", "large_binary", "binary_view", "struct"])
    def test_columns_of_tables(self, kind: str):
        rows = [{"bytes": self.PNG, "path": "a"}] * 3 if kind == "struct" else [self.PNG] * 3
        column = pa.array(rows) if kind == "struct" else pa.array(rows, getattr(pa, kind)())
        table = pa.table({"image": column, "label": [1, 2, 3]})
        actual = DecodeImages(keys="image")(table)["image"]
        np.testing.assert_array_equal(actual.numpy(), np.stack([PIXELS.transpose(2, 0, 1)] * 3))
        dataset = SignalDataset(table, Compose([DecodeImages(keys="image", kind="numpy"), v2.Identity()]))
        np.testing.assert_array_equal(dataset[1]["image"], PIXELS.transpose(2, 0, 1))
        batch = SignalDataset(table, DecodeImages(keys="image")).batch([2, 0])
        assert (batch["image"].shape, batch["label"].tolist()) == ((2, 3, 2, 4), [3, 1])

    def test_of_several_sizes(self):
        column = pa.array([self.PNG, encoded(PICTURE.resize((5, 5)))])
        assert [one.shape for one in DecodeImages()(column)] == [(3, 2, 4), (3, 5, 5)]
        pipeline = Compose([DecodeImages(keys="image"), v2.ToImage(), v2.Resize((6, 6))])
        assert SignalDataset(pa.table({"image": column}), pipeline).batch([0, 1])["image"].shape == (2, 3, 6, 6)

    def test_files_are_read_beneath_a_root_alone(self, tmp_path: Any):
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.png").write_bytes(self.PNG)
        (tmp_path / "b.png").write_bytes(self.PNG)
        sample = {"image": {"bytes": None, "path": "a.png"}}
        decode = DecodeImages(root=str(tmp_path / "in"))
        assert decode(sample)["image"].shape == (3, 2, 4)
        with pytest.raises(DataError, match=r"^\$\.image: the image is a file, 'a.png'; give root="):
            DecodeImages()(sample)
        for path in ("../b.png", str(tmp_path / "b.png")):
            with pytest.raises(DataError, match="lies outside"):
                decode({"image": {"bytes": None, "path": path}})
        with pytest.raises(ConfigError, match="root is given by code"):
            decode.to_config()
        with pytest.raises(ConfigError, match="root is given by code"):
            Compose.from_yaml("- DecodeImages: {root: /}")

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", r"0 bytes that begin with b'' are not an image"),
            (b"text" * 9, r"36 bytes that begin with b'texttext' are not an image that is decoded"),
            (PNG[:45], r"damaged|not an image"),
            ({"bytes": None, "path": None}, r"neither bytes nor a path"),
            (pa.array([PNG, None]), r"\$\.image\[1\]: the image is missing \(null\)"),
        ],
        ids=["empty", "text", "cut", "nothing", "null"],
    )
    def test_what_is_not_an_image_is_refused(self, data: Any, message: str):
        with pytest.raises(DataError, match=message):
            DecodeImages(keys="image")({"image": data})

    def test_an_image_that_is_too_large_is_not_decoded(self):
        data = encoded(Image.new("1", (9_000, 9_000)))
        assert len(data) < 100_000
        with pytest.raises(DataError, match=r"9,000 x 9,000 pixels, and max_pixels=67,108,864"):
            DecodeImages()(data)
        with pytest.raises(DataError, match="larger than pillow opens"):
            DecodeImages()(encoded(Image.new("1", (20_000, 10_000))))
        with pytest.raises(DataError, match="max_pixels=7"):
            DecodeImages(max_pixels=7)(self.PNG)

    def test_every_cut_and_flipped_bit_is_an_image_or_refused(self):
        data = encoded(PICTURE.resize((16, 16)))
        rng = np.random.default_rng(0)
        damaged = [data[:stop] for stop in range(0, len(data), 13)]
        for place in rng.integers(0, len(data), 60).tolist():
            one = bytearray(data)
            one[place] ^= 1 << int(rng.integers(8))
            damaged.append(bytes(one))
        for one in damaged:
            with suppress(DataError):
                assert DecodeImages(mode="RGB", max_pixels=1 << 16)(one).ndim == 3
