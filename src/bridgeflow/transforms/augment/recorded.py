"""Recorded signals put to use: `AddRecording`, `Reverberate`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.policy import parse_word
from bridgeflow.ranges import Rate
from bridgeflow.signal.convolution import fftconvolve
from bridgeflow.transforms.augment.base import Array, Augmentation, Probability
from bridgeflow.transforms.augment.noise import NoiseAtRatio
from bridgeflow.transforms.augment.signal_set import Signals, SignalSet
from bridgeflow.transforms.augment.values import like_values, over_sample, parse_span, spread, uniform
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.row_statistics import power

__all__ = ["AddRecording", "NoiseChannels", "Reverberate"]

NoiseChannels: TypeAlias = Literal["same", "random"]
"""Which channel of a recording is added to a channel: that of its number (the only one to all), or any."""


@dataclass(frozen=True, kw_only=True)
class _WithSignals(Augmentation):
    """An augmentation with signals in a field, which a configuration holds as lists of numbers."""

    signals_field: ClassVar[str]

    def check_shared_fields(self) -> None:
        """The signals as a `SignalSet`, then all that every augmentation checks."""
        name = self.signals_field
        signals = SignalSet.of(getattr(self, name), what=type(self).__name__, field=name)
        object.__setattr__(self, name, signals)
        super().check_shared_fields()

    def to_config(self) -> dict[str, Any]:
        """As of any transform; arrays as lists of numbers.

        Raises:
            ConfigError: recordings, or more than 65,536 numbers.
        """
        ((name, values),) = super().to_config().items()
        signals: SignalSet = getattr(self, self.signals_field)
        return {name: {**values, self.signals_field: signals.plain(what=name, field=self.signals_field)}}


@register
@dataclass(frozen=True, kw_only=True)
class AddRecording(_WithSignals, NoiseAtRatio):
    """Add a stretch of recorded noise at a random signal-to-noise ratio.

    For each sample one recording is drawn, all equally likely, and a place in it, between two gaps. A recording that is
    too short is repeated. What is read depends on seed, epoch and row alone.

    Args:
        recordings: `Recordings`, or arrays [time] or [channels, time] in a list, or one array of them.
        snr_db: power of the signal over that of the noise in dB: a number, or a range `(low, high)` of which each
            sample gets one, uniformly.
        per_channel: a ratio of its own for each channel, of that channel's power; otherwise one for the sample.
        channels: which channel of a recording is added to a channel of the sample: `"same"`, that of its number (of a
            recording with one channel, that one to all); `"random"`, one drawn for each.
        column: of the recordings; `None` for the only one.
        fs: sampling rate of the data in Hz, to which recordings of other rates are resampled; `None` takes their
            samples as they are.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., channels, time] or [time] of any kind; kind, device, shape and dtype stay (integers and booleans become
    float32, wide ones float64). Power is the mean square; NaN and infinity are left out of it, and stay. NaN in a
    recording is 0. A signal of zeros stays as it is, as does one to which zeros are added. Gradients flow, also through
    the power.

    Raises:
        ConfigError: signals, a range or a word that are not such; `to_config` of recordings, which no file can hold.
        DataError: a recording without the column, or with another number of channels than the sample.

    >>> from bridgeflow import seeded
    >>> hum = np.sin(np.arange(500) / 8)
    >>> with seeded(0, rows=7):
    ...     noise = AddRecording(recordings=[hum], snr_db=20)(np.ones((2, 100))) - 1
    >>> round(float(10 * np.log10(1 / np.mean(noise**2))), 6)
    20.0
    """

    signals_field = "recordings"

    recordings: Signals
    channels: NoiseChannels = "same"
    column: str | None = None
    fs: Rate | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_word(self.channels, NoiseChannels, field="AddRecording: channels")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """The stretch of a recording, and its amplitude."""
        amplitudes = self.amplitudes(rng, shape)
        signals: SignalSet = self.recordings
        number = int(rng.integers(len(signals)))
        noise = np.zeros(shape, np.float64 if dtype in ("float64", "complex128") else np.float32)
        if not noise.size:
            return noise, amplitudes
        drawn = signals.stretch(number, shape[-1], rng, column=self.column, fs=self.fs)
        channels = shape[-2] if len(shape) > 1 else 1
        if self.channels == "random":
            rows = rng.integers(len(drawn), size=math.prod(shape[:-1]))
            noise[...] = drawn[rows].reshape(shape)
        elif len(drawn) in (1, channels):
            noise[...] = drawn if len(shape) > 1 else drawn[0]
        else:
            problem = f"recording {number} has {len(drawn)} channels, and the sample {channels}"
            raise DataError(f'AddRecording: {problem}; pick as many, or say channels="random"')
        return noise, amplitudes


@register
@dataclass(frozen=True, kw_only=True)
class Reverberate(_WithSignals):
    """Convolve samples with a random impulse response, of a room, a cable or a transducer; the length stays.

    The result is the first part of `scipy.signal.fftconvolve(x, response)`, as long as the sample.

    Args:
        responses: arrays [taps] or [channels, taps] in a list, one array of them, or `Recordings`; each sample gets
            one, all equally likely. One with several channels has one for each channel of the sample.
        wet: the part of the result that is convolved, the rest is the sample itself: a number from 0 to 1, or a range
            `(low, high)`.
        align: leave out what comes before the largest tap, so that the direct sound is not delayed.
        keep_power: give the result the power of the sample.
        column: of recordings; `None` for the only one.
        fs: sampling rate of the data in Hz, to which recordings of other rates are resampled; `None` takes their
            samples as they are.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., channels, time] or [time] of any kind; kind, device, shape and dtype stay (integers and booleans become
    float32, wide ones float64). Gradients flow.

    Raises:
        ConfigError: responses or a range that are not such; `to_config` of recordings, which no file can hold.
        DataError: a response with another number of channels than the sample.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     Reverberate(responses=[[1.0, 0.0, 0.5]])(np.array([1.0, 0.0, 0.0, 2.0])).round(9)
    array([1. , 0. , 0.5, 2. ])
    """

    signals_field = "responses"

    responses: Signals
    wet: Probability | tuple[Probability, Probability] = 1.0
    align: bool = False
    keep_power: bool = False
    column: str | None = None
    fs: Rate | None = None

    def __post_init__(self) -> None:
        parse_span(self.wet, what="Reverberate", field="wet", least=0)
        for name in ("align", "keep_power"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"Reverberate: {name} must be a bool, got {getattr(self, name)!r}", field=name)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """The number of the response, and how much of it is heard."""
        return int(rng.integers(len(self.responses))), uniform(rng, self.wet)

    def augment(self, x: Any, *draws: Array) -> Any:
        """The signals, convolved; row by row, so that a batch has the bits of its samples."""
        if 0 in x.shape:
            return self.untouched(x)
        xp: Any = np if isinstance(x, np.ndarray) else loaded("torch")
        convolved = xp.stack([self._convolved(row, int(number)) for row, number in zip(x, draws[0], strict=True)])
        if (draws[1] != 1).any():
            wet = like_values(draws[1], x)
            convolved = x * (1 - wet) + convolved * wet
        if self.keep_power:
            before, after = (spread(power(over_sample(one))[..., 0], x) for one in (x, convolved))
            ratio = before / (after + (after == 0))
            convolved = convolved * xp.sqrt(ratio + (ratio == 0)) * (ratio > 0)
        return convolved

    def _convolved(self, x: Any, number: int) -> Any:
        response = self._response(number)
        channels = x.shape[-2] if x.ndim > 1 else 1
        if len(response) not in (1, channels):
            problem = f"response {number} has {len(response)} channels, and the sample {channels}"
            raise DataError(f"Reverberate: {problem}; pick one, or as many")
        taps = response[:, : x.shape[-1]].reshape((1,) * max(x.ndim - 2, 0) + response[:, : x.shape[-1]].shape)
        taps = taps[0] if x.ndim == 1 else taps
        if isinstance(x, np.ndarray):
            return fftconvolve(x, taps.astype(x.real.dtype), axes=-1)[..., : x.shape[-1]]
        torch: Any = loaded("torch")
        values = torch.from_numpy(np.ascontiguousarray(taps, np.float64)).to(device=x.device, dtype=x.real.dtype)
        return fftconvolve(x, values, axes=-1)[..., : x.shape[-1]]

    def _response(self, number: int) -> Array:
        signals: SignalSet = self.responses
        response = signals.whole(number, column=self.column, fs=self.fs)
        return response[:, int(abs(response).max(0).argmax()) :] if self.align else response
