"""Element types that the other side lacks: every bfloat16 and float8 code, complex and booleans, there and back,
through files too.
"""

from __future__ import annotations

import io
from typing import Any

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from bridgeflow.bridge import describe, to_arrow, to_numpy, to_tensor

FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")
CARRIED = ("bfloat16", *FLOAT8)


def codes(name: str) -> torch.Tensor:
    """Every bit pattern of the type, once."""
    if name == "bfloat16":
        return torch.arange(2**16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    return torch.arange(256, dtype=torch.uint8).view(getattr(torch, name))


def bits(t: torch.Tensor) -> np.ndarray:
    return t.view(torch.uint16 if t.element_size() == 2 else torch.uint8).numpy()


@pytest.mark.parametrize("name", CARRIED)
def test_every_code_widens_as_torch_and_ml_dtypes_widen_it(name: str):
    t = codes(name)
    ours = to_numpy(t)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, t.float().numpy())
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(ours, bits(t).view(getattr(ml_dtypes, name)).astype(np.float32))
    zero = ours == 0
    np.testing.assert_array_equal(np.signbit(ours[zero]), np.signbit(t.float().numpy()[zero]))


@pytest.mark.parametrize("name", CARRIED)
@pytest.mark.parametrize("word", ["ml_dtypes", "uint16"])
def test_every_code_survives_as_a_view(name: str, word: Any):
    t = codes(name)
    x = to_numpy(t, bfloat16=word, copy="never")
    np.testing.assert_array_equal(x.view(f"u{t.element_size()}"), bits(t))
    assert x.ctypes.data == t.data_ptr()
    if word == "ml_dtypes":
        again = to_tensor(x, copy="never")
        assert again.dtype == t.dtype
        assert again.data_ptr() == t.data_ptr()


@pytest.mark.parametrize("name", CARRIED)
def test_every_code_survives_arrow(name: str):
    t = codes(name)
    column = to_arrow(t, copy="never")
    for again in (to_tensor(column, writable=False, copy="never"), to_tensor(column)):
        assert again.dtype == t.dtype
        np.testing.assert_array_equal(bits(again), bits(t))


def through_ipc(column: pa.Array) -> pa.Array:
    sink = io.BytesIO()
    table = pa.table({"x": column})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_file(sink.getvalue()).read_all().column("x")


def through_stream(column: pa.Array) -> pa.Array:
    sink = io.BytesIO()
    table = pa.table({"x": column})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return pa.ipc.open_stream(sink.getvalue()).read_all().column("x")


def through_parquet(column: pa.Array) -> pa.Array:
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": column}), sink)
    return pq.read_table(io.BytesIO(sink.getvalue())).column("x")


ARRAYS = {
    "complex64": lambda: torch.complex(torch.randn(5), torch.randn(5)),
    "complex128-2d": lambda: torch.complex(torch.randn(4, 3).double(), torch.randn(4, 3).double()),
    "complex64-3d": lambda: torch.complex(torch.randn(3, 2, 2), torch.randn(3, 2, 2)),
    "bfloat16": lambda: torch.randn(6).bfloat16(),
    "bfloat16-3d": lambda: torch.randn(3, 2, 4).bfloat16(),
    **{name: lambda name=name: codes(name) for name in FLOAT8},
    "bool": lambda: torch.tensor([True, False, True]),
    "bool-2d": lambda: torch.tensor([[True, False], [False, False]]),
    "float32-3d": lambda: torch.randn(3, 2, 4),
    "float16": lambda: torch.randn(5).half(),
    "int64-2d": lambda: torch.arange(6).reshape(3, 2),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("through", [through_ipc, through_stream, through_parquet], ids=lambda way: way.__name__)
def test_a_column_comes_back_from_a_file_as_it_went(name: str, through: Any):
    t = ARRAYS[name]()
    read = through(to_arrow(t))
    again = to_tensor(read)
    assert (again.dtype, again.shape) == (t.dtype, t.shape)
    size = t.element_size()
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[min(size, 8)]
    assert torch.equal(again.contiguous().view(whole), t.view(whole))
    assert describe(read).dtype == describe(t).dtype


@pytest.mark.parametrize("name", ["complex64", "bool", "float32-3d"])
def test_numpy_arrays_come_back_too(name: str):
    x = ARRAYS[name]().numpy()
    again = to_numpy(through_parquet(to_arrow(x)))
    assert again.dtype == x.dtype
    np.testing.assert_array_equal(again, x)


def test_other_readers_see_plain_numbers():
    """Without the metadata, complex numbers are pairs and bfloat16 is its bits."""
    pairs = to_arrow(torch.tensor([1 + 2j]))
    assert pairs.storage.to_pylist() == [[1.0, 2.0]]
    assert (pairs.type.type_name, pairs.type.vendor_name) == ("complex64", "bridgeflow")
    assert to_arrow(torch.ones(1).bfloat16()).storage.to_pylist() == [0x3F80]
