"""What all transforms share: registry, configuration, equality, pickling, selection, errors."""

from __future__ import annotations

import json
import pickle
import sys
from dataclasses import FrozenInstanceError, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given

from bridgeflow.bridge import kind_of, to_numpy, trace
from bridgeflow.errors import CannotStream, ConfigError, DataError, KeyNotFound, NoRoute
from bridgeflow.pipeline import Compose
from bridgeflow.spec import ArraySpec
from bridgeflow.testing import check_transform
from bridgeflow.testing.strategies import samples
from bridgeflow.transforms import (
    Detach,
    LeafTransform,
    Scale,
    ToArrow,
    ToNumpy,
    ToTensor,
    Transform,
    register,
    registry,
)
from bridgeflow.tree import leaves_of


@dataclass(frozen=True, kw_only=True)
class TakeEvery(LeafTransform):
    """Keep one sample in `nth` along the last axis."""

    nth: int

    def __post_init__(self) -> None:
        if self.nth < 1:
            raise ValueError(f"TakeEvery: nth must be at least 1, got {self.nth}")

    @cached_property
    def derived(self) -> list[int]:
        return [self.nth]

    def apply(self, x: Any) -> Any:
        return x[..., :: self.derived[0]]

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        return spec.with_time(None if spec.time is None else -(-spec.time // self.nth))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    return register(TakeEvery)


class TestRegistry:
    def test_names_the_nearest_for_an_unknown_name(self):
        with pytest.raises(ConfigError, match=r"there is no transform 'ToTensr'; did you mean 'ToTensor'\?"):
            Transform.from_config("ToTensr")

    def test_refuses_a_name_that_is_taken(self, registered: type):
        other = type("Scale", (TakeEvery,), {"__module__": "elsewhere"})
        with pytest.raises(ValueError, match=r"the name 'Scale' is taken by bridgeflow\.transforms\.scale\.Scale"):
            register(other)

    def test_takes_the_same_definition_again(self, registered: type):
        again = type("TakeEvery", (LeafTransform,), {**vars(TakeEvery), "__dict__": {}})
        assert register(again) is registry.lookup("TakeEvery")

    def test_knows_what_users_add(self, registered: type):
        check_transform(TakeEvery(nth=3))
        assert Transform.from_config({"TakeEvery": {"nth": 2}}) == TakeEvery(nth=2)

    def test_is_all_that_a_configuration_can_name(self):
        with pytest.raises(ConfigError, match="there is no transform 'TakeEvery'"):
            Transform.from_config({"TakeEvery": {"nth": 2}})
        with pytest.raises(ConfigError, match=r"there is no transform 'os\.system'"):
            Transform.from_config({"os.system": {"command": "true"}})
        with pytest.raises(ConfigError, match="TakeEvery'"):
            TakeEvery(nth=2).to_config()

    @pytest.mark.parametrize("config", [3, None, [], {}, {"Scale": 3}, {"Scale": {}, "Cast": {}}, {3: {}}])
    def test_wants_a_name_with_fields(self, config: Any):
        with pytest.raises(ConfigError, match="a transform is written as Name or as"):
            Transform.from_config(config)

    def test_has_one_schema_for_all(self):
        schema = registry.schema()
        assert json.loads(json.dumps(schema)) == schema
        assert set(schema["$defs"]) == {*registry.names(), "transform"}
        assert schema["$defs"]["Scale"]["properties"]["scale"] == {
            "description": "units per count; finite.",
            "type": "number",
            "default": 1.0,
            "minimum": -sys.float_info.max,
            "maximum": sys.float_info.max,
        }
        assert schema["$defs"]["Cast"]["required"] == ["dtype"]
        assert "Detach" in schema["$defs"]["transform"]["oneOf"][0]["enum"]
        assert "Cast" not in schema["$defs"]["transform"]["oneOf"][0]["enum"]


class TestConfiguration:
    def test_round_trip_tells_every_field(self):
        scale = Scale(scale=2, keys=["a", "b.*"])  # type: ignore[arg-type]
        config = scale.to_config()
        assert config == {
            "Scale": {"keys": ["a", "b.*"], "scale": 2, "offset": 0.0, "dtype": None, "inplace": False},
        }
        assert Scale.from_config(json.loads(json.dumps(config))) == scale

    def test_of_another_class_is_refused(self):
        with pytest.raises(ConfigError, match="Detach: expected a Scale"):
            Scale.from_config("Detach")

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"Scale": {"scael": 1}}, r"^Scale has no field 'scael'; did you mean 'scale'\?"),
            ({"Scale": {"scale": "2"}}, r"^\$\.scale: Scale: .*number.*; got '2'"),
            ({"Scale": {"scale": True}}, r"^\$\.scale: Scale: .*; got True"),
            ({"Scale": {"scale": float("nan")}}, r"^Scale: scale must be a finite number, got nan"),
            ({"Scale": {"keys": 3}}, r"^\$\.keys: Scale: .*; got 3"),
            ({"Scale": {"keys": [""]}}, r"^keys: '' is not a path"),
            ({"Scale": {"scale": {1, 2}}}, r"^\$\.scale: Scale: .*not a plain value"),
            ({"Cast": {}}, r"^Cast needs the field 'dtype'"),
            ({"Cast": {"dtype": "float12"}}, r"^\$\.dtype: Cast: .*'float16'.*; got 'float12'"),
        ],
    )
    def test_says_what_is_wrong(self, config: Any, message: str):
        with pytest.raises(ConfigError, match=message):
            Transform.from_config(config)


