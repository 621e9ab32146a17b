"""Samples and batches of a dataset have equal numbers, whatever the transform and the columns are."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch

from bridgeflow import (
    Cast,
    Clone,
    Compose,
    Detach,
    Istft,
    LeafTransform,
    Resample,
    Scale,
    SharedView,
    SignalFilter,
    Stft,
    ToArrow,
    ToNumpy,
    ToTensor,
    Window,
)
from bridgeflow.bridge import describe, kind_of, to_numpy
from bridgeflow.errors import DataError, NonFinite, NoRoute
from bridgeflow.io import open_sink, open_source
from bridgeflow.pipeline.batches import collate
from bridgeflow.pipeline.dataset import SignalDataset
from bridgeflow.randomness import generators
from bridgeflow.transforms import Transform
from tests.transforms.test_contracts import EXAMPLES

BUTTER: dict[str, Any] = {"design": "butter", "cutoff": 20.0, "fs": 100.0, "order": 4}
SHORT: dict[str, Any] = {"fs": 100.0, "nperseg": 16, "hop": 4}
ECG = np.random.default_rng(0).standard_normal((40, 3, 64), dtype=np.float32)
PICKS: list[Any] = [[0], [39], [3, 4, 5, 6, 7], [9, 2, 2, 30, 17, 11, 0], list(range(40))]


def write(path: Path, **columns: Any) -> Path:
    with open_sink(path, settings={"fs": 100}) as sink:
        sink.write(columns)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("dataset")
    columns = {
        "ecg": ECG,
        "label": np.arange(40),
        "id": pa.array([f"row {i}" for i in range(40)]),
        "beats": pa.array([[float(i)] * (i % 4 + 1) for i in range(40)]),
    }
    return {
        "arrow": write(folder / "all.arrow", **columns),
        "parquet": write(folder / "all.parquet", **columns),
        "ecg": write(folder / "ecg.arrow", ecg=ECG),
        "double": write(folder / "double.arrow", ecg=ECG.astype("float64")),
    }


def assert_equal(seen: Any, reference: Any) -> None:
    """Equal to the bit: structure, kinds, dtypes, shapes, numbers."""
    if isinstance(reference, dict):
        assert type(seen) is type(reference)
        assert list(seen) == list(reference)
        for name in reference:
            assert_equal(seen[name], reference[name])
    elif isinstance(reference, (list, tuple)):
        assert type(seen) is type(reference)
        assert len(seen) == len(reference)
        for one, other in zip(seen, reference, strict=True):
            assert_equal(one, other)
    elif kind_of(reference) is not None:
        kinds = {kind_of(seen), kind_of(reference)}
        assert len(kinds) == 1 or kinds == {"torch", "dlpack"}  # `Shared`: several views, the tensor one of them
        if describe(reference).device == "meta":
            assert describe(seen) == describe(reference)
            return
        mine, theirs = (to_numpy(one, bfloat16="uint16") for one in (seen, reference))
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
        assert mine.tobytes() == theirs.tobytes()
    else:
        assert seen == reference


def assert_samples_are_batches(dataset: SignalDataset) -> None:
    for picked in PICKS:
        batch = dataset.batch(picked)
        alone = [dataset[row] for row in picked]
        assert_equal(batch, collate(alone, ragged=dataset.ragged))
        together = dataset.__getitems__(picked)
        assert_equal(list(together), alone)
        assert_equal(collate(together), batch)
    assert_equal(dataset.batch(slice(5, 9)), dataset.batch([5, 6, 7, 8]))


class TestSamplesAndBatches:
    @pytest.mark.parametrize("kind", ["torch", "numpy"])
    @pytest.mark.parametrize("suffix", ["arrow", "parquet"])
    def test_without_a_transform(self, files: dict[str, Path], suffix: str, kind: Any):
        dataset = SignalDataset(files[suffix], ragged="pad", kind=kind)
        assert_samples_are_batches(dataset)
        sample = dataset[7]
        assert kind_of(sample["ecg"]) == kind
        np.testing.assert_array_equal(sample["ecg"], ECG[7])
        assert (sample["label"].shape, int(sample["label"]), sample["id"]) == ((), 7, "row 7")
        assert (sample["beats"].tolist(), sample["beats_length"]) == ([7.0] * 4, 4)

    @pytest.mark.parametrize("source", ["ecg", "double"])
    @pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"Istft"}))
    def test_through_every_registered_transform(self, files: dict[str, Path], name: str, source: str):
        for transform in EXAMPLES[name]:
            assert_samples_are_batches(SignalDataset(files[source], transform))

    @pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"Compose", "Istft"}))
    def test_registered_transforms_run_once_for_a_batch(self, name: str):
        """All built-in transforms say so, and the suite above shows that they may."""
        assert EXAMPLES[name][0].core_ndim in (0, 1, 2)

    @pytest.mark.parametrize(
        "transform",
        [
            lambda sample: {**sample, "ecg": sample["ecg"] * 2, "n": 3},
            lambda sample: (sample["ecg"], sample["id"], None),
            Compose([SignalFilter(**BUTTER, keys="ecg"), lambda sample: sample, Scale(scale=2.0, keys="ecg")]),
            Compose([Scale(scale=2.0, keys="ecg"), Window(length=16, first=True, keys="ecg"), ToNumpy(keys="ecg")]),
            Compose([SignalFilter(**BUTTER, keys="ecg"), lambda sample: sample["ecg"].mean()]),
            Compose([SignalFilter(**BUTTER, keys="ecg"), SharedView(keys="ecg"), Scale(keys="ecg")]),
            Compose([ToArrow(keys="ecg"), Scale(scale=2.0, keys="ecg")]),
            Compose([Scale(scale=2.0, keys="beats"), lambda s: {**s, "twice": torch.cat([s["beats"], s["beats"]])}]),
            Cast(dtype="float64", keys=("label", "ecg")),
            SharedView(keys="ecg"),
            Compose([Stft(**SHORT, keys="ecg"), Istft(**SHORT, keys="ecg")]),
        ],
        ids=range(11),
    )
    @pytest.mark.parametrize("suffix", ["arrow", "parquet"])
    def test_through_others(self, files: dict[str, Path], suffix: str, transform: Any):
        assert_samples_are_batches(SignalDataset(files[suffix], transform, ragged="pad"))

    def test_are_scipys(self, files: dict[str, Path]):
        sos = scipy.signal.butter(4, 20, fs=100, output="sos")
        batch = SignalDataset(files["double"], SignalFilter(**BUTTER)).batch([4, 0])
        reference = scipy.signal.sosfilt(sos, ECG[[4, 0]].astype("float64"))
        np.testing.assert_allclose(batch["ecg"], reference, rtol=0, atol=1e-12)

    def test_an_axis_that_a_sample_lacks_is_not_found_in_the_batch(self, files: dict[str, Path]):
        """One label per row would be a signal along the batch: filtered together they would leak into each other."""
        dataset = SignalDataset(files["arrow"], SignalFilter(**BUTTER, keys="label"))
        for ask in (lambda: dataset[3], lambda: dataset.batch([3, 4]), lambda: dataset.__getitems__([3, 4])):
            with pytest.raises((DataError, NoRoute, ValueError)):
                ask()


@dataclass(frozen=True, kw_only=True)
class AddNoise(LeafTransform):
    """A user's random transform that takes batches."""

    core_ndim = 0

    def apply(self, x: Any) -> Any:
        return x + generators().draw(x, lambda rng, shape: rng.standard_normal(shape, dtype=np.float32))

    def out_spec(self, spec: Any) -> Any:
        return spec.fresh()


