"""The native engine: SIMD over rows, on the CPU, with SciPy's bits (kernel.cpp, called by native.cpp).

One row is one lane of a vector, so a batch costs little more than its memory; one or two rows put their sections into
the lanes instead. A lane computes what SciPy's loop computes, in the same order, without fused operations: in float64
the results are SciPy's bit for bit, and they depend on the row and the filter alone, not on the batch, the chunk, the
threads or the processor. The one exception: subnormal numbers, below 2.3e-308 (1.2e-38 in float32), count as zero, so
that silence is never slow.

`parallel="time"` also cuts long rows into segments that run side by side. Their initial states come from the transition
matrix of the filter, so the bits change: by less than `tolerance(sos)`.
"""

from __future__ import annotations

import sys
import warnings
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from bridgeflow._threads import compute_threads
from bridgeflow.policy import parse_word
from bridgeflow.signal._memory import empty
from bridgeflow.signal.iir.engine import Array, Pass, Precision, result_dtype, rounded
from bridgeflow.signal.padding import Padtype

try:
    from bridgeflow.signal.iir import _native

    _missing, _SMALL = None, _native.SMALL
except ImportError as error:
    _missing, _SMALL = error, 0

__all__ = [
    "Parallel",
    "instruction_sets",
    "is_built",
    "plain_pass",
    "sosfilt",
    "sosfilt_bank",
    "sosfiltfilt",
    "state_shape",
    "tolerance",
    "unavailable",
]

Parallel: TypeAlias = Literal["time"]
"""What else than rows may run side by side."""

_READ: Final = frozenset("fdFDhiBH")
_WRITTEN: Final = frozenset("fdFD")
_PADDING: Final = {None: 0, "odd": 1, "even": 2, "constant": 3}

_FEW: Final = 1 << 10
"""Elements for which it does not matter where a result lies, and looking costs a tenth of a pass."""

SEGMENTS: Final = 32
"""Rows that `parallel="time"` makes of few, whatever the machine: enough for two vectors on each of a few threads."""

SHORTEST_SEGMENT: Final = 1024


def unavailable() -> str | None:
    """Why the engine cannot run here; says so once where it is missing."""
    if _missing is None:
        return None
    reason = _reason(_missing)
    warnings.warn(
        "BridgeFlow filters with SciPy, two to nine times slower by shape and element type, because its native engine "
        f"is missing: {reason}; install GCC or Clang, then BridgeFlow again",
        RuntimeWarning,
        stacklevel=2,
    )
    return reason


def _reason(error: ImportError) -> str:
    """Why the compiled module is not here: never built, built for another Python, or not to be loaded."""
    if not isinstance(error, ModuleNotFoundError):
        return f"it was built, but cannot be loaded ({error})"
    others = sorted(path.name for path in Path(__file__).parent.glob("_native.*.so"))
    if others:
        return f"it was built for another Python ({', '.join(others)}), not for {sys.implementation.cache_tag}"
    try:
        metadata.distribution("bridgeflow")
    except metadata.PackageNotFoundError:
        return "it was not built, because the sources are used without being installed"
    return "its build failed when BridgeFlow was installed (pip install -v shows why); it needs GCC 12 or Clang 15"


def is_built() -> bool:
    """Whether the engine can run here; unlike `unavailable`, without a word."""
    return _missing is None


def plain_pass(
    sos: Array, x: Array, zi: Array | None, settings: Pass, *, state: bool
) -> tuple[Array, Array | None, bool]:
    """`sosfilt` with default options, with nothing looked at twice: a third of its time where the data are few.

    Args:
        sos: float64 [S, 6], contiguous; or [F, S, 6], a bank.
        x: [..., T] of float32, float64, int16, int32, uint8 or uint16 in the machine's byte order.
        zi: [S, ..., 2], for a bank [S, ..., F, 2], in the dtype of the recursion; or `None` for zero.
        settings: without `parallel`.
        state: whether to return the final state.

    Returns:
        y: as `sosfilt` gives it.
        zf: likewise, or `None`.
        clean: whether zf is finite throughout.
    """
    shape = x.shape
    if sos.ndim == 2:
        states: tuple[int, ...] = (len(sos), *shape[:-1], 2)
    else:
        shape, states = (*shape[:-1], len(sos), shape[-1]), state_shape(sos, x)
    allocate = np.empty if x.size <= _FEW else empty
    y = allocate(shape, x.dtype if x.dtype.char in "fd" else np.float64)
    single = settings.precision == "float32"
    zf = np.empty(states, np.float32 if single else np.float64) if state else None
    many = compute_threads() if y.size > _SMALL else 1
    clean = _native.run(sos, x, y, zi, zf, single, settings.scale, settings.offset, many, "", 0, 0, None)
    return y, zf, clean


