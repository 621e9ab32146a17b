"""Tables and columns of polars, DuckDB and pandas by capsule, in and out, with the real packages."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from bridgeflow import (
    Compose,
    DataError,
    NoRoute,
    Recordings,
    Scale,
    SignalDataset,
    ToArrow,
    ToNumpy,
    ToTensor,
    describe,
    to_arrow,
    to_numpy,
    to_tensor,
    trace,
)

X = np.arange(48, dtype=np.float32).reshape(6, 2, 4)


def address(x):
    return x.__array_interface__["data"][0]


class TestPandas:
    pd = pytest.importorskip("pandas")

    @pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int8", "uint16", "bool"])
    def test_columns_of_numpy_share_memory(self, dtype):
        series = self.pd.Series(np.arange(6).astype(dtype))
        values = to_numpy(series, copy="never")
        assert values.dtype == dtype
        assert address(values) == address(series.to_numpy())
        assert not values.flags.writeable
        with trace() as log:
            tensor = to_tensor(series)
        assert [(one.action, one.reason) for one in log] == [("copy", "read-only")]
        tensor[:] = 0
        assert series.tolist() == np.arange(6).astype(dtype).tolist()

    def test_nan_of_numpy_stays_nan_and_null_of_arrow_null(self):
        values = [1.0, float("nan"), 3.0]
        assert np.array_equal(to_numpy(self.pd.Series(values)), values, equal_nan=True)
        for missing in (
            self.pd.Series([1.0, None], dtype="float64[pyarrow]"),
            self.pd.Series([1, None], dtype="Int64"),
        ):
            with pytest.raises(NoRoute, match=r"1 of the rows are null .* pass nulls="):
                to_numpy(missing)
            assert to_numpy(missing, nulls="mask").mask.tolist() == [False, True]

    def test_columns_of_arrow_share_memory(self):
        array = pa.array([1.0, 2.0, 3.0])
        series = self.pd.Series(array, dtype=self.pd.ArrowDtype(pa.float64()))
        assert address(to_numpy(series, copy="never")) == array.buffers()[1].address

    @pytest.mark.parametrize(
        ("kind", "values"),
        [
            (pa.list_(pa.float64()), [[1.0, 2.0], [3.0, 4.0]]),
            (pa.list_(pa.float64(), 2), [[1.0, 2.0], [3.0, 4.0]]),
            (pa.list_(pa.list_(pa.int16(), 2), 1), [[[1, 2]], [[3, 4]]]),
        ],
        ids=["list", "fixed", "nested"],
    )
    def test_columns_of_lists(self, kind, values):
        series = self.pd.Series(pa.array(values, kind), dtype=self.pd.ArrowDtype(kind))
        assert to_numpy(series).tolist() == values

    def test_columns_of_arrays(self):
        series = self.pd.Series(list(X[:, 0]))
        assert to_numpy(series).tolist() == X[:, 0].tolist()
        dataset = SignalDataset(self.pd.DataFrame({"ecg": list(X[:, 0]), "y": range(6)}))
        assert dataset.batch([4, 1])["ecg"].tolist() == X[[4, 1], 0].tolist()

    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (lambda pd: pd.Series(list(X[:, 0])), "dtype"),
            (lambda pd: pd.DataFrame(X[:, 0].copy(), copy=False)[1], "non-contiguous"),
            (lambda pd: pd.Series([1, None], dtype="Int64"), "masked"),
        ],
        ids=["objects", "strided", "masked"],
    )
    def test_copies_on_the_way_to_arrow_are_traced(self, make, reason):
        series = make(self.pd)
        with trace() as log:
            to_numpy(series, nulls=0)
        assert (log.exchanges[0].action, log.exchanges[0].reason) == ("copy", reason)
        assert log.exchanges[0].nbytes > 0

    def test_frames_as_sources(self):
        frame = self.pd.DataFrame(
            {
                "x": [1.0, np.nan, 3.0],
                "id": ["a", "b", "c"],
                "n": np.array([1, 2, 3], np.int16),
                7: [True, False, True],
            },
            index=["r1", "r2", "r3"],
        )
        dataset = SignalDataset(frame, kind="numpy")
        assert list(dataset[0]) == ["x", "id", "n", "7"]  # no index
        batch = dataset.batch([2, 1])
        assert batch["id"] == ["c", "b"]
        assert batch["n"].dtype == np.int16
        assert batch["7"].tolist() == [True, False]
        assert np.array_equal(batch["x"], [3.0, np.nan], equal_nan=True)
        batch["x"][:] = 0
        assert frame["x"].iloc[0] == 1.0

    def test_frames_in_transforms_and_plans(self):
        frame = self.pd.DataFrame({"x": [1.0, np.nan], "id": ["a", "b"]})
        pipeline = Compose([Scale(scale=2.0, keys="x"), ToNumpy(keys="x")])
        result = pipeline(frame)["x"]
        assert np.array_equal(result, [2.0, np.nan], equal_nan=True)
        assert pipeline.explain(frame).result["x"].admits(describe(result))
        with pytest.raises(NoRoute, match="no counterpart of Arrow's struct"):
            to_numpy(frame)

    def test_tables_of_recordings(self, tmp_path):
        np.save(tmp_path / "a.npy", np.zeros(100))
        frame = self.pd.DataFrame({"path": ["a.npy"], "age": [61.0]}, index=[17])
        recordings = Recordings.from_table(frame, root=tmp_path, fs=100)
        assert recordings.labels("age") == [61.0]

    def test_results_go_back(self):
        result = ToArrow()({"ecg": X, "x": np.arange(6.0)})
        frame = pa.table({"ecg": result["ecg"].storage, "x": result["x"]}).to_pandas(types_mapper=self.pd.ArrowDtype)
        assert to_numpy(frame["x"]).tolist() == list(range(6))
        assert to_numpy(frame["ecg"]).reshape(X.shape).tolist() == X.tolist()


class TestPolars:
    pl = pytest.importorskip("polars")

    def test_columns_share_memory(self):
        series = self.pl.Series(np.arange(6.0))
        assert address(to_numpy(series, copy="never")) == address(series.to_numpy())
        cubes = self.pl.Series("ecg", X)
        assert cubes.dtype == self.pl.Array(self.pl.Float32, (2, 4))
        assert np.array_equal(to_numpy(cubes, copy="never"), X)

    def test_chunks_are_joined_and_it_is_said(self):
        series = self.pl.concat([self.pl.Series([1.0]), self.pl.Series([2.0])], rechunk=False)
        with trace() as log:
            assert to_numpy(series).tolist() == [1.0, 2.0]
        assert [(one.action, one.reason) for one in log] == [("copy", "chunked")]

    def test_nulls_lists_and_structures(self):
        frame = self.pl.DataFrame(
            {
                "ecg": X,
                "label": list("abcdef"),
                "n": [1, None, 3, 4, 5, 6],
                "beats": [[1.0], [2.0, 3.0]] * 3,
                "box": [{"a": 1}] * 6,
            }
        )
        dataset = SignalDataset(frame, nulls=-1, ragged="list")
        sample = dataset[1]
        assert np.array_equal(sample["ecg"], X[1])
        assert (sample["label"], sample["n"].item(), sample["beats"].tolist()) == ("b", -1, [2.0, 3.0])
        assert sample["box"] == {"a": 1}
        with pytest.raises(DataError, match="column 'n': 1 null, the first in row 1"):
            SignalDataset(frame)

    def test_frames_in_transforms(self):
        frame = self.pl.DataFrame({"ecg": X, "label": list("abcdef")})
        result = Scale(scale=2.0, keys="ecg")(frame)
        assert isinstance(result, pa.Table)
        assert np.array_equal(to_numpy(result["ecg"]), X * 2)
        plan = ToTensor(keys="ecg").explain(frame)
        assert [one.action for one in plan.exchanges] == ["copy"]
        assert [one.action for one in ToTensor(keys="ecg", writable=False).explain(frame).exchanges] == ["view"]

    def test_lazy_frames_have_no_rows(self):
        with pytest.raises(DataError, match=r"a LazyFrame has no columns; run its query: \.collect\(\)"):
            SignalDataset(self.pl.DataFrame({"x": [1]}).lazy())

    def test_results_go_back(self):
        storage = to_arrow(X).storage
        series = self.pl.Series(storage)
        assert series.to_numpy().reshape(X.shape).tolist() == X.tolist()
        table = pa.table({"x": to_arrow(np.arange(6.0)), "n": to_arrow(np.arange(6, dtype=np.int16))})
        frame = self.pl.DataFrame(table)
        assert frame["x"].to_list() == list(range(6))
        assert frame["n"].dtype == self.pl.Int16
        assert address(to_numpy(frame["x"])) == table["x"].chunk(0).buffers()[1].address


class TestDuckDB:
    @pytest.fixture
    def connection(self):
        with pytest.importorskip("duckdb").connect() as connection:
            yield connection

    def test_relations_as_sources(self, connection):
        relation = connection.sql(
            "select i::double as x, i::smallint as n, 'r' || i as id, [i, i + 1] as l, [i, i + 1]::float[2] as ecg, "
            "{'a': i} as box from range(5) t(i)"
        )
        dataset = SignalDataset(relation)
        batch = dataset.batch([3, 0])
        assert batch["x"].tolist() == [3, 0]
        assert str(batch["n"].dtype) == "torch.int16"
        assert batch["id"] == ["r3", "r0"]
        assert batch["l"].tolist() == batch["ecg"].tolist() == [[3, 4], [0, 1]]
        assert batch["box"] == [{"a": 3}, {"a": 0}]

    def test_relations_in_transforms(self, connection):
        relation = connection.sql("select i::double as x, 'r' || i as id from range(5) t(i)")
        assert ToNumpy(keys="x")(relation)["x"].tolist() == [0, 1, 2, 3, 4]
        with pytest.raises(NoRoute, match="no counterpart of Arrow's struct"):
            to_numpy(connection.sql("select 1 as x"))

    def test_nulls(self, connection):
        relation = connection.sql("select unnest([1.5, null]) as x")
        with pytest.raises(DataError, match="column 'x': 1 null"):
            SignalDataset(relation)
        assert SignalDataset(connection.sql("select unnest([1.5, null])::double as x"), nulls="nan")[1]["x"].isnan()

    def test_results_go_back(self, connection):
        table = pa.table({"ecg": to_arrow(X), "x": to_arrow(np.arange(6.0)), "ok": to_arrow(np.arange(6) > 2)})
        connection.register("results", table)
        rows = connection.sql("select ecg[2], x, ok from results where x > 3 order by x").fetchall()
        assert rows == [(X[4].flat[1], 4.0, True), (X[5].flat[1], 5.0, True)]
