"""Windows at events, at random places and of whole recordings; labels from events; parts of windows."""

from __future__ import annotations

import pickle
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import torch

from bridgeflow import (
    Compose,
    EventLabels,
    EventWindow,
    Loader,
    RandomWindow,
    Recording,
    Recordings,
    Resample,
    SignalDataset,
    SignalFilter,
    WholeRecording,
    Window,
    WindowLabels,
)
from bridgeflow.errors import ConfigError, DataError, KeyNotFound

BAND = SignalFilter(design="butter", cutoff=20.0, order=3, fs=100.0, mode="zero_phase")


def noise(channels, samples, seed=0):
    return np.random.default_rng(seed).standard_normal((channels, samples))


def recording(samples=3000, id="r", channels=2, **more):
    return Recording.from_arrays(noise(channels, samples), fs=100.0, id=id, **more)


def test_real_recordings_with_gaps_and_labels():
    one = recording(segments=[(0, 1000), (1200, 3000)], labels={"age": 41, "subject": "S1"})
    dataset = SignalDataset([one], Compose([BAND, Window(length=500)]))
    x = one.columns["signal"].read(0, 3000)
    assert len(dataset) == 5
    assert torch.equal(dataset[3]["signal"], torch.from_numpy(BAND(x[:, 1200:])[:, 500:1000]))
    assert (dataset[3]["start"], dataset[3]["subject"], int(dataset[3]["age"])) == (1700, "S1", 41)


def test_windows_in_seconds_take_the_rate_of_the_recording():
    fast = Recording.from_arrays(noise(1, 4000), fs=400.0, id="fast")
    dataset = SignalDataset([recording(channels=1), fast], Window(length="500 ms", hop="0.25 s"))
    assert dataset[0]["signal"].shape == (1, 50)
    assert dataset[len(dataset) - 1]["signal"].shape == (1, 200)
    assert dataset[1]["start"] == 25
    labels = SignalDataset([recording()], WindowLabels(length="1 s", rule="any"))
    assert len(labels) == 30
    with pytest.raises(ConfigError, match="needs a sampling rate"):
        Window(length="2 s")(noise(1, 1000))
    with pytest.raises(ConfigError, match="'2 s' or '250 ms', got '2 parsecs'"):
        Window(length="2 parsecs")


@pytest.mark.parametrize("stages", [(), (BAND,), (BAND, Resample(from_hz=100, to_hz=50))], ids=len)
def test_windows_around_events(stages):
    events = [
        (1.0, 0.5, "spike"),
        (5.0, None, "noise"),
        (0.01, 0.0, "spike"),
        (29.0, 1.0, "spike 2"),
        (29.9, 0, "spike"),
    ]
    one = recording(events=events)
    dataset = SignalDataset([one], Compose([*stages, EventWindow(event="spike*", start=-0.2, stop=0.6)]), kind="numpy")
    x = one.columns["signal"].read(0, 3000)
    whole = Compose(list(stages))(x) if stages else x
    fs = 50 if len(stages) == 2 else 100
    assert len(dataset) == 2  # those near the ends do not fit
    for row, (onset, text) in enumerate([(1.0, "spike"), (29.0, "spike 2")]):
        begin = round((onset - 0.2) * fs)
        assert np.array_equal(dataset[row]["signal"], whole[:, begin : begin + round(0.8 * fs)])
        assert (dataset[row]["event"], dataset[row]["start"]) == (text, round((onset - 0.2) * 100))


def test_events_after_a_gap_lie_where_time_says():
    one = recording(2000, segments={"signal": [(0, 1000), (1000, 2000)]}, events=[(12.0, 1.0, "beat")])
    dataset = SignalDataset([one], EventWindow(event="beat", start=0, stop=1))
    assert dataset[0]["start"] == 1200


