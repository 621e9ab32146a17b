"""`resample_poly`: SciPy's numbers on every kind of array, and what a resampler owes to tones and levels."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.policy import words
from bridgeflow.signal.resampling import Extension, cpu, rate_ratio, resample_poly
from tests.signal.chunks import recording

MODES = words(Extension)
FACTORS = [(1, 2), (3, 2), (7, 11), (160, 147), (2, 1), (1, 1), (4, 6), (1, 40)]


# --- SciPy's numbers ---


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int16"])
@pytest.mark.parametrize(("up", "down"), FACTORS)
def test_scipys_bits(up, down, dtype):
    for shape, axis in [((1,), 0), ((2,), 0), ((3, 500), -1), ((500, 3), 0), ((2, 70, 3), 1), ((0, 9), 1), ((2, 0), 1)]:
        x = recording(shape, dtype)
        y = resample_poly(x, up, down, axis)
        expected = scipy.signal.resample_poly(x, up, down, axis) if x.size else np.empty(y.shape, y.dtype)
        np.testing.assert_array_equal(y, expected)
        assert y.dtype == (dtype if dtype != "int16" else "float64")
        assert y.shape[axis] == -(-shape[axis] * up // down)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("padtype", MODES)
def test_scipys_extensions(padtype, dtype):
    if padtype in {"median", "maximum", "minimum"} and dtype == "complex128":
        pytest.skip("complex numbers have no order")
    for samples in (2, 3, 5, 17, 200):
        x = recording((3, samples), dtype)
        for up, down in FACTORS:
            y, expected = (f(x, up, down, -1, padtype=padtype) for f in (resample_poly, scipy.signal.resample_poly))
            scale = np.abs(expected).max()
            np.testing.assert_allclose(y, expected, rtol=0, atol=scale * (1e-5 if dtype == "float32" else 1e-12))
            assert y.dtype == dtype


def test_scipys_cval():
    x = recording((2, 30))
    np.testing.assert_allclose(
        resample_poly(x, 3, 2, -1, cval=7.0), scipy.signal.resample_poly(x, 3, 2, -1, cval=7.0), atol=1e-12
    )


@pytest.mark.parametrize("window", ["hamming", ("kaiser", 14.0), [1.0, 2.0, 3.0, 4.0], np.hanning(33), np.ones(1)])
def test_scipys_windows(window):
    x = recording((2, 100))
    for up, down in [(3, 2), (1, 5), (5, 1)]:
        np.testing.assert_array_equal(
            resample_poly(x, up, down, -1, window=window), scipy.signal.resample_poly(x, up, down, -1, window=window)
        )


# --- engines ---


@given(
    up=st.integers(1, 50),
    down=st.integers(1, 50),
    taps=st.integers(1, 120),
    rows=st.integers(0, 40),
    samples=st.integers(0, 90),
    outputs=st.integers(0, 300),
    first=st.integers(-50, 120),
    dtype=st.sampled_from(["float32", "float64"]),
    data=st.data(),
)
def test_every_instruction_set_gives_scipys_bits(up, down, taps, rows, samples, outputs, first, dtype, data):
    up, down = up // math.gcd(up, down), down // math.gcd(up, down)
    rng = np.random.default_rng(taps)
    x, table = (rng.standard_normal(shape).astype(dtype) for shape in ((rows, samples), (up, -(-taps // up))))
    call = {"phase": data.draw(st.integers(0, up - 1)), "first": first, "outputs": outputs}
    expected = cpu.run_scipy(x, table, up, down, **call)
    assert expected.shape == (rows, outputs)
    for isa in cpu.instruction_sets():
        np.testing.assert_array_equal(cpu.run_native(x, table, up, down, isa=isa, **call), expected)


@pytest.mark.skipif(not cpu.instruction_sets(), reason="the native kernel is not built")
@pytest.mark.parametrize(("rows", "samples"), [(1, 300_000), (2, 200_000), (40, 9_000)])
def test_threads_change_no_bit(rows, samples):
    x = recording((rows, samples), "float32")
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(resample_poly(x, 160, 147, -1))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_row_has_the_same_bits_in_every_batch():
    x = recording((37, 500), "float32")
    together = resample_poly(x, 3, 2, -1)
    for row in range(0, 37, 5):
        np.testing.assert_array_equal(together[row], resample_poly(x[row], 3, 2))


# --- kinds ---


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int16", "float16"])
def test_kinds(dtype):
    x = recording((4, 60), dtype)
    expected = resample_poly(x, 3, 2, -1)
    tensor = resample_poly(torch.from_numpy(x), 3, 2, -1)
    assert kind_of(tensor) == "torch"
    np.testing.assert_array_equal(tensor.numpy(), expected)
    if dtype != "complex64":
        column = resample_poly(pa.array(x[0]), 3, 2)
        assert kind_of(column) == "arrow"
        np.testing.assert_array_equal(to_numpy(column), expected[0])
    np.testing.assert_array_equal(
        resample_poly(x.tolist(), 3, 2, -1), resample_poly(x.astype("c16" if dtype[0] == "c" else "f8"), 3, 2, -1)
    )


def test_bfloat16_stays():
    y = resample_poly(torch.ones(100, dtype=torch.bfloat16), 2, 1)
    assert y.dtype is torch.bfloat16
    assert abs(float(y[100]) - 1) < 0.02


def test_the_input_is_only_read():
    x = recording((2, 50))
    x.flags.writeable = False
    for padtype in MODES:
        resample_poly(x, 3, 2, -1, padtype=padtype)
    same = resample_poly(x, 3, 3, -1)
    assert not np.shares_memory(same, x)


# --- torch ---


@pytest.mark.parametrize("padtype", MODES)
def test_gradients(padtype):
    x = torch.from_numpy(recording((2, 12))).requires_grad_()
    for up, down in [(3, 2), (2, 5)]:
        call = lambda x, up=up, down=down: resample_poly(x, up, down, -1, padtype=padtype)  # noqa: E731
        assert torch.autograd.gradcheck(call, (x,))
        np.testing.assert_allclose(
            call(x).detach().numpy(), resample_poly(x.detach().numpy(), up, down, -1, padtype=padtype), atol=1e-10
        )


def test_gradients_of_gradients_complex_and_single():
    x = torch.from_numpy(recording((2, 12), "complex128")).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: resample_poly(x, 3, 2, -1), (x,))
    y = resample_poly(torch.ones(50, dtype=torch.float32, requires_grad=True), 3, 2)
    assert y.dtype is torch.float32


def test_the_gradient_is_the_transposed_map():
    """<R x, y> = <x, R' y>, whatever x and y."""
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.standard_normal(70)).requires_grad_(), torch.from_numpy(rng.standard_normal(105))
    inner = resample_poly(x, 3, 2) @ y
    (transposed,) = torch.autograd.grad(inner, x)
    torch.testing.assert_close(inner, x @ transposed)


