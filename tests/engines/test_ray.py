"""The engine `ray`: the bytes of the local engine, from tasks of a cluster; errors as if there were none."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from bridgeflow.config import load_job
from bridgeflow.engines import ray as engine
from bridgeflow.engines.ledger import Ledger, verify_shards
from bridgeflow.engines.ray import run_on_ray
from bridgeflow.engines.ray_tasks import Receipt
from bridgeflow.engines.shards import run_shards
from bridgeflow.errors import ConfigError, DataError, NonFinite
from bridgeflow.io import Recording, open_sink
from bridgeflow.io.urls import UrlPath
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.job_parts import JobSink, JobSource
from bridgeflow.transforms import Detrend, Scale, SignalFilter, Window
from tests.engines.shard_jobs import FS, tree

ray = pytest.importorskip("ray", reason="the engine ray")
pytest.importorskip("ray.data")

LOW = SignalFilter(design="butter", order=4, cutoff=20.0, fs=FS, keys=("ecg",))


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One for all tests here, of two processors."""
    with engine.connected(None, cores=2):
        yield


@pytest.fixture
def examples(tmp_path, job):
    """A job over rows that are examples, each by itself."""
    generator = np.random.default_rng(7)
    for name, rows in (("a", 250), ("b", 120)):
        text = pa.array([f"row {number}" if number % 7 else None for number in range(rows)])
        with open_sink(tmp_path / "examples" / f"{name}.parquet", settings={"fs": FS}) as sink:
            ecg = generator.standard_normal((rows, 2, 64), "float32")
            sink.write({"ecg": ecg, "label": np.arange(rows), "text": text})
    return replace(
        job,
        source=JobSource(path=tmp_path / "examples", format="parquet", nulls="keep"),
        transform=Compose([LOW, Scale(scale=2.0, keys=("ecg",))]),
        sink=JobSink(path=tmp_path / "out", format="parquet", shards=True, shard_rows=100),
    )


def on_both(job):
    """The folder of the local engine and that of Ray, every file with its hash."""
    local = run_shards(job)
    there = replace(job, sink=replace(job.sink, path=job.sink.path.with_name("there")))
    result = run_on_ray(there)
    assert (result.shards, result.rows_in, result.digest) == (local.shards, local.rows_in, local.digest)
    assert (result.written, result.kept, result.was_complete) == (local.written, 0, False)
    return tree(job.sink.path), tree(there.sink.path)


def test_recordings_have_the_bytes_of_the_local_engine(job):
    local, there = on_both(job)
    assert local == there
    assert len(verify_shards(job.sink.path.with_name("there"))) == 12


def test_what_needs_the_whole_has_them_too(job):
    local, there = on_both(replace(job, transform=Compose([Detrend(keys=("ecg",)), Scale(keys=("beat",))])))
    assert local == there


def test_rows_by_ray_data_have_them_too(examples):
    local, there = on_both(examples)
    assert local == there
    assert sum(name.startswith("part-") for name in there) == 5


def test_windows_of_recordings_have_them_too(tmp_path):
    for seed in range(3):
        counts = np.random.default_rng(seed).integers(-999, 999, (2, 900 + 300 * seed)).astype(np.int16)
        np.save(tmp_path / f"r{seed}.npy", np.ascontiguousarray(counts.T))
    text = """\
version: 1
source: {recordings: "r*.npy", fs: 100}
transforms:
  - SignalFilter: {design: butter, order: 4, cutoff: 20, mode: zero_phase}
  - Window: {length: 128, hop: 64}
sink: {arrow: out/, shard_rows: 8}
"""
    (tmp_path / "job.yaml").write_text(text)
    local, there = on_both(load_job(tmp_path / "job.yaml", roots=[tmp_path]))
    assert local == there
    assert sum(name.startswith("part-") for name in there) == 2 + 3 + 3


def test_what_one_engine_has_begun_the_other_finishes(job, examples, tmp_path):
    for number, one in enumerate((job, examples)):
        whole = run_shards(one)
        expected = tree(one.sink.path)
        begun = tmp_path / f"begun-{number}"
        shutil.copytree(one.sink.path, begun)
        (begun / "manifest.json").unlink()
        for record in sorted((begun / "log").glob("b-*"))[1:]:
            record.unlink()
        result = run_on_ray(replace(one, sink=replace(one.sink, path=begun)))
        assert 0 < result.written < len(whole.shards)
        assert tree(begun) == expected
        again = run_on_ray(replace(one, sink=replace(one.sink, path=begun)))
        assert (again.was_complete, again.written) == (True, 0)
        shutil.rmtree(one.sink.path)


