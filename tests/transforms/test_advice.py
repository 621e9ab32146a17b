"""What an error advises can be done: the options that it names are fields of the transform that raised it."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from bridgeflow.errors import BridgeflowError
from bridgeflow.transforms import LeafTransform
from tests.transforms.test_contracts import EXAMPLES

DIFFICULT: dict[str, Any] = {
    "nulls": pa.array([1.0, None, 3.0, 4.0] * 20),
    "null integers": pa.array([1, None, 3] * 20),
    "ragged lists": pa.array([[1.0, 2.0], [3.0]] * 20),
    "text": pa.array(["a", "b"]),
    "masked": np.ma.array(np.arange(60.0), mask=np.arange(60) == 3),
    "objects": np.array([object()] * 3),
    "text of NumPy": np.array(["a", "b"]),
    "dates": np.array(["2020-01-01"] * 60, "datetime64[s]"),
    "long double": np.arange(60, dtype=np.longdouble),
    "read-only": np.frombuffer(np.arange(60.0).tobytes()),
    "too large": np.full(60, 1e300),
    "not finite": np.full(60, np.nan),
    "no axes": np.array(1.0),
    "empty": np.empty((3, 0)),
    "image": Image.new("RGB", (4, 3)),
    "palette": Image.new("P", (4, 3)),
    "bfloat16": torch.arange(60.0).bfloat16(),
    "float8": torch.arange(60.0).to(torch.float8_e5m2),
    "grad": torch.arange(60.0, requires_grad=True),
    "conj": (torch.arange(60.0) * 1j).conj(),
    "sparse": torch.eye(4).to_sparse(),
    "jagged": torch.nested.nested_tensor([torch.ones(20), torch.ones(30)], layout=torch.jagged),
    "meta": torch.empty(60, device="meta"),
    "quantised": torch.zeros(8, dtype=torch.uint8).view(torch.uint4),
    "list of text": ["a", "b"],
    "ragged list": [[1.0], [2.0, 3.0]],
}
OPTIONS = re.compile(r"\b(\w+)=")


def variants(name: str) -> list[Any]:
    """The examples of a transform, and with them those that forbid copies or narrow the result."""
    actual = list(EXAMPLES[name])
    for one in EXAMPLES[name]:
        fields = {field.name for field in dataclasses.fields(one)}
        actual += [dataclasses.replace(one, copy="never")] if "copy" in fields and name != "SharedView" else []
        actual += [dataclasses.replace(one, dtype="float16")] if "dtype" in fields else []
        actual += [dataclasses.replace(one, grad="error")] if "grad" in fields else []
        actual += [dataclasses.replace(one, bfloat16="error")] if "bfloat16" in fields else []
    return [dataclasses.replace(one, keys=None) for one in actual if isinstance(one, LeafTransform)]


@pytest.mark.filterwarnings("ignore:.*prototype stage")
@pytest.mark.parametrize("data", DIFFICULT.values(), ids=DIFFICULT)
@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"Compose"}))
def test_names_options_that_the_transform_has(name: str, data: Any):
    for transform in variants(name):
        reference = {field.name for field in dataclasses.fields(transform)} | {"dtype"}
        for call in (transform, transform.explain):
            for wrapped in (data, {"ecg": data}):
                said = message(call, wrapped)
                advised = set(OPTIONS.findall(said.partition("; ")[2]))
                assert advised <= reference, f"{advised - reference}: {said}"


def message(call: Any, data: Any) -> str:
    """What an error of ours says; raw errors are for the tests of each transform."""
    try:
        call(data)
    except BridgeflowError as error:
        return str(error)
    except (ValueError, TypeError, IndexError, RuntimeError, AttributeError, RuntimeWarning):
        pass
    return ""
