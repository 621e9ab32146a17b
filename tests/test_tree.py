"""Traversal of nested data: what is selected, what stays, and what containers become."""

from __future__ import annotations

from collections import OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.errors import DataError, KeyNotFound, NoRoute
from bridgeflow.tree import compile_recipe, leaves_of, map_leaves, open_tables, parse_key, parse_keys, place


class Box:
    """What counts as an array in these tests."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"Box({self.value})"


def is_tensor(leaf: object) -> bool:
    return isinstance(leaf, torch.Tensor)


def is_box(leaf: object) -> bool:
    return isinstance(leaf, Box)


def doubled(data: Any, keys: Any = None) -> Any:
    return map_leaves(lambda box: Box(box.value * 2), data, is_box, parse_keys(keys))


class Reading(NamedTuple):
    signal: Any
    count: int = 0  # shadows tuple.count


@dataclass(frozen=True)
class Record:
    signal: Any
    patient: str = "p"
    length: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", self.signal.value)


@dataclass(frozen=True)
class Patient:
    signal: Any
    patient: str = "p"


@dataclass
class Slotted:
    __slots__ = ("signal",)
    signal: Any


@dataclass
class Counted:
    """Whose constructor does something that must not be done again for a copy."""

    signal: Any
    seed: InitVar[int] = 0
    label: str = field(init=False, default="unset")
    runs: int = field(init=False, default=0)

    def __post_init__(self, seed: int) -> None:
        self.seeded = seed
        self.runs += 1

    @cached_property
    def energy(self) -> Any:
        return self.signal.value**2


@dataclass
class CountedChild(Counted):
    extra: Any = None


@dataclass(frozen=True, kw_only=True)
class Frozen(Patient):
    lead: Any = None


@dataclass(frozen=True, slots=True)
class FrozenSlots:
    signal: Any
    gain: float = field(init=False, default=2.0)


@dataclass(slots=True)
class SlotsChild(Slotted):
    lead: Any = None
    never_set: Any = field(init=False)


class Dated(namedtuple("Dated", "signal day")):
    """A namedtuple with attributes."""


class Tagged(dict):
    tag: str = ""


class Encoding(UserDict):
    """As tokenizers return it: a mapping with attributes of its own."""

    def __init__(self, data: Any = None, source: str = "") -> None:
        super().__init__(data)
        self.source = source


class Hidden(Mapping):
    """A mapping whose inside a plain copy would share."""

    def __init__(self, inside: dict[str, Any]) -> None:
        self._inside = inside

    def __getitem__(self, key: str) -> Any:
        return self._inside[key]

    def __iter__(self):
        return iter(self._inside)

    def __len__(self) -> int:
        return len(self._inside)


class Rows(list):
    origin: str = ""


class TestPlaces:
    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ((), "$"),
            (("ecg", "lead", 0), "$.ecg.lead[0]"),
            (("odd.name",), '$["odd.name"]'),
            (("lead I",), '$["lead I"]'),
            ((("a", 1),), "$[('a', 1)]"),
            ((3, "x"), "$[3].x"),
        ],
    )
    def test_are_written(self, path: tuple[Any, ...], text: str):
        assert place(path) == text

    @given(st.lists(st.one_of(st.integers(0, 9), st.text(min_size=1, max_size=4))))
    def test_as_a_key_select_what_they_name(self, path: list[Any]):
        data: Any = Box(1)
        for step in reversed(path):
            data = [Box(0)] * step + [data] if isinstance(step, int) else {step: data, "other": Box(0)}
        if "other" in path:
            return
        assert leaves_of(data, is_box, (place(path),)) == {place(path): Box(1)}


DATA = {"ecg": Box(1), "lead": {"I": Box(2), "II": Box(3), "V1": [Box(4), Box(5)]}, "label": "N", "a.b": Box(6)}


class TestKeys:
    @pytest.mark.parametrize(
        ("keys", "selected"),
        [
            (None, [1, 2, 3, 4, 5, 6]),
            ("$", [1, 2, 3, 4, 5, 6]),
            ("**", [1, 2, 3, 4, 5, 6]),
            ("*", [1, 2, 3, 4, 5, 6]),
            ("ecg", [1]),
            ("$.ecg", [1]),
            ("lead", [2, 3, 4, 5]),
            ("lead.*", [2, 3, 4, 5]),
            ("lead.I*", [2, 3]),
            ("lead.I?", [3]),
            ("lead.V1[1]", [5]),
            ("lead.V1[*]", [4, 5]),
            ("**[0]", [4]),
            ("**.II", [3]),
            ("lead.**", [2, 3, 4, 5]),
            ('["a.b"]', [6]),
            (("ecg", "lead.II"), [1, 3]),
            (("lead.*", "lead.II", "ecg"), [1, 2, 3, 4, 5]),
        ],
    )
    def test_select(self, keys: Any, selected: list[int]):
        recipe, boxes = compile_recipe(DATA, is_box, parse_keys(keys))
        assert [box.value for box in boxes] == selected
        assert len(recipe.places) == len(selected)

    @pytest.mark.parametrize("data", [(Box(1), "N"), [Box(1), "N"], {0: Box(1), "x": "N"}])
    def test_numbers_select_positions_and_integer_keys(self, data: Any):
        assert leaves_of(data, is_box, ("[0]",)) == {"$[0]": Box(1)}

    def test_that_match_nothing_name_the_nearest(self):
        with pytest.raises(KeyNotFound, match=r"keys: 'egc' matches nothing in the data; did you mean 'ecg'\?"):
            doubled(DATA, ("egc",))
        with pytest.raises(KeyNotFound, match=r"did you mean 'lead.V1"):
            doubled(DATA, ("lead.V2",))
        with pytest.raises(KeyNotFound, match="there are none"):
            doubled(Box(1), ("ecg",))

    @pytest.mark.parametrize("key", ["label", "lab*", "**.label"])
    def test_that_name_no_array_are_refused(self, key: str):
        with pytest.raises(NoRoute, match=r"\$\.label: keys='.*' selects a str, which is not an array"):
            doubled(DATA, (key,))

    def test_that_name_a_container_without_arrays_are_refused(self):
        with pytest.raises(NoRoute, match=r"\$\.meta: .*container without any array"):
            doubled({"ecg": Box(1), "meta": {"id": 3}}, ("meta",))

    def test_leave_labels_inside_a_selected_container_alone(self):
        assert doubled({"lead": {"I": Box(1), "unit": "mV"}}, ("lead",)) == {"lead": {"I": Box(2), "unit": "mV"}}

    @pytest.mark.parametrize("key", ["", "a..b", "a[", "a[x]", "a]b"])
    def test_that_are_no_paths_are_refused(self, key: str):
        with pytest.raises(ValueError, match="is not a path"):
            parse_key(key)

    @pytest.mark.parametrize("keys", [(), 3, (3,), {"ecg"}])
    def test_that_are_no_tuple_of_paths_are_refused(self, keys: Any):
        with pytest.raises(ValueError, match="keys must be None or paths"):
            parse_keys(keys)


class TestContainers:
    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (Box(1), Box(2)),
            ("label", "label"),
            ({"b": Box(1), "a": None}, {"b": Box(2), "a": None}),
            ([Box(1), 3], [Box(2), 3]),
            ((Box(1), 3.5), (Box(2), 3.5)),
            (Reading(Box(1), 7), Reading(Box(2), 7)),
            (Patient(Box(1), "q"), Patient(Box(2), "q")),
            (Slotted(Box(1)), Slotted(Box(2))),
            (OrderedDict(b=Box(1), a=2), OrderedDict(b=Box(2), a=2)),
            (defaultdict(list, b=Box(1)), defaultdict(list, b=Box(2))),
            (MappingProxyType({"b": Box(1)}), MappingProxyType({"b": Box(2)})),
            ({"a": [{"b": (Box(1),)}]}, {"a": [{"b": (Box(2),)}]}),
            ({}, {}),
            ([], []),
        ],
    )
    def test_keep_their_type_and_the_input_its_contents(self, data: Any, expected: Any):
        before = repr(data)
        result = doubled(data)
        assert result == expected
        assert type(result) is type(expected)
        assert repr(data) == before

    def test_keep_the_order_of_the_data_at_hand(self):
        recipe, _ = compile_recipe({"a": Box(1), "b": Box(2)}, is_box)
        other = {"b": Box(2), "a": Box(1)}
        leaves = recipe.take(other)
        assert leaves is not None
        assert list(recipe.put(other, leaves)) == ["b", "a"]

    def test_dict_subclasses_keep_their_attributes(self):
        data = Tagged(x=Box(1))
        data.tag = "t"
        result = doubled(data)
        assert (type(result), result.tag, result["x"], data["x"]) == (Tagged, "t", Box(2), Box(1))

    def test_list_subclasses_keep_their_attributes(self):
        data = Rows([Box(1), "x"])
        data.origin = "o"
        result = doubled(data)
        assert (type(result), result.origin, list(result), list(data)) == (Rows, "o", [Box(2), "x"], [Box(1), "x"])

    def test_user_dicts_keep_their_attributes(self):
        data = Encoding({"x": Box(1)}, source="s")
        result = doubled(data)
        assert (type(result), result.source, result["x"], data["x"]) == (Encoding, "s", Box(2), Box(1))

    def test_other_mappings_are_built_anew(self):
        data = Hidden({"x": Box(1), "y": 2})
        result = doubled(data)
        assert (type(result), dict(result), dict(data)) == (Hidden, {"x": Box(2), "y": 2}, {"x": Box(1), "y": 2})

    def test_default_dicts_get_no_entries_from_being_looked_at(self):
        recipe, _ = compile_recipe(defaultdict(list, x=Box(1)), is_box)
        other = defaultdict(list, y=Box(1))
        assert recipe.take(other) is None
        assert dict(other) == {"y": Box(1)}

    @pytest.mark.parametrize("cls", [Counted, CountedChild])
    def test_dataclasses_are_copied_and_not_constructed_again(self, cls: type):
        data = cls(Box(3), seed=7)
        data.label, data.note, _ = "N", "an attribute that is not a field", data.energy
        result = doubled(data)
        assert type(result) is cls
        assert (result.signal, result.seeded, result.label, result.runs, result.note) == (Box(6), 7, "N", 1, data.note)
        assert (data.signal, data.energy, result.energy) == (Box(3), 9, 36)

    def test_fields_that_the_constructor_does_not_take_are_children_too(self):
        data = Counted(Box(3))
        data.label = Box(4)
        assert leaves_of(data, is_box) == {"$.signal": Box(3), "$.label": Box(4)}
        assert doubled(data).label == Box(8)

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (Frozen(signal=Box(1), lead=Box(2)), Frozen(signal=Box(2), lead=Box(4))),
            (FrozenSlots(Box(1)), FrozenSlots(Box(2))),
        ],
    )
    def test_frozen_dataclasses_are_copied(self, data: Any, expected: Any):
        assert doubled(data) == expected
        assert doubled(data) is not data

    def test_slots_of_base_classes_and_fields_never_set_are_copied_as_they_are(self):
        result = doubled(SlotsChild(Box(1), lead="I"))
        assert (result.signal, result.lead, hasattr(result, "never_set")) == (Box(2), "I", False)

    def test_dataclasses_that_cannot_be_copied_are_named(self):
        @dataclass
        class Failure(ValueError):
            signal: Any

        with pytest.raises(DataError, match=r"\$\.rec: cannot build another Failure"):
            doubled({"rec": Failure(Box(1))})

    def test_namedtuples_keep_their_attributes(self):
        data = Dated(Box(1), "monday")
        data.station = "north"
        result = doubled(data)
        assert (type(result), result, result.station) == (Dated, (Box(2), "monday"), "north")

    def test_tensordicts_are_read_by_their_keys(self):
        tensordict = pytest.importorskip("tensordict")
        inner = {"rate": torch.arange(3.0)}
        data = tensordict.TensorDict({"ecg": torch.ones(3, 4), "inner": inner}, batch_size=[3])
        recipe, leaves = compile_recipe(data, is_tensor)
        assert recipe.places == ("$.ecg", "$.inner.rate")
        result = recipe.put(data, [leaf * 2 for leaf in leaves])
        assert (type(result), result.batch_size) == (type(data), data.batch_size)
        assert result["ecg"].tolist() == [[2.0] * 4] * 3
        assert result["inner", "rate"].tolist() == [0.0, 2.0, 4.0]
        assert data["ecg"].tolist() == [[1.0] * 4] * 3
        assert data["inner", "rate"].tolist() == [0.0, 1.0, 2.0]
        assert recipe.take(result) is not None
        assert recipe.take(tensordict.TensorDict({"ecg": torch.ones(3, 4)}, batch_size=[3])) is None
        assert leaves_of(data, is_tensor, ("inner",)).keys() == {"$.inner.rate"}

    def test_tensordicts_refuse_what_is_not_a_tensor_by_name(self):
        tensordict = pytest.importorskip("tensordict")
        data = tensordict.TensorDict({"ecg": torch.ones(3)}, batch_size=[3])
        with pytest.raises(DataError, match=r"\$\.ecg: a TensorDict holds tensors alone, not a list; call .to_dict"):
            map_leaves(lambda t: t.tolist(), data, is_tensor)

    def test_instances_of_a_tensorclass_are_read_by_their_keys(self):
        tensordict = pytest.importorskip("tensordict")

        class Beat:
            ecg: torch.Tensor
            label: str

        Beat.__annotations__ = {"ecg": torch.Tensor, "label": str}
        data = tensordict.tensorclass(Beat)(ecg=torch.ones(3, 4), label="N", batch_size=[3])
        result = map_leaves(lambda t: t * 2, data, is_tensor)
        assert (type(result), result.label, result.ecg.sum().item(), data.ecg.sum().item()) == (type(data), "N", 24, 12)

    def test_return_types_of_torch_are_tuples(self):
        data = torch.max(torch.tensor([[1.0, 3.0]]), dim=1)
        result = map_leaves(lambda t: t.tolist(), data, lambda leaf: isinstance(leaf, torch.Tensor))
        assert type(result) is type(data)
        assert result.values == [3.0]
        assert result.indices == [1]

    def test_without_an_array_are_the_same_objects(self):
        data = {"x": Box(1), "meta": {"size": torch.Size((1, 2)), "tags": ["a"]}}
        assert doubled(data)["meta"] is data["meta"]

    def test_that_cannot_be_built_again_are_named(self):
        class Stubborn(Hidden):
            def __init__(self, inside: dict[str, Any], secret: int) -> None:
                super().__init__(inside)

        with pytest.raises(DataError, match=r"\$\.rec: cannot build another Stubborn .*secret"):
            doubled({"rec": Stubborn({"x": Box(1)}, 3)})

    def test_that_hold_themselves_are_refused(self):
        data: dict[str, Any] = {}
        data["self"] = data
        with pytest.raises(DataError, match="does a container hold itself"):
            doubled(data)

    def test_may_be_deep(self):
        data: Any = Box(1)
        for _ in range(100):
            data = [data]
        result = doubled(data)
        for _ in range(100):
            (result,) = result
        assert result == Box(2)


STRUCTURES = [
    Box(1),
    {"a": Box(1), "b": "x"},
    {"a": Box(1), "b": 3},
    {"a": Box(1)},
    {"a": Box(1), "c": "x"},
    {"a": Box(1), "b": "x", "c": None},
    {"a": "x", "b": Box(1)},
    OrderedDict(a=Box(1), b="x"),
    {"a": {"b": Box(1)}},
    {"a": {"b": Box(1), "c": 2}},
    {"a": [Box(1)]},
    [Box(1)],
    [Box(1), Box(2)],
    [Box(1), "x"],
    (Box(1),),
    Reading(Box(1), 1),
    Reading(1, Box(1)),
    Record(Box(1)),
    Slotted(Box(1)),
    MappingProxyType({"a": Box(1)}),
]


class TestRecipes:
    @pytest.mark.parametrize("keys", [None, ("**",), ("*",)], ids=str)
    def test_take_data_of_their_own_structure_alone(self, keys: Any):
        for one in STRUCTURES:
            try:
                recipe, leaves = compile_recipe(one, is_box, keys)
            except (KeyNotFound, NoRoute):
                continue
            assert recipe.take(one) == leaves
            for other in STRUCTURES:
                if other is not one:
                    assert recipe.take(other) is None, (one, other)

    def test_with_plain_keys_look_at_nothing_else(self):
        recipe, _ = compile_recipe({"a": Box(1), "b": 3}, is_box, ("a",))
        assert recipe.take({"a": Box(2), "c": "x", "d": Box(3)}) == [Box(2)]
        assert recipe.take({"a": 2, "b": 3}) is None
        assert recipe.take({"b": 3}) is None

    @given(st.data())
    def test_put_back_what_they_took(self, draw: st.DataObject):
        leaves = st.one_of(st.integers().map(Box), st.none(), st.text(max_size=2))
        data = draw.draw(
            st.recursive(
                leaves,
                lambda inner: st.one_of(
                    st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
                    st.lists(inner, max_size=3),
                    st.lists(inner, max_size=3).map(tuple),
                    st.builds(Reading, inner, st.integers()),
                ),
                max_leaves=10,
            )
        )
        recipe, boxes = compile_recipe(data, is_box)
        assert recipe.put(data, boxes) == data
        assert len(set(recipe.places)) == len(recipe.places) == len(boxes)
        for path, box in zip(recipe.places, boxes, strict=True):
            assert leaves_of(data, is_box, (path,)) == {path: box}

    def test_add_beside_a_leaf(self):
        data = {"lead": {"I": Box(1)}, "x": 1}
        recipe, _ = compile_recipe(data, is_box)
        result = recipe.put_beside(data, [Box(2)], {0: {"mask": Box(3)}})
        assert result == {"lead": {"I": Box(2), "I_mask": Box(3)}, "x": 1}

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ([Box(1)], r"\$\[0\]: '<key>_mask' needs a dict to be added to, and this is in a list"),
            (Reading(Box(1)), r"\$\.signal: .* in a Reading"),
            ({"x": Box(1), "x_mask": 1}, r"\$\.x: cannot add 'x_mask' beside it: the key is there already"),
            ({3: Box(1)}, r"\$\[3\]: cannot add '3_mask' beside it: its key is not a string"),
        ],
    )
    def test_add_nowhere_else(self, data: Any, message: str):
        recipe, boxes = compile_recipe(data, is_box)
        with pytest.raises(DataError, match=message):
            recipe.put_beside(data, boxes, {0: {"mask": Box(3)}})


def is_arrow(leaf: object) -> bool:
    return isinstance(leaf, (pa.Array, pa.ChunkedArray))


class TestTables:
    SCHEMA = pa.schema([pa.field("ecg", pa.float64(), metadata={"fs": "360"}), ("id", pa.int64())], metadata={"a": "b"})
    BATCH = pa.RecordBatch.from_pydict({"ecg": [1.0, 2.0], "id": [1, 2]}, schema=SCHEMA)

    @pytest.mark.parametrize("table", [BATCH, pa.table(BATCH)], ids=["RecordBatch", "Table"])
    def test_stay_tables_while_all_columns_are_arrow(self, table: Any):
        result = map_leaves(lambda column: column.cast(pa.float32()), table, is_arrow, ("ecg",))
        assert type(result) is type(table)
        assert result.schema.field("ecg").type == pa.float32()
        assert result.schema.field("ecg").metadata == {b"fs": b"360"}
        assert result.schema.metadata == {b"a": b"b"}
        assert result.column("id").equals(table.column("id"))

    def test_become_tables_where_a_column_comes_back_chunked(self):
        result = map_leaves(lambda column: pa.chunked_array([column]), self.BATCH, is_arrow, ("ecg",))
        assert type(result) is pa.Table

    def test_become_dicts_of_columns_otherwise(self):
        result = map_leaves(lambda column: column.to_numpy(), self.BATCH, is_arrow, ("ecg",))
        assert result["ecg"].tolist() == [1.0, 2.0]
        assert result["id"] is not None
        assert list(result) == ["ecg", "id"]

    def test_of_columns_that_changed_length_become_dicts(self):
        result = map_leaves(lambda column: column[:1], self.BATCH, is_arrow, ("ecg",))
        assert isinstance(result, dict)
        assert isinstance(map_leaves(lambda column: column[:1], self.BATCH, is_arrow), pa.RecordBatch)

    def test_with_equal_names_are_refused(self):
        table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
        with pytest.raises(DataError, match=r"\$\.t: the table has several columns named 'x'"):
            map_leaves(lambda column: column, {"t": table}, is_arrow)

    def test_recipes_tell_their_columns(self):
        recipe, _ = compile_recipe(self.BATCH, is_arrow)
        assert recipe.take(self.BATCH) is not None
        assert recipe.take(self.BATCH.select(["ecg"])) is None
        assert recipe.take(self.BATCH.rename_columns(["ecg", "no"])) is None
        assert recipe.take(pa.table(self.BATCH)) is None

    def test_may_get_columns_beside(self):
        recipe, columns = compile_recipe(self.BATCH, is_arrow, ("ecg",))
        result = recipe.put_beside(self.BATCH, columns, {0: {"mask": pa.array([False, True])}})
        assert result.schema.names == ["ecg", "id", "ecg_mask"]

    def test_of_others_are_opened(self):
        frame = pl.DataFrame({"ecg": [1.0, 2.0]})
        opened = open_tables({"frame": frame, "series": frame["ecg"], "n": 1})
        assert type(opened["frame"]) is pa.Table
        assert opened["series"] is not None
        assert isinstance(opened["series"], pl.Series)

    def test_that_stream_once_are_read_once(self):
        reader = pa.RecordBatchReader.from_batches(self.SCHEMA, [self.BATCH, self.BATCH])
        assert open_tables([reader])[0].num_rows == 4

    def test_are_not_looked_for_in_vain(self):
        data = {"x": torch.zeros(2), "y": [1]}
        assert open_tables(data) is data


def test_old_style_namedtuples_are_namedtuples_too():
    Old = namedtuple("Old", "a b")
    assert doubled(Old(Box(1), 2)) == Old(Box(2), 2)
