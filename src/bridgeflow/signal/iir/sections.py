"""Filtering with second-order sections: `sosfilt`, `sosfiltfilt` and `sosfilt_zi`; what counts as sections."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, overload

import numpy as np

from bridgeflow.bridge import kind_of, to_numpy
from bridgeflow.errors import BridgeflowError, ConfigError, DataError, name_error
from bridgeflow.policy import Nonfinite, parse_word
from bridgeflow.signal._axes import time_last, time_where_it_was
from bridgeflow.signal._input import Prepared, as_ndarray, is_tracing, needs_dispatch, restore
from bridgeflow.signal._memory import overlaps_itself
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal.design import FirFilter, IirFilter
from bridgeflow.signal.design.base import solved
from bridgeflow.signal.iir.engine import (
    Array,
    EngineName,
    Parallel,
    Precision,
    make_pass,
    require_sections,
    result_dtype,
)
from bridgeflow.signal.iir.passes import as_state, both_ways, fast_pass, one_way, prepare_for_engine
from bridgeflow.signal.padding import Padtype, default_padlen, parse_padding
from bridgeflow.signal.scipy_names import call_scipy

__all__ = [
    "sections_of",
    "sosfilt",
    "sosfilt_zi",
    "sosfiltfilt",
    "traced_sections",
]


@overload
def sosfilt(
    sos: Any,
    x: SameKind,
    axis: int = ...,
    zi: None = ...,
    *,
    engine: EngineName | None = ...,
    precision: Precision = ...,
    nonfinite: Nonfinite = ...,
    scale: float = ...,
    offset: float = ...,
    parallel: Parallel | None = ...,
    out: Any = ...,
) -> SameKind: ...
@overload
def sosfilt(
    sos: Any,
    x: Any,
    axis: int = ...,
    zi: Any = ...,
    *,
    engine: EngineName | None = ...,
    precision: Precision = ...,
    nonfinite: Nonfinite = ...,
    scale: float = ...,
    offset: float = ...,
    parallel: Parallel | None = ...,
    out: Any = ...,
) -> Any: ...
def sosfilt(
    sos: Any,
    x: Any,
    axis: int = -1,
    zi: Any = None,
    *,
    engine: EngineName | None = None,
    precision: Precision = "float64",
    nonfinite: Nonfinite = "propagate",
    scale: float = 1.0,
    offset: float = 0.0,
    parallel: Parallel | None = None,
    out: Any = None,
) -> Any:
    """Filter along one axis with second-order sections, as `scipy.signal.sosfilt` does.

    Args:
        sos: sections [n, 6], each row `b0 b1 b2 1 a1 a2`, or an IIR design.
        x: data of any shape: ndarray, tensor, Arrow array or nested lists; real, complex, integer or boolean. Only
            read.
        axis: the axis of time.
        zi: state to start from, [n, ..., 2, ...] with the 2 in the place of the time axis, SciPy's layout; `None` for
            zero.
        engine: `"native"`, `"blocks"` or `"scipy"`; `None` takes the best for the kind, device and dtype of x.
        precision: of the recursion, `"float64"` or `"float32"`, which is faster and, in the native engine, exact within
            `iir.native.tolerance(sos, "float32")` of full scale: enough for corners above a thousandth of the sampling
            rate, too little far below.
        nonfinite: `"propagate"` NaN and infinity into everything after them; `"raise"`; or `"reset"`: NaN exactly where
            x is not finite, and a fresh start, from a zero state, after each such gap. Rows without a gap are the same
            bits either way.
        scale: the filter sees `scale * x + offset`: integer counts become units in the same pass.
        offset: see `scale`.
        parallel: `"time"` lets the native engine work on segments of a long row side by side: faster for few long rows,
            equal within `iir.native.tolerance(sos)`; asked for, never chosen, because a row's bits then depend on its
            length.
        out: ndarray or tensor of the result's shape and dtype to write into; may be x itself.

    Returns:
        y: as x in kind, device and shape; in dtype too, but for integers and booleans, which become float64.
        zf: the state after the last sample, only if `zi` was given. A tensor beside a tensor, else an ndarray; in the
            dtype of the recursion, so that a recording filtered piece by piece equals the whole bit for bit.

    Raises:
        DataError: shapes or dtypes that do not fit.
        NonFinite: `nonfinite="raise"`, naming the row and the first sample.
        NoRoute: a gradient is wanted from an engine that cannot give one.
        MissingDependency: an engine asked for by name that cannot run here.

    >>> import numpy as np
    >>> from bridgeflow.signal import Butter
    >>> sosfilt(Butter(order=2, cutoff=10.0, fs=100.0), np.ones(200, "float32"))[-1]
    np.float32(1.0)
    """
    if nonfinite != "propagate":
        parse_word(nonfinite, Nonfinite, field="nonfinite")
    settings = make_pass(precision, scale, offset, parallel)
    if is_tracing():
        from bridgeflow.signal.iir import traced

        return traced.sosfilt(sos, x, axis, zi, engine, settings, nonfinite, out)
    sections = sections_of(sos)
    if (
        engine is None
        and out is None
        and parallel is None
        and nonfinite == "propagate"
        and (axis == -1 or axis == getattr(x, "ndim", 0) - 1)
    ):
        done = fast_pass(sections, x, zi, settings, state=zi is not None, may_trace=False)
        if done is not None:
            return done[0] if zi is None else (done[0], restore(done[1], x))
    try:
        name, data = prepare_for_engine(x, axis, engine, zi=zi, sos=sections)
        state = None if zi is None else as_state(_state_time_last(zi, data, len(sections)), data, settings)
        target = None if out is None else _target(out, data)
        passed = one_way(name, sections, data.values, state, settings, nonfinite, out=target)
    except BridgeflowError as error:
        name_error(error, "sosfilt")
        raise
    result = out if out is not None else data.restore(passed.y)
    if zi is None:
        return result
    return result, data.restore_state(time_where_it_was(passed.zf, axis % data.values.ndim + 1))


@overload
def sosfiltfilt(
    sos: Any,
    x: SameKind,
    axis: int = ...,
    padtype: Padtype | None = ...,
    padlen: int | None = ...,
    *,
    engine: EngineName | None = ...,
    precision: Precision = ...,
    nonfinite: Nonfinite = ...,
    scale: float = ...,
    offset: float = ...,
) -> SameKind: ...
@overload
def sosfiltfilt(
    sos: Any,
    x: Any,
    axis: int = ...,
    padtype: Padtype | None = ...,
    padlen: int | None = ...,
    *,
    engine: EngineName | None = ...,
    precision: Precision = ...,
    nonfinite: Nonfinite = ...,
    scale: float = ...,
    offset: float = ...,
) -> Any: ...
def sosfiltfilt(
    sos: Any,
    x: Any,
    axis: int = -1,
    padtype: Padtype | None = "odd",
    padlen: int | None = None,
    *,
    engine: EngineName | None = None,
    precision: Precision = "float64",
    nonfinite: Nonfinite = "propagate",
    scale: float = 1.0,
    offset: float = 0.0,
) -> Any:
    """Filter forwards and backwards, so that no frequency is delayed, as `scipy.signal.sosfiltfilt` does.

    The gain is squared: -3 dB at the cutoff becomes -6 dB.

    Args:
        sos: sections [n, 6], each row `b0 b1 b2 1 a1 a2`, or an IIR design.
        x: data of any shape: ndarray, tensor, Arrow array or nested lists; real, complex, integer or boolean. Only
            read.
        axis: the axis of time.
        padtype: how x goes on beyond its ends while filtering: `"odd"`, `"even"`, `"constant"`, or `None`.
        padlen: by how many samples, fewer than there are; `None` for SciPy's default, about six per section.
        engine, precision, scale, offset: as for `sosfilt`.
        nonfinite: `"propagate"`: a row with NaN or infinity becomes all NaN; `"raise"`; or `"reset"`: each run of
            finite samples is filtered as a recording of its own (padded by at most its length less one), NaN in the
            gaps.

    Returns:
        y: as x in kind, device and shape; in dtype too, but for integers and booleans, which become float64.

    Raises:
        DataError: shapes or dtypes that do not fit, among them an x that is not longer than `padlen`.
        NonFinite, NoRoute, MissingDependency: as for `sosfilt`.

    >>> import numpy as np
    >>> from bridgeflow.signal import Butter
    >>> ramp = np.arange(100.0)
    >>> np.abs(sosfiltfilt(Butter(order=2, cutoff=10.0, fs=100.0), ramp) - ramp).max() < 0.05
    np.True_
    """
    if nonfinite != "propagate":
        parse_word(nonfinite, Nonfinite, field="nonfinite")
    settings = make_pass(precision, scale, offset)
    if is_tracing():
        from bridgeflow.signal.iir import traced

        return traced.sosfiltfilt(sos, x, axis, padtype, padlen, engine, settings, nonfinite)
    sections = sections_of(sos)
    try:
        name, data = prepare_for_engine(x, axis, engine, sos=sections)
        edge = parse_padding(padtype, padlen, default_padlen(sections), data.values.shape[-1])
        return data.restore(both_ways(name, sections, data.values, padtype, edge, settings, nonfinite))
    except BridgeflowError as error:
        name_error(error, "sosfiltfilt")
        raise


def sosfilt_zi(sos: Any) -> Any:
    """The state of a filter that has seen ones forever, as `scipy.signal.sosfilt_zi`.

    A row that starts from it times its first sample starts without a jump.

    Args:
        sos: sections [n, 6] of any kind, or an IIR design.

    Returns:
        zi: [n, 2], of the kind of sos, an ndarray for a design. Gradients flow.

    Raises:
        DataError: sections of another shape.

    >>> from bridgeflow.signal import Butter
    >>> sosfilt_zi(Butter(order=2, cutoff=10.0, fs=100.0)).shape
    (1, 2)
    """
    if needs_dispatch(sos):
        from bridgeflow.signal.iir.torch_ops import sosfilt_zi_tensor

        return sosfilt_zi_tensor(sections_of(sos))
    from bridgeflow.signal.iir import scipy as reference

    return call_scipy(reference.sosfilt_zi, "sosfilt_zi", sos.sos if isinstance(sos, IirFilter) else sos)


def sections_of(sos: Any) -> Any:
    """Sections [n, 6] in float64 from a design or from any array; checked for form, not for stability.

    A tensor that torch's dispatcher has to see, such as one being learned, stays what it is.
    """
    if isinstance(sos, IirFilter):
        return solved(sos)
    if isinstance(sos, FirFilter):
        raise ConfigError(f"{sos!r} has taps and no sections; use fir_filter")
    if needs_dispatch(sos):
        require_sections(sos)
        return sos
    values = as_ndarray(sos)
    if values.dtype == np.float64 and values.ndim == 2 and len(values) <= 64:
        return _checked(values.tobytes(), values.shape[1])
    return _check(values)


@lru_cache(maxsize=256)
def _checked(raw: bytes, columns: int) -> Array:
    """Sections seen before need no second look."""
    return _check(np.frombuffer(raw).reshape(-1, columns))


def _check(values: Array) -> Array:
    values = np.atleast_2d(values)
    require_sections(values)
    if values.dtype.kind not in "fiub":
        raise DataError(f"sos must be real numbers, got {values.dtype}")
    if not (values[:, 3] == 1).all():
        raise DataError("sos[:, 3] (a0) should be all ones; divide each row by it")
    return np.ascontiguousarray(values, np.float64)


def traced_sections(design: str, **fields: Any) -> Any:
    """The sections of a design by its class name, as a constant of what is being traced."""
    from bridgeflow.signal.iir import traced

    return traced.constant_sections(design, **fields)


def _state_time_last(zi: Any, data: Prepared, sections: int) -> Any:
    """SciPy's [n, ..., 2, ...] as [n, ..., 2]."""
    rows, axis = list(data.values.shape[:-1]), data.axis % data.values.ndim
    state = zi if hasattr(zi, "movedim") else as_ndarray(zi)
    expected = (sections, *rows[:axis], 2, *rows[axis:])
    if tuple(state.shape) != expected:
        shape = (*rows[:axis], int(data.values.shape[-1]), *rows[axis:])
        raise DataError(
            f"Invalid zi shape: with axis={data.axis}, x of shape {shape} and {sections} sections, "
            f"zi must have shape {expected}, got {tuple(state.shape)}"
        )
    return time_last(state, axis + 1)


def _target(out: Any, data: Prepared) -> Any:
    """The caller's `out`, time last, as the engine writes into it."""
    target = out if data.is_tensor or kind_of(out) in {"numpy", None} else to_numpy(out, copy="never")
    if kind_of(target) not in {"numpy", "torch"} or (kind_of(target) == "torch") != data.is_tensor:
        expected = "tensor" if data.is_tensor else "ndarray or CPU tensor"
        raise DataError(f"out must be a {expected}, got {type(out).__name__}")
    rows, shape = data.values, tuple(time_where_it_was(data.values, data.axis).shape)
    if tuple(target.shape) != shape:
        raise DataError(f"out must have the shape of x, {shape}, got {tuple(target.shape)}")
    if overlaps_itself(target):
        raise DataError("out must have a place of its own for each element, got memory that overlaps itself")
    if isinstance(target, np.ndarray):
        dtype, writable = result_dtype(rows.dtype), target.flags.writeable
        if target.dtype != dtype or not writable:
            raise DataError(f"out must be writable and {dtype}, got {target.dtype}, writeable={writable}")
    return time_last(target, data.axis)
