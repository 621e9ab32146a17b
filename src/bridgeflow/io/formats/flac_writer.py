"""Recordings into FLAC (soundfile): 16 or 24 bits, at a whole rate."""

from __future__ import annotations

from pathlib import Path

from bridgeflow._optional import require
from bridgeflow.io.commit import Overwrite, publish
from bridgeflow.io.files import data_error
from bridgeflow.io.recording_content import Facet, RecordingContent, RecordingOutput, losses_of

__all__ = ["FlacOutput"]

_SUBTYPES = {"int16": "PCM_16", "int32": "PCM_24"}
_MOST_CHANNELS, _MOST_RATE = 8, 655_350


class FlacOutput(RecordingOutput):
    """Integers at full scale; those of 32 bits must have 8 zero bits below, as 24 bits do that were read."""

    def __init__(self, path: Path, content: RecordingContent) -> None:
        super().__init__(path, content)
        self._group = self.only_group("FLAC")
        dtype, rate, count = self._group.dtype, self._group.rate, len(self._group.channels)
        if dtype.name not in _SUBTYPES:
            raise data_error(path, f"FLAC holds integers of 16 and 24 bits, got {dtype}", "write wav or Parquet")
        if rate.denominator != 1 or rate > _MOST_RATE or count > _MOST_CHANNELS:
            limits = f"whole rates up to {_MOST_RATE:,} Hz and {_MOST_CHANNELS} channels"
            raise data_error(path, f"FLAC holds {limits}, got {count} at {float(rate):g} Hz", "write Parquet")
        full = 2.0 ** (1 - 8 * dtype.itemsize)
        at_full_scale = all(one.scale == full and not one.offset for one in self._group.channels)
        holds: tuple[Facet, ...] = ("rate", "scale") if at_full_scale else ("rate",)
        self.losses = losses_of(content, holds)

    def write(self, *, overwrite: Overwrite) -> None:
        """Encode block by block."""
        soundfile = require("soundfile", needed_for="writing FLAC")
        group = self._group
        layout = {"samplerate": int(group.rate), "channels": len(group.channels), "format": "FLAC"}
        with (
            publish(self.path, overwrite=overwrite) as output,
            soundfile.SoundFile(output.file, "w", subtype=_SUBTYPES[group.dtype.name], **layout) as file,
        ):
            for start, stop in group.spans(0, group.track.length):
                frames = group.block(start, stop).T
                if group.dtype.itemsize == 4 and (frames & 0xFF).any():
                    raise data_error(self.path, "has samples of more than 24 bits", "write wav or Parquet")
                file.write(frames)
                self.content.on_samples((stop - start) * len(group.channels))