def test_recordings_of_different_rates_come_to_one():
    rates = (250, 500.0, Fraction(1000, 3))
    recordings = [Recording.from_arrays(noise(2, 5000), fs=fs, id=str(fs)) for fs in rates]
    dataset = SignalDataset(recordings, Compose([Resample(to_hz=100), BAND, Window(length="2 s")]), kind="numpy")
    row = 0
    for source, fs in zip(recordings, ("250", "500", "1000/3"), strict=True):
        whole = BAND(Resample(from_hz=fs, to_hz=100)(source.columns["signal"].read(0, 5000)))
        for begin in range(0, whole.shape[-1] - 199, 200):
            assert np.array_equal(dataset[row]["signal"], whole[:, begin : begin + 200])
            row += 1
    assert row == len(dataset)
    with pytest.raises(ConfigError, match="from_hz is needed"):
        Resample(to_hz=100)(noise(2, 100))
    assert not Resample(to_hz=100).streams


def test_random_windows_belong_to_rows_and_epochs():
    recordings = [recording(1000, "a"), recording(2000, "b", segments=[(0, 50), (100, 2000)]), recording(20, "short")]
    dataset = SignalDataset(recordings, Compose([RandomWindow(length=100, per_recording=40)]), seed=5)
    assert len(dataset) == 80
    batch = dataset.batch(range(80))
    starts = batch["start"].tolist()
    assert len(set(starts)) > 60
    assert all(100 <= start <= 1900 for start in starts[40:])
    for row in (3, 44, 79):
        source = recordings[row // 40].columns["signal"]
        expected = torch.from_numpy(source.read(starts[row], starts[row] + 100))
        assert torch.equal(dataset[row]["signal"], expected)
    dataset.set_epoch(1)
    assert dataset.batch(range(80))["start"].tolist() != starts
    again = SignalDataset(recordings, dataset.transform, seed=5)
    assert again.batch(range(80))["start"].tolist() == starts
    orders = []
    for options in ({"threads": 0}, {"num_workers": 1}):
        loader = Loader(again, 16, seed=5, **options)
        orders.append([batch["start"].tolist() for batch in loader])
        loader.close()
    assert orders[0] == orders[1]
    assert [start for batch in orders[0] for start in batch] == starts


def test_whole_recordings():
    recordings = [recording(300, "a"), recording(500, "b")]
    ragged = SignalDataset(recordings, Compose([BAND, WholeRecording()]), ragged="pad")
    batch = ragged.batch([0, 1])
    assert batch["signal"].shape == (2, 2, 500)
    assert batch["signal_length"].tolist() == [300, 500]
    expected = BAND(recordings[0].columns["signal"].read(0, 300))
    assert torch.equal(batch["signal"][0, :, :300], torch.from_numpy(expected))
    fixed = SignalDataset(recordings, Compose([BAND, WholeRecording(max_length="4 s", pad="zeros")]))
    batch = fixed.batch([0, 1])
    assert batch["signal"].shape == (2, 2, 400)
    assert torch.equal(batch["signal"][0, :, :300], torch.from_numpy(expected))
    assert not batch["signal"][0, :, 300:].any()
    with pytest.raises(ConfigError, match="needs max_length"):
        WholeRecording(pad="zeros")


def test_windows_of_several_lengths_are_memory_of_their_own():
    recordings = [recording(300, "a"), recording(500, "b")]
    dataset = SignalDataset(recordings, Compose([BAND, WholeRecording()]), ragged="list")
    before = [one["signal"].clone() for one in dataset.samples([0, 1])]
    for _ in range(2):
        for one, right in zip(dataset.samples([0, 1]), before, strict=True):
            assert torch.equal(one["signal"], right)
            one["signal"][:] = 0


STAGES = [(0.0, 10.0, "W"), (10.0, 10.0, "N1"), (20.0, 4.0, "N2"), (24.0, None, "arousal")]


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({}, [0, 0, 1, 1, 2, -1]),
        ({"min_overlap": 0.9}, [0, 0, 1, 1, -1, -1]),
        ({"rule": "any"}, [0, 0, 1, 1, 2, -1]),
        ({"rule": "center"}, [0, 0, 1, 1, 2, -1]),
        ({"classes": ("arousal",), "rule": "any", "default": 5}, [5, 5, 5, 5, 0, 5]),
        ({"classes": ("N?", "W")}, [1, 1, 0, 0, 0, -1]),
    ],
    ids=str,
)
def test_labels_from_events(options, labels):
    one = recording(events=STAGES)
    label = EventLabels(**{"classes": ("W", "N1", "N2"), **options})
    dataset = SignalDataset([one], Compose([BAND, Window(length="5 s"), label]))
    assert dataset.batch(range(6))["label"].tolist() == labels
    assert dataset[2]["label"].dtype == torch.int64


