"""Arrow record batches through a pipeline, one after the other: what Spark's `mapInArrow` and Dask's bags call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bridgeflow.bridge import to_numpy
from bridgeflow.io.columns import to_batch
from bridgeflow.pipeline.ray_rows import with_plain_tensors
from bridgeflow.pipeline.segments import SegmentedTransform
from bridgeflow.pipeline.stage_functions import Labelled
from bridgeflow.pipeline.streamed import StreamedRows, TableFetcher
from bridgeflow.policy import Nulls

__all__ = ["mapped_batches"]

_NAME = "<record batch>"


def mapped_batches(
    stages: Sequence[Labelled], batches: Iterable[Any], nulls: Nulls | float
) -> Iterator[pa.RecordBatch]:
    """What `Compose.map_batches` gives."""
    fetcher = TableFetcher({}, _NAME, None, "numpy", nulls, SegmentedTransform(stages, _NAME))
    return MappedBatches(_mapped(fetcher, batches))


class MappedBatches(Iterator[pa.RecordBatch]):
    """Batches as they are asked for; pickled, those that are left: processes of Dask hand results over so."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches

    def __next__(self) -> pa.RecordBatch:
        return next(self._batches)

    def __reduce__(self) -> tuple[Any, ...]:
        return iter, (list(self),)


def _mapped(fetcher: TableFetcher, batches: Iterable[Any]) -> Iterator[pa.RecordBatch]:
    first = 0
    for batch in batches:
        table = batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])
        if not table.num_rows:
            continue
        table = with_plain_tensors(table)
        samples = fetcher.finish(fetcher.begin(StreamedRows(first, table), (0, 0), False), None, padded=False)
        columns = {name: _column(one) for name, one in samples.columns("error").items()}
        result = to_batch(Path(_NAME), columns)
        yield result if any(map(_is_tensor, table.schema.types)) else _with_lists(result)
        first += table.num_rows


def _column(value: Any) -> Any:
    return pa.array(value) if isinstance(value, list) else value


def _is_tensor(type: pa.DataType) -> bool:
    return isinstance(type, pa.FixedShapeTensorType)


def _with_lists(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with tensors as nested lists over the same values, for readers that know no others."""
    columns = [_lists(to_numpy(one)) if _is_tensor(one.type) else one for one in batch.columns]
    return pa.record_batch(columns, names=batch.schema.names)


def _lists(array: np.ndarray[Any, Any]) -> pa.Array:
    values: pa.Array = pa.array(array.reshape(-1))
    for axis in range(array.ndim - 1, 0, -1):
        count = int(np.prod(array.shape[:axis]))
        values = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32) * array.shape[axis]), values)
    return values
