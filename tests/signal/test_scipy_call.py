"""`ScipyCall`: each function of the list against SciPy itself, called as its documentation says, row by row."""

from __future__ import annotations

import re
import warnings
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
import scipy
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeflow import signal
from bridgeflow.bridge import describe, to_arrow, to_numpy
from bridgeflow.errors import ConfigError, DataError, NoRoute
from bridgeflow.ranges import Length, NonNegative
from bridgeflow.signal.scipy_call import ScipyCall
from bridgeflow.signal.scipy_list import FUNCTIONS
from bridgeflow.signal.scipy_options import Option

# Options for each function, the required ones at least.
CASES: dict[str, list[dict[str, Any]]] = {
    "fft.dct": [{}, {"type": 3, "n": 40, "norm": "ortho", "orthogonalize": False}],
    "fft.dst": [{}, {"type": 1}],
    "fft.fft": [{}, {"n": 100, "norm": "ortho"}],
    "fft.fftshift": [{}],
    "fft.idct": [{}],
    "fft.idst": [{"type": 4, "norm": "forward"}],
    "fft.ifft": [{}, {"n": 7}],
    "fft.ifftshift": [{}],
    "fft.irfft": [{}, {"n": 63}],
    "fft.rfft": [{}, {"n": 63, "norm": "forward"}],
    "ndimage.black_tophat": [{"size": 5}],
    "ndimage.convolve1d": [{"weights": (1.0, 2.0, 0.5)}, {"weights": (1.0, -1.0), "mode": "constant", "cval": 2.0}],
    "ndimage.correlate1d": [{"weights": (1.0, 2.0, 0.5), "mode": "wrap", "origin": 1}],
    "ndimage.gaussian_filter1d": [
        {"sigma": 2.0},
        {"sigma": 1.5, "order": 1, "truncate": 3.0},
        {"sigma": 2, "radius": 3},
    ],
    "ndimage.grey_closing": [{"size": 5}],
    "ndimage.grey_dilation": [{"size": 5, "mode": "nearest"}],
    "ndimage.grey_erosion": [{"size": 4}],
    "ndimage.grey_opening": [{"size": 5}],
    "ndimage.maximum_filter1d": [{"size": 5}, {"size": 4, "origin": 1}],
    "ndimage.median_filter": [{"size": 5, "mode": "mirror"}],
    "ndimage.minimum_filter1d": [{"size": 5}],
    "ndimage.morphological_gradient": [{"size": 3}],
    "ndimage.percentile_filter": [{"percentile": 30, "size": 5}],
    "ndimage.rank_filter": [{"rank": -2, "size": 6}],
    "ndimage.shift": [{"shift": 1.5}, {"shift": -2, "order": 1, "mode": "nearest"}],
    "ndimage.uniform_filter1d": [{"size": 5}],
    "ndimage.white_tophat": [{"size": 7}],
    "ndimage.zoom": [{"zoom": 1.5}, {"zoom": 0.31, "order": 1}, {"zoom": 2, "mode": "grid-wrap", "grid_mode": True}],
    "signal.decimate": [{"q": 3}, {"q": 4, "ftype": "fir", "n": 20}, {"q": 2, "zero_phase": False}],
    "signal.detrend": [{}, {"type": "constant"}, {"bp": (10, 40)}],
    "signal.filtfilt": [{"b": (0.5, 0.5), "a": (1.0, -0.2)}, {"b": (0.5, 0.5), "a": (1.0,), "padtype": None}],
    "signal.hilbert": [{}, {"N": 80}],
    "signal.lfilter": [{"b": (0.5, 0.5), "a": (1.0, -0.9)}],
    "signal.medfilt": [{}, {"kernel_size": 7}],
    "signal.periodogram": [
        {},
        {"fs": 50.0, "window": "hann", "nfft": 101, "detrend": False, "scaling": "spectrum"},
        {"return_onesided": False, "window": ("kaiser", 4.0), "detrend": "linear"},
    ],
    "signal.resample": [{"num": 40}, {"num": 101, "window": "hamming"}],
    "signal.resample_poly": [{"up": 3, "down": 2}, {"up": 2, "down": 7, "padtype": "line", "window": ("kaiser", 3.0)}],
    "signal.savgol_filter": [{"window_length": 7, "polyorder": 2}, {"window_length": 9, "polyorder": 3, "deriv": 1}],
    "signal.upfirdn": [{"h": (1.0, 2.0, 1.0)}, {"h": (1.0, 2.0, 1.0, 4.0), "up": 3, "down": 5, "mode": "reflect"}],
    "signal.wiener": [{}, {"mysize": 7, "noise": 0.5}],
    "signal.zoom_fft": [{"fn": (0.1, 0.4), "m": 20}, {"fn": 0.5, "fs": 3.0, "endpoint": True}],
    "stats.circmean": [{}, {"high": 10, "low": -1.0}],
    "stats.circstd": [{}],
    "stats.circvar": [{"high": 4.0}],
    "stats.differential_entropy": [{}, {"base": 2.0, "method": "correa"}],
    "stats.entropy": [{}, {"base": 2}],
    "stats.gmean": [{}],
    "stats.hmean": [{}],
    "stats.iqr": [{}, {"rng": (10, 90), "scale": "normal", "interpolation": "lower"}],
    "stats.kurtosis": [{}, {"fisher": False, "bias": False}],
    "stats.median_abs_deviation": [{}, {"scale": "normal"}],
    "stats.moment": [{"order": 3}],
    "stats.pmean": [{"p": 3.0}],
    "stats.rankdata": [{}, {"method": "dense"}],
    "stats.sem": [{}, {"ddof": 0}],
    "stats.skew": [{}, {"bias": False}],
    "stats.trim_mean": [{"proportiontocut": 0.1}],
    "stats.variation": [{}, {"ddof": 1}],
    "stats.zscore": [{"ddof": 1}],
}
FIRST = {"signal.filtfilt": ("b", "a"), "signal.lfilter": ("b", "a"), "signal.upfirdn": ("h",)}
EVERY = [(name, options) for name, all_options in CASES.items() for options in all_options]
VARIABLE = {"signal.resample", "stats.rankdata"}
"""SciPy's dtype depends on an option as well; here it is the same with all of them."""

