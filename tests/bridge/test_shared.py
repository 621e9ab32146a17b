"""`share()`: one buffer, three views, guaranteed."""

from __future__ import annotations

import copy
import ctypes
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow.bridge import Shared, share, trace
from bridgeflow.errors import CopyRefused, NoRoute
from tests.bridge import answers


def counts(code: str = "f4", *shape: int) -> np.ndarray:
    return np.arange(np.prod(shape or (6,))).reshape(shape or (6,)).astype(code)


def frozen(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


SHARED_AS_THEY_ARE = {
    "numpy": counts,
    "numpy-2d": lambda: counts("f8", 2, 3),
    "numpy-complex": lambda: counts("c8", 2, 3),
    "numpy-bool": lambda: counts("i4") > 2,
    "numpy-bool-2d": lambda: counts("i4", 2, 3) > 2,
    "numpy-bfloat16": lambda: counts().astype(ml_dtypes.bfloat16),
    "numpy-datetimes": lambda: counts("i8").view("M8[ns]"),
    "numpy-read-only": lambda: frozen(counts()),
    "numpy-empty": lambda: np.empty((0, 3), "f4"),
    "arrow": lambda: pa.array([1.0, 2.0]),
    "arrow-slice": lambda: pa.array([1, 2, 3]).slice(1),
    "arrow-tensors": lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(counts("f4", 2, 3)),
    "shared": lambda: share(counts()),
}
COPIED_ONCE = {
    "torch": lambda: torch.arange(6.0),
    "torch-conj": lambda: torch.tensor([1 + 2j]).conj(),
    "torch-bfloat16": lambda: torch.arange(6.0).bfloat16(),
    "torch-grad": lambda: torch.ones(3, requires_grad=True),
    "through-numpy": lambda: torch.arange(6.0).numpy()[1:],
    "through-dlpack": lambda: np.from_dlpack(torch.arange(6.0)),
    "strided": lambda: counts("f4", 3, 4)[:, ::2],
    "backwards": lambda: counts()[::-1],
    "big-endian": lambda: counts(">f4"),
    "chunks": lambda: pa.chunked_array([[1.0], [2.0]]),
}
NO_FACES = {
    "0d": (lambda: np.array(1.0), "zero-dim"),
    "scalar": (lambda: pa.scalar(1.0), "zero-dim"),
    "text": (lambda: np.array(["a"]), "dtype"),
    "longdouble": (lambda: np.ones(3, np.longdouble), "dtype"),
    "days": (lambda: counts("i8").view("M8[D]"), "dtype"),
    "meta": (lambda: torch.empty(3, device="meta"), "no-data"),
    "masked": (lambda: np.ma.array([1.0, 2.0], mask=[0, 1]), "masked"),
    "nulls": (lambda: pa.array([1.0, None]), "nulls"),
}


def one_memory(buffer: Shared) -> None:
    spans = [answers.payload(view) for view in (buffer.numpy, buffer.tensor, buffer.arrow)]
    assert spans[0] == spans[1] == spans[2]


@pytest.mark.parametrize("name", SHARED_AS_THEY_ARE)
def test_three_faces_on_the_memory_given(name: str):
    x = SHARED_AS_THEY_ARE[name]()
    buffer = share(x, copy="never")
    one_memory(buffer)
    assert answers.inside(buffer.numpy, x)
    assert buffer.writable == buffer.numpy.flags.writeable
    one_memory(share(x))
    own = share(x, copy="always")
    one_memory(own)
    assert answers.apart(own.numpy, x)


@pytest.mark.parametrize("name", COPIED_ONCE)
def test_what_others_may_move_or_arrow_cannot_hold_is_copied_once(name: str):
    x = COPIED_ONCE[name]()
    with trace() as record:
        buffer = share(x)
    one_memory(buffer)
    assert answers.apart(buffer.numpy, x)
    assert len([exchange for exchange in record if exchange.action == "copy"]) == 1
    with pytest.raises(CopyRefused, match='copy="never"'):
        share(x, copy="never")


@pytest.mark.parametrize("name", NO_FACES)
def test_what_has_no_face_is_refused(name: str):
    make, reason = NO_FACES[name]
    with pytest.raises(NoRoute) as refusal:
        share(make())
    assert refusal.value.reason == reason


def test_a_write_to_one_face_is_seen_by_all():
    x = counts()
    buffer = share(x)
    buffer.tensor[1] = 50
    buffer.numpy[2] = 60
    assert x[1] == buffer.arrow[1].as_py() == 50
    assert x[2] == buffer.arrow[2].as_py() == buffer.tensor[2] == 60


def test_writable_is_honoured_by_the_numpy_and_arrow_faces():
    x = counts()
    closed = share(x, writable=False)
    assert answers.inside(closed.numpy, x)
    with pytest.raises(ValueError, match="read-only"):
        closed.numpy[0] = 1
    assert x.flags.writeable  # the input stays as it is
    assert not closed.arrow.buffers()[1].is_mutable
    assert not share(x).arrow.buffers()[1].is_mutable


def test_read_only_memory_is_copied_only_to_be_written_to():
    x = frozen(counts())
    assert not share(x).writable
    opened = share(x, writable=True)
    opened.tensor[0] = 9
    assert (opened.numpy[0], x[0]) == (9, 0)
    with pytest.raises(CopyRefused, match=r"\[read-only\]"):
        share(x, writable=True, copy="never")


def test_moving_the_tensor_leaves_the_other_faces_in_place():
    """`share_memory_` moves torch's storage; this memory is NumPy's, which the buffer holds."""
    buffer = share(torch.arange(1000.0))
    before = buffer.numpy.copy()
    buffer.tensor.share_memory_()
    del buffer.__dict__["tensor"]
    churn = [np.full(1000, 9.0, "f4") for _ in range(50)]
    assert (buffer.numpy == before).all()
    assert buffer.arrow.to_pylist() == before.tolist()
    assert len(churn) == 50


@pytest.mark.parametrize("code", ["f4", "i8", "c8", "?"])
@pytest.mark.parametrize("writable", [True, False])
def test_pickling_keeps_values_and_writability(code: str, writable: bool):
    buffer = share(counts("i4", 2, 3).astype(code), writable=writable)
    for again in (pickle.loads(pickle.dumps(buffer)), copy.deepcopy(buffer)):
        one_memory(again)
        assert again.writable == again.numpy.flags.writeable == writable
        assert (again.numpy == buffer.numpy).all()
        assert answers.apart(again.numpy, buffer.numpy)


def test_a_shared_buffer_is_read_by_whoever_speaks_dlpack():
    buffer = share(counts())
    assert np.from_dlpack(buffer).ctypes.data == buffer.numpy.ctypes.data
    assert torch.from_dlpack(buffer).data_ptr() == buffer.numpy.ctypes.data


def test_faces_outlive_the_source_and_each_other():
    def view(name: str) -> Any:
        return getattr(share(np.arange(100_000.0)), name)

    kept = {name: view(name) for name in ("numpy", "tensor", "arrow")}
    churn = [ctypes.create_string_buffer(b"\xff" * 800_000) for _ in range(20)]
    assert kept["numpy"][-1] == kept["tensor"][-1] == kept["arrow"][-1].as_py() == 99_999
    assert churn


class TestAsAnArrayLike:
    @pytest.mark.parametrize("x", [np.arange(3.0), np.arange(6, dtype="i2").reshape(2, 3), np.arange(3) * 1j])
    def test_libraries_take_it_without_a_copy(self, x: np.ndarray):
        shared = share(x)
        for array in (np.asarray(shared), np.array(shared, copy=False), np.from_dlpack(shared)):
            assert (array.dtype, array.shape) == (x.dtype, x.shape)
            assert np.shares_memory(array, shared.numpy)
        for tensor in (torch.as_tensor(shared), torch.asarray(shared), torch.from_dlpack(shared)):
            assert tensor.data_ptr() == shared.numpy.ctypes.data
            assert tensor.tolist() == x.tolist()
        assert pa.array(shared).equals(shared.arrow)

    def test_another_element_type_is_a_copy(self):
        shared = share(np.arange(3.0))
        assert np.asarray(shared, dtype="f4").tolist() == [0, 1, 2]
        assert not np.shares_memory(np.array(shared), shared.numpy)
        with pytest.raises(ValueError, match="holds float64; as float32 it would be a copy"):
            np.asarray(shared, dtype="f4", copy=False)

    def test_read_only_memory_stays_so(self):
        shared = share(np.arange(3.0), writable=False)
        assert not np.asarray(shared).flags.writeable
