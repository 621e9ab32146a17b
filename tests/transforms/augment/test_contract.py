"""Every augmentation keeps the contract, and a row has the same bits alone, in a batch, and in any worker."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow import Compose, RandomCrop, Scale, SignalDataset, Transform, generators, seeded
from bridgeflow.errors import ConfigError, DataError, OutOfContext
from bridgeflow.testing import check_transform
from tests.transforms.augmentations import AUGMENTATIONS, MIXES

ALL = [one for name in sorted(AUGMENTATIONS) for one in AUGMENTATIONS[name]]
NAMES = [f"{type(one).__name__}{number}" for name in sorted(AUGMENTATIONS) for number, one in
         enumerate(AUGMENTATIONS[name])]  # fmt: skip
each = pytest.mark.parametrize("transform", ALL, ids=NAMES)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


@each
def test_keeps_the_contract(transform: Transform):
    check_transform(transform)


@pytest.mark.parametrize(
    "transform", [AUGMENTATIONS[name][0] for name in sorted(AUGMENTATIONS)], ids=sorted(AUGMENTATIONS)
)
@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(pa.FixedShapeTensorArray.from_numpy_ndarray(noise(3, 50)), id="arrow"),
        pytest.param(noise(2, 3, 40).astype("float32")[:, ::-1, ::2], id="strided"),
        pytest.param(np.arange(60, dtype="uint16").reshape(2, 30), id="counts"),
        pytest.param(torch.arange(60).reshape(2, 30).to(torch.uint16), id="torch counts"),
        pytest.param(noise(2, 40).astype(">f8"), id="big-endian"),
        pytest.param(noise(2, 40).astype("float16"), id="half"),
        pytest.param(torch.from_numpy(noise(2, 40)).bfloat16(), id="bfloat16"),
        pytest.param({"ecg": noise(2, 40), "label": 3}, id="nested"),
    ],
)
def test_on_memory_of_other_kinds(transform: Any, sample: Any):
    # torch, which the suite stacks and reverses samples with, cannot reverse 16-bit counts
    skip = {"batches"} if isinstance(sample, torch.Tensor) and sample.dtype == torch.uint16 else set()
    check_transform(transform, sample, skip=skip)


@each
def test_on_tensors_with_a_graph(transform: Transform):
    check_transform(transform, torch.from_numpy(noise(2, 30)).requires_grad_())


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@each
def test_sample_and_batch_have_the_same_bits(transform: Any, kind: Any):
    x = noise(11, 3, 40).astype("float32")
    data = torch.from_numpy(x) if kind == "torch" else x
    dataset = SignalDataset({"x": x, "label": np.arange(11)}, transform=replace(transform, keys="x"), kind=kind, seed=5)
    rows = [7, 2, 9, 0]
    batch = np.asarray(dataset.batch(rows)["x"])
    for number, row in enumerate(rows):
        np.testing.assert_array_equal(np.asarray(dataset[row]["x"]), batch[number])
        with seeded(5, rows=row):
            np.testing.assert_array_equal(np.asarray(transform(data[row])), batch[number])
    with seeded(5, rows=rows):
        np.testing.assert_array_equal(np.asarray(transform(data[rows])), batch)


@pytest.mark.parametrize("axis", [-2, -1])
@pytest.mark.parametrize("name", sorted(set(AUGMENTATIONS) - {"OneOf", "RandomApply", "SomeOf"}))
def test_any_axis_counted_from_the_end(name: str, axis: int):
    transform: Any = AUGMENTATIONS[name][0]
    x = noise(3, 24, 24)
    with seeded(1, rows=4):
        expected = transform(x)
    with seeded(1, rows=4):
        moved = replace(transform, axis=-3 - transform.axis)(x.swapaxes(-1, -2))
    np.testing.assert_array_equal(moved, expected.swapaxes(-1, -2))


@each
def test_evaluation_leaves_it_out(transform: Any):
    pipeline = Compose([Scale(scale=2.0), transform, Compose([transform]), abs])
    left = pipeline.eval()
    assert pipeline.random == transform.random
    assert not left.random
    if type(transform) is RandomCrop:
        assert np.array_equal(
            transform.eval()(np.arange(30)), np.arange(30)[(30 - transform.length) // 2 :][: transform.length]
        )
    elif transform.random:
        assert left == Compose([Scale(scale=2.0), Compose([]), abs])
        assert transform.eval() is None


@each
def test_configuration_and_back(transform: Any):
    assert Transform.from_config(json.loads(json.dumps(transform.to_config()))) == transform


@each
def test_outside_of_a_dataset_it_asks_for_seeded(transform: Any):
    if not transform.random:
        transform(noise(2, 30))
        return
    with pytest.raises(OutOfContext, match=r"bridgeflow\.seeded"):
        transform(noise(2, 30))


@each
def test_a_stream_is_refused(transform: Any):
    assert "draws random numbers for whole samples" in transform.stream_obstacle


def test_generators_of_some_samples_go_on():
    with seeded(0, rows=[3, 5, 8]):
        first = generators()[2].random()
        part = generators().some([2, 0])
        assert (len(part), part.batched, part.rows) == (2, True, [8, 3])
        assert part[0] is generators()[2]
        assert part.one(0)[0].random() != first


@pytest.mark.parametrize(
    ("rows", "shape"), [([1, 2], (3, 40)), ([1, 2], (2,))], ids=["another length", "no axis of samples"]
)
def test_a_batch_of_the_wrong_shape_is_refused(rows: list[int], shape: tuple[int, ...]):
    with pytest.raises(DataError, match="expected a batch of 2 samples"), seeded(0, rows=rows):
        AUGMENTATIONS["Gain"][0](noise(*shape))


def test_an_axis_from_the_front_takes_samples():
    transform: Any = replace(AUGMENTATIONS["TimeShift"][0], axis=1, keys="x")
    dataset = SignalDataset({"x": noise(4, 2, 30)}, transform=transform)
    assert (dataset.batch([0, 3])["x"][1] == dataset[3]["x"]).all()
    with pytest.raises(DataError, match="counted from the front"), seeded(0, rows=[0, 1]):
        replace(transform, keys=None)(noise(2, 2, 30))


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("Gain", {"db": "loud"}, "db"),
    ("Gain", {"db": (3, 1)}, "db"),
    ("Gain", {"db": (1, 2, 3)}, "db"),
    ("Gain", {"db": float("nan")}, "db"),
    ("Gain", {"db": True}, "db"),
    ("Gain", {"db": 3, "p": 1.5}, "p"),
    ("Gain", {"db": 3, "p": "often"}, "p"),
    ("AddNoise", {"snr_db": 10, "color": "green"}, "color"),
    ("AddNoise", {"snr_db": 10, "per_channel": 2}, "per_channel"),
    ("TimeShift", {"max_shift": 2.5}, "max_shift"),
    ("TimeShift", {"max_shift": -1}, "max_shift"),
    ("TimeShift", {"max_shift": 1, "mode": "wrap"}, "mode"),
    ("RandomCrop", {"length": 0}, "length"),
    ("Speed", {"factors": ()}, "factors"),
    ("Speed", {"factors": (1, 20)}, "factors"),
    ("TimeMask", {"length": (5, 2)}, "length"),
    ("TimeMask", {"length": 0.5}, "length"),
    ("FrequencyMask", {"width": -1}, "width"),
    ("DropSamples", {"rate": 2}, "rate"),
    ("DropSamples", {"rate": 0.1, "fill": "nan"}, "fill"),
    ("BandStop", {"fs": 100, "center": 50, "width": 1}, "center"),
    ("BandStop", {"fs": 100, "center": 20, "width": -1}, "width"),
    ("BaselineWander", {"fs": 1, "amplitude": 1}, "frequency"),
    ("BaselineWander", {"fs": 100, "amplitude": -1}, "amplitude"),
    ("MainsInterference", {"fs": 100, "amplitude": 1}, "frequency"),
    ("MainsInterference", {"fs": 500, "amplitude": 1, "harmonics": 1.5}, "harmonics"),
    ("Clip", {"at": 1.5}, "at"),
    ("Quantize", {"bits": 0}, "bits"),
    ("Quantize", {"bits": (2.5, 3)}, "bits"),
    ("ChannelDropout", {"rate": -0.1}, "rate"),
    ("ChannelSymmetry", {"pairs": ()}, "pairs"),
    ("ChannelSymmetry", {"pairs": ((0, 1), (1, 2))}, "pairs"),
    ("ChannelSymmetry", {"pairs": ((0, 1, 2),)}, "pairs"),
    ("ChannelSymmetry", {"pairs": ((0, "C3"),)}, "pairs"),
    ("ChannelSymmetry", {"pairs": (("C3", "C5"),), "channels": ("C3", "C4")}, "pairs"),
    ("ChannelSymmetry", {"pairs": (("C3", "C4"),), "channels": ("C3", "C4", "C4")}, "pairs"),
    ("ChannelSymmetry", {"pairs": ((0, 1),), "channels": (1, 2)}, "channels"),
    ("AddRecording", {"recordings": [], "snr_db": 3}, "recordings"),
    ("AddRecording", {"recordings": "noise.wav", "snr_db": 3}, "recordings"),
    ("AddRecording", {"recordings": [[1.0, float("nan")]], "snr_db": 3}, "recordings"),
    ("AddRecording", {"recordings": [np.zeros((2, 0))], "snr_db": 3}, "recordings"),
    ("AddRecording", {"recordings": [[1.0]], "snr_db": (3, 1)}, "snr_db"),
    ("AddRecording", {"recordings": [[1.0]], "snr_db": 3, "channels": "all"}, "channels"),
    ("AddRecording", {"recordings": [[1.0]], "snr_db": 3, "fs": -1.0}, "fs"),
    ("Reverberate", {"responses": np.zeros((2, 2, 2, 2))}, "responses"),
    ("Reverberate", {"responses": [[1.0]], "wet": 1.5}, "wet"),
    ("Reverberate", {"responses": [[1.0]], "align": 1}, "align"),
    ("TimeWarp", {"max_speed": 0.5}, "max_speed"),
    ("TimeWarp", {"knots": 1}, "knots"),
    ("TimeWarp", {"knots": 2.5}, "knots"),
    ("OneOf", {"transforms": ()}, "transforms"),
    ("OneOf", {"transforms": (abs,)}, "transforms"),
    ("OneOf", {"transforms": (Scale(scale=2.0, keys="x"),)}, "transforms"),
    ("OneOf", {"transforms": (replace(AUGMENTATIONS["TimeReverse"][0], axis=1),)}, "transforms"),  # type: ignore[call-arg]
    ("OneOf", {"transforms": (Scale(scale=2.0),), "weights": (1, 2)}, "weights"),
    ("OneOf", {"transforms": (Scale(scale=2.0),), "weights": (0,)}, "weights"),
    ("SomeOf", {"transforms": (Scale(scale=2.0),), "n": 2}, "n"),
    ("SomeOf", {"transforms": (Scale(scale=2.0),), "n": 0.5}, "n"),
]


@pytest.mark.parametrize(("name", "fields", "field"), BAD, ids=[f"{one[0]}-{number}" for number, one in enumerate(BAD)])
def test_a_bad_field_is_named(name: str, fields: dict[str, Any], field: str):
    with pytest.raises(ConfigError, match=rf"{name}: .*\b{field}\b") as caught:
        type(AUGMENTATIONS[name][0])(**fields)
    assert caught.value.field in (field, None)  # a word's error names its field in the message alone


DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS | MIXES))
def test_the_page_tells_of_every_augmentation_and_field(name: str):
    page = (DOCS / "augmentation.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| `{name}\((.*?)\)` \|", page, re.MULTILINE)
    shown = {"axis", "keys", "p"}
    own = set(type((AUGMENTATIONS | MIXES)[name][0]).field_names({})) - shown
    assert set(re.findall(r"(\w+)=", row)) - shown == own
    assert f"bf.{name}(" in (DOCS / "augmentation_pictures.py").read_text(encoding="utf-8")
