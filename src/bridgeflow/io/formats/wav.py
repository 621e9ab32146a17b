"""wav: sampled audio, PCM or float, read strictly and in place, with its sampling rate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from bridgeflow.bridge import describe, to_numpy
from bridgeflow.bridge.tracing import at
from bridgeflow.errors import BridgeflowError, StageId
from bridgeflow.io.base import Columns, Format, Reader, Writer
from bridgeflow.io.files import data_error
from bridgeflow.io.formats import wav_chunks
from bridgeflow.io.formats.wav_chunks import ENCODINGS, Samples
from bridgeflow.io.full_scale import to_unit, unit_dtype
from bridgeflow.io.mapped import MappedFile
from bridgeflow.io.opened import OpenedFile
from bridgeflow.io.options import OpenOptions, WriterOptions

__all__ = ["FORMATS"]

NAME = "values"
"""What the one column is called where the reader does not say; the format itself has no names."""


class WavReader(Reader):
    """A map of the file. Samples are what `scipy.io.wavfile` makes of them: 24 bits become int32, left-justified; or
    normalized what `soundfile` does: floats between -1 and 1.

    Of one name the column is `[frames]`, or with several channels `[frames, channels]`; as many names as there are
    channels give each a column `[frames]` of its own.
    """

    file: MappedFile
    random_access = True

    def __init__(self, opened: OpenedFile, options: OpenOptions) -> None:
        path, columns = opened.path, options.columns
        self.file = MappedFile(opened, mapped=options.mapped)
        self._samples = samples = wav_chunks.parse(self.file.bytes)
        self._names = tuple(columns or (NAME,))
        if len(self._names) not in (1, samples.channels) or len(set(self._names)) < len(self._names):
            problem = f"has {samples.channels} channels, got the names {', '.join(self._names)}"
            raise data_error(path, problem, "give one name for all, or one for each")
        self._dtype = np.dtype("int32" if samples.encoding == "int24" else samples.encoding)
        self._normalized = options.normalize and self._dtype.kind != "f"
        self.rows = samples.frames
        self.settings = {"fs": samples.rate}
        shape = (self.rows,) if samples.channels == 1 or len(self._names) > 1 else (self.rows, samples.channels)
        dtype = unit_dtype(samples.encoding) if self._normalized else self._dtype
        empty = describe(np.empty((0, *shape[1:]), dtype))
        spec = replace(empty, shape=shape, nbytes=None, strides=None, flags=frozenset())
        self.specs = dict.fromkeys(self._names, replace(spec, nbytes=spec.expected_nbytes()))
        options.require_small(path, samples.frames * samples.channels * dtype.itemsize, len(self.file.data))

    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """A view of the map, but for 24-bit samples, and those that do not lie on multiples of their size."""
        self.file.require_unchanged()
        begin = self._samples.begin + start * self._samples.frame_bytes
        end = self._samples.begin + stop * self._samples.frame_bytes
        if self._samples.encoding != "int24" and begin % self._dtype.itemsize:
            raw = self.file.copy(begin, end)
        else:
            is_decoded = self._normalized or self._samples.encoding == "int24"
            raw = self.file.private(begin, end) if writable and not is_decoded else self.file.view(begin, end)
        return self._columns(self._decoded(raw.reshape(stop - start, self._samples.frame_bytes)), writable)

    def take(self, indices: Any) -> Columns:
        """Frames gathered from the map."""
        self.file.require_unchanged()
        frame = self._samples.frame_bytes
        chosen = self.file.gather(frame, self._samples.begin + indices * frame)
        return self._columns(self._decoded(chosen.view(np.uint8).reshape(len(indices), frame)), writable=True)

    def _decoded(self, raw: Any) -> Any:
        """Frames `[n, bytes]` as samples `[n, channels]`."""
        shape = (len(raw), self._samples.channels)
        if self._samples.encoding == "int24":
            samples = wav_chunks.left_justified(raw.reshape(*shape, 3))
        else:
            samples = raw.view(self._dtype.newbyteorder("<")).reshape(shape)
        return to_unit(samples, self._samples.encoding) if self._normalized else samples

    def _columns(self, samples: Any, writable: bool) -> Columns:
        if len(self._names) == 1:
            return {self._names[0]: samples[:, 0] if self._samples.channels == 1 else samples}
        each = (samples[:, channel] for channel in range(self._samples.channels))
        return {name: one.copy() if writable else one for name, one in zip(self._names, each, strict=True)}


class WavWriter(Writer):
    """Writes one column, `[frames]` or `[frames, channels]`, or several `[frames]`, which become the channels.

    The header is written twice, because only the end knows how many frames there were.
    """

    dtypes: ClassVar[tuple[str, ...]] = tuple(ENCODINGS)
    has_full_scale: ClassVar[bool] = True

    def __init__(self, file: BinaryIO, path: Path, first: Columns, options: WriterOptions) -> None:
        self._file = file
        self._path = path
        fs = options.settings.get("fs")
        if fs is None:
            raise data_error(path, "a wav file says its sampling rate, and none is known", "set `fs` of the source")
        if fs != int(fs) or not 1 <= fs < 1 << 32:
            raise data_error(path, f"a wav file cannot say a sampling rate of {fs:g} Hz", "resample to whole hertz")
        frames = self._frames(first)
        encoding = options.dtype or str(frames.dtype)
        if encoding not in ENCODINGS:
            remedy = f"set the sink's `dtype` to one of {', '.join(ENCODINGS)}"
            raise data_error(path, f"a wav file has no {encoding} samples", remedy)
        self._dtype, channels = frames.dtype, frames.shape[1]
        self._samples = Samples(encoding=encoding, rate=int(fs), channels=channels, frames=0, begin=0)
        if not 0 < channels * self._dtype.itemsize < 1 << 16:
            raise data_error(path, f"{channels} channels do not fit into a wav file's frames", "write several files")
        file.write(wav_chunks.header(self._samples))

    def _frames(self, columns: Columns) -> np.ndarray:
        """The samples `[frames, channels]`."""
        channels = []
        for name, column in columns.items():
            try:
                with at(f"$.{name}", StageId((), "sink")):
                    array = to_numpy(column)
            except BridgeflowError as error:
                raise data_error(self._path, f"has no place in a wav file: {error}", column=name) from error
            if array.ndim > (2 if len(columns) == 1 else 1):
                problem = f"has shape {array.shape}, and a wav file holds time steps by channels"
                raise data_error(self._path, problem, "write one recording, not a batch of them", column=name)
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
            channels.append(array if array.ndim > 1 else array[:, None])
        if len({array.dtype for array in channels}) > 1:
            types = ", ".join(f"{name} {array.dtype}" for name, array in zip(columns, channels, strict=True))
            raise data_error(self._path, f"channels of one type make a wav file, got {types}", "set the sink's `dtype`")
        return channels[0] if len(channels) == 1 else np.concatenate(channels, axis=1)

    def append(self, columns: Columns) -> None:
        """Write frames."""
        frames = self._frames(columns)
        if frames.dtype != self._dtype or frames.shape[1] != self._samples.channels:
            got, before = f"{frames.shape[1]} of {frames.dtype}", f"{self._samples.channels} of {self._dtype}"
            raise data_error(self._path, f"channels: {got} after {before}", "write one type and shape throughout")
        packed = np.ascontiguousarray(frames, frames.dtype.newbyteorder("<")).view(np.uint8)
        if self._samples.encoding == "int24":
            packed = packed.reshape(*frames.shape, 4)[..., 1:]
        self._file.write(np.ascontiguousarray(packed).reshape(-1).data)
        self._samples = replace(self._samples, frames=self._samples.frames + len(frames))

    def finish(self) -> None:
        """Write the byte that makes the size even, and the sizes into the header."""
        self._file.write(b"\0" * (self._samples.frames * self._samples.frame_bytes % 2))
        self._file.seek(0)
        self._file.write(wav_chunks.header(self._samples))


FORMATS = (
    Format(
        name="wav",
        suffixes=(".wav", ".wave", ".rf64"),
        magic=(b"RIFF", b"RF64", b"BW64"),
        about="sampled audio: PCM of 8 to 32 bits or float, RF64 beyond 4 GiB, with its sampling rate",
        reader=WavReader,
        writer=WavWriter,
    ),
)
