"""Datasets of Hugging Face as sources, and our transforms in them; compared with the arrays that they were made of."""

from __future__ import annotations

import io
import json
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch

from bridgeflow import Compose, Gain, Loader, Mixup, Scale, SignalDataset, SignalFilter
from bridgeflow.errors import ConfigError, DataError, KeyNotFound
from bridgeflow.integrations import huggingface

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.filterwarnings("ignore:Specifying null_placement:FutureWarning")  # datasets 5 on pyarrow 25

N = 23
X = np.random.default_rng(0).standard_normal((N, 2, 32), "float32")
LABELS = np.arange(N) % 3
BUTTER = SignalFilter(design="butter", cutoff=20.0, fs=100.0, order=4, keys="x")


def nested() -> Any:
    return datasets.Dataset.from_dict({"x": X, "label": LABELS, "id": [f"r{row}" for row in range(N)]})


def typed(feature: Any) -> Any:
    features = datasets.Features({"x": feature, "label": datasets.ClassLabel(names=["a", "b", "c"])})
    return datasets.Dataset.from_dict({"x": list(X), "label": LABELS.tolist()}, features=features)


MADE = {
    "nested lists": nested,
    "Array2D": lambda: typed(datasets.Array2D((2, 32), "float32")),
    "lists of fixed length": lambda: typed(
        datasets.List(datasets.List(datasets.Value("float32"), length=32), length=2)
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each of these on the disk, whose tables `datasets` maps."""
    folder = tmp_path_factory.mktemp("datasets")
    datasets.disable_progress_bars()
    for name, make in MADE.items():
        make().save_to_disk(folder / name, num_shards=2)
    return folder


@pytest.fixture(params=MADE)
def dataset(request: pytest.FixtureRequest, folder: Path) -> Any:
    return datasets.load_from_disk(folder / request.param)


def values_of(dataset: Any) -> Any:
    """The numbers of the first chunk of a dataset's signal, where they lie."""
    lists = dataset.data.table.column("x").chunk(0)
    lists = getattr(lists, "storage", lists)
    while hasattr(lists, "flatten") and pa.types.is_nested(lists.type):
        lists = lists.flatten()
    return np.asarray(lists)


class TestDataset:
    def test_rows_are_those_of_the_arrays(self, dataset: Any):
        rows = SignalDataset(dataset, kind="numpy")
        assert len(rows) == N
        batch = rows.batch([5, 22, 0])
        assert batch["x"].dtype == np.float32
        assert np.array_equal(batch["x"], X[[5, 22, 0]])
        assert batch["label"].tolist() == LABELS[[5, 22, 0]].tolist()
        assert np.array_equal(rows[7]["x"], X[7])

    def test_memory_is_the_datasets_own(self, dataset: Any):
        source: Any = SignalDataset(dataset).source
        view = source.slice(2, 5, writable=False)["x"]
        assert view.ctypes.data == values_of(dataset).ctypes.data + 2 * X[0].nbytes
        assert not view.flags.writeable
        assert source.slice(2, 5)["x"].flags.writeable

    def test_filtered_batches_read_it_in_place_and_leave_it_alone(self, dataset: Any):
        before = values_of(dataset).copy()
        batch = SignalDataset(dataset, BUTTER, kind="numpy").batch(slice(0, 8))
        expected = scipy.signal.sosfilt(scipy.signal.butter(4, 20, fs=100, output="sos"), X[:8].astype("float64"))
        np.testing.assert_allclose(batch["x"], expected, atol=1e-5)
        assert np.array_equal(values_of(dataset), before)

    @pytest.mark.parametrize(
        "chosen",
        [
            lambda one: one.shuffle(seed=3),
            lambda one: one.select([4, 4, 1]),
            lambda one: one.select(range(3, 11)),
            lambda one: one.filter(lambda row: row["label"] == 1, load_from_cache_file=False),
            lambda one: one.shuffle(seed=3).sort("label", reverse=True),
            lambda one: one.train_test_split(0.4, seed=0)["test"],
        ],
        ids=["shuffle", "select", "range", "filter", "sort", "split"],
    )
    def test_order_and_choice_of_rows_are_followed(self, dataset: Any, chosen: Any):
        one = chosen(dataset)
        expected = one.with_format("numpy")[:]
        batch = SignalDataset(one, kind="numpy").batch(slice(None))
        assert np.array_equal(batch["x"], np.stack(expected["x"]))
        assert batch["label"].tolist() == expected["label"].tolist()

    def test_datasets_put_together_are_read_as_one(self, dataset: Any):
        both = datasets.concatenate_datasets([dataset, dataset.select([1, 0])])
        batch = SignalDataset(both, kind="numpy").batch([N, 3, N + 1])
        assert np.array_equal(batch["x"], X[[1, 3, 0]])

    @pytest.mark.parametrize("workers", [0, 2])
    def test_loader_gives_every_row_once(self, dataset: Any, workers: int):
        rows = SignalDataset(dataset.shuffle(seed=1), BUTTER)
        batches = list(Loader(rows, 4, shuffle=True, num_workers=workers))
        assert sorted(torch.cat([batch["label"] for batch in batches]).tolist()) == sorted(LABELS.tolist())
        assert sum(len(batch["x"]) for batch in batches) == N

    def test_pickles_by_where_the_dataset_lies(self, dataset: Any):
        rows = SignalDataset(dataset.shuffle(seed=1), BUTTER)
        again = pickle.loads(pickle.dumps(rows))
        assert torch.equal(again.batch([3, 1])["x"], rows.batch([3, 1])["x"])
        assert again.digest() == rows.digest()

    def test_columns_of_the_format_are_those_that_are_read(self):
        assert list(SignalDataset(nested().with_format("torch", columns=["x"]))[0]) == ["x"]
        assert list(SignalDataset(nested(), columns=["label"])[0]) == ["label"]
        everything = nested().with_format("numpy", columns=["x"], output_all_columns=True)
        assert list(SignalDataset(everything)[0]) == ["x", "label", "id"]

    def test_formats_that_change_values_are_refused(self):
        with pytest.raises(ConfigError, match="transform of its own"):
            SignalDataset(nested().with_transform(lambda batch: batch))
        with pytest.raises(ConfigError, match="format torch with dtype"):
            SignalDataset(nested().with_format("torch", dtype=torch.float16))

    def test_options_of_files_are_refused(self):
        with pytest.raises(ValueError, match="are of files, and this is a Dataset"):
            SignalDataset(nested(), format="arrow")

    def test_a_column_that_is_not_there(self):
        with pytest.raises(DataError, match="column 'ecg': no such column; known: 'id', 'label', 'x'"):
            SignalDataset(nested(), columns=["ecg"])

    @pytest.mark.parametrize("kind", ["torch", "numpy"])
    def test_rows_of_unequal_length_keep_their_type(self, kind: Any):
        rows = [np.full((2, 3 + row), row, "float32") for row in range(4)]
        ragged = datasets.Dataset.from_dict({"x": rows})
        with pytest.raises(DataError, match=r"\$\.x: shapes"):
            SignalDataset(ragged, kind=kind).batch([0, 1])
        batch = SignalDataset(ragged, kind=kind, ragged="pad").batch([0, 3])
        assert [*map(int, batch["x_length"])] == [3, 6]
        assert np.array_equal(batch["x"][1], rows[3])
        alone = SignalDataset(ragged, kind=kind)[2]["x"]
        assert str(alone.dtype).endswith("float32")
        assert np.array_equal(alone, rows[2])
        assert SignalDataset(ragged, kind=kind).batch([1, 1])["x"].shape == (2, 2, 4)

    def test_rows_that_are_no_arrays_are_refused_by_name(self):
        odd = datasets.Dataset.from_dict({"x": [[[1.0, 2.0], [3.0]], [[1.0], [2.0]]]})
        with pytest.raises(DataError, match="column 'x': has a row whose lists differ in length"):
            SignalDataset(odd)[0]

    def test_nulls_are_the_datasets_to_say(self):
        holed = datasets.Dataset.from_dict({"n": [1.0, None, 3.0]})
        with pytest.raises(DataError, match="column 'n': 1 null, the first in row 1"):
            SignalDataset(holed)
        assert torch.isnan(SignalDataset(holed, nulls="nan").batch([0, 1])["n"]).tolist() == [False, True]

    def test_state_belongs_to_rows_and_columns(self, dataset: Any):
        loader = Loader(SignalDataset(dataset), 4, shuffle=True)
        next(iter(loader))
        state = loader.state_dict()
        with pytest.raises(DataError, match="the state was taken with"):
            Loader(SignalDataset(dataset.select(range(9))), 4, shuffle=True).load_state_dict(state)


def wav(samples: Any, rate: int) -> bytes:
    soundfile = pytest.importorskip("soundfile")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


class TestAudio:
    @pytest.fixture
    def tones(self) -> list[Any]:
        return [np.sin(np.arange(800 + 40 * row) * 0.1).astype("float32") for row in range(3)]

    def dataset(self, contents: list[Any], **options: Any) -> Any:
        stored = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
        features = datasets.Features({"audio": stored, "label": datasets.Value("int64")})
        rows = {"audio": contents, "label": list(range(len(contents)))}
        return datasets.Dataset.from_dict(rows, features=features).cast_column("audio", datasets.Audio(**options))

    def test_is_decoded_from_bytes_and_from_files(self, tones: list[Any], tmp_path: Path):
        (tmp_path / "one.wav").write_bytes(wav(tones[1], 8000))
        contents = [
            {"bytes": wav(tones[0], 8000), "path": None},
            {"bytes": None, "path": str(tmp_path / "one.wav")},
            {"bytes": wav(tones[2], 4000), "path": "named.wav"},
        ]
        rows = SignalDataset(self.dataset(contents), kind="numpy")
        for row, tone in enumerate(tones):
            assert np.array_equal(rows[row]["audio"], tone)
            assert rows[row]["audio"].dtype == np.float32
        batch = SignalDataset(self.dataset(contents), ragged="pad").batch([2, 0])
        assert batch["audio_fs"].tolist() == [4000.0, 8000.0]
        assert batch["audio_length"].tolist() == [880, 800]
        assert batch["label"].tolist() == [2, 0]

    def test_has_the_rate_that_the_dataset_says_by_our_own_resampling(self, tones: list[Any]):
        rows = SignalDataset(self.dataset([{"bytes": wav(tones[0], 8000), "path": None}], sampling_rate=16000))
        sample = rows[0]
        assert float(sample["audio_fs"]) == 16000
        expected = np.sin(np.arange(1600) * 0.05)
        np.testing.assert_allclose(sample["audio"].numpy()[100:-100], expected[100:-100], atol=2e-3)

    def test_has_the_channels_that_the_dataset_says(self, tones: list[Any]):
        stereo = np.stack([tones[0], -2 * tones[0]], axis=1)
        content = [{"bytes": wav(stereo, 8000), "path": None}]
        assert np.array_equal(SignalDataset(self.dataset(content), kind="numpy")[0]["audio"], stereo.T)
        mono = SignalDataset(self.dataset(content, num_channels=1), kind="numpy")[0]["audio"]
        np.testing.assert_allclose(mono, -tones[0] / 2, atol=1e-6)
        with pytest.raises(DataError, match="column 'audio': row 0 has 1 channels where the dataset says 2"):
            SignalDataset(self.dataset([{"bytes": wav(tones[0], 8000), "path": None}], num_channels=2))[0]

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ({"bytes": b"RIFF, and no more", "path": None}, "the audio of row 0 cannot be read"),
            ({"bytes": None, "path": "/nowhere/one.wav"}, "the audio of row 0 cannot be read"),
            ({"bytes": None, "path": "https://example.org/one.wav"}, "only files of this machine are read"),
            ({"bytes": None, "path": None}, "row 0 has neither bytes nor a path"),
        ],
        ids=["damaged", "missing", "elsewhere", "nothing"],
    )
    def test_says_what_is_wrong_with_a_row(self, content: Any, problem: str):
        with pytest.raises(DataError, match=f"column 'audio': .*{problem}"):
            SignalDataset(self.dataset([content]))[0]

    def test_a_choice_of_columns_keeps_the_rates(self, tones: list[Any]):
        made = self.dataset([{"bytes": wav(tones[0], 8000), "path": None}])
        assert list(SignalDataset(made.with_format("numpy", columns=["audio"]))[0]) == ["audio", "audio_fs"]
        assert list(SignalDataset(made, columns=["audio"])[0]) == ["audio"]


