"""Phase, group delay and impulse response: SciPy's numbers, and exact ones where SciPy's formula breaks down."""

import mpmath
import numpy as np
import pytest
import scipy.signal

from bridgeflow.signal import Ba, Butter, Cheby2, Comb, Ellip, Firwin, Notch, Savgol, Sos, Taps, Zpk, sosfilt
from bridgeflow.signal.response import (
    group_delay,
    half_power,
    impulse_response,
    phase_response,
    telling_frequencies,
)

RECURSIVE = [
    Butter(order=2, cutoff=(0.5, 40.0), btype="bandpass", fs=360.0),
    Butter(order=5, cutoff=0.3, fs=1.0),
    Notch(w0=60.0, Q=30.0, fs=360.0),
    Ellip(order=7, cutoff=30.0, rp=1.0, rs=60.0, fs=360.0),
    Cheby2(order=6, rs=50.0, cutoff=30.0, btype="highpass", fs=360.0),
    Comb(w0=50.0, Q=30.0, fs=1000.0),
    Zpk(z=(1.5, 0.3), p=(0.5,), k=-2.0),
    Sos(sections=((0.0, 0.0, 1.0, 1.0, 0.0, 0.5), (0.0, 1.0, 0.5, 1.0, 0.0, 0.0))),
    Ba(b=(1.0, 2.0, 3.0), a=(1.0, -0.5)),
]
FINITE = [
    Firwin(numtaps=101, cutoff=40.0, fs=1000.0),
    Firwin(numtaps=40, cutoff=40.0, fs=1000.0),
    Savgol(window_length=11, polyorder=3, deriv=1),
    Taps(values=(1.0, 0.5, 0.2)),
    Taps(values=(0.0, 0.0, 1.0)),
]


def of(design):
    return f"{design.name}-{getattr(design, 'numtaps', getattr(design, 'order', ''))}"


def scipys_gain(design, frequency):
    fs = design.fs or 1.0
    if hasattr(design, "taps"):
        return scipy.signal.freqz(design.taps, 1, frequency, fs=fs)[1]
    return scipy.signal.sosfreqz(design.sos, frequency, fs=fs)[1]


@pytest.fixture(params=RECURSIVE + FINITE, ids=of)
def design(request):
    return request.param


def test_the_phase_is_that_of_scipys_response(design):
    frequency = telling_frequencies(design)
    gain = scipys_gain(design, frequency)
    heard = np.abs(gain) > 1e-6 * np.abs(gain).max()
    turned = np.exp(1j * phase_response(design, frequency))[heard] - (gain / np.abs(np.where(heard, gain, 1)))[heard]
    assert np.abs(turned).max() < 1e-8


def test_the_delay_is_the_slope_of_the_phase(design):
    frequency = telling_frequencies(design)
    fs = design.fs or 1.0
    step = 1e-6 * fs
    inner = frequency[(frequency > 2 * step) & (frequency < fs / 2 - 2 * step)]
    slope = (phase_response(design, inner + step) - phase_response(design, inner - step)) / (4 * np.pi * step)
    usual = np.abs(np.diff(phase_response(design, np.stack([inner - step, inner + step])), axis=0)[0]) < 1
    delay = group_delay(design, inner)
    assert usual.mean() > 0.9
    assert np.abs(slope + delay)[usual].max() < 1e-3 * np.abs(delay).max() + 1e-6 / fs


@pytest.mark.parametrize("design", RECURSIVE, ids=of)
def test_the_delay_is_scipys_sum_over_sections(design):
    """As far as SciPy's goes, which loses digits where poles and zeros crowd; the test in exact arithmetic is below."""
    fs = design.fs or 1.0
    frequency = telling_frequencies(design)
    gains = [scipy.signal.freqz(row[:3], row[3:], frequency, fs=fs)[1] for row in design.sos]
    sound = np.min([np.abs(gain) / np.abs(gain).max() for gain in gains], axis=0) > 1e-3
    scipys = sum(scipy.signal.group_delay((row[:3], row[3:]), frequency[sound], fs=fs)[1] for row in design.sos)
    assert sound.mean() > 0.3
    np.testing.assert_allclose(group_delay(design, frequency)[sound] * fs, scipys, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("design", FINITE, ids=of)
def test_the_delay_of_taps_is_scipys(design):
    fs = design.fs or 1.0
    frequency = telling_frequencies(design)
    gain = np.abs(scipys_gain(design, frequency))
    frequency = frequency[gain > 1e-2 * gain.max()]
    scipys = scipy.signal.group_delay((design.taps, 1), frequency, fs=fs)[1]
    np.testing.assert_allclose(group_delay(design, frequency) * fs, scipys, rtol=1e-6, atol=1e-6)


def test_the_delay_is_right_where_zeros_lie_on_the_circle():
    """SciPy divides 0 by 0 near 0 Hz; the zeros at z = 1 and z = -1 count half a sample each, the poles are exact."""
    design = Butter(order=2, cutoff=(0.5, 40.0), btype="bandpass", fs=360.0)
    with mpmath.workdps(40):
        for frequency in (1e-4, 0.5, 179.9999):
            w = 2 * mpmath.pi * mpmath.mpf(frequency) / 360
            exact = mpmath.mpf(2)  # four zeros on the circle
            for *_, a1, a2 in design.sos.tolist():
                shift = mpmath.expj(-w)
                exact -= ((a1 * shift + 2 * a2 * shift**2) / (1 + a1 * shift + a2 * shift**2)).real
            assert group_delay(design, frequency) == pytest.approx(float(exact / 360), rel=1e-10)


def test_phase_steps_up_by_half_a_turn_at_each_zero_of_the_gain():
    design = Comb(w0=50.0, Q=30.0, fs=1000.0)
    notches = np.arange(50.0, 500.0, 50.0)
    steps = phase_response(design, notches + 1e-6) - phase_response(design, notches - 1e-6)
    np.testing.assert_allclose(steps, np.pi, atol=1e-4)


def test_silent_frequencies_of_taps_without_symmetry_have_no_delay():
    design = Taps(values=tuple(np.convolve([1.0, 0.0, 1.0], [1.0, 0.5])))
    assert np.isnan(group_delay(design, [0.1, 0.25])).tolist() == [False, True]


@pytest.mark.parametrize("design", RECURSIVE, ids=of)
def test_the_impulse_response_runs_until_it_has_died_away(design):
    response = impulse_response(design)
    impulse = np.zeros(20_000)
    impulse[0] = 1.0
    long = scipy.signal.sosfilt(design.sos, impulse)
    np.testing.assert_allclose(response, long[: len(response)], atol=1e-12)
    assert np.abs(long[len(response) :]).max() < 1e-3 * np.abs(long).max()
    assert np.array_equal(impulse_response(design, 7), sosfilt(design, impulse[:7]))


def test_an_impulse_response_of_no_samples():
    assert [len(impulse_response(design, 0)) for design in (RECURSIVE[0], FINITE[0])] == [0, 0]


@pytest.mark.parametrize("q", [30.0, 5000.0])
def test_narrow_places_are_looked_at_closely(q):
    design = Notch(w0=61.7, Q=q, fs=360.0)
    frequency = telling_frequencies(design)
    assert frequency[0] > 0
    assert frequency[-1] < 180
    assert (np.diff(frequency) > 0).all()
    low, high = half_power(frequency, np.abs(design.response(frequency)))
    assert high - low == pytest.approx(61.7 / q, rel=1e-2)
