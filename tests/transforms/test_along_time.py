"""`axis` of every transform along time: what an array with time last gives, with time anywhere."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch

from bridgeflow.bridge import describe, kind_of, to_numpy
from bridgeflow.errors import BridgeflowError, CannotStream, ConfigError, DataError
from bridgeflow.pipeline import Compose, Loader, SignalDataset
from bridgeflow.pipeline.streams import Chunk, Streams
from bridgeflow.signal import Butter, CausalFilter, Resampler, sosfilt, stream
from bridgeflow.testing import check_transform
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
    Normalize,
    PeakRate,
    Resample,
    RunningStandardize,
    SavgolFilter,
    Scale,
    Scipy,
    SignalFilter,
    Spectrogram,
    Standardize,
    Stft,
    ToArrow,
    ToTensor,
    Transform,
    Welch,
    Window,
    WindowLabels,
    registry,
)
from bridgeflow.transforms.along_time import TimeTransform
from bridgeflow.transforms.augment import Augmentation
from bridgeflow.transforms.spectral import SlicesLast

BUTTER = {"design": "butter", "cutoff": 20.0, "fs": 100.0, "order": 4}
SLICES = {"fs": 100.0, "nperseg": 16, "hop": 4}
LIVE = [
    SignalFilter(**BUTTER),
    SignalFilter(**BUTTER, initial="steady", nonfinite="reset"),
    SignalFilter(**BUTTER, nonfinite="interpolate", max_gap=5),
    SignalFilter(design="firwin", numtaps=11, cutoff=20.0, fs=100.0, mode="zero_phase"),
    FilterBank(bands=((5.0, 10.0), (10.0, 20.0)), fs=100.0, order=1),
    Resample(from_hz=360, to_hz=250),
    Decimate(q=3, ftype="fir"),
    Decimate(q=3, zero_phase=False),
    SavgolFilter(window_length=9, polyorder=2),
    SavgolFilter(window_length=9, polyorder=2, mode="mirror"),
    MedianFilter(kernel_size=5),
    Normalize(center=1.5, scale=3.0),
    RunningStandardize(alpha=0.1),
    Stft(**SLICES),
    Spectrogram(**SLICES, scale_to="psd"),
    MelSpectrogram(fs=100.0, n_fft=16, hop=4, n_mels=6),
    MelSpectrogram(fs=100.0, n_fft=16, hop=20, n_mels=6, convention="torchaudio"),
    Mfcc(fs=100.0, n_fft=16, hop=4, n_mels=6, n_mfcc=4, top_db=None),
    BandPower(fs=100.0, bands=((1, 8), (8, 50)), nperseg=16),
    Welch(fs=100.0, nperseg=16),
    Window(length=9, hop=4, pad="reflect"),
    Window(length=10),
    Window(length=10, hop=7, first=True),
    WindowLabels(length=9, hop=4, rule="center"),
]
WHOLE = [
    SignalFilter(**BUTTER, mode="zero_phase"),
    Detrend(),
    Hilbert(),
    Envelope(n_out=20),
    PeakRate(fs=100.0),
    Scipy("signal.medfilt", kernel_size=5),
    Scipy("stats.iqr"),
    Scipy("fft.rfft"),
    Scipy("signal.wiener"),
    Standardize(),
    Welch(fs=100.0, nperseg=16, average="median"),
    Mfcc(fs=100.0, n_fft=16, hop=4, n_mels=6, n_mfcc=4),
]
ALL = [*LIVE, *WHOLE, Istft(**SLICES)]


def noise(*shape, dtype="float64"):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def data_for(transform, shape=(2, 90, 3), axis=1):
    """Noise with time on this axis; for the inverse of spectra, spectra."""
    x = noise(*shape)
    return Stft(**SLICES, axis=axis)(x) if isinstance(transform, Istft) else x


def to_front(y, transform, axis):
    """A result with what stands in the place of time (and slices) at the end, as for time last."""
    if isinstance(transform, Window):
        if transform.first:
            return np.moveaxis(y, axis + 1, -1)
        return np.moveaxis(y, (axis, axis + 1), (-2, -1))
    if isinstance(transform, SlicesLast):
        return np.moveaxis(y, axis, -2)
    if isinstance(transform, FilterBank):
        return np.moveaxis(y, (axis, axis + 1), (-2, -1))
    if isinstance(transform, PeakRate) or (isinstance(transform, Scipy) and transform.function == "stats.iqr"):
        return y
    return np.moveaxis(y, axis, -1)


def test_every_transform_along_time_is_here():
    registered = {name: registry.lookup(name) for name in registry.names()}
    along = {name for name, one in registered.items() if issubclass(one, TimeTransform)}
    along -= {name for name, one in registered.items() if issubclass(one, Augmentation)}
    along -= {"NormalizeBy"}  # which looks at a label; see test_normalize
    assert along == {type(transform).__name__ for transform in ALL}
    for name in along:
        assert "axis" in registry.lookup(name).field_schema()["properties"]
        assert any(field.name == "axis" for field in fields(registry.lookup(name)))


@pytest.mark.parametrize("axis", [0, 1, 2, -2])
@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_what_time_last_gives(transform, axis):
    place = range(3)[axis]
    if isinstance(transform, Istft):
        x = np.moveaxis(noise(2, 3, 90), -1, place)
        spectra = Stft(**SLICES, axis=axis)(x)
        same = replace(transform, axis=axis, k1=90)
        np.testing.assert_allclose(same(spectra), x, atol=1e-9)
        return
    x = noise(2, 3, 90)
    expected = transform(x)
    moved = np.moveaxis(x, -1, place)
    same = replace(transform, axis=axis)
    for data in (moved, np.ascontiguousarray(moved), torch.from_numpy(np.ascontiguousarray(moved))):
        actual = same(data)
        assert kind_of(actual) == kind_of(data)
        np.testing.assert_array_equal(to_front(np.asarray(actual), transform, place), expected)
        promise = same.out_spec(describe(data))
        assert promise.admits(describe(actual))
        if promise.strides is not None and place != 2:
            assert promise.strides == describe(actual).strides
    rows = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(moved))
    if not (isinstance(transform, Window) and transform.first):
        np.testing.assert_array_equal(to_front(to_numpy(same(rows)), transform, place), expected)


@pytest.mark.parametrize("axis", [0, -2])
@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_contract(transform, axis):
    skip = {"batches"} if getattr(transform, "first", False) else set()
    x = np.ascontiguousarray(noise(96, 2, dtype="float32"))
    same = replace(transform, axis=axis)
    if isinstance(transform, Istft):
        x = Stft(**SLICES, axis=axis)(x).astype("complex64")
    check_transform(same, x, skip=skip, tolerance=1e-6 if isinstance(transform, Istft) else 0)
    check_transform(same, torch.from_numpy(x.copy()), skip=skip, tolerance=1e-6 if isinstance(transform, Istft) else 0)


@pytest.mark.parametrize("axis", [0, -2])
@pytest.mark.parametrize("transform", LIVE, ids=repr)
def test_live_along_an_axis(transform, axis):
    x = noise(90, 3)
    same = replace(transform, axis=axis)
    whole = same(x)
    for live in (stream(same), stream(transform, axis=axis)):
        pieces = [live.push(x[begin : begin + 7]) for begin in range(0, 90, 7)]
        pieces += [] if (last := live.flush()) is None else [last]
        np.testing.assert_array_equal(np.concatenate(pieces, axis=same.stream_axis), whole)
    streams = Streams(same)
    assert streams.axis == axis
    pieces = [
        streams.push(Chunk(data={"x": x[begin : begin + 7]}, start=begin, last=begin + 7 >= 90))["x"]
        for begin in range(0, 90, 7)
    ]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=same.stream_axis), whole)


@pytest.mark.parametrize("axis", [0, 1, -2])
def test_filters_that_are_no_transforms_live_along_an_axis(axis):
    x, lowpass = noise(90, 3) if axis != 1 else noise(2, 90, 3), Butter(order=2, cutoff=10.0, fs=100.0)
    place = range(x.ndim)[axis]
    cut = [np.take(x, range(begin, begin + 9), axis=place) for begin in range(0, 90, 9)]
    for run in (lowpass, CausalFilter(design=lowpass), Resampler(up=3, down=2)):
        expected = np.moveaxis(
            run(np.moveaxis(x, place, -1)) if callable(run) else sosfilt(lowpass, np.moveaxis(x, place, -1)), -1, place
        )
        for make in (np.asarray, torch.from_numpy):
            live = stream(run, axis=axis)
            pieces = [live.push(make(np.ascontiguousarray(part))) for part in cut]
            pieces += [] if (last := live.flush()) is None else [last]
            np.testing.assert_array_equal(np.concatenate([np.asarray(piece) for piece in pieces], axis=axis), expected)


def test_scipys_numbers():
    x = noise(200, 3).cumsum(0)
    sos = scipy.signal.butter(4, 20.0, fs=100.0, output="sos")
    np.testing.assert_allclose(SignalFilter(**BUTTER, axis=0)(x), scipy.signal.sosfilt(sos, x, axis=0), atol=1e-9)
    np.testing.assert_allclose(
        SignalFilter(**BUTTER, axis=0, mode="zero_phase")(x), scipy.signal.sosfiltfilt(sos, x, axis=0), atol=1e-9
    )
    np.testing.assert_allclose(Resample(from_hz=2, to_hz=3, axis=0)(x), scipy.signal.resample_poly(x, 3, 2, axis=0))
    np.testing.assert_allclose(Decimate(q=4, axis=0)(x), scipy.signal.decimate(x, 4, axis=0), atol=1e-9)
    np.testing.assert_allclose(Detrend(axis=0)(x), scipy.signal.detrend(x, axis=0), atol=1e-9)
    np.testing.assert_allclose(Hilbert(axis=0)(x), scipy.signal.hilbert(x, axis=0), atol=1e-9)
    np.testing.assert_allclose(
        SavgolFilter(window_length=9, polyorder=2, axis=0)(x), scipy.signal.savgol_filter(x, 9, 2, axis=0), atol=1e-9
    )
    np.testing.assert_array_equal(MedianFilter(kernel_size=5, axis=0)(x), scipy.signal.medfilt(x, (5, 1)))
    np.testing.assert_allclose(
        Welch(fs=100.0, nperseg=32, axis=0)(x), scipy.signal.welch(x, 100.0, nperseg=32, axis=0)[1], atol=1e-9
    )
    sft = scipy.signal.ShortTimeFFT(scipy.signal.get_window("hann", 16), 4, 100.0)
    np.testing.assert_allclose(Stft(**SLICES, axis=0)(x), sft.stft(x, axis=0), atol=1e-9)
    np.testing.assert_allclose(Spectrogram(**SLICES, axis=0)(x), sft.spectrogram(x, axis=0), atol=1e-9)
    spectra = sft.stft(x, axis=0)
    np.testing.assert_allclose(
        Istft(**SLICES, axis=0, k1=200)(spectra), sft.istft(spectra, k1=200, f_axis=0, t_axis=-1), atol=1e-9
    )
    np.testing.assert_array_equal(Window(length=20, hop=9, axis=0)(x)[3], x[27:47])
    np.testing.assert_array_equal(Window(length=20, hop=9, axis=0, first=True)(x)[3], x[27:47])


def test_gradients_flow_along_an_axis():
    x = torch.from_numpy(noise(40, 2)).requires_grad_()
    for transform in (
        SignalFilter(**BUTTER),
        Resample(from_hz=2, to_hz=3),
        Detrend(),
        Stft(**SLICES),
        Window(length=8),
    ):
        (ahead,) = torch.autograd.grad(replace(transform, axis=0)(x).abs().sum(), x)
        (expected,) = torch.autograd.grad(transform(x.T).abs().sum(), x)
        torch.testing.assert_close(ahead, expected)


@pytest.mark.parametrize("axis", [True, 0.0, "0", None, 1.5, (0,)])
@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_an_axis_that_is_none_is_refused_when_made(transform, axis):
    with pytest.raises(ConfigError, match=f"{type(transform).__name__}: axis must be an integer"):
        replace(transform, axis=axis)


@pytest.mark.parametrize("axis", [2, -3, 63])
@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_an_axis_that_data_do_not_have_is_an_error_by_name(transform, axis):
    same = replace(transform, axis=axis)
    calls = [lambda: same(noise(50, 3)), lambda: same.explain(noise(50, 3)), lambda: same(torch.zeros(50, 3))]
    if same.streams:
        calls += [
            lambda: stream(same).push(noise(50, 3)),
            lambda: Streams(same).push(Chunk(data=noise(50, 3), start=0)),
        ]
    for call in calls:
        with pytest.raises(DataError, match=rf"axis {axis} does not exist, x has \d axes|axes of frequency"):
            call()


def test_an_axis_that_no_array_can_have_is_refused_when_made():
    with pytest.raises(ConfigError, match="SignalFilter: axis must be from -64 to 63, got 1000000000000"):
        SignalFilter(**BUTTER, axis=10**12)


def test_an_axis_of_functions_and_streams_is_checked():
    with pytest.raises(ConfigError, match="axis must be an integer"):
        sosfilt(Butter(order=2, cutoff=10.0, fs=100.0), noise(9, 9), axis=False)
    with pytest.raises(ConfigError, match="stream: axis must be an integer"):
        stream(Butter(order=2, cutoff=10.0, fs=100.0), axis=True)
    with pytest.raises(ConfigError, match="say it in the transform"):
        stream(SignalFilter(**BUTTER, axis=0), axis=-2)
    with pytest.raises(ConfigError, match="in each stage of a composition"):
        stream(Compose([SignalFilter(**BUTTER)]), axis=0)
    with pytest.raises(DataError, match=r"axis 1 does not exist"):
        stream(Butter(order=2, cutoff=10.0, fs=100.0), axis=1).push(noise(9))
    live = stream(SignalFilter(**BUTTER, axis=0))
    live.push(noise(9, 3))
    with pytest.raises(DataError, match="shape"):
        live.push(noise(9, 2))


def test_numpy_integers_are_axes():
    assert SignalFilter(**BUTTER, axis=np.int64(-2)) == SignalFilter(**BUTTER, axis=-2)
    again = Transform.from_config(SignalFilter(**BUTTER, axis=np.int8(0)).to_config())
    assert again.axis == 0


@pytest.mark.parametrize("axis", [0, -2])
@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_a_batch_is_its_samples(transform, axis):
    """Through a loader, which stacks samples along a new first axis: an axis from the front is a sample's own."""
    same = replace(transform, axis=axis)
    x = np.stack([noise(96, 2), noise(96, 2) * 2 + 1, noise(96, 2)[::-1]])
    if isinstance(transform, Istft):
        x = np.stack([Stft(**SLICES, axis=axis)(one) for one in x])
    dataset = SignalDataset({"x": x, "y": np.arange(3)}, replace(same, keys=("x",)))
    (batch,) = Loader(dataset, 3)
    for one, actual in zip(x, np.asarray(batch["x"]), strict=True):
        np.testing.assert_array_equal(actual, same(one))
        np.testing.assert_array_equal(actual, np.asarray(dataset[0]["x"])) if one is x[0] else None


