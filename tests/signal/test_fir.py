"""FIR filters: SciPy's numbers, and the same bits in every chunking."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.errors import ConfigError, DataError, NonFinite, NoRoute
from bridgeflow.signal import Butter, Firwin, Taps, fir_filter, fir_filtfilt, fir_zero_phase
from bridgeflow.signal.fir_sums import direct_by_kernel, direct_by_numpy
from bridgeflow.signal.iir.engine import Pass
from bridgeflow.signal.resampling.cpu import instruction_sets

LOWPASS = Firwin(numtaps=31, cutoff=10.0, fs=100.0)
methods = pytest.mark.parametrize("method", ["direct", "fft"])


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@methods
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("count", [1, 2, 31, 80])
def test_lfilter_with_and_without_a_state(method, axis, count):
    x, taps = noise(4, 50, 60), noise(count, seed=1)
    np.testing.assert_allclose(
        fir_filter(taps, x, axis, method=method), scipy.signal.lfilter(taps, 1, x, axis), atol=1e-12
    )
    zi = noise(*(count - 1 if i == axis % 3 else n for i, n in enumerate(x.shape)), seed=2)
    ours, theirs = fir_filter(taps, x, axis, zi, method=method), scipy.signal.lfilter(taps, 1, x, axis, zi=zi)
    for mine, reference in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, reference, atol=1e-12)


@pytest.mark.parametrize("padtype", ["odd", "even", "constant", None])
def test_filtfilt(padtype):
    x = noise(3, 200)
    theirs = scipy.signal.filtfilt(LOWPASS.taps, 1, x, padtype=padtype)
    np.testing.assert_allclose(fir_filtfilt(LOWPASS, x, padtype=padtype), theirs, atol=1e-13)
    np.testing.assert_allclose(fir_filtfilt(LOWPASS, x, padtype=padtype, method="fft"), theirs, atol=1e-13)
    theirs = scipy.signal.filtfilt(LOWPASS.taps, 1, x.T, axis=0, padlen=12)
    np.testing.assert_allclose(fir_filtfilt(LOWPASS, x.T, axis=0, padlen=12), theirs, atol=1e-13)


@given(
    data=st.data(),
    dtype=st.sampled_from(["float32", "float64", "complex64", "int16"]),
    count=st.sampled_from([1, 2, 31]),
)
def test_any_chunking_gives_the_bits_of_the_whole(data, dtype, count):
    x = (noise(2, 120) * 100).astype(dtype)
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, 120), max_size=12))), 120]
    taps = noise(count, seed=1)
    zi, pieces = np.zeros((2, count - 1)), []
    for begin, end in pairwise(cuts):
        y, zi = fir_filter(taps, x[:, begin:end], zi=zi)
        pieces.append(y)
    np.testing.assert_array_equal(np.concatenate(pieces, -1), fir_filter(taps, x))


def test_tiles_do_not_show():
    x = noise(3, 70_000)
    np.testing.assert_array_equal(fir_filter(LOWPASS, x)[1], fir_filter(LOWPASS, x[1]))
    np.testing.assert_allclose(fir_filter(LOWPASS, x), scipy.signal.lfilter(LOWPASS.taps, 1, x), atol=1e-13)


@pytest.mark.skipif(not instruction_sets(), reason="the kernel is not built")
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int16"])
@pytest.mark.parametrize("count", [1, 2, 31, 300])
def test_kernel_and_numpy_give_the_same_bits(dtype, count):
    x, taps, settings = (noise(3, 5000) * 100).astype(dtype), noise(count, seed=1), Pass("float64", 0.5, 1.0)
    x[1, 2000:3000] = 0
    work = settings.work_dtype(x.dtype)
    zi = noise(3, count - 1, seed=2).astype(work)
    for ours, reference in zip(
        direct_by_kernel(taps, x, zi, settings, work), direct_by_numpy(taps, x, zi, settings, work), strict=True
    ):
        np.testing.assert_array_equal(ours, reference)
        np.testing.assert_array_equal(np.signbit(ours.real), np.signbit(reference.real))
    silence = np.full((1, 5000), -0.0)
    loud, quiet = (
        run(taps, silence, zi[:1].real * 0, Pass(), np.dtype("f8"))[0] for run in (direct_by_kernel, direct_by_numpy)
    )
    np.testing.assert_array_equal(np.signbit(loud), np.signbit(quiet))


def test_kinds_and_dtypes():
    x = noise(2, 100).astype("float32")
    theirs = scipy.signal.lfilter(LOWPASS.taps, 1, x.astype(float))
    y = fir_filter(LOWPASS, torch.from_numpy(x))
    assert y.dtype is torch.float32
    np.testing.assert_allclose(y.numpy(), theirs, atol=1e-6)
    assert fir_filter(LOWPASS, torch.from_numpy(x).bfloat16()).dtype is torch.bfloat16
    y = fir_filter(LOWPASS, pa.array(x[0]))
    assert y.type == pa.float32()
    assert fir_filter(LOWPASS, x.astype("int16")).dtype == np.float64
    assert fir_filter(LOWPASS, x.astype("complex64")).dtype == np.complex64
    counts = fir_filter(LOWPASS, np.arange(100, dtype="uint16"), scale=0.5, offset=-3.0)
    np.testing.assert_allclose(counts, scipy.signal.lfilter(LOWPASS.taps, 1, np.arange(100) * 0.5 - 3.0), atol=1e-12)
    y, zf = fir_filter(LOWPASS, torch.from_numpy(x), zi=torch.zeros(2, 30))
    assert (y.dtype, zf.dtype) == (torch.float32, torch.float64)


@methods
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gradients(method, dtype):
    x = torch.from_numpy(noise(2, 7)).to(dtype).requires_grad_()
    zi = torch.from_numpy(noise(2, 4)).to(dtype).requires_grad_()
    taps = noise(5, seed=1)
    assert torch.autograd.gradcheck(
        lambda x, zi: fir_filter(taps, x, zi=zi, method=method, scale=2.0, offset=1.0), (x, zi)
    )
    ours, zf = fir_filter(taps, x, zi=zi, method=method)
    theirs, their_zf = scipy.signal.lfilter(taps, 1, x.detach().numpy(), zi=zi.detach().numpy())
    np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=1e-12)
    np.testing.assert_allclose(zf.detach().numpy(), their_zf, atol=1e-12)


def test_meta_tensors_tell_the_shape():
    y = fir_filter(LOWPASS, torch.empty(3, 100, device="meta"))
    assert (y.shape, y.dtype, y.device.type) == ((3, 100), torch.float32, "meta")


class TestZeroPhase:
    def test_a_tone_stays_in_place_with_the_designed_gain(self):
        t = np.arange(1000) / 100
        for frequency in (1.0, 8.0, 10.0, 30.0):
            tone = np.cos(2 * np.pi * frequency * t)
            gain = np.real(LOWPASS.response(frequency) * np.exp(2j * np.pi * frequency / 100 * LOWPASS.delay))
            np.testing.assert_allclose(fir_zero_phase(LOWPASS, tone)[50:-50], gain * tone[50:-50], atol=1e-12)

    @pytest.mark.parametrize("padtype", ["odd", "even", "constant", None])
    def test_the_ends_are_those_of_the_continued_recording(self, padtype):
        x = noise(60)
        continued = {
            "odd": lambda: np.pad(x, 15, mode="reflect", reflect_type="odd"),
            "even": lambda: np.pad(x, 15, mode="reflect"),
            "constant": lambda: np.pad(x, 15, mode="edge"),
            None: lambda: np.pad(x, 15),
        }[padtype]()
        np.testing.assert_allclose(
            fir_zero_phase(LOWPASS, x, padtype=padtype), np.convolve(continued, LOWPASS.taps, "valid"), atol=1e-14
        )

    def test_a_derivative_is_centred(self):
        slope = fir_zero_phase(Taps(values=(0.5, 0.0, -0.5)), np.arange(10.0) ** 2)
        np.testing.assert_allclose(slope[1:-1], 2 * np.arange(10.0)[1:-1])

    def test_taps_of_another_form_are_refused(self):
        with pytest.raises(ConfigError, match=r"symmetric taps of odd count.*fir_filtfilt"):
            fir_zero_phase([0.5, 0.5], np.zeros(9))


class TestNonFinite:
    def test_propagates_into_the_outputs_that_see_it(self):
        x = noise(200)
        clean = fir_filter(LOWPASS, x)
        x[100] = np.nan
        y = fir_filter(LOWPASS, x)
        assert np.flatnonzero(np.isnan(y)).tolist() == list(range(100, 131))
        np.testing.assert_array_equal(y[131:], clean[131:])

    @pytest.mark.parametrize("run", [fir_filter, fir_filtfilt, fir_zero_phase])
    def test_raise_names_row_and_sample(self, run):
        x = noise(3, 200)
        x[1, 77] = np.inf
        with pytest.raises(NonFinite, match=f"{run.__name__}: row 1 is inf at sample 77"):
            run(LOWPASS, x, nonfinite="raise")
        with pytest.raises(NonFinite, match="row 1 is inf at sample 77"):
            fir_filter(LOWPASS, torch.from_numpy(x).requires_grad_(), nonfinite="raise")

    def test_a_bad_state_is_named(self):
        with pytest.raises(NonFinite, match="initial state of row 1"):
            fir_filter([1.0, 2.0], noise(2, 5), zi=np.array([[0.0], [np.nan]]), nonfinite="raise")

    @pytest.mark.parametrize("run", [fir_filter, fir_filtfilt, fir_zero_phase])
    def test_reset_treats_each_run_as_a_recording(self, run):
        x = noise(3, 300)
        x[1, [0, 150, 151]] = np.nan
        y = run(LOWPASS, x, nonfinite="reset")
        np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
        np.testing.assert_array_equal(y[1, 1:150], run(LOWPASS, x[1, 1:150]))
        np.testing.assert_array_equal(y[1, 152:], run(LOWPASS, x[1, 152:]))
        np.testing.assert_array_equal(y[[0, 2]], run(LOWPASS, x[[0, 2]]))

    @pytest.mark.parametrize("run", [fir_filtfilt, fir_zero_phase])
    def test_runs_shorter_than_the_padding_are_filtered_too(self, run):
        x = np.full(200, 3.0)
        x[5] = np.nan
        np.testing.assert_allclose(
            np.delete(run(Firwin(numtaps=21, cutoff=10.0, fs=100.0), x, nonfinite="reset")[20:], []), 3.0
        )
        assert np.isfinite(run(LOWPASS, x, nonfinite="reset")[:5]).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fir_filter([], np.zeros(3)), DataError, "taps must be a row of real numbers"),
        (lambda: fir_filter([[1.0]], np.zeros(3)), DataError, "taps must be a row of real numbers"),
        (
            lambda: fir_filter([1.0, 1.0], np.zeros((3, 2)), zi=np.zeros(1)),
            DataError,
            r"zi must have shape \(3, 1\), got \(1,\)",
        ),
        (lambda: fir_filter([1.0], np.zeros(3), method="fast"), ValueError, "method must be one of 'direct', 'fft'"),
        (lambda: fir_filter([1.0], np.zeros(3), nonfinite="drop"), ValueError, "nonfinite must be one of"),
        (lambda: fir_filter(Butter(order=1, cutoff=1.0, fs=9.0), np.zeros(3)), DataError, "taps must be"),
        (lambda: fir_filtfilt([1.0, 1.0], np.zeros(6)), DataError, "greater than padlen, which is 6, got 6"),
        (lambda: fir_zero_phase(LOWPASS, np.zeros(15)), DataError, "greater than padlen, which is 15"),
    ],
)
def test_one_clear_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("function", [fir_filtfilt, fir_zero_phase])
@pytest.mark.parametrize("padtype", ["odd", "even", "constant", None])
@pytest.mark.parametrize("method", ["direct", "fft"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_gradients_of_the_filters_without_delay(function, padtype, method, dtype):
    taps = np.array([0.25, 0.5, 0.25])
    x = torch.from_numpy(noise(2, 12)).to(dtype).requires_grad_()
    options = {"padtype": padtype, "method": method, "scale": 0.5, "offset": -3.0}
    y = function(taps, x, **options)
    np.testing.assert_allclose(y.detach(), function(taps, x.detach().numpy(), **options), rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(lambda data: function(taps, data, **options), (x,))
    with torch.no_grad():
        assert not function(taps, x, **options).requires_grad


@pytest.mark.parametrize("function", [fir_filter, fir_filtfilt, fir_zero_phase])
def test_mapped_and_without_data(function):
    taps, x = np.array([0.25, 0.5, 0.25]), torch.from_numpy(noise(3, 12))
    mapped = torch.func.vmap(lambda row: function(taps, row))(x)
    torch.testing.assert_close(mapped, function(taps, x), rtol=0, atol=1e-12)
    assert function(taps, x.to("meta")).shape == (3, 12)


@pytest.mark.parametrize("function", [fir_filtfilt, fir_zero_phase])
def test_gaps_under_autograd(function):
    x = torch.from_numpy(noise(2, 30))
    x[1, 7] = torch.nan
    x.requires_grad_()
    with pytest.raises(NonFinite, match="row 1 is nan at sample 7"):
        function([0.25, 0.5, 0.25], x, nonfinite="raise")
    with pytest.raises(NoRoute, match="requires grad"):
        function([0.25, 0.5, 0.25], x, nonfinite="reset")
