"""`Scipy`: the contract, how it is written, and where it stands."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import torch

from bridgeflow import Compose, Scipy, Transform, Window
from bridgeflow.bridge import describe
from bridgeflow.config.load import parse_job
from bridgeflow.errors import BridgeflowError, CannotStream, ConfigError
from bridgeflow.signal.scipy_list import FUNCTIONS
from bridgeflow.testing import check_transform

ALL = [
    Scipy("signal.medfilt", kernel_size=5),
    Scipy("signal.decimate", q=4, ftype="fir"),
    Scipy("signal.periodogram", window=("kaiser", 4.0)),
    Scipy("ndimage.gaussian_filter1d", sigma=1.5),
    Scipy("ndimage.zoom", zoom=1.5),
    Scipy("fft.rfft", n=128),
    Scipy("stats.iqr", rng=(10, 90)),
    Scipy("stats.skew", keys="ecg"),
]


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_contract(transform):
    if transform.keys is None:
        check_transform(transform)
        x = np.random.default_rng(0).standard_normal((3, 96))
        check_transform(transform, (100 * x).astype("int16"))
        check_transform(transform, torch.from_numpy(x).bfloat16())
    check_transform(transform, {"ecg": np.random.default_rng(0).standard_normal((2, 96)), "label": 3})


def test_what_it_is_made_of():
    one = Scipy("signal.medfilt", kernel_size=5, keys="ecg")
    assert one == Scipy(function="signal.medfilt", options=(("kernel_size", 5),), keys=["ecg"])
    assert repr(one) == "Scipy('signal.medfilt', kernel_size=5, keys=('ecg',))"
    assert eval(repr(one)) == one
    assert replace(one, function="ndimage.grey_opening", options=(("size", 3),)).function == "ndimage.grey_opening"
    assert Scipy("stats.iqr", rng=[10, 90], scale=2.0).options == (("rng", (10, 90)), ("scale", 2.0))
    assert len({one, Scipy("signal.medfilt", kernel_size=5, keys="ecg")}) == 1


def test_configuration():
    own = {"keys": None, "axis": -1, "nonfinite": "propagate", "max_gap": None, "keep_gaps": False}
    config = {"Scipy": {"function": "stats.iqr", "rng": [10, 90], **own}}
    assert Scipy("stats.iqr", rng=(10, 90)).to_config() == config
    assert Transform.from_config(config) == Scipy("stats.iqr", rng=(10, 90))
    for wrong in (
        {"rng": [10, 90]},
        {"function": "stats.iqrr"},
        {"function": ["stats.iqr"]},
        {"function": "stats.iqr", "rnge": [1, 2]},
        {"function": "stats.iqr", "rng": {"from": 1}},
        {"function": "stats.iqr", "keys": 3},
    ):
        with pytest.raises(ConfigError):
            Transform.from_config({"Scipy": wrong})


def test_schema_names_the_options_of_each_function():
    schema = json.loads(json.dumps(Scipy.field_schema()))
    assert schema["properties"]["function"]["enum"] == sorted(FUNCTIONS)
    (medfilt,) = [
        one["then"] for one in schema["allOf"] if one["if"]["properties"]["function"]["const"] == "signal.medfilt"
    ]
    assert set(medfilt["properties"]) == {
        "function",
        "keys",
        "kernel_size",
        "axis",
        "nonfinite",
        "max_gap",
        "keep_gaps",
    }
    assert medfilt["properties"]["kernel_size"]["type"] == "integer"
    assert medfilt["additionalProperties"] is False


YAML = """\
version: 1
source: {{npy: in.npy, fs: 100}}
transforms:
  - Scipy: {{{fields}}}
sink: {{npy: out.npy}}
"""


def job(fields):
    return parse_job(YAML.format(fields=fields).encode(), name="job.yaml", folder=".")


def test_in_a_job():
    assert job("function: signal.medfilt, kernel_size: 5").transform.stages == (Scipy("signal.medfilt", kernel_size=5),)
    assert job("function: signal.periodogram").transform.stages == (Scipy("signal.periodogram", fs=100.0),)
    with pytest.raises(ConfigError, match=r"job\.yaml:4:39: .*no field 'kernel'.*'kernel_size'"):
        job("function: signal.medfilt, kernel: 5")
    with pytest.raises(ConfigError, match=r"job\.yaml:4:\d+: .*must be odd"):
        job("function: signal.medfilt, kernel_size: 4")
    with pytest.raises(ConfigError, match=r"job\.yaml:4:23: .*not in the list"):
        job("function: os.system, command: ls")


def test_behind_a_window():
    x = np.random.default_rng(0).standard_normal(1000)
    result = Compose([Window(length=100), Scipy("stats.kurtosis")])(x)
    np.testing.assert_allclose(result, scipy.stats.kurtosis(x.reshape(10, 100), axis=-1))


def test_obstacles():
    with pytest.raises(CannotStream, match="MedianFilter does the same live"):
        ALL[0].init_state(None)
    with pytest.raises(CannotStream, match="cut windows first"):
        ALL[6].init_state(None)


def _outcome(run):
    try:
        return tuple(run().shape)
    except BridgeflowError:
        return "refused"


@pytest.mark.parametrize("samples", [1, 4, 9, 10, 26, 27, 28, 60])
@pytest.mark.parametrize(
    ("function", "options"),
    [
        ("signal.filtfilt", {"b": (0.5,), "a": (1.0, -0.5)}),
        ("signal.filtfilt", {"b": (1.0, 0.5, 0.2), "a": (1.0,), "padtype": None}),
        ("signal.filtfilt", {"b": (0.5,), "a": (1.0, -0.5), "padtype": "even", "padlen": 4}),
        ("signal.filtfilt", {"b": (0.5,), "a": (1.0, -0.5), "method": "gust", "irlen": 20}),
        ("signal.filtfilt", {"b": (1.0,), "a": (1.0, -1.0), "method": "gust"}),
        ("signal.decimate", {"q": 13}),
        ("signal.decimate", {"q": 1 << 20}),
        ("signal.decimate", {"q": 2, "n": 3}),
        ("signal.decimate", {"q": 2, "n": 3, "zero_phase": False}),
        ("signal.decimate", {"q": 2, "n": 8, "ftype": "fir"}),
    ],
    ids=str,
)
def test_what_is_planned_is_what_runs(function, options, samples):
    transform, x = Scipy(function, **options), np.random.default_rng(0).standard_normal((2, samples))
    assert _outcome(lambda: transform.out_spec(describe(x))) == _outcome(lambda: transform(x))


@pytest.mark.parametrize(("b", "a"), [((1.0,), (1.0, -1.0)), ((1.0,), (2.0,)), ((1.0,), (1.0, 0.0, -1.0))])
def test_filtfilt_without_a_steady_state_is_refused_when_built(b, a):
    with pytest.raises(ConfigError, match="state to start from"):
        Scipy("signal.filtfilt", b=b, a=a)
