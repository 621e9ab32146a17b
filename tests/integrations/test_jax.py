"""JAX's arrays by DLPack, both ways, with the real JAX."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow import (
    CopyRefused,
    NoRoute,
    Scale,
    SignalDataset,
    ToTensor,
    describe,
    to_arrow,
    to_numpy,
    to_tensor,
    trace,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

from bridgeflow.integrations.jax import to_jax

KEPT = ["float32", "float16", "bfloat16", "int32", "int8", "uint8", "bool", "complex64"]
WIDE = {"float64": "float32", "int64": "int32", "uint64": "uint32", "complex128": "complex64"}


def aligned(values, dtype=None):
    """The values in memory that begins at a multiple of 64 bytes."""
    values = np.asarray(values, dtype)
    room = np.empty(values.nbytes + 64, np.uint8)
    start = -room.__array_interface__["data"][0] % 64
    result = room[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    result[...] = values
    return result


def address(x):
    return x.data_ptr() if isinstance(x, torch.Tensor) else x.__array_interface__["data"][0]


class TestIn:
    ARRAY = jnp.arange(8, dtype="float32").reshape(2, 4)

    def test_is_read_only_memory(self):
        assert str(describe(self.ARRAY)) == "dlpack float32[2, 4] (read-only)"
        shared = to_numpy(self.ARRAY)
        assert address(shared) == self.ARRAY.unsafe_buffer_pointer()
        assert not shared.flags.writeable

    def test_tensors_are_copies_unless_promised_not_to_be_written_to(self):
        with trace() as log:
            copied = to_tensor(self.ARRAY)
        assert [(one.action, one.reason) for one in log] == [("copy", "read-only")]
        copied[:] = -1
        assert self.ARRAY[0, 1] == 1
        assert to_tensor(self.ARRAY, writable=False).data_ptr() == self.ARRAY.unsafe_buffer_pointer()

    @pytest.mark.parametrize("dtype", KEPT)
    def test_values_and_dtypes_stay(self, dtype):
        x = jnp.array([0, 1, 2, 3]).astype(dtype)
        tensor = to_tensor(x)
        assert str(tensor.dtype) == f"torch.{dtype}"
        assert tensor.tolist() == x.tolist()

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e4m3fn"])
    def test_a_tensor_never_writes_into_it(self, dtype):
        x = jnp.ones(64, dtype)
        to_tensor(x).zero_()
        assert float(x.astype("float32").sum()) == 64

    def test_memory_outlives_the_array(self):
        x = jnp.arange(5.0)
        shared = to_numpy(x)
        del x
        gc.collect()
        assert shared.tolist() == [0, 1, 2, 3, 4]

    def test_in_transforms_and_datasets(self):
        assert Scale(scale=2.0)({"x": self.ARRAY})["x"].tolist() == (np.asarray(self.ARRAY) * 2).tolist()
        assert to_arrow(self.ARRAY).type == pa.fixed_shape_tensor(pa.float32(), [4])
        assert SignalDataset({"x": self.ARRAY})[1]["x"].tolist() == [4, 5, 6, 7]
        plan = ToTensor().explain({"x": self.ARRAY})
        assert [(one.action, one.reason, one.nbytes) for one in plan.exchanges] == [("copy", "read-only", 32)]

    def test_what_has_no_values_is_refused(self):
        with pytest.raises(NoRoute, match="Abstract tracer value"):
            jax.jit(to_numpy)(self.ARRAY)
        with pytest.raises(NoRoute, match="PRNGKey"):
            to_numpy(jax.random.key(0))
        with pytest.raises(NoRoute, match="S4"):
            to_numpy(self.ARRAY.astype("int4"))


class TestOut:
    @pytest.mark.parametrize("dtype", [one for one in KEPT if one != "bfloat16"])
    def test_shares_memory_that_is_aligned(self, dtype):
        x = aligned(np.arange(24).reshape(2, 12), dtype)
        with trace() as log:
            result = to_jax(x, copy="never")
        assert result.dtype == dtype
        assert result.unsafe_buffer_pointer() == address(x)
        assert np.array_equal(result, x)
        assert {one.action for one in log} == {"view"}

    def test_tensors_arrow_and_read_only_memory(self):
        x = aligned(np.arange(16, dtype="float32"))
        frozen = x.view()
        frozen.flags.writeable = False
        column = pa.Array.from_buffers(pa.float32(), 16, [None, pa.py_buffer(x)])
        for one in (torch.from_numpy(x), torch.from_numpy(x).requires_grad_(), frozen, column):
            result = to_jax(one)
            assert result.unsafe_buffer_pointer() == address(x)
            assert np.array_equal(result, x)
        half = torch.arange(16).to(torch.bfloat16)
        assert to_jax(half).dtype == "bfloat16"
        assert to_jax(half).tolist() == half.tolist()

    def test_copies_what_jax_does_not_share(self):
        x = aligned(np.arange(33, dtype="float32"))[1:]
        with trace() as log:
            result = to_jax(x)
        assert [(one.action, one.nbytes) for one in log] == [("view", 0), ("copy", 128)]
        x[:] = 0
        assert result.tolist() == list(range(1, 33))
        assert np.array_equal(to_jax(np.ones((4, 3), "float32").T), np.ones((3, 4)))
        with pytest.raises(CopyRefused, match=r"begins at a multiple of 64 bytes \[unaligned\]"):
            to_jax(x, copy="never")
        with pytest.raises(CopyRefused, match=r"\[non-contiguous\]"):
            to_jax(aligned(np.ones((16, 16), "float32")).T, copy="never")

    def test_always_is_memory_of_its_own(self):
        x = aligned(np.arange(16, dtype="float32"))
        result = to_jax(x, copy="always")
        x[:] = 0
        assert result.tolist() == list(range(16))
        assert to_jax(result) is result
        assert to_jax(result, copy="always").unsafe_buffer_pointer() != result.unsafe_buffer_pointer()

    @pytest.mark.parametrize("dtype", WIDE)
    def test_wide_numbers_are_refused_unless_jax_keeps_them(self, dtype):
        x = aligned(np.ones(16, dtype))
        assert jnp.asarray(x).dtype == WIDE[dtype]  # what JAX does without a word
        message = rf"JAX makes {WIDE[dtype]} of {dtype} unless told otherwise \[dtype\]; jax.config.update"
        with pytest.raises(NoRoute, match=message):
            to_jax(x)
        with jax.enable_x64(True):
            result = to_jax(x, copy="never")
            assert result.dtype == dtype
            assert to_numpy(result).dtype == dtype

    def test_there_and_back(self):
        x = aligned(np.random.default_rng(0).standard_normal((3, 16)), "float32")
        again = to_numpy(to_jax(x))
        assert address(again) == address(x)
