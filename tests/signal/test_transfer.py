"""`lfilter`, `filtfilt` and `lfilter_zi` against SciPy's, and what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as scipy_signal

from bridgeflow import signal
from bridgeflow.errors import DataError, NoRoute, UnstableFilter


@st.composite
def fractions(draw):
    """A stable filter of up to 6 poles as b, a, of any scale, and the generator that it came from."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    poles: list[complex] = []
    order = draw(st.integers(0, 6))
    while len(poles) < order:
        if order - len(poles) > 1 and rng.random() < 0.7:
            pole = rng.uniform(0.1, 0.9) * np.exp(1j * rng.uniform(0, np.pi))
            poles += [pole, pole.conj()]
        else:
            poles.append(rng.uniform(-0.9, 0.9))
    a = np.atleast_1d(np.real(np.poly(poles))) * rng.uniform(0.5, 2)
    return rng.standard_normal(draw(st.integers(1, order + 3))), a, rng


@st.composite
def problems(draw):
    b, a, rng = draw(fractions())
    shape = (*draw(st.lists(st.integers(1, 4), max_size=2)), draw(st.integers(1, 40)))
    x = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if draw(st.booleans()) else 0)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    of_state = list(shape)
    of_state[axis] = max(len(b), len(a)) - 1
    return b, a, x, axis, rng.standard_normal(of_state)


def close(ours, theirs):
    ours = ours.detach().numpy() if isinstance(ours, torch.Tensor) else ours
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9 * (1 + np.abs(theirs).max(initial=0)))


@given(problems())
def test_lfilter_and_its_state_are_scipys(problem):
    b, a, x, axis, zi = problem
    close(signal.lfilter(b, a, x, axis), scipy_signal.lfilter(b, a, x, axis))
    for ours, theirs in zip(
        signal.lfilter(b, a, x, axis, zi), scipy_signal.lfilter(b, a, x, axis, zi + 0 * x.flat[0]), strict=True
    ):
        close(ours, theirs)


@settings(max_examples=30)
@given(problems())
def test_lfilter_under_autograd_is_scipys(problem):
    b, a, x, axis, zi = problem
    tensors = [torch.tensor(value, requires_grad=True) for value in (b, a, x, zi)]
    y, zf = signal.lfilter(*tensors[:3], axis, tensors[3])
    expected = scipy_signal.lfilter(b, a, x, axis, zi + 0 * x.flat[0])
    close(y, expected[0])
    close(zf, expected[1])


@given(problems(), st.data())
def test_pieces_with_their_state_equal_the_whole(problem, data):
    b, a, x, axis, zi = problem
    cut = data.draw(st.integers(0, x.shape[axis]))
    first, second = np.split(x, [cut], axis)
    y0, state = signal.lfilter(b, a, first, axis, zi)
    y1, end = signal.lfilter(b, a, second, axis, state)
    whole, zf = signal.lfilter(b, a, x, axis, zi)
    close(np.concatenate([y0, y1], axis), whole)
    close(end, zf)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_gradients_for_b_a_x_and_zi(order):
    b, a = (torch.tensor(row, requires_grad=True) for row in scipy_signal.butter(order, 0.3))
    x = torch.randn(2, 12, dtype=torch.float64, requires_grad=True)
    zi = torch.randn(2, order, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda b, a, x, zi: signal.lfilter(b, a, x, -1, zi), (b, a, x, zi))
    assert torch.autograd.gradgradcheck(lambda b, a, x: signal.lfilter(b, a, x), (b, a, x))
    x = torch.randn(2, 30, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda b, a, x: signal.filtfilt(b, a, x), (b, a, x))
    assert torch.autograd.gradcheck(signal.lfilter_zi, (b, a))


