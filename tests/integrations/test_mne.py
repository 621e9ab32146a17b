"""MNE's `Raw` and `Epochs` as recordings and rows, and both made of recordings and arrays, with the real MNE."""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest

from bridgeflow import Compose, DataError, Recording, Recordings, Resample, Scale, SignalDataset, SignalFilter, Window
from bridgeflow.errors import ConfigError

mne = pytest.importorskip("mne")
from bridgeflow.integrations.mne import from_raw, info_of, to_epochs, to_raw  # noqa: E402

FS, LENGTH = 256.0, 2560
START = datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc)
NAMES, TYPES = ["Fp1", "Fp2", "EOG left", "STI"], ["eeg", "eeg", "eog", "stim"]
X = np.random.default_rng(0).standard_normal((4, LENGTH)) * 2e-5
IN_GAP = (np.arange(LENGTH) >= 640) & (np.arange(LENGTH) < 896)


def new_raw(first_samp=100, notes=((1, 0.5, "a"), (2.5, 1.0, "BAD_ACQ_SKIP"), (5, 0, "EDGE boundary"))):
    info = mne.create_info(NAMES, FS, TYPES)
    info.set_meas_date(START)
    info["bads"] = ["Fp2"]
    info["description"] = "a night"
    info.set_montage(
        mne.channels.make_dig_montage({"Fp1": [0.1, 0.0, 0.0], "Fp2": [0.0, 0.1, 0.0]}, coord_frame="head")
    )
    raw = mne.io.RawArray(X, info, first_samp=first_samp, verbose="error")
    return raw.set_annotations(mne.Annotations(*zip(*notes, strict=True)) if notes else None, verbose="error")


@pytest.fixture
def raw():
    return new_raw()


@pytest.fixture
def lazy(tmp_path):
    new_raw(notes=()).save(tmp_path / "night_raw.fif", fmt="double", verbose="error")
    return mne.io.read_raw_fif(tmp_path / "night_raw.fif", verbose="error")


def epochs_of(raw, *, preload=False):
    events = np.array([[200 + 150 * n, 0, 1 + n % 2] for n in range(12)])
    frame = {"response": [0.1 * n for n in range(12)], "sample": [f"word {n}" for n in range(12)]}
    table = pa.table(frame).to_pandas()
    ids = {"left": 1, "right": 2}
    return mne.Epochs(
        raw, events, ids, tmin=0, tmax=0.25, baseline=None, metadata=table, preload=preload, verbose="error"
    )


