"""The entrance: who computes with a value, and the way back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.autograd import forward_ad

from bridgeflow.errors import DataError, NoRoute, naming
from bridgeflow.signal._input import can_read_values, dispatch_of, needs_dispatch, prepare


class Own(torch.Tensor):
    pass


def test_who_computes():
    x = torch.zeros(3)
    for value in (np.zeros(3), [1.0, 2.0], pa.array([1.0]), x, torch.nn.Parameter(x, requires_grad=False)):
        assert dispatch_of(value) == "numpy"
    for value in (torch.zeros(3, requires_grad=True), torch.zeros(3, device="meta"), x.as_subclass(Own)):
        assert dispatch_of(value) == "traced"
        assert dispatch_of(np.zeros(3), None, value) == "traced"
    with torch.no_grad():
        assert dispatch_of(torch.zeros(3, requires_grad=True)) == "numpy"
    with forward_ad.dual_level():
        assert dispatch_of(x) == "traced"
        assert dispatch_of(np.zeros(3)) == "numpy"
    torch.func.vmap(lambda row: (row, _assert_traced(row))[0])(torch.zeros(2, 3))


def _assert_traced(row):
    assert needs_dispatch(row)
    assert not can_read_values(row)


@pytest.mark.parametrize(
    "source", [np.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(2, 3)], ids=["numpy", "torch"]
)
@pytest.mark.parametrize("by", [None, "numpy", "torch"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_there_and_back(source, by, axis):
    data = prepare(source, axis, by=by)
    assert data.is_tensor == (by == "torch")
    assert data.values.shape[-1] == source.shape[axis]
    assert data.values.strides[-1] == data.values.itemsize if not data.is_tensor else data.values.stride(-1) == 1
    back = data.restore(data.values)
    assert type(back) is type(source)
    np.testing.assert_array_equal(back, source)


def test_what_numpy_code_cannot_read():
    with_grad = torch.zeros(3, requires_grad=True)
    with pytest.raises(NoRoute, match="requires grad"):
        prepare(with_grad, by="numpy")
    assert prepare(with_grad).values is with_grad
    with pytest.raises(DataError, match="test: axis 1 does not exist"), naming("test"):
        prepare([1.0, 2.0], 1)
    with pytest.raises(NoRoute, match="sparse"):
        prepare(torch.zeros(3).to_sparse())


def test_foreign_byte_order():
    x = np.arange(3, dtype=">f4")
    assert prepare(x).values.dtype == np.dtype("=f4")
    assert prepare(x, native=False, strided=True).values is x
