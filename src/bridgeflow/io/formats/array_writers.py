"""Recordings into arrays `[time, channels]` in HDF5 and Zarr."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from bridgeflow._optional import require
from bridgeflow.io.commit import Overwrite, publish
from bridgeflow.io.files import data_error
from bridgeflow.io.formats.arrays import FACTS
from bridgeflow.io.recording_content import RecordingContent, RecordingOutput, facts_of

__all__ = ["Hdf5Output", "ZarrOutput"]

_CHUNK_BYTES = 1 << 20


class _ArrayOutput(RecordingOutput):
    """Everything: attributes of the array say what its values cannot."""

    def __init__(self, path: Path, content: RecordingContent) -> None:
        super().__init__(path, content)
        self._group = self.only_group("an array")
        self.losses = []
        wide = any(one.dtype in ("int64", "uint64") for one in self._group.channels)
        if wide and self._group.dtype.kind == "f":
            self.losses = ["integers of 64 bits beside floats"]

    @property
    def _shape(self) -> tuple[int, int]:
        return self._group.track.length, len(self._group.channels)

    @property
    def _chunks(self) -> tuple[int, int]:
        length, count = self._shape
        return max(1, min(length, _CHUNK_BYTES // (count * self._group.dtype.itemsize))), count

    @property
    def _attributes(self) -> dict[str, Any]:
        channels = self._group.channels
        names, units = [one.name for one in channels], [one.unit for one in channels]
        return {"fs": float(self._group.rate), "channels": names, "units": units}

    def _facts(self) -> str:
        return json.dumps(facts_of(self.content, [str(row) for row in range(self._shape[1])]))

    def _fill(self, array: Any) -> None:
        if not self._shape[0]:
            return
        for start, stop in self._group.spans(0, self._shape[0]):
            array[start:stop] = self._group.block(start, stop).T
            self.content.on_samples((stop - start) * self._shape[1])


class Hdf5Output(_ArrayOutput):
    """A dataset `signal`, compressed, with checksums; the rest stands beside it as text."""

    def write(self, *, overwrite: Overwrite) -> None:
        """Write the file."""
        h5py = require("h5py", needed_for="writing HDF5")
        with publish(self.path, overwrite=overwrite) as output, h5py.File(output.file, "w") as file:
            array = file.create_dataset(
                "signal",
                self._shape,
                self._group.dtype,
                chunks=self._chunks if self._shape[0] else None,
                compression="gzip" if self._shape[0] else None,
                compression_opts=1 if self._shape[0] else None,
                shuffle=bool(self._shape[0]),
                fletcher32=bool(self._shape[0]),
            )
            for name, value in self._attributes.items():
                array.attrs[name] = value
            file.create_dataset(f"signal.{FACTS}", data=self._facts(), dtype=h5py.string_dtype())
            self._fill(array)


class ZarrOutput(_ArrayOutput):
    """An array at the root of a folder, whose chunks have checksums."""

    def write(self, *, overwrite: Overwrite) -> None:
        """Write a folder beside it, which then takes its name."""
        zarr = require("zarr", needed_for="writing Zarr")
        target = Path(os.path.abspath(self.path))
        if os.path.lexists(target) and not overwrite:
            remedy = "pass --overwrite (overwrite=True) to replace it, or write to another path"
            raise data_error(target, "exists already", remedy)
        if os.path.lexists(target) and not (target / "zarr.json").exists() and not (target / ".zarray").exists():
            raise data_error(target, "is something else than a Zarr array", "write to another path")
        part, old = (target.with_name(f".{target.name}.{os.getpid()}.{word}") for word in ("part", "old"))
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            codecs = [zarr.codecs.ZstdCodec(level=1), zarr.codecs.Crc32cCodec()]
            array = zarr.create_array(
                store=str(part),
                shape=self._shape,
                dtype=self._group.dtype,
                chunks=self._chunks,
                compressors=codecs,
                attributes={**self._attributes, FACTS: json.loads(self._facts())},
            )
            self._fill(array)
            if os.path.lexists(target):
                os.rename(target, old)
            os.rename(part, target)
        except BaseException:
            if old.exists() and not target.exists():
                os.rename(old, target)
            raise
        finally:
            for folder in (part, old):
                with suppress(FileNotFoundError):
                    shutil.rmtree(folder)
