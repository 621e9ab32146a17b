"""Recordings in memory with the interface that lazy windows read: columns with rates, lengths and segments."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa


@dataclass
class Column:
    """A column in memory, and how often samples of it were read."""

    values: np.ndarray
    fs: float = 100.0
    segments: tuple[tuple[int, int], ...] = ()
    samples_read: int = 0

    def __post_init__(self):
        self.segments = self.segments or ((0, self.values.shape[-1]),)

    @property
    def onsets(self):
        return tuple(first / self.fs for first, _ in self.segments)

    @property
    def shape(self):
        return self.values.shape[:-1]

    @property
    def dtype(self):
        return self.values.dtype

    @property
    def length(self):
        return self.values.shape[-1]

    def read(self, start, stop):
        assert 0 <= start <= stop <= self.length
        self.samples_read += stop - start
        return self.values[..., start:stop]


@dataclass
class Recording:
    id: str
    columns: dict[str, Column]
    labels: dict[str, object] = field(default_factory=dict)


class Recordings:
    """A sequence of recordings with a table."""

    def __init__(self, recordings):
        self._recordings = list(recordings)
        self.table = pa.table({"id": [one.id for one in self._recordings]})

    def __len__(self):
        return len(self._recordings)

    def __getitem__(self, number):
        return self._recordings[number]


def of_arrays(*arrays, fs=100.0, segments=(), **labels):
    """Recordings of one column `signal` each; labels are lists with a value for each recording."""
    return Recordings(
        Recording(f"r{n}", {"signal": Column(values, fs, segments)}, {name: each[n] for name, each in labels.items()})
        for n, values in enumerate(arrays)
    )
