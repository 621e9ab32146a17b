"""Resampling as a torch operator: differentiable any number of times, mapped, traced, on any device.

The gradient of resampling by `up / down` is resampling by `down / up` with the filter reversed: one linear map, and its
transpose. On the CPU the sums are those of the arrays; on a device every tap is one fused pass over all outputs, in the
same order, so that chunks give the bits of the whole there too. Imported only where a tensor has shown that torch is
loaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridgeflow.errors import DataError
from bridgeflow.signal._axes import time_last, time_where_it_was
from bridgeflow.signal._torch import float_dtype
from bridgeflow.signal.convolution_torch import convolve
from bridgeflow.signal.padding import extend
from bridgeflow.signal.resampling.polyphase import Polyphase
from bridgeflow.signal.transfer_torch import first_tensor, require_one_device, tensor_of

__all__ = ["resample_tensor", "upfirdn_tensor"]


def resample_tensor(x: Tensor, plan: Polyphase, first_tick: int, outputs: int) -> Tensor:
    """`Polyphase.run_array` for tensors [..., T], floating or complex; the result has their dtype."""
    taps = torch.from_numpy(plan.taps)
    y: Tensor = _resample(x, taps, plan.gain, plan.up, plan.down, first_tick, outputs)
    return y


@torch.library.custom_op("bridgeflow::resample", mutates_args=())
def _resample(x: Tensor, taps: Tensor, gain: float, up: int, down: int, first_tick: int, outputs: int) -> Tensor:
    """y[i] = sum over j of x[j] * h[first_tick + i * down - j * up], for h = gain * taps."""
    plan = Polyphase(up, down, taps.numpy(), 0, gain)
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
def _(x: Tensor, taps: Tensor, gain: float, up: int, down: int, first_tick: int, outputs: int) -> Tensor:
    return x.new_empty((*x.shape[:-1], outputs))


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, taps, *ctx.numbers = inputs
    ctx.samples = x.shape[-1]
    ctx.save_for_backward(taps)


def _gradient(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
    (taps,) = ctx.saved_tensors
    gain, up, down, first_tick, _outputs = ctx.numbers
    back = len(taps) - 1 - first_tick
    return _resample(gy, taps.flip(0), gain, down, up, back, ctx.samples), *[None] * 6


_resample.register_autograd(_gradient, setup_context=_remember)


@_resample.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], x: Tensor, *others: Any) -> tuple[Tensor, int]:
    """The new axis is one more leading axis."""
    assert in_dims[0] is not None
    y: Tensor = _resample(x.movedim(in_dims[0], 0), *others)
    return y, 0


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