class TestObject:
    def test_is_equal_and_hashed_by_its_fields(self):
        assert Scale(scale=2.0, keys=("a",)) == Scale(scale=2.0, keys=("a",))
        assert len({Scale(scale=2.0), Scale(scale=2.0), Scale(scale=3.0), Detach()}) == 3

    def test_cannot_be_changed(self):
        with pytest.raises(FrozenInstanceError):
            Scale().scale = 3.0  # type: ignore[misc]

    @pytest.mark.parametrize("keys", ["ecg", ["ecg"], ("ecg",)])
    def test_takes_keys_as_they_come(self, keys: Any):
        assert TakeEvery(nth=2, keys=keys).keys == ("ecg",)

    def test_checks_keys_before_its_own_fields(self):
        with pytest.raises(ValueError, match="keys must be None or paths"):
            TakeEvery(nth=0, keys=3)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="nth must be at least 1"):
            TakeEvery(nth=0)

    def test_leaves_what_it_derived_out_of_pickles(self):
        transform = TakeEvery(nth=2)
        transform(np.zeros(3))
        copy = pickle.loads(pickle.dumps(transform))
        assert vars(copy) == {"keys": None, "nth": 2}
        assert "derived" in vars(transform)
        assert copy == transform

    def test_has_no_field_that_hides_a_method(self):
        with pytest.raises(TypeError, match="every transform has a method 'step'; call the field something else"):

            class Bad(LeafTransform):
                step: int

    def test_does_not_stream_unless_it_says_how(self):
        transform = TakeEvery(nth=2)
        assert not transform.streams
        for call in (lambda: transform.init_state(None), lambda: transform.step(np.zeros(3), None)):
            with pytest.raises(CannotStream, match="TakeEvery does not say how to carry on"):
                call()
        assert Scale().streams


