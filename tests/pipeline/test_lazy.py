"""Windows out of filtered recordings: each has the bits of the same window out of the whole, in any order."""

from __future__ import annotations

import os
import pickle
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow import (
    Cast,
    Compose,
    Decimate,
    Detrend,
    Gain,
    Loader,
    MedianFilter,
    Resample,
    SavgolFilter,
    Scale,
    SignalDataset,
    SignalFilter,
    Standardize,
    ToTensor,
    Window,
    WindowLabels,
)
from bridgeflow.errors import CannotStream, ConfigError, DataError, NonFinite
from bridgeflow.pipeline.grid_states import grid_step
from tests.pipeline.stand_in_recordings import Column, Recording, Recordings, of_arrays

BAND = {"design": "butter", "btype": "bandpass", "cutoff": (1.0, 20.0), "order": 3, "fs": 100.0}
TAPS = {"design": "firwin", "numtaps": 41, "cutoff": 20.0, "fs": 100.0}
STAGES = {
    "scale": Scale(scale=0.005, offset=-5.0),
    "cast": Cast(dtype="float32"),
    "causal": SignalFilter(**BAND),
    "causal steady": SignalFilter(**BAND, initial="steady"),
    "causal of counts": SignalFilter(**BAND, scale=0.01, offset=3.0),
    "causal single": SignalFilter(**BAND, precision="float32"),
    "zero phase": SignalFilter(**BAND, mode="zero_phase"),
    "zero phase single": SignalFilter(**BAND, mode="zero_phase", precision="float32"),
    "zero phase of counts": SignalFilter(**BAND, mode="zero_phase", scale=0.01, offset=3.0),
    "zero phase with tolerance": SignalFilter(**BAND, mode="zero_phase", tolerance=1e-6),
    "notch": SignalFilter(design="notch", w0=30.0, Q=20.0, fs=100.0, mode="zero_phase"),
    "fir": SignalFilter(**TAPS),
    "fir steady": SignalFilter(**TAPS, initial="steady"),
    "fir zero phase": SignalFilter(**TAPS, mode="zero_phase"),
    "resample up": Resample(from_hz=100, to_hz=160),
    "resample down": Resample(from_hz=100, to_hz=30),
    "resample held": Resample(from_hz=100, to_hz=70, padtype="edge"),
    "resample to a level": Resample(from_hz=100, to_hz=70, cval=2.0),
    "same rate": Resample(from_hz=100, to_hz=100),
    "decimate": Decimate(q=3),
    "decimate causal": Decimate(q=3, zero_phase=False),
    "decimate fir": Decimate(q=4, ftype="fir"),
    "decimate fir causal": Decimate(q=4, ftype="fir", zero_phase=False),
    "savgol": SavgolFilter(window_length=21, polyorder=3),
    "savgol even": SavgolFilter(window_length=20, polyorder=3),
    "savgol mirrored": SavgolFilter(window_length=21, polyorder=3, mode="mirror"),
    "savgol held": SavgolFilter(window_length=21, polyorder=3, deriv=1, delta=0.01, mode="nearest"),
    "median": MedianFilter(kernel_size=7),
    "z-score": Standardize(),
    "z-score of all": Standardize(per="all"),
    "robust": Standardize(method="robust"),
    "robust of all": Standardize(method="robust", per="all"),
    "min-max": Standardize(method="min-max"),
    "peak of all": Standardize(method="peak", per="all"),
    "rms": Standardize(method="rms"),
    "interpolate": SignalFilter(**BAND, nonfinite="interpolate", max_gap=5),
}
SAME_RATE = sorted(name for name, stage in STAGES.items() if stage.rate_factor == 1)


def noise(channels, samples, dtype="float64", seed=0):
    return (np.random.default_rng(seed).standard_normal((channels, samples)) * 1000).astype(dtype)


def equal(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=True)


def check(stages, x, length=64, hop=None, pad="drop", segments=(), count=12, seed=0, **options):
    """Random windows in random order, against those of each segment run in one piece."""
    cut = Window(length=length, hop=hop, pad=pad)
    dataset = SignalDataset(of_arrays(x, segments=segments), Compose([*stages, cut]), kind="numpy", **options)
    run = Compose(list(stages))
    expected = []
    for first, end in segments or ((0, x.shape[-1]),):
        windows = np.asarray(cut(run(x[..., first:end]) if stages else x[..., first:end]))
        expected += [windows[:, n] for n in range(windows.shape[1])]
    assert len(dataset) == len(expected)
    rows = np.random.default_rng(seed).integers(0, len(expected), count)
    for row in rows:
        assert equal(dataset[int(row)]["signal"], expected[row]), f"window {row} of {len(expected)}"
    assert equal(dataset.batch(rows)["signal"], np.stack([expected[row] for row in rows]))


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_window_is_that_of_the_whole(name, dtype):
    check([STAGES[name]], noise(3, 5001, dtype), length=100, hop=37, state_nbytes=1 << 20)


