"""The index: found by patterns and tables, filtered, saved and loaded, split without leaks."""

from __future__ import annotations

import json
import os
from collections import Counter
from threading import get_ident

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from bridgeflow import DataError, KeyNotFound, Recording, Recordings


def many(count: int = 20, subjects: int = 5) -> Recordings:
    labels = {"subject": [f"S{n % subjects}" for n in range(count)], "label": [n % 2 for n in range(count)]}
    arrays = {f"r{n}": np.full((2, 100 + n), n, np.int16) for n in range(count)}
    return Recordings.from_arrays(arrays, fs=100, channels=["a", "b"], labels=labels)


@pytest.fixture
def folder(tmp_path):
    edfio = pytest.importorskip("edfio")
    for number in range(6):
        path = tmp_path / f"S{number % 3}" / f"night{number}.edf"
        path.parent.mkdir(exist_ok=True)
        data = np.random.default_rng(number).normal(size=100 * (number + 1))
        edfio.Edf([edfio.EdfSignal(data, 100, label="EEG")]).write(path)
    return tmp_path


def test_found_by_a_pattern_with_groups(folder):
    done = []
    recordings = Recordings(
        f"{folder}/**/*.edf", group=r"(?P<subject>S\d+)", progress=lambda *counts: done.append((*counts, get_ident()))
    )
    assert len(recordings) == 6
    assert recordings.ids == ["S0_night0", "S0_night3", "S1_night1", "S1_night4", "S2_night2", "S2_night5"]
    assert recordings.labels("subject") == ["S0", "S0", "S1", "S1", "S2", "S2"]
    assert [one[:2] for one in done] == [(n, 6) for n in range(1, 7)]
    assert recordings["S1_night4"].columns["signal"].length == 500
    table = recordings.table
    assert table.column_names == ["id", "path", "rate", "length", "seconds", "channels", "start", "subject"]
    assert table["length"].to_pylist() == [100, 400, 200, 500, 300, 600]
    assert table["path"][0].as_py() == str(folder / "S0" / "night0.edf")


def test_a_folder_and_lists_of_paths(folder):
    assert Recordings(folder / "S0").ids == ["night0", "night3"]
    paths = [folder / "S1" / "night1.edf", folder / "S0" / "night0.edf"]
    assert Recordings(paths).ids == ["night1", "night0"]
    with pytest.raises(DataError, match="no file in it is a recording"):
        Recordings(folder)
    with pytest.raises(DataError, match="matches nothing in the path"):
        Recordings(folder / "S0", group=r"(?P<subject>P\d+)")


def test_the_first_damaged_file_is_named(folder):
    (folder / "S1" / "night1.edf").write_bytes(b"0       no")
    with pytest.raises(DataError, match=r"night1\.edf: is cut off"):
        Recordings(f"{folder}/**/*.edf")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "arrow", "memory"])
def test_from_a_table(folder, suffix):
    columns = {"file": ["S0/night0.edf", "S2/night2.edf"], "diagnosis": ["well", "ill"], "age": [31, 64]}
    table = pa.table(columns)
    named = folder / f"labels.{suffix}"
    if suffix == "arrow":
        with pa.ipc.new_file(str(named), table.schema) as writer:
            writer.write_table(table)
    elif suffix == "memory":
        named = table
    else:
        separator = "\t" if suffix == "tsv" else ","
        lines = [columns, *zip(*columns.values(), strict=True)]
        named.write_text("\n".join(separator.join(map(str, line)) for line in lines) + "\n")
    recordings = Recordings.from_table(named, path="file", root=folder if suffix == "memory" else None)
    assert recordings.ids == ["S0_night0", "S2_night2"]
    assert [one.labels for one in recordings] == [{"diagnosis": "well", "age": 31}, {"diagnosis": "ill", "age": 64}]
    assert Recordings.from_table(table, path="file", id="diagnosis", root=folder).ids == ["well", "ill"]
    with pytest.raises(DataError, match="table: no column 'path'"):
        Recordings.from_table(table, root=folder)