@dataclass(frozen=True, kw_only=True)
class AddNoiseAlone(AddNoise):
    core_ndim = None


def add_noise(sample: dict[str, Any]) -> dict[str, Any]:
    (rng,) = generators()
    noise = rng.standard_normal(tuple(sample["ecg"].shape), dtype=np.float32)
    return {**sample, "ecg": sample["ecg"] + torch.from_numpy(noise)}


class TestRandomness:
    @pytest.mark.filterwarnings("ignore:SignalDataset. row .* is drawn a second time:UserWarning")
    @pytest.mark.parametrize(
        "transform",
        [AddNoise(keys="ecg"), add_noise, Compose([AddNoise(keys="ecg"), add_noise, AddNoise(keys="ecg")])],
    )
    def test_is_equal_in_samples_and_batches(self, files: dict[str, Path], transform: Any):
        dataset = SignalDataset(files["arrow"], transform, seed=5, ragged="pad")
        assert_samples_are_batches(dataset)
        before = dataset[3]["ecg"]
        dataset.set_epoch(1)
        assert not torch.equal(dataset[3]["ecg"], before)
        assert_samples_are_batches(dataset)

    def test_does_not_depend_on_how_the_transform_is_run(self, files: dict[str, Path]):
        one, other, plain = (
            SignalDataset(files["ecg"], transform).batch([3, 1])["ecg"]
            for transform in (AddNoise(), AddNoiseAlone(), add_noise)
        )
        assert torch.equal(one, other)
        assert torch.equal(one, plain)

    def test_seed_and_epoch_can_be_given(self, files: dict[str, Path]):
        dataset = SignalDataset(files["ecg"], AddNoise(), seed=1)
        other = SignalDataset(files["ecg"], AddNoise(), seed=7)
        other.set_epoch(2)
        assert torch.equal(dataset.batch([3], seed=7, epoch=2)["ecg"], other.batch([3])["ecg"])