@pytest.mark.parametrize("name", sorted(STAGES))
@pytest.mark.parametrize("samples", [64, 100, 1024, 1025, 2048])
def test_recordings_as_long_as_a_window_or_a_block(name, samples):
    length = 16 if STAGES[name].rate_factor != 1 else 64
    check([STAGES[name]], noise(2, samples), length=length, hop=7)


@given(data=st.data())
def test_chains_of_stages_windows_and_budgets(data):
    names = data.draw(st.lists(st.sampled_from(SAME_RATE), max_size=3))
    last = data.draw(st.sampled_from([None, *sorted(set(STAGES) - set(SAME_RATE))]))
    stages = [STAGES[name] for name in [*names, *([last] if last else [])]]
    dtype = data.draw(st.sampled_from(["int16", "float32", "float64"]))
    x = noise(data.draw(st.integers(1, 4)), data.draw(st.integers(200, 6000)), dtype, data.draw(st.integers(0, 99)))
    check(
        stages,
        x,
        length=data.draw(st.integers(1, 50)),
        hop=data.draw(st.integers(1, 60)),
        pad=data.draw(st.sampled_from(["drop", "zeros", "edge", "reflect"])),
        count=6,
        seed=data.draw(st.integers(0, 99)),
        state_nbytes=data.draw(st.sampled_from([0, 2000, 10_000, 1 << 20])),
        cache_nbytes=data.draw(st.sampled_from([0, 20_000, 1 << 22])),
    )


@given(data=st.data())
def test_gaps_begin_filters_again_and_no_window_spans_one(data):
    name = data.draw(st.sampled_from(sorted(STAGES)))
    cuts = sorted(data.draw(st.lists(st.integers(0, 4000), min_size=2, max_size=8, unique=True)))
    segments = tuple((a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False) if b - a >= 200)
    if segments:
        check([STAGES[name]], noise(2, 4000), length=20, hop=15, segments=segments, count=8)


def test_a_segment_too_short_for_its_filter_has_no_windows():
    x = noise(2, 1000)
    recordings = of_arrays(x, segments=((0, 12), (20, 1000)))
    dataset = SignalDataset(recordings, Compose([STAGES["zero phase"], Window(length=10)]))
    assert len(dataset) == 98
    assert dataset[0]["start"] == 20


def test_nothing_is_read_when_it_is_made():
    recordings = of_arrays(noise(2, 10_000))
    dataset = SignalDataset(recordings, Compose([STAGES["zero phase"], Window(length=100)]))
    assert len(dataset) == 100
    assert recordings[0].columns["signal"].samples_read == 0


def test_a_causal_window_at_the_start_reads_the_start_alone():
    recordings = of_arrays(noise(2, 1_000_000))
    dataset = SignalDataset(recordings, Compose([STAGES["causal"], Window(length=100)]))
    dataset[0]
    assert recordings[0].columns["signal"].samples_read < 20_000


def test_neighbours_share_what_was_computed():
    recordings = of_arrays(noise(2, 100_000))
    dataset = SignalDataset(recordings, Compose([STAGES["zero phase"], Window(length=64, hop=16)]))
    dataset[0]
    first = recordings[0].columns["signal"].samples_read
    for row in range(1, 50):
        dataset[row]
    assert recordings[0].columns["signal"].samples_read == first


def test_a_sample_says_where_it_is_from_and_what_the_table_says():
    recordings = of_arrays(noise(1, 100), noise(1, 200), label=[3, 4], weight=[0.5, 1.5], subject=["S1", "S2"])
    dataset = SignalDataset(recordings, Window(length=50, keys=("signal",)))
    sample = dataset[3]
    assert {name: sample[name] for name in ("recording", "start", "subject")} == {
        "recording": "r1",
        "start": 50,
        "subject": "S2",
    }
    assert sample["label"] == torch.tensor(4)
    assert sample["weight"].dtype == torch.float64
    batch = dataset.batch([0, 5])
    assert batch["recording"] == ["r0", "r1"]
    assert batch["start"].tolist() == [0, 150]
    assert batch["label"].tolist() == [3, 4]
    assert batch["signal"].shape == (2, 1, 50)


