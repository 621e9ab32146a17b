"""Arrays of one or two axes inside containers (HDF5, Zarr) as recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bridgeflow.io.files import data_error
from bridgeflow.io.formats.rows import rate_of
from bridgeflow.io.recording_file import Channel, Header, ReadOptions, Track

__all__ = ["FACTS", "array_header", "read_channels"]

FACTS = "recording"
"""The attribute, or the end of the name of the text beside an array, that holds what we wrote of a recording."""

_RATES = ("fs", "sampling_rate", "sampling_frequency", "sample_rate", "sfreq")
_NAMES = ("channels", "channel_names", "ch_names")
_UNITS = ("unit", "units")


def array_header(
    path: Path, shape: tuple[int, ...], dtype: np.dtype, attributes: Mapping[str, Any], options: ReadOptions
) -> tuple[Header, int]:
    """The header of an array, and its axis of time. Attributes with the usual names give rate, channels and unit.

    Raises:
        DataError: other than real numbers of one or two axes; no rate.
    """
    if dtype.kind not in "iuf" or len(shape) not in (1, 2):
        raise data_error(path, f"has {dtype} values of shape {shape}", "expected real numbers of one or two axes")
    if not -len(shape) <= options.time_axis < len(shape):
        raise data_error(path, f"has {len(shape)} axes, and time_axis is {options.time_axis}", "correct time_axis")
    axis = options.time_axis % len(shape)
    count = 1 if len(shape) == 1 else shape[1 - axis]
    if not 0 < count <= 1 << 20:
        raise data_error(path, f"has {count:,} channels along axis {1 - axis}", "check time_axis")
    said = next((attributes[name] for name in _RATES if name in attributes), None)
    rate = rate_of(path, options, said[0] if isinstance(said, list) and len(said) == 1 else said)
    names = _texts(attributes, _NAMES, count) or ["signal"] * (count == 1) or [f"ch{n}" for n in range(count)]
    units = _texts(attributes, _UNITS, count) or [""] * count
    channels = tuple(
        Channel(name=name, rate=rate, unit=unit, dtype=dtype.newbyteorder("=").name)
        for name, unit in zip(names, units, strict=True)
    )
    metadata = {
        name: value
        for name, value in attributes.items()
        if isinstance(value, (str, int, float, list)) and name != FACTS
    }
    return Header(channels=channels, tracks=(Track.whole(shape[axis]),) * count, metadata=metadata), axis


def _texts(attributes: Mapping[str, Any], names: Sequence[str], count: int) -> list[str] | None:
    """A text for each channel, where an attribute has as many, or one for all of one."""
    value = next((attributes[name] for name in names if name in attributes), None)
    if isinstance(value, (str, bytes)):
        value = [value] * (count if names is _UNITS else 1)
    if not isinstance(value, (list, tuple)) or len(value) != count:
        return None
    return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in value]


def read_channels(array: Any, axis: int, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
    """A stretch of channels of an array on disk, `[channels, stop - start]`, in the machine's byte order."""
    if len(array.shape) == 1:
        block = np.asarray(array[start:stop])[np.newaxis]
    else:
        low, high = min(channels), max(channels) + 1
        block = np.asarray(array[start:stop, low:high] if axis == 0 else array[low:high, start:stop])
        block = block.T if axis == 0 else block
        channels = [number - low for number in channels]
    return np.ascontiguousarray(block[list(channels)], dtype=block.dtype.newbyteorder("="))