@given(fractions(), st.sampled_from(["odd", "even", "constant", None]))
def test_filtfilt_is_scipys(fraction, padtype):
    b, a, rng = fraction
    x = rng.standard_normal((2, 60))
    if max(len(b), len(a)) == 1:
        return  # SciPy 1.17 raises
    expected = scipy_signal.filtfilt(b, a, x, padtype=padtype)
    close(signal.filtfilt(b, a, x, padtype=padtype), expected)
    close(signal.filtfilt(b, a, torch.tensor(x, requires_grad=True), padtype=padtype), expected)
    close(signal.filtfilt(b, a, x.T, axis=0, padtype=padtype), expected.T)


def test_filtfilt_gust_is_scipys():
    b, a = scipy_signal.butter(3, 0.2)
    x = np.random.default_rng(0).standard_normal((3, 50))
    expected = scipy_signal.filtfilt(b, a, x, method="gust", irlen=20)
    close(signal.filtfilt(b, a, x, method="gust", irlen=20), expected)
    close(signal.filtfilt(b, a, torch.from_numpy(x), method="gust", irlen=20), expected)
    with pytest.raises(NoRoute, match="grad"):
        signal.filtfilt(b, a, torch.tensor(x, requires_grad=True), method="gust")


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("function", ["lfilter", "filtfilt"])
def test_results_are_of_the_kind_and_precision_of_the_data(function, order):
    b, a = scipy_signal.butter(order, 0.2)
    x = np.random.default_rng(0).standard_normal(50).astype(np.float32)
    expected = getattr(scipy_signal, function)(b, a, x)
    ours = getattr(signal, function)
    for given_b, given_a in ((b, a), (torch.tensor(b), torch.tensor(a)), (b.tolist(), a.tolist())):
        y = ours(given_b, given_a, x)
        assert (type(y), y.dtype) == (np.ndarray, np.float32)
        np.testing.assert_allclose(y, expected, atol=1e-6)
    y = ours(b, a, torch.from_numpy(x))
    assert (type(y), y.dtype) == (torch.Tensor, torch.float32)
    assert ours(b, a, torch.from_numpy(x).bfloat16()).dtype is torch.bfloat16
    assert ours(b, a, pa.array(x)).type == pa.float32()
    assert ours(b, a, x.tolist()).dtype == np.float64
    assert ours(b, a, (100 * x).astype(np.int16)).dtype == np.float64


def test_a_state_beside_a_tensor_is_a_tensor():
    b, a = scipy_signal.butter(4, 0.2)
    zi = signal.lfilter_zi(torch.tensor(b), torch.tensor(a))
    assert isinstance(zi, torch.Tensor)
    y, zf = signal.lfilter(b, a, torch.ones(30), zi=zi)
    assert isinstance(zf, torch.Tensor)
    torch.testing.assert_close(zf, zi)
    torch.testing.assert_close(y, torch.ones(30))


def test_complex_coefficients():
    b, a = np.array([1.0, 1j]), np.array([1.0, 0.5j, 0.1])
    x = np.random.default_rng(0).standard_normal(40)
    close(signal.lfilter(b, a, x), scipy_signal.lfilter(b, a, x))
    assert signal.lfilter(b, a, x.astype(np.float32)).dtype == np.complex64
    with pytest.raises(NoRoute, match="complex coefficients"):
        signal.lfilter(b, a, torch.tensor(x, requires_grad=True))


def test_an_integrator_adds_up():
    assert signal.lfilter([1.0], [1.0, -1.0], [1, 2, 3]).tolist() == [1, 3, 6]
    np.testing.assert_array_equal(signal.lfilter([1.0], np.poly([1, 0.5, 0.25]), np.ones(9)),
                                  scipy_signal.lfilter([1.0], np.poly([1, 0.5, 0.25]), np.ones(9)))  # fmt: skip


