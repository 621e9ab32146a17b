"""Rows of Ray's datasets, streamed: a table for each batch that `iter_batches` gives, tensors without a copy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from bridgeflow._optional import loaded
from bridgeflow.errors import DataError
from bridgeflow.pipeline.hub_rows import HubStream

__all__ = ["RayStream", "is_ray_rows", "with_plain_tensors"]

_TENSORS: Final = ("ray.data.arrow_tensor", "ray.data.arrow_tensor_v2")
"""The extension types of Ray for rows of one shape: lists of their values, and the shape."""


def is_ray_rows(x: object) -> bool:
    """Whether `x` is a `ray.data.Dataset` or a `ray.data.DataIterator`."""
    module = loaded("ray.data")
    return module is not None and isinstance(x, (module.Dataset, module.DataIterator))


class RayStream(HubStream):
    """The rows of a `ray.data.Dataset`, or of the `DataIterator` that a worker of `ray.train` has, in the place of a
    source.

    Args:
        dataset: read in its own order, which this makes it keep, so that an epoch can be resumed.
        columns: to read; `None` for all.
    """

    remedy = "shuffle it with dataset.random_shuffle(), or its blocks with dataset.randomize_block_order()"
    sharing = "use dataset.streaming_split, or ray.train.get_dataset_shard"

    def __init__(self, dataset: Any, columns: Sequence[str] | None) -> None:
        self.dataset = dataset
        self.columns = None if columns is None else tuple(columns)
        self.features: dict[str, Any] = {}
        self.name = f"<ray.data.{type(dataset).__name__.lstrip('_')}>"
        context = getattr(dataset, "context", None)
        if context is not None:
            context.execution_options.preserve_order = True

    def tables(
        self, epoch: int, batch_size: int, *, drop_last: bool, state: Mapping[str, Any] | None
    ) -> Iterator[tuple[pa.Table, dict[str, Any]]]:
        """The rows of an epoch, a table for each batch; there is no state, an epoch is read again up to a place."""
        batches = self.dataset.iter_batches(batch_size=batch_size, batch_format="pyarrow", drop_last=drop_last)
        for table in batches:
            yield with_plain_tensors(table), {}

    def digest(self) -> str:
        """What tells these rows from others', as far as the dataset says it: its columns."""
        return hashlib.sha256(json.dumps([self.name, self.columns]).encode()).hexdigest()[:32]

    def __repr__(self) -> str:
        return f"<RayStream {self.name}>"


def with_plain_tensors(table: Any) -> Any:
    """A table or record batch in which Ray's tensors of one shape are Arrow's own, over the same memory.

    Raises:
        DataError: a column of tensors whose shapes differ.
    """
    names = [field.name for field in table.schema if getattr(field.type, "extension_name", "").startswith("ray.data.")]
    for name in names:
        index = table.schema.get_field_index(name)
        column = table.column(index)
        if column.type.extension_name not in _TENSORS:
            raise DataError(
                f"column {name!r}: rows of different shapes ({column.type}); bring them to one shape before, or keep "
                "them as lists"
            )
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        tensors = [_plain_tensor(chunk) for chunk in chunks]
        plain = (
            pa.chunked_array(tensors, _plain_type(column.type)) if isinstance(column, pa.ChunkedArray) else tensors[0]
        )
        table = table.set_column(index, name, plain)
    return table


def _plain_type(type: Any) -> pa.DataType:
    return pa.fixed_shape_tensor(type.storage_type.value_type, tuple(type.shape))


def _plain_tensor(array: Any) -> pa.Array:
    """The rows over the same values."""
    kind = _plain_type(array.type)
    values = array.storage.flatten()  # those of the slice alone
    storage = pa.FixedSizeListArray.from_arrays(values, kind.storage_type.list_size)
    return pa.ExtensionArray.from_storage(kind, storage)