def test_the_majority_is_what_covers_the_most():
    one = recording(events=[(0.0, 3.0, "b"), (3.0, 2.0, "a")])
    cut = [Window(length="5 s"), EventLabels(classes=("a", "b"), name="stage")]
    assert int(SignalDataset([one], Compose(cut))[0]["stage"]) == 1
    cut[1] = EventLabels(classes=("a", "b"), rule="any", name="stage")
    assert int(SignalDataset([one], Compose(cut))[0]["stage"]) == 0


def test_what_cuts_recordings_refuses_arrays():
    for stage in (EventWindow(event="x", start=0, stop=1), RandomWindow(length=5), EventLabels(classes=("a",))):
        with pytest.raises(ConfigError, match="recordings"):
            stage(noise(1, 100))
        assert pickle.loads(pickle.dumps(stage)) == stage


def test_a_split_in_time_shares_no_sample():
    dataset = SignalDataset([recording(1000), recording(2000, "b")], Compose([BAND, Window(length=100, hop=30)]))
    parts = dataset.split((0.6, 0.2, 0.2), by="time")
    spans = []
    for part in parts:
        batch = part.batch(range(len(part)))
        spans.append(list(zip(batch["recording"], batch["start"].tolist(), strict=True)))
        assert torch.equal(part[1]["signal"], batch["signal"][1])
    taken = [{(name, sample) for name, start in one for sample in range(start, start + 100)} for one in spans]
    assert all(not taken[a] & taken[b] for a in range(3) for b in range(a))
    assert max(start for name, start in spans[0] if name == "b") + 100 <= 1200
    assert len(dataset) > sum(map(len, parts)) > 0.8 * len(dataset)
    assert len({part.digest() for part in parts} | {dataset.digest()}) == 4
    assert all(
        torch.equal(a["signal"], b["signal"]) for a, b in zip(Loader(parts[2], 4), Loader(parts[2], 4), strict=True)
    )
    with pytest.raises(ValueError, match="sum to 1"):
        dataset.split((0.6, 0.6))
    with pytest.raises(ValueError, match="windows of recordings"):
        SignalDataset({"x": noise(3, 4)}).split((0.5, 0.5))


def test_a_split_by_label_keeps_its_values_together():
    recordings = Recordings([recording(500, f"r{n}", labels={"subject": f"S{n % 4}"}) for n in range(12)])
    dataset = SignalDataset(recordings, Compose([BAND, Window(length=100)]))
    parts = dataset.split((0.5, 0.5), by="subject", seed=1)
    subjects = [set(part.batch(range(len(part)))["subject"]) for part in parts]
    assert len(parts[0]) + len(parts[1]) == len(dataset) == 60
    assert not subjects[0] & subjects[1]
    again = dataset.split((0.5, 0.5), by="subject", seed=1)
    assert [part.digest() for part in parts] == [part.digest() for part in again]