class TestSelection:
    def test_without_keys_takes_all_arrays_and_no_labels(self):
        sample = {"x": torch.ones(2), "y": [np.ones(2), "label", 3, None, 2.5, True, b"b"], "z": pa.array([1.0])}
        result = ToNumpy()(sample)
        assert [kind_of(leaf) for leaf in (result["x"], result["y"][0], result["z"])] == ["numpy"] * 3
        assert result["y"][1:] == ["label", 3, None, 2.5, True, b"b"]

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ("label", r"ToNumpy was given a str, which is not an array"),
            (None, r"ToNumpy was given a NoneType, which is not an array"),
            (3.5, r"ToNumpy was given a float, which is not an array"),
            ({}, r"ToNumpy found no array in the dict: it is empty"),
            ({"id": "a", "n": 3}, r"ToNumpy found no array in the dict: \$\.id is a str, \$\.n is a int"),
            (object(), r"ToNumpy found no array in the object, whose attributes are not looked at"),
        ],
    )
    def test_data_without_an_array_is_refused(self, data: Any, message: str):
        with pytest.raises(NoRoute, match=message):
            ToNumpy()(data)
        with pytest.raises(NoRoute, match=message):
            ToNumpy().explain(data)
        with pytest.raises(NoRoute, match=r"^stage 2 \(ToNumpy\), .*(not an array|found no array)"):
            Compose([lambda x: x, ToNumpy()])(data)

    def test_with_keys_takes_those(self):
        sample = {"x": torch.ones(2), "lead": {"I": torch.ones(3), "II": torch.ones(3)}}
        result = ToNumpy(keys=("lead.II",))(sample)
        assert result["x"] is sample["x"]
        assert result["lead"]["I"] is sample["lead"]["I"]
        assert isinstance(result["lead"]["II"], np.ndarray)

    def test_several_arguments_are_one_tuple(self):
        result = ToNumpy()(torch.ones(2), "label")
        assert isinstance(result, tuple)
        assert isinstance(result[0], np.ndarray)
        assert result[1] == "label"

    def test_an_array_that_cannot_be_handled_is_named(self):
        with pytest.raises(NoRoute, match=r"^\$\.meta\[1\]: "):
            ToTensor()({"x": np.ones(2), "meta": [np.ones(2), np.array(["text"])]})

    def test_errors_of_others_get_a_note(self):
        with pytest.raises(IndexError) as caught:
            TakeEvery(nth=2, keys="*")({"x": [np.ones(2), np.array(3.0)]})
        assert caught.value.__notes__ == ["at $.x[1]"]

    def test_structures_are_learnt_again_when_they_change(self):
        transform = ToNumpy()
        for _ in range(3):
            for sample in (
                {"x": torch.ones(2)},
                {"x": torch.ones(2), "y": torch.ones(1)},
                [torch.ones(2)],
                torch.ones(2),
            ):
                result = transform(sample)
                assert {
                    kind_of(leaf) for leaf in leaves_of(result, lambda leaf: kind_of(leaf) is not None).values()
                } == {"numpy"}

    def test_many_structures_do_not_pile_up(self):
        transform = ToNumpy()
        for length in range(1, 101):
            transform([torch.ones(1)] * length)
        assert len(transform._runner._programs[0]) <= 8

    def test_a_label_that_becomes_an_array_is_not_missed(self):
        transform = ToNumpy()
        assert transform({"x": torch.ones(1), "y": None})["y"] is None
        assert isinstance(transform({"x": torch.ones(1), "y": torch.ones(1)})["y"], np.ndarray)

    def test_keys_that_match_nothing(self):
        with pytest.raises(KeyNotFound, match=r"keys: 'egc' matches nothing in the data; did you mean 'ecg'\?"):
            ToNumpy(keys=("egc",))({"ecg": torch.ones(2)})

    @given(samples())
    def test_any_nesting_comes_through(self, sample: Any):
        arrays = leaves_of(sample, lambda leaf: kind_of(leaf) is not None)
        if not arrays:
            return
        result = leaves_of(ToNumpy()(sample), lambda leaf: kind_of(leaf) is not None)
        assert list(result) == list(arrays)
        for place, array in arrays.items():
            assert isinstance(result[place], np.ndarray)
            np.testing.assert_array_equal(result[place], to_numpy(array))


