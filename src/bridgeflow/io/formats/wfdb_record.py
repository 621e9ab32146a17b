"""WFDB records of PhysioNet: a header (.hea), its files of samples, and annotations (wfdb).

Everything that a header names must lie beside it. Samples that a file marks as missing are refused, or become NaN.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from math import ceil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from bridgeflow._forks import ForkLock
from bridgeflow._optional import require
from bridgeflow.io.files import data_error, not_supported, open_regular, printable
from bridgeflow.io.recording_file import (
    EVENTS,
    Channel,
    Header,
    ReadOptions,
    RecordingReader,
    Segment,
    Track,
    events_table,
    exact_rate,
)

__all__ = ["NOTE", "NO_UNIT", "annotation_symbols", "files_of", "open_recording"]

_MISSING = {"80": 7, "508": 7, "310": 9, "311": 9, "212": 11, "16": 15, "61": 15, "160": 15, "516": 15, "524": 23}
_MISSING |= {"24": 23, "32": 31}
"""Formats to the exponent of the code for a missing sample, which is -2^n; format 8 has none."""

_THIRDS: Mapping[str, int | Fraction] = {
    "8": 3,
    "80": 3,
    "16": 6,
    "61": 6,
    "160": 6,
    "24": 9,
    "32": 12,
    "212": Fraction(9, 2),
    "310": 4,
    "311": 4,
}
"""Thirds of a byte that a sample takes; compressed formats are not among them."""

NOTE = '"'
"""The symbol of annotations that are what their text says."""

NO_UNIT = "NU"
"""What stands for the unit of values without one."""

_ANNOTATORS = ("atr", "ari", "qrs", "st", "apn")
"""Suffixes of annotation files, the first of which that is there is read."""

_QUIET = ForkLock()


class WfdbReader(RecordingReader):
    """Reads stretches of frames through wfdb. The header of a record of one segment is parsed once, as it takes longer
    than most stretches; records of several segments are put together by wfdb, which parses their headers each time.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        os.close(open_regular(path))
        self._path = path
        self._wfdb = _wfdb()
        self._record = str(path.with_suffix(""))
        self._is_nan = options.nulls != "error"
        head = self._wfdb.rdheader(self._record)
        self._fs = exact_rate(head.fs)
        if hasattr(head, "seg_name"):
            self._begin_many(head)
        else:
            self._begin_one(head)

    def _begin_one(self, head: Any) -> None:
        """A record of one segment: counts, unless missing samples are to be NaN."""
        if not head.n_sig:
            raise data_error(self._path, "has no signals", "choose another record")
        length = head.sig_len = self._require_files(self._path, head)
        self._head = head
        self._per_frame = [int(one) for one in head.samps_per_frame]
        self._codes = [None if form not in _MISSING else -(2 ** _MISSING[form]) for form in head.fmt]
        self._physical = False
        channels = []
        for number, form in enumerate(head.fmt):
            gain, baseline = float(head.adc_gain[number] or 200.0), float(head.baseline[number] or 0)
            wide = "int32" if form in ("24", "32", "524") else "int16"
            channels.append(
                self._channel(head, number, 1 / gain, -baseline / gain, "float64" if self._is_nan else wide)
            )
        tracks = tuple(Track.whole(length * each) for each in self._per_frame)
        self._finish(head, tuple(channels), tracks)

    def _begin_many(self, head: Any) -> None:
        """A record of several segments, whose scales may differ: physical values. Empty segments are gaps."""
        parts: list[tuple[int, int, str]] = []
        start = 0
        layout = None
        for name, length in zip(head.seg_name, head.seg_len, strict=True):
            file = self._beside(f"{name}.hea") if name != "~" else None
            part = None if file is None else self._wfdb.rdheader(str(file.with_suffix("")))
            if part is not None and hasattr(part, "seg_name"):
                raise data_error(self._path, f"names {printable(name, 60)}, which has segments too", "it is damaged")
            if file is not None and part is not None and length and self._require_files(file, part) < length:
                raise data_error(self._path, f"says {length:,} samples in {printable(name, 60)}", "it is cut off")
            layout = part if layout is None else layout
            if length and part is not None:
                parts.append((start, start + length, name))
            start += length
        if layout is None or not layout.n_sig:
            raise data_error(self._path, "has no segment with signals", "choose another record")
        if start != head.sig_len or any(one != 1 for one in layout.samps_per_frame):
            problem = f"has segments of {start:,} samples in all, and {head.sig_len} in its header"
            if start == head.sig_len:
                raise not_supported(self._path, "has segments with several samples in a frame", "convert it")
            raise data_error(self._path, problem, "it is damaged")
        self._per_frame = [1] * layout.n_sig
        self._codes = [None] * layout.n_sig
        self._physical = True
        channels = tuple(self._channel(layout, number, 1.0, 0.0, "float64") for number in range(layout.n_sig))
        joined: list[Segment] = []
        for first, last, _ in parts:
            if joined and joined[-1].stop == first:
                joined[-1] = joined[-1]._replace(stop=last)
            else:
                joined.append(Segment(first, last, float(first / self._fs)))
        self._finish(head, channels, (Track(start, tuple(joined)),) * layout.n_sig)

    def _channel(self, head: Any, number: int, scale: float, offset: float, dtype: str) -> Channel:
        return Channel(
            name=head.sig_name[number] or f"signal {number}",
            rate=self._fs * int(head.samps_per_frame[number]),
            unit="" if head.units[number] == NO_UNIT else head.units[number] or "mV",
            scale=scale,
            offset=offset,
            dtype=dtype,
        )

    def _finish(self, head: Any, channels: tuple[Channel, ...], tracks: tuple[Track, ...]) -> None:
        start = None
        if head.base_date is not None and head.base_time is not None:
            start = datetime.combine(head.base_date, head.base_time)
        metadata = {"comments": list(head.comments)} if head.comments else {}
        self.header = Header(channels=channels, tracks=tracks, start=start, metadata=metadata)

    def _beside(self, name: str) -> Path:
        """A file that the header names, which must be a plain name."""
        if not name or Path(name).name != name or not set(name).isdisjoint('\\:*?"<>|\0') or name.startswith("."):
            raise data_error(self._path, f"names the file {printable(name, 100)!r}", "its files must lie beside it")
        return self._path.parent / name

    def _require_files(self, path: Path, head: Any) -> int:
        """The number of frames, for which the files of samples must have bytes enough."""
        length = head.sig_len
        for name in dict.fromkeys(head.file_name or ()):
            if name == "~" or name is None:
                continue
            file = self._beside(name)
            members = [number for number, one in enumerate(head.file_name) if one == name]
            form = head.fmt[members[0]]
            os.close(open_regular(file))
            if form not in _THIRDS:
                if form not in _MISSING:
                    raise not_supported(path, f"has samples of format {printable(form, 20)}", "convert it")
                if length is None:
                    raise data_error(path, "does not say its length", "add it to the header")
                continue
            width = sum(int(head.samps_per_frame[number]) for number in members)
            nbytes = os.stat(file).st_size - int(head.byte_offset[members[0]] or 0)
            if width < 1 or nbytes < 0:
                raise data_error(path, f"says {width} samples in a frame of {printable(name, 60)}", "it is damaged")
            if length is None:
                length = int(nbytes * 3 / (_THIRDS[form] * width))
            needed = ceil(_THIRDS[form] * width * length / 3)
            if nbytes < needed:
                problem = f"{printable(name, 60)} is cut off: {nbytes:,} of {needed:,} bytes of samples"
                raise data_error(path, problem, "copy it again")
        return int(length or 0)

    def read(self, channels: Sequence[int], start: int, stop: int) -> np.ndarray:
        """Samples of the frames that the stretch touches; those that are missing refused, or NaN."""
        each = self._per_frame[channels[0]]
        first, last = start // each, -(-stop // each)
        dtype = np.result_type(*(self.header.channels[number].dtype for number in channels))
        result = np.empty((len(channels), stop - start), dtype)
        if start == stop:
            return result
        distinct = list(dict.fromkeys(channels))
        signals = self._signals(distinct, first, last)
        for row, number in enumerate(channels):
            values = np.asarray(signals[distinct.index(number)])[start - first * each :][: stop - start]
            code = self._codes[number]
            missing = np.isnan(values) if self._physical else values == code if code is not None else None
            if missing is None or not missing.any():
                result[row] = values
            elif self._is_nan:
                result[row] = np.where(missing, np.nan, values)
            else:
                name = self.header.channels[number].name
                problem = f"sample {start + int(missing.argmax()):,} is missing"
                raise data_error(self._path, problem, 'pass nulls="nan" or nulls="gap"', column=name)
        return result

    def _signals(self, channels: list[int], first: int, last: int) -> list[np.ndarray]:
        """Frames `first` to `last` of channels, as `wfdb.rdrecord` reads them."""
        if self._physical:
            record = self._wfdb.rdrecord(
                self._record,
                sampfrom=first,
                sampto=last,
                channels=channels,
                physical=True,
                smooth_frames=False,
                return_res=64,
            )
            return list(record.e_p_signal)
        head = self._head
        if not 0 <= first < last <= head.sig_len:
            raise ValueError(f"frames {first:,} to {last:,} of {head.sig_len:,}")
        read: Any = self._wfdb.io._signal._rd_segment
        signals: list[np.ndarray] = read(
            file_name=head.file_name,
            dir_name=str(self._path.parent),
            pn_dir=None,
            fmt=head.fmt,
            n_sig=head.n_sig,
            sig_len=head.sig_len,
            byte_offset=head.byte_offset,
            samps_per_frame=head.samps_per_frame,
            skew=head.skew,
            init_value=head.init_value,
            sampfrom=first,
            sampto=last,
            channels=channels,
            ignore_skew=False,
            no_file=False,
            sig_data=None,
            return_res=64,
        )
        return signals

    def events(self) -> pa.Table:
        """The annotations: the symbol, followed by the text beside it; of notes the text alone."""
        suffix = next((one for one in _ANNOTATORS if os.path.exists(f"{self._record}.{one}")), None)
        if suffix is None:
            return EVENTS.empty_table()
        with open(f"{self._record}.{suffix}", "rb") as file:
            notes = _annotations(file.read(), annotation_symbols())
        fs = float(self._fs)
        rows = []
        for sample, symbol, text in notes:
            if sample == 0 and text.startswith("## time resolution:"):
                fs = float(exact_rate(float(text.partition(":")[2])))
            elif not (sample == 0 and text.startswith("##")):
                words = (text,) if symbol == NOTE and text else (symbol, text)
                rows.append((sample / fs, None, " ".join(word for word in words if word)))
        return events_table(rows)


