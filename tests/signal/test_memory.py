"""Memory for results: where it begins, and what it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bridgeflow.signal import Butter, resample_poly, sosfilt
from bridgeflow.signal._memory import empty, empty_tensor


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128", "int16"])
@pytest.mark.parametrize("shape", [(), (0, 5), (3,), (17, 1001), (2, 300, 301)])
def test_an_ndarray(shape, dtype):
    result = empty(shape, dtype)
    assert (result.shape, result.dtype) == (shape, np.dtype(dtype))
    assert result.flags.c_contiguous
    assert result.flags.writeable
    if result.nbytes >= 1 << 15:
        assert result.ctypes.data % 64 == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(), (0, 5), (17, 5001)])
def test_a_tensor(shape, dtype):
    result = empty_tensor(shape, dtype, torch.device("cpu"))
    assert (result.shape, result.dtype, result.device.type) == (shape, dtype, "cpu")
    assert result.is_contiguous()
    assert not result._is_view()


def test_on_a_device_it_is_torchs():
    assert empty_tensor((100, 1000), torch.float32, torch.device("meta")).is_meta


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_lie_in_it(dtype):
    x = np.ones((9, 10_001), dtype)
    lowpass = Butter(order=2, cutoff=10.0, fs=100.0)
    for result in (sosfilt(lowpass, x), sosfilt(lowpass, torch.from_numpy(x)).numpy(), resample_poly(x, 2, 1, axis=-1)):
        assert result.ctypes.data % 64 == 0
