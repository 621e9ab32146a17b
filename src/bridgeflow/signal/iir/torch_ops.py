"""IIR filters as torch operators: differentiable, compiled, exported and mapped like torch's own.

`bridgeflow::sosfilt` is the operator: autograd, `torch.compile` and `torch.export` know it. What torch's operators from
Python do not know, `torch.func` and forward mode, goes through an `autograd.Function` around it. Its derivatives
(`iir.derivatives`) are in terms of itself, so there are derivatives of any order. Neither is called where torch's
dispatcher need not see it.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from bridgeflow.errors import BridgeflowError, DataError, names_errors
from bridgeflow.signal._input import needs_dispatch
from bridgeflow.signal._memory import empty_tensor
from bridgeflow.signal._torch import float_dtype
from bridgeflow.signal.iir import blocks, derivatives
from bridgeflow.signal.iir.engine import Array, EngineName, Pass, Precision, load, require_sections, why_unavailable
from bridgeflow.signal.padding import Padtype, default_padlen, pad_ends, parse_padding

__all__ = [
    "TensorEngine",
    "sosfilt_tensor",
    "sosfilt_zi_tensor",
    "sosfiltfilt_tensor",
]

TensorEngine: TypeAlias = Literal["auto", "native", "blocks", "scipy"]
"""What filters tensors on the CPU; `"auto"` is native where it is built, else scipy. Other devices have blocks."""


def sosfilt_tensor(
    sos: Tensor | Array,
    x: Tensor,
    zi: Tensor | None = None,
    axis: int = -1,
    precision: Precision = "float64",
    *,
    engine: TensorEngine = "auto",
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Filter a tensor along one axis, with derivatives where they are asked for.

    Args:
        sos: sections [S, 6], `sos[:, 3] == 1`; a tensor that requires grad gets its gradient.
        x: data of any shape, dtype and device; only read.
        zi: state [S, ..., 2, ...] with the 2 in the place of time, SciPy's layout; `None` for zero.
        axis: the axis of time.
        precision: of the recursion, whatever the dtype of x.
        engine: on the CPU.
        reverse: run from the last sample to the first; `zi` is then the state after the last.

    Returns:
        y: shape, device and dtype of x (float64 for integers and booleans).
        zf: laid out as zi, float64 or complex128.

    Raises:
        DataError: shapes that do not fit.

    >>> sos = torch.tensor([[0.5, 0.5, 0.0, 1.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    >>> y, _ = sosfilt_tensor(sos, torch.tensor([1.0, 2.0, 3.0]))
    >>> y.sum().backward()
    >>> sos.grad[0, :3]  # b0 meets all of x, b1 all but the last sample, b2 the first
    tensor([6., 3., 1.], dtype=torch.float64)
    """
    if not -x.ndim <= axis < x.ndim:
        raise DataError(f"sosfilt: axis {axis} does not exist, x has {x.ndim} axes")
    sections = _sections(sos)
    axis %= x.ndim
    expected = (sections.shape[0], *x.shape[:axis], 2, *x.shape[axis + 1 :])
    if zi is not None:
        if zi.shape != expected:
            raise DataError(f"sosfilt: with axis={axis}, zi must have shape {expected}, got {tuple(zi.shape)}")
        if zi.is_complex() and not x.is_complex():
            x = x.to(torch.promote_types(x.dtype, torch.complex32))
    last = axis == x.ndim - 1
    if not last:
        x, zi = x.movedim(axis, -1), None if zi is None else zi.movedim(axis + 1, -1)
    run = _dispatched if needs_dispatch(x, zi, sections) else _compute
    y, zf = run(sections, x, zi, precision, engine, reverse)
    return (y, zf) if last else (y.movedim(-1, axis), zf.movedim(-1, axis + 1))


