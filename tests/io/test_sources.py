"""What `open_source` takes beside a file: folders, patterns, and columns that are in memory."""

import json
import os
import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeflow.bridge import to_numpy, to_tensor
from bridgeflow.errors import DataError
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.commit import seal

RNG = np.random.default_rng(2)
ECG = RNG.normal(size=(50, 4)).astype(np.float32)
LABEL = np.arange(50)
LENGTHS = [7, 0, 1, 30, 12]
SUFFIXES = ["arrow", "arrows", "parquet"]


def folder_of(folder, suffixes=SUFFIXES, lengths=LENGTHS, fs=360):
    folder.mkdir(exist_ok=True)
    start = 0
    for number, length in enumerate(lengths):
        path = folder / f"part{number}.{suffixes[number % len(suffixes)]}"
        with open_sink(path, settings={"fs": fs, "part": number}) as sink:
            sink.write({"ecg": ECG[start : start + length], "label": LABEL[start : start + length]})
        start += length
    return folder


def assert_rows(columns, where):
    assert np.array_equal(to_numpy(columns["ecg"]), ECG[where])
    assert np.array_equal(to_numpy(columns["label"]), LABEL[where])


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    with open_source(folder_of(tmp_path_factory.mktemp("many") / "a")) as source:
        yield source


@pytest.fixture(
    scope="module", params=["folder", "table", "batch", "reader", "dict", "tensors", "arrow dict", "polars", "struct"]
)
def source(request, tmp_path_factory):
    table = pa.table({"ecg": pa.FixedShapeTensorArray.from_numpy_ndarray(ECG), "label": LABEL})
    chunked = pa.concat_tables([table.slice(0, 7), table.slice(7, 0), table.slice(7)])
    if request.param == "folder":
        given = folder_of(tmp_path_factory.mktemp("many") / "a")
    elif request.param == "polars":
        polars = pytest.importorskip("polars")
        given = polars.DataFrame({"ecg": ECG, "label": LABEL})
    else:
        given = {
            "table": lambda: chunked,
            "batch": lambda: table.combine_chunks().to_batches()[0],
            "reader": lambda: chunked.to_reader(),
            "dict": lambda: {"ecg": ECG, "label": LABEL},
            "tensors": lambda: {"ecg": torch.from_numpy(ECG), "label": torch.from_numpy(LABEL)},
            "arrow dict": lambda: {"ecg": chunked["ecg"], "label": chunked["label"]},
            "struct": lambda: Capsule(
                pa.StructArray.from_arrays([pa.array(ECG.tolist(), pa.list_(pa.float32(), 4)), LABEL], ["ecg", "label"])
            ),
        }[request.param]()
    with open_source(given) as opened:
        yield opened


class Capsule:
    """Some library's array, known by its capsule alone."""

    def __init__(self, array):
        self.array = array

    def __arrow_c_array__(self, requested_schema=None):
        return self.array.__arrow_c_array__(requested_schema)


def test_rows_and_specs(source):
    assert source.rows == 50
    assert {name: spec.shape for name, spec in source.specs.items()} == {"ecg": (50, 4), "label": (50,)}
    assert source.specs["ecg"].dtype == "float32"
    assert all(spec.writable for spec in source.specs.values())
    assert_rows(source.read(), slice(None))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_slices_gathers_and_chunks_are_numpys(source, data):
    start = data.draw(st.integers(0, 50))
    stop = data.draw(st.integers(start, 50))
    assert_rows(source.slice(start, stop, writable=data.draw(st.booleans())), slice(start, stop))
    indices = np.array(data.draw(st.lists(st.integers(0, 49), max_size=60)), int)
    assert_rows(source.take(indices), indices)
    rows = data.draw(st.integers(1, 60))
    position = start
    for chunk in source.chunks(rows, start=start, stop=stop):
        length = len(chunk["label"])
        assert length == min(rows, stop - position)
        assert_rows(chunk, slice(position, position + length))
        position += length
    assert position == stop


