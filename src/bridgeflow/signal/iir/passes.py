"""A pass over the data by an engine, with the policy for NaN and infinity around it."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np

from bridgeflow.policy import Nonfinite
from bridgeflow.signal.iir import nonfinite as gaps
from bridgeflow.signal.iir.engine import Array, EngineName, Pass, load
from bridgeflow.signal.padding import Padtype

__all__ = ["Passed", "both_ways", "one_way", "steady_states"]


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
    what: str,
) -> Passed:
    """Filter causally.

    Args:
        engine: which; tensors leave it to the torch operator where it is `None`.
        sections: [S, 6].
        x: data [..., T], ndarray or tensor.
        zi: state [S, ..., 2] of x's kind, for ndarrays in the dtype of the recursion, or `None` for zero.
        settings: precision and units.
        nonfinite: the policy.
        steady: [S, 2], what a fresh start behind a gap takes times the first sample; `None` for a start from zero.
        out: [..., T] to write into, or `None`.
        position: of the first sample of x in its recording, for errors.
        what: the function on whose behalf, for errors.
    """
    if nonfinite == "propagate" or not gaps.can_look(x, what=what):
        return Passed(*_run(engine, sections, x, zi, settings, out), None)
    if nonfinite == "raise":
        y, zf = _run(engine, sections, x, zi, settings, out)
        if gaps.is_clean(zf):
            return Passed(y, zf, None)
        dirty = gaps.dirty_rows(zf)
        if dirty.any():  # where out is x, y stands for it: both have their first such sample in the same place
            raise gaps.refuse(x if out is None else y, zi, dirty, what=what, position=position)
        return Passed(y, zf, None)

    def run(piece: Any, state: Any | None) -> tuple[Any, Any]:
        if state is None and steady is not None:
            state = steady_states(steady, piece, settings)
        return _run(engine, sections, piece, state, settings)

    y, zf = _run(engine, sections, x, zi, settings)
    dirty = gaps.dirty_rows(zf)
    if dirty.any():
        gaps.restart(run, x, zi, y, zf, dirty, what=what)
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
    from bridgeflow.signal._torch import float_dtype
    from bridgeflow.signal.iir.torch_ops import sosfilt_tensor

    y, zf = sosfilt_tensor(sections, _in_units(x, settings), zi, -1, settings.precision, engine=engine or "auto")
    y = y.to(float_dtype(x, double=False))
    if out is not None:
        out.copy_(y)
        y = out
    return y, zf


def _in_units(x: Any, settings: Pass) -> Any:
    if settings.scale == 1.0 and settings.offset == 0.0:
        return x
    from bridgeflow.signal._torch import float_dtype

    return x.to(float_dtype(x, double=True)) * settings.scale + settings.offset


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
    from bridgeflow.signal._torch import float_dtype

    units = _in_units(first, settings).to(float_dtype(x, double=True))
    return units * units.new_tensor(states, dtype=units.dtype.to_real())


def both_ways(
    engine: EngineName | None,
    sections: Any,
    x: Any,
    padtype: Padtype | None,
    edge: int,
    settings: Pass,
    nonfinite: Nonfinite,
    *,
    what: str,
) -> Any:
    """Filter forwards and backwards; `edge` is the length of the padding, shorter than T."""

    def run(piece: Any, padding: int) -> Any:
        return _run_both_ways(engine, sections, piece, padtype if padding else None, padding, settings)

    y = run(x, edge)
    if nonfinite == "propagate" or not x.shape[-1] or not gaps.can_look(x, what=what):
        return y
    # the backward pass carries what the forward pass met to every sample, so one of them tells
    dirty: Array = np.asarray(~gaps.finite(y[..., 0]))
    if dirty.any() and nonfinite == "raise":
        raise gaps.refuse(x, None, dirty, what=what)
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
    from bridgeflow.signal._torch import float_dtype
    from bridgeflow.signal.iir.torch_ops import sosfiltfilt_tensor

    units = _in_units(x, settings)
    y = sosfiltfilt_tensor(sections, units, -1, padtype, edge, settings.precision, engine=engine or "auto")
    return y.to(float_dtype(x, double=False))