class TestRows:
    def test_count_from_either_end(self, files: dict[str, Path]):
        dataset = SignalDataset(files["ecg"])
        assert len(dataset) == 40
        assert torch.equal(dataset[-1]["ecg"], dataset[39]["ecg"])
        assert torch.equal(dataset.batch([-1, 0])["ecg"], dataset.batch([39, 0])["ecg"])
        assert torch.equal(dataset[np.int64(3)]["ecg"], dataset[3]["ecg"])  # type: ignore[index]
        assert len(list(dataset)) == 40  # type: ignore[call-overload]

    @pytest.mark.parametrize("index", [40, -41])
    def test_that_are_not_there(self, files: dict[str, Path], index: int):
        dataset = SignalDataset(files["ecg"])
        with pytest.raises(IndexError, match=f"ecg.arrow.* has 40 rows, there is no row {index}"):
            dataset[index]
        with pytest.raises(IndexError, match=f"there is no row {index}"):
            dataset.batch([0, index])

    @pytest.mark.parametrize("index", ["3", 1.0, None, slice(2)])
    def test_are_named_by_whole_numbers(self, files: dict[str, Path], index: Any):
        with pytest.raises(TypeError):
            SignalDataset(files["ecg"])[index]

    @pytest.mark.parametrize("indices", [[], slice(3, 3), [[1]]])
    def test_of_a_batch_are_at_least_one(self, files: dict[str, Path], indices: Any):
        with pytest.raises(ValueError, match="numbers of one or more rows"):
            SignalDataset(files["ecg"]).batch(indices)


