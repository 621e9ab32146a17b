"""Statistics of datasets of Ray's; `SignalDataset.from_ray` reads such datasets, `Compose` runs in `map_batches`."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from bridgeflow._optional import require
from bridgeflow.pipeline.compose import AnyStage
from bridgeflow.pipeline.dataset import SignalDataset
from bridgeflow.pipeline.fitting import FitStandardize, merge_statistics
from bridgeflow.pipeline.ray_rows import with_plain_tensors
from bridgeflow.transforms.normalize import Normalize, NormalizeBy

__all__ = ["fit"]


def fit(estimator: FitStandardize, dataset: Any, transform: AnyStage | None = None) -> Normalize | NormalizeBy:
    """The transform with the statistics of all rows of a dataset, each block read by a task.

    The bits are those of `estimator.fit` in one process, however the rows are cut into blocks and whichever tasks die.

    Args:
        dataset: a `ray.data.Dataset`.
        transform: what samples go through before; not random.

    Raises:
        TypeError: not a dataset of Ray's.
        DataError, ConfigError: as for `FitStandardize.fit`, within the `RayTaskError` in which Ray wraps what its tasks
            raise.
    """
    data = require("ray.data", needed_for="fit")
    if not isinstance(dataset, data.Dataset):
        raise TypeError(f"fit: expected a ray.data.Dataset, got a {type(dataset).__name__}")
    parts = dataset.map_batches(_Statistics(estimator, transform), batch_format="pyarrow", batch_size=None)
    states = [json.loads(row["state"]) for row in parts.iter_rows()]
    return merge_statistics(states).transform()


class _Statistics:
    """The statistics of a block, as a row of text."""

    def __init__(self, estimator: FitStandardize, transform: AnyStage | None) -> None:
        self._estimator = estimator
        self._transform = transform

    def __call__(self, block: pa.Table) -> pa.Table:
        if not block.num_rows:
            return pa.table({"state": pa.array([], pa.large_string())})
        samples = SignalDataset(with_plain_tensors(block), self._transform, kind="numpy")
        state = self._estimator.statistics(samples, threads=1).state_dict()
        return pa.table({"state": pa.array([json.dumps(state)], pa.large_string())})
