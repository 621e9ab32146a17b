"""`lfilter` and `filtfilt` in operations that torch differentiates, on any device, with SciPy's state.

A filter is its numerator, a short sum, and after it the all-pole part `y[t] = v[t] - a_1 y[t-1] - ...`, which runs as
second-order sections. The state of the whole, SciPy's, needs no conversion: before the all-pole part it is simply added
to the first samples, and afterwards it is the sum that the last samples still owe to the future,

    zf[k] = sum over i of b[k + i] x[T - i] - a[k + i] y[T - i],        i = 1, ..., n - k.

The gradient with respect to the denominator comes from the filter itself: with `g` the gradient with respect to y, run
backwards through the all-pole part, it is `-sum over t of g[t] y[t - k]`.

Imported only where a tensor has shown that torch is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bridgeflow.bridge import kind_of, to_numpy, to_tensor
from bridgeflow.errors import DataError, NoRoute
from bridgeflow.signal._input import read_nested, require_strided
from bridgeflow.signal._torch import float_dtype
from bridgeflow.signal.design import Ba
from bridgeflow.signal.design.base import solved
from bridgeflow.signal.iir.engine import Array
from bridgeflow.signal.iir.torch_ops import sosfilt_tensor
from bridgeflow.signal.padding import Padtype, pad_ends, parse_padding

__all__ = ["filtfilt", "first_tensor", "lfilter", "require_one_device", "steady_state", "tensor_of"]

Check = Callable[[Array, Array], Any]
"""Looks at the values of b and a, and raises where they are not a filter that can be run."""


def lfilter(b: Any, a: Any, x: Any, axis: int, zi: Any, *, check: Check) -> Any:
    """`bridgeflow.signal.lfilter` where a tensor is on a device or under autograd."""
    data = tensor_of(x, like=first_tensor(b, a, zi))
    if not -data.ndim <= axis < data.ndim:
        raise DataError(f"axis {axis} does not exist, x has {data.ndim} axes")
    numerator, denominator = _coefficients(b, a, data, check)
    rows = data.movedim(axis, -1).to(float_dtype(data, double=True))
    order = len(numerator) - 1
    state = None
    if zi is not None:
        expected = (*rows.shape[:-1], order)
        state = tensor_of(zi, like=data)
        require_one_device(data, state)
        if state.ndim != data.ndim or state.shape[axis] != order:
            raise DataError(f"zi must have x's shape with {order} along axis {axis}, got {tuple(state.shape)}")
        state = state.movedim(axis, -1).expand(expected)
        state = state.to(torch.promote_types(state.dtype, rows.dtype))
        rows = rows.to(state.dtype)
    y, zf = _run(numerator, denominator, rows, state)
    kept = float_dtype(data, double=False)
    kept = kept.to_complex() if y.is_complex() and not kept.is_complex else kept
    result = y.to(kept).movedim(-1, axis)
    return result if zi is None else (result, zf.movedim(-1, axis))


def filtfilt(b: Any, a: Any, x: Any, axis: int, padtype: Padtype | None, padlen: int | None, *, check: Check) -> Tensor:
    """`bridgeflow.signal.filtfilt` where a tensor is on a device or under autograd."""
    data = tensor_of(x, like=first_tensor(b, a))
    if not -data.ndim <= axis < data.ndim:
        raise DataError(f"axis {axis} does not exist, x has {data.ndim} axes")
    numerator, denominator = _coefficients(b, a, data, check)
    samples = int(data.shape[axis])
    edge = parse_padding(padtype, padlen, 3 * len(numerator), samples)
    y = pad_ends(data.movedim(axis, -1).to(float_dtype(data, double=True)), padtype, edge)
    steady = _steady(numerator, denominator)
    for _ in ("forwards", "backwards"):
        y, _zf = _run(numerator, denominator, y, steady * y[..., :1])
        y = y.flip(-1)
    return y[..., edge : edge + samples].to(float_dtype(data, double=False)).movedim(-1, axis)


def steady_state(b: Any, a: Any) -> Tensor:
    """`bridgeflow.signal.lfilter_zi` of tensors: in closed form, so that gradients flow."""
    template = first_tensor(b, a)
    rows = [_row(row, like=template) for row in (b, a)]
    if any(row.ndim != 1 or not len(row) for row in rows):
        raise DataError("lfilter_zi: b and a must be non-empty and 1-D")
    numerator, denominator = _aligned(*rows)
    return _steady(numerator, denominator)


def _steady(b: Tensor, a: Tensor) -> Tensor:
    """The state for ones, from coefficients of one length, `a[0] == 1`: what it adds up to and what it passes on."""
    step = b[1:] - a[1:] * b[0]
    level = step.sum() / a.sum()
    return torch.cat([level.reshape(1), a[:-1].cumsum(0)[1:] * level - step[:-1].cumsum(0)])[: len(b) - 1]


def _run(b: Tensor, a: Tensor, x: Tensor, zi: Tensor | None) -> tuple[Tensor, Tensor]:
    """Rows [..., T] in double precision, and the state before, to y and the state after."""
    order, samples = len(b) - 1, int(x.shape[-1])
    if x.is_meta:
        return torch.empty_like(x), x.new_empty((*x.shape[:-1], order))
    driven = b[0] * x
    for k in range(1, min(order, samples - 1) + 1):
        driven = driven + b[k] * torch.nn.functional.pad(x[..., : samples - k], (k, 0))
    if zi is not None and order:
        taken = min(order, samples)
        driven = driven + torch.nn.functional.pad(zi[..., :taken], (0, samples - taken))
    y = _all_pole(a, driven)
    owed = []
    for k in range(order):
        reach = min(order - k, samples)
        sums = zi[..., k + samples] if zi is not None and k + samples < order else x.new_zeros(x.shape[:-1])
        for i in range(1, reach + 1):
            sums = sums + b[k + i] * x[..., samples - i] - a[k + i] * y[..., samples - i]
        owed.append(sums)
    return y, torch.stack(owed, dim=-1) if owed else x.new_zeros((*x.shape[:-1], 0))


def _all_pole(a: Tensor, v: Tensor) -> Tensor:
    if len(a) == 1 or not v.shape[-1] or not a.detach()[1:].any():
        return v
    if a.requires_grad and torch.is_grad_enabled():
        y: Tensor = _AllPole.apply(a, v)  # type: ignore[no-untyped-call]
        return y
    return _through_sections(a, v)


def _through_sections(a: Tensor, v: Tensor) -> Tensor:
    coefficients = a.detach().cpu().double().numpy()
    recursive = coefficients[: int(np.flatnonzero(coefficients)[-1]) + 1]
    if len(recursive) <= 3:
        sections = np.pad(recursive, (0, 3 - len(recursive)))
        return sosfilt_tensor(np.concatenate([[1.0, 0.0, 0.0], sections])[None], v)[0]
    impulse = (1.0, *[0.0] * (len(recursive) - 1))
    return sosfilt_tensor(solved(Ba(b=impulse[:1], a=tuple(recursive.tolist()))), v)[0]


class _AllPole(torch.autograd.Function):
    """`y[t] = v[t] - a_1 y[t-1] - ...` with a gradient for a as well."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, v: Tensor) -> Tensor:
        y = _through_sections(a, v)
        ctx.save_for_backward(a, y)
        return y

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> Any:
        a, y = ctx.saved_tensors
        g = _all_pole(a, gy.flip(-1)).flip(-1)
        samples = int(y.shape[-1])
        sums = [a.new_zeros(())]
        for k in range(1, len(a)):
            product = g[..., k:] * y[..., : max(samples - k, 0)].conj()
            sums.append(-(product.real if product.is_complex() else product).sum())
        return torch.stack(sums).to(a.dtype), g


