"""What counts as an array for a transform, and when it has to be told which arrays are meant."""

from __future__ import annotations

import array
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow import Compose, SignalDataset
from bridgeflow.bridge import trace
from bridgeflow.errors import ConfigError, CopyRefused, NoRoute
from bridgeflow.pipeline.streams import Chunk, Streams
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms import (
    Cast,
    Clone,
    LeafTransform,
    Scale,
    SignalFilter,
    ToArrow,
    ToNumpy,
    ToTensor,
    Transform,
    Welch,
    Window,
)
from tests.transforms.test_contracts import EXAMPLES

LOW = {"design": "butter", "btype": "lowpass", "cutoff": 10, "order": 2, "fs": 100}
X = np.random.default_rng(0).standard_normal((3, 50))


def h5py_dataset(x: np.ndarray) -> Any:
    h5py = pytest.importorskip("h5py")
    return h5py.File.in_memory().create_dataset("x", data=x)


def zarr_array(x: np.ndarray) -> Any:
    return pytest.importorskip("zarr").array(x)


LIKE: dict[str, Any] = {
    "list": lambda x: x.tolist(),
    "tuple": lambda x: tuple(x[0].tolist()),
    "list of tuples": lambda x: [tuple(row) for row in x.tolist()],
    "list of NumPy scalars": lambda x: list(x[0]),
    "array.array": lambda x: array.array("d", x[0]),
    "memoryview": memoryview,
    "read-only memoryview": lambda x: memoryview(x.tobytes()).cast("d", x.shape),
    "h5py": h5py_dataset,
    "zarr": zarr_array,
}
TRANSFORMS: dict[str, Transform] = {
    "SignalFilter": SignalFilter(**LOW),
    "Welch": Welch(fs=100.0, nperseg=16),
    "Window": Window(length=10),
    "Scale": Scale(scale=2.0),
    "Cast": Cast(dtype="float32"),
    "Clone": Clone(),
    "ToNumpy": ToNumpy(),
    "ToTensor": ToTensor(),
    "ToArrow": ToArrow(),
    "Compose": Compose([Scale(scale=2.0), SignalFilter(**LOW), ToTensor()]),
}


def numbers(x: Any) -> Any:
    return np.asarray(x.to_numpy_ndarray() if isinstance(x, pa.FixedShapeTensorArray) else x).tolist()


@pytest.mark.parametrize("like", LIKE.values(), ids=LIKE)
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
class TestArrayLike:
    def test_is_read_as_numpy_reads_it(self, transform: Transform, like: Any):
        x = like(X)
        expected = transform(np.asarray(x))
        for _ in range(2):  # the first call learns the structure
            for data, take in (
                (x, lambda actual: actual),
                ({"ecg": x, "label": 1, "id": "a"}, lambda actual: actual["ecg"]),
                ([{"ecg": x}, "a"], lambda actual: actual[0]["ecg"]),
                ((x, 3), lambda actual: actual[0]),
            ):
                actual = take(transform(data))
                assert type(actual) is type(expected)
                assert numbers(actual) == numbers(expected)

    def test_is_planned_as_it_is_read(self, transform: Transform, like: Any):
        x = like(X)
        with trace() as record:
            actual = transform({"ecg": x, "id": "a"})
        plan = transform.explain({"ecg": x, "id": "a"})
        assert plan.result["ecg"].admits(ToNumpy().explain(actual["ecg"]).steps[0].source)
        read = [step for step in plan.exchanges if step.source.kind == "array_like"]
        assert [step.nbytes for step in read] == [
            one.nbytes for one in record.exchanges if one.source.kind == "array_like"
        ]


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"Compose", "ToDevice", "Istft"}))
def test_every_transform_takes_a_list_of_numbers(name: str):
    transform = EXAMPLES[name][0]
    x = np.abs(X)
    actual, expected = (transform({transform_key(transform): one})[transform_key(transform)] for one in (x.tolist(), x))
    assert type(actual) is type(expected)


