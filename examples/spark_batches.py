"""A pipeline in Spark: `mapInArrow` hands its rows over as Arrow record batches, and takes batches back."""

import os
import sys
import warnings

import numpy as np
from pyspark.sql import SparkSession

from bridgeflow import Compose, Scale, SignalFilter

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # the Python of Spark's workers: with bridgeflow in it
warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
pipeline = Compose(
    [
        Scale(keys="ecg", scale=0.005),
        SignalFilter(keys="ecg", design="butter", btype="bandpass", cutoff=(0.5, 40), order=4, fs=360),
    ]
)
rows = np.random.default_rng(0).standard_normal((200, 720)).astype("float32")

spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
try:
    schema = "row long, ecg array<float>"
    frame = spark.createDataFrame([(n, row.tolist()) for n, row in enumerate(rows)], schema)
    filtered = frame.mapInArrow(pipeline.map_batches, schema).orderBy("row").collect()
finally:
    spark.stop()

expected = pipeline({"ecg": rows})["ecg"]
assert np.array_equal(np.array([row.ecg for row in filtered], "float32"), expected)  # bit for bit
print(f"{len(filtered)} rows filtered by Spark, the last from {expected[-1].min():.2f} to {expected[-1].max():.2f}")