class TestRawIn:
    def test_values_names_units_and_start(self, raw):
        recording = from_raw(raw)
        assert [(one.name, one.unit, one.fs, one.scale) for one in recording.channels] == [
            (name, "V", FS, 1.0) for name in NAMES
        ]
        assert recording.start == START + timedelta(seconds=raw.first_time)
        assert recording.metadata == {"bads": ["Fp2"], "description": "a night", "first_samp": 100}
        assert np.array_equal(recording.columns["signal"].read(0, LENGTH), raw.get_data())
        assert np.array_equal(recording.pick("Fp2").columns["signal"].read(7, 9), X[1:2, 7:9])

    def test_annotations_are_events_from_the_first_sample(self, raw):
        assert from_raw(raw).events.to_pylist() == [
            {"onset": pytest.approx(onset, abs=1e-12), "duration": seconds, "text": text}
            for onset, seconds, text in ((1, 0.5, "a"), (2.5, 1.0, "BAD_ACQ_SKIP"), (5, 0, "EDGE boundary"))
        ]

    @pytest.mark.parametrize("first_samp", [0, 100])
    @pytest.mark.parametrize(
        "notes",
        [
            (),
            ((2.5, 1.0, "BAD_ACQ_SKIP"),),
            ((2.5, 1.0, "bad_acq_skip"), (3.0, 2.0, "BAD_ACQ_SKIP at night"), (7, 0, "EDGE boundary")),
            ((0, 1.0, "BAD_ACQ_SKIP"), (9.5, 0.5, "BAD_ACQ_SKIP")),
            ((1.001, 0.003, "BAD_ACQ_SKIP"), (4, 2, "BAD blink")),
        ],
        ids=["none", "one", "overlapping", "ends", "short"],
    )
    def test_gaps_are_those_of_mnes_filters(self, first_samp, notes):
        raw = new_raw(first_samp, notes)
        starts, stops = mne.annotations._annotations_starts_stops(raw, ("edge", "bad_acq_skip"), invert=True)
        column = from_raw(raw).columns["signal"]
        assert column.segments == tuple(zip(starts.tolist(), stops.tolist(), strict=True))
        assert column.onsets == tuple(starts / FS)

    def test_other_units(self, raw):
        recording = from_raw(raw, units="uV")
        assert [one.unit for one in recording.channels] == ["uV"] * 4
        assert np.array_equal(recording.columns["signal"].read(0, 99), raw.get_data()[:, :99] * 1e6)
        some = from_raw(raw, units={"eeg": "mV"})
        assert [one.unit for one in some.channels] == ["mV", "mV", "V", "V"]
        assert np.array_equal(some.columns["signal"].read(0, 9)[0], raw.get_data("Fp1")[0, :9] * 1e3)
        theirs = raw.get_data(NAMES[:3], units={"eeg": "uV", "eog": "uV"})
        np.testing.assert_allclose(recording.columns["signal"].read(0, LENGTH)[:3], theirs, rtol=1e-15)
        with pytest.raises(ValueError, match="channel 'Fp1' is in 'V', not 'T'"):
            from_raw(raw, units={"eeg": "T"})
        with pytest.raises(KeyError, match="no channel of type 'grad'"):
            from_raw(raw, units={"grad": "T/m"})

    def test_a_stretch_of_a_file_reads_only_it(self, lazy, monkeypatch):
        recording = from_raw(lazy)
        assert recording.id == "night_raw"
        asked = []
        read = type(lazy)._read_segment_file
        monkeypatch.setattr(
            type(lazy),
            "_read_segment_file",
            lambda self, data, idx, fi, start, stop, *more: (
                asked.append(stop - start) or read(self, data, idx, fi, start, stop, *more)
            ),
        )
        assert np.array_equal(recording.columns["signal"].read(1000, 1100), X[:, 1000:1100])
        assert asked == [100]
        assert not lazy.preload

    def test_what_is_read_is_the_callers_own(self, raw):
        values = from_raw(raw).columns["signal"].read(0, LENGTH)
        values[:] = 0
        assert np.array_equal(raw.get_data(), X)

    @pytest.mark.parametrize("which", ["raw", "lazy"])
    def test_pickles_and_says_what_it_is(self, which, request):
        recording = from_raw(request.getfixturevalue(which))
        again = pickle.loads(pickle.dumps(recording))
        column, other = recording.columns["signal"], again.columns["signal"]
        assert np.array_equal(column.read(5, 50), other.read(5, 50))
        assert column.identity == other.identity
        assert column.identity != recording.pick("Fp1").columns["signal"].identity

    def test_a_raw_that_changed_is_refused(self, raw):
        recording = from_raw(raw)
        raw.crop(0, 1)
        with pytest.raises(DataError, match="has other channels or samples than when it was described"):
            recording.columns["signal"].read(0, 10)


class TestInDatasets:
    def test_recordings_take_raws(self, raw, lazy):
        recordings = Recordings([raw, lazy, lazy])
        assert recordings.ids == ["raw", "night_raw", "night_raw_2"]
        assert Recordings(lazy).ids == ["night_raw"]

    def test_windows_have_the_bits_of_the_whole(self, lazy):
        low = SignalFilter(design="butter", order=4, cutoff=40.0, fs=FS, mode="zero_phase")
        dataset = SignalDataset(lazy, Compose([low, Window(length=256, hop=256)]), kind="numpy")
        whole = low(lazy.get_data())
        assert np.array_equal(dataset.batch(slice(None))["signal"], whole.reshape(4, 10, 256).transpose(1, 0, 2))

    def test_windows_do_not_span_gaps(self, raw):
        dataset = SignalDataset(raw, Window(length=128, hop=128))
        starts = dataset.batch(slice(None))["start"].tolist()
        assert starts == [*range(0, 640, 128), *range(896, 1280, 128), *range(1280, 2560, 128)]