def test_stages_after_the_window_see_one_window():
    seen = []

    def look(sample):
        seen.append(tuple(sample["signal"].shape))
        return sample

    dataset = SignalDataset(
        of_arrays(noise(2, 500)),
        Compose([STAGES["causal"], Window(length=50), Detrend(type="constant", keys=("signal",)), look]),
    )
    assert abs(float(dataset[3]["signal"].mean())) < 1e-9
    assert seen == [(2, 50)]


def test_tensors_before_the_window():
    x = noise(2, 3000, "float32")
    stages = [ToTensor(), STAGES["causal"], STAGES["median"]]
    dataset = SignalDataset(of_arrays(x), Compose([*stages, Window(length=100)]))
    whole = Compose(stages)(x)
    assert all(torch.equal(dataset[n]["signal"], whole[:, 100 * n : 100 * n + 100]) for n in (7, 3, 29))


def test_a_stage_across_channels():
    class Rereferenced(Scale):
        pointwise = False

        @property
        def core_ndim(self):
            return 2

        def core_axes(self, ndim):
            return frozenset({ndim - 2})

        def apply(self, x):
            return x - x.mean(axis=-2, keepdims=True)

    check([Rereferenced(scale=1.0), STAGES["zero phase"]], noise(4, 3000))


def test_what_needs_the_whole_is_refused_by_name_or_kept():
    x = noise(2, 5000)
    dataset = SignalDataset(of_arrays(x), Compose([Detrend(), Window(length=100)]))
    with pytest.raises(CannotStream, match=r"stage 1 \(Detrend\).*whole='cache'"):
        dataset[0]
    check([STAGES["causal"], Detrend(), STAGES["median"]], x, whole="cache")
    recordings = of_arrays(x)
    dataset = SignalDataset(recordings, Compose([Detrend(), Window(length=100)]), whole="cache")
    for row in (9, 4, 44):
        dataset[row]
    assert recordings[0].columns["signal"].samples_read == 5000
    small = SignalDataset(of_arrays(x), Compose([Detrend(), Window(length=100)]), whole="cache", cache_nbytes=1000)
    with pytest.raises(DataError, match="cache_nbytes"):
        small[0]


def test_statistics_of_a_recording_are_computed_once():
    x = noise(2, 200_001, "int16")
    for stages in ([Standardize()], [ToTensor(), Standardize()], [STAGES["causal"], Standardize(), STAGES["fir"]]):
        check(stages, x, length=100, hop=9973)
    recordings = of_arrays(x)
    dataset = SignalDataset(recordings, Compose([Standardize(), Window(length=100)]))
    for row in (9, 4, 44):
        dataset[row]
    assert recordings[0].columns["signal"].samples_read == 2 * 200_001 + 3 * 100


def test_parallel_time_has_other_bits_and_needs_the_whole():
    dataset = SignalDataset(
        of_arrays(noise(2, 5000)), Compose([SignalFilter(**BAND, parallel="time"), Window(length=9)])
    )
    with pytest.raises(CannotStream, match="bits of the whole"):
        dataset[0]


@pytest.mark.parametrize("name", ["causal", "zero phase"])
def test_nan_is_named_with_its_place(name):
    x = noise(2, 5000)
    x[1, 3210] = np.nan
    dataset = SignalDataset(of_arrays(x), Compose([STAGES[name], Window(length=100)]))
    with pytest.raises(NonFinite, match=r"r0.*row 1 is nan at sample 3210"):
        dataset[33]


def test_nan_passes_where_it_may():
    x = noise(2, 5000)
    x[1, 3210] = np.nan
    check([SignalFilter(**BAND, nonfinite="propagate")], x)
    check([SignalFilter(**BAND, nonfinite="reset")], x)
    check([SignalFilter(**BAND, nonfinite="reset", initial="steady")], x)
    check([SignalFilter(**BAND, nonfinite="interpolate", max_gap=3, keep_gaps=True)], x)
    check([SignalFilter(**BAND, mode="zero_phase", nonfinite="propagate")], x)
    check([SignalFilter(**BAND, mode="zero_phase", nonfinite="reset")], x, whole="cache")
    check([MedianFilter(kernel_size=5)], x)
    check([Resample(from_hz=100, to_hz=30, nonfinite="propagate")], x, length=20)