def test_compositions_along_an_axis_stream_and_keep_their_places():
    x = noise(300, 2)
    pipeline = Compose(
        [
            SignalFilter(**BUTTER, axis=0),
            Scale(scale=2.0),
            Resample(from_hz=2, to_hz=3, axis=-2),
            Window(length=32, hop=20, axis=0, pad="reflect"),
            Detrend(axis=-2),
            ToTensor(),
        ]
    )
    assert pipeline.streams
    assert pipeline.time_axis == 0
    streams, whole = Streams(pipeline), pipeline(x)
    assert whole.shape == (22, 32, 2)
    pieces = [streams.push(Chunk(data=x[at : at + 37], start=at, last=at + 37 >= 300)) for at in range(0, 300, 37)]
    np.testing.assert_array_equal(np.concatenate([np.asarray(piece) for piece in pieces]), whole)
    for step, stage in zip(pipeline.explain(x).exchanges, pipeline.stages, strict=True):
        actual = stage(x)
        assert step.target.admits(describe(actual))
        x = actual


def test_what_comes_after_is_foretold():
    """A result is new memory in C order, so that what follows can share it."""
    x = noise(90, 3)
    steps = Compose([SignalFilter(**BUTTER, axis=0), ToTensor(), Window(length=10, axis=0), ToArrow()]).explain(x)
    assert [step.action for step in steps.exchanges] == ["copy", "view", "view", "copy"]
    assert SignalFilter(**BUTTER, axis=0)(x).flags.c_contiguous


