"""MNE: `Raw` as a recording, `Epochs` as rows, and both made of recordings and arrays.

MNE keeps values in SI units (volts, teslas). Recordings say the unit of each channel; on the way to MNE their values
are divided by, or multiplied with, a power of ten, which rounds once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta, timezone
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from bridgeflow._optional import require
from bridgeflow.bridge import to_numpy
from bridgeflow.errors import ConfigError, DataError, listed, nearest, quoted
from bridgeflow.io import open_source
from bridgeflow.recordings import Recording
from bridgeflow.recordings.of_mne import GAP, RawSource, from_raw
from bridgeflow.recordings.units import in_si

__all__ = ["from_raw", "info_of", "to_epochs", "to_raw"]

_TYPES = {"V": "eeg", "T": "mag", "T/m": "grad", "S": "gsr", "M": "hbo", "degC": "temperature"}
"""The type of a channel, by its SI unit."""

_NAMED = ("ecg", "eog", "emg")
"""Types of channels in volts, by how their names begin."""


def _mne() -> Any:
    return require("mne", needed_for="bridgeflow.integrations.mne")


def info_of(recording: Recording, *, column: str | None = None, types: str | Mapping[str, str] | None = None) -> Any:
    """The `mne.Info` of a column of a recording: names, types, rate, start, bad channels.

    Args:
        recording: one of `from_raw` keeps the `Info` of its `Raw` (positions, projections, ...), for the channels that
            it still has.
        column: its column; `None` where it has but one.
        types: the type of all channels, or of some by name. Without it, those of `from_raw`; else `ecg`, `eog` and
            `emg` for channels in volts whose names begin so, `eeg` for others in volts, `mag`, `grad`, `gsr`, `hbo`
            and `temperature` for their units, and `misc` for all other units, whose values stay as they are.

    Raises:
        DataError: the recording has several columns, and none is named; two channels of one name.
        KeyNotFound: no such column.
    """
    return _info(recording, _column_name(recording, column), types)[0]


def to_raw(
    data: Any,
    info: Any = None,
    *,
    column: str | None = None,
    types: str | Mapping[str, str] | None = None,
    fs: float | None = None,
    first_samp: int = 0,
    annotations: Any = None,
) -> Any:
    """A `RawArray` of a recording, or of an array of values that are in MNE's units already.

    Of a recording it has the values of a column in SI units, the start, and the events as annotations. A gap is filled
    with zeros and annotated `BAD_ACQ_SKIP`, so that MNE's filters step over it; segments begin at the sample nearest to
    their onset. A recording of `from_raw` comes back with the values and the `Info` of its `Raw`.

    Args:
        data: a `Recording`, or an array `[channels, time]` of any kind.
        info: of an array, such as `raw.info`.
        column: of a recording, see `info_of`.
        types: of a recording, see `info_of`.
        fs: of an array, the rate in Hz where it is not that of `info`, as after resampling.
        first_samp, annotations: of an array, those of the result.

    Raises:
        ConfigError: an option that the data do not take, or an array without an `Info`.
        DataError: an array of another shape, or as for `info_of`.
        MissingDependency: MNE is not installed.
    """
    mne = _mne()
    if isinstance(data, Recording):
        if (info, fs, first_samp, annotations) != (None, None, 0, None):
            raise ConfigError("to_raw: info, fs, first_samp and annotations are for arrays; a recording has its own")
        return _raw_of_recording(mne, data, _column_name(data, column), types)
    if column is not None or types is not None:
        raise ConfigError("to_raw: column and types are for recordings; an array has its info")
    info = _with_rate("to_raw", info, fs)
    values = _values("to_raw", data, 2, info, "[channels, time]")
    raw = mne.io.RawArray(values, info, first_samp=first_samp, verbose="error")
    return raw if annotations is None else raw.set_annotations(annotations, verbose="error")


def to_epochs(
    data: Any,
    info: Any,
    *,
    labels: Any = None,
    samples: Any = None,
    tmin: float = 0.0,
    metadata: Any = None,
    fs: float | None = None,
) -> Any:
    """An `EpochsArray` of windows, whose values are in MNE's units.

    Args:
        data: windows `[windows, channels, time]` of any kind; or a batch of `SignalDataset` of epochs or of windows of
            recordings, whose columns `signal`, `label`, `event` and `sample` (or `start`) are used, and all others of
            numbers and text become the metadata.
        info: `raw.info`, `epochs.info`, or what `info_of` gives.
        labels: what each window shows: text, or numbers of events.
        samples: where the event of each window is, in samples; `None` for windows one after the other.
        tmin: seconds from the event to the first sample of a window.
        metadata: a table with a row for each window: of pandas, polars or Arrow, or a dict of columns.
        fs: the rate in Hz where it is not that of `info`.

    Raises:
        DataError: another shape than that of `info`, or another number of labels, samples or rows.
        MissingDependency: MNE or pandas (for metadata) is not installed.
    """
    mne = _mne()
    event: Any = None
    if isinstance(data, Mapping):
        data, labels, event, samples, metadata = _of_batch(data, labels, samples, metadata)
    info = _with_rate("to_epochs", info, fs)
    values = _values("to_epochs", data, 3, info, "[windows, channels, time]")
    count = len(values)
    numbers, event_id = _events("to_epochs", labels, event, count)
    positions = np.arange(count) * values.shape[2] if samples is None else _column("samples", samples, count)
    if len(np.unique(positions)) != count:
        raise DataError("to_epochs: samples: MNE wants another sample for the event of each window; leave samples out")
    order = np.argsort(positions, kind="stable")
    if (order != np.arange(count)).any():
        raise DataError("to_epochs: samples: expected in increasing order; sort the windows, or leave samples out")
    events = np.column_stack([positions.astype(np.int64), np.zeros(count, np.int64), numbers])
    return mne.EpochsArray(
        values,
        info,
        events=events,
        tmin=tmin,
        event_id=event_id or None,
        metadata=_frame(metadata, count),
        baseline=None,
        proj=False,
        verbose="error",
    )


# --- recordings ---


def _column_name(recording: Recording, column: str | None) -> str:
    if column is not None:
        return column
    if len(recording.layout) != 1:
        names = listed(recording.layout)
        raise DataError(f"{recording.id}: a Raw has one rate, got columns {names}; say which with column=")
    return next(iter(recording.layout))


def _info(
    recording: Recording, name: str, types: str | Mapping[str, str] | None
) -> tuple[Any, list[int], list[str | None]]:
    """The info of a column; for each channel the power of ten to SI units, and its type where it was chosen."""
    mne = _mne()
    column = recording.column(name)
    names = [one.name for one in column.channels]
    if len(set(names)) != len(names):
        raise DataError(f"{recording.id}: MNE wants names that differ, got {listed(names)}; rename some")
    if isinstance(types, Mapping):
        for one in types:
            if one not in names:
                raise ConfigError(f"types: no channel {quoted(one)}; {nearest(one, names)}", field="types")
    chosen = [types if types is None or isinstance(types, str) else types.get(one) for one in names]
    units = [in_si(one.unit) for one in column.channels]
    source = recording.source
    if isinstance(source, RawSource) and all(column.present):
        info = mne.pick_info(source.raw.info, list(column.numbers), copy=True, verbose="error")
        mne.rename_channels(info, dict(zip(info["ch_names"], names, strict=True)), verbose="error")
        return info, [0 if unit is None else unit[1] for unit in units], chosen
    kinds = [kind or _type(one.name, unit) for kind, one, unit in zip(chosen, column.channels, units, strict=True)]
    info = mne.create_info(names, column.fs, kinds, verbose="error")
    facts = recording.metadata
    with info._unlock():
        if isinstance(facts.get("line_freq"), (int, float)):
            info["line_freq"] = float(facts["line_freq"])
    info["bads"] = [one for one in facts.get("bads", ()) if one in names]
    for key in ("description", "experimenter"):
        if isinstance(facts.get(key), str):
            info[key] = facts[key]
    if isinstance(facts.get("subject"), Mapping):
        info["subject_info"] = dict(facts["subject"])
    return info, [0 if unit is None else unit[1] for unit in units], list(kinds)


def _type(name: str, unit: tuple[str, int] | None) -> str:
    if unit is not None and unit[0] == "V":
        return next((kind for kind in _NAMED if name.lower().startswith(kind)), "eeg")
    return "misc" if unit is None else _TYPES.get(unit[0], "misc")


def _raw_of_recording(mne: Any, recording: Recording, name: str, types: Any) -> Any:
    info, powers, kinds = _info(recording, name, types)
    column = recording.column(name)
    fs = column.rate
    starts = [round(Fraction(onset) * fs) for onset in column.onsets]
    spans = [(at, at + stop - start) for at, (start, stop) in zip(starts, column.segments, strict=True)]
    of_raw = isinstance(recording.source, RawSource) and all(column.present)
    if of_raw:
        values = column.read(0, column.length, units="raw")
        spans = [(0, column.length)] if column.length else []
    else:
        values = _on_one_grid(recording.id, column, spans, powers, kinds)
    first_samp = recording.metadata.get("first_samp", 0)
    first_samp = first_samp if isinstance(first_samp, int) else 0
    start = recording.start
    if start is not None:
        start = start.replace(tzinfo=timezone.utc) if start.tzinfo is None else start.astimezone(timezone.utc)
        info.set_meas_date(start - timedelta(seconds=first_samp / float(fs)))
    raw = mne.io.RawArray(values, info, first_samp=first_samp, verbose="error")
    if of_raw and kinds != [None] * len(kinds):
        chosen = {channel.name: kind for channel, kind in zip(column.channels, kinds, strict=True) if kind is not None}
        raw.set_channel_types(chosen, verbose="error")
    notes = [(onset, duration or 0.0, text) for onset, duration, text in _rows(recording.events)]
    ends = [0, *(stop for _, stop in spans)]
    gaps = [(stop, start) for stop, (start, _) in zip(ends, spans, strict=False) if start > stop]
    notes += [(stop / float(fs), (start - stop) / float(fs), GAP) for stop, start in gaps]
    if notes:
        onsets, durations, texts = zip(*sorted(notes), strict=True)
        raw.set_annotations(mne.Annotations(onsets, durations, texts), verbose="error")
    return raw


def _on_one_grid(id: str, column: Any, spans: Sequence[tuple[int, int]], powers: list[int], kinds: list[Any]) -> Any:
    """Physical values in SI units, every segment at its place in time, zeros between them."""
    length = spans[-1][1] if spans else 0
    if any(stop > start for (_, stop), (start, _) in pairwise(spans)):
        raise DataError(f"{id}: two segments overlap when their onsets are rounded to samples; write them as two Raws")
    dtype = np.result_type(column.read(0, 0, units="physical").dtype, np.float64)
    values = np.zeros((len(column.channels), length), dtype)
    for (start, stop), (first, last) in zip(column.segments, spans, strict=True):
        values[:, first:last] = column.read(start, stop, units="physical")
    for row, power, kind in zip(values, powers, kinds, strict=True):
        if kind != "misc" and power:
            np.divide(row, 10.0**-power, out=row) if power < 0 else np.multiply(row, 10.0**power, out=row)
    return values


def _rows(events: pa.Table) -> list[tuple[float, float | None, str]]:
    return list(zip(*(events.column(name).to_pylist() for name in ("onset", "duration", "text")), strict=True))


# --- arrays ---


def _with_rate(function: str, info: Any, fs: float | None) -> Any:
    if info is None or not hasattr(info, "ch_names"):
        raise ConfigError(f"{function}: info: expected an mne.Info, got {type(info).__name__}; pass raw.info")
    if fs is None or float(fs) == float(info["sfreq"]):
        return info
    info = info.copy()
    with info._unlock():
        info["sfreq"] = float(fs)
        if info["lowpass"] is not None:
            info["lowpass"] = min(float(info["lowpass"]), fs / 2)
    return info


def _values(function: str, x: Any, ndim: int, info: Any, shape: str) -> Any:
    values = to_numpy(x)
    channels = len(info["ch_names"])
    if values.ndim != ndim or values.shape[-2] != channels or values.dtype.kind not in "iufc":
        got = f"{values.dtype} {list(values.shape)}"
        raise DataError(f"{function}: expected numbers {shape} of the {channels} channels of info, got {got}")
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64, copy=False)


def _column(name: str, values: Any, count: int) -> Any:
    """Numbers, one for each window."""
    array = to_numpy(list(values) if isinstance(values, (list, tuple)) else values)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        problem = f"expected {count} integers, one for each window, got {array.dtype} {list(array.shape)}"
        raise DataError(f"to_epochs: {name}: {problem}")
    return array


def _texts(values: Any) -> list[Any]:
    plain = values.to_pylist() if isinstance(values, (pa.Array, pa.ChunkedArray)) else values
    return list(plain.tolist() if hasattr(plain, "tolist") else plain)


def _events(function: str, labels: Any, event: Any, count: int) -> tuple[Any, dict[str, int]]:
    """The number of each window's event, and the names of the numbers."""
    if labels is None:
        return np.ones(count, np.int64) if event is None else _column("event", event, count), {}
    words = _texts(labels)
    if len(words) != count:
        raise DataError(f"{function}: labels: expected {count}, one for each window, got {len(words)}")
    if event is not None:
        numbers = _column("event", event, count)
    elif all(type(word) is int for word in words):
        numbers = np.array(words, np.int64)
    else:
        order = {word: number for number, word in enumerate(sorted(set(map(str, words))), 1)}
        numbers = np.array([order[str(word)] for word in words], np.int64)
    return numbers, {str(word): int(number) for word, number in zip(words, numbers.tolist(), strict=True)}


