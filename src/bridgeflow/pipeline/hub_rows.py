"""Rows of Hugging Face's datasets: their Arrow tables read where they lie, in their order of rows, audio decoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa

from bridgeflow._optional import loaded
from bridgeflow.errors import ConfigError, listed
from bridgeflow.io import Source
from bridgeflow.io.audio_bytes import as_objects, read_audio
from bridgeflow.io.base import Columns, pick_columns
from bridgeflow.io.columns import Nulls
from bridgeflow.io.files import data_error
from bridgeflow.io.mapped import Held
from bridgeflow.io.options import OpenOptions
from bridgeflow.io.pieces import PieceReader
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.resample import Resample

__all__ = [
    "HubStream",
    "in_one_piece",
    "is_hub_dataset",
    "is_hub_stream",
    "open_hub_dataset",
    "open_hub_table",
]

RATE: Final = "fs"
"""After the name of a column of audio, the name of the column of its sampling rates in Hz."""

_FORMATS: Final = (None, "python", "numpy", "torch", "arrow", "pandas", "polars")
"""Formats of a dataset that say in what its rows are handed out, and nothing of their values."""


def is_hub_dataset(x: object) -> bool:
    """Whether `x` is a `datasets.Dataset`."""
    module = loaded("datasets")
    return module is not None and isinstance(x, module.Dataset)


def is_hub_stream(x: object) -> bool:
    """Whether `x` is a `datasets.IterableDataset`."""
    module = loaded("datasets")
    return module is not None and isinstance(x, module.IterableDataset)


class HubStream:
    """The rows of a `datasets.IterableDataset`, in the place of a source.

    Args:
        dataset: read in its own order: what `shuffle` and `split_dataset_by_node` made of it.
        columns: to read; `None` for all.

    Attributes:
        specs: nothing: what columns are is known when rows are read.
        remedy, sharing: how its rows are shuffled, and shared out among processes.
    """

    random_access = False
    remedy = "shuffle it with dataset.shuffle(buffer_size=...)"
    sharing = "use datasets.distributed.split_dataset_by_node"
    specs: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, dataset: Any, columns: Sequence[str] | None) -> None:
        self.dataset = dataset
        self.columns = None if columns is None else tuple(columns)
        self.features = {} if dataset.features is None else dict(dataset.features)
        split = getattr(dataset, "split", None)
        self.name = "<IterableDataset>" if split is None else f"<IterableDataset {split}>"

    @property
    def rows(self) -> NoReturn:
        """Not known."""
        raise TypeError(f"{self.name} has no length: its rows come one after the other; iterate over a Loader")

    def tables(
        self, epoch: int, batch_size: int, *, drop_last: bool, state: Mapping[str, Any] | None
    ) -> Iterator[tuple[pa.Table, dict[str, Any]]]:
        """The rows of an epoch, a table for each batch, with the state after it.

        Args:
            state: where to go on; `None` for the beginning.
        """
        stream = self.dataset.with_format("arrow")
        stream.set_epoch(epoch)
        if state is not None:
            stream.load_state_dict(deepcopy(dict(state)))
        for table in stream.iter(batch_size, drop_last_batch=drop_last):
            yield table, deepcopy(stream.state_dict())

    def digest(self) -> str:
        """What tells these rows from others', as far as the dataset says it: its name and columns."""
        identity = [self.name, sorted((name, repr(one)) for name, one in self.features.items())]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]

    def __repr__(self) -> str:
        return f"<HubStream {self.name}>"


def open_hub_dataset(dataset: Any, *, columns: Sequence[str] | None, nulls: Any) -> Source:
    """The rows of a `datasets.Dataset` as a source.

    Args:
        dataset: with its choice and order of rows (`select`, `shuffle`, `filter`), and of columns (`with_format`).
        columns, nulls: as for `open_source`.

    Raises:
        ConfigError: a format that changes values: a transform, options such as `dtype`.
        DataError: no such column; a type that no array has.
    """
    chosen = _format_columns(dataset, columns)
    return _reopen(dataset, OpenOptions(columns=chosen, nulls=nulls), None)


