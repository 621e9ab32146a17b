"""A pass over the data by an engine, with the policy for NaN and infinity around it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.policy import Nonfinite
from bridgeflow.signal._padding import Padtype
from bridgeflow.signal.iir import nonfinite as gaps
from bridgeflow.signal.iir.engine import Array, EngineName, Pass, load

__all__ = ["Passed", "both_ways", "one_way", "steady_states"]


class Passed(NamedTuple):
    """What a causal pass gives: output, final state, and where gaps were reset, the rows that had any."""

    y: Any
    zf: Any
    dirty: Array | None


def one_way(
    engine: EngineName,
    sections: Array,
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
        engine: whose arrays x, zi and out are.
        sections: [S, 6].
        x: data [..., T].
        zi: state [S, ..., 2] in the dtype of the recursion, or `None` for zero.
        settings: precision and units.
        nonfinite: the policy.
        steady: [S, 2], what a fresh start behind a gap takes times the first sample; `None` for a start from zero.
        out: [..., T] to write into, or `None`.
        position: of the first sample of x in its recording, for errors.
        what: the function on whose behalf, for errors.
    """
    module = load(engine)
    if nonfinite == "propagate":
        return Passed(*module.sosfilt(sections, x, zi, settings, out), None)
    if nonfinite == "raise":
        y, zf = module.sosfilt(sections, x, zi, settings, out)
        dirty = gaps.dirty_rows(zf)
        if dirty.any():  # where out is x, y stands for it: both have their first such sample in the same place
            raise gaps.refuse(x if out is None else y, zi, dirty, what=what, position=position)
        return Passed(y, zf, None)

    def run(piece: Any, state: Any | None) -> tuple[Any, Any]:
        if state is None and steady is not None:
            state = steady_states(engine, steady, piece, settings)
        return module.sosfilt(sections, piece, state, settings)

    y, zf = module.sosfilt(sections, x, zi, settings)
    dirty = gaps.dirty_rows(zf)
    if dirty.any():
        gaps.restart(run, x, zi, y, zf, dirty, what=what)
    if out is not None:
        out[...] = y
        y = out
    return Passed(y, zf, dirty)


def steady_states(engine: EngineName, steady: Array, x: Any, settings: Pass) -> Any:
    """The state [S, ..., 2] of rows that have seen the first sample of x [..., T], T > 0, forever.

    Args:
        engine: whose array x is.
        steady: [S, 2], the same for ones.
        x: data [..., T].
        settings: precision and units.
    """
    first = x[..., :1]
    shape = (len(steady), *(1,) * (x.ndim - 1), 2)
    if engine != "blocks":
        work = settings.work_dtype(x.dtype)
        with np.errstate(invalid="ignore", over="ignore"):
            states: Array = steady.reshape(shape).astype(work.char.lower()) * settings.units(first, work)
        return states
    torch = loaded("torch")
    assert torch is not None
    work = getattr(torch, settings.precision)
    units = first.to(work.to_complex() if x.is_complex() else work) * settings.scale + settings.offset
    return torch.tensor(steady.reshape(shape), dtype=work, device=x.device) * units


def both_ways(
    engine: EngineName,
    sections: Array,
    x: Any,
    padtype: Padtype | None,
    edge: int,
    settings: Pass,
    nonfinite: Nonfinite,
    *,
    what: str,
) -> Any:
    """Filter forwards and backwards; `edge` is the length of the padding, shorter than T."""
    module = load(engine)
    y = module.sosfiltfilt(sections, x, padtype, edge, settings)
    if nonfinite == "propagate" or not x.shape[-1]:
        return y
    # the backward pass carries what the forward pass met to every sample, so one of them tells
    dirty: Array = np.asarray(~gaps.finite(y[..., 0]))
    if not dirty.any():
        return y
    if nonfinite == "raise":
        raise gaps.refuse(x, None, dirty, what=what)
    for row in map(tuple, np.argwhere(dirty)):
        y[row] = np.nan
        for begin, end in gaps.runs(gaps.finite(x[row])):
            padding = min(edge, end - begin - 1)
            y[row][begin:end] = module.sosfiltfilt(
                sections, x[row][begin:end][None], padtype if padding else None, padding, settings
            )[0]
    return y
