"""What augmentations promise of their results: ratios, spectra, distributions, gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import interpolate, signal, stats

from bridgeflow import (
    AddNoise,
    AddRecording,
    BandStop,
    BaselineWander,
    ChannelDropout,
    ChannelShuffle,
    ChannelSymmetry,
    Clip,
    Compose,
    DropSamples,
    FrequencyMask,
    Gain,
    MainsInterference,
    OneOf,
    Polarity,
    Quantize,
    RandomApply,
    RandomCrop,
    Recordings,
    Reverberate,
    SignalDataset,
    SomeOf,
    Speed,
    TimeMask,
    TimeReverse,
    TimeShift,
    TimeWarp,
    Window,
    seeded,
)
from bridgeflow.errors import ConfigError, DataError
from tests.transforms.augmentations import AUGMENTATIONS


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
        actual = run(AddNoise(snr_db=10), x)
        assert np.array_equal(np.isnan(actual), np.isnan(x))

    def test_silence_stays(self):
        assert not run(AddNoise(snr_db=10), np.zeros((3, 50))).any()
        assert run(AddNoise(snr_db=10), np.zeros((3, 0))).shape == (3, 0)

    def test_channels_are_independent(self):
        x = np.ones((1, 2, 20_000))
        added = (run(AddNoise(snr_db=0), x) - x)[0]
        assert abs(np.corrcoef(added)[0, 1]) < 0.03


class TestAddRecording:
    ramp = np.arange(1000.0) - 500

    def test_the_ratio_is_reached_on_average(self):
        x = noise(1000, 2, 200)
        actual = run(AddRecording(recordings=noise(5, 3000), snr_db=(5, 30)), x)
        reached = snr(x, actual, (1, 2))
        assert abs(reached.mean() - 17.5) < 5 * 25 / 12**0.5 / 1000**0.5
        assert stats.kstest(reached, stats.uniform(5, 25).cdf).pvalue > 0.01
        alone = run(AddRecording(recordings=noise(5, 2, 3000), snr_db=12, per_channel=True), x)
        assert abs(snr(x, alone, 2) - 12).max() < 1e-9

    def test_recordings_and_places_are_uniform(self):
        x = np.ones((4000, 10))
        added = run(AddRecording(recordings=[self.ramp[:30], self.ramp[500:530]], snr_db=0), x) - x
        scale = np.diff(added).mean(1)  # one step of the ramp
        first = (added[:, 0] / scale).round().astype(int)
        second = first > -100
        assert stats.binomtest(int(second.sum()), 4000, 0.5).pvalue > 0.01
        assert stats.chisquare(np.bincount(first[second], minlength=21)).pvalue > 0.01

    def test_short_ones_are_repeated(self):
        added = run(AddRecording(recordings=[[1.0, 2.0, 4.0]], snr_db=0), np.ones((50, 7))) - 1
        assert {tuple((row / row.min()).round(9).tolist()) for row in added} == {
            tuple(np.roll([1.0, 2.0, 4.0], -first)[np.arange(7) % 3].tolist()) for first in range(3)
        }

    def test_of_recordings_between_gaps(self):
        values = np.stack([self.ramp, 2 * self.ramp])
        index = Recordings.from_arrays([values], fs=100, segments=[(0, 12), (500, 515)])
        added = run(AddRecording(recordings=index, snr_db=0), np.ones((300, 2, 10))) - 1
        first = (added[:, 0, 0] / np.diff(added[:, 0]).mean(1)).round().astype(int) + 500
        assert set(first.tolist()) == {*range(3), *range(500, 506)}
        np.testing.assert_allclose(added[:, 1], 2 * added[:, 0], rtol=1e-9)

    def test_of_another_rate(self):
        tone = np.sin(2 * np.pi * 10 * np.arange(4000) / 400)
        index = Recordings.from_arrays([tone], fs=400)
        added = run(AddRecording(recordings=index, snr_db=0, fs=100.0), np.ones((20, 400))) - 1
        assert (abs(np.fft.rfft(added)).argmax(1) == 40).all()

    def test_channels(self):
        x, two = np.ones((50, 3, 20)), np.stack([self.ramp[500:], -self.ramp[500:]])
        with pytest.raises(DataError, match=r'has 2 channels, and the sample 3.*"random"'):
            run(AddRecording(recordings=[two], snr_db=0), x)
        slopes = np.sign(np.diff(run(AddRecording(recordings=[two], snr_db=0, channels="random"), x)).mean(2))
        assert len(np.unique(slopes, axis=0)) == 8

    def test_columns_and_rates_of_recordings(self):
        index = Recordings.from_arrays([{"a": np.ones((1, 50)), "b": np.ones((2, 50))}], fs=10)
        with pytest.raises(DataError, match="columns a, b; say column="):
            run(AddRecording(recordings=index, snr_db=0), np.ones((1, 20)))
        with pytest.raises(DataError, match="no column 'c'"):
            run(AddRecording(recordings=index, snr_db=0, column="c"), np.ones((1, 20)))
        assert run(AddRecording(recordings=index, snr_db=0, column="a"), np.ones((1, 20))).shape == (1, 20)
        with pytest.raises(ConfigError, match="no configuration can hold"):
            AddRecording(recordings=index, snr_db=0).to_config()
        with pytest.raises(ConfigError, match="too many for a configuration"):
            AddRecording(recordings=np.zeros((2, 40_000)), snr_db=0).to_config()


class TestReverberate:
    responses = (np.array([1.0]), np.random.default_rng(5).standard_normal(30), np.exp(-np.arange(300) / 50))

    @pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
    def test_is_scipys_convolution(self, kind: Callable[[Any], Any]):
        x = noise(30, 2, 100)
        actual = np.asarray(run(Reverberate(responses=self.responses), kind(x)))
        drawn = [
            [np.allclose(row, signal.fftconvolve(one, h[None], axes=-1)[:, :100], atol=1e-9) for h in self.responses]
            for row, one in zip(actual, x, strict=True)
        ]
        assert (np.sum(drawn, 1) == 1).all()
        assert np.sum(drawn, 0).min() > 3

    def test_a_response_for_each_channel(self):
        x, h = noise(3, 2, 50), noise(2, 9)
        actual = run(Reverberate(responses=[h]), x)
        np.testing.assert_allclose(actual, signal.fftconvolve(x, h[None], axes=-1)[..., :50], atol=1e-12)
        with pytest.raises(DataError, match="has 2 channels, and the sample 3"):
            run(Reverberate(responses=[h]), noise(1, 3, 50))

    def test_parts_power_and_delay(self):
        x = noise(4, 2, 50)
        np.testing.assert_allclose(run(Reverberate(responses=[[0.0, 0.0, 2.0]], align=True), x), 2 * x, atol=1e-12)
        np.testing.assert_allclose(run(Reverberate(responses=[[2.0]], wet=0.25), x), 1.25 * x, atol=1e-12)
        actual = run(Reverberate(responses=[noise(20)], keep_power=True), x)
        np.testing.assert_allclose((actual**2).mean((1, 2)), (x**2).mean((1, 2)))


class TestTimeWarp:
    def places(self, transform: TimeWarp, rows: int, samples: int) -> np.ndarray:
        """Where samples come from: what becomes of the time itself, which the cubic reproduces."""
        return run(transform, np.tile(np.arange(float(samples)), (rows, 1)))

    def test_ends_stay_and_time_runs_forward(self):
        places = self.places(TimeWarp(max_speed=2.0, knots=6), 200, 500)
        np.testing.assert_allclose(places[:, [0, -1]], [[0, 499]] * 200, atol=1e-9)
        speeds = np.diff(places, axis=1)
        assert speeds.min() > 0
        assert (speeds.max(1) / speeds.min(1)).max() < 2.0**2 * 1.01
        assert (speeds.max(1) / speeds.min(1)).mean() > 2
        assert abs(np.diff(places, 2)).max() < 0.05

    def test_speeds_at_the_knots_are_uniform_in_their_logarithm(self):
        speeds = np.diff(self.places(TimeWarp(max_speed=2.0, knots=2), 1000, 401))
        ratio = np.log(speeds[:, -1] / speeds[:, 0]) / np.log(2)
        assert stats.kstest(ratio, stats.triang(0.5, -2, 4).cdf).pvalue > 0.01

    def test_between_samples_it_is_the_cubic_spline_of_catmull_and_rom(self):
        x, transform = noise(60), TimeWarp(max_speed=3.0)
        (places,), actual = self.places(transform, 1, 60), run(transform, x[None])[0]
        cubic = interpolate.CubicHermiteSpline(np.arange(60), x, np.gradient(x))
        np.testing.assert_allclose(actual, cubic(places), atol=1e-9)

    def test_no_change(self):
        x = noise(3, 2, 50)
        np.testing.assert_allclose(run(TimeWarp(max_speed=1.0), x), x, atol=1e-9)
        assert run(TimeWarp(), noise(3, 1)).shape == (3, 1)


def test_gain_is_uniform_in_decibels():
    actual = run(Gain(db=(-6, 6)), np.ones((2000, 1)))
    assert stats.kstest(20 * np.log10(actual.ravel()), stats.uniform(-6, 12).cdf).pvalue > 0.01


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
        actual = np.asarray(run(TimeShift(max_shift=20, mode=mode), kind(x)))
        padded = np.pad(np.arange(1, 31), 20, mode=pad)
        possible = {tuple(padded[first : first + 30]) for first in range(41)}
        shown = {tuple(row) for row in actual[:, 0].tolist()}
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
    actual = run(Speed(factors=(0.8, 1.25)), x)
    tones = abs(np.fft.rfft(actual[:, :1500])).argmax(1) * fs / 1500
    assert set(tones.round().tolist()) == {80, 125}
    assert (actual[tones > 100][:, 1610:] == 0).all()


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
        actual = run(DropSamples(rate=0.5, packet=1, fill="hold"), np.tile(np.arange(1, 41), (20, 1)))
        assert (np.diff(actual, axis=1) >= 0).all()
        assert set(np.unique(actual).tolist()) <= set(range(41))

    def test_a_band_is_removed_and_no_other(self):
        t = np.arange(400) / 200
        tones = {f: np.sin(2 * np.pi * f * t) for f in (10, 30, 60)}
        actual = run(BandStop(fs=200.0, center=30, width=4), np.tile(sum(tones.values()), (2, 1)))
        np.testing.assert_allclose(actual, np.tile(tones[10] + tones[60], (2, 1)), atol=1e-12)


class TestChannels:
    def test_dropped_as_often_as_asked(self):
        dropped = run(ChannelDropout(rate=0.3), np.ones((500, 8, 3))) == 0
        assert (dropped.all(2) == dropped.any(2)).all()
        assert stats.binomtest(int(dropped[..., 0].sum()), 4000, 0.3).pvalue > 0.01

    def test_orders_are_alike(self):
        actual = run(ChannelShuffle(), np.tile(np.arange(3)[:, None], (1200, 1, 2)))[:, :, 0]
        _, counts = np.unique(actual, axis=0, return_counts=True)
        assert len(counts) == 6
        assert stats.chisquare(counts).pvalue > 0.01

    def test_pairs_change_places(self):
        actual = run(ChannelSymmetry(pairs=((0, 3), (1, 2)), p=1), np.arange(5)[None, :, None])
        assert actual.ravel().tolist() == [3, 2, 1, 0, 4]

    def test_pairs_by_name(self):
        named = ChannelSymmetry(pairs=[("a", "d"), ("b", "c")], channels=tuple("abcde"), p=1)
        assert run(named, np.arange(5)[None, :, None]).ravel().tolist() == [3, 2, 1, 0, 4]
        with pytest.raises(DataError, match="channels has 5 names, but the axis has 4"):
            run(named, np.zeros((1, 4, 10)))
        for call in (lambda x: run(replace(named, channels=None), x), replace(named, channels=None).explain):
            with pytest.raises(ConfigError, match="pairs are names, and those of the channels are not known"):
                call(np.zeros((1, 5, 10)))

    def test_names_of_the_recordings(self):
        transform = [Window(length=10), ChannelSymmetry(pairs=[("C3", "C4")], p=1)]
        arrays = [np.tile(np.arange(3)[:, None], (1, 40)) + 10 * number for number in range(2)]
        index = Recordings.from_arrays(arrays, fs=10, channels=("C3", "Cz", "C4"))
        batch = SignalDataset(index, Compose(transform)).batch([0, 7])["signal"]
        assert batch[:, :, 0].tolist() == [[2, 1, 0], [12, 11, 10]]
        other = Recordings([index[0], index[1].pick(("Cz", "C3", "C4"))])
        with pytest.raises(ConfigError, match="those of the channels are not known"):
            SignalDataset(other, Compose(transform)).batch([0])

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
        actual = run(MainsInterference(fs=400.0, amplitude=1.0, frequency=60.0, harmonics=5), np.zeros((3, 400)))
        size = abs(np.fft.rfft(actual)) / 200
        for order in (1, 2, 3):
            np.testing.assert_allclose(size[:, 60 * order], 1 / order, atol=1e-9)
        assert (size > 1e-6).sum() == 9


class TestAmplitude:
    def test_clip_limits_to_a_part_of_the_peak(self):
        x = noise(20, 3, 100)
        actual = run(Clip(at=0.5), x)
        limit = abs(x).max((1, 2), keepdims=True) / 2
        np.testing.assert_array_equal(actual, x.clip(-limit, limit))

    def test_quantize_has_as_many_steps(self):
        actual = run(Quantize(bits=3), noise(1, 5000))
        assert len(np.unique(actual.round(9))) <= 9
        assert abs(actual - noise(1, 5000)).max() <= abs(noise(1, 5000)).max() / 8 + 1e-12

    @pytest.mark.parametrize("transform", [Clip(at=0.5), Quantize(bits=3)], ids=repr)
    def test_complex_numbers_are_refused(self, transform: Any):
        with pytest.raises(DataError, match="complex numbers have no order"):
            run(transform, noise(2, 30) + 1j)


class TestChoices:
    def test_one_of_draws_by_weight(self):
        choice = OneOf(transforms=(Gain(db=20), Gain(db=40), Gain(db=60)), weights=(1, 2, 5))
        actual = np.log10(run(choice, np.ones((4000, 1)))).round().astype(int).ravel()
        assert stats.chisquare(np.bincount(actual)[1:], [500, 1000, 2500]).pvalue > 0.01

    def test_some_of_draws_how_many(self):
        choice = SomeOf(transforms=tuple(Gain(db=20.0 * 2**k) for k in range(3)), n=(1, 2))
        actual = np.log10(run(choice, np.ones((3000, 1)))).round().astype(int).ravel()
        counts = np.bincount(actual, minlength=8)
        assert counts[[0, 7]].tolist() == [0, 0]
        assert stats.chisquare(counts[1:7], [500] * 6).pvalue > 0.01

    def test_all_or_nothing(self):
        actual = run(RandomApply(transforms=(Gain(db=20), Gain(db=20)), p=0.3), np.ones((2000, 1))).round().ravel()
        assert set(actual.tolist()) == {1, 100}
        assert stats.binomtest(int((actual == 100).sum()), 2000, 0.3).pvalue > 0.01

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


EVERY = [one for name in sorted(AUGMENTATIONS) for one in AUGMENTATIONS[name] if one.random] + [
    *(TimeShift(max_shift=5, mode=mode) for mode in ("roll", "zero", "reflect")),
    DropSamples(rate=0.3, packet=2, fill="hold"),
    Reverberate(responses=[noise(5)], wet=(0.2, 0.8), keep_power=True),
    OneOf(transforms=(Gain(db=6), TimeShift(max_shift=3)), p=0.8),
]
ROUNDED = {"Quantize"}
"""Those whose gradient is 0."""


@pytest.mark.parametrize("transform", EVERY, ids=repr)
def test_gradients(transform: Any):
    x = torch.from_numpy(noise(4, 2, 24)).requires_grad_()
    if type(transform).__name__ in ROUNDED:
        (gradient,) = torch.autograd.grad(run(replace(transform, p=1.0), x).sum(), x)
        largest = abs(x.detach()).amax((1, 2), keepdim=True) == abs(x.detach())
        assert not gradient[~largest].any()
    else:
        assert torch.autograd.gradcheck(lambda x: run(transform, x), (x,), fast_mode=True)


@pytest.mark.parametrize("transform", EVERY, ids=repr)
def test_torch_under_autograd_agrees_with_numpy(transform: Any):
    x = noise(9, 3, 40)
    actual = run(transform, torch.from_numpy(x).requires_grad_())
    np.testing.assert_allclose(actual.detach().numpy(), run(transform, x), atol=1e-12)
    np.testing.assert_array_equal(run(transform, torch.from_numpy(x)).numpy(), run(transform, x))
