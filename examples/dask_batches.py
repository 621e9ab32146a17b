"""A pipeline in Dask: each partition of a bag holds files, whose record batches go through `map_batches`."""

import tempfile
from pathlib import Path

import dask.bag
import numpy as np
import pyarrow.parquet as pq

from bridgeflow import Compose, SignalFilter
from bridgeflow.io import open_sink

pipeline = Compose([SignalFilter(keys="ecg", design="butter", cutoff=40, order=4, fs=360)])
rows = np.random.default_rng(0).standard_normal((4, 100, 2, 720)).astype("float32")
folder = Path(tempfile.mkdtemp())
for number, ecg in enumerate(rows):
    with open_sink(folder / f"part{number}.parquet") as sink:
        sink.write({"ecg": ecg, "label": np.full(100, number)})


def largest(batch):
    """What is kept of each batch here: a label and the largest value."""
    return batch["label"][0].as_py(), float(batch["ecg"].to_numpy_ndarray().max())


files = dask.bag.from_sequence(sorted(folder.glob("*.parquet")), npartitions=2)
results = files.map(pq.read_table).map_partitions(pipeline.map_batches).map(largest).compute(scheduler="threads")

assert results == [(number, float(pipeline({"ecg": ecg})["ecg"].max())) for number, ecg in enumerate(rows)]
print(f"largest values after the filter: {', '.join(f'{value:.2f}' for _, value in results)}")
