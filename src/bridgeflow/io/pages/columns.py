"""Columns of numbers in Parquet files, page by page: what is asked for goes from the file into the array it belongs in.

pyarrow takes each number through its levels. Here the levels of a page are verified run by run, to say that every list
is full and nothing is null, and then its values are a block of memory. A page is decoded if it is regular in every
respect: sizes, counts, checksum, levels, encoding. One that is not raises `Irregular`, and the caller lets pyarrow
read the column, and say what is wrong with it, if anything is.

https://parquet.apache.org/docs/file-format/data-pages
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Hashable, Sequence
from contextlib import suppress
from math import prod
from typing import Any, Final

import numpy as np
import pyarrow as pa

from bridgeflow.io.mapped import MappedFile
from bridgeflow.io.pages.cache import PageCache
from bridgeflow.io.pages.leaves import ChunkPlace, NumberLeaf
from bridgeflow.io.plain import Numbers, as_arrow, by_part
from bridgeflow.memory.reuse import fresh

try:
    from bridgeflow.io.pages import _native
    from bridgeflow.io.pages._native import Irregular
except ImportError:
    _native = None  # type: ignore[assignment]

    class Irregular(ValueError):  # type: ignore[no-redef]
        """Never raised: without the compiled module no column is read here."""


__all__ = ["Irregular", "PageColumn", "is_built"]

_DICTIONARY, _VERSION_2 = 2, 3
_PLAIN, _PLAIN_DICTIONARY, _SPLIT = 0, 2, 9

_KIND, _AT, _PACKED, _UNPACKED, _CRC, _FIRST, _COUNT, _ENCODING, _REP, _DEF, _COMPRESSED, _VALUES_AT = range(12)
"""Fields of a page in a table, as `Field` in headers.hpp."""

_WINDOWS: Final = (4 << 10, 1 << 20)
"""Bytes that are read to find headers in, of a file that is not mapped: few, then as many as any header may take."""

_MOST_OFFSET: Final = (1 << 31) - 1

_NOTHING: Final = np.empty(0, np.uint8)

_HELD: Final = 64 << 20
"""Bytes of decoded pages that one call holds beside what is kept."""


def is_built() -> bool:
    """Whether the compiled module is here."""
    return _native is not None


class _Pages:
    """Data pages of a column that follow each other: of one row group, or of all.

    Attributes:
        table: a row for each page; values are counted from the first of the file.
        decoded: the same pages as they are in the cache.
        firsts: for each page the number of its first value, as a list.
        is_direct: whether values are read where they lie in the file, in any order.
    """

    __slots__ = ("decoded", "firsts", "is_direct", "table")

    def __init__(self, table: Any, *, is_direct: bool) -> None:
        self.table = table
        self.firsts = table[:, _FIRST].tolist()
        self.is_direct = is_direct
        self.decoded = table.copy()
        self.decoded[:, [_KIND, _ENCODING, _CRC, _VALUES_AT]] = 0, _PLAIN, -1, 0


class _Chunk(_Pages):
    """The pages of a row group.

    Attributes:
        codec: how they are compressed.
        dictionary: the page of the dictionary, a table of one row; `None` where there is none.
    """

    __slots__ = ("codec", "dictionary")

    def __init__(self, place: ChunkPlace, table: Any, row_values: int, first: int) -> None:
        dictionary: Any = None
        if len(table) and table[0, _KIND] == _DICTIONARY:
            dictionary, table = table[:1], table[1:]
            if dictionary[0, _ENCODING] not in (_PLAIN, _PLAIN_DICTIONARY):
                raise Irregular("a dictionary in another encoding")
            dictionary[0, [_ENCODING, _VALUES_AT]] = _PLAIN, 0
        if int(table[:, _COUNT].sum()) != place.values:
            raise Irregular("pages with another number of values")
        second = table[:, _KIND] == _VERSION_2
        if (table[second][:, [_FIRST, _COUNT]] % row_values).any():
            raise Irregular("a page of version 2 that begins within a row")
        self.codec = place.codec
        self.dictionary = dictionary
        table[:, _FIRST] += first
        is_plain = bool(np.isin(table[:, _ENCODING], (_PLAIN, _SPLIT)).all())
        super().__init__(table, is_direct=place.codec is None and is_plain)


class PageColumn:
    """A column of numbers of one shape, decoded from its pages.

    Args:
        file: where the pages are.
        kind: what its rows are.
        numbers: its leaf.
        places: its pages, by row group.
        bounds: rows before each row group, and all rows.
        most: how many bytes a byte of a page may become, and how many a page may become in any case.
        owner: whose pages these are, in caches.
        lists: the type of the lists that are handed out, as Arrow arrays; `None` for ndarrays.

    Attributes:
        keeps_all: whether pages that were used to the last value are kept too, for the next pass.
    """

    def __init__(
        self,
        file: MappedFile,
        kind: Numbers,
        numbers: NumberLeaf,
        places: Sequence[ChunkPlace],
        bounds: Any,
        most: tuple[int, int],
        owner: Hashable,
        lists: pa.DataType | None = None,
    ) -> None:
        leaf = numbers.leaf
        self._file = file
        self._kind = kind
        self._places = places
        self._bounds = bounds
        self._starts = bounds.tolist()
        self._most = most
        self._owner = owner
        self.keeps_all = False
        self._lists = lists
        self._row_values, self._width = numbers.row_values, numbers.width
        self._stored_nbytes = numbers.stored
        self._column = _native.Column(numbers.shape, leaf.most_rep, leaf.most_def, numbers.stored, numbers.width)
        self._stored = _native.Column((), 0, 0, numbers.stored, numbers.width)
        self._plain = _native.Column((), 0, 0, numbers.width, numbers.width)
        self._chunks: dict[int, _Chunk] = {}
        self._wanted = {number for number, place in enumerate(places) if place.values}
        self._all: _Pages | None = None
        self._owners: Any = None

    @property
    def row_nbytes(self) -> int:
        """Bytes of a row."""
        return self._kind.width

    def slice(self, start: int, stop: int, cache: PageCache, *, writable: bool) -> Any:
        """Rows `start` to `stop`; with `writable=False` maybe a view of the mapped file.

        Raises:
            Irregular: a page is not regular.
        """
        return self._handed_out(self._sliced(start, stop, cache, writable=writable))

    def _sliced(self, start: int, stop: int, cache: PageCache, *, writable: bool) -> Any:
        if start == stop:
            return self._kind.empty()
        number = bisect_right(self._starts, start) - 1
        if not writable and stop <= self._starts[number + 1]:
            view = self._view(self._all or self._chunk(number), start, stop)
            if view is not None:
                return view
        out, position = self._memory(stop - start), start
        while position < stop:
            last = stop if self._all else min(self._starts[number + 1], stop)
            if position < last:
                pages = self._all or self._chunk(number)
                spans = self._in_a_row(pages, position, last, (position - start) * self._row_values)
                self._decode(pages, np.array(spans, np.int64), out, cache)
                position = last
            number += 1
        return out

    def take(self, indices: Any, cache: PageCache) -> Any:
        """The rows at `indices` (int64, in range), in their order.

        Raises:
            Irregular: a page is not regular.
        """
        return self._handed_out(self._taken(indices, cache))

    def _taken(self, indices: Any, cache: PageCache) -> Any:
        if not len(indices):
            return self._kind.empty()
        out = self._memory(len(indices))
        if self._all is not None:
            self._decode(self._all, self._scattered(self._all, indices, np.arange(len(indices))), out, cache)
            return out
        groups = np.searchsorted(self._bounds, indices, "right") - 1
        for number, places in zip(*by_part(groups), strict=True):
            chunk = self._chunk(number)
            self._decode(chunk, self._scattered(chunk, indices[places], places), out, cache)
        return out

    def _handed_out(self, array: Any) -> Any:
        """The rows in the type of the file's lists, where they are lists."""
        if self._lists is None:
            return array
        types = [self._lists]
        while pa.types.is_list(types[-1].value_type) or pa.types.is_large_list(types[-1].value_type):
            types.append(types[-1].value_type)
        counts = [len(array) * prod(self._kind.inner[:depth]) for depth in range(len(types) + 1)]
        column = as_arrow(types[-1].value_type, counts[-1], pa.py_buffer(array))
        for depth in reversed(range(len(types))):
            is_long = pa.types.is_large_list(types[depth])
            if counts[depth + 1] > _MOST_OFFSET and not is_long:
                raise Irregular("more values than offsets of 32 bits can tell")
            step = self._kind.inner[depth]
            offsets = np.arange(0, counts[depth] * step + 1, step, dtype=np.int64 if is_long else np.int32)
            buffers = [None, pa.py_buffer(offsets)]
            column = pa.Array.from_buffers(types[depth], counts[depth], buffers, children=[column])
        return column

    def _memory(self, rows: int) -> Any:
        return np.ndarray((rows, *self._kind.inner), self._kind.dtype, fresh(rows * self._kind.width))

    def _chunk(self, number: int) -> _Chunk:
        """The pages of a row group, their headers read when they are first needed. Twice at once does no harm."""
        chunk = self._chunks.get(number)
        if chunk is None:
            place = self._places[number]
            table = np.frombuffer(bytearray(self._walked(place)), np.int64).reshape(-1, _native.FIELDS)
            chunk = _Chunk(place, table, self._row_values, self._starts[number] * self._row_values)
            self._chunks[number] = chunk
            if self._wanted.issubset(self._chunks):
                self._join()
        return chunk

    def _join(self) -> None:
        """Number the pages of all row groups together, so that rows need not be looked for in each."""
        chunks = [self._chunks[number] for number in sorted(self._wanted)]
        pages = _Pages(
            np.concatenate([chunk.table for chunk in chunks]), is_direct=all(one.is_direct for one in chunks)
        )
        self._owners = np.repeat(np.array(chunks, object), [len(chunk.table) for chunk in chunks])
        self._all = pages

    def _walked(self, place: ChunkPlace) -> bytes:
        """The headers of all pages of a column chunk."""
        file, position = self._file, place.start
        if place.end > file.opened.nbytes:
            raise Irregular("pages beyond the end of the file")
        if not file.reads:
            table, position = _native.walk(file.data, 0, position, place.end, *self._most)
            if position != place.end:
                raise Irregular("pages that end elsewhere")
            return table
        tables: list[bytes] = []
        values = 0
        while position < place.end:
            for window in _WINDOWS:
                data = file.view(position, min(position + window, place.end))
                table, after = _native.walk(data, position, position, place.end, *self._most)
                if after > position:
                    break
            else:
                raise Irregular("a header that does not end")
            rows = np.frombuffer(table, np.int64).reshape(-1, _native.FIELDS).copy()
            if tables and (rows[:, _KIND] == _DICTIONARY).any():
                raise Irregular("a dictionary after its values")
            rows[:, _FIRST] += values
            values += int(rows[rows[:, _KIND] != _DICTIONARY, _COUNT].sum())
            tables.append(rows.tobytes())
            position = after
        if position != place.end:
            raise Irregular("pages that end elsewhere")
        return b"".join(tables)

    # --- where values are: spans of five numbers each, as decode in native.cpp takes them ---

    def _in_a_row(self, pages: _Pages, start: int, stop: int, to: int) -> list[tuple[int, int, int, int, int]]:
        """Spans of rows `start` to `stop`, which go to value `to` of the result and those after it."""
        first, last = start * self._row_values, stop * self._row_values
        firsts, spans = pages.firsts, []
        page = bisect_right(firsts, first) - 1
        while first < last:
            end = min(firsts[page + 1], last) if page + 1 < len(firsts) else last
            if end > first:
                spans.append((0, page, first - firsts[page], end - first, to))
                to, first = to + end - first, end
            page += 1
        return spans

    def _scattered(self, pages: _Pages, rows: Any, places: Any) -> Any:
        """Spans of these rows, which go to rows `places` of the result; those that are not direct in the order of their
        pages.
        """
        values, firsts = self._row_values, pages.table[:, _FIRST]
        begin, to = rows * values, places * values
        page = np.searchsorted(firsts, begin, "right") - 1
        many = np.searchsorted(firsts, begin + values - 1, "right") - page
        spans = np.zeros((int(many.sum()), 5), np.int64)
        if len(spans) > len(rows):  # rows that lie in several pages
            row = np.repeat(np.arange(len(rows)), many)
            page = page[row] + np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)
            start = np.maximum(firsts[page], begin[row])
            end = np.minimum(firsts[page] + pages.table[page, _COUNT], begin[row] + values)
            to, begin, values = to[row] + start - begin[row], start, end - start
        spans[:, 1], spans[:, 2], spans[:, 3], spans[:, 4] = page, begin - firsts[page], values, to
        return spans if pages.is_direct else spans[np.argsort(page, kind="stable")]

    # --- values ---

    def _decode(self, pages: _Pages, spans: Any, out: Any, cache: PageCache) -> None:
        """Put spans, which are in the order of their pages unless these are direct, where they belong."""
        if pages.is_direct:
            if not self._file.reads:
                self._column.decode(pages.table, spans, self._file.data, None, None, out)
                return
            spans = spans[np.argsort(spans[:, 1], kind="stable")]
        begins = np.flatnonzero(np.diff(spans[:, 1], prepend=-1))
        numbers = spans[begins, 1]
        used, ends = np.add.reduceat(spans[:, 3], begins).tolist(), [*begins[1:].tolist(), len(spans)]
        counts, keys = (pages.table[numbers, field].tolist() for field in (_COUNT, _AT))
        kept = cache.get_many([(self._owner, key) for key in keys])
        held: list[Any] = []
        copied: list[Any] = []
        nbytes = 0
        for number, (page, begin) in enumerate(zip(numbers.tolist(), begins.tolist(), strict=True)):
            values, count = kept[number], counts[number]
            of_page = spans[begin : ends[number]]
            if values is None:
                if used[number] >= count and not (self.keeps_all and cache.most):
                    self._decode_page(pages, page, of_page, out, cache)
                    continue
                values = self._values(pages, page, count, cache)
                cache.put((self._owner, keys[number]), values)
            of_page[:, 0] = len(held)
            copied.append(of_page)
            held.append(values)
            nbytes += values.nbytes
            if nbytes > _HELD:
                self._plain.decode(pages.decoded, np.concatenate(copied), None, held, None, out)
                held, copied, nbytes = [], [], 0
        if held:
            self._plain.decode(pages.decoded, np.concatenate(copied), None, held, None, out)

    def _values(self, pages: _Pages, page: int, count: int, cache: PageCache) -> Any:
        """All values of a page."""
        chunk, table, nbytes = self._chunk_of(pages, page), pages.table, count * self._width
        if table[page, _ENCODING] != _PLAIN or self._stored_nbytes != self._width:
            values = fresh(nbytes)
            self._decode_page(pages, page, np.array([[0, page, 0, count, 0]]), values, cache)
            return values
        payload = self._payload(chunk, self._column, table, page)
        self._column.decode(table, np.array([[0, page, 0, 0, 0]]), None, [payload], None, _NOTHING)  # verifies levels
        start = int(table[page, _VALUES_AT])
        if start + nbytes > payload.nbytes:
            raise Irregular("values that are cut off")
        return payload[start : start + nbytes]

    def _chunk_of(self, pages: _Pages, page: int) -> _Chunk:
        """The row group of a page."""
        chunk: _Chunk = pages if isinstance(pages, _Chunk) else self._owners[page]
        return chunk

    def _decode_page(self, pages: _Pages, page: int, spans: Any, out: Any, cache: PageCache) -> None:
        """Put spans of one page where they belong."""
        chunk = self._chunk_of(pages, page)
        payload = self._payload(chunk, self._column, pages.table, page)
        dictionary = self._dictionary(chunk, cache) if chunk.dictionary is not None else None
        spans[:, 0] = 0
        self._column.decode(pages.table, spans, None, [payload], dictionary, out)

    def _dictionary(self, chunk: _Chunk, cache: PageCache) -> Any:
        """The values of a dictionary."""
        table = chunk.dictionary
        key = (self._owner, int(table[0, _AT]))
        [values] = cache.get_many([key])
        if values is None:
            count = int(table[0, _COUNT])
            payload = self._payload(chunk, self._stored, table, 0)
            if count * self._stored_nbytes > payload.nbytes:
                raise Irregular("a dictionary that is cut off")
            values = fresh(count * self._width)
            self._stored.decode(table, np.array([[0, 0, 0, count, 0]]), None, [payload], None, values)
            cache.put(key, values)
        return values

    def _payload(self, chunk: _Chunk, column: Any, table: Any, page: int) -> Any:
        """What follows the header of a page, compared with its checksum and decompressed; of version 2, if the chunk is
        compressed, its values alone, the levels having been verified.
        """
        kind, at, packed, unpacked, crc, _, _, _, rep, deep, compressed, *_ = table[page].tolist()
        raw = self._file.view(at, at + packed)
        if crc >= 0 and _native.crc32(raw) != crc:
            raise Irregular("a checksum that does not fit")
        if chunk.codec is None:
            return raw
        if kind == _VERSION_2:
            column.check_levels(table, page, raw)
            raw, unpacked = raw[rep + deep :], unpacked - rep - deep
            if not compressed:
                return raw
        return _decompressed(chunk.codec, raw, unpacked)

    def _view(self, pages: _Pages, start: int, stop: int) -> Any:
        """Rows as a view of the mapped file; `None` where they do not lie there as they are handed out."""
        if not pages.is_direct or self._stored_nbytes != self._width or self._file.reads:
            return None
        spans = self._in_a_row(pages, start, stop, 0)
        _, page, first, length, _ = spans[0]
        if len(spans) > 1 or pages.table[page, _ENCODING] != _PLAIN:
            return None
        data = self._file.data
        self._column.decode(pages.table, np.array([[0, page, first, 0, 0]]), data, None, None, _NOTHING)
        offset = int(pages.table[page, _AT] + pages.table[page, _VALUES_AT]) + first * self._width
        if offset + length * self._width > len(data):
            raise Irregular("values that are cut off")
        view: Any = np.ndarray((stop - start, *self._kind.inner), self._kind.dtype, data, offset)
        return view if view.flags.aligned else None


def _decompressed(codec: str, data: Any, nbytes: int) -> Any:
    """Data that become this number of bytes.

    pyarrow's codecs release the GIL but do not say how much they wrote, except for Zstandard, which refuses what
    becomes less; that of gzip keeps a state, which two threads must not share. So Snappy and LZ4 are decompressed by
    our own code, and gzip by Python's.
    """
    if not nbytes:
        return np.empty(0, np.uint8)
    if codec in ("snappy", "lz4"):
        out = fresh(nbytes)
        if _native.decompress(codec, data, out):
            return out
    elif codec == "zstd":
        with suppress(OSError, ValueError):
            return np.frombuffer(pa.Codec("zstd").decompress(pa.py_buffer(data), nbytes), np.uint8)
    else:
        with suppress(zlib.error):
            decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)
            whole = decompressor.decompress(data, nbytes)
            after = decompressor.decompress(decompressor.unconsumed_tail, 1)
            if len(whole) == nbytes and not after and decompressor.eof:
                return np.frombuffer(whole, np.uint8)
    raise Irregular("a page that does not become what it declares")


_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