def test_what_is_given_is_the_callers_own(source):
    for _ in range(2):
        for columns in (source.slice(3, 9), source.take([3, 4]), source.read(), *source.chunks(20)):
            to_tensor(columns["ecg"], copy="never").fill_(-1)
    assert_rows(source.read(), slice(None))
    frozen = source.slice(3, 5, writable=False)["ecg"]
    assert not to_numpy(frozen).flags.writeable


def test_they_pickle(source):
    assert_rows(pickle.loads(pickle.dumps(source)).take([49, 0]), [49, 0])


def test_columns_are_chosen_and_closed_is_closed():
    with open_source({"ecg": ECG, "label": LABEL}, columns=["label"]) as source:
        assert list(source.read()) == ["label"]
    with pytest.raises(ValueError, match="<dict> is closed"):
        source.read()
    with pytest.raises(DataError, match="<dict>: column 'lable': no such column; did you mean 'label'"):
        open_source({"label": LABEL}, columns=["lable"])


@pytest.mark.parametrize(
    "array", [pa.array([1.0, 2.0]), pa.chunked_array([[1.0], [2.0]]), Capsule(pa.array([1.0, 2.0]))]
)
def test_an_array_without_a_name_is_one_column(array):
    assert open_source(array).read()["values"].tolist() == [1, 2]
    assert open_source(array, columns=["ecg"]).read()["ecg"].tolist() == [1, 2]


def test_a_column_of_polars_is_one_too():
    polars = pytest.importorskip("polars")
    assert open_source(polars.Series("ecg", [1.0, 2.0])).read()["values"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([1, 2], "<list>: a list has no columns; give a path, a table"),
        (3.5, "<float>: a float has no columns"),
        ({"a": [1, 2]}, "<dict>: column 'a': is list, not an array"),
        ({"a": np.float32(1)}, "'a': is a single value without rows"),
        ({"a": ECG, "b": ECG[1:]}, "needs columns of one length, got a 50, b 49"),
        ({}, "needs columns of one length, got none"),
        ({3: ECG}, "columns are named by text"),
        ({"a": pa.array([1, None])}, "'a': 1 null, the first in row 1"),
        (pa.table({"a": pa.chunked_array([[1, 2], [None]])}), "<Table>: column 'a': 1 null, the first in row 2"),
        (pa.table([[1], [2]], names=["a", "a"]), "there are 2 columns of this name"),
    ],
)
def test_what_is_no_source(given, problem):
    with pytest.raises(DataError) as caught:
        open_source(given)
    assert problem in str(caught.value)


def test_what_a_capsule_holds_is_validated():
    broken = pa.DictionaryArray.from_arrays(pa.array([0, 7], pa.int8()), pa.array(["n"]), safe=False)
    for x in (pa.table({"label": broken}), {"label": broken}, Capsule(pa.StructArray.from_arrays([broken], ["a"]))):
        with pytest.raises(DataError, match="cannot be read as columns"):
            open_source(x)


def test_a_format_is_of_files():
    with pytest.raises(ValueError, match="format: a dict in memory has none, got 'npy'"):
        open_source({"a": ECG}, format="npy")


# --- folders ----------------------------------------------------------------------------------------------------------


def test_parts_and_what_is_common_to_them(many):
    assert [(part.name, part.start, part.stop) for part in many.parts] == [
        ("part0", 0, 7), ("part1", 7, 7), ("part2", 7, 8), ("part3", 8, 38), ("part4", 38, 50)
    ]  # fmt: skip
    assert many.settings == {"fs": 360}
    assert many.fs == 360
    assert not many.random_access  # one of the parts is Parquet
    assert many.format is None
    with open_source(many.path / "part[03].arrow") as mapped:
        assert mapped.random_access
        assert mapped.format.name == "arrow"
        assert mapped.rows == 37


