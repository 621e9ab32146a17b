"""npy: one array of numbers, read strictly. `np.load` forgives trailing bytes and can unpickle; this does neither."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from math import prod
from pathlib import Path
from typing import BinaryIO, ClassVar

import numpy as np
from numpy.lib import format as npy

from bridgeflow.bridge import describe, to_numpy
from bridgeflow.bridge.tracing import at
from bridgeflow.errors import BridgeflowError, StageId
from bridgeflow.io.base import Columns, Format, Reader, Writer
from bridgeflow.io.files import data_error, not_supported
from bridgeflow.io.mapped import MappedFile
from bridgeflow.io.opened import OpenedFile
from bridgeflow.io.options import Compression, OpenOptions, WriterOptions

__all__ = ["FORMATS", "MAX_HEADER", "ArrayBytes", "NpyWriter", "npy_header", "require_rows"]

NAME = "values"
"""What the one column is called where the reader does not say; the format itself has no name for it."""

_NUMBERS = "biufcmM"
MAX_HEADER = 10_000


class ArrayBytes:
    """An array in npy's form: what its header says, compared with the bytes that there are.

    Args:
        data: the bytes, header and all, `[n]` uint8.
        file, offset: the mapped file whose bytes from `offset` on these are; `None` where they were decoded.
        path, column: its name, for messages.

    Attributes:
        array: a read-only view of the values; of a file that is read rather than mapped, their shape and type alone.
    """

    def __init__(
        self,
        data: np.ndarray,
        path: Path,
        *,
        file: MappedFile | None = None,
        offset: int = 0,
        column: str | None = None,
    ) -> None:
        start = data[: MAX_HEADER + 64]
        head = BytesIO((start if file is None else file.view(offset, offset + len(start))).tobytes())
        shape, fortran, dtype = npy_header(head, path, column)
        begin = head.tell()
        expected, present = prod(shape) * dtype.itemsize, len(data) - begin
        if expected != present:
            what = "too few: cut off" if present < expected else "too many: something follows the array"
            problem = f"its header promises {expected:,} bytes of values, the file holds {present:,} ({what})"
            raise data_error(path, problem, "write it again with np.save", column=column)
        self.array: np.ndarray = np.ndarray(shape, dtype, data, begin, order="F" if fortran else "C")
        self.array.flags.writeable = False
        self._file = file
        self._begin = offset + begin
        self._fortran = fortran and len(shape) > 1

    def value(self) -> float:
        """The value of an array without axes."""
        file, size = self._file, self.array.itemsize
        memory = self.array if file is None else file.view(self._begin, self._begin + size)
        return float(np.ndarray((), self.array.dtype, memory))

    def slice(self, start: int, stop: int, *, writable: bool) -> np.ndarray:
        """Rows as a view of the map; in Fortran order, where rows do not lie together, a copy unless all are asked for.

        Bytes that were decoded, and those off the grid of their type, are copied.
        """
        view, file = self.array[start:stop], self._file
        is_part = self._fortran and len(view) < len(self.array)
        if file is None or not file.reads:
            if not writable and view.flags.aligned:
                return view
            if file is None or is_part or not view.flags.aligned:
                return view.copy(order="C")
        elif is_part:
            return self.take(np.arange(start, stop))
        begin = self._begin + (0 if self._fortran else start * self.array.strides[0])
        memory = file.private(begin, begin + view.nbytes)
        return np.ndarray(view.shape, view.dtype, memory, order="F" if self._fortran else "C")

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Rows in new memory."""
        file, size = self._file, self.array.itemsize
        if file is None or not file.reads or not self.array.size:
            taken: np.ndarray = self.array[indices]
            return taken
        if not self._fortran:
            width = self.array.nbytes // len(self.array)
            rows = file.gather(width, self._begin + indices * width)
            return np.ndarray((len(indices), *self.array.shape[1:]), self.array.dtype, rows)
        rows = np.empty((len(indices), self.array[0].size), self.array.dtype)
        for number in range(rows.shape[1]):  # each lies in one piece
            begin = self._begin + number * len(self.array) * size
            rows[:, number] = file.gather(size, begin + indices * size).view(self.array.dtype)
        return rows.reshape(len(indices), *self.array.shape[1:], order="F")

    def release(self) -> np.ndarray:
        """The whole array, for one caller alone, of decoded bytes that no other caller has seen; copied where they are
        not aligned.
        """
        if not self.array.flags.aligned:
            return self.array.copy()
        self.array.flags.writeable = True
        return self.array


_ATTEMPTS = 20
"""How often a header is parsed before an error of the parser is taken for the header's."""


