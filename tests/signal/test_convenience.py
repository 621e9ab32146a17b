"""The one-call filters: physics, and equality with SciPy's recipe."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch

from bridgeflow import SignalFilter, signal
from bridgeflow.errors import ConfigError

T = np.arange(4000) / 100
TONES = {frequency: np.sin(2 * np.pi * frequency * T) for frequency in (0.2, 2.0, 10.0, 40.0)}
FILTERS = [
    (signal.butter_lowpass_filter, "lowpass", 5.0, {0.2, 2.0}),
    (signal.butter_highpass_filter, "highpass", 5.0, {10.0, 40.0}),
    (signal.butter_bandpass_filter, "bandpass", (1.0, 20.0), {2.0, 10.0}),
    (signal.butter_bandstop_filter, "bandstop", (1.0, 20.0), {0.2, 40.0}),
]


@pytest.mark.parametrize("mode", ["causal", "zero_phase"])
@pytest.mark.parametrize(("run", "btype", "cutoff", "kept"), FILTERS)
def test_tones_are_kept_or_killed(run, btype, cutoff, kept, mode):
    for frequency, tone in TONES.items():
        y = run(tone, cutoff=cutoff, fs=100, order=6, mode=mode)[1500:-500]
        power = np.sqrt(2 * np.mean(y**2))
        assert power == pytest.approx(1.0, abs=0.05) if frequency in kept else power < 0.05, (frequency, power)


@pytest.mark.parametrize(("run", "btype", "cutoff", "kept"), FILTERS)
def test_the_numbers_are_those_of_the_recipe(run, btype, cutoff, kept):
    x = np.random.default_rng(0).standard_normal((3, 500))
    sos = scipy.signal.butter(3, cutoff, btype, fs=100, output="sos")
    np.testing.assert_allclose(run(x, cutoff, 100, order=3), scipy.signal.sosfilt(sos, x), atol=1e-12)
    theirs = scipy.signal.sosfiltfilt(sos, x.T, axis=0)
    np.testing.assert_allclose(run(x.T, cutoff, 100, 3, 0, mode="zero_phase"), theirs, atol=1e-12)


def test_the_call_that_many_believe_scipy_has():
    x = torch.randn(2, 300)
    y = signal.butter_lowpass_filter(x, cutoff=20, fs=100, order=4, axis=-1)
    assert (type(y), y.dtype, y.shape) == (torch.Tensor, torch.float32, x.shape)
    assert not hasattr(scipy.signal, "butter_lowpass_filter")


def test_notch():
    hum = np.sin(2 * np.pi * 10 * T)
    assert np.abs(signal.notch_filter(hum, w0=10, fs=100)[-500:]).max() < 1e-6
    assert np.abs(signal.notch_filter(hum, 10, 100, 5, mode="zero_phase")[1000:-1000]).max() < 1e-6


def test_a_mistake_is_one_line():
    with pytest.raises(ConfigError, match="cutoff=60 Hz must lie below fs/2"):
        signal.butter_lowpass_filter(T, cutoff=60, fs=100)
    with pytest.raises(ValueError, match="mode must be one of 'causal', 'zero_phase'"):
        signal.notch_filter(T, w0=10, fs=100, mode="both")


class TestCompiled:
    """Filters are solved while the graph is made, and are constants in it; designs are built before."""

    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 60)))

    @pytest.fixture(autouse=True)
    def _afresh(self):
        torch._dynamo.reset()

    @pytest.mark.parametrize("options", [{}, {"mode": "zero_phase", "padlen": 15}], ids=["causal", "zero phase"])
    @pytest.mark.parametrize(("run", "btype", "cutoff", "kept"), FILTERS)
    def test_in_one_graph(self, run, btype, cutoff, kept, options):
        def filtered(x):
            return run(x, cutoff=cutoff, fs=100, **options) + 1

        result = torch.compile(filtered, fullgraph=True, backend="eager")(self.x)
        torch.testing.assert_close(result, filtered(self.x))

    def test_the_notch_too(self):
        result = torch.compile(lambda x: signal.notch_filter(x, 50, 500), fullgraph=True, backend="eager")(self.x)
        torch.testing.assert_close(result, signal.notch_filter(self.x, 50, 500))

    def test_a_design_is_built_outside(self):
        def filtered(x):
            return signal.sosfilt(signal.Butter(order=2, cutoff=10.0, fs=100.0), x)

        def transformed(x):
            return SignalFilter(design="butter", order=2, cutoff=10.0, fs=100.0)(x)

        for run in (filtered, transformed):
            with pytest.raises(Exception, match="cannot be built inside a function that torch") as caught:
                torch.compile(run, fullgraph=True, backend="eager")(self.x)
            assert caught.type.__module__.startswith("torch._dynamo")
            torch._dynamo.reset()
            torch.testing.assert_close(torch.compile(run, backend="eager")(self.x), run(self.x))  # a break in the graph
