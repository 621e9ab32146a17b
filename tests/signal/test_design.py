"""Designs: SciPy's coefficients, the physics they promise, and the refusals."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from bridgeflow.errors import BridgeflowError, ConfigError, UnstableFilter
from bridgeflow.signal import (
    DESIGNS,
    Ba,
    Bessel,
    Butter,
    Cheby1,
    Cheby2,
    Comb,
    Ellip,
    FirFilter,
    Firls,
    Firwin,
    IirFilter,
    Notch,
    Peak,
    Remez,
    Savgol,
    Sos,
    Taps,
    Zpk,
    make_design,
)

ONE_OF_EACH = [
    Ba(b=(1.0, 0.5), a=(1.0, -0.5)),
    Bessel(order=3, cutoff=20.0, fs=100.0),
    Butter(order=4, cutoff=(1.0, 20.0), btype="bandpass", fs=100.0),
    Cheby1(order=5, rp=1.0, cutoff=20.0, btype="highpass", fs=100.0),
    Cheby2(order=4, rs=40.0, cutoff=20.0, fs=100.0),
    Comb(w0=20.0, Q=10.0, fs=100.0),
    Ellip(order=4, rp=0.5, rs=60.0, cutoff=(10.0, 20.0), btype="bandstop", fs=100.0),
    Firls(numtaps=31, bands=(0.0, 10.0, 15.0, 50.0), desired=(1.0, 1.0, 0.0, 0.0), fs=100.0),
    Firwin(numtaps=31, cutoff=20.0, fs=100.0),
    Notch(w0=50.0, Q=30.0, fs=360.0),
    Peak(w0=10.0, Q=5.0, fs=100.0),
    Remez(numtaps=31, bands=(0.0, 10.0, 15.0, 50.0), desired=(1.0, 0.0), fs=100.0),
    Savgol(window_length=11, polyorder=2),
    Sos(sections=((1.0, 2.0, 1.0, 1.0, -0.5, 0.25),)),
    Taps(values=(0.25, 0.5, 0.25)),
    Zpk(z=(-1.0,), p=(0.5,), k=0.25),
]
each = pytest.mark.parametrize("design", ONE_OF_EACH, ids=lambda design: design.name)


def test_the_list_here_is_the_list_there():
    assert {design.name for design in ONE_OF_EACH} == set(DESIGNS)


class TestAgainstScipy:
    @pytest.mark.parametrize("btype", ["lowpass", "highpass", "bandpass", "bandstop"])
    @pytest.mark.parametrize("order", [1, 2, 5, 8])
    def test_classical(self, btype, order):
        cutoff = (3.0, 20.0) if btype.startswith("band") else 12.0
        edges = {"order": order, "cutoff": cutoff, "btype": btype, "fs": 100.0}
        scipys = {"btype": btype, "output": "sos", "fs": 100.0}
        pairs = [
            (Butter(**edges), scipy.signal.butter(order, cutoff, **scipys)),
            (Cheby1(rp=1.0, **edges), scipy.signal.cheby1(order, 1.0, cutoff, **scipys)),
            (Cheby2(rs=40.0, **edges), scipy.signal.cheby2(order, 40.0, cutoff, **scipys)),
            (Ellip(rp=1.0, rs=40.0, **edges), scipy.signal.ellip(order, 1.0, 40.0, cutoff, **scipys)),
            (Bessel(norm="mag", **edges), scipy.signal.bessel(order, cutoff, norm="mag", **scipys)),
        ]
        for ours, theirs in pairs:
            np.testing.assert_array_equal(ours.sos, theirs)

    def test_finite_memory(self):
        bands = (0.0, 10.0, 15.0, 50.0)
        theirs = scipy.signal.firwin(31, (10.0, 20.0), pass_zero="bandpass", window=("kaiser", 8.0), fs=100.0)
        ours = Firwin(numtaps=31, cutoff=(10.0, 20.0), pass_zero="bandpass", window=("kaiser", 8.0), fs=100.0)
        np.testing.assert_array_equal(ours.taps, theirs)
        theirs = scipy.signal.firls(31, bands, (1, 1, 0, 0), weight=(1, 10), fs=100.0)
        ours = Firls(numtaps=31, bands=bands, desired=(1, 1, 0, 0), weight=(1, 10), fs=100.0)
        np.testing.assert_array_equal(ours.taps, theirs)
        theirs = scipy.signal.remez(31, bands, (1, 0), weight=(1, 10), fs=100.0)
        ours = Remez(numtaps=31, bands=bands, desired=(1, 0), weight=(1, 10), fs=100.0)
        np.testing.assert_array_equal(ours.taps, theirs)
        np.testing.assert_array_equal(
            Savgol(window_length=11, polyorder=3, deriv=1, delta=0.01).taps,
            scipy.signal.savgol_coeffs(11, 3, deriv=1, delta=0.01),
        )

    @pytest.mark.parametrize("teeth", [3, 6, 7, 20, 200])
    @pytest.mark.parametrize("ftype", ["notch", "peak"])
    @pytest.mark.parametrize("pass_zero", [False, True])
    @pytest.mark.parametrize("quality", [1.7, 30.0])
    def test_combs_have_the_response_of_scipys_coefficients(self, teeth, ftype, pass_zero, quality):
        fs = 1000.0
        b, a = scipy.signal.iircomb(fs / teeth, quality, ftype, fs=fs, pass_zero=pass_zero)
        frequency, theirs = scipy.signal.freqz(b, a, 2000, fs=fs)
        comb = Comb(w0=fs / teeth, Q=quality, ftype=ftype, pass_zero=pass_zero, fs=fs)
        np.testing.assert_allclose(comb.response(frequency), theirs, rtol=0, atol=1e-10)
        assert comb.sos.shape == ((teeth + 1) // 2, 6)

    @each
    def test_response(self, design):
        frequency = np.linspace(0, (design.fs or 1.0) / 2, 200)
        fs = design.fs or 1.0
        if isinstance(design, IirFilter):
            _, theirs = scipy.signal.sosfreqz(design.sos, frequency, fs=fs)
        else:
            _, theirs = scipy.signal.freqz(design.taps, 1, frequency, fs=fs)
        np.testing.assert_allclose(design.response(frequency), theirs, rtol=0, atol=1e-11)

    @pytest.mark.parametrize(
        ("b", "a"),
        [
            ([0.0, 0.0, 0.0, 0.5], [1.0, -0.5]),
            ([0.0, 1.0, 2.0], [2.0, -0.5, 0.1, 0.1]),
            ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, -0.5]),
            ([0.0, 1.0], [1.0, 0.5, 0.3]),
            ([1.0], [1.0, 0.0, 0.0, 0.25]),
        ],
    )
    def test_ba_is_the_filter_that_lfilter_applies(self, b, a):
        x = np.random.default_rng(0).standard_normal(100)
        ours = scipy.signal.sosfilt(Ba(b=b, a=a).sos, x)
        np.testing.assert_allclose(ours, scipy.signal.lfilter(b, a, x), rtol=0, atol=1e-13)

    @pytest.mark.filterwarnings("ignore::scipy.signal.BadCoefficients")
    def test_ba_of_crowded_poles_keeps_the_coefficients_as_given(self):
        b, a = scipy.signal.butter(8, 0.01)
        x = np.random.default_rng(0).standard_normal(5000)
        theirs = scipy.signal.lfilter(b, a, x)
        ours = scipy.signal.sosfilt(Ba(b=b, a=a).sos, x)
        by_tf2sos = scipy.signal.sosfilt(scipy.signal.tf2sos(b, a), x)
        error, error_by_tf2sos = (np.abs(y - theirs).max() / np.abs(theirs).max() for y in (ours, by_tf2sos))
        assert error < 2e-3 < 0.05 < error_by_tf2sos


class TestPhysics:
    @given(order=st.integers(1, 8), cutoff=st.floats(0.5, 45.0))
    def test_a_butterworth_passes_half_the_power_at_its_cutoff(self, order, cutoff):
        for btype, passed, stopped in (("lowpass", 0.0, 50.0), ("highpass", 50.0, 0.0)):
            gain = np.abs(Butter(order=order, cutoff=cutoff, btype=btype, fs=100.0).response([passed, cutoff, stopped]))
            np.testing.assert_allclose(gain, [1.0, np.sqrt(0.5), 0.0], atol=1e-8)

    @given(w0=st.floats(1.0, 49.0), quality=st.floats(1.0, 500.0))
    def test_a_notch_kills_its_frequency_and_nothing_else(self, w0, quality):
        gain = np.abs(Notch(w0=w0, Q=quality, fs=100.0).response([0.0, w0, 50.0]))
        np.testing.assert_allclose(gain, [1.0, 0.0, 1.0], atol=1e-8)
        assert np.abs(Peak(w0=w0, Q=quality, fs=100.0).response(w0)) == pytest.approx(1.0)

    def test_a_comb_kills_the_harmonics(self):
        comb = Comb(w0=60.0, Q=30.0, fs=360.0)
        np.testing.assert_allclose(np.abs(comb.response([60.0, 120.0, 180.0])), 0.0, atol=1e-9)
        np.testing.assert_allclose(np.abs(comb.response([30.0, 90.0, 150.0])), 1.0, atol=1e-3)

    def test_ripples_stay_where_they_were_promised(self):
        frequency = np.linspace(0, 50, 5000)
        design = Ellip(order=6, rp=0.5, rs=60.0, cutoff=20.0, fs=100.0)
        decibel = 20 * np.log10(np.maximum(np.abs(design.response(frequency)), 1e-12))
        assert decibel[frequency <= 20].min() >= -0.5 - 1e-6
        assert decibel.max() <= 1e-6
        assert decibel[frequency >= 30].max() <= -60 + 1e-6


class TestValues:
    @each
    def test_equality_hash_and_pickle_follow_the_fields(self, design):
        again = type(design)(**{field.name: getattr(design, field.name) for field in dataclasses.fields(design)})
        assert again == design
        assert hash(again) == hash(design)
        assert pickle.loads(pickle.dumps(design)) == design
        assert eval(repr(design)) == design

    @each
    def test_coefficients_belong_to_the_reader(self, design):
        name = "sos" if isinstance(design, IirFilter) else "taps"
        mine = getattr(design, name)
        mine[:] = 7.0
        assert not np.array_equal(getattr(design, name), mine)

    @each
    def test_fields_are_frozen(self, design):
        with pytest.raises(dataclasses.FrozenInstanceError):
            design.fs = 3.0

    def test_arrays_lists_and_numpy_numbers_are_one_form(self):
        exact = Butter(order=4, cutoff=(1.0, 20.0), btype="bandpass", fs=100.0)
        loose = Butter(order=np.int64(4), cutoff=np.array([1, 20]), btype="band", fs=100)
        assert loose == exact
        assert hash(loose) == hash(exact)
        sos = exact.sos
        assert Sos(sections=sos) == Sos(sections=sos.tolist())

    def test_roots_given_as_pairs(self):
        z, p, k = scipy.signal.butter(3, 0.2, output="zpk")
        pairs = [(root.real, root.imag) for root in p]
        assert Zpk(z=z, p=p, k=k) == Zpk(z=z, p=pairs, k=k)
        np.testing.assert_array_equal(Zpk(z=z, p=p, k=k).sos, scipy.signal.butter(3, 0.2, output="sos"))

    @each
    def test_poles_and_delay(self, design):
        if isinstance(design, FirFilter):
            assert design.delay == len(design.taps) // 2
        else:
            assert 0 <= design.pole_radius < 1
            _, poles, _ = scipy.signal.sos2zpk(design.sos)
            assert design.pole_radius == pytest.approx(np.abs(poles).max(), abs=1e-9)

    def test_no_delay_without_symmetry(self):
        assert Taps(values=(1.0, 2.0)).delay is None
        assert Taps(values=(1.0, 2.0, 3.0)).delay is None
        assert Taps(values=(1.0, 0.0, -1.0)).delay == 1

    def test_zeros(self):
        zeros = Butter(order=3, cutoff=20.0, fs=100.0).zeros
        np.testing.assert_allclose(zeros[np.abs(zeros) > 0], -1.0)


class TestRefusals:
    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (lambda: Butter(order=4, cutoff=60.0, fs=100.0), r"cutoff=60 Hz must lie below fs/2 = 50 Hz"),
            (lambda: Butter(order=4, cutoff=50.0, fs=100.0), r"below fs/2"),
            (lambda: Butter(order=4, cutoff=0.0, fs=100.0), r"cutoff must be above 0 Hz"),
            (lambda: Butter(order=4, cutoff=20.0), r"fs is missing: cutoff is in Hz"),
            (lambda: Butter(order=4, cutoff=20.0, fs=0), r"fs must be above 0"),
            (lambda: Butter(order=4, cutoff=20.0, fs="100"), r"fs must be a number, got '100'"),
            (lambda: Butter(order=4, cutoff=float("nan"), fs=100.0), r"cutoff must be finite"),
            (lambda: Butter(order=4, cutoff=(10, 20), fs=100.0), r"lowpass takes one frequency"),
            (lambda: Butter(order=4, cutoff=20.0, btype="bandpass", fs=100.0), r"bandpass takes two frequencies"),
            (lambda: Butter(order=4, cutoff=(20.0, 10.0), btype="bandpass", fs=100.0), r"cutoff must ascend"),
            (lambda: Butter(order=4, cutoff=20.0, btype="sideways", fs=100.0), r"btype must be one of 'lowpass'"),
            (lambda: Butter(order=2.5, cutoff=20.0, fs=100.0), r"order must be a whole number, got 2.5"),
            (lambda: Butter(order=True, cutoff=20.0, fs=100.0), r"order must be a whole number"),
            (lambda: Butter(order=0, cutoff=20.0, fs=100.0), r"order must be at least 1"),
            (lambda: Butter(order=400, cutoff=1.0, fs=1000.0), r"gain is too small for float64"),
            (lambda: Ellip(order=3, rp=40.0, rs=1.0, cutoff=3.0, fs=100.0), r"rs=1 dB .* above rp=40 dB"),
            (lambda: Notch(w0=60.0, Q=0, fs=360.0), r"Q must be above 0"),
            (lambda: Comb(w0=7.0, Q=30.0, fs=100.0), r"fs=100 Hz must be a multiple of w0=7 Hz"),
            (lambda: Comb(w0=20.0, Q=1.0, fs=100.0), r"Q must be above 1"),
            (lambda: Comb(w0=20.0, Q=10.0, pass_zero="yes", fs=100.0), r"pass_zero must be True or False"),
            (lambda: Sos(sections=((1.0, 0.0, 0.0, 2.0, 0.0, 0.0),)), r"must have a0 = 1, got 2"),
            (lambda: Sos(sections=((1.0, 0.0, 0.0),)), r"six numbers .* got 3"),
            (lambda: Sos(sections=()), r"sections must not be empty"),
            (lambda: Zpk(z=(1j,), p=(0.5,), k=1.0), r"no matching conjugate"),
            (lambda: Ba(b=(1.0,), a=(2.0,)), r"FIR filter; use Taps"),
            (lambda: Ba(b=(1.0,), a=(0.0, 1.0)), r"a\[0\] must not be 0"),
            (lambda: Ba(b=(0.0,), a=(1.0, 0.5)), r"b must not be all 0"),
            (lambda: Ba(b=(float("inf"),), a=(1.0, 0.5)), r"b\[0\] must be finite"),
            (lambda: Taps(values=()), r"values must not be empty"),
            (lambda: Taps(values="abc"), r"values must be a sequence"),
            (lambda: Firwin(numtaps=4, cutoff=20.0, pass_zero=False, fs=100.0), r"even number of coefficients"),
            (lambda: Firwin(numtaps=5, cutoff=(20.0, 10.0), fs=100.0), r"cutoff must ascend"),
            (lambda: Firls(numtaps=5, bands=(0, 1, 2), desired=(1, 1), fs=10.0), r"two edges for each band"),
            (lambda: Firls(numtaps=5, bands=(0, 1, 2, 6), desired=(1, 1, 0, 0), fs=10.0), r"between 0 and fs/2 = 5"),
            (lambda: Firls(numtaps=5, bands=(0, 1, 2, 5), desired=(1, 0), fs=10.0), r"one gain for each of 4 edges"),
            (lambda: Remez(numtaps=5, bands=(0, 1, 2, 5), desired=(1, 1, 0), fs=10.0), r"each of 2 bands, got 3"),
            (lambda: Remez(numtaps=5, bands=(0, 1), desired=(1,), weight=(1, 2), fs=10.0), r"weight must hold"),
            (lambda: make_design("buter"), r"no filter design 'buter'; did you mean 'butter'\?"),
            (lambda: make_design("butter", order=4, fs=100.0), r"design 'butter' needs cutoff"),
            (lambda: make_design("notch", w0=60.0, order=4), r"design 'notch' has no parameter 'order'"),
        ],
    )
    def test_one_line_that_says_what_and_where(self, build, message):
        with pytest.raises(ConfigError, match=message) as caught:
            build()
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, ValueError)

    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (lambda: Ba(b=(1.0,), a=(1.0, -1.5)), r"pole at 1\.5, radius 1\.5 >= 1"),
            (lambda: Ba(b=(1.0,), a=(1.0, -1.0)), r"pole at 1, radius 1 >= 1"),
            (lambda: Zpk(z=(), p=(0.8 + 0.8j, 0.8 - 0.8j), k=1.0), r"pole at 0\.8[+]0\.8j, radius 1\.13137085"),
            (lambda: Sos(sections=((1, 0, 0, 1, 0, 1.0),)), r"section 0 has a pole at 0[+]1j"),
            (lambda: Sos(sections=((1, 0, 0, 1, 0.1, 0.1), (1, 0, 0, 1, -2.5, 1.0))), r"section 1 has a pole at 2,"),
            (lambda: Notch(w0=60.0, Q=1e18, fs=360.0), r"radius 1 >= 1"),
            (lambda: Butter(order=4, cutoff=1e-9, fs=1.0), r"raise the cutoff"),
        ],
    )
    def test_an_unstable_filter_is_refused_naming_the_pole(self, build, message):
        with pytest.raises(UnstableFilter, match=message) as caught:
            build()
        assert isinstance(caught.value, BridgeflowError)

    def test_a_ba_form_that_lost_its_stability_to_rounding_is_refused(self):
        b, a = scipy.signal.butter(10, 0.001)
        with pytest.raises(UnstableFilter, match=r"pole at 1\.045.*loses stability to rounding"):
            Ba(b=b, a=a)
        assert Butter(order=10, cutoff=0.001, fs=2.0).pole_radius < 1

    @given(radius=st.floats(0.5, 1.5), angle=st.floats(0.01, 3.13))
    def test_the_verdict_on_a_pair_of_poles_is_that_of_their_radius(self, radius, angle):
        sections = ((1.0, 0.0, 0.0, 1.0, -2 * radius * np.cos(angle), radius**2),)
        if radius**2 < 1:
            assert Sos(sections=sections).pole_radius == pytest.approx(radius)
        else:
            with pytest.raises(UnstableFilter):
                Sos(sections=sections)


_VALID = {
    "butter": {"order": 4, "cutoff": 20.0, "fs": 100.0},
    "cheby1": {"order": 2, "rp": 1.0, "cutoff": 20.0, "fs": 100.0},
    "comb": {"w0": 50.0, "Q": 30.0, "fs": 500.0},
    "firwin": {"numtaps": 11, "cutoff": 10.0, "fs": 100.0},
    "notch": {"w0": 50.0, "Q": 30.0, "fs": 500.0},
    "remez": {"numtaps": 11, "bands": (0, 10, 20, 50), "desired": (1, 0), "fs": 100.0},
    "savgol": {"window_length": 5, "polyorder": 2},
    "taps": {"values": (1.0, 2.0)},
    "ba": {"b": (1.0,), "a": (1.0, 0.5)},
    "zpk": {"z": (), "p": (0.5,), "k": 1.0},
}
_WRONG_TYPES = ([], {}, set(), [[1]], object(), "x", {"a": 1}, [{}], ({},), 1j, b"x")


@pytest.mark.parametrize("name", [["butter"], {}, None, b"butter", 4], ids=["list", "dict", "none", "bytes", "int"])
def test_a_name_that_is_not_text_is_refused(name):
    with pytest.raises(ConfigError, match="there is no filter design"):
        make_design(name)


@pytest.mark.parametrize("name", _VALID)
def test_fields_of_the_wrong_type_are_refused_or_read(name):
    """Every field of a design with a value of every wrong type: a design, or an error that is BridgeFlow's."""
    make_design(name, **_VALID[name])
    for field in dataclasses.fields(DESIGNS[name]):
        for value in _WRONG_TYPES:
            with contextlib.suppress(BridgeflowError):
                make_design(name, **{**_VALID[name], field.name: value})