def _of_batch(batch: Mapping[str, Any], labels: Any, samples: Any, metadata: Any) -> tuple[Any, Any, Any, Any, Any]:
    """The parts of a batch of a dataset."""
    if "signal" not in batch:
        raise DataError(f"to_epochs: the batch has no column 'signal'; {nearest('signal', list(batch))}")
    rest = {str(name): value for name, value in batch.items() if name != "signal"}
    labels = rest.pop("label", None) if labels is None else labels
    event = rest.pop("event", None)
    if samples is None:
        start = rest.pop("start", None)
        samples = rest.pop("sample", start)
        if samples is not None and len(set(_texts(samples))) != len(_texts(samples)):
            samples = None  # windows of several recordings begin alike
    if metadata is None and rest:
        metadata = {name: _texts(value) for name, value in rest.items() if getattr(value, "ndim", 1) == 1}
    return batch["signal"], labels, event, samples, metadata or None


def _frame(metadata: Any, count: int) -> Any:
    """A table as a DataFrame, which is what MNE keeps."""
    if metadata is None:
        return None
    pandas = require("pandas", needed_for="metadata of epochs")
    if isinstance(metadata, pandas.DataFrame):
        frame = metadata.reset_index(drop=True)
    else:
        columns = open_source(metadata, nulls="keep").read() if not isinstance(metadata, Mapping) else metadata
        frame = pandas.DataFrame({name: _texts(column) for name, column in columns.items()})
    if len(frame) != count:
        raise DataError(f"to_epochs: metadata: expected {count} rows, one for each window, got {len(frame)}")
    return frame
