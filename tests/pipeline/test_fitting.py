"""Fitted statistics: NumPy's over the whole, the same bits in any division of rows, from the training part alone."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow import (
    Compose,
    FitStandardize,
    FittedStatistics,
    Gain,
    Loader,
    Normalize,
    NormalizeBy,
    Recordings,
    SignalDataset,
    SignalFilter,
    Transform,
    WholeRecording,
    Window,
    load_job,
    load_statistics,
    merge_statistics,
    run_job,
    run_shards,
    save_statistics,
)
from bridgeflow.errors import ConfigError, DataError, KeyNotFound
from bridgeflow.pipeline.streams import Chunk, Streams
from bridgeflow.signal.exact_sums import ExactSums, exact_square
from tests.pipeline.stand_in_recordings import of_arrays

METHODS = {
    "z-score": lambda x: (np.nanmean(x), np.nanstd(x)),
    "robust": lambda x: (np.nanmedian(x), np.subtract(*np.nanquantile(x, [0.75, 0.25]))),
    "min-max": lambda x: (np.nanmin(x), np.nanmax(x) - np.nanmin(x)),
    "peak": lambda x: (0.0, np.nanmax(abs(x))),
    "rms": lambda x: (0.0, np.sqrt(np.nanmean(np.square(x)))),
}
methods = pytest.mark.parametrize("method", METHODS)


def rows(n: int = 50, channels: int = 3, samples: int = 200, dtype: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(0)
    x = 7 + rng.standard_normal((n, channels, samples)) * (1 + np.arange(channels))[:, None] * rng.random((n, 1, 1))
    return (100 * x).astype(dtype)


def by_numpy(method: str, per: str, x: np.ndarray) -> tuple[Any, Any]:
    x = x.astype(np.float64)
    if per == "all":
        return METHODS[method](x)
    each = [METHODS[method](x[:, channel]) for channel in range(x.shape[1])]
    return tuple(one[0] for one in each), tuple(one[1] for one in each)


@methods
@pytest.mark.parametrize("per", ["channel", "all"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
def test_numpys_statistics_and_the_same_bits_however_they_are_read(method: Any, per: Any, dtype: str):
    x = rows(dtype=dtype)
    if dtype != "int16":
        x[3, 1, 5:9], x[7, 0, 0] = np.nan, np.inf
    clean = np.where(np.isinf(x), np.nan, x)
    fit = FitStandardize(keys="x", method=method, per=per)
    fitted = fit.fit({"x": x})
    center, scale = by_numpy(method, per, clean)
    np.testing.assert_allclose(fitted.center, center, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(fitted.scale, scale, rtol=1e-12)
    dataset = SignalDataset({"x": x})
    order = np.random.default_rng(1).permutation(len(x))
    thirds = [torch.utils.data.Subset(dataset, range(n, 50, 3)) for n in range(3)]
    for other in (
        fit.fit(dataset, batch_size=7, threads=3),
        fit.fit([{"x": row} for row in x[order]], batch_size=11),
        fit.fit({"x": torch.from_numpy(row)} for row in x),
        fit.fit(Loader(dataset, 8, shuffle=True)),
        fit.fit(torch.utils.data.Subset(dataset, order.tolist())),
        merge_statistics(map(fit.statistics, thirds)).transform(),
    ):
        assert other == fitted
    halves = [fit.statistics([{"x": row} for row in part]) for part in (x[20:], x[:20])]
    halves[1] = FittedStatistics.from_state_dict(json.loads(json.dumps(halves[1].state_dict())))
    assert merge_statistics(halves).transform() == fitted
    assert Transform.from_config(json.loads(json.dumps(fitted.to_config()))) == fitted


@given(
    values=st.lists(st.floats(-1e150, 1e150, allow_subnormal=True), min_size=1, max_size=40),
    cut=st.integers(0, 40),
)
def test_sums_are_exact(values: list[float], cut: int):
    sums, rest = ExactSums(1), ExactSums(1)
    sums.add(np.array(values[:cut])[:, None])
    rest.add(np.array(values[cut:])[:, None])
    sums.merge(rest)
    assert sums[0] == sum(map(Fraction, values))


@given(st.floats(-1e140, 1e140).filter(lambda x: abs(x) > 1e-140))
def test_squares_are_exact(value: float):
    upper, lower = exact_square(np.array([value]))
    assert Fraction(float(upper[0])) + Fraction(float(lower[0])) == Fraction(value) ** 2


def test_nothing_cancels_far_from_zero():
    x = 1e9 + np.random.default_rng(0).standard_normal((400, 1, 50))
    fitted = FitStandardize().fit(list(x))
    assert isinstance(fitted, Normalize)
    exact = [Fraction(value) for value in x.ravel().tolist()]
    mean = sum(exact) / len(exact)
    variance = sum((one - mean) ** 2 for one in exact) / len(exact)
    np.testing.assert_allclose(fitted.scale, float(variance) ** 0.5, rtol=1e-9)
    np.testing.assert_allclose(fitted.center, float(mean), rtol=1e-15)


def test_rows_of_lengths_of_their_own():
    rng = np.random.default_rng(0)
    data = [{"x": rng.standard_normal((2, n))} for n in (5, 7, 7, 900, 1)]
    fitted = FitStandardize(keys="x").fit(data)
    together = np.concatenate([one["x"] for one in data], -1)
    np.testing.assert_allclose(fitted.center, together.mean(-1), rtol=1e-12)
    np.testing.assert_allclose(fitted.scale, together.std(-1), rtol=1e-12)


# --- groups ---


@methods
@pytest.mark.parametrize("labels", [np.arange(50) % 3, [f"S{n % 3}" for n in range(50)]], ids=["numbers", "text"])
def test_groups_have_statistics_of_their_own(method: Any, labels: Any):
    x = rows()
    source = {"x": x, "subject": labels if isinstance(labels, np.ndarray) else pa.array(labels)}
    dataset = SignalDataset(source)
    fit = FitStandardize(keys="x", method=method, by="subject", unseen="overall")
    fitted = fit.fit(dataset)
    assert isinstance(fitted, NormalizeBy)
    assert fitted.groups == tuple(sorted(set(np.asarray(labels).tolist())))
    together = FitStandardize(keys="x", method=method).fit(dataset)
    assert (fitted.center, fitted.scale) == (together.center, together.scale)
    for label, center, scale in zip(fitted.groups, fitted.centers, fitted.scales, strict=True):
        expected = by_numpy(method, "channel", x[np.asarray(labels) == label])
        np.testing.assert_allclose(center, expected[0], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(scale, expected[1], rtol=1e-12)
    parts = [fit.statistics(torch.utils.data.Subset(dataset, range(n, 50, 2))) for n in range(2)]
    assert merge_statistics(parts).transform() == fitted == fit.fit(Loader(dataset, 7))
    applied = SignalDataset(source, fitted)
    batch = applied.batch(range(50))["x"]
    for row in (0, 1, 2, 49):
        one = fitted.of_group(labels[row])
        np.testing.assert_array_equal(batch[row], one({"x": x[row]})["x"])
    whole = fitted({"x": x, "subject": labels})
    np.testing.assert_array_equal(whole["x"], batch)


def test_an_unseen_group_is_an_error_or_overall():
    data = [{"x": np.array([[1.0, 3.0]]), "who": "a"}, {"x": np.array([[5.0, 9.0]]), "who": "b"}]
    fitted = FitStandardize(keys="x", by="who").fit(data)
    with pytest.raises(DataError, match=r"no statistics of who 'c'.*unseen='overall'"):
        fitted({"x": np.zeros((1, 2)), "who": "c"})
    with pytest.raises(KeyNotFound, match="no 'who' in the sample"):
        fitted({"x": np.zeros((1, 2)), "how": "c"})
    overall = FitStandardize(keys="x", by="who", unseen="overall").fit(data)
    assert (overall({"x": np.full((1, 2), 4.5), "who": "c"})["x"] == 0).all()


# --- from the training part alone ---


def test_nothing_is_read_but_the_part():
    x = rows(6, 2, 1000)
    x[3:] = 1e6  # of other subjects
    recordings = of_arrays(*x, subject=["a", "a", "b", "c", "c", "d"])
    dataset = SignalDataset(recordings, Compose([Window(length=100)]))
    train = dataset._choose(dataset.source.rows_of(range(3)))
    fitted = FitStandardize(keys="signal").fit(train)
    read = [recordings[number].columns["signal"].samples_read for number in range(6)]
    assert read == [1000, 1000, 1000, 0, 0, 0]
    np.testing.assert_allclose(fitted.center, x[:3].mean((0, 2)), rtol=1e-12)
    assert len(train) == 30


class CountingDataset(torch.utils.data.Dataset):
    def __init__(self, x: np.ndarray) -> None:
        self.x, self.asked = x, set()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> Any:
        self.asked.add(row)
        return {"x": self.x[row]}


def test_the_part_of_a_split_is_on_record(tmp_path: Path):
    recordings = Recordings.from_arrays(rows(6), fs=100)
    train, test = recordings.split((0.5, 0.5), seed=1)
    stages = Compose([Window(length=50)])
    estimator, other = FitStandardize(keys="signal"), FitStandardize(keys="signal", by="recording")
    dataset = SignalDataset(train, stages)
    fitted = estimator.fit(dataset)
    assert fitted.part == str(train.part)
    assert other.fit(dataset).part == other.fit(dataset).of_group(train.ids[0]).part == str(train.part)
    assert estimator.fit(Loader(dataset, 4)).part == str(train.part)
    assert estimator.fit(SignalDataset(recordings, stages)).part is None
    save_statistics(fitted, tmp_path / "statistics.json")
    assert json.loads((tmp_path / "statistics.json").read_text())["transform"]["Normalize"]["part"] == str(train.part)
    assert load_statistics(tmp_path / "statistics.json").part == str(train.part)
    windows = SignalDataset(recordings, stages).split((0.6, 0.4), by="time")[0]
    assert estimator.fit(windows).part == str(windows.part)

    each = [estimator.statistics(SignalDataset(one, stages)) for one in (test, train, test)]
    merged = merge_statistics([each[0], each[1].state_dict(), json.loads(json.dumps(each[2].state_dict()))])
    assert merged.split_parts == (str(train.part), str(test.part))
    assert merged.transform().part == f"{train.part}; {test.part}"
    damaged = {**each[0].state_dict(), "split_parts": [1]}
    with pytest.raises(DataError, match="split_parts must be a list of text"):
        merge_statistics([damaged])
    with pytest.raises(ConfigError, match="Normalize: part must be text"):
        Normalize(part=train.part)  # type: ignore[arg-type]
    assert Normalize(part="a") == Normalize()  # the numbers are the same


def test_of_a_subset_of_a_dataset_of_others():
    counting = CountingDataset(rows())
    train = list(range(0, 50, 3))
    fitted = FitStandardize(keys="x").fit(torch.utils.data.Subset(counting, train), threads=2)
    assert counting.asked == set(train)
    np.testing.assert_allclose(fitted.center, counting.x[train].mean((0, 2)), rtol=1e-12)


# --- how the fitted transform serves ---


def test_it_serves_in_windows_streams_and_jobs(tmp_path: Path):
    x = rows(1, 3, 3000, "float32")[0]
    fitted = FitStandardize(keys="signal").fit([{"signal": x}])
    expected = fitted({"signal": x})["signal"]
    assert expected.dtype == np.float32
    cut = Window(length=100)
    for stages in ([fitted, cut], [cut, fitted]):
        dataset = SignalDataset(of_arrays(x), Compose(stages), kind="numpy")
        np.testing.assert_array_equal(np.concatenate([dataset[n]["signal"] for n in range(30)], -1), expected)
    live = Streams(fitted)
    pieces = [
        live.push(Chunk(data={"signal": x[:, at : at + 77]}, start=at, last=at + 77 >= 3000))
        for at in range(0, 3000, 77)
    ]
    np.testing.assert_array_equal(np.concatenate([one["signal"] for one in pieces], -1), expected)
    np.savez(tmp_path / "x.npz", signal=x.T)
    config = json.dumps(fitted.to_config())
    (tmp_path / "job.yaml").write_text(
        f"version: 1\nsource: {{npz: x.npz, fs: 100, rows: instants}}\ntransforms: [{config}]\nsink: {{npz: y.npz}}\n"
    )
    run_job(load_job(tmp_path / "job.yaml"))
    np.testing.assert_array_equal(np.load(tmp_path / "y.npz")["signal"].T, expected)
    save_statistics(fitted, tmp_path / "signal.json")
    assert load_statistics(tmp_path / "signal.json") == fitted


def test_a_job_names_the_file(tmp_path: Path):
    np.savez(tmp_path / "x.npz", signal=rows(1, 2, 500)[0].T)
    fitted = Normalize(center=(700.0, 690.0), scale=(60.0, 120.0))
    save_statistics(fitted, tmp_path / "statistics.json")

    def job(stage: str) -> Any:
        source = "source: {npz: x.npz, fs: 100, rows: instants}"
        (tmp_path / "job.yaml").write_text(f"version: 1\n{source}\ntransforms: [{stage}]\nsink: {{npz: y.npz}}\n")
        return load_job(tmp_path / "job.yaml")

    named = job("Normalize: {statistics: statistics.json, keys: [signal]}")
    assert named.transform.stages == (Normalize(center=fitted.center, scale=fitted.scale, keys=("signal",)),)
    for stage, match in {
        "Normalize: {statistics: ../x.json}": r"3:\d+: .*outside of",
        "Normalize: {statistics: none.json}": "no such file",
        "Normalize: {statistics: x.npz}": "expected a file of save_statistics",
        "Normalize: {statistics: statistics.json, center: 1.0}": "says center; leave it out",
        "NormalizeBy: {statistics: statistics.json}": "the file is of Normalize, not of NormalizeBy",
        "Scale: {statistics: statistics.json}": "no field 'statistics'",
    }.items():
        with pytest.raises(ConfigError, match=match):
            job(f"{{{stage}}}")
    with pytest.raises(ConfigError, match="load_statistics"):
        Compose.from_yaml("- Normalize: {statistics: statistics.json}\n")


def test_groups_serve_in_recordings_and_jobs(tmp_path: Path):
    x = rows(4, 2, 500)
    recordings = of_arrays(*x, subject=["a", "b", "a", "b"])
    whole = SignalDataset(recordings, Compose([WholeRecording()]))
    fitted = FitStandardize(keys="signal", by="subject").fit(whole)
    before = SignalDataset(recordings, Compose([fitted, Window(length=50)]), kind="numpy")
    after = SignalDataset(recordings, Compose([Window(length=50), fitted]), kind="numpy")
    for row in (0, 13, 39):
        expected = fitted.of_group("ab"[row // 10 % 2])({"signal": x[row // 10, :, row % 10 * 50 :][:, :50]})["signal"]
        np.testing.assert_array_equal(before[row]["signal"], expected)
        np.testing.assert_array_equal(after[row]["signal"], expected)
    np.savez(tmp_path / "x.npz", signal=x, subject=np.array([0, 1, 0, 1]))
    by_number = FitStandardize(keys="signal", by="subject").fit(tmp_path / "x.npz")
    (tmp_path / "job.yaml").write_text(
        f"version: 1\nsource: {{npz: x.npz, fs: 100, rows: examples}}\n"
        f"transforms: [{json.dumps(by_number.to_config())}]\nsink: {{npz: y.npz}}\n"
    )
    run_job(load_job(tmp_path / "job.yaml"))
    expected = [fitted.of_group("ab"[n % 2])({"signal": x[n]})["signal"] for n in range(4)]
    np.testing.assert_array_equal(np.load(tmp_path / "y.npz")["signal"], expected)


def test_shards_of_a_job_are_a_training_set(tmp_path: Path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        np.save(tmp_path / f"in/{name}.npy", rows(1, 2, 5000)[0].T * (1 + (name == "b")))
    (tmp_path / "job.yaml").write_text(
        "version: 1\nsource: {npy: 'in/*.npy', fs: 100, rows: instants}\n"
        "transforms:\n- SignalFilter: {design: butter, order: 2, cutoff: 20}\n- Window: {length: 500}\n"
        "sink: {arrow: out/, shard_rows: 1000}\n"
    )
    run_shards(load_job(tmp_path / "job.yaml"))
    dataset = SignalDataset(tmp_path / "out")
    fitted = (
        FitStandardize().fit(dataset)
        if len(dataset[0]) == 1
        else FitStandardize(keys=next(iter(dataset[0]))).fit(dataset)
    )
    run = SignalFilter(design="butter", order=2, cutoff=20.0, fs=100.0)
    whole = np.concatenate([run(np.load(tmp_path / f"in/{name}.npy").T) for name in ("a", "b")], -1)
    np.testing.assert_allclose(fitted.center, whole.mean(-1), rtol=1e-12)
    np.testing.assert_allclose(fitted.scale, whole.std(-1), rtol=1e-12)


# --- errors ---

X = {"x": np.zeros((2, 5))}
WRONG = {
    "nothing": (lambda: FitStandardize().fit([]), DataError, "no samples"),
    "no numbers": (
        lambda: FitStandardize(keys="x").fit([{"x": np.full((2, 5), np.nan)}]),
        DataError,
        "no finite number",
    ),
    "other channels": (lambda: FitStandardize(keys="x").fit([X, {"x": np.zeros((3, 5))}]), DataError, "pick the same"),
    "several arrays": (lambda: FitStandardize().fit([{**X, "y": np.zeros(5)}]), ConfigError, "keys"),
    "text": (lambda: FitStandardize(keys="x").fit([{"x": np.array([1j, 2j])}]), DataError, "real numbers are needed"),
    "random": (
        lambda: FitStandardize().fit(SignalDataset({"x": rows()}, Gain(db=(-6, 6)))),
        ConfigError,
        "the dataset's transform is random",
    ),
    "two keys": (lambda: FitStandardize(keys=("x", "y")), ConfigError, "keys must be one key"),  # type: ignore[arg-type]
    "a word": (lambda: FitStandardize(method="zscore"), ValueError, "method must be one of"),  # type: ignore[arg-type]
    "an axis": (lambda: FitStandardize(axis=0), ConfigError, "axis must count from the end"),
    "a label": (
        lambda: FitStandardize(keys="x", by="y").fit([{**X, "y": 0.5}]),
        DataError,
        "must be text or a whole number",
    ),
    "parts": (
        lambda: merge_statistics([FitStandardize(per="all").statistics([]), FitStandardize().statistics([])]),
        DataError,
        "parts of one estimator",
    ),
    "no parts": (lambda: merge_statistics([]), DataError, "no parts"),
    "damaged": (lambda: FittedStatistics.from_state_dict({"version": 1}), DataError, "state_dict"),
    "too large": (lambda: FitStandardize(keys="x").fit([{"x": np.array([[1e200, -1e200]])}]), DataError, "too large"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name: str):
    call, error, match = WRONG[name]
    with pytest.raises(error, match=match):
        call()


def test_a_damaged_file_is_named(tmp_path: Path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(DataError, match=r"x\.json: expected a file of save_statistics"):
        load_statistics(tmp_path / "x.json")