def test_values_of_an_index():
    recordings = many()
    assert recordings[3].id == "r3"
    assert recordings[-1].id == "r19"
    assert recordings[2:4].ids == ["r2", "r3"]
    assert recordings[[5, 1]].ids == ["r5", "r1"]
    assert recordings[np.array([5, 1])].ids == ["r5", "r1"]
    assert (recordings[:3] + recordings[5:6]).ids == ["r0", "r1", "r2", "r5"]
    assert [one.id for one in recordings][:2] == ["r0", "r1"]
    with pytest.raises(KeyNotFound, match="no recording 'r99'"):
        recordings["r99"]
    with pytest.raises(DataError, match="two recordings are called 'r0'"):
        recordings + recordings[:1]


def test_filtered_and_picked():
    recordings = many()
    assert recordings.filter(lambda one: one.labels["subject"] == "S1").ids == ["r1", "r6", "r11", "r16"]
    mask = pa.compute.equal(recordings.table["subject"], "S1")
    assert recordings.filter(mask).ids == ["r1", "r6", "r11", "r16"]
    with pytest.raises(ValueError, match="the mask has 1 values for 20"):
        recordings.filter([True])
    assert recordings.pick("b")[4].columns["signal"].shape == (1,)
    assert recordings.with_columns({"x": "b"})[4].columns["x"].read(0, 1).tolist() == [[4]]
    assert recordings.rename({"a": "c"}).table["channels"][0].as_py() == ["c", "b"]
    lacking = Recordings([*recordings[:2], Recording.from_arrays(np.zeros(3), fs=1, id="one", channels=["a"])])
    with pytest.raises(DataError, match="one: no channel matches 'b'"):
        lacking.pick(["a", "b"])
    assert lacking.pick(["a", "b"], missing="pad")[2].columns["signal"].present == (True, False)


def test_saved_and_loaded(folder, tmp_path):
    recordings = Recordings(f"{folder}/**/*.edf", group=r"(?P<subject>S\d+)", units="physical").with_columns(
        {"x": "EEG"}
    )
    recordings.save(tmp_path / "index.arrow")
    again = Recordings.load(tmp_path / "index.arrow")
    assert again == recordings
    assert again.table.equals(recordings.table)
    assert np.array_equal(again[3].columns["x"].read(0, 50), recordings[3].columns["x"].read(0, 50))
    os.utime(folder / "S1" / "night1.edf", ns=(1, 1))
    with pytest.raises(DataError, match=r"night1\.edf: has changed since"):
        Recordings.load(tmp_path / "index.arrow")
    with pytest.raises(DataError, match="r0: is in memory only"):
        many().save(tmp_path / "memory.arrow")


def test_a_saved_part_knows_what_it_is_a_part_of(folder, tmp_path):
    parts = Recordings(f"{folder}/**/*.edf").split((0.5, 0.5), seed=3)
    for part in parts:
        part.save(tmp_path / "part.arrow")
        again = Recordings.load(tmp_path / "part.arrow")
        assert again == part
        assert again.part == part.part is not None
    both = [*parts[0], *parts[1]]
    Recordings(both).save(tmp_path / "both.arrow")
    assert Recordings.load(tmp_path / "both.arrow").part is None
    with pa.ipc.open_file(str(tmp_path / "part.arrow")) as reader:
        rows = reader.read_all()
    facts = json.loads(rows["recording"][0].as_py())
    for part in ("part 1 of 2", {"name": "part 1 of 2"}, {**facts["part"], "name": 1}, {**facts["part"], "name": "x"}):
        texts = [json.dumps({**facts, "part": part}), *rows["recording"].to_pylist()[1:]]
        table = rows.set_column(2, "recording", pa.array(texts))
        with pa.ipc.new_file(str(tmp_path / "odd.arrow"), table.schema) as writer:
            writer.write_table(table)
        with pytest.raises(DataError, match="names no part, or several, of a split"):
            Recordings.load(tmp_path / "odd.arrow")


