"""What kills the process or corrupts data silently in the libraries below, put to our functions.

Each scenario is one row of what was measured of torch, NumPy and pyarrow; it runs in a process of its own
(`scenarios.py`), because a function that let one through would not raise, it would crash or be wrong.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import bridgeflow as bf
from bridgeflow import CopyRefused, NoRoute

CROSSINGS = (bf.to_numpy, bf.to_tensor, bf.to_arrow)
OUT_OF_TORCH = (bf.to_numpy, bf.to_arrow)


class Foreign:
    """An array of some other library: all that it offers is DLPack."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **how: Any) -> Any:
        return self.array.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def refused(reason: str, x: Any, *functions: Any, **options: Any) -> None:
    """Each function refuses the value, by this name."""
    for function in functions:
        with pytest.raises(NoRoute) as error:
            function(x, **options)
        assert error.value.reason == reason, error.value


def values(x: Any) -> Any:
    """The values of a crossing's result, by each library's own words."""
    return x.to_numpy_ndarray().tolist() if isinstance(x, pa.FixedShapeTensorArray) else x.tolist()


# --- torch ------------------------------------------------------------------------------------------------------------


def scenario_negative_strides_through_dlpack() -> None:
    for x in (np.arange(6.0)[::-1], np.arange(6.0).reshape(2, 3)[:, ::-1]):
        for function in CROSSINGS:
            assert values(function(Foreign(x))) == x.tolist()
        with pytest.raises(CopyRefused, match="negative-stride"):
            bf.to_tensor(Foreign(x), copy="never")


def scenario_wrapper_subclass() -> None:
    class Wrapper(torch.Tensor):
        @staticmethod
        def __new__(cls) -> Any:
            return torch.Tensor._make_wrapper_subclass(cls, (3,), dtype=torch.float32)

        @classmethod
        def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            raise NotImplementedError(func)

    for function in OUT_OF_TORCH:
        with pytest.raises(NoRoute):
            function(Wrapper())


def scenario_fake_tensor() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.ones(3)
    for function in OUT_OF_TORCH:
        with pytest.raises(NoRoute):
            function(fake)


def scenario_functional_tensors() -> None:
    met = []

    def look(x: torch.Tensor) -> torch.Tensor:
        for function in OUT_OF_TORCH:
            refused("functional", x, function)
        met.append(True)
        return (x * x).sum()

    x = torch.arange(3.0)
    torch.func.vmap(look)(torch.ones(2, 3))
    torch.func.grad(look)(x)
    torch.func.jvp(look, (x,), (x,))
    torch.func.functionalize(look)(x)
    assert len(met) == 4


def scenario_zero_tensor() -> None:
    for count in (3, 0):
        zeros = torch._efficientzerotensor((count,))
        assert bf.to_numpy(zeros).tolist() == [0] * count
        assert bf.to_arrow(zeros).to_pylist() == [0] * count


def scenario_shrunk_storage() -> None:
    for size in (0, 4, 11):
        t = torch.arange(3.0)
        t.untyped_storage().resize_(size)
        for function in OUT_OF_TORCH:
            refused("empty-storage", t, function)
    strided = torch.arange(12.0).reshape(3, 4)[:, ::2]
    strided.untyped_storage().resize_(40)
    refused("empty-storage", strided, *OUT_OF_TORCH)


def scenario_copies_that_torch_cannot_read() -> None:
    shrunk = torch.arange(3.0)
    shrunk.untyped_storage().resize_(0)
    for dtype in (torch.complex64, torch.complex128):
        unaligned = torch.frombuffer(bytearray(65), dtype=dtype, offset=1, count=3)
        assert bf.to_numpy(unaligned, copy="always").tolist() == [0, 0, 0]
        assert bf.to_numpy(bf.to_arrow(unaligned)).tolist() == [0, 0, 0]
        refused("unaligned", unaligned, bf.to_tensor, copy="always")
        refused("unaligned", unaligned.conj(), *OUT_OF_TORCH)
    for options in ({"copy": "always"}, {"copy": "always", "device": "cpu"}):
        refused("empty-storage", shrunk, bf.to_tensor, **options)


def scenario_strides_beyond_all_memory() -> None:
    x = np.lib.stride_tricks.as_strided(np.zeros(2), (2, 2), (2**60, 8))
    masked = np.ma.masked_array(x, mask=np.ma.nomask)
    refused("layout", x, bf.to_tensor, bf.to_arrow, bf.share)
    for options in ({"copy": "always"}, {"writable": True}):
        refused("layout", x, bf.to_numpy, **options)
    refused("layout", masked, bf.to_numpy, bf.to_tensor, bf.to_arrow)