class TestColumns:
    def test_can_be_chosen(self, files: dict[str, Path]):
        assert list(SignalDataset(files["arrow"], columns=["label", "ecg"])[0]) == ["label", "ecg"]

    def test_nulls(self, tmp_path: Path):
        path = write(tmp_path / "n.arrow", x=pa.array([1.0, None, 3.0]), n=pa.array([1, 2, None]))
        with pytest.raises(DataError, match="1 null, the first in row"):
            SignalDataset(path)
        batch = SignalDataset(path, nulls="mask").batch([0, 1, 2])
        assert batch["x_mask"].tolist() == [False, True, False]
        assert SignalDataset(path, nulls="mask")[1]["x_mask"].item() is True
        assert SignalDataset(path, nulls=0).batch([0, 1, 2])["n"].tolist() == [1, 2, 0]
        assert SignalDataset(path, columns=["x"], nulls="nan")[1]["x"].isnan()

    def test_of_unequal_rows(self, files: dict[str, Path]):
        dataset = SignalDataset(files["arrow"], columns=["beats"])
        assert dataset[1]["beats"].tolist() == [1.0, 1.0]
        with pytest.raises(DataError, match=r"\$\.beats: shapes \(1,\), \(2,\) make no batch"):
            dataset.batch([0, 1])
        listed = SignalDataset(files["arrow"], columns=["beats"], ragged="list").batch([0, 1])["beats"]
        assert [one.tolist() for one in listed] == [[0.0], [1.0, 1.0]]
        padded = SignalDataset(files["arrow"], columns=["beats"], ragged="pad").batch([0, 1])
        assert padded["beats"].tolist() == [[0.0, 0.0], [1.0, 1.0]]
        assert padded["beats_length"].tolist() == [1, 2]

    def test_lengths_are_those_after_the_transform(self, files: dict[str, Path]):
        dataset = SignalDataset(files["arrow"], lambda s: {"beats": s["beats"].repeat(2)}, ragged="pad")
        assert dataset.batch([0, 1])["beats_length"].tolist() == [2, 4]
        assert dataset.batch([1, 5])["beats_length"].tolist() == [4, 4]

    def test_lengths_of_rows_of_any_kind(self):
        rows = pa.array([[1.0], [2.0, 3.0]])
        for transform in (ToArrow(keys="x"), ToNumpy(keys="x"), ToTensor(keys="x")):
            dataset = SignalDataset({"x": rows}, transform, ragged="pad")
            assert [dataset[number]["x_length"] for number in (0, 1)] == [1, 2]

    @pytest.mark.parametrize("kind", ["torch", "numpy"])
    @pytest.mark.parametrize("transform", [None, Scale(scale=1.0), Window(length=8), SignalFilter(**BUTTER)])
    def test_are_yours_to_write_to(self, files: dict[str, Path], kind: Any, transform: Any):
        dataset = SignalDataset(files["ecg"], transform, kind=kind)
        before = files["ecg"].read_bytes()
        reference = to_numpy(dataset.batch(slice(0, 8))["ecg"], copy="always")
        for rows in (slice(0, 8), list(range(8, 0, -1))):
            batch = dataset.batch(rows)["ecg"]
            if kind == "torch" or batch.flags.writeable:  # Window's views of an ndarray are not
                batch[...] = 0
        np.testing.assert_array_equal(to_numpy(dataset.batch(slice(0, 8))["ecg"]), reference)
        assert files["ecg"].read_bytes() == before


class TestErrors:
    def test_name_the_row_that_is_to_blame(self, tmp_path: Path):
        values = ECG.copy()
        values[17, 1, 5] = np.nan
        dataset = SignalDataset(write(tmp_path / "nan.arrow", ecg=values), SignalFilter(**BUTTER))
        with pytest.raises(NonFinite) as caught:
            dataset.batch([2, 17, 30])
        assert any(
            "row 17 of" in note
            for error in (caught.value, caught.value.__context__)
            for note in getattr(error, "__notes__", ())
        )

    def test_of_a_callable_name_stage_and_row(self, files: dict[str, Path]):
        with pytest.raises(ZeroDivisionError) as caught:
            SignalDataset(files["ecg"], Compose([Scale(), lambda sample: 1 / 0])).batch([4, 5])
        assert "stage 2" in caught.value.__notes__[0]
        assert "in row 4 of" in caught.value.__notes__[1]

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"kind": "arrow"}, ValueError, "kind must be one of 'torch', 'numpy', got 'arrow'"),
            ({"ragged": "jagged"}, ValueError, "ragged must be one of"),
            ({"nulls": "drop"}, ValueError, "nulls must be one of"),
            ({"transform": Scale}, TypeError, "transform must be a transform or another callable"),
            ({"transform": 3}, TypeError, "transform must be"),
            ({"seed": -1}, ValueError, "seed must be"),
            ({"columns": ["ecgg"]}, DataError, "did you mean 'ecg'"),
        ],
    )
    def test_of_options(self, files: dict[str, Path], options: Any, error: type[Exception], message: str):
        with pytest.raises(error, match=message):
            SignalDataset(files["ecg"], **options)

    def test_an_open_source_has_chosen_already(self, files: dict[str, Path]):
        with open_source(files["ecg"]) as source:
            assert len(SignalDataset(source)) == 40
            with pytest.raises(ValueError, match="chosen where a source is opened"):
                SignalDataset(source, columns=["ecg"])


def in_another_process(dataset: SignalDataset) -> Any:
    return dataset.batch([3, 1])["ecg"].numpy()


