"""Pipeline files: parts, datasets and loaders out of one file; what is refused, and where."""

# ruff: noqa: E501  (tables read better unbroken)

from __future__ import annotations

import os

import numpy as np
import pytest

from bridgeflow import Recording, Recordings, load_pipeline
from bridgeflow.config import parse_job, parse_pipeline
from bridgeflow.errors import BridgeflowError, ConfigError, KeyNotFound
from bridgeflow.io import open_sink


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(8):
        with open_sink(tmp_path / f"S{number % 4}_run{number}.npy") as sink:
            sink.write({"signal": rng.standard_normal(500)})
    for part in ("train", "val"):
        with open_sink(tmp_path / f"{part}.parquet", settings={"fs": 100}) as sink:
            sink.write({"ecg": rng.standard_normal((20, 100)), "label": np.arange(20)})
    rows = "".join(f"S{n % 4}_run{n}.npy,{n % 2},{'train' if n < 5 else 'test'}\n" for n in range(8))
    (tmp_path / "table.csv").write_text("path,label,part\n" + rows)
    return tmp_path


RECORDINGS = "source: {recordings: S*.npy, fs: 100, group: '(?P<subject>S[0-9])'}\n"
WINDOW = "transforms: [Window: {length: 100}, Gain: {keys: [signal], db: 6}]\n"


def load(folder, text, **options):
    path = folder / "train.yaml"
    path.write_text("version: 1\n" + text)
    return load_pipeline(path, roots=[folder], **options)


def subjects(recordings):
    return set(recordings.labels("subject"))


def test_parts_by_fractions_share_no_subject(folder):
    pipeline = load(
        folder, RECORDINGS + "split: {fractions: {train: 0.5, val: 0.25, test: 0.25}, by: subject}\n" + WINDOW
    )
    parts = [subjects(pipeline.recordings[part]) for part in pipeline.parts]
    assert [len(one) for one in parts] == [2, 1, 1]
    assert len(set.union(*parts)) == 4
    assert [len(pipeline.datasets[part]) for part in pipeline.parts] == [20, 10, 10]
    mine = Recordings(f"{folder}/S*.npy", fs=100, group="(?P<subject>S[0-9])").split((0.5, 0.25, 0.25), by="subject")
    assert [one.ids for one in mine] == [pipeline.recordings[part].ids for part in pipeline.parts]
    raw = pipeline.recordings["val"][0].columns["signal"].read(0, 100)
    assert np.array_equal(pipeline.datasets["val"][0]["signal"].numpy(), raw)  # no Gain
    raw = pipeline.recordings["train"][0].columns["signal"].read(0, 100)
    np.testing.assert_allclose(pipeline.datasets["train"][0]["signal"].numpy(), raw * 10 ** (6 / 20), rtol=1e-6)


def test_folds_and_labels(folder):
    seen = []
    for fold in range(4):
        pipeline = load(folder, RECORDINGS + f"split: {{folds: 4, fold: {fold}, by: subject}}\n" + WINDOW)
        assert pipeline.parts == ("train", "test")
        assert not subjects(pipeline.recordings["train"]) & subjects(pipeline.recordings["test"])
        seen += subjects(pipeline.recordings["test"])
    assert sorted(seen) == ["S0", "S1", "S2", "S3"]
    pipeline = load(folder, "source: {table: table.csv, fs: 100}\nsplit: {column: part}\n" + WINDOW)
    assert {part: len(pipeline.recordings[part]) for part in pipeline.parts} == {"train": 5, "test": 3}


def test_files_of_rows_have_a_source_for_each_part(folder):
    pipeline = load(folder, "sources: {train: {parquet: train.parquet}, val: {parquet: val.parquet}}\n"
                    "transforms: [SignalFilter: {keys: [ecg], design: butter, cutoff: 20, order: 2}]\nloader: {batch_size: 5, drop_last: true}\n")  # fmt: skip
    assert pipeline.transform.stages[0].fs == 100.0
    assert [len(pipeline.loaders[part]) for part in ("train", "val")] == [4, 4]
    assert next(iter(pipeline.loaders["val"]))["label"].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(KeyNotFound, match="there is no part 'vall'; did you mean 'val'"):
        pipeline.datasets["vall"]


