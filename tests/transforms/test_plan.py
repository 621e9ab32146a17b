"""Plans: what is foretold is what happens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.bridge import describe, trace
from bridgeflow.errors import CopyRefused, DataError, KeyNotFound, NoRoute
from bridgeflow.pipeline import Compose
from bridgeflow.spec import ArraySpec
from bridgeflow.testing.strategies import samples
from bridgeflow.transforms import Cast, Detach, Scale, SharedView, SignalFilter, ToArrow, ToNumpy, ToTensor, Transform
from bridgeflow.transforms.plan import UNKNOWN, Opaque, describe_leaves, is_spec
from bridgeflow.tree import leaves_of

SAMPLE = {"ecg": np.arange(8, dtype=">i2"), "lead": [torch.ones(2, 3)], "label": "N"}


class TestExplain:
    def test_tells_stage_place_specs_action_bytes_and_reason(self):
        plan = Compose([ToTensor(keys=("ecg",)), Scale(scale=0.5), ToNumpy(keys=("lead",))]).explain(SAMPLE)
        reported = [
            (str(step.stage), step.place, str(step.source), str(step.target), step.action, step.nbytes)
            for step in plan.exchanges
        ]
        assert reported == [
            ("stage 1 (ToTensor)", "$.ecg", "numpy int16[8] (byte-order)", "torch int16[8]", "copy", 16),
            ("stage 2 (Scale)", "$.ecg", "torch int16[8]", "torch float32[8]", "copy", 32),
            ("stage 2 (Scale)", "$.lead[0]", "torch float32[2, 3]", "torch float32[2, 3]", "copy", 24),
            ("stage 3 (ToNumpy)", "$.lead[0]", "torch float32[2, 3]", "numpy float32[2, 3]", "view", 0),
        ]
        assert plan.exchanges[0].reason == "byte-order"
        assert plan.total_bytes == 72
        assert plan.result["label"] == "N"
        assert str(plan.result["lead"][0]) == "numpy float32[2, 3]"

    def test_moves_no_data(self):
        x = torch.ones(2, 3, device="meta")
        plan = Compose([Scale(scale=2.0), Cast(dtype="float64")]).explain({"x": x})
        assert plan.total_bytes == 24 + 48
        with trace() as seen:
            ToArrow().explain({"x": np.ones((3, 4))[:, ::2]})
        assert len(seen) == 0

    def test_works_on_specs_that_no_array_has_yet(self):
        spec = ArraySpec(kind="numpy", dtype="int16", shape=(None, 360))
        plan = Compose([Scale(scale=2.0), ToTensor()]).plan({"ecg": spec})
        assert str(plan.result["ecg"]) == "torch float32[?, 360]"
        assert plan.total_bytes is None
        assert "and some that are not known beforehand" in plan.summary()

    def test_of_one_transform(self):
        (step,) = ToNumpy().explain(torch.ones(2)).exchanges
        assert (str(step.stage), step.place, step.action) == ("ToNumpy", "$", "view")

    def test_of_a_table(self):
        table = pa.table({"ecg": [1.0, 2.0], "n": [1, 2]})
        plan = ToTensor(keys=("ecg",)).explain(table)
        assert [step.place for step in plan.exchanges] == ["$.ecg"]
        assert str(plan.result["ecg"]) == "torch float64[2]"

    def test_of_a_plain_callable_is_opaque(self):
        plan = Compose([ToTensor(), torch.nn.Identity(), Detach(), abs]).explain(SAMPLE)
        assert plan.result is UNKNOWN
        assert [step.detail.partition(":")[0] for step in plan if isinstance(step, Opaque)] == [
            "a plain callable",
            "follows a plain callable",
            "a plain callable",
        ]
        assert [str(step.stage) for step in plan][-3:] == ["stage 2 (Identity)", "stage 3 (Detach)", "stage 4 (abs)"]
        assert plan.total_bytes is None

    def test_says_what_does_not_stream(self):
        zero_phase = SignalFilter(design="butter", cutoff=20.0, fs=360.0, order=2, mode="zero_phase")
        assert Scale().explain(SAMPLE).summary().endswith("; streams")
        summary = Compose([ToNumpy(), zero_phase]).explain(np.ones(100)).summary()
        assert "does not stream: " in summary
        assert "zero phase" in summary

    @pytest.mark.parametrize(
        ("transform", "sample", "error", "message"),
        [
            (ToTensor(), {"x": np.array(["a"])}, NoRoute, r"^stage 1 \(ToTensor\), \$\.x: "),
            (ToTensor(copy="never"), {"x": np.frombuffer(b"12345678")}, CopyRefused, r"\$\.x: .*read-only"),
            (Cast(dtype="float32"), {"x": np.array([1j])}, NoRoute, "imaginary"),
            (ToNumpy(keys=("y",)), {"x": np.ones(2)}, KeyNotFound, "matches nothing"),
            (ToNumpy(nulls="mask"), [pa.array([1.0])], DataError, "needs a dict"),
        ],
    )
    def test_refuses_what_the_deed_refuses(self, transform: Transform, sample: Any, error: type, message: str):
        compose = Compose([transform])
        for call in (compose.explain, compose):
            with pytest.raises(error, match=message):
                call(sample)


PLANNED = st.sampled_from(
    [
        ToNumpy(),
        ToTensor(),
        ToArrow(),
        ToNumpy(nulls="mask"),
        ToTensor(copy="always"),
        Cast(dtype="float64"),
        Scale(scale=0.5),
        Detach(),
        SharedView(),
    ]
)


@given(st.lists(PLANNED, max_size=3), samples())
def test_what_is_foretold_is_what_happens(stages: list[Transform], sample: Any):
    compose = Compose(stages)
    try:
        actual = compose(sample)
    except (NoRoute, DataError) as error:
        with pytest.raises(type(error)):
            compose.explain(sample)
        return
    plan = compose.explain(sample)
    promises, deeds = leaves_of(plan.result, is_spec), leaves_of(describe_leaves(actual), is_spec)
    assert list(promises) == list(deeds)
    for place, promise in promises.items():
        assert promise.admits(deeds[place]), (place, str(promise), str(deeds[place]))


CROSSINGS = st.sampled_from([ToNumpy(), ToTensor(), ToTensor(copy="always"), ToArrow(), ToNumpy(writable=True)])


@given(st.lists(CROSSINGS, max_size=3), samples())
def test_the_crossings_foretold_are_those_that_are_traced(stages: list[Transform], sample: Any):
    compose = Compose(stages)
    try:
        with trace() as seen:
            compose(sample)
    except (NoRoute, DataError):
        return
    planned = [
        step for step in compose.explain(sample).exchanges if step.source.kind != step.target.kind or step.nbytes
    ]
    traced = [step for step in seen if step.source.kind != step.target.kind or step.nbytes]
    assert [_told(step) for step in planned] == [_told(step) for step in traced]


def _told(step: Any) -> tuple[Any, ...]:
    return (step.stage, step.place, step.source.kind, step.target.kind, step.action, step.reason, step.nbytes)


class TestRendering:
    PLAN = Compose([ToTensor(keys=("ecg",)), torch.nn.Identity()]).explain(SAMPLE)

    def test_as_text(self):
        lines = str(self.PLAN).splitlines()
        assert lines[0].split() == ["stage", "place", "from", "to", "action", "bytes", "why"]
        assert "stage 1 (ToTensor)" in lines[1]
        assert "byte-order: " in lines[1]
        assert "opaque" in lines[2]
        assert lines[-1].startswith("16 bytes to be written")
        assert repr(self.PLAN) == str(self.PLAN)
        assert len(self.PLAN) == 2

    def test_as_html_with_everything_escaped(self):
        html = Detach().explain({"<b>": torch.ones(2)})._repr_html_()
        assert "<table>" in html
        assert "<b>" not in html
        assert "&lt;b&gt;" in html


def test_described_leaves_stand_where_the_arrays_stood():
    described = describe_leaves(SAMPLE)
    assert described["ecg"] == describe(SAMPLE["ecg"])
    assert replace(described["lead"][0], fs=360.0).fs == 360.0
    assert described["label"] == "N"
