"""`medfilt` and `RunningMedian`: SciPy's numbers, on every kind of array, whole and live."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.bridge import describe, kind_of, to_numpy
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.signal.medians import RunningMedian, medfilt
from bridgeflow.signal.streams import stream

LENGTH = 60
cuts = st.lists(st.integers(0, LENGTH), max_size=12).map(lambda places: [0, *sorted(places), LENGTH])


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.filterwarnings("ignore:kernel_size exceeds volume extent")
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8", "int64"])
def test_scipys_numbers(dtype):
    for shape in [(50,), (4, 30), (2, 3, 20), (5, 2)]:
        x = (100 * noise(*shape)).astype(dtype)
        kernels = [None, 1, 3, 5, [1] * (len(shape) - 1) + [7], [3] * (len(shape) - 1) + [1]]
        for kernel in kernels:
            np.testing.assert_array_equal(medfilt(x, kernel), scipy.signal.medfilt(x, kernel))
            np.testing.assert_array_equal(
                medfilt(torch.from_numpy(x).float().requires_grad_(), kernel).detach().numpy(),
                scipy.signal.medfilt(x.astype("float32"), kernel),
            )
            assert medfilt(x, kernel).dtype == dtype


@given(
    cuts=cuts,
    half=st.integers(0, 20),
    dtype=st.sampled_from(["float32", "float64", "int16", "float16", "bool"]),
    rows=st.sampled_from([(), (2, 3), (0,)]),
)
def test_any_chunking_gives_the_whole(cuts, half, dtype, rows):
    x = (3 * noise(*rows, LENGTH)).astype(dtype)
    run = RunningMedian(kernel_size=2 * half + 1)
    whole = run(x)
    assert whole.dtype == dtype
    assert run.out_spec(describe(x)).admits(describe(whole))
    state, pieces = run.init_state(describe(x)), []
    for begin, end in pairwise(cuts):
        y, state = run.step(x[..., begin:end], state)
        pieces.append(y)
    last = run.flush(state)
    pieces += [] if last is None else [last]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=-1), whole)
    if rows != (0,) and dtype in {"float32", "float64", "int16"}:
        for row in x.reshape(-1, LENGTH):
            np.testing.assert_array_equal(run(row), scipy.signal.medfilt(row, 2 * half + 1))


def test_kinds():
    x = noise(3, 40).astype("float32")
    expected = RunningMedian(kernel_size=5)(x)
    np.testing.assert_array_equal(medfilt(torch.from_numpy(x), (1, 5)).numpy(), expected)
    rows = medfilt(pa.FixedShapeTensorArray.from_numpy_ndarray(x), (1, 5))
    assert kind_of(rows) == "arrow"
    np.testing.assert_array_equal(to_numpy(rows), expected)
    assert medfilt(torch.ones(9, dtype=torch.bfloat16)).dtype is torch.bfloat16


def test_gradients_flow_to_the_medians():
    x = torch.tensor([1.0, 9.0, 2.0, 3.0, 2.5], requires_grad=True)
    medfilt(x, 3).sum().backward()
    np.testing.assert_array_equal(x.grad, [1, 0, 1, 1, 2])


def test_a_spike_is_taken_out_and_an_edge_stays():
    x = np.repeat([1.0, 5.0], 50)
    spiked = x.copy()
    spiked[[20, 70]] = 100
    np.testing.assert_array_equal(medfilt(spiked, 5), medfilt(x, 5))
    np.testing.assert_array_equal(medfilt(x, 5)[2:-2], x[2:-2])


def test_refusals():
    with pytest.raises(ConfigError, match="kernel_size must be an odd integer, got 4"):
        medfilt(noise(10), 4)
    with pytest.raises(ConfigError, match="kernel_size must be an odd integer, got 0"):
        RunningMedian(kernel_size=0)
    with pytest.raises(DataError, match="another number of axes than the data, 1"):
        medfilt(noise(10), (3, 3))
    with pytest.raises(DataError, match="complex numbers are not supported"):
        medfilt(noise(10) + 0j)


def medians_of_windows(x, half):
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, [(0, 0)] * (x.ndim - 1) + [(half, half)]), 2 * half + 1, -1
    )
    clean = ~np.isnan(windows).any(axis=-1)
    return np.where(clean, np.median(np.where(clean[..., None], windows, 0), axis=-1), np.nan)


@given(
    data=st.data(),
    half=st.integers(0, 12),
    dtype=st.sampled_from(["float64", "float32", "float16"]),
    rows=st.sampled_from([(), (3,), (2, 2)]),
    cuts=cuts,
)
def test_nan_stays_in_the_windows_that_hold_it(data, half, dtype, rows, cuts):
    """NumPy's median of every window; infinities are numbers like others, and rows know nothing of each other."""
    x = noise(*rows, LENGTH).astype(dtype)
    flat = x.reshape(-1)
    for value in (np.nan, np.inf, -np.inf):
        flat[data.draw(st.lists(st.integers(0, flat.size - 1), max_size=4))] = value
    expected = medians_of_windows(x, half)
    run = RunningMedian(kernel_size=2 * half + 1)
    np.testing.assert_array_equal(run(x), expected)
    if dtype != "float16":
        np.testing.assert_array_equal(run(torch.from_numpy(x).requires_grad_()).detach().numpy(), expected)
    live = stream(run)
    pieces = [live.push(x[..., begin:end]) for begin, end in pairwise(cuts)]
    pieces += [] if (last := live.flush()) is None else [last]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=-1), expected)


def test_nan_stays_in_windows_of_several_axes():
    x = noise(12, 9)
    x[3, 4] = np.nan
    x[0, 0] = np.inf
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((1, 1), (2, 2))), (3, 5))
    expected = np.median(windows, axis=(-2, -1))
    np.testing.assert_array_equal(medfilt(x, (3, 5)), expected)
    np.testing.assert_array_equal(medfilt(torch.from_numpy(x).requires_grad_(), (3, 5)).detach().numpy(), expected)