def scenario_resized_after_export() -> None:
    t = torch.arange(1000.0)
    x = bf.to_numpy(t)
    with pytest.raises(RuntimeError, match="not resizable"):
        t.untyped_storage().resize_(0)
    t.set_(torch.zeros(1))
    churn()
    assert x.tolist() == list(range(1000))


def scenario_forgotten_neg_and_conj_bits() -> None:
    z = torch.tensor([1 + 2j, 3 - 4j])
    assert bf.to_numpy(z.conj()).tolist() == [1 - 2j, 3 + 4j]
    assert bf.to_numpy(z.conj().imag).tolist() == [-2, 4]
    assert bf.to_arrow(z.conj().imag).to_pylist() == [-2, 4]
    assert bf.to_numpy(bf.to_arrow(z.conj())).tolist() == [1 - 2j, 3 + 4j]
    for x, reason in ((z.conj(), "conj-bit"), (z.conj().imag, "neg-bit")):
        for function in OUT_OF_TORCH:
            with pytest.raises(CopyRefused, match=reason):
                function(x, copy="never")


def scenario_bytes_that_are_not_values() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.quantize_per_tensor(torch.arange(3.0), 0.1, 0, torch.qint8)
    nibbles = torch.zeros(4, dtype=torch.uint8).view(torch.uint4)
    refused("dtype", nibbles, *OUT_OF_TORCH)
    refused("dtype", quantised, *OUT_OF_TORCH)


def scenario_overlapping_elements() -> None:
    t = torch.zeros(1, 3).expand(4, 3)
    with pytest.raises(ValueError, match="read-only"):
        bf.to_numpy(t)[0, 0] = 1
    own = bf.to_numpy(t, writable=True)
    own[0, 0] = 1
    assert own.sum() == 1
    windows = np.lib.stride_tricks.as_strided(np.zeros(4), (3, 2), (8, 8))
    tensor = bf.to_tensor(windows)
    tensor[0, 1] = 1
    assert tensor.sum() == 1


# --- Arrow ------------------------------------------------------------------------------------------------------------


def scenario_tensor_permutations() -> None:
    flat = np.arange(48.0)
    for permutation in ([0, 2, 1], [2, 1, 0], [1, 0, 2], [1, 2, 0], [2, 0, 1]):
        kind = pa.fixed_shape_tensor(pa.float64(), [2, 3, 4], permutation=permutation)
        storage = pa.FixedSizeListArray.from_arrays(pa.array(flat), 24)
        column = pa.ExtensionArray.from_storage(kind, storage)
        if permutation in ([1, 2, 0], [2, 0, 1]):
            refused("permutation", column, bf.to_numpy, bf.to_tensor)
            continue
        expected = flat.reshape(2, 2, 3, 4).transpose(0, *(axis + 1 for axis in permutation))
        assert np.array_equal(bf.to_numpy(column), expected)
        assert np.array_equal(bf.to_numpy(column[1:]), expected[1:])
        assert np.array_equal(bf.to_tensor(column).numpy(), expected)


def scenario_null_items() -> None:
    lists = pa.array([[1.0, None], [3.0, 4.0]], pa.list_(pa.float64(), 2))
    tensors = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float64(), [2]), lists)
    nested = pa.array([[[1.0], None], [[3.0], [4.0]]], pa.list_(pa.list_(pa.float64(), 1), 2))
    for column in (lists, tensors, nested):
        refused("nulls", column, bf.to_numpy, bf.to_tensor)
        assert np.isnan(bf.to_numpy(column, nulls="nan")).sum() == 1
        filled, mask = bf.to_numpy(column, nulls="mask")
        assert filled.reshape(2, 2).tolist() == [[1, 0], [3, 4]]
        assert mask.reshape(2, 2).tolist() == [[False, True], [False, False]]


def scenario_integers_with_nulls() -> None:
    column = pa.array([2**53 + 1, None])
    refused("nulls", column, bf.to_numpy, bf.to_tensor)
    refused("nulls", column, bf.to_numpy, nulls="nan")
    assert bf.to_numpy(column, nulls=0).tolist() == [2**53 + 1, 0]


def scenario_lost_masks() -> None:
    x = np.ma.array([1.0, 2.0], mask=[False, True])
    refused("masked", x, bf.to_numpy, bf.to_tensor)
    assert bf.to_arrow(x).to_pylist() == [1.0, None]
    assert bf.to_tensor(x, nulls="mask").mask.tolist() == [False, True]


