"""`nonfinite=`, `max_gap=` and `keep_gaps=` of every transform that has them; and what the lag of a stream is."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import ConfigError, NonFinite
from bridgeflow.pipeline import Compose
from bridgeflow.pipeline.streams import Chunk, Streams
from bridgeflow.policy import words
from bridgeflow.signal import stream
from bridgeflow.transforms import (
    BandPower,
    Decimate,
    Detrend,
    Envelope,
    FilterBank,
    Hilbert,
    Istft,
    MedianFilter,
    MelSpectrogram,
    Mfcc,
    Resample,
    RunningStandardize,
    SavgolFilter,
    Scale,
    Scipy,
    SignalFilter,
    Spectrogram,
    Stft,
    Transform,
    Welch,
    Window,
    WindowLabels,
    registry,
)
from bridgeflow.transforms.gaps import GapTransform, _words_of

BUTTER = {"design": "butter", "cutoff": 20.0, "fs": 100.0, "order": 2}
SLICES = {"fs": 100.0, "nperseg": 16, "hop": 5}
SPREAD = [
    SignalFilter(**BUTTER),
    SignalFilter(**BUTTER, mode="zero_phase"),
    SignalFilter(design="firwin", numtaps=11, cutoff=20.0, fs=100.0),
    FilterBank(bands=((5.0, 10.0), (10.0, 20.0)), fs=100.0, order=1),
    FilterBank(bands=((5.0, 10.0),), fs=100.0, order=1, mode="zero_phase"),
    Resample(from_hz=360, to_hz=250),
    Resample(from_hz=2, to_hz=3, padtype="line"),
    Decimate(q=3),
    Decimate(q=3, ftype="fir"),
    Decimate(q=3, zero_phase=False),
    Detrend(),
    Detrend(type="constant"),
    Hilbert(),
    Envelope(),
    Envelope(n_out=50),
    Welch(fs=100.0, nperseg=16),
    Welch(fs=100.0, nperseg=16, average="median"),
    Stft(**SLICES),
    Spectrogram(**SLICES),
    MelSpectrogram(fs=100.0, n_fft=16, hop=4, n_mels=6),
    Mfcc(fs=100.0, n_fft=16, hop=4, n_mels=6, n_mfcc=4, top_db=None),
    BandPower(fs=100.0, bands=((1, 8), (8, 50)), nperseg=16),
    RunningStandardize(alpha=0.1),
]
LOCAL = [
    SavgolFilter(window_length=9, polyorder=2),
    MedianFilter(kernel_size=9),
    Scipy("signal.medfilt", kernel_size=5),
]
LIVE = [one for one in SPREAD + LOCAL if one.streams]
LENGTH = 120


def noise(*shape, dtype="float64"):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def with_gaps(x, *gaps):
    x = x.copy()
    for row, begin, end in gaps:
        x[row, begin:end] = np.nan if begin % 2 else np.inf
    return x


def filled(x):
    """Along the line between neighbours, by NumPy."""
    places, y = np.arange(x.shape[-1]), x.copy()
    for row in y.reshape(-1, x.shape[-1]):
        good = np.isfinite(row)
        row[~good] = np.interp(places[~good], places[good], row[good])
    return y


def chunked(live, x, cuts):
    bounds = [0, *sorted(cuts), x.shape[-1]]
    pieces = [live.push(x[..., begin:end]) for begin, end in pairwise(bounds)]
    pieces += [] if (last := live.flush()) is None else [last]
    return np.concatenate([to_numpy(piece) for piece in pieces], axis=-1)


def test_every_transform_with_a_policy_is_here():
    named = {name for name in registry.names() if issubclass(registry.lookup(name), GapTransform)}
    assert named == {type(one).__name__ for one in SPREAD + LOCAL} | {"Istft"}
    for name in named:
        schema = registry.lookup(name).field_schema()["properties"]
        assert tuple(schema["nonfinite"]["enum"]) == words(_words_of(registry.lookup(name)))
        assert {"max_gap", "keep_gaps"} <= set(schema)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy, pa.FixedShapeTensorArray.from_numpy_ndarray])
@pytest.mark.parametrize("transform", SPREAD, ids=repr)
def test_what_spreads_is_refused_with_row_and_sample(transform, make, bad):
    x = noise(3, LENGTH)
    x[1, 70] = bad
    with pytest.raises(NonFinite, match=r"row 1 is -?(nan|inf) at sample 70; clean the data, or choose nonfinite="):
        transform(make(x))
    x[1, 70] = 0
    transform(make(x))


@pytest.mark.parametrize("transform", LIVE, ids=repr)
def test_streams_name_the_sample_of_the_recording(transform):
    transform = replace(transform, nonfinite="raise")
    x = noise(2, LENGTH)
    x[1, 70] = np.nan
    live = stream(transform)
    live.push(x[:, :33])
    live.push(x[:, 33:64])
    with pytest.raises(NonFinite, match="row 1 is nan at sample 70"):
        live.push(x[:, 64:])


@pytest.mark.parametrize("transform", LOCAL, ids=repr)
def test_what_stays_local_goes_through(transform):
    """NaN where a window holds it, and what would be there without it everywhere else."""
    x = noise(2, LENGTH)
    expected = transform(x)
    x[1, 70] = np.nan
    actual = transform(x)
    far = np.ones_like(x, bool)
    far[1, 70 - 4 : 70 + 5] = False
    np.testing.assert_array_equal(actual[far], expected[far])
    with pytest.raises(NonFinite, match="row 1 is nan at sample 70"):
        replace(transform, nonfinite="raise")(x)


@pytest.mark.parametrize("transform", SPREAD + LOCAL, ids=repr)
def test_propagate_is_scipys_and_counts_pay_nothing(transform):
    x = noise(2, LENGTH)
    clean = transform(x)
    x[1, 70] = np.nan
    actual = replace(transform, nonfinite="propagate")(x)
    np.testing.assert_array_equal(actual[0], clean[0])
    if not isinstance(transform, Scipy):
        assert not np.isfinite(actual[1]).all()
    counts = (noise(2, LENGTH) * 100).astype("int16")
    np.testing.assert_array_equal(
        replace(transform, nonfinite="interpolate", max_gap=3)(counts),
        replace(transform, nonfinite="propagate")(counts),
    )


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "complex128", "longdouble"])
@pytest.mark.parametrize("transform", SPREAD + LOCAL, ids=repr)
def test_gaps_are_filled_on_the_line_between_neighbours(transform, dtype):
    x = noise(3, LENGTH, dtype=dtype)
    dirty = with_gaps(x, (0, 0, 3), (0, 11, 12), (1, 40, 45), (2, 90, 93), (2, 117, 120))
    try:
        transform(x)
    except ValueError:
        return  # a type that it does not take, whatever stands in it
    same = replace(transform, nonfinite="interpolate", max_gap=5)
    expected = transform(filled(dirty.astype("complex128" if dtype == "complex128" else "f8")).astype(dtype))
    actual = same(dirty)
    assert actual.dtype == expected.dtype
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, atol=float(scale) * (2e-3 if dtype == "float16" else 1e-6), rtol=1e-6)


@pytest.mark.parametrize("transform", SPREAD + LOCAL, ids=repr)
def test_longer_gaps_and_rows_of_nothing_raise(transform):
    same = replace(transform, nonfinite="interpolate", max_gap=4)
    with pytest.raises(NonFinite, match=r"row 1 is not finite from sample 41 on, for 5 samples; max_gap=4"):
        same(with_gaps(noise(2, LENGTH), (1, 41, 46)))
    if transform.streams:
        live = stream(same)
        live.push(with_gaps(noise(2, LENGTH), (1, 41, 46))[:, :44])
        with pytest.raises(NonFinite, match=r"row 1 is not finite from sample 41 on, for 5 samples"):
            live.push(with_gaps(noise(2, LENGTH), (1, 41, 46))[:, 44:])
    same = replace(transform, nonfinite="interpolate", max_gap=LENGTH)
    with pytest.raises(NonFinite, match="row 0 has no finite sample"):
        same(with_gaps(noise(2, LENGTH), (0, 1, LENGTH), (0, 0, 1)))


@settings(max_examples=25)
@given(data=st.data(), keep=st.booleans(), make=st.sampled_from([np.asarray, torch.from_numpy]))
@pytest.mark.parametrize("transform", LIVE, ids=repr)
def test_chunks_are_the_whole(transform, data, keep, make):
    """Gaps that span chunks, rows with gaps of their own, gaps at both ends: the same bits, and NaN put back alike."""
    keep = keep and not isinstance(transform, (Welch, BandPower))
    same = replace(transform, nonfinite="interpolate", max_gap=6, keep_gaps=keep)
    gaps = data.draw(st.lists(st.tuples(st.integers(0, 1), st.integers(0, LENGTH - 1), st.integers(1, 6)), max_size=5))
    x = noise(2, LENGTH)
    for row, begin, length in gaps:
        x[row, begin : begin + length] = np.nan
    cuts = data.draw(st.lists(st.integers(0, LENGTH), max_size=8))
    try:
        whole = to_numpy(same(make(x)))
    except NonFinite:  # gaps that meet are longer
        with pytest.raises(NonFinite):
            chunked(stream(same), make(x), cuts)
        return
    np.testing.assert_array_equal(chunked(stream(same), make(x), cuts), whole)


@pytest.mark.parametrize("transform", LIVE, ids=repr)
@pytest.mark.parametrize("keep", [False, True], ids=["filled", "put back"])
def test_a_gap_that_another_row_divides_is_filled_from_its_own_ends(transform, keep):
    """Row 1 is open where the first chunk ends, within the gap of row 0, which is returned in two parts."""
    keep = keep and not isinstance(transform, (Welch, BandPower))
    same = replace(transform, nonfinite="interpolate", max_gap=6, keep_gaps=keep)
    x = with_gaps(noise(2, LENGTH), (0, 25, 29), (1, 28, 30), (0, 34, 39), (1, 36, 41), (0, 40, 44))
    for cuts in ([30], [30, 38, 40], [27, 29, 30, 37, 41, 43]):
        np.testing.assert_array_equal(chunked(stream(same), x, cuts), to_numpy(same(x)))


@pytest.mark.parametrize(
    "transform", [Resample(from_hz=360, to_hz=250), SignalFilter(**BUTTER), Stft(**SLICES)], ids=repr
)
def test_streams_with_open_gaps_are_written_down(transform):
    same = replace(transform, nonfinite="interpolate", max_gap=6, keep_gaps=True)
    x = with_gaps(noise(2, LENGTH), (1, 41, 46))
    whole, streams = same(x), Streams(same)
    first = streams.push(Chunk(data=x[:, :43], start=0))
    again = Streams(same)
    again.load_state_dict(streams.state_dict())
    rest = again.push(Chunk(data=x[:, 43:], start=43, last=True))
    np.testing.assert_array_equal(np.concatenate([first, rest], axis=-1), whole)
    live, other = stream(same), stream(same)
    first = live.push(x[:, :43])
    other.load_state_dict(live.state_dict())
    pieces = [first, other.push(x[:, 43:])]
    pieces += [] if (last := other.flush()) is None else [last]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=-1), whole)


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy, pa.FixedShapeTensorArray.from_numpy_ndarray])
@pytest.mark.parametrize(
    "transform",
    [one for one in SPREAD + LOCAL if not isinstance(one, (Welch, BandPower)) and getattr(one, "n_out", None) is None],
    ids=repr,
)
def test_gaps_are_put_back_where_asked(transform, make):
    x = with_gaps(noise(2, LENGTH), (1, 41, 45))
    without = replace(transform, nonfinite="interpolate", max_gap=4)
    actual = replace(without, keep_gaps=True)(make(x))
    assert kind_of(actual) == kind_of(make(x))
    actual, plain = to_numpy(actual), to_numpy(without(make(x)))
    marked = np.isnan(actual)
    assert np.isfinite(plain).all()
    np.testing.assert_array_equal(actual[~marked], plain[~marked])
    assert not marked[0].any()
    if isinstance(transform, Stft):
        begins = (transform.sft.p_min + np.arange(actual.shape[-1])) * 5 - 8
        expected = np.broadcast_to((begins < 45) & (begins + 16 > 41), actual[1].shape)
    elif isinstance(transform, MelSpectrogram):
        begins = np.arange(actual.shape[-1]) * 4 - 8
        expected = np.broadcast_to((begins < 45) & (begins + 16 > 41), actual[1].shape)
    else:
        rate = transform.rate_factor
        expected = np.zeros(actual.shape[-1], bool)
        for place in range(actual.shape[-1]):
            at, before = Fraction(place) / rate, Fraction(place - 1) / rate
            samples = {*range(math.floor(before) + 1, math.floor(at) + 1), math.floor(at), math.ceil(at)}
            expected[place] = bool(samples & set(range(41, 45)))
    np.testing.assert_array_equal(marked[1], np.broadcast_to(expected, marked[1].shape))


def test_gradients_flow_to_the_neighbours():
    x = torch.tensor([0.0, 1.0, float("nan"), float("nan"), 4.0, 5.0], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    actual = Scale(scale=1.0)(Detrend(type="constant", nonfinite="interpolate", max_gap=2)(x))
    (grad,) = torch.autograd.grad((actual * weights).sum(), x)
    np.testing.assert_allclose(
        grad, np.array([0, 2 / 3, 0, 0, 1 / 3, 0]) - np.array([1, 2, 0, 0, 2, 1]) / 6, atol=1e-12
    )


def test_reset_where_it_means_something():
    x = with_gaps(noise(2, LENGTH), (1, 41, 45))
    for options in ({"zero_phase": False}, {}):
        actual = Decimate(q=3, **options, nonfinite="reset")(x)
        np.testing.assert_array_equal(actual[1, 15:], Decimate(q=3, **options)(x[1:, 45:])[0])
        assert np.isnan(actual[1, 14])
        assert np.isfinite(np.delete(actual, 14, axis=1)).all()
    live = stream(Decimate(q=3, zero_phase=False, nonfinite="reset"))
    np.testing.assert_array_equal(chunked(live, x, (10, 43, 60)), Decimate(q=3, zero_phase=False, nonfinite="reset")(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Detrend(nonfinite="reset"), "Detrend: nonfinite must be one of 'raise', 'propagate', 'interpolate'"),
        (
            lambda: Decimate(q=2, ftype="fir", nonfinite="reset"),
            "Decimate: nonfinite='reset' starts an IIR filter",
        ),
        (lambda: Istft(**SLICES, nonfinite="interpolate", max_gap=1), "Istft: nonfinite must be one of"),
        (lambda: Hilbert(nonfinite="fill"), "Hilbert: nonfinite must be one of"),
        (lambda: Hilbert(nonfinite="interpolate"), "needs max_gap, the longest gap to fill"),
        (lambda: Hilbert(nonfinite="interpolate", max_gap=0), "an integer of at least 1"),
        (lambda: Hilbert(nonfinite="interpolate", max_gap=True), "an integer of at least 1"),
        (lambda: Hilbert(nonfinite="interpolate", max_gap=2.5), "an integer of at least 1"),
        (lambda: Hilbert(max_gap=3), "max_gap is for nonfinite='interpolate'"),
        (lambda: Hilbert(keep_gaps=True), "keep_gaps is for nonfinite='interpolate'"),
        (lambda: Hilbert(nonfinite="interpolate", max_gap=3, keep_gaps=1), "keep_gaps must be true or false"),
        (lambda: Welch(nonfinite="interpolate", max_gap=3, keep_gaps=True), "needs a result along time"),
        (lambda: Envelope(n_out=9, nonfinite="interpolate", max_gap=3, keep_gaps=True), "needs a result along time"),
        (lambda: Scipy("stats.iqr", nonfinite="interpolate", max_gap=3, keep_gaps=True), "needs a result along time"),
        (lambda: Transform.from_config({"Detrend": {"nonfinite": "reset"}}), "Detrend: Input should be 'raise'"),
    ],
)
def test_policies_that_do_not_fit_are_refused_when_made(make, message):
    with pytest.raises((ConfigError, ValueError), match=message):
        make()


# --- lags ---

LAGS = [
    *LIVE,
    SignalFilter(**BUTTER, mode="zero_phase", tolerance=1e-3),
    SignalFilter(design="firwin", numtaps=31, cutoff=20.0, fs=100.0, mode="zero_phase"),
    Resample(from_hz=44100, to_hz=16000),
    Resample(from_hz=2, to_hz=7),
    Resample(from_hz=2, to_hz=2),
    Resample(from_hz=1, to_hz=3, window=(1.0, 2.0, 1.0)),
    Decimate(q=4, ftype="fir", n=17),
    SavgolFilter(window_length=11, polyorder=2, mode="mirror"),
    SavgolFilter(window_length=1, polyorder=0),
    MedianFilter(kernel_size=1),
    Stft(fs=100.0, nperseg=64, hop=9),
    Stft(fs=100.0, nperseg=8, hop=8),
    Window(length=30, hop=7),
    Window(length=7, hop=30),
    WindowLabels(length=30, hop=7),
    Resample(from_hz=360, to_hz=250, nonfinite="interpolate", max_gap=9),
    Compose([Resample(from_hz=300, to_hz=100), SignalFilter(**BUTTER), MedianFilter(kernel_size=9)]),
    Compose([Resample(from_hz=1, to_hz=3), MedianFilter(kernel_size=9), Decimate(q=3, ftype="fir"), Scale(scale=2.0)]),
    Compose([MedianFilter(kernel_size=9, keys=("x",)), SavgolFilter(window_length=9, polyorder=2, keys="*")]),
    Compose([Resample(from_hz=2, to_hz=1), Window(length=10, hop=4), Detrend()]),
]


@pytest.mark.parametrize("transform", LAGS, ids=repr)
def test_the_lag_is_what_can_be_counted(transform):
    """At least the largest lag that is seen, and by no more than a few samples more."""
    if isinstance(transform, (Welch, BandPower)):
        pytest.skip("nothing comes out before the end")
    rate = Fraction(1)
    for stage in getattr(transform, "stages", (transform,)):
        rate *= getattr(stage, "rate_factor", Fraction(1))
    keyed = isinstance(transform, Compose) and any(getattr(stage, "keys", None) for stage in transform.stages)
    streams, outputs, most = Streams(transform), 0, 0.0
    axis = transform.stream_axis if not isinstance(transform, Compose) else 0 if keyed else None
    for inputs in range(1, 600):
        x = np.zeros(1)
        actual = streams.push(Chunk(data={"x": x} if keyed else x, start=inputs - 1))
        actual = actual["x"] if keyed else actual
        outputs += actual.shape[0 if axis is None else axis]
        most = max(most, float(inputs - outputs / rate))
    assert streams.latency == transform.latency
    assert most <= transform.latency
    slack = 2 / rate + 1 if not isinstance(transform, Compose) else 4 / rate + 1
    if isinstance(transform, SignalFilter) and transform.tolerance is not None:
        slack = transform.latency
    if isinstance(transform, Stft):
        slack += transform.nperseg  # counted from the middle of the first slice, which lies before the recording
    assert transform.latency <= most + slack + (transform.max_gap if getattr(transform, "max_gap", None) else 0)


def test_the_lag_of_the_inverse_of_spectra():
    stft, istft = Stft(fs=100.0, nperseg=32, hop=5), Istft(fs=100.0, nperseg=32, hop=5)
    live, outputs, most = stream(istft), 0, 0.0
    spectra = stft(noise(400))
    for slices in range(1, 60):
        outputs += len(live.push(spectra[:, slices - 1 : slices]))
        most = max(most, slices - outputs / 5)
    assert most <= istft.latency <= most + 2
    assert Compose([stft, istft]).latency == stft.latency + 5 * istft.latency
