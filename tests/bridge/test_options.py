"""Options and errors: wrong words, words that mean the same, and messages that say where, what, got and remedy."""

from __future__ import annotations

import pickle
import re
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow.bridge import describe, kind_of, like, route, share, to_arrow, to_numpy, to_tensor, trace
from bridgeflow.errors import BridgeflowError, CopyRefused, NoRoute, StageId
from bridgeflow.spec import ArraySpec

X, T, A = np.zeros(3), torch.zeros(3), pa.array([0.0, 1.0])
ROWS = pa.array([[1.0], [2.0, 3.0]])

WRONG: list[tuple[Any, Any, dict[str, Any], str]] = [
    *((function, x, {"copy": word}, "'auto', 'never', 'always'") for function in (to_numpy, to_tensor, to_arrow, share)
      for x in (X, T, A) for word in ("nver", 2, [], 1.5)),
    *((function, x, {"nulls": word}, "'error', 'nan', 'mask', or a number") for function in (to_numpy, to_tensor)
      for x in (X, T, A) for word in ("zero", None, True, [0], 1j)),
    *((function, x, {"ragged": word}, "'error', 'jagged', 'pad', 'list'") for function in (to_numpy, to_tensor)
      for x in (X, T, A) for word in ("padded", None, 1)),
    *((function, x, {"layout": word}, "'HWC', 'CHW'") for function in (to_numpy, to_tensor, to_arrow)
      for x in (X, T, A) for word in ("NHWC", "hwc", 3)),
    *((function, x, {"grad": word}, "'detach', 'error'") for function in (to_numpy, to_arrow)
      for x in (X, T, A) for word in ("keep", None, True)),
    *((to_numpy, x, {"bfloat16": word}, "'float32', 'ml_dtypes', 'uint16', 'error'") for x in (X, T, A)
      for word in ("float16", None, [1])),
    *((function, x, {"writable": word}, "True, False or None") for function in (to_numpy, to_tensor)
      for x in (X, T, A) for word in ("yes", 7, [])),
    *((function, ROWS, {"pad_value": word}, "must be a number") for function in (to_numpy, to_tensor)
      for word in ("0", None, [0])),
    *((to_tensor, x, {"device": word}, "device must be one that torch knows") for x in (X, T, A)
      for word in ("gpu", "cuda:x", 1.5)),
]  # fmt: skip


@pytest.mark.parametrize(("function", "x", "options", "words"), WRONG)
def test_a_wrong_word_is_told_the_right_ones(function: Any, x: Any, options: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        function(x, **options)
    ((name, value),) = options.items()
    assert name in str(error.value)
    assert repr(value) in str(error.value)


def test_the_array_api_s_words_mean_the_same():
    backwards = np.zeros(3)[::-1]
    for never in ("never", False):
        with pytest.raises(CopyRefused):
            to_tensor(backwards, copy=never)
    for auto in ("auto", None):
        assert to_tensor(X, copy=auto).data_ptr() == X.ctypes.data
    for always in ("always", True):
        assert to_tensor(X, copy=always).data_ptr() != X.ctypes.data


def test_numbers_of_any_library_are_fills():
    for fill in (7, 7.0, np.float32(7), np.int64(7)):
        assert to_numpy(pa.array([1.0, None]), nulls=fill).tolist() == [1.0, 7.0]


def test_fills_that_compare_equal_are_told_apart():
    """Routes are remembered by options that compare equal, and 0.0 equals -0.0."""
    column = pa.array([1.0, None])
    signs = [np.signbit(to_numpy(column, nulls=fill)[1]) for fill in (0.0, -0.0, 0, 0.0)]
    assert signs == [False, True, False, False]


@pytest.mark.parametrize("x", [[], ["a"], 3, 2.5, "text", b"bytes", None, {"a": 1}, object(), pa.table({"a": [1]})])
def test_what_is_no_array_is_refused_with_advice(x: Any):
    assert kind_of(x) is None
    for function in (to_numpy, to_tensor, to_arrow, describe, share):
        with pytest.raises(NoRoute, match=r"^\$: an? .+ is not an array \[unknown\]; .+"):
            function(x)


META, NIBBLES = torch.zeros(3, device="meta"), torch.zeros(4, dtype=torch.uint8).view(torch.uint4)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the layout is a prototype
    UNPADDABLE = (
        torch.nested.nested_tensor([torch.ones(()), torch.ones(())]),
        torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)]).transpose(1, 2),
    )
