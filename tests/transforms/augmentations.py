"""Every augmentation, with its options, for samples of two channels or more."""

from __future__ import annotations

import numpy as np

from bridgeflow import (
    AddNoise,
    AddRecording,
    BandStop,
    BaselineWander,
    ChannelDropout,
    ChannelShuffle,
    ChannelSymmetry,
    Clip,
    CutMix,
    DropSamples,
    FrequencyMask,
    Gain,
    MainsInterference,
    Mixup,
    OneOf,
    Polarity,
    Quantize,
    RandomApply,
    RandomCrop,
    Reverberate,
    Scale,
    SomeOf,
    Speed,
    TimeMask,
    TimeReverse,
    TimeShift,
    TimeWarp,
    Transform,
)

_rng = np.random.default_rng(3)

AUGMENTATIONS: dict[str, list[Transform]] = {
    "AddNoise": [
        AddNoise(snr_db=(5.0, 30.0)),
        AddNoise(snr_db=10.0, color="pink", per_channel=True),
        AddNoise(snr_db=(0.0, 20.0), color="brown", p=0.5),
    ],
    "AddRecording": [
        AddRecording(recordings=[_rng.standard_normal(n) for n in (10, 500)], snr_db=(0.0, 20.0)),
        AddRecording(recordings=_rng.standard_normal((3, 2, 300)), snr_db=10.0, channels="random", per_channel=True),
    ],
    "BandStop": [BandStop(fs=100.0, center=(5.0, 40.0), width=(2.0, 8.0)), BandStop(fs=100.0, center=20.0, width=4.0)],
    "BaselineWander": [BaselineWander(fs=100.0, amplitude=(0.1, 1.0)), BaselineWander(fs=100.0, amplitude=1.0, p=0.5)],
    "ChannelDropout": [ChannelDropout(rate=0.5), ChannelDropout(rate=0.2, p=0.5)],
    "ChannelShuffle": [ChannelShuffle(), ChannelShuffle(p=0.5)],
    "ChannelSymmetry": [ChannelSymmetry(pairs=((0, 1),)), ChannelSymmetry(pairs=((1, 0),), p=1.0)],
    "Clip": [Clip(at=(0.2, 0.8)), Clip(at=0.5, p=0.5)],
    "DropSamples": [DropSamples(rate=0.3, packet=4), DropSamples(rate=0.3, packet=3, fill="hold")],
    "FrequencyMask": [FrequencyMask(width=(0, 2)), FrequencyMask(width=1, count=2, p=0.5)],
    "Gain": [Gain(db=(-6.0, 6.0)), Gain(db=3.0, p=0.5), Gain(db=3.0, p=0.0)],
    "MainsInterference": [
        MainsInterference(fs=500.0, amplitude=(0.1, 1.0)),
        MainsInterference(fs=500.0, amplitude=1.0, frequency=(59.5, 60.5), harmonics=3),
    ],
    "OneOf": [
        OneOf(transforms=(Gain(db=6.0), Polarity(), TimeShift(max_shift=5))),
        OneOf(transforms=(TimeReverse(), TimeShift(max_shift=5, mode="zero")), weights=(1.0, 3.0), p=0.7),
    ],
    "Polarity": [Polarity(), Polarity(p=1.0)],
    "Quantize": [Quantize(bits=(3, 8)), Quantize(bits=4, p=0.5)],
    "RandomApply": [
        RandomApply(transforms=(AddNoise(snr_db=(5.0, 30.0)), Scale(scale=2.0))),
        RandomApply(transforms=(TimeMask(length=5), OneOf(transforms=(TimeReverse(), ChannelShuffle()))), p=0.7),
    ],
    "RandomCrop": [RandomCrop(length=7), RandomCrop(length=20, p=0.5), RandomCrop(length=20, p=0.0)],
    "Reverberate": [
        Reverberate(responses=[_rng.standard_normal(n) for n in (1, 20, 200)]),
        Reverberate(responses=[[0.1, 1.0, 0.5]], wet=(0.2, 0.8), align=True, keep_power=True, p=0.5),
    ],
    "SomeOf": [
        SomeOf(transforms=(Gain(db=(-6.0, 6.0)), Polarity(p=1.0), Clip(at=0.5)), n=2),
        SomeOf(transforms=(TimeReverse(p=1.0), TimeMask(length=3), DropSamples(rate=0.1)), n=(0, 3), p=0.9),
    ],
    "Speed": [Speed(), Speed(factors=(0.8, 1.25), p=0.5)],
    "TimeMask": [TimeMask(length=(0, 10)), TimeMask(length=5, count=3, p=0.5)],
    "TimeReverse": [TimeReverse(), TimeReverse(p=1.0)],
    "TimeShift": [TimeShift(max_shift=9), TimeShift(max_shift=9, mode="zero"), TimeShift(max_shift=90, mode="reflect")],
    "TimeWarp": [TimeWarp(), TimeWarp(max_speed=3.0, knots=2, p=0.5)],
}

MIXES: dict[str, list[Transform]] = {
    "CutMix": [CutMix(labels=()), CutMix(labels=(), alpha=0.3, axis=-2, p=0.5)],
    "Mixup": [Mixup(labels=()), Mixup(labels=(), alpha=0.2, p=0.5)],
}
"""Those that mix samples with others of a dataset."""
