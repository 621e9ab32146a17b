"""WebDataset's tar shards: files that share a name before its first dot are a row, their endings are columns.

`sample.ecg.npy`, `sample.label.cls` and `sample.meta.json` make a row with the columns `ecg`, `label` and `meta`. No
pickle is opened, and no member is written anywhere.
"""

from __future__ import annotations

import json
import re
import tarfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy

from bridgeflow.bridge import describe, to_numpy
from bridgeflow.bridge.tracing import at
from bridgeflow.errors import BridgeflowError, StageId
from bridgeflow.io.arrow_take import no_rows
from bridgeflow.io.audio_bytes import as_objects, read_audio
from bridgeflow.io.base import Columns, Format, Reader, Writer, pick_columns
from bridgeflow.io.columns import Nulls, column_spec, to_batch
from bridgeflow.io.commit import canonical
from bridgeflow.io.files import data_error, not_supported
from bridgeflow.io.formats.npy import MAX_HEADER, npy_header
from bridgeflow.io.formats.tar_members import BLOCK, Member, members, require_plain_name
from bridgeflow.io.mapped import WIDEST, MappedFile
from bridgeflow.io.opened import OpenedFile
from bridgeflow.io.options import OpenOptions, WriterOptions
from bridgeflow.io.plain import as_array, gather, numbers
from bridgeflow.spec import ArraySpec

__all__ = ["FORMATS"]

KEY: Final = "__key__"
"""The column of what the files of a row are called, as WebDataset has it."""

RATE: Final = "fs"
"""After the name of a column of audio, the name of the column of its rates in Hz."""

_SETTINGS, _SCHEMA = "BRIDGEFLOW.settings", "BRIDGEFLOW.schema"
"""Records of global headers: what a job stores, and the columns of a file without rows, as Arrow's base 64."""

_INTEGERS: Final = ("cls", "cls2", "class", "count", "index", "inx", "id")
_TEXTS: Final = ("txt", "text", "transcript")
_JSON: Final = ("json", "jsn")
_AUDIO: Final = ("wav", "flac", "ogg", "mp3")
_PICKLES: Final = ("pyd", "pickle", "pkl", "pth", "pt")


class _Column(NamedTuple):
    """The files of a column, one for each row, and their kind by their ending."""

    kind: str
    files: Sequence[Member]


