"""The small recordings of the examples are those that make.py makes."""

from __future__ import annotations

import runpy
import sys

import numpy as np
import pytest

from bridgeflow import Recording, Regrid
from tests.workplace import ROOT

FOLDER = ROOT / "examples" / "data" / "recordings"
OPTIONS = {
    ".parquet": {"time": "time", "regrid": Regrid(to_hz=50, max_gap=0.5)},
    ".h5": {"time_axis": 1},
    ".hea": {"nulls": "nan"},
}


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # what wfdb asks of pandas
def test_recordings_are_what_the_script_makes(tmp_path, monkeypatch):
    for name in ("h5py", "soundfile", "wfdb"):
        pytest.importorskip(name)
    monkeypatch.setattr(sys, "argv", ["make.py", str(tmp_path)])
    runpy.run_path(str(FOLDER / "make.py"), run_name="__main__")
    ours = [path for path in sorted(FOLDER.rglob("*")) if path.suffix in (".edf", ".hea", ".flac", ".h5", ".parquet")]
    assert len(ours) == 26
    for path in ours:
        options = OPTIONS.get(path.suffix, {})
        again = Recording.open(tmp_path / path.relative_to(FOLDER), **options)
        one = Recording.open(path, **options)
        assert one.events.equals(again.events)
        assert (one.channels, one.tracks, one.start) == (again.channels, again.tracks, again.start)
        for name, column in one.columns.items():
            x, y = (each.read(0, column.length).astype(np.float64) for each in (column, again.columns[name]))
            assert np.allclose(x, y, rtol=0, atol=1.01, equal_nan=True)  # sines differ in their last bit among machines
    assert (FOLDER / "audio" / "labels.csv").read_bytes() == (tmp_path / "audio" / "labels.csv").read_bytes()
