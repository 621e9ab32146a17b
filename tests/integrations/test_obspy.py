"""ObsPy's `Stream` as a recording and back, with the real ObsPy."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

from bridgeflow import Compose, DataError, Recording, Recordings, SignalDataset, SignalFilter, Window
from bridgeflow.errors import ConfigError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    obspy = pytest.importorskip("obspy")
from bridgeflow.integrations.obspy import from_stations, from_stream, to_stream

START_NS = 1_700_000_000_123_456_789
X = np.random.default_rng(0).integers(-1000, 1000, (2, 500)).astype(np.int32)


def trace(data, *, channel="BHZ", station="A", late_ns=0, fs=20.0, **more):
    header = {"network": "XX", "station": station, "channel": channel, "sampling_rate": fs, **more}
    return obspy.Trace(data, {**header, "starttime": obspy.UTCDateTime(ns=START_NS + late_ns)})


@pytest.fixture
def stream():
    """Two channels of two pieces, with a gap of 30 s between them."""
    return obspy.Stream(
        [
            trace(x[begin:end], channel=name, late_ns=begin * 50_000_000 + late * 10**9)
            for name, x in zip(("BHN", "BHZ"), X, strict=True)
            for begin, end, late in ((0, 200, 0), (200, 500, 30))
        ]
    )


class TestIn:
    def test_values_gaps_and_start(self, stream):
        recording = from_stream(stream, id="quake")
        assert [one.name for one in recording.channels] == ["XX.A..BHN", "XX.A..BHZ"]
        assert recording.metadata == {"start_ns": START_NS}
        assert recording.start.timestamp() == pytest.approx(START_NS / 1e9, abs=1e-6)
        column = recording.columns["signal"]
        assert (column.dtype, column.fs) == (np.int32, 20.0)
        assert column.segments == ((0, 200), (200, 500))
        assert column.onsets == (0.0, 40.0)
        assert np.array_equal(column.read(0, 500), X)
        for start, stop in ((0, 0), (0, 1), (199, 201), (200, 200), (499, 500), (150, 350)):
            assert np.array_equal(column.read(start, stop), X[:, start:stop])

    def test_one_path_with_files(self, stream, tmp_path):
        for one in stream:
            one.stats.starttime = obspy.UTCDateTime(ns=one.stats.starttime.ns // 10**6 * 10**6)
        stream.write(str(tmp_path / "a.mseed"), format="MSEED", encoding="STEIM2", reclen=512)
        of_file, of_stream = Recording.open(tmp_path / "a.mseed"), from_stream(stream)
        assert (of_file.channels, of_file.tracks) == (of_stream.channels, of_stream.tracks)
        assert (of_file.start, of_file.metadata) == (of_stream.start, of_stream.metadata)
        assert np.array_equal(of_file.columns["signal"].read(0, 500), of_stream.columns["signal"].read(0, 500))

    def test_masked_samples_are_gaps(self, stream):
        merged = stream.copy().merge()
        assert all(np.ma.is_masked(one.data) for one in merged)
        recording, expected = from_stream(merged), from_stream(stream)
        assert recording.tracks == expected.tracks
        assert np.array_equal(recording.columns["signal"].read(0, 500), X)

    def test_samples_are_read_from_the_traces(self, stream):
        recording = from_stream(stream)
        values = recording.columns["signal"].read(0, 500)
        values[:] = 0
        assert np.array_equal(stream[0].data, X[0, :200])

    def test_calib_is_the_scale(self):
        recording = from_stream(trace(np.arange(4, dtype=np.int32), calib=0.5))
        assert recording.columns["signal"].read(0, 4, units="physical").tolist() == [[0.0, 0.5, 1.0, 1.5]]

    def test_channels_of_several_rates(self):
        recording = from_stream(obspy.Stream([trace(X[0]), trace(X[1, :50], channel="LHZ", fs=1.0)]))
        assert list(recording.columns) == ["signal_20", "signal_1"]

    def test_what_fits_no_recording_is_refused(self):
        with pytest.raises(DataError, match=r"column 'XX\.A\.\.BHZ': has traces that overlap; merge them"):
            from_stream(obspy.Stream([trace(X[0]), trace(X[1], late_ns=10**9)]))
        with pytest.raises(DataError, match="has several rates"):
            from_stream(obspy.Stream([trace(X[0]), trace(X[1], fs=1.0, late_ns=10**12)]))
        with pytest.raises(DataError, match=r"has several factors calib: \[1.0, 2.0\]"):
            from_stream(obspy.Stream([trace(X[0]), trace(X[1], calib=2.0, late_ns=10**12)]))
        with pytest.raises(DataError, match="has no traces"):
            from_stream(obspy.Stream())

    def test_pickles_and_says_what_it_is(self, stream):
        recording = from_stream(stream)
        again = pickle.loads(pickle.dumps(recording))
        assert again.columns["signal"].identity == recording.columns["signal"].identity
        stream[0].data[7] += 1
        assert again.columns["signal"].identity != from_stream(stream).columns["signal"].identity

    def test_stations(self, stream):
        both = stream + obspy.Stream([trace(X[0], station="B")])
        recordings = from_stations(both)
        assert recordings.ids == ["XX.A", "XX.B"]
        assert recordings.labels("station") == ["A", "B"]

    def test_in_datasets(self, stream):
        assert Recordings([stream, stream]).ids == ["stream", "stream_2"]
        low = SignalFilter(design="butter", order=4, cutoff=4.0, fs=20.0)
        dataset = SignalDataset(stream, Compose([low, Window(length=50, hop=50)]), kind="numpy")
        starts = dataset.batch(slice(None))["start"]
        assert starts.tolist() == [*range(0, 200, 50), *range(200, 500, 50)]


class TestAgainstObspysOwn:
    def test_filters(self):
        one = trace(X[0].astype(np.float64))
        theirs = one.copy().filter("lowpass", freq=4.0, corners=4, zerophase=False).data
        ours = SignalFilter(design="butter", order=4, cutoff=4.0, fs=20.0)(one.data)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
        band = one.copy().filter("bandpass", freqmin=1.0, freqmax=4.0, corners=4).data
        ours = SignalFilter(design="butter", order=4, cutoff=(1.0, 4.0), btype="bandpass", fs=20.0)(one.data)
        np.testing.assert_allclose(ours, band, rtol=1e-9, atol=1e-9)

    def test_slices_by_time(self, stream):
        recording = from_stream(stream)
        column = recording.columns["signal"]
        begin = stream[0].stats.starttime + 41
        theirs = stream.slice(begin, begin + 5).select(channel="BHZ")[0].data
        first = column.position(41.0)
        assert np.array_equal(column.read(first, first + len(theirs))[1], theirs)


class TestOut:
    def test_there_and_back(self, stream):
        after = to_stream(from_stream(stream))
        assert len(after) == len(stream)
        for one, other in zip(after.sort(), stream.sort(), strict=True):
            assert one.id == other.id
            assert one.stats.starttime.ns == other.stats.starttime.ns
            assert (one.stats.sampling_rate, one.stats.calib) == (other.stats.sampling_rate, other.stats.calib)
            assert one.data.dtype == other.data.dtype
            assert np.array_equal(one.data, other.data)

    def test_a_start_that_has_microseconds(self, stream, tmp_path):
        """A file of obspy's keeps them, and so does a recording."""
        recording = from_stream(stream)
        after = to_stream(Recording.from_arrays(X, fs=20, channels=["N", "Z"], start=recording.start))
        assert [one.stats.starttime.ns for one in after] == [START_NS // 1000 * 1000] * 2
        assert [one.id for one in after] == ["...N", "...Z"]

    def test_offsets_and_physical_values(self):
        recording = Recording.from_arrays(np.arange(3, dtype=np.int16), fs=1, scale=0.5, offset=1.0)
        assert to_stream(recording)[0].data.tolist() == [1.0, 1.5, 2.0]
        scaled = Recording.from_arrays(np.arange(3, dtype=np.int16), fs=1, scale=0.5)
        (one,) = to_stream(scaled)
        assert (one.data.tolist(), one.stats.calib, one.data.dtype) == ([0, 1, 2], 0.5, np.int16)
        (one,) = to_stream(scaled.with_units("physical"))
        assert (one.data.tolist(), one.stats.calib) == ([0.0, 0.5, 1.0], 1.0)

    def test_columns(self):
        recording = from_stream(obspy.Stream([trace(X[0]), trace(X[1, :50], channel="LHZ", fs=1.0)]))
        assert [one.id for one in to_stream(recording, column="signal_1")] == ["XX.A..LHZ"]
        with pytest.raises(ConfigError, match="has signal_20, signal_1, not 'signal'"):
            to_stream(recording, column="signal")
