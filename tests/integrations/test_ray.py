"""Datasets of Ray's: `Compose` in `map_batches`, rows in a `Loader`, statistics; the numbers of one process."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow import AddNoise, Compose, FitStandardize, Loader, Scale, SignalDataset, SignalFilter
from bridgeflow.engines.ray_cluster import connected
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.io import open_sink

ray = pytest.importorskip("ray", reason="datasets of Ray's")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")

LOW = Compose([SignalFilter(design="butter", order=4, cutoff=20.0, fs=100.0, keys="ecg"), Scale(scale=2.0, keys="ecg")])
ROWS = np.random.default_rng(0).standard_normal((150, 2, 64), "float32")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with connected(None, cores=2):
        import ray.data

        ray.data.DataContext.get_current().enable_progress_bars = False
        yield


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """The rows in a Parquet file, whose tensors are Arrow's own."""
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    with open_sink(path) as sink:
        sink.write({"ecg": ROWS, "label": np.arange(150)})
    return ray.data.read_parquet(str(path))


@pytest.mark.parametrize("format", ["pyarrow", "numpy"])
def test_compose_is_a_function_of_batches(dataset, format):
    assert len(pickle.dumps(LOW)) < 1_000
    batches = dataset.map_batches(LOW, batch_format=format, batch_size=50, zero_copy_batch=True)
    (out,) = batches.iter_batches(batch_size=None, batch_format="numpy")
    assert np.array_equal(out["ecg"], LOW({"ecg": ROWS})["ecg"])
    assert out["label"].tolist() == list(range(150))


def test_tensors_of_rays_own_type_are_read_where_they_lie():
    table = next(iter(ray.data.from_numpy(ROWS).iter_batches(batch_size=None, batch_format="pyarrow")))
    assert table.schema.field(0).type.extension_name.startswith("ray.data.arrow_tensor")
    out = Compose([Scale(scale=2.0)])(table.slice(10, 5))
    assert np.array_equal(out["data"].chunk(0).to_numpy_ndarray(), 2 * ROWS[10:15])
    from bridgeflow.pipeline.ray_rows import with_plain_tensors

    plain = with_plain_tensors(table)["data"].chunk(0)
    assert plain.storage.flatten().buffers()[1].address == table["data"].chunk(0).storage.values.buffers()[1].address
    from ray.data.extensions import ArrowTensorArray

    uneven = np.empty(2, object)
    uneven[:] = [np.zeros(2), np.zeros(3)]
    table = pa.table({"x": ArrowTensorArray.from_numpy(uneven)})
    with pytest.raises(DataError, match="column 'x': rows of different shapes"):
        with_plain_tensors(table)


def test_a_loader_over_iter_batches(dataset):
    rows = SignalDataset.from_ray(dataset, LOW)
    expected = list(Loader(SignalDataset({"ecg": ROWS, "label": np.arange(150)}, LOW), 40))
    loader = Loader(rows, 40)
    batches = list(loader)
    assert [batch["label"].tolist() for batch in batches] == [batch["label"].tolist() for batch in expected]
    assert all(torch.equal(one["ecg"], other["ecg"]) for one, other in zip(batches, expected, strict=True))


def test_an_epoch_goes_on_where_its_state_was_taken(dataset):
    noisy = Compose([LOW, AddNoise(snr_db=(10.0, 20.0), keys="ecg")])
    loader = Loader(SignalDataset.from_ray(dataset, noisy), 40, seed=3)
    first = iter(loader)
    next(first), next(first)
    state = loader.state_dict()
    rest = list(first)
    again = Loader(SignalDataset.from_ray(dataset, noisy), 40, seed=3)
    again.load_state_dict(state)
    resumed = list(again)
    assert len(rest) == len(resumed) == 2
    assert all(torch.equal(one["ecg"], other["ecg"]) for one, other in zip(rest, resumed, strict=True))


def test_options_that_rows_of_ray_have_not(dataset):
    rows = SignalDataset.from_ray(dataset)
    with pytest.raises(ValueError, match=r"shuffle it with dataset.random_shuffle\(\)"):
        Loader(rows, 10, shuffle=True)
    with pytest.raises(ValueError, match=r"use dataset.streaming_split, or ray.train.get_dataset_shard"):
        Loader(rows, 10, rank=1, world_size=2)
    with pytest.raises(TypeError, match="has no length"):
        len(rows)
    with pytest.raises(TypeError, match=r"from_ray: expected a ray.data.Dataset or DataIterator, got a list"):
        SignalDataset.from_ray([])


def test_statistics_have_the_bits_of_one_process(dataset):
    from bridgeflow.integrations.ray import fit

    for estimator in (FitStandardize(keys="ecg"), FitStandardize(keys="ecg", per="all", method="robust")):
        local = estimator.fit(SignalDataset({"ecg": ROWS}, LOW))
        assert fit(estimator, dataset.repartition(7), LOW) == local
    with pytest.raises(TypeError, match=r"expected a ray.data.Dataset, got a list"):
        fit(FitStandardize(), [])


def test_map_batches_refuses_augmentations():
    with pytest.raises(ConfigError, match="augmentations, which draw by row number"):
        Compose([AddNoise(snr_db=10.0, keys="ecg")]).map_batches([])
