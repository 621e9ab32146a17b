"""What a report can measure: each side at its own rate, or an error that names the side before anything runs."""

import numpy as np
import pytest

from bridgeflow.bridge import describe
from bridgeflow.errors import DataError
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.report import plan_sides
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms import (
    Decimate,
    Envelope,
    Hilbert,
    Istft,
    PeakRate,
    Resample,
    SavgolFilter,
    Scale,
    SignalFilter,
    Spectrogram,
    Stft,
    Welch,
    Window,
)

FS, SAMPLES = 1000.0, 20_000
NOTCH = SignalFilter(design="notch", w0=50.0, Q=30.0, fs=FS)
CUT = {"nperseg": 64, "hop": 16}
SPECS = {"v": ArraySpec(kind="numpy", dtype="float64", shape=(SAMPLES,), fs=FS)}
TWO = {**SPECS, "w": SPECS["v"]}


def sides(*stages, name="v", before=None, frequency=None, seconds=None, specs=None):
    if specs is None:
        specs = TWO if any(getattr(one, "keys", None) == ("w",) for one in stages) else SPECS
    found = plan_sides(Compose(stages), specs, name=name, before=before)
    if frequency is not None:
        found.require_line(frequency)
    if seconds is not None:
        found.require_stretch(seconds)
    return found


@pytest.mark.parametrize(
    ("stages", "before", "rates"),
    [
        ([NOTCH], None, (1000, 1000)),
        ([NOTCH, Resample(from_hz=1000, to_hz=250)], None, (1000, 250)),
        ([Resample(from_hz=1000, to_hz=250), Decimate(q=5)], "Resample", (250, 50)),
        ([Window(length=500)], None, (1000, 1000)),
        ([Window(length=500, first=True), Resample(from_hz=1000, to_hz=500)], "Window", (1000, 500)),
        ([Envelope(n_out=200)], None, (1000, 10)),
        ([Stft(**CUT, fs=FS), Istft(**CUT, fs=FS)], None, (1000, 1000)),
        ([Resample(from_hz=1000, to_hz=250, keys=("w",))], None, (1000, 1000)),
    ],
)
def test_each_side_has_its_own_rate(stages, before, rates):
    found = sides(*stages, before=before)
    assert (found.before_fs, found.after_fs, found.one_unit) == (*rates, True)


@pytest.mark.parametrize(
    ("stages", "before", "one"),
    [
        ([NOTCH], None, True),
        ([Scale(offset=3.0), NOTCH], None, True),
        ([Scale(scale=0.005), NOTCH], None, False),
        ([Scale(scale=0.005), NOTCH], "Scale", True),
        ([SignalFilter(design="notch", w0=50.0, Q=30.0, fs=FS, scale=0.1)], None, False),
        ([SavgolFilter(window_length=9, polyorder=2, deriv=1)], None, False),
        ([Scale(scale=0.005, keys=("w",)), Compose([Scale(keys=("v",))])], None, True),
    ],
)
def test_whether_both_sides_are_in_one_unit(stages, before, one):
    assert sides(*stages, before=before).one_unit is one


@pytest.mark.parametrize(
    ("stages", "options", "problem"),
    [
        (
            [PeakRate(fs=FS)],
            {},
            r"'v' as it is after stage 1 \(PeakRate\) has no samples along time; leave the picture",
        ),
        ([Window(length=100), PeakRate(fs=FS)], {}, r"after stage 2 \(PeakRate\) has no sampling rate"),
        ([Welch(fs=FS, nperseg=64)], {}, r"after stage 1 \(Welch\) has no sampling rate"),
        ([Stft(**CUT, fs=FS)], {}, r"after stage 1 \(Stft\) is not a signal along time"),
        ([Spectrogram(**CUT, fs=FS)], {}, r"after stage 1 \(Spectrogram\) is not a signal along time"),
        ([Hilbert()], {}, r"after stage 1 \(Hilbert\) holds complex128, and what is measured are real numbers"),
        ([Stft(**CUT, fs=FS), Istft(**CUT, fs=FS)], {"before": "Stft"}, "set `before` to an earlier stage"),
        ([Window(length=30_000)], {}, r"after stage 1 \(Window\) has no samples along time"),
        ([Window(length=500)], {"frequency": 60.0}, "hum: needs a recording of at least 2 s, got 0.5 s"),
        ([Resample(from_hz=1000, to_hz=100)], {"frequency": 60.0}, "between 3 and 47 Hz can be measured at fs 100"),
        ([NOTCH], {"seconds": (20.0, 24.0)}, "begins at 20 s, and 'v' before is 20 s long"),
        ([Window(length=5000)], {"seconds": (6.0, 8.0)}, "begins at 6 s, and 'v' after is 5 s long"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_its_stage(stages, options, problem):
    with pytest.raises(DataError, match=problem):
        sides(*stages, **options)


def test_what_was_read_must_have_a_rate_and_real_numbers():
    with pytest.raises(DataError, match=r"'v' as it is read has no sampling rate: .*set `fs` of the source"):
        sides(specs={"v": describe(np.zeros(100))})
    with pytest.raises(DataError, match="'v' as it is read holds complex128"):
        sides(specs={"v": describe(np.zeros(100, complex))})
    with pytest.raises(DataError, match="no column 'x' as it is read"):
        sides(name="x")


def test_after_a_plain_callable_nothing_is_foreseen():
    assert sides(lambda columns: columns) is None
