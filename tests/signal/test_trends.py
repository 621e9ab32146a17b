"""`detrend`: SciPy's numbers on every kind of array."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch

from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import DataError
from bridgeflow.signal.trends import detrend


def walk(*shape):
    return np.random.default_rng(0).standard_normal(shape).cumsum(axis=-1)


@pytest.mark.parametrize("kind", ["linear", "constant", "l", "c"])
@pytest.mark.parametrize("bp", [0, [7, 20], np.array([3, 3, 30])])
def test_scipys_numbers(kind, bp):
    for x, axis in [(walk(3, 40), -1), (walk(40, 2), 0), (walk(2, 40, 3), 1), (walk(3, 40) + 1j * walk(3, 40), 1)]:
        np.testing.assert_allclose(
            detrend(x, axis, kind, bp), scipy.signal.detrend(x, axis, kind, bp), atol=1e-12 * np.abs(x).max()
        )
    single = walk(3, 40).astype("float32")
    assert detrend(single, type=kind).dtype == "float32"
    assert detrend(np.arange(40, dtype="int16"), type=kind).dtype == "float64"


def test_a_line_becomes_nothing():
    line = 3 * np.arange(1000.0) - 7
    np.testing.assert_allclose(detrend(line), 0, atol=1e-10)
    bent = np.abs(np.arange(-50.0, 50.0))
    np.testing.assert_allclose(detrend(bent, bp=50), 0, atol=1e-10)
    np.testing.assert_allclose(detrend(np.ones(5)), 0, atol=1e-15)
    np.testing.assert_array_equal(detrend([4.0]), [0.0])


def test_kinds_and_gradients():
    x = walk(3, 30).astype("float32")
    expected = detrend(x)
    np.testing.assert_array_equal(detrend(torch.from_numpy(x)).numpy(), expected)
    rows = detrend(pa.FixedShapeTensorArray.from_numpy_ndarray(x))
    assert kind_of(rows) == "arrow"
    np.testing.assert_array_equal(to_numpy(rows), expected)
    assert detrend(torch.ones(9, dtype=torch.bfloat16)).dtype is torch.bfloat16
    double = torch.from_numpy(walk(2, 20)).requires_grad_()
    for kind in ("linear", "constant"):
        assert torch.autograd.gradcheck(lambda x, kind=kind: detrend(x, type=kind, bp=7), (double,), fast_mode=True)
        np.testing.assert_allclose(detrend(double, type=kind).detach(), detrend(double.detach(), type=kind), atol=1e-12)


def test_overwriting_is_asked_for():
    x = walk(2, 30)
    before = x.copy()
    detrend(x)
    np.testing.assert_array_equal(x, before)
    assert detrend(x, overwrite_data=True) is x
    np.testing.assert_array_equal(x, detrend(before))
    for other in (np.arange(9), [1.0, 2.0]):
        with pytest.raises(DataError, match="overwrite_data=True needs a floating"):
            detrend(other, overwrite_data=True)
    x.flags.writeable = False
    with pytest.raises(DataError, match="read-only"):
        detrend(x, overwrite_data=True)


def test_refusals():
    with pytest.raises(DataError, match="no samples"):
        detrend(np.ones((2, 0)))
    with pytest.raises(DataError, match="break points must lie within the 10 samples, got 11"):
        detrend(np.ones(10), bp=11)
    with pytest.raises(ValueError, match="type must be one of 'linear'"):
        detrend(np.ones(10), type="square")
