"""The block engine against SciPy in float64: shapes, dtypes, states, lengths around every boundary, NaN, settings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgeflow.errors import NoRoute
from bridgeflow.signal.iir import blocks
from tests.signal.iir.filters import EASY

BANDPASS = scipy.signal.butter(2, [0.1, 0.4], btype="band", output="sos")
TOLERANCE = {"float64": 1e-13, "float32": 1e-6}
LENGTHS = [1, 7, 8, 24, 25, 33, 384, 385, 600, 4097]


@pytest.fixture(params=["cpu", "device"])
def manner(request, monkeypatch):
    """How the CPU computes, and how devices do, where every call and every question costs."""
    monkeypatch.setattr(blocks, "_calls_are_dear", lambda _: request.param == "device")


def scipys(sos, x, zi=None, *, reverse=False):
    """SciPy's answer in double precision."""
    x = x[..., ::-1] if reverse else x
    wide = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    zi = np.zeros((len(sos), *x.shape[:-1], 2)) if zi is None else zi
    y, zf = scipy.signal.sosfilt(sos, wide, zi=zi.astype(wide.dtype))
    return (y[..., ::-1] if reverse else y), zf


def assert_agrees(sos, x, zi=None, *, precision="float64", reverse=False, tolerance=None, zf_tolerance=None):
    given_zi = None if zi is None else torch.from_numpy(zi)
    y, zf = blocks.filter_tensor(sos, torch.from_numpy(x), given_zi, precision, reverse=reverse)
    expected, expected_zf = scipys(sos, x, zi, reverse=reverse)
    assert y.shape == x.shape
    assert zf.shape == expected_zf.shape
    scale = max(1, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(y.numpy(), expected, rtol=0, atol=scale * (tolerance or TOLERANCE[precision]))
    np.testing.assert_allclose(zf.numpy(), expected_zf, rtol=0, atol=scale * (zf_tolerance or TOLERANCE[precision]))


@pytest.mark.usefixtures("manner")
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", EASY)
def test_agrees_with_scipy(name, precision):
    x = np.random.default_rng(0).standard_normal((3, 2000))
    assert_agrees(EASY[name], x, precision=precision)


@pytest.mark.usefixtures("manner")
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("rows", [(), (3,), (2, 5)])
def test_every_length_and_shape_with_a_state(rows, length, reverse):
    rng = np.random.default_rng(length)
    zi = rng.standard_normal((len(BANDPASS), *rows, 2))
    assert_agrees(BANDPASS, rng.standard_normal((*rows, length)), zi, reverse=reverse)


@pytest.mark.parametrize("tile", [4000, 40_000])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_tiles_of_rows_and_of_time_fit_together(monkeypatch, tile, precision):
    monkeypatch.setattr(blocks, "CPU_TILE", tile)
    blocks._plan.cache_clear()
    rng = np.random.default_rng(0)
    for shape in [(1, 7000), (3, 1234), (40, 100), (2, 768)]:
        zi = rng.standard_normal((len(BANDPASS), *shape[:-1], 2))
        for reverse in (False, True):
            assert_agrees(BANDPASS, rng.standard_normal(shape), zi, precision=precision, reverse=reverse)
    blocks._plan.cache_clear()


@pytest.mark.usefixtures("manner")
def test_many_levels_of_groups():
    sos = scipy.signal.butter(2, 1e-4, output="sos")
    x = 1 + np.random.default_rng(0).standard_normal((1, 400_000))
    assert_agrees(sos, x, tolerance=1e-9, zf_tolerance=1e-9)  # SciPy's error


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(
    ("dtype", "own"),
    [
        ("float64", 0), ("float32", 1e-6), ("float16", 1e-3), ("complex128", 0), ("complex64", 1e-6),
        ("int64", 0), ("int32", 0), ("int16", 0), ("int8", 0), ("uint8", 0), ("uint16", 0), ("bool", 0),
    ],
)  # fmt: skip
def test_dtypes_are_kept_and_integers_become_float64(dtype, own, precision):
    rng = np.random.default_rng(0)
    x = 30 * rng.standard_normal((2, 500))
    x = (x + 1j * rng.standard_normal(x.shape) if dtype.startswith("complex") else np.abs(x)).astype(dtype)
    zi = rng.standard_normal((len(BANDPASS), 2, 2))
    y, zf = blocks.filter_tensor(BANDPASS, torch.from_numpy(x), torch.from_numpy(zi), precision)
    assert y.dtype is (torch.float64 if x.dtype.kind in "iub" else getattr(torch, dtype))
    assert zf.dtype is (torch.complex128 if x.dtype.kind == "c" else torch.float64)
    assert_agrees(BANDPASS, x, zi, precision=precision, tolerance=max(own, TOLERANCE[precision]))


def test_bfloat16():
    x = torch.randn(300).bfloat16()
    expected, _ = blocks.filter_tensor(BANDPASS, x.double(), None, "float64")
    assert torch.equal(blocks.filter_tensor(BANDPASS, x, None, "float64")[0], expected.bfloat16())


def test_any_strides_are_read_and_nothing_is_written():
    x = np.random.default_rng(0).standard_normal((6, 400, 4))
    for view in (x.transpose(2, 0, 1), x[::2, ::3].swapaxes(1, 2), np.broadcast_to(x[0, :, 0], (3, 400))):
        before = view.copy()
        y, _ = blocks.filter_tensor(
            BANDPASS, torch.from_numpy(x).as_strided(view.shape, _strides(view)), None, "float64"
        )
        np.testing.assert_allclose(y.numpy(), scipys(BANDPASS, before)[0], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(view, before)


def _strides(view):
    return [step // view.itemsize for step in view.strides]


def test_conjugate_and_negative_views():
    x = torch.randn(2, 100, dtype=torch.complex128)
    plain, _ = blocks.filter_tensor(BANDPASS, x, None, "float64")
    torch.testing.assert_close(blocks.filter_tensor(BANDPASS, x.conj(), None, "float64")[0], plain.conj())
    torch.testing.assert_close(blocks.filter_tensor(BANDPASS, x.conj().imag, None, "float64")[0], -plain.imag)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5), (2, 0, 4)])
