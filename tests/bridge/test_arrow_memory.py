"""Arrow arrays are immutable: what is made of them is read-only, or a copy."""

import gc

import numpy as np
import pyarrow as pa
import pytest

from bridgeflow.bridge import describe, route, share, to_arrow, to_numpy, to_tensor, trace
from bridgeflow.errors import CopyRefused

NUMBERS = [
    pa.int8(),
    pa.uint8(),
    pa.int16(),
    pa.int32(),
    pa.uint32(),
    pa.int64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
]


def column_of(memory, type=None):
    """A column over writable memory, whose buffer pyarrow calls mutable."""
    return pa.Array.from_buffers(type or pa.from_numpy_dtype(memory.dtype), memory.size, [None, pa.py_buffer(memory)])


def tensors():
    """The same numbers as tensors, lists of one length, and chunks."""
    memory = np.arange(24, dtype=np.float32)
    storage = pa.Array.from_buffers(pa.list_(pa.float32(), 6), 4, [None], children=[column_of(memory)])
    tensor = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [2, 3]), storage)
    return memory, {
        "tensor": (tensor, (2, 3)),
        "list": (storage, (6,)),
        "chunked": (pa.chunked_array([tensor]), (2, 3)),
    }


@pytest.mark.parametrize("type", NUMBERS, ids=str)
def test_numbers_are_shared_by_promise_and_copied_to_be_written_to(type):
    memory = np.arange(6).astype(type.to_pandas_dtype())
    column = column_of(memory, type)
    assert not describe(column).writable
    assert route(describe(column), "torch").action == "copy"
    assert to_numpy(column).ctypes.data == memory.ctypes.data
    assert not to_numpy(column).flags.writeable
    assert to_tensor(column, writable=False).data_ptr() == memory.ctypes.data
    own = to_tensor(column)
    own[1] = 9
    assert memory.tolist() == list(range(6))
    with pytest.raises(CopyRefused, match="read-only"):
        to_tensor(column, copy="never")


def test_an_open_trace_changes_nothing():
    memory = np.arange(6.0)
    column = column_of(memory)
    with trace():
        traced = to_tensor(column, writable=False), to_numpy(column)
    untraced = to_tensor(column, writable=False), to_numpy(column)
    assert {each.data_ptr() for each in (traced[0], untraced[0])} == {memory.ctypes.data}
    assert {each.ctypes.data for each in (traced[1], untraced[1])} == {memory.ctypes.data}
    assert traced[1].flags.writeable == untraced[1].flags.writeable is False


@pytest.mark.parametrize("form", ["tensor", "list", "chunked"])
def test_batches_of_signals_and_slices_of_them(form):
    memory, columns = tensors()
    column, inner = columns[form]
    shared = to_tensor(column[1:3], copy="never", writable=False)
    assert shared.shape == (2, *inner)
    assert shared.data_ptr() == memory[6:].ctypes.data
    to_tensor(column[1:3]).zero_()
    assert memory.tolist() == list(range(24))


def test_views_outlive_the_column():
    memory = np.ones(100)
    column = column_of(memory)
    tensor, views = to_tensor(column, writable=False), share(column)
    assert not views.writable
    del memory, column, views
    gc.collect()
    assert tensor.sum() == 100


@pytest.mark.parametrize(
    "make",
    [
        lambda: pa.array([1.0, 2.0]),
        lambda: to_arrow(np.arange(3.0)),
        lambda: pa.concat_arrays([column_of(np.zeros(2))]),
        lambda: pa.chunked_array([[1.0], [2.0]]),
    ],
    ids=["pyarrow's", "ours", "joined", "chunked"],
)
def test_that_pyarrow_calls_a_buffer_mutable_means_nothing(make):
    column = make()
    assert not describe(column).writable
    assert not to_numpy(column).flags.writeable
    assert route(describe(column), "torch").action == "copy"


def test_copies_and_nulls():
    column = column_of(np.arange(3.0))
    assert not to_numpy(column, writable=False).flags.writeable
    assert to_tensor(column, copy="always").data_ptr() != column.buffers()[1].address
    assert to_numpy(column, copy="always").ctypes.data != column.buffers()[1].address
    with_null = pa.Array.from_buffers(pa.float64(), 3, [pa.py_buffer(b"\x05"), pa.py_buffer(np.arange(3.0))])
    assert to_tensor(with_null, nulls=-1).tolist() == [0, -1, 2]
    assert with_null.to_pylist() == [0, None, 2]