class TestAgainstMnesOwn:
    def test_zero_phase_and_causal_iir(self):
        raw = new_raw(notes=())
        options = {"order": 4, "ftype": "butter", "output": "sos", "padlen": 27}
        for phase, mode in (("zero", "zero_phase"), ("forward", "causal")):
            theirs = raw.copy().filter(
                None, 40, picks="all", method="iir", phase=phase, iir_params=dict(options), verbose="error"
            )
            ours = SignalFilter(design="butter", order=4, cutoff=40.0, fs=FS, mode=mode)(raw.get_data())
            edge = 128 if mode == "zero_phase" else 0  # they pad otherwise
            inner = slice(edge, LENGTH - edge)
            np.testing.assert_allclose(ours[:, inner], theirs.get_data()[:, inner], rtol=1e-9, atol=1e-16)

    def test_filters_begin_again_after_gaps_as_theirs_do(self, raw):
        theirs = raw.copy().filter(
            None, 40, picks="all", method="iir", phase="forward", iir_params={"order": 4, "ftype": "butter"}, verbose=0
        )
        low = SignalFilter(design="butter", order=4, cutoff=40.0, fs=FS)
        dataset = SignalDataset(raw, Compose([low, Window(length=64, hop=64)]), kind="numpy")
        batch = dataset.batch(slice(None))
        for start, window in zip(batch["start"], batch["signal"], strict=True):
            np.testing.assert_allclose(window, theirs.get_data()[:, start : start + 64], rtol=1e-9, atol=1e-16)

    def test_resampling_by_polyphase(self):
        raw = new_raw(notes=())
        theirs = raw.copy().resample(128, method="polyphase", verbose="error").get_data(NAMES[:3])
        ours = Resample(from_hz=256, to_hz=128)(raw.get_data(NAMES[:3]))
        np.testing.assert_allclose(ours[:, 40:-40], theirs[:, 40:-40], rtol=1e-9, atol=1e-15)


