"""`savgol_filter` and `SavgolSmoother`: SciPy's numbers, on every kind of array, whole and live."""

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
from bridgeflow.errors import CannotStream, ConfigError, DataError
from bridgeflow.policy import words
from bridgeflow.signal.savgol import Ends, SavgolSmoother, savgol_filter

LENGTH = 60
cuts = st.one_of(
    st.lists(st.integers(0, LENGTH), max_size=12).map(lambda places: [0, *sorted(places), LENGTH]),
    st.just(list(range(LENGTH + 1))),
)


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("mode", words(Ends))
def test_scipys_numbers(mode):
    x = noise(2, 30)
    for length in range(1, 13):
        for order in range(min(length, 5)):
            for deriv in (0, 1, 2):
                arguments = (length, order, deriv, 0.5, -1, mode, 2.0)
                expected = scipy.signal.savgol_filter(x, *arguments)
                np.testing.assert_allclose(savgol_filter(x, *arguments), expected, atol=1e-10)


def test_scipys_axes_and_dtypes():
    for x, axis in [(noise(30, 2), 0), (noise(2, 30, 3), 1), (noise(2, 30, 3).astype("float32"), -2)]:
        expected = scipy.signal.savgol_filter(x, 7, 2, axis=axis)
        seen = savgol_filter(x, 7, 2, axis=axis)
        np.testing.assert_allclose(seen, expected, atol=1e-5 if x.dtype == "float32" else 1e-12)
        assert seen.dtype == expected.dtype
    assert savgol_filter(np.arange(30, dtype="int16"), 7, 2).dtype == "float64"
    assert savgol_filter(np.ones(30, "float16"), 7, 2).dtype == "float16"


@given(
    cuts=cuts,
    half=st.integers(0, 12),
    order=st.integers(0, 3),
    deriv=st.integers(0, 1),
    mode=st.sampled_from(["interp", "mirror", "nearest", "constant"]),
    dtype=st.sampled_from(["float32", "float64", "int16", "complex64", "float16"]),
    rows=st.sampled_from([(), (2, 3), (0,)]),
    length=st.sampled_from([LENGTH, LENGTH, 20, 3]),
)
def test_any_chunking_gives_the_bits_of_the_whole(cuts, half, order, deriv, mode, dtype, rows, length):
    x = (10 * noise(*rows, length)).astype(dtype)
    window = 2 * half + 1
    run = SavgolSmoother(window_length=window, polyorder=min(order, window - 1), deriv=deriv, mode=mode, cval=3.0)
    cuts = [min(cut, length) for cut in cuts]

    def pieces():
        state = run.init_state(describe(x))
        for begin, end in pairwise(cuts):
            y, state = run.step(x[..., begin:end], state)
            yield y
        last = run.flush(state)
        if last is not None:
            yield last

    if mode == "interp" and length < window:
        for call in (lambda: run(x), lambda: list(pieces())):
            with pytest.raises(DataError, match="window_length must be less than or equal"):
                call()
        return
    whole = run(x)
    np.testing.assert_array_equal(np.concatenate(list(pieces()), axis=-1), whole)
    assert run.out_spec(describe(x)).admits(describe(whole))


def test_kinds_and_gradients():
    x = noise(3, 40).astype("float32")
    expected = savgol_filter(x, 7, 2)
    np.testing.assert_array_equal(savgol_filter(torch.from_numpy(x), 7, 2).numpy(), expected)
    rows = savgol_filter(pa.FixedShapeTensorArray.from_numpy_ndarray(x), 7, 2)
    assert kind_of(rows) == "arrow"
    np.testing.assert_array_equal(to_numpy(rows), expected)
    double = torch.from_numpy(noise(2, 20)).requires_grad_()
    for mode in words(Ends):
        for length in (7, 6):
            call = lambda x, mode=mode, length=length: savgol_filter(x, length, 2, mode=mode)  # noqa: E731
            assert torch.autograd.gradcheck(call, (double,), fast_mode=True)
            np.testing.assert_allclose(call(double).detach(), call(double.detach()), atol=1e-12)


def test_polynomials_are_kept_and_derived():
    t = np.arange(50) * 0.1
    parabola = 3 - 2 * t + 0.5 * t**2
    np.testing.assert_allclose(savgol_filter(parabola, 9, 2), parabola, atol=1e-12)
    np.testing.assert_allclose(savgol_filter(parabola, 9, 2, deriv=1, delta=0.1), -2 + t, atol=1e-11)
    np.testing.assert_allclose(savgol_filter(parabola, 9, 2, deriv=2, delta=0.1), 1.0, atol=1e-9)


def test_refusals():
    x = noise(30)
    for arguments, message in [
        ((0, 0), "window_length must be an integer of at least 1, got 0"),
        ((5, 5), "polyorder=5 must be less than window_length=5"),
        ((5, -1), "polyorder must be an integer of at least 0"),
        ((5, 2, 1.5), "deriv must be an integer"),
        ((5, 2, 0, 0.0), "delta must be a finite number other than 0"),
    ]:
        with pytest.raises(ConfigError, match=message):
            savgol_filter(x, *arguments)
    with pytest.raises(ValueError, match="mode must be one of 'interp'"):
        savgol_filter(x, 5, 2, mode="reflect")
    with pytest.raises(
        DataError, match="window_length must be less than or equal to the number of samples, got 31 and 30"
    ):
        savgol_filter(x, 31, 2)
    for run, word in [
        (SavgolSmoother(window_length=5, polyorder=2, mode="wrap"), "end of the recording"),
        (SavgolSmoother(window_length=6, polyorder=2), "odd window_length"),
    ]:
        with pytest.raises(CannotStream, match=word):
            run.init_state(describe(x))


def test_numbers_may_come_as_tensors_without_axes():
    t = torch.linspace(-5, 5, 21, dtype=torch.float64)
    step = t[1] - t[0]
    torch.testing.assert_close(savgol_filter(t**2, 7, 3, deriv=1, delta=step), 2 * t)
    assert savgol_filter(t, torch.tensor(7), np.int64(3), mode="constant", cval=torch.tensor(1.0)).shape == (21,)


@pytest.mark.parametrize(("delta", "deriv"), [(5e-324, 1), (1e-300, 2), (1e-9, 40), (1e200, 2)])
def test_a_distance_whose_power_is_beyond_float64_is_refused_when_it_is_made(delta, deriv):
    with pytest.raises(ConfigError, match="delta"):
        savgol_filter(np.zeros(200), 101, 50, deriv=deriv, delta=delta)
