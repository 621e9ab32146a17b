"""WFDB records against wfdb: every format, missing samples, segments, annotations; files that are damaged."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from bridgeflow import BridgeflowError, DataError, Recording
from tests.recordings.formats.damage import everything, flips, prefixes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    wfdb = pytest.importorskip("wfdb")

X = np.random.default_rng(0).integers(-100, 100, (301, 2))


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The inplace keyword")  # what wfdb asks of pandas
        yield


def write(folder, name="rec", form="16", x=X, note=True):
    wfdb.wrsamp(
        name,
        fs=250,
        units=["mV", "uV"],
        sig_name=["I", "II"],
        d_signal=x.astype("int64"),
        fmt=[form, form],
        adc_gain=[200.0, 100.0],
        baseline=[0, 5],
        write_dir=str(folder),
    )
    if note:
        samples = np.array([5, 100, 250])
        wfdb.wrann(name, "atr", samples, ["N", "V", "+"], fs=250, aux_note=["", "", "(AFIB"], write_dir=str(folder))
    return folder / f"{name}.hea"


@pytest.mark.parametrize("form", ["16", "24", "32", "80", "212", "508", "516", "524"])
def test_values_equal_those_of_wfdb(tmp_path, form):
    recording = Recording.open(write(tmp_path, form=form))
    assert [(one.name, one.unit, one.fs) for one in recording.channels] == [("I", "mV", 250.0), ("II", "uV", 250.0)]
    column = recording.columns["signal"]
    assert column.dtype == ("int32" if form in ("24", "32", "524") else "int16")
    assert np.array_equal(column.read(0, 301), X.T)
    assert np.array_equal(column.read(7, 100), X.T[:, 7:100])
    expected = wfdb.rdrecord(str(tmp_path / "rec")).p_signal.T
    assert np.allclose(column.read(0, 301, units="physical"), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", ["16", "212", "516"])
def test_the_header_is_parsed_once(tmp_path, form, monkeypatch):
    recording = Recording.open(write(tmp_path, form=form, note=False))
    column, calls = recording.columns["signal"], []
    column.read(0, 1)
    parse = wfdb.io.record.rdheader
    monkeypatch.setattr(
        wfdb.io.record, "rdheader", lambda *args, **options: calls.append(args) or parse(*args, **options)
    )
    monkeypatch.setattr(wfdb, "rdheader", wfdb.io.record.rdheader)
    draw = np.random.default_rng(1)
    for start, stop in np.sort(draw.integers(0, 302, (20, 2)), axis=1).tolist():
        if start < stop:
            assert np.array_equal(column.read(start, stop), X.T[:, start:stop])
            assert np.array_equal(recording.pick("II").columns["signal"].read(start, stop), X.T[1:, start:stop])
    assert not calls
    wfdb.rdrecord(str(tmp_path / "rec"))
    assert calls


@pytest.mark.parametrize("form", ["310", "311", "8", "160"])
def test_formats_that_wfdb_reads_and_does_not_write(tmp_path, form):
    path = write(tmp_path, note=False)
    draw = np.random.default_rng(3)
    path.write_text(path.read_text().replace("rec.dat 16", f"rec.dat {form}"))
    (tmp_path / "rec.dat").write_bytes(draw.integers(0, 64, 1204, dtype=np.uint8).tobytes())
    column = Recording.open(path, nulls="nan").columns["signal"]
    expected = wfdb.rdrecord(str(tmp_path / "rec"), return_res=64).p_signal.T
    values = column.read(0, 301, units="physical")
    assert np.allclose(values, expected, rtol=1e-12, atol=1e-12, equal_nan=True)
    assert np.array_equal(column.read(30, 60, units="physical"), values[:, 30:60], equal_nan=True) or form == "8"


def test_annotations_are_events(tmp_path):
    assert Recording.open(write(tmp_path)).events.to_pylist() == [
        {"onset": 0.02, "duration": None, "text": "N"},
        {"onset": 0.4, "duration": None, "text": "V"},
        {"onset": 1.0, "duration": None, "text": "+ (AFIB"},
    ]
    assert Recording.open(write(tmp_path, name="plain", note=False)).events.num_rows == 0


def test_missing_samples_are_never_numbers(tmp_path):
    x = X.copy()
    x[40:50, 1] = -(2**15)
    path = write(tmp_path, x=x)
    column = Recording.open(path).columns["signal"]
    assert np.array_equal(column.read(0, 40), x.T[:, :40])
    with pytest.raises(DataError, match=r"column 'II': sample 40 is missing; pass nulls"):
        column.read(0, 60)
    column = Recording.open(path, nulls="nan").columns["signal"]
    values = column.read(0, 301)
    assert values.dtype == np.float64
    assert np.isnan(values[1, 40:50]).all()
    assert np.isnan(values).sum() == 10
    assert np.array_equal(values[0], x[:, 0])
    gaps = Recording.open(path, nulls="gap").columns["signal"]
    assert gaps.segments == ((0, 40), (50, 301))
    assert gaps.onsets == (0.0, 0.2)


def test_several_segments_and_a_gap(tmp_path):
    write(tmp_path, "a", x=X[:100], note=False)
    write(tmp_path, "b", x=X[100:], note=False)
    (tmp_path / "m.hea").write_text("m/4 2 250 401\nlay 0\na 100\n~ 100\nb 201\n")
    lines = [
        f"~ 0 {gain}/{unit} 16 0 0 0 0 {name}" for gain, unit, name in (("200", "mV", "I"), ("100(5)", "uV", "II"))
    ]
    (tmp_path / "lay.hea").write_text("\n".join(["lay 2 250 0", *lines]) + "\n")
    column = Recording.open(tmp_path / "m.hea", nulls="nan").columns["signal"]
    assert column.segments == ((0, 100), (200, 401))
    assert column.onsets == (0.0, 0.8)
    expected = wfdb.rdrecord(str(tmp_path / "m")).p_signal.T
    assert np.allclose(column.read(0, 401), expected, equal_nan=True)
    assert np.allclose(Recording.open(tmp_path / "m.hea").columns["signal"].read(200, 401), expected[:, 200:])


@pytest.mark.parametrize("name", ["../rec.dat", "/etc/passwd", "s3://x", "a::b", ".hidden"])
def test_files_elsewhere(tmp_path, name):
    path = write(tmp_path)
    path.write_text(path.read_text().replace("rec.dat", name))
    with pytest.raises(DataError, match=r"rec\.hea: (names the file|cannot be read)"):
        Recording.open(path)


@pytest.mark.parametrize("file", ["rec.hea", "rec.dat", "rec.atr"])
@pytest.mark.parametrize("damage", [prefixes, flips], ids=["prefix", "flip"])
def test_damaged_records(tmp_path, file, damage):
    path = write(tmp_path)
    data = (tmp_path / file).read_bytes()
    for number, bad in enumerate(damage(data)):
        if number % 4 and file == "rec.dat":
            continue
        (tmp_path / file).write_bytes(bad)
        try:
            values = everything(path, nulls="nan")
        except BridgeflowError:
            continue
        if file == "rec.dat":
            expected = wfdb.rdrecord(str(tmp_path / "rec")).p_signal.T
            assert np.allclose(values[0], expected, equal_nan=True)
