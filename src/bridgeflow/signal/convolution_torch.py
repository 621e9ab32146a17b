"""Convolution of tensors by Fourier transforms: on any device, with gradients for both operands.

Imported only where a tensor has shown that torch is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bridgeflow.errors import DataError
from bridgeflow.signal.transfer_torch import first_tensor, require_one_device, tensor_of

__all__ = ["convolve", "correlate"]


def convolve(in1: Any, in2: Any, mode: str, axes: Any, *, double: bool) -> Tensor:
    """The convolution of two arrays, one of which is a tensor.

    Args:
        in1, in2: of equally many axes.
        mode: `"full"`, `"valid"` or `"same"`.
        axes: to convolve along; `None` for all.
        double: transform in double precision, and keep integers.

    Raises:
        DataError: shapes or axes that do not fit.
    """
    first, second = _operands(in1, in2)
    dtype = torch.promote_types(first.dtype, second.dtype)
    if not first.ndim:
        return first * second
    if not first.numel() or not second.numel():
        return first.new_zeros(0, dtype=dtype)
    along = _axes(axes, first.ndim)
    one, two = tuple(first.shape), tuple(second.shape)
    along = [axis for axis in along if one[axis] != 1 and two[axis] != 1]
    for axis in set(range(first.ndim)) - set(along):
        if one[axis] != two[axis] and 1 not in (one[axis], two[axis]):
            raise DataError(f"incompatible shapes for in1 and in2: {one} and {two}")
    if mode == "valid" and not all(one[axis] >= two[axis] for axis in along):
        if not all(two[axis] >= one[axis] for axis in along):
            raise DataError(
                f"For 'valid' mode, one must be at least as large as the other in every dimension, got {one} and {two}"
            )
        first, second, one, two = second, first, two, one
    full = _full(first, second, along, double=double)
    if mode == "same":
        full = _centred(full, list(one))
    elif mode == "valid":
        full = _centred(full, [n - two[k] + 1 if k in along else full.shape[k] for k, n in enumerate(one)])
    if double and not dtype.is_floating_point and not dtype.is_complex:
        return full.round().to(dtype)
    return full.to(dtype) if dtype.is_floating_point or dtype.is_complex else full


def correlate(in1: Any, in2: Any, mode: str, *, double: bool) -> Tensor:
    """The cross-correlation of two arrays, one of which is a tensor; in2 is conjugated."""
    first, second = _operands(in1, in2)
    turned = second.flip(tuple(range(second.ndim))).conj()
    return convolve(first, turned, mode, None, double=double)


def _operands(in1: Any, in2: Any) -> tuple[Tensor, Tensor]:
    template = first_tensor(in1, in2)
    first, second = (tensor_of(x, like=template) for x in (in1, in2))
    require_one_device(first, second)
    first, second = (x.long() if x.dtype is torch.bool else x for x in (first, second))
    if first.ndim != second.ndim:
        raise DataError(f"in1 and in2 should have the same dimensionality, got {first.ndim} and {second.ndim}")
    return first, second


def _axes(axes: int | Sequence[int] | None, ndim: int) -> list[int]:
    if axes is None:
        return list(range(ndim))
    chosen = [axes] if isinstance(axes, int) else list(axes)
    if not chosen:
        raise DataError("when provided, axes cannot be empty")
    if not all(-ndim <= axis < ndim for axis in chosen):
        raise DataError(f"axes exceeds dimensionality of input, got {axes!r} for {ndim} axes")
    along = [axis % ndim for axis in chosen]
    if len(set(along)) != len(along):
        raise DataError(f"all axes must be unique, got {axes!r}")
    return along


def _full(first: Tensor, second: Tensor, along: list[int], *, double: bool) -> Tensor:
    is_complex = first.is_complex() or second.is_complex()
    real = torch.promote_types(
        torch.promote_types(_real(first), _real(second)),
        torch.float64 if double and first.device.type != "mps" else torch.float32,
    )
    work = real.to_complex() if is_complex else real
    first, second = first.to(work), second.to(work)
    if not along:
        return first * second
    from scipy.fft import next_fast_len

    lengths = [int(first.shape[axis]) + int(second.shape[axis]) - 1 for axis in along]
    sizes = [next_fast_len(length, not is_complex) for length in lengths]
    if is_complex:
        product = torch.fft.fftn(first, sizes, along) * torch.fft.fftn(second, sizes, along)
        full = torch.fft.ifftn(product, sizes, along)
    else:
        product = torch.fft.rfftn(first, sizes, along) * torch.fft.rfftn(second, sizes, along)
        full = torch.fft.irfftn(product, sizes, along)
    kept: Tensor = full
    for axis, length in zip(along, lengths, strict=True):
        kept = kept.narrow(axis, 0, length)
    return kept


def _real(x: Tensor) -> torch.dtype:
    if x.is_complex():
        return x.dtype.to_real()
    return x.dtype if x.is_floating_point() else torch.float64


def _centred(x: Tensor, shape: list[int]) -> Tensor:
    for axis, length in enumerate(shape):
        x = x.narrow(axis, (int(x.shape[axis]) - length) // 2, length)
    return x
