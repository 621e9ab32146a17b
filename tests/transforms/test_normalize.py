"""Normalize: known levels and scales, compared with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bridgeflow import Normalize, NormalizeBy
from bridgeflow.errors import ConfigError, DataError, KeyNotFound
from bridgeflow.testing import check_transform
from tests.transforms.kinds import check_kinds

CHANNELS = Normalize(center=(1.0, 2.0, -3.0), scale=(2.0, 0.0, 0.5))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize("axis", [-1, -2, 0, 1])
def test_each_channel_has_its_level(kind: Any, axis: int):
    x = noise(3, 40)
    moved = np.moveaxis(x, -1, axis)
    made = np.asarray(Normalize(center=CHANNELS.center, scale=CHANNELS.scale, axis=axis)(kind(moved.copy())))
    expected = (x - np.array([[1.0], [2.0], [-3.0]])) / np.array([[2.0], [1.0], [0.5]])
    np.testing.assert_allclose(np.moveaxis(made, axis, -1), expected, rtol=1e-15)


def test_two_axes_beside_time():
    x, center = noise(4, 2, 3, 10), noise(2, 3)
    np.testing.assert_allclose(Normalize(center=center.tolist())(x), x - center[..., None], rtol=1e-15)


def test_contract():
    check_kinds(Normalize(center=0.5, scale=2.0))
    for dtype in ("float64", "float32", "float16", "int16", ">f8"):
        check_transform(CHANNELS, (100 * noise(3, 30)).astype(dtype))
    check_transform(CHANNELS, torch.from_numpy(noise(3, 30)).bfloat16())
    assert torch.autograd.gradcheck(CHANNELS, (torch.from_numpy(noise(3, 5)).requires_grad_(),))


WRONG: dict[str, Any] = {
    "nan": (lambda: Normalize(center=float("nan")), ConfigError, "center must be a finite number"),
    "negative": (lambda: Normalize(scale=(-1.0, 1.0)), ConfigError, "scale must be finite numbers of at least 0"),
    "ragged": (lambda: Normalize(center=((1.0,), (1.0, 2.0))), ConfigError, "center must be finite numbers"),
    "text": (lambda: Normalize(center="mean"), ConfigError, "center must be finite numbers"),
    "channels": (lambda: CHANNELS(noise(2, 9)), DataError, r"of channels \[3\], and the data have \[2\]"),
    "plan": (lambda: CHANNELS.explain(noise(2, 9)), DataError, r"of channels \[3\]"),
    "no channels": (lambda: CHANNELS(noise(9)), DataError, r"of channels \[3\]"),
    "no label": (
        lambda: NormalizeBy(by="id", groups=("a",), centers=(0.0,), scales=(1.0,))(noise(9)),
        KeyNotFound,
        "no 'id' in the sample",
    ),
    "groups": (
        lambda: NormalizeBy(by="id", groups=("a", "a"), centers=(0.0, 0.0), scales=(1.0, 1.0)),
        ConfigError,
        "each once",
    ),
    "levels": (
        lambda: NormalizeBy(by="id", groups=("a", "b"), centers=(0.0,), scales=(1.0, 1.0)),
        ConfigError,
        "centers must be one level",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name: str):
    call, error, match = WRONG[name]
    with pytest.raises(error, match=match):
        call()
