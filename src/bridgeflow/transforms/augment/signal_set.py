"""Signals to draw from: arrays in memory or recordings in files, as one value that a transform can have as a field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, Final, TypeAlias

import numpy as np

from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import BridgeflowError, ConfigError, DataError, listed, nearest, quoted
from bridgeflow.signal.resampling import resample_poly

__all__ = ["SignalSet", "Signals"]

Array = np.ndarray[Any, Any]

_MOST_IN_CONFIG: Final = 1 << 16


class _NestedNumbers:
    """What a configuration holds in place of arrays: lists of numbers, or of channels."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return handler.generate_schema(tuple[tuple[float, ...] | tuple[tuple[float, ...], ...], ...])


Signals: TypeAlias = Annotated[Any, _NestedNumbers()]
"""Arrays [time] or [channels, time] in a sequence, one array [n, time] or [n, channels, time], or recordings."""


class SignalSet:
    """Signals [channels, time], of which transforms draw one by its number; immutable, and equal by its contents.

    Args:
        arrays: signals in memory, float or integer [channels, time].
        recordings: recordings that are read when they are drawn.
    """

    def __init__(self, arrays: tuple[Array, ...] = (), recordings: Any = ()) -> None:
        self._arrays = arrays
        self._recordings = recordings

    @classmethod
    def of(cls, value: Any, *, what: str, field: str) -> SignalSet:
        """The set that a field's value describes.

        Raises:
            ConfigError: it is neither arrays of finite real numbers nor recordings; names the field.
        """
        if isinstance(value, SignalSet):
            return value
        if _is_recording(value):
            return cls(recordings=(value,))
        expected = f"{what}: {field} must be recordings, or arrays [time] or [channels, time]"
        try:
            if kind_of(value) is None and not isinstance(value, (list, tuple)) and hasattr(value, "__getitem__"):
                if len(value) and _is_recording(value[0]):
                    return cls(recordings=value)
            elif isinstance(value, (list, tuple)) and value and all(map(_is_recording, value)):
                return cls(recordings=tuple(value))
            arrays = _arrays_of(value)
        except (BridgeflowError, ValueError, TypeError) as error:
            raise ConfigError(f"{expected}, got {type(value).__name__}: {error}", field=field) from None
        if not arrays:
            raise ConfigError(f"{expected}, got none", field=field)
        for number, array in enumerate(arrays):
            if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
                problem = f"number {number} is {array.dtype} {list(array.shape)}"
                raise ConfigError(f"{expected} of finite real numbers; {problem}", field=field)
        return cls(arrays=tuple(arrays))

    def plain(self, *, what: str, field: str) -> list[Any]:
        """The arrays as a configuration holds them.

        Raises:
            ConfigError: recordings, or too many numbers.
        """
        if self._recordings:
            raise ConfigError(f"{what}: {field} are recordings, which no configuration can hold", field=field)
        count = sum(array.size for array in self._arrays)
        if count > _MOST_IN_CONFIG:
            problem = f"{count:,} numbers are too many for a configuration, which holds {_MOST_IN_CONFIG:,}"
            raise ConfigError(f"{what}: {field}: {problem}", field=field)
        return [array[0].tolist() if len(array) == 1 else array.tolist() for array in self._arrays]

    def __len__(self) -> int:
        return len(self._recordings) or len(self._arrays)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SignalSet):
            return NotImplemented
        if self._recordings or other._recordings:
            return bool(self._recordings == other._recordings)
        return len(self) == len(other) and all(map(np.array_equal, self._arrays, other._arrays))

    def __hash__(self) -> int:
        return hash((len(self._recordings), tuple(array.shape for array in self._arrays)))

    def __repr__(self) -> str:
        return f"<{len(self)} {'recordings' if self._recordings else 'signals'}>"

    # --- reading ---

    def whole(self, number: int, *, column: str | None = None, fs: float | None = None) -> Array:
        """All samples of a signal, [channels, time], at the rate `fs` where its own is another; NaN is 0.

        Raises:
            DataError: recordings without the column, or without samples.
        """
        if not self._recordings:
            return self._arrays[number]
        signal = self._column(number, column)
        return _at_rate(_finite(signal.read(0, signal.length)), signal.fs, fs)

    def stretch(
        self,
        number: int,
        samples: int,
        rng: np.random.Generator,
        *,
        column: str | None = None,
        fs: float | None = None,
    ) -> Array:
        """A stretch of a signal from a random place between two gaps, [channels, samples]; NaN is 0.

        A signal without any stretch of that length is repeated, from a random place on.

        Args:
            number: of the signal.
            samples: its length at the rate `fs`, to which a recording of another rate is resampled.
            rng: draws the place.
            column: of recordings; `None` for the only one.
            fs: sampling rate in Hz; `None` for that of the signal.

        Raises:
            DataError: recordings without the column, or without samples.
        """
        if not self._recordings:
            array = self._arrays[number]
            return _drawn(lambda start, stop: array[:, start:stop], ((0, array.shape[1]),), samples, rng)
        signal = self._column(number, column)
        rate = fs or signal.fs
        needed = samples if rate == signal.fs else int(np.ceil(samples * signal.fs / rate)) + 1
        drawn = _drawn(lambda start, stop: _finite(signal.read(start, stop)), signal.segments, needed, rng)
        return _at_rate(drawn, signal.fs, fs)[:, :samples]

    def _column(self, number: int, name: str | None) -> Any:
        recording = self._recordings[number]
        columns: Mapping[str, Any] = recording.columns
        if name is None and len(columns) != 1:
            raise DataError(f"{recording.id} has the columns {listed(columns)}; say column=")
        if name is not None and name not in columns:
            raise DataError(f"{recording.id}: no column {quoted(name)}; {nearest(name, columns)}")
        column = columns[name] if name is not None else next(iter(columns.values()))
        if not any(stop > start for start, stop in column.segments):
            raise DataError(f"{recording.id} has no samples to draw from; leave it out")
        return column