def test_rules_on_windows_and_options_of_loaders(folder):
    pipeline = load(
        folder, RECORDINGS + "reject: {amplitude: 2.5}\nloader: {batch_size: 7, shuffle: false, threads: 0}\n" + WINDOW
    )
    dataset = pipeline.datasets["train"]
    assert 0 < dataset.rejected["amplitude"] == 40 - len(dataset)
    assert next(iter(pipeline.loaders["train"]))["signal"].shape == (7, 1, 100)
    assert load(folder, RECORDINGS + WINDOW, overrides=["loader.batch_size=3"]).loader.batch_size == 3


def test_samplers(folder):
    text = "sources: {train: {parquet: train.parquet}, val: {parquet: val.parquet}}\n"
    pipeline = load(folder, text + "sampler: {PerGroup: {k: 1, by: label}}\nloader: {batch_size: 20}\n")
    (batch,) = pipeline.loaders["train"]
    assert sorted(batch["label"].tolist()) == list(range(20))
    assert batch["label"].tolist() != list(range(20))
    assert next(iter(pipeline.loaders["val"]))["label"].tolist() == list(range(20))
    pipeline = load(
        folder,
        "source: {table: table.csv, fs: 100}\nsampler: {Balanced: {by: label, replacement: false}}\nloader: {batch_size: 2}\n"
        + WINDOW,
    )
    assert all(sorted(batch["label"].tolist()) == [0, 1] for batch in pipeline.loaders["train"])


