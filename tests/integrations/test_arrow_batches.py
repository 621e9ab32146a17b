"""`Compose.map_batches`: record batches in and out, by itself, in Spark's `mapInArrow` and in bags of Dask."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pyarrow as pa
import pytest

from bridgeflow import AddNoise, Compose, Scale, SignalDataset, SignalFilter, Window
from bridgeflow.errors import ConfigError, NonFinite

LOW = SignalFilter(design="butter", order=4, cutoff=20.0, fs=100.0, keys="ecg")
ROWS = np.random.default_rng(0).standard_normal((30, 64)).astype("float32")


def tensors(rows, **more):
    return pa.record_batch({"ecg": pa.FixedShapeTensorArray.from_numpy_ndarray(rows), **more})


def test_tensors_stay_tensors_and_have_the_bits_of_a_dataset():
    wide = np.random.default_rng(1).standard_normal((30, 2, 64))
    pipeline = Compose([LOW, Scale(scale=2.0, keys="ecg")])
    batches = [tensors(wide[start : start + 10], label=pa.array(range(start, start + 10))) for start in (0, 10, 20)]
    outs = list(pipeline.map_batches(iter(batches)))
    assert all(isinstance(out, pa.RecordBatch) and out.num_rows == 10 for out in outs)
    expected = SignalDataset({"ecg": wide}, pipeline, kind="numpy").batch(range(30))["ecg"]
    assert np.array_equal(np.concatenate([out["ecg"].to_numpy_ndarray() for out in outs]), expected)
    assert [value for out in outs for value in out["label"].to_pylist()] == list(range(30))


def test_lists_stay_lists_of_the_same_numbers():
    table = pa.table({"ecg": pa.array(ROWS.tolist(), pa.list_(pa.float32())), "text": ["a"] * 30})
    (out,) = Compose([LOW, Window(length=16, keys="ecg")]).map_batches([table])
    assert out.schema.field("ecg").type == pa.list_(pa.list_(pa.float32()))
    windows = LOW({"ecg": ROWS})["ecg"].reshape(30, 4, 16)
    assert np.array_equal(np.array(out["ecg"].to_pylist(), "float32"), windows)
    assert out["text"].to_pylist() == ["a"] * 30


def test_plain_callables_see_samples():
    (out,) = Compose([lambda sample: {"top": float(sample["ecg"].max())}]).map_batches([tensors(ROWS)])
    assert out["top"].to_pylist() == ROWS.max(axis=1).astype(float).tolist()


def test_batches_without_rows_are_left_out_and_errors_name_the_stage():
    assert list(Compose([LOW]).map_batches([tensors(ROWS).slice(0, 0)])) == []
    bad = ROWS.copy()
    bad[3, 5] = np.nan
    with pytest.raises(NonFinite, match=r"stage 1 \(SignalFilter\), \$.ecg"):
        list(Compose([LOW]).map_batches([tensors(bad)]))
    with pytest.raises(ConfigError, match="augmentations, which draw by row number"):
        Compose([AddNoise(snr_db=10.0, keys="ecg")]).map_batches([])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
def test_in_sparks_map_in_arrow(monkeypatch):
    sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    builder = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "7").getOrCreate()
    try:
        schema = "row long, ecg array<float>"
        frame = spark.createDataFrame([(n, row.tolist()) for n, row in enumerate(ROWS)], schema).repartition(3)
        rows = frame.mapInArrow(Compose([LOW]).map_batches, schema).orderBy("row").collect()
    finally:
        spark.stop()
    assert [row.row for row in rows] == list(range(30))
    assert np.array_equal(np.array([row.ecg for row in rows], "float32"), LOW({"ecg": ROWS})["ecg"])


@pytest.mark.parametrize("scheduler", ["threads", "sync", "processes"])
def test_in_a_bag_of_dask(scheduler):
    bag = pytest.importorskip("dask.bag")
    batches = [tensors(ROWS[start : start + 10]) for start in (0, 10, 20)]
    out = bag.from_sequence(batches, npartitions=2).map_partitions(Compose([LOW]).map_batches)
    outs = out.compute(scheduler=scheduler)
    assert np.array_equal(np.concatenate([one["ecg"].to_numpy_ndarray() for one in outs]), LOW({"ecg": ROWS})["ecg"])
