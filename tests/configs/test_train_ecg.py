"""The pipeline of a training script: the windows of the real recording, against SciPy; parts that share no sample."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy import signal

from bridgeflow import Loader, SignalDataset, load_pipeline
from tests.configs.workplace import ROOT


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline(ROOT / "configs" / "train_ecg.yaml", roots=[ROOT])


def test_parts_share_no_sample(pipeline):
    assert list(pipeline.datasets) == ["train", "val", "test"]
    starts = {part: [sample["start"] for sample in pipeline.datasets[part]] for part in pipeline.datasets}
    assert [len(one) for one in starts.values()] == [41, 8, 8]
    assert max(starts["train"]) + 3600 <= 108_000 * 0.7
    assert min(starts["val"]) >= 108_000 * 0.7
    assert max(starts["val"]) + 3600 <= 108_000 * 0.85 <= min(starts["test"])


def test_windows_are_what_scipy_makes_of_the_recording(pipeline):
    counts = pq.read_table(ROOT / "examples" / "data" / "mitdb208_mlii.parquet")["ecg"].to_numpy()
    sos = signal.butter(2, [0.5, 40], "bandpass", fs=360, output="sos")
    x = signal.sosfiltfilt(sos, counts * 0.005 - 5.12)
    for sample in pipeline.datasets["test"]:
        window = x[sample["start"] : sample["start"] + 3600]
        expected = (window - window.mean()) / window.std()
        assert sample["signal"].dtype == torch.float32
        np.testing.assert_allclose(sample["signal"][0], expected, atol=2e-3)


def test_only_training_is_augmented_and_shuffled(pipeline):
    train, val = pipeline.loaders["train"], pipeline.loaders["val"]
    first, second = (torch.cat([batch["start"] if torch.is_tensor(batch["start"]) else torch.tensor(batch["start"])
                                for batch in train]) for _ in range(2))  # fmt: skip
    assert sorted(first.tolist()) == sorted(second.tolist())
    assert first.tolist() != second.tolist()
    gains = [float(batch["signal"].std()) for batch in train]
    assert max(gains) > 1.05
    (batch,) = val
    assert batch["signal"].shape == (8, 1, 3600)
    assert torch.allclose(batch["signal"].std(dim=-1, correction=0), torch.ones(8, 1), atol=1e-4)


def test_a_dataset_and_a_loader_take_it(pipeline):
    assert SignalDataset.from_pipeline(pipeline, "val") is pipeline.datasets["val"]
    loader = Loader.from_pipeline(pipeline, batch_size=4, threads=0)
    assert len(loader) == 11
    assert len(Loader.from_pipeline(pipeline, "test")) == 1
