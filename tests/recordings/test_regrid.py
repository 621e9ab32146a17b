"""Irregular times onto a grid: SciPy's interpolation, gaps, timestamps of every unit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.interpolate import interp1d

from bridgeflow import DataError, Regrid


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