def scenario_dictionary_called_zero_copy() -> None:
    column = pa.array([1.5, 2.5, 1.5]).dictionary_encode()
    assert bf.to_numpy(column).tolist() == [1.5, 2.5, 1.5]
    with pytest.raises(CopyRefused, match="decode"):
        bf.to_numpy(column, copy="never")


def scenario_nulls_of_a_structs_parent() -> None:
    column = pa.StructArray.from_arrays([pa.array([1.0, 2.0])], ["x"], mask=pa.array([False, True]))
    refused("dtype", column, bf.to_numpy, bf.to_tensor)


def scenario_offsets_that_point_outside() -> None:
    for offsets in ([0, 2, 2**28], [0, 3, 1], [-1, 2, 3]):
        memory = np.array([0, 1, 3], np.int32)  # what pyarrow checks when the array is created ...
        buffers = [None, pa.py_buffer(memory)]
        column = pa.Array.from_buffers(pa.list_(pa.float64()), 2, buffers, children=[pa.array([1.0, 2.0, 3.0])])
        memory[:] = offsets  # ... and what a damaged file holds
        for ragged in ("error", "pad", "list", "jagged"):
            with pytest.raises(NoRoute, match="offsets"):
                bf.to_tensor(column, ragged=ragged)


def scenario_copies_that_alias() -> None:
    sources = (pa.array([1.0, 2.0]), pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((2, 2))), np.ones(2))
    for source in sources:
        before = bf.to_numpy(source, copy="always").copy()
        bf.to_tensor(source, copy="always").fill_(99)
        bf.to_numpy(source, copy="always")[...] = 99
        assert np.array_equal(bf.to_numpy(source), before)


def scenario_damaged_encodings() -> None:
    numbers = pa.array([1.0, 2.0])
    for indices in ([0, 100], [0, -1]):
        column = pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), numbers, safe=False)
        refused("offsets", column, bf.to_numpy, bf.to_tensor)
    kind = pa.run_end_encoded(pa.int32(), pa.float64())
    ends = [pa.array([3, 2, 3], pa.int32()), pa.array([1.0, 2.0, 3.0])]
    refused("offsets", pa.Array.from_buffers(kind, 3, [None], children=ends), bf.to_numpy, bf.to_tensor)


def scenario_dictionaries_of_lists_in_several_chunks() -> None:
    lists = [pa.array([pair], pa.list_(pa.float32(), 2)) for pair in ([1, 2], [3, 4])]
    chunks = [pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int8()), values) for values in lists]
    column = pa.chunked_array(chunks)
    assert bf.to_numpy(column).tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
    assert not bf.to_numpy(column, nulls="mask").mask.any()


def scenario_types_that_crash_pyarrow() -> None:
    column = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    refused("dtype", column, bf.to_numpy, bf.to_tensor)


def scenario_used_capsules() -> None:
    capsule = torch.arange(3.0).__dlpack__()
    assert bf.to_numpy(capsule).tolist() == [0, 1, 2]
    refused("unknown", capsule, *CROSSINGS)


def scenario_objects_that_are_not_capsules() -> None:
    class Liar:
        def __dlpack__(self, **how: Any) -> Any:
            return 5

        def __dlpack_device__(self) -> Any:
            return 1, 0

    refused("unknown", Liar(), *CROSSINGS)


def off_by_eight(values: np.ndarray) -> np.ndarray:
    """The same complex128 values at an address that is eight off a multiple of sixteen, which NumPy calls aligned."""
    memory = np.zeros(values.nbytes + 32, np.uint8)
    start = -memory.ctypes.data % 16 + 8
    x = memory[start : start + values.nbytes].view("c16").reshape(values.shape)
    x[...] = values
    return x