class TestRawOut:
    @pytest.mark.parametrize("which", ["raw", "lazy"])
    @pytest.mark.parametrize("units", [None, "uV"])
    def test_there_and_back(self, which, units, request):
        before = request.getfixturevalue(which)
        after = to_raw(from_raw(before, units=units))
        assert np.array_equal(after.get_data(), before.get_data())
        assert (after.first_samp, after.ch_names) == (before.first_samp, before.ch_names)
        assert after.get_channel_types() == before.get_channel_types()
        assert not mne.utils.object_diff(after.info, before.info)
        assert after.annotations.orig_time == before.annotations.orig_time
        assert after.annotations.description.tolist() == before.annotations.description.tolist()
        np.testing.assert_allclose(after.annotations.onset, before.annotations.onset, rtol=0, atol=1e-12)
        assert after.annotations.duration.tolist() == before.annotations.duration.tolist()

    def test_picked_and_renamed(self, raw):
        after = to_raw(from_raw(raw).pick(["EOG left", "Fp2"]).rename({"Fp2": "right"}))
        assert after.ch_names == ["EOG left", "right"]
        assert after.info["bads"] == ["right"]
        assert np.array_equal(after.get_data(), X[[2, 1]])

    def test_counts_become_volts_with_one_rounding(self):
        counts = np.random.default_rng(1).integers(-30_000, 30_000, (3, 500), dtype=np.int16)
        recording = Recording.from_arrays(
            counts, fs=100, channels=["C3", "ECG II", "SpO2"], unit=["uV", "mV", "%"], scale=[0.1, 0.5, 2.0]
        )
        after = to_raw(recording)
        assert after.get_channel_types() == ["eeg", "ecg", "misc"]
        expected = np.stack([counts[0] * 0.1 / 1e6, counts[1] * 0.5 / 1e3, counts[2] * 2.0])
        assert np.array_equal(after.get_data(), expected)

    def test_as_mnes_own_reader_of_edf(self, tmp_path):
        counts = np.random.default_rng(1).integers(-30_000, 30_000, (2, 512), dtype=np.int16)
        start = datetime(2024, 1, 2, 3, 4, 5)
        recording = Recording.from_arrays(
            counts, fs=256, channels=["C3", "C4"], unit="uV", scale=0.1, start=start, events=[(0.5, 0.25, "spindle")]
        )
        recording.write(tmp_path / "a.edf", lossy=True)
        theirs = mne.io.read_raw_edf(tmp_path / "a.edf", verbose="error")
        ours = to_raw(Recording.open(tmp_path / "a.edf"))
        np.testing.assert_allclose(ours.get_data(), theirs.get_data(), rtol=1e-12)
        assert (ours.ch_names, ours.info["sfreq"]) == (theirs.ch_names, theirs.info["sfreq"])
        assert ours.info["meas_date"] == theirs.info["meas_date"]
        assert ours.annotations.description.tolist() == ["spindle"] == theirs.annotations.description.tolist()
        assert ours.annotations.onset.tolist() == theirs.annotations.onset.tolist() == [0.5]

    def test_gaps_are_filled_and_annotated(self):
        recording = Recording.from_arrays(np.ones((1, 300)), fs=100, unit="V", segments=[(0, 100), (150, 300)])
        after = to_raw(recording)
        assert after.annotations.description.tolist() == ["BAD_ACQ_SKIP"]
        assert (after.annotations.onset[0], after.annotations.duration[0]) == (1.0, 0.5)
        assert after.get_data()[0].tolist() == [1.0] * 100 + [0.0] * 50 + [1.0] * 150
        assert from_raw(after).columns["signal"].segments == ((0, 100), (150, 300))

    def test_metadata_survive_a_file(self, raw, tmp_path):
        from_raw(raw).pick(["Fp1", "Fp2"]).write(tmp_path / "night.parquet")
        after = to_raw(Recording.open(tmp_path / "night.parquet"))
        assert np.array_equal(after.get_data(), np.where(IN_GAP, 0.0, X[:2]))
        assert (after.info["bads"], after.info["description"], after.first_samp) == (["Fp2"], "a night", 100)
        assert after.info["meas_date"] == START

    def test_several_rates_need_a_column(self):
        recording = Recording.from_arrays({"eeg": np.ones(100), "ecg": np.ones(50)}, fs={"eeg": 100, "ecg": 50})
        with pytest.raises(DataError, match="a Raw has one rate, got columns eeg, ecg; say which with column="):
            to_raw(recording)
        assert to_raw(recording, column="ecg").info["sfreq"] == 50

    def test_types(self, raw):
        recording = from_raw(raw)
        assert to_raw(recording, types={"Fp1": "ecog"}).get_channel_types() == ["ecog", "eeg", "eog", "stim"]
        with pytest.raises(ConfigError, match="no channel 'Fp3'; did you mean"):
            info_of(recording, types={"Fp3": "eeg"})

    def test_arrays(self, raw):
        half = Resample(from_hz=256, to_hz=128)(raw.get_data())
        after = to_raw(half, raw.info, fs=128)
        assert (after.info["sfreq"], after.info["lowpass"], raw.info["sfreq"]) == (128.0, 64.0, 256.0)
        assert np.array_equal(after.get_data(), half)
        with pytest.raises(DataError, match=r"to_raw: expected numbers \[channels, time\] of the 4 channels of info"):
            to_raw(half[:2], raw.info)
        with pytest.raises(ConfigError, match=r"info: expected an mne\.Info, got NoneType"):
            to_raw(half)
        with pytest.raises(ConfigError, match="are for arrays"):
            to_raw(from_raw(raw), raw.info)