def test_rejection_counts_and_leaves_out():
    x = noise(2, 1000)
    x[0, 100:200] = 1.0
    x[1, 320] = 50.0
    x[0, 400:450] = 3.5
    x[0, 400:500] = np.minimum(x[0, 400:500], 3.5)
    one = Recording.from_arrays(x, fs=100.0, events=[(7.5, 0.1, "BAD blink"), (8.0, 0.5, "fine")])
    dataset = SignalDataset([one], Window(length=100))
    kept = dataset.reject(amplitude=10.0, flat=1e-6, clipped=0.3, events="BAD*")
    assert kept.rejected == {"events": 1, "flat": 1, "clipped": 1, "amplitude": 1}
    assert [kept[row]["start"] for row in range(len(kept))] == [0, 200, 500, 600, 800, 900]
    assert dataset.rejected == {}
    assert len(pickle.loads(pickle.dumps(kept))) == 6
    with pytest.raises(ValueError, match="needs a rule"):
        dataset.reject()
    with pytest.raises(ValueError, match="elsewhere in each epoch"):
        SignalDataset([one], RandomWindow(length=10)).reject(flat=0)


def of_subjects(count=12, subjects=4, samples=500):
    labels = [{"subject": f"S{n % subjects}", "site": n % 2} for n in range(count)]
    return Recordings([recording(samples, f"r{n}", labels=one) for n, one in enumerate(labels)])


def samples_of(dataset):
    """Every sample that windows of a dataset hold, as it was recorded."""
    batch = dataset.batch(range(len(dataset)))
    pairs = zip(batch["recording"], batch["start"].tolist(), strict=True)
    return {(name, sample) for name, start in pairs for sample in range(start, start + batch["signal"].shape[-1])}


def test_folds_of_windows_are_those_of_recordings(tmp_path):
    recordings = of_subjects()
    dataset = SignalDataset(recordings, Compose([BAND, Window(length=100, hop=50)]))
    table = tmp_path / "folds.csv"
    pa.csv.write_csv(recordings.fold_table(3, by="subject", seed=4), table)
    for k in (3, table):
        pairs = dataset.folds(k, by="subject", seed=4)
        for (train, test), (own, other) in zip(pairs, recordings.folds(3, by="subject", seed=4), strict=True):
            assert set(train.batch(range(len(train)))["recording"]) == set(own.ids)
            assert set(test.batch(range(len(test)))["recording"]) == set(other.ids)
            assert len(train) + len(test) == len(dataset)
    left = dataset.leave_one_group_out("subject")
    assert [set(test.batch(range(len(test)))["subject"]) for _, test in left] == [{f"S{n}"} for n in range(4)]
    assert left[1][0].part.name == "training part of fold 2 of 4"


def test_folds_in_time_share_no_sample():
    dataset = SignalDataset(of_subjects(2, 2, 1000), Compose([Window(length=100, hop=30)]))
    pairs = dataset.folds(4, by="time")
    for train, test in pairs:
        assert not samples_of(train) & samples_of(test)
        assert len(train) + len(test) > 0.8 * len(dataset)
    assert sum(len(test) for _, test in pairs) < len(dataset)
    with pytest.raises(ValueError, match="give a number"):
        dataset.folds(HalfAndHalf(), by="time")


class HalfAndHalf:
    """As scikit-learn's splitters: even positions, and odd ones."""

    def split(self, X, y=None, groups=None):
        self.asked = (list(X), y, groups)
        positions = np.arange(len(X))
        yield positions[::2], positions[1::2]