@names_errors("sosfiltfilt")
def sosfiltfilt_tensor(
    sos: Tensor | Array,
    x: Tensor,
    axis: int = -1,
    padtype: Padtype | None = "odd",
    padlen: int | None = None,
    precision: Precision = "float64",
    *,
    engine: TensorEngine = "auto",
) -> Tensor:
    """Filter a tensor forwards and backwards with SciPy's padding, with derivatives where they are asked for.

    What passes from the first run to the second stays in the precision of the recursion.

    Args:
        sos, x, axis, precision, engine: as for `sosfilt_tensor`.
        padtype: how x goes on beyond its ends, or `None`.
        padlen: by how many samples, fewer than there are; `None` for SciPy's default, which depends on the values in
            `sos`.

    Returns:
        y: shape, device and dtype of x (float64 for integers and booleans).

    Raises:
        DataError: shapes that do not fit, among them an x that is not longer than `padlen`; `padlen=None` where values
            cannot be read, as under `torch.compile`.

    >>> ramp = torch.arange(50.0)
    >>> mean = np.array([[0.5, 0.5, 0.0, 1.0, 0.0, 0.0]])
    >>> torch.allclose(sosfiltfilt_tensor(mean, ramp), ramp, atol=1e-5)
    True
    """
    if not -x.ndim <= axis < x.ndim:
        raise DataError(f"sosfiltfilt: axis {axis} does not exist, x has {x.ndim} axes")
    sections = _sections(sos)
    signal = x.movedim(axis, -1)
    time = signal.shape[-1]
    default = default_padlen(sections) if padlen is None and padtype is not None else 0
    edge = parse_padding(padtype, padlen, default, time)
    if x.numel() == 0:
        return torch.empty_like(x, dtype=float_dtype(x, double=False))
    work = torch.promote_types(float_dtype(x, double=False), getattr(torch, precision))
    extended = pad_ends(signal.to(work), padtype, edge)
    steady = sosfilt_zi_tensor(sections).to(x.device)
    steady = steady.view(len(steady), *[1] * (x.ndim - 1), 2)
    y, _ = sosfilt_tensor(sections, extended, steady * extended[..., :1], -1, precision, engine=engine)
    y, _ = sosfilt_tensor(sections, y, steady * y[..., -1:], -1, precision, engine=engine, reverse=True)
    return y[..., edge : edge + time].to(float_dtype(x, double=False)).movedim(-1, axis)


def sosfilt_zi_tensor(sos: Tensor) -> Tensor:
    """The state [S, 2] of sections [S, 6] that have seen ones forever, as `scipy.signal.sosfilt_zi`, with derivatives.

    >>> sosfilt_zi_tensor(torch.tensor([[0.25, 0.25, 0.0, 1.0, -0.5, 0.0]]))
    tensor([[0.7500, 0.0000]])
    """
    b0, b1, b2, _, a1, a2 = sos.unbind(-1)
    gain = ((b0 + b2) + b1) / ((1 + a1) + a2)
    level = torch.cat([torch.ones_like(gain[:1]), gain[:-1].cumprod(0)])
    return torch.stack([gain - b0, b2 - a2 * gain], dim=-1) * level[:, None]


