"""`bridgeflow info`, `convert` and `plot recording`: lines for people, and JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bridgeflow import Recording
from bridgeflow.cli.app import app


def bridgeflow(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], prog_name="bridgeflow")


def test_a_line_for_each_file(tmp_path):
    edfio = pytest.importorskip("edfio")
    signals = [
        edfio.EdfSignal(np.arange(500.0), 100, label="EEG Fp1", physical_dimension="uV"),
        edfio.EdfSignal(np.arange(5.0), 1, label="SpO2", physical_dimension="%"),
    ]
    edfio.Edf(signals, annotations=[edfio.EdfAnnotation(1, None, "a")]).write(tmp_path / "a.edf")
    np.save(tmp_path / "b.npy", np.zeros((300, 2)))
    result = bridgeflow("info", tmp_path / "a.edf")
    assert result.exit_code == 0
    assert "1 channel at 100 Hz (EEG Fp1) in uV, 1 channel at 1 Hz (SpO2) in %, 5 s, 1 event, 0 gaps" in result.stdout
    result = bridgeflow("info", tmp_path / "b.npy", tmp_path / "b.npy", "--fs", "100", "--json")
    (facts, _) = json.loads(result.stdout)["recordings"]
    assert facts["seconds"] == 3
    assert facts["columns"][0]["segments"] == [[0, 300]]


def test_a_damaged_file(tmp_path):
    (tmp_path / "a.edf").write_bytes(b"0" * 100)
    result = bridgeflow("info", tmp_path / "a.edf")
    assert result.exit_code == 2
    assert "a.edf" in result.stderr


@pytest.fixture
def folder(tmp_path):
    for number in range(2):
        x = np.random.default_rng(number).integers(-99, 99, (2, 500)).astype(np.int16)
        events = [(1.0, None, "N")]
        one = Recording.from_arrays(x, fs=100, channels=["a", "b"], unit="mV", scale=0.005, events=events)
        one.write(tmp_path / f"r{number}.parquet")
    return tmp_path


def test_gaps_of_missing_samples(tmp_path):
    x = np.arange(100.0)
    x[40:50] = np.nan
    Recording.from_arrays(x, fs=10).write(tmp_path / "a.npz")
    result = bridgeflow("info", tmp_path / "a.npz", "--nulls", "gap")
    assert "10 s, 0 events, 1 gap" in result.stdout


def test_one_file_into_another(folder):
    result = bridgeflow("convert", folder / "r0.parquet", folder / "r0.hea")
    assert result.exit_code == 0, result.output
    assert "2 channels, 5 s, 1 event" in result.stdout
    again = Recording.open(folder / "r0.hea")
    assert np.array_equal(
        again.columns["signal"].read(0, 500), Recording.open(folder / "r0.parquet").columns["signal"].read(0, 500)
    )
    result = bridgeflow("convert", folder / "r0.parquet", folder / "r0.hea")
    assert result.exit_code == 2
    assert "exists already" in result.stderr
    result = bridgeflow("convert", folder / "r0.parquet", folder / "b.npz", "--channels", "b", "--units", "physical")
    assert result.exit_code == 2
    assert "npz has no place for units (mV), 1 event; pass --lossy" in result.stderr
    assert not (folder / "b.npz").exists()
    result = bridgeflow(
        "convert",
        folder / "r0.parquet",
        folder / "b.npz",
        "--channels",
        "b",
        "--units",
        "physical",
        "--lossy",
        "--json",
    )
    (facts,) = json.loads(result.stdout)["written"]
    assert facts["left_out"] == ["units (mV)", "1 event"]
    assert np.load(folder / "b.npz")["b"].dtype == np.float64


def test_many_files_into_a_folder(folder):
    result = bridgeflow("convert", folder / "r*.parquet", folder / "edf", "--to", "edf", "--quiet")
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in (folder / "edf").iterdir()) == ["r0.edf", "r1.edf"]
    for arguments, expected in [
        (["r0.parquet"], "add OUT"),
        (["r0.parquet", "r1.parquet", "x.edf"], "2 recordings do not fit into one file"),
        (["r0.parquet", "edf"], "say with --to"),
        (["r0.parquet", "x", "--to", "eff"], "no format 'eff' is written; did you mean 'edf'"),
        (["r0.parquet", "x.edf", "--to", "wav"], "with --to, OUT is a folder"),
        (["none.parquet", "x.edf"], "no such file"),
    ]:
        result = bridgeflow(
            "convert", *(folder / one if "." in one or one in ("edf", "x") else one for one in arguments)
        )
        assert result.exit_code == 2, arguments
        assert expected in result.stderr


def test_progress_of_long_work(folder, monkeypatch):
    passed = iter(range(0, 1000, 7))
    monkeypatch.setattr("bridgeflow.cli.progress.monotonic", lambda: next(passed))
    result = bridgeflow("convert", folder / "r0.parquet", folder / "r0.edf")
    assert "[100 %] r0" in result.stderr
    result = bridgeflow("convert", folder / "r0.parquet", folder / "r0.edf", "--overwrite", "--quiet")
    assert result.stderr == ""


def test_a_picture(folder):
    pytest.importorskip("matplotlib")
    result = bridgeflow("plot", "recording", folder / "r0.parquet", "--png", folder / "a.png", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["channels"], facts["events"], facts["seconds"]) == (["a", "b"], 1, [0, 5])
    result = bridgeflow(
        "plot",
        "recording",
        folder / "r0.parquet",
        "--png",
        folder / "b.png",
        "--seconds",
        "1,2",
        "--channels",
        "b",
        "--dark",
    )
    assert "1 to 2" in result.stdout
    for arguments, expected in [(["--seconds", "3"], "expected FROM,TO"), (["--seconds", "9,10"], "no samples from")]:
        result = bridgeflow("plot", "recording", folder / "r0.parquet", "--png", folder / "c.png", *arguments)
        assert result.exit_code == 2
        assert expected in result.stderr
