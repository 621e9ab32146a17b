"""Jobs from and to object stores: the bytes of a run on a disk, resumed, refused, and never mixed."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bridgeflow.engines.ledger import verify_shards
from bridgeflow.engines.local import run_job
from bridgeflow.engines.shards import run_shards
from bridgeflow.errors import DataError, NotSupported
from bridgeflow.io import open_source
from bridgeflow.io.urls import as_path
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.dataset import SignalDataset
from bridgeflow.pipeline.job_parts import JobSink, JobSource
from bridgeflow.transforms import Scale
from tests.engines.shard_jobs import tree

pytest.importorskip("fsspec")


@pytest.fixture
def there(bucket, s3, job, tmp_path):
    """The job of the other tests, from S3 to S3."""
    for path in (tmp_path / "in").iterdir():
        s3.put_object(Bucket=bucket, Key=f"in/{path.name}", Body=path.read_bytes())
    source = replace(job.source, path=as_path(f"s3://{bucket}/in/"))
    return replace(job, source=source, sink=replace(job.sink, path=as_path(f"s3://{bucket}/out/")))


def objects(s3, bucket, below="out/"):
    """As `tree`, of a bucket."""
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=below).get("Contents", ())
    contents = {one["Key"]: s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in listed}
    return {key.removeprefix(below): hashlib.sha256(content).hexdigest() for key, content in contents.items()}


def test_the_objects_are_the_files_of_a_run_on_a_disk(there, job, bucket, s3, tmp_path):
    run_shards(job)
    result = run_shards(there)
    assert objects(s3, bucket) == tree(tmp_path / "out")
    assert result.path == there.sink.path
    assert result.digest == run_shards(job).digest
    with open_source(there.sink.path) as far, open_source(job.sink.path) as near:
        assert far.rows == near.rows == result.rows
        assert np.array_equal(np.asarray(far.read()["ecg"]), np.asarray(near.read()["ecg"]))
    assert len(verify_shards(str(there.sink.path))) == len(result.shards)
    assert np.array_equal(SignalDataset(str(there.sink.path))[5]["ecg"], SignalDataset(job.sink.path)[5]["ecg"])


def test_a_second_run_touches_nothing(there, s3, bucket):
    run_shards(there)
    before = s3.list_objects_v2(Bucket=bucket)["Contents"]
    again = run_shards(there)
    assert again.was_complete
    assert again.written == 0
    assert s3.list_objects_v2(Bucket=bucket)["Contents"] == before


def test_another_job_is_refused_or_replaces_all(there, s3, bucket):
    run_shards(there)
    other = replace(there, transform=Compose([Scale(scale=2.0, keys=("ecg",))]))
    with pytest.raises(DataError, match="holds the results of another job"):
        run_shards(other)
    s3.put_object(Bucket=bucket, Key="out/notes.txt", Body=b"mine")
    with pytest.raises(DataError, match="holds files that no job of ours has put there"):
        run_shards(other, overwrite=True)
    s3.delete_object(Bucket=bucket, Key="out/notes.txt")
    result = run_shards(other, overwrite=True)
    names = {shard.name for shard in result.shards}
    assert {name for name in objects(s3, bucket) if name.startswith("part-")} == names


def test_a_folder_with_other_objects_is_refused(there, s3, bucket):
    s3.put_object(Bucket=bucket, Key="out/notes.txt", Body=b"mine")
    with pytest.raises(DataError, match="holds files that no job of ours has put there"):
        run_shards(there)
    assert list(objects(s3, bucket)) == ["notes.txt"]


@pytest.mark.parametrize("at", [1, 4, 9])
def test_what_was_committed_stays_and_the_rest_is_written(there, job, s3, bucket, tmp_path, at, monkeypatch):
    """A run that ends in its midst, by an error at some put."""
    from bridgeflow.engines import ledger

    run_shards(job)
    publish, count = ledger.publish, 0

    def failing(path, **options):
        nonlocal count
        count += 1
        if count == at:
            raise OSError(5, "the machine burns")
        return publish(path, **options)

    monkeypatch.setattr(ledger, "publish", failing)
    with pytest.raises(OSError, match="the machine burns"):
        run_shards(there)
    reference = tree(tmp_path / "out")
    assert all(reference[name] == digest for name, digest in objects(s3, bucket).items())
    monkeypatch.setattr(ledger, "publish", publish)
    result = run_shards(there)
    assert result.kept + result.written == len(result.shards)
    assert objects(s3, bucket) == reference


def test_an_object_that_was_changed_is_an_error(there, s3, bucket):
    result = run_shards(there)
    key = f"out/{result.shards[0].name}"
    content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=bucket, Key=key, Body=content[:-1] + b"?")
    with pytest.raises(DataError, match="has the SHA-256"):
        verify_shards(str(there.sink.path))
    s3.delete_object(Bucket=bucket, Key="out/manifest.json")
    s3.put_object(Bucket=bucket, Key=key, Body=content[:-1])
    with pytest.raises(DataError, match="and the log says"):
        run_shards(there)


def test_every_third_request_fails(there, job, s3, bucket, tmp_path, proxy):
    proxy.fail_every = 3
    run_shards(there)
    run_shards(job)
    assert objects(s3, bucket) == tree(tmp_path / "out")


def test_a_store_that_ignores_the_condition_is_refused(there, s3, bucket, proxy):
    proxy.drop_condition = True
    with pytest.raises(NotSupported, match="so that two runs could mix"):
        run_shards(there)
    assert objects(s3, bucket) == {}


def test_an_output_within_an_input_is_refused(there, bucket):
    for path in (f"s3://{bucket}/in", f"s3://{bucket}/in/out"):
        with pytest.raises(DataError, match=r"lies inside|is the same"):
            run_shards(replace(there, sink=replace(there.sink, path=as_path(path))))


def test_one_file_to_one_object(job, there, bucket, tmp_path):
    source = JobSource(path=as_path(f"s3://{bucket}/in/a.parquet"), format="parquet")
    far = replace(
        there, source=source, sink=JobSink(path=as_path(f"s3://{bucket}/a.parquet"), format="parquet"), threads=None
    )
    near = replace(
        job,
        source=replace(source, path=tmp_path / "in" / "a.parquet"),
        sink=JobSink(path=tmp_path / "a.parquet", format="parquet"),
        threads=None,
    )
    assert run_job(far).receipt.sha256 == run_job(near).receipt.sha256
    with pytest.raises(DataError, match="exists already"):
        run_job(far)


def test_memory_is_a_store(job, tmp_path):
    import fsspec

    there = replace(job, sink=replace(job.sink, path=as_path("memory://jobs/out")))
    files = fsspec.filesystem("memory")
    try:
        run_shards(job)
        result = run_shards(there)
        assert run_shards(there).was_complete
        assert {name.removeprefix("/jobs/out/") for name in files.find("/jobs/out")} == set(tree(tmp_path / "out"))
        with open_source("memory://jobs/out") as source:
            assert source.rows == result.rows
    finally:
        files.rm("/jobs", recursive=True)


YAML = """\
version: 1
source: {{parquet: "s3://{bucket}/in/"}}
transforms:
  - Scale: {{scale: 0.005, keys: [ecg]}}
sink: {{arrow: "s3://{bucket}/out/", shard_rows: 1000}}
"""


def test_the_command_line_needs_both_words(there, bucket, tmp_path, s3):
    path = tmp_path / "job.yaml"
    path.write_text(YAML.format(bucket=bucket))

    def run(*options):
        command = [sys.executable, "-m", "bridgeflow", "run", str(path), "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    code, said = run()
    assert code == 2
    assert f"job.yaml:2:19: source.parquet: 's3://{bucket}/in' is a URL that no root allows" in said["error"]["message"]
    code, said = run("--root", f"s3://{bucket}/in/")
    assert code == 2
    assert (
        "is a URL that no output root allows; allow its bucket or host with --output-root" in said["error"]["message"]
    )
    assert objects(s3, bucket) == {}
    code, said = run("--root", f"s3://{bucket}/in/", "--output-root", f"s3://{bucket}/")
    assert code == 0, said
    assert "manifest.json" in objects(s3, bucket)
    command = [sys.executable, "-m", "bridgeflow", "verify", f"s3://{bucket}/out/"]
    assert "all as written" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
