"""Recordings into EDF+ (16 bits) and BDF+ (24 bits): records of whole samples, with annotations.

The fields of the header have 8 characters for a number, so that not every scale, rate and length can be said; what
cannot is a loss. Source: https://www.edfplus.info/specs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from math import gcd, isfinite, lcm, log
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from bridgeflow.errors import listed
from bridgeflow.io.commit import Overwrite, publish
from bridgeflow.io.files import data_error
from bridgeflow.io.formats.edf import MONTHS
from bridgeflow.io.recording_content import RecordingContent, RecordingOutput, SampleGroup, losses_of
from bridgeflow.io.recording_file import Channel

__all__ = ["EdfOutput"]

_RECORD_BYTES, _MOST_RECORD_BYTES = 61_440, 1 << 24
"""Bytes of a record that the specification recommends at most, and that are written at most."""

_AT_ONCE = 1 << 20


class _Digital(NamedTuple):
    """How a channel's numbers stand in the file: digital range, physical range as texts, and whether the numbers are
    the channel's own rather than rounded values."""

    least: int
    most: int
    low: str
    high: str
    is_exact: bool = True

    @property
    def scale(self) -> float:
        """Units per step, as readers compute it."""
        return (float(self.high) - float(self.low)) / (self.most - self.least)

    @property
    def offset(self) -> float:
        """The physical value of 0."""
        return float(self.low) - self.least * self.scale


