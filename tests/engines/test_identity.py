"""What a job with shards depends on: configuration, versions, and inputs that stay what they were hashed as."""

import os
from dataclasses import replace

import numpy as np
import pytest

from bridgeflow.engines import shards
from bridgeflow.engines.shards import run_shards
from bridgeflow.errors import DataError
from bridgeflow.io import open_sink, open_source
from bridgeflow.pipeline.chunked import ChunkedRun
from bridgeflow.pipeline.compose import Compose
from tests.engines.shard_jobs import FS, ROW, tree


@pytest.mark.parametrize("threads", [1, 4])
def test_bytes_do_not_depend_on_threads_or_paths(job, tmp_path, threads):
    run_shards(job)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "in").rename(tmp_path / "elsewhere" / "moved")
    again = replace(
        job,
        source=replace(job.source, path=tmp_path / "elsewhere" / "moved"),
        sink=replace(job.sink, path=tmp_path / "again"),
        threads=threads,
    )
    run_shards(again)
    assert tree(tmp_path / "again") == tree(tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda job: replace(job, transform=Compose([*ROW.stages[:1], *ROW.stages[2:]])), "configuration: transforms"),
        (lambda job: replace(job, sink=replace(job.sink, shard_rows=500)), "configuration: sink"),
        (lambda job: replace(job, source=replace(job.source, fs=FS)), "configuration: source"),
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_another_job_is_refused(job, change, what, complete):
    run_shards(job)
    if not complete:
        (job.sink.path / "manifest.json").unlink()
    before = tree(job.sink.path)
    with pytest.raises(DataError, match=rf"holds the results of another job \({what}\)"):
        run_shards(change(job))
    assert tree(job.sink.path) == before


def test_another_input_is_refused(job):
    run_shards(job)
    with open_sink(job.source.path / "b.parquet", settings={"fs": FS}, overwrite=True) as sink:
        sink.write({"ecg": np.zeros(3277, np.uint16), "beat": np.zeros(3277, np.int8)})
    with pytest.raises(DataError, match=r"another job \(inputs: b\)"):
        run_shards(job)
    (job.source.path / "c.parquet").rename(job.source.path / "d.parquet")
    with pytest.raises(DataError, match=r"another job \(inputs: b, c, d\)"):
        run_shards(job)


def test_versions_are_part_of_what_a_job_is(job, monkeypatch):
    run_shards(job)
    monkeypatch.setattr("bridgeflow.engines.identity.installed_versions", lambda *names: {"numpy": "1.0"})
    with pytest.raises(DataError, match="versions: numpy, pyarrow, scipy, torch"):
        run_shards(job)


def replaced(path):
    """Another file of the same size and time under the same name."""
    status = path.stat()
    with open_source(path) as source:
        columns = source.read()
    columns = {"ecg": columns["ecg"][::-1].copy(), "beat": columns["beat"]}
    with open_sink(path.with_name("new.parquet"), settings={"fs": FS}) as sink:
        sink.write(columns)
    os.replace(path.with_name("new.parquet"), path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def touched(path):
    """The same file, written to in place, with its time set back."""
    status = path.stat()
    with open(path, "r+b") as file:
        file.seek(8)
        byte = file.read(1)
        file.seek(8)
        file.write(byte)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [replaced, touched])
def test_an_input_that_changes_after_it_was_hashed_is_not_certified(job, change, monkeypatch):
    """The manifest holds hashes of bytes that were read, or there is none."""
    hashed = shards.identify

    def then_change(*arguments):
        identity = hashed(*arguments)
        change(job.source.path / "b.parquet")
        return identity

    monkeypatch.setattr(shards, "identify", then_change)
    with pytest.raises(DataError, match=r"b\.parquet: has changed since it was hashed for the manifest"):
        run_shards(job)
    assert not list(job.sink.path.glob("part-b-*"))
    assert not list(job.sink.path.glob("manifest*"))


def test_an_input_that_changes_while_it_is_read_ends_the_job(job, monkeypatch):
    pushed = ChunkedRun.push

    def then_change(self, columns, **more):
        touched(job.source.path / "a.parquet")
        return pushed(self, columns, **more)

    monkeypatch.setattr(ChunkedRun, "push", then_change)
    with pytest.raises(DataError, match="has changed since it was"):
        run_shards(replace(job, threads=1))
    assert not list(job.sink.path.glob("part-*"))
