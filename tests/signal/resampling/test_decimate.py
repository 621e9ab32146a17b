"""`decimate`: SciPy's numbers on every kind of array."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch

from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import DataError
from bridgeflow.signal.resampling import decimate


@pytest.mark.parametrize("zero_phase", [True, False])
@pytest.mark.parametrize(("q", "n", "ftype"), [(4, None, "iir"), (3, 4, "iir"), (4, None, "fir"), (5, 31, "fir")])
def test_scipys_numbers(q, n, ftype, zero_phase):
    rng = np.random.default_rng(0)
    for shape, axis in [((3, 400), -1), ((400, 3), 0), ((2, 333, 2), 1), ((200,), 0)]:
        for dtype in ("float64", "int16", "complex128"):
            x = (rng.standard_normal(shape) * 100).astype(dtype)
            y = decimate(x, q, n, ftype, axis, zero_phase)
            expected = scipy.signal.decimate(x, q, n, ftype, axis, zero_phase)
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
            assert y.dtype == expected.dtype
    single = decimate(x.real.astype("float32"), q, n, ftype, 0, zero_phase)
    assert single.dtype == "float32"


@pytest.mark.parametrize("ftype", ["iir", "fir"])
def test_kinds_and_gradients(ftype):
    x = np.random.default_rng(0).standard_normal((3, 200)).astype("float32")
    expected = decimate(x, 4, ftype=ftype)
    np.testing.assert_array_equal(decimate(torch.from_numpy(x), 4, ftype=ftype).numpy(), expected)
    rows = decimate(pa.FixedShapeTensorArray.from_numpy_ndarray(x), 4, ftype=ftype)
    assert kind_of(rows) == "arrow"
    np.testing.assert_array_equal(to_numpy(rows), expected)
    double = torch.from_numpy(x[:1, :60].astype("float64")).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: decimate(x, 4, 2 if ftype == "iir" else None, ftype), (double,))


def test_systems():
    x = np.random.default_rng(0).standard_normal(300)
    for system in (
        scipy.signal.dlti(*scipy.signal.butter(4, 0.2)),
        scipy.signal.dlti(scipy.signal.firwin(31, 0.3), 1.0),
    ):
        for zero_phase in (True, False):
            np.testing.assert_allclose(
                decimate(x, 3, ftype=system, zero_phase=zero_phase),
                scipy.signal.decimate(x, 3, ftype=system, zero_phase=zero_phase),
                atol=1e-9,
            )


@pytest.mark.parametrize("zero_phase", [True, False])
@pytest.mark.parametrize(
    "system",
    [
        scipy.signal.dlti([0.1 + 0.2j], [0.5 + 0.3j], 0.2),
        scipy.signal.dlti(np.hanning(23)[1:-1] * np.exp(0.3j * np.arange(21)), 1),
    ],
)
def test_systems_with_complex_coefficients(system, zero_phase):
    x = np.random.default_rng(0).standard_normal((2, 101)) + 1j
    for axis, data in ((-1, x), (0, x.T)):
        ours = decimate(data, 3, ftype=system, axis=axis, zero_phase=zero_phase)
        theirs = scipy.signal.decimate(data, 3, ftype=system, axis=axis, zero_phase=zero_phase)
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_refusals():
    x = np.ones(100)
    with pytest.raises(DataError, match="q must be from 1 to 1048576, got 0"):
        decimate(x, 0)
    with pytest.raises(ValueError, match="ftype must be one of 'iir', 'fir', got 'cheby'"):
        decimate(x, 2, ftype="cheby")
    with pytest.raises(DataError, match=r"or a scipy\.signal\.dlti"):
        decimate(x, 2, ftype=3)
    with pytest.raises(TypeError, match="integer"):
        decimate(x, 2.5)
