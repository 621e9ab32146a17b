"""Folders of shards: what is in them, whose they are, and how a job goes on."""

import hashlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from bridgeflow.engines import shards
from bridgeflow.engines.shards import run_shards, verify_shards
from bridgeflow.errors import BridgeflowError, DataError
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.commit import owned, unseal
from bridgeflow.pipeline.chunked import ChunkedRun
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.job import Job
from bridgeflow.pipeline.job_parts import JobReport, JobSink, JobSource
from bridgeflow.transforms import Detrend, Scale, SignalFilter, Window, WindowLabels

FS = 360.0
NOTCH = SignalFilter(design="notch", w0=60.0, Q=30.0, fs=FS, keys=("ecg",))
CUT = {"length": 100, "hop": 50}
ROW = Compose(
    [Scale(scale=0.005, keys=("ecg",)), NOTCH, Window(**CUT, keys=("ecg",)), WindowLabels(**CUT, keys=("beat",))]
)


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


def tree(folder):
    """Every file below a folder with its hash; what stays the same is the same."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(result):
    """All shards put together."""
    parts = []
    for shard in result.shards:
        with open_source(result.path / shard.name) as source:
            assert source.rows == shard.rows
            parts.append(source.read())
    wide = np.concatenate([part["ecg"].to_numpy_ndarray() for part in parts])
    return wide, np.concatenate([part["beat"].to_numpy() for part in parts])


def test_shards_hold_what_the_whole_recordings_give(job, data):
    result = run_shards(job)
    ecg, beat = read(result)
    whole = [ROW(columns) for columns in data.values()]
    assert np.array_equal(ecg, np.concatenate([one["ecg"] for one in whole]))
    assert np.array_equal(beat, np.concatenate([one["beat"] for one in whole]))
    # And by SciPy alone, of the first recording.
    b, a = signal.iirnotch(60, 30, fs=FS)
    filtered = signal.sosfilt(signal.tf2sos(b, a), data["a"]["ecg"] * 0.005)
    first = np.lib.stride_tricks.sliding_window_view(filtered, 100)[::50]
    np.testing.assert_allclose(ecg[: len(first)], first, rtol=1e-3, atol=1e-4)
    assert (result.recordings, result.rows_in) == (3, 2500 + 3277 + 4054)
    assert (result.made, result.kept, result.was_complete) == (12, 0, False)
    assert result.rows == len(ecg)


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


def test_what_is_complete_is_not_touched(job):
    first = run_shards(job)
    before = {path: path.stat().st_mtime_ns for path in [job.sink.path, *job.sink.path.rglob("*")]}
    again = run_shards(replace(job, threads=1))
    assert (again.was_complete, again.made, again.kept) == (True, 0, 12)
    assert again.shards == first.shards
    assert {path: path.stat().st_mtime_ns for path in [job.sink.path, *job.sink.path.rglob("*")]} == before


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
    monkeypatch.setattr("bridgeflow.engines.shards._versions", lambda: {"numpy": "1.0"})
    with pytest.raises(DataError, match="versions: numpy, pyarrow, scipy, torch"):
        run_shards(job)


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
    assert (result.made, result.kept) == (6, 6)
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
    with pytest.raises(DataError, match="is gone, and the log says"):
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


def test_a_bad_recording_is_named_and_the_others_stay(job):
    values = np.zeros(3000, np.float32)
    values[2222] = np.nan
    with open_sink(job.source.path / "b.parquet", settings={"fs": FS}, overwrite=True) as sink:
        sink.write({"ecg": values, "beat": np.zeros(3000, np.int8)})
    with pytest.raises(DataError, match=r"b.parquet: stage 2 \(SignalFilter\), \$.ecg: .*2222"):
        run_shards(replace(job, threads=1))
    assert len(list((job.sink.path / "log").glob("a-*"))) == 3
    assert not (job.sink.path / ".lock").exists()


@pytest.mark.parametrize(
    ("dtype", "fs", "what"),
    [("float64", FS, r"ecg float64\[100\] at 360 Hz"), ("uint16", None, r"ecg float32\[100\],")],
)
def test_recordings_whose_shards_could_not_be_read_together(job, dtype, fs, what):
    with open_sink(job.source.path / "b.parquet", settings={"fs": fs} if fs else {}, overwrite=True) as sink:
        sink.write({"ecg": np.zeros(3000, dtype), "beat": np.zeros(3000, np.int8)})
    with pytest.raises(
        DataError, match=rf"b.parquet: gives {what}.*, and the first recording ecg float32\[100\] at 360 Hz"
    ):
        run_shards(job)


def test_what_needs_the_whole_is_one_shard_of_each_recording(job, data):
    flat = Compose([Detrend(keys=("ecg",)), Scale(keys=("beat",))])
    result = run_shards(replace(job, transform=flat))
    assert [(shard.start, shard.end) for shard in result.shards] == [(0, 2500), (0, 3277), (0, 4054)]
    with open_source(result.path / result.shards[1].name) as source:
        np.testing.assert_allclose(source.read()["ecg"], signal.detrend(data["b"]["ecg"]), atol=1e-9)


def test_a_stretch_of_which_nothing_comes_has_no_file(job, tmp_path):
    long = Compose([Window(length=2600, keys=("ecg",)), WindowLabels(length=2600, keys=("beat",))])
    result = run_shards(replace(job, transform=long))
    assert [(shard.recording, shard.start, shard.rows) for shard in result.shards] == [("b", 2000, 1), ("c", 2000, 1)]
    assert run_shards(replace(job, transform=long)).was_complete


def test_one_long_file_makes_shards_too(job, tmp_path):
    one = replace(job, source=replace(job.source, path=job.source.path / "c.parquet", format=None))
    assert [shard.end for shard in run_shards(one).shards] == [1000, 2000, 3000, 4000, 4054]


def test_odd_names_and_columns_of_recordings(tmp_path):
    for name in ("µ volt", "x" * 200, "a-000000"):
        with open_sink(tmp_path / "in" / f"{name}.npy") as sink:
            sink.write({"x": np.arange(10.0)})
    job = Job(
        source=JobSource(path=tmp_path / "in", format="npy"),
        transform=Compose([Scale(scale=2.0)]),
        sink=JobSink(path=tmp_path / "out", format="npy", shards=True, shard_rows=4),
    )
    result = run_shards(job)
    assert all(shard.name.isascii() and len(shard.name) < 200 for shard in result.shards)
    assert len({shard.name for shard in result.shards}) == 9
    assert [np.load(result.path / shard.name).tolist() for shard in result.shards[:1]] == [[0.0, 2.0, 4.0, 6.0]]
    assert run_shards(job).was_complete


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda job: replace(job, sink=replace(job.sink, path=job.source.path)), "same file as the source"),
        (lambda job: replace(job, sink=replace(job.sink, path=job.source.path / "out")), "lies inside the source"),
        (
            lambda job: replace(job, source=replace(job.source, path=job.source.path / "*.parquet"),
                                sink=replace(job.sink, path=job.source.path / "out")),
            "lies inside the source",
        ),
        (lambda job: replace(job, report=JobReport(hum=60)), "a report is about one file"),
        (lambda job: replace(job, sink=replace(job.sink, path=job.source.path.parent / "out.parquet", shards=False)),
         "is one file, and the source is many recordings; name a folder, with a slash at its end: out/"),
        (lambda job: replace(job, source=replace(job.source, path=job.source.path / "*.npy")), "no file matches"),
    ],
)  # fmt: skip
def test_refused_before_anything_is_read(job, change, problem, monkeypatch):
    monkeypatch.setattr("bridgeflow.io.Source.chunks", lambda self, rows: pytest.fail("read"))
    before = tree(job.source.path.parent)
    with pytest.raises(DataError, match=problem):
        run_shards(change(job))
    assert tree(job.source.path.parent) == before


def test_a_file_in_the_place_of_the_folder_is_refused(job):
    job.sink.path.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(DataError, match="is no folder"):
            run_shards(job, overwrite=overwrite)


def test_overwriting_makes_the_same_bytes_anew(job):
    first = run_shards(job, overwrite=True)
    again = run_shards(job, overwrite=True)
    assert (again.made, again.kept, again.shards) == (first.made, 0, first.shards)


def test_links_into_the_source_are_followed(job, tmp_path):
    (tmp_path / "link").symlink_to(job.source.path)
    with pytest.raises(DataError, match="lies inside the source"):
        run_shards(replace(job, sink=replace(job.sink, path=tmp_path / "link" / "out")))


def test_progress_ends_with_everything_done(job):
    told = []
    run_shards(job, watch=told.append)
    assert (told[-1].done, told[-1].recordings, told[-1].of) == (told[-1].total, 3, 3)
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert told[-1].total == sum(path.stat().st_size for path in job.source.path.iterdir())


def test_states_in_the_log_are_plain_text(job):
    run_shards(job)
    record = json.loads((job.sink.path / "log" / "a-000001.json").read_text())
    assert (record["start"], record["end"], record["last"], record["number"]) == (1000, 2000, False, 1)
    stream = record["state"]["streams"]["streams"]["a"]
    assert stream["position"] == 2000
    assert json.loads((job.sink.path / "log" / "a-000002.json").read_text())["state"] is None


# --- what others do with the folder ---


def test_a_folder_of_shards_is_a_source(job):
    result = run_shards(job)
    ecg, beat = read(result)
    with open_source(result.path) as source:
        assert source.rows == result.rows
        assert np.array_equal(source.read()["beat"].to_numpy(), beat)
        assert np.array_equal(source.take([source.rows - 1, 0])["ecg"].to_numpy_ndarray(), ecg[[-1, 0]])


def test_the_next_job_goes_through_shards_as_if_the_recording_had_never_been_cut(job, tmp_path, data):
    """A filter behind another one, each in a job of its own: the state must not begin anew at each shard."""
    first = replace(job, transform=Compose([Scale(scale=0.005, keys=("ecg",))]))
    run_shards(first)
    second = replace(
        first,
        source=JobSource(path=first.sink.path, format="arrow"),
        transform=Compose([NOTCH]),
        sink=replace(job.sink, path=tmp_path / "second", shard_rows=1700),
    )
    assert [one.name for one in second.recordings()] == ["a", "b", "c"]
    result = run_shards(second)
    assert [(shard.start, shard.end) for shard in result.shards][:2] == [(0, 1700), (1700, 2500)]
    with open_source(result.path) as source:
        found = source.read()["ecg"].to_numpy()
    whole = Compose([Scale(scale=0.005), replace(NOTCH, keys=None)])
    assert np.array_equal(found, np.concatenate([whole(columns["ecg"]) for columns in data.values()]))
    assert run_shards(second).was_complete


def test_an_unfinished_folder_is_no_source(job, tmp_path):
    run_shards(job)
    (job.sink.path / "manifest.json").unlink()
    second = replace(
        job, source=replace(job.source, path=job.sink.path), sink=replace(job.sink, path=tmp_path / "second")
    )
    with pytest.raises(DataError, match="a job that has not finished; run the job again"):
        run_shards(second)


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


def test_values_that_do_not_fit_are_counted_through_a_resume(job):
    loud = replace(
        job,
        transform=Compose([Scale(scale=100.0, keys=("ecg",))]),
        sink=replace(job.sink, dtype="int16", on_overflow="saturate"),
    )
    count = run_shards(loud).saturated
    assert count > 1000
    (loud.sink.path / "manifest.json").unlink()
    (loud.sink.path / "log" / "c-000004.json").unlink()
    assert run_shards(loud).saturated == count


# --- inputs that change ---


def replaced(path):
    """Another file of the same size and time under the same name."""
    status = path.stat()
    with open_source(path) as source:
        columns = source.read()
    columns = {"ecg": columns["ecg"].to_numpy()[::-1].copy(), "beat": columns["beat"].to_numpy()}
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
    hashed = shards._identity

    def then_change(*arguments):
        identity = hashed(*arguments)
        change(job.source.path / "b.parquet")
        return identity

    monkeypatch.setattr(shards, "_identity", then_change)
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


# --- shards that are too many, recordings that are too short ---


def test_shards_too_small_to_be_of_use_are_refused_with_their_number(job, monkeypatch):
    monkeypatch.setattr("bridgeflow.pipeline.job.MAX_SHARDS", 100)
    with pytest.raises(
        DataError, match=r"shards of 10 rows would be 984 files, and 100 are the most; set `shard_rows`"
    ):
        run_shards(replace(job, sink=replace(job.sink, shard_rows=10)))
    assert not job.sink.path.exists()
    assert len(run_shards(replace(job, sink=replace(job.sink, shard_rows=200))).shards) == 51


def test_a_shard_for_each_recording_is_never_too_many(job, monkeypatch):
    monkeypatch.setattr("bridgeflow.pipeline.job.MAX_SHARDS", 2)
    assert len(run_shards(replace(job, sink=replace(job.sink, shard_rows=10_000))).shards) == 3


def test_recordings_shorter_than_a_window_are_counted(job):
    cut = {"length": 3000, "hop": 50}
    windows = Compose([Window(**cut, keys=("ecg",)), WindowLabels(**cut, keys=("beat",))])
    result = run_shards(replace(job, transform=windows))
    assert (result.recordings, result.without_rows) == (3, 1)
    assert run_shards(replace(job, transform=windows)).without_rows == 1
