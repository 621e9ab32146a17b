"""States written down: through JSON and back, nothing lost; nothing that is no state goes in, or comes out."""

import json
import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow._state import modules_of, pack_state, unpack_state
from bridgeflow.errors import DataError
from bridgeflow.pipeline.compose import Compose
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms import Scale

HERE = (__name__,)


class Pair(NamedTuple):
    zi: Any
    position: int


@dataclass(frozen=True)
class Record:
    tail: Any
    ratio: Fraction
    derived: int = field(default=3, init=False)


class Foreign:
    pass


def through(value: Any, modules: tuple[str, ...] = HERE) -> Any:
    return unpack_state(json.loads(json.dumps(pack_state(value, modules=modules))), modules=modules)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.fractions() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_come_back_as_they_were(value):
    back = through(value)
    assert back == value
    assert repr(back) == repr(value)  # 1 and 1.0 and True, 0.0 and -0.0 are equal


@pytest.mark.parametrize("value", [math.inf, -math.inf, -0.0, 5e-324, 0.1])
def test_every_bit_of_a_float(value):
    assert math.copysign(1, through(value)) == math.copysign(1, value)
    assert through(value).hex() == value.hex()
    assert math.isnan(through(math.nan))
    assert through(complex(value, 1.5)) == complex(value, 1.5)


@pytest.mark.parametrize("dtype", ["bool", "i1", "<u2", ">i4", "f2", "<f4", ">f8", "c8", "c16", "U7", "S3", "m8[ns]"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_arrays_come_back_bit_for_bit(dtype, shape):
    raw = np.random.default_rng(1).integers(0, 100, size=shape)
    array = np.asarray(raw.astype(dtype))
    back = through(array)
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.shape == array.shape
    assert back.tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()
    assert back.flags.writeable


def test_what_lies_otherwise_in_memory_is_the_same_array():
    array = np.arange(24.0).reshape(4, 6)[::2, ::-1]
    assert np.array_equal(through(array), array)
    assert np.array_equal(through(array.T), array.T)
    assert through(np.float32(1.5)).dtype == np.float32


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.complex64, torch.bool, torch.int8, torch.float8_e5m2]
)
@pytest.mark.parametrize("shape", [(), (0, 2), (3, 2)])
def test_tensors_come_back_bit_for_bit(dtype, shape):
    tensor = torch.arange(6)[: math.prod(shape)].reshape(shape).to(dtype)
    back = through(tensor)
    assert isinstance(back, torch.Tensor)
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
    assert back.reshape(-1).view(torch.uint8).tolist() == tensor.reshape(-1).view(torch.uint8).tolist()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.5, None, 3.0])[1:],
        pa.array(["N", None, "V"]),
        pa.array([], pa.int16()),
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(12.0).reshape(2, 2, 3)),
        pa.array(["N", "V", "N"]).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_arrow_arrays_come_back_as_they_were(column):
    assert through({"held": column})["held"].equals(column)


def test_records_of_the_transforms_modules():
    back = through({"a": Pair(np.arange(3), 7), "b": Record((1, [2]), Fraction(147, 160))})
    assert type(back["a"]) is Pair
    assert back["b"] == Record((1, [2]), Fraction(147, 160))
    spec = ArraySpec(kind="numpy", dtype="float64", shape=(2, None), flags=frozenset({"grad", "conj"}))
    assert through(spec, ("bridgeflow.spec",)) == spec


def test_a_random_generator_goes_on_where_it_was():
    for bits in (np.random.PCG64, np.random.Philox, np.random.MT19937):
        generator = np.random.Generator(bits(5))
        generator.random(11)
        assert np.array_equal(through(generator).random(8), generator.random(8))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (Foreign(), r"\$: a .*Foreign cannot be written down"),
        ({"a": [1, object()]}, r"\$\.a\[1\]: a builtins.object"),
        ({1: 2}, "keys other than text"),
        (np.array([object()]), "an array of object"),
        (np.zeros(2, [("a", "i4")]), "an array of"),
        (torch.ones(2, requires_grad=True), "a tensor with a gradient"),
        (torch.ones(2).to_sparse(), "layout torch.sparse_coo"),
        (len, "builtin_function"),
    ],
)
def test_what_is_no_state_is_refused(value, problem):
    with pytest.raises(DataError, match=problem):
        pack_state(value, modules=HERE)


def test_classes_of_other_modules_are_neither_written_nor_looked_up():
    with pytest.raises(DataError, match="a class of no module of the transforms"):
        pack_state(Pair(1, 2))
    packed = pack_state(Pair(1, 2), modules=HERE)
    with pytest.raises(DataError, match="is not a class of the transforms' states"):
        unpack_state(packed)
    for name in (["subprocess", "Popen"], ["os", "system"], [__name__, "Foreign"], [__name__, "Pair.__init__"]):
        with pytest.raises(DataError, match="is not a class"):
            unpack_state({**packed, "class": name}, modules=(*HERE, "os", "subprocess"))


@pytest.mark.parametrize(
    "packed",
    [
        [],
        {},
        1.5,
        {"word": 1},
        {"array": {}},
        {"array": 3},
        {"float": "x"},
        {"dict": []},
        {"tuple": 3},
        {"ratio": [1, 0]},
        {"class": 3, "fields": {}},
        {"random": {"dict": {"bit_generator": "seed"}}},
        {"tensor": {**pack_state(torch.ones(2))["tensor"], "dtype": "nn"}},
        {"tensor": {**pack_state(torch.ones(2))["tensor"], "shape": [3]}},
        {"array": {**pack_state(np.ones(2))["array"], "dtype": "O"}},
        {"array": {**pack_state(np.ones(2))["array"], "shape": [7]}},
    ],
)
def test_forged_text_is_an_error_that_says_so(packed):
    with pytest.raises(DataError, match="the saved state is damaged"):
        unpack_state(packed)


def test_a_flipped_bit_in_an_array_is_found():
    packed = pack_state({"zi": np.arange(4.0)})
    data = packed["dict"]["zi"]["array"]["data"]
    packed["dict"]["zi"]["array"]["data"] = ("B" if data[0] == "A" else "A") + data[1:]
    with pytest.raises(DataError, match=r"\$\.zi: the saved state is damaged: the SHA-256 of an array is another"):
        unpack_state(packed)


def test_the_state_of_a_filter():
    state = {
        "a": np.arange(6, dtype=">i4").reshape(2, 3),
        "nested": [{"b": np.array(True), "c": None}, 1.5, "word"],
        "text": np.array("torch bfloat16 cuda:0"),
        "z": torch.tensor([1 + 2j]),
        "empty": np.zeros((2, 0), "float32"),
    }
    back = through(state, ())
    np.testing.assert_array_equal(back["a"], state["a"])
    assert back["a"].dtype == np.int32
    assert back["nested"][1:] == [1.5, "word"]
    assert bool(back["nested"][0]["b"])
    assert str(back["text"]) == "torch bfloat16 cuda:0"
    assert back["z"].tolist() == [1 + 2j]
    assert back["empty"].shape == (2, 0)


def test_modules_are_those_of_all_stages():
    assert modules_of(Compose([Compose([Scale()]), len])) == (
        "bridgeflow.spec",
        "bridgeflow.pipeline.compose",
        "bridgeflow.transforms.scale",
        "builtins",
    )