def _is_recording(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "id") and isinstance(value.columns, Mapping)


def _arrays_of(value: Any) -> list[Array]:
    """Signals [channels, time] out of an array, or a sequence of arrays, in memory that is not written to."""
    if kind_of(value) is not None:
        array = to_numpy(value)
        return [np.atleast_2d(one) for one in (array if array.ndim > 1 else [array])]
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise TypeError("not a sequence")
    if value and all(isinstance(one, (int, float)) for one in value):
        return [np.array([value], np.float64)]
    return [np.atleast_2d(to_numpy(one) if kind_of(one) is not None else np.array(one, np.float64)) for one in value]


def _finite(x: Any) -> Array:
    values: Array = np.asarray(x)
    if values.dtype.kind not in "iuf":
        raise DataError(f"expected real numbers in a recording, got {values.dtype}; read its parts as channels")
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) if values.dtype.kind == "f" else values


def _drawn(
    read: Callable[[int, int], Array],
    segments: Sequence[tuple[int, int]],
    samples: int,
    rng: np.random.Generator,
) -> Array:
    """A stretch out of segments `(start, stop)`, each place alike; the longest segment, repeated, if all are short."""
    rooms = np.array([max(stop - start - samples + 1, 0) for start, stop in segments])
    if rooms.any():
        place = int(rng.integers(rooms.sum()))
        segment = int(np.searchsorted(np.cumsum(rooms), place, side="right"))
        start = segments[segment][0] + place - int(rooms[:segment].sum())
        return read(start, start + samples)
    start, stop = max(segments, key=lambda segment: segment[1] - segment[0])
    first = int(rng.integers(stop - start))
    return read(start, stop)[:, (first + np.arange(samples)) % (stop - start)]


def _at_rate(x: Array, own: float, fs: float | None) -> Array:
    """Samples of the rate `own` at the rate `fs`, by the nearest fraction with a denominator of at most 1000."""
    if fs is None or fs == own:
        return x
    ratio = Fraction(fs / own).limit_denominator(1000)
    return resample_poly(x.astype(np.float64), ratio.numerator, ratio.denominator, axis=-1)
