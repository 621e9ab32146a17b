"""Heart rate as a stream: what comes out is what SciPy counts in the whole recording."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import signal

from bridgeflow.engines.local import run_job
from bridgeflow.io import open_source
from tests.configs.workplace import ROOT, placed

FS = 360


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return placed("heart_rate.yaml", tmp_path_factory.mktemp("rate"))


@pytest.fixture(scope="module")
def rates(job):
    run_job(job)
    with open_source(job.sink.path) as source:
        return source.read()["ecg"]


def beats():
    """Positions of R peaks, found in the whole recording without delay and by another rule: the slope's energy."""
    counts = pq.read_table(ROOT / "examples" / "data" / "mitdb208_mlii.parquet")["ecg"].to_numpy()
    band = signal.butter(2, [5, 15], "bandpass", fs=FS, output="sos")
    energy = np.convolve(signal.sosfiltfilt(band, counts / 200) ** 2, np.ones(54) / 54, mode="same")
    return signal.find_peaks(energy, height=0.15 * np.quantile(energy, 0.99), distance=0.3 * FS)[0]


def test_every_ten_seconds_a_rate_that_a_heart_has(rates):
    assert rates.shape == (25,)
    assert rates.dtype == np.float64
    assert np.all((rates > 60) & (rates < 130))


def test_it_is_the_number_of_beats_in_the_minute_before(rates):
    positions = beats()
    starts = np.arange(25) * 10 * FS
    counted = [np.sum((positions >= start) & (positions < start + 60 * FS)) for start in starts]
    assert np.abs(rates - counted).max() <= 8  # artefacts count in one and not in the other
    assert np.median(np.abs(rates - counted)) <= 3


def test_chunks_do_not_matter(job, rates, monkeypatch, tmp_path):
    monkeypatch.setattr("bridgeflow.pipeline.job.CHUNK_NBYTES", 14_000)
    again = placed("heart_rate.yaml", tmp_path)
    assert run_job(again).chunks == 16
    assert again.sink.path.read_bytes() == job.sink.path.read_bytes()