DTYPES = ["float32", "float64", "int16", "uint8", "int64", "complex64", "complex128"]


def by_scipy(name: str, options: dict[str, Any], row: np.ndarray) -> np.ndarray:
    """One row through SciPy."""
    module, _, function = name.partition(".")
    rest = dict(options)
    first = [rest.pop(one) for one in FIRST.get(name, ())]
    result = getattr(getattr(scipy, module), function)(*first, row, **rest)
    return np.asarray(result[1] if name == "signal.periodogram" else result)


def data(dtype: str, *shape: int) -> np.ndarray:
    x = np.random.default_rng(0).random(shape) * 40 + 1
    return (x + 1j * x[..., ::-1] if dtype.startswith("c") else x).astype(dtype)


def test_the_list_is_tested():
    assert sorted(CASES) == sorted(FUNCTIONS)
    for entry in FUNCTIONS.values():
        assert callable(entry.find())
        assert all(name in entry.options for name in entry.before)


@pytest.mark.parametrize(("name", "options"), EVERY, ids=str)
def test_scipys_numbers(name, options):
    """For each dtype: the rows of a batch are SciPy's, and the spec said so; or the dtype is refused before."""
    call = ScipyCall(name, options)
    taken = 0
    for dtype in DTYPES:
        x = data(dtype, 2, 3, 64)
        if dtype.startswith("c") and not FUNCTIONS[name].is_complex:
            with pytest.raises(DataError, match="does not take"):
                call.out_spec(describe(x))
            with pytest.raises(DataError, match="does not take"):
                call(x)
            continue
        exact = FUNCTIONS[name].dtype == "kept"
        read = x if exact or dtype.startswith(("f", "c")) else x.astype("float64")
        reference = np.stack([by_scipy(name, options, row) for row in read.reshape(-1, 64)])
        reference = reference.reshape(2, 3, *reference.shape[1:])
        result = call(x)
        assert result.dtype == reference.dtype or name in VARIABLE
        assert call.out_spec(describe(x)).admits(describe(result))
        assert call.out_spec(describe(x)).shape == result.shape
        size = np.abs(reference).max(initial=1e-30)
        np.testing.assert_allclose(
            result / size, reference / size, atol=1e-5 if dtype in {"float32", "complex64"} else 1e-12
        )
        taken += 1
    assert taken >= 5


@pytest.mark.parametrize("name", sorted(CASES))
def test_other_kinds(name):
    call = ScipyCall(name, CASES[name][0])
    x = data("float32", 2, 64)
    reference = call(x)
    for other in (torch.from_numpy(x), to_arrow(x), x.astype(">f4")):
        result = call(other)
        np.testing.assert_array_equal(to_numpy(result), reference)
        assert call.out_spec(describe(other)).admits(describe(result))
    for half in (torch.from_numpy(x).bfloat16(), x.astype("float16"), torch.from_numpy(x).half(), x > 20):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of means over zeros
            result = call(half)
        assert call.out_spec(describe(half)).admits(describe(result))
    locked = x.copy()
    locked.flags.writeable = False
    np.testing.assert_array_equal(call(locked), reference)


@pytest.mark.parametrize("name", sorted(CASES))
def test_one_row_and_none(name):
    call = ScipyCall(name, CASES[name][0])
    x = data("float64", 64)
    one = call(x)
    np.testing.assert_allclose(one, call(x[None])[0])
    assert call.out_spec(describe(x)).admits(describe(one))
    assert isinstance(one, np.ndarray)
    none = call(np.empty((0, 3, 64)))
    assert none.shape == (0, 3, *one.shape)
    assert call.out_spec(describe(np.empty((0, 3, 64)))).admits(describe(none))
    with pytest.raises(DataError, match="at least one sample"):
        call(np.empty((2, 0)))


