"""EDF, EDF+, BDF and BDF+: a header of fixed fields, then records that hold a stretch of every signal.

The header and the annotations are read here and not by a library: edfio reads all samples of a BDF file to open it, and
mends a file that is cut off with a warning; the tests compare all values with edfio's.

Source: B. Kemp, J. Olivan, "European data format 'plus' (EDF+), an EDF alike standard format for the exchange of
physiological data", Clinical Neurophysiology 114 (2003); https://www.edfplus.info/specs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from bridgeflow.io.files import data_error
from bridgeflow.io.opened import OpenedFile, open_here
from bridgeflow.io.recording_file import Channel, Header, ReadOptions, RecordingReader, Segment, Track, events_table

__all__ = ["MONTHS", "open_recording"]

_MAIN = (8, 80, 80, 8, 8, 8, 44, 8, 8, 4)
"""Widths of the fields of the main header."""

_SIGNAL = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
"""Widths of the fields of a signal."""

_BLOCK = 1 << 22
"""Bytes of records that are read at a time."""

_FEW = 64
"""Pieces up to which each is read by itself."""

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


class _Signal(NamedTuple):
    """One signal of the file: samples in a record, and the byte of the record where they begin."""

    label: str
    samples: int
    byte: int


class _Event(NamedTuple):
    """One onset of annotations: seconds from the start in the header, seconds or `None`, and texts."""

    onset: Decimal
    duration: Decimal | None
    texts: tuple[str, ...]


class EdfReader(RecordingReader):
    """Reads stretches out of records."""

    def __init__(self, opened: OpenedFile) -> None:
        self._path = path = opened.path
        self._opened = opened
        fields = self._fields(self._pread(256, 0), _MAIN, 1)
        self._is_bdf = fields[0][0] == b"\xffBIOSEMI"
        if not self._is_bdf and fields[0][0].strip() != b"0":
            raise data_error(path, f"is not an EDF or BDF file: it begins with {fields[0][0]!r}", "check its format")
        self._width = 3 if self._is_bdf else 2
        _, patient, about, date, time, nbytes, reserved, records, duration, count = (field[0] for field in fields)
        signals = _whole(count, "number of signals", least=0)
        self._begin = 256 * (signals + 1)
        if _whole(nbytes, "size of the header", least=0) != self._begin:
            raise data_error(path, f"says a header of {_text(nbytes)} bytes for {signals} signals", "it is damaged")
        self._duration = _number(duration, "duration of a record")
        if self._duration < 0:
            raise data_error(path, f"says records of {_text(duration)} s", "it is damaged")
        columns = self._fields(self._pread(256 * signals, 256), _SIGNAL, signals)
        self._signals = self._parse_signals(columns)
        self._record = self._width * sum(signal.samples for signal in self._signals)
        self._records = self._count_records(_whole(records, "number of records", least=-1))
        self._notes = [signal for signal in self._signals if signal.label == self._annotation_label]
        self._onset = Decimal(0)
        header_start = _start(_text(date), _text(time), _text(about))
        segments = self._segments(is_discontinuous=_text(reserved)[3:5] == "+D")
        start = None
        if header_start is not None and abs(self._onset) < 86_400:
            start = header_start + timedelta(seconds=float(self._onset))
        kept = [number for number, signal in enumerate(self._signals) if signal.label != self._annotation_label]
        self._kept = [self._signals[number] for number in kept]
        if not self._duration and self._kept:
            raise data_error(path, "says records of 0 s with signals", "it is damaged", column=self._kept[0].label)
        of_rate = {
            samples: Track(self._records * samples, tuple(_scaled(segments, samples)))
            for samples in {signal.samples for signal in self._kept}
        }
        fields = [columns[place] for place in (0, 2, 3, 4, 5, 6)]
        channels = tuple(
            _channel(*(column[number] for column in fields), signal.samples, duration, self._is_bdf)
            for number, signal in zip(kept, self._kept, strict=True)
        )
        tracks = tuple(of_rate[signal.samples] for signal in self._kept)
        metadata = {"patient": _text(patient), "recording": _text(about), "format": _text(reserved)}
        self.header = Header(
            channels=channels,
            tracks=tracks,
            start=start,
            metadata={name: value for name, value in metadata.items() if value},
        )

    @property
    def _annotation_label(self) -> str:
        return "BDF Annotations" if self._is_bdf else "EDF Annotations"

    @staticmethod
    def _fields(data: bytes, widths: Sequence[int], count: int) -> list[list[bytes]]:
        """The fields of these widths, each `count` times."""
        fields = []
        position = 0
        for width in widths:
            end = position + width * count
            fields.append([data[place : place + width] for place in range(position, end, width)])
            position = end
        return fields

    def _parse_signals(self, columns: list[list[bytes]]) -> list[_Signal]:
        signals = []
        byte = 0
        for label, samples in zip(columns[0], columns[8], strict=True):
            number = _whole(samples, "samples in a record", least=1)
            signals.append(_Signal(_text(label), number, byte))
            byte += number * self._width
        return signals

    def _count_records(self, said: int) -> int:
        """The number of records, which the size of the file must bear out."""
        nbytes = self._opened.nbytes - self._begin
        if said == -1 and self._record and nbytes % self._record == 0:  # the writer did not come back to the header
            return nbytes // self._record
        if said < 0 or said * self._record != nbytes:
            what = "is cut off" if nbytes < said * self._record else "does not fit its header"
            problem = f"{what}: {nbytes:,} bytes of data, and {said:,} records of {self._record:,} bytes in the header"
            raise data_error(self._path, problem, "copy it again, or correct its header")
        return said

    def _segments(self, *, is_discontinuous: bool) -> list[Segment]:
        """Stretches of records without a gap, in records."""
        if not self._records:
            return []
        if not self._notes:
            return [Segment(0, self._records, 0.0)]
        numbers = range(self._records) if is_discontinuous else range(1)
        onsets = [self._record_onset(number) for number in numbers]
        self._onset = onsets[0]
        most = max((signal.samples for signal in self._signals), default=1)
        tolerance = self._duration / most / 2
        borders = [0]
        for number, onset in enumerate(onsets[1:], 1):
            late = onset - onsets[borders[-1]] - self._duration * (number - borders[-1])
            if late < -tolerance:
                raise data_error(self._path, f"record {number:,} begins before the one before it ends", "it is damaged")
            if late > tolerance:
                borders.append(number)
        ends = [*borders[1:], self._records]
        return [
            Segment(start, stop, float(onsets[start] - self._onset)) for start, stop in zip(borders, ends, strict=True)
        ]

    def _record_onset(self, number: int) -> Decimal:
        first = next(self._events_of(number, self._notes[0]), None)
        if first is None:
            raise data_error(self._path, f"record {number:,} does not say when it begins", "it is damaged")
        return first.onset

    def _events_of(self, record: int, signal: _Signal) -> Iterator[_Event]:
        data = self._pread(signal.samples * self._width, self._begin + record * self._record + signal.byte)
        for text in data.split(b"\0"):
            if text:
                yield _annotation(text)

    def events(self) -> pa.Table:
        """The annotations of all records; those that say when a record begins are left out."""
        events = []
        for record in range(self._records):
            for signal in self._notes:
                for onset, duration, texts in self._events_of(record, signal):
                    seconds = float(onset - self._onset)
                    events += [(seconds, None if duration is None else float(duration), text) for text in texts if text]
        return events_table(sorted(events, key=lambda event: event[0]))

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Samples of the records that the stretch touches."""
        signals = [self._kept[number] for number in channels]
        samples = signals[0].samples
        result = np.empty((len(signals), stop - start), np.int32 if self._is_bdf else np.int16)
        first, last = start // samples, -(-stop // samples)
        at_once = max(1, _BLOCK // self._record)
        asked = len(signals) * samples * self._width
        is_apart = self._record > _BLOCK or ((last - first) * len(signals) <= _FEW and 4 * asked < self._record)
        for begin in range(first, last, 1 if is_apart else at_once):
            end = min(begin + (1 if is_apart else at_once), last)
            low, high = max(start, begin * samples), min(stop, end * samples)
            if is_apart:
                for row, signal in enumerate(signals):
                    byte = self._begin + begin * self._record + signal.byte + (low - begin * samples) * self._width
                    result[row, low - start : high - start] = self._numbers(
                        self._pread((high - low) * self._width, byte)
                    )
                continue
            data = self._pread((end - begin) * self._record, self._begin + begin * self._record)
            records = np.frombuffer(data, np.uint8).reshape(end - begin, self._record)
            for row, signal in enumerate(signals):
                part = records[:, signal.byte : signal.byte + samples * self._width].tobytes()
                result[row, low - start : high - start] = self._numbers(part)[low - begin * samples :][: high - low]
        return result

    def _numbers(self, data: bytes) -> np.ndarray:
        if not self._is_bdf:
            return np.frombuffer(data, "<i2")
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0] >> 8

    def _pread(self, nbytes: int, begin: int) -> bytes:
        data = self._opened.read_at(nbytes, begin)
        if len(data) != nbytes:
            raise data_error(self._path, f"is cut off: no {nbytes:,} bytes at byte {begin:,}", "copy it again")
        return data


