"""Every entrance to compiled code, on arrays of every layout: the numbers of a plain copy, and SciPy's."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch

from bridgeflow import Decimate, Resample, SavgolFilter, SignalFilter, signal
from bridgeflow.bridge import to_arrow, to_numpy
from bridgeflow.errors import BridgeflowError
from bridgeflow.signal.iir import native
from bridgeflow.signal.iir.engine import Pass
from bridgeflow.signal.resampling import cpu
from tests.fuzz import curated
from tests.fuzz.layouts import COMPLEX, REAL, hostile, plain, straight

built = pytest.mark.skipif(not native.is_built() or not cpu.instruction_sets(), reason="built without the kernels")

Array = np.ndarray[Any, Any]

SHAPES = (
    (0,), (1,), (2,), (37,), (300,), (0, 5), (5, 0), (1, 1), (1, 40), (2, 130), (3, 129), (17, 64), (33, 16),
    (64, 200), (2, 3, 50), (2, 0, 9), (4, 1, 33), (130, 3), (1, 40_013), (2, 33_000),
)  # fmt: skip


def sections(rng: np.random.Generator, count: int) -> Array:
    poles = rng.uniform(0.2, 0.9, count) * np.exp(1j * rng.uniform(0, np.pi, count))
    sos = np.c_[rng.standard_normal((count, 3)), np.ones(count), -2 * poles.real, abs(poles) ** 2]
    sos[:, :3] /= abs(sos[:, :3]).sum(axis=1, keepdims=True)  # the gain of many of them stays finite
    return sos


def close(mine: Array, theirs: Array, single: bool) -> None:
    assert mine.shape == theirs.shape
    size = np.abs(theirs).max(initial=1.0)
    np.testing.assert_allclose(
        mine, theirs, rtol=0, atol=size * (2e-3 if mine.dtype.char == "e" else 1e-5 if single else 1e-9)
    )


def is_single(x: Array) -> bool:
    return x.dtype.itemsize < (16 if x.dtype.kind == "c" else 8) and x.dtype.kind in "fc"


def work(x: Array) -> Array:
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def sosfilt(rng: np.random.Generator, x: Array) -> None:
    """With and without state, target and segments side by side, along any axis."""
    count = int(rng.choice([1, 2, 3, 4, 5, 8, 9, 16, 33, 64, 65, 130]))
    axis = int(rng.integers(x.ndim))
    sos = sections(rng, count)
    odd_sos = with_layout(rng, sos)
    shape = list(x.shape)
    shape[axis] = 2
    zi = plain(rng, "complex128" if x.dtype.kind == "c" else "float64", (count, *shape)) if rng.integers(2) else None
    how = {"parallel": "time"} if rng.integers(4) == 0 else {}
    engine = ("native", "native", None, "scipy")[rng.integers(4)]
    call = lambda sos, x, zi, **more: signal.sosfilt(sos, x, axis, zi, engine=engine, **how, **more)  # noqa: E731
    copy = straight(x)
    mine, expected = call(odd_sos, x, zi if zi is None else with_layout(rng, zi)), call(sos, copy, zi)
    for one, other in zip(*((y if isinstance(y, tuple) else (y,)) for y in (mine, expected)), strict=True):
        np.testing.assert_array_equal(one, other)
    y = expected if zi is None else expected[0]
    if x.size:
        theirs = scipy.signal.sosfilt(sos, work(copy), axis, zi)
        close(y, theirs if zi is None else theirs[0], is_single(x))
    if y.dtype == x.dtype and y.dtype.isnative:
        in_place(rng, lambda x, out: call(sos, x, zi, out=out), copy, y)


def in_place(rng: np.random.Generator, call: Callable[[Array, Array], Any], x: Array, expected: Array) -> None:
    """Into memory that overlaps the data: all of it, a part, backwards; memory that overlaps itself is refused."""
    shift = int(rng.integers(1, 9))
    room = np.zeros((*x.shape[:-1], x.shape[-1] + shift), x.dtype)
    source = room[..., : x.shape[-1]]
    source[...] = x
    target = (source, room[..., shift:], source[..., ::-1])[rng.integers(3)]
    done = call(source, target)
    np.testing.assert_array_equal(target, expected)
    np.testing.assert_array_equal(done[0] if isinstance(done, tuple) else done, expected)
    if x.shape[-1] > 1 and x.size:
        folded = np.lib.stride_tricks.as_strided(np.zeros(x.shape, x.dtype), x.shape, (*x.strides[:-1], 0))
        with pytest.raises(BridgeflowError, match="overlaps itself"):
            call(x, folded)


def with_layout(rng: np.random.Generator, values: Array) -> Array:
    """Coefficients and states in a layout of their own."""
    if rng.integers(2):
        return values
    room = np.zeros((*values.shape[:-1], 2 * values.shape[-1]), values.dtype)
    room[..., ::2] = values
    odd = room[..., ::2]
    return odd.astype(odd.dtype.newbyteorder(">")) if rng.integers(2) else odd


def sosfiltfilt(rng: np.random.Generator, x: Array) -> None:
    sos = sections(rng, int(rng.choice([1, 2, 5, 20, 66])))
    padtype = ("odd", "even", "constant", None)[rng.integers(4)]
    padlen = int(rng.integers(0, max(x.shape[-1], 1)))
    same_or_refused(lambda x: signal.sosfiltfilt(sos, x, -1, padtype, padlen, engine="native"), x)
    if x.size:
        theirs = scipy.signal.sosfiltfilt(sos, work(straight(x)), -1, padtype, padlen)
        close(signal.sosfiltfilt(sos, x, -1, padtype, padlen), theirs, is_single(x))


def resample_poly(rng: np.random.Generator, x: Array) -> None:
    up, down = int(rng.integers(1, 12)), int(rng.integers(1, 12))
    padtype = ("constant", "line", "mean", "edge", "reflect", "wrap")[rng.integers(6)]
    exact = padtype not in ("line", "mean")  # NumPy adds up a mean by layout
    same_or_refused(lambda x: signal.resample_poly(x, up, down, -1, padtype=padtype), x, exact=exact)
    if x.size and padtype == "constant":
        theirs = scipy.signal.resample_poly(work(straight(x)), up, down, axis=-1)
        close(signal.resample_poly(x, up, down, axis=-1), theirs, is_single(x))


def along_any_axis(rng: np.random.Generator, x: Array) -> None:
    axis = int(rng.integers(x.ndim))
    q = int(rng.integers(1, 6))
    taps = rng.standard_normal(int(rng.integers(1, 40)))
    same_or_refused(lambda x: signal.resample_poly(x, q, 2, axis), x)
    same_or_refused(lambda x: signal.decimate(x, q, ftype="fir", axis=axis), x)
    same_or_refused(lambda x: signal.decimate(x, q, axis=axis), x)
    same_or_refused(lambda x: signal.fir_filter(taps, x, axis), x)
    same_or_refused(lambda x: signal.fir_filtfilt(taps, x, axis), x)
    if x.size:
        mine = signal.fir_filter(with_layout(rng, taps), x, axis)
        close(mine, scipy.signal.lfilter(taps, 1, work(straight(x)), axis), is_single(x))


def transforms(rng: np.random.Generator, x: Array) -> None:
    chosen: tuple[Any, ...] = (
        SignalFilter(design="butter", cutoff=20, fs=100, order=int(rng.integers(1, 9)), nonfinite="propagate"),
        SignalFilter(design="butter", cutoff=20, fs=100, order=3, mode="zero_phase", nonfinite="propagate"),
        SignalFilter(
            design="butter", cutoff=20, fs=100, order=3, precision="float32", scale=0.5, nonfinite="propagate"
        ),
        SignalFilter(design="firwin", cutoff=20, fs=100, numtaps=31, nonfinite="propagate"),
        Resample(from_hz=100, to_hz=int(rng.integers(20, 300))),
        Resample(from_hz=100, to_hz=int(rng.integers(20, 300)), quality="high"),
        Resample(from_hz=100, to_hz=float(rng.uniform(20, 300)), quality="medium"),
        Decimate(q=int(rng.integers(2, 6)), ftype="fir"),
        SavgolFilter(window_length=7, polyorder=2, mode="nearest"),
    )
    which = chosen[rng.integers(len(chosen))]
    same_or_refused(which, x, exact=not isinstance(which, SavgolFilter))  # BLAS adds up by layout


def same_or_refused(call: Callable[[Any], Any], x: Array, *, exact: bool = True) -> None:
    """The numbers of a plain copy, whatever kind of array it is; or the same refusal."""
    copy = straight(x)
    same = np.testing.assert_array_equal if exact else lambda one, other: close(one, other, is_single(x))
    try:
        expected = call(copy)
    except BridgeflowError as error:
        with pytest.raises(type(error)):
            call(x)
        return
    same(call(x), expected)
    if x.dtype.kind in "fc" and x.size:
        same(to_numpy(call(to_arrow(copy))), expected)
        same(
            to_numpy(call(torch.from_numpy(copy[..., :1]).expand(copy.shape))),
            call(copy[..., :1].repeat(x.shape[-1], -1)),
        )


ENTRANCES = (sosfilt, sosfiltfilt, resample_poly, along_any_axis, transforms)


def fuzz(draws: int, seed: int) -> Counter[str]:
    rng = np.random.default_rng(seed)
    counts: Counter[str] = Counter()
    for _ in range(draws):
        dtype = str(rng.choice([*REAL, *COMPLEX]))
        shape = SHAPES[rng.integers(len(SHAPES))]
        x, name = hostile(rng, dtype, shape)
        entrance = ENTRANCES[rng.integers(len(ENTRANCES))]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                entrance(rng, x)
        except Exception as error:
            raise AssertionError(f"{entrance.__name__} of {name}: {type(error).__name__}: {error}") from error
        counts[entrance.__name__] += 1
    return counts


@built
def test_hostile_layouts_have_the_numbers_of_plain_copies():
    assert sum(fuzz(400, seed=0).values()) == 400


@built
@pytest.mark.slow
def test_many_hostile_layouts_have_the_numbers_of_plain_copies(capsys):
    counts = sum((fuzz(2000, seed) for seed in range(1, 9)), Counter())
    with capsys.disabled():
        print(f"\nnative entrances, calls on hostile layouts: {counts.total()} {dict(counts)}")


ARGUMENTS = (
    lambda rng: np.zeros((rng.integers(0, 4), rng.choice([0, 2, 5, 6, 7])), rng.choice(["f8", "f4", "c16", "i4"])),
    lambda rng: np.zeros(rng.integers(0, 4, rng.integers(0, 4)), rng.choice(["f8", "f4", "i2", "c8", "i8"])),
    lambda rng: np.zeros((2, int(rng.integers(1, 4)), 2), rng.choice(["f8", "f4"]))[:, :, :: int(rng.choice([1, -1]))],
    lambda rng: np.zeros(24, "u1")[1:].reshape(-1)[:16].view("f8"),
    lambda rng: memoryview(bytearray(48)).cast("d"),
    lambda rng: b"bytes",
    lambda rng: None,
)  # fmt: skip


@built
def test_the_bindings_refuse_arguments_that_do_not_fit():
    """What they could be handed by mistake ends as a Python exception; the sanitizers see that nothing else happens."""
    from bridgeflow.signal.iir import _native as iir
    from bridgeflow.signal.resampling import _native as resampling

    rng = np.random.default_rng(0)
    any_of = lambda: ARGUMENTS[rng.integers(len(ARGUMENTS))](rng)  # noqa: E731
    sizes = (0, 1, 2, 7, -1, 2**31 - 1, 2**62, -(2**62))
    size = lambda: int(rng.choice(sizes))  # noqa: E731
    x, sos = np.zeros((3, 50)), sections(rng, 2)
    refused = 0
    for _ in range(3000):
        good = [sos, x, np.empty_like(x), None, np.empty((2, 3, 2)), False, 1.0, 0.0, 1, "", 0, 0, None]
        for place in rng.choice([0, 1, 2, 3, 4, 12], int(rng.integers(1, 3))):
            good[place] = any_of()
        good[10], good[11] = int(rng.integers(-1, 5)), size()
        try:
            iir.run(*good)
        except (ValueError, TypeError, BufferError):
            refused += 1
        up = abs(int(rng.integers(0, 4)))
        good = [x, np.empty((3, 20)), np.zeros((up, 3)), up, size(), size(), size(), 1, ""]
        for place in rng.choice(3, int(rng.integers(0, 2))):
            good[place] = any_of()
        try:
            resampling.run(*good)
        except (ValueError, TypeError, BufferError, MemoryError):
            refused += 1
    assert 3000 < refused < 6000


@built
@pytest.mark.parametrize("isa", native.instruction_sets())
@pytest.mark.parametrize("rows", [1, 2, 3, 17, 64, 400])
def test_a_sample_expanded_over_time_in_every_instruction_set(isa, rows):
    rng = np.random.default_rng(rows)
    sos, x = sections(rng, 3), np.broadcast_to(rng.standard_normal((rows, 1)), (rows, 1500))
    for how in (Pass(), Pass("float32")):
        for axes in (x, x.astype("f4")[:, :1].repeat(1500, 1), np.broadcast_to(x[:, :1].astype("c16"), x.shape)):
            mine = native.sosfilt(sos, axes, None, how, instruction_set=isa)
            expected = native.sosfilt(sos, axes.copy(), None, how, instruction_set=isa)
            for one, other in zip(mine, expected, strict=True):
                np.testing.assert_array_equal(one, other)


def test_functions_by_scipys_names_end_neither_in_a_crash_nor_without_memory():
    assert not fatal(every=997)


@pytest.mark.slow
def test_many_arguments_of_functions_by_scipys_names(capsys):
    assert not fatal(every=61, told=capsys)


def fatal(every: int, told: pytest.CaptureFixture[str] | None = None) -> list[str]:
    """Calls that ended in a crash, a hang, without memory or in an overflow; a wrong type may be a TypeError here."""
    counts, wrong = curated.fuzz(curated.NAMED, every)
    if told is not None:
        with told.disabled():
            print(f"\nfunctions by SciPy's names, calls: {counts.total()} {dict(counts)}")
    return [one for one in wrong if not one.startswith(("TypeError", "ValueError", "IndexError"))]
