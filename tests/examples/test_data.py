"""The recording that examples and the main job run on is the one its README describes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import signal

DATA = Path(__file__).parents[2] / "examples" / "data"
README = (DATA / "README.md").read_text(encoding="utf-8")


def read_parquet() -> pa.Table:
    return pq.read_table(DATA / "mitdb208_mlii.parquet")


def read_arrow() -> pa.Table:
    with pa.memory_map(str(DATA / "mitdb208_mlii.arrow")) as file:
        return pa.ipc.open_file(file).read_all()


@pytest.mark.parametrize("read", [read_parquet, read_arrow])
def test_counts_are_the_recorders(read):
    table = read()
    assert table.schema.names == ["ecg"]
    assert table.schema.field("ecg").type == pa.uint16()
    assert table.num_rows == 5 * 60 * 360
    counts = table["ecg"].to_numpy()
    assert hashlib.sha256(counts.astype("<u2").tobytes()).hexdigest() in README


@pytest.mark.parametrize("read", [read_parquet, read_arrow])
def test_rate_and_attribution_travel_with_the_data(read):
    about = {key.decode(): value.decode() for key, value in read().schema.metadata.items()}
    assert about["fs"] == "360"
    assert "MIT-BIH" in about["source"]
    assert "Moody" in about["attribution"]
    assert "Goldberger" in about["attribution"]
    assert about["licence"].startswith("ODC-By 1.0")


def test_files_are_what_the_readme_says_made_them(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    namespace: dict = {}
    exec(compile(code, "examples/data/README.md", "exec"), namespace)
    namespace["write"](read_arrow()["ecg"].to_numpy(), str(tmp_path / "again"))
    again = pq.read_table(tmp_path / "again.parquet")
    assert again.equals(read_parquet(), check_metadata=True)
    assert (tmp_path / "again.arrow").read_bytes() == (DATA / "mitdb208_mlii.arrow").read_bytes()


def test_mains_interference_is_13_db_above_its_neighbours():
    millivolt = (read_parquet()["ecg"].to_numpy().astype(np.float64) - 1024) / 200
    frequency, power = signal.welch(millivolt, fs=360, nperseg=2048)
    mains = np.argmin(np.abs(frequency - 60))
    neighbours = np.r_[power[mains - 12 : mains - 4], power[mains + 5 : mains + 13]]
    assert 10 * np.log10(power[mains - 1 : mains + 2].max() / np.median(neighbours)) == pytest.approx(13, abs=2)