def open_recording(path: Path, options: ReadOptions) -> EdfReader:
    """The reader of a file."""
    return EdfReader(open_here(path))


@lru_cache(maxsize=4096)
def _channel(
    label: bytes,
    unit: bytes,
    low: bytes,
    high: bytes,
    least: bytes,
    most: bytes,
    samples: int,
    duration: bytes,
    wide: bool,
) -> Channel:
    """The channel of these fields, kept because the files of a study have the same ones."""
    physical = _float(low, "physical minimum"), _float(high, "physical maximum")
    digital = _float(least, "digital minimum"), _float(most, "digital maximum")
    scale, offset = 1.0, 0.0
    if digital[0] != digital[1] and physical[0] != physical[1]:
        scale = (physical[1] - physical[0]) / (digital[1] - digital[0])
        offset = physical[0] - digital[0] * scale
    dtype = "int32" if wide else "int16"
    return Channel(
        name=_text(label), rate=_rate(samples, duration), unit=_text(unit), scale=scale, offset=offset, dtype=dtype
    )


@lru_cache(maxsize=256)
def _rate(samples: int, duration: bytes) -> Fraction:
    """The same object for the channels of a file."""
    return samples / Fraction(_number(duration, "duration of a record"))


def _scaled(segments: list[Segment], samples: int) -> Iterator[Segment]:
    """Segments in samples, from those in records."""
    for start, stop, onset in segments:
        yield Segment(start * samples, stop * samples, onset)