def files_of(path: Path) -> list[Path]:
    """A header, and the files of samples that it and the headers of its segments name; those that exist."""
    lines = [line.split() for line in path.read_text("latin-1").splitlines() if line.strip() and line[0] != "#"]
    names = dict.fromkeys(words[0] for words in lines[1:])
    beside = [path.parent / name for name in names if Path(name).name == name and "\0" not in name]
    if lines and "/" in lines[0][0]:  # of several segments, each of which has a header
        parts = [part for part in (one.with_name(f"{one.name}.hea") for one in beside) if part.is_file()]
        return [path, *(file for part in parts if part != path for file in _files_of_segment(part))]
    return [path, *(one for one in beside if one.is_file())]


def _files_of_segment(path: Path) -> list[Path]:
    """Those of one segment, which has none itself."""
    lines = [line.split() for line in path.read_text("latin-1").splitlines() if line.strip() and line[0] != "#"]
    beside = [path.parent / words[0] for words in lines[1:] if Path(words[0]).name == words[0]]
    return [path, *dict.fromkeys(one for one in beside if one.is_file())]


def open_recording(path: Path, options: ReadOptions) -> WfdbReader:
    """The reader of the record of a header."""
    return WfdbReader(path.absolute(), options)


def _wfdb() -> ModuleType:
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what wfdb asks of pandas is deprecated
        return require("wfdb", needed_for="reading WFDB records")


