"""Where the rows of a dataset come from, by what its user gives; and what is said about a row that is not there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

from bridgeflow.io import Source, open_source
from bridgeflow.io.options import ColumnNulls
from bridgeflow.pipeline.hub_rows import HubStream, is_hub_dataset, is_hub_stream, open_hub_dataset
from bridgeflow.pipeline.lazy import RecordingWindows
from bridgeflow.pipeline.ray_rows import RayStream, is_ray_rows

__all__ = ["no_row", "open_rows", "rows_digest"]


def open_rows(source: Any, *, columns: Sequence[str] | None, nulls: ColumnNulls, **options: Any) -> Source | HubStream:
    """Rows of a file or in memory, of a dataset of Hugging Face's or of Ray's, or of a source that is open.

    Args and errors as for `open_source`, and those of `open_hub_dataset`; `options` are those of files.
    """
    if isinstance(source, Source):
        if columns is not None or any(options.values()):
            what = "columns, format, normalize and max_nbytes"
            raise ValueError(f"{what} are chosen where a source is opened; pass the path instead")
        return source
    if not (is_hub_dataset(source) or is_hub_stream(source) or is_ray_rows(source)):
        return open_source(source, columns=columns, nulls=nulls, **options)
    if any(options.values()):
        name = type(source).__name__
        raise ValueError(f"format, normalize and max_nbytes are of files, and this is a {name}; leave them out")
    if is_ray_rows(source):
        return RayStream(source, columns)
    if is_hub_stream(source):
        return HubStream(source, columns)
    return open_hub_dataset(source, columns=columns, nulls=nulls)


def no_row(dataset: Any, number: int) -> IndexError:
    """That there is no such row, and why where there is none at all."""
    if len(dataset) or not isinstance(dataset.source, RecordingWindows):
        what = "windows" if isinstance(dataset.source, RecordingWindows) else "rows"
        return IndexError(f"{dataset.source.name} has {len(dataset)} {what}, there is no row {number}")
    counts = {rule: count for rule, count in dataset.rejected.items() if count}
    reason = dataset.source.why_none()
    if counts:
        rules = ", ".join(f"{rule} {count:,}" for rule, count in counts.items())
        reason = f"all of them were rejected ({rules}); raise these limits"
    return IndexError(f"recordings has no windows: {reason}")


def rows_digest(source: Source, rows: int) -> str:
    """What tells the rows of a source from others': name, number of rows, columns."""
    columns = {name: [spec.dtype, list(spec.shape[1:])] for name, spec in source.specs.items()}
    identity = {"name": os.path.basename(source.name), "rows": rows, "columns": columns}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