def test_columns_of_different_rates_and_label_channels():
    eeg, ecg = noise(4, 2000), noise(1, 8000, seed=1)
    stage = np.repeat(np.arange(20), 100)
    columns = {"eeg": Column(eeg, 100.0), "ecg": Column(ecg, 400.0), "stage": Column(stage, 100.0)}
    cuts = [
        Window(length=50, hop=25, keys=("eeg",)),
        Window(length=200, hop=100, keys=("ecg",)),
        WindowLabels(length=50, hop=25, keys=("stage",)),
    ]
    dataset = SignalDataset(
        Recordings([Recording("r", columns)]),
        Compose(
            [SignalFilter(**BAND, mode="zero_phase", keys=("eeg",)), MedianFilter(kernel_size=3, keys=("ecg",)), *cuts]
        ),
        kind="numpy",
    )
    sample = dataset[30]
    assert equal(sample["eeg"], STAGES["zero phase"](eeg)[:, 750:800])
    assert equal(sample["ecg"], MedianFilter(kernel_size=3)(ecg)[:, 3000:3200])
    assert sample["stage"] == 7


def test_columns_must_agree_on_their_windows():
    columns = {"eeg": Column(noise(4, 2000)), "ecg": Column(noise(1, 8000))}
    cuts = Compose([Window(length=50, keys=("eeg",)), Window(length=50, keys=("ecg",))])
    with pytest.raises(DataError, match="eeg 40, ecg 160"):
        SignalDataset(Recordings([Recording("r", columns)]), cuts)
    with pytest.raises(ConfigError, match="no stage cuts ecg"):
        SignalDataset(Recordings([Recording("r", columns)]), Window(length=50, keys=("eeg",)))


def test_what_cannot_be_continuous_is_refused_when_made():
    with pytest.raises(ConfigError, match="put Window"):
        SignalDataset(of_arrays(noise(1, 100)), Scale(scale=2.0))
    with pytest.raises(ConfigError, match="put Window"):
        SignalDataset(of_arrays(noise(1, 100)))
    with pytest.raises(ConfigError, match="put it after Window"):
        SignalDataset(of_arrays(noise(1, 100)), Compose([print, Window(length=5)]))
    with pytest.raises(ConfigError, match="draws random numbers"):
        SignalDataset(of_arrays(noise(1, 100)), Compose([Gain(db=(-1.0, 1.0)), Window(length=5)]))
    with pytest.raises(ConfigError, match="designed for fs=100"):
        SignalDataset(of_arrays(noise(1, 100), fs=50.0), Compose([STAGES["causal"], Window(length=5)]))


@pytest.mark.parametrize("options", [{"threads": 0}, {"threads": 3}, {"num_workers": 2}], ids=str)
def test_loaders_give_the_same_bits(options):
    recordings = of_arrays(*(noise(2, 4000, "int16", seed) for seed in range(5)), label=list(range(5)))
    dataset = SignalDataset(recordings, Compose([STAGES["zero phase of counts"], Window(length=100, hop=50)]))
    loader = Loader(dataset, 16, shuffle=True, seed=3, **options)
    batches = list(loader)
    loader.close()
    order = [row for rows in Loader(dataset, 16, shuffle=True, seed=3).batch_sampler for row in rows]
    wholes = [STAGES["zero phase of counts"](recordings[n].columns["signal"].values) for n in range(5)]
    seen = 0
    for batch in batches:
        for signal, label, start in zip(batch["signal"], batch["label"], batch["start"], strict=True):
            assert equal(signal, wholes[int(label)][:, int(start) : int(start) + 100])
            seen += 1
    assert seen == len(order) == len(dataset)


def test_a_loader_goes_on_in_the_middle_of_an_epoch():
    dataset = SignalDataset(of_arrays(noise(2, 4000)), Compose([STAGES["zero phase"], Window(length=100)]))
    loader = Loader(dataset, 7, shuffle=True)
    passing = iter(loader)
    next(passing)
    state = loader.state_dict()
    expected = [batch["signal"] for batch in passing]
    other = Loader(SignalDataset(of_arrays(noise(2, 4000)), dataset.transform), 7, shuffle=True)
    other.load_state_dict(state)
    assert all(map(torch.equal, expected, (batch["signal"] for batch in other)))


