"""`trace()`: a record of every crossing while it is open."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

from bridgeflow._html import card, table
from bridgeflow.errors import StageId
from bridgeflow.spec import Exchange

__all__ = ["ACTIVE", "Trace", "at", "record", "trace"]

ACTIVE: list[Trace] = []
"""Open traces, of all threads: a loader's threads convert for the thread that traces.
"""

_lock = threading.Lock()
_HERE: ContextVar[tuple[str, StageId | None]] = ContextVar("bridgeflow_here", default=("$", None))
"""The place in the data and the stage at work: set by the code that traverses, and unknown to that of the leaves."""


class Trace:
    """The Exchanges of crossings while the trace was open; prints as a table, and as HTML in a notebook."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    @property
    def total_bytes(self) -> int:
        """Bytes that all crossings together have written."""
        return sum(exchange.nbytes or 0 for exchange in self.exchanges)

    def __len__(self) -> int:
        return len(self.exchanges)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(self.exchanges)

    def rows(self) -> list[tuple[str, ...]]:
        """One row of text per Exchange: place, from, to, action, bytes, why."""
        return [exchange_row(exchange) for exchange in self.exchanges]

    def __str__(self) -> str:
        return text_table(HEADER, self.rows()) + f"\n{len(self)} crossings, {self.total_bytes:,} bytes copied"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        foot = f"<p>{len(self)} crossings, {self.total_bytes:,} bytes copied</p>"
        return card("Trace", table(HEADER, self.rows()), foot)


HEADER = ("place", "from", "to", "action", "bytes", "why")


def exchange_row(exchange: Exchange) -> tuple[str, ...]:
    """An Exchange as cells of text, in the order of `HEADER`."""
    why = "" if exchange.reason is None else f"{exchange.reason}: {exchange.detail}"
    size = "?" if exchange.nbytes is None else f"{exchange.nbytes:,}"
    return (exchange.place, str(exchange.source), str(exchange.target), exchange.action, size, why)


def text_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Columns padded to their widest cell."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
    return "\n".join(lines)


def record(exchange: Exchange) -> None:
    """Add a crossing to every open trace, with the place and the stage that are being worked on."""
    place, stage = _HERE.get()
    exchange = replace(exchange, place=place + exchange.place.removeprefix("$"), stage=stage or exchange.stage)
    with _lock:
        for open_trace in ACTIVE:
            open_trace.exchanges.append(exchange)


@contextmanager
def at(place: str, stage: StageId | None = None) -> Iterator[None]:
    """Crossings in this context are recorded, until the block ends, at that place and stage."""
    token = _HERE.set((place, stage or _HERE.get()[1]))
    try:
        yield
    finally:
        _HERE.reset(token)


@contextmanager
def trace() -> Iterator[Trace]:
    """Record every crossing in any thread of this process, until the block ends.

    >>> import numpy as np
    >>> with trace() as t:
    ...     from bridgeflow.bridge import to_tensor
    ...
    ...     tensor = to_tensor(np.zeros((2, 3), ">f4"))
    >>> t.total_bytes, t.exchanges[0].reason
    (24, 'byte-order')
    """
    opened = Trace()
    with _lock:
        ACTIVE.append(opened)
    try:
        yield opened
    finally:
        with _lock:
            ACTIVE[:] = [other for other in ACTIVE if other is not opened]
