"""Every registered transform keeps the contract, with its defaults and with its other options."""

from __future__ import annotations

import io
import multiprocessing
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from bridgeflow.pipeline import Compose
from bridgeflow.testing import check_transform
from bridgeflow.transforms import (
    BandPower,
    Cast,
    Clone,
    Decimate,
    DecodeImages,
    Detach,
    Detrend,
    Envelope,
    FilterBank,
    Hilbert,
    Istft,
    LeafTransform,
    LogAmplitude,
    Magnitude,
    MedianFilter,
    MelSpectrogram,
    Mfcc,
    MixChannels,
    Normalize,
    NormalizeBy,
    PeakRate,
    PickChannels,
    Reference,
    Resample,
    RunningStandardize,
    SavgolFilter,
    Scale,
    Scipy,
    SharedView,
    SignalFilter,
    Spectrogram,
    Standardize,
    Stft,
    ToArrow,
    ToDevice,
    ToNumpy,
    ToTensor,
    Transform,
    Welch,
    Window,
    WindowLabels,
    registry,
)
from tests.transforms.augmentations import AUGMENTATIONS, MIXES
from tests.transforms.window_stages import WINDOW_STAGES

BUTTER = {"design": "butter", "cutoff": 20.0, "fs": 100.0, "order": 4}
EXAMPLES: dict[str, list[Transform]] = {
    "Cast": [
        Cast(dtype="float64"),
        Cast(dtype="float32"),
        Cast(dtype="float16"),
        Cast(dtype="int16", on_overflow="saturate", rounding="nearest"),
        Cast(dtype="complex64"),
        Cast(dtype="bool"),
    ],
    "Clone": [Clone()],
    "Compose": [
        Compose([]),
        Compose([Scale(scale=2.0), ToTensor()]),
        Compose([ToTensor(), Compose([Cast(dtype="float64"), ToNumpy()]), SignalFilter(**BUTTER)]),
    ],
    "Decimate": [Decimate(q=3, ftype="fir"), Decimate(q=3, zero_phase=False), Decimate(q=3, n=2)],
    "Detach": [Detach()],
    "Detrend": [Detrend(), Detrend(type="constant")],
    "Envelope": [Envelope(), Envelope(bp_in=(None, None), n_out=20)],
    "FilterBank": [
        FilterBank(bands=((None, 10.0), (10.0, 20.0), (20.0, None)), fs=100.0, order=2),
        FilterBank(bands=((10.0, 20.0), (30.0, 40.0)), fs=100.0, order=1, mode="zero_phase"),
        FilterBank(sos=(((1.0, 1.0, 0.0, 1.0, -0.5, 0.0),),), initial="steady", nonfinite="reset"),
    ],
    "Hilbert": [Hilbert()],
    "Istft": [Istft(fs=1.0, nperseg=2, hop=1)],
    "BandPower": [
        BandPower(fs=100.0, bands=((1, 8), (8, 50)), nperseg=16),
        BandPower(fs=100.0, bands=((1, 30),), nperseg=16, relative=True, average="median"),
    ],
    "LogAmplitude": [LogAmplitude(), LogAmplitude(log="ln", floor=1e-6), LogAmplitude(of="amplitude", ref=2.0)],
    "MelSpectrogram": [
        MelSpectrogram(fs=100.0, n_fft=16, hop=4, n_mels=6),
        MelSpectrogram(fs=100.0, n_fft=15, hop=7, n_mels=6, convention="torchaudio", power=1.0, center=False),
    ],
    "Mfcc": [
        Mfcc(fs=100.0, n_fft=16, hop=4, n_mels=6, n_mfcc=4, convention="torchaudio"),
        Mfcc(fs=100.0, n_fft=16, hop=4, n_mels=6, n_mfcc=4, top_db=None),
        Mfcc(fs=100.0, n_fft=16, hop=4, n_mels=6, n_mfcc=4, log="ln", lifter=10),
    ],
    "Magnitude": [Magnitude(), Magnitude(picks=0)],
    "MixChannels": [MixChannels(matrix=((1, 2), (0, 1), (-0.5, 0)), picks=(0, 1))],
    "Normalize": [Normalize(center=1.5, scale=3.0), Normalize(center=0.25, scale=0.0)],
    "PickChannels": [PickChannels(picks=(1, 0)), PickChannels(picks=-1)],
    "Reference": [Reference(), Reference(to=1), Reference(pairs=((0, 1),))],
    "MedianFilter": [MedianFilter(), MedianFilter(kernel_size=11)],
    "PeakRate": [PeakRate(fs=100.0), PeakRate(fs=100.0, height=0.5, distance=0.05, by="interval")],
    "Resample": [Resample(from_hz=360, to_hz=250), Resample(from_hz=2, to_hz=3, padtype="line")],
    "SavgolFilter": [SavgolFilter(window_length=9, polyorder=2), SavgolFilter(window_length=6, polyorder=1)],
    "RunningStandardize": [RunningStandardize(alpha=0.1), RunningStandardize(alpha=0.5, divide=False)],
    "Scale": [Scale(scale=0.005, offset=-5.12), Scale(dtype="float64"), Scale(scale=3.0, dtype="float16")],
    "Scipy": [Scipy("signal.medfilt", kernel_size=5), Scipy("stats.iqr"), Scipy("fft.rfft"), Scipy("signal.wiener")],
    "SharedView": [
        SharedView(),
        SharedView(copy="always"),
        SharedView(writable=False),
        SharedView(across="process"),
        SharedView(across="process", copy="always", writable=False),
    ],
    "SignalFilter": [SignalFilter(**BUTTER), SignalFilter(**BUTTER, mode="zero_phase")],
    "Spectrogram": [
        Spectrogram(fs=100.0, nperseg=16, hop=4, scale_to="psd"),
        Spectrogram(fs=1.0, hop=3, win=(1.0, 2.0, 1.0)),
    ],
    "Standardize": [Standardize(), *(Standardize(method=one) for one in ("robust", "min-max", "peak", "rms"))],
    "Stft": [Stft(fs=100.0, nperseg=16, hop=4), Stft(fs=100.0, nperseg=16, hop=4, padding="even")],
    "ToArrow": [ToArrow(), ToArrow(copy="always")],
    "ToDevice": [ToDevice(device="cpu"), ToDevice(device="meta"), ToDevice(device="cpu", non_blocking=True)],
    "ToNumpy": [ToNumpy(), ToNumpy(copy="always", writable=True), ToNumpy(writable=False)],
    "ToTensor": [ToTensor(), ToTensor(copy="always"), ToTensor(device="meta"), ToTensor(writable=False)],
    "Welch": [Welch(fs=100.0, nperseg=16), Welch(fs=100.0, nperseg=32, average="median")],
    "Window": [Window(length=9, hop=4, pad="reflect"), Window(length=10), Window(length=5, hop=7, pad="zeros")],
    "WindowLabels": [WindowLabels(length=9, hop=4, rule="center"), WindowLabels(length=5, pad="edge", rule="any")],
}