def _beyond_operators() -> bool:
    """Whether `torch.func` or forward mode asks: operators from Python answer them wrongly or not at all."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def _sections(sos: Tensor | Array) -> Tensor:
    sections = sos if isinstance(sos, Tensor) else torch.from_numpy(np.array(sos, dtype=np.float64))
    require_sections(sections)
    return sections


def _compute(
    sos: Tensor, x: Tensor, zi: Tensor | None, precision: Precision, engine: TensorEngine, reverse: bool
) -> tuple[Tensor, Tensor]:
    """What the operator does, time last: x [..., T], zi [S, ..., 2] to y [..., T], zf [S, ..., 2]."""
    sections = sos.detach().to("cpu", torch.float64).contiguous().numpy()
    name: EngineName = "blocks"
    if x.device.type == "cpu":
        built = why_unavailable("native") is None
        name = engine if engine != "auto" else "native" if built else "scipy"
    if name == "blocks":
        return blocks.filter_tensor(sections, x, zi, precision, reverse=reverse)
    values = x.detach().resolve_conj().resolve_neg()
    if values.dtype in _NOT_IN_NUMPY:
        values = values.to(torch.float32)
    state = None
    if zi is not None:
        work = getattr(torch, precision)
        state = zi.detach().resolve_conj().resolve_neg().to(work.to_complex() if x.is_complex() else work).numpy()
    y = empty_tensor(tuple(x.shape), float_dtype(values, double=False), x.device)
    time = slice(None, None, -1 if reverse else 1)
    _, zf = load(name).sosfilt(sections, values.numpy()[..., time], state, Pass(precision), y.numpy()[..., time])
    return y.to(float_dtype(x, double=False)), torch.from_numpy(zf).to(float_dtype(x, double=True))


_NOT_IN_NUMPY: Final = frozenset({torch.bfloat16})


@torch.library.custom_op(
    "bridgeflow::sosfilt",
    mutates_args=(),
    schema="(Tensor sos, Tensor x, Tensor? zi, str precision, str engine, bool reverse) -> (Tensor, Tensor)",
)
def _operator(
    sos: Tensor, x: Tensor, zi: Tensor | None, precision: Precision, engine: TensorEngine, reverse: bool
) -> tuple[Tensor, Tensor]:
    return _compute(sos, x, zi, precision, engine, reverse)


@_operator.register_fake
def _(sos: Tensor, x: Tensor, zi: Tensor | None, precision: str, engine: str, reverse: bool) -> tuple[Tensor, Tensor]:
    y = x.new_empty(x.shape, dtype=float_dtype(x, double=False))
    return y, x.new_empty((sos.shape[0], *x.shape[:-1], 2), dtype=float_dtype(x, double=True))


def _dispatched(
    sos: Tensor, x: Tensor, zi: Tensor | None, precision: Precision, engine: TensorEngine, reverse: bool
) -> tuple[Tensor, Tensor]:
    """The operator, or the function around it where that is needed."""
    if torch.compiler.is_compiling():
        if forward_ad._current_level >= 0:
            raise BridgeflowError(
                "inside torch.compile, torch takes the forward-mode derivative of this operator for zero; "
                "compile what jvp is given instead of what calls jvp, or use vjp"
            )
        call: Any = _operator
    else:
        call = _Function.apply if _beyond_operators() else _Plain.apply if _is_plain(sos, x, zi) else _operator
    return cast("tuple[Tensor, Tensor]", call(sos, x, zi, precision, engine, reverse))


def _is_plain(*tensors: Tensor | None) -> bool:
    """Whether autograd is all that has to see the call: on the CPU, neither dispatch modes nor classes of tensors."""
    return torch._C._len_torch_dispatch_stack() == 0 and all(
        tensor is None or (type(tensor) in _PLAIN and tensor.device.type == "cpu") for tensor in tensors
    )


_PLAIN: Final = frozenset({Tensor, torch.nn.Parameter, torch.nn.Buffer})


class _Runner(NamedTuple):
    """The operator with its options chosen, for `derivatives`."""

    precision: Precision
    engine: TensorEngine
    reverse: bool

    def __call__(self, sos: Tensor, x: Tensor, zi: Tensor | None, *, backwards: bool = False) -> tuple[Tensor, Tensor]:
        run = _dispatched if needs_dispatch(x, zi, sos) else _compute
        return run(sos, x, zi, self.precision, self.engine, self.reverse != backwards)


class _Dtypes(NamedTuple):
    x: torch.dtype
    zi: torch.dtype | None
    y: torch.dtype
    zf: torch.dtype


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    sos, x, zi, *options = inputs
    y, zf = output
    learned = ctx.needs_input_grad[0]
    ctx.set_materialize_grads(False)
    ctx.options, ctx.shape = options, x.shape
    ctx.dtypes = _Dtypes(x.dtype, None if zi is None else zi.dtype, y.dtype, zf.dtype)
    ctx.save_for_backward(sos, x if learned else None, zi if learned else None)


def _gradients(ctx: Any, gy: Tensor | None, gzf: Tensor | None) -> tuple[Tensor | None, ...]:
    sos, x, zi = ctx.saved_tensors
    dtypes, run = ctx.dtypes, _Runner(*ctx.options)
    learned, wants_x, wants_zi = ctx.needs_input_grad[:3]
    gsos = gx = gzi = None
    if gy is None and gzf is not None:
        gy = gzf.new_zeros(ctx.shape, dtype=dtypes.y)
    if gy is None:
        pass
    elif learned and _native_alone(run.engine, sos, x, zi, gy, gzf):
        gsos, gx, gzi = _all_native(run.reverse, sos, x, zi, gy, gzf, wants_x)
    elif learned:
        exact = _Runner("float64", run.engine, reverse=False)
        x, gy = _turned(x.to(dtypes.zf), run.reverse), _turned(gy, run.reverse)
        gsos, gx, gzi = derivatives.all_gradients(exact, sos, x, zi, gy, gzf)
        gsos, gx = gsos.to(sos), _turned(gx, run.reverse)
    else:
        gx = derivatives.through_cascade(run, sos, gy, gzf) if wants_x else None
        gzi = derivatives.at_start(run, sos, gy, gzf, dtypes.zf) if wants_zi else None
    return gsos, _cast(gx, dtypes.x if wants_x else None), _cast(gzi, dtypes.zi if wants_zi else None), None, None, None


def _native_alone(engine: TensorEngine, *tensors: Tensor | None) -> bool:
    """Whether the native engine computes first derivatives, of which torch need see nothing."""
    values = [tensor for tensor in tensors if tensor is not None]
    return (
        engine in ("auto", "native")
        and why_unavailable("native") is None
        and not needs_dispatch(*values)
        and all(tensor.device.type == "cpu" and tensor.dtype in _NATIVE for tensor in values)
    )


_NATIVE: Final = frozenset({torch.float32, torch.float64})


def _all_native(
    reverse: bool, sos: Tensor, x: Tensor, zi: Tensor | None, gy: Tensor, gzf: Tensor | None, wants_x: bool
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Gradients with respect to sos, x and zi."""
    from bridgeflow.signal.iir.native_gradients import all_gradients

    def values(tensor: Tensor) -> Array:
        return cast(Array, tensor.detach().resolve_neg().numpy())

    time = slice(None, None, -1 if reverse else 1)
    gradients = all_gradients(
        np.ascontiguousarray(values(sos), np.float64),
        values(x)[..., time],
        None if zi is None else values(zi),
        values(gy)[..., time],
        None if gzf is None else values(gzf),
        wants_x=wants_x,
    )
    gx = None if gradients.x is None else _turned(torch.from_numpy(gradients.x), reverse)
    return torch.from_numpy(gradients.sos).to(sos), gx, torch.from_numpy(gradients.zi)


