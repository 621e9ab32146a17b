"""The records in a folder of shards: what is committed, whose it is, and what is refused."""

import hashlib
import json
import os
from dataclasses import replace

import pytest

from bridgeflow.engines.ledger import verify_shards
from bridgeflow.engines.shards import run_shards
from bridgeflow.errors import BridgeflowError, DataError
from bridgeflow.io.commit import owned, unseal
from bridgeflow.pipeline.compose import Compose
from bridgeflow.transforms import Scale
from tests.engines.shard_jobs import tree


def test_names_say_where_shards_come_from_and_the_manifest_lists_them(job):
    result = run_shards(job)
    names = [shard.name for shard in result.shards]
    digest = result.digest[:8]
    assert names[:3] == [
        f"part-a-000000000000-000000001000-{digest}.arrow",
        f"part-a-000000001000-000000002000-{digest}.arrow",
        f"part-a-000000002000-000000002500-{digest}.arrow",
    ]
    manifest = unseal((result.path / "manifest.json").read_bytes(), "manifest")
    assert [shard["name"] for shard in manifest["shards"]] == names
    assert manifest["digest"] == result.digest
    assert manifest["rows"] == result.rows
    assert [one["rows"] for one in manifest["recordings"]] == [2500, 3277, 4054]
    for shard in manifest["shards"]:
        content = (result.path / shard["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard["nbytes"], shard["sha256"])
    assert sorted(os.listdir(result.path)) == sorted([*names, "log", "manifest.json"])
    inputs = {one["name"]: one["sha256"] for one in manifest["inputs"]}
    assert inputs["b"] == hashlib.sha256((job.source.path / "b.parquet").read_bytes()).hexdigest()


def test_a_run_that_was_stopped_goes_on_behind_what_is_committed(job):
    """Records are taken away from the end, as if the run had been killed before they were written."""
    run_shards(job)
    whole = tree(job.sink.path)
    (job.sink.path / "manifest.json").unlink()
    for name in ("b-000002", "b-000003", "c-000004", "a-000002", "a-000001", "a-000000"):
        (job.sink.path / "log" / f"{name}.json").unlink()
    (job.sink.path / f"part-b-000000003000-000000003277-{run_digest(whole)}.arrow").unlink()
    (job.sink.path / ".part-b.arrow.part").write_bytes(b"half")
    (job.sink.path / "log" / ".b-000002.json.part").write_bytes(b"half")
    result = run_shards(job)
    assert (result.written, result.kept) == (6, 6)
    assert tree(job.sink.path) == whole


def run_digest(files):
    return next(name for name in files if name.startswith("part-")).rpartition("-")[2].removesuffix(".arrow")


def test_a_shard_that_somebody_changed_is_an_error(job):
    run_shards(job)
    (job.sink.path / "manifest.json").unlink()
    (job.sink.path / "log" / "c-000004.json").unlink()
    last = next(job.sink.path.glob("part-c-000000004000-*"))
    last.write_bytes(b"something else")
    with pytest.raises(DataError, match="exists already and holds other bytes"):
        run_shards(job)
    assert last.read_bytes() == b"something else"
    next(job.sink.path.glob("part-a-000000000000-*")).unlink()
    with pytest.raises(DataError, match="is missing, and the log says"):
        run_shards(job)


def test_damaged_records_are_errors(job):
    run_shards(job)
    record = job.sink.path / "log" / "a-000000.json"
    record.write_bytes(record.read_bytes().replace(b'"end": 1000', b'"end": 1001', 1))
    (job.sink.path / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"a-000000.json: is damaged \(its SHA-256 is another\)"):
        run_shards(job)
    record.write_bytes((job.sink.path / "log" / "b-000000.json").read_bytes())
    with pytest.raises(DataError, match="does not go with the records before it"):
        run_shards(job)


def test_a_folder_with_other_files_is_refused(job):
    job.sink.path.mkdir()
    (job.sink.path / "notes.txt").write_text("mine")
    (job.sink.path / ".mine.part").write_text("mine")
    with pytest.raises(DataError, match=r"no job of ours has put there \(.*\); name an empty folder"):
        run_shards(job)
    assert sorted(os.listdir(job.sink.path)) == [".mine.part", "notes.txt"]


def test_the_owner_is_named(job):
    with (
        owned(job.sink.path),
        pytest.raises(DataError, match=rf"is being written by another run \(process {os.getpid()}\)"),
    ):
        run_shards(job)


def test_what_fails_before_the_first_shard_leaves_no_folder(job):
    with pytest.raises(BridgeflowError):
        run_shards(replace(job, transform=Compose([Scale(keys=("nothing",))])))
    assert not job.sink.path.exists()


def test_a_file_in_the_place_of_the_folder_is_refused(job):
    job.sink.path.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(DataError, match="is not a folder"):
            run_shards(job, overwrite=overwrite)


def test_overwriting_makes_the_same_bytes_anew(job):
    first = run_shards(job, overwrite=True)
    again = run_shards(job, overwrite=True)
    assert (again.written, again.kept, again.shards) == (first.written, 0, first.shards)


def test_links_into_the_source_are_followed(job, tmp_path):
    (tmp_path / "link").symlink_to(job.source.path)
    with pytest.raises(DataError, match="lies inside the source"):
        run_shards(replace(job, sink=replace(job.sink, path=tmp_path / "link" / "out")))


def test_states_in_the_log_are_plain_text(job):
    run_shards(job)
    record = json.loads((job.sink.path / "log" / "a-000001.json").read_text())
    assert (record["start"], record["end"], record["last"], record["number"]) == (1000, 2000, False, 1)
    stream = record["state"]["streams"]["streams"]["a"]
    assert stream["position"] == 2000
    assert json.loads((job.sink.path / "log" / "a-000002.json").read_text())["state"] is None


def test_verify_finds_every_changed_byte(job):
    result = run_shards(job)
    assert verify_shards(result.path) == result.shards
    shard = result.path / result.shards[4].name
    content = shard.read_bytes()
    for place in range(0, len(content), max(len(content) // 20, 1)):
        changed = bytearray(content)
        changed[place] ^= 1
        shard.write_bytes(changed)
        with pytest.raises(DataError, match="and the manifest says"):
            verify_shards(result.path)
    shard.write_bytes(content[:-1])
    with pytest.raises(DataError, match="bytes, and the log says"):
        verify_shards(result.path)
