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
    """They have computed before: what torch sets up at its first product (`static` in C++, under a lock of its own)
    never ends in a child that was forked meanwhile, whichever thread forks it.
    """
    stop = threading.Event()
    x, column = torch.randn(300, 300), pa.array(np.random.default_rng(0).standard_normal(50_000))

    def compute() -> None:
        x @ x.T
        pa.compute.sort_indices(column)
        Segment(1 << 16).array((10,), "u1")[:] = 1
        pickle.loads(pickle.dumps(share(np.ones(10), across="process")))

    def busy() -> None:
        while not stop.is_set():
            compute()

    compute()
    threads = [threading.Thread(target=busy) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
