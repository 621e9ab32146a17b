"""Columns that stand in for results have the kind, type and shape that the plan says, and no length to speak of."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow.bridge import describe, to_arrow
from bridgeflow.errors import DataError
from bridgeflow.io import open_source
from bridgeflow.pipeline.placeholders import placeholder_columns
from bridgeflow.spec import ArraySpec

TEXT = pa.array(["a", "b", "c"])
VALUES = {
    "floats": np.zeros((3, 4), "float32"),
    "tensor": torch.zeros(3, 4, dtype=torch.bfloat16),
    "complex": to_arrow(np.zeros((3, 4), "complex64")),
    "categories": TEXT.dictionary_encode(),
    "text": TEXT,
    "times": pa.array(np.zeros(3, "M8[us]")),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_stand_in_is_what_the_plan_says(name):
    spec = describe(VALUES[name])
    with open_source({"v": pa.array(VALUES[name]) if isinstance(VALUES[name], pa.Array) else np.zeros(3)}) as source:
        result = describe(placeholder_columns({"v": spec}, {"$.v": 0}, source.slice(0, 0))["v"])
    assert (result.kind, result.dtype, result.shape) == (spec.kind, spec.dtype, (2, *spec.shape[1:]))


def test_the_axis_of_rows_comes_first_and_unknown_lengths_are_one():
    spec = ArraySpec(kind="numpy", dtype="float64", shape=(5, None, 300))
    with open_source({"v": np.zeros(3)}) as source:
        assert placeholder_columns({"v": spec}, {"$.v": 2}, source.slice(0, 0))["v"].shape == (2, 5, 1)


def test_long_rows_take_no_memory():
    spec = ArraySpec(kind="numpy", dtype="float64", shape=(3, 1 << 40))
    with open_source({"v": np.zeros(3)}) as source:
        result = placeholder_columns({"v": spec, "w": describe(np.zeros(3))}, {"$.v": 0, "$.w": 0}, source.slice(0, 0))
    assert result["v"].shape == (0, 1 << 40)
    assert result["w"].shape == (0,)


def test_a_list_of_arrays_is_no_column():
    spec = ArraySpec(kind="torch", dtype="float64", shape=(3, None), layout="rows")
    with open_source({"v": np.zeros(3)}) as source, pytest.raises(DataError, match="'v' that is a list of arrays"):
        placeholder_columns({"v": spec}, {"$.v": 0}, source.slice(0, 0))
