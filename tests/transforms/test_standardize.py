"""Standardize: levels and scales, compared with NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bridgeflow import Compose, Recording, SignalDataset, Standardize, Window, load_job, run_job
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.testing import check_transform

REFERENCE = {
    "z-score": lambda x: (x - np.nanmean(x)) / np.nanstd(x),
    "robust": lambda x: (x - np.nanmedian(x)) / np.subtract(*np.nanquantile(x, [0.75, 0.25])),
    "min-max": lambda x: (x - np.nanmin(x)) / np.ptp(x[~np.isnan(x)]),
    "peak": lambda x: x / np.nanmax(abs(x)),
    "rms": lambda x: x / np.sqrt(np.nanmean(x**2)),
}
methods = pytest.mark.parametrize("method", REFERENCE)


def noise(*shape: int) -> np.ndarray:
    return 3 + 5 * np.random.default_rng(0).standard_normal(shape)


@methods
@pytest.mark.parametrize("samples", [1, 2, 7, 96, 1001])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_channels_have_numpys_statistics(method: Any, samples: int, kind: Any):
    x = noise(3, 4, samples)
    if samples > 10:
        x[1, 2, :3] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.apply_along_axis(REFERENCE[method], -1, x)
    expected[np.isnan(expected) & ~np.isnan(x)] = 0  # one sample has no scale
    np.testing.assert_allclose(np.asarray(Standardize(method=method)(kind(x))), expected, rtol=1e-12, atol=1e-12)


@methods
@pytest.mark.parametrize("axis", [-1, -2, 0])
def test_all_of_a_sample_shares_its_statistics(method: Any, axis: int):
    x, transform = noise(4, 50), Standardize(method=method, per="all", axis=axis)
    np.testing.assert_allclose(transform(x), REFERENCE[method](x), rtol=1e-12)
    check_transform(transform, x, skip={"batches"})
    dataset = SignalDataset({"x": noise(3, 4, 50)}, transform=Standardize(method=method, per="all", keys="x"))
    assert (dataset.batch([2, 1])["x"][0] == dataset[2]["x"]).all()


@methods
def test_constants_and_nothing_have_no_scale(method: Any):
    transform = Standardize(method=method)
    assert transform(np.zeros((2, 0))).shape == (2, 0)
    assert not transform(np.zeros((2, 9), "int16")).any()
    assert np.isnan(transform(np.full((2, 9), np.nan))).all()
    if method not in ("peak", "rms"):
        assert not transform(np.full((2, 9), 4.0)).any()


@methods
@pytest.mark.parametrize("per", ["channel", "all"])
def test_gradients(method: Any, per: Any):
    x = torch.from_numpy(noise(2, 2, 11)).requires_grad_()
    assert torch.autograd.gradcheck(Standardize(method=method, per=per), (x,))


@pytest.mark.parametrize("fields", [{"method": "zscore"}, {"per": "sample"}], ids=str)
def test_unknown_words_are_refused(fields: Any):
    with pytest.raises(ConfigError, match=r"Standardize: (method|per) must be one of"):
        Standardize(**fields)


def test_complex_numbers_are_refused():
    for call in (Standardize(), Standardize().explain):
        with pytest.raises(DataError, match="expected real numbers, got complex ones"):
            call(noise(2, 9) + 1j)


@methods
@pytest.mark.parametrize("per", ["channel", "all"])
def test_recordings_have_the_bits_of_a_job_and_of_arrays(tmp_path: Any, method: Any, per: Any):
    x = noise(3, 20_000).astype("float32")
    np.save(tmp_path / "x.npy", x.T)
    (tmp_path / "job.yaml").write_text(
        f"version: 1\nsource: {{npy: x.npy, fs: 100, rows: instants}}\n"
        f"transforms:\n- Standardize: {{method: {method}, per: {per}}}\nsink: {{npy: y.npy}}\n"
    )
    run_job(load_job(tmp_path / "job.yaml"))
    expected = Standardize(method=method, per=per)(x)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy").T, expected)
    recordings = [Recording.from_arrays(x, fs=100.0)]
    dataset = SignalDataset(recordings, Compose([Standardize(method=method, per=per), Window(length=500)]))
    np.testing.assert_array_equal(np.concatenate([np.asarray(one["signal"]) for one in dataset], -1), expected)
