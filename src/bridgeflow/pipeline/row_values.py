"""One value for each row of a dataset, such as its label or its length, read without running the transform."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import DataError, KeyNotFound, NoRoute, listed, nearest, quoted
from bridgeflow.pipeline.lazy import RecordingWindows, cut_window
from bridgeflow.pipeline.window_places import Drawn, label_of
from bridgeflow.transforms.window import WindowLabels

if TYPE_CHECKING:
    from bridgeflow.pipeline.dataset import SignalDataset

__all__ = ["Groups", "digest_of", "groups_of", "row_lengths", "row_values", "row_weights"]

_AT_ONCE = 1 << 16


class Groups(NamedTuple):
    """Rows by a value that they share.

    Attributes:
        values: the distinct values, in the order of their first rows.
        codes: of each row, the number of its value, int64 `[rows]`.
        counts: rows of each value, int64 `[values]`.
    """

    values: list[Any]
    codes: Any
    counts: Any


def groups_of(dataset: SignalDataset, by: Any, *, what: str) -> Groups:
    """The rows by a column, or by an array with a value for each row.

    Raises:
        KeyNotFound: there is no such column.
        DataError: a row has no value, or one that is not a number or text.
    """
    values = row_values(dataset, by, what=what)
    numbers: dict[Any, int] = {}
    codes = np.fromiter((numbers.setdefault(one, len(numbers)) for one in values.tolist()), np.int64, len(values))
    return Groups(list(numbers), codes, np.bincount(codes, minlength=len(numbers)))


def row_weights(dataset: SignalDataset, by: Any, *, what: str) -> Any:
    """A weight of each row, float64 `[rows]`: a column, or an array.

    Raises:
        DataError: weights that are negative, infinite, NaN, not numbers, or all zero.
    """
    values = row_values(dataset, by, what=what)
    if values.dtype.kind not in "biuf":
        raise DataError(f"{what}: weights must be numbers, got {quoted(values[0]) if len(values) else 'none'}")
    weights = values.astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if wrong.size:
        raise DataError(f"{what}: weights must be finite and not negative, got {weights[wrong[0]]} in row {wrong[0]}")
    if len(weights) and not weights.any():
        raise DataError(f"{what}: at least one weight must be above 0, got {len(weights)} that are 0")
    return weights


def row_lengths(dataset: SignalDataset, by: Any, *, what: str) -> Any:
    """The length of each row in samples, int64 `[rows]`.

    Args:
        by: a column of lists, a column of lengths, or an array; `None` for the only column of lists, or for the windows
            of recordings.

    Raises:
        KeyNotFound, DataError: there is no such column; lengths are not whole numbers of at least 0.
    """
    source = dataset.source
    if isinstance(source, RecordingWindows) and by is None:
        return np.array([_window_length(source, row) for row in _chosen(source).tolist()], np.int64)
    if by is None:
        lists = [name for name, how in dataset._fetcher.conversions.items() if how == "lists"]
        if len(lists) != 1:
            raise DataError(
                f"{what}: expected one column of lists, whose lengths are meant, got {listed(lists) or 'none'}; "
                "name a column with by="
            )
        by = lists[0]
    values = row_values(dataset, by, what=what, lists=True)
    if values.dtype.kind not in "iu" or (len(values) and values.min() < 0):
        raise DataError(f"{what}: lengths must be whole numbers of at least 0, got {values.dtype}")
    return values.astype(np.int64)


def row_values(dataset: SignalDataset, by: Any, *, what: str, lists: bool = False) -> Any:
    """One value for each row, `[rows]`: numbers as they are, all else as Python objects.

    Args:
        dataset: of stored rows, or of windows of recordings.
        by: the name of a column, which is read without the others, or an array, tensor or list of values.
        what: the caller, for errors.
        lists: whether a column of lists stands for their lengths.

    Raises:
        KeyNotFound: there is no such column.
        DataError: a row has no value, several, or one that is not a number or text.
    """
    if not isinstance(by, str):
        values = to_numpy(by) if kind_of(by) is not None else np.asarray(by)
        if values.shape != (len(dataset),):
            raise DataError(f"{what}: expected a value for each of {len(dataset):,} rows, got shape {values.shape}")
    elif isinstance(dataset.source, RecordingWindows):
        values = _of_windows(dataset.source, by, what)
    else:
        values = _of_rows(dataset, by, what, lists)
    if values.dtype.kind == "O":
        odd = next((n for n, one in enumerate(values) if not isinstance(one, (str, bytes, int, float))), None)
        if odd is not None:
            shown = "no value" if values[odd] is None else quoted(values[odd])
            raise DataError(f"{what}: expected a number or text in every row, row {odd} has {shown}")
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise DataError(f"{what}: expected a value in every row, row {np.flatnonzero(np.isnan(values))[0]} has NaN")
    return values


def digest_of(*parts: Any) -> str:
    """What tells values from others: arrays by their bytes, all else as JSON has it."""
    digest = hashlib.sha256()
    for part in parts:
        text = json.dumps(part, default=str) if not isinstance(part, np.ndarray) else ""
        digest.update(text.encode() if text else part.tobytes())
    return digest.hexdigest()[:32]


def _of_rows(dataset: SignalDataset, name: str, what: str, lists: bool) -> Any:
    """A column of stored rows."""
    source: Any = dataset.source
    if name not in source.specs:
        raise _no_column(what, name, list(source.specs))
    pieces: list[Any] = []
    with source.only([name]) as column:
        for piece in column.chunks(_AT_ONCE):
            pieces.append(_plain(piece[name], name, what, lists))
    if not pieces:
        return np.zeros(0, np.int64)
    if len({piece.dtype.kind for piece in pieces}) > 1:
        pieces = [piece.astype(object) for piece in pieces]
    return np.concatenate(pieces)


def _plain(column: Any, name: str, what: str, lists: bool) -> Any:
    """A piece of a column as numbers or objects, one for each row."""
    if lists and not isinstance(column, np.ndarray) and _is_list(column.type):
        lengths = pc.list_value_length(column)
        if lengths.null_count:
            raise DataError(f"{what}: {name} has rows that are null, which have no length; fill or leave them out")
        return np.asarray(lengths).astype(np.int64)
    if not isinstance(column, np.ndarray):
        try:
            return _one_axis(to_numpy(column), name, what)
        except NoRoute:
            return np.array([*column.to_pylist(), None], dtype=object)[:-1]  # the None keeps NumPy from more axes
    return _one_axis(column, name, what)


def _one_axis(values: Any, name: str, what: str) -> Any:
    if values.ndim == 1:
        return values
    if lead := values.shape[1:]:
        raise DataError(f"{what}: expected one value in each row, {name} has [{', '.join(map(str, lead))}] of them")
    return values


def _is_list(type: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_list_view, pa.types.is_large_list_view)
    return any(test(type) for test in tests)


def _chosen(windows: RecordingWindows) -> Any:
    """The numbers of the windows, before any choice."""
    return np.arange(windows._first_rows[-1]) if windows._chosen is None else windows._chosen


def _window_length(windows: RecordingWindows, row: int) -> int:
    _, places, _ = windows.located(row)
    return max(place.end - place.begin + place.missing for place in places.values())


def _of_windows(windows: RecordingWindows, name: str, what: str) -> Any:
    """A column of windows that takes none of their samples: of the recordings' table, their events, or the stages
    that label windows; or the labels that `WindowLabels` cuts.
    """
    rows = _chosen(windows)
    recordings = windows.recordings
    numbers = np.searchsorted(windows._first_rows, rows, side="right") - 1
    if name == "recording":
        return _objects([recordings[number].id for number in range(len(recordings))])[numbers]
    stage = next((one for one in windows.label_stages if one.name == name), None)
    if stage is not None or name == "event":
        _require_fixed(windows, f"{what}: {name}")
        return _numbers([_at_window(windows, stage, row) for row in rows.tolist()])
    labels = [recordings[number].labels for number in range(len(recordings))]
    if any(name in one for one in labels):
        return _numbers([one.get(name) for one in labels])[numbers]
    if name in _label_columns(windows):
        _require_fixed(windows, f"{what}: {name}")
        return _numbers([to_numpy(_one(windows, row, name)) for row in rows.tolist()])
    columns = {"recording", *_label_columns(windows), *(one.name for one in windows.label_stages)}
    raise _no_column(what, name, sorted(columns.union(*labels)))


def _label_columns(windows: RecordingWindows) -> list[str]:
    """The columns that are cut into labels, one for each window."""
    plans = next(iter(windows._plans.values()), {})
    return [name for name, plan in plans.items() if isinstance(plan.cut, WindowLabels)]


def _require_fixed(windows: RecordingWindows, what: str) -> None:
    """Refuse windows that lie elsewhere in each epoch."""
    if any(isinstance(one, Drawn) for one in windows._places[0].values()):
        raise DataError(f"{what} cannot be said of windows of RandomWindow, which lie elsewhere in each epoch")


def _one(windows: RecordingWindows, row: int, name: str) -> Any:
    """One column of one window, before the stages that see one window."""
    number, places, _ = windows.located(row)
    segment, begin, end, missing = places[name]
    cut = windows._plan(windows.recordings[number])[name].cut
    return cut_window(windows._chain(number, segment, name).read(begin, end), cut, missing)


def _at_window(windows: RecordingWindows, stage: Any, row: int) -> Any:
    number, places, event = windows.located(row)
    if stage is None:
        return event
    _, since, until, fs = windows.times(number, places)
    return label_of(stage, windows.events(number), since, until, fs)


def _numbers(values: Sequence[Any]) -> Any:
    """Values as numbers where all are, else as objects."""
    if values and all(isinstance(one, (bool, int, float, np.number, np.ndarray)) for one in values):
        array = np.asarray(values)
        if array.ndim == 1 and array.dtype.kind in "biuf":
            return array
    return _objects(values)


def _objects(values: Sequence[Any]) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _no_column(what: str, name: str, names: Sequence[str]) -> KeyNotFound:
    return KeyNotFound(f"{what}: there is no column {quoted(name)}; {nearest(name, names)}")
