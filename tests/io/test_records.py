"""Records of a folder of shards that another program wrote, with a seal that fits: refused by file and entry."""

import copy
import json
import os

import numpy as np
import pytest

from bridgeflow import SignalDataset
from bridgeflow.engines.ledger import verify_shards
from bridgeflow.engines.shards import run_shards
from bridgeflow.errors import BridgeflowError, DataError
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.commit import canonical, seal, unseal
from bridgeflow.io.records import read_job, read_manifest, read_step
from bridgeflow.pipeline import Compose
from bridgeflow.pipeline.job import Job
from bridgeflow.pipeline.job_parts import JobSink, JobSource
from bridgeflow.transforms import SignalFilter

ODD = [None, True, -1, 1 << 63, 1.5, "", "x" * 100_000, [], [3], {}, {"a": 1}, "../a", "/etc/passwd", ".", "\x1b[31m"]


def job(folder):
    (folder / "in").mkdir(exist_ok=True)
    if not (folder / "in" / "a.arrow").exists():
        for name in ("a", "b"):
            with open_sink(folder / "in" / f"{name}.arrow", settings={"fs": 100}) as sink:
                sink.write({"x": np.arange(3000.0)})
    return Job(
        source=JobSource(path=folder / "in"),
        transform=Compose([SignalFilter(design="butter", cutoff=10, order=2, fs=100)]),
        sink=JobSink(path=folder / "out", format="arrow", shards=True, shard_rows=1000),
        threads=1,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    run_shards(job(folder))
    return folder


def places(value, path=()):
    """Where every value of a record is."""
    yield path
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(child, (*path, key))


def changed(record, path, value):
    result = copy.deepcopy(record)
    if not path:
        return value
    node = result
    for step in path[:-1]:
        node = node[step]
    if value is KeyError:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return result


def forged(record):
    for path in places(record):
        for value in [*ODD, *([KeyError] if path else [])]:
            yield changed(record, path, value)
    yield {**record, "evil": 1}


def written(record):
    return seal(record) if isinstance(record, dict) else json.dumps(record).encode()


def test_our_own_records_are_read(finished):
    manifest = read_manifest(finished / "out")
    assert [shard.rows for shard in manifest.shards] == [1000] * 6
    assert manifest.recordings == {"a": 3000, "b": 3000}
    assert read_job(finished / "out").digest == manifest.digest
    step = read_step(finished / "out" / "log" / "a-000001.json")
    assert (step.number, step.start, step.end, step.last) == (1, 1000, 2000, False)
    assert len(verify_shards(finished / "out")) == 6


def test_a_forged_manifest_is_refused_with_its_name(finished, capsys):
    """Every field of a manifest, replaced by every odd value: verified, read as a source and as a dataset."""
    folder = finished / "out"
    path = folder / "manifest.json"
    whole = path.read_bytes()
    record = unseal(whole, "manifest")
    record = {**record, "shards": record["shards"][:1], "inputs": record["inputs"][:1], "configuration": {"a": 1}}
    record = {**record, "versions": {}, "recordings": record["recordings"][:1]}
    refused = read = 0
    try:
        for one in forged(record):
            path.write_bytes(written(one))
            for door in (verify_shards, open_source, SignalDataset):
                try:
                    door(folder)
                    read += 1
                except DataError as error:
                    refused += 1
                    said = str(error)
                    assert said.isprintable()
                    assert len(said) < 2000
                    assert "manifest" in said or "part-" in said
    finally:
        path.write_bytes(whole)
    with capsys.disabled():
        print(f" {refused} refused, {read} read", end="")
    assert refused > 800


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../in/a.arrow", "..", "a/b", "a\\b", "x\0y", "part-*", ".hidden", "å.arrow"]
)
def test_a_name_does_not_lead_out_of_the_folder(finished, name):
    path = finished / "out" / "manifest.json"
    whole = path.read_bytes()
    record = unseal(whole, "manifest")
    record["shards"][0]["name"] = name
    try:
        path.write_bytes(seal(record))
        for door in (verify_shards, open_source, lambda folder: job_over(folder).recordings()):
            with pytest.raises(
                DataError, match=r"manifest\.json: shards\[0\]\.name: expected a plain file name"
            ) as caught:
                door(finished / "out")
            assert "SHA" not in str(caught.value)
    finally:
        path.write_bytes(whole)


def job_over(folder):
    sink = JobSink(path=folder.parent / "next", format="arrow", shards=True)
    return Job(source=JobSource(path=folder), transform=Compose([]), sink=sink)


def test_a_shard_that_is_a_link_is_not_followed(finished, tmp_path):
    folder = finished / "out"
    shard = folder / read_manifest(folder).shards[0].name
    kept = tmp_path / "kept"
    os.rename(shard, kept)
    try:
        shard.symlink_to(kept)
        for door in (verify_shards, open_source):
            with pytest.raises(DataError, match="is a link"):
                door(folder)
    finally:
        os.unlink(shard)
        os.rename(kept, shard)


@pytest.mark.parametrize("name", ["job.json", "a-000000.json"])
def test_a_forged_log_never_ends_as_a_bug_on_resumption(tmp_path, capsys, name):
    """Every field of the records that a job goes on from, replaced by every odd value."""
    job(tmp_path)
    run_shards(job(tmp_path))
    out = tmp_path / "out"
    (out / "manifest.json").unlink()
    for left in (*out.glob("log/a-00000[12].json"), *out.glob("log/b-*.json"), *out.glob("part-b-*")):
        left.unlink()
    path = out / "log" / name
    whole = path.read_bytes()
    record = unseal(whole, name)
    before = {one.name: one.read_bytes() for one in out.glob("**/*") if one.is_file()}
    expected = canonical(record)
    refused, resumed = [], 0
    values = list(forged(record))
    step = max(len(values) // 60, 1)
    for one in values[::step]:
        if isinstance(one, dict) and canonical_or_none(one) == expected:
            continue
        path.write_bytes(written(one))
        try:
            run_shards(job(tmp_path))
            resumed += 1  # a field on which nothing depends
        except BridgeflowError as error:
            refused.append(str(error))
        for left in out.glob("**/*"):
            if left.is_file() and left.name not in before:
                left.unlink()
        for reference in out.glob("**/*"):
            if reference.is_file():
                reference.write_bytes(before[reference.name])
    with capsys.disabled():
        print(f" {name}: {len(refused)} refused, {resumed} resumed", end="")
    assert all(said.isprintable() for said in refused)
    assert len(refused) > 3


def canonical_or_none(value):
    try:
        return canonical(value)
    except (TypeError, ValueError):
        return None
