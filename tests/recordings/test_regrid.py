"""Irregular times onto a grid: SciPy's interpolation, gaps, timestamps of every unit."""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.interpolate import interp1d

from bridgeflow import DataError, Recording, Recordings, Regrid


def jittered(count: int = 500, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).uniform(0.005, 0.02, count))


@pytest.mark.parametrize("method", ["linear", "previous", "nearest"])
@pytest.mark.parametrize("to_hz", [50, 100, 130.5])
def test_values_equal_scipys(method, to_hz):
    times = jittered()
    x = np.random.default_rng(1).normal(size=(3, 500))
    grid = Regrid(to_hz=to_hz, method=method)(times, x)
    at = np.arange(grid.values.shape[1]) / to_hz
    assert at[-1] <= times[-1] - times[0] < at[-1] + 1 / to_hz
    expected = interp1d(times - times[0], x, kind=method)(at)
    assert np.allclose(grid.values, expected, rtol=1e-9, atol=1e-12)
    assert [tuple(one) for one in grid.segments] == [(0, len(at), 0.0)]


@pytest.mark.parametrize("method", ["linear", "previous", "nearest"])
def test_regular_times_stay_as_they_are(method):
    x = np.random.default_rng(1).integers(-9, 9, (2, 1000))
    grid = Regrid(to_hz=100, method=method, max_gap=1)(np.arange(1000) / 100, x)
    assert np.array_equal(grid.values, x)
    assert grid.values.dtype == (np.float64 if method == "linear" else x.dtype)