def test_a_damaged_index(folder, tmp_path):
    Recordings(folder / "S0").save(tmp_path / "index.arrow")
    data = (tmp_path / "index.arrow").read_bytes()
    for length in range(0, len(data), 7):
        (tmp_path / "cut.arrow").write_bytes(data[:length])
        with pytest.raises(DataError):
            Recordings.load(tmp_path / "cut.arrow")
    for text in ('{"source": 1}', "[" * 5000, "null", '{"source": {"options": {"fs": null}, "path": "/x"}}'):
        table = pa.table({"version": pa.array([1], pa.int32()), "id": ["a"], "recording": [text]})
        with pa.ipc.new_file(str(tmp_path / "odd.arrow"), table.schema) as writer:
            writer.write_table(table)
        with pytest.raises(DataError, match="holds no recording"):
            Recordings.load(tmp_path / "odd.arrow")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("by", ["subject", None])
@pytest.mark.parametrize("stratify", ["label", None])
def test_parts_share_no_group(seed, by, stratify):
    recordings = many(100, 20)
    parts = recordings.split((0.7, 0.15, 0.15), by=by, stratify=stratify, seed=seed)
    assert sorted(id for part in parts for id in part.ids) == sorted(recordings.ids)
    assert [len(part) for part in parts] == [70, 15, 15]
    if by is not None:
        subjects = [set(part.labels(by)) for part in parts]
        assert not subjects[0] & subjects[1]
        assert not (subjects[0] | subjects[1]) & subjects[2]
    elif stratify is not None:
        assert Counter(parts[0].labels(stratify)) == {0: 35, 1: 35}


def test_parts_depend_on_the_seed_alone():
    recordings = many(40, 20)
    first = recordings.split((0.5, 0.5), by="subject", seed=1)
    assert first == recordings.split((0.5, 0.5), by="subject", seed=1)
    assert first != recordings.split((0.5, 0.5), by="subject", seed=2)


@pytest.mark.parametrize("fractions", [(1.0,), (0.5, 0.6), (0.5, 0.5, 0.0), (float("nan"), 0.5)], ids=str)
def test_fractions_that_are_none(fractions):
    with pytest.raises(ValueError, match="fractions: expected"):
        many().split(fractions)


def test_splits_that_cannot_be():
    with pytest.raises(DataError, match="2 values of 'label' cannot make 3 parts"):
        many().split((0.4, 0.3, 0.3), by="label")
    with pytest.raises(KeyNotFound, match="no label 'subjects'; did you mean 'subject'"):
        many().split((0.5, 0.5), by="subjects")
    unlabelled = many() + Recordings.from_arrays({"x": np.zeros(3)}, fs=1)
    with pytest.raises(DataError, match="recordings without the label 'subject': x"):
        unlabelled.folds(2, by="subject")


def test_folds_and_leaving_one_out():
    recordings = many(20, 5)
    pairs = recordings.folds(5, by="subject")
    assert sorted(id for _, test in pairs for id in test.ids) == sorted(recordings.ids)
    for train, test in [*pairs, *recordings.leave_one_group_out("subject")]:
        assert len(train) + len(test) == 20
        assert not set(train.labels("subject")) & set(test.labels("subject"))
    assert [set(test.labels("subject")) for _, test in recordings.leave_one_group_out("subject")] == [
        {f"S{n}"} for n in range(5)
    ]


class Splitter:
    """As scikit-learn's: positions of two halves."""

    def split(self, X, y=None, groups=None):
        self.groups = groups
        yield np.arange(0, 10), np.arange(10, 20)


def test_splitters_of_others():
    splitter = Splitter()
    ((train, test),) = many(20, 5).folds(splitter)
    assert (len(train), len(test), splitter.groups) == (10, 10, None)
    with pytest.raises(DataError, match="values of 'subject' in training and test both: S0, S1, S2, S3, S4"):
        many(20, 5).folds(splitter, by="subject")
    assert splitter.groups[:2] == ["S0", "S1"]