class TestIterableDataset:
    @pytest.fixture
    def stream(self, folder: Path) -> Any:
        return datasets.load_from_disk(folder / "Array2D").to_iterable_dataset(num_shards=3)

    @pytest.mark.parametrize("options", [{"threads": 0}, {}, {"num_workers": 2}], ids=["alone", "threads", "workers"])
    def test_comes_in_its_order_and_is_resumed_at_any_batch(self, stream: Any, options: dict[str, Any]):
        make = partial(Loader, SignalDataset(stream, BUTTER), 4, **options)
        whole = list(make())
        expected = SignalDataset({"x": X, "label": LABELS}, BUTTER).batch(slice(None))
        assert torch.equal(torch.cat([batch["x"] for batch in whole]), expected["x"])
        assert torch.cat([batch["label"] for batch in whole]).tolist() == LABELS.tolist()
        for step in range(len(whole)) if "threads" in options else (1, 4):
            first, second = make(), make()
            before = iter(first)
            seen = [next(before) for _ in range(step)]
            second.load_state_dict(json.loads(json.dumps(first.state_dict())))
            seen += list(second)
            assert [batch["label"].tolist() for batch in seen] == [batch["label"].tolist() for batch in whole]
            assert len(list(second)) == len(whole), "the next pass is a whole one"
            first.close(), second.close()

    def test_shuffles_as_it_was_told_anew_in_each_epoch(self, stream: Any):
        shuffled = stream.shuffle(seed=2, buffer_size=16)
        loader = Loader(SignalDataset(shuffled), 5)
        for epoch in range(2):
            shuffled.set_epoch(epoch)
            expected = [row["label"] for row in shuffled]
            assert torch.cat([batch["label"] for batch in loader]).tolist() == expected

    def test_of_a_generator_without_features(self):
        def rows() -> Any:
            for row in range(10):
                yield {"x": np.full((2, 3 + row % 2), row, "float32"), "row": row}

        dataset = SignalDataset(datasets.IterableDataset.from_generator(rows), Scale(scale=2.0, keys="x"), ragged="pad")
        batches = list(Loader(dataset, 4, drop_last=True))
        assert [batch["row"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7]]
        assert batches[1]["x_length"].tolist() == [3, 4, 3, 4]
        assert batches[1]["x"][1, 0].tolist() == [10.0] * 4

    def test_augmentations_draw_by_the_number_of_a_row(self, stream: Any):
        louder = Gain(db=(-6.0, 6.0), keys="x")
        (batch,) = Loader(SignalDataset(stream, louder), N, seed=4)
        (expected,) = Loader(SignalDataset({"x": X, "label": LABELS}, louder), N, seed=4)
        assert torch.equal(batch["x"], expected["x"])

    def test_what_needs_a_length_or_a_number_is_refused(self, stream: Any):
        dataset = SignalDataset(stream)
        loader = Loader(dataset, 4)
        for ask in (lambda: len(dataset), lambda: dataset[0], lambda: dataset.batch([0]), lambda: len(loader)):
            with pytest.raises(TypeError, match="has no length: its rows come one after the other"):
                ask()
        with pytest.raises(ValueError, match=r"dataset\.shuffle\(buffer_size=\.\.\.\)"):
            Loader(dataset, 4, shuffle=True)
        with pytest.raises(ValueError, match="split_dataset_by_node"):
            Loader(dataset, 4, world_size=2)
        with pytest.raises(ValueError, match="batch_size: expected a number of rows"):
            Loader(dataset, None)
        with pytest.raises(ConfigError, match="Mixup mixes samples with any other rows"):
            next(iter(Loader(SignalDataset(stream, Mixup(keys="x", labels="label", classes=3)), 4)))

    def test_shares_of_nodes_are_the_whole(self, stream: Any):
        from datasets.distributed import split_dataset_by_node

        parts = [split_dataset_by_node(stream, rank, world_size=3) for rank in range(3)]
        seen = [batch["x"] for part in parts for batch in Loader(SignalDataset(part), 4)]
        assert sorted(torch.cat(seen)[:, 0, 0].tolist()) == sorted(X[:, 0, 0].tolist())

    def test_refuses_the_state_of_other_rows(self, stream: Any):
        state = Loader(SignalDataset(stream), 4).state_dict()
        with pytest.raises(DataError, match="batch_size=4"):
            Loader(SignalDataset(stream), 5).load_state_dict(state)


