"""Recordings written into every format: what comes back, what others read, what is refused by name."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta, timezone
from fractions import Fraction

import numpy as np
import pytest

from bridgeflow import DataError, Recording
from bridgeflow.io import recording_content

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    wfdb = pytest.importorskip("wfdb")

DRAW = np.random.default_rng(0)
X = DRAW.integers(-3000, 3000, (3, 2500)).astype(np.int16)
START = datetime(2024, 2, 3, 4, 5, 6, 250000)
EVENTS = [(0.5, None, "N"), (1.25, 2.0, "sleep ä"), (3.0, None, "")]
LOSSLESS = ("parquet", "arrow", "h5", "zarr")


def recording(x=X, **described):
    options = {"fs": 250, "channels": ["I", "II", "V 1"][: len(x)], "unit": "mV", "scale": 1 / 200, "offset": -0.5}
    return Recording.from_arrays(x, **(options | described))


def require_equal(one, other):
    """All that two recordings say."""
    about = [[(c.name, c.unit, c.rate, c.scale, c.offset) for c in each.channels] for each in (one, other)]
    assert about[0] == about[1]
    assert (one.start, one.duration) == (other.start, other.duration)
    assert one.events.equals(other.events)
    assert list(one.columns) == list(other.columns)
    for name, column in one.columns.items():
        again = other.columns[name]
        assert (column.segments, column.onsets) == (again.segments, again.onsets)
        values = column.read(0, column.length)
        assert np.array_equal(values, again.read(0, again.length), equal_nan=values.dtype.kind == "f")


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(recording_content, "BLOCK_VALUES", 999)


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("dtype", ["int8", "uint16", "int16", "int32", "int64", "float32", "float64"])
def test_everything_comes_back(tmp_path, suffix, dtype):
    x = (X % 100).astype(dtype)
    if x.dtype.kind == "f":
        x[1, 7], x[2, 9] = np.nan, np.inf
    one = recording(
        x, start=START.replace(tzinfo=timezone(timedelta(hours=2))), events=EVENTS, segments=[(0, 1000), (1200, 2500)],
        metadata={"patient": "X", "count": 3, "list": [1.5, "a"]}, fs=Fraction(1000, 3),
    )  # fmt: skip
    result = one.write(tmp_path / f"a.{suffix}")
    assert result == (tmp_path / f"a.{suffix}", ())
    again = Recording.open(tmp_path / f"a.{suffix}")
    require_equal(one, again)
    assert {name: again.metadata[name] for name in one.metadata} == one.metadata
    assert again.columns["signal"].dtype == x.dtype


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_channels_of_several_types_and_of_one_name(tmp_path, suffix):
    arrays = {"n": np.arange(2**60, 2**60 + 9), "x": np.arange(9) / 7, "m": np.arange(9, dtype=np.int16)}
    one = Recording.from_arrays(arrays, fs=5, channels={"n": "same", "x": "same", "m": "same"})
    one.write(tmp_path / f"a.{suffix}")
    again = Recording.open(tmp_path / f"a.{suffix}")
    assert [channel.name for channel in again.channels] == ["same"] * 3
    assert [channel.dtype for channel in again.channels] == ["int64", "float64", "int16"]
    assert np.array_equal(again.with_columns({"n": "*"}).columns["n"].read(0, 9)[1], arrays["x"])


def test_files_for_others(tmp_path):
    """What libraries of the formats read without us."""
    h5py, zarr, soundfile = map(pytest.importorskip, ("h5py", "zarr", "soundfile"))
    one = recording()
    for suffix in ("h5", "zarr", "npz", "npy", "wav", "flac"):
        one.write(tmp_path / f"a.{suffix}", lossy=True)
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.array_equal(file["signal"][:].T, X)
        assert file["signal"].attrs["fs"] == 250
    array = zarr.open_array(str(tmp_path / "a.zarr"), mode="r")
    assert np.array_equal(array[:].T, X)
    assert array.attrs["channels"] == ["I", "II", "V 1"]
    assert np.array_equal(np.load(tmp_path / "a.npy").T, X)
    loaded = np.load(tmp_path / "a.npz")
    assert np.array_equal(loaded["V 1"], X[2])
    assert loaded["fs"] == 250
    for suffix in ("wav", "flac"):
        frames, rate = soundfile.read(tmp_path / f"a.{suffix}", dtype="int16")
        assert rate == 250
        assert np.array_equal(frames.T, X)


@pytest.mark.parametrize("suffix", ["edf", "bdf"])
@pytest.mark.parametrize("length", [2500, 2499, 2503, 1], ids=str)
def test_edf_against_edfio(tmp_path, suffix, length):
    edfio = pytest.importorskip("edfio")
    one = recording(X[:, :length], start=START, events=EVENTS[:2], metadata={"patient": "X F X Jane"})
    assert one.write(tmp_path / f"a.{suffix}").left_out == ()
    require_equal(one, Recording.open(tmp_path / f"a.{suffix}"))
    read = edfio.read_bdf if suffix == "bdf" else edfio.read_edf
    file = read(tmp_path / f"a.{suffix}")
    assert [signal.label for signal in file.signals] == ["I", "II", "V 1"]
    assert [signal.sampling_frequency for signal in file.signals] == [250] * 3
    assert np.array_equal([signal.digital for signal in file.signals], X[:, :length])
    assert np.allclose([signal.data for signal in file.signals], X[:, :length] / 200 - 0.5, rtol=0, atol=1e-9)
    assert [(note.onset, note.duration, note.text) for note in file.annotations] == EVENTS[:2]
    assert (file.startdate, file.starttime) == (START.date(), START.time())
    assert file.patient.name == "Jane"


def test_edf_with_several_rates_and_gaps(tmp_path):
    edfio = pytest.importorskip("edfio")
    rng = np.random.default_rng(1)
    arrays = {"a": rng.integers(-9, 9, (2, 800), np.int16), "b": rng.integers(-9, 9, 80, np.int16)}
    one = Recording.from_arrays(
        arrays, fs={"a": 100, "b": 10}, segments={"a": [(0, 300), (500, 800)], "b": [(0, 30), (50, 80)]},
        events=[(0.1 + 0.2, 1 / 3, "x" * 300), *((n / 7, None, f"e{n}") for n in range(3, 41))],
    )  # fmt: skip
    one = one.pick(["a0", "b", "a1"])
    one.write(tmp_path / "a.edf")
    again = Recording.open(tmp_path / "a.edf")
    assert [channel.name for channel in again.channels] == ["a0", "b", "a1"]
    assert again.start is None
    fast, slow = again.columns["signal_100"], again.columns["signal_10"]
    assert (fast.segments, fast.onsets) == (((0, 300), (300, 600)), (0.0, 5.0))
    assert np.array_equal(fast.read(0, 600), np.delete(arrays["a"], slice(300, 500), axis=1))
    assert np.array_equal(slow.read(30, 60)[0], arrays["b"][50:80])
    assert again.events["text"].equals(one.events["text"])
    assert np.allclose(again.events["onset"], one.events["onset"], rtol=0, atol=1e-11)
    assert len(edfio.read_edf(tmp_path / "a.edf").annotations) == 39


def test_edf_of_other_numbers_is_rounded_when_asked(tmp_path):
    values = DRAW.normal(size=(2, 1000)) * 70
    one = recording(values, scale=1.0, offset=0.0, unit="µV")
    with pytest.raises(
        DataError, match=r"edf has no place for float64 values of I, II, rounded to 16 bits; pass --los"
    ):
        one.write(tmp_path / "a.edf")
    assert not list(tmp_path.iterdir())
    assert one.write(tmp_path / "a.edf", lossy=True).left_out == ("float64 values of I, II, rounded to 16 bits",)
    again = Recording.open(tmp_path / "a.edf")
    assert again.channels[0].unit == "uV"
    step = np.ptp(values) / 65_000
    assert np.allclose(again.columns["signal"].read(0, 1000, units="physical"), values, rtol=0, atol=step)
    odd = recording(X[:1], scale=np.pi * 1e-3, offset=0.1)
    with pytest.raises(DataError, match="the exact scale of I, rounded"):
        odd.write(tmp_path / "b.edf")
    odd.write(tmp_path / "b.edf", lossy=True)
    again = Recording.open(tmp_path / "b.edf").columns["signal"].read(0, 2500, units="physical")
    assert np.allclose(again, X[:1] * np.pi * 1e-3 + 0.1, rtol=0, atol=2e-3)
    values[0, 3] = np.nan
    with pytest.raises(DataError, match="column 'I': EDF has no NaN"):
        recording(values).write(tmp_path / "c.edf", lossy=True)


@pytest.mark.parametrize("scale", [0.1, 1 / 200, 1000 / 4095, 0.48828125, 3277 / 65535, 1.0, -0.5])
@pytest.mark.parametrize("dtype", ["int16", "int32"])
def test_scales_that_edf_can_say(tmp_path, scale, dtype):
    x = X.astype(dtype).clip(-2047, 2047)
    one = recording(x, scale=scale, offset=2048 * scale if scale == 1000 / 4095 else 0.0)
    if scale in (0.1, 1 / 200, 1.0, -0.5, 0.48828125):
        assert one.write(tmp_path / "a.edf").left_out == ()
    else:
        one.write(tmp_path / "a.edf", lossy=True)
    column = Recording.open(tmp_path / "a.edf").columns["signal"]
    expected = one.columns["signal"].read(0, 2500, units="physical")
    assert np.allclose(column.read(0, 2500, units="physical"), expected, rtol=0, atol=0.03 * abs(scale))


@pytest.mark.parametrize("form", ["int16", "int32", "float64"])
def test_wfdb_against_wfdb(tmp_path, form):
    x = X.astype(form)
    x[0, 0] = 70_000 if form == "int32" else 7
    if form == "float64":
        x[:, 1000:1200] = np.nan
    one = recording(
        x, start=START, events=[(0.5, None, "N"), (1.004, None, "+ (AFIB"), (2000.1234, None, "note to self")],
        offset=-0.25, metadata={"comments": ["66 years", "male"]},
    )  # fmt: skip
    assert one.write(tmp_path / "rec1.hea").left_out == ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        record = wfdb.rdrecord(str(tmp_path / "rec1"))
        notes = wfdb.rdann(str(tmp_path / "rec1"), "atr")
        wfdb.rdrecord(str(tmp_path / "rec1"), ignore_skew=False)
    assert (record.fs, record.sig_name, record.units) == (250, ["I", "II", "V 1"], ["mV"] * 3)
    assert record.fmt == ["32" if form == "int32" else "16"] * 3
    assert np.allclose(record.p_signal.T, x / 200 - 0.25, rtol=0, atol=1e-12, equal_nan=True)
    sums = np.nan_to_num(x, nan=-(2.0**15)).astype(np.int64).sum(axis=1)
    assert [(int(a) - b) % 65536 for a, b in zip(sums, record.checksum, strict=True)] == [0] * 3
    assert notes.aux_note == ["", "(AFIB", "note to self"]
    assert notes.symbol == ["N", "+", '"']
    assert (notes.sample / notes.fs).tolist() == [0.5, 1.004, 2000.1234]
    again = Recording.open(tmp_path / "rec1.hea", nulls="nan")
    assert again.events.equals(one.events)
    assert again.start == START
    assert again.metadata == {"comments": ["66 years", "male"]}
    assert [(c.name, c.unit, c.rate) for c in again.channels] == [(c.name, c.unit, c.rate) for c in one.channels]
    assert np.array_equal(again.columns["signal"].read(0, 2500), x.astype(float), equal_nan=True)


def test_gaps_in_wfdb_are_missing_samples(tmp_path):
    one = recording(X[:1], segments=[(0, 1000), (1500, 2500)], unit="")
    one.write(tmp_path / "a.hea")
    again = Recording.open(tmp_path / "a.hea", nulls="gap")
    assert again.channels[0].unit == ""
    assert again.columns["signal"].segments == ((0, 1000), (1500, 2500))
    assert np.array_equal(again.columns["signal"].read(1500, 2500), X[:1, 1500:])


def test_24_bits_in_flac(tmp_path):
    x = (DRAW.integers(-(2**23), 2**23, (2, 3000)) * 256).astype(np.int32)
    one = Recording.from_arrays(x, fs=48_000, scale=2.0**-31, channels=["audio0", "audio1"])
    assert one.write(tmp_path / "a.flac").left_out == ()
    require_equal(one, Recording.open(tmp_path / "a.flac"))
    with pytest.raises(DataError, match="samples of more than 24 bits"):
        Recording.from_arrays(x + 1, fs=48_000).write(tmp_path / "b.flac", lossy=True)
    for wrong in (x.astype(float), np.repeat(x, 5, axis=0)):
        with pytest.raises(DataError, match="FLAC holds"):
            Recording.from_arrays(wrong, fs=48_000).write(tmp_path / "b.flac", lossy=True)
    assert [file.name for file in tmp_path.iterdir()] == ["a.flac"]


def test_losses_are_named(tmp_path):
    one = recording(
        start=START.replace(tzinfo=timezone.utc), events=EVENTS, segments=[(0, 10), (20, 30)], metadata={"a": 1}
    )
    expected = {
        "wav": "the names of channels (I, II, V 1), units (mV), the scale of counts (I: 0.005 mV a step), "
        "the start (2024-02-03T04:05:06.250000+00:00), 3 events, 1 gap and 1 more",
        "hea": "the time zone of the start (2024-02-03T04:05:06.250000+00:00), the durations of events, metadata (a)",
        "npy": "the sampling rate (250 Hz)",
    }
    for suffix, words in expected.items():
        with pytest.raises(DataError, match=r"pass --lossy \(lossy=True\) to leave it out") as caught:
            one.write(tmp_path / f"a.{suffix}")
        assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_several_rates_fit_into_edf_alone(tmp_path):
    two = Recording.from_arrays({"a": X, "b": X[0, :250]}, fs={"a": 250, "b": 25})
    for suffix in ("parquet", "h5", "hea", "wav", "npz"):
        with pytest.raises(DataError, match=r"holds channels of one rate and length, got 250 Hz.*25 Hz"):
            two.write(tmp_path / f"a.{suffix}", lossy=True)
    two.write(tmp_path / "a.edf")


@pytest.mark.parametrize("suffix", ["parquet", "h5", "zarr", "edf", "hea", "flac", "npy"])
def test_nothing_is_replaced_unless_asked(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    recording().write(path, lossy=True)
    with pytest.raises(DataError, match="exists already; pass --overwrite"):
        recording(X + 1).write(path, lossy=True)
    fs = {"fs": 250} if suffix == "npy" else {}
    assert np.array_equal(Recording.open(path, **fs).columns["signal"].read(0, 2500), X)
    recording(X + 1).write(path, lossy=True, overwrite=True)
    assert np.array_equal(Recording.open(path, **fs).columns["signal"].read(0, 2500), X + 1)
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_a_failure_leaves_what_was_there(tmp_path):
    one = recording()
    for suffix in ("parquet", "h5", "zarr", "edf", "hea", "flac"):
        one.write(tmp_path / f"a.{suffix}", lossy=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    read = type(one.source).read

    def until_broken(self, channels, start, stop):
        if stop > 1000:
            raise OSError(5, "Input/output error")
        return read(self, channels, start, stop)

    other = recording(X + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(one.source), "read", until_broken)
        for suffix in ("parquet", "h5", "zarr", "edf", "hea", "flac"):
            with pytest.raises(OSError, match="Input/output"):
                other.write(tmp_path / f"a.{suffix}", lossy=True, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_is_not_written(tmp_path):
    with pytest.raises(DataError, match=r"no format that is written has the suffix '\.ogg'"):
        recording().write(tmp_path / "a.ogg")
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(DataError, match="something else than a Zarr array"):
        recording().write(tmp_path / "b.zarr", overwrite=True)
    recording().write(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="the output is the same file as the input"):
        Recording.open(tmp_path / "a.parquet").write(tmp_path / "a.parquet", overwrite=True)
    with pytest.raises(DataError, match="a record cannot be called 'a b'"):
        recording().write(tmp_path / "a b.hea")


@pytest.mark.parametrize("suffix", [one for one in LOSSLESS if one != "zarr"])
def test_facts_that_do_not_fit_the_samples(tmp_path, suffix, monkeypatch):
    from bridgeflow.io.formats import array_writers, rows_writer

    sealed, facts = recording_content.with_checksum, recording_content.facts_of
    wrongs = [{"rate": "x"}, {"rate": "1/0"}, {"segments": [[5, 3, 0.0]]}, {"length": 3}, {"events": [[1]]}]
    wrongs += [{"start": "now"}, {"channels": []}, {"channels": {"I": [1, 2, 3, 4], "0": [1, 2, 3, 4]}}]
    for wrong in wrongs:
        for module in (array_writers, rows_writer):
            monkeypatch.setattr(module, "facts_of", lambda *args, w=wrong, f=facts: sealed({**f(*args), **w}))
        recording().write(tmp_path / f"a.{suffix}", overwrite=True)
        with pytest.raises(DataError, match="says what does not fit its samples"):
            Recording.open(tmp_path / f"a.{suffix}")


def test_facts_that_have_changed(tmp_path, monkeypatch):
    from bridgeflow.io.formats import rows_writer

    facts = recording_content.facts_of
    monkeypatch.setattr(rows_writer, "facts_of", lambda *args: facts(*args) | {"length": 2501})
    recording().write(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="their checksum is another"):
        Recording.open(tmp_path / "a.parquet")


def test_physical_values(tmp_path):
    recording(X, offset=0.0).with_units("physical").write(tmp_path / "a.parquet")
    again = Recording.open(tmp_path / "a.parquet")
    assert (again.channels[0].dtype, again.channels[0].scale, again.channels[0].unit) == ("float64", 1.0, "mV")
    assert np.array_equal(again.columns["signal"].read(0, 2500), X * (1 / 200))