class TestElsewhere:
    @pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
    def test_in_another_process(self, files: dict[str, Path], context: str):
        dataset = SignalDataset(files["ecg"], SignalFilter(**BUTTER))
        reference = in_another_process(dataset)
        with multiprocessing.get_context(context).Pool(1) as pool:
            np.testing.assert_array_equal(pool.apply(in_another_process, (dataset,)), reference)

    def test_what_was_learnt_stays_behind(self, files: dict[str, Path]):
        dataset = SignalDataset(files["arrow"], SignalFilter(**BUTTER, keys="ecg"), ragged="pad")
        before = pickle.dumps(dataset)
        dataset.batch([1, 2])
        assert pickle.dumps(dataset) == before

    def test_in_many_threads(self, files: dict[str, Path]):
        dataset = SignalDataset(files["parquet"], SignalFilter(**BUTTER, keys="ecg"), ragged="pad")
        reference = dataset.batch(range(40))
        with ThreadPoolExecutor(8) as pool:
            for row, sample in enumerate(pool.map(dataset.__getitem__, range(40))):
                assert torch.equal(sample["ecg"], reference["ecg"][row])

    def test_digest_tells_datasets_apart(self, files: dict[str, Path]):
        assert SignalDataset(files["ecg"]).digest() == SignalDataset(files["ecg"], Scale()).digest()
        assert len({SignalDataset(files[name]).digest() for name in ("ecg", "double", "arrow", "parquet")}) == 4


def test_a_filter_reads_the_file_in_place(files: dict[str, Path]):
    """Where the transform makes new memory anyway, pages of the file are neither copied nor mapped again."""
    dataset = SignalDataset(files["arrow"], SignalFilter(**BUTTER, keys="ecg"), columns=["ecg", "label"])
    first, second = (dataset._fetch(np.arange(start, start + 4)).data for start in (0, 4))
    assert second["ecg"].data_ptr() - first["ecg"].data_ptr() == ECG[:4].nbytes
    assert second["label"].data_ptr() - first["label"].data_ptr() != 32  # not allocated again: it is the user's