def scenario_complex_numbers_off_their_alignment() -> None:
    values_ = np.arange(64).reshape(32, 2) * (1 - 2j)
    x = off_by_eight(values_)
    record = np.zeros(3, [("flag", "u1"), ("z", "c16")])
    record["z"] = [1, 2j, 3]
    frozen = off_by_eight(values_)
    frozen.flags.writeable = False
    storage = pa.py_buffer(x)
    pair = pa.FixedSizeListArray.from_arrays(pa.Array.from_buffers(pa.float64(), 128, [None, storage]), 2)
    column = pa.ExtensionArray.from_storage(bf.to_arrow(np.ones(1, "c16")).type, pair)
    sources = (
        (x, values_),
        (x[:, 0], values_[:, 0]),
        (x[:1], values_[:1]),
        (x[3, 1, ...], values_[3, 1]),
        (frozen, values_),
        (record["z"], [1, 2j, 3]),
        (record["z"][1, ...], 2j),
        (Foreign(x), values_),
        (column, values_.ravel()),
        (column[5:], values_.ravel()[5:]),
    )
    for source, expected in sources:
        expected = np.asarray(expected)
        for options in ({}, {"copy": "always"}, {"writable": False}):
            tensor = bf.to_tensor(source, **options)
            assert tensor.data_ptr() % 16 == 0
            assert tensor.tolist() == expected.tolist()
            assert tensor.sum().item() == expected.sum()
            assert tensor.clone().tolist() == expected.tolist()
        with pytest.raises(CopyRefused):
            bf.to_tensor(source, copy="never", writable=False)
    for source in (x, frozen, column):
        shared = bf.share(source)
        assert shared.tensor.sum().item() == values_.sum()
        assert shared.numpy.sum() == values_.sum()
        with pytest.raises((CopyRefused, NoRoute)):
            bf.share(source, copy="never")
        assert bf.SharedView()({"z": source})["z"].tensor.sum().item() == values_.sum()
        assert [step.action for step in bf.SharedView().explain(source).exchanges].count("copy") == 1
    lists = pa.LargeListArray.from_arrays(pa.array([0, 3, 64], pa.int64()), column)
    for ragged in ("list", "jagged", "pad"):
        result = bf.to_tensor(lists, ragged=ragged, writable=False)
        rows = result.values if ragged == "pad" else result if ragged == "list" else list(result.unbind())
        assert rows[0][:3].tolist() == values_.ravel()[:3].tolist()
        assert rows[1].sum().item() == values_.ravel()[3:].sum()


# --- memory of others -------------------------------------------------------------------------------------------------


def scenario_buffers_released_under_a_view() -> None:
    memory = bytearray(8 * 1000)
    tensor = bf.to_tensor(np.frombuffer(memory))
    with pytest.raises(BufferError):
        memory.extend(bytes(10**6))
    mapped = mmap.mmap(-1, 8 * 1000)
    array = bf.to_numpy(bf.to_arrow(np.frombuffer(mapped)))
    with pytest.raises(BufferError):
        mapped.close()
    churn()
    assert tensor.sum() == 0
    assert array.sum() == 0


def scenario_immutable_bytes() -> None:
    words = bytes(range(16))
    before = hash(words), words[:]
    tensor = bf.to_tensor(np.frombuffer(words, np.uint8))
    tensor.fill_(0)
    assert (hash(words), words) == before
    assert words[1] == 1


def scenario_writes_to_read_only_maps() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.npy")
        np.save(path, np.arange(1000.0))
        digest = file_digest(path)
        mapped = np.load(path, mmap_mode="r")
        bf.to_tensor(mapped).fill_(7)
        assert bf.to_tensor(mapped, writable=False).sum() == mapped.sum()
        with pytest.raises(CopyRefused, match="read-only"):
            bf.to_tensor(mapped, copy="never")
        assert file_digest(path) == digest

        path = os.path.join(folder, "x.arrow")
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, pa.schema([("x", pa.float64())])) as writer:
            writer.write_batch(pa.record_batch({"x": pa.array(np.arange(1000.0))}))
        digest = file_digest(path)
        with pa.memory_map(path) as file:
            column = pa.ipc.open_file(file).read_all()["x"]
        bf.to_tensor(column).fill_(7)
        with pytest.raises(ValueError, match="read-only"):
            bf.to_numpy(column)[0] = 7
        assert file_digest(path) == digest


def scenario_sharing_what_others_look_at() -> None:
    buffer = bf.share(torch.arange(100_000.0))
    expected = buffer.numpy.copy()
    buffer.tensor.share_memory_()
    churn()
    assert np.array_equal(buffer.numpy, expected)
    assert np.array_equal(bf.to_numpy(buffer.arrow), expected)


def file_digest(path: str) -> str:
    """What the file holds."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def churn() -> None:
    """Take and fill memory of many sizes, so that anything released is overwritten."""
    kept = [np.full(size, -1.0) for size in (10, 100, 1000, 10_000, 100_000) for _ in range(20)]
    kept += [torch.full((size,), -1.0).numpy() for size in (10, 100, 1000, 10_000, 100_000) for _ in range(20)]
    del kept
