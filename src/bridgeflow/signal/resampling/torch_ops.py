"""Resampling as a torch operator: differentiable any number of times, mapped, traced, on any device.

The gradient of resampling by `up / down` is resampling by `down / up` with the filter reversed: one linear map, and its
transpose. On the CPU the sums are those of the arrays; on a device every tap is one fused pass over all outputs, in the
same order, so that chunks give the bits of the whole there too. Imported only where a tensor has shown that torch is
loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridgeflow.errors import DataError
from bridgeflow.signal._axes import time_last, time_where_it_was
from bridgeflow.signal._torch import float_dtype
from bridgeflow.signal.convolution_torch import convolve
from bridgeflow.signal.padding import extend
from bridgeflow.signal.resampling.between import Between
from bridgeflow.signal.resampling.cpu import run_between, weights_between
from bridgeflow.signal.resampling.polyphase import Polyphase
from bridgeflow.signal.transfer_torch import first_tensor, require_one_device, tensor_of

__all__ = ["resample_tensor", "upfirdn_tensor"]


def resample_tensor(x: Tensor, plan: Polyphase | Between, first_tick: int, outputs: int) -> Tensor:
    """`Polyphase.run_array` for tensors [..., T], floating or complex; the result has their dtype."""
    if isinstance(plan, Between):
        work = torch.promote_types(x.dtype, torch.float32)
        table = torch.from_numpy(plan.tables["float64" if work.to_real() is torch.float64 else "float32"])
        between: Tensor = _between(x.to(work), table, plan.up, plan.down, first_tick, outputs)
        return between.to(x.dtype)
    taps = torch.from_numpy(plan.taps)
    y: Tensor = _resample(x, taps, plan.gain, plan.up, plan.down, first_tick, outputs, plan.fused)
    return y


@torch.library.custom_op("bridgeflow::resample", mutates_args=())
def _resample(
    x: Tensor, taps: Tensor, gain: float, up: int, down: int, first_tick: int, outputs: int, fused: bool
) -> Tensor:
    """y[i] = sum over j of x[j] * h[first_tick + i * down - j * up], for h = gain * taps."""
    plan = Polyphase(up, down, taps.numpy(), 0, gain, fused)
    if x.device.type == "cpu":
        values = x.detach().resolve_conj().resolve_neg()
        narrow = values.dtype is torch.bfloat16
        array = (values.float() if narrow else values).numpy()
        return torch.from_numpy(plan.run_array(array, first_tick, outputs)).to(x.dtype)
    return _by_taps(x, plan, first_tick, outputs)


def _by_taps(x: Tensor, plan: Polyphase, first_tick: int, outputs: int) -> Tensor:
    work = torch.promote_types(x.dtype, torch.float32)
    up, down, reach = plan.up, plan.down, plan.reach
    blocks = -(-outputs // up)
    if not blocks or not x.numel():
        return x.new_zeros((*x.shape[:-1], outputs))
    # blocks of `up` outputs use all phases in the same order, each block `down` samples after the one before
    ticks = first_tick + np.arange(up) * down
    begin, end = plan.span(first_tick, blocks * up)
    held = x[..., max(begin, 0) : max(end, 0)].to(work)
    length = blocks * down + reach + (int(ticks[-1]) // up - first_tick // up)
    padded = x.new_zeros((*x.shape[:-1], max(length, end - begin)), dtype=work)
    at = max(begin, 0) - begin
    padded[..., at : at + held.shape[-1]] = held
    table = torch.from_numpy(plan.tables["float64" if work.to_real() is torch.float64 else "float32"])
    table = table[torch.from_numpy(ticks % up)].to(x.device)
    starts = torch.from_numpy(ticks // up - first_tick // up).to(x.device)
    windows = padded.unfold(-1, length - (blocks - 1) * down, down)  # [..., blocks, samples of a block]
    sums = x.new_zeros((*x.shape[:-1], blocks, up), dtype=work)
    for k in range(reach):
        sums = torch.addcmul(sums, windows.index_select(-1, starts + k), table[:, k].to(work))
    return sums.flatten(-2)[..., :outputs].to(x.dtype)


@_resample.register_fake
def _(x: Tensor, taps: Tensor, gain: float, up: int, down: int, first_tick: int, outputs: int, fused: bool) -> Tensor:
    return x.new_empty((*x.shape[:-1], outputs))


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, taps, *ctx.numbers = inputs
    ctx.samples = x.shape[-1]
    ctx.save_for_backward(taps)


def _gradient(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
    (taps,) = ctx.saved_tensors
    gain, up, down, first_tick, _outputs, fused = ctx.numbers
    back = len(taps) - 1 - first_tick
    return _resample(gy, taps.flip(0), gain, down, up, back, ctx.samples, fused), *[None] * 7


_resample.register_autograd(_gradient, setup_context=_remember)


@_resample.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], x: Tensor, *others: Any) -> tuple[Tensor, int]:
    """The new axis is one more leading axis."""
    assert in_dims[0] is not None
    y: Tensor = _resample(x.movedim(in_dims[0], 0), *others)
    return y, 0


@torch.library.custom_op("bridgeflow::resample_between", mutates_args=())
def _between(x: Tensor, table: Tensor, up: int, down: int, first_tick: int, outputs: int) -> Tensor:
    """`Between.run_array`; x in the precision of the table, real or complex."""
    taps = int(table.shape[2])
    begin = first_tick // up - taps + 1
    if x.device.type == "cpu":
        values = x.detach().resolve_conj().resolve_neg()
        rows = torch.view_as_real(values).movedim(-1, 0) if values.is_complex() else values
        y = torch.from_numpy(
            run_between(rows.numpy(), table.numpy(), up, down, phase=first_tick % up, first=begin, outputs=outputs)
        )
        return torch.view_as_complex(y.movedim(0, -1).contiguous()) if values.is_complex() else y
    y = x.new_zeros((*x.shape[:-1], outputs))
    for part, places, weights in _windows(x, table, up, down, first_tick, outputs):
        y[..., part] = (_padded(x, taps)[..., places + taps] * weights).sum(-1)
    return y


@torch.library.custom_op("bridgeflow::resample_between_transposed", mutates_args=())
def _between_transposed(gy: Tensor, table: Tensor, up: int, down: int, first_tick: int, samples: int) -> Tensor:
    """The transpose of `_between`: what the outputs take from each sample, with which gradients flow."""
    taps = int(table.shape[2])
    gx = gy.new_zeros((*gy.shape[:-1], samples + 2 * taps))
    for part, places, weights in _windows(gx[..., taps : taps + samples], table, up, down, first_tick, gy.shape[-1]):
        gx.index_add_(-1, (places + taps).flatten(), (gy[..., part, None] * weights).flatten(-2))
    return gx[..., taps : taps + samples].contiguous()


def _padded(x: Tensor, taps: int) -> Tensor:
    return torch.nn.functional.pad(x, (taps, taps))


def _windows(
    x: Tensor, table: Tensor, up: int, down: int, first_tick: int, outputs: int
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Some outputs at a time: which, the places of their samples [outputs, taps], and the weights of these.

    Places outside of x are at most `taps` samples beyond its ends.
    """
    taps, samples = int(table.shape[2]), int(x.shape[-1])
    for begin in range(0, outputs, _OUTPUTS_AT_A_TIME):
        count = min(_OUTPUTS_AT_A_TIME, outputs - begin)
        weights, offsets = weights_between(table.numpy(), up, down, first_tick + begin * down, count)
        places = (offsets - taps + 1)[:, np.newaxis] + np.arange(taps)
        yield (
            slice(begin, begin + count),
            torch.from_numpy(places.clip(-taps, samples + taps - 1)).to(x.device),
            torch.from_numpy(weights).to(x.device),
        )


