"""EDF and BDF against edfio: values, units, rates, events; gaps; files that are damaged."""

from __future__ import annotations

import os
import pickle
import warnings
from datetime import datetime
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from bridgeflow import DataError, Recording
from tests.recordings.formats.damage import flips, prefixes, require_refused_or_read

edfio = pytest.importorskip("edfio")


def write(path: Path, *, seconds: int = 5, annotations: bool = True, seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    kind = edfio.BdfSignal if path.suffix == ".bdf" else edfio.EdfSignal
    signals = [
        kind(draw.normal(size=100 * seconds) * 50, 100, label="EEG Fp1", physical_dimension="uV"),
        kind(draw.normal(size=100 * seconds) * 50, 100, label="EEG Fp2", physical_dimension="uV"),
        kind(draw.normal(size=8 * seconds), 8, label="Resp", physical_dimension="L"),
    ]
    notes = [edfio.EdfAnnotation(1.25, None, "stim"), edfio.EdfAnnotation(3, 0.5, "Schlaf ä")] if annotations else None
    new = edfio.Bdf if path.suffix == ".bdf" else edfio.Edf
    recording = edfio.Recording(startdate=datetime(2024, 2, 3).date())
    file = new(signals, recording=recording, starttime=datetime(2024, 1, 1, 4, 5, 6).time(), annotations=notes)
    file.write(path)
    return path


def reference(path: Path):
    read = edfio.read_bdf if path.suffix == ".bdf" else edfio.read_edf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read(path)


@pytest.mark.parametrize("suffix", ["edf", "bdf"])
@pytest.mark.parametrize("annotations", [True, False])
def test_values_equal_those_of_edfio(tmp_path, suffix, annotations):
    path = write(tmp_path / f"night.{suffix}", annotations=annotations)
    expected = reference(path)
    recording = Recording.open(path)
    assert recording.id == "night"
    assert [(one.name, one.unit, one.rate) for one in recording.channels] == [
        ("EEG Fp1", "uV", Fraction(100)),
        ("EEG Fp2", "uV", Fraction(100)),
        ("Resp", "L", Fraction(8)),
    ]
    assert recording.start == datetime(2024, 2, 3, 4, 5, 6)
    assert list(recording.columns) == ["signal_100", "signal_8"]
    eeg = recording.columns["signal_100"]
    assert eeg.dtype == ("int32" if suffix == "bdf" else "int16")
    assert eeg.length == 500
    for row, signal in enumerate(expected.signals[:2]):
        assert np.array_equal(eeg.read(0, 500)[row], signal.digital)
        assert np.allclose(eeg.read(0, 500, units="physical")[row], signal.data, rtol=1e-12, atol=1e-12)
    assert np.array_equal(recording.columns["signal_8"].read(3, 37)[0], expected.signals[2].digital[3:37])
    assert [tuple(row.values()) for row in recording.events.to_pylist()] == [
        (one.onset, one.duration, one.text) for one in expected.annotations
    ]


@pytest.mark.parametrize("suffix", ["edf", "bdf"])
def test_any_stretch_of_any_channels(tmp_path, suffix):
    path = write(tmp_path / f"x.{suffix}", seconds=200)
    column = Recording.open(path).columns["signal_100"]
    whole = column.read(0, 20_000)
    draw = np.random.default_rng(1)
    for start, stop in np.sort(draw.integers(0, 20_001, (60, 2)), axis=1):
        assert np.array_equal(column.read(start, stop), whole[:, start:stop])
    second = Recording.open(path).pick("EEG Fp2").columns["signal"]
    assert np.array_equal(second.read(50, 19_950)[0], whole[1, 50:19_950])


def discontinuous(path: Path, onsets: list[str]) -> Path:
    """A file whose records begin at these times, made of one without gaps."""
    write(path, seconds=len(onsets))
    data = bytearray(path.read_bytes())
    data[192:197] = b"EDF+D"
    for number, onset in enumerate(onsets):
        old = f"+{number}\x14\x14".encode()
        place = data.index(old)
        rest = data[place + len(old) :]
        new = f"{onset}\x14\x14".encode()
        free = len(new) - len(old)
        zeros = rest.index(b"\0" * (1 + max(free, 0)))
        rest = rest[:zeros] + rest[zeros + free :] if free > 0 else rest
        data[place:] = new + rest
    path.write_bytes(data)
    return path


def test_discontinuous_files_have_gaps(tmp_path):
    recording = Recording.open(discontinuous(tmp_path / "gaps.edf", ["+0", "+1", "+5", "+6", "+9"]))
    eeg, resp = recording.columns.values()
    assert eeg.segments == ((0, 200), (200, 400), (400, 500))
    assert resp.segments == ((0, 16), (16, 32), (32, 40))
    assert eeg.onsets == resp.onsets == (0.0, 5.0, 9.0)
    assert recording.duration == 10
    assert eeg.position(5.5) == 250
    assert eeg.position(3) is None
    assert eeg.seconds(401) == 9.01


def test_records_in_the_wrong_order(tmp_path):
    path = discontinuous(tmp_path / "gaps.edf", ["+0", "+1", "+0", "+6", "+9"])
    with pytest.raises(DataError, match="record 2 begins before the one before it ends"):
        Recording.open(path)


def test_every_prefix_is_refused(tmp_path):
    data = write(tmp_path / "a.edf", seconds=1).read_bytes()
    assert require_refused_or_read(tmp_path / "cut.edf", prefixes(data)) == 0


@pytest.mark.parametrize("suffix", ["edf", "bdf"])
def test_flipped_bits_are_refused_or_read_as_edfio_reads_them(tmp_path, suffix):
    data = write(tmp_path / f"a.{suffix}", seconds=1).read_bytes()

    def expected(path):
        signals = reference(path).signals
        groups = {}
        for signal in signals:
            groups.setdefault(signal.samples_per_data_record, []).append(signal.data)
        return [np.stack(group) for group in groups.values()]

    assert require_refused_or_read(tmp_path / f"bad.{suffix}", flips(data), expected) > 50


def test_a_file_that_changes_is_refused(tmp_path):
    path = write(tmp_path / "a.edf")
    recording = Recording.open(path)
    write(path, seconds=6)
    with pytest.raises(DataError, match=r"a\.edf: has changed since its header was read"):
        recording.columns["signal_100"].read(0, 1)


def test_pickled_by_path(tmp_path):
    recording = Recording.open(write(tmp_path / "a.edf"))
    sent = pickle.dumps(recording)
    assert len(sent) < 5_000
    again = pickle.loads(sent)
    assert again == recording
    assert np.array_equal(again.columns["signal_100"].read(7, 90), recording.columns["signal_100"].read(7, 90))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_read_in_other_processes(tmp_path, method):
    column = Recording.open(write(tmp_path / "a.edf")).columns["signal_100"]
    expected = column.read(10, 490)
    with get_context(method).Pool(2) as pool:
        for array in pool.starmap(column.read, [(10, 490)] * 4):
            assert np.array_equal(array, expected)


def test_more_files_than_may_be_open(tmp_path):
    recordings = [Recording.open(write(tmp_path / f"{n}.edf", seconds=1, seed=n)) for n in range(100)]
    before = len(os.listdir("/proc/self/fd"))
    reads = [one.columns["signal_100"].read(0, 100) for one in recordings]
    assert len(os.listdir("/proc/self/fd")) - before <= 65
    assert all(
        np.array_equal(one.columns["signal_100"].read(0, 100), x) for one, x in zip(recordings, reads, strict=True)
    )
