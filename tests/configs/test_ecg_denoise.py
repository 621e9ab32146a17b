"""The main job on the real recording: less mains interference, no wander, and every heartbeat where it was."""

from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from bridgeflow.config import load_job
from bridgeflow.engines.local import run_job
from bridgeflow.io import open_source

ROOT = Path(__file__).parents[2]
FS = 360


@pytest.fixture(scope="module")
def ecg(tmp_path_factory):
    """The job of `configs/ecg_denoise.yaml` as it is written, its results in a folder of the test's own."""
    folder = tmp_path_factory.mktemp("ecg")
    text = (ROOT / "configs" / "ecg_denoise.yaml").read_text()
    assert text.count("../results/") == 2
    path = folder / "job.yaml"
    path.write_text(text.replace("../results/", "").replace("../examples", str(ROOT / "examples")))
    result = run_job(load_job(path, roots=[folder, ROOT]))
    with open_source(folder / "ecg_denoised.parquet") as source:
        return result, source.read()["ecg"], source.settings


def peaks(x):
    return signal.find_peaks(x, prominence=1.0, distance=FS // 4)[0]


def test_mains_interference_is_removed(ecg):
    result, _, _ = ecg
    assert result.hum.before_db > 12
    assert result.hum.before_db - result.hum.after_db > 28
    # And by SciPy's measure: the power between 59.8 and 60.2 Hz.
    frequency, before = signal.welch(result.pair.before, FS, nperseg=2048)
    _, after = signal.welch(result.pair.after, FS, nperseg=2048)
    line = np.abs(frequency - 60) < 0.2
    assert 10 * np.log10(before[line].sum() / after[line].sum()) > 40


def test_baseline_wander_and_muscle_noise_are_less(ecg):
    result, _, _ = ecg
    frequency, before = signal.welch(result.pair.before, FS, nperseg=8192)
    _, after = signal.welch(result.pair.after, FS, nperseg=8192)
    for band in (frequency < 0.2, frequency > 70):
        assert after[band].sum() < before[band].sum() / 100
    kept = (frequency > 2) & (frequency < 20)
    assert after[kept].sum() == pytest.approx(before[kept].sum(), rel=0.1)


def test_r_peaks_stay_where_they_are(ecg):
    result, _, _ = ecg
    before, after = peaks(result.pair.before), peaks(result.pair.after)
    assert abs(len(before) - len(after)) <= 5
    shift = np.abs(before[:, None] - after).min(axis=0)
    assert np.mean(shift <= 1) > 0.98
    assert np.mean(shift <= 2) > 0.99


def test_the_heart_rate_is_one(ecg):
    _, after, _ = ecg
    rate = 60 * FS / np.diff(peaks(after))
    assert 60 < np.median(rate) < 120
    assert np.percentile(rate, 1) > 40
    assert np.percentile(rate, 99) < 180


def test_the_file_holds_the_signal_and_says_how_it_came_about(ecg):
    result, after, settings = ecg
    assert after.dtype == np.float32
    assert np.array_equal(after, result.pair.after.astype(np.float32))
    assert (result.rows, result.seconds, len(after)) == (108_000, 300, 108_000)
    assert settings["fs"] == FS
    assert settings["source"] == "mitdb208_mlii.parquet"
    stages = [next(iter(stage)) for stage in settings["transforms"]]
    assert stages == ["Scale", "SignalFilter", "SignalFilter"]
    assert settings["transforms"][1]["SignalFilter"]["w0"] == 60


def test_no_crossing_copies(ecg):
    result, _, _ = ecg
    assert result.copies == ()
    assert result.crossings > 0
