"""RunningStandardize: sums with weights by their definition, chunks with the bits of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bridgeflow import Compose, RunningStandardize, SignalDataset, Window
from bridgeflow.errors import ConfigError, DataError, NonFinite
from bridgeflow.signal import stream
from bridgeflow.testing import check_transform
from tests.pipeline.stand_in_recordings import of_arrays
from tests.transforms.kinds import check_kinds


def noise(*shape: int) -> np.ndarray:
    return 50 + 3 * np.random.default_rng(0).standard_normal(shape).cumsum(-1)


def by_definition(x: np.ndarray, alpha: float, eps: float) -> np.ndarray:
    """Each average as a quotient of sums over all samples so far."""
    places = np.arange(len(x))
    weights = np.tril(float(1 - alpha) ** np.maximum(places[:, None] - places, 0))
    weights /= weights.sum(1, keepdims=True)
    apart = x - weights @ x
    return apart / np.maximum(np.sqrt(weights @ apart**2), eps)


@pytest.mark.parametrize("alpha", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_averages_by_their_definition(alpha: float, kind: Any):
    x = noise(2, 400)
    made = np.asarray(RunningStandardize(alpha=alpha, eps=1e-3)(kind(x)))
    for row in range(2):
        np.testing.assert_allclose(made[row], by_definition(x[row], alpha, 1e-3), rtol=1e-7, atol=1e-9)


def test_without_a_scale():
    x = noise(300)
    weights = 0.9 ** np.arange(300)
    means = np.array([np.average(x[: n + 1], weights=weights[: n + 1][::-1]) for n in range(300)])
    np.testing.assert_allclose(RunningStandardize(alpha=0.1, divide=False)(x), x - means, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("chunk", [1, 7, 64, 333])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
def test_chunks_have_the_bits_of_the_whole(chunk: int, dtype: str):
    x = noise(3, 1000).astype(dtype)
    live = stream(RunningStandardize(alpha=0.02))
    pieces = [live.push(x[:, at : at + chunk]) for at in range(0, 1000, chunk)]
    assert live.flush() is None
    np.testing.assert_array_equal(np.concatenate(pieces, -1), RunningStandardize(alpha=0.02)(x))


def test_windows_have_the_bits_of_the_whole():
    x = noise(2, 5000)
    dataset = SignalDataset(of_arrays(x), Compose([RunningStandardize(), Window(length=100)]), kind="numpy")
    whole = RunningStandardize()(x)
    for row in (30, 2, 49):
        np.testing.assert_array_equal(dataset[row]["signal"], whole[:, 100 * row : 100 * row + 100])


def test_contract():
    check_kinds(RunningStandardize(alpha=0.1))
    check_transform(RunningStandardize(alpha=0.1, nonfinite="interpolate", max_gap=3, keep_gaps=True))


def test_gradients():
    x = torch.from_numpy(noise(2, 12)).requires_grad_()
    assert torch.autograd.gradcheck(RunningStandardize(alpha=0.3), (x,))
    constant = torch.ones(9, requires_grad=True)
    RunningStandardize()(constant).sum().backward()
    assert constant.grad is not None
    assert torch.isfinite(constant.grad).all()


def test_errors():
    with pytest.raises(ConfigError, match="alpha must be above 0 and at most 1, got 0"):
        RunningStandardize(alpha=0.0)
    for call in (RunningStandardize(), RunningStandardize().explain):
        with pytest.raises(DataError, match="real numbers are needed"):
            call(noise(9) + 1j)
    with pytest.raises(NonFinite):
        RunningStandardize()(np.array([1.0, np.nan, 2.0]))
