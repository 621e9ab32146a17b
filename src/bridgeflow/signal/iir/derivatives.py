"""Derivatives of a cascade of sections, in terms of running other cascades: so they have derivatives themselves.

Let a section run as SciPy's does, `y = b0 x + s0`, `s0' = b1 x - a1 y + s1`, `s1' = b2 x - a2 y`, and let `g` be the
gradient with respect to its output. Then

    v[t] = g[t] - a1 v[t + 1] - a2 v[t + 2],        v[T], v[T + 1] = gradient with respect to the final (s0, s1)

is its all-pole part running backwards in time, and everything follows from it:

    x[t]:  b0 v[t] + b1 v[t + 1] + b2 v[t + 2]      the whole section, running backwards
    b_k:   sum over t of v[t + k] x[t]
    a_k:   -sum over t of v[t + k] y[t]
    initial (s0, s1):  (v[0], v[1])

A filter that is not being learned needs no `v`: its gradient is the whole cascade run once more, backwards. Forwards, a
change of the coefficients acts like input to the all-pole part.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["Gradients", "Run", "all_gradients", "at_start", "tangents", "through_cascade"]


class Run(Protocol):
    """Filters x [..., T] from zi [S, ..., 2], differentiably; `backwards` from its last sample to its first."""

    def __call__(
        self, sos: Tensor, x: Tensor, zi: Tensor | None, *, backwards: bool = False
    ) -> tuple[Tensor, Tensor]: ...


class Gradients(NamedTuple):
    """Of a scalar, with respect to each."""

    sos: Tensor
    x: Tensor
    zi: Tensor


def through_cascade(run: Run, sos: Tensor, gy: Tensor, gzf: Tensor | None) -> Tensor:
    """The gradient with respect to x: the sections in opposite order, backwards in time.

    Args:
        run: the filter.
        sos: sections [S, 6].
        gy: gradient with respect to y [..., T].
        gzf: gradient with respect to zf [S, ..., 2], or `None` for zero.
    """
    state = None if gzf is None else _state_of(sos, gzf).flip(0)
    return run(sos.flip(0), gy, state, backwards=True)[0]


def at_start(run: Run, sos: Tensor, gy: Tensor, gzf: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The gradient with respect to zi: output and final state are held against what each of its numbers alone brings
    about.

    Args:
        run, sos, gy, gzf: as for `through_cascade`.
        dtype: of the sums and the result, real or complex.
    """
    count = 2 * len(sos)
    silence = torch.zeros(count, gy.shape[-1], dtype=dtype.to_real(), device=gy.device)
    units = torch.eye(count, dtype=dtype.to_real(), device=gy.device).view(count, len(sos), 2).transpose(0, 1)
    seen, left = run(sos, silence, units)  # [2 S, T], [S, 2 S, 2]
    gradient = gy.to(dtype) @ seen.to(dtype).t()
    if gzf is not None:
        gradient = gradient + torch.einsum("i...k,ijk->...j", gzf.to(dtype), left.to(dtype))
    return gradient.reshape(*gy.shape[:-1], len(sos), 2).movedim(-2, 0)


def all_gradients(run: Run, sos: Tensor, x: Tensor, zi: Tensor | None, gy: Tensor, gzf: Tensor | None) -> Gradients:
    """The gradients with respect to everything, section by section from the last.

    Args:
        run, sos, gy, gzf: as for `through_cascade`.
        x: data [..., T], as wide as the sums should be: near `z = 1`, v is larger than g by many orders.
        zi: state [S, ..., 2], or `None` for zero.
    """
    sections = sos.to(device=x.device, dtype=x.dtype.to_real())
    signals = [x]
    for i in range(len(sos)):
        signals.append(run(sos[i : i + 1], signals[-1], None if zi is None else zi[i : i + 1])[0])
    left = x.new_zeros((len(sos), *x.shape[:-1], 2)) if gzf is None else gzf.to(x.dtype)

    time = x.shape[-1]
    g, of_sos, of_zi = gy.to(x.dtype), [], []
    for i in reversed(range(len(sos))):
        this = slice(i, i + 1)
        a1, a2 = sections[i, 4], sections[i, 5]
        v1, v2 = left[i, ..., 0], left[i, ..., 1]
        state = torch.stack([-a1 * v1 - a2 * v2, -a2 * v1], dim=-1)[None]
        v, _ = run(_poles(sections[i])[None], g, state, backwards=True)
        v = torch.cat([v, left[i]], dim=-1)
        now, next_, second = (v[..., k : k + time] for k in range(3))
        before, after = signals[i], signals[i + 1]
        b = [_inner(now, before), _inner(next_, before), _inner(second, before)]
        a = [torch.zeros_like(a1), -_inner(next_, after), -_inner(second, after)]
        of_sos.append(torch.stack([*b, *a]))
        of_zi.append(v[..., :2])
        g, _ = run(sos[this], g, _state_of(sos[this], left[this]), backwards=True)
    return Gradients(torch.stack(of_sos[::-1]), g, torch.stack(of_zi[::-1]))


def tangents(
    run: Run, sos: Tensor, x: Tensor, zi: Tensor | None, dsos: Tensor, dx: Tensor | None, dzi: Tensor | None
) -> tuple[Tensor, Tensor]:
    """How y [..., T] and zf [S, ..., 2] move when sos, x and zi move by dsos, dx and dzi (`None` for zero).

    Where sos stands still, `run(sos, dx, dzi)` is the answer.
    """
    time = x.shape[-1]
    dx = torch.zeros_like(x) if dx is None else dx
    changes = dsos.to(device=x.device, dtype=x.dtype.to_real())
    moved = []
    for i in range(len(sos)):
        this = slice(i, i + 1)
        y, _ = run(sos[this], x, None if zi is None else zi[this])
        db0, db1, db2, _, da1, da2 = changes[i].unbind()
        first, second = db1 * x - da1 * y, db2 * x - da2 * y  # what enters s0 and s1
        second_late = pad(second, (1, 0))
        drive = db0 * x + pad(first + second_late[..., :time], (1, 0))[..., :time]
        driven, state = run(_poles(sos[i])[None], drive, None)
        carried, dzf = run(sos[this], dx, None if dzi is None else dzi[this])
        pending = torch.stack([first[..., -1] + second_late[..., time - 1], second[..., -1]], dim=-1)
        moved.append(state + dzf + pending)
        x, dx = y, driven + carried
    return dx, torch.cat(moved)


def _poles(section: Tensor) -> Tensor:
    """The all-pole part of a section [6]."""
    return torch.cat([section.new_tensor([1.0, 0.0, 0.0, 1.0]), section[4:]])


def _state_of(sos: Tensor, v: Tensor) -> Tensor:
    """SciPy's states [S, ..., 2] of sections whose all-pole parts put out `v[..., 0]` now, `v[..., 1]` before."""
    b0, b1, b2, _, a1, a2 = (c.view(-1, *[1] * (v.ndim - 2)) for c in sos.to(v.device).unbind(-1))
    v1, v2 = v.unbind(-1)
    cross = b2 - a2 * b0
    return torch.stack([(b1 - a1 * b0) * v1 + cross * v2, cross * v1 + (a1 * b2 - a2 * b1) * v2], dim=-1)


def _inner(u: Tensor, v: Tensor) -> Tensor:
    products: Tensor = torch.linalg.vecdot(u, v)
    return products.real.sum()
