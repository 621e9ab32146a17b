"""The local engine: what it refuses before it reads, what it says afterwards."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from bridgeflow.engines.local import run_job
from bridgeflow.errors import ConfigError, DataError, KeyNotFound, Location, StageId
from bridgeflow.io import open_sink, open_source
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.job import Job
from bridgeflow.pipeline.job_parts import JobReport, JobSink, JobSource
from bridgeflow.transforms import Cast, Clone, Resample, Scale, SignalFilter, ToNumpy, ToTensor

VALUES = np.arange(4000, dtype=np.uint16)


@pytest.fixture
def job_of(tmp_path):
    def make(*stages, columns=None, report=None, source=None, settings=None):
        with open_sink(tmp_path / "in.arrow", settings=settings, overwrite=True) as sink:
            sink.write(columns or {"ecg": VALUES})
        return Job(
            source=JobSource(path=tmp_path / "in.arrow", **(source or {})),
            transform=Compose(stages),
            sink=JobSink(path=tmp_path / "out.arrow"),
            report=report,
        )

    return make


def written(job):
    with open_source(job.sink.path) as source:
        return source.read()


def test_a_job_without_transforms_copies_the_columns(job_of):
    job = job_of()
    result = run_job(job)
    assert np.array_equal(written(job)["ecg"], VALUES)
    assert (result.rows, result.samples, result.fs, result.seconds) == (4000, 4000, None, None)


def test_tensors_and_several_columns_are_written(job_of):
    job = job_of(
        Cast(dtype="float32", keys=("a",)),
        ToTensor(keys=("a",), copy="always"),
        columns={"a": VALUES, "b": VALUES[::-1].copy()},
    )
    result = run_job(job)
    out = written(job)
    assert out["a"].dtype == np.float32
    assert np.array_equal(out["b"], VALUES[::-1])
    assert [(copy.stage, copy.place) for copy in result.copies] == [("stage 2 (ToTensor)", "$.a")]
    assert result.copies[0].nbytes == 16_000
    assert result.samples == 8000


def test_examples_are_rows(job_of):
    batch = np.random.default_rng(0).normal(size=(5, 4000)).astype("float32")
    job = job_of(Scale(scale=2.0), columns={"ecg": batch}, source={"fs": 100.0}, report=JobReport(hum=20))
    result = run_job(job)
    assert (result.rows, result.samples, result.seconds) == (5, 20_000, 200)
    with open_source(job.sink.path) as source:
        assert np.array_equal(source.read()["ecg"], batch * 2)


def test_progress_is_told_before_each_step(job_of):
    reported = []
    run_job(job_of(Clone(), Scale()), progress=lambda *step: reported.append(step))
    names = ["read", StageId((1,), "Clone"), StageId((2,), "Scale"), "write", ""]
    assert reported == [(name, number, 4) for number, name in enumerate(names)]


def test_before_is_what_a_stage_made_of_it(job_of):
    report = JobReport(hum=50, before="Scale")
    result = run_job(
        job_of(Cast(dtype="float64"), Scale(scale=3.0), Scale(scale=5.0), report=report, source={"fs": 360.0})
    )
    assert np.array_equal(result.pair.before, VALUES * 3.0)
    assert np.array_equal(result.pair.after, VALUES * 15.0)


def test_nulls_are_kept_for_a_transform_that_knows_what_they_are(job_of):
    values = pa.array([1.0, None, 3.0])
    job = job_of(ToNumpy(nulls="nan"), Scale(scale=2.0), columns={"ecg": values}, source={"nulls": "keep"})
    run_job(job)
    assert np.array_equal(written(job)["ecg"], [2.0, np.nan, 6.0], equal_nan=True)
    with pytest.raises(DataError, match="1 null, the first in row 1"):
        run_job(job_of(Scale(), columns={"ecg": values}), overwrite=True)


def test_an_error_within_a_composition_leads_to_its_line(job_of):
    job = job_of(Clone(), Compose([Scale(keys=("x",))]))
    places = {("transforms", index): Location("job.yaml", 4 + index, 5) for index in range(2)}
    placed = replace(job, places=places)
    with pytest.raises(KeyNotFound, match=r"^job.yaml:5:5: stage 2"):
        run_job(placed)
    values = np.zeros(3000)
    values[7] = np.nan
    strict = SignalFilter(design="notch", w0=60.0, Q=30.0, fs=360.0)
    job = replace(job_of(Clone(), Compose([Scale(), strict]), columns={"ecg": values}), places=places)
    with pytest.raises(DataError, match=r"^job.yaml:5:5: stage 2\.2 \(SignalFilter\), \$.ecg: "):
        run_job(job)


def test_the_rate_travels_from_file_to_file(job_of):
    job = job_of(Scale(), settings={"fs": 250})
    assert run_job(job).fs == 250
    with open_source(job.sink.path) as source:
        assert source.fs == 250


def test_nothing_is_read_where_the_plan_fails(job_of, monkeypatch):
    monkeypatch.setattr("bridgeflow.io.Source.read", lambda self: pytest.fail("read"))
    with pytest.raises(KeyNotFound, match=r"stage 1 \(Scale\): keys: 'x' matches nothing"):
        run_job(job_of(Scale(keys=("x",))))


@pytest.mark.parametrize(
    ("report", "columns", "problem"),
    [
        (JobReport(hum=60), {"a": VALUES, "b": VALUES}, r"2 columns to choose from \(a, b\); name one"),
        (JobReport(hum=60, column="c"), {"a": VALUES}, "no column 'c' comes out; known: 'a'"),
        (JobReport(hum=179), {"a": VALUES}, "a frequency between 3 and 177 Hz can be measured"),
        (JobReport(hum=60), {"a": VALUES[:100]}, "needs a recording of at least 2 s, got 0.27"),
    ],
)
def test_reports_that_cannot_be_made_leave_nothing(job_of, report, columns, problem):
    job = job_of(columns=columns, report=report, source={"fs": 360.0})
    with pytest.raises(DataError, match=problem):
        run_job(job)
    assert not job.sink.path.exists()


def test_a_report_without_a_rate(job_of):
    with pytest.raises(DataError, match="need a sampling rate; set `fs`"):
        run_job(job_of(report=JobReport(hum=60)))


def test_what_comes_out_must_be_columns(job_of, monkeypatch):
    job = job_of(lambda columns: columns["ecg"])
    with pytest.raises(ConfigError, match=r"stage 1 \(<lambda>\) is a plain callable"):
        run_job(job)  # whose settings could not be stored
    monkeypatch.setattr(Job, "settings", lambda self, plan: {})
    with pytest.raises(DataError, match="takes columns by name"):
        run_job(job)
    assert not job.sink.path.exists()


# --- chunk by chunk ---


@pytest.fixture
def short_chunks(monkeypatch):
    """Chunks of 1,000 rows of uint16."""
    monkeypatch.setattr("bridgeflow.pipeline.job.CHUNK_NBYTES", 2000)


def test_what_is_long_goes_through_in_chunks_with_the_bytes_of_the_whole(job_of, short_chunks, monkeypatch):
    stages = (Scale(scale=0.005), SignalFilter(design="notch", w0=60.0, Q=30.0, fs=360.0), ToTensor())
    job = job_of(*stages)
    reported = []
    result = run_job(job, progress=lambda *step: reported.append(step))
    assert (result.chunks, result.rows, result.samples) == (4, 4000, 4000)
    assert set(result.took) == {"read", "transforms", "write"}
    assert reported == [*((f"chunk {number + 1}", number, 4) for number in range(4)), ("", 4, 4)]
    in_chunks = job.sink.path.read_bytes()
    monkeypatch.setattr("bridgeflow.pipeline.job.CHUNK_NBYTES", 1 << 20)
    assert run_job(job, overwrite=True).chunks == 1
    assert job.sink.path.read_bytes() == in_chunks


@pytest.mark.parametrize(
    ("stages", "report", "why"),
    [
        ((SignalFilter(design="notch", w0=60.0, Q=30.0, fs=360.0, mode="zero_phase"),), None, "zero phase"),
        ((Scale(),), JobReport(hum=60), "the report measures the whole recording"),
    ],
)
def test_what_cannot_is_read_whole_and_says_so(job_of, short_chunks, stages, report, why):
    job = job_of(*stages, report=report, source={"fs": 360.0})
    with job.open() as source:
        assert why in job.whole(job.plan(source))
    assert run_job(job).chunks == 1


def test_rows_of_examples_go_in_chunks_whatever_the_transforms(job_of, short_chunks):
    batch = np.random.default_rng(0).normal(size=(50, 400)).astype("float32")
    zero_phase = SignalFilter(design="notch", w0=60.0, Q=30.0, fs=360.0, mode="zero_phase")
    job = job_of(zero_phase, Scale(scale=2.0), columns={"ecg": batch})
    result = run_job(job)
    assert result.chunks == 50
    with open_source(job.sink.path) as source:
        assert np.array_equal(source.read()["ecg"], zero_phase(batch) * 2)


def test_several_channels_of_a_recording(job_of, short_chunks):
    stereo = np.random.default_rng(0).normal(size=(2000, 2))
    notch = SignalFilter(design="notch", w0=60.0, Q=30.0, fs=360.0)
    job = job_of(notch, columns={"ecg": stereo}, source={"rows": "instants"})
    assert run_job(job).chunks == 16
    with open_source(job.sink.path) as source:
        assert np.array_equal(source.read()["ecg"], notch(stereo.T).T)


def test_copies_are_counted_over_all_chunks(job_of, short_chunks):
    result = run_job(job_of(ToTensor(copy="always"), Scale()))
    copied = [copy for copy in result.copies if copy.stage == "stage 1 (ToTensor)"]
    assert [(copy.place, copy.nbytes) for copy in copied] == [("$.ecg", 8000)]


def test_an_error_in_a_chunk_leads_to_its_line_and_leaves_nothing(job_of, short_chunks):
    values = np.zeros(3000)
    values[2007] = np.nan
    job = job_of(SignalFilter(design="notch", w0=60.0, Q=30.0, fs=360.0), columns={"ecg": values})
    with pytest.raises(DataError, match=r"^job.yaml:4:5: stage 1 \(SignalFilter\), \$.ecg: .*2007"):
        run_job(replace(job, places={("transforms", 0): Location("job.yaml", 4, 5)}))
    assert sorted(path.name for path in job.sink.path.parent.iterdir()) == ["in.arrow"]


def test_columns_that_will_differ_in_length_are_refused_before_they_are_read(job_of, monkeypatch):
    monkeypatch.setattr("bridgeflow.io.Source.read", lambda self: pytest.fail("read"))
    job = job_of(Resample(from_hz=2, to_hz=1, keys=("a",)), columns={"a": VALUES, "b": VALUES})
    with pytest.raises(DataError, match=r"different lengths \(a 2000, b 4000\)"):
        run_job(job)


def test_a_job_with_shards_is_for_another_function(job_of):
    job = job_of(Scale())
    with pytest.raises(ConfigError, match="run_shards"):
        run_job(replace(job, sink=replace(job.sink, shards=True)))
