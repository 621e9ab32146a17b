"""TensorDicts as containers of our transforms, and as batches of a Loader."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow import Compose, Loader, Scale, SignalDataset, SignalFilter
from bridgeflow.errors import DataError

tensordict = pytest.importorskip("tensordict")

from bridgeflow.integrations.tensordict import collate_tensordict, to_tensordict  # noqa: E402

ECG = np.random.default_rng(0).standard_normal((10, 2, 50)).astype("float32")
BUTTER = SignalFilter(design="butter", order=4, cutoff=20.0, fs=100.0, keys="ecg")


def dataset(transform: Any = None) -> SignalDataset:
    return SignalDataset({"ecg": ECG, "label": np.arange(10), "id": pa.array([f"r{n}" for n in range(10)])}, transform)


class TestContainer:
    def test_a_tensordict_comes_back_as_one(self):
        nested = tensordict.TensorDict({"x": torch.ones(10, 3)}, batch_size=[10])
        batch = tensordict.TensorDict({"ecg": torch.from_numpy(ECG), "more": nested}, batch_size=[10])
        out = Compose([BUTTER, Scale(scale=2.0, keys="more.x")])(batch)
        assert type(out) is tensordict.TensorDict
        assert out.batch_size == torch.Size([10])
        assert torch.equal(out["ecg"], BUTTER({"ecg": torch.from_numpy(ECG)})["ecg"])
        assert torch.equal(out["more", "x"], torch.full((10, 3), 2.0))
        assert torch.equal(batch["more", "x"], torch.ones(10, 3)), "the input stays as it was"

    def test_rows_of_a_tensordict_are_samples(self):
        batch = tensordict.TensorDict({"ecg": torch.from_numpy(ECG)}, batch_size=[10])
        assert torch.equal(torch.stack([BUTTER(batch[row])["ecg"] for row in range(10)]), BUTTER(batch)["ecg"])


class TestLoader:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_batches_are_those_of_the_loader(self, workers: int):
        options: dict[str, Any] = {"shuffle": True, "seed": 1, "num_workers": workers}
        plain = list(Loader(dataset(BUTTER), 4, **options))
        loader = Loader(dataset(BUTTER), 4, collate_fn=collate_tensordict, **options)
        for one, expected in zip(loader, plain, strict=True):
            assert type(one) is tensordict.TensorDict
            assert one.batch_size == torch.Size([len(expected["label"])])
            assert torch.equal(one["ecg"], expected["ecg"])
            assert torch.equal(one["label"], expected["label"])
            assert list(one["id"]) == expected["id"]
        loader.close()

    def test_memory_is_the_batchs(self):
        batch = dataset().batch(range(4))
        assert to_tensordict(batch)["ecg"].data_ptr() == batch["ecg"].data_ptr()

    def test_of_ndarrays_and_nested_dicts(self):
        out = to_tensordict({"a": {"x": ECG}, "n": np.arange(10), "note": "all"})
        assert torch.equal(out["a", "x"], torch.from_numpy(ECG))
        assert out["a"].batch_size == torch.Size([10])
        assert out["note"] == "all"

    @pytest.mark.parametrize(
        ("batch", "problem"),
        [
            ([ECG], "a dict, got a list"),
            ({"id": ["a"]}, "got no array"),
            ({"a": ECG, "b": ECG[:3]}, "arrays of 3, 10 rows"),
        ],
        ids=["list", "no array", "lengths"],
    )
    def test_what_has_no_number_of_rows(self, batch: Any, problem: str):
        with pytest.raises(DataError, match=problem):
            to_tensordict(batch)