def test_empty_data_hand_the_state_on(shape):
    zi = torch.randn(len(BANDPASS), *shape[:-1], 2, dtype=torch.float64)
    y, zf = blocks.filter_tensor(BANDPASS, torch.empty(shape), zi, "float64")
    assert y.shape == shape
    assert torch.equal(zf, zi)
    assert zf.data_ptr() != zi.data_ptr() or not zi.numel()


@settings(max_examples=30)
@given(st.lists(st.integers(0, 200), max_size=5), st.sampled_from(["float64", "float32"]))
def test_pieces_give_the_whole(cuts, precision):
    x = torch.from_numpy(np.random.default_rng(sum(cuts)).standard_normal((2, sum(cuts))))
    whole, end = blocks.filter_tensor(BANDPASS, x, None, precision)
    state, pieces = None, [x[:, :0]]
    for piece in x.split(cuts, dim=1) if cuts else []:
        y, state = blocks.filter_tensor(BANDPASS, piece, state, precision)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=10 * TOLERANCE[precision])
    if cuts:
        torch.testing.assert_close(state, end, rtol=0, atol=10 * TOLERANCE[precision])


@pytest.mark.usefixtures("manner")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 5, 31, 32, 95, 250, 399])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_what_is_not_finite_spoils_its_row_from_there_on_and_nothing_else(position, bad, precision):
    x = np.random.default_rng(0).standard_normal((3, 400))
    x[1, position] = bad
    x[1, min(position + 3, 399)] = np.nan
    y, zf = blocks.filter_tensor(BANDPASS, torch.from_numpy(x), None, precision)
    x[1, position:] = 0
    expected, _ = scipys(BANDPASS, x)
    expected[1, position:] = np.nan
    np.testing.assert_allclose(y.numpy(), expected, rtol=0, atol=TOLERANCE[precision])
    assert torch.isfinite(zf).all(dim=(0, 2)).tolist() == [True, False, True]