def test_folds_of_a_table_and_the_table_of_folds(tmp_path):
    recordings = many(20, 5)
    table = recordings.fold_table(4, by="subject", seed=3)
    pairs = recordings.folds(4, by="subject", seed=3)
    assert table.column_names == ["id", "fold"]
    paths = [tmp_path / "folds.csv", tmp_path / "folds.tsv", tmp_path / "folds.parquet"]
    pa.csv.write_csv(table, paths[0])
    pa.csv.write_csv(table, paths[1], pa.csv.WriteOptions(delimiter="\t"))
    pa.parquet.write_table(table, paths[2])
    for source in (*paths, str(paths[0]), table, table.to_pydict()):
        assert recordings.folds(source, by="subject") == pairs
    few = recordings.filter(lambda one: one.labels["subject"] != "S0")
    assert sum(len(test) for _, test in few.folds(paths[0])) == 16
    with pytest.raises(DataError, match="values of 'subject' in training and test both: S0"):
        recordings.folds({"id": recordings.ids, "fold": [n % 4 for n in range(20)]}, by="subject")
    with pytest.raises(DataError, match="no row for r19"):
        recordings.folds(table.slice(0, 19))
    with pytest.raises(DataError, match="'r0' is in the folds 0 and 1"):
        recordings.folds({"id": ["r0", "r0"], "fold": [0, 1]})
    with pytest.raises(DataError, match="'r0' has no fold"):
        recordings.folds({"id": ["r0"], "fold": pa.array([None], pa.int64())})
    with pytest.raises(DataError, match="1 folds for these recordings"):
        recordings.folds({"id": recordings.ids, "fold": ["a"] * 20})
    with pytest.raises(DataError, match="no column 'fold'; did you mean 'folds'"):
        recordings.folds({"id": recordings.ids, "folds": ["a"] * 20})
    with pytest.raises(DataError, match="in no test part: r0, r1"):
        recordings.fold_table(Splitter())


def test_parts_know_what_they_are_parts_of():
    recordings = many()
    train, test = recordings.split((0.8, 0.2), by="subject", seed=1)
    assert recordings.part is None
    assert (train.part.name, test.part.name) == ("part 1 of 2", "part 2 of 2")
    assert train.part.split == "split((0.8, 0.2), by='subject', seed=1)"
    assert train.part.parent == test.part.parent == recordings.digest() != train.digest()
    assert str(test.part) == f"part 2 of 2 of split((0.8, 0.2), by='subject', seed=1) of {recordings.digest()[:8]}"
    kept = (train.pick("a"), train[:3], train[[0, 1]], train.filter([True] * len(train)), train.with_units("physical"))
    assert {one.part for one in (*kept, train.rename({"a": "b2"}), train.with_labels({"x": [0] * 16}))} == {train.part}
    assert (train + test).part is None
    folds = recordings.folds(4)
    assert [pair[1].part.name for pair in folds] == [f"test part of fold {n} of 4" for n in (1, 2, 3, 4)]
    assert recordings.leave_one_group_out("subject")[2][0].part.name == "training part of fold 3 of 5"


def test_recordings_of_one_file_are_never_apart(folder):
    recordings = Recordings(f"{folder}/**/*.edf")
    renamed = Recordings([Recording.open(folder / f"S{n % 3}" / f"night{n}.edf", id=f"again {n}") for n in range(6)])
    both = recordings + renamed
    for part in both.split((0.5, 0.5), seed=2):
        paths = Counter(one.source.path for one in part)
        assert set(paths.values()) == {2}
    apart = both.with_labels({"half": ["first"] * 6 + ["second"] * 6})
    for split in (lambda: apart.split((0.5, 0.5), by="half"), lambda: apart.leave_one_group_out("half")):
        with pytest.raises(DataError, match="recordings of one file in several parts"):
            split()