def test_long_gaps_stay_gaps():
    times = np.concatenate([np.arange(10) * 0.1, 5.03 + np.arange(10) * 0.1])
    recording = Regrid(to_hz=10, max_gap=1).recording(times, np.arange(20.0), id="imu")
    column = recording.columns["signal"]
    assert column.segments == ((0, 10), (10, 19))
    assert column.onsets == (0.0, 5.1)
    assert np.allclose(column.read(0, 19)[0], [*range(10), *(np.arange(10, 19) + 0.7)])
    assert column.position(3.0) is None
    assert column.position(5.1) == 10
    assert len(Regrid(to_hz=10)(times, np.arange(20.0)).segments) == 1


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", ["arrow", "zone", "chunked", "numpy", "integers"])
def test_timestamps_of_every_unit(unit, kind):
    per = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    ticks = 1_700_000_000 * per + np.array([0, 1, 3, 4]) * per
    times = {
        "arrow": lambda: pa.array(ticks, pa.timestamp(unit)),
        "zone": lambda: pa.array(ticks, pa.timestamp(unit, "Europe/Berlin")),
        "chunked": lambda: pa.chunked_array(
            [pa.array(ticks[:2], pa.timestamp(unit)), pa.array(ticks[2:], pa.timestamp(unit))]
        ),
        "numpy": lambda: ticks.astype(f"datetime64[{unit}]"),
        "integers": lambda: ticks,
    }[kind]()
    regrid = Regrid(to_hz=1, unit=unit if kind == "integers" else None)
    assert regrid(times, [0.0, 1.0, 3.0, 4.0]).values.tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([0.0, 2.0, 1.0], "time 2 does not come after"),
        ([0.0, 0.0, 1.0], "time 1 does not come after"),
        ([0.0, float("nan"), 1.0], "time 1 does not come after"),
        ([0, 1, 2], "times are integers; say what they count"),
        (pa.array([0.0, None, 1.0]), "1 of the times are missing"),
        ([0.0, 1.0], "expected real numbers for 2 times"),
        ([0.0, 1.0, 1e12], "too many values"),
    ],
    ids=lambda one: str(one)[:20],
)
def test_times_that_are_none(times, words):
    with pytest.raises(DataError, match=words):
        Regrid(to_hz=100)(times, [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "options", [{"to_hz": 0}, {"to_hz": 1, "method": "cubic"}, {"to_hz": 1, "max_gap": -1}], ids=str
)
def test_options_that_are_none(options):
    with pytest.raises(ValueError, match="must be"):
        Regrid(**options)


def rows_of_times(rng, count=20_000):
    """Rising integers in microseconds with jitter, and some long pauses."""
    steps = rng.integers(5_000, 15_000, count)
    steps[[1, 70, 5000, 5001, 12_000]] = 3_000_000
    return np.cumsum(steps) + 1_700_000_000_000_000


KINDS = {
    "timestamp[us]": (lambda t: pa.array(t, pa.timestamp("us")), None),
    "timestamp[ns, UTC]": (lambda t: pa.array(t * 1000, pa.timestamp("ns", "UTC")), None),
    "timestamp[us, +05:30]": (lambda t: pa.array(t, pa.timestamp("us", "+05:30")), None),
    "timestamp[ms]": (lambda t: pa.array(t // 1000, pa.timestamp("ms")), None),
    "int64": (lambda t: pa.array(t), "us"),
    "uint64": (lambda t: pa.array(t.astype(np.uint64)), "us"),
    "float64": (lambda t: pa.array((t - t[0]) / 1e6), None),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["linear", "previous", "nearest"])
def test_a_column_of_times_has_the_bits_of_the_whole(tmp_path, kind, method):
    rng = np.random.default_rng(3)
    make, unit = KINDS[kind]
    times, x = make(rows_of_times(rng)), rng.integers(-99, 99, (2, 20_000)).astype(np.int16)
    pq.write_table(pa.table({"x": x[0], "time": times, "y": x[1]}), tmp_path / "imu.parquet", row_group_size=3000)
    regrid = Regrid(to_hz=64, method=method, max_gap=1.0, unit=unit)
    expected = regrid.recording(times, x, channels=["x", "y"])
    recording = Recording.open(tmp_path / "imu.parquet", time="time", regrid=regrid)
    assert [one.name for one in recording.channels] == ["x", "y"]
    column, whole = recording.columns["signal"], expected.columns["signal"]
    assert (column.segments, column.onsets, column.fs) == (whole.segments, whole.onsets, 64.0)
    values = whole.read(0, whole.length)
    assert np.array_equal(column.read(0, column.length), values)
    for start, stop in np.sort(rng.integers(0, column.length + 1, (100, 2)), axis=1).tolist():
        assert np.array_equal(column.read(start, stop), values[:, start:stop])
    start = datetime(1970, 1, 1) + timedelta(microseconds=int(rows_of_times(np.random.default_rng(3))[0]))
    if kind.startswith("timestamp"):
        zone = timezone.utc if "," in kind else None
        whole_ms = start.microsecond // 1000 * 1000
        assert recording.start == start.replace(
            tzinfo=zone, microsecond=whole_ms if "ms" in kind else start.microsecond
        )
    else:
        assert recording.start is None


def test_times_in_an_index_in_csv_and_in_other_processes(tmp_path):
    lines = ["t,x", *(f"{n / 10 + (n >= 50) * 7},{n}" for n in range(100))]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    regrid = Regrid(to_hz=20, max_gap=1)
    recordings = Recordings([tmp_path / "a.csv"], time="t", regrid=regrid)
    column = recordings[0].columns["signal"]
    assert column.segments == ((0, 99), (99, 198))
    assert np.allclose(column.read(0, 99)[0], np.arange(99) / 2)
    recordings.save(tmp_path / "index.arrow")
    again = Recordings.load(tmp_path / "index.arrow")
    assert again == recordings
    assert np.array_equal(again[0].columns["signal"].read(90, 110), column.read(90, 110))
    again = pickle.loads(pickle.dumps(column))
    assert np.array_equal(again.read(90, 110), column.read(90, 110))


def test_columns_of_times_that_cannot_be(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"t": [0.0, 1.0, 1.0], "n": [1, 2, 3], "x": [1.0, 2.0, 3.0], "s": ["a", "b", "c"]}), path)
    regrid = Regrid(to_hz=2)
    for column, expected in [
        ("t", r"a\.parquet: column 't': Regrid: time 2 does not come after"),
        ("n", r"column 'n': Regrid: times are integers; say what they count"),
        ("u", r"has no column of times 'u'"),
        ("s", "a.parquet"),
    ]:
        with pytest.raises(DataError, match=expected):
            Recording.open(path, time=column, regrid=regrid)
    with pytest.raises(ValueError, match="give both"):
        Recording.open(path, time="t")
    with pytest.raises(ValueError, match="give both"):
        Recording.open(path, regrid=regrid)
    (tmp_path / "a.edf").write_bytes(b"0")
    with pytest.raises(ValueError, match="time: is for files of rows"):
        Recording.open(tmp_path / "a.edf", time="t", regrid=regrid)