def test_vmap_and_tensors_without_data():
    x = torch.from_numpy(recording((4, 3, 60)))
    torch.testing.assert_close(torch.func.vmap(lambda x: resample_poly(x, 3, 2, -1))(x), resample_poly(x, 3, 2, -1))
    assert resample_poly(x.to("meta"), 3, 2, -1).shape == (4, 3, 90)


def test_taps_one_by_one_give_the_bits_of_the_cpu():
    """What runs on a device, run here."""
    from bridgeflow.signal.resampling.polyphase import lowpass
    from bridgeflow.signal.resampling.torch_ops import _by_taps, resample_tensor

    for dtype in ("float32", "float64", "complex64"):
        x = torch.from_numpy(recording((3, 100), dtype))
        for up, down in [(3, 2), (1, 7), (7, 1), (160, 147)]:
            plan = lowpass(up, down, ("kaiser", 5.0))
            for first_tick, outputs in [(plan.centre, 80), (plan.centre + 55, 1), (0, 0), (-3000, 20), (5000, 20)]:
                one_by_one = _by_taps(x, plan, first_tick, outputs)
                on_the_cpu = resample_tensor(x, plan, first_tick, outputs)
                torch.testing.assert_close(one_by_one, on_the_cpu, rtol=0, atol=1e-3 if dtype != "float64" else 1e-11)