def _text(field: bytes) -> str:
    return field.decode("latin-1").strip(" \0")


_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


@lru_cache(maxsize=1024)
def _whole(field: bytes, what: str, *, least: int) -> int:
    text = field.decode("latin-1").strip(" ")
    if not _WHOLE.fullmatch(text) or int(text) < least:
        raise ValueError(f"the {what} is {text!r}")
    return int(text)


def _number(field: bytes, what: str) -> Decimal:
    text = field.decode("latin-1").strip(" ")
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"the {what} is {text!r}")
    return Decimal(text)


def _float(field: bytes, what: str) -> float:
    text = field.decode("latin-1").strip(" ")
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"the {what} is {text!r}")
    return float(text)


def _start(date: str, time: str, about: str) -> datetime | None:
    """The start that the header says; `None` where the date is left out (`X` in EDF+) or is none."""
    if date == "01.01.85" and about.startswith("Startdate X"):
        return None
    day = re.fullmatch(r"(\d\d)\.(\d\d)\.(\d\d)", date, re.ASCII)
    clock = re.fullmatch(r"(\d\d)[.:](\d\d)[.:](\d\d)", time, re.ASCII)
    if day is None or clock is None:
        return None
    full = re.match(r"Startdate (\d\d)-([A-Z]{3})-(\d{4})\b", about, re.ASCII)
    try:
        if full is not None and full[2] in MONTHS:
            year, month, number = int(full[3]), MONTHS.index(full[2]) + 1, int(full[1])
        else:
            year, month, number = int(day[3]) + (1900 if int(day[3]) >= 85 else 2000), int(day[2]), int(day[1])
        return datetime(year, month, number, int(clock[1]), int(clock[2]), int(clock[3]))
    except ValueError:
        return None


_ONSET = re.compile(rb"([+-]\d{1,15}(?:\.\d{0,15})?)(?:\x15(\d{1,15}(?:\.\d{0,15})?))?\x14")


def _annotation(data: bytes) -> _Event:
    """A list of annotations with their onset: `+1.5<21>2<20>text<20>`."""
    match = _ONSET.match(data)
    if match is None or not data.endswith(b"\x14"):
        raise ValueError(f"an annotation is {data[:40]!r}")
    texts = data[match.end() : -1].decode("utf-8") if match.end() < len(data) else ""
    try:
        onset, duration = Decimal(match[1].decode()), None if match[2] is None else Decimal(match[2].decode())
    except InvalidOperation:
        raise ValueError(f"an annotation is {data[:40]!r}") from None
    return _Event(onset, duration, tuple(texts.split("\x14")))