@pytest.mark.usefixtures("manner")
def test_a_spoilt_state_spoils_its_row():
    zi = torch.zeros(len(BANDPASS), 2, 2)
    zi[0, 1, 0] = np.nan
    y, zf = blocks.filter_tensor(BANDPASS, torch.ones(2, 300), zi, "float64")
    assert torch.isfinite(y).all(1).tolist() == [True, False]
    assert y[1].isnan().all()
    assert torch.isfinite(zf).all(dim=(0, 2)).tolist() == [True, False]


@pytest.mark.usefixtures("manner")
def test_what_does_not_decay_is_filtered_too():
    x = np.random.default_rng(0).standard_normal((2, 1000))
    integrator = np.array([[1.0, 0.0, 0.0, 1.0, -1.0, 0.0]])
    assert_agrees(integrator, x, tolerance=1e-11)
    growing = np.array([[1.0, 0.5, 0.0, 1.0, -2.1, 1.11], [1.0, 0.0, 0.0, 1.0, -0.5, 0.0]])
    y, _ = blocks.filter_tensor(growing, torch.from_numpy(x), None, "float64")
    np.testing.assert_allclose(y.numpy(), scipys(growing, x)[0], rtol=1e-9)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_tiny_gain_is_no_zero(precision):
    sos = scipy.signal.butter(4, 0.1, output="sos")
    sos[0, :3] *= 1e-30
    sos[1, :3] *= 1e20
    x = np.random.default_rng(0).standard_normal((2, 1000))
    y, _ = blocks.filter_tensor(sos, torch.from_numpy(x), None, precision)
    np.testing.assert_allclose(y.numpy() * 1e10, scipys(sos, x)[0] * 1e10, rtol=0, atol=TOLERANCE[precision])


def test_silence_after_sound_ends_in_zeros_and_not_in_denormal_numbers():
    x = torch.zeros(4, 200_000)
    x[:, :100] = torch.randn(4, 100)
    y, _ = blocks.filter_tensor(BANDPASS, x, None, "float32")
    tail = y[:, 20_000:]
    assert ((tail == 0) | (tail.abs() >= torch.finfo(torch.float32).tiny)).all()


def test_products_that_torch_may_round_are_made_in_float64():
    x = torch.randn(2, 3000)
    exact, _ = blocks.filter_tensor(BANDPASS, x, None, "float64")
    try:
        torch.set_float32_matmul_precision("medium")
        y, _ = blocks.filter_tensor(BANDPASS, x, None, "float32")
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(y, exact)


def test_autocast_does_not_reach_the_recursion():
    x = torch.randn(2, 3000)
    plain, _ = blocks.filter_tensor(BANDPASS, x, None, "float32")
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = blocks.filter_tensor(BANDPASS, x, None, "float32")
    assert torch.equal(y, plain)


def test_a_device_without_float64_says_so():
    with pytest.raises(NoRoute, match="mps has no float64"):
        blocks._work_dtype(torch.device("mps"), "float64")


def test_one_filter_in_many_threads():
    rng = np.random.default_rng(0)
    data = [torch.from_numpy(rng.standard_normal((3, 500 + i))) for i in range(32)]
    expected = [blocks.filter_tensor(BANDPASS, x, None, "float64")[0] for x in data]
    blocks._plan.cache_clear()
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda x: blocks.filter_tensor(BANDPASS, x, None, "float64")[0], data))
    for y, each in zip(results, expected, strict=True):
        torch.testing.assert_close(y, each, rtol=0, atol=1e-13)


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(1, 100_000), (64, 4096), (3, 1000), (5, 7)])
def test_cuda_gives_the_same(shape, precision):
    x = torch.randn(shape)
    x[0, shape[1] // 2] = np.nan
    zi = torch.randn(len(BANDPASS), shape[0], 2, dtype=torch.float64)
    expected, end = blocks.filter_tensor(BANDPASS, x, zi, precision)
    y, zf = blocks.filter_tensor(BANDPASS, x.cuda(), zi.cuda(), precision)
    assert y.is_cuda
    torch.testing.assert_close(y.cpu(), expected, rtol=0, atol=1e-5, equal_nan=True)
    torch.testing.assert_close(zf.cpu(), end, rtol=0, atol=1e-5, equal_nan=True)
