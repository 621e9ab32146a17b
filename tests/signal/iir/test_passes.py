"""The fast path: the same bits as the general one, and taken only where it may be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad

from bridgeflow import trace
from bridgeflow.bridge import describe
from bridgeflow.signal import Butter, CausalFilter, sosfilt
from bridgeflow.signal.iir import native
from bridgeflow.signal.iir.passes import fast_pass, plain_values

pytestmark = pytest.mark.skipif(not native.is_built(), reason="the native engine is not built here")

LOWPASS = Butter(order=4, cutoff=20.0, fs=100.0)


def data(dtype, *shape):
    return (np.random.default_rng(0).standard_normal(shape) * 100).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int32", "uint8", "uint16"])
@pytest.mark.parametrize("shape", [(8, 100), (100,), (2, 3, 50), (0, 10), (3, 0), (1, 1)])
@pytest.mark.parametrize("options", [{}, {"precision": "float32"}, {"scale": 0.5, "offset": -3.0}], ids=str)
def test_the_same_bits(dtype, shape, options):
    """Asking for the engine by name takes the general path."""
    x = data(dtype, *shape)
    work = np.float32 if "precision" in options else np.float64
    zi = np.random.default_rng(1).standard_normal((2, *shape[:-1], 2)).astype(work)
    for sos in (LOWPASS, LOWPASS.sos):
        reference = sosfilt(sos, x, engine="native", **options)
        wanted_too, wanted_state = sosfilt(sos, x, zi=zi, engine="native", **options)
        for one, state in ((x, zi), (torch.from_numpy(x), torch.from_numpy(zi))):
            assert plain_values(one) is not None
            y = sosfilt(sos, one, **options)
            too, zf = sosfilt(sos, one, zi=state, **options)
            for result, expected in ((y, reference), (too, wanted_too), (zf, wanted_state)):
                assert type(result) is type(one)
                result = np.asarray(result)
                assert result.dtype == expected.dtype
                np.testing.assert_array_equal(result, expected)


def test_views_of_any_strides():
    x = data("float64", 6, 40, 3)
    for view in (x[::2, ::-1, 1], np.broadcast_to(x[0, :, 0], (4, 40)), x.transpose(2, 0, 1)[:, 1:4]):
        np.testing.assert_array_equal(sosfilt(LOWPASS, view), sosfilt(LOWPASS, view.copy(), engine="native"))
    t = torch.from_numpy(x).permute(2, 0, 1)[:, ::2]
    np.testing.assert_array_equal(sosfilt(LOWPASS, t).numpy(), sosfilt(LOWPASS, t.numpy(), engine="native"))


def test_not_taken_where_torch_has_to_dispatch():
    t = torch.zeros(3, 5)
    assert plain_values(t) is not None
    assert plain_values(torch.zeros(3, 5, requires_grad=True)) is None
    assert plain_values(torch.zeros(3, 5, device="meta")) is None
    assert plain_values(torch.zeros(3, 5, dtype=torch.bfloat16)) is None
    assert plain_values(torch.zeros(3, 5).to_sparse()) is None
    assert plain_values(torch.zeros(3, dtype=torch.complex64).conj().imag) is None
    assert plain_values(torch.nn.Parameter(t, requires_grad=False)) is None
    assert plain_values(torch.tensor(1.0)) is None
    with trace():
        assert plain_values(t) is None
    with forward_ad.dual_level():
        assert plain_values(t) is None
    torch.func.vmap(lambda row: (row, _assert_none(row))[0])(t)
    for other in (
        np.zeros(3, ">f8"),
        np.zeros(3, np.float16),
        np.zeros(3, complex),
        np.float64(3),
        np.array(3.0),
        [1.0],
    ):
        assert plain_values(other) is None
    assert type(fast_pass(LOWPASS.sos, t, None, CausalFilter(design=LOWPASS)._settings, state=False)[0]) is torch.Tensor


def _assert_none(row):
    assert plain_values(row) is None


@pytest.mark.parametrize("nonfinite", ["propagate", "raise"])
def test_filters_and_their_steps(nonfinite):
    fast = CausalFilter(design=LOWPASS, nonfinite=nonfinite)
    general = CausalFilter(design=LOWPASS, nonfinite=nonfinite, initial="zero", engine="scipy")
    x = data("float64", 4, 90)
    np.testing.assert_array_equal(fast(x), general(x))
    for whole in (x, torch.from_numpy(x)):
        state, pieces = fast.init_state(describe(whole)), []
        for start, stop in ((0, 1), (1, 1), (1, 40), (40, 90)):
            piece, state = fast.step(whole[:, start:stop], state)
            assert type(piece) is type(whole)
            pieces.append(np.asarray(piece))
        np.testing.assert_array_equal(np.concatenate(pieces, axis=-1), general(x))
        assert int(state["position"]) == 90


def test_a_state_of_another_dtype_takes_the_general_path():
    filter = CausalFilter(design=LOWPASS)
    x = data("float64", 4, 90)
    state = filter.init_state(describe(x))
    reference, _ = filter.step(x, state)
    for dtype in (">f8", "f4"):
        seen, _ = filter.step(x, {**state, "zi": state["zi"].astype(dtype)})
        np.testing.assert_array_equal(seen, reference)


def test_the_kernel_says_whether_the_state_is_finite():
    x = data("float32", 5, 64)
    settings = CausalFilter(design=LOWPASS)._settings
    assert native.plain_pass(LOWPASS.sos, x, None, settings, state=True)[2] is True
    assert native.plain_pass(LOWPASS.sos, x, None, settings, state=False)[2] is False
    for value in (np.nan, np.inf, -np.inf):
        x[3, 7] = value
        assert native.plain_pass(LOWPASS.sos, x, None, settings, state=True)[2] is False
