"""`Cast`: NumPy's numbers where they fit, and a choice where they do not."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import DataError, NoRoute
from bridgeflow.testing.strategies import ndarrays
from bridgeflow.transforms import Cast
from bridgeflow.transforms.arithmetic import Dtype

DTYPES = get_args(Dtype)
NUMPY_DTYPES = [name for name in DTYPES if name != "bfloat16"]
INTEGERS = [name for name in DTYPES if "int" in name]
both = pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])


def small(dtype: str) -> Any:
    """Numbers that every type can hold."""
    return torch.tensor([0.0, 1.0, 2.0, 100.0]).to(getattr(torch, dtype))


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_numbers_that_fit_arrive_as_torch_and_numpy_convert_them(source: str, target: str):
    x = small(source)
    if source.startswith("complex") and not target.startswith(("complex", "bool")):
        with pytest.raises(NoRoute, match="would drop the imaginary parts"):
            Cast(dtype=target)(x)
        return
    result = Cast(dtype=target)(x)
    assert result.dtype is getattr(torch, target)
    torch.testing.assert_close(result, x.to(getattr(torch, target)), rtol=0, atol=0)
    if source == target:
        assert result is x
    if "bfloat16" not in (source, target):
        seen = Cast(dtype=target)(x.numpy())
        assert seen.dtype == target
        np.testing.assert_array_equal(seen, result.numpy())


@both
@pytest.mark.parametrize("target", INTEGERS)
@pytest.mark.parametrize("source", ["float32", "float64", "float16", "int64", "uint64", "int8"])
def test_values_out_of_range(wrap: Any, source: str, target: str):
    """Judged by Python's own integers."""
    ends = np.iinfo(target)
    low, high = ends.min, ends.max
    with np.errstate(over="ignore"):
        values = [value for value in (low - 1, low, 0, high, high + 1) if _holds(source, value)]
        x = np.array(values, dtype=source)
    whole = [int(value) for value in x.tolist()]
    fits = [low <= value <= high for value in whole]
    if all(fits):
        assert to_numpy(Cast(dtype=target)(wrap(x))).tolist() == whole
        return
    with pytest.raises(
        DataError, match=rf"{len(fits) - sum(fits)} of {len(fits)} values have no {target}, the first at"
    ):
        Cast(dtype=target)(wrap(x))
    saturated = Cast(dtype=target, on_overflow="saturate")(wrap(x))
    assert to_numpy(saturated).tolist() == [min(max(value, low), high) for value in whole]


def _holds(dtype: str, value: int) -> bool:
    if dtype.startswith("float"):
        return abs(value) < np.finfo(dtype).max
    ends = np.iinfo(dtype)
    return bool(ends.min <= value <= ends.max)


@both
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_has_no_integer(wrap: Any, bad: float):
    x = wrap(np.array([[1.0, bad]]))
    with pytest.raises(DataError, match=r"1 of 2 values have no int16, the first at \[0, 1\]"):
        Cast(dtype="int16")(x)
    if np.isnan(bad):
        with pytest.raises(DataError, match="replace NaN first"):
            Cast(dtype="int16", on_overflow="saturate")(x)
    else:
        assert to_numpy(Cast(dtype="int16", on_overflow="saturate")(x))[0, 1] == (32767 if bad > 0 else -32768)


@both
@pytest.mark.parametrize(
    ("source", "target", "largest"), [("float64", "float32", 3.4028234663852886e38), ("float32", "float16", 65504.0)]
)
def test_finite_numbers_do_not_become_infinite(wrap: Any, source: str, target: str, largest: float):
    """datasets#5517: 1e300 became inf in silence."""
    x = wrap(np.array([1.0, np.inf, -np.inf, np.nan], dtype=source))
    np.testing.assert_array_equal(to_numpy(Cast(dtype=target)(x)), to_numpy(x))
    x = wrap(np.array([1.0, largest * 2, -largest * 2, np.inf, np.nan], dtype=source))
    with pytest.raises(DataError, match=rf"2 of 5 values have no {target}, the first at \[1\]"):
        Cast(dtype=target)(x)
    saturated = to_numpy(Cast(dtype=target, on_overflow="saturate")(x))
    np.testing.assert_array_equal(saturated, np.array([1, largest, -largest, np.inf, np.nan], dtype=target))
    assert np.isinf(to_numpy(Cast(dtype=target, on_overflow="ignore")(x))[1])


@both
def test_a_sum_that_overflows_is_no_overflow(wrap: Any):
    x = wrap(np.full(4, 3e38, dtype="float64"))
    assert np.isfinite(to_numpy(Cast(dtype="float32")(x))).all()


def test_complex_parts_are_watched_too():
    with pytest.raises(DataError, match="1 of 2 values have no complex64"):
        Cast(dtype="complex64")(np.array([1.0, 1e300j]))


@both
def test_rounding(wrap: Any):
    x = wrap(np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4, -2.6]))
    assert to_numpy(Cast(dtype="int8")(x)).tolist() == [-2, -1, 0, 0, 1, 2, 2, -2]
    assert to_numpy(Cast(dtype="int8", rounding="nearest")(x)).tolist() == [-2, -2, 0, 0, 2, 2, 2, -3]
    edge = wrap(np.array([127.5]))
    assert to_numpy(Cast(dtype="int8")(edge)).tolist() == [127]
    with pytest.raises(DataError):
        Cast(dtype="int8", rounding="nearest")(edge)
    assert to_numpy(Cast(dtype="int8", rounding="nearest", on_overflow="saturate")(edge)).tolist() == [127]


