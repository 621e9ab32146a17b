"""Qualities of resampling: what the filters promise, for tabled and for computed taps, whole and in pieces."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.errors import ConfigError, DataError
from bridgeflow.signal import Resampler
from bridgeflow.signal.resampling import cpu, rate_ratio
from bridgeflow.signal.resampling.between import Between
from bridgeflow.signal.resampling.polyphase import Polyphase, lowpass
from bridgeflow.signal.resampling.quality import GRADES, polyphase_taps
from bridgeflow.signal.resampling.stream import places_of
from bridgeflow.spec import ArraySpec
from tests.signal.chunks import recording

QUALITIES = list(GRADES)
RATIOS = [(1, 2), (3, 1), (4, 3), (4, 5), (7, 1), (25, 36), (147, 160), (160, 441), (1, 50)]
ODD = rate_ratio(44100, 44098.7654321, any_ratio=True)
"""A ratio with too many phases for a table."""


def tone(frequency, rate, samples):
    return np.cos(2 * np.pi * frequency * np.arange(samples) / rate + 0.3)


# --- what is promised ---


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize(("up", "down"), RATIOS)
def test_the_band_is_kept_and_the_rest_is_stopped(quality, up, down):
    grade, slower = GRADES[quality], max(up, down)
    taps, centre = polyphase_taps(quality, up, down)
    np.testing.assert_array_equal(taps, taps[::-1])
    assert centre == (len(taps) - 1) // 2
    frequencies, response = scipy.signal.freqz(taps, worN=1 << 19)
    frequencies, gain = frequencies / np.pi * slower, np.abs(response)
    kept = 20 * np.log10(gain[frequencies <= grade.pass_band])
    assert np.abs(kept).max() < (grade.ripple if grade.ripple > 0.001 else 0.001)
    assert 20 * np.log10(gain[frequencies >= 1].max()) < -grade.attenuation
    assert gain[0] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("to_hz", [16000, 44098.7654321, 48000 * 2**0.5], ids=["lower", "nearly", "irrational"])
def test_tones(quality, to_hz):
    from_hz, samples = 44100, 30_000
    up, down = rate_ratio(from_hz, to_hz, any_ratio=True)
    resampler, grade = Resampler(up=up, down=down, quality=quality), GRADES[quality]
    nyquist = min(from_hz, to_hz) / 2
    for part in (0.01, 0.5, grade.pass_band):
        y = resampler(tone(part * nyquist, from_hz, samples))
        inside = slice(len(y) // 4, -len(y) // 4)
        error = np.abs(y - tone(part * nyquist, to_hz, len(y)))[inside].max()
        assert error < 10 ** (grade.ripple / 20) - 1 + 10 ** (-grade.attenuation / 20)
    if to_hz < from_hz - 1000:
        for part in (1.0, 1.3, 2.5):
            y = resampler(tone(part * nyquist, from_hz, samples))
            inside = slice(len(y) // 4, -len(y) // 4)
            assert 10 * np.log10(2 * np.mean(y[inside] ** 2)) < -grade.attenuation + 1


@pytest.mark.parametrize("quality", QUALITIES)
def test_computed_taps_are_the_tabled_ones(quality):
    """Within the bound that between.py states, from the same impulse response."""
    x, bound = recording((2, 1000)), 10 ** (-GRADES[quality].attenuation / 20)
    for up, down in [(147, 160), (36, 25), (160, 441)]:
        taps, centre = polyphase_taps(quality, up, down)
        tabled, computed = Polyphase(up, down, taps, centre, float(up)), Between(up, down, quality)
        outputs = tabled.outputs(1000)
        y, expected = (plan.run_array(x, plan.centre, outputs) for plan in (computed, tabled))
        assert np.abs(y - expected).max() < bound * np.abs(x).max()


def test_a_level_stays():
    for quality in QUALITIES:
        for up, down in [(147, 160), (2, 1), ODD]:
            y = Resampler(up=up, down=down, quality=quality, padtype="edge")(np.full(500, 3.0))
            images = 10 ** (-GRADES[quality].attenuation / 20)  # of the level, at multiples of the rate
            np.testing.assert_allclose(y, 3.0, rtol=4 * images)


def test_very_high_rounds_single_precision_once():
    x = recording((2, 700), "float32")
    resampler = Resampler(up=147, down=160, quality="very high")
    np.testing.assert_array_equal(resampler(x), resampler(x.astype(np.float64)).astype(np.float32))


# --- engines ---


@given(
    up=st.integers(1, 40),
    down=st.integers(1, 40),
    taps=st.integers(1, 90),
    rows=st.integers(0, 30),
    samples=st.integers(0, 150),
    outputs=st.integers(0, 400),
    first=st.integers(-50, 120),
    dtype=st.sampled_from(["float32", "float64"]),
    data=st.data(),
)
def test_rounding_once_gives_the_same_bits_everywhere(up, down, taps, rows, samples, outputs, first, dtype, data):
    up, down = up // math.gcd(up, down), down // math.gcd(up, down)
    phase = data.draw(st.integers(0, up - 1))
    x, table = recording((rows, samples), dtype), recording((up, taps), dtype)
    job = {"phase": phase, "first": first, "outputs": outputs, "fused": True}
    results = [cpu.run_native(x, table, up, down, isa=isa, **job) for isa in cpu.instruction_sets()]
    for y in results:
        np.testing.assert_array_equal(y, results[0])
    exact = cpu.run_scipy(
        x.astype(np.float64), table.astype(np.float64), up, down, phase=phase, first=first, outputs=outputs
    )
    for y in results:
        tolerance = 1e-4 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(y, exact, rtol=0, atol=tolerance * max(1.0, np.abs(exact).max(initial=0)))


@given(
    up=st.integers(1, 1 << 40),
    down=st.integers(1, 1 << 40),
    blocks=st.integers(1, 6),
    rows=st.integers(0, 5),
    samples=st.integers(0, 150),
    outputs=st.integers(0, 120),
    dtype=st.sampled_from(["float32", "float64"]),
    data=st.data(),
)
def test_computed_taps_give_the_same_bits_everywhere(up, down, blocks, rows, samples, outputs, dtype, data):
    down = min(down, 50 * up)
    phase, first = data.draw(st.integers(0, up - 1)), data.draw(st.integers(-100, 200))
    x, table = recording((rows, samples), dtype), recording((3, 4, 16 * blocks), dtype)
    job = {"phase": phase, "first": first, "outputs": outputs}
    results = [cpu.run_between(x, table, up, down, isa=isa, **job) for isa in cpu.instruction_sets()]
    for y in results:
        np.testing.assert_array_equal(y, results[0])
    weights, offsets = cpu.weights_between(table.astype(np.float64), up, down, phase, outputs)
    padded = np.pad(x.astype(np.float64), [(0, 0), (400, 8000)])
    places = (first + offsets[:, np.newaxis] + np.arange(16 * blocks)).clip(-400, samples + 7000) + 400
    exact = (padded[:, places] * weights).sum(-1)
    for y in results:
        tolerance = 1e-4 if dtype == "float32" else 1e-11
        np.testing.assert_allclose(y, exact, rtol=0, atol=tolerance * max(1.0, np.abs(exact).max(initial=0)))


@pytest.mark.parametrize("factors", [(147, 160), ODD], ids=["tabled", "computed"])
def test_without_the_kernel(factors, monkeypatch):
    x = recording((2, 900))
    resampler = Resampler(up=factors[0], down=factors[1], quality="high")
    expected = resampler(x)
    monkeypatch.setattr(cpu, "_is_built", False)
    monkeypatch.setattr(cpu, "why_unavailable", lambda name: "")
    np.testing.assert_allclose(resampler(x), expected, rtol=0, atol=1e-12)
    assert resampler(x[:, :0]).shape == (2, 0)


def test_a_row_has_the_same_bits_in_every_batch_and_with_any_number_of_threads():
    x = recording((40, 3000), "float32")
    for up, down in [(147, 160), (3, 1), (1, 3), ODD]:
        resampler = Resampler(up=up, down=down, quality="high")
        y = resampler(x)
        for row in (0, 17, 39):
            np.testing.assert_array_equal(resampler(x[row]), y[row])
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            np.testing.assert_array_equal(resampler(x), y)
        finally:
            torch.set_num_threads(threads)


# --- streams ---


@given(
    cuts=st.lists(st.integers(0, 700), max_size=6),
    factors=st.sampled_from([(147, 160), (2, 1), (1, 3), ODD, (1_000_003, 2_500_001)]),
    quality=st.sampled_from(QUALITIES),
    padtype=st.sampled_from(["constant", "edge"]),
    dtype=st.sampled_from(["float32", "float64", "complex64", "int16"]),
)
def test_any_chunking_gives_the_bits_of_the_whole(cuts, factors, quality, padtype, dtype):
    resampler = Resampler(up=factors[0], down=factors[1], quality=quality, padtype=padtype)
    x = recording((2, 700), dtype)
    state = resampler.init_state(ArraySpec(kind="numpy", dtype=dtype, shape=(2, None)))
    pieces = []
    for piece in np.split(x, sorted(cuts), axis=-1):
        y, state = resampler.step(piece, state)
        pieces.append(y)
    if (y := resampler.flush(state)) is not None:
        pieces.append(y)
    np.testing.assert_array_equal(np.concatenate(pieces, -1), resampler(x))


def test_places_stay_exact_in_a_year_of_recording():
    up, down = ODD
    plan, year = Between(up, down, "high"), 365 * 86400 * 44100
    first, outputs = year * up // down, 4
    start, end = places_of(first, outputs, up, down, plan.centre)
    for i in range(outputs):
        assert int(start[i]) <= Fraction((first + i) * down, up) < int(end[i])


# --- torch ---


@pytest.mark.parametrize("factors", [(147, 160), ODD], ids=["tabled", "computed"])
def test_gradients_and_maps(factors):
    resampler = Resampler(up=factors[0], down=factors[1], quality="medium")
    x = torch.from_numpy(recording((2, 40))).requires_grad_()
    assert torch.autograd.gradcheck(resampler, (x,))
    assert torch.autograd.gradgradcheck(resampler, (x,))
    np.testing.assert_array_equal(resampler(x).detach().numpy(), resampler(x.detach().numpy()))
    torch.testing.assert_close(torch.vmap(resampler)(x), resampler(x))
    z = torch.complex(x.detach(), x.detach().flip(-1)).requires_grad_()
    assert torch.autograd.gradcheck(resampler, (z,))
    fake = torch.empty((3, 400), device="meta")
    assert resampler(fake).shape == (3, -(-400 * factors[0] // factors[1]))


def test_sums_on_a_device_are_those_of_the_kernel():
    from bridgeflow.signal.resampling import torch_ops

    x, plan = torch.from_numpy(recording((2, 300))), Between(*ODD, "high")
    table = torch.from_numpy(plan.tables["float64"])
    y = x.new_zeros((2, 300))
    for part, places, weights in torch_ops._windows(x, table, *ODD, plan.centre, 300):
        y[..., part] = (torch_ops._padded(x, plan.reach)[..., places + plan.reach] * weights).sum(-1)
    np.testing.assert_allclose(y.numpy(), plan.run_array(x.numpy(), plan.centre, 300), rtol=0, atol=1e-12)


# --- refusals ---


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"quality": "best"}, ValueError, "quality must be"),
        ({"quality": "high", "window": "hamming"}, ConfigError, "window is for quality='scipy'"),
        ({"quality": "high", "zero_phase": False}, ConfigError, "zero_phase=False is for quality='scipy'"),
        ({"quality": "high", "up": (1 << 40) + 1}, DataError, "up must be at most"),
        ({"up": (1 << 20) + 1}, DataError, "up must be at most 1048576"),
    ],
    ids=["word", "window", "delay", "factor", "scipys factor"],
)
def test_refusals(options, error, message):
    with pytest.raises(error, match=message):
        Resampler(**{"up": 2, "down": 1} | options)


def test_filters_out_of_proportion():
    with pytest.raises(ConfigError, match="resample in several steps"):
        Resampler(up=3, down=10**6, quality="high")(np.zeros(100))


def test_scipys_filter_is_what_the_page_says():
    plan = lowpass(160, 147, ("kaiser", 5.0))
    frequencies, response = scipy.signal.freqz(plan.taps, worN=1 << 18)
    frequencies, gain = frequencies / np.pi * 160, 20 * np.log10(np.abs(response) + 1e-30)
    assert np.abs(gain[frequencies <= 0.85]).max() < 0.06
    assert gain[frequencies >= 1].max() < -6
    assert gain[frequencies >= 1.2].max() < -55