def test_transforms_are_called_once_for_a_batch(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    calls: list[tuple[int, ...]] = []
    scaled = Scale.leaf_function

    def counting(self: Scale) -> Any:
        function = scaled(self)
        return lambda x: calls.append(tuple(x.shape)) or function(x)

    monkeypatch.setattr(Scale, "leaf_function", counting)
    dataset = SignalDataset(files["ecg"], Compose([Scale(), lambda sample: sample, Scale(scale=2.0)]))
    dataset.batch([1, 2, 3])
    assert calls == [(3, 3, 64), (3, 3, 64)]


def test_any_transform_may_be_given(files: dict[str, Path]):
    class Whole(Transform):
        """Not a leaf transform: sees the sample."""

        def __call__(self, data: Any, /, *more: Any) -> Any:
            return data["ecg"].sum()

        def plan(self, data: Any, stage: Any = None) -> Any:
            raise NotImplementedError

    assert_samples_are_batches(SignalDataset(files["ecg"], Whole()))


class TestReadOnlyMemory:
    """Rows in a row are handed out as the map of the file where every stage only reads, which each stage says."""

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "a.arrow"
        with open_sink(path) as sink:
            sink.write({"ecg": np.arange(32.0).reshape(4, 8)})
        return path

    @pytest.mark.parametrize("cls", [Cast, Clone, Detach, Resample, SignalFilter, Stft, ToNumpy, ToTensor, Window])
    def test_transforms_of_ours_read_only(self, cls):
        assert cls.reads_only is True

    @pytest.mark.parametrize("inplace", [False, True])
    def test_scale_reads_only_unless_in_place(self, path, inplace):
        scale = Scale(scale=2.0, inplace=inplace)
        assert scale.reads_only == (not inplace)
        dataset = SignalDataset(path, Compose([scale, Clone()]))
        for _ in range(2):
            assert dataset.batch(slice(1, 3))["ecg"][0].tolist() == np.arange(16.0, 32.0, 2.0).tolist()

    @pytest.mark.parametrize("declared", [False, True])
    def test_a_transform_of_a_users_own_says_it(self, path, declared):
        seen = []

        class Doubled(LeafTransform):
            pointwise = True
            reads_only = declared

            def apply(self, x):
                seen.append(x.flags.writeable)
                return x * 2

            def out_spec(self, spec):
                return spec.fresh()

        dataset = SignalDataset(path, Doubled(), kind="numpy")
        assert dataset.batch(slice(0, 2))["ecg"].tolist() == (2 * np.arange(16.0).reshape(2, 8)).tolist()
        assert seen[-1] == (not declared)


SWAPPED = {
    "float32": np.arange(6, dtype=">f4").reshape(3, 2),
    "complex64": np.arange(6, dtype=">c8").reshape(3, 2),
    "int16": np.arange(3, dtype=">i2"),
    "datetime64[s]": np.array(["2020-01-01", "2021-01-01", "2022-01-01"], ">M8[s]"),
    "text": np.array(["a", "b", "c"], ">U1"),
    "record": np.array([(1.0,), (2.0,), (3.0,)], [("a", ">f4")]),
}


@pytest.mark.parametrize("transform", [None, Clone(keys="x"), lambda sample: sample], ids=["none", "own", "plain"])
@pytest.mark.parametrize("name", SWAPPED)
def test_columns_of_swapped_bytes_are_native_in_samples_and_batches(name: str, transform: Any):
    column = SWAPPED[name]
    dataset = SignalDataset({"x": column}, transform, kind="numpy")
    expected = column.astype(column.dtype.newbyteorder("="))[:2]
    for batch in (dataset.batch([0, 1]), dataset.batch([1, 0]), collate([dataset[0], dataset[1]]), dataset.batch([0])):
        assert batch["x"].dtype.isnative
        assert batch["x"].dtype == expected.dtype
    assert (
        dataset.batch([0, 1])["x"].tobytes() == collate([dataset[0], dataset[1]])["x"].tobytes() == expected.tobytes()
    )
    assert dataset[1]["x"].dtype == expected.dtype


@pytest.mark.filterwarnings("ignore:ComplexHalf support:UserWarning")
@pytest.mark.parametrize("kind", ["torch", "numpy"])
@pytest.mark.parametrize("dtype", [torch.complex32, torch.complex64, torch.complex128, torch.float16, torch.bfloat16])
def test_element_types_of_tensors_stay_or_are_refused(kind: Any, dtype: torch.dtype):
    column = torch.zeros(3, 2, dtype=dtype)
    if dtype is torch.complex32:
        with pytest.raises(DataError, match=r"column 'x': .*neither NumPy nor Arrow has complex32 .*torch\.complex64"):
            SignalDataset({"x": column}, kind=kind)
        return
    dataset = SignalDataset({"x": column}, kind=kind)
    for values in (dataset.batch([0, 1])["x"], dataset[0]["x"]):
        widened = torch.float32 if kind == "numpy" and dtype is torch.bfloat16 else dtype
        assert torch.as_tensor(values).dtype == widened


STRUCTURES = {
    "structured array": np.array([(1, 2.0), (3, 4.0), (5, 6.0)], [("a", "i4"), ("b", "f8")]),
    "structures": pa.array([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, None]),
    "lists of text": pa.array([["a"], ["b", "c"], []]),
    "lists of text of one length": pa.array([["a"], ["b"], ["c"]]),
    "lists of structures": pa.array([[{"a": 1}], [], [{"a": 2}, {"a": 3}]]),
    "maps": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_rows_that_are_not_arrays_are_lists_of_values_in_batches_and_in_collate(name):
    """`collate` of samples cannot look at the column: what a row is says that it is one value."""
    column = STRUCTURES[name]
    dataset = SignalDataset({"s": column, "x": np.arange(3.0)}, nulls="nan")
    batch, collated = dataset.batch(slice(None)), collate([dataset[0], dataset[1], dataset[2]])
    assert batch["s"] == collated["s"] == column.tolist()
    assert collate(pickle.loads(pickle.dumps(dataset.samples([2, 0]))))["s"] == [column.tolist()[n] for n in (2, 0)]
    (loaded,) = torch.utils.data.DataLoader(dataset, batch_size=3)
    assert loaded["s"] == column.tolist()
