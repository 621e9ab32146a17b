"""`bridgeflow info`: a line for each recording, and JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

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