class _Layout(NamedTuple):
    """Where arrays of one shape and type lie."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    offsets: Any


class WebDatasetReader(Reader):
    """A map of the file. Arrays of one shape are gathered out of it, numbers and text are read when it is opened,
    audio is decoded when it is asked for.
    """

    file: MappedFile

    def __init__(self, opened: OpenedFile, options: OpenOptions) -> None:
        path = opened.path
        self.file = MappedFile(opened, mapped=options.mapped)
        keys, present, self.settings = self._rows(list(members(self.file.bytes, path)))
        empty = {} if keys else self._no_rows()
        audio = {f"{name}_{RATE}": name for name, one in present.items() if one.kind in _AUDIO}
        offered = list(empty) + [
            each for name in present for each in (name, *(rate for rate, of in audio.items() if of == name))
        ]
        names = pick_columns(path, options.columns, [KEY, *offered])
        self.rows = len(keys)
        self._read: dict[str, Callable[[Any], Any]] = {}
        specs: dict[str, ArraySpec] = {}
        small = partial(options.require_small, path, nbytes=len(self.file.data))
        for name in names:
            if name == KEY:
                specs[name] = self._hold(name, pa.array(keys, pa.string()))
            elif name in empty:
                specs[name] = self._hold(name, empty[name])
            elif name in audio:
                specs[name] = ArraySpec(kind="numpy", dtype="float64", shape=(self.rows,))
            elif present[name].kind in _AUDIO:
                specs[name] = ArraySpec(kind="numpy", dtype="float32", shape=(self.rows, None))
            else:
                specs[name] = self._open(name, present[name])
        self.specs = specs
        self._audio = {name: present[name].files for name in dict.fromkeys([*audio.values()]) if name in names}
        self._audio |= {audio[name]: present[audio[name]].files for name in names if name in audio}
        self._small = small
        self.random_access = not self._audio
        small(sum(spec.nbytes or 0 for spec in specs.values()))

    def _rows(self, files: list[Member]) -> tuple[list[str], dict[str, _Column], dict[str, Any]]:
        """The names of the rows, their columns, and what a job stored."""
        path = self.file.path
        settings: dict[str, Any] = {}
        self._schema: str | None = None
        rows: dict[str, dict[str, Member]] = {}
        latest = ""
        for member in files:
            if member.settings is not None:
                settings = _settings(path, member.settings) or settings
                self._schema = member.settings.get(_SCHEMA, self._schema)
                continue
            match = re.fullmatch(r"((?:.*/)?[^./]+)\.([^/]+)", member.name)
            if match is None:  # as WebDataset: what has no ending is no part of a row
                continue
            key, ending = match[1], match[2].lower()
            if (key in rows) != (key == latest):
                raise data_error(path, f"the files of the row {key!r} do not follow each other", "write it again")
            row = rows.setdefault(key, {})
            if ending in row:
                raise data_error(path, f"has two files {member.name!r}", "write it again")
            row[ending], latest = member, key
        endings = list(dict.fromkeys(ending for row in rows.values() for ending in row))
        columns: dict[str, _Column] = {}
        for ending in endings:
            lacking = next((key for key, row in rows.items() if ending not in row), None)
            name = _name_of(ending, endings)
            if lacking is None:
                columns[name] = _Column(ending.rpartition(".")[2], [row[ending] for row in rows.values()])
            else:
                columns[name] = _Column("", [rows[lacking].get(ending, Member(f"{lacking}.{ending}", 0, 0))])
        return list(rows), columns, settings

    def _no_rows(self) -> dict[str, pa.Array]:
        """The columns of a file of ours without rows."""
        if self._schema is None:
            return {}
        try:
            schema = pa.ipc.read_schema(pa.py_buffer(b64decode(self._schema, validate=True)))
        except (ValueError, OSError) as error:
            raise data_error(self.file.path, "has columns that cannot be read", "write it again") from error
        return {field.name: no_rows(field.type) for field in schema if field.name != KEY}

    def _open(self, name: str, column: _Column) -> ArraySpec:
        """Learn what a column is, and how its rows are read."""
        path, kind = self.file.path, column.kind
        if not kind:
            problem = f"there is no {column.files[0].name!r}, and every row has the same files"
            raise data_error(path, problem, "leave the column out with `columns`", column=name)
        if kind in _PICKLES:
            problem = f"is of {kind} files, which are pickles, and no pickles are opened"
            raise not_supported(path, problem, "leave it out with `columns`, or write npy", column=name)
        if kind == "npy":
            return self._open_arrays(name, column.files)
        if kind in _INTEGERS:
            values = [self._parsed(name, one, lambda text: int(text.strip())) for one in column.files]
            return self._hold(name, pa.array(values, pa.int64()))
        if kind in _TEXTS:
            return self._hold(name, pa.array([self._parsed(name, one, str) for one in column.files], pa.string()))
        if kind in _JSON:
            values = [self._parsed(name, one, json.loads) for one in column.files]
            try:
                return self._hold(name, pa.array(values))
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
                problem = f"is JSON of several types ({str(error).splitlines()[0]})"
                raise not_supported(path, problem, "leave it out with `columns`", column=name) from error
        self._read[name] = partial(self._bytes_of, column.files)
        return replace(describe(pa.array([], pa.binary())), shape=(self.rows,), null_count=0)

    def _parsed(self, name: str, member: Member, parse: Callable[[str], Any]) -> Any:
        try:
            return parse(self._bytes(member).tobytes().decode("utf-8"))
        except (ValueError, RecursionError) as error:
            problem = f"{member.name!r} cannot be read ({str(error) or type(error).__name__})"
            raise data_error(self.file.path, problem, column=name) from error

    def _hold(self, name: str, column: pa.Array) -> ArraySpec:
        """Keep a column that was read whole."""
        kind = numbers(column.type) if not column.null_count else None
        held = column if kind is None else as_array(column, kind)
        self._read[name] = partial(gather, held)
        if kind is not None:
            return replace(describe(held), writable=True)
        return column_spec(self.file.path, pa.field(name, column.type), self.rows, Nulls.of(column), keep_nulls=True)

    def _bytes(self, member: Member) -> Any:
        return self.file.view(member.begin, member.begin + member.nbytes)

    def _bytes_of(self, files: Sequence[Member], rows: Any) -> pa.Array:
        return pa.array([self._bytes(files[row]).tobytes() for row in rows.tolist()], pa.binary())

    def _open_arrays(self, name: str, files: Sequence[Member]) -> ArraySpec:
        """Learn what arrays are, each by its header, and whether all have one shape."""
        known: dict[bytes, tuple[tuple[int, ...], bool, np.dtype[Any], int]] = {}
        headers = [self._header(name, one, known) for one in files]
        dtypes = {header[2] for header in headers}
        if len(dtypes) > 1:
            problem = f"is of arrays of {', '.join(sorted(map(str, dtypes)))}"
            raise data_error(self.file.path, problem, "write one type throughout", column=name)
        dtype = headers[0][2]
        offsets = np.array([one.begin + header[3] for one, header in zip(files, headers, strict=True)], np.int64)
        if len({header[:2] for header in headers}) == 1:
            shape, fortran, *_ = headers[0]
            layout = _Layout(dtype, shape, fortran and len(shape) > 1, offsets)
            self._read[name] = partial(self._gathered, layout)
            return describe(np.empty((0, *shape), dtype)).fresh(shape=(self.rows, *shape))
        layouts = [
            _Layout(dtype, shape, fortran and len(shape) > 1, offsets[number : number + 1])
            for number, (shape, fortran, *_) in enumerate(headers)
        ]
        self._read[name] = partial(self._each, layouts)
        return ArraySpec(kind="numpy", dtype=describe(np.empty(0, dtype)).dtype, shape=(self.rows, None))

    def _header(self, name: str, member: Member, known: dict[bytes, Any]) -> Any:
        """Shape, order, element type and length of the header of an array."""
        path = self.file.path
        begin = self.file.view(member.begin, member.begin + min(member.nbytes, MAX_HEADER + 64)).tobytes()
        length = 10 + int.from_bytes(begin[8:10], "little") if begin[6:7] == b"\1" else len(begin)
        head = begin[:length]
        if head not in known:
            stream = BytesIO(head)
            known[head] = (*npy_header(stream, path, name), stream.tell())
        shape, _, dtype, length = known[head]
        if prod(shape) * dtype.itemsize + length != member.nbytes:
            problem = f"the header of {member.name!r} promises another number of bytes than there are"
            raise data_error(path, problem, "write it again with np.save", column=name)
        return known[head]

    def _gathered(self, layout: _Layout, rows: Any) -> Any:
        """Rows of one shape in new memory."""
        width = prod(layout.shape) * layout.dtype.itemsize
        if not width or not len(rows):
            return np.empty((len(rows), *layout.shape), layout.dtype)
        if width > WIDEST:
            block = np.concatenate([self.file.copy(start, start + width) for start in layout.offsets[rows].tolist()])
        else:
            block = self.file.gather(width, layout.offsets[rows])
        if not layout.fortran:
            return np.ndarray((len(rows), *layout.shape), layout.dtype, block)
        across: Any = np.ndarray((len(rows), *layout.shape[::-1]), layout.dtype, block)
        return np.ascontiguousarray(across.transpose(0, *range(len(layout.shape), 0, -1)))

    def _each(self, layouts: Sequence[_Layout], rows: Any) -> Any:
        return as_objects([self._gathered(layouts[row], np.array([0]))[0] for row in rows.tolist()])

    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """Rows gathered: each lies in files of its own."""
        return self.take(np.arange(start, stop))

    def take(self, indices: Any) -> Columns:
        """Rows gathered, audio decoded."""
        self.file.require_unchanged()
        columns = {name: read(indices) for name, read in self._read.items()}
        for name, files in self._audio.items():
            pairs = [self._decoded(name, files[row], row) for row in indices.tolist()]
            columns[name] = as_objects([samples for samples, _ in pairs])
            columns[f"{name}_{RATE}"] = np.array([rate for _, rate in pairs], np.float64)
        return {name: columns[name] for name in self.specs}

    def _decoded(self, name: str, member: Member, row: int) -> tuple[Any, int]:
        content = self._bytes(member).tobytes()
        samples, rate = read_audio(content, self.file.path, name, row, require_small=self._small)
        return (samples[0] if len(samples) == 1 else samples), rate


def _name_of(ending: str, endings: Sequence[str]) -> str:
    """The name of a column: the ending without its last part, where another name remains that no other has."""
    name = ending.rpartition(".")[0]
    shared = sum(one.rpartition(".")[0] == name or one == name for one in endings) > 1
    return ending if not name or shared else name


def _settings(path: Path, records: Mapping[str, str]) -> dict[str, Any]:
    try:
        settings = json.loads(records.get(_SETTINGS, "{}"))
        return dict(settings)
    except (ValueError, TypeError, RecursionError):
        raise data_error(path, "has settings of a job that cannot be read", "write it again") from None


class WebDatasetWriter(Writer):
    """A file for each value: npy of arrays, cls of int64, txt of text, json of all else."""

    def __init__(self, file: BinaryIO, path: Path, first: Columns, options: WriterOptions) -> None:
        self._file, self._path = file, path
        self._row = 0
        self._keys: set[str] = set()
        self._heads: dict[str, tuple[bytes, np.dtype[Any], tuple[int, ...]]] = {}
        self._types: dict[str, Any] = {}
        self._first = first
        names = [name for name in first if name != KEY]
        for name in names:
            plain = re.fullmatch(r"[^./](?:[^/]*[^./])?", name) and name.isprintable()
            if not plain or sum(one.lower() == name.lower() for one in names) > 1:
                remedy = "rename it: names differ by more than their case, without '/' or dots at their ends"
                raise data_error(path, "its name cannot be the ending of a file", remedy, column=name)
        if options.settings:
            self._header(_pax({_SETTINGS: canonical(options.settings).decode()}), name="settings", kind=b"g")

    def append(self, columns: Columns) -> None:
        """Write rows, one after the other."""
        files = {name: self._files(name, column) for name, column in columns.items() if name != KEY}
        keys = to_list(columns[KEY]) if KEY in columns else None
        count = len(next(iter(columns.values())))
        for number in range(count):
            key = f"{self._row:09d}" if keys is None else self._key(keys[number])
            for ending, content in files.values():
                value = content(number)
                self._header(value, name=f"{key}.{ending}", kind=b"0")
            self._row += 1

    def finish(self) -> None:
        """Write the end mark; before it, of a file without rows, what its columns would be."""
        if not self._row:
            schema = to_batch(self._path, {name: column[:0] for name, column in self._first.items()}).schema
            content = _pax({_SCHEMA: b64encode(schema.serialize()).decode()})
            self._header(content, name="schema", kind=b"g")
        self._file.write(bytes(2 * BLOCK))

    def _key(self, key: Any) -> str:
        text = str(key)
        require_plain_name(self._path, text)
        if "." in text.rpartition("/")[2] or not text.rpartition("/")[2] or text in self._keys:
            problem = f"row {self._row} is called {text!r}"
            raise data_error(self._path, problem, "keys have no dot, and no row has that of another", column=KEY)
        self._keys.add(text)
        return text

    def _files(self, name: str, column: Any) -> tuple[str, Callable[[int], bytes]]:
        """The ending of the files of a column, and the bytes of each row."""
        if isinstance(column, (pa.Array, pa.ChunkedArray)) and column.null_count:
            raise data_error(self._path, "holds nulls, and a file that is missing is no null", "fill them", column=name)
        if isinstance(column, (pa.Array, pa.ChunkedArray)) and numbers(column.type) is None:
            return self._values(name, column)
        try:
            with at(f"$.{name}", StageId((), "sink")):
                array: Any = to_numpy(column)
        except BridgeflowError as error:
            raise data_error(self._path, f"has no place in a tar file: {error}", column=name) from error
        if array.dtype.kind not in "biufcmM":
            problem = f"holds {array.dtype} elements, not numbers"
            raise data_error(self._path, problem, "choose another format", column=name)
        head, dtype, shape = self._heads.setdefault(name, (_npy_head(array), array.dtype, array.shape[1:]))
        if (array.dtype, array.shape[1:]) != (dtype, shape):
            got, before = f"{array.dtype}{list(array.shape[1:])}", f"{dtype}{list(shape)}"
            problem = f"rows of {got} after rows of {before}"
            raise data_error(self._path, problem, "write one type and shape throughout", column=name)
        if array.dtype == np.int64 and array.ndim == 1:
            return _ending(name, "cls"), lambda number: str(int(array[number])).encode()
        return _ending(name, "npy"), lambda number: head + np.ascontiguousarray(array[number]).tobytes()

    def _values(self, name: str, column: Any) -> tuple[str, Callable[[int], bytes]]:
        type = self._types.setdefault(name, column.type)
        if column.type != type:
            problem = f"is {column.type} after {type}"
            raise data_error(self._path, problem, "write one type throughout", column=name)
        if pa.types.is_string(type) or pa.types.is_large_string(type):
            return _ending(name, "txt"), lambda number: column[number].as_py().encode()
        if pa.types.is_binary(type) or pa.types.is_large_binary(type):
            return _ending(name, "bin"), lambda number: bytes(column[number].as_py())
        is_list = pa.types.is_list(type) or pa.types.is_large_list(type)
        if is_list and numbers(type.value_type) is not None:
            return _ending(name, "npy"), lambda number: _npy(to_numpy(column[number].values))
        return _ending(name, "json"), lambda number: self._json(name, column[number].as_py())

    def _json(self, name: str, value: Any) -> bytes:
        try:
            return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise data_error(self._path, f"has no place in JSON ({error})", "cast it", column=name) from error

    def _header(self, content: bytes, *, name: str, kind: bytes) -> None:
        """Write a member: header, bytes, and zeros up to the next block."""
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.type = len(content), 0o444, kind
        try:
            head = info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
        except (ValueError, UnicodeEncodeError) as error:
            raise data_error(self._path, f"{name!r} cannot be the name of a file: {error}", "shorten it") from error
        self._file.write(head + content + bytes(-len(content) % BLOCK))


def to_list(column: Any) -> list[Any]:
    """A column as plain values."""
    return list(column.to_pylist() if isinstance(column, (pa.Array, pa.ChunkedArray)) else to_numpy(column).tolist())


def _ending(name: str, kind: str) -> str:
    return name if name == kind else f"{name}.{kind}"


def _npy_head(array: Any) -> bytes:
    """The header of each row's file."""
    head = BytesIO()
    described = {"descr": npy.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape[1:]}
    npy.write_array_header_1_0(head, described)
    return head.getvalue()


def _npy(array: Any) -> bytes:
    return _npy_head(array[np.newaxis]) + np.ascontiguousarray(array).tobytes()


def _pax(records: Mapping[str, str]) -> bytes:
    """Records of an extended header, each with its own length before it."""
    lines = []
    for key, value in records.items():
        rest = f" {key}={value}\n".encode()
        length = len(rest) + len(str(len(rest)))
        length = len(rest) + len(str(length))
        lines.append(str(length).encode() + rest)
    return b"".join(lines)


FORMATS = (
    Format(
        name="webdataset",
        suffixes=(".tar",),
        magic=(b"ustar",),
        magic_at=257,
        about="WebDataset's tar shards: npy, cls, txt, json, wav and flac of each row; no pickles, links refused",
        reader=WebDatasetReader,
        writer=WebDatasetWriter,
    ),
)
