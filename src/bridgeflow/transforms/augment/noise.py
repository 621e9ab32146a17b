"""Noise and interference added to signals: `AddNoise`, `BaselineWander`, `MainsInterference`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.errors import ConfigError
from bridgeflow.policy import parse_word
from bridgeflow.ranges import Range, Rate
from bridgeflow.signal._memory import empty
from bridgeflow.transforms.augment.base import Array, Augmentation
from bridgeflow.transforms.augment.normal import draw_normal
from bridgeflow.transforms.augment.values import Span, like_values, over_sample, parse_span, spread, uniform
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.row_statistics import power

__all__ = ["AddNoise", "BaselineWander", "Color", "Decibels", "MainsInterference", "NoiseAtRatio"]

Color: TypeAlias = Literal["white", "pink", "brown"]
"""The spectrum of noise: its power falls by 0, 3 or 6 dB per octave."""

_LEAST_SQUARE: Final = 1e-30
"""Mean squares below have lost their digits in float32, as those above its inverse have."""

_PIECE: Final = 4096
"""How many squares are summed at a time."""

_EXPONENT: Final = {"white": 0.0, "pink": 0.5, "brown": 1.0}

Decibels: TypeAlias = Annotated[float, Range(-300, 300)]
"""A ratio in dB."""


@dataclass(frozen=True, kw_only=True)
class NoiseAtRatio(Augmentation):
    """Noise added at a random signal-to-noise ratio; `draw_rows` gives the noise, and its amplitude for a signal and
    noise of power 1.
    """

    snr_db: Decibels | tuple[Decibels, Decibels]
    per_channel: bool = False

    def __post_init__(self) -> None:
        name = type(self).__name__
        parse_span(self.snr_db, what=name, field="snr_db")
        if not isinstance(self.per_channel, bool):
            raise ConfigError(f"{name}: per_channel must be a bool, got {self.per_channel!r}", field="per_channel")

    def amplitudes(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """The root of the power of the noise over that of the signal, as an array of as many axes as the sample."""
        channels = math.prod(shape[:-1]) if self.per_channel else 1
        drawn = [10.0 ** (-uniform(rng, self.snr_db) / 20) for _ in range(channels)]
        return np.array(drawn).reshape((*shape[:-1], 1) if self.per_channel else (1,) * len(shape))

    def augment(self, x: Any, *draws: Array) -> Any:
        """The signal and its noise."""
        noise, amplitudes = draws
        if 0 in x.shape:
            return self.untouched(x)
        noise_level = self._power(noise)
        amplitudes = amplitudes / np.sqrt(noise_level + (noise_level == 0), dtype=np.float64)
        if isinstance(x, np.ndarray):
            noise = noise.astype(x.dtype, copy=False)
            noise *= (amplitudes * np.sqrt(self._power(x), dtype=np.float64)).astype(x.real.dtype)
            noise += x
            return noise
        level = power(x if self.per_channel else over_sample(x))
        level = level if self.per_channel else spread(level[..., 0], x)
        safe = level + (level == 0)  # the root of 0 has no gradient
        torch: Any = loaded("torch")
        noise = torch.from_numpy(noise).to(device=x.device, dtype=x.dtype)
        return x + safe.sqrt() * (level > 0) * like_values(amplitudes, x) * noise

    def _power(self, x: Array) -> Array:
        """The mean square of each row or channel; NaN and infinity are left out.

        In the type of the data, and in float64 where that is too narrow.
        """
        rows: Array = np.ascontiguousarray(x if self.per_channel else over_sample(x))
        level: Array
        if rows.dtype.kind == "f":
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                level = _sum_of_squares(rows)[..., None] / rows.shape[-1]
            is_safe = (level > _LEAST_SQUARE) & (level < 1 / _LEAST_SQUARE)
            if not is_safe.all():
                level = np.where(is_safe, level, self._wide_power(rows))
        else:
            level = self._wide_power(rows)
        return level if self.per_channel else level.reshape(-1, *(1,) * (x.ndim - 1))

    def _wide_power(self, rows: Array) -> Array:
        """The same in float64."""
        squares = np.square(rows.real, dtype=np.float64)
        if rows.dtype.kind == "c":
            squares += np.square(rows.imag, dtype=np.float64)
        finite = np.isfinite(squares)
        level: Array = np.where(finite, squares, 0.0).sum(-1, keepdims=True)
        level /= np.maximum(finite.sum(-1, keepdims=True), 1)
        return level


@register
@dataclass(frozen=True, kw_only=True)
class AddNoise(NoiseAtRatio):
    """Add Gaussian noise at a random signal-to-noise ratio.

    Args:
        snr_db: power of the signal over that of the noise in dB: a number, or a range `(low, high)` of which each
            sample gets one, uniformly.
        color: `"white"`, `"pink"` (power falls by 3 dB per octave), `"brown"` (6 dB per octave).
        per_channel: a ratio of its own for each channel, of that channel's power; otherwise one for the sample.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay (integers and booleans become float32, wide ones
    float64). Power is the mean square; NaN and infinity are left out of it, and stay. A signal of zeros stays as it is.
    Gradients flow, also through the power. Of noise for float32 and narrower data, a sample is one of 65,536 equally
    likely values, and beyond 4.17 standard deviations any.

    Raises:
        ConfigError: a range or a word that is not one.

    >>> from bridgeflow import seeded
    >>> x = np.ones((2, 1000))
    >>> with seeded(0, rows=7):
    ...     noise = AddNoise(snr_db=20)(x) - x
    >>> round(float(10 * np.log10(1 / np.mean(noise**2))), 6)
    20.0
    """

    color: Color = "white"

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_word(self.color, Color, field="AddNoise: color")

    def draw_rows(self, rngs: Sequence[np.random.Generator], shape: tuple[int, ...], dtype: str) -> tuple[Array, ...]:
        """Noise, and its amplitudes."""
        width: Any = np.float64 if dtype in ("float64", "complex128") else np.float32
        amplitudes = np.array([self.amplitudes(rng, shape) for rng in rngs])
        parts = [empty((len(rngs), *shape), width) for _ in range(2 if dtype.startswith("complex") else 1)]
        for part in parts:
            if width is np.float32:
                draw_normal(rngs, part)
            else:
                for number, rng in enumerate(rngs):
                    rng.standard_normal(out=part[number, ...])
        noise = [_colored(part, self.color) for part in parts]
        return noise[0] if len(noise) == 1 else noise[0] + 1j * noise[1], amplitudes


def _sum_of_squares(x: Array) -> Array:
    """The sum of squares along the last axis, in an order that depends on the length alone.

    `einsum` sums rows of more than 8192 numbers in pieces that depend on the other rows; so it is given shorter ones.
    """
    total: Array = np.zeros(x.shape[:-1], x.dtype)
    for first in range(0, x.shape[-1], _PIECE):
        piece = x[..., first : first + _PIECE]
        total = total + np.einsum("...i,...i->...", piece, piece)
    return total


def _colored(white: Array, color: Color) -> Array:
    """White noise [..., time] with the spectrum of a color, without its mean unless it is white."""
    if color == "white":
        return white
    spectrum = np.fft.rfft(white)
    bins = np.arange(spectrum.shape[-1], dtype=white.dtype)
    bins[0] = 1
    weights = bins ** -_EXPONENT[color]
    weights[0] = 0
    return np.fft.irfft(spectrum * weights, white.shape[-1]).astype(white.dtype, copy=False)


def _sines(rng: np.random.Generator, samples: int, fs: float, frequencies: list[float], sizes: list[float]) -> Array:
    """A sum of sine waves with random phases."""
    steps = np.arange(samples) / fs
    wave = np.zeros(samples)
    for frequency, size in zip(frequencies, sizes, strict=True):
        wave += size * np.sin(2 * np.pi * (frequency * steps + rng.random()))
    return wave


@dataclass(frozen=True, kw_only=True)
class _AddedWaves(Augmentation):
    """Sine waves below half the sampling rate, added alike to all channels; `draw` gives their sum along time."""

    fs: Rate
    amplitude: Span
    frequency: Span

    def __post_init__(self) -> None:
        name = type(self).__name__
        parse_span(self.amplitude, what=name, field="amplitude", least=0)
        check_frequency(self.frequency, self.fs, what=name, field="frequency")

    def augment(self, x: Any, *draws: Array) -> Any:
        """The signal and the waves."""
        return x + like_values(draws[0], x)


@register
@dataclass(frozen=True, kw_only=True)
class BaselineWander(_AddedWaves):
    """Add a slow drift of the baseline, the same in all channels: sine waves with random frequencies and phases.

    Args:
        fs: sampling rate in Hz.
        amplitude: the most that the drift can reach, in the data's units: a number, or a range `(low, high)`.
        frequency: of each wave in Hz: a number, or a range; respiration moves an ECG at 0.05 to 0.5 Hz.
        waves: how many sine waves are added.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay (integers and booleans become float32, wide ones
    float64). Gradients flow.

    Raises:
        ConfigError: a range that is not one, a frequency of fs / 2 or above.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     drift = BaselineWander(fs=100.0, amplitude=0.5)(np.zeros((2, 1000)))
    >>> bool(abs(drift).max() <= 0.5)
    True
    """

    frequency: Span = (0.05, 0.5)
    waves: Annotated[int, Range(1, 100)] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.waves, what="BaselineWander", field="waves")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """The drift along time."""
        size = uniform(rng, self.amplitude) / self.waves
        frequencies = [uniform(rng, self.frequency) for _ in range(self.waves)]
        return (_sines(rng, shape[-1], self.fs, frequencies, [size] * self.waves),)


@register
@dataclass(frozen=True, kw_only=True)
class MainsInterference(_AddedWaves):
    """Add interference of the mains, the same in all channels: a sine wave and its harmonics with random phases.

    Args:
        fs: sampling rate in Hz.
        amplitude: of the fundamental, in the data's units: a number, or a range `(low, high)`; the harmonic k has the
            k-th part of it.
        frequency: of the mains in Hz: a number, or a range `(low, high)`.
        harmonics: how many waves, the fundamental among them; those at fs / 2 or above are left out.
        keys: which arrays; `None` for the only one.
        axis: of time.
        p: how often it is applied.

    Arrays [..., time] of any kind; kind, device, shape and dtype stay (integers and booleans become float32, wide ones
    float64). Gradients flow.

    Raises:
        ConfigError: a range that is not one, a frequency of fs / 2 or above.

    >>> from bridgeflow import seeded
    >>> with seeded(0, rows=7):
    ...     mains = MainsInterference(fs=500.0, amplitude=2.0)(np.zeros(500))
    >>> int(np.abs(np.fft.rfft(mains)).argmax())
    50
    """

    frequency: Span = 50.0
    harmonics: Annotated[int, Range(1, 100)] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.harmonics, what="MainsInterference", field="harmonics")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """The waves along time."""
        size, base = uniform(rng, self.amplitude), uniform(rng, self.frequency)
        orders = [order for order in range(1, self.harmonics + 1) if order * base < self.fs / 2]
        frequencies, sizes = [order * base for order in orders], [size / order for order in orders]
        return (_sines(rng, shape[-1], self.fs, frequencies, sizes),)


def check_frequency(value: Any, fs: Any, *, what: str, field: str) -> None:
    """Refuse frequencies that are not between 0 and fs / 2.

    Raises:
        ConfigError: naming the field.
    """
    if isinstance(fs, bool) or not isinstance(fs, (int, float)):
        raise ConfigError(f"{what}: fs must be a sampling rate in Hz, got {fs!r}", field="fs")
    parse_span(value, what=what, field=field, least=0)
    highest = value[1] if isinstance(value, tuple) else value
    if not highest < fs / 2:
        raise ConfigError(f"{what}: {field} must be below fs / 2 = {fs / 2:g} Hz, got {value!r}", field=field)


def check_count(value: Any, *, what: str, field: str) -> None:
    """Refuse what is not a whole number; its range is the field's.

    Raises:
        ConfigError: naming the field.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{what}: {field} must be a whole number, got {value!r}", field=field)