def test_states_may_be_kept_in_a_folder_that_the_caller_names(folder, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    text = (
        RECORDINGS
        + "transforms: [SignalFilter: {design: butter, cutoff: 20, order: 2, mode: zero_phase}, Window: {length: 100}]\n"
    )
    with open_sink(folder / "S0_run0.npy", overwrite=True) as sink:
        sink.write({"signal": np.random.default_rng(1).standard_normal(20_000)})
    os.utime(folder / "S0_run0.npy", (1e9, 1e9))
    first = load(folder, text, cache=cache).datasets["train"].batch(range(40))
    assert list(cache.rglob("*"))
    again = load(folder, text, cache=cache).datasets["train"].batch(range(40))
    assert np.array_equal(first["signal"], again["signal"])


def test_irregular_times(folder):
    times = np.cumsum(np.random.default_rng(0).uniform(0.015, 0.025, 300))
    (folder / "imu.csv").write_text("t,x\n" + "".join(f"{t},{np.sin(t)}\n" for t in times))
    pipeline = load(
        folder,
        "source: {recordings: imu.csv, time: t, regrid: {to_hz: 50, max_gap: 0.5}}\ntransforms: [Window: {length: 100}]\n",
    )
    windows = pipeline.datasets["train"]
    expected = np.interp(times[0] + np.arange(100) / 50, times, np.sin(times))
    np.testing.assert_allclose(windows[0]["signal"][0], expected, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: the key 'source' is missing"),
        ("sink: {npy: x.npy}", "2:1: sink: unknown key 'sink'"),
        (RECORDINGS + "sources: {}", "3:1: sources: has a source for each part; leave out `source`"),
        ("sources: {}", "2:10: sources: expected a source for each part, got an empty map"),
        ("sources: {train: {parquet: a.parquet}}\nsplit: {folds: 3}", "3:1: split: makes parts of one source"),
        ("sources: {train: {parquet: a.parquet}, val: {recordings: b.npy}}", "2:10: sources: recordings and files of rows do not go together"),
        ("source: {parquet: a.parquet}\nsplit: {folds: 3}", "3:1: split: is for recordings"),
        ("source: {parquet: a.parquet}\nreject: {flat: 0}", "3:1: reject: is for recordings"),
        (RECORDINGS + "split: {}", "3:8: split: takes one of fractions, folds and column, got none of them"),
        (RECORDINGS + "split: {folds: 3, column: x}", "3:8: split: takes one of fractions, folds and column, got folds and column"),
        (RECORDINGS + "split: {folds: 3, fold: 3}", "3:25: split.fold: expected a number from 0 to 2, got 3"),
        (RECORDINGS + "split: {folds: 1}", "3:16: split.folds: expected a number of at least 2, got 1"),
        (RECORDINGS + "split: {folds: 3, by: time}", "3:23: split.by: folds are of recordings"),
        (RECORDINGS + "split: {column: x, seed: 1}", "3:20: split.seed: does not go with column"),
        (RECORDINGS + "split: {fractions: {train: 0.5, val: 0.6}}", "3:20: split.fractions: expected two or more above 0 that sum to 1"),
        (RECORDINGS + "split: {fractions: {train: 0.5, val: x}}", "3:38: split.fractions.val: expected a number, got 'x'"),
        (RECORDINGS + "reject: {}", "3:9: reject: needs a rule"),
        (RECORDINGS + "dataset: {nulls: nan}", "3:11: dataset.nulls: recordings say it in their source"),
        (RECORDINGS + "loader: {batch_size: 0}", "3:22: loader.batch_size: expected a number of at least 1, got 0"),
        (RECORDINGS + "sampler: {Balance: {}}", "3:11: sampler.Balance: there is no sampler 'Balance'; did you mean 'Balanced'"),
        (RECORDINGS + "sampler: {Balanced: {}, Weighted: {}}", "3:10: sampler: takes one of Balanced, Bucketed, PerGroup, Weighted, got 2"),
        (RECORDINGS + "sampler: {Bucketed: {max_padding: 1}}", "3:35: sampler.Bucketed.max_padding: expected a number below 1, got 1"),
        (RECORDINGS + "sampler: {PerGroup: {k: 2}}\nloader: {shuffle: true}", "4:10: loader.shuffle: does not go with a sampler"),
        (RECORDINGS + "loader: {shuffle: maybe}", "3:19: loader.shuffle: expected "),
        (RECORDINGS + "loader: {num_workers: 1000000000}", "3:23: loader.num_workers: expected a number of at most 256"),
        (RECORDINGS + "loader: {collate_fn: os.system}", "3:10: loader.collate_fn: unknown key"),
        (RECORDINGS + "transforms: [Window: {lenght: 3}]", r"3:23: transforms\[0\].Window.lenght: "),
        ("source: {recordings: S*.npy, fs: 100, time: t}", "2:39: source.time: goes with `regrid`"),
        ("source: {recordings: S*.npy, time: t, regrid: {to_hz: 0}}", "2:55: source.regrid.to_hz: expected a number of at least 1e-09, got 0"),
    ],
)  # fmt: skip
def test_what_is_refused_and_where(folder, text, problem):
    with pytest.raises(ConfigError, match=f"^train.yaml:{problem}"):
        parse_pipeline(b"version: 1\n" + text.encode(), name="train.yaml", folder=folder, roots=(folder,))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (RECORDINGS + "split: {fractions: {a: 0.5, b: 0.5}, by: person}\n" + WINDOW, "3:8: split: no label 'person'"),
        (RECORDINGS + "split: {column: person}\n" + WINDOW, "3:17: split.column: no label 'person'"),
        ("source: {recordings: none/*.npy, fs: 100}\n" + WINDOW, "2:22: source.recordings: .*no such file"),
        ("source: {recordings: S*.npy, fs: 100, channels: [x]}\n" + WINDOW, r"2:50: source.channels\[0\]: .*no channel matches 'x'"),
        (RECORDINGS + "transforms: [Clone]\n", "3:13: transforms: .*needs a stage that cuts"),
        (RECORDINGS + "transforms: [Detrend, Window: {length: 9}]\n", r"3:14: transforms\[0\]: .*needs the whole recording"),
        ("sources: {a: {parquet: none.parquet}}\n", "2:24: sources.a.parquet: .*no such file"),
    ],
)  # fmt: skip
def test_what_is_found_later_has_its_place(folder, text, problem):
    def opened():
        pipeline = load(folder, text)
        return pipeline.datasets[pipeline.parts[0]][0]

    with pytest.raises(BridgeflowError, match=f"train.yaml:{problem}"):
        opened()


def test_a_job_is_no_pipeline_and_a_pipeline_no_job():
    text = b"version: 1\nsource: {recordings: a.edf}\nsplit: {folds: 3}\n"
    with pytest.raises(ConfigError, match=r"^train\.yaml:3:1: split: makes this a pipeline, which bridgeflow"):
        parse_job(text, name="train.yaml", folder="/data")


def test_a_pipeline_in_python():
    from bridgeflow import Compose, TrainingPipeline, Window
    from bridgeflow.pipeline.recordings_source import RecordingsSource

    many = Recordings([Recording.from_arrays(np.zeros((1, 300)), fs=100, id=str(n)) for n in range(4)])
    source = RecordingsSource()
    pipeline = TrainingPipeline(
        sources={"train": source}, transform=Compose([Window(length=100)]), indexes={"train": many}
    )
    assert len(pipeline.datasets["train"]) == 12