_OUTPUTS_AT_A_TIME = 512


@_between.register_fake
def _(x: Tensor, table: Tensor, up: int, down: int, first_tick: int, outputs: int) -> Tensor:
    return x.new_empty((*x.shape[:-1], outputs))


@_between_transposed.register_fake
def _(gy: Tensor, table: Tensor, up: int, down: int, first_tick: int, samples: int) -> Tensor:
    return gy.new_empty((*gy.shape[:-1], samples))


def _remember_between(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, table, *ctx.numbers = inputs
    ctx.samples = x.shape[-1]
    ctx.save_for_backward(table)


def _gradient_between(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
    (table,) = ctx.saved_tensors
    up, down, first_tick, _outputs = ctx.numbers
    return _between_transposed(gy, table, up, down, first_tick, ctx.samples), *[None] * 5


def _gradient_transposed(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    (table,) = ctx.saved_tensors
    up, down, first_tick, _samples = ctx.numbers
    return _between(g, table, up, down, first_tick, ctx.samples), *[None] * 5


_between.register_autograd(_gradient_between, setup_context=_remember_between)
_between_transposed.register_autograd(_gradient_transposed, setup_context=_remember_between)


def _between_mapped(info: Any, in_dims: tuple[int | None, ...], x: Tensor, *others: Any) -> tuple[Tensor, int]:
    assert in_dims[0] is not None
    y: Tensor = _between(x.movedim(in_dims[0], 0), *others)
    return y, 0


def _transposed_mapped(info: Any, in_dims: tuple[int | None, ...], gy: Tensor, *others: Any) -> tuple[Tensor, int]:
    assert in_dims[0] is not None
    y: Tensor = _between_transposed(gy.movedim(in_dims[0], 0), *others)
    return y, 0


_between.register_vmap(_between_mapped)
_between_transposed.register_vmap(_transposed_mapped)


def upfirdn_tensor(h: Any, x: Any, up: int, down: int, axis: int, mode: str, cval: float) -> Tensor:
    """`bridgeflow.signal.upfirdn` where a tensor is on a device or under autograd, with gradients for both.

    Args:
        h: taps [n].
        x: data, time along `axis`.
        up, down: factors.
        axis: of time.
        mode, cval: how x goes on beyond its ends.
    """
    template = first_tensor(h, x)
    taps, data = (tensor_of(each, like=template) for each in (h, x))
    require_one_device(data, taps)
    if taps.ndim != 1 or not len(taps):
        raise DataError(f"h must be 1-D with non-zero length, got shape {tuple(taps.shape)}")
    rows = time_last(data, axis)
    samples = int(rows.shape[-1])
    if not samples:
        raise DataError("there are no samples")
    outputs = -(-((samples - 1) * up + len(taps)) // down)
    rows, reach = rows.to(float_dtype(data, double=True)), 0
    if mode != "constant" or cval:
        reach = -(-(len(taps) - 1) // up)
        rows = extend(rows, mode, cval, reach, reach)
    work = torch.promote_types(rows.dtype, taps.dtype)
    stuffed = torch.nn.functional.pad(rows.to(work).unsqueeze(-1), (0, up - 1)).flatten(-2)
    weights = taps.to(work).reshape([1] * (rows.ndim - 1) + [-1])
    full = convolve(stuffed, weights, "full", -1, double=True)
    needed = reach * up + (outputs - 1) * down + 1
    full = torch.nn.functional.pad(full, (0, max(needed - int(full.shape[-1]), 0)))
    y = full[..., reach * up : needed : down]
    kept = float_dtype(data, double=False)
    kept = kept.to_complex() if y.is_complex() and not kept.is_complex else kept
    return time_where_it_was(y.to(kept), axis)  # type: ignore[no-any-return]