def state_shape(sos: Array, x: Array) -> tuple[int, ...]:
    """Of the state of sections [S, 6], or of a bank [F, S, 6], for data [..., T].

    >>> state_shape(np.zeros((4, 6)), np.zeros((3, 9))), state_shape(np.zeros((5, 4, 6)), np.zeros((3, 9)))
    ((4, 3, 2), (4, 3, 5, 2))
    """
    if sos.ndim == 2:
        return len(sos), *x.shape[:-1], 2
    return sos.shape[1], *x.shape[:-1], len(sos), 2


def instruction_sets() -> list[str]:
    """Those that the engine has code for and this machine runs, best first; "wide" is for tests."""
    return _native.instruction_sets()


def tolerance(sos: Array, precision: Precision = "float64") -> float:
    """How far `parallel="time"` may be from the same row in one piece, as a fraction of the largest of |x| and |y|.

    For `precision="float32"` it is also how far the recursion may be from exact arithmetic with the given coefficients:
    there states and coefficients have 24 bits, in SciPy's coordinates, so a corner below a thousandth of the sampling
    rate leaves few digits or none (`precision="float64"` or `engine="blocks"` keep them).

    With d the distance of the closest pole from the unit circle, it is eps (16 + 1 / d^2): rounding the states where
    segments meet costs as much as any other rounding until d is about 1e-4, and is then the larger part.

    >>> tolerance(np.array([[1.0, 0, 0, 1, -0.9, 0]])) < 1e-12
    True
    """
    a1, a2 = sos[:, 4], sos[:, 5]
    root = np.emath.sqrt(a1 * a1 / 4 - a2)
    radius = np.maximum(np.abs(-a1 / 2 + root), np.abs(-a1 / 2 - root)).max()
    distance = max(1.0 - float(radius), float(np.finfo(np.float64).eps))
    return float(np.finfo(precision).eps) * (16 + distance**-2)


def sosfilt(
    sos: Array,
    x: Array,
    zi: Array | None,
    settings: Pass,
    out: Array | None = None,
    *,
    parallel: Parallel | None = None,
    instruction_set: str = "",
) -> tuple[Array, Array]:
    """See `engine.Engine.sosfilt`.

    Args:
        sos, x, zi, settings, out: see there.
        parallel: `"time"` runs segments of long rows side by side where there are few rows.
        instruction_set: one of `instruction_sets()` instead of the best.

    >>> y, zf = sosfilt(np.array([[0.5, 0.5, 0, 1, 0, 0]]), np.arange(4.0), None, Pass())
    >>> y, zf
    (array([0. , 0.5, 1.5, 2.5]), array([[1.5, 0. ]]))
    """
    if parallel is not None:
        parse_word(parallel, Parallel, field="parallel")
    work = settings.work_dtype(x.dtype)
    readable, settings = _readable(x, settings, work)
    target = _target(readable, x.dtype, work, out)
    zf = np.empty((len(sos), *x.shape[:-1], 2), work)
    sections = np.ascontiguousarray(sos, np.float64)
    state = None if zi is None else zi.astype(work, copy=False)
    if out is not None:  # what is read all along must not lie where results are written
        sections = sections.copy() if np.may_share_memory(sections, target) else sections
        state = state.copy() if state is not None and np.may_share_memory(state, target) else state
    run = _Runner(sections, settings, instruction_set)
    if parallel is None or not _by_segments(run, readable, state, target, zf):
        run(readable, target, state, zf)
    if out is None:
        return rounded(target, x.dtype), zf
    if target is not out:
        out[...] = rounded(target, x.dtype)
    return out, zf