def transform_key(transform: Any) -> str:
    return (transform.keys or ("x",))[0]


class TestLists:
    def test_of_arrays_stay_containers(self):
        actual = Scale(scale=2.0)({"x": [torch.ones(2), torch.ones(3)]})
        assert [row.tolist() for row in actual["x"]] == [[2, 2], [2, 2, 2]]

    def test_beside_arrays_pass_unless_keys_select_them(self):
        data = {"x": np.ones(2), "box": [1, 2], "size": (3, 4)}
        assert Scale(scale=2.0)(data)["box"] is data["box"]
        assert ToTensor()(data)["size"] is data["size"]
        keyed = Scale(scale=2.0, keys=("x", "box"))(data)
        assert (keyed["box"].tolist(), keyed["size"]) == ([2.0, 4.0], (3, 4))
        assert Scale(scale=2.0, keys="*")(data)["size"].tolist() == [6.0, 8.0]

    def test_a_structure_with_a_list_is_not_taken_for_one_with_arrays(self):
        scale = Scale(scale=2.0, keys="x")
        for _ in range(2):
            assert scale({"x": [1.0, 2.0]})["x"].tolist() == [2.0, 4.0]
            assert [row.tolist() for row in scale({"x": [np.ones(1), np.ones(1)]})["x"]] == [[2.0], [2.0]]
            assert scale({"x": np.ones(1)})["x"].tolist() == [2.0]

    @pytest.mark.parametrize(
        ("x", "message"),
        [
            ([[1.0, 2.0], [3.0]], r"\$\.x: the rows of the list of numbers differ in length or depth \[ragged\]; pad"),
            ([1.0, None], r"\$\.x: the list of numbers holds None \[nulls\]; put float\('nan'\)"),
            ((1, 2**70), r"\$\.x: the tuple of numbers holds an integer of more than 64 bits \[dtype\]"),
        ],
    )
    @pytest.mark.parametrize("keys", [None, "x"])
    @pytest.mark.parametrize("transform", [Scale(scale=2.0), SignalFilter(**LOW)], ids=lambda t: type(t).__name__)
    def test_that_cannot_be_read_are_named(self, transform: Any, keys: Any, x: Any, message: str):
        from dataclasses import replace

        with pytest.raises(NoRoute, match=message):
            replace(transform, keys=keys)({"x": x, "id": "a"})

    def test_of_numbers_and_text_are_not_arrays(self):
        with pytest.raises(NoRoute, match=r"found no array in the list: \$\[0\] is a int, \$\[1\] is a str"):
            Scale()([1, "a"])

    @pytest.mark.parametrize("keys", ["x", ("x",)])
    def test_of_something_else_are_named(self, keys: Any):
        with pytest.raises(NoRoute, match=r"\$\.x: keys='x' selects a container without any array in it"):
            Scale(keys=keys)({"x": ["a", "b"], "y": np.ones(2)})

    def test_may_be_entered_by_a_key(self):
        data = {"rows": [[1.0, 2.0], [3.0, 4.0]], "n": 1}
        for call in (Scale(scale=2.0, keys="rows[0]"), Compose([Scale(scale=2.0, keys="rows[0]")])):
            actual = call(data)
            assert (actual["rows"][0].tolist(), actual["rows"][1]) == ([2.0, 4.0], [3.0, 4.0])
        with pytest.raises(NoRoute, match=r"\$\.rows\[0\]\[1\]: .*selects a float"):
            Scale(keys="rows[0][1]")(data)

    @pytest.mark.parametrize("transform", [ToNumpy(copy="never"), ToTensor(copy="never"), ToArrow(copy="never")])
    def test_are_refused_where_nothing_may_be_copied(self, transform: Transform):
        for call in (transform, transform.explain):
            with pytest.raises(CopyRefused, match=r"\$\.x: .*decode"):
                call({"x": [1.0, 2.0]})
            assert call({"x": memoryview(np.ones(2))}) is not None

    def test_in_a_stream_are_chunks(self):
        low = SignalFilter(**LOW)
        expected = low(X)
        streams = Streams(low)
        parts = [
            streams.push(Chunk(data={"x": X[:, a:b].tolist(), "id": "a"}, start=a, last=b == 50))["x"]
            for a, b in ((0, 20), (20, 50))
        ]
        np.testing.assert_array_equal(np.concatenate(parts, axis=-1), expected)

    def test_in_columns_of_a_batch(self):
        """What Hugging Face's `with_transform` hands over: a dict with a list for each column."""
        batch = {"ecg": X.tolist(), "label": [0, 1, 0], "id": ["a", "b", "c"]}
        actual = Compose([SignalFilter(**LOW, keys="ecg"), ToTensor(keys=("ecg", "label"))])(batch)
        np.testing.assert_array_equal(actual["ecg"].numpy(), SignalFilter(**LOW)(X))
        assert (actual["label"].tolist(), actual["id"]) == ([0, 1, 0], ["a", "b", "c"])
        with pytest.raises(ConfigError, match=r"several arrays: \$\.ecg, \$\.label"):
            SignalFilter(**LOW)(batch)

    def test_in_a_dataset_of_hugging_face(self):
        datasets = pytest.importorskip("datasets")
        rows = datasets.Dataset.from_dict({"ecg": X.tolist(), "label": [0, 1, 0]})
        low = SignalFilter(**LOW, keys="ecg")
        batch = rows.with_transform(low)[:]
        np.testing.assert_array_equal(batch["ecg"], low({"ecg": X})["ecg"])
        assert batch["label"] == [0, 1, 0]


