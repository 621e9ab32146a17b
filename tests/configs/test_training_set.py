"""Many recordings to a training set: the windows of the real recording, against SciPy from end to end."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import signal

from bridgeflow.engines.shards import run_shards
from bridgeflow.io import open_source
from tests.configs.workplace import ROOT, placed


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return run_shards(placed("training_set.yaml", tmp_path_factory.mktemp("training")))


@pytest.fixture(scope="module")
def windows(result):
    parts = []
    for shard in result.shards:
        with open_source(result.path / shard.name) as source:
            assert source.fs == 250
            parts.append(source.read()["ecg"])
    return np.concatenate(parts)


def test_every_five_seconds_one_example_of_ten(result, windows):
    assert [(shard.start, shard.end) for shard in result.shards] == [(0, 36_000), (36_000, 72_000), (72_000, 108_000)]
    assert windows.shape == (59, 2500)  # 300 s
    assert windows.dtype == np.float32


def test_they_are_what_scipy_makes_of_the_recording(windows):
    counts = pq.read_table(ROOT / "examples" / "data" / "mitdb208_mlii.parquet")["ecg"].to_numpy()
    x = counts * 0.005 - 5.12
    x = signal.sosfilt(signal.tf2sos(*signal.iirnotch(60, 30, fs=360)), x)
    x = signal.sosfilt(signal.butter(2, [0.5, 40], "bandpass", fs=360, output="sos"), x)
    x = signal.resample_poly(x, 25, 36)
    expected = np.lib.stride_tricks.sliding_window_view(x, 2500)[::1250]
    np.testing.assert_allclose(windows, expected, atol=2e-5)


def test_neighbours_overlap_by_half(windows):
    assert np.array_equal(windows[:-1, 1250:], windows[1:, :1250])


def test_run_again_it_touches_nothing(result):
    job = placed("training_set.yaml", result.path.parent)
    assert run_shards(job).was_complete
