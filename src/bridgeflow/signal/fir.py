"""FIR filters, in direct form: every output is the same sum in the same order, wherever it stands.

`y[t] = sum(taps[k] * x[t - k])` is added up from the oldest sample to the newest, one rounding for each product and one
for each sum. So a recording filtered piece by piece equals the whole bit for bit, which SciPy's `lfilter` (whose sums
regroup with the length of the piece) does not promise; and the state between pieces, the sums begun, is SciPy's `zi`.

`method="fft"` is faster for long filters and equal within rounding. Tensors on a device, and tensors whose gradient is
wanted, are convolved by torch, likewise within rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from bridgeflow.bridge import kind_of, to_tensor
from bridgeflow.errors import ConfigError, DataError, names_errors
from bridgeflow.policy import Nonfinite, parse_word
from bridgeflow.signal._axes import time_last, time_where_it_was
from bridgeflow.signal._input import Prepared, as_ndarray, needs_gradient, prepare
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal.design import FirFilter
from bridgeflow.signal.design.base import solved, whole_delay
from bridgeflow.signal.fir_sums import direct, overlap_add
from bridgeflow.signal.iir import nonfinite as gaps
from bridgeflow.signal.iir.engine import Array, Pass, rounded
from bridgeflow.signal.iir.passes import Passed
from bridgeflow.signal.padding import Padtype, pad_ends, pad_zeros, parse_padding

__all__ = [
    "FirMethod",
    "fir_filter",
    "fir_filtfilt",
    "fir_zero_phase",
    "one_pass",
    "prepare_for_taps",
    "steady_state",
    "taps_of",
    "zero_phase_delay",
]

FirMethod: TypeAlias = Literal["direct", "fft"]
"""How an FIR filter is computed: pinned sums, or overlap-add in blocks."""


@overload
def fir_filter(
    taps: Any,
    x: SameKind,
    axis: int = ...,
    zi: None = ...,
    *,
    method: FirMethod = ...,
    nonfinite: Nonfinite = ...,
    scale: float = ...,
    offset: float = ...,
) -> SameKind: ...
@overload
def fir_filter(
    taps: Any,
    x: Any,
    axis: int = ...,
    zi: Any = ...,
    *,
    method: FirMethod = ...,
    nonfinite: Nonfinite = ...,
    scale: float = ...,
    offset: float = ...,
) -> Any: ...
@names_errors("fir_filter")
def fir_filter(
    taps: Any,
    x: Any,
    axis: int = -1,
    zi: Any = None,
    *,
    method: FirMethod = "direct",
    nonfinite: Nonfinite = "propagate",
    scale: float = 1.0,
    offset: float = 0.0,
) -> Any:
    """Filter along one axis with an impulse response, as `scipy.signal.lfilter(taps, 1, x, axis, zi)` does.

    Args:
        taps: impulse response [n], or an FIR design. Gradients flow to a tensor, unless `nonfinite` or units are asked
            for.
        x: data of any shape: ndarray, tensor, Arrow array or nested lists; real, complex, integer or boolean. Only
            read.
        axis: the axis of time.
        zi: state to start from, x's shape with n - 1 in the place of the time axis, SciPy's layout; `None` for zero.
        method: `"direct"`, the same bits in every chunking; or `"fft"`, equal within rounding, faster from about 100
            taps on.
        nonfinite: `"propagate"` NaN and infinity into the n outputs they are part of (the FFT spreads them further);
            `"raise"`; or `"reset"`: NaN exactly where x is not finite, and a fresh start from a zero state after each
            such gap.
        scale: the filter sees `scale * x + offset`.
        offset: see `scale`.

    Returns:
        y: as x in kind, device and shape; in dtype too (sums are float64), but for integers and booleans, which become
            float64.
        zf: the state after the last sample, only if `zi` was given: a tensor beside a tensor, else an ndarray; in
            float64 or complex128.

    Raises:
        DataError: shapes or dtypes that do not fit.
        NonFinite: `nonfinite="raise"`, naming the row and the first sample.

    >>> import numpy as np
    >>> fir_filter([0.5, 0.5], np.array([1.0, 3.0, 5.0]))
    array([0.5, 2. , 4. ])
    """
    parse_word(method, FirMethod, field="method")
    parse_word(nonfinite, Nonfinite, field="nonfinite")
    if needs_gradient(taps) and (nonfinite, scale, offset) == ("propagate", 1.0, 0.0):
        from bridgeflow.signal import transfer_torch

        return transfer_torch.lfilter(taps, [1.0], x, axis, zi, check=lambda b, a: None)
    weights, settings = taps_of(taps), Pass("float64", scale, offset)
    data = prepare_for_taps(x, axis, nonfinite)
    state = None if zi is None else _state_time_last(zi, data, len(weights))
    done = one_pass(weights, data.values, state, settings, nonfinite, method=method)
    y = data.restore(done.y)
    return y if zi is None else (y, data.restore_state(time_where_it_was(done.zf, axis)))


@overload
def fir_filtfilt(
    taps: Any,
    x: SameKind,
    axis: int = ...,
    padtype: Padtype | None = ...,
    padlen: int | None = ...,
    *,
    method: FirMethod = ...,
    nonfinite: Nonfinite = ...,
    scale: float = ...,
    offset: float = ...,
) -> SameKind: ...
@overload
def fir_filtfilt(
    taps: Any,
    x: Any,
    axis: int = ...,
    padtype: Padtype | None = ...,
    padlen: int | None = ...,
    *,
    method: FirMethod = ...,
    nonfinite: Nonfinite = ...,
    scale: float = ...,
    offset: float = ...,
) -> Any: ...
@names_errors("fir_filtfilt")
def fir_filtfilt(
    taps: Any,
    x: Any,
    axis: int = -1,
    padtype: Padtype | None = "odd",
    padlen: int | None = None,
    *,
    method: FirMethod = "direct",
    nonfinite: Nonfinite = "propagate",
    scale: float = 1.0,
    offset: float = 0.0,
) -> Any:
    """Filter forwards and backwards, as `scipy.signal.filtfilt(taps, 1, x, axis, padtype, padlen)`; gain squared.

    Args:
        taps: impulse response [n], or an FIR design; symmetric or not.
        x: data of any shape and kind. Only read.
        axis: the axis of time.
        padtype: how x goes on beyond its ends: `"odd"`, `"even"`, `"constant"`, or `None`.
        padlen: by how many samples, fewer than there are; `None` for three times n.
        method, scale, offset: as for `fir_filter`.
        nonfinite: `"propagate"`, `"raise"`, or `"reset"`: each run of finite samples is filtered as a recording of its
            own (padded by at most its length less one), NaN in the gaps.

    Returns:
        y: as x in kind, device and shape; in dtype too, but for integers and booleans, which become float64.

    Raises:
        DataError: shapes or dtypes that do not fit, among them an x that is not longer than `padlen`.
        NonFinite: `nonfinite="raise"`, naming the row and the first sample.

    >>> import numpy as np
    >>> fir_filtfilt([0.5, 0.5], np.arange(8.0)).round(12)
    array([0., 1., 2., 3., 4., 5., 6., 7.])
    """
    weights, settings = taps_of(taps), Pass("float64", scale, offset)
    parse_word(method, FirMethod, field="method")
    parse_word(nonfinite, Nonfinite, field="nonfinite")
    data = prepare_for_taps(x, axis, nonfinite)
    edge = parse_padding(padtype, padlen, 3 * len(weights), data.values.shape[-1])

    def both_ways(piece: Any) -> Any:
        padding = min(edge, piece.shape[-1] - 1)
        y = pad_ends(_units(piece, settings), padtype, padding)
        for _ in ("forwards", "backwards"):
            y, _zf = _run(weights, y, steady_state(weights, y, Pass()), Pass(), method)
            y = y[..., ::-1] if isinstance(y, np.ndarray) else y.flip(-1)
        return y[..., padding : y.shape[-1] - padding]

    return data.restore(_whole(both_ways, data.values, nonfinite))


@overload
def fir_zero_phase(
    taps: Any,
    x: SameKind,
    axis: int = ...,
    padtype: Padtype | None = ...,
    *,
    method: FirMethod = ...,
    nonfinite: Nonfinite = ...,
    scale: float = ...,
    offset: float = ...,
) -> SameKind: ...
@overload
def fir_zero_phase(
    taps: Any,
    x: Any,
    axis: int = ...,
    padtype: Padtype | None = ...,
    *,
    method: FirMethod = ...,
    nonfinite: Nonfinite = ...,
    scale: float = ...,
    offset: float = ...,
) -> Any: ...
@names_errors("fir_zero_phase")
def fir_zero_phase(
    taps: Any,
    x: Any,
    axis: int = -1,
    padtype: Padtype | None = "odd",
    *,
    method: FirMethod = "direct",
    nonfinite: Nonfinite = "propagate",
    scale: float = 1.0,
    offset: float = 0.0,
) -> Any:
    """Filter once and take the delay back: the gain as designed, and no delay. For symmetric taps of odd count.

    Args:
        taps: impulse response [n], symmetric (or antisymmetric, as of a derivative), n odd; or an FIR design of that
            form.
        x: data of any shape and kind. Only read.
        axis: the axis of time.
        padtype: how x goes on for half a filter beyond its ends: `"odd"`, `"even"`, `"constant"`; `None` for zeros.
        method, nonfinite, scale, offset: as for `fir_filtfilt`.

    Returns:
        y: as x in kind, device and shape; in dtype too, but for integers and booleans, which become float64.

    Raises:
        ConfigError: taps of another form; `fir_filtfilt` takes any.
        DataError: shapes or dtypes that do not fit, among them an x not longer than half the filter.
        NonFinite: `nonfinite="raise"`, naming the row and the first sample.

    >>> import numpy as np
    >>> fir_zero_phase([0.25, 0.5, 0.25], np.array([0.0, 0.0, 4.0, 0.0, 0.0]))
    array([0., 1., 2., 1., 0.])
    """
    weights, settings = taps_of(taps), Pass("float64", scale, offset)
    delay = zero_phase_delay(weights)
    parse_word(method, FirMethod, field="method")
    parse_word(nonfinite, Nonfinite, field="nonfinite")
    data = prepare_for_taps(x, axis, nonfinite)
    parse_padding(padtype, None, delay, data.values.shape[-1])

    def centred(piece: Any) -> Any:
        padding = min(delay, piece.shape[-1] - 1) if padtype is not None else 0
        wide = pad_zeros(pad_ends(_units(piece, settings), padtype, padding), delay - padding, delay - padding)
        return _run(weights, wide, None, Pass(), method)[0][..., 2 * delay :]

    return data.restore(_whole(centred, data.values, nonfinite))


def prepare_for_taps(x: Any, axis: int, nonfinite: Nonfinite) -> Prepared:
    """The data as rows; NumPy code resets gaps."""
    return prepare(x, axis, by="numpy" if nonfinite == "reset" else None, strided=True, native=False)


def _units(x: Any, settings: Pass) -> Any:
    """The data in units and in double precision."""
    if isinstance(x, np.ndarray):
        return settings.units(x, settings.work_dtype(x.dtype))
    from bridgeflow.signal._torch import float_dtype, in_units

    return in_units(x, settings.scale, settings.offset).to(float_dtype(x, double=True))


def _whole(filtered: Callable[[Any], Any], x: Any, nonfinite: Nonfinite) -> Any:
    """Whole rows [..., T] through a filter that sees both ends, with the policy for NaN and infinity around it."""
    looks = nonfinite != "propagate" and gaps.can_look(x)
    dirty: Array = np.asarray(~gaps.finite(x).all(axis=-1)) if looks else np.asarray(False)
    if dirty.any() and nonfinite == "raise":
        raise gaps.refuse(x, None, dirty)
    if not isinstance(x, np.ndarray):
        from bridgeflow.signal._torch import float_dtype

        return filtered(x).to(float_dtype(x, double=False))
    y = rounded(filtered(x), x.dtype)
    for row in map(tuple, np.argwhere(dirty)):
        y[row] = np.nan
        for begin, end in gaps.runs(gaps.finite(x[row])):
            y[row][begin:end] = rounded(filtered(x[row][begin:end]), x.dtype)
    return y


def taps_of(taps: Any) -> NDArray[np.float64]:
    """An impulse response [n] in float64 from a design or from any array."""
    if isinstance(taps, FirFilter):
        return solved(taps)
    values = as_ndarray(taps)
    if values.ndim != 1 or not len(values) or values.dtype.kind not in "fiub":
        raise DataError(f"taps must be a row of real numbers, got {values.dtype} of shape {values.shape}")
    return values.astype(np.float64, copy=False)


def zero_phase_delay(taps: NDArray[np.float64]) -> int:
    """The delay that `fir_zero_phase` takes back."""
    delay = whole_delay(taps)
    if delay is None:
        raise ConfigError(
            "zero phase in one pass needs symmetric taps of odd count; "
            "filter forwards and backwards instead (fir_filtfilt)"
        )
    return delay


def steady_state(taps: NDArray[np.float64], x: Any, settings: Pass) -> Any:
    """The state [..., n - 1] of rows that have seen the first sample of x [..., T], T > 0, forever."""
    ones = np.cumsum(taps[:0:-1])[::-1].copy()
    first = x[..., :1]
    units = _units(first, settings)
    if isinstance(x, np.ndarray):
        with np.errstate(invalid="ignore", over="ignore"):
            return units * ones
    return units * first.new_tensor(ones, dtype=units.dtype)


def one_pass(
    taps: NDArray[np.float64],
    x: Any,
    zi: Any | None,
    settings: Pass,
    nonfinite: Nonfinite,
    *,
    method: FirMethod = "direct",
    steady: bool = False,
    position: int = 0,
) -> Passed:
    """Filter rows [..., T] causally; the state is [..., n - 1] in float64 or complex128 (longdouble stays).

    Args:
        taps: [n].
        x: ndarray, or tensor where torch computes; only read.
        zi: the state before, or `None` for zero.
        settings: units.
        nonfinite: the policy; `"reset"` for ndarrays alone.
        method: pinned sums, or overlap-add.
        steady: whether a fresh start after a gap takes the steady state rather than zero.
        position: of the first sample of x in its recording, for errors.
    """
    y, zf = _run(taps, x, zi, settings, method)
    if nonfinite == "propagate" or not x.shape[-1] or not gaps.can_look(x):
        return Passed(y, zf, None)
    dirty: Array = np.asarray(~gaps.finite(x).all(axis=-1))
    if zi is not None and len(taps) > 1:
        dirty = np.asarray(dirty | ~gaps.finite(zi).all(axis=-1))
    if dirty.any() and nonfinite == "raise":
        raise gaps.refuse(x, None if zi is None else zi[None], dirty, position=position)
    if dirty.any():

        def again(piece: Array, state: Array | None) -> tuple[Array, Array]:
            if state is None and steady:
                state = steady_state(taps, piece, settings)[None]
            piece_y, piece_zf = _by_numpy(taps, piece, None if state is None else state[0], settings, method)
            return piece_y, piece_zf[None]

        gaps.restart(again, x, None if zi is None else zi[None], y, zf[None], dirty)
    return Passed(y, zf, dirty)


def _run(taps: NDArray[np.float64], x: Any, zi: Any | None, settings: Pass, method: FirMethod) -> tuple[Any, Any]:
    return (_by_numpy if isinstance(x, np.ndarray) else _by_torch)(taps, x, zi, settings, method)


def _by_numpy(
    taps: NDArray[np.float64], x: Array, zi: Array | None, settings: Pass, method: FirMethod
) -> tuple[Array, Array]:
    work = settings.work_dtype(x.dtype)
    state = np.zeros((*x.shape[:-1], len(taps) - 1), work) if zi is None else as_ndarray(zi).astype(work, copy=False)
    return (direct if method == "direct" else overlap_add)(taps, x, state, settings, work)


def _by_torch(taps: NDArray[np.float64], x: Any, zi: Any | None, settings: Pass, method: FirMethod) -> tuple[Any, Any]:
    import torch

    from bridgeflow.signal._torch import convolve, float_dtype

    samples, memory = x.shape[-1], len(taps) - 1
    sums = convolve(_units(x, settings), taps, fft=method == "fft")
    if zi is not None and memory:
        begun = to_tensor(zi, device=x.device, writable=False).to(sums.dtype)
        sums = torch.cat([sums[..., :memory] + begun, sums[..., memory:]], dim=-1)
    return sums[..., :samples].to(float_dtype(x, double=False)), sums[..., samples:]


def _state_time_last(zi: Any, data: Prepared, taps: int) -> Any:
    """SciPy's state, of x's shape but for the time axis, as [..., n - 1]."""
    state = zi if kind_of(zi) == "torch" and kind_of(data.source) == "torch" else as_ndarray(zi)
    rows, axis = list(data.values.shape[:-1]), data.axis % data.values.ndim
    expected = (*rows[:axis], taps - 1, *rows[axis:])
    if isinstance(state, np.ndarray) and state.dtype.kind not in "fciub":
        raise DataError(f"zi must hold numbers, got {state.dtype}")
    if tuple(state.shape) != expected:
        shape = (*rows[:axis], int(data.values.shape[-1]), *rows[axis:])
        raise DataError(
            f"Invalid zi shape: with axis={data.axis}, x of shape {shape} and {taps} taps, "
            f"zi must have shape {expected}, got {tuple(state.shape)}"
        )
    return time_last(state, data.axis)