def test_more_files_than_are_kept_open(tmp_path, monkeypatch):
    monkeypatch.setattr("bridgeflow.io.folders.KEPT_OPEN", 2)
    with open_source(folder_of(tmp_path / "a")) as source:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            assert_rows(source.take(np.arange(50)[::-1]), np.arange(50)[::-1])
        assert len(os.listdir("/proc/self/fd")) <= before + 2
        os.utime(tmp_path / "a" / "part0.arrow", ns=(1, 1))
        with pytest.raises(DataError, match=r"part0\.arrow: is not the file that was opened first"):
            source.read()


def test_files_that_differ(tmp_path):
    folder = folder_of(tmp_path / "a")
    with open_sink(folder / "zz.arrow", settings={"fs": 360}) as sink:
        sink.write({"ecg": ECG})
    with pytest.raises(DataError, match=r"zz\.arrow: has columns ecg, and .*part0\.arrow has ecg, label"):
        open_source(folder)
    assert open_source(folder, columns=["ecg"]).rows == 100
    for columns, fs, problem in [
        (
            {"ecg": ECG.astype("float64"), "label": LABEL},
            360,
            r"'ecg': is float64 of \[4\] at 360.0 Hz, and in .* float32",
        ),
        ({"ecg": ECG[:, :2].copy(), "label": LABEL}, 360, r"'ecg': is float32 of \[2\]"),
        ({"ecg": ECG, "label": LABEL}, 100, "'ecg': is float32 .* at 100.0 Hz"),
    ]:
        with open_sink(folder / "zz.arrow", settings={"fs": fs}, overwrite=True) as sink:
            sink.write(columns)
        with pytest.raises(DataError, match=problem):
            open_source(folder)


def test_a_changed_folder_is_not_the_pickled_one(tmp_path):
    source = open_source(folder_of(tmp_path / "a"))
    sent = pickle.dumps(source)
    with open_sink(tmp_path / "a" / "zz.arrow", settings={"fs": 360}) as sink:
        sink.write({"ecg": ECG, "label": LABEL})
    with pytest.raises(DataError, match="is not the file that was opened first"):
        pickle.loads(sent)
    assert_rows(source.read(), slice(None))


def manifest_of(folder, **changes):
    order = ["part4.arrows", "part0.arrow"]
    sizes = {name: os.path.getsize(folder / name) for name in order}
    rows = {"part4.arrows": 12, "part0.arrow": 7}
    rest = {"recording": "a", "start": 0, "end": 50, "sha256": "0" * 64, "saturated": 0}
    shards = [
        {"name": name, "nbytes": sizes[name], "rows": rows[name]} | rest | changes.get(name[:5], {}) for name in order
    ]
    job = {"version": 1, "digest": "0" * 64, "configuration": {}, "versions": {}, "inputs": []}
    return {**job, "recordings": [{"name": "a", "rows": 50}], "shards": shards, "rows": 19}


def test_a_manifest_is_trusted_and_not_a_glob(tmp_path):
    folder = folder_of(tmp_path / "a")
    (folder / "log").mkdir()
    (folder / "log" / "job.json").write_text("{}")
    with pytest.raises(DataError, match="has the results of a job that has not finished; run the job again"):
        open_source(folder)
    (folder / "manifest.json").write_bytes(seal(manifest_of(folder)))
    with open_source(folder) as source:
        assert [part.name for part in source.parts] == ["part4", "part0"]
        assert_rows(source.read(), [*range(38, 50), *range(7)])
    for change, problem in [
        ({"rows": 8}, r"part0\.arrow: has 7 rows, and its folder's manifest says 8"),
        ({"nbytes": 8}, r"part0\.arrow: has [\d,]+ bytes, and its folder's manifest says 8"),
        ({"name": "none.arrow"}, "none.arrow: no such file"),
        ({"name": "../../part0.arrow"}, r"manifest\.json: shards\[1\]\.name: expected a plain file name"),
        ({"rows": -1}, r"manifest\.json: shards\[1\]\.rows: expected a whole number from 0 on, got -1"),
    ]:
        (folder / "manifest.json").write_bytes(seal(manifest_of(folder, part0=change)))
        with pytest.raises(DataError, match=problem):
            open_source(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest_of(folder)))
    with pytest.raises(DataError, match=r"manifest\.json"):
        open_source(folder)