class TestEpochs:
    @pytest.mark.parametrize("preload", [False, True], ids=["lazy", "preloaded"])
    def test_rows(self, raw, preload):
        epochs = epochs_of(raw, preload=preload)
        dataset = SignalDataset(epochs, Scale(scale=1e6, keys=("signal",)), kind="numpy")
        count = len(epochs_of(raw).drop_bad(verbose="error"))
        assert len(dataset) == count < 12  # some lie in the gap
        batch = dataset.batch(slice(None))
        assert np.array_equal(batch["signal"], epochs.get_data(verbose="error") * 1e6)
        assert batch["label"] == ["left" if n == 1 else "right" for n in epochs.events[:, 2]]
        assert batch["event"].tolist() == epochs.events[:, 2].tolist()
        assert batch["sample"].tolist() == epochs.events[:, 0].tolist()
        assert batch["response"].tolist() == epochs.metadata["response"].tolist()
        assert batch["sample_metadata"] == epochs.metadata["sample"].tolist()
        assert np.array_equal(dataset[3]["signal"], batch["signal"][3])
        assert dataset.source.fs == FS

    def test_a_row_reads_only_its_own_window(self, lazy, monkeypatch):
        dataset = SignalDataset(epochs_of(lazy), kind="numpy")
        asked = []
        read = type(lazy)._read_segment_file
        monkeypatch.setattr(
            type(lazy),
            "_read_segment_file",
            lambda self, data, idx, fi, start, stop, *more: (
                asked.append(stop - start) or read(self, data, idx, fi, start, stop, *more)
            ),
        )
        dataset[5]
        assert asked == [65]

    def test_there_and_back(self, raw):
        before = epochs_of(raw, preload=True)
        after = to_epochs(SignalDataset(before, kind="numpy").batch(slice(None)), before.info)
        assert np.array_equal(after.get_data(), before.get_data())
        assert np.array_equal(after.events, before.events)
        assert after.event_id == before.event_id
        assert after.metadata["response"].tolist() == before.metadata["response"].tolist()

    def test_windows_of_recordings(self, raw):
        batch = SignalDataset(raw, Window(length=64, hop=640)).batch(slice(None))
        after = to_epochs(batch, raw.info)
        assert np.array_equal(after.get_data(), batch["signal"].numpy())
        assert after.events[:, 0].tolist() == batch["start"].tolist()
        assert after.metadata["recording"].tolist() == ["raw"] * len(batch["start"])

    def test_arrays_and_labels(self, raw):
        x = np.arange(3 * 4 * 8.0).reshape(3, 4, 8)
        after = to_epochs(x, raw.info, labels=["b", "a", "b"], tmin=-0.5, metadata={"n": [1, 2, 3]}, fs=128)
        assert after.event_id == {"a": 1, "b": 2}
        assert after.events[:, 2].tolist() == [2, 1, 2]
        assert (after.tmin, after.info["sfreq"], after.metadata["n"].tolist()) == (-0.5, 128.0, [1, 2, 3])
        assert after["a"].get_data()[0].tolist() == x[1].tolist()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"labels": ["a"]}, "labels: expected 3, one for each window, got 1"),
            ({"samples": [1, 1, 2]}, "another sample for the event of each window"),
            ({"samples": [3, 1, 2]}, "expected in increasing order"),
            ({"samples": [0.5, 1.0, 2.0]}, "samples: expected 3 integers"),
            ({"metadata": {"n": [1]}}, "metadata: expected 3 rows"),
        ],
        ids=["labels", "repeated", "unsorted", "floats", "rows"],
    )
    def test_what_does_not_fit_is_refused(self, raw, options, message):
        with pytest.raises(DataError, match=message):
            to_epochs(np.zeros((3, 4, 8)), raw.info, **options)
