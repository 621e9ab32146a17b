"""`Window` and `WindowLabels`: the contract, views that plans foretell, examples with labels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow.bridge import describe
from bridgeflow.pipeline import Compose
from bridgeflow.testing import check_transform
from bridgeflow.transforms import Resample, Scale, ToTensor
from bridgeflow.transforms.window import Window, WindowLabels
from tests.transforms.kinds import check_kinds

ALL = [
    Window(length=10),
    Window(length=10, hop=3, pad="reflect"),
    Window(length=10, hop=13, pad="zeros"),
    Window(length=200, pad="edge"),
    WindowLabels(length=10, hop=4, rule="center"),
    WindowLabels(length=10, hop=4, rule="any", pad="zeros"),
    WindowLabels(length=7, rule="last", pad="edge"),
]


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_contract(transform):
    check_kinds(transform)


def test_contract_with_windows_first():
    """A batch is then one recording with one axis more, and not so many recordings."""
    for pad in ("drop", "edge"):
        check_transform(Window(length=10, hop=4, pad=pad, first=True), skip={"batches"})


def test_contract_of_the_most_frequent():
    labels = np.random.default_rng(0).integers(0, 4, (2, 96))
    for rule in ("majority", "center"):
        check_transform(WindowLabels(length=10, hop=3, rule=rule), labels)
        check_transform(WindowLabels(length=10, hop=3, rule=rule, pad="zeros"), torch.from_numpy(labels))


def test_plans_tell_views_from_copies():
    x = np.zeros((2, 100))
    assert [step.action for step in Window(length=10).explain(x)] == ["view"]
    assert Window(length=10).explain(x).total_bytes == 0
    assert [step.action for step in Window(length=30, pad="zeros").explain(x)] == ["copy"]
    assert [step.action for step in Window(length=25, pad="zeros").explain(x)] == ["view"]
    assert [step.action for step in Window(length=10).explain(pa.array(x[0]))] == ["copy"]
    examples = Compose([Window(length=10, hop=5), ToTensor()])
    promise, deed = examples.explain(x).result, examples(x)
    assert promise.admits(describe(deed))


def test_examples_with_labels():
    ecg = np.arange(40.0).reshape(2, 20)
    beat = np.repeat([0, 1, 2], [9, 8, 3])
    cut = {"length": 6, "hop": 4, "pad": "edge"}
    pipeline = Compose([Window(**cut, first=True, keys=("ecg",)), WindowLabels(**cut, keys=("beat",))])
    made = pipeline({"ecg": ecg, "beat": beat, "id": "a"})
    assert made["ecg"].shape == (5, 2, 6)
    assert made["beat"].tolist() == [0, 0, 1, 1, 2]
    assert made["id"] == "a"
    np.testing.assert_array_equal(made["ecg"][1], ecg[:, 4:10])


def test_a_pipeline_live():
    """What a stage holds back at the end goes through the stages behind it, along the right axes."""
    x = np.random.default_rng(0).standard_normal((2, 300))
    pipeline = Compose([Resample(from_hz=2, to_hz=3), Window(length=32, hop=20, pad="reflect"), Scale(scale=2.0)])
    state, pieces = pipeline.init_state(describe(x)), []
    for begin in range(0, 300, 37):
        y, state = pipeline.step(x[:, begin : begin + 37], state)
        pieces.append(y)
    pieces.append(pipeline.flush(state))
    np.testing.assert_array_equal(np.concatenate(pieces, axis=-2), pipeline(x))


def test_refusals():
    for make, message in [
        (lambda: Window(length=0), "length must be an integer of at least 1"),
        (lambda: Window(length=5, hop=-1), "hop must be an integer of at least 1"),
        (lambda: Window(length=5, pad="wrap"), "pad must be one of"),
        (lambda: WindowLabels(length=5, rule="mode"), "rule must be one of"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()
