"""Pipelines as torch modules: the pipeline's numbers, on every shape, exported, with gradients; refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bridgeflow import (
    BandPower,
    Cast,
    Compose,
    Decimate,
    Detrend,
    FilterBank,
    FitStandardize,
    Gain,
    LeafTransform,
    LogAmplitude,
    Magnitude,
    MelSpectrogram,
    Mfcc,
    Normalize,
    PeakRate,
    Reference,
    Resample,
    RunningStandardize,
    Scale,
    SignalFilter,
    Spectrogram,
    Standardize,
    Stft,
    ToArrow,
    ToNumpy,
    ToTensor,
    Welch,
    Window,
)
from bridgeflow.errors import CannotExport, ConfigError

BAND: dict[str, Any] = {"design": "butter", "btype": "bandpass", "cutoff": (0.5, 40.0), "order": 4, "fs": 250.0}
STAGES: dict[str, Any] = {
    "scale": Scale(scale=0.005, offset=-5.0),
    "cast": Cast(dtype="float32"),
    "fir": SignalFilter(design="firwin", numtaps=41, cutoff=20.0, fs=250.0),
    "fir steady": SignalFilter(design="firwin", numtaps=42, cutoff=20.0, fs=250.0, initial="steady"),
    "fir zero phase": SignalFilter(design="firwin", numtaps=301, cutoff=20.0, fs=250.0, mode="zero_phase"),
    "fir of counts": SignalFilter(design="firwin", numtaps=5, cutoff=20.0, fs=250.0, scale=0.1, offset=7.0),
    "one tap": SignalFilter(taps=(0.5,)),
    "iir": SignalFilter(**BAND),
    "iir steady": SignalFilter(**BAND, initial="steady"),
    "iir zero phase": SignalFilter(**BAND, mode="zero_phase"),
    "iir of counts": SignalFilter(**BAND, scale=0.1, offset=7.0),
    "notch": SignalFilter(design="notch", w0=50.0, Q=30.0, fs=250.0),
    "slow high-pass": SignalFilter(design="butter", btype="highpass", cutoff=0.05, order=2, fs=1000.0),
    "resample up": Resample(from_hz=250, to_hz=256),
    "resample down": Resample(from_hz=250, to_hz=100),
    "resample whole": Resample(from_hz=250, to_hz=50),
    "resample held": Resample(from_hz=250, to_hz=100, padtype="edge"),
    "resample to a level": Resample(from_hz=250, to_hz=300, cval=2.0),
    "same rate": Resample(from_hz=250, to_hz=250),
    "decimate": Decimate(q=3),
    "decimate causal": Decimate(q=3, zero_phase=False),
    "decimate fir": Decimate(q=4, ftype="fir"),
    "decimate fir causal": Decimate(q=4, ftype="fir", zero_phase=False),
    "bank": FilterBank(bands=((1, 4), (4, 8), (8, 13)), fs=250.0),
    "bank zero phase": FilterBank(bands=((1, 4), (8, None)), fs=250.0, mode="zero_phase"),
    "spectrogram": Spectrogram(fs=250.0, nperseg=64, hop=16, scale_to="psd"),
    "spectrogram held": Spectrogram(fs=250.0, nperseg=50, hop=20, padding="edge", detr="constant", mfft=64),
    "stft": Stft(fs=250.0, nperseg=64, hop=16, phase_shift=None),
    "stft two-sided": Stft(fs=250.0, nperseg=33, hop=7, fft_mode="centered"),
    "stft doubled": Stft(fs=250.0, nperseg=32, hop=7, fft_mode="onesided2X", scale_to="magnitude"),
    "welch": Welch(fs=250.0, nperseg=100),
    "welch two-sided": Welch(
        fs=250.0, nperseg=64, noverlap=10, detrend=None, return_onesided=False, scaling="spectrum"
    ),
    "bands": BandPower(fs=250.0, bands=((1, 4), (4, 8), (8, 13)), nperseg=250),
    "bands relative": BandPower(fs=250.0, bands=((4, 8), (8, 125)), nperseg=125, relative=True),
    "mel": MelSpectrogram(fs=4000.0, n_fft=256, hop=64, n_mels=20),
    "mel amplitude": MelSpectrogram(fs=4000.0, n_fft=200, hop=50, n_mels=20, power=1.0, convention="torchaudio"),
    "mfcc": Mfcc(fs=4000.0, n_fft=256, hop=64, n_mels=20, n_mfcc=13),
    "mfcc ln": Mfcc(fs=4000.0, n_fft=256, hop=64, n_mels=20, n_mfcc=13, log="ln", center=False, lifter=22),
    "decibels": Compose([Spectrogram(fs=250.0, nperseg=64, hop=16), LogAmplitude(top_db=80.0)]),
    "magnitude": Magnitude(axis=-2),
    "window": Window(length=100, hop=50),
    "window first": Window(length=100, first=True),
    "window completed": Window(length=120, hop=50, pad="zeros"),
    "window held": Window(length=120, hop=50, pad="edge"),
    "normalize": Normalize(center=(1.0, -2.0), scale=(3.0, 0.0)),
    "z-score": Standardize(),
    "min-max": Standardize(method="min-max"),
    "detrend": Detrend(),
    "reference": Reference(to="average"),
}
SHAPES = [(3, 2, 701), (2, 701)]


def noise(shape: Any, dtype: str = "float64", seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape) * 10).to(getattr(torch, dtype))


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    scale = b.abs().max().item() or 1.0
    return (a - b).abs().max().item() / scale


@pytest.mark.parametrize("name", STAGES)
class TestOneStage:
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_has_the_pipelines_numbers(self, name: str, shape: tuple[int, ...]):
        pipeline = Compose([STAGES[name]])
        module = pipeline.to_module()
        assert distance(module(noise(shape)), pipeline(noise(shape))) < (1e-12 if name != "cast" else 1e-6)
        x = noise(shape, "float32")
        assert distance(module(x), pipeline(x)) < (5e-5 if name == "decibels" else 2e-6)

    def test_of_single_precision_is_near(self, name: str):
        pipeline, x = Compose([STAGES[name]]), noise((2, 2, 701), "float32")
        assert distance(pipeline.to_module(precision="float32")(x), pipeline(x)) < 2e-5

    @pytest.mark.slow
    def test_exported_gives_the_modules_numbers_for_any_batch(self, name: str):
        module, x = Compose([STAGES[name]]).to_module(), noise((4, 2, 701), "float32")
        program = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        for rows in (4, 7):
            y = noise((rows, 2, 701), "float32", seed=rows)
            assert distance(program.module()(y), module(y)) < 1e-6


@pytest.mark.parametrize("name", ["fir", "iir", "iir zero phase", "resample down", "spectrogram", "z-score"])
def test_gradients_are_right(name: str):
    module = Compose([STAGES[name]]).to_module()
    x = noise((1, 70)).requires_grad_()
    assert torch.autograd.gradcheck(module, x, eps=1e-5, atol=1e-4)


@given(data=st.data())
def test_any_length_gives_the_pipelines_numbers(data: st.DataObject):
    up, down = data.draw(st.sampled_from([(3, 2), (2, 5), (7, 3), (1, 4), (160, 147)]))
    samples = data.draw(st.integers(1, 400))
    stages = {
        "resample": Resample(from_hz=down, to_hz=up),
        "iir": SignalFilter(**BAND),
        "fir": SignalFilter(design="firwin", numtaps=data.draw(st.integers(1, 80)), cutoff=20.0, fs=250.0),
    }
    for stage in stages.values():
        pipeline, x = Compose([stage]), noise((2, samples))
        assert (pipeline.to_module()(x) - pipeline(x)).abs().max() < 1e-11


@given(data=st.data())
def test_spectra_of_any_length_have_the_pipelines_slices(data: st.DataObject):
    length, hop = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 50))
    win = data.draw(st.sampled_from(["hann", "boxcar", "hamming"]))
    stage = Spectrogram(
        fs=250.0, win=win, nperseg=length, hop=hop, padding=data.draw(st.sampled_from(["zeros", "edge"]))
    )
    x = noise((2, data.draw(st.integers(length, 300))))
    y, expected = Compose([stage]).to_module()(x), stage(x)
    assert y.shape == expected.shape
    assert (y - expected).abs().max() <= 1e-10 * expected.abs().max()


@pytest.mark.parametrize("name", ["iir", "spectrogram"])
def test_compiles_as_one_graph(name: str):
    module, x = Compose([STAGES[name]]).to_module(), noise((2, 2, 500), "float32")
    torch._dynamo.reset()
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), module(x))


class TestPipeline:
    PIPELINE = Compose(
        [
            ToTensor(keys="eeg"),
            Gain(db=(-6, 6), keys="eeg"),
            SignalFilter(**BAND, keys="eeg"),
            Resample(from_hz=250, to_hz=100, keys="eeg"),
            Compose([Standardize(keys="eeg")]),
            Scale(scale=2.0, keys="label"),
        ]
    )

    def test_of_one_array_leaves_out_crossings_augmentations_and_other_arrays(self):
        module = self.PIPELINE.to_module("eeg")
        assert [str(label) for label in module.labels] == [
            "stage 2 (SignalFilter)",
            "stage 3 (Resample)",
            "stage 4.1 (Standardize)",
        ]
        sample = {"eeg": noise((4, 500), "float32"), "label": torch.ones(())}
        assert distance(module(sample["eeg"]), self.PIPELINE.eval()(sample)["eeg"]) < 1e-5

    def test_of_several_arrays_needs_a_name(self):
        with pytest.raises(ConfigError, match="several arrays"):
            self.PIPELINE.to_module()
        with pytest.raises(ConfigError, match="no stage takes"):
            self.PIPELINE.to_module("emg")

    def test_and_model_are_one_exported_program(self):
        model = nn.Sequential(nn.Conv1d(4, 8, 7), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 2))
        both = nn.Sequential(self.PIPELINE.to_module("eeg"), model.double()).eval()
        x = noise((5, 4, 500))
        program = torch.export.export(both, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        for rows in (5, 2):
            y = noise((rows, 4, 500), seed=rows)
            expected = model(torch.as_tensor(self.PIPELINE.eval()({"eeg": y, "label": torch.ones(())})["eeg"]))
            assert distance(program.module()(y), expected.detach()) < 1e-10

    def test_keeps_its_precision_when_it_is_cast_and_moved(self):
        module = Compose([SignalFilter(**BAND)]).to_module()
        x = noise((2, 2, 500), "float32")
        expected = module(x)
        assert torch.equal(module.float().to("cpu")(x), expected)
        assert module.to("meta")(x.to("meta")).shape == x.shape
        assert {one.dtype for one in module.state_dict().values()} == {torch.float64}

    def test_of_integers_gives_floats(self):
        pipeline = Compose([SignalFilter(**BAND)])
        x = torch.arange(600).reshape(2, 300).to(torch.int16)
        assert distance(pipeline.to_module()(x), pipeline(x)) < 1e-12


def test_fitted_statistics_are_buffers():
    fitted = FitStandardize(keys="x").fit([{"x": np.random.default_rng(n).standard_normal((2, 50))} for n in range(4)])
    module = Compose([fitted]).to_module("x")
    assert {tuple(one.shape) for one in module.state_dict().values()} == {(2, 1)}
    x = noise((5, 2, 50))
    assert torch.equal(module(x), fitted({"x": x})["x"])


@dataclass(frozen=True, kw_only=True)
class Squared(LeafTransform):
    """What a user writes."""

    exportable = True
    core_ndim = 0

    def apply(self, x: Any) -> Any:
        return x * x

    def out_spec(self, spec: Any) -> Any:
        return spec.fresh()


def test_a_transform_of_ones_own_says_that_it_is_exportable():
    module, x = Compose([Squared()]).to_module(), noise((3, 50))
    assert torch.equal(torch.export.export(module, (x,)).module()(x), x * x)


def plain(sample: Any) -> Any:
    return sample


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (PeakRate(fs=250.0), r"stage 2 \(PeakRate\): PeakRate has no module"),
        (RunningStandardize(), r"stage 2 \(RunningStandardize\): RunningStandardize has no module"),
        (plain, r"stage 2 \(plain\): function is not a transform"),
        (Resample(from_hz=250, to_hz=100, padtype="line"), "padtype='line', which has no module"),
        (Resample(to_hz=100), "from_hz is left to the recordings"),
        (SignalFilter(**BAND, nonfinite="reset"), "nonfinite='reset' looks at values"),
        (Window(length="1 s"), "a duration needs the rate"),
        (Window(length=100, pad="reflect"), "pad='reflect'"),
        (Stft(fs=250.0, nperseg=64, hop=16, detr="linear"), "detr='linear'"),
        (Window(length=100, axis=0), "axis must be -1"),
    ],
    ids=["peaks", "running", "function", "padtype", "rate", "reset", "duration", "reflect", "detrend", "axis"],
)
def test_what_has_no_module_is_refused_by_name(stage: Any, message: str):
    with pytest.raises(CannotExport, match=message):
        Compose([ToNumpy(), stage, ToArrow()]).to_module()


def test_another_axis_of_time():
    pipeline = Compose([SignalFilter(**BAND, axis=-2), Resample(from_hz=250, to_hz=100, axis=-2)])
    x = noise((3, 500, 2))
    assert distance(pipeline.to_module()(x), pipeline(x)) < 1e-12