def open_hub_table(table: pa.Table, features: Mapping[str, Any], name: str, *, columns: Any, nulls: Any) -> Source:
    """Rows of a `datasets.IterableDataset` that were read into a table, as a source.

    Args:
        features: what the dataset says of its columns; empty where it says nothing.
        name: what messages call it.
        columns, nulls: as for `open_source`.
    """
    options = OpenOptions(columns=columns, nulls=nulls)
    return Source(
        table, Path(name), None, options, lambda: HubReader(table, features, None, Path(name), options), _fail
    )


def in_one_piece(table: pa.Table) -> pa.Table:
    """A table whose rows were gathered, each in a chunk of its own, with one chunk, and the storage of array types."""
    fields = [field.with_type(_storage(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields)).combine_chunks()


def _fail(*_: object) -> Source:
    raise TypeError("rows of a stream are not opened again")


def _reopen(dataset: Any, options: OpenOptions, identity: Any) -> Source:
    """The source of a dataset, which was pickled by what `datasets` makes of it."""
    path = Path(f"<Dataset {dataset.split}>" if dataset.split is not None else "<Dataset>")
    indices = None if dataset._indices is None else dataset._indices.table.column(0).to_numpy().astype(np.int64)

    def make() -> HubReader:
        return HubReader(dataset.data.table, dataset.features, indices, path, options)

    return Source(dataset, path, None, options, make, _reopen)


def _format_columns(dataset: Any, columns: Sequence[str] | None) -> tuple[str, ...] | None:
    """The columns that a dataset's format chooses, or the caller; `None` for all."""
    form = dataset.format
    if form["type"] == "custom":
        raise ConfigError(
            "SignalDataset: the dataset has a transform of its own (with_transform), which is not run here; "
            "pass dataset.with_format(None), and the transform to SignalDataset",
            field="source",
        )
    if form["type"] not in _FORMATS or form["format_kwargs"]:
        options = f" with {listed(sorted(form['format_kwargs']))}" if form["format_kwargs"] else ""
        raise ConfigError(
            f"SignalDataset: the dataset has the format {form['type']}{options}, which is not followed here; "
            "pass dataset.with_format(None), and use kind and Cast",
            field="source",
        )
    if columns is not None:
        return tuple(columns)
    if form["output_all_columns"] or len(form["columns"]) == len(dataset.column_names):
        return None
    audio = [name for name in form["columns"] if _audio_of(dataset.features[name]) is not None]
    return (*form["columns"], *(f"{name}_{RATE}" for name in audio))


class _Audio(NamedTuple):
    """How a column of audio is decoded: at which rate, and of how many channels; `None` for those of the files."""

    rate: int | None
    channels: int | None


class HubReader(PieceReader):
    """The record batches of a dataset's table, which `datasets` has mapped, and the order of its rows.

    Nested lists of one shape, and `Array2D` to `Array5D`, are ndarrays over the same memory. Rows of columns whose
    shapes differ are ndarrays each, in an ndarray of objects, and so are those of audio, beside which stands the column
    of their rates.
    """

    random_access = True

    def __init__(
        self, table: pa.Table, features: Mapping[str, Any], indices: Any, path: Path, options: OpenOptions
    ) -> None:
        audio = {name: _audio_of(features[name]) for name in table.column_names if name in features}
        self._audio = {name: one for name, one in audio.items() if one is not None}
        offered = [each for name in table.column_names for each in (name, *self._rates_of(name))]
        self._names = pick_columns(path, options.columns, offered)
        rates = {f"{name}_{RATE}": name for name in self._audio}
        stored = list(dict.fromkeys(rates.get(name, name) for name in self._names))
        chosen = table.select(stored)
        self._arrays = {name: _array_type(chosen.column(name)) for name in stored if name not in self._audio}
        self._ragged = {
            name
            for name, type in self._arrays.items()
            if type is None and _depth(_storage(chosen.schema.field(name).type)) > 1
        }
        self._pieces = chosen.to_batches()
        nulls = {name: Nulls.of(_plain_lists(chosen.column(name))) for name in stored}
        fields = [pa.field(name, self._arrays.get(name) or _storage(chosen.schema.field(name).type)) for name in stored]
        keep = options.nulls == "keep"
        rows = [piece.num_rows for piece in self._pieces]
        self.settings = {}
        self._begin(Held(path), fields, rows, nulls, keep_nulls=keep)
        self._indices = indices
        if indices is not None:
            self.rows = len(indices)
        specs = {name: replace(spec, shape=(self.rows, *spec.shape[1:])) for name, spec in self.specs.items()}
        for name in (*self._ragged, *self._audio):
            if name in specs:
                specs[name] = ArraySpec(
                    kind="numpy", dtype="float32" if name in self._audio else _element(fields, name),
                    shape=(self.rows, None), null_count=0, writable=True,
                )  # fmt: skip
        rate = ArraySpec(kind="numpy", dtype="float64", shape=(self.rows,), null_count=0, writable=True)
        self.specs = {name: rate if name in rates else specs[name] for name in self._names}

    def _rates_of(self, name: str) -> tuple[str, ...]:
        return (f"{name}_{RATE}",) if name in self._audio else ()

    def _load(self, number: int) -> pa.RecordBatch:
        piece = self._pieces[number]
        piece.validate(full=True)
        columns = [
            _storage_of(column) if (type := self._arrays.get(name)) is None else _as_tensors(column, type)
            for name, column in zip(piece.schema.names, piece.columns, strict=True)
        ]
        return pa.record_batch(columns, names=piece.schema.names)

    def slice(self, start: int, stop: int, *, writable: bool) -> Columns:
        """Views of the table where rows follow each other in it, else gathered rows."""
        if self._indices is None:
            return self._finished(super().slice(start, stop, writable=writable), range(start, stop))
        rows = self._indices[start:stop]
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and bool((np.diff(rows) == 1).all()):
            first = int(rows[0])
            columns = super().slice(first, first + len(rows), writable=writable)
        else:
            columns = super().take(rows)
        return self._finished(columns, range(start, stop))

    def take(self, indices: Any) -> Columns:
        """Rows gathered."""
        return self._finished(super().take(indices if self._indices is None else self._indices[indices]), indices)

    def _finished(self, columns: Columns, rows: Sequence[int]) -> Columns:
        """The columns with rows of their own shapes as arrays, and audio decoded."""
        if not self._ragged and not self._audio:
            return columns
        finished: Columns = {}
        for name, column in columns.items():
            if name in self._audio:
                finished[name], finished[f"{name}_{RATE}"] = self._decoded(name, column, rows)
            elif name in self._ragged:
                finished[name] = as_objects([_row_array(self.file.path, name, value) for value in column])
            else:
                finished[name] = column
        return {name: finished[name] for name in self._names}

    def _decoded(self, name: str, column: Any, rows: Sequence[int]) -> tuple[Any, Any]:
        arrays, rates = [], []
        for number, value in zip(rows, column.to_pylist(), strict=True):
            if value is None:
                problem = f"row {number} is null, and there is no audio to decode"
                raise data_error(self.file.path, problem, "leave such rows out: filter", column=name)
            samples, rate = decode_audio(value, self._audio[name], self.file.path, name, number)
            arrays.append(samples)
            rates.append(rate)
        return as_objects(arrays), np.array(rates, np.float64)


def decode_audio(value: Mapping[str, Any], audio: _Audio, path: Path, name: str, row: int) -> tuple[Any, float]:
    """The samples of a file that a row holds, or names, float32 `[time]` or `[channels, time]`, and their rate in Hz.

    Raises:
        DataError: the file is missing, damaged, elsewhere than on this machine, or has other channels.
    """
    content, place = value.get("bytes"), value.get("path") or ""
    if content is None and (not place or "://" in place):
        what = f"row {row} names {place!r}" if place else f"row {row} has neither bytes nor a path"
        raise data_error(path, f"{what}, and only files of this machine are read", "download it first", column=name)
    samples, rate = read_audio(place if content is None else content, path, name, row)
    if audio.channels == 1 and len(samples) > 1:
        samples = samples.mean(axis=0, keepdims=True, dtype=np.float32)
    if audio.channels is not None and len(samples) != audio.channels:
        problem = f"row {row} has {len(samples)} channels where the dataset says {audio.channels}"
        raise data_error(path, problem, "cast_column(name, Audio(num_channels=...)) says otherwise", column=name)
    if audio.rate is not None and audio.rate != rate:
        samples, rate = Resample(from_hz=rate, to_hz=audio.rate)(samples), audio.rate
    return samples[0] if len(samples) == 1 else samples, float(rate)


def _audio_of(feature: Any) -> _Audio | None:
    """How a column is decoded, if it is of audio."""
    datasets = loaded("datasets")
    if datasets is None or not isinstance(feature, datasets.Audio) or not feature.decode:
        return None
    return _Audio(feature.sampling_rate, getattr(feature, "num_channels", None))


def _storage(type: pa.DataType) -> pa.DataType:
    """The type in which values of a type of `datasets` are stored; other types as they are."""
    return type.storage_type if _is_array_type(type) else type


def _is_array_type(type: Any) -> bool:
    module = loaded("datasets")
    return module is not None and isinstance(type, module.features.features._ArrayXDExtensionType)


def _storage_of(column: pa.Array) -> pa.Array:
    return column.storage if _is_array_type(column.type) else column


def _plain_lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([_storage_of(chunk) for chunk in column.chunks], type=_storage(column.type))


def _depth(type: pa.DataType) -> int:
    """How many lists of unfixed length stand one within the other around numbers; 0 for other types."""
    depth = 0
    while pa.types.is_list(type) or pa.types.is_large_list(type):
        type, depth = type.value_type, depth + 1
    return depth if pa.types.is_integer(type) or pa.types.is_floating(type) else 0


def _element(fields: Sequence[pa.Field], name: str) -> str:
    type = next(field.type for field in fields if field.name == name)
    while pa.types.is_list(type) or pa.types.is_large_list(type):
        type = type.value_type
    return str(type.to_pandas_dtype().__name__)


def _array_type(column: pa.ChunkedArray) -> pa.DataType | None:
    """The type of arrays of one shape that a column of nested lists is, if all of its rows have one; else `None`.

    Only the lists' ends are read, not their values. Lists of one level are handed on as they are.
    """
    if _depth(_storage(column.type)) < 2:
        return None
    shape: tuple[int, ...] | None = None
    for chunk in column.chunks:
        own = _shape_of(_storage_of(chunk))
        if own is None or (shape is not None and len(chunk) and own != shape):
            return None
        shape = own if len(chunk) else shape
    if shape is None or not prod(shape):
        return None
    element = _storage(column.type)
    for _ in shape:
        element = element.value_type
    return pa.fixed_shape_tensor(element, shape)


def _shape_of(lists: pa.Array) -> tuple[int, ...] | None:
    """The one shape of the rows of nested lists without nulls; empty where there are no rows."""
    shape: list[int] = []
    while len(lists) and hasattr(lists, "offsets"):
        lengths = np.diff(np.asarray(lists.offsets))
        if lists.null_count or (lengths != lengths[0]).any():
            return None
        shape.append(int(lengths[0]))
        lists = lists.flatten()
    return None if lists.null_count else tuple(shape)


def _as_tensors(column: pa.Array, type: Any) -> pa.Array:
    """Nested lists of one shape as an array of tensors over the same values."""
    values = _storage_of(column)
    while hasattr(values, "offsets"):
        values = values.flatten()
    return pa.ExtensionArray.from_storage(type, pa.FixedSizeListArray.from_arrays(values, prod(type.shape)))


def _row_array(path: Path, name: str, value: Any) -> Any:
    """A row of nested lists as an ndarray."""
    lists = value.values
    shape = None if lists is None else _shape_of(lists)
    if lists is None or shape is None:
        problem = "has a row that is null" if lists is None else "has a row whose lists differ in length, or hold nulls"
        raise data_error(path, problem, "cut them to one length, or leave them out", column=name)
    while hasattr(lists, "offsets"):
        lists = lists.flatten()
    return np.array(lists.to_numpy(zero_copy_only=False)).reshape(len(value.values), *shape)
