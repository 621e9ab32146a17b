"""`Compose`: the stages one after the other, and nothing else."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.bridge import kind_of, to_numpy, trace
from bridgeflow.errors import CannotStream, ConfigError, DataError, KeyNotFound, NoRoute
from bridgeflow.pipeline import Compose
from bridgeflow.spec import ArraySpec
from bridgeflow.testing import check_transform
from bridgeflow.testing.strategies import cuts, samples
from bridgeflow.transforms import (
    Cast,
    Clone,
    Detach,
    LeafTransform,
    Scale,
    SharedView,
    SignalFilter,
    ToArrow,
    ToNumpy,
    ToTensor,
    Transform,
)
from bridgeflow.transforms.runner import is_array
from bridgeflow.tree import leaves_of, map_leaves

MILLIVOLT = Scale(scale=0.005, offset=-5.12, keys=("ecg",))
SAMPLE = {"ecg": np.array([1024, 1224], "uint16"), "label": "N"}


@dataclass(frozen=True, kw_only=True)
class Turn(LeafTransform):
    """A result whose class depends on the values: what fusing must notice."""

    def apply(self, x: Any) -> Any:
        values = to_numpy(x)
        first = float(values.ravel()[0]) if values.size else 0.0
        if first > 2:
            return {"values": values, "more": "label"}
        if first > 1:
            return None
        return torch.from_numpy(np.array(values)) if first > 0 else values

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        return spec


@dataclass(frozen=True, kw_only=True)
class Total(Transform):
    """A transform of whole samples."""

    def __call__(self, data: Any, /, *more: Any) -> Any:
        return {"total": sum(float(to_numpy(x).sum()) for x in leaves_of(data, is_array).values())}

    def plan(self, data: Any, stage: Any = None) -> Any:
        raise NotImplementedError


def one_by_one(stages: Any, data: Any) -> Any:
    for stage in stages:
        data = stage(data)
    return data


def outcome(call: Any, data: Any) -> Any:
    """The result, or the error, in a form that can be compared."""
    try:
        actual = call(data)
    except Exception as error:
        return type(error)
    return [
        (place, kind_of(x), to_numpy(x, nulls=0).dtype, to_numpy(x, nulls=0).tolist())
        for place, x in leaves_of(actual, is_array).items()
    ], repr_without_arrays(actual)


def repr_without_arrays(data: Any) -> str:
    return repr(map_leaves(lambda x: "array", data, is_array))


class TestStages:
    def test_follow_each_other(self):
        actual = Compose([MILLIVOLT, ToTensor(keys=("ecg",)), lambda sample: {**sample, "seen": True}])(SAMPLE)
        assert actual["ecg"].tolist() == [0.0, 1.0]
        assert (actual["label"], actual["seen"]) == ("N", True)
        assert SAMPLE["ecg"].dtype == "uint16"

    def test_none_pass_the_sample_on(self):
        assert Compose([])(SAMPLE) is SAMPLE

    def test_several_arguments_are_one_tuple(self):
        actual = Compose([ToTensor()])(np.ones(2), 3)
        assert isinstance(actual, tuple)
        assert actual[0].tolist() == [1.0, 1.0]

    @pytest.mark.parametrize(
        ("stages", "message"),
        [
            ([ToTensor], r"stage 1 is the class ToTensor; pass ToTensor\(...\)"),
            ([ToTensor(), 3], "stage 2 is a int, which cannot be called"),
            ([None], "stage 1 is a NoneType"),
        ],
    )
    def test_are_checked_when_composed(self, stages: list[Any], message: str):
        with pytest.raises(TypeError, match=message):
            Compose(stages)

    def test_of_an_inner_composition_join_the_row(self):
        inner = Compose([MILLIVOLT, Compose([ToTensor(keys=("ecg",))])])
        outer = Compose([inner, Cast(dtype="float64", keys=("ecg",))])
        assert len(outer._runs) == 1
        assert outer(SAMPLE)["ecg"].dtype is torch.float64
        assert [str(stage) for stage, _ in outer.row] == [
            "stage 1.1 (Scale)",
            "stage 1.2.1 (ToTensor)",
            "stage 2 (Cast)",
        ]

    def test_may_be_transforms_of_whole_samples(self):
        assert Compose([ToTensor(), Total(), lambda data: data["total"]])({"a": np.ones(3), "b": np.ones(2)}) == 5.0


STAGES = st.sampled_from(
    [
        ToNumpy(),
        ToTensor(),
        ToArrow(),
        Cast(dtype="float64"),
        Cast(dtype="int8", on_overflow="saturate"),
        Scale(scale=0.5, offset=0.25),
        Clone(),
        Detach(),
        SharedView(),
        Turn(),
        ToNumpy(nulls="mask"),
        ToNumpy(keys=("ecg",)),
        ToTensor(keys=("ecg", "lead")),
        Scale(scale=2.0, keys=("lead.*",)),
        Turn(keys=("**",)),
        ToTensor(keys=("**.ecg",)),
    ]
)


class TestFusing:
    @given(st.lists(STAGES, max_size=4), st.lists(samples(), min_size=1, max_size=3))
    def test_changes_neither_results_nor_errors(self, stages: list[Transform], data: list[Any]):
        fused = Compose(stages)
        for sample in [*data, *data, data[0]]:
            assert outcome(fused, sample) == outcome(partial(one_by_one, stages), sample)

    @given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=2, max_size=6))
    def test_notices_results_of_another_class(self, firsts: list[float]):
        """The structure is the same each time; what the first stage makes of it is not."""
        stages = [Turn(), Cast(dtype="float32"), ToTensor(), Turn(keys=("x",)), ToNumpy()]
        fused = Compose(stages)
        for first in firsts:
            sample = {"x": np.array([first]), "y": [np.array([0.0]), "label"]}
            assert outcome(fused, sample) == outcome(partial(one_by_one, stages), sample)

    def test_calls_stage_by_stage(self):
        order: list[tuple[str, float]] = []

        @dataclass(frozen=True, kw_only=True)
        class Noting(LeafTransform):
            name: str

            def apply(self, x: Any) -> Any:
                order.append((self.name, float(x[0])))
                return x

            def out_spec(self, spec: ArraySpec) -> ArraySpec:
                return spec

        compose = Compose([Noting(name="first"), Noting(name="second", keys=("b", "a")), Noting(name="third")])
        sample = {"a": np.array([1.0]), "b": np.array([2.0])}
        compose(sample)
        learnt, order[:] = list(order), []
        compose(sample)
        assert order == learnt
        assert order == [(name, value) for name in ("first", "second", "third") for value in (1.0, 2.0)]

    def test_learns_once_per_structure(self):
        compose = Compose([MILLIVOLT, ToTensor(keys=("ecg",)), Detach(keys=("ecg",))])
        for _ in range(5):
            compose(SAMPLE)
        (run,) = compose._runs
        assert [len(programs) for programs in run.__self__._programs] == [1, 0, 0]

    def test_goes_on_behind_masks(self):
        compose = Compose([ToNumpy(nulls="mask"), ToTensor(), Cast(dtype="float32", keys=("ecg",))])
        for _ in range(2):
            actual = compose({"ecg": pa.array([1.0, None])})
            assert (actual["ecg"].dtype, actual["ecg_mask"].tolist()) == (torch.float32, [False, True])

    def test_is_safe_in_threads(self):
        compose = Compose([ToTensor(), Cast(dtype="float64"), Scale(scale=2.0)])
        structures = [{"x": np.full(3, float(i)), "n": list(range(i % 5))} for i in range(200)]
        with ThreadPoolExecutor(16) as pool:
            actual = list(pool.map(compose, structures))
        assert [m["x"].tolist() for m in actual] == [[2.0 * i] * 3 for i in range(200)]


class TestErrors:
    def test_name_stage_and_place(self):
        compose = Compose([ToTensor(), Compose([Detach(), Cast(dtype="int8")])])
        for _ in range(2):  # learning, then learnt
            with pytest.raises(DataError, match=r"^stage 2\.2 \(Cast\), \$\.lead\[1\]: 1 of 1 values have no int8"):
                compose({"lead": [np.ones(1), np.array([1e6])]})
            compose({"lead": [np.ones(1), np.ones(1)]})

    def test_of_the_bridge_do_too(self):
        with pytest.raises(NoRoute, match=r"^stage 1 \(ToTensor\), \$\.x: "):
            Compose([ToTensor()])({"x": np.array(["text"])})

    def test_of_keys_name_the_stage(self):
        with pytest.raises(KeyNotFound, match=r"^stage 2 \(ToTensor\): keys: 'egc' matches nothing .* 'ecg'"):
            Compose([MILLIVOLT, ToTensor(keys=("egc",))])(SAMPLE)

    def test_of_others_get_a_note(self):
        def broken(sample: Any) -> Any:
            raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no") as caught:
            Compose([MILLIVOLT, broken])(SAMPLE)
        assert caught.value.__notes__ == ["in stage 2 (broken), at $"]

    def test_under_a_trace_are_the_same(self):
        compose = Compose([ToTensor(), Cast(dtype="int8")])
        with trace(), pytest.raises(DataError, match=r"^stage 2 \(Cast\), \$\.x: "):
            compose({"x": np.array([1e6])})


class TestTrace:
    def test_names_stage_and_place(self):
        with trace() as seen:
            Compose([ToArrow(keys=("ecg",)), Detach(), ToTensor(keys=("ecg",))])(SAMPLE)
        assert [(str(exchange.stage), exchange.place, exchange.action) for exchange in seen] == [
            ("stage 1 (ToArrow)", "$.ecg", "view"),
            ("stage 3 (ToTensor)", "$.ecg", "copy"),
        ]

    @given(st.lists(STAGES, max_size=3), samples())
    def test_changes_no_result(self, stages: list[Transform], sample: Any):
        compose = Compose(stages)
        alone = outcome(compose, sample)
        with trace():
            assert outcome(compose, sample) == alone


class TestConfiguration:
    COMPOSE = Compose([MILLIVOLT, Compose([ToTensor(keys=("ecg",))]), Cast(dtype="float64")])

    def test_round_trip(self):
        config = self.COMPOSE.to_config()
        assert list(config) == ["Compose"]
        assert [next(iter(stage)) for stage in config["Compose"]["stages"]] == ["Scale", "Compose", "Cast"]
        assert Transform.from_config(json.loads(json.dumps(config))) == self.COMPOSE
        assert pickle.loads(pickle.dumps(self.COMPOSE)) == self.COMPOSE
        assert len({self.COMPOSE, Compose(self.COMPOSE.stages)}) == 1

    def test_names_may_stand_alone(self):
        assert Compose.from_config({"Compose": {"stages": ["ToTensor", "Detach"]}}) == Compose([ToTensor(), Detach()])

    def test_errors_say_which_stage(self):
        with pytest.raises(ConfigError, match=r"^\$\.stages\[1\]\.dtype: Cast: "):
            Compose.from_config({"Compose": {"stages": ["ToTensor", {"Cast": {"dtype": "int7"}}]}})
        with pytest.raises(ConfigError, match=r"^\$\.stages\[0\]\.stages\[0\]: there is no transform 'Nope'"):
            Compose.from_config({"Compose": {"stages": [{"Compose": {"stages": ["Nope"]}}]}})

    @pytest.mark.parametrize("fields", [{}, {"stages": "ToTensor"}, {"stages": [], "more": 1}, {"stage": []}])
    def test_has_one_field(self, fields: Any):
        with pytest.raises(ConfigError, match="Compose has one field: stages"):
            Compose.from_config({"Compose": fields})

    def test_cannot_name_plain_callables(self):
        with pytest.raises(ConfigError, match=r"stage 2 \(abs\) is a plain callable"):
            Compose([ToTensor(), abs]).to_config()

    def test_keeps_the_contract(self):
        check_transform(self.COMPOSE, SAMPLE)


class TestStreaming:
    FILTER = SignalFilter(design="butter", cutoff=20.0, fs=360.0, order=4)

    @given(st.data())
    def test_chunks_give_the_whole(self, data: st.DataObject):
        compose = Compose([ToTensor(), Scale(scale=0.005), self.FILTER, ToNumpy()])
        x = np.random.default_rng(0).integers(0, 2048, (2, 50)).astype("int16")
        state = compose.init_state(ArraySpec(kind="numpy", dtype="int16", shape=(2, None)))
        parts = []
        for cut in data.draw(cuts(50)):
            part, state = compose.step(x[:, cut], state)
            parts.append(part)
        assert compose.flush(state) is None
        np.testing.assert_array_equal(np.concatenate(parts, axis=-1), compose(x))

    def test_nested_chunks_have_a_state_for_each_array(self):
        compose = Compose([replace(self.FILTER, keys="*"), ToTensor(keys=("lead.*",))])
        x = np.random.default_rng(0).standard_normal((2, 60))
        whole = compose({"ecg": x[0], "lead": {"I": x[1]}, "id": 7})
        spec = ArraySpec(kind="numpy", dtype="float64", shape=(None,))
        state = compose.init_state({"ecg": spec, "lead": {"I": spec}, "id": 7})
        parts = []
        for cut in (slice(0, 1), slice(1, 40), slice(40, 60)):
            part, state = compose.step({"ecg": x[0, cut], "lead": {"I": x[1, cut]}, "id": 7}, state)
            parts.append(part)
        np.testing.assert_array_equal(np.concatenate([part["ecg"] for part in parts]), whole["ecg"])
        np.testing.assert_array_equal(torch.cat([part["lead"]["I"] for part in parts]), whole["lead"]["I"])
        with pytest.raises(DataError, match=r"^\$\.more: stage 1 \(SignalFilter\): the first chunk had no array here"):
            compose.step({"ecg": x[0], "lead": {"I": x[1]}, "id": 7, "more": x[0]}, state)

    def test_what_comes_late_goes_through_the_rest(self):
        compose = Compose([Late(count=2), Scale(scale=10.0), Late(count=3)])
        x = np.arange(10.0)
        for structure in (lambda chunk: chunk, lambda chunk: {"x": chunk, "id": 1}):
            spec = ArraySpec(kind="numpy", dtype="float64", shape=(None,))
            state = compose.init_state(structure(spec))
            parts = []
            for cut in (slice(0, 4), slice(4, 4), slice(4, 10)):
                part, state = compose.step(structure(x[cut]), state)
                parts.append(part)
            parts.append(compose.flush(state))
            pieces = [part if isinstance(part, np.ndarray) else part["x"] for part in parts]
            np.testing.assert_array_equal(np.concatenate(pieces), x * 10)
            assert len(pieces[-1]) == 5

    @pytest.mark.parametrize(
        ("stages", "message"),
        [
            ([abs], r"stage 1 \(abs\) is a plain callable"),
            (
                [ToTensor(), SignalFilter(design="butter", cutoff=20.0, fs=360.0, order=2, mode="zero_phase")],
                "zero phase",
            ),
            ([Turn()], "Turn does not say how"),
        ],
    )
    def test_some_cannot(self, stages: list[Any], message: str):
        compose = Compose(stages)
        assert not compose.streams
        with pytest.raises(CannotStream, match=message):
            compose.init_state(ArraySpec(kind="numpy", dtype="float64", shape=(None,)))


@dataclass(frozen=True, kw_only=True)
class Late(LeafTransform):
    """Gives each sample `count` samples later."""

    count: int

    @property
    def stream_obstacle(self) -> str:
        return ""

    def apply(self, x: Any) -> Any:
        return x

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        return spec

    def init_state(self, spec: ArraySpec) -> Any:
        return np.zeros(0)

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        held = np.concatenate([state, x])
        ready = max(len(held) - self.count, 0)
        return held[:ready], held[ready:]

    def flush(self, state: Any) -> Any:
        return state if len(state) else None
