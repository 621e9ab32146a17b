"""Tensors without data: shapes and dtypes come out, or an error that says so."""

from __future__ import annotations

import pytest
import torch

from bridgeflow import signal, to_tensor
from bridgeflow.errors import NoRoute

X = torch.zeros(2, 300)
B, A = signal.butter(4, 0.2)


@pytest.mark.parametrize(
    "run",
    [
        lambda x: signal.lfilter([0.5], [1.0, -0.5], x),
        lambda x: signal.lfilter(B, A, x),
        lambda x: signal.lfilter([0.5, 0.5], [1.0], x),
        lambda x: signal.lfilter([0.5], [1.0, -0.5], x, zi=torch.zeros(2, 1, device=x.device)),
        lambda x: signal.filtfilt(B, A, x),
        lambda x: signal.filtfilt([0.5, 0.5], [1.0], x),
        lambda x: signal.fir_filtfilt([0.5, 0.5], x),
        lambda x: signal.periodogram(x),
        lambda x: signal.periodogram(x, nfft=100),
        lambda x: signal.welch(x),
    ],
)
def test_as_with_data(run):
    seen, expected = run(X.to("meta")), run(X)
    pairs = zip(*(value if isinstance(value, tuple) else (value,) for value in (seen, expected)), strict=True)
    for one, other in pairs:
        assert one.device.type in {"meta", "cpu"}
        assert (one.shape, one.dtype) == (other.shape, other.dtype)


@pytest.mark.parametrize(
    "run",
    [
        lambda x: signal.convolve(x, torch.ones(2, 3)),
        lambda x: signal.correlate(torch.ones(2, 3), x),
        lambda x: signal.oaconvolve(x, torch.ones(2, 3), axes=1),
        lambda x: signal.upfirdn(torch.ones(3), x, up=2),
        lambda x: signal.lfilter(torch.ones(2), torch.ones(1), x, zi=torch.zeros(2, 1)),
    ],
    ids=["convolve", "correlate", "oaconvolve", "upfirdn", "lfilter"],
)
def test_tensors_on_two_devices_are_refused(run):
    with pytest.raises(NoRoute, match="do not go together"):
        run(X.to("meta"))


def test_data_that_do_not_exist_cannot_be_moved():
    with pytest.raises(NoRoute, match="no data") as caught:
        to_tensor(X.to("meta"), device="cpu")
    assert caught.value.reason == "no-data"
    assert to_tensor(X.to("meta"), device="meta").is_meta