def annotation_symbols() -> dict[int, str]:
    """Codes of annotations to their symbols."""
    return {label.label_store: label.symbol for label in _wfdb().io.annotation.ann_labels}


_SKIP, _NUMBER, _SUBTYPE, _CHANNEL, _TEXT = 59, 60, 61, 62, 63
"""Codes of words that say more about an annotation."""


def _annotations(data: bytes, symbols: Mapping[int, str]) -> list[tuple[int, str, str]]:
    """Sample, symbol and text of each annotation in the MIT format. wfdb's own reader never ends on some damaged files.

    Source: https://physionet.org/physiotools/wag/annot-5.htm.
    """
    notes: list[tuple[int, str, str]] = []
    sample = position = 0
    while position + 2 <= len(data):
        word = int.from_bytes(data[position : position + 2], "little")
        position += 2
        code, number = word >> 10, word & 0x3FF
        if not word:
            if position != len(data):
                raise ValueError(f"{len(data) - position} bytes after the end of the annotations")
            return notes
        if code == _SKIP:
            if position + 4 > len(data):
                break
            high, low = data[position : position + 2], data[position + 2 : position + 4]
            sample += int.from_bytes(low + high, "little", signed=True)
            position += 4
        elif code == _TEXT:
            if not notes or position + number > len(data):
                break
            text = data[position : position + number].split(b"\0")[0].decode("utf-8", "replace").strip()
            notes[-1] = (*notes[-1][:2], text)
            position += number + number % 2
        elif code not in (_NUMBER, _SUBTYPE, _CHANNEL):
            sample += number
            if code:
                notes.append((sample, symbols.get(code, f"[{code}]"), ""))
    raise ValueError("the annotations have no end")
