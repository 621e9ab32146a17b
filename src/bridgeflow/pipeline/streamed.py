"""Datasets that come row after row: a `datasets.IterableDataset` as a `SignalDataset` without length, for `Loader`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from bridgeflow.errors import ConfigError, DataError
from bridgeflow.pipeline.batches import SampleSet
from bridgeflow.pipeline.columns import ArrayKind, ColumnFetcher
from bridgeflow.pipeline.foreign import BatchKey
from bridgeflow.pipeline.hub_rows import HubStream, in_one_piece, open_hub_table
from bridgeflow.pipeline.segments import PartialBatch, SegmentedTransform
from bridgeflow.policy import Nulls, parse_flag, parse_integer
from bridgeflow.randomness import Generators, parse_seed

__all__ = ["ENDLESS", "StreamOrder", "StreamedRows", "TableFetcher"]

ENDLESS: Final = 1 << 62
"""More batches than a stream has."""


class StreamedRows(NamedTuple):
    """Rows of a stream that make a batch, and the number of the first among all rows of the epoch."""

    first: int
    table: pa.Table


class _StreamedBatch(PartialBatch):
    """A batch on its way, with the names of its columns of lists."""

    lists: tuple[str, ...] = ()


class StreamOrder:
    """The batches of a stream, in the order in which they come.

    Args:
        stream: read anew for each epoch.
        batch_size, seed, drop_last: as for `Loader`.
        ahead: batches that may be read before they are handed out.
    """

    def __init__(self, stream: HubStream, *, batch_size: int | None, seed: int, drop_last: bool, ahead: int) -> None:
        if batch_size is None:
            raise ValueError("batch_size: expected a number of rows; None is for samplers that give whole batches")
        self.batch_size = parse_integer(batch_size, field="batch_size", least=1)
        self.seed = parse_seed(seed)
        self.drop_last = parse_flag(drop_last, field="drop_last")
        self._stream = stream
        self._kept = ahead + 2
        self._states: OrderedDict[tuple[int, int], dict[str, Any]] = OrderedDict()

    @property
    def rows_in_batches(self) -> int:
        """Not known."""
        return self._stream.rows

    def __len__(self) -> int:
        """Not known."""
        return self._stream.rows

    def settings(self) -> dict[str, Any]:
        """What positions depend on, as plain values."""
        return {"batch_size": self.batch_size, "seed": self.seed, "drop_last": self.drop_last}

    def batches(self, epoch: int, first: int = 0) -> Iterator[Any]:
        """The rows of each batch of an epoch from batch number `first` on: where no state of that place is known, all
        before it are read and dropped.
        """
        state = self._states.get((epoch, first)) or None  # a stream of Ray has none
        size, begin = self.batch_size, first if state is not None else 0
        tables = self._stream.tables(epoch, size, drop_last=self.drop_last, state=state)
        for number, (table, after) in enumerate(tables, begin):
            self._states[epoch, number + 1] = after
            while len(self._states) > self._kept:
                self._states.popitem(last=False)
            if number >= first:
                yield StreamedRows(number * size, table)

    def batch_of(self, row: int) -> tuple[int, int]:
        """The batch that the row of this number in an epoch is in, and its place there."""
        return divmod(row, self.batch_size)

    def with_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state of a loader, completed by that of the dataset."""
        return {**state, "stream": self._states.get((state["epoch"], state["batch"]))}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Let the pass that goes on at a state begin with that of the dataset.

        Raises:
            DataError: the state has none.
        """
        stream = state.get("stream")
        if stream is not None and not isinstance(stream, Mapping):
            raise DataError("load_state_dict: the state of the stream was changed; pass what state_dict() gave")
        if stream is not None:
            self._states[state["epoch"], state["batch"]] = dict(stream)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_states": OrderedDict()}


class TableFetcher:
    """Makes samples of tables that `datasets` hands out, and takes them through a transform.

    Args:
        features: what the dataset says of its columns; empty where it says nothing.
        name: what messages call it.
        columns: to read; `None` for all.
        kind, nulls: as for `SignalDataset`.
        segmented: the transform.
    """

    def __init__(
        self,
        features: Mapping[str, Any],
        name: str,
        columns: Sequence[str] | None,
        kind: ArrayKind,
        nulls: Nulls | float,
        segmented: SegmentedTransform,
    ) -> None:
        self.segmented = segmented
        self._features, self._name, self._columns = features, name, columns
        self._kind, self._nulls = kind, nulls
        self._replaced: dict[pa.Schema, frozenset[str]] = {}

    def fetch(self, table: pa.Table) -> tuple[SampleSet, tuple[str, ...]]:
        """The rows before the transform, and the names of the columns of lists."""
        table = in_one_piece(table)
        keep: Literal["error", "keep"] = "error" if self._nulls == "error" else "keep"
        source = open_hub_table(table, self._features, self._name, columns=self._columns, nulls=keep)
        fetcher = ColumnFetcher(source, self._kind, self._nulls)
        replaced = self._replaced.get(table.schema)
        if replaced is None:
            replaced = self._replaced[table.schema] = self._columns_replaced(fetcher)
        samples = fetcher.fetch(np.arange(source.rows), replaced)
        return samples, tuple(name for name, how in fetcher.conversions.items() if how == "lists")

    def _columns_replaced(self, fetcher: ColumnFetcher) -> frozenset[str]:
        """The columns that the transform is sure to replace, which it may be given as they lie in the table."""
        try:
            return self.segmented.replaced({name: fetcher.describe(name) for name in fetcher.conversions})
        except DataError:
            return frozenset()

    def begin(self, rows: StreamedRows, key: tuple[int, int], as_samples: bool) -> PartialBatch:
        """The rows as samples, taken through our own stages, as far as the first callable of others.

        Args:
            key: seed and epoch.
            as_samples: as for `PartialBatch`.

        Raises:
            ConfigError: a stage mixes samples with those of other rows.
        """
        if self.segmented.mixing:
            name = type(self.segmented.mixing[0]).__name__
            raise ConfigError(f"{name} mixes samples with any other rows, and a stream has no others; leave it out")
        samples, lists = self.fetch(rows.table)
        numbers = range(rows.first, rows.first + samples.count)
        batch = _StreamedBatch(samples, Generators(*key, numbers, batched=True), as_samples)
        batch.lists = lists
        return self.segmented.run_own(batch)

    def finish(self, batch: PartialBatch, key: BatchKey | None, *, padded: bool) -> SampleSet:
        """The samples after all stages; with the lengths of lists beside them, where these are to be padded."""
        samples = self.segmented.run_rest(batch, key)
        lists = batch.lists if isinstance(batch, _StreamedBatch) and padded else ()
        return samples.with_lengths(lists) if lists else samples