def _turned(signal: Tensor, reverse: bool) -> Tensor:
    return signal.flip(-1) if reverse else signal


def _cast(gradient: Tensor | None, dtype: torch.dtype | None) -> Tensor | None:
    """A gradient as its input has it; a real input gets the real part."""
    if gradient is None or dtype is None:
        return None
    return (gradient.real if gradient.is_complex() and not dtype.is_complex else gradient).to(dtype)


def _mapped(
    info: Any,
    in_dims: tuple[int | None, ...],
    sos: Tensor,
    x: Tensor,
    zi: Tensor | None,
    precision: Precision,
    engine: TensorEngine,
    reverse: bool,
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    """`vmap`. One filter for all: one more leading axis. A filter each: one after the other."""
    in_sos, in_x, in_zi, *_ = in_dims
    x = x.movedim(in_x, 0) if in_x is not None else x.expand(info.batch_size, *x.shape)
    if zi is not None:
        zi = zi.movedim(in_zi, 1) if in_zi is not None else zi[:, None].expand(-1, info.batch_size, *zi.shape[1:])
    if in_sos is None:
        return _dispatched(sos, x, zi, precision, engine, reverse), (0, 1)
    states = [None] * info.batch_size if zi is None else zi.unbind(1)
    each = zip(sos.unbind(in_sos), x.unbind(0), states, strict=True)
    y, zf = zip(*(_dispatched(f, row, state, precision, engine, reverse) for f, row, state in each), strict=True)
    return (torch.stack(y), torch.stack(zf, 1)), (0, 1)


_operator.register_autograd(_gradients, setup_context=_remember)
_operator.register_vmap(_mapped)


class _Function(torch.autograd.Function):
    """The operator for `torch.func` and forward mode."""

    backward = staticmethod(_gradients)
    vmap = staticmethod(_mapped)

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, Tensor]:
        return cast("tuple[Tensor, Tensor]", _operator(*inputs))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        _remember(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:3])

    @staticmethod
    def jvp(
        ctx: Any, dsos: Tensor | None, dx: Tensor | None, dzi: Tensor | None, *options: None
    ) -> tuple[Tensor, Tensor]:
        sos, x, zi = ctx.saved_tensors
        run, wide = _Runner(*ctx.options), ctx.dtypes.zf
        if dsos is None:
            return run(sos, torch.zeros_like(x) if dx is None else dx, dzi)
        exact = _Runner("float64", run.engine, reverse=False)
        dx = None if dx is None else _turned(dx.to(wide), run.reverse)
        dy, dzf = derivatives.tangents(exact, sos, _turned(x.to(wide), run.reverse), zi, dsos, dx, dzi)
        return _turned(dy.to(ctx.dtypes.y), run.reverse), dzf


class _Plain(_Function):
    """The operator for autograd alone: half the time of a call, which shows where data are few."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, Tensor]:
        return _compute(*inputs)