@given(st.sampled_from(EVERY), st.integers(40, 200))
@settings(max_examples=60)
def test_lengths_are_foretold(case, samples):
    name, options = case
    x = data("float64", 2, samples)
    call = ScipyCall(name, options)
    assert call.out_spec(describe(x)).shape == call(x).shape


def test_an_unknown_length_stays_unknown_where_it_matters():
    spec = describe(data("float32", 2, 64)).with_time(None)
    assert ScipyCall("fft.rfft", {}).out_spec(spec).shape == (2, None)
    assert ScipyCall("fft.rfft", {"n": 10}).out_spec(spec).shape == (2, 6)
    assert ScipyCall("stats.skew", {}).out_spec(spec).shape == (2,)
    assert ScipyCall("signal.decimate", {"q": 2}).out_spec(spec).shape == (2, None)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("signal.medfil", {}, "'signal.medfil' is not in the list; did you mean 'signal.medfilt'"),
        ("medfilt", {}, "did you mean 'signal.medfilt'"),
        ("os.system", {}, "is not in the list"),
        ("signal.medfilt", {"kernel": 3}, "no option 'kernel' here; did you mean 'kernel_size'"),
        ("signal.medfilt", {"kernel_size": 4}, "kernel_size of signal.medfilt must be odd, got 4"),
        ("signal.medfilt", {"kernel_size": 3.0}, "must be an integer, got 3.0"),
        ("signal.medfilt", {"kernel_size": True}, "must be an integer, got True"),
        ("signal.medfilt", {"axis": 0}, "no option 'axis'"),
        ("signal.resample", {}, "needs the option 'num', an integer"),
        ("ndimage.median_filter", {"size": 3, "mode": "edge"}, "one of 'reflect', 'constant'"),
        ("ndimage.convolve1d", {"weights": ()}, "weights of ndimage.convolve1d must not be empty"),
        ("ndimage.convolve1d", {"weights": [1.0]}, "must be a tuple, each a number"),
        ("stats.iqr", {"rng": (1.0,)}, "must be a tuple of 2, each a number"),
        ("stats.iqr", {"scale": "wide"}, "must be a number or one of 'normal'"),
        ("fft.fft", {"n": 0}, "n of fft.fft must be from 1 to 2147483647, got 0"),
        ("ndimage.gaussian_filter1d", {"sigma": float("nan")}, "must be from 1e-100 to 1e+09, got nan"),
    ],
)
def test_refused_when_made(name, options, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        ScipyCall(name, options)


def test_refused_data():
    medfilt = ScipyCall("signal.medfilt", {})
    with pytest.raises(NoRoute, match="grad"):
        medfilt(torch.zeros(2, 9, requires_grad=True))
    with pytest.raises(DataError, match=r"window_length of signal\.savgol_filter must be at most 5"):
        ScipyCall("signal.savgol_filter", {"window_length": 9, "polyorder": 2})(np.zeros(5))
    with pytest.raises(DataError, match="one axis"):
        medfilt(np.float64(3.0))
    with pytest.raises(DataError, match="does not take elements of type complex64"):
        medfilt(torch.zeros(3, dtype=torch.complex64))
    with pytest.raises(DataError):
        medfilt(np.zeros(9, np.longdouble))
    with pytest.raises(NoRoute, match="null"):
        medfilt(pa.array([1.0, None, 2.0]))


def test_options():
    assert Option(Literal["a", False]).problem(False) == ""
    assert Option(Literal["a", False]).problem(0) == "must be one of 'a', False, got 0"
    assert Option(Length | None).problem(None) == ""
    assert Option(NonNegative | tuple[NonNegative, NonNegative]).problem((0.5, -1.0)) == "must be at least 0, got -1.0"
    assert Option(str | tuple[str | float, ...]).problem(("kaiser", 4)) == ""


def test_nested_lists_are_data_too():
    np.testing.assert_array_equal(ScipyCall("signal.medfilt", {})([[1.0, 9.0, 2.0]]), [[1.0, 2.0, 2.0]])


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5])
@pytest.mark.parametrize("options", [{}, {"mysize": 5}, {"noise": 0.0}, {"noise": 0.5}], ids=str)
def test_wiener_of_constant_data_is_finite_and_does_not_warn(value, options):
    x = np.full(9, value)
    for y in (ScipyCall("signal.wiener", options)(x), signal.wiener(x, **options)):
        assert y[4] == value
        assert np.isfinite(y).all()


def test_wiener_keeps_scipys_numbers_where_they_are_numbers():
    x = np.r_[np.ones(8), np.random.default_rng(0).standard_normal(20)]
    with np.errstate(all="ignore"):
        expected = scipy.signal.wiener(x, 3)
    np.testing.assert_array_equal(signal.wiener(x, 3), expected)


@pytest.mark.parametrize("samples", [1, 2, 4, 5, 9])
def test_medians_of_rows_shorter_than_the_window(samples):
    x = np.random.default_rng(samples).standard_normal((3, samples))
    padded = np.pad(x, [(0, 0), (2, 2)])
    expected = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5, axis=-1), axis=-1)
    np.testing.assert_array_equal(ScipyCall("signal.medfilt", {"kernel_size": 5})(x), expected)
