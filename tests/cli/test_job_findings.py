"""What `bridgeflow doctor CONFIG` finds in a job or a pipeline, each with its remedy."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from bridgeflow import Compose, RunningStandardize, SignalFilter, Window, doctor
from bridgeflow.cli import job_findings
from bridgeflow.cli.app import app
from bridgeflow.cli.job_findings import examine_stages, examine_workers
from bridgeflow.doctor import Finding
from bridgeflow.io import open_sink

SLOW = SignalFilter(design="butter", btype="highpass", cutoff=0.5, order=2, fs=360.0, mode="zero_phase")
QUICK = SignalFilter(design="butter", btype="lowpass", cutoff=40.0, order=2, fs=360.0, mode="zero_phase")
CAUSAL = SignalFilter(design="butter", btype="lowpass", cutoff=40.0, order=2, fs=360.0)


@pytest.mark.parametrize("length", [256, "0.5 s"])
def test_filters_that_ring_longer_than_the_windows_they_see(length):
    (finding,) = examine_stages(Compose([Window(length=length), SLOW]))
    assert finding.what == "stage 2 (SignalFilter)"
    assert ("rings for " in finding.value, "before Window" in finding.remedy) == (True, True)
    assert examine_stages(Compose([SLOW, Window(length=length)])) == []
    assert examine_stages(Compose([Window(length=length), QUICK])) == []


def test_filters_that_do_not_bear_float32():
    """SciPy's direct form of the same filter in float32 has gone astray too."""
    narrow = {"design": "butter", "btype": "bandpass", "cutoff": (0.01, 0.1), "order": 8, "fs": 1000.0}
    (finding,) = examine_stages(Compose([SignalFilter(**narrow, precision="float32")]))
    assert ("float32" in finding.value, "float64" in finding.remedy) == (True, True)
    assert examine_stages(Compose([SignalFilter(**narrow)])) == []
    tame = SignalFilter(design="butter", cutoff=40.0, order=2, fs=360.0, precision="float32")
    assert examine_stages(Compose([tame])) == []


def test_stages_that_lose_their_state_under_shuffling():
    for stages in ([RunningStandardize()], [CAUSAL]):
        (finding,) = examine_stages(Compose(stages), rows=True, shuffled=True)
        assert ("shuffled" in finding.value, "before Window" in finding.remedy) == (True, True)
        assert examine_stages(Compose(stages), rows=True) == []
        assert examine_stages(Compose([*stages, Window(length=9)]), shuffled=True) == []
    steady = SignalFilter(design="butter", btype="lowpass", cutoff=40.0, order=2, fs=360.0, initial="steady")
    assert examine_stages(Compose([steady]), rows=True, shuffled=True) == []


def test_more_workers_and_threads_than_cores(monkeypatch):
    monkeypatch.setattr("bridgeflow._threads.usable_cores", lambda: 2)
    assert [one.remedy for one in examine_workers(3, None, "spawn", None)] == ["num_workers: 2, or fewer"]
    assert [one.remedy for one in examine_workers(0, 3, "fork", None)] == ["threads: 2, or leave it out"]
    assert "forkserver" in examine_workers(1, None, "fork", "cuda:0")[0].remedy
    assert examine_workers(2, 1, "fork", None) == examine_workers(1, None, "spawn", "cuda") == []


def test_doctor_of_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("python", "3")])
    with open_sink("train.parquet", settings={"fs": 100}) as sink:
        sink.write({"ecg": np.zeros((20, 100))})
    source = "version: 1\nsources: {train: {parquet: train.parquet}}\ntransforms: [RunningStandardize: {keys: [ecg]}]\n"
    (tmp_path / "train.yaml").write_text(source)

    def said(*arguments):
        done = CliRunner().invoke(app, ["doctor", *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout.splitlines()

    assert said("train.yaml", "--quiet")[0].startswith("stage 1 (RunningStandardize)  each row begins")
    assert said("train.yaml", "loader.shuffle=false")[-1] == "configuration  train.yaml: nothing that may hurt"
    job = "version: 1\nsource: {parquet: train.parquet}\nsink: {parquet: out.parquet}\n"
    (tmp_path / "job.yaml").write_text(job)
    assert said("job.yaml", "--quiet") == []
    assert job_findings.examine_file(tmp_path / "job.yaml", (), None, ())[0].verdict == "ok"
    assert CliRunner().invoke(app, ["doctor", "no.yaml"]).exit_code == 2
