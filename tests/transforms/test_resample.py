"""`Resample` and `Decimate`: the contract, SciPy's numbers, rates checked against the data's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import scipy.signal
import torch

from bridgeflow.bridge import describe, kind_of, to_numpy
from bridgeflow.errors import CannotStream, ConfigError
from bridgeflow.signal import resample_poly
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.base import Transform
from bridgeflow.transforms.resample import Decimate, Resample
from tests.transforms.kinds import check_kinds

ALL = [
    Resample(from_hz=360, to_hz=250),
    Resample(from_hz=44100, to_hz=48000.0, padtype="edge"),
    Resample(from_hz="1000/3", to_hz=500, window="hamming", cval=1.5),
    Resample(from_hz=250, to_hz=250),
    Resample(from_hz=250, to_hz=500, padtype="reflect"),
    Resample(from_hz=250, to_hz=125, window=(0.25, 0.5, 0.25)),
    Resample(from_hz=360, to_hz=250, quality="high"),
    Resample(from_hz=250, to_hz=360.0001, quality="medium", padtype="edge"),
    Resample(from_hz=250, to_hz=125, quality="very high"),
    Decimate(q=4, ftype="fir"),
    Decimate(q=4, ftype="fir", zero_phase=False),
    Decimate(q=3, zero_phase=False),
    Decimate(q=2, n=4),
]


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_contract(transform):
    check_kinds(transform, half=0.02)
    assert Transform.from_config(transform.to_config()) == transform


def test_scipys_numbers():
    x = np.random.default_rng(0).standard_normal((2, 300))
    np.testing.assert_array_equal(Resample(from_hz=360, to_hz=250)(x), scipy.signal.resample_poly(x, 25, 36, -1))
    np.testing.assert_allclose(Decimate(q=3)(x), scipy.signal.decimate(x, 3), atol=1e-12)
    np.testing.assert_allclose(
        Decimate(q=3, ftype="fir", zero_phase=False)(x),
        scipy.signal.decimate(x, 3, ftype="fir", zero_phase=False),
        atol=1e-12,
    )


def test_rates_are_checked_and_passed_on():
    spec = replace(describe(np.zeros((2, 360), "float32")), fs=360.0)
    result = Resample(from_hz=360, to_hz=250).out_spec(spec)
    assert (result.shape, result.fs) == ((2, 250), 250.0)
    assert Decimate(q=4, ftype="fir").out_spec(spec).fs == 90.0
    with pytest.raises(ConfigError, match="from_hz=250, but the data have 360 Hz"):
        Resample(from_hz=250, to_hz=100).out_spec(spec)


def test_gradients_through_the_transform():
    x = torch.randn(2, 50, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Resample(from_hz=3, to_hz=2), (x,))
    assert kind_of(Resample(from_hz=3, to_hz=2)(x)) == "torch"


def test_a_flush_has_the_kind_of_the_stream():
    for x in (pa.array(np.ones(50)), torch.ones(50)):
        run = Resample(from_hz=2, to_hz=3)
        state = run.init_state(describe(x))
        _, state = run.step(x, state)
        last = run.flush(state)
        assert kind_of(last) == kind_of(x)
        assert len(to_numpy(last)) > 10


def test_obstacles():
    for transform, word in [(ALL[4], "'constant' or 'edge'"), (ALL[-1], "zero_phase=False")]:
        assert not transform.streams
        with pytest.raises(CannotStream, match=word):
            transform.init_state(describe(np.zeros(10)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Resample(from_hz=0, to_hz=1), "from_hz must be from 1e-12"),
        (lambda: Resample(from_hz=1000 / 3, to_hz=250), "did you mean 3/4"),
        (lambda: Resample(from_hz=1, to_hz=2, padtype="zero"), "padtype must be one of"),
        (lambda: Resample(from_hz=1, to_hz=2, padtype="edge", cval=1.0), "cval has no effect"),
        (lambda: Resample(from_hz=1, to_hz=2, window="round"), "window must be one that"),
        (lambda: Decimate(q=0), "q must be from 1 to 1048576, got 0"),
        (lambda: Decimate(q=2, n=0), "n must be from 1 to 1048576, got 0"),
        (lambda: Decimate(q=2, ftype="cheby"), "ftype must be one of 'iir', 'fir'"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("rates", [(44101, 48000), (44100, 48000), (192001, 96000)])
def test_usual_rates_take_short_recordings(rates):
    assert Resample(from_hz=rates[0], to_hz=rates[1])(np.zeros(300)).shape == (-(-300 * rates[1] // rates[0]),)


@pytest.mark.parametrize("rates", [(1, 1 << 20), ((1 << 20) - 1, 1 << 20), ((1 << 20) - 1, 7)])
def test_a_filter_out_of_proportion_to_the_data_is_refused_before_it_is_designed(rates):
    transform = Resample(from_hz=rates[0], to_hz=rates[1])
    spec = ArraySpec(kind="numpy", dtype="float32", shape=(2, 500))
    for use in (
        lambda: transform.plan(spec),
        lambda: transform(np.zeros((2, 500), "f4")),
        lambda: transform.live(np.zeros((2, 500), "f4")),
        lambda: resample_poly(np.zeros(500), rates[1], rates[0]),
    ):
        with pytest.raises(ConfigError, match=r"a filter of 209715[0-9]+ taps for 500 samples"):
            use()


def test_the_window_of_a_large_factor_is_refused_when_it_is_made():
    with pytest.raises(ConfigError, match="window must be one"):
        Resample(from_hz=1, to_hz=1 << 20, window="nonesuch")


def test_a_recursive_filter_decimates_short_data_by_a_large_factor():
    assert Decimate(q=1 << 20, zero_phase=False).plan(ArraySpec(kind="numpy", dtype="float32", shape=(500,)))