def test_splitters_over_windows():
    dataset = SignalDataset(
        Recordings([recording(1000, f"r{n}", events=[(0, 5, "W"), (5, 5, "N1")], labels={"n": n}) for n in range(3)]),
        Compose([Window(length=100), EventLabels(classes=("W", "N1"), name="stage")]),
    )
    splitter = HalfAndHalf()
    ((train, test),) = dataset.folds(splitter, stratify="stage")
    assert (len(train), len(test)) == (15, 15)
    assert not samples_of(train) & samples_of(test)
    assert splitter.asked == (list(range(30)), [0, 0, 0, 0, 0, 1, 1, 1, 1, 1] * 3, None)
    with pytest.raises(DataError, match="values of 'n' in training and test both: 0, 1, 2"):
        dataset.folds(splitter, by="n")
    assert splitter.asked[2] == [0] * 10 + [1] * 10 + [2] * 10
    with pytest.raises(KeyNotFound, match="no label 'stages'; did you mean 'stage'"):
        dataset.folds(splitter, stratify="stages")
    overlapping = SignalDataset(dataset.source.recordings, Window(length=100, hop=90))
    with pytest.raises(DataError, match=r"training windows share samples.*of 'r0'; pass purge=True"):
        overlapping.folds(splitter)
    few = SignalDataset(dataset.source.recordings, Window(length=100, hop=60))

    class Ends:
        def split(self, X, y=None, groups=None):
            yield np.arange(0, 30), np.arange(30, len(X))

    ((train, test),) = few.folds(Ends(), purge=True)
    assert not samples_of(train) & samples_of(test)
    assert len(train) == 29


def test_a_state_of_another_part_is_refused():
    dataset = SignalDataset(of_subjects(), Window(length=100))
    train, test = dataset.split((0.5, 0.5), by="subject")
    state = Loader(train, 4).state_dict()
    Loader(train, 4).load_state_dict(state)
    with pytest.raises(DataError, match=r"part=.part 1 of 2 of split.*\(here .part 2 of 2 of split.*by='subject'"):
        Loader(test, 4).load_state_dict(state)
    with pytest.raises(DataError, match=r"part=.part 1 of 2.*\(here None\)"):
        Loader(dataset, 4).load_state_dict(state)
    own, _ = of_subjects().split((0.5, 0.5))
    assert SignalDataset(own, Window(length=100)).part == own.part
    assert "part 1 of 2" in repr(train)
    assert dataset.part is SignalDataset({"x": noise(2, 3)}).part is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda one: SignalDataset(one, Window(length=5000)), "3,000 samples of signal .* a window 5,000; shorten"),
        (lambda one: SignalDataset(one, Window(length="31 s")), "3,000 samples of signal .* a window 3,100; shorten"),
        (lambda one: SignalDataset(one, RandomWindow(length=5000)), "a window 5,000; shorten RandomWindow"),
        (lambda one: SignalDataset(one.filter([False]), Window(length=5)), "there are no recordings"),
        (lambda one: SignalDataset(one, Window(length=100)).reject(amplitude=0), r"rejected \(amplitude 30\)"),
        (
            lambda one: SignalDataset(one, Window(length=2000)).split((0.5, 0.5), by="time")[1],
            "none of 1 is in part 2 of 2 of split",
        ),
        (
            lambda one: SignalDataset(one, EventWindow(event="spikes", start=0, stop=1)),
            "none of the events spikes .* events: spike",
        ),
    ],
    ids=["short", "short in seconds", "short at random", "filtered out", "rejected", "split", "events"],
)
def test_why_there_is_no_window(make, message):
    dataset = make(Recordings([recording(events=[(1.0, 0.5, "spike")])]))
    assert len(dataset) == 0
    with pytest.raises(IndexError, match=f"recordings has no windows: .*{message}"):
        dataset[0]
    with pytest.raises(IndexError, match=f"recordings has no windows: .*{message}"):
        dataset.batch([0])


def test_what_was_left_out_is_shown():
    dataset = SignalDataset(Recordings([recording(), recording(50, "short")]), Window(length=100))
    assert repr(dataset).startswith("SignalDataset(<30 windows of 2 recordings, 1 of which have none>, transform=")
    kept = dataset.reject(amplitude=3.0)
    assert f"rejected={{'amplitude': {30 - len(kept)}}}" in repr(kept)
    assert kept.rejected == {"amplitude": 30 - len(kept)}
    with pytest.raises(IndexError, match="recordings has 30 windows, there is no row 30"):
        dataset[30]