@pytest.mark.cuda
def test_on_a_gpu():
    x = torch.from_numpy(recording((3, 500), "float32"))
    for up, down in [(3, 2), (1, 7), (160, 147)]:
        y = resample_poly(x.cuda(), up, down, -1)
        assert y.device.type == "cuda"
        torch.testing.assert_close(y.cpu(), resample_poly(x, up, down, -1), rtol=1e-4, atol=1e-2)


# --- physics ---


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44100, 48000), (48000, 16000), (360, 250), (250, 1000)])
def test_tones_below_both_nyquist_rates_are_kept_and_those_above_are_killed(from_hz, to_hz):
    up, down = rate_ratio(from_hz, to_hz)
    seconds = 4000 / from_hz
    n, m = round(seconds * from_hz), -(-round(seconds * from_hz) * up // down)
    kept = 0.2 * min(from_hz, to_hz)
    y = resample_poly(np.cos(2 * np.pi * kept * np.arange(n) / from_hz), up, down)
    middle = slice(m // 4, -m // 4)
    np.testing.assert_allclose(y[middle], np.cos(2 * np.pi * kept * np.arange(m) / to_hz)[middle], atol=2e-3)
    if to_hz < from_hz:
        killed = 0.5 * to_hz + 0.12 * min(from_hz, to_hz)
        y = resample_poly(np.cos(2 * np.pi * killed * np.arange(n) / from_hz), up, down)
        assert np.abs(y[middle]).max() < 2e-3


@pytest.mark.parametrize("padtype", sorted(set(MODES) - {"constant", "antisymmetric"}))
def test_a_level_stays_where_the_extension_holds_it(padtype):
    y = resample_poly(np.full(50, 3.0), 3, 2, padtype=padtype)
    np.testing.assert_allclose(y, 3.0, atol=2e-2)


# --- errors ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"up": 0, "down": 1}, "up must be at least 1, got 0"),
        ({"up": 1.5, "down": 1}, "up must be an integer, got 1.5"),
        ({"up": 1, "down": "2"}, "down must be an integer, got '2'"),
        ({"up": 2, "down": 1, "padtype": "zero"}, "padtype must be one of 'constant'"),
        ({"up": 2, "down": 1, "padtype": "mean", "cval": 1.0}, "cval has no effect"),
        ({"up": 2, "down": 1, "window": [[1.0]]}, "window must be 1-D"),
        ({"up": 2, "down": 1, "window": [1j]}, "a row of real numbers, got complex128"),
        ({"up": 2, "down": 1, "axis": 2}, "axis 2 does not exist"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        resample_poly(np.ones((2, 10)), **arguments)


def test_other_elements_are_refused():
    with pytest.raises(DataError, match=r"cannot resample (longdouble|float128)"):
        resample_poly(np.ones(10, np.longdouble), 2, 1)
    with pytest.raises(DataError, match="cannot filter elements of type"):
        resample_poly(np.array(["a"]), 2, 1)


def test_rates():
    assert rate_ratio(44100, 48000.0) == (160, 147)
    assert rate_ratio(0.1, 0.3) == (3, 1)
    assert rate_ratio("1000/3", "500") == (3, 2)
    assert rate_ratio(333.25, 250) == (1000, 1333)
    with pytest.raises(ConfigError, match="did you mean 3/4"):
        rate_ratio(1000 / 3, 250)
    for bad in (0, -1, "fast", float("nan"), float("inf"), True, None, "1/0"):
        with pytest.raises(ConfigError, match="from_hz must be a rate in Hz"):
            rate_ratio(bad, 250)