ERRORS: list[tuple[type[BridgeflowError], Any, Any, dict[str, Any]]] = [
    (CopyRefused, to_tensor, np.zeros(3)[::-1], {"copy": "never"}),
    (CopyRefused, to_tensor, A, {"copy": "never"}),
    (CopyRefused, to_numpy, T.bfloat16(), {"copy": "never"}),
    (CopyRefused, to_arrow, torch.zeros(2, 2).t(), {"copy": "never"}),
    (NoRoute, to_numpy, pa.array(["a"]), {}),
    (NoRoute, to_numpy, pa.array([1, None]), {}),
    (NoRoute, to_tensor, pa.array([[1], [2, 3]]), {}),
    (NoRoute, to_tensor, np.zeros(2, np.longdouble), {}),
    (NoRoute, to_numpy, torch.eye(2).to_sparse(), {}),
    *((NoRoute, function, META, {}) for function in (to_numpy, to_arrow, share)),
    *((NoRoute, to_tensor, META, {"device": "cpu", "copy": copy}) for copy in ("auto", "always")),
    (NoRoute, to_tensor, torch.nn.UninitializedParameter(), {"copy": "always"}),
    (NoRoute, to_tensor, torch.ones(2, 3).to_mkldnn(), {"device": "meta"}),
    (NoRoute, to_tensor, NIBBLES, {"copy": "always"}),
    *((NoRoute, to_numpy, nested, {"ragged": "pad"}) for nested in UNPADDABLE),
]


@pytest.mark.parametrize(("kind", "function", "x", "options"), ERRORS)
def test_errors_say_where_what_and_the_remedy(kind: type[BridgeflowError], function: Any, x: Any, options: Any):
    with pytest.raises(kind) as raised:
        function(x, **options)
    error = raised.value
    assert str(error) == f"$: {error.detail} [{error.reason}]; {error.remedy}"
    assert error.detail
    assert error.remedy
    assert "{" not in str(error)
    error.place, error.stage = "$.ecg", StageId((), "ToTensor")
    assert str(error).startswith("ToTensor, $.ecg: ")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.reason) == (kind, str(error), error.reason)


def test_errors_are_also_what_other_code_expects():
    with pytest.raises(BufferError):
        to_tensor(np.zeros(3)[::-1], copy="never")
    with pytest.raises(ValueError, match="negative"):
        to_tensor(np.zeros(3)[::-1], copy="never")
    with pytest.raises(TypeError):
        to_tensor(np.array(["a"]))


def test_a_plan_needs_no_array():
    spec = ArraySpec(kind="arrow", dtype="float32", shape=(None,), writable=False)
    plan = route(spec, "torch")
    assert (plan.action, plan.reason, plan.nbytes) == ("copy", "read-only", None)
    assert route(spec, "torch", writable=False).nbytes == 0
    with pytest.raises(ValueError, match="copy must be"):
        route(spec, "torch", copy="maybe")


def test_like_brings_a_result_back_to_its_kind():
    result = np.arange(3.0)
    tensor = like(result, torch.zeros(1))
    assert tensor.data_ptr() == result.ctypes.data
    assert like(result, np.zeros(1)) is result
    assert like(result, pa.array([1])).buffers()[1].address == result.ctypes.data
    assert like(result, pa.chunked_array([[1]])).type == pa.float64()
    assert like(torch.zeros(3), np.zeros(1)).shape == (3,)
    assert like(result, torch.zeros(1, device="meta")).device.type == "meta"


def test_a_move_is_a_move_and_never_silent():
    moved = to_tensor(X, device="meta")
    assert (moved.device.type, moved.shape, moved.dtype) == ("meta", (3,), torch.float64)
    for x in (X, T, A):
        with pytest.raises(CopyRefused, match=r"\[device\]" if x is not A else r"\[read-only\]"):
            to_tensor(x, device="meta", copy="never")
    assert route(describe(T), "torch", device="meta").action == "move"
    assert to_tensor(T, device="cpu") is T
    assert to_tensor(X, device=torch.device("cpu")).data_ptr() == X.ctypes.data


