"""`bridgeflow.nn.SignalFilter`: the design's numbers, gradients, and coefficients that stay stable when learned."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow import SignalFilter as Transform
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.nn import SignalFilter
from bridgeflow.signal import Butter, Firwin, Notch, Sos, fir_zero_phase, sosfilt_zi
from tests.signal.iir.filters import EASY, HARD

BANDPASS = Butter(order=3, cutoff=(5.0, 20.0), btype="bandpass", fs=100.0)
TAPS = Firwin(numtaps=31, cutoff=10.0, fs=100.0)
DESIGNS = {"recursive": BANDPASS, "finite": TAPS}

everything = pytest.mark.parametrize("learnable", [False, True], ids=["fixed", "learnable"])
designs = pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)


def given_sections(sos):
    return Sos(sections=tuple(map(tuple, sos.tolist())))


def largest_pole(sections):
    return max(np.abs(np.roots(section[3:])).max() for section in sections.tolist())


class TestNumbers:
    @everything
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.complex64, torch.int16])
    def test_causal_is_scipys(self, learnable, dtype):
        x = (50 * torch.randn(2, 3, 400)).to(dtype)
        y = SignalFilter(BANDPASS, learnable=learnable)(x)
        wide = x.numpy().astype(np.complex128 if dtype.is_complex else np.float64)
        expected = torch.from_numpy(scipy.signal.sosfilt(BANDPASS.sos, wide))
        assert y.dtype is (torch.float64 if dtype is torch.int16 else dtype)
        torch.testing.assert_close(y, expected.to(y.dtype))

    @everything
    def test_zero_phase_is_scipys(self, learnable):
        x = torch.randn(3, 400, dtype=torch.float64)
        y = SignalFilter("butter", order=2, cutoff=9.0, fs=100.0, mode="zero_phase", learnable=learnable)(x)
        sos = Butter(order=2, cutoff=9.0, fs=100.0).sos
        np.testing.assert_allclose(y.detach(), scipy.signal.sosfiltfilt(sos, x.numpy()), rtol=0, atol=1e-12)

    @everything
    @designs
    @pytest.mark.parametrize(
        "choices", [{}, {"initial": "steady"}, {"mode": "zero_phase"}], ids=["zero", "steady", "both"]
    )
    def test_is_what_the_transform_of_the_same_design_does(self, learnable, design, choices):
        x = 3 + torch.randn(2, 200, dtype=torch.float64)
        module = SignalFilter(design, learnable=learnable, **choices)
        if design is BANDPASS:
            transform = Transform(design="butter", order=3, cutoff=(5.0, 20.0), btype="bandpass", fs=100.0, **choices)
        else:
            transform = Transform(design="firwin", numtaps=31, cutoff=10.0, fs=100.0, **choices)
        torch.testing.assert_close(module(x).detach(), transform(x), rtol=0, atol=1e-12)

    @everything
    def test_in_pieces(self, learnable):
        module = SignalFilter(BANDPASS, learnable=learnable)
        x = torch.randn(2, 100, dtype=torch.float64)
        state, pieces = torch.from_numpy(sosfilt_zi(BANDPASS))[:, None] * x[..., :1], []
        for piece in x.split([1, 60, 39], dim=1):
            y, state = module(piece, state)
            pieces.append(y)
        whole = SignalFilter(BANDPASS, initial="steady")(x)
        torch.testing.assert_close(torch.cat(pieces, dim=1).detach(), whole, rtol=0, atol=1e-12)

    @designs
    def test_no_samples(self, design):
        assert SignalFilter(design, initial="steady")(torch.empty(3, 0)).shape == (3, 0)

    def test_precision_of_the_recursion(self):
        x = torch.randn(2, 3000)
        y = SignalFilter(given_sections(HARD["high-pass 0.05 Hz at 1 kHz"]), precision="float32")(x)
        assert y.dtype is torch.float32

    def test_a_fixed_filter_is_no_weaker_for_casting_the_model(self):
        model = torch.nn.Sequential(SignalFilter(given_sections(HARD["notch, Q = 500"])), torch.nn.Linear(300, 1))
        x = torch.randn(2, 300)
        expected = model[0](x)
        assert torch.equal(model.half()[0](x), expected)
        assert not model.half()[0].state_dict()


class TestLearning:
    @pytest.mark.parametrize("name", [*EASY, *HARD])
    def test_begins_as_the_design_to_the_last_bit(self, name):
        sos = (EASY | HARD)[name]
        module = SignalFilter(given_sections(sos), learnable=True)
        assert torch.equal(module.sections(), torch.from_numpy(sos))

    @pytest.mark.parametrize("name", [*EASY, *HARD])
    def test_begins_as_the_design_in_float32_within_its_rounding(self, name):
        sos = (EASY | HARD)[name]
        module = SignalFilter(given_sections(sos), learnable=True, dtype=torch.float32)
        frequencies = np.linspace(0, np.pi, 500)
        responses = [scipy.signal.sosfreqz(each, frequencies)[1] for each in (sos, module.sections().detach().numpy())]
        np.testing.assert_allclose(*responses, rtol=0, atol=1e-4)

    @given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2), st.sampled_from([torch.float32, torch.float64]))
    def test_is_stable_whatever_is_learned(self, poles, dtype):
        module = SignalFilter("butter", order=2, cutoff=9.0, fs=100.0, learnable=True, dtype=dtype)
        with torch.no_grad():
            module.poles.copy_(torch.tensor([poles]))
        sections = module.sections()
        _, _, _, a0, a1, a2 = sections[0].tolist()
        assert a0 == 1
        assert abs(a2) < 1
        assert abs(a1) < 1 + a2
        assert torch.isfinite(sections).all()
        assert largest_pole(sections.detach()) <= 1

    def test_levels_stay_while_the_poles_move(self):
        module = SignalFilter("butter", order=2, cutoff=9.0, fs=100.0, learnable=True)
        with torch.no_grad():
            module.poles += torch.tensor([[-1.0, 0.5]])
        constant = module(torch.ones(4000, dtype=torch.float64))
        assert constant[-1].item() == pytest.approx(1.0)

    @pytest.mark.parametrize(
        "choices", [{}, {"initial": "steady"}, {"mode": "zero_phase"}], ids=["zero", "steady", "both"]
    )
    def test_gradients_of_data_and_parameters(self, choices):
        module = SignalFilter(BANDPASS, learnable=True, **choices)
        x = torch.randn(2, 40, dtype=torch.float64, requires_grad=True)
        names, values = zip(*module.named_parameters(), strict=True)

        def run(x, *values):
            return torch.func.functional_call(module, dict(zip(names, values, strict=True)), x)

        assert torch.autograd.gradcheck(run, (x, *values), fast_mode=True)

    def test_gradients_of_taps(self):
        module = SignalFilter(TAPS, learnable=True)
        x = torch.randn(2, 40, dtype=torch.float64)
        assert torch.autograd.gradcheck(
            lambda taps: torch.func.functional_call(module, {"taps": taps}, x), module.taps, fast_mode=True
        )

    def test_the_design_that_was_learned(self):
        module = SignalFilter(BANDPASS, learnable=True)
        with torch.no_grad():
            module.poles += 0.1
        x = torch.randn(2, 100, dtype=torch.float64)
        learned = module.designed()
        assert learned.fs == 100.0
        torch.testing.assert_close(SignalFilter(learned)(x), module(x).detach(), rtol=0, atol=1e-12)
        taps = SignalFilter(TAPS, learnable=True)
        torch.testing.assert_close(SignalFilter(taps.designed())(x), taps(x).detach())
        assert SignalFilter(BANDPASS).designed() is BANDPASS

    def test_symmetric_taps_filter_without_delay(self):
        x = torch.randn(2, 100, dtype=torch.float64)
        y = SignalFilter(TAPS, mode="zero_phase", learnable=True)(x)
        torch.testing.assert_close(y.detach(), fir_zero_phase(TAPS, x), rtol=0, atol=1e-12)


class TestModule:
    @designs
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    def test_state_dict_carries_what_was_learned(self, design, dtype):
        module = SignalFilter(design, learnable=True, dtype=dtype)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        file = io.BytesIO()
        torch.save(module.state_dict(), file)
        file.seek(0)
        other = SignalFilter(design, learnable=True, dtype=dtype)
        other.load_state_dict(torch.load(file, weights_only=True))
        x = torch.randn(2, 100)
        assert torch.equal(other(x), module(x))

    @everything
    @designs
    def test_copies_and_pickles(self, learnable, design):
        module = SignalFilter(design, learnable=learnable)
        x = torch.randn(2, 100)
        for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            assert torch.equal(other(x), module(x))

    @pytest.mark.parametrize(
        ("design", "mode", "learnable"),
        [
            (BANDPASS, "causal", False),
            (BANDPASS, "zero_phase", True),
            (TAPS, "causal", True),
            (TAPS, "zero_phase", False),
        ],
        ids=["causal", "zero phase, learnable", "taps, learnable", "taps, zero phase"],
    )
    def test_compiles_and_exports_in_one_graph(self, learnable, design, mode):
        module = SignalFilter(design, learnable=learnable, mode=mode)
        x = torch.randn(2, 100)
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), module(x))
        exported = torch.export.export(module, (x,)).module()
        torch.testing.assert_close(exported(x), module(x))

    def test_repr_says_what_it_does(self):
        assert repr(SignalFilter(Notch(w0=50.0, Q=30.0, fs=500.0), mode="zero_phase")) == (
            "SignalFilter(Notch(fs=500.0, w0=50.0, Q=30.0), mode='zero_phase')"
        )

    def test_mistakes_are_named(self):
        with pytest.raises(ConfigError, match="is complete; got order besides"):
            SignalFilter(BANDPASS, order=3)
        with pytest.raises(ConfigError, match="no filter design 'buter'"):
            SignalFilter("buter", order=3)
        with pytest.raises(ConfigError, match="must be a design or the name of one, got 3"):
            SignalFilter(3)
        with pytest.raises(ValueError, match="mode must be one of 'causal', 'zero_phase', got 'acausal'"):
            SignalFilter(BANDPASS, mode="acausal")
        with pytest.raises(ConfigError, match="zero phase pads both ends"):
            SignalFilter(BANDPASS, mode="zero_phase", initial="steady")
        with pytest.raises(ConfigError, match="precision is for IIR designs"):
            SignalFilter(TAPS, precision="float32")
        with pytest.raises(ConfigError, match="too close to be learned"):
            SignalFilter(Sos(sections=((1.0, 0.0, 0.0, 1.0, -2.0 + 2.0**-51, 1.0 - 2.0**-52),)), learnable=True)
        with pytest.raises(DataError, match="leave zi out"):
            SignalFilter(TAPS)(torch.ones(100), torch.zeros(30))
        with pytest.raises(DataError, match="10 samples cannot be padded by 15"):
            SignalFilter(TAPS, mode="zero_phase")(torch.ones(10))
        with pytest.raises(ConfigError, match="has taps and no sections"):
            SignalFilter(TAPS).sections()
