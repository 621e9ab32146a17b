"""What a notebook shows of datasets: their transform, columns, and a few rows as they are read.

Nothing of a transform is run, and few rows are read: an object is shown whenever it ends a cell.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bridgeflow._html import Markup, card, curves, facts, flow, table, text
from bridgeflow.bridge import to_numpy
from bridgeflow.errors import BridgeflowError, StageId, printable
from bridgeflow.pipeline.lazy import RecordingWindows
from bridgeflow.pipeline.stage_table import MOST_STAGES
from bridgeflow.recordings.notebook import beginning

__all__ = ["dataset_html"]

_COLUMNS, _ROWS, _CURVES = 24, 3, 4
"""Most columns that are shown, rows that are read, and curves of one row."""

_ROW_NBYTES = 1 << 22
"""Bytes of a row up to which rows are read."""

_FILE_NBYTES = 64 << 20
"""Bytes of a file up to which rows are read that cannot be read alone."""


def dataset_html(dataset: Any) -> str:
    """A `SignalDataset`: its transform, its columns, and its first rows as they are read, before the transform."""
    source = dataset.source
    pairs = [
        ("rows", f"{len(dataset):,}"),
        ("kind", dataset.kind),
        ("seed", dataset.seed),
        ("part", str(dataset.part or "")),
        *((f"rejected: {rule}", f"{count:,}") for rule, count in dataset.rejected.items()),
    ]
    stages = getattr(dataset.transform, "row", None)
    names = [label.name for label, _ in stages[:MOST_STAGES]] if stages else []
    if dataset.transform is not None and not names:
        names = [StageId.of(dataset.transform).name]
    specs: dict[str, Any] = {}
    rows: dict[str, list[Any]] = {}
    try:
        specs = dict(source.specs)
        rows, note = _windows(source) if isinstance(source, RecordingWindows) else _rows(source)
    except (BridgeflowError, OSError, ValueError, IndexError) as error:
        note = str(error)
    columns = list(dict.fromkeys([*specs, *rows]))
    header = ("column", "dtype", "shape of a row", *(f"row {number}" for number in range(_count(rows))))
    body = [
        (name, *_described(specs.get(name)), *(rows.get(name) or [""] * _count(rows))) for name in columns[:_COLUMNS]
    ]
    more = f"<p>and {len(columns) - _COLUMNS:,} more columns</p>" if len(columns) > _COLUMNS else ""
    said = f"<p>{text(note)}</p>" if note else ""
    return card(
        f"SignalDataset of {source.name}", facts(pairs), flow(names) if names else "", table(header, body), more + said
    )


def _count(rows: dict[str, list[Any]]) -> int:
    return max(map(len, rows.values()), default=0)


def _described(spec: Any) -> tuple[str, str]:
    if spec is None:
        return "", ""
    return spec.dtype, " \N{MULTIPLICATION SIGN} ".join("?" if n is None else f"{n:,}" for n in spec.shape[1:])


def _rows(source: Any) -> tuple[dict[str, list[Any]], str]:
    """The first rows by column, and what there is to say."""
    count = min(_ROWS, source.rows)
    if not count:
        return {}, "there are no rows"
    sizes = [(spec.nbytes or 0) / max(source.rows, 1) for spec in source.specs.values()]
    if sum(sizes) > _ROW_NBYTES:
        return {}, f"a row has {sum(sizes):,.0f} bytes, so none was read"
    if not source.random_access and (source.nbytes or 0) > _FILE_NBYTES:
        return {}, "rows of this file cannot be read alone, so none was read"
    columns = source.slice(0, count, writable=False)
    rows = {name: [_shown(column[number : number + 1]) for number in range(count)] for name, column in columns.items()}
    return rows, "rows as they are read, before the transform"


def _shown(one: Any) -> Any:
    """A row of a column, in a slice of length 1: a number or text, or a picture of curves."""
    try:
        array = np.asarray(to_numpy(one, nulls="nan"))[0]
    except (BridgeflowError, TypeError, ValueError):
        value = one.tolist()[0] if isinstance(one, np.ndarray) else one[0].as_py()
        return printable(str(value), 60)
    if not array.ndim or array.size < 2 or array.dtype.kind not in "biufc":
        return printable(str(array[()] if not array.ndim else array.tolist()), 60)
    values = np.abs(array) if array.dtype.kind == "c" else array
    lines = values.reshape(-1, values.shape[-1])[:_CURVES].astype(np.float64)
    return curves(list(lines), words=f"{len(lines)} of {array.size // array.shape[-1]:,} rows of {array.shape[-1]:,}")


def _windows(windows: RecordingWindows) -> tuple[dict[str, list[Any]], str]:
    """The recordings' samples where the first windows lie, by column: at most a few thousand."""
    rows: dict[str, list[Any]] = {}
    for row in range(min(_ROWS, windows.rows)):
        number, places, _ = windows.located(windows.chosen(row))
        recording: Any = windows.recordings[number]
        _, since, until, _ = windows.times(number, places)
        for name in places:
            values = beginning(recording, name, _CURVES, (since, until))
            rows.setdefault(name, []).append("" if values is None else _picture(values))
        rows.setdefault("recording", []).append(recording.id)
        rows.setdefault("seconds", []).append(f"{since:g} to {until:g}")
        for label, value in list(recording.labels.items())[:_CURVES]:
            rows.setdefault(label, []).append(printable(str(value), 60))
    note = "windows as they lie in the recordings, before the transform" if rows else windows.why_none()
    return {name: cells for name, cells in rows.items() if len(cells) == _count(rows)}, note


def _picture(values: np.ndarray) -> Markup:
    return curves(list(values), words=f"{len(values):,} channels, {values.shape[-1]:,} samples")