def test_pieces_across_which_a_stage_looks_are_refused():
    x = noise(90, 3)
    windows = Window(length=10, axis=0)
    across = Compose([windows, SignalFilter(**BUTTER, axis=-3)])
    assert "looks across" not in "".join(across.plan(describe(x), axis=0).obstacles)
    for pipeline, axis in [(Compose([Detrend(axis=-2), Hilbert(axis=0)]), 0), (Compose([Istft(**SLICES)]), 1)]:
        data = x if axis == 0 else Stft(**SLICES)(noise(2, 90))
        with pytest.raises(CannotStream, match=r"Detrend|looks across the pieces"):
            pipeline.init_state(describe(data), axis=axis)


def test_labels_along_an_axis():
    labels = np.random.default_rng(0).integers(0, 3, (90, 2))
    actual = WindowLabels(length=10, hop=5, axis=0)(labels)
    np.testing.assert_array_equal(actual, WindowLabels(length=10, hop=5)(labels.T).T)


def test_single_axes_and_lists():
    x = noise(90)
    for axis in (0, -1):
        np.testing.assert_array_equal(SignalFilter(**BUTTER, axis=axis)(x), SignalFilter(**BUTTER)(x))
        actual = SignalFilter(**BUTTER, axis=axis)(pa.array(x))
        assert kind_of(actual) == "arrow"
    rows = pa.array(noise(90, 3).tolist())
    with pytest.raises(BridgeflowError):
        SignalFilter(**BUTTER, axis=2)(rows)
