"""Zero phase piece by piece: within the tolerance of the whole, and not a bit dependent on the pieces."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeflow.bridge import describe, to_numpy
from bridgeflow.errors import CannotStream, ConfigError, DataError, NonFinite
from bridgeflow.signal import Butter, Firwin, Notch, Savgol, ZeroPhaseFilter, sosfiltfilt
from bridgeflow.spec import ArraySpec
from tests.signal.chunks import in_chunks

RECURSIVE = [
    Butter(order=2, cutoff=10.0, fs=100.0),
    Butter(order=3, cutoff=(2.0, 30.0), btype="bandpass", fs=100.0),
    Notch(w0=20.0, Q=5.0, fs=100.0),
]
SYMMETRIC = [Firwin(numtaps=31, cutoff=10.0, fs=100.0), Savgol(window_length=11, polyorder=2, deriv=1)]
LENGTH = 2000

cuts = st.lists(st.integers(0, LENGTH), max_size=12).map(lambda places: [0, *sorted(places), LENGTH])


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def in_pieces(run, x, cuts):
    """What comes of the chunks, and the most samples by which it lags behind them."""
    chunked = in_chunks(run, x, cuts)
    result = np.cumsum([piece.shape[-1] for piece in chunked.pieces])
    return chunked.values, max(0, *(cuts[1:] - result[: len(cuts) - 1]))


@given(
    cuts=cuts,
    design=st.sampled_from(RECURSIVE),
    tolerance=st.sampled_from([1e-2, 1e-6, 1e-10]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_iir_filters_stay_within_the_tolerance(cuts, design, tolerance, seed):
    x = noise(2, LENGTH, seed=seed) + 3.0
    x[1] = np.sign(x[1] - 3.0)
    run = ZeroPhaseFilter(design=design, tolerance=tolerance)
    y, lag = in_pieces(run, x, cuts)
    whole = scipy.signal.sosfiltfilt(design.sos, x)
    assert np.abs(y - whole).max() <= tolerance * np.abs(x).max()
    assert lag <= run.latency
    again, _ = in_pieces(run, x, [0, LENGTH])
    np.testing.assert_array_equal(y, again)


def test_the_bound_holds_for_the_worst_input():
    design = RECURSIVE[0]
    run = ZeroPhaseFilter(design=design, tolerance=1e-4)
    response = scipy.signal.sosfilt(design.sos, np.eye(1, 400)[0])
    autocorrelation = np.correlate(response, response, "full")
    for shift in range(0, 40, 7):
        x = np.resize(np.sign(np.roll(autocorrelation, shift)), LENGTH)
        y, _ = in_pieces(run, x, [0, 700, LENGTH])
        assert np.abs(y - scipy.signal.sosfiltfilt(design.sos, x)).max() <= 1e-4


@given(cuts=cuts, design=st.sampled_from(SYMMETRIC))
@settings(max_examples=40)
def test_symmetric_taps_are_exact(cuts, design):
    x = noise(2, LENGTH)
    run = ZeroPhaseFilter(design=design, scale=0.5, offset=1.0)
    y, lag = in_pieces(run, x, cuts)
    np.testing.assert_array_equal(y, run(x))
    assert lag <= run.latency == design.delay


@pytest.mark.parametrize("design", [*RECURSIVE, *SYMMETRIC], ids=lambda design: design.name)
def test_kinds_and_dtypes_of_results(design):
    run = ZeroPhaseFilter(design=design, tolerance=1e-3 if design in RECURSIVE else None)
    x = noise(2, 600).astype("float32")
    for kind in (
        lambda a: a,
        torch.from_numpy,
        lambda a: torch.from_numpy(a).bfloat16(),
        pa.FixedShapeTensorArray.from_numpy_ndarray,
    ):
        value = kind(x.copy())
        state, promise = run.init_state(describe(value)), run.out_spec(describe(value))
        got = 0
        for begin in range(0, 600, 150):
            y, state = run.step(kind(np.ascontiguousarray(x[:, begin : begin + 150])), state)
            assert promise.with_time(None).admits(describe(y))
            got += to_numpy(y).shape[-1]
        rest = run.flush(state)
        assert promise.with_time(600 - got).admits(describe(rest))
    state = run.init_state(describe(x.astype("int16")))
    assert run.step(x.astype("int16"), state)[0].dtype == np.float64


@pytest.mark.parametrize("design", [RECURSIVE[0], SYMMETRIC[0]], ids=lambda design: design.name)
def test_short_recordings(design):
    run = ZeroPhaseFilter(design=design, tolerance=1e-6 if design in RECURSIVE else None)
    state = run.init_state(ArraySpec(kind="numpy", dtype="float64", shape=(9,)))
    assert run.flush(state) is None
    y, state = run.step(np.zeros(5), state)
    assert y.shape == (0,)
    with pytest.raises(DataError, match="greater than padlen"):
        run.flush(state)
    x = noise(40)
    y, state = run.step(x[5:], run.step(x[:5], run.init_state(describe(x)))[1])
    np.testing.assert_array_equal(np.concatenate([y, run.flush(state)]), run(x))


@pytest.mark.parametrize("sample", [0, 3, 99, 100, 500])
@pytest.mark.parametrize("design", [RECURSIVE[0], SYMMETRIC[0]], ids=lambda design: design.name)
def test_nan_is_refused_where_it_comes(design, sample):
    run = ZeroPhaseFilter(design=design, tolerance=1e-6 if design in RECURSIVE else None)
    x = noise(2, 600)
    x[1, sample] = np.nan
    state = run.init_state(describe(x))
    for begin in range(0, sample - 99, 100):
        _, state = run.step(x[:, begin : begin + 100], state)
    begin = int(state["position"])
    with pytest.raises(NonFinite, match=f"row 1 is nan at sample {sample};"):
        run.step(x[:, begin : begin + 100], state)


def test_what_cannot_be_streamed_says_why():
    spec = ArraySpec(kind="numpy", dtype="float64", shape=(9,))
    for run, reason in (
        (ZeroPhaseFilter(design=RECURSIVE[0]), r"backwards from the end.*tolerance=1e-6"),
        (ZeroPhaseFilter(design=RECURSIVE[0], tolerance=1e-6, nonfinite="reset"), "ends rows at different places"),
    ):
        with pytest.raises(CannotStream, match=reason):
            run.init_state(spec)
        with pytest.raises(CannotStream, match=reason):
            run.latency  # noqa: B018
    run = ZeroPhaseFilter(design=RECURSIVE[0], tolerance=1e-6)
    with pytest.raises(DataError, match="rows of a stream must be known"):
        run.init_state(ArraySpec(kind="numpy", dtype="float64", shape=(None, 9)))
    with pytest.raises(DataError, match=r"chunk of shape \(2, 9\)"):
        run.step(np.zeros((2, 9)), run.init_state(spec))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"design": RECURSIVE[0], "tolerance": 0.0}, "tolerance must be a number above 0"),
        ({"design": RECURSIVE[0], "tolerance": 1e-15}, "below what rounding leaves"),
        ({"design": RECURSIVE[0], "tolerance": 1e-8, "precision": "float32"}, "below what rounding leaves"),
        ({"design": SYMMETRIC[0], "tolerance": 1e-6}, "streams exactly, leave tolerance out"),
        ({"design": Firwin(numtaps=4, cutoff=1.0, fs=9.0)}, "symmetric taps of odd count"),
    ],
)
def test_a_tolerance_that_cannot_be_met_is_refused_when_built(choices, message):
    with pytest.raises(ConfigError, match=message):
        ZeroPhaseFilter(**choices)


@pytest.mark.parametrize("padtype", ["odd", "even", "constant", None])
@pytest.mark.parametrize("dtype", ["longdouble", "clongdouble", "uint8", "bool", "int8", ">f8", ">i2"])
def test_forwards_and_backwards_in_every_dtype_of_scipy(dtype, padtype):
    sos = scipy.signal.butter(3, 0.2, output="sos")
    x = (np.random.default_rng(0).standard_normal((2, 100)) * 100 + 100).astype(dtype)
    expected = scipy.signal.sosfiltfilt(
        sos, x.astype("float64") if np.dtype(dtype).kind in "iub" else x, padtype=padtype
    )
    result = sosfiltfilt(sos, x, padtype=padtype)
    assert result.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)
