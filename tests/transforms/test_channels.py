"""Channels by number and by name, compared with NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow import (
    Compose,
    Loader,
    Magnitude,
    MixChannels,
    PickChannels,
    Recording,
    Reference,
    SignalDataset,
    SignalFilter,
    Standardize,
    Transform,
    Window,
)
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.pipeline.streams import Chunk, Streams
from bridgeflow.testing import check_transform

NAMES = ("Fp1", "Fp2", "ECG")
MATRIX = ((0.5, -0.5, 0.0), (0.0, 0.0, 0.0), (1.0, 2.0, -3.0), (0.0, 1.0, 0.0))
MEAN = np.full((3, 3), 1 / 3)
CASES = {
    "pick": (PickChannels(picks=(2, 0)), np.eye(3)[[2, 0]]),
    "pick names": (PickChannels(picks=("ECG", "Fp*"), channels=NAMES), np.eye(3)[[2, 0, 1]]),
    "pick from the end": (PickChannels(picks=-1), np.eye(3)[[2]]),
    "average": (Reference(), np.eye(3) - MEAN),
    "one": (Reference(to="ECG", channels=NAMES), np.eye(3) - np.eye(3)[[2, 2, 2]]),
    "two": (Reference(to=(0, 1)), np.eye(3) - np.array([0.5, 0.5, 0.0])),
    "some": (
        Reference(picks="Fp*", channels=NAMES),
        np.array([[0.5, -0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]]),
    ),
    "bipolar": (Reference(pairs=(("Fp1", "ECG"), (2, 1)), channels=NAMES), np.array([[1, 0, -1], [0, -1, 1]])),
    "mix": (MixChannels(matrix=MATRIX), np.array(MATRIX)),
    "mix some": (MixChannels(matrix=((1, 2),), picks=("ECG", "Fp1"), channels=NAMES), np.array([[2, 0, 1]])),
}
each = pytest.mark.parametrize("name", CASES)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


@each
@pytest.mark.parametrize("axis", [-2, 0, 1, -1, -3])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_products_with_matrices(name: str, axis: int, kind: Any):
    transform, matrix = CASES[name]
    x = noise(3, 3, 3)
    expected = np.moveaxis(np.tensordot(matrix, np.moveaxis(x, axis, 0), 1), 0, axis)
    np.testing.assert_allclose(np.asarray(replace(transform, axis=axis)(kind(x))), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_magnitude(kind: Any):
    x = noise(2, 3, 50)
    expected = np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(Magnitude()(kind(x))), expected, rtol=1e-12)
    z = x + 1j * x[..., ::-1]
    np.testing.assert_allclose(Magnitude()(z), np.linalg.norm(z, axis=1, keepdims=True), rtol=1e-12)
    picked = Magnitude(picks=("x", "y"), channels=("x", "t", "y"))(kind(x))
    np.testing.assert_allclose(np.asarray(picked), np.linalg.norm(x[:, [0, 2]], axis=1, keepdims=True), rtol=1e-12)


SAMPLES = {
    "float32": noise(3, 96).astype("float32"),
    "strided": noise(2, 3, 40).astype("float32")[:, :, ::2],
    "counts": np.arange(90, dtype="uint16").reshape(3, 30),
    "big-endian": noise(3, 40).astype(">f8"),
    "half": noise(3, 40).astype("float16"),
    "arrow": pa.FixedShapeTensorArray.from_numpy_ndarray(noise(2, 3, 20)),
    "bfloat16": torch.from_numpy(noise(3, 40)).bfloat16(),
    "graph": torch.from_numpy(noise(3, 40)).requires_grad_(),
    "nested": {"ecg": noise(3, 40), "label": 3},
}


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("name", [*CASES, "magnitude"])
def test_contract(name: str, sample: str):
    transform = Magnitude() if name == "magnitude" else CASES[name][0]
    check_transform(transform, SAMPLES[sample])


@pytest.mark.parametrize("name", [*CASES, "magnitude"])
def test_gradients(name: str):
    transform = Magnitude() if name == "magnitude" else CASES[name][0]
    assert torch.autograd.gradcheck(transform, (torch.from_numpy(noise(2, 3, 4)).requires_grad_(),))


def test_magnitude_of_nothing_has_no_gradient():
    x = torch.zeros(3, 4, requires_grad=True)
    Magnitude()(x).sum().backward()
    assert x.grad is not None
    assert not x.grad.any()


def test_channels_of_weight_0_may_hold_anything():
    x = noise(3, 9)
    x[0] = np.nan
    assert np.isfinite(MixChannels(matrix=((0, 1, 1), (0, 0, 0)))(x)[0]).all()
    assert np.isnan(MixChannels(matrix=((0, 0, 0),))(x)).all()


def test_live():
    x = noise(3, 100)
    pipeline = Compose(
        [Reference(), SignalFilter(design="butter", order=2, cutoff=10.0, fs=100.0), PickChannels(picks=1)]
    )
    streams = Streams(pipeline)
    pieces = [streams.push(Chunk(data=x[:, at : at + 30], start=at, last=at >= 90)) for at in range(0, 100, 30)]
    np.testing.assert_array_equal(np.concatenate(pieces, -1), pipeline(x))


# --- names out of recordings ---


def recordings(*orders: tuple[str, ...]) -> list[Recording]:
    values = {name: 100 * number + np.arange(400.0) for number, name in enumerate(NAMES)}
    return [
        Recording.from_arrays(np.stack([values[name] for name in names]), fs=100.0, channels=names, id=f"r{number}")
        for number, names in enumerate(orders)
    ]


def test_each_recording_gives_its_names_before_windows():
    pick = PickChannels(picks=("ECG", "Fp1"))
    dataset = SignalDataset(
        recordings(NAMES, ("ECG", "Fp2", "Fp1")), Compose([pick, Standardize(per="all"), Window(length=100)])
    )
    first, second = dataset[0]["signal"], dataset[4]["signal"]
    np.testing.assert_array_equal(first, second)
    assert dataset.source.specs["signal"].shape == (8, 2, 100)


def test_names_go_on_through_the_chain():
    bipolar = Reference(pairs=(("Fp1", "Fp2"), ("ECG", "Fp2")))
    dataset = SignalDataset(
        recordings(NAMES), Compose([bipolar, PickChannels(picks="ECG-Fp2"), Window(length=100)]), kind="numpy"
    )
    assert (dataset[2]["signal"] == 100).all()
    mixed = MixChannels(matrix=((0, 0, 1), (1, 0, 0)), names=("heart", "eye"))
    after = SignalDataset(
        recordings(NAMES),
        Compose([Window(length=100), replace(mixed, keys="signal"), PickChannels(picks="heart", keys="signal")]),
    )
    assert (np.asarray(after.batch([0, 1])["signal"])[:, 0, 0] == [200, 300]).all()


def test_recordings_that_differ_have_no_names_after_windows():
    stages = [Window(length=100), PickChannels(picks="ECG", keys="signal")]
    same = SignalDataset(recordings(NAMES, NAMES), Compose(stages))
    batch = next(iter(Loader(same, 8)))
    assert (np.asarray(batch["signal"])[:4, 0, 0] == [200, 300, 400, 500]).all()
    dataset = SignalDataset(recordings(NAMES, NAMES[::-1]), Compose(stages))
    with pytest.raises(ConfigError, match=r"not known here.*put it before the windows of recordings that differ"):
        dataset[0]


# --- errors ---

WRONG = {
    "no names": (lambda: PickChannels(picks="ECG")(noise(3, 9)), ConfigError, "give those of the data as channels="),
    "no such name": (
        lambda: PickChannels(picks="EKG", channels=NAMES)(noise(3, 9)),
        DataError,
        "no channel matches 'EKG'; did you mean 'ECG'",
    ),
    "twice": (
        lambda: PickChannels(picks="a", channels=("a", "a"))(noise(2, 9)),
        DataError,
        "2 channels are called 'a'",
    ),
    "no such number": (lambda: PickChannels(picks=3)(noise(3, 9)), DataError, "no channel 3; the data have 3"),
    "other names": (
        lambda: PickChannels(picks=0, channels=NAMES)(noise(2, 9)),
        DataError,
        "names 3 channels, and .* 2",
    ),
    "nothing": (lambda: PickChannels(picks=()), ConfigError, "picks must be one or more channels"),
    "a boolean": (lambda: PickChannels(picks=True), ConfigError, "picks must be|picks"),
    "pairs": (lambda: Reference(pairs=((1, 2, 3),)), ConfigError, "pairs must be one or more pairs"),
    "a pattern for one": (
        lambda: Reference(pairs=(("Fp*", 2),), channels=NAMES)(noise(3, 9)),
        DataError,
        "means 2 channels, and one is needed",
    ),
    "columns": (lambda: MixChannels(matrix=MATRIX)(noise(4, 9)), DataError, "matrix has 3 columns for 4 channels"),
    "ragged": (lambda: MixChannels(matrix=((1, 2), (1,))), ConfigError, "rows of as many finite numbers"),
    "infinite": (lambda: MixChannels(matrix=((1, np.inf),)), ConfigError, "finite"),
    "too few names": (lambda: MixChannels(matrix=((1, 2),), names=("a", "b")), ConfigError, "names must be 1 names"),
    "no axis": (lambda: PickChannels(picks=0)(noise(9)), DataError, "axis -2 does not exist"),
    "no channels": (lambda: Magnitude()(noise(0, 9)), DataError, "no channels"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name: str):
    call, error, match = WRONG[name]
    with pytest.raises(error, match=match):
        call()


def test_plans_say_what_calls_do():
    for call in (PickChannels(picks=7), PickChannels(picks=7).explain):
        with pytest.raises(DataError, match="there is no channel 7"):
            call(noise(3, 9))


@each
def test_configurations(name: str):
    transform = CASES[name][0]
    assert Transform.from_config(transform.to_config()) == transform
