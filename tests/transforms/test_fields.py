"""Fields are plain values, whatever the caller had at hand."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bridgeflow import Compose
from bridgeflow.errors import ConfigError
from bridgeflow.signal import Butter, Cheby1, Firwin, Notch
from bridgeflow.transforms import Cast, Scale, SignalFilter, ToTensor, Transform, Welch, Window, registry
from tests.transforms.augmentations import AUGMENTATIONS, MIXES
from tests.transforms.test_contracts import EXAMPLES


class Word(str, enum.Enum):
    LOW = "lowpass"


class Order(enum.IntEnum):
    TWO = 2


def wrapped(value: Any) -> Iterator[Any]:
    """The same value as other libraries hand it over."""
    if isinstance(value, bool):
        yield from (np.bool_(value), np.array(value), torch.tensor(value))
    elif isinstance(value, int):
        yield from (
            np.int64(value),
            np.int16(value),
            np.array(value),
            torch.tensor(value),
            enum.IntEnum("N", {"a": value}).a,
        )
    elif isinstance(value, float):
        yield from (np.float64(value), np.array(value), torch.tensor(value, dtype=torch.float64))
        if float(np.float32(value)) == value:
            yield np.float32(value)
    elif isinstance(value, str):
        yield from (np.str_(value), np.array(value), enum.Enum("W", {"a": value}).a)
    elif isinstance(value, tuple) and value:
        yield list(value)
        yield tuple(next(wrapped(item), item) for item in value)
        if all(type(item) in (int, float) for item in value):
            yield np.array(value)


TRANSFORMS = [
    one
    for examples in (EXAMPLES, AUGMENTATIONS, MIXES)
    for name in sorted(examples)
    for one in examples[name]
    if not isinstance(one, Compose)
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda one: type(one).__name__)
def test_every_field_of_every_transform_takes_what_stands_for_its_value(transform: Transform):
    values = {field.name: getattr(transform, field.name) for field in dataclasses.fields(transform) if field.init}
    for name, value in values.items():
        for one in wrapped(value):
            result = type(transform)(**{**values, name: one})
            assert (result, hash(result)) == (transform, hash(transform)), (name, one)
            assert json.dumps(result.to_config()) == json.dumps(transform.to_config())
            assert repr(result) == repr(transform)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda: ToTensor(device=torch.device("cpu")), ToTensor(device="cpu")),
        (lambda: Cast(dtype=torch.int16), Cast(dtype="int16")),
        (lambda: Cast(dtype=np.dtype("int16")), Cast(dtype="int16")),
        (lambda: Cast(dtype=np.int16), Cast(dtype="int16")),
        (lambda: Scale(dtype=torch.float64), Scale(dtype="float64")),
        (lambda: Scale(keys=np.str_("ecg")), Scale(keys=("ecg",))),
        (lambda: Scale(keys=["ecg", Path("eeg")]), Scale(keys=("ecg", "eeg"))),
        (lambda: SignalFilter(design="butter", btype=Word.LOW, order=Order.TWO, cutoff=np.float32(0.25), fs=4.0),
         SignalFilter(design="butter", btype="lowpass", order=2, cutoff=0.25, fs=4.0)),
        (lambda: Compose([Window(length=np.int64(4)), Welch(fs=torch.tensor(100.0))]),
         Compose([Window(length=4), Welch(fs=100.0)])),
        (lambda: Butter(order=np.int64(2), cutoff=np.array([1.0, 2.0]), btype=np.str_("bandpass"), fs=np.float32(8)),
         Butter(order=2, cutoff=(1.0, 2.0), btype="bandpass", fs=8.0)),
        (lambda: Notch(w0=torch.tensor(2.0), Q=np.array(30.0), fs=torch.tensor(8)), Notch(w0=2.0, Q=30.0, fs=8.0)),
        (lambda: Firwin(numtaps=np.uint8(5), cutoff=np.float16(1), fs=np.int32(8), window=np.str_("hann")),
         Firwin(numtaps=5, cutoff=1.0, fs=8.0, window="hann")),
        (lambda: Cheby1(order=Order.TWO, rp=np.float32(1), cutoff=1, btype=Word.LOW, fs=8),
         Cheby1(order=2, rp=1.0, cutoff=1.0, btype="lowpass", fs=8.0)),
    ],
)  # fmt: skip
def test_what_libraries_hand_over_means_the_plain_value(result: Any, expected: Any):
    assert (result(), hash(result()), repr(result())) == (expected, hash(expected), repr(expected))
    if isinstance(expected, Transform):
        assert json.dumps(result().to_config()) == json.dumps(expected.to_config())


@pytest.mark.parametrize("keys", ["ecg", ["ecg"], ("ecg",)])
def test_one_key_may_be_one_string_in_a_configuration_too(keys: Any):
    jsonschema = pytest.importorskip("jsonschema")
    config = {"Scale": {"keys": json.loads(json.dumps(keys)), "scale": 2.0}}
    assert Transform.from_config(config) == Scale(keys=("ecg",), scale=2.0)
    jsonschema.validate(config, registry.schema())


@pytest.mark.parametrize("keys", [3, ["ecg", 3], {"ecg": 1}])
def test_keys_of_another_type_are_refused_in_a_configuration(keys: Any):
    with pytest.raises(ConfigError, match="Scale"):
        Transform.from_config({"Scale": {"keys": keys}})


def test_what_has_no_plain_form_is_left_to_the_field():
    with pytest.raises(ValueError, match="Scale: scale must be a finite number"):
        Scale(scale=np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="Scale: scale must be a finite number, got 'a'"):
        Scale(scale=np.str_("a"))


def test_subclasses_of_transform_itself_are_parsed_too():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Whole(Transform):
        gain: float

        def __post_init__(self) -> None:
            assert type(self.gain) is float

        def __call__(self, data: Any, /, *more: Any) -> Any:
            return data

        def plan(self, data: Any, stage: Any = None) -> Any:
            return None

    assert Whole(gain=np.float32(0.5)) == Whole(gain=0.5)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("Welch", {"nonfinite": "reset"}),
        ("Detrend", {"nonfinite": "ignore"}),
        ("WindowLabels", {"length": 3, "rule": "first"}),
        ("Window", {"length": 3, "pad": "wrap"}),
        ("Cast", {"dtype": ">f4"}),
        ("ToNumpy", {"copy": "maybe"}),
        ("SharedView", {"across": "nodes"}),
    ],
)
def test_an_unknown_word_is_an_error_of_our_own_in_python_too(name: str, fields: dict[str, Any]):
    with pytest.raises(ConfigError, match="must be one of"):
        registry.lookup(name)(**fields)
