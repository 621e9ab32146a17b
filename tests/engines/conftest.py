"""Three recordings, and a job that makes shards of them."""

import numpy as np
import pytest

from bridgeflow.io import open_sink
from bridgeflow.pipeline.job import Job
from bridgeflow.pipeline.job_parts import JobSink, JobSource
from tests.engines.shard_jobs import FS, ROW
from tests.store_fixtures import bucket, moto_port, proxy, quickly, s3

__all__ = ["bucket", "data", "job", "moto_port", "proxy", "quickly", "s3"]


@pytest.fixture
def data(tmp_path):
    """Three recordings of different lengths: counts and labels."""
    recordings = {}
    for seed, name in enumerate(("a", "b", "c")):
        generator = np.random.default_rng(seed)
        rows = 2500 + 777 * seed
        columns = {
            "ecg": generator.integers(0, 2048, rows).astype(np.uint16),
            "beat": (generator.random(rows) > 0.999).astype(np.int8),
        }
        with open_sink(tmp_path / "in" / f"{name}.parquet", settings={"fs": FS}) as sink:
            sink.write(columns)
        recordings[name] = columns
    return recordings


@pytest.fixture
def job(tmp_path, data):
    return Job(
        source=JobSource(path=tmp_path / "in", format="parquet"),
        transform=ROW,
        sink=JobSink(path=tmp_path / "out", format="arrow", shards=True, shard_rows=1000),
        threads=2,
    )
