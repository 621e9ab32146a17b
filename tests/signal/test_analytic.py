"""`hilbert` and `envelope`: SciPy's numbers on every kind of array."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import BridgeflowError
from bridgeflow.signal.analytic import envelope, hilbert


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 33])
def test_scipys_hilbert(n):
    x = noise(2, n, 3)
    np.testing.assert_array_equal(hilbert(x, axis=1), scipy.signal.hilbert(x, axis=1))
    for length in (1, n + 3):
        np.testing.assert_array_equal(hilbert(x, length, 1), scipy.signal.hilbert(x, length, 1))
    assert hilbert(x.astype("float32")).dtype == "complex64"


bands = st.sampled_from([(1, None), (None, None), (-2, 3), (2, 4), (-3, -1), (None, 2), (None, -1), (1, 2)])


@given(
    n=st.sampled_from([3, 7, 8, 20, 21]),
    is_complex=st.booleans(),
    band=bands,
    out=st.sampled_from([None, 1, 2, 5, 6, 8, 20, 30, 31]),
    squared=st.booleans(),
    residual=st.sampled_from([None, "lowpass", "all"]),
)
@pytest.mark.skipif(not hasattr(scipy.signal, "envelope"), reason="SciPy 1.15 has it first")
def test_scipys_envelope(n, is_complex, band, out, squared, residual):
    z = noise(n, 2) + (1j * noise(n, 2)[::-1] if is_complex else 0)
    options = {"n_out": out, "squared": squared, "residual": residual, "axis": 0}
    try:
        expected = scipy.signal.envelope(z, band, **options)
    except ValueError:
        with pytest.raises(BridgeflowError, match="the band"):
            envelope(z, band, **options)
        return
    np.testing.assert_allclose(envelope(z, band, **options), expected, atol=1e-12)
    tensor = envelope(torch.from_numpy(z).requires_grad_(), band, **options)
    np.testing.assert_allclose(tensor.detach().numpy(), expected, atol=1e-12)


def test_band_and_residual_make_the_signal():
    """Also for a band from 0 on, where SciPy's residual is nothing at all."""
    x = noise(40)
    spectrum = np.fft.rfft(x)
    for band in [(0, 5), (1, 5), (0, None)]:
        inside = np.zeros_like(spectrum)
        inside[slice(*band)] = spectrum[slice(*band)]
        if band[1] is None:
            inside[20] = 0
        _, rest = envelope(x, band, residual="all")
        np.testing.assert_allclose(rest + np.fft.irfft(inside, 40), x, atol=1e-12)


def test_kinds_and_gradients():
    x = noise(2, 30).astype("float32")
    for function in (hilbert, lambda x: envelope(x, residual=None), envelope):
        expected = function(x)
        np.testing.assert_array_equal(function(torch.from_numpy(x)).numpy(), expected)
        rows = function(pa.FixedShapeTensorArray.from_numpy_ndarray(x))
        assert kind_of(rows) == "arrow"
        np.testing.assert_array_equal(to_numpy(rows), expected)
    assert envelope(torch.ones(30, dtype=torch.bfloat16), residual=None).dtype is torch.float32
    double = torch.from_numpy(noise(2, 12)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: torch.view_as_real(hilbert(x)), (double,), fast_mode=True)
    assert torch.autograd.gradcheck(lambda x: envelope(x, n_out=7), (double,), fast_mode=True)


def test_a_modulated_tone():
    t = np.arange(1000) / 1000
    amplitude = 2 + np.cos(2 * np.pi * 4 * t)
    z = hilbert(amplitude * np.cos(2 * np.pi * 100 * t))
    np.testing.assert_allclose(np.abs(z), amplitude, atol=1e-10)
    np.testing.assert_allclose(z.real, amplitude * np.cos(2 * np.pi * 100 * t), atol=1e-12)
    speed = np.diff(np.unwrap(np.angle(z))) * 1000 / (2 * np.pi)
    np.testing.assert_allclose(speed, 100, atol=1e-6)


def test_refusals():
    x = noise(10)
    for call, message in [
        (lambda: hilbert(x + 0j), "x must be real"),
        (lambda: hilbert(x, 0), "N must be from 1 to 2147483647, got 0"),
        (lambda: hilbert(np.ones((2, 0))), "N must be at least 1, got 0"),
        (lambda: envelope(x, (3, 3)), r"bp_in\[0\] < bp_in\[1\].* does not hold for the band .* n=10 samples"),
        (lambda: envelope(x, (1, 6)), "does not hold"),
        (lambda: envelope(x, (1.5, None)), "2-tuple of integers"),
        (lambda: envelope(x, [1, None]), "2-tuple of integers"),
        (lambda: envelope(x, n_out=0), "n_out=0 is not a positive integer"),
        (lambda: envelope(np.ones((2, 0))), "no samples"),
    ]:
        with pytest.raises(BridgeflowError, match=message):
            call()
    with pytest.raises(ValueError, match="residual='highpass' not in"):
        envelope(x, residual="highpass")