@pytest.mark.parametrize("name", ["causal", "zero phase", "decimate causal", "median"])
def test_threads_share_one_recording(name):
    x = noise(2, 60_000)
    dataset = SignalDataset(
        of_arrays(x), Compose([STAGES[name], Window(length=50)]), kind="numpy", cache_nbytes=100_000
    )
    whole = STAGES[name](x)
    rows = np.random.default_rng(0).integers(0, len(dataset), 400).tolist()
    with ThreadPoolExecutor(8) as threads:
        for row, sample in zip(rows, threads.map(dataset.__getitem__, rows), strict=True):
            assert equal(sample["signal"], whole[:, 50 * row : 50 * row + 50])


def test_it_pickles_without_what_it_computed():
    dataset = SignalDataset(of_arrays(noise(2, 40_000)), Compose([STAGES["zero phase"], Window(length=100)]))
    before = len(pickle.dumps(dataset))
    x = dataset[17]["signal"]
    assert len(pickle.dumps(dataset)) < before + 1000
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[17]["signal"], x)


def test_recordings_that_were_dropped_leave_no_blocks():
    """States of a few recordings fit; the chains of the others are built again, and never take another's blocks."""
    arrays = [noise(2, 3000, seed=seed) for seed in range(40)]
    stages = Compose([STAGES["zero phase"], Detrend(), Window(length=100)])
    dataset = SignalDataset(of_arrays(*arrays), stages, kind="numpy", whole="cache", state_nbytes=1)
    wholes = [Compose(stages.stages[:2])(x) for x in arrays]
    for row in np.random.default_rng(0).integers(0, len(dataset), 300).tolist():
        number, window = divmod(row, 30)
        assert equal(dataset[row]["signal"], wholes[number][:, 100 * window : 100 * window + 100])


def test_the_grid_keeps_to_its_budget():
    assert grid_step(10_000_000, 1000, 1 << 20) * (1 << 20) >= 10_000_000 * 1000
    recordings = of_arrays(noise(2, 200_000))
    dataset = SignalDataset(recordings, Compose([STAGES["zero phase"], Window(length=100)]), state_nbytes=2000)
    whole = STAGES["zero phase"](recordings[0].columns["signal"].values)
    assert equal(dataset[1234]["signal"], whole[:, 123_400:123_500])


class HeldColumn(Column):
    """A column whose reading waits while a thread is to hold the locks above it."""

    def read(self, start, stop):
        if self.reached is not None:
            self.reached.set()
            self.released.wait(60)
        return super().read(start, stop)


def in_a_child(function):
    """Whether a function is true in a forked child, which has a minute."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: forked beside threads, as is tested here
        child = os.fork()
    if not child:
        timer = threading.Timer(60, os._exit, [2])
        timer.daemon = True
        timer.start()
        os._exit(0 if function() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("name", ["causal", "zero phase", "decimate causal", "detrend"])
def test_a_child_forked_while_a_thread_holds_the_locks(name):
    stage = Detrend() if name == "detrend" else STAGES[name]
    x = noise(2, 9000)
    column = HeldColumn(x)
    column.reached, column.released = None, threading.Event()
    dataset = SignalDataset(
        Recordings([Recording("r", {"signal": column})]),
        Compose([stage, Window(length=50)]),
        kind="numpy",
        whole="cache",
    )
    right = stage(x)[:, 2000:2050]
    column.reached = threading.Event()
    thread = threading.Thread(target=dataset.__getitem__, args=(50,))
    thread.start()
    column.reached.wait(60)

    def computes():
        column.reached = None
        return equal(dataset[40]["signal"], right)

    held = [dataset.source._settings.cache._lock, dataset.source._chains._lock]
    for lock in held:
        assert lock.acquire(timeout=60)
    try:
        assert in_a_child(computes)
    finally:
        for lock in held:
            lock.release()
        column.released.set()
        thread.join()


def test_children_forked_at_any_moment_have_the_bits_of_the_whole():
    x = noise(2, 200_000)
    whole = STAGES["causal"](x)
    dataset = SignalDataset(
        of_arrays(x), Compose([STAGES["causal"], Window(length=50)]), kind="numpy", cache_nbytes=50_000
    )
    thread = threading.Thread(target=lambda: [dataset[row] for row in range(0, 4000, 7)])
    thread.start()
    rows = (3, 1999, 3999)
    for _ in range(4):
        time.sleep(0.01)
        assert in_a_child(lambda: all(equal(dataset[n]["signal"], whole[:, 50 * n : 50 * n + 50]) for n in rows))
    thread.join()