@pytest.mark.parametrize("rows", ["examples", "instants"])
def test_an_error_is_the_local_one_with_its_place(tmp_path, rows):
    values = np.random.default_rng(0).standard_normal((500, 40)).astype(np.float32)
    values[321, 7] = np.nan
    with open_sink(tmp_path / "in" / "a.parquet") as sink:
        sink.write({"ecg": values})
    text = f"""\
version: 1
source: {{parquet: in/, fs: 100, rows: {rows}}}
transforms:
  - Scale: {{scale: 2}}
  - SignalFilter: {{design: butter, order: 4, cutoff: 20}}
sink: {{parquet: out/, shard_rows: 100}}
"""
    (tmp_path / "job.yaml").write_text(text)
    job = load_job(tmp_path / "job.yaml", roots=[tmp_path])
    with pytest.raises(NonFinite) as local:
        run_shards(job)
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(NonFinite) as there:
        run_on_ray(job)
    assert str(there.value) == str(local.value)
    assert (there.value.location.line, there.value.location.column) == (5, 5)
    assert "in a worker of Ray" in there.value.__notes__[-1]
    assert not list((tmp_path / "out").glob(".*"))


def test_progress_ends_with_all_recordings(job):
    seen = []
    run_on_ray(job, progress=seen.append)
    assert (seen[-1].recordings, seen[-1].of, seen[-1].done) == (3, 3, seen[-1].total)


def one_file(job):
    return replace(job, sink=JobSink(path=job.sink.path / "a.arrow", format="arrow"))


def in_a_store(job):
    return replace(job, sink=replace(job.sink, path=UrlPath("s3://bucket/out/")))


def windows_alone(job):
    return replace(job, transform=Compose([Window(length=10, keys=("ecg",))]))


@pytest.mark.parametrize(
    ("change", "address", "error", "what"),
    [
        (
            one_file,
            None,
            ConfigError,
            "writes a folder of shards, and 'a.arrow' is one file; end its path with a slash",
        ),
        (replace, "ray://1.2.3.4:10001", ConfigError, "Ray Client .* moves it to another machine"),
        (replace, "1.2.3.4:6379", ConfigError, "this process is connected to the Ray cluster .*, not to '1.2"),
        (in_a_store, None, ConfigError, "reads and writes folders that all machines see, and 's3://bucket/out"),
        (windows_alone, None, DataError, "columns of different lengths"),
    ],
    ids=["one-file", "ray-client", "another-cluster", "url", "plan"],
)
def test_refusals(job, change, address, error, what):
    with pytest.raises(error, match=what):
        run_on_ray(change(job), address=address)
    assert not job.sink.path.exists()


def test_machines_with_other_versions_are_refused(job, monkeypatch):
    here = engine.versions()
    monkeypatch.setattr(engine, "versions", lambda: {**here, "numpy": "1.0"})
    with pytest.raises(ConfigError, match=r"has numpy .* for 1.0 of the driver, and bytes depend on them"):
        run_on_ray(job)


def test_a_folder_that_machines_do_not_share_is_named(job, monkeypatch):
    result = run_shards(job)
    (result.path / "manifest.json").unlink()
    (recording,) = (one for one in job.recordings() if one.name == "b")
    shards = tuple(shard for shard in result.shards if shard.recording == "b")
    from bridgeflow.engines.identity import identify

    ledger = Ledger(result.path, identify(job, job.recordings(), 1), ".arrow", None)
    assert engine._checked(ledger, recording, Receipt(shards, 3277, 4, "node")).last
    monkeypatch.setattr(engine, "_PATIENCE", 0.0)
    for record in (result.path / "log").glob("b-*"):
        record.unlink()
    with pytest.raises(DataError, match=r"does not hold what node says .* of b; name a folder that all machines"):
        engine._checked(ledger, recording, Receipt(shards, 3277, 4, "node"))


def test_small_files_are_hashed_together():
    many = [Recording(f"r{n}", None, 1 << 20) for n in range(100)]
    assert [len(group) for group in engine._groups(many)] == [64, 36]
    large = [Recording(f"r{n}", None, 200 << 20) for n in range(3)]
    assert list(engine._groups(large)) == [[0], [1], [2]]