def sosfiltfilt(
    sos: Array, x: Array, padtype: Padtype | None, padlen: int | None, settings: Pass, *, instruction_set: str = ""
) -> Array:
    """See `engine.Engine.sosfiltfilt`: both passes and the padding in one, over a tile that stays in the cache.

    >>> ramp = np.arange(6.0)
    >>> sosfiltfilt(np.array([[0.5, 0.5, 0, 1, 0, 0]]), ramp, "odd", 3, Pass())
    array([0., 1., 2., 3., 4., 5.])
    """
    work = settings.work_dtype(x.dtype)
    readable, settings = _readable(x, settings, work)
    target = _target(readable, x.dtype, work, None)
    sections = np.ascontiguousarray(sos, np.float64)
    steady = _steady(sections.tobytes())
    run = _Runner(sections, settings, instruction_set)
    run(readable, target, None, None, _PADDING[padtype], 0 if padtype is None else padlen or 0, steady)
    return rounded(target, x.dtype)


def sosfilt_bank(
    bank: Array, x: Array, zi: Array | None, settings: Pass, out: Array | None = None
) -> tuple[Array, Array]:
    """Several filters over one input: y [..., F, T] and the state after it, [S, ..., F, 2].

    Args:
        bank: float64 [F, S, 6].
        x: data [..., T], as for `sosfilt`.
        zi: state [S, ..., F, 2], or `None` for zero.
        settings: precision and units.
        out: [..., F, T] of `result_dtype(x.dtype)` in the machine's byte order, to write y into; not x.

    >>> y, zf = sosfilt_bank(np.array([[[1.0, 0, 0, 1, 0, 0]], [[0.5, 0.5, 0, 1, 0, 0]]]), np.arange(3.0), None, Pass())
    >>> y
    array([[0. , 1. , 2. ],
           [0. , 0.5, 1.5]])
    """
    work = settings.work_dtype(x.dtype)
    readable, settings = _readable(x, settings, work)
    expected = result_dtype(x.dtype)
    written = expected.newbyteorder("=") if expected.char in _WRITTEN else work
    y = empty((*x.shape[:-1], len(bank), x.shape[-1]), written) if out is None else out
    zf = np.empty(state_shape(bank, x), work)
    state = None if zi is None else zi.astype(work, copy=False)
    _Runner(np.ascontiguousarray(bank, np.float64), settings, "")(readable, y, state, zf)
    return rounded(y, x.dtype), zf


class _Runner:
    """The kernel with a filter, or a bank of filters, and its settings."""

    def __init__(self, sections: Array, settings: Pass, instruction_set: str) -> None:
        self.sections = sections
        self.settings = settings
        self.instruction_set = instruction_set

    def __call__(
        self,
        x: Array,
        out: Array | None,
        zi: Array | None,
        zf: Array | None,
        padding: int = 0,
        padlen: int = 0,
        steady: Array | None = None,
    ) -> None:
        settings = self.settings
        _native.run(
            self.sections,
            x,
            out,
            zi,
            zf,
            settings.precision == "float32",
            settings.scale,
            settings.offset,
            compute_threads() if x.size > _native.SMALL else 1,
            self.instruction_set,
            padding,
            padlen,
            steady,
        )


def _readable(x: Array, settings: Pass, work: np.dtype[Any]) -> tuple[Array, Pass]:
    """Data of a type that the kernel reads; others are converted, to units too, as the reference engine does it."""
    if x.dtype.char in _READ and x.dtype.isnative:
        return x, settings
    return settings.units(x, work), Pass(settings.precision)


def _target(x: Array, dtype: np.dtype[Any], work: np.dtype[Any], out: Array | None) -> Array:
    """`out`, or new memory where there is none or the kernel cannot write to it."""
    expected = result_dtype(dtype)
    if expected.char not in _WRITTEN:
        return np.empty(x.shape, work)
    if not expected.isnative:
        return empty(x.shape, expected.newbyteorder("="))
    if out is None or out.dtype != expected or (np.may_share_memory(x, out) and not _same_place(x, out)):
        return empty(x.shape, expected)
    return out


