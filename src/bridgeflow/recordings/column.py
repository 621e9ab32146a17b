"""Channels of one rate as a signal `[channels, time]`, of which stretches are read."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import floor, isfinite
from typing import Any, Literal, TypeAlias

import numpy as np

from bridgeflow.io.recording_file import Channel, Track
from bridgeflow.policy import parse_word
from bridgeflow.recordings.sources import SampleSource

__all__ = ["Column", "Units"]

Units: TypeAlias = Literal["raw", "physical"]
"""What samples are: the numbers of the file, or values in the units of the channels."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Column:
    """Channels of one rate and length; samples are read when they are asked for.

    Attributes:
        channels: the channels, one per row.
        rate: sampling rate in Hz, exact.
        length: samples per channel.
        present: whether the recording has each channel; one that it lacks reads as NaN, as 0 where all are integers.
        units: what `read` gives by default.
    """

    source: SampleSource
    channels: tuple[Channel, ...]
    numbers: tuple[int, ...]
    track: Track
    units: Units = "raw"

    @property
    def rate(self) -> Fraction:
        """The sampling rate in Hz, exact."""
        return self.channels[0].rate

    @property
    def fs(self) -> float:
        """The sampling rate in Hz."""
        return float(self.rate)

    @property
    def shape(self) -> tuple[int]:
        """What a sample is: one number per channel."""
        return (len(self.channels),)

    @property
    def length(self) -> int:
        """Samples per channel."""
        return self.track.length

    @cached_property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """Samples `(start, stop)` of each stretch between gaps, in order. What lies between them is missing."""
        return tuple((start, stop) for start, stop, _ in self.track.segments)

    @cached_property
    def onsets(self) -> tuple[float, ...]:
        """Seconds from the recording's start to the beginning of each segment."""
        return tuple(segment.onset for segment in self.track.segments)

    @cached_property
    def present(self) -> tuple[bool, ...]:
        """Whether the recording has each channel."""
        return tuple(number >= 0 for number in self.numbers)

    @cached_property
    def dtype(self) -> np.dtype:
        """Element type of what `read` gives."""
        return self._dtype(self.units)

    @cached_property
    def _raw_dtype(self) -> np.dtype:
        return np.result_type(*(np.dtype(channel.dtype) for channel in self.channels))

    @cached_property
    def _is_complete(self) -> bool:
        return all(self.present)

    @cached_property
    def scale(self) -> np.ndarray:
        """Units per step of the raw values, float64 `[channels]`."""
        return np.array([channel.scale for channel in self.channels])

    @cached_property
    def offset(self) -> np.ndarray:
        """Physical values of the raw 0, float64 `[channels]`."""
        return np.array([channel.offset for channel in self.channels])

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What `read` gives depends on this alone, as plain values: the file as it was, or a digest of the samples."""
        return {
            "source": dict(self.source.identity(self.numbers)),
            "numbers": list(self.numbers),
            "channels": [[one.dtype, one.scale.hex(), one.offset.hex()] for one in self.channels],
            "rate": str(self.rate),
            "units": self.units,
        }

    def read(self, start: int, stop: int, *, units: Units | None = None) -> np.ndarray:
        """Samples `start` to `stop`, `[channels, stop - start]`, in memory of your own.

        Args:
            units: `"raw"` for the numbers of the file, `"physical"` for `raw * scale + offset`: float64, float32 where
                the file holds float32 in its units. `None` for the column's own.

        Raises:
            ValueError: not `0 <= start <= stop <= length`.
            DataError: the file is damaged or has changed, or has missing samples there that `nulls` refuses.
        """
        if not 0 <= start <= stop <= self.length:
            raise ValueError(f"need 0 <= start <= stop <= {self.length}, got start={start}, stop={stop}")
        chosen = self.units if units is None else parse_word(units, Units, field="units")
        raw = self._raw(int(start), int(stop))
        if chosen == "raw":
            return raw
        values = raw.astype(self._dtype("physical"), copy=False)
        if (self.scale != 1).any():
            values *= self.scale[:, np.newaxis]
        if self.offset.any():
            values += self.offset[:, np.newaxis]
        return values

    def _raw(self, start: int, stop: int) -> np.ndarray:
        dtype = self._raw_dtype
        if self._is_complete:
            return self.source.read(self.numbers, start, stop).astype(dtype, copy=False)
        values = np.full((len(self.numbers), stop - start), np.nan if dtype.kind in "fc" else 0, dtype)
        rows = [row for row, number in enumerate(self.numbers) if number >= 0]
        if rows:
            values[rows] = self.source.read([self.numbers[row] for row in rows], start, stop)
        return values

    def _dtype(self, units: str) -> np.dtype:
        raw = self._raw_dtype
        if units == "raw" or raw.kind == "c":
            return raw
        is_scaled = bool((self.scale != 1).any() or self.offset.any())
        return raw if raw.kind == "f" and not is_scaled else np.dtype("float64")

    def position(self, seconds: float) -> int | None:
        """The sample nearest to a time in seconds from the recording's start; `None` in a gap or outside."""
        if not isfinite(seconds):
            return None
        index = bisect_right(self.onsets, seconds + 0.5 / self.fs) - 1
        if index < 0:
            return None
        segment = self.track.segments[index]
        sample = segment.start + floor((Fraction(seconds) - Fraction(segment.onset)) * self.rate + Fraction(1, 2))
        return sample if segment.start <= sample < segment.stop else None

    def seconds(self, position: int) -> float:
        """When a sample was taken, in seconds from the recording's start.

        Raises:
            ValueError: the sample is in no segment.
        """
        for segment in self.track.segments:
            if segment.start <= position < segment.stop:
                return segment.onset + float((position - segment.start) / self.rate)
        raise ValueError(f"sample {position} is in none of the segments {self.segments}")
