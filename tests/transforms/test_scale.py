"""`Scale`: counts to units."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.bridge import describe, kind_of, to_numpy
from bridgeflow.errors import DataError, NoRoute
from bridgeflow.testing.strategies import ndarrays
from bridgeflow.transforms import Scale

MILLIVOLT = Scale(scale=1 / 200, offset=-1024 / 200)  # record 208 of the MIT-BIH database


@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy, pa.array], ids=["numpy", "torch", "arrow"])
def test_counts_become_millivolt(wrap: Any):
    counts = np.array([1024, 1224, 824, 0, 2047], "uint16")
    x = wrap(counts)
    result = MILLIVOLT(x)
    assert kind_of(result) == kind_of(x)
    assert describe(result).dtype == "float32"
    np.testing.assert_allclose(to_numpy(result), (counts - 1024.0) / 200, rtol=1e-6, atol=3e-7)
    assert to_numpy(result)[0] == 0


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("bool", "float32"),
        ("int8", "float32"),
        ("uint8", "float32"),
        ("int16", "float32"),
        ("uint16", "float32"),
        ("int32", "float64"),
        ("uint32", "float64"),
        ("int64", "float64"),
        ("uint64", "float64"),
        ("float16", "float16"),
        ("float32", "float32"),
        ("float64", "float64"),
        ("complex64", "complex64"),
        ("complex128", "complex128"),
    ],
)
def test_dtypes(source: str, result: str):
    for x in (np.ones(3, source), torch.ones(3).to(getattr(torch, source))):
        assert describe(Scale(scale=3)(x)).dtype == result
        if not result.startswith("complex"):
            assert describe(Scale(scale=3, dtype="float64")(x)).dtype == "float64"
            assert describe(Scale(scale=3, dtype="float16")(x)).dtype == "float16"


@given(ndarrays(dtypes=("float32", "float64", "int16", "float16")), st.floats(-3, 3), st.floats(-3, 3))
def test_numbers_are_rounded_twice_at_most(x: np.ndarray, scale: float, offset: float):
    """Judged by exact rational arithmetic: half a unit in the last place of each of the two results."""
    result = Scale(scale=scale, offset=offset)(x)
    eps = float(np.finfo(result.dtype).eps)
    tiny = float(np.finfo(result.dtype).smallest_subnormal)
    held = [Fraction(float(np.float32(value)) if result.dtype != "float64" else value) for value in (scale, offset)]
    for count, seen in zip(x.ravel().tolist(), result.ravel().tolist(), strict=True):
        product = Fraction(count) * held[0]
        bound = eps * (abs(float(product)) + abs(float(product + held[1]))) + 2 * tiny
        assert abs(Fraction(seen) - product - held[1]) <= Fraction(bound)


@given(ndarrays(dtypes=("float32", "float64", "int16", "float16", "uint16")), st.floats(-3, 3, width=32))
def test_all_kinds_give_the_same_bits(x: np.ndarray, scale: float):
    transform = Scale(scale=scale, offset=0.1)
    assert to_numpy(transform(torch.from_numpy(np.array(x)))).tobytes() == transform(x).tobytes()


def test_half_precision_is_computed_in_float32():
    x = torch.tensor([1000.0, 1001.0], dtype=torch.bfloat16)
    result = Scale(scale=0.001)(x)
    assert result.dtype is torch.bfloat16
    assert result.tolist() == (x.float() * 0.001).to(torch.bfloat16).tolist()
    with pytest.raises(DataError, match="have no float16"):
        Scale(scale=1000.0)(np.array([1000.0], "float16"))


def test_gradients_pass():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    Scale(scale=3.0, offset=1.0)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 3.0]


def test_masked_arrays_keep_their_mask():
    result = Scale(scale=2.0, offset=1.0)(np.ma.masked_array([1.0, 2.0], mask=[False, True]))
    assert result.tolist() == [3.0, None]


def test_nulls_are_refused():
    with pytest.raises(NoRoute, match=r"^\$\.ecg: .*null"):
        Scale(scale=2.0)({"ecg": pa.array([1.0, None])})


def test_what_is_no_number_is_refused():
    for x in (np.array(["a"]), np.array(["2020"], "M8[D]")):
        with pytest.raises(NoRoute, match="cannot be scaled"):
            Scale()(x)
    with pytest.raises(NoRoute, match="imaginary"):
        Scale(dtype="float32")(np.array([1j]))


class TestInplace:
    @pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
    def test_writes_over_the_input(self, wrap: Any):
        values = np.array([1.0, 2.0], "float32")
        x = wrap(values)
        result = Scale(scale=2.0, offset=1.0, inplace=True)(x)
        assert values.tolist() == [3.0, 5.0]
        assert describe(result) == describe(x)
        assert np.shares_memory(to_numpy(result), values)

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            (np.array([1], "int16"), "int16 data become float32"),
            (np.array([1.0], "float16"), r"float16 data become float16 \(in float32\)"),
            (np.frombuffer(b"\0" * 8), "read-only"),
            (pa.array([1.0]), "memory of kind arrow is not ours"),
        ],
    )
    def test_needs_memory_that_it_may_write(self, x: Any, message: str):
        with pytest.raises(DataError, match=message):
            Scale(scale=2.0, inplace=True)(x)

    def test_is_a_view_in_the_plan(self):
        plan = Scale(scale=2.0, inplace=True).explain(np.ones(3))
        assert plan.total_bytes == 0
        assert Scale(scale=2.0).explain(np.ones(3)).total_bytes == 24


@pytest.mark.parametrize("fields", [{"scale": np.nan}, {"offset": np.inf}, {"scale": "2"}, {"scale": True}])
def test_factors_are_finite_numbers(fields: dict[str, Any]):
    with pytest.raises(ValueError, match="must be a finite number"):
        Scale(**fields)


def test_a_dtype_is_a_float():
    with pytest.raises(ValueError, match="Scale: dtype must be one of 'float16'"):
        Scale(dtype="int16")  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "complex64"])
@pytest.mark.parametrize("scale", [1e300, 1e38, -1e300])
def test_what_overflows_is_infinite_as_in_torch(dtype, scale):
    x = np.array([0, 1, 1e4]).astype(dtype) if dtype == "int16" else np.array([0, 1, 1e30]).astype(dtype)
    y = Scale(scale=scale, offset=scale)(x)
    np.testing.assert_array_equal(y, Scale(scale=scale, offset=scale)(torch.from_numpy(x)).numpy())