@pytest.mark.parametrize("dtype", ["longlong", "ulonglong"])
@pytest.mark.parametrize("change", ["read-only", "backwards", "broadcast", "masked", "field", "byte-swapped", "scalar"])
def test_integers_of_c_s_other_names_reach_torch_by_every_rule(dtype: str, change: str):
    x = np.arange(6).astype(dtype)
    if change == "read-only":
        x.flags.writeable = False
    changed: Any = {
        "backwards": lambda: x[::-1],
        "broadcast": lambda: np.broadcast_to(x, (2, 6)),
        "masked": lambda: np.ma.array(x, mask=[0, 0, 1, 0, 0, 0]),
        "field": lambda: np.array([(1, 2)], [("flag", "u1"), ("x", dtype)])["x"],
        "byte-swapped": lambda: x.astype(x.dtype.newbyteorder("S")),
        "scalar": lambda: x[3],
    }.get(change, lambda: x)()
    for options in ({}, {"writable": False}, {"copy": "always"}):
        tensor = to_tensor(changed, nulls=0, **options)
        assert tensor.dtype == (torch.uint64 if dtype == "ulonglong" else torch.int64)
        assert tensor.tolist() == np.ma.filled(changed, 0).tolist()


@pytest.mark.cuda
def test_tensors_on_a_gpu_come_to_the_cpu_and_go_back():
    on_gpu = torch.arange(4.0, device="cuda")
    assert to_numpy(on_gpu).tolist() == [0, 1, 2, 3]
    assert to_arrow(on_gpu).to_pylist() == [0, 1, 2, 3]
    for function in (to_numpy, to_arrow):
        with pytest.raises(CopyRefused, match=r"\[device\]"):
            function(on_gpu, copy="never")
    there = to_tensor(X, device="cuda")
    assert there.is_cuda
    assert to_tensor(there, device="cuda") is there
    plan = route(describe(X), "torch", device="cuda")
    assert plan.target.admits(describe(there))
    assert like(np.zeros(2), on_gpu).device == on_gpu.device


@pytest.mark.parametrize("dtype", [*"?bBhHiIqQefdgFDMmSUO", ">f4", "M8[s]", "m8[ms]", "i4,f4"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3), (2, 0, 3)])
def test_the_fast_path_of_read_only_arrays_agrees_with_the_table(dtype, shape):
    x = np.zeros(shape, dtype)
    x.flags.writeable = False

    def outcome():
        try:
            tensor = to_tensor(x, writable=False)
        except NoRoute as error:
            return str(error)
        return tensor.dtype, tensor.shape, tensor.stride(), tensor.data_ptr()

    fast = outcome()
    with trace():  # goes through the table
        assert outcome() == fast


WIDE = [(1, 2**31), (0, 2**31), (0, 2**40, 2**10), (1, 2**40)]


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        *((dtype, shape) for dtype in ("float32", "int64", "complex64", "bool") for shape in WIDE),
        *((dtype, (2, 2**30, 2, 2)) for dtype in ("float32", "int64")),  # the axes of others are lists in lists
    ],
)
def test_rows_wider_than_arrow_s_lists_are_refused_before_they_are_copied(dtype: str, shape: tuple[int, ...]):
    x = np.broadcast_to(np.zeros((), dtype), shape)
    for value in (x, torch.zeros((), dtype=getattr(torch, dtype)).expand(shape)):
        for copy in ("auto", "never", "always"):
            with pytest.raises(NoRoute, match="2147483647 elements") as error:
                to_arrow(value, copy=copy)
            assert error.value.reason == "layout"
        with pytest.raises(NoRoute, match="2147483647"):
            route(describe(value), "arrow")


@pytest.mark.parametrize("name", ["nulls", "pad_value", "copy", "ragged", "layout"])
@pytest.mark.parametrize("function", [to_numpy, to_tensor])
def test_an_array_is_not_an_option(function: Any, name: str):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        function(X, **{name: np.zeros(2)})