class EdfOutput(RecordingOutput):
    """EDF+, or BDF+ where the path says so."""

    def __init__(self, path: Path, content: RecordingContent) -> None:
        super().__init__(path, content)
        if not content.groups:
            raise data_error(path, "has no channels", "choose another recording")
        self._bits = 24 if path.suffix.lower() == ".bdf" else 16
        self.losses = losses_of(
            content,
            ("names", "units", "scale", "rate", "start", "events", "durations", "gaps"),
            metadata=("patient", "recording"),
        )
        self._places = sorted(
            (number, group, row) for group, one in enumerate(content.groups) for row, number in enumerate(one.numbers)
        )
        self._rounded: dict[str, list[str]] = {}
        self._digital = {
            (group, row): self._choose_digital(content.groups[group], row) for _, group, row in self._places
        }
        for what, names in self._rounded.items():
            self.losses.append(f"{what} of {listed(names, most=3)}, rounded to {self._bits} bits")
        self._note_lost_texts()
        self._duration = self._choose_duration()

    # --- what can be said ---

    def _choose_digital(self, group: SampleGroup, row: int) -> _Digital:
        """The numbers of a channel as they are, where the header can say their scale; else values rounded to it."""
        channel, least, most = group.channels[row], -(1 << (self._bits - 1)), (1 << (self._bits - 1)) - 1
        narrow = ("int8", "uint8", "int16") if self._bits == 16 else ("int8", "uint8", "int16", "uint16")
        if channel.dtype in narrow and (full := _said(channel, np.array([least]), np.array([most]))) is not None:
            return full
        one = group.ranges[row]
        if one.has_nan or not (isfinite(one.low) and isfinite(one.high)):
            raise data_error(
                self.path, "EDF has no NaN and no infinity", "make gaps of them (nulls)", column=channel.name
            )
        said = None
        if one.is_whole and least <= one.low and one.high <= most:
            said = _said(channel, *_digital_ranges(self._bits, int(one.low), int(one.high)))
        if said is not None:
            return said
        what = "the exact scale" if one.is_whole else f"{channel.dtype} values"
        if one.is_whole and not (least <= one.low and one.high <= most):
            what = f"values beyond {self._bits} bits"
        self._rounded.setdefault(what, []).append(channel.name)
        low, high = sorted(one_end * channel.scale + channel.offset for one_end in (one.low, one.high))
        return _Digital(least, most, *_outer_range(self.path, channel, low, high), is_exact=False)

    def _note_lost_texts(self) -> None:
        for channel in self.content.channels:
            for what, text, most in (("name", channel.name, 16), ("unit", _unit(channel), 8)):
                if len(text) > most or not text.isascii() or not text.isprintable() or text != text.strip():
                    self.losses.append(f"the {what} {text!r} (EDF has {most} ASCII characters)")
        if not (self._about().isascii() and self._patient().isascii()):
            self.losses.append("characters other than ASCII in metadata")
        about = self.content.metadata.get("recording")
        if about is not None and about != self._about():
            self.losses.append("metadata (recording)")

    def _choose_duration(self) -> Fraction:
        """Seconds of a record, of which every segment holds a whole number where that can be."""
        groups = self.content.groups
        seconds = [[Fraction(stop - start) / group.rate for start, stop in group.stretches] for group in groups]
        onsets = {tuple(segment.onset for segment in group.track.segments) for group in groups}
        if any(one != seconds[0] for one in seconds) or len(onsets) > 1:
            raise data_error(self.path, "channels differ in length or gaps", "choose channels that do not")
        width = self._bits // 8 * sum(len(group.channels) * float(group.rate) for group in groups)
        if not seconds[0]:
            return Fraction(lcm(*(group.rate.denominator for group in groups)))
        whole = reduce(_common, seconds[0])
        parts = reduce(gcd, (int(group.rate * whole) for group in groups))
        if all((group.rate * whole).denominator == 1 for group in groups):
            fitting = [
                whole / part
                for part in _divisors(parts)
                if _decimal_text(whole / part) is not None and float(whole / part) * width <= _MOST_RECORD_BYTES
            ]
            if fitting:
                return min(fitting, key=lambda one: (float(one) * width > _RECORD_BYTES, abs(log(one)), one))
        if len(seconds[0]) > 1:
            raise data_error(self.path, "its segments are no whole number of records", "write Parquet or HDF5")
        duration = Fraction(lcm(*(group.rate.denominator for group in groups)))
        if float(duration) * width > _MOST_RECORD_BYTES or _decimal_text(duration) is None:
            raise data_error(self.path, "its rates fit no record of EDF", "write Parquet or HDF5")
        added = -seconds[0][0] % duration
        self.losses.append(f"its exact length ({float(added):g} s of its last values are added to fill a record)")
        return duration

    # --- writing ---

    def write(self, *, overwrite: Overwrite) -> None:
        """Write record by record; the header's number of records is known before."""
        records = list(self._records())
        notes = self._notes(records)
        with publish(self.path, overwrite=overwrite) as output:
            output.file.write(self._header(len(records), len(notes[0]) if notes else self._bits // 8 * 8))
            self._write_records(output.file, notes)

    def _records(self) -> Iterator[Decimal]:
        """When each record begins, in seconds from the header's start."""
        begin = Decimal(0) if self.content.start is None else Decimal(self.content.start.microsecond) / 1_000_000
        group = self.content.groups[0]
        step = Decimal(_decimal_text(self._duration) or "1")
        for start, stop, onset in group.track.segments:
            for number in range(self._count(group, start, stop)):
                yield begin + Decimal(repr(onset)) + number * step

    def _count(self, group: SampleGroup, start: int, stop: int) -> int:
        return -(-(stop - start) // int(group.rate * self._duration))

    def _notes(self, records: list[Decimal]) -> list[bytes]:
        """The annotations of each record, of one length: when it begins, and some of the events."""
        begins = [_annotation(begin, None, "") for begin in records]
        offset = Decimal(0) if self.content.start is None else Decimal(self.content.start.microsecond) / 1_000_000
        events = [
            _annotation(Decimal(repr(onset)) + offset, duration, text)
            for onset, duration, text in self.content.event_rows()
        ]
        if not records:
            if events:
                raise data_error(self.path, "has events and no samples", "EDF keeps events in records of samples")
            return []
        longest = max(map(len, events), default=0)
        share = -(-sum(map(len, events)) // len(records)) if events else 0
        size = max(map(len, begins)) + (share + longest if events else 0)
        size = -(-size // (self._bits // 8)) * (self._bits // 8)
        notes, number = [], 0
        for begin in begins:
            note = begin
            while number < len(events) and len(note) + len(events[number]) <= size:
                note += events[number]
                number += 1
            notes.append(note.ljust(size, b"\0"))
        assert number == len(events)
        return notes

    def _write_records(self, file: BinaryIO, notes: list[bytes]) -> None:
        groups = self.content.groups
        samples = [int(group.rate * self._duration) for group in groups]
        width = sum(count * len(group.channels) for count, group in zip(samples, groups, strict=True))
        at_once = max(1, _AT_ONCE // width)
        done = 0
        for segment in range(len(groups[0].track.segments)):
            start, stop, _ = groups[0].track.segments[segment]
            count = self._count(groups[0], start, stop)
            for first in range(0, count, at_once):
                last = min(first + at_once, count)
                blocks = [
                    self._block(number, segment, first * samples[number], last * samples[number])
                    for number in range(len(groups))
                ]
                pieces = [blocks[group][row].reshape(last - first, -1) for _, group, row in self._places]
                data = self._packed(np.concatenate(pieces, axis=1))
                for record in range(last - first):
                    file.write(data[record].tobytes() + notes[done])
                    done += 1
                self.content.on_samples(sum(map(np.size, pieces)))

    def _block(self, number: int, segment: int, first: int, last: int) -> list[np.ndarray]:
        """Samples of a segment as the file's numbers; the last one again beyond its end."""
        group = self.content.groups[number]
        start, stop, _ = group.track.segments[segment]
        end = min(start + last, stop)
        rows = []
        for row, x in enumerate(group.rows(start + first, end)):
            digital, channel = self._digital[number, row], group.channels[row]
            if not digital.is_exact:
                x = x.astype(np.float64) * channel.scale + channel.offset
                x = np.rint((x - digital.offset) / digital.scale).clip(digital.least, digital.most)
            rows.append(np.pad(x.astype(np.int32), (0, start + last - end), mode="edge"))
        return rows

    def _packed(self, numbers: np.ndarray) -> np.ndarray:
        if self._bits == 16:
            return numbers.astype("<i2")
        wide = np.ascontiguousarray(numbers.astype("<i4")).view(np.uint8).reshape(len(numbers), -1, 4)
        return np.ascontiguousarray(wide[:, :, :3])

    def _header(self, records: int, note_bytes: int) -> bytes:
        content, width = self.content, self._bits // 8
        channels = [(content.groups[group].channels[row], self._digital[group, row]) for _, group, row in self._places]
        samples = [int(content.groups[group].rate * self._duration) for _, group, _ in self._places]
        start = content.start or datetime(1985, 1, 1)
        is_apart = len(content.groups[0].track.segments) > 1
        kind = ("BDF+" if self._bits == 24 else "EDF+") + ("D" if is_apart else "C")
        count = len(channels) + 1
        least, most = str(-(1 << (self._bits - 1))), str((1 << (self._bits - 1)) - 1)
        fields = [
            (b"\xffBIOSEMI" if self._bits == 24 else b"0       "),
            _field(self._patient(), 80),
            _field(self._about(), 80),
            _field(f"{start:%d.%m.}{start.year % 100:02}", 8),
            _field(f"{start:%H.%M.%S}", 8),
            _field(str(256 * (count + 1)), 8),
            _field(kind, 44),
            _field(str(records), 8),
            _field(_decimal_text(self._duration) or "1", 8),
            _field(str(count), 4),
            *(_field(one.name, 16) for one, _ in channels),
            _field("BDF Annotations" if self._bits == 24 else "EDF Annotations", 16),
            b" " * 80 * count,
            *(_field(_unit(one), 8) for one, _ in channels),
            b" " * 8,
            *(_field(text, 8) for text in (*(one.low for _, one in channels), "-1")),
            *(_field(text, 8) for text in (*(one.high for _, one in channels), "1")),
            *(_field(text, 8) for text in (*(str(one.least) for _, one in channels), least)),
            *(_field(text, 8) for text in (*(str(one.most) for _, one in channels), most)),
            b" " * 80 * count,
            *(_field(str(number), 8) for number in (*samples, note_bytes // width)),
            b" " * 32 * count,
        ]
        return b"".join(fields)

    def _patient(self) -> str:
        return str(self.content.metadata.get("patient") or "X X X X")[:80]

    def _about(self) -> str:
        about, start = str(self.content.metadata.get("recording") or ""), self.content.start
        if start is None:
            return "Startdate X X X X"
        said = f"Startdate {start.day:02}-{MONTHS[start.month - 1]}-{start.year:04}"
        return about[:80] if about.startswith(said) else f"{said} X X X"


def _common(a: Fraction, b: Fraction) -> Fraction:
    """The greatest number of which both are multiples."""
    return Fraction(gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


def _divisors(number: int) -> list[int]:
    small = [one for one in range(1, int(number**0.5) + 1) if number % one == 0] if number < 1 << 42 else [1]
    return sorted({*small, *(number // one for one in small)})


def _decimal_text(number: Fraction) -> str | None:
    """A number in at most 8 characters, where they say it exactly."""
    text = f"{float(number):.7f}".rstrip("0").rstrip(".")
    return text if len(text) <= 8 and number > 0 and Fraction(text) == number else None


def _nearest_text(value: float) -> str:
    """The number nearest to a value in 8 characters."""
    for decimals in range(7, -1, -1):
        text = f"{value:.{decimals}f}"
        if len(text) <= 8:
            text = text.rstrip("0").rstrip(".") if "." in text else text
            return "0" if text in ("-0", "") else text
    return f"{value:.2e}".replace("e+0", "e+").replace("e+", "e")


def _said(channel: Channel, least: np.ndarray, most: np.ndarray) -> _Digital | None:
    """The first pair of digital numbers whose physical values 8 characters say, so that the scale is the channel's."""
    for low, high in zip(least.tolist(), most.tolist(), strict=True):
        ends = [_nearest_text(end * channel.scale + channel.offset) for end in (low, high)]
        if any(len(text) > 8 for text in ends) or ends[0] == ends[1]:
            continue
        said = _Digital(low, high, ends[0], ends[1])
        is_scale = abs(said.scale - channel.scale) <= 1e-12 * abs(channel.scale)
        if is_scale and abs(said.offset - channel.offset) <= 1e-12 * max(
            abs(channel.offset), abs(channel.scale) * high
        ):
            return said
    return None


def _digital_ranges(bits: int, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Digital ranges that hold all samples, to be tried in this order: the full one, those of other converters, and
    symmetric ones."""
    full = 1 << (bits - 1)
    pairs = [(-full, full - 1), (1 - full, full - 1)]
    for power in range(bits - 1, 0, -1):
        top = 1 << power
        pairs += [(-top, top - 1), (1 - top, top - 1), (0, top - 1)]
    pairs += [(-top, top) for top in range(min(full - 1, 1 << 15), 0, -1)]
    pairs += [(0, top) for top in range(min(full - 1, 1 << 15), 0, -1)]
    kept = np.array([(a, b) for a, b in pairs if a <= low and high <= b], np.int64).reshape(-1, 2)
    return kept[:, 0], kept[:, 1]


def _outer_range(path: Path, channel: Channel, low: float, high: float) -> tuple[str, str]:
    """Physical values of 8 characters that hold a range; different ones."""
    for widening in (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2):
        room = widening * max(abs(low), abs(high), high - low)
        texts = _nearest_text(low - room), _nearest_text(high + room)
        if max(map(len, texts)) <= 8 and float(texts[0]) <= low and high <= float(texts[1]) and texts[0] != texts[1]:
            return texts
    if low == high and max(map(len, texts := (_nearest_text(low - 1), _nearest_text(high + 1)))) <= 8:
        return texts
    problem = f"values from {low:g} to {high:g} do not fit into a header of EDF"
    raise data_error(path, problem, "write Parquet or HDF5", column=channel.name)


def _field(text: str, width: int) -> bytes:
    return text.encode("ascii", "replace")[:width].ljust(width)


def _unit(channel: Channel) -> str:
    """The unit, spelled as the specification does."""
    return channel.unit.replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")


def _annotation(onset: Decimal, duration: float | None, text: str) -> bytes:
    clean = "".join(" " if character in "\0\x14\x15" else character for character in text)
    seconds = b"" if duration is None else b"\x15" + _seconds(Decimal(repr(duration))).encode()
    return (
        f"{'-' if onset < 0 else '+'}{_seconds(abs(onset))}".encode() + seconds + b"\x14" + clean.encode() + b"\x14\0"
    )


def _seconds(value: Decimal) -> str:
    text = format(round(value, 12), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