LABELLED = {
    "NormalizeBy": [
        NormalizeBy(by="id", groups=("a", "b"), centers=(1.0, 2.0), scales=(3.0, 0.0), keys=("x",)),
        NormalizeBy(by="id", groups=(7,), centers=(1.0,), scales=(2.0,), unseen="overall", center=0.5, keys=("x",)),
    ]
}
"""Those that look at a label beside the array, which an array alone has not."""


IMAGES = {"DecodeImages": [DecodeImages(keys="image"), DecodeImages(layout="HWC", mode="L", kind="numpy")]}
"""Those that take encoded images."""


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_those_of_images_keep_the_contract(name: str):
    file = io.BytesIO()
    pytest.importorskip("PIL.Image").fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)).save(file, "PNG")
    for transform in IMAGES[name]:
        check_transform(transform, {"image": file.getvalue(), "id": "a"})
        check_transform(transform, {"image": {"bytes": file.getvalue(), "path": "a.png"}, "more": ["b", None]})


@pytest.mark.parametrize("name", sorted(LABELLED))
@pytest.mark.parametrize(
    "make", [np.asarray, torch.from_numpy, pa.FixedShapeTensorArray.from_numpy_ndarray], ids=["numpy", "torch", "arrow"]
)
def test_those_with_labels_keep_the_contract(name: str, make: object):
    for transform in LABELLED[name]:
        check_transform(transform, {"x": make(noise(2, 40)), "id": "a", "more": ["b", None]}, skip={"streams"})  # type: ignore[operator]


def test_every_transform_is_here_or_an_augmentation_or_cuts_recordings():
    assert {*EXAMPLES, *AUGMENTATIONS, *MIXES, *WINDOW_STAGES, *LABELLED, *IMAGES} == set(registry.names())
    assert not any(one.random for examples in EXAMPLES.values() for one in examples)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_transform_keeps_the_contract(name: str):
    for transform in EXAMPLES[name]:
        check_transform(transform)


ACROSS = {"Magnitude", "MixChannels", "PickChannels", "Reference"}
"""Those across channels, which arrays without such an axis are refused by; see test_channels."""


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"ToDevice", "Istft"} - ACROSS))
@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(pa.array(noise(50)), id="arrow"),
        pytest.param(noise(2, 3, 40).astype("float32")[:, ::-1, ::2], id="strided"),
        pytest.param(np.arange(60, dtype="uint16").reshape(2, 30), id="counts"),
        pytest.param(noise(40).astype(">f8"), id="big-endian"),
    ],
)
def test_on_memory_of_other_kinds_too(name: str, sample: object):
    transform = EXAMPLES[name][0]
    check_transform(transform, sample)


ROUNDED = {
    "BandPower",
    "Envelope",
    "FilterBank",
    "Hilbert",
    "Istft",
    "MelSpectrogram",
    "Mfcc",
    "RunningStandardize",
    "SavgolFilter",
    "SignalFilter",
    "Spectrogram",
    "Stft",
    "Welch",
}
"""Those that keep the contract for tensors with a graph within rounding, which their own tests look at."""


SCIPYS_LOOPS = {"PeakRate", "Scipy"}
"""Those that no gradient passes through; they refuse tensors with a graph."""


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - ROUNDED - SCIPYS_LOOPS))
def test_on_tensors_with_a_graph_too(name: str):
    check_transform(EXAMPLES[name][0], torch.from_numpy(noise(2, 30)).requires_grad_())


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_in_nested_samples_too(name: str):
    values = torch.from_numpy(noise(2, 40).astype("float32"))
    transform = EXAMPLES[name][0]
    if isinstance(transform, LeafTransform):
        transform = replace(transform, keys="*")
    check_transform(transform, {"ecg": values, "lead": [values * 2, "II"], "label": 3})


def results(transforms: list[Transform], x: np.ndarray) -> list[object]:
    """What a worker process makes of the transforms it was sent."""
    actual = []
    for transform in transforms:
        result = transform(torch.from_numpy(x.copy()))
        actual.append((type(result).__name__, tuple(getattr(result, "shape", (len(x),)))))
    return actual


def test_every_transform_goes_to_a_spawned_process():
    transforms = [transform for name in sorted(EXAMPLES) for transform in EXAMPLES[name]]
    x = noise(2, 40).astype("float32")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(results, (transforms, x))
    assert there == results(transforms, x)