@pytest.mark.parametrize("function", ["lfilter", "filtfilt"])
@pytest.mark.parametrize(
    ("b", "a", "said"),
    [
        ([1.0], [1.0, -1.5], r"unstable: a has a pole at 1\.5, radius 1\.5 >= 1; move the pole"),
        ([1.0], [1.0, 0.0, 1.21], r"pole at 0\+1\.1j, radius 1\.1"),
        ([1.0], [1.0, -2.0, 1.0], "pole at 1, radius 1 >= 1"),
        (*scipy_signal.butter(10, 0.001), r"pole at 1\.0450972.*lost its stability to rounding.*output='sos'.*sosfilt"),
        (*scipy_signal.butter(5, 0.001), r"pole at 0\.9990.*rounding of a .* changes the response.*output='sos'"),
    ],
)
@pytest.mark.parametrize("make", [np.ones, lambda n: torch.ones(n, requires_grad=True)], ids=["numpy", "autograd"])
def test_unstable_and_ill_conditioned_filters_are_refused_with_their_pole(function, b, a, said, make):
    with pytest.raises(UnstableFilter, match=said):
        getattr(signal, function)(b, a, make(100))


def test_well_conditioned_multiple_poles_are_not_refused():
    b, a = np.ones(1), np.poly([0.5] * 8)
    x = np.random.default_rng(0).standard_normal(100)
    close(signal.lfilter(b, a, x), scipy_signal.lfilter(b, a, x))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([], [1.0], np.ones(5)), "b is not a non-empty 1d array"),
        (([[1.0]], [1.0], np.ones(5)), "b is not a non-empty 1d array"),
        (([1.0], [0.0, 1.0], np.ones(5)), r"a\[0\] must not be 0"),
        (([1.0], [1.0, np.nan], np.ones(5)), "finite"),
        (([1.0], [1.0, 0.5], np.ones(5), 3), "axis 3 does not exist"),
        (([1.0], [1.0, 0.5, 0.1, 0.1], np.ones(5), -1, np.ones(2)), "Unexpected shape for parameter zi"),
        (([1.0], [1.0, 0.5], np.ones(5), -1, np.ones((1, 2))), "Unexpected shape for parameter zi"),
        (([1.0], [1.0, 0.5], np.array(["a"])), "numbers"),
        (([1.0], [1.0, 0.5], pa.table({"x": [1.0]})), "pass one column"),
        ((["a"], [1.0], np.ones(3)), "b must be numbers"),
    ],
)
def test_bad_arguments_are_our_errors(arguments, said):
    with pytest.raises(DataError, match=said):
        signal.lfilter(*arguments)


def test_errors_name_the_function_that_was_called():
    for function in (signal.lfilter, signal.filtfilt):
        for b, a in (([1.0], [1.0]), ([1.0], [1.0, 0.5]), scipy_signal.butter(5, 0.3)):
            with pytest.raises(DataError, match=rf"^{function.__name__}: axis 4 does not exist"):
                function(b, a, np.ones(99), 4)
            with pytest.raises(DataError, match=rf"^{function.__name__}: .* a single number"):
                function(b, a, 3.0)
    with pytest.raises(DataError, match="filtfilt: padlen must be an integer"):
        signal.filtfilt([1.0], [1.0, 0.5], np.ones(99), padlen="many")
    with pytest.raises(DataError, match="filtfilt: the length of x along the axis must be greater than padlen"):
        signal.filtfilt(*scipy_signal.butter(3, 0.3), np.ones(5))


def test_gradients_for_taps():
    taps = torch.randn(5, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(signal.fir_filter, (taps, x))
    close(signal.fir_filter(taps, x.detach()), scipy_signal.lfilter(taps.detach(), 1, x.detach().numpy()))
    for call in (
        lambda: signal.fir_filter(taps, x, nonfinite="raise"),
        lambda: signal.fir_filtfilt(taps, x.detach()),
        lambda: signal.welch(x.detach(), window=taps),
        lambda: signal.ShortTimeFFT(taps, 2, 1.0),
        lambda: signal.resample_poly(x.detach(), 1, 2, window=taps),
    ):
        with pytest.raises(NoRoute, match="requires grad"):
            call()
