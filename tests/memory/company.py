"""Threads that compute in torch and Arrow, and hand memory around, while a test starts processes."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch

from bridgeflow.bridge import share
from bridgeflow.memory import Segment


@contextmanager
def threads_that_compute(count: int = 2) -> Iterator[None]:
    stop = threading.Event()

    def busy() -> None:
        x, column = torch.randn(300, 300), pa.array(np.random.default_rng(0).standard_normal(50_000))
        while not stop.is_set():
            x = x @ x.T / 300
            pa.compute.sort_indices(column)
            Segment(1 << 16).array((10,), "u1")[:] = 1
            pickle.loads(pickle.dumps(share(np.ones(10), across="process")))

    threads = [threading.Thread(target=busy) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
