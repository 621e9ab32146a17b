"""Recordings into files whose rows are time steps: Parquet, Arrow, npz, npy and wav."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bridgeflow.io.commit import Overwrite
from bridgeflow.io.files import data_error
from bridgeflow.io.formats.wav_chunks import ENCODINGS
from bridgeflow.io.recording_content import Facet, RecordingContent, RecordingOutput, facts_of, losses_of
from bridgeflow.io.sink import open_sink

__all__ = ["ArrowOutput", "NpyOutput", "NpzOutput", "ParquetOutput", "WavOutput"]


class _RowsOutput(RecordingOutput):
    """A column of each channel."""

    format: ClassVar[str]
    holds: ClassVar[tuple[Facet, ...]]

    def __init__(self, path: Path, content: RecordingContent) -> None:
        super().__init__(path, content)
        self._group = self.only_group(self.format)
        self.losses = losses_of(content, self.holds)

    @property
    def _names(self) -> list[str]:
        return [channel.name for channel in self._group.channels]

    def _settings(self) -> Mapping[str, Any]:
        return {"fs": float(self._group.rate)}

    def _columns(self, rows: list[np.ndarray]) -> Mapping[str, np.ndarray]:
        return dict(zip(self._names, rows, strict=True))

    def write(self, *, overwrite: Overwrite) -> None:
        """Write block by block."""
        group = self._group
        normalize = False if self.format == "wav" else None
        with open_sink(
            self.path, format=self.format, overwrite=overwrite, settings=self._settings(), normalize=normalize
        ) as sink:
            for start, stop in group.spans(0, group.track.length):
                sink.write(dict(self._columns(group.rows(start, stop))))
                self.content.on_samples((stop - start) * len(group.channels))


class ParquetOutput(_RowsOutput):
    """Everything: what columns cannot say stands in the schema's metadata."""

    format = "parquet"
    holds = ("names", "units", "scale", "rate", "start", "zone", "events", "durations", "gaps")

    def __init__(self, path: Path, content: RecordingContent) -> None:
        super().__init__(path, content)
        self.losses = []

    @property
    def _names(self) -> list[str]:
        """The names of channels, each but once."""
        names: list[str] = []
        for channel in self._group.channels:
            name = channel.name or "channel"
            number = 2
            while name in names:
                name, number = f"{channel.name or 'channel'} #{number}", number + 1
            names.append(name)
        return names

    def _settings(self) -> Mapping[str, Any]:
        return {**super()._settings(), "recording": facts_of(self.content, self._names)}


class ArrowOutput(ParquetOutput):
    """As Parquet."""

    format = "arrow"


class NpzOutput(_RowsOutput):
    """An array of each channel, and the rate."""

    format = "npz"
    holds = ("names", "rate")

    def _columns(self, rows: list[np.ndarray]) -> Mapping[str, np.ndarray]:
        if len(set(self._names)) < len(self._names):
            raise data_error(self.path, "channels share a name, and an npz file has one array of each", "rename them")
        return super()._columns(rows)


class NpyOutput(_RowsOutput):
    """One array `[time, channels]`, and no rate."""

    format = "npy"
    holds = ()

    def _settings(self) -> Mapping[str, Any]:
        return {}

    def _columns(self, rows: list[np.ndarray]) -> Mapping[str, np.ndarray]:
        block = np.stack(rows, axis=1).astype(self._group.dtype, copy=False)
        return {"signal": block[:, 0] if block.shape[1] == 1 else block}


class WavOutput(_RowsOutput):
    """Samples at a whole rate; integers are parts of full scale."""

    format = "wav"
    holds = ("rate",)

    def __init__(self, path: Path, content: RecordingContent) -> None:
        super().__init__(path, content)
        dtype = self._group.dtype
        if dtype.name not in ENCODINGS:
            kinds = ", ".join(name for name in ENCODINGS if name != "int24")
            remedy = "write Parquet, or physical values"
            raise data_error(path, f"a wav file has no {dtype} samples, only {kinds}", remedy)
        full = 2.0 ** (1 - 8 * dtype.itemsize) if dtype.kind == "i" else 1.0
        at_full_scale = all(one.scale == full and not one.offset for one in self._group.channels)
        self.losses = losses_of(content, ("rate", "scale") if at_full_scale else self.holds)

    def _columns(self, rows: list[np.ndarray]) -> Mapping[str, np.ndarray]:
        return {"signal": np.stack(rows, axis=1).astype(self._group.dtype, copy=False)}
