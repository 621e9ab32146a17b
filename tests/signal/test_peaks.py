"""`peak_rate`: SciPy's peaks, counted; and the heart rate of a real recording."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.signal
import torch

from bridgeflow import Compose, PeakRate, SignalFilter, Window
from bridgeflow.bridge import describe, to_arrow, to_numpy
from bridgeflow.errors import CannotStream, ConfigError, DataError, NoRoute
from bridgeflow.signal import peak_rate

ECG = Path(__file__).parents[2] / "examples" / "data" / "mitdb208_mlii.parquet"


def test_counts_scipys_peaks():
    x = np.random.default_rng(0).standard_normal((3, 2, 500))
    options = {"height": 0.2, "prominence": 0.5}
    result = peak_rate(x, 50.0, **options, distance=0.2)
    for index in np.ndindex(3, 2):
        peaks, _ = scipy.signal.find_peaks(x[index], **options, distance=10)
        assert result[index] == pytest.approx(len(peaks) * 6)  # ten seconds
        interval = peak_rate(x[index], 50.0, **options, distance=0.2, by="interval")
        assert interval == pytest.approx(60 * 50 / np.median(np.diff(peaks)))


def test_kinds():
    x = np.random.default_rng(0).standard_normal((3, 500)).astype("float32")
    expected = peak_rate(x, 50.0)
    assert expected.dtype == np.float64
    for other in (torch.from_numpy(x), to_arrow(x), x.astype(">f4"), x.tolist()):
        np.testing.assert_array_equal(to_numpy(peak_rate(other, 50.0)), expected)
    counts = (100 * x).astype("int16")
    np.testing.assert_array_equal(peak_rate(counts, 50.0), peak_rate(counts.astype("float64"), 50.0))
    assert isinstance(peak_rate(torch.from_numpy(x), 50.0), torch.Tensor)


def test_edges():
    assert peak_rate(np.zeros(10), 1.0) == 0
    assert np.isnan(peak_rate(np.zeros(10), 1.0, by="interval"))
    assert peak_rate(np.empty((0, 10)), 1.0).shape == (0,)
    assert np.isnan(peak_rate(np.array([[0.0, 1, 0, 1, np.nan], [0.0, 1, 0, 1, 0]]), 1.0)).tolist() == [True, False]
    assert peak_rate(np.array([0.0, 1, 0, 2, 0]), 1.0, distance=0.001) == 24  # a distance of less than a sample


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fs": 0.0}, "fs must be from 1e-12 to 1e+15, got 0.0"),
        ({"fs": float("nan")}, "fs must be from 1e-12 to 1e+15, got nan"),
        ({"fs": 1.0, "distance": -1.0}, "distance must be above 0 and at most 1e+12, got -1.0"),
        ({"fs": 1.0, "by": "beats"}, "by must be one of 'count', 'interval', got 'beats'"),
    ],
)
def test_refused(options, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        peak_rate(np.zeros(5), **options)
    with pytest.raises(ConfigError, match=re.escape(f"PeakRate: {words}")):
        PeakRate(**options)


def test_refused_data():
    with pytest.raises(DataError, match="real samples"):
        peak_rate(np.zeros(5, complex), 1.0)
    with pytest.raises(DataError, match="real samples"):
        peak_rate(np.zeros((2, 0)), 1.0)
    with pytest.raises(NoRoute, match="grad"):
        peak_rate(torch.zeros(5, requires_grad=True), 1.0)
    with pytest.raises(ConfigError, match="360 Hz"):
        PeakRate(fs=100.0).out_spec(describe(np.zeros(5)).fresh(fs=360.0))
    with pytest.raises(CannotStream, match="Window"):
        PeakRate(fs=100.0).init_state(describe(np.zeros(5)))


def test_the_heart_rate_of_the_ecg():
    """Record 208 beats about a hundred times a minute, by the annotations: 2955 beats in half an hour."""
    ecg = pq.read_table(ECG, columns=["ecg"])["ecg"].to_numpy().astype("float64") / 200
    qrs = SignalFilter(design="butter", btype="bandpass", cutoff=(5.0, 15.0), order=2, fs=360.0, mode="zero_phase")
    rate = Compose([qrs, Window(length=30 * 360), PeakRate(fs=360.0, prominence=0.3, distance=0.3)])
    rates = rate(ecg)
    assert rates.shape == (10,)
    assert np.all((rates > 70) & (rates < 140))
    assert 90 < rates.mean() < 115
