"""`welch`: SciPy's numbers on every kind of array."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch

from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import BridgeflowError
from bridgeflow.signal.spectral import welch


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nperseg": 33, "noverlap": 5, "window": ("kaiser", 8.0)},
        {"window": np.hanning(40), "nfft": 64, "scaling": "spectrum"},
        {"nperseg": 64, "detrend": "linear", "average": "median"},
        {"nperseg": 65, "detrend": False, "return_onesided": False},
        {"nperseg": 64, "detrend": lambda x: x - 1, "average": "median", "nfft": 65},
    ],
)
def test_scipys_numbers(options):
    for x, axis in [(noise(2, 1000), -1), (noise(500, 3), 0), (noise(2, 400, 2), 1), (noise(300).astype("f4"), -1)]:
        f, power = welch(x, 100.0, axis=axis, **options)
        wanted_f, expected = scipy.signal.welch(x, 100.0, axis=axis, **options)
        np.testing.assert_array_equal(f, wanted_f)
        np.testing.assert_allclose(power, expected, rtol=1e-10 if x.dtype == "f8" else 1e-4, atol=1e-7)
        assert power.dtype == expected.dtype
    z = noise(500) + 1j * noise(500)[::-1]
    np.testing.assert_allclose(welch(z, **options)[1], scipy.signal.welch(z, **options)[1], rtol=1e-10)


def test_kinds():
    x = noise(2, 600).astype("float32")
    f, expected = welch(x, 100.0)
    tensor = welch(torch.from_numpy(x), 100.0)[1]
    np.testing.assert_array_equal(tensor.numpy(), expected)
    rows = welch(pa.FixedShapeTensorArray.from_numpy_ndarray(x), 100.0)[1]
    assert kind_of(rows) == "arrow"
    np.testing.assert_array_equal(to_numpy(rows), expected)
    assert isinstance(f, np.ndarray)


@pytest.mark.parametrize("average", ["mean", "median"])
def test_gradients(average):
    x = torch.from_numpy(noise(2, 40)).requires_grad_()
    call = lambda x: welch(x, nperseg=8, average=average)[1]  # noqa: E731
    assert torch.autograd.gradcheck(call, (x,))
    np.testing.assert_allclose(call(x).detach().numpy(), welch(x.detach().numpy(), nperseg=8, average=average)[1])


def test_the_density_integrates_to_the_power():
    x = noise(100_000)
    f, density = welch(x, fs=250.0, nperseg=500)
    np.testing.assert_allclose(density.sum() * (f[1] - f[0]), (x**2).mean(), rtol=0.01)


def test_short_recordings_and_refusals():
    with pytest.warns(UserWarning, match="nperseg=256 is greater than the 100 samples"):
        f, _ = welch(noise(100))
    assert len(f) == 51
    x = noise(400)
    for options, message in [
        ({"nperseg": 0}, "nperseg=0 is not a positive integer"),
        ({"nperseg": 8, "noverlap": 8}, "noverlap=8 must be less than nperseg=8"),
        ({"window": "round"}, "window must be one that"),
        ({"window": np.ones((2, 2))}, "a row of numbers"),
        ({"window": np.ones(8), "nperseg": 9}, "the window has 8 samples"),
        ({"window": np.ones(500)}, "the window has 500 samples, and the data 400"),
        ({"nperseg": 8, "nfft": 4}, "mfft"),
    ]:
        with pytest.raises(BridgeflowError, match=message):
            welch(x, **options)
    with pytest.raises(ValueError, match="average must be one of 'mean', 'median'"):
        welch(x, average="mode")
    with pytest.raises(ValueError, match="scaling must be one of 'density', 'spectrum'"):
        welch(x, scaling="power")
