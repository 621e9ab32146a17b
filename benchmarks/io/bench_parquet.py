"""Examples out of Parquet files, a pass over 10,240 of `[8, 1024]` float32: batches by pages against pyarrow's table.

One thread each; page cache warm. A pass after the first one: decoded pages of a file of this size are kept, as a table
of pyarrow's would be. `chunks` keeps nothing, and decodes each page.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.harness import Race, benchmark, faster, within
from bridgeflow.io import Source, open_sink, open_source

ROWS, BATCH = 10_240, 64
GOALS = {"none": 5, "snappy": 5, "zstd": 3}


@cache
def file(compression: str) -> Path:
    """The examples as our own sinks write them."""
    path = Path(tempfile.mkdtemp(prefix="bridgeflow-bench-")) / f"{compression}.parquet"
    with open_sink(path, compression=compression) as sink:
        sink.write({"x": np.random.default_rng(0).standard_normal((ROWS, 8, 1024), dtype=np.float32)})
    return path


def in_order(source: Source) -> None:
    for start in range(0, ROWS, BATCH):
        source.slice(start, start + BATCH)


def shuffled(source: Source) -> None:
    order = np.random.default_rng(1).permutation(ROWS)
    for start in range(0, ROWS, BATCH):
        source.take(order[start : start + BATCH])


def chunks(source: Source) -> None:
    for _ in source.chunks(BATCH):
        pass


PASSES: dict[str, Callable[[Source], Any]] = {"in order": in_order, "shuffled": shuffled, "by chunks": chunks}


@benchmark(
    "Parquet, {compression}: 10,240 examples {order}", compression=["none", "snappy", "zstd"], order=list(PASSES)
)
def examples(compression: str, order: str) -> Race:
    path = file(compression)
    source = open_source(path)
    return Race(
        ours=partial(PASSES[order], source),
        peers={"pq.read_table": partial(pq.read_table, path, use_threads=False)},
        targets={"pq.read_table": faster(GOALS[compression])},
        work=(ROWS, "example"),
    )


@benchmark("Parquet, {compression}: examples in order against shuffled ones", compression=["none", "snappy", "zstd"])
def orders(compression: str) -> Race:
    source = open_source(file(compression))
    return Race(
        ours=partial(in_order, source),
        peers={"shuffled": partial(shuffled, source)},
        targets={"shuffled": within(1)},
        work=(ROWS, "example"),
    )
