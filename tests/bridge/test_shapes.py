"""One answer to how long a value is along each axis, for every kind of column."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow.bridge import describe, shape_of, share, strided, to_arrow, to_tensor
from bridgeflow.errors import NoRoute
from tests.column_kinds import ONE_NUMBER_A_ROW, ROWS_OF_SEVERAL, fixed_size_list, in_two_chunks

X = np.random.default_rng(0).standard_normal((6, 4))
ARROW = {name: make for name, make in ROWS_OF_SEVERAL.items() if name not in {"ndarray", "tensor"}}


@pytest.mark.parametrize("name", ROWS_OF_SEVERAL)
def test_rows_of_several_numbers_have_two_axes(name):
    column = ROWS_OF_SEVERAL[name](X)
    assert shape_of(column) == tuple(describe(column).shape) == (6, 4)
    np.testing.assert_array_equal(np.asarray(strided(column)), X)
    assert shape_of(column[1:5]) == (4, 4)
    np.testing.assert_array_equal(np.asarray(strided(column[1:5])), X[1:5])


@pytest.mark.parametrize("name", ARROW)
def test_chunks_are_one_column(name):
    column = in_two_chunks(ARROW[name])(X)
    assert shape_of(column) == (6, 4)
    np.testing.assert_array_equal(strided(column), X)


@pytest.mark.parametrize("name", ONE_NUMBER_A_ROW)
def test_one_number_a_row_is_one_axis(name):
    assert shape_of(ONE_NUMBER_A_ROW[name](X[:, 0])) == (6,)


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "bfloat16", "float8_e4m3fn", "bool"])
@pytest.mark.parametrize("shape", [(6,), (6, 4), (6, 4, 2)])
def test_opaque_columns_have_the_shape_of_what_they_hold(dtype, shape):
    tensor = torch.ones(shape).to(getattr(torch, dtype))
    column = to_arrow(tensor)
    assert shape_of(column) == shape
    back = to_tensor(strided(column))
    assert back.dtype is tensor.dtype
    assert torch.equal(back.to(torch.complex128), tensor.to(torch.complex128))


@pytest.mark.parametrize(
    ("column", "shape"),
    [
        (pa.array([[1.0], [2.0, 3.0]]), (2, None)),
        (pa.array([[1.0], []], pa.large_list(pa.float64())), (2, None)),
        (pa.array(["a", "b"]), (2,)),
        (pa.array(["a", "a"]).dictionary_encode(), (2,)),
        (pa.array([{"a": 1}, {"a": 2}]), (2,)),
        (pa.array([["a"], ["b", "c"]]), (2,)),
        (pa.array([[{"a": 1}], []]), (2,)),
        (pa.array([True, False]), (2,)),
        (pa.array([0, 1], pa.timestamp("us")), (2,)),
        (pa.scalar(1.0), ()),
        (fixed_size_list(np.zeros((2, 3, 4))), (2, 3, 4)),
        (share(np.zeros((2, 3))), (2, 3)),
    ],
)
def test_rows_that_differ_and_values_that_are_not_numbers(column, shape):
    assert shape_of(column) == shape


def test_what_has_no_one_array_is_refused():
    for column, reason in ((pa.array([[1.0], [2.0, 3.0]]), "ragged"), (pa.array(["a"]), "dtype")):
        with pytest.raises(NoRoute) as error:
            strided(column)
        assert error.value.reason == reason


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64"])
def test_views_of_a_shared_buffer_are_read_by_every_crossing(dtype, writable):
    """Read-only ones too, and element types that DLPack does not export."""
    tensor = torch.ones(3, 2).to(getattr(torch, dtype))
    shared = share(tensor, writable=None if writable else False)
    assert shape_of(shared) == (3, 2)
    assert describe(shared).dtype == dtype
    assert torch.equal(to_tensor(shared), tensor)
    assert describe(to_arrow(shared)).dtype == dtype