class TestTables:
    TABLE = pa.table({"ecg": [1.0, 2.0], "n": [1, 2]})

    def test_become_dicts_of_columns(self):
        result = ToNumpy()(self.TABLE)
        assert {name: column.tolist() for name, column in result.items()} == {"ecg": [1.0, 2.0], "n": [1, 2]}

    def test_stay_tables_while_their_columns_are_arrow(self):
        result = Scale(scale=2.0, keys=("ecg",))(self.TABLE)
        assert isinstance(result, pa.Table)
        assert result.column("ecg").to_pylist() == [2.0, 4.0]

    def test_of_polars_are_tables(self):
        pl = pytest.importorskip("polars")
        transform = ToNumpy()
        for _ in range(2):
            result = transform({"frame": pl.DataFrame({"ecg": [1.0, 2.0]}), "label": 1})
            assert result["frame"]["ecg"].tolist() == [1.0, 2.0]
        assert len(transform._runner._programs[0]) == 1

    def test_with_columns_of_text_want_keys(self):
        table = pa.table({"ecg": [1.0], "name": ["a"]})
        with pytest.raises(NoRoute, match=r"^\$\.name: "):
            ToNumpy()(table)
        assert ToNumpy(keys=("ecg",))(table)["ecg"].tolist() == [1.0]


WITH_NULLS = {"ecg": pa.array([1.0, None]), "label": "N"}


class TestBeside:
    def test_a_mask_stands_beside_the_values(self):
        transform = ToNumpy(nulls="mask")
        for _ in range(2):
            result = transform(WITH_NULLS)
            assert list(result) == ["ecg", "label", "ecg_mask"]
            assert result["ecg_mask"].tolist() == [False, True]
        assert transform({"ecg": pa.array([1.0])})["ecg_mask"].tolist() == [False]
        assert "ecg_mask" not in transform({"ecg": np.ones(1)})

    def test_lengths_stand_beside_padded_rows(self):
        result = ToTensor(ragged="pad")({"beats": pa.array([[1.0, 2.0], [3.0]])})
        assert result["beats"].tolist() == [[1.0, 2.0], [3.0, 0.0]]
        assert result["beats_length"].tolist() == [2, 1]

    def test_a_table_gets_a_column(self):
        result = ToNumpy(nulls="mask", keys=("ecg",))(pa.table({"ecg": [1.0, None], "n": [1, 2]}))
        assert list(result) == ["ecg", "n", "ecg_mask"]

    def test_an_array_that_is_all_of_the_data_stays_in_one_piece(self):
        result = ToNumpy(nulls="mask")(pa.array([1.0, None]))
        assert result.mask.tolist() == [False, True]

    def test_there_must_be_room(self):
        with pytest.raises(DataError, match=r"\$\[0\]: '<key>_mask' needs a dict"):
            ToNumpy(nulls="mask")([pa.array([1.0, None])])

    def test_what_follows_sees_both(self):
        result = ToTensor()(ToNumpy(nulls="mask")(WITH_NULLS))
        assert result["ecg_mask"].dtype is torch.bool


class TestTrace:
    def test_tells_the_place(self):
        with trace() as seen:
            ToNumpy()({"ecg": torch.ones(2), "lead": [torch.ones(3)]})
        assert [exchange.place for exchange in seen] == ["$.ecg", "$.lead[0]"]

    def test_changes_no_result(self):
        sample = {"ecg": pa.array([1.0, None]), "lead": [], "x": "y"}
        alone = ToNumpy(nulls="mask")(sample)
        with trace():
            result = ToNumpy(nulls="mask")(sample)
        assert repr(result) == repr(alone)

    def test_errors_are_the_same(self):
        with trace(), pytest.raises(NoRoute, match=r"^\$\.x: "):
            ToTensor()({"x": np.array(["text"])})

    def test_arrow_too(self):
        with trace() as seen:
            ToArrow()({"x": np.ones((2, 3))})
        assert [exchange.action for exchange in seen] == ["view"]
