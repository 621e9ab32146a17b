"""What to do when NaN or infinity occurs: the final state tells, at a cost that does not grow with the length.

A recursive section multiplies its state into every later output, and NaN times anything is NaN; so a row whose final
state is finite has met none, and a row that met one ends with a state that is not finite.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, Final

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.errors import ConfigError, NonFinite
from bridgeflow.signal.iir.engine import Array

__all__ = ["can_look", "dirty_rows", "finite", "is_clean", "new_gaps", "refuse", "restart", "runs"]

_REMEDY: Final = (
    "clean the data, or choose nonfinite='propagate' (NaN from there on) or nonfinite='reset' (NaN in the gap, then a "
    "fresh start)"
)

Run = Callable[[Any, Any], tuple[Any, Any]]
"""One pass: data [..., T] and state [S, ..., 2] to output and final state."""


def finite(x: Any) -> Array:
    """Elementwise, as an ndarray, for ndarrays and tensors."""
    torch = loaded("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        flags: Array = torch.isfinite(x.detach()).cpu().numpy()
        return flags
    return np.asarray(np.isfinite(x))


def can_look(x: Any) -> bool:
    """Whether values can be looked at: not in a tensor that holds none.

    Raises:
        ConfigError: under `torch.compile` or a functorch transform, where code must not depend on values.
    """
    torch = loaded("torch")
    if torch is None or not isinstance(x, torch.Tensor):
        return True
    # not by `can_read_values`: after a break in its graph torch.compile compiles small functions alone, as if traced
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        raise ConfigError(
            "nonfinite= other than 'propagate' looks at values, which torch.compile, torch.export and "
            "torch.func do not allow; pass nonfinite='propagate'"
        )
    return not x.is_meta and torch._C._len_torch_dispatch_stack() == 0


def is_clean(state: Any) -> bool:
    """Whether a state is finite throughout, at the cost of one sum; `False` only says that it is worth looking."""
    return isinstance(state, np.ndarray) and state.dtype.kind == "f" and isfinite(state.sum())


def dirty_rows(state: Any) -> Array:
    """Which rows [...] of a state [S, ..., 2] have met NaN or infinity."""
    flags = finite(state)
    return np.asarray(~flags.all(axis=(0, -1)))


def refuse(x: Any, zi: Any | None, dirty: Array, *, position: int = 0, remedy: str = _REMEDY) -> NonFinite:
    """The error that names the first dirty row and the first sample in it.

    Args:
        x: the data [..., T].
        zi: the state before, [S, ..., 2].
        dirty: from `dirty_rows`.
        position: where in its recording the first sample of x lies.
        remedy: what to do.
    """
    row = tuple(int(i) for i in np.argwhere(dirty)[0])
    name = f"row {row[0] if len(row) == 1 else row}" if row else "x"
    good = finite(x[row])
    if good.all():
        if zi is not None and dirty_rows(zi)[row]:
            return NonFinite(f"the initial state of {name} is not finite; start from a clean state")
        return NonFinite(f"{name} overflowed though all its samples are finite; scale the data down")
    first = int(np.argmin(good))
    value = x[row][first].item()
    return NonFinite(f"{name} is {value} at sample {position + first}; {remedy}")


def new_gaps(x: Any, dirty: Array, goes_on: Array) -> Array:
    """How many gaps begin in each row, int64 [...].

    Args:
        x: data [..., T].
        dirty: the rows to look at.
        goes_on: rows whose last sample before x lay in a gap already.
    """
    counts = np.zeros(dirty.shape, np.int64)
    for row in map(tuple, np.argwhere(dirty)):
        bad = ~finite(x[row])
        before = np.concatenate(([goes_on[row]], bad[:-1]))
        counts[row] = np.count_nonzero(bad & ~before)
    return counts


def runs(good: Array) -> list[tuple[int, int]]:
    """The runs [start, stop) of finite samples in one row.

    >>> runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], good, [False])).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def restart(run: Run, x: Any, zi: Any | None, y: Any, zf: Any, dirty: Array) -> None:
    """Filter the dirty rows again, in place: each run of finite samples from a fresh start, NaN in the gaps.

    The first run goes on from `zi`, unless the row begins in a gap. A row that ends in a gap leaves a zero state.

    Args:
        run: the pass; a state of `None` means a fresh start.
        x: data [..., T].
        zi: state before, [S, ..., 2], or `None` for a fresh start.
        y: output [..., T], rewritten for the dirty rows.
        zf: state after, [S, ..., 2], likewise.
        dirty: from `dirty_rows`.
    """
    usable = np.zeros(dirty.shape, bool) if zi is None else ~dirty_rows(zi)
    for row in map(tuple, np.argwhere(dirty)):
        good = finite(x[row])
        y[row] = np.nan
        zf[(slice(None), *row)] = 0
        for begin, end in runs(good):
            piece = x[row][begin:end][None]
            state = zi[(slice(None), *row)][:, None] if zi is not None and begin == 0 and usable[row] else None
            piece_y, piece_zf = run(piece, state)
            if dirty_rows(piece_zf).any():
                raise refuse(piece, None, dirty_rows(piece_zf))
            y[row][begin:end] = piece_y[0]
            if end == len(good):
                zf[(slice(None), *row)] = piece_zf[:, 0]
