"""The block engine: second-order sections as matrix products, in torch, on any device and for every dtype.

A block of `L` samples `x` and the state `s` before it give the block's output and the state after it,

    y = H x + G s,        s' = A^L s + K x,

so all blocks can be computed at once, given their states. The states obey the same recursion with `L` times fewer
steps; they are grouped in turn, and the groups in groups, until few steps remain to be taken one by one.

**Rounding.** States are kept in coordinates in which no power of A grows (`realisation`), so rounding errors die with
the signal instead of piling up where poles are close to the unit circle. With u the unit roundoff of the recursion
(2^-53 in float64, 2^-24 in float32) the output differs from the exact one by at most

    64 u max(|x|, |y|)

for sections paired and ordered as SciPy's designs are (where they are not, the largest signal between two sections
counts too). So find tests/signal/iir/test_blocks_rounding.py, in exact arithmetic, for everything from Butterworth to
elliptic of order 12, a 0.05 Hz high-pass at 1 kHz, and notches of Q = 500; 18 u is the most that was seen. SciPy's
recursion reaches 10^5 u and more there, which in float32 leaves nothing right. Two things cost more. On platforms whose
longdouble is no wider than float64, a recursion in float64 adds 4 u / (1 - r), r being the largest pole radius. And
states that leave in SciPy's coordinates, to come back with the next piece of a recording, are as exact as SciPy's.

A block is computed at once, so NaN or infinity would reach back to the start of its block; such blocks are done again.
From the first sample that is not finite the output of its row is NaN (SciPy's may be infinite for a sample or two
before).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, prod
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridgeflow.errors import NoRoute
from bridgeflow.signal._memory import empty_tensor
from bridgeflow.signal._torch import float_dtype
from bridgeflow.signal.iir.engine import Precision
from bridgeflow.signal.iir.realisation import Matrix, powers, realise

__all__ = ["filter_tensor", "unavailable"]

GROUP: Final = 16
"""Steps of a recursion that are put together to one step of the next."""

SECTIONS: Final = 8
"""A longer cascade is run in several; the work per sample grows with the square of the sections."""

CPU_TILE: Final = 2**21
"""Bytes of samples worked on at once: many against the cost of a call into torch, few against the cache."""

DEVICE_TILE: Final = 2**26


def unavailable() -> str | None:
    """Whatever torch runs on will do."""
    return None


def filter_tensor(
    sos: NDArray[np.float64], x: Tensor, zi: Tensor | None, precision: Precision, *, reverse: bool = False
) -> tuple[Tensor, Tensor]:
    """All sections over every row, without gradient.

    Args:
        sos: sections [S, 6], float64, `sos[:, 3] == 1`.
        x: data [..., T]: floating, complex, integer or boolean, on any device, of any strides; only read.
        zi: state [S, ..., 2], SciPy's layout and meaning, any floating or complex dtype; `None` is zero.
        precision: of the recursion, whatever the dtype of x.
        reverse: run from the last sample to the first; `zi` is then the state after the last.

    Returns:
        y: [..., T], new memory, of the dtype of x; float64 for integers and booleans.
        zf: [S, ..., 2], new memory, float64 or complex128: SciPy's states lose too much in float32 (see `realisation`).
            Not finite for exactly the rows that met NaN or infinity.

    Raises:
        NoRoute: `precision="float64"` on a device that has no float64.

    >>> sos = np.array([[0.5, 0.5, 0.0, 1.0, 0.0, 0.0]])  # the mean of two neighbours
    >>> y, zf = filter_tensor(sos, torch.arange(4.0), None, "float64")
    >>> y, zf
    (tensor([0.0000, 0.5000, 1.5000, 2.5000]), tensor([[1.5000, 0.0000]], dtype=torch.float64))
    """
    x = x.detach().resolve_conj()
    y = empty_tensor(tuple(x.shape), float_dtype(x, double=False), x.device)
    state = torch.zeros((len(sos), *x.shape[:-1], 2), dtype=float_dtype(x, double=True), device=x.device)
    if zi is not None:
        state.copy_(zi.detach())
    if x.numel() == 0:
        return y, state
    work = _work_dtype(x.device, precision)
    passes = -(-len(sos) // SECTIONS)
    size = -(-len(sos) // passes)
    with torch.autocast(x.device.type, enabled=False) if torch.is_autocast_enabled(x.device.type) else nullcontext():
        for first in range(0, len(sos), size):
            part, is_last = slice(first, first + size), first + size >= len(sos)
            between = work.to_complex() if x.is_complex() else work
            target = y if is_last else torch.empty(x.shape, dtype=between, device=x.device)
            _cascade(sos[part], x, target, state[part], work, reverse)
            x = target
    return y, state


def _work_dtype(device: torch.device, precision: Precision) -> torch.dtype:
    """What the recursion runs in. Where torch may round float32 products (TF32, bfloat16), float32 becomes float64."""
    has_float64 = device.type != "mps"
    if precision == "float32" and not (has_float64 and _products_are_rounded(device)):
        return torch.float32
    if not has_float64:
        raise NoRoute("dtype", f"device {device} has no float64", "pass precision='float32', or filter on the CPU")
    return torch.float64


def _products_are_rounded(device: torch.device) -> bool:
    backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    try:
        return backend.matmul.fp32_precision not in {"none", "ieee"}
    except AttributeError:  # before torch 2.9 there is one setting for all
        return torch.get_float32_matmul_precision() != "highest"


def _cascade(sos: NDArray[np.float64], x: Tensor, y: Tensor, state: Tensor, work: torch.dtype, reverse: bool) -> None:
    """Filter x [..., T] into y with a few sections, `state` [S, ..., 2] (SciPy's) being carried along in place.

    The rows are cut into tiles, and rows longer than a tile in time as well. Samples are handed to the products where
    they lie if they are of the right dtype, order and number, else by way of a scratch tile.
    """
    rows, parts, time = prod(x.shape[:-1]), 1 + x.is_complex(), x.shape[-1]
    tile = (CPU_TILE if x.device.type == "cpu" else DEVICE_TILE) // work.itemsize
    length = _block_length(work, time)
    plan = _plan(sos.tobytes(), length, _depth(min(time, tile), length), work, x.device)
    source, target = _parted(x).reshape(rows, parts, time), _parted(y).view(rows, parts, time)
    outer = torch.view_as_real(state) if state.is_complex() else state.unsqueeze(-1)  # [S, ..., 2, parts]
    outer = outer.movedim(-2, 1)  # [S, 2, ..., parts]
    inner = (plan.enter @ outer.reshape(plan.order, rows * parts)).to(work)

    whole = parts * plan.padded(time)
    height = max(1, min(rows, tile // whole))
    span = time if whole <= tile else max(1, tile // (plan.length * GROUP * parts)) * plan.length * GROUP
    scratch = _Scratch(height * parts * plan.padded(span), work, x.device)

    for row in range(0, rows, height):
        here = slice(row, row + height)
        columns = slice(row * parts, min(row + height, rows) * parts)
        for start in range(0, time, span):
            stop = min(start + span, time)
            now = slice(time - stop, time - start) if reverse else slice(start, stop)
            samples, result = source[here, :, now], target[here, :, now]
            length = stop - start
            padded = plan.padded(length)
            direct = length == padded and samples.dtype is work and samples.is_contiguous() and not reverse
            before = samples.view(-1, padded) if direct else scratch.load(samples, padded, reverse)
            direct = length == padded and result.dtype is work and result.is_contiguous() and not reverse
            after = result.view(-1, padded) if direct else scratch.room(len(before), padded)
            inner[:, columns] = _tile(plan, before, after, inner[:, columns], length)
            if not direct:
                done = after.view(len(samples), parts, padded)[..., :length]
                result.copy_(done.flip(-1) if reverse else done)

    outer.copy_((plan.leave @ inner.to(plan.leave.dtype)).view(outer.shape))


def _calls_are_dear(device: torch.device) -> bool:
    """Whether one large product is better than small ones with less arithmetic, and no question better than one."""
    return device.type != "cpu"


def _parted(x: Tensor) -> Tensor:
    """[..., T] seen as [..., parts, T], real and imaginary parts being rows of their own."""
    return torch.view_as_real(x).movedim(-1, -2) if x.is_complex() else x.unsqueeze(-2)


class _Scratch:
    """Memory for one tile before and one after, taken when first needed."""

    def __init__(self, size: int, dtype: torch.dtype, device: torch.device) -> None:
        self._size, self._dtype, self._device = size, dtype, device
        self._before: Tensor | None = None
        self._after: Tensor | None = None

    def load(self, samples: Tensor, padded: int, reverse: bool) -> Tensor:
        """`samples` [r, parts, t] as rows [r * parts, padded] with zeros after."""
        if self._before is None:
            self._before = torch.empty(self._size, dtype=self._dtype, device=self._device)
        rows, parts, length = samples.shape
        tile = self._before[: rows * parts * padded].view(rows, parts, padded)
        tile[..., :length].copy_(samples.flip(-1) if reverse else samples)
        tile[..., length:].zero_()
        return tile.view(rows * parts, padded)

    def room(self, rows: int, padded: int) -> Tensor:
        """Rows [rows, padded] to write to."""
        if self._after is None:
            self._after = torch.empty(self._size, dtype=self._dtype, device=self._device)
        return self._after[: rows * padded].view(rows, padded)


def _tile(plan: _Plan, x: Tensor, y: Tensor, s: Tensor, length: int) -> Tensor:
    """Filter rows x [r, padded] into y, from states s [n, r]; returns the states after `length` samples."""
    n, size = plan.order, plan.length
    guarded = _calls_are_dear(x.device)  # asking a GPU whether that is needed takes longer than doing it
    states = _block_states(plan, x, s, guarded)
    end = _state_after(plan, x, states, length)
    if not guarded and not isfinite(end.sum()):
        guarded = True
        states = _block_states(plan, x, s, guarded)

    steps, columns = len(states) - 1, states.shape[-1]
    torch.mm(x.view(-1, size), plan.feed, out=y.view(-1, size))
    output = y.view(columns, steps, size).transpose(0, 1)
    torch.baddbmm(output, states[:-1].transpose(1, 2), plan.spread.expand(steps, n, size), out=output)
    if guarded:
        _redo_first_dirty_blocks(plan, x, y, states)
    return end


def _block_states(plan: _Plan, x: Tensor, s: Tensor, guarded: bool) -> Tensor:
    """The states before each block of rows x [r, padded], and after each group: [steps + 1, n, r * groups].

    The m-th blocks of all groups stand side by side, so that a state is n rows of memory. What is not finite would
    reach back as well, zero times NaN being NaN: `guarded` takes it out and puts it in again afterwards.
    """
    n, size = plan.order, plan.length
    rows, blocks = len(x), x.shape[1] // size
    steps = min(blocks, GROUP)
    groups = blocks // steps
    states = x.new_empty(steps + 1, n, rows * groups)
    # what a block adds to the state is written where the state after it will stand
    torch.bmm(plan.gather.expand(steps, n, size), x.view(rows * groups, steps, size).permute(1, 2, 0), out=states[1:])
    if not guarded:
        return _solve(plan, states, s, 0)
    bad = ~torch.isfinite(states[1:]).all(dim=1)
    in_time = bad.view(steps, rows, groups).permute(1, 2, 0).reshape(rows, blocks).cumsum(dim=1) > 0
    spoilt = torch.nn.functional.pad(in_time, (1, 0)).unfold(1, steps + 1, steps)  # [r, groups, steps + 1]
    spoilt = spoilt.permute(2, 0, 1).reshape(steps + 1, 1, rows * groups)
    states[1:].masked_fill_(spoilt[1:], 0)
    return _solve(plan, states, s, 0).masked_fill_(spoilt, torch.nan)


def _state_after(plan: _Plan, x: Tensor, states: Tensor, length: int) -> Tensor:
    """The states [n, r] after `length` samples of each row."""
    size, steps, rows = plan.length, len(states) - 1, len(x)
    block, rest = divmod(length, size)
    last = block == x.shape[1] // size
    group, step = (-1, steps) if last else divmod(block, steps)
    end = states[step].view(plan.order, rows, -1)[..., group]
    if not rest:
        return end
    tail = x[:, block * size : block * size + rest]
    return torch.addmm(plan.advance[rest] @ end, plan.gather[:, size - rest :], tail.t())


def _solve(plan: _Plan, states: Tensor, s: Tensor, level: int) -> Tensor:
    """Solve `s[m + 1] = A s[m] + u[m]` in groups of consecutive steps.

    Args:
        plan: its `steps[level]` is A.
        states: [steps + 1, n, r * groups]: u after the first; may be overwritten. The groups of a row are neighbours.
        s: [n, r], the state before the first step of the first group.
        level: how often steps have been put together.

    Returns:
        The states before each step and after the last, laid out alike.
    """
    count, n, columns = states.shape
    rows = s.shape[1]
    if columns == rows:
        states[0] = s
    else:
        left = plan.folds[level] @ states[1:].view((count - 1) * n, columns)
        _solve_along(plan, left.view(n, rows, -1), s, level + 1, states[0].view(n, rows, -1))
    if plan.stable and _calls_are_dear(states.device):
        whole = plan.whole[level, : count * n, : count * n]
        return (whole @ states.view(count * n, columns)).view(count, n, columns)
    step = plan.steps[level]
    before, *others = states.unbind()
    for after in others:
        before = after.addmm_(step, before)
    return states


def _solve_along(plan: _Plan, inputs: Tensor, s: Tensor, level: int, out: Tensor) -> None:
    """The same recursion along the last axis, [n, r, steps], of any length; `out` gets the state before each step."""
    n, rows, count = inputs.shape
    steps = min(count, GROUP)
    groups = -(-count // steps)
    if steps * groups != count:
        inputs = torch.nn.functional.pad(inputs, (0, steps * groups - count))
    states = inputs.new_empty(steps + 1, n, rows, groups)
    states[1:] = inputs.view(n, rows, groups, steps).permute(3, 0, 1, 2)
    states = _solve(plan, states.view(steps + 1, n, -1), s, level)
    before = states[:-1].view(steps, n, rows, groups).permute(1, 2, 3, 0).reshape(n, rows, -1)[..., :count]
    torch.hardshrink(before, plan.negligible, out=out)


def _redo_first_dirty_blocks(plan: _Plan, x: Tensor, y: Tensor, states: Tensor) -> None:
    """Write again, in each row, the first block after which the state is not finite.

    Its output up to the first bad sample is that of zeros in its place; from there on it is NaN, as in all blocks that
    follow. Without a branch on data, so that a GPU need not wait.
    """
    rows, steps, size = len(x), len(states) - 1, plan.length
    dirty = ~torch.isfinite(states[1:]).all(dim=1)
    dirty = dirty.view(steps, rows, -1).permute(1, 2, 0).reshape(rows, -1)
    first = dirty.to(torch.uint8).argmax(dim=1)
    row = torch.arange(rows, device=x.device)
    samples = x.view(rows, -1, size)[row, first]
    before = states.view(steps + 1, plan.order, rows, -1)[first % steps, :, row, first // steps]
    spoilt = (~torch.isfinite(samples)).cumsum(dim=1) > 0
    again = torch.addmm(before @ plan.spread, samples.masked_fill(spoilt, 0), plan.feed).masked_fill(spoilt, torch.nan)
    output = y.view(rows, -1, size)
    output[row, first] = torch.where(dirty.any(dim=1, keepdim=True), again, output[row, first])


@dataclass(frozen=True, eq=False)
class _Plan:
    """The matrices of one cascade, for one block length, dtype and device.

    Args:
        order: n, twice the number of sections.
        length: L, samples in a block.
        negligible: states smaller than this count as zero.
        feed: [L, L], H transposed: block to its output.
        gather: [n, L], K: block to state.
        spread: [n, L], G transposed: state to the output of a block.
        advance: [L + 1, n, n], powers of A.
        stable: whether all poles lie inside the unit circle.
        steps: [levels, n, n], transition over one block, over a group of blocks, over a group of groups, ...
        folds: [levels, n, GROUP * n], from the inputs of a group to the state that they leave.
        whole: [levels, (GROUP + 1) * n, (GROUP + 1) * n], from the state before a group and its inputs to all states.
        enter: [n, n], from SciPy's state to ours, in float64 where there is one.
        leave: [n, n], and back.
    """

    order: int
    length: int
    negligible: float
    feed: Tensor
    gather: Tensor
    spread: Tensor
    advance: Tensor
    stable: bool
    steps: Tensor
    folds: Tensor
    whole: Tensor
    enter: Tensor
    leave: Tensor

    def padded(self, time: int) -> int:
        """The samples of a row of `time` samples filled up to whole groups of blocks."""
        blocks = -(-time // self.length)
        return (blocks if blocks <= GROUP else -(-blocks // GROUP) * GROUP) * self.length


@lru_cache(maxsize=64)
@np.errstate(over="ignore", invalid="ignore")  # powers of a filter that grows may leave even the widest range
def _plan(sections: bytes, length: int, depth: int, work: torch.dtype, device: torch.device) -> _Plan:
    cascade = realise(np.frombuffer(sections).reshape(-1, 6))
    n = len(cascade.a)
    advance = powers(cascade.a, length)
    reached, seen = (
        advance[:-1] @ cascade.b,
        cascade.c @ advance[:-1],
    )  # [L, n] each: what an impulse leaves, what a state shows
    response = np.concatenate([[cascade.d], reached[:-1] @ cascade.c])
    delay = np.subtract.outer(np.arange(length), np.arange(length)).T  # [from, to]
    feed = np.where(delay >= 0, response[delay.clip(0)], 0)

    def tensor(matrix: Matrix, dtype: torch.dtype = work) -> Tensor:
        # Powers of A decay into numbers so small that processors multiply them many times slower.
        smallest = np.abs(matrix).max(initial=0) * (1e-25 if dtype is torch.float32 else 1e-250)
        kept = np.where(np.abs(matrix) < smallest, 0, matrix).astype(np.float64)
        return torch.from_numpy(kept).to(dtype).to(device)

    # Level by level the powers of what one step there does, 0 to GROUP.
    levels = [powers(advance[-1], GROUP)]
    for _ in range(depth - 1):
        levels.append(powers(levels[-1][GROUP], GROUP))
    steps = np.stack(levels)
    lag = np.subtract.outer(np.arange(GROUP + 1), np.arange(GROUP + 1))
    whole = np.where((lag >= 0)[..., None, None], steps[:, lag.clip(0)], 0)  # [levels, to, from, n, n]
    whole = whole.swapaxes(2, 3).reshape(depth, (GROUP + 1) * n, (GROUP + 1) * n)
    wide = torch.float32 if device.type == "mps" else torch.float64
    return _Plan(
        order=n,
        length=length,
        negligible=1e-34 if work is torch.float32 else 1e-290,
        feed=tensor(feed.T).t(),
        gather=tensor(reached[::-1].T),
        spread=tensor(seen.T),
        advance=tensor(advance),
        stable=cascade.stable,
        steps=tensor(steps[:, 1]),
        folds=tensor(whole[:, -n:, n:]),
        whole=tensor(whole),
        enter=tensor(cascade.enter, wide),
        leave=tensor(cascade.leave, wide),
    )


def _block_length(work: torch.dtype, time: int) -> int:
    """The fastest by measurement (MKL likes multiples of 12 in float64), or what holds a short signal."""
    best = 32 if work is torch.float32 else 24
    return min(best, -(-time // 8) * 8)


def _depth(time: int, length: int) -> int:
    """How many recursions over recursions a row of `time` samples takes."""
    steps, depth = -(-time // length), 1
    while steps > GROUP:
        steps, depth = -(-steps // GROUP), depth + 1
    return depth