def _same_place(x: Array, out: Array) -> bool:
    """Whether every element of `out` lies exactly where that of `x` does: it is read before it is written."""
    return (
        x.__array_interface__["data"][0] == out.__array_interface__["data"][0]
        and x.strides == out.strides
        and x.itemsize == out.itemsize
    )


@lru_cache(maxsize=64)
def _steady(sections: bytes) -> Array:
    from bridgeflow.signal.iir.steady import sosfilt_zi

    return np.ascontiguousarray(sosfilt_zi(np.frombuffer(sections).reshape(-1, 6).copy()))


def _by_segments(run: _Runner, x: Array, zi: Array | None, out: Array, zf: Array) -> bool:
    """Filter as `run` does, but with segments of each row side by side; says whether that was worth while.

    The state is a linear map of the state a segment earlier, plus what the segment alone leaves,

        s[k + 1] = A^L s[k] + f[k],

    so a first pass computes every f from a zero state, the states follow one after another, and a second pass computes
    the output from them. The first pass need not look further back than the filter remembers, often far less than L.
    """
    lead, samples = x.shape[:-1], x.shape[-1]
    rows = int(np.prod(lead, dtype=np.int64))
    count = -(-SEGMENTS // max(rows, 1))
    length = samples // max(count, 1)
    if count < 2 or length < SHORTEST_SEGMENT:
        return False
    if length * x.itemsize % 4096 < 128:  # rows a power of two apart would compete for the same places in the cache
        length -= 40
    whole = count * length
    sections = run.sections
    order = 2 * len(sections)
    across, memory = _transition(sections.tobytes(), length)
    segments = x[..., :whole].reshape(*lead, count, length)
    alone = np.empty((len(sections), *lead, count, 2), zf.dtype)
    run(segments[..., length - memory :], None, None, alone)

    # [sections, ..., count, 2] to [count, ..., order] and back
    left = np.moveaxis(alone, (-2, 0), (0, -2)).reshape(count, *lead, order)
    begin = np.empty_like(left)
    begin[0] = 0 if zi is None else np.moveaxis(zi, 0, -2).reshape(*lead, order)
    with np.errstate(all="ignore"):
        for k in range(1, count):
            begin[k] = begin[k - 1] @ across.T + left[k - 1]
    states = np.moveaxis(begin.reshape(count, *lead, len(sections), 2), (0, -2), (-2, 0))

    after = np.empty_like(alone)
    outputs = out[..., :whole].reshape(*lead, count, length, copy=False)
    run(segments, outputs, states, after)
    dirty = ~np.isfinite(after).all(axis=(0, -1))
    if dirty.any():  # the first pass may have begun after a NaN, but nothing after it can be finite
        after_gap = np.logical_or.accumulate(dirty, axis=-1)
        outputs[..., 1:, :][after_gap[..., :-1]] = np.nan
        after[:, after_gap] = np.nan
    run(x[..., whole:], out[..., whole:], after[..., -1, :], zf)
    return True


@lru_cache(maxsize=64)
def _transition(sections: bytes, length: int) -> tuple[Array, int]:
    """A^length, and after how many samples a state has faded below anything that float64 can tell, at most `length`."""
    sos = np.frombuffer(sections).reshape(-1, 6).astype(np.longdouble)
    order = 2 * len(sos)
    step = np.zeros((order, order), np.longdouble)
    passed_on = np.zeros(order, np.longdouble)  # what the sections so far give, for each state, when nothing comes in
    for s, (b0, b1, b2, _, a1, a2) in enumerate(sos):
        driven = b0 * passed_on
        driven[2 * s] += 1
        step[2 * s] = b1 * passed_on - a1 * driven
        step[2 * s, 2 * s + 1] += 1
        step[2 * s + 1] = b2 * passed_on - a2 * driven
        passed_on = driven
    faded, memory = step, 1
    while memory < length and not np.abs(faded).max() < 1e-24:
        faded, memory = faded @ faded, 2 * memory
    across = np.linalg.matrix_power(step, length).astype(np.float64)
    return across, min(memory, length)