def npy_header(head: BytesIO, path: Path, column: str | None = None) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and element type, which must be a number's.

    Raises:
        DataError: an array of something else, or a version or shape that cannot be.
        ValueError: no such header.
    """
    version = npy.read_magic(head)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:  # 3.0 exists for the names of structured types alone
        problem = f"has npy version {version[0]}.{version[1]}"
        raise not_supported(path, problem, "1.0 and 2.0 hold plain arrays", column=column)
    start = head.tell()
    for _ in range(_ATTEMPTS):
        try:
            shape, fortran, dtype = read(head, max_header_size=MAX_HEADER)
            break
        except SystemError:  # Python 3.11 counts the depth of what several threads parse together, and finds it wrong
            head.seek(start)
    else:
        shape, fortran, dtype = read(head, max_header_size=MAX_HEADER)
    if dtype.hasobject or dtype.kind not in _NUMBERS:
        remedy = "no pickles are opened" if dtype.hasobject else "store one array of numbers"
        raise not_supported(path, f"holds {dtype} elements, not numbers", remedy, column=column)
    if dtype.kind in "mM" and np.datetime_data(dtype)[0] == "generic":
        raise data_error(path, f"holds {dtype} elements without a unit", "store them with one", column=column)
    if any(length < 0 for length in shape):
        raise data_error(path, f"has shape {shape}", "no length can be negative", column=column)
    return shape, fortran, dtype


def require_rows(path: Path, shape: tuple[int, ...], column: str | None = None) -> None:
    """Refuse a single value, which has no rows."""
    if not shape:
        raise data_error(path, f"has shape {shape}", "an array needs at least one axis: the rows", column=column)


class NpyReader(Reader):
    """A map of the file, whose one array takes its name from the caller."""

    file: MappedFile
    random_access = True

    def __init__(self, opened: OpenedFile, options: OpenOptions) -> None:
        path, columns = opened.path, options.columns
        if columns is not None and len(columns) != 1:
            raise data_error(path, f"holds one array, got {len(columns)} names for it", "give it one name")
        self._name = NAME if columns is None else columns[0]
        self.file = MappedFile(opened, mapped=options.mapped)
        self._bytes = ArrayBytes(self.file.data, path, file=self.file)
        require_rows(path, self._bytes.array.shape)
        options.require_small(path, self._bytes.array.nbytes, len(self.file.data))
        self.rows = len(self._bytes.array)
        self.specs = {self._name: replace(describe(self._bytes.array), writable=True)}
        self.settings = {}

    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """A view of the map."""
        self.file.require_unchanged()
        return {self._name: self._bytes.slice(start, stop, writable=writable)}

    def take(self, indices: np.ndarray) -> Columns:
        """Rows gathered from the map."""
        self.file.require_unchanged()
        return {self._name: self._bytes.take(indices)}


class NpyWriter(Writer):
    """The same bytes as `np.save`; the header is written twice, because only the end knows how many rows there were."""

    compressions: ClassVar[tuple[Compression, ...]] = ("none",)

    def __init__(self, file: BinaryIO, path: Path, first: Columns, options: WriterOptions) -> None:
        if len(first) != 1:
            names = ", ".join(first)
            raise data_error(path, f"an npy file holds one array, got {names}", "choose one, or a format with columns")
        self._path = path
        self._file = file
        array = self._array(first)
        self._dtype, self._inner, self._rows = array.dtype, array.shape[1:], 0
        self._begin = self._write_header()

    def _write_header(self) -> int:
        """Write the header for the rows so far at the file's start; its length does not depend on their number."""
        self._file.seek(0)
        described = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows, *self._inner),
        }
        npy.write_array_header_1_0(self._file, described)
        return self._file.tell()

    def _array(self, columns: Columns) -> np.ndarray:
        ((name, column),) = columns.items()
        try:
            with at(f"$.{name}", StageId((), "sink")):
                array: np.ndarray = to_numpy(column)
        except BridgeflowError as error:
            raise data_error(self._path, f"has no place in an npy file: {error}", column=name) from error
        if array.dtype.kind not in _NUMBERS:
            raise data_error(
                self._path, f"holds {array.dtype} elements, not numbers", "choose another format", column=name
            )
        return array

    def append(self, columns: Columns) -> None:
        """Write rows."""
        array = self._array(columns)
        if array.dtype != self._dtype or array.shape[1:] != self._inner:
            got, before = f"{array.dtype}{list(array.shape[1:])}", f"{self._dtype}{list(self._inner)}"
            raise data_error(self._path, f"rows of {got} after rows of {before}", "write one type and shape throughout")
        self._file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        self._rows += len(array)

    def finish(self) -> None:
        """Put the number of rows into the header."""
        if self._write_header() != self._begin:
            raise data_error(self._path, f"{self._rows} rows do not fit into the header", "write several files")


FORMATS = (
    Format(
        name="npy",
        suffixes=(".npy",),
        magic=(npy.MAGIC_PREFIX,),
        about="NumPy's array file: one array of numbers, read strictly, without names or settings",
        reader=NpyReader,
        writer=NpyWriter,
    ),
)
