"""Pictures of filters."""

import numpy as np
import pytest
import scipy.signal

from bridgeflow.plots import draw_filter, filter_curves
from bridgeflow.signal import Butter, CausalFilter, Comb, Firwin, Notch, Sos, Taps, ZeroPhaseFilter

BAND = Butter(order=2, cutoff=(0.5, 40.0), btype="bandpass", fs=360.0)


def test_a_filter_is_drawn_with_its_five_pictures(tmp_path, drawn):
    curves = draw_filter(CausalFilter(design=BAND), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    figure = drawn[0]
    gain, phase, delay, plane, impulse = figure.axes
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Magnitude", "Phase", "Group delay", "Zeros and poles", "Impulse response"]
    assert figure.get_suptitle() == "butter, order 2, cutoff 0.5\u201340, btype bandpass, fs 360 Hz, causal"
    assert gain.get_title(loc="right") == "\u22123 dB at 0.5 and 40 Hz"
    assert gain.get_xscale() == "log"
    for axes in (gain, phase, delay):
        assert axes.get_xlabel() == "frequency (Hz)"
        assert np.array_equal(axes.lines[0].get_xdata(), curves.frequency)
    scipys = scipy.signal.sosfreqz(BAND.sos, curves.frequency, fs=360)[1]
    np.testing.assert_allclose(10 ** (gain.lines[0].get_ydata() / 20), np.abs(scipys), rtol=1e-9, atol=1e-15)
    assert delay.get_ylabel() == "delay (ms)"
    assert np.array_equal(delay.lines[0].get_ydata(), 1e3 * curves.delay)
    zeros, poles = plane.lines[1:3]
    assert sorted(zeros.get_xdata().round(6)) == [-1, -1, 1, 1]
    assert np.abs(poles.get_xdata() + 1j * poles.get_ydata()).max() == pytest.approx(BAND.pole_radius)
    assert np.array_equal(impulse.lines[0].get_ydata(), curves.impulse)


def test_zero_phase_is_drawn_as_it_works():
    curves = filter_curves(ZeroPhaseFilter(design=BAND))
    once = filter_curves(CausalFilter(design=BAND))
    assert np.array_equal(curves.gain, once.gain**2)
    assert not curves.phase.any()
    assert not curves.delay.any()
    impulse = np.zeros(8001)
    impulse[4000] = 1.0
    there_and_back = scipy.signal.sosfiltfilt(BAND.sos, impulse)
    span = slice(4000 - curves.origin, 4000 - curves.origin + len(curves.impulse))
    np.testing.assert_allclose(curves.impulse, there_and_back[span], atol=2e-3 * there_and_back.max())
    assert curves.half_power == pytest.approx((0.619, 32.76), rel=1e-3)


def test_zero_phase_taps_run_once():
    design = Firwin(numtaps=61, cutoff=40.0, fs=1000.0)
    curves = filter_curves(ZeroPhaseFilter(design=design))
    assert np.array_equal(curves.gain, filter_curves(CausalFilter(design=design)).gain)
    passed = curves.gain > 0.01
    assert np.abs(curves.phase[passed]).max() < 1e-9
    assert not curves.delay.any()
    assert curves.origin == 30


@pytest.mark.parametrize(
    "design",
    [
        Notch(w0=60.0, Q=30.0, fs=360.0),
        Comb(w0=50.0, Q=30.0, fs=1000.0),
        Firwin(numtaps=1001, cutoff=40.0, fs=1000.0),
        Taps(values=(1.0,)),
        Taps(values=(1.0, 0.5, 0.2)),
        Sos(sections=((0.0, 0.0, 1.0, 1.0, 0.0, 0.5), (0.0, 1.0, 0.5, 1.0, 0.0, 0.0))),
        Sos(sections=((1.0, 0.0, 0.0, 1.0, 0.0, 0.0),)),
    ],
    ids=repr,
)
def test_every_filter_has_a_picture(tmp_path, drawn, design):
    draw_filter(CausalFilter(design=design), tmp_path / "a.png")
    assert all(np.isfinite(axes.get_ylim()).all() for axes in drawn[0].axes)
    assert len((tmp_path / "a.png").read_bytes()) > 20_000
