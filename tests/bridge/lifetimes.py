"""Views outlive their sources: make one, drop the source, collect, churn memory, and read again.

The scenarios run in processes of their own (`scenarios.py`): a view that dangles reads garbage from small buffers and
crashes on large ones, so each size is tried.
"""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import torch

import bridgeflow as bf
from tests.bridge.killers import Foreign, churn

SIZES = (7, 1_000, 1_000_000)


def outlives(make: Callable[[int], Any], *crossings: Callable[[Any], Any]) -> None:
    """The end of the chain of crossings holds the values 0, 1, 2, ... after everything before it is deleted."""
    for size in SIZES:
        x = make(size)
        for crossing in crossings:
            x = crossing(x)
        gc.collect()
        churn()
        gc.collect()
        assert np.array_equal(np.asarray(bf.to_numpy(x), np.float64).ravel(), np.arange(float(size)))


def promised(x: Any) -> Any:
    return bf.to_tensor(x, copy="never", writable=False)


def shared_numpy(x: Any) -> Any:
    return bf.to_numpy(x, copy="never")


def shared_arrow(x: Any) -> Any:
    return bf.to_arrow(x, copy="never")


def scenario_tensor_behind_numpy() -> None:
    outlives(lambda n: torch.arange(float(n)), shared_numpy)


def scenario_tensor_behind_arrow() -> None:
    outlives(lambda n: torch.arange(float(n)), shared_arrow)


def scenario_tensor_with_a_graph() -> None:
    outlives(lambda n: torch.arange(float(n), requires_grad=True), shared_numpy)


def scenario_numpy_behind_tensor() -> None:
    outlives(lambda n: np.arange(float(n)), promised)


def scenario_numpy_behind_arrow_behind_tensor() -> None:
    outlives(lambda n: np.arange(float(n)), shared_arrow, promised)


def scenario_arrow_behind_numpy_behind_tensor() -> None:
    outlives(lambda n: pa.array(np.arange(float(n)).tolist()), shared_numpy, promised)


def scenario_round_the_house() -> None:
    outlives(lambda n: torch.arange(float(n)), shared_numpy, shared_arrow, promised, shared_numpy, shared_arrow)


def scenario_a_slice_of_arrow() -> None:
    outlives(lambda n: pa.array(np.arange(-3.0, n + 2.0).tolist())[3:-2], promised)


def scenario_tensor_column() -> None:
    outlives(lambda n: np.arange(float(n)).reshape(-1, 1), shared_arrow, promised)


def scenario_a_foreign_array() -> None:
    outlives(lambda n: Foreign(np.arange(float(n))), promised)
    outlives(lambda n: torch.arange(float(n)).__dlpack__(), shared_numpy)


def scenario_bits_of_bfloat16() -> None:
    t = torch.arange(200.0).bfloat16()
    bits = bf.to_numpy(t, bfloat16="uint16", copy="never")
    del t
    gc.collect()
    churn()
    assert torch.equal(torch.from_numpy(bits).view(torch.bfloat16), torch.arange(200.0).bfloat16())


def scenario_faces_of_one_buffer() -> None:
    outlives(lambda n: torch.arange(float(n)), lambda x: bf.share(x).arrow)
    outlives(lambda n: torch.arange(float(n)), lambda x: bf.share(x).tensor)


def scenario_rows_of_a_list() -> None:
    rows = bf.to_numpy(pa.array([list(map(float, range(n))) for n in (5, 0, 1000)]), ragged="list", copy="never")
    gc.collect()
    churn()
    assert [row.tolist() for row in rows] == [list(range(n)) for n in (5, 0, 1000)]


def scenario_a_mapped_file() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.arrow")
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, pa.schema([("x", pa.float64())])) as writer:
            writer.write_batch(pa.record_batch({"x": pa.array(np.arange(1000.0))}))
        file = pa.memory_map(path)
        tensor = promised(pa.ipc.open_file(file).read_all()["x"])
        file.close()
        del file
        os.unlink(path)
    gc.collect()
    churn()
    assert tensor.tolist() == list(range(1000))


def scenario_no_memory_is_kept_for_nothing() -> None:
    before = pa.total_allocated_bytes()
    tensor = promised(pa.array(np.arange(1_000_000.0).tolist()))
    assert pa.total_allocated_bytes() > before
    del tensor
    gc.collect()
    assert pa.total_allocated_bytes() == before
