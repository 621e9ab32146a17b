"""A job on Ray: recordings filtered and cut on the workers of a cluster, with the bytes of a run on one machine."""

import tempfile
from pathlib import Path

import numpy as np

from bridgeflow.config import load_job
from bridgeflow.engines.ray import run_on_ray
from bridgeflow.engines.shards import run_shards

JOB = """\
version: 1
source: {recordings: "in/*.npy", fs: 360}
transforms:
  - SignalFilter: {design: butter, btype: bandpass, cutoff: [0.5, 40], order: 2, mode: zero_phase}
  - Window: {length: 720, hop: 360}
sink: {parquet: SHARDS/}
"""

folder = Path(tempfile.mkdtemp())  # on a cluster: a folder that every machine sees
(folder / "in").mkdir()
for number in range(4):
    np.save(folder / "in" / f"night{number}.npy", np.random.default_rng(number).standard_normal((36_000, 2), "float32"))
jobs = {}
for name in ("local", "ray"):
    (folder / f"{name}.yaml").write_text(JOB.replace("SHARDS", name))
    jobs[name] = load_job(folder / f"{name}.yaml", roots=[folder])

here = run_shards(jobs["local"])
there = run_on_ray(jobs["ray"])  # address="auto" on a machine of a cluster; bridgeflow run ray.yaml --engine ray
assert [shard.sha256 for shard in there.shards] == [shard.sha256 for shard in here.shards]
print(f"{there.recordings} recordings, {there.rows:,} windows in {len(there.shards)} shards, the same bytes")