def _coefficients(b: Any, a: Any, data: Tensor, check: Check) -> tuple[Tensor, Tensor]:
    """Both in double precision, on the device of the data, of one length, divided by `a[0]`."""
    for row in (b, a):
        if row.is_complex() if kind_of(row) == "torch" else np.iscomplexobj(row):
            raise NoRoute(
                "dtype",
                "complex coefficients and data that only torch can filter (on a device, or under autograd)",
                "pass x.detach().cpu(), or filter with the real and the imaginary part of the coefficients",
            )
    check(*(to_numpy(row) if kind_of(row) is not None else np.asarray(row) for row in (b, a)))
    work = torch.float32 if data.device.type == "mps" else torch.float64
    rows = (_row(row, like=data).to(data.device, work) for row in (b, a))
    return _aligned(*rows)


def _aligned(b: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    count = max(len(b), len(a))
    first = a[0]
    b, a = (torch.nn.functional.pad(row, (0, count - len(row))) / first for row in (b, a))
    return b, a


def first_tensor(*values: Any) -> Tensor | None:
    """The first tensor among values."""
    return next((value for value in values if isinstance(value, Tensor)), None)


def _row(x: Any, *, like: Tensor | None) -> Tensor:
    row = tensor_of(x, like=like)
    return row if row.ndim else row[None]


def require_one_device(first: Tensor, second: Tensor) -> None:
    """Refuse tensors that cannot be computed with together.

    Raises:
        NoRoute: they are on different devices.
    """
    if first.device != second.device:
        raise NoRoute(
            "device", f"tensors on {first.device} and on {second.device} do not go together", "move both to one device"
        )


def tensor_of(x: Any, *, like: Tensor | None) -> Tensor:
    """Any array as a tensor, beside another one.

    Raises:
        NoRoute: a nested or sparse tensor.
        DataError: nested lists that are not one array.
    """
    if isinstance(x, Tensor):
        require_strided(x)
        return x
    values = x if kind_of(x) is not None else read_nested(x)
    tensor: Tensor = to_tensor(values, writable=False, device=None if like is None else like.device)
    return tensor
