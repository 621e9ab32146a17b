"""Recordings into WFDB records: a header, a file of samples in format 16 or 32, and annotations.

Source: https://physionet.org/physiotools/wag/header-5.htm, signal-5.htm and annot-5.htm.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bridgeflow.errors import listed
from bridgeflow.io.commit import Overwrite, publish
from bridgeflow.io.files import data_error
from bridgeflow.io.formats.wfdb_record import NO_UNIT, NOTE, annotation_symbols
from bridgeflow.io.recording_content import RecordingContent, RecordingOutput, losses_of
from bridgeflow.io.recording_file import Channel, exact_rate

__all__ = ["WfdbOutput"]

_LONGEST_TEXT = 255
"""Bytes of the text of an annotation that other programs read."""

_SKIP, _TEXT = 59, 63
_MOST_SKIP = (1 << 31) - 1
_MOST_STEP = 1023


class WfdbOutput(RecordingOutput):
    """Integers of 16 or 32 bits; gaps hold the code of missing samples. The header is published last."""

    def __init__(self, path: Path, content: RecordingContent) -> None:
        super().__init__(path, content)
        if not re.fullmatch(r"[A-Za-z0-9_-]+", path.stem):
            raise data_error(path, f"a record cannot be called {path.stem!r}", "use letters, digits, - and _")
        self._group = self.only_group("a WFDB record")
        self.losses = losses_of(
            content, ("names", "units", "scale", "rate", "start", "events", "gaps"), metadata=("comments",)
        )
        self._bits = 16
        self._require_integers()
        self._code = -(1 << (self._bits - 1))
        if exact_rate(float(self._group.rate)) != self._group.rate:
            self.losses.append(f"the exact rate ({self._group.rate} Hz)")
        self._note_inexact("scale", (one for one in self._group.channels if not _is_said(one)))
        self._note_inexact("unit", (one for one in self._group.channels if re.search(r"\s", one.unit)))
        self._note_inexact("name", (one for one in self._group.channels if " ".join(one.name.split()) != one.name))
        self._places = self._segments()
        self._symbols = {symbol: code for code, symbol in annotation_symbols().items()}
        self._resolution = self._time_resolution()

    def _note_inexact(self, what: str, channels: Iterable[Channel]) -> None:
        if names := [repr(channel.name) for channel in channels]:
            self.losses.append(f"the exact {what} of {listed(names, most=3)}")

    def _require_integers(self) -> None:
        """Choose 16 or 32 bits, of which the lowest number is the code of missing samples."""
        narrow = ("int8", "uint8", "int16")
        for channel, one in zip(self._group.channels, self._group.ranges, strict=True):
            if not one.is_whole:
                problem = f"holds integers, and {channel.name} has {channel.dtype} values with fractions"
                raise data_error(self.path, f"a WFDB record {problem}", "write Parquet or HDF5")
            if channel.dtype not in narrow or one.low <= -(1 << 15):
                fits = one.low > -(1 << 15) and one.high < 1 << 15
                self._bits = self._bits if fits else 32
            if not -(1 << 31) < one.low <= one.high < 1 << 31:
                raise data_error(self.path, f"{channel.name} has values of more than 32 bits", "write Parquet or HDF5")

    def _segments(self) -> list[tuple[int, int, int]]:
        """First and last sample of each segment, and the frame where it begins."""
        places: list[tuple[int, int, int]] = []
        for start, stop, onset in self._group.track.segments:
            frame = Fraction(onset) * self._group.rate
            if abs(frame - round(frame)) > Fraction(1, 1000):
                self.losses.append(f"the exact time of a segment ({onset:g} s)")
            if places and round(frame) < places[-1][2] + places[-1][1] - places[-1][0]:
                raise data_error(self.path, f"the segment at {onset:g} s begins before the last one ends", "cut it off")
            places.append((start, stop, round(frame)))
        return places

    def _time_resolution(self) -> float:
        """The steps in a second that annotations count, so that their times are kept."""
        onsets = [onset for onset, _, _ in self.content.event_rows()]
        if any(onset < 0 for onset in onsets):
            self.losses.append("events before the start")
        texts = [text for _, _, text in self.content.event_rows()]
        if any(len(_parts(text, self._symbols)[1].encode()) > _LONGEST_TEXT for text in texts):
            self.losses.append(f"texts of events beyond {_LONGEST_TEXT} bytes")
        for steps in (float(self._group.rate), 1e3, 1e6):
            if all(round(onset * steps) / steps == onset for onset in onsets):
                return steps
        self.losses.append("the exact times of events (kept to 1 us)")
        return 1e6

    def write(self, *, overwrite: Overwrite) -> None:
        """Write the samples, then annotations, then the header that names them."""
        with ExitStack() as stack:
            header = stack.enter_context(publish(self.path, overwrite=overwrite))
            if self.content.events.num_rows:
                notes = stack.enter_context(publish(self.path.with_suffix(".atr"), overwrite=overwrite))
                notes.file.write(self._annotations())
            samples = stack.enter_context(publish(self.path.with_suffix(".dat"), overwrite=overwrite))
            first, sums = self._write_samples(samples.file)
            header.file.write(self._header(first, sums).encode())

    def _write_samples(self, file: BinaryIO) -> tuple[np.ndarray, np.ndarray]:
        """Write the frames; the first one, and the sums of all by channel."""
        group, kind = self._group, np.dtype(f"<i{self._bits // 8}")
        count = len(group.channels)
        first, sums, frame = np.zeros(count, np.int64), np.zeros(count, np.int64), 0
        for begin, end, place in self._places:
            while frame < place:
                missing = min(place - frame, max(1, (1 << 20) // count))
                file.write(np.full((missing, count), self._code, kind).tobytes())
                sums += missing * self._code
                frame += missing
            for start, stop in group.spans(begin, end):
                rows = [
                    np.where(np.isnan(x), self._code, x) if x.dtype.kind == "f" else x for x in group.rows(start, stop)
                ]
                frames = np.stack([x.astype(kind) for x in rows], axis=1)
                if start == begin and not place:
                    first = frames[0].astype(np.int64)
                sums += frames.sum(axis=0, dtype=np.int64)
                file.write(frames.tobytes())
                self.content.on_samples(frames.size)
            frame += end - begin
        return first, sums

    def _header(self, first: np.ndarray, sums: np.ndarray) -> str:
        group, content = self._group, self.content
        length = max((place + stop - start for start, stop, place in self._places), default=0)
        rate = np.format_float_positional(float(group.rate), trim="-")
        words = [self.path.stem, len(group.channels), rate, length]
        if content.start is not None:
            words += [content.start.strftime("%H:%M:%S.%f"), content.start.strftime("%d/%m/%Y")]
        lines = [" ".join(map(str, words))]
        for row, channel in enumerate(group.channels):
            gain, baseline = _gain(channel)
            unit = re.sub(r"\s", "_", channel.unit) or NO_UNIT
            checksum = (int(sums[row]) + (1 << 15)) % (1 << 16) - (1 << 15)
            name = " ".join(channel.name.split())
            words = [f"{self.path.stem}.dat", self._bits, f"{gain!r}({baseline})/{unit}", self._bits, 0, first[row]]
            lines.append(" ".join(map(str, [*words, checksum, 0, name])))
        comments = content.metadata.get("comments", ())
        lines += [f"# {line}" for line in ([comments] if isinstance(comments, str) else comments)]
        return "\n".join(lines) + "\n"

    def _annotations(self) -> bytes:
        """The annotations in the MIT format."""
        data = bytearray()
        time = 0
        notes = [(round(onset * self._resolution), text) for onset, _, text in self.content.event_rows() if onset >= 0]
        if self._resolution != float(self._group.rate):
            data += _note(0, self._symbols[NOTE], f"## time resolution: {round(self._resolution)}".encode())
        for place, text in sorted(notes, key=lambda note: note[0]):
            symbol, aux = _parts(text, self._symbols)
            data += _note(place - time, self._symbols[symbol], aux.encode()[:_LONGEST_TEXT])
            time = place
        return bytes(data) + b"\0\0"


def _gain(channel: Channel) -> tuple[float, int]:
    """Steps per unit, and the step of the physical 0, which give the scale and the offset of the channel."""
    gain = 1 / channel.scale
    near = (gain, math.nextafter(gain, math.inf), math.nextafter(gain, -math.inf))
    gain = next((one for one in near if 1 / one == channel.scale), gain)
    return gain, round(-channel.offset * gain)


def _is_said(channel: Channel) -> bool:
    """Whether gain and baseline give the scale and the offset of the channel."""
    gain, baseline = _gain(channel)
    is_offset = abs(-baseline / gain - channel.offset) <= 1e-12 * max(abs(channel.offset), abs(channel.scale))
    return is_offset and abs(1 / gain - channel.scale) <= 1e-15 * abs(channel.scale)


def _parts(text: str, symbols: Mapping[str, int]) -> tuple[str, str]:
    """The symbol of an annotation, and the text beside it."""
    symbol, _, aux = text.partition(" ")
    if symbol in symbols and symbol != NOTE and aux == aux.strip():
        return symbol, aux
    return NOTE, text


def _word(code: int, number: int) -> bytes:
    return (code << 10 | number).to_bytes(2, "little")


def _note(step: int, code: int, text: bytes) -> bytes:
    """An annotation so many steps after the one before it."""
    data = bytearray()
    while step > _MOST_STEP:
        skip = min(step, _MOST_SKIP)
        number = skip.to_bytes(4, "little")
        data += _word(_SKIP, 0) + number[2:] + number[:2]
        step -= skip
    data += _word(code, step)
    if text:
        data += _word(_TEXT, len(text)) + text + b"\0" * (len(text) % 2)
    return bytes(data)