@given(ndarrays(dtypes=NUMPY_DTYPES), st.sampled_from(NUMPY_DTYPES))
def test_all_kinds_give_the_same_numbers(x: np.ndarray, target: str):
    results = []
    for given_as in (x, torch.from_numpy(np.array(x))):
        try:
            results.append(to_numpy(Cast(dtype=target)(given_as)))
        except (DataError, NoRoute) as error:
            results.append(type(error))
    if isinstance(results[0], type):
        assert results[1] is results[0]
    else:
        assert results[0].dtype == results[1].dtype == target
        np.testing.assert_array_equal(*results)


def test_kinds_stay():
    for x in (pa.array([1.0, 2.0]), pa.chunked_array([[1.0], [2.0]])):
        result = Cast(dtype="float32")(x)
        assert (kind_of(result), result.type, result.to_pylist()) == ("arrow", pa.float32(), [1.0, 2.0])


def test_empty_arrays_have_no_extremes():
    for x in (np.zeros((0, 3)), torch.zeros(0), pa.array([], pa.float64())):
        assert len(Cast(dtype="int8")(x)) == 0


def test_big_endian_numbers_become_native():
    result = Cast(dtype="float32")(np.array([1.0], ">f4"))
    assert result.dtype.isnative
    assert result.tolist() == [1.0]


@pytest.mark.parametrize("x", [np.array(["a"]), np.array([None]), np.array(["2020"], "M8[D]")])
def test_what_is_no_number_is_refused(x: np.ndarray):
    with pytest.raises(NoRoute, match="are not numbers"):
        Cast(dtype="float32")(x)


def test_types_that_the_kind_lacks_are_refused():
    for x in (np.ones(2), pa.array([1.0])):
        with pytest.raises(NoRoute, match="torch alone computes with bfloat16"):
            Cast(dtype="bfloat16")(x)
        with pytest.raises(NoRoute, match="torch alone computes with bfloat16"):
            Cast(dtype="bfloat16").explain(x)


def test_float8_widens_exactly():
    x = torch.arange(8.0).to(torch.float8_e4m3fn)
    assert Cast(dtype="float32")(x).tolist() == x.float().tolist()
    assert Cast(dtype="int8")(x).tolist() == list(range(8))
    with pytest.raises(DataError, match="1 of 1 values have no int8"):
        Cast(dtype="int8")(torch.tensor([448.0]).to(torch.float8_e4m3fn))


def test_gradients_pass_between_floats():
    x = torch.ones(3, requires_grad=True)
    Cast(dtype="float64")(x).sum().backward()
    assert x.grad is not None
    assert Cast(dtype="float16")(x).requires_grad
    assert not Cast(dtype="int16")(x).requires_grad


def test_meta_tensors_have_a_type_too():
    for on_overflow in ("raise", "ignore"):
        for target in DTYPES:
            result = Cast(dtype=target, on_overflow=on_overflow)(torch.ones(3, device="meta"))
            assert (result.dtype, result.device.type) == (getattr(torch, target), "meta")


def test_zero_dimensional_arrays_stay_so():
    for x in (np.array(300.0), torch.tensor(300.0), np.float64(300.0)):
        assert Cast(dtype="int16")(x).shape == ()
        with pytest.raises(DataError, match=r"1 of 1 values have no int8, the first at \[\]: 300.0"):
            Cast(dtype="int8")(x)
        assert int(Cast(dtype="int8", on_overflow="saturate")(x)) == 127


@pytest.mark.parametrize(
    "fields", [{"dtype": "f4"}, {"dtype": "int8", "on_overflow": "wrap"}, {"dtype": "int8", "rounding": "up"}]
)
def test_words_are_checked(fields: dict[str, Any]):
    with pytest.raises(ValueError, match="must be one of"):
        Cast(**fields)


@pytest.mark.cuda
@pytest.mark.parametrize("target", ["int16", "float16", "uint16"])
def test_on_a_gpu(target: str):
    x = torch.tensor([1.0, 2.0], device="cuda")
    if target == "uint16":
        with pytest.raises(NoRoute, match="on cuda"):
            Cast(dtype=target)(x)
        assert Cast(dtype=target, on_overflow="ignore")(x).device.type == "cuda"
        return
    result = Cast(dtype=target)(x)
    assert (result.device.type, result.tolist()) == ("cuda", [1.0, 2.0])
    with pytest.raises(DataError):
        Cast(dtype=target)(x * 1e6)


@pytest.mark.parametrize("layout", [torch.jagged, torch.strided])
@pytest.mark.parametrize("target", ["float16", "float64", "int16"])
@pytest.mark.filterwarnings("ignore:.*prototype stage")
def test_rows_of_nested_tensors_are_cast(layout: torch.layout, target: str):
    rows = [torch.tensor([1.0, 2.5]), torch.tensor([-3.0, 4.0, 5.0])]
    nested = torch.nested.nested_tensor(rows, layout=layout)
    result = Cast(dtype=target)(nested)
    assert result.layout == layout
    for row, expected in zip(result.unbind(), rows, strict=True):
        assert torch.equal(row, expected.to(getattr(torch, target)))
    with pytest.raises(DataError, match="have no int8"):
        Cast(dtype="int8")(nested * 100)
