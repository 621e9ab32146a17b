"""Kill -9 at requests to a store, and run again: the objects of a run that nothing stopped."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bridgeflow.io import open_sink
from bridgeflow.io.object_commit import PROBE
from tests.faults.jobs import ROOT, SOURCES
from tests.store_fixtures import bucket, moto_port, proxy, quickly, s3

__all__ = ["bucket", "moto_port", "proxy", "quickly", "s3"]

JOB = """\
version: 1
source: {{parquet: "s3://{bucket}/in/", fs: 360}}
transforms:
  - Scale: {{keys: [ecg], scale: 0.005, offset: -5.12}}
  - SignalFilter: {{keys: [ecg], design: notch, w0: 60, Q: 30}}
  - Window: {{keys: [ecg], length: 100, hop: 50}}
sink: {{arrow: "s3://{bucket}/{out}/", shard_rows: 1500}}
"""


@pytest.fixture
def run(bucket, proxy, tmp_path):
    """Run the job into a folder; killed when the proxy has had so many requests."""
    rows = np.random.default_rng(0).integers(0, 2048, 5000).astype(np.uint16)
    for name in ("a", "b"):
        with open_sink(f"s3://{bucket}/in/{name}.parquet") as sink:
            sink.write({"ecg": rows})

    def start(out, kill_at=None):
        path = tmp_path / f"{out}.yaml"
        path.write_text(JOB.format(bucket=bucket, out=out))
        root = f"s3://{bucket}/"
        command = [
            sys.executable,
            "-m",
            "bridgeflow",
            "run",
            str(path),
            "--root",
            root,
            "--output-root",
            root,
            "--quiet",
        ]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCES, str(ROOT)])}
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        proxy.count = 0
        while kill_at is not None and process.poll() is None:
            if proxy.count >= kill_at:
                process.kill()
                break
            time.sleep(0.0005)
        said = process.communicate(timeout=120)[1]
        return process.returncode, said

    return start


def objects(s3, bucket, out):
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"{out}/").get("Contents", ())
    contents = {one["Key"]: s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in listed}
    return {
        key.removeprefix(f"{out}/"): hashlib.sha256(content).hexdigest()
        for key, content in contents.items()
        if not key.endswith(PROBE)
    }


@pytest.mark.slow
def test_killed_at_requests_it_resumes_with_the_same_objects(run, proxy, s3, bucket):
    status, said = run("reference")
    assert status == 0, said
    reference, requests = objects(s3, bucket, "reference"), proxy.count
    assert "manifest.json" in reference
    for number, at in enumerate(range(2, requests, max(requests // 12, 1))):
        out = f"out-{number}"
        status, said = run(out, kill_at=at)
        assert status == -signal.SIGKILL, said
        assert all(reference[name] == digest for name, digest in objects(s3, bucket, out).items())
        proxy.fail_every = 5
        status, said = run(out)
        proxy.fail_every = 0
        assert status == 0, said
        assert objects(s3, bucket, out) == reference


@pytest.mark.slow
def test_two_runs_at_once_put_the_same_objects(run, s3, bucket, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    status, said = run("reference")
    assert status == 0, said
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, ["both", "both"]))
    assert [status for status, _ in results] == [0, 0], results
    assert objects(s3, bucket, "both") == objects(s3, bucket, "reference")