class TestWithTransform:
    def test_rows_and_batches_are_those_of_a_signal_dataset(self, dataset: Any):
        shuffled = dataset.shuffle(seed=1)
        own, theirs = SignalDataset(shuffled, BUTTER), huggingface.with_transform(shuffled, BUTTER)
        assert type(theirs) is type(dataset)
        for rows in ([4, 2, 20], slice(3, 9), range(5)):
            batch = theirs[rows]
            expected = own.batch(list(rows) if not isinstance(rows, slice) else rows)
            assert list(batch) == list(expected)
            assert torch.equal(batch["x"], expected["x"])
            assert batch["label"].tolist() == expected["label"].tolist()
        assert torch.equal(theirs[6]["x"], own[6]["x"])

    def test_in_pytorchs_loader_with_workers_started_anew(self, dataset: Any):
        theirs = huggingface.with_transform(dataset, BUTTER)
        again = pickle.loads(pickle.dumps(theirs))
        batches = list(torch.utils.data.DataLoader(again, 8))
        expected = SignalDataset(dataset, BUTTER).batch(slice(None))
        assert torch.equal(torch.cat([batch["x"] for batch in batches]), expected["x"])

    def test_stages_that_see_one_sample_see_one(self):
        def first(sample: dict[str, Any]) -> Any:
            assert sample["x"].shape == (2, 32)
            return sample["x"][0]

        batch = huggingface.with_transform(nested(), Compose([BUTTER, lambda sample: {"x": first(sample)}]))[[1, 0]]
        assert batch["x"].shape == (2, 32)

    def test_ndarrays_and_nulls(self):
        holed = datasets.Dataset.from_dict({"x": [1.0, None]})
        batch = huggingface.with_transform(holed, Scale(scale=2.0), kind="numpy", nulls=-1.0)[:]
        assert isinstance(batch["x"], np.ndarray)
        assert batch["x"].tolist() == [2.0, -2.0]

    def test_refusals(self):
        with pytest.raises(TypeError, match=r"expected a datasets\.Dataset, got a dict"):
            huggingface.with_transform({}, BUTTER)
        with pytest.raises(ConfigError, match="augmentations, which draw by row number"):
            huggingface.with_transform(nested(), Compose([BUTTER, Gain(db=(0.0, 1.0), keys="x")]))
        with pytest.raises(KeyNotFound, match="matches nothing"):
            huggingface.with_transform(nested(), Scale(scale=2.0, keys="y"))[0]

    def test_theirs_hands_over_lists_and_gives_the_same_but_for_the_type(self):
        """`Dataset.with_transform` itself: the numbers come as Python's floats, so that they are float64."""
        batch = nested().with_transform(Compose([BUTTER]))[:4]
        assert batch["x"].dtype == np.float64
        np.testing.assert_allclose(batch["x"], SignalDataset(nested(), BUTTER).batch(slice(0, 4))["x"], atol=1e-5)
