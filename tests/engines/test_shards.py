"""Jobs with shards: what they hold, how they continue, and what they can be used for."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from bridgeflow.engines.shards import run_shards
from bridgeflow.errors import DataError
from bridgeflow.io import open_sink, open_source
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.job import Job
from bridgeflow.pipeline.job_parts import JobReport, JobSink, JobSource
from bridgeflow.transforms import Detrend, Scale, Window, WindowLabels
from tests.engines.shard_jobs import FS, NOTCH, ROW, read, tree


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
    assert (result.written, result.kept, result.was_complete) == (12, 0, False)
    assert result.rows == len(ecg)


def test_what_is_complete_is_not_touched(job):
    first = run_shards(job)
    before = {path: path.stat().st_mtime_ns for path in [job.sink.path, *job.sink.path.rglob("*")]}
    again = run_shards(replace(job, threads=1))
    assert (again.was_complete, again.written, again.kept) == (True, 0, 12)
    assert again.shards == first.shards
    assert {path: path.stat().st_mtime_ns for path in [job.sink.path, *job.sink.path.rglob("*")]} == before


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


def test_progress_ends_with_everything_done(job):
    reports = []
    run_shards(job, progress=reports.append)
    assert (reports[-1].done, reports[-1].recordings, reports[-1].of) == (reports[-1].total, 3, 3)
    assert [one.done for one in reports] == sorted(one.done for one in reports)
    assert reports[-1].total == sum(path.stat().st_size for path in job.source.path.iterdir())


# --- what others do with the folder ---


def test_a_folder_of_shards_is_a_source(job):
    result = run_shards(job)
    ecg, beat = read(result)
    with open_source(result.path) as source:
        assert source.rows == result.rows
        assert np.array_equal(source.read()["beat"], beat)
        assert np.array_equal(source.take([source.rows - 1, 0])["ecg"], ecg[[-1, 0]])


def test_the_next_job_goes_through_shards_as_if_the_recording_had_never_been_cut(job, tmp_path, data):
    """A filter after another one, each in a job of its own: the state must not start again at each shard."""
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
        column = source.read()["ecg"]
    whole = Compose([Scale(scale=0.005), replace(NOTCH, keys=None)])
    assert np.array_equal(column, np.concatenate([whole(columns["ecg"]) for columns in data.values()]))
    assert run_shards(second).was_complete


def test_an_unfinished_folder_is_no_source(job, tmp_path):
    run_shards(job)
    (job.sink.path / "manifest.json").unlink()
    second = replace(
        job, source=replace(job.source, path=job.sink.path), sink=replace(job.sink, path=tmp_path / "second")
    )
    with pytest.raises(DataError, match="a job that has not finished; run the job again"):
        run_shards(second)


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


# --- shards that are too many, recordings that are too short ---


def test_shards_too_small_to_be_of_use_are_refused_with_their_number(job, monkeypatch):
    monkeypatch.setattr("bridgeflow.pipeline.job_base.MAX_SHARDS", 100)
    with pytest.raises(
        DataError, match=r"shards of 10 rows would be 984 files, and 100 are the most; set `shard_rows`"
    ):
        run_shards(replace(job, sink=replace(job.sink, shard_rows=10)))
    assert not job.sink.path.exists()
    assert len(run_shards(replace(job, sink=replace(job.sink, shard_rows=200))).shards) == 51


def test_a_shard_for_each_recording_is_never_too_many(job, monkeypatch):
    monkeypatch.setattr("bridgeflow.pipeline.job_base.MAX_SHARDS", 2)
    assert len(run_shards(replace(job, sink=replace(job.sink, shard_rows=10_000))).shards) == 3


def test_recordings_shorter_than_a_window_are_counted(job):
    cut = {"length": 3000, "hop": 50}
    windows = Compose([Window(**cut, keys=("ecg",)), WindowLabels(**cut, keys=("beat",))])
    result = run_shards(replace(job, transform=windows))
    assert (result.recordings, result.without_rows) == (3, 1)
    assert run_shards(replace(job, transform=windows)).without_rows == 1
