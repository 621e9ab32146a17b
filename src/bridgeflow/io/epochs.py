"""Epochs of MNE as rows: a window, its event, its label, and the columns of their metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bridgeflow._forks import ForkLock
from bridgeflow._frames import as_table
from bridgeflow._optional import loaded
from bridgeflow.bridge import describe
from bridgeflow.io.base import Columns, Reader, pick_columns
from bridgeflow.io.columns import Nulls, column_spec
from bridgeflow.io.mapped import Held
from bridgeflow.io.options import OpenOptions
from bridgeflow.io.plain import as_array, gather, numbers

__all__ = ["EpochsReader", "is_epochs"]

SIGNAL = "signal"
"""The column of windows."""


def is_epochs(x: object) -> bool:
    """Whether a value is epochs of MNE; asked of MNE where it is loaded."""
    epochs = loaded("mne.epochs")
    return epochs is not None and isinstance(x, epochs.BaseEpochs)


class EpochsReader(Reader):
    """Rows of epochs: `signal` `[channels, time]` in MNE's units (volts), `event` (its number), `label` (its name),
    `sample` (where the event is), and the columns of the metadata; one called like a column before it is called
    `<name>_metadata`. Windows of epochs that are not preloaded are read when they are asked for.
    """

    random_access = True

    def __init__(self, epochs: Any, path: Path, options: OpenOptions) -> None:
        epochs.drop_bad(verbose="error")  # before that MNE does not say how many there are
        self.file = Held(path)
        self.settings = {"fs": float(epochs.info["sfreq"])}
        self.rows = len(epochs)
        self._epochs = epochs
        self._lock = ForkLock()
        columns = _facts(epochs)
        names = pick_columns(path, options.columns, [SIGNAL, *columns])
        self._columns: dict[str, Any] = {name: columns.get(name) for name in names}
        shape = (self.rows, len(epochs.ch_names), len(epochs.times))
        dtype = self._windows([0]).dtype if self.rows else np.dtype("float64")
        signal = describe(np.empty((0, *shape[1:]), dtype)).fresh(shape=shape)
        self.specs = {
            name: signal if column is None else self._spec(path, name, column) for name, column in self._columns.items()
        }

    def _spec(self, path: Path, name: str, column: Any) -> Any:
        if isinstance(column, np.ndarray):
            return describe(column)
        return column_spec(path, pa.field(name, column.type), self.rows, Nulls.of(column), keep_nulls=True)

    def _windows(self, rows: Any) -> Any:
        with self._lock:
            windows = self._epochs.get_data(item=rows, copy=True, verbose="error")
        return np.ascontiguousarray(windows)

    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """Rows `start` to `stop`, in memory of the caller's own."""
        return self.take(np.arange(start, stop))

    def take(self, indices: Any) -> Columns:
        """The rows at `indices`."""
        columns = {}
        for name, column in self._columns.items():
            if column is not None:
                columns[name] = gather(column, indices)
            elif len(indices):
                columns[name] = self._windows(indices)
            else:
                columns[name] = np.empty((0, *self.specs[name].shape[1:]), self.specs[name].dtype)
        return columns


def _facts(epochs: Any) -> dict[str, Any]:
    """What is known of each epoch, by column."""
    names = {number: name for name, number in reversed(epochs.event_id.items())}
    events = epochs.events[:, 2]
    facts: dict[str, Any] = {
        "event": events.astype(np.int64),
        "label": pa.array([names.get(number, str(number)) for number in events.tolist()], pa.string()),
        "sample": epochs.events[:, 0].astype(np.int64),
    }
    if epochs.metadata is not None:
        table = as_table(epochs.metadata)
        for name, column in zip(table.column_names, table.columns, strict=True):
            array = column.combine_chunks()
            array = array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)
            kind = numbers(array.type)
            own = f"{name}_metadata" if name in (SIGNAL, *facts) else name
            facts[own] = array if kind is None else as_array(array, kind)
    return facts
