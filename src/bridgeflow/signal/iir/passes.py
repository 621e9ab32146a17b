"""A pass over the data by an engine, with the policy for NaN and infinity around it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple, cast

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.bridge import kind_of, to_tensor
from bridgeflow.bridge.tracing import ACTIVE
from bridgeflow.policy import Nonfinite
from bridgeflow.signal._axes import time_last
from bridgeflow.signal._input import (
    Prepared,
    as_ndarray,
    dispatch_of,
    is_tracing,
    needs_dispatch,
    prepare,
    read_array,
    torch_modes,
)
from bridgeflow.signal.iir import native
from bridgeflow.signal.iir import nonfinite as gaps
from bridgeflow.signal.iir.engine import Array, EngineName, Pass, choose, load
from bridgeflow.signal.padding import Padtype

__all__ = [
    "Passed",
    "as_state",
    "both_ways",
    "fast_pass",
    "one_way",
    "plain_values",
    "prepare_for_engine",
    "steady_states",
]

_IS_BUILT: Final = native.is_built()

_READABLE: Final = "fdhiBH"
"""Element types that the native engine reads without a conversion, as `dtype.char` has them."""


# --- the fast path ----------------------------------------------------------------------------------------------------


def fast_pass(
    sections: Any, x: Any, zi: Any | None, settings: Pass, *, state: bool, may_trace: bool = True
) -> tuple[Any, Any, bool] | None:
    """A causal pass of the native engine over plain memory; `None` where the general path has to do it.

    A chunk of a live stream is a few hundred samples, which the engine filters in two microseconds; the path that
    serves every kind, engine and policy costs five times that. Both give the same bits.

    Args:
        sections: [S, 6]; or a bank of filters, [F, S, 6].
        x: data [..., T], ndarray or tensor.
        zi: state [S, ..., 2], for a bank [S, ..., F, 2]; or `None` for zero.
        settings: without `parallel`.
        state: whether to return the final state.
        may_trace: whether torch may be tracing; `False` where the caller has asked already.

    Returns:
        y: as x in kind, [..., T]; for a bank [..., F, T].
        zf: ndarray as zi, or `None`.
        clean: whether zf is finite throughout.
    """
    values = None if may_trace and is_tracing() else _plain_values(x)
    if values is None or type(sections) is not np.ndarray:
        return None
    initial_state = None
    if zi is not None:
        initial_state = zi if type(zi) is np.ndarray else _plain_values(zi)
        if (
            initial_state is None
            or initial_state.dtype != settings.work_dtype(values.dtype)
            or initial_state.shape
            != ((len(sections), *values.shape[:-1], 2) if sections.ndim == 2 else native.state_shape(sections, values))
        ):
            return None
    y, zf, clean = native.plain_pass(sections, values, initial_state, settings, state=state)
    return (y if values is x else _from_numpy()(y)), zf, clean


def plain_values(x: Any) -> Array | None:
    """An ndarray or a tensor as an ndarray over the same memory, where the native engine may read it, else `None`.

    >>> plain_values(np.zeros(3)) is not None, plain_values([1.0]) is not None
    (True, False)
    """
    return None if is_tracing() else _plain_values(x)


def _plain_values(x: Any) -> Array | None:
    if type(x) is np.ndarray:
        values: Array = x
    else:
        torch = loaded("torch")
        if torch is None or type(x) is not torch.Tensor or ACTIVE or torch_modes()():
            return None
        try:
            values = x.numpy()
        except (RuntimeError, TypeError):  # under autograd, on a device, sparse, negated, of a type of torch's own
            return None
    if not _IS_BUILT or values.dtype.char not in _READABLE or not values.dtype.isnative or not values.ndim:
        return None
    return values


@cache
def _from_numpy() -> Callable[[Array], Any]:
    import torch

    return torch.from_numpy


# --- the general path -------------------------------------------------------------------------------------------------


def prepare_for_engine(
    x: Any, axis: int, engine: str | None, *, zi: Any = None, sos: Any = None
) -> tuple[EngineName | None, Prepared]:
    """The engine of a call, `None` for what the torch operator chooses, and the data as it takes them.

    Args:
        x: the data, any array.
        axis: of time.
        engine: the one that the caller asks for, or `None`.
        zi: a state, which may be under autograd; if it is complex, real data become complex.
        sos: sections, which may be under autograd.
    """
    name: EngineName | None
    if type(x) is np.ndarray and zi is None and (sos is None or type(sos) is np.ndarray):
        name = choose(engine, x.dtype)
        if name != "blocks":
            return name, Prepared(time_last(read_array(x), axis), x, axis)
    options: dict[str, Any] = {"strided": True, "native": False}
    name = None
    if needs_dispatch(x, zi, sos) or (engine is None and dispatch_of(x) == "torch"):
        name = None if engine is None else choose(engine, np.dtype(np.float64))
        data = prepare(x, axis, by="torch", **options)
    else:
        data = prepare(x, axis, by="numpy", **options)
        name = choose(engine, data.values.dtype)
        if name == "blocks":
            data = prepare(x, axis, by="torch", **options)
    if zi is not None and not _is_complex(data.values) and _is_complex(zi):
        data = data._replace(values=data.values + 0j)
    return name, data


def as_state(zi: Any, data: Prepared, settings: Pass) -> Any:
    """A state from the caller, in the dtype of the recursion, where the engine wants it."""
    if data.is_tensor:
        return to_tensor(zi, device=data.values.device, writable=False)
    state, work = as_ndarray(zi), settings.work_dtype(data.values.dtype)
    return state if state.dtype == work else state.astype(work)


def _is_complex(x: Any) -> bool:
    return bool(x.is_complex() if kind_of(x) == "torch" else np.iscomplexobj(x))


class Passed(NamedTuple):
    """What a causal pass gives: output, final state, and where gaps were reset, the rows that had any."""

    y: Any
    zf: Any
    dirty: Array | None


def one_way(
    engine: EngineName | None,
    sections: Any,
    x: Any,
    zi: Any | None,
    settings: Pass,
    nonfinite: Nonfinite,
    *,
    steady: Array | None = None,
    out: Any | None = None,
    position: int = 0,
) -> Passed:
    """Filter causally.

    Args:
        engine: which; tensors leave it to the torch operator where it is `None`.
        sections: [S, 6].
        x: data [..., T], ndarray or tensor.
        zi: state [S, ..., 2] of x's kind, for ndarrays in the dtype of the recursion, or `None` for zero.
        settings: precision and units.
        nonfinite: the policy.
        steady: [S, 2], what a fresh start after a gap takes times the first sample; `None` for a start from zero.
        out: [..., T] to write into, or `None`.
        position: of the first sample of x in its recording, for errors.
    """
    if nonfinite == "propagate" or not gaps.can_look(x):
        return Passed(*_run(engine, sections, x, zi, settings, out), None)
    if nonfinite == "raise":
        y, zf = _run(engine, sections, x, zi, settings, out)
        if gaps.is_clean(zf):
            return Passed(y, zf, None)
        dirty = gaps.dirty_rows(zf)
        if dirty.any():  # where out is x, y stands for it: both have their first such sample in the same place
            raise gaps.refuse(x if out is None else y, zi, dirty, position=position)
        return Passed(y, zf, None)

    def run(piece: Any, state: Any | None) -> tuple[Any, Any]:
        if state is None and steady is not None:
            state = steady_states(steady, piece, settings)
        return _run(engine, sections, piece, state, settings)

    y, zf = _run(engine, sections, x, zi, settings)
    dirty = gaps.dirty_rows(zf)
    if dirty.any():
        gaps.restart(run, x, zi, y, zf, dirty)
    if out is not None:
        out[...] = y
        y = out
    return Passed(y, zf, dirty)


def _run(
    engine: EngineName | None, sections: Any, x: Any, zi: Any | None, settings: Pass, out: Any | None = None
) -> tuple[Any, Any]:
    if isinstance(x, np.ndarray):
        module: Any = load(cast(EngineName, engine))
        if engine == "native" and settings.parallel is not None:
            y, zf = module.sosfilt(sections, x, zi, settings, out, parallel=settings.parallel)
        else:
            y, zf = module.sosfilt(sections, x, zi, settings, out)
        return y, zf
    from bridgeflow.signal._torch import float_dtype, in_units
    from bridgeflow.signal.iir.torch_ops import sosfilt_tensor

    units = in_units(x, settings.scale, settings.offset)
    y, zf = sosfilt_tensor(sections, units, zi, -1, settings.precision, engine=engine or "auto")
    y = y.to(float_dtype(x, double=False))
    if out is not None:
        out.copy_(y)
        y = out
    return y, zf


def steady_states(steady: Array, x: Any, settings: Pass) -> Any:
    """The state [S, ..., 2] of rows that have seen the first sample of x [..., T], T > 0, forever.

    Args:
        steady: [S, 2], the same for ones.
        x: data [..., T], ndarray or tensor.
        settings: precision and units.
    """
    first = x[..., :1]
    states = steady.reshape(len(steady), *(1,) * (x.ndim - 1), 2)
    if isinstance(x, np.ndarray):
        work = settings.work_dtype(x.dtype)
        with np.errstate(invalid="ignore", over="ignore"):
            return states.astype(work.char.lower()) * settings.units(first, work)
    from bridgeflow.signal._torch import float_dtype, in_units

    units = in_units(first, settings.scale, settings.offset).to(float_dtype(x, double=True))
    return units * units.new_tensor(states, dtype=units.dtype.to_real())


def both_ways(
    engine: EngineName | None,
    sections: Any,
    x: Any,
    padtype: Padtype | None,
    edge: int,
    settings: Pass,
    nonfinite: Nonfinite,
) -> Any:
    """Filter forwards and backwards; `edge` is the length of the padding, shorter than T."""

    def run(piece: Any, padding: int) -> Any:
        return _run_both_ways(engine, sections, piece, padtype if padding else None, padding, settings)

    y = run(x, edge)
    if nonfinite == "propagate" or not x.shape[-1] or not gaps.can_look(x):
        return y
    # the backward pass carries what the forward pass met to every sample, so one of them tells
    dirty: Array = np.asarray(~gaps.finite(y[..., 0]))
    if dirty.any() and nonfinite == "raise":
        raise gaps.refuse(x, None, dirty)
    for row in map(tuple, np.argwhere(dirty)):
        y[row] = np.nan
        for begin, end in gaps.runs(gaps.finite(x[row])):
            y[row][begin:end] = run(x[row][begin:end][None], min(edge, end - begin - 1))[0]
    return y


def _run_both_ways(
    engine: EngineName | None, sections: Any, x: Any, padtype: Padtype | None, edge: int, settings: Pass
) -> Any:
    if isinstance(x, np.ndarray):
        return load(cast(EngineName, engine)).sosfiltfilt(sections, x, padtype, edge, settings)
    from bridgeflow.signal._torch import float_dtype, in_units
    from bridgeflow.signal.iir.torch_ops import sosfiltfilt_tensor

    units = in_units(x, settings.scale, settings.offset)
    y = sosfiltfilt_tensor(sections, units, -1, padtype, edge, settings.precision, engine=engine or "auto")
    return y.to(float_dtype(x, double=False))
