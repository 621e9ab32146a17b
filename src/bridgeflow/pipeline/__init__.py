"""Pipelines: transforms in sequence, and what is built on them.

`Compose` is there at once; what reads files or starts processes is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bridgeflow.pipeline.compose import Compose

if TYPE_CHECKING:
    from bridgeflow.pipeline.batches import Batch, collate
    from bridgeflow.pipeline.dataset import SignalDataset
    from bridgeflow.pipeline.loader import Loader
    from bridgeflow.pipeline.randomness import generators, seeded
    from bridgeflow.pipeline.samplers import BatchSampler
    from bridgeflow.pipeline.workers import WorkerPool

__all__ = [
    "Batch",
    "BatchSampler",
    "Compose",
    "Loader",
    "SignalDataset",
    "WorkerPool",
    "collate",
    "generators",
    "seeded",
]

_HOME = {
    "Batch": "batches",
    "BatchSampler": "samplers",
    "Loader": "loader",
    "SignalDataset": "dataset",
    "WorkerPool": "workers",
    "collate": "batches",
    "generators": "randomness",
    "seeded": "randomness",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bridgeflow.pipeline' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