@dataclass(frozen=True, kw_only=True)
class Cumulated(LeafTransform):
    """A user's own transform along time."""

    core_ndim: ClassVar[int] = 1

    def apply(self, x: Any) -> Any:
        return x.cumsum(-1)

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        return spec.fresh()


ALONG_TIME = [
    one
    for name in sorted(EXAMPLES)
    for one in EXAMPLES[name][:1]
    if isinstance(one, LeafTransform) and one.along_time and one.keys is None
]


class TestSeveralArrays:
    def test_are_asked_for_by_those_that_look_along_time(self):
        names = {type(one).__name__ for one in ALONG_TIME}
        assert names >= {"SignalFilter", "Window", "Welch", "Resample", "Decimate", "Scipy", "Detrend", "Stft"}
        assert not names & {"Scale", "Cast", "ToTensor", "ToNumpy", "ToArrow", "Clone", "Detach", "SharedView"}

    @pytest.mark.parametrize("transform", [*ALONG_TIME, Cumulated()], ids=lambda one: type(one).__name__)
    @pytest.mark.parametrize(
        "data",
        [
            {"ecg": X, "label": np.array([0, 1, 0])},
            {"ecg": torch.from_numpy(X), "label": torch.tensor(3)},
            {"ecg": X, "label": [0, 1, 0]},
            {"ecg": X.tolist(), "label": [0, 1, 0]},
            (X, np.array([0, 1, 0])),
            pa.table({"ecg": [1.0, 2.0], "label": [0, 1]}),
        ],
        ids=["ndarrays", "tensors", "array and list", "lists", "tuple", "table"],
    )
    def test_need_keys(self, transform: LeafTransform, data: Any):
        name = type(transform).__name__
        message = rf'{name} works along time, and the data holds several arrays: \$.*; say which .*keys="\*" for all'
        for call in (transform, transform.explain):
            with pytest.raises(ConfigError, match=message):
                call(data)
        with pytest.raises(ConfigError, match=rf"^stage 2 \({name}\): {message}"):
            Compose([lambda x: x, transform])(data)

    def test_one_array_needs_none(self):
        low = SignalFilter(**LOW)
        for data in ({"ecg": X, "label": 1, "id": "a"}, [X], (X, "N", 3, None)):
            assert low(data) is not None
        assert Cumulated()({"x": np.ones(3), "n": 2})["x"].tolist() == [1, 2, 3]

    def test_with_a_star_are_all_taken_at_any_depth(self):
        data = {"ecg": X, "more": [{"eeg": X * 2}, "a"], "n": 3}
        low = SignalFilter(**LOW)
        actual = SignalFilter(**LOW, keys="*")(data)
        np.testing.assert_array_equal(actual["ecg"], low(X))
        np.testing.assert_array_equal(actual["more"][0]["eeg"], low(X * 2))
        assert (actual["more"][1], actual["n"]) == ("a", 3)
        np.testing.assert_array_equal(SignalFilter(**LOW, keys="*")(X), low(X))

    def test_of_a_dataset_need_keys(self):
        source = {"ecg": X.astype("float32"), "label": np.arange(3)}
        with pytest.raises(ConfigError, match=r"several arrays: \$\.ecg, \$\.label"):
            SignalDataset(source, SignalFilter(**LOW))[0]
        assert SignalDataset(source, SignalFilter(**LOW, keys="ecg"))[0]["label"] == 0

    def test_of_a_stream_need_keys(self):
        chunk = Chunk(data={"ecg": X, "label": X[0]}, start=0)
        with pytest.raises(ConfigError, match=r"several arrays: \$\.ecg, \$\.label"):
            Streams(SignalFilter(**LOW)).push(chunk)
        assert Streams(SignalFilter(**LOW, keys="ecg")).push(chunk)["label"] is chunk.data["label"]


