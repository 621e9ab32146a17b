"""What augmentations promise of their results: ratios, spectra, distributions, gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from bridgeflow import (
    AddNoise,
    BandStop,
    BaselineWander,
    ChannelDropout,
    ChannelShuffle,
    ChannelSymmetry,
    Clip,
    DropSamples,
    FrequencyMask,
    Gain,
    MainsInterference,
    OneOf,
    Polarity,
    Quantize,
    RandomApply,
    RandomCrop,
    SomeOf,
    Speed,
    TimeMask,
    TimeReverse,
    TimeShift,
    seeded,
)
from bridgeflow.errors import ConfigError, DataError


def run(transform: Any, x: Any, seed: int = 0) -> Any:
    """The result for a batch of rows 0, 1, ..."""
    with seeded(seed, rows=range(len(x))):
        return transform(x)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape)


def snr(x: np.ndarray, noisy: np.ndarray, axis: Any) -> np.ndarray:
    return 10 * np.log10(np.mean(abs(x) ** 2, axis) / np.mean(abs(noisy - x) ** 2, axis))


class TestAddNoise:
    @pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
    @pytest.mark.parametrize("color", ["white", "pink", "brown"])
    def test_the_ratio_is_reached(self, color: Any, dtype: str):
        x = (noise(50, 4, 500) * np.array([1, 10, 100, 0.1])[:, None]).astype(dtype)
        whole = run(AddNoise(snr_db=12, color=color), x)
        assert whole.dtype == dtype
        assert abs(snr(x, whole, (1, 2)) - 12).max() < 0.1
        alone = run(AddNoise(snr_db=12, color=color, per_channel=True), x)
        assert abs(snr(x, alone, 2) - 12).max() < 0.1

    @pytest.mark.parametrize("per_channel", [False, True])
    def test_ratios_are_uniform_in_the_range(self, per_channel: bool):
        x = noise(1000, 2, 200)
        reached = snr(x, run(AddNoise(snr_db=(5, 30), per_channel=per_channel), x), 2 if per_channel else (1, 2))
        assert stats.kstest(reached.ravel(), stats.uniform(5, 25).cdf).pvalue > 0.01

    @pytest.mark.parametrize(("color", "slope"), [("white", 0.0), ("pink", -3.01), ("brown", -6.02)])
    def test_power_falls_by_the_octave(self, color: Any, slope: float):
        x = np.ones((200, 4096))
        added = run(AddNoise(snr_db=0, color=color), x) - x
        power = (abs(np.fft.rfft(added)) ** 2).mean(0)
        octaves = [10 * np.log10(power[2**k : 2 ** (k + 1)].mean()) for k in range(3, 11)]
        assert np.polyfit(range(8), octaves, 1)[0] == pytest.approx(slope, abs=0.5)

    def test_gaps_stay_and_do_not_spread(self):
        x = noise(1, 2, 100)
        x[0, 0, :10] = np.nan
        made = run(AddNoise(snr_db=10), x)
        assert np.array_equal(np.isnan(made), np.isnan(x))

    def test_silence_stays(self):
        assert not run(AddNoise(snr_db=10), np.zeros((3, 50))).any()
        assert run(AddNoise(snr_db=10), np.zeros((3, 0))).shape == (3, 0)

    def test_channels_are_independent(self):
        x = np.ones((1, 2, 20_000))
        added = (run(AddNoise(snr_db=0), x) - x)[0]
        assert abs(np.corrcoef(added)[0, 1]) < 0.03


def test_gain_is_uniform_in_decibels():
    made = run(Gain(db=(-6, 6)), np.ones((2000, 1)))
    assert stats.kstest(20 * np.log10(made.ravel()), stats.uniform(-6, 12).cdf).pvalue > 0.01


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
def test_it_is_applied_as_often_as_asked(p: float):
    inverted = (run(Polarity(p=p), np.ones((2000, 1))) < 0).sum()
    assert stats.binomtest(int(inverted), 2000, p).pvalue > 0.01


class TestTimeShift:
    def test_shifts_are_uniform(self):
        x = np.zeros((4200, 41))
        x[:, 20] = 1
        places = run(TimeShift(max_shift=10), x).argmax(1) - 20
        counts = np.bincount(places + 10, minlength=21)
        assert len(counts) == 21
        assert stats.chisquare(counts).pvalue > 0.01

    @pytest.mark.parametrize(("mode", "pad"), [("zero", "constant"), ("reflect", "reflect"), ("roll", "wrap")])
    @pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
    def test_modes_are_numpys_padding(self, mode: Any, pad: Any, kind: Callable[[Any], Any]):
        x = np.arange(1, 31).reshape(1, 1, 30).repeat(100, 0)
        made = np.asarray(run(TimeShift(max_shift=20, mode=mode), kind(x)))
        padded = np.pad(np.arange(1, 31), 20, mode=pad)
        possible = {tuple(padded[first : first + 30]) for first in range(41)}
        shown = {tuple(row) for row in made[:, 0].tolist()}
        assert shown <= possible
        assert len(shown) > 25


class TestRandomCrop:
    def test_places_are_uniform(self):
        first = run(RandomCrop(length=10), np.tile(np.arange(20), (3300, 1)))[:, 0]
        assert stats.chisquare(np.bincount(first, minlength=11)).pvalue > 0.01

    def test_too_few_samples_are_refused(self):
        for call in (
            lambda x: run(RandomCrop(length=10), x),
            RandomCrop(length=10).explain,
            RandomCrop(length=10).eval(),
        ):
            with pytest.raises(DataError, match="length=10 needs as many samples, got 9"):
                call(np.zeros((1, 9)))


def test_speed_moves_a_tone():
    fs, x = 1000, np.tile(np.sin(2 * np.pi * 100 * np.arange(2000) / 1000), (40, 1))
    made = run(Speed(factors=(0.8, 1.25)), x)
    tones = abs(np.fft.rfft(made[:, :1500])).argmax(1) * fs / 1500
    assert set(tones.round().tolist()) == {80, 125}
    assert (made[tones > 100][:, 1610:] == 0).all()


class TestMasks:
    def test_lengths_and_places(self):
        masked = run(TimeMask(length=(2, 5)), np.ones((3000, 3, 20))) == 0
        assert (masked.all(1) == masked.any(1)).all()
        assert set(masked[:, 0].sum(1).tolist()) == {2, 3, 4, 5}
        assert stats.chisquare(np.bincount(masked[:, 0].sum(1))[2:]).pvalue > 0.01

    def test_longer_than_the_sample(self):
        assert not run(TimeMask(length=50), np.ones((2, 20))).any()

    def test_bands_are_the_same_at_all_times(self):
        masked = run(FrequencyMask(width=3, count=2), np.ones((50, 4, 30, 5))) == 0
        assert (masked.all((1, 3)) == masked.any((1, 3))).all()
        assert set(masked.all((1, 3)).sum(1).tolist()) == {3, 4, 5, 6}

    def test_packets_are_lost_as_a_whole(self):
        lost = run(DropSamples(rate=0.25, packet=5), np.ones((500, 2, 52))) == 0
        packets = lost[:, 0, :50].reshape(500, 10, 5)
        assert (packets.all(2) == packets.any(2)).all()
        assert stats.binomtest(int(packets[:, :, 0].sum()), 5000, 0.25).pvalue > 0.01

    def test_held_samples_are_the_last_received(self):
        made = run(DropSamples(rate=0.5, packet=1, fill="hold"), np.tile(np.arange(1, 41), (20, 1)))
        assert (np.diff(made, axis=1) >= 0).all()
        assert set(np.unique(made).tolist()) <= set(range(41))

    def test_a_band_is_removed_and_no_other(self):
        t = np.arange(400) / 200
        tones = {f: np.sin(2 * np.pi * f * t) for f in (10, 30, 60)}
        made = run(BandStop(fs=200.0, center=30, width=4), np.tile(sum(tones.values()), (2, 1)))
        np.testing.assert_allclose(made, np.tile(tones[10] + tones[60], (2, 1)), atol=1e-12)


class TestChannels:
    def test_dropped_as_often_as_asked(self):
        dropped = run(ChannelDropout(rate=0.3), np.ones((500, 8, 3))) == 0
        assert (dropped.all(2) == dropped.any(2)).all()
        assert stats.binomtest(int(dropped[..., 0].sum()), 4000, 0.3).pvalue > 0.01

    def test_orders_are_alike(self):
        made = run(ChannelShuffle(), np.tile(np.arange(3)[:, None], (1200, 1, 2)))[:, :, 0]
        _, counts = np.unique(made, axis=0, return_counts=True)
        assert len(counts) == 6
        assert stats.chisquare(counts).pvalue > 0.01

    def test_pairs_change_places(self):
        made = run(ChannelSymmetry(pairs=((0, 3), (1, 2)), p=1), np.arange(5)[None, :, None])
        assert made.ravel().tolist() == [3, 2, 1, 0, 4]

    def test_pairs_beyond_the_channels_are_refused(self):
        for call in (lambda x: run(ChannelSymmetry(pairs=((0, 4),), p=1), x), ChannelSymmetry(pairs=((0, 4),)).explain):
            with pytest.raises(DataError, match="name channel 4, but the axis has 4"):
                call(np.zeros((1, 4, 10)))


class TestInterference:
    def test_wander_is_slow_and_bounded(self):
        drift = run(BaselineWander(fs=100.0, amplitude=2.0, frequency=(0.1, 0.5)), np.zeros((20, 2, 10_000)))
        assert (drift[:, 0] == drift[:, 1]).all()
        assert abs(drift).max() <= 2
        power = abs(np.fft.rfft(drift[:, 0] * np.hanning(10_000))) ** 2
        assert power[:, :60].sum() / power.sum() > 0.999

    def test_mains_have_their_harmonics_below_half_the_rate(self):
        made = run(MainsInterference(fs=400.0, amplitude=1.0, frequency=60.0, harmonics=5), np.zeros((3, 400)))
        size = abs(np.fft.rfft(made)) / 200
        for order in (1, 2, 3):
            np.testing.assert_allclose(size[:, 60 * order], 1 / order, atol=1e-9)
        assert (size > 1e-6).sum() == 9


class TestAmplitude:
    def test_clip_limits_to_a_part_of_the_peak(self):
        x = noise(20, 3, 100)
        made = run(Clip(at=0.5), x)
        limit = abs(x).max((1, 2), keepdims=True) / 2
        np.testing.assert_array_equal(made, x.clip(-limit, limit))

    def test_quantize_has_as_many_steps(self):
        made = run(Quantize(bits=3), noise(1, 5000))
        assert len(np.unique(made.round(9))) <= 9
        assert abs(made - noise(1, 5000)).max() <= abs(noise(1, 5000)).max() / 8 + 1e-12

    @pytest.mark.parametrize("transform", [Clip(at=0.5), Quantize(bits=3)], ids=repr)
    def test_complex_numbers_are_refused(self, transform: Any):
        with pytest.raises(DataError, match="complex numbers have no order"):
            run(transform, noise(2, 30) + 1j)


class TestChoices:
    def test_one_of_draws_by_weight(self):
        choice = OneOf(transforms=(Gain(db=20), Gain(db=40), Gain(db=60)), weights=(1, 2, 5))
        made = np.log10(run(choice, np.ones((4000, 1)))).round().astype(int).ravel()
        assert stats.chisquare(np.bincount(made)[1:], [500, 1000, 2500]).pvalue > 0.01

    def test_some_of_draws_how_many(self):
        choice = SomeOf(transforms=tuple(Gain(db=20.0 * 2**k) for k in range(3)), n=(1, 2))
        made = np.log10(run(choice, np.ones((3000, 1)))).round().astype(int).ravel()
        counts = np.bincount(made, minlength=8)
        assert counts[[0, 7]].tolist() == [0, 0]
        assert stats.chisquare(counts[1:7], [500] * 6).pvalue > 0.01

    def test_all_or_nothing(self):
        made = run(RandomApply(transforms=(Gain(db=20), Gain(db=20)), p=0.3), np.ones((2000, 1))).round().ravel()
        assert set(made.tolist()) == {1, 100}
        assert stats.binomtest(int((made == 100).sum()), 2000, 0.3).pvalue > 0.01

    def test_what_changes_the_shape_stays_outside(self):
        for call in (
            lambda x: run(OneOf(transforms=(RandomCrop(length=3),)), x),
            OneOf(transforms=(RandomCrop(length=3),)).explain,
        ):
            with pytest.raises(ConfigError, match="RandomCrop changes the shape"):
                call(np.zeros((2, 30)))

    def test_integers_become_floats_where_one_makes_them_so(self):
        counts = np.ones((40, 10), "int16")
        assert run(OneOf(transforms=(TimeReverse(), TimeShift(max_shift=2))), counts).dtype == "int16"
        assert run(OneOf(transforms=(TimeReverse(), Gain(db=3))), counts).dtype == "float32"


DIFFERENTIABLE = [
    AddNoise(snr_db=10),
    AddNoise(snr_db=(0, 10), color="pink", per_channel=True),
    AddNoise(snr_db=10, p=0.5),
    Gain(db=(-6, 6)),
    Polarity(),
    TimeReverse(),
    *(TimeShift(max_shift=5, mode=mode) for mode in ("roll", "zero", "reflect")),
    RandomCrop(length=5),
    Speed(factors=(0.8, 1.25)),
    TimeMask(length=4),
    FrequencyMask(width=1),
    DropSamples(rate=0.3, packet=2),
    DropSamples(rate=0.3, packet=2, fill="hold"),
    BandStop(fs=100.0, center=(10, 30), width=10),
    ChannelDropout(rate=0.5),
    ChannelShuffle(),
    ChannelSymmetry(pairs=((0, 1),)),
    Clip(at=0.5),
    BaselineWander(fs=100.0, amplitude=1.0),
    MainsInterference(fs=500.0, amplitude=1.0),
    OneOf(transforms=(Gain(db=6), TimeShift(max_shift=3)), p=0.8),
]


@pytest.mark.parametrize("transform", DIFFERENTIABLE, ids=repr)
def test_gradients(transform: Any):
    x = torch.from_numpy(noise(4, 2, 12)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: run(transform, x), (x,))


@pytest.mark.parametrize("transform", [replace(one, p=0.5) for one in DIFFERENTIABLE], ids=repr)
def test_numpy_and_torch_agree(transform: Any):
    x = noise(9, 3, 40)
    np.testing.assert_allclose(run(transform, torch.from_numpy(x)).numpy(), run(transform, x), atol=1e-12)
