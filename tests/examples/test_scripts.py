"""Every example runs from a clone as it is, without a warning, and says something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.workplace import ROOT, furnish, run_script

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NEEDS = {
    "ecg_beats": "wfdb",
    "audio_folder": "soundfile",
    "bearing_vibration": "h5py",
    "dask_batches": "dask",
    "huggingface": "datasets",
    "job_on_ray": "ray",
    "lightning_resume": "lightning",
    "s3_in_s3_out": "moto",
    "sklearn_search": "sklearn",
    "spark_batches": "pyspark",
}
FROM_FILES_TO_MODEL = ("audio_folder", "bearing_vibration", "ecg_beats", "eeg_epochs", "huggingface", "imu_activity")
SLOW = ("train_ddp", "train_eeg")
"""Programs of many seconds, which `make test-all` runs."""
IN_FRAMEWORKS = ("lightning_resume", "s3_in_s3_out", "sklearn_search", "train_ddp")


def _marked(example: Path) -> Any:
    return pytest.param(example, id=example.stem, marks=pytest.mark.slow if example.stem in SLOW else ())


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # what wfdb asks of pandas
@pytest.mark.parametrize("example", [_marked(path) for path in EXAMPLES])
def test_example_runs(example: Path, tmp_path: Path):
    if example.stem in NEEDS:
        pytest.importorskip(NEEDS[example.stem])
    folder = furnish(tmp_path)
    assert run_script(folder / "examples" / example.name, folder=folder).strip()


@pytest.mark.parametrize("name", FROM_FILES_TO_MODEL + IN_FRAMEWORKS)
def test_from_files_to_a_model_in_less_than_40_lines(name: str):
    assert len((ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 40