class TestForeignObjects:
    def test_stored_arrays_are_only_read(self):
        zarr = pytest.importorskip("zarr")
        z = zarr.full((2, 3), 1.5, dtype="f8")
        z[:] = np.arange(6.0).reshape(2, 3)
        actual = Scale(scale=2.0)({"x": z})["x"]
        assert actual.tolist() == [[0, 2, 4], [6, 8, 10]]
        assert (float(z.fill_value), np.asarray(z).tolist()) == (1.5, [[0, 1, 2], [3, 4, 5]])

    def test_groups_are_not_containers(self):
        zarr = pytest.importorskip("zarr")
        group = zarr.group()
        group.create_array("x", shape=(2,), dtype="f8", fill_value=1.5)
        with pytest.raises(NoRoute, match="found no array in the Group, whose attributes are not looked at"):
            Scale(scale=2.0)(group)
        assert Scale(scale=2.0)({"group": group, "x": np.ones(1)})["group"] is group

    def test_instances_of_attrs_classes_and_pydantic_models_are_leaves(self):
        attrs, pydantic = pytest.importorskip("attrs"), pytest.importorskip("pydantic")

        @attrs.define
        class Beat:
            ecg: Any

        class Model(pydantic.BaseModel):
            ecg: Any

        for one in (Beat(X), Model(ecg=X)):
            with pytest.raises(NoRoute, match=rf"found no array in the {type(one).__name__}, whose attributes"):
                Scale()(one)


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a .functools.lru_cache")
class TestSymbolicLabels:
    @pytest.mark.parametrize("labels", [(3, 5), (2.5, 3.5), (True, False)], ids=["int", "float", "bool"])
    @pytest.mark.parametrize("nested", [False, True])
    def test_pass_through_compiled_functions(self, labels: Any, nested: bool):
        torch._dynamo.reset()
        double = Scale(scale=2.0)

        def step(x: torch.Tensor, label: Any) -> Any:
            data = {"x": x, "more": [label, {"n": label}]} if nested else {"x": x, "label": label}
            actual = double(data)
            return actual["x"].sum() + (actual["more"][1]["n"] if nested else actual["label"])

        x = torch.arange(6.0)
        compiled = torch.compile(step, backend="eager", dynamic=True)
        for label in labels:
            assert compiled(x, label) == step(x, label)
