"""Arrow columns whose memory is the caller's alone: views that may be written to, on every way across."""

import gc

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow.bridge import describe, route, share, to_arrow, to_numpy, to_tensor, trace
from bridgeflow.bridge.private import is_private, private_buffer

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
    type = type or pa.from_numpy_dtype(memory.dtype)
    return pa.Array.from_buffers(type, memory.size, [None, private_buffer(memory)])


@pytest.mark.parametrize("type", NUMBERS, ids=str)
def test_numbers_are_shared_and_may_be_written_to(type):
    memory = np.arange(6).astype(type.to_pandas_dtype())
    column = column_of(memory, type)
    assert describe(column).writable
    assert route(describe(column), "torch").action == "view"
    for made in (to_tensor(column), to_tensor(column, copy="never", writable=True), torch.from_numpy(to_numpy(column))):
        assert made.data_ptr() == memory.ctypes.data
        assert made.tolist() == list(range(6))
    to_tensor(column)[1] = 9
    assert memory[1] == 9
    assert column[1].as_py() == 9


def test_the_quick_way_and_the_table_agree():
    memory = np.arange(6.0)
    column = column_of(memory)
    with trace():  # which goes by the table
        by_table = to_tensor(column), to_numpy(column)
    for one, other in zip(by_table, (to_tensor(column), to_numpy(column)), strict=True):
        assert torch.as_tensor(one).data_ptr() == torch.as_tensor(other).data_ptr() == memory.ctypes.data
    assert by_table[1].flags.writeable
    assert to_numpy(column).flags.writeable


def test_batches_of_signals_and_slices_of_them():
    memory = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    flat = pa.Array.from_buffers(pa.float32(), 24, [None, private_buffer(memory.reshape(-1))])
    storage = pa.Array.from_buffers(pa.list_(pa.float32(), 6), 4, [None], children=[flat])
    tensor = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [2, 3]), storage)
    for column, shape in ((tensor, (4, 2, 3)), (storage, (4, 6)), (pa.chunked_array([tensor]), (4, 2, 3))):
        made = to_tensor(column[1:3], copy="never")
        assert made.shape == (2, *shape[1:])
        assert made.data_ptr() == memory[1].ctypes.data
    to_tensor(tensor[1:3]).zero_()
    assert memory.sum(axis=(1, 2)).tolist() == [15, 0, 0, 123]


def test_what_is_written_is_seen_by_all_faces_and_outlives_the_column():
    memory = np.zeros(100)
    column = column_of(memory)
    made = to_tensor(column)
    faces = share(column)
    assert faces.writable
    made += 1
    assert faces.numpy.sum() == 100
    del memory, column, faces
    gc.collect()
    assert made.sum() == 100


def test_other_arrow_memory_is_immutable_as_before():
    """Also where pyarrow calls its buffer mutable, which it does of all that it makes itself."""
    made = pa.array([1.0, 2.0])
    lent = to_arrow(np.arange(3.0))
    assert made.buffers()[1].is_mutable
    assert lent.buffers()[1].is_mutable
    for column in (made, lent, pa.concat_arrays([column_of(np.zeros(2))]), pa.chunked_array([[1.0], [2.0]])):
        assert not describe(column).writable
        assert not to_numpy(column).flags.writeable
        assert route(describe(column), "torch").action == "copy"
    assert to_tensor(made).data_ptr() != made.buffers()[1].address


def test_memory_that_is_gone_is_forgotten():
    memory = np.zeros(3)
    buffer = private_buffer(memory)
    address = buffer.address
    assert is_private(buffer)
    del memory, buffer
    gc.collect()
    from bridgeflow.bridge import private

    assert address not in private._OWNERS
    assert not is_private(None)


def test_promises_to_the_contrary_are_kept():
    column = column_of(np.arange(3.0))
    assert not to_numpy(column, writable=False).flags.writeable
    assert to_tensor(column, copy="always").data_ptr() != column.buffers()[1].address
    assert to_numpy(column, copy="always").ctypes.data != column.buffers()[1].address
    with_null = pa.Array.from_buffers(pa.float64(), 3, [pa.py_buffer(b"\x05"), private_buffer(np.arange(3.0))])
    assert to_tensor(with_null, nulls=-1).tolist() == [0, -1, 2]
    assert with_null.to_pylist() == [0, None, 2]
