"""`SavgolFilter`, `MedianFilter`, `Detrend`, `Hilbert`, `Envelope`: the contract, and SciPy's numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.signal

from bridgeflow.bridge import describe
from bridgeflow.errors import CannotStream, DataError
from bridgeflow.transforms.analytic import Envelope, Hilbert
from bridgeflow.transforms.base import Transform
from bridgeflow.transforms.smooth import Detrend, MedianFilter, SavgolFilter
from tests.transforms.kinds import check_kinds

ALL = [
    SavgolFilter(window_length=7, polyorder=2),
    SavgolFilter(window_length=9, polyorder=3, deriv=1, delta=0.01, mode="mirror"),
    SavgolFilter(window_length=8, polyorder=3),
    SavgolFilter(window_length=5, polyorder=1, mode="constant", cval=2.0),
    MedianFilter(),
    MedianFilter(kernel_size=9),
    Detrend(),
    Detrend(type="constant"),
    Detrend(bp=(30, 60)),
    Hilbert(),
    Envelope(),
    Envelope(bp_in=(2, 20), n_out=31, squared=True),
]


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_contract(transform):
    check_kinds(transform)


def test_scipys_numbers():
    x = noise(2, 100)
    np.testing.assert_allclose(ALL[0](x), scipy.signal.savgol_filter(x, 7, 2), atol=1e-12)
    np.testing.assert_array_equal(MedianFilter(kernel_size=9)(x), scipy.signal.medfilt(x, (1, 9)))
    np.testing.assert_allclose(Detrend(bp=(30, 60))(x), scipy.signal.detrend(x, bp=[30, 60]), atol=1e-12)
    np.testing.assert_array_equal(Hilbert()(x), scipy.signal.hilbert(x))
    np.testing.assert_allclose(Envelope()(x), np.abs(scipy.signal.hilbert(x - x.mean(-1, keepdims=True))), atol=0.3)


def test_rates_are_passed_on():
    spec = replace(describe(noise(2, 100)), fs=100.0)
    assert Envelope(n_out=25).out_spec(spec).fs == 25.0
    assert Envelope().out_spec(spec).fs == 100.0
    assert ALL[0].out_spec(spec).fs == 100.0
    assert Envelope(n_out=25).out_spec(replace(spec, shape=(2, None))).fs is None


@pytest.mark.parametrize(
    ("transform", "word"),
    [
        (SavgolFilter(window_length=8, polyorder=3), "odd window_length"),
        (Detrend(), "btype='highpass'"),
        (Hilbert(), "type='hilbert'"),
        (Envelope(), "type='hilbert'"),
    ],
    ids=repr,
)
def test_obstacles(transform, word):
    assert not transform.streams
    with pytest.raises(CannotStream, match=word):
        transform.init_state(describe(noise(50)))


def test_latencies():
    assert SavgolFilter(window_length=9, polyorder=2).latency == 8
    assert SavgolFilter(window_length=9, polyorder=2, mode="mirror").latency == 4
    assert MedianFilter(kernel_size=5).latency == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SavgolFilter(window_length=5, polyorder=5), "polyorder=5 must be less"),
        (lambda: MedianFilter(kernel_size=4), "odd integer, got 4"),
        (lambda: Detrend(type="square"), "type must be one of"),
        (lambda: Detrend(bp=(-1,)), "bp must be from 0"),
        (lambda: Detrend(type="constant", bp=(5,)), "bp are sample numbers for type='linear'"),
        (lambda: Envelope(bp_in=(1,)), "2-tuple of integers"),
        (lambda: Envelope(n_out=0), "n_out must be from 1 to 2147483647, got 0"),
        (lambda: Transform.from_config({"Envelope": {"bp_in": [1, 2, 3]}}), "bp_in|Envelope"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_data_that_do_not_fit():
    for transform, x in [
        (SavgolFilter(window_length=9, polyorder=2), noise(5)),
        (MedianFilter(), noise(5) + 0j),
        (Detrend(), noise(0)),
        (Detrend(bp=(30,)), noise(5)),
        (Hilbert(), noise(5) + 0j),
        (Hilbert(), noise(0)),
    ]:
        for call in (transform, lambda x, transform=transform: transform.out_spec(describe(x))):
            with pytest.raises(DataError):
                call(x)
