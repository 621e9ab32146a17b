"""Samples that are not finite, before a transform meets them: named, or filled from their neighbours.

A gap is a run of samples that are NaN or infinite. It is filled along the straight line from the sample before it to
the sample after it; at an end of the recording, with the one neighbour that it has. What is filled depends on the two
neighbours and on the length of the gap alone, so that chunks give the bits of the whole: a gap that is still open at
the end of a chunk is held back, which is at most `max_gap` samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from bridgeflow.bridge import kind_of, like, to_arrow, to_numpy, to_tensor
from bridgeflow.errors import ConfigError, NonFinite
from bridgeflow.policy import parse_word
from bridgeflow.signal._chunks import State, join, own
from bridgeflow.signal.iir.nonfinite import finite, refuse

__all__ = [
    "Filled",
    "all_finite",
    "check_gap_policy",
    "end_gaps",
    "fill_gaps",
    "mark_gaps",
    "refuse_nonfinite",
    "step_gaps",
]

Array: TypeAlias = np.ndarray[Any, Any]

_REMEDIES: Final = {
    "interpolate": "nonfinite='interpolate' with max_gap= (short gaps filled)",
    "reset": "nonfinite='reset' (NaN in the gap, then a fresh start)",
    "propagate": "nonfinite='propagate' (NaN wherever it reaches)",
}


class Filled(NamedTuple):
    """Rows [..., T] without gaps, and which samples were filled: bool [..., T], an ndarray; `None` where none was."""

    values: Any
    filled: Array | None


def check_gap_policy(nonfinite: object, max_gap: object, keep_gaps: object, allowed: object) -> None:
    """Hold the fields of a transform about NaN and infinity against each other.

    Args:
        nonfinite, max_gap, keep_gaps: as they were given.
        allowed: the `Literal` of the words that `nonfinite` may be.

    Raises:
        ConfigError, ValueError: a word that does not exist or has no meaning for this transform, a gap without a
            length, or a length without a use.
    """
    word = parse_word(nonfinite, allowed, field="nonfinite")
    if not isinstance(keep_gaps, (bool, np.bool_)):
        raise ConfigError(f"keep_gaps must be true or false, got {keep_gaps!r}", field="keep_gaps")
    if word != "interpolate":
        if max_gap is not None or keep_gaps:
            name = "keep_gaps" if max_gap is None else "max_gap"
            raise ConfigError(
                f"{name} is for nonfinite='interpolate', got nonfinite={word!r}; leave it out", field=name
            )
        return
    if isinstance(max_gap, (bool, np.bool_)) or not isinstance(max_gap, (int, np.integer)) or max_gap < 1:
        raise ConfigError(
            f"nonfinite='interpolate' needs max_gap, the longest gap to fill, an integer of at least 1 "
            f"(samples), got {max_gap!r}",
            field="max_gap",
        )


def all_finite(x: Any) -> bool:
    """Whether no element of an ndarray or a tensor is NaN or infinite; one sum tells, as a rule.

    >>> all_finite(np.array([1, 2])), all_finite(np.array([1.0, np.nan]))
    (True, False)
    """
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "fc" or not x.size:
            return True
        if x.dtype.char in "fdFD" and x.flags.c_contiguous and isfinite(np.vdot(x, x).real):
            return True  # a third of the time of a sum where the data are few
        with np.errstate(invalid="ignore", over="ignore"):
            total = x.sum(dtype=np.float32 if x.dtype.char == "e" else None)
        return bool(np.isfinite(total)) or bool(np.isfinite(x).all())
    if not (x.is_floating_point() or x.is_complex()) or not x.numel():
        return True
    import torch

    values = x.detach()
    return bool(torch.isfinite(values.sum())) or bool(torch.isfinite(values).all())


def refuse_nonfinite(x: Any, *, allowed: Sequence[str], position: int = 0) -> NonFinite:
    """The error that names the row and the first sample that is not finite.

    Args:
        x: rows [..., T], of which one holds such a sample.
        allowed: the words that its `nonfinite` may be.
        position: of the first sample of x in its recording.
    """
    choices = ", ".join(_REMEDIES[word] for word in _REMEDIES if word in allowed)
    dirty = np.asarray(~finite(x).all(axis=-1))
    return refuse(x, None, dirty, position=position, remedy=f"clean the data, or choose {choices}")


def fill_gaps(x: Any, max_gap: int, *, position: int = 0) -> Filled:
    """Whole rows [..., T], floating or complex, with their gaps filled.

    Args:
        x: ndarray, or a tensor, through which gradients flow to the neighbours.
        max_gap: samples of the longest gap to fill.
        position: of the first sample of x in its recording, for errors.

    Raises:
        NonFinite: a longer gap, or a row that is nothing but a gap; names the row and where the gap begins.

    >>> fill_gaps(np.array([np.nan, 1.0, np.nan, np.nan, 4.0]), 2).values
    array([1., 1., 2., 3., 4.])
    """
    bad = ~finite(x)
    if not bad.any():
        return Filled(x, None)
    before, after = _neighbours(bad)
    _require_short(bad, before, after, max_gap, position, ended=True)
    return Filled(_interpolated(x, bad, before, after), bad)


def step_gaps(x: Any, state: State, max_gap: int) -> tuple[Filled, State]:
    """One chunk [..., t]: what is certain by now, and the state for the next chunk.

    Args:
        x: ndarray or tensor, t >= 0.
        state: from before; `{}` for the first chunk. It holds `held` [..., h], the samples from before the first gap
            that is open or was returned in part, `sent`, how many of these have been returned already, and
            `position`, that of the next sample to come.
        max_gap: as for `fill_gaps`.
    """
    position = int(state.get("position", 0))
    held = state.get("held")
    sent = 0 if held is None else int(state["sent"])
    if (held is None or int(held.shape[-1]) == sent) and x.shape[-1] and all_finite(x):
        last = own(x[..., -1:])
        here = np.asarray(position + int(x.shape[-1]), np.int64)
        return Filled(x, None), {"position": here, "held": last, "sent": np.ones((), np.int64)}
    together = x if held is None or not held.shape[-1] else join([_like(held, x), x])
    begins = position - (0 if held is None else int(held.shape[-1]))
    samples = int(together.shape[-1])
    bad = ~finite(together)
    ready, mask = samples, None
    keep = max(samples - 1, 0)
    values = together
    if bad.any():
        before, after = _neighbours(bad)
        _require_short(bad, before, after, max_gap, begins, ended=False)
        ready = int((before[..., -1] + 1).min()) if bad[..., -1].any() else samples
        keep = _first_needed(bad, before, ready)
        values, mask = _interpolated(together, bad, before, after), bad[..., sent:ready]
    next_state: State = {
        "position": np.asarray(position + int(x.shape[-1]), np.int64),
        "held": own(together[..., keep:]),
        "sent": np.asarray(ready - keep, np.int64),
    }
    return Filled(values[..., sent:ready], mask), next_state


def end_gaps(state: State, max_gap: int) -> Filled | None:
    """What is still held at the end of the recording; `None` where nothing is."""
    held = state.get("held")
    if held is None:
        return None
    sent = int(state["sent"])
    if int(held.shape[-1]) == sent:
        return None
    done = fill_gaps(held, max_gap, position=int(state["position"]) - int(held.shape[-1]))
    return Filled(done.values[..., sent:], None if done.filled is None else done.filled[..., sent:])


def mark_gaps(y: Any, filled: Array, starts: Array, ends: Array) -> Any:
    """A result with NaN wherever it comes of samples that were filled.

    Args:
        y: [..., n] or [..., m, n] of any kind.
        filled: bool [..., T], which samples were filled.
        starts, ends: [n], which samples each of the n places stands for.
    """
    upto = np.concatenate([np.zeros((*filled.shape[:-1], 1), np.intp), np.cumsum(filled, axis=-1)], axis=-1)
    samples = filled.shape[-1]
    marks = upto[..., np.clip(ends, 0, samples)] > upto[..., np.clip(starts, 0, samples)]
    if not marks.any():
        return y
    if kind_of(y) not in {"numpy", "torch"}:
        values = to_tensor(y, copy="always") if str(y.type).endswith("bfloat16") else to_numpy(y, copy="always")
        marked = _with_nan(values, marks)
        return like(marked, y) if isinstance(marked, np.ndarray) else to_arrow(marked)
    return _with_nan(y, marks)


def _with_nan(y: Any, marks: Array) -> Any:
    marks = marks[..., None, :] if y.ndim > marks.ndim else marks
    if isinstance(y, np.ndarray):
        return np.where(marks, np.asarray(np.nan, y.dtype), y)
    import torch

    return y.masked_fill(torch.from_numpy(np.ascontiguousarray(marks)).to(y.device), float("nan"))


def _first_needed(bad: Array, before: Array, ready: int) -> int:
    """The first sample that later results need: the one before a gap that `ready` cuts in two."""
    if ready == 0:
        return 0
    if ready == bad.shape[-1]:
        return ready - 1
    cut = bad[..., ready - 1] & bad[..., ready]
    return max(int(np.where(cut, before[..., ready], ready - 1).min()), 0)


def _neighbours(bad: Array) -> tuple[Array, Array]:
    """For each sample the last good one up to it, -1 for none; and the first good one from it on, T for none."""
    samples = bad.shape[-1]
    places = np.arange(samples)
    before = np.maximum.accumulate(np.where(bad, -1, places), axis=-1)
    after = np.minimum.accumulate(np.where(bad, samples, places)[..., ::-1], axis=-1)[..., ::-1]
    return before, after


def _require_short(bad: Array, before: Array, after: Array, max_gap: int, position: int, *, ended: bool) -> None:
    alone = bad & (before < 0) & (after == bad.shape[-1]) if ended else np.zeros((), bool)
    long = (bad & (after - before - 1 > max_gap)) | alone
    if not long.any():
        return
    place = tuple(int(i) for i in np.argwhere(long)[0])
    first, beyond = int(before[place]) + 1, int(after[place])
    row = "x" if len(place) == 1 else f"row {place[0] if len(place) == 2 else place[:-1]}"
    if alone.any() and beyond - first <= max_gap:
        raise NonFinite(f"{row} has no finite sample to fill its gap from; leave it out")
    more = " or more" if beyond == bad.shape[-1] and not ended else ""
    raise NonFinite(
        f"{row} is not finite from sample {position + first} on, for {beyond - first} samples{more}; "
        f"max_gap={max_gap} is less: raise max_gap, cut the recording there, or choose {_REMEDIES['propagate']}"
    )


def _interpolated(x: Any, bad: Array, before: Array, after: Array) -> Any:
    """Rows with their gaps filled; a gap without any neighbour stays."""
    samples = bad.shape[-1]
    left = np.where(before < 0, np.minimum(after, samples - 1), before)
    right = np.where(after == samples, np.maximum(before, 0), after)
    share = (np.arange(samples) - before) / np.maximum(after - before, 1)
    if isinstance(x, np.ndarray):
        wide = x.astype(np.result_type(x.dtype, np.float64), copy=False)
        with np.errstate(invalid="ignore", over="ignore"):
            y = _line(np.take_along_axis(wide, left, -1), np.take_along_axis(wide, right, -1), share, np.where)
            return np.where(bad, y.astype(x.dtype), x)
    import torch

    wide = x.to(torch.promote_types(x.dtype, torch.float64)) if x.device.type != "mps" else x
    lefts, rights = (wide.gather(-1, torch.from_numpy(np.ascontiguousarray(at)).to(x.device)) for at in (left, right))
    weights = torch.from_numpy(share).to(x.device, wide.dtype.to_real() if wide.is_complex() else wide.dtype)
    y = _line(lefts, rights, weights, torch.where)
    return torch.where(torch.from_numpy(bad).to(x.device), y.to(x.dtype), x)


def _line(left: Any, right: Any, share: Any, where: Any) -> Any:
    """On the way from left to right; of equal ends their value, and without overflow on the way."""
    return where(left == right, left, left * (1 - share) + right * share)


def _like(held: Any, x: Any) -> Any:
    """What a stream holds, as the kind and type of what comes."""
    if isinstance(x, np.ndarray):
        return to_numpy(held).astype(x.dtype, copy=False)
    return to_tensor(held, device=x.device, writable=False).to(x.dtype)
