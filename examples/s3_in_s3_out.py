"""From S3 to S3: a job reads one bucket, writes shards to another, and a loader reads those; on a server of its own."""

import logging
import os
import tempfile
from pathlib import Path

import fsspec
import numpy as np

from bridgeflow import Loader, SignalDataset
from bridgeflow.config import load_job
from bridgeflow.engines.shards import run_shards
from bridgeflow.io import open_sink

JOB = """\
version: 1
source: {parquet: "s3://recordings/in/"}
transforms: [{SignalFilter: {design: notch, w0: 50, Q: 30}}, {Window: {length: 250, hop: 125}}]
sink: {arrow: "s3://results/windows/", dtype: float32}
"""

if "AWS_ENDPOINT_URL" not in os.environ:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel("ERROR")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    os.environ |= {"AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port())}
    os.environ |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
for bucket in ("recordings", "results"):
    fsspec.filesystem("s3").makedirs(bucket)
for seed in range(3):
    with open_sink(f"s3://recordings/in/{seed}.parquet", settings={"fs": 250}) as sink:
        sink.write({"ecg": np.random.default_rng(seed).standard_normal(10_000)})
(path := Path(tempfile.mkdtemp()) / "job.yaml").write_text(JOB)
print(run_shards(load_job(path, roots=["s3://recordings/"], output_roots=["s3://results/"])))
print(next(iter(Loader(SignalDataset("s3://results/windows/"), 32, shuffle=True)))["ecg"].shape)
