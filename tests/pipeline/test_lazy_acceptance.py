"""Windows asked for in any order and any way, against the same windows of the whole, and of a job's shards; every bit.

Chains, recordings, gaps, rates, windows and budgets are drawn. Few examples here, many with `-m slow`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeflow import (
    Cast,
    Compose,
    Decimate,
    Detrend,
    Loader,
    MedianFilter,
    PickChannels,
    Recording,
    Recordings,
    Reference,
    Resample,
    SavgolFilter,
    Scale,
    SignalDataset,
    SignalFilter,
    Window,
)
from bridgeflow.engines.shards import run_shards
from bridgeflow.io import open_sink, open_source
from bridgeflow.pipeline.job import Job
from bridgeflow.pipeline.job_parts import JobSink, JobSource

SHORTEST = 600
"""Samples of a segment at least: enough for the padding of every filter at every rate."""


def filters(fs):
    """Recursive designs at a rate."""
    edges = st.sampled_from([(0.01, 0.2), (0.05, 0.3)])
    band = edges.map(lambda pair: {"cutoff": (pair[0] * fs, pair[1] * fs), "btype": "bandpass"})
    low = st.sampled_from([0.02, 0.1, 0.35]).map(lambda edge: {"cutoff": edge * fs, "btype": "lowpass"})
    shape = st.one_of(band, low)
    order = st.integers(1, 4)
    return st.one_of(
        st.builds(lambda n, more: {"design": "butter", "order": n, **more}, order, shape),
        st.builds(lambda n, more: {"design": "cheby1", "order": n, "rp": 1.0, **more}, order, shape),
        st.builds(lambda n, more: {"design": "ellip", "order": n, "rp": 1.0, "rs": 40.0, **more}, order, low),
        st.just({"design": "notch", "w0": 0.2 * fs, "Q": 20.0}),
    ).map(lambda design: {**design, "fs": float(fs)})


def same_rate(fs):
    """Stages that leave the rate as it is."""
    taps = st.sampled_from([11, 40, 101]).map(
        lambda n: {"design": "firwin", "numtaps": n, "cutoff": 0.2 * fs, "fs": float(fs)}
    )
    odd = st.sampled_from([11, 101]).map(lambda n: {"design": "firwin", "numtaps": n, "cutoff": 0.2 * fs, "fs": fs})
    counts = st.sampled_from([{}, {"scale": 0.01, "offset": 3.0}])
    precision = st.sampled_from(["float64", "float32"])
    initial = st.sampled_from(["zero", "steady"])
    return st.one_of(
        st.just(Scale(scale=0.005, offset=-5.0)),
        st.sampled_from(["float32", "float64"]).map(lambda dtype: Cast(dtype=dtype)),
        st.builds(
            lambda a, b, c, d: SignalFilter(**a, **b, precision=c, initial=d), filters(fs), counts, precision, initial
        ),
        st.builds(
            lambda a, b, c: SignalFilter(**a, **b, precision=c, mode="zero_phase"), filters(fs), counts, precision
        ),
        st.builds(lambda a, b: SignalFilter(**a, initial=b), taps, initial),
        odd.map(lambda a: SignalFilter(**{**a, "fs": float(fs)}, mode="zero_phase")),
        st.sampled_from(["interp", "mirror", "nearest"]).map(
            lambda mode: SavgolFilter(window_length=21, polyorder=3, mode=mode)
        ),
        st.sampled_from([3, 9]).map(lambda size: MedianFilter(kernel_size=size)),
    )


def other_rate(fs):
    """Stages that change the rate, with the rate after them."""
    resampled = st.sampled_from([fs * 2, fs * 4 // 5, fs // 2, 90]).map(lambda to: (Resample(from_hz=fs, to_hz=to), to))
    kinds = [{"zero_phase": False}, {}, {"ftype": "fir"}, {"ftype": "fir", "zero_phase": False}]
    decimated = st.builds(lambda q, kind: (Decimate(q=q, **kind), fs / q), st.just(2), st.sampled_from(kinds))
    return st.one_of(resampled, decimated)


@st.composite
def chains(draw, fs, channels=1):
    """Up to four stages for recordings of a rate, and the rate after them."""
    stages = []
    for _ in range(draw(st.integers(0, 3))):
        if channels > 1 and draw(st.integers(0, 4)) == 0:
            stages.append(
                draw(st.sampled_from([Reference(to="average"), PickChannels(picks=(0, -1)), Reference(to=(0,))]))
            )
        else:
            stages.append(draw(same_rate(fs)))
    if draw(st.booleans()):
        stage, fs = draw(other_rate(fs))
        stages.append(stage)
        if fs == int(fs) and draw(st.booleans()):
            stages.append(draw(same_rate(int(fs))))
    return stages, fs


@st.composite
def segments(draw, samples):
    """None, or stretches between gaps."""
    if draw(st.booleans()) or samples < 2 * SHORTEST + 100:
        return [(0, samples)]
    cut = draw(st.integers(SHORTEST, samples - SHORTEST - 100))
    gap = draw(st.integers(1, 100))
    return [(draw(st.integers(0, cut - SHORTEST)), cut), (cut + gap, samples)]


def noise(channels, samples, dtype, seed):
    return (np.random.default_rng(seed).standard_normal((channels, samples)) * 1000).astype(dtype)


windows = st.builds(
    partial(Window),
    length=st.integers(1, 60),
    hop=st.one_of(st.none(), st.integers(1, 70)),
    pad=st.sampled_from(["drop", "zeros", "edge", "reflect"]),
)
budgets = st.fixed_dictionaries(
    {"state_nbytes": st.sampled_from([0, 3000, 1 << 20]), "cache_nbytes": st.sampled_from([0, 20_000, 1 << 22])}
)
dtypes = st.sampled_from(["int16", "float32", "float64"])


def cut_of_whole(x, stages, cut, after):
    """The windows of an array run in one piece, each with the stages after `Window`."""
    whole = Compose(list(stages))(x) if stages else x
    cut_windows = np.asarray(cut(whole))
    each = [np.ascontiguousarray(cut_windows[..., n, :]) for n in range(cut_windows.shape[-2])]
    return [np.asarray(Compose(list(after))(one)) if after else one for one in each]


def equal(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=True)


def check_random_windows(dataset, expected, count, seed):
    """Random windows in random order, one by one and in batches."""
    assert len(dataset) == len(expected)
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(expected), count) if expected else np.zeros(0, int)
    while len(rows):
        some, rows = np.split(rows, [int(rng.integers(1, 40))])
        got = dataset.batch(some)["signal"] if rng.integers(2) else [dataset[int(row)]["signal"] for row in some]
        for row, one in zip(some, got, strict=True):
            assert equal(np.asarray(one), expected[row]), f"window {row} of {len(expected)}"


def check_against_the_whole(data, count):
    """A chain over recordings with gaps, of one rate or of several."""
    fs, channels, dtype = data.draw(st.sampled_from([100, 250])), data.draw(st.integers(1, 3)), data.draw(dtypes)
    stages, _ = data.draw(chains(fs, channels))
    rates = [fs] * data.draw(st.integers(1, 3))
    if data.draw(st.integers(0, 2)) == 0:
        rates = [data.draw(st.sampled_from([fs, 2 * fs, fs * 8 // 5])) for _ in rates]
        stages = [Resample(to_hz=fs), *stages]
    cut, after = data.draw(windows), data.draw(st.sampled_from([[], [Detrend(type="constant", keys="signal")]]))
    recordings, expected = [], []
    for number, rate in enumerate(rates):
        x = noise(channels, data.draw(st.integers(2 * SHORTEST, 6000)), dtype, number)
        parts = data.draw(segments(x.shape[-1]))
        recordings.append(Recording.from_arrays(x, fs=rate, id=str(number), segments=parts))
        own = [
            replace(one, from_hz=rate) if isinstance(one, Resample) and one.from_hz is None else one for one in stages
        ]
        for start, stop in parts:
            expected += cut_of_whole(x[:, start:stop], own, cut, [replace(one, keys=None) for one in after])
    transform = Compose([*stages, cut, *after])
    dataset = SignalDataset(recordings, transform, kind="numpy", **data.draw(budgets))
    check_random_windows(dataset, expected, count, data.draw(st.integers(0, 99)))


def check_against_shards(data, count, folder):
    """A chain over files, and the shards that a job writes of the same files."""
    fs, dtype = data.draw(st.sampled_from([100, 250])), data.draw(dtypes)
    names = [f"c{number}" for number in range(data.draw(st.integers(1, 2)))]
    stages, _ = data.draw(chains(fs))
    cut = data.draw(windows)
    after = data.draw(st.sampled_from([[], [Detrend(type="constant")]]))
    for number in range(data.draw(st.integers(1, 2))):
        x = noise(len(names), data.draw(st.integers(SHORTEST, 4000)), dtype, number)
        with open_sink(folder / "in" / f"r{number}.parquet", settings={"fs": float(fs)}) as sink:
            sink.write(dict(zip(names, x, strict=True)))
    row = Compose([replace(one, keys=tuple(names)) for one in (*stages, cut, *after)])
    source = JobSource(path=folder / "in", format="parquet")
    result = run_shards(
        Job(source=source, transform=row, sink=JobSink(path=folder / "out", format="arrow", shards=True))
    )
    shards = []
    for shard in result.shards:
        with open_source(result.path / shard.name) as source:
            columns = source.read()
            shards.append(np.stack([np.asarray(columns[name]) for name in names], axis=1))
    expected = list(np.concatenate(shards)) if shards else []
    transform = Compose([*stages, cut, *(replace(one, keys="signal") for one in after)])
    recordings = Recordings(folder / "in")
    dataset = SignalDataset(recordings, transform, kind="numpy", **data.draw(budgets))
    check_random_windows(dataset, expected, count, data.draw(st.integers(0, 99)))


@settings(max_examples=15)
@given(data=st.data())
def test_windows_are_those_of_the_whole(data):
    check_against_the_whole(data, 60)


@pytest.mark.slow
@settings(max_examples=400)
@given(data=st.data())
def test_two_hundred_windows_are_those_of_the_whole(data):
    check_against_the_whole(data, 200)


@settings(max_examples=8)
@given(data=st.data())
def test_windows_are_those_of_shards(data, tmp_path_factory):
    check_against_shards(data, 60, tmp_path_factory.mktemp("job"))


@pytest.mark.slow
@settings(max_examples=200)
@given(data=st.data())
def test_two_hundred_windows_are_those_of_shards(data, tmp_path_factory):
    check_against_shards(data, 200, tmp_path_factory.mktemp("job"))


BAND = {"design": "butter", "btype": "bandpass", "cutoff": (1.0, 20.0), "order": 3, "fs": 100.0}
CHAINS = {
    "zero phase": [SignalFilter(**BAND, mode="zero_phase", scale=0.01)],
    "causal, resampled, median": [SignalFilter(**BAND), Resample(to_hz=80), MedianFilter(kernel_size=5)],
    "fir, decimated, savgol": [
        SignalFilter(design="firwin", numtaps=41, cutoff=20.0, fs=100.0, mode="zero_phase"),
        Decimate(q=2),
        SavgolFilter(window_length=11, polyorder=2),
    ],
}
READING = {
    "in order": {"shuffle": False, "threads": 0},
    "shuffled": {"shuffle": True, "threads": 0},
    "threads": {"shuffle": True, "threads": 3},
    "workers, fork": {"shuffle": True, "num_workers": 2},
    "workers, spawn": {"shuffle": True, "num_workers": 2, "multiprocessing_context": "spawn"},
}


def loaded(chain, options):
    """A loader of windows of recordings in memory, with gaps, and the windows by row."""
    cut, after = Window(length=50, hop=30), [Detrend(type="constant", keys="signal")]
    recordings, expected = [], []
    for number, samples in enumerate((3000, 4500)):
        x = noise(2, samples, "int16", number)
        parts = [(0, 1300), (1350, samples)]
        recordings.append(Recording.from_arrays(x, fs=100, id=str(number), segments=parts))
        own = [replace(one, from_hz=100) if isinstance(one, Resample) else one for one in chain]
        for start, stop in parts:
            expected += cut_of_whole(x[:, start:stop], own, cut, [Detrend(type="constant")])
    dataset = SignalDataset(recordings, Compose([*chain, cut, *after]), kind="numpy", cache_nbytes=100_000)
    return Loader(dataset, 16, seed=5, **options), expected


def check_epoch(loader, expected, batches, epoch, first=0):
    """Every batch of an epoch from one on, by the rows that it is of."""
    count = 0
    for batch, rows in zip(batches, loader.order.batches(epoch, first), strict=True):
        for one, row in zip(batch["signal"], rows, strict=True):
            assert equal(np.asarray(one), expected[row])
            count += 1
    return count


SLOW = [("workers, spawn", name) for name in sorted(CHAINS)[:2]]
"""Starting processes takes seconds; one chain in the quick suite shows how."""


@pytest.mark.parametrize(
    ("reading", "name"),
    [
        pytest.param(reading, name, marks=[pytest.mark.slow] * ((reading, name) in SLOW))
        for reading in sorted(READING)
        for name in sorted(CHAINS)
    ],
)
def test_every_way_of_reading_gives_the_windows_of_the_whole(name, reading):
    loader, expected = loaded(CHAINS[name], READING[reading])
    assert check_epoch(loader, expected, loader, 0) == len(expected)
    passing = iter(loader)
    for _ in range(5):
        next(passing)
    state = loader.state_dict()
    loader.close()
    resumed, _ = loaded(CHAINS[name], {**READING[reading], "threads": 1, "num_workers": 0})
    resumed.load_state_dict(state)
    assert check_epoch(resumed, expected, resumed, 1, first=5) == len(expected) - 5 * 16
