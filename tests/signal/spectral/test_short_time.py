"""`ShortTimeFFT`: SciPy's numbers on every kind of array, and what the transform owes to energy and to its inverse."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.policy import words
from bridgeflow.signal.spectral import FftMode, Padding, ShortTimeFFT

parameters = st.fixed_dictionaries(
    {
        "fft_mode": st.sampled_from(words(FftMode)),
        "mfft": st.sampled_from([None, 20, 21]),
        "phase_shift": st.sampled_from([0, None, 3, -2]),
        "scale_to": st.sampled_from([None, "magnitude", "psd"]),
    }
)


def pair(m, hop, options, fs=10.0):
    assume(options["fft_mode"] != "onesided2X" or options["scale_to"])
    win = np.hanning(m + 2)[1:-1]
    return ShortTimeFFT(win, hop, fs, **options), scipy.signal.ShortTimeFFT(win, hop, fs, **options)


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


# --- SciPy's numbers ---


@given(m=st.integers(4, 17), hop=st.integers(1, 20), options=parameters, padding=st.sampled_from(words(Padding)))
def test_scipys_bits(m, hop, options, padding):
    ours, theirs = pair(m, hop, options)
    x = noise(2, 41)
    S, expected = ours.stft(x, padding=padding), theirs.stft(x, padding=padding)
    if padding == "odd":
        np.testing.assert_allclose(S, expected, atol=1e-13)
    else:
        np.testing.assert_array_equal(S, expected)
    assert ours.invertible == theirs.invertible
    if ours.invertible:
        whole = ours.istft(expected)
        np.testing.assert_array_equal(whole, theirs.istft(expected))
        np.testing.assert_array_equal(ours.istft(expected, 0, 30), theirs.istft(expected, 0, 30))
        np.testing.assert_array_equal(ours.istft(expected, 5, 30), whole[:, 5:30])  # some of these SciPy trips over
    else:
        with pytest.raises(ConfigError, match="not invertible"):
            ours.istft(expected)


@given(options=parameters, detr=st.sampled_from([None, "linear", "constant", np.tanh]))
def test_scipys_spectrograms(options, detr):
    ours, theirs = pair(9, 4, options)
    x, y = noise(2, 3, 50)
    np.testing.assert_allclose(ours.spectrogram(x, detr=detr), theirs.spectrogram(x, detr=detr), atol=1e-12)
    np.testing.assert_allclose(ours.spectrogram(x, y, detr), theirs.spectrogram(x, y, detr), atol=1e-12)
    np.testing.assert_array_equal(ours.spectrogram(x, x), ours.spectrogram(x))


def test_scipys_axes_slices_and_offsets():
    ours, theirs = (make(np.hanning(8), 3, 1.0) for make in (ShortTimeFFT, scipy.signal.ShortTimeFFT))
    x = noise(4, 50, 3)
    for axis in (1, -2):
        S, expected = ours.stft(x, 1, 9, k_offset=2, axis=axis), theirs.stft(x, 1, 9, k_offset=2, axis=axis)
        np.testing.assert_array_equal(S, expected)
        np.testing.assert_array_equal(ours.spectrogram(x, axis=axis), theirs.spectrogram(x, axis=axis))
    for order in [(0, 1, 2), (1, 0, 2), (2, 0, 1), (2, 1, 0)]:
        S = theirs.stft(x[..., 0]).transpose(order)
        axes = {"f_axis": order.index(1), "t_axis": order.index(2)}
        np.testing.assert_array_equal(ours.istft(S, **axes), theirs.istft(S, **axes))
        negative = {name: axis - 3 for name, axis in axes.items()}
        np.testing.assert_array_equal(ours.istft(S, **negative), theirs.istft(S, **negative))


def test_scipys_geometry():
    result = ShortTimeFFT.from_window(("kaiser", 3.0), 100.0, 16, 12, symmetric_win=True, scale_to="psd")
    theirs = scipy.signal.ShortTimeFFT.from_window(("kaiser", 3.0), 100.0, 16, 12, symmetric_win=True, scale_to="psd")
    for name in (
        "f",
        "win",
        "dual_win",
        "p_min",
        "k_min",
        "f_pts",
        "delta_f",
        "delta_t",
        "fac_psd",
        "lower_border_end",
    ):
        np.testing.assert_array_equal(getattr(result, name), getattr(theirs, name))
    np.testing.assert_array_equal(result.t(50), theirs.t(50))
    assert result.p_max(50) == theirs.p_max(50)
    assert "hop=4" in repr(result)
    with pytest.raises(AttributeError):
        result.nonsense  # noqa: B018


def test_any_of_scipys_can_be_taken():
    dual = scipy.signal.ShortTimeFFT.from_dual(np.hanning(9)[1:-1], 2, 1.0)
    x = noise(40)
    np.testing.assert_array_equal(ShortTimeFFT.of(dual).stft(x), dual.stft(x))


# --- kinds ---


@pytest.mark.parametrize(
    ("dtype", "result"), [("float32", "c8"), ("float16", "c8"), ("float64", "c16"), ("int16", "c16")]
)
def test_kinds_and_precisions(dtype, result):
    sft = ShortTimeFFT.from_window("hann", 100.0, 16, 8)
    x = (100 * noise(2, 60)).astype(dtype)
    S = sft.stft(x)
    assert S.dtype == result
    double = sft.stft(x.astype("float64"))
    np.testing.assert_allclose(S, double, rtol=0, atol=np.abs(double).max() * (1e-6 if result == "c8" else 1e-15))
    assert sft.spectrogram(x).dtype == np.dtype(result).type().real.dtype
    tensor = sft.stft(torch.from_numpy(x))
    np.testing.assert_array_equal(tensor.numpy(), S)
    np.testing.assert_array_equal(sft.istft(tensor).numpy(), sft.istft(S))
    rows = sft.spectrogram(pa.array(x[0]))
    assert kind_of(rows) == "arrow"
    np.testing.assert_array_equal(to_numpy(rows), sft.spectrogram(x[0]))


def test_bfloat16_becomes_single():
    sft = ShortTimeFFT.from_window("hann", 100.0, 16, 8)
    assert sft.stft(torch.ones(50, dtype=torch.bfloat16)).dtype is torch.complex64
    assert sft.spectrogram(torch.ones(50, dtype=torch.bfloat16)).dtype is torch.float32


@pytest.mark.parametrize("mode", words(FftMode))
def test_gradients(mode):
    sft = ShortTimeFFT(np.hanning(8)[1:-1], 3, 1.0, fft_mode=mode, scale_to="psd", mfft=9)
    x = torch.from_numpy(noise(2, 20)).requires_grad_()
    for detr, padding in [(None, "zeros"), ("linear", "edge"), ("constant", "even"), (None, "odd")]:
        call = partial(sft.spectrogram, detr=detr, padding=padding)
        assert torch.autograd.gradcheck(call, (x,), fast_mode=True)
    assert torch.autograd.gradcheck(lambda x: sft.istft(sft.stft(x), k1=20), (x,), fast_mode=True)
    np.testing.assert_allclose(sft.stft(x).detach().numpy(), sft.stft(x.detach().numpy()), atol=1e-12)
    mapped = torch.func.vmap(lambda x: torch.view_as_real(sft.stft(x)))(x.detach())
    np.testing.assert_allclose(torch.view_as_complex(mapped).numpy(), sft.stft(x.detach().numpy()), atol=1e-12)


@pytest.mark.cuda
def test_on_a_gpu():
    sft = ShortTimeFFT.from_window("hann", 100.0, 64, 48)
    x = torch.from_numpy(noise(3, 500).astype("float32"))
    S = sft.stft(x.cuda())
    assert S.device.type == "cuda"
    torch.testing.assert_close(S.cpu(), sft.stft(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sft.istft(S, k1=500).cpu(), x, rtol=1e-4, atol=1e-4)


def test_the_input_is_only_read():
    sft = ShortTimeFFT.from_window("hann", 100.0, 16, 8, fft_mode="onesided2X", scale_to="magnitude")
    x = noise(60)
    x.flags.writeable = False
    S = sft.stft(x)
    S.flags.writeable = False
    sft.istft(S)


# --- physics ---


@pytest.mark.parametrize("window", ["hann", "boxcar", ("kaiser", 8.0), ("tukey", 0.3)])
@pytest.mark.parametrize("hop", [1, 5, 8])
def test_the_inverse_gives_the_recording_back(window, hop):
    for mode in ("onesided", "twosided", "centered"):
        sft = ShortTimeFFT.from_window(window, 100.0, 16, 16 - hop, fft_mode=mode)
        x = noise(3, 101) + (1j * noise(3, 101)[:, ::-1] if mode != "onesided" else 0)
        np.testing.assert_allclose(sft.istft(sft.stft(x), k1=101), x, atol=1e-12)
        single = x.astype("complex64" if mode != "onesided" else "float32")
        back = sft.istft(sft.stft(single), k1=101)
        assert back.dtype == single.dtype
        np.testing.assert_allclose(back, single, atol=1e-5)


def test_parseval():
    """Energy is kept where the squares of the windows add up to one."""
    sft = ShortTimeFFT.from_window("boxcar", 1.0, 16, 0, fft_mode="twosided")
    x = noise(160)
    np.testing.assert_allclose((np.abs(sft.stft(x)) ** 2).sum() / 16, (x**2).sum())


def test_a_tone_shows_its_amplitude():
    sft = ShortTimeFFT.from_window("hann", 100.0, 50, 40, scale_to="magnitude")
    x = 3 * np.sin(2 * np.pi * 10 * np.arange(1000) / 100)
    peak = np.sqrt(sft.spectrogram(x)[:, 40:60])
    np.testing.assert_allclose(2 * peak.max(axis=0), 3.0, rtol=1e-6)
    assert set(sft.f[peak.argmax(axis=0)]) == {10.0}


# --- errors ---


def test_refusals():
    sft = ShortTimeFFT.from_window("hann", 100.0, 16, 8)
    for make, message in [
        (lambda: ShortTimeFFT(np.ones((2, 2)), 1, 1.0), "must be 1d"),
        (lambda: ShortTimeFFT(np.ones(4), 0, 1.0), "integer >= 1"),
        (lambda: ShortTimeFFT(np.ones(4), 1, 1.0, mfft=3), "mfft"),
        (lambda: ShortTimeFFT(np.ones(4), 1, 1.0, fft_mode="half"), "fft_mode"),
        (lambda: ShortTimeFFT.from_window("round", 1.0, 4, 2), "'round'"),
    ]:
        with pytest.raises(ConfigError, match=message):
            make()
    for call, message in [
        (lambda: sft.stft(np.ones(7)), r"must be >= ceil\(m_num/2\) = 8"),
        (lambda: sft.stft(1j * np.ones(70)), "Complex-valued `x` not allowed for self.fft_mode='onesided'"),
        (lambda: sft.stft(np.ones(70), 5, 2), "p0"),
        (lambda: sft.istft(np.ones((9,))), "an axis of frequency and one of slices"),
        (lambda: sft.istft(np.ones((8, 5))), r"S.shape\[f_axis\]=8 must be equal to self.f_pts=9"),
        (lambda: sft.istft(np.ones((9, 1))), r"S.shape\[t_axis\]=1 needs to have at least 2 slices"),
        (lambda: sft.istft(np.ones((9, 5)), k1=100), r"\(k1=100\) <= \(k_max=40\) is false"),
    ]:
        with pytest.raises(DataError, match=message):
            call()
    with pytest.raises(ValueError, match="padding must be one of 'zeros'"):
        sft.stft(np.ones(70), padding="zero")


@pytest.mark.parametrize("padding", words(Padding))
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_counts_have_the_spectrum_of_the_same_numbers(dtype, padding):
    """Full scale, so that what is mirrored upside down fits no integer of that type."""
    info = np.iinfo(dtype) if dtype != "bool" else None
    rng = np.random.default_rng(0)
    low, high = (0, 2) if info is None else (max(info.min, -(1 << 52)), min(info.max, 1 << 52))
    x = rng.integers(low, high, (2, 100), dtype="int64").astype(dtype)
    sft = ShortTimeFFT(np.hanning(18)[1:-1], 8, 10.0)
    expected = sft.stft_detrend(x.astype("float64"), "constant", padding=padding)
    np.testing.assert_array_equal(sft.stft_detrend(x, "constant", padding=padding), expected)
    result = sft.stft_detrend(torch.from_numpy(x), "constant", padding=padding)
    np.testing.assert_array_equal(result.numpy(), expected)
