"""Filters as parts of a model: modules with gradients, and filters that a model may learn."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d

from bridgeflow.errors import ConfigError, DataError
from bridgeflow.policy import parse_word
from bridgeflow.signal._torch import float_dtype
from bridgeflow.signal.causal import Initial
from bridgeflow.signal.convenience import Mode
from bridgeflow.signal.design import Design, FirFilter, IirFilter, Sos, Taps, make_design
from bridgeflow.signal.fir import zero_phase_delay
from bridgeflow.signal.iir.engine import Array, Precision
from bridgeflow.signal.iir.torch_ops import sosfilt_tensor, sosfilt_zi_tensor, sosfiltfilt_tensor
from bridgeflow.signal.padding import default_padlen, pad_ends

__all__ = ["SignalFilter"]


class SignalFilter(nn.Module):
    """Filters its input along the last axis: fixed, or with coefficients that are learned and cannot become unstable.

    Args:
        design: a design (`Butter(...)`, `Firwin(...)`, ...), or the name of one, its parameters following by keyword.
        mode: `"causal"`, forward in time; or `"zero_phase"`, without delay: an IIR filter runs forwards and
            backwards (gain squared), one with symmetric taps runs once.
        initial: `"zero"`: start from silence; `"steady"`: as if the first sample had been there forever. For
            `"causal"`.
        precision: of a recursion, `"float64"` or `"float32"`, whatever the dtype of the data.
        learnable: makes parameters of the coefficients; the filter begins as the design, in float64 to the last bit.
        dtype: of the parameters, torch.float64 if `None`. Casting the module casts them; computing stays in float64.
        device: of the parameters. A fixed filter has none, and works wherever its data are.
        **parameters: of the design given by name.

    Input [..., time] of any dtype, on any device; shape and dtype stay (integers and booleans become float64). Works in
    `torch.compile` and `torch.export` in one graph.

    A learnable IIR filter is described, section by section, by numbers that are all of size 1, whatever the
    cutoff, so one learning rate suits them:

    - `poles` [S, 2]: anything from minus to plus infinity maps to poles inside the unit circle, through
      `a2 = tanh(poles[1])`, `a1 = (1 + a2) tanh(poles[0])`: the whole triangle of stable `(a1, a2)`, short of its rim
      by 2^-46. The first moves the frequency, the second the decay.
    - `levels` [S, 3]: what a section does at zero frequency, at its resonance and at half the sampling rate:
      `b = c0 p/4 [1, 2, 1] + c1 (1 - a2)/2 [1, 0, -1] + c2 m/4 [1, -2, 1]` with `p, m = 1 ± a1 + a2`, so that each
      level stays what it is while the poles move.
    - `gain`: one factor for all, 1 at first.

    A learnable FIR filter has `taps` [n].

    Raises:
        ConfigError: a design that does not exist, that the mode cannot use, or whose poles are too close to the unit
            circle to be learned.
        UnstableFilter: a design with poles on or outside the unit circle.

    >>> smooth = SignalFilter("butter", order=2, cutoff=10.0, fs=100.0, learnable=True)
    >>> smooth(torch.ones(3, 200))[:, -1].requires_grad
    True
    >>> {name: tuple(value.shape) for name, value in smooth.named_parameters()}
    {'gain': (), 'poles': (1, 2), 'levels': (1, 3)}
    """

    gain: Tensor
    poles: Tensor
    levels: Tensor
    scales: Tensor
    taps: Tensor
    rounding: Tensor

    def __init__(
        self,
        design: Design | str,
        *,
        mode: Mode = "causal",
        initial: Initial = "zero",
        precision: Precision = "float64",
        learnable: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__()
        if isinstance(design, str):
            design = make_design(design, **parameters)
        elif parameters:
            raise ConfigError(f"nn.SignalFilter: {design!r} is complete; got {', '.join(parameters)} besides")
        self.design = design
        self.mode = parse_word(mode, Mode, field="nn.SignalFilter: mode")
        self.initial = parse_word(initial, Initial, field="nn.SignalFilter: initial")
        self.precision: Any = parse_word(precision, Precision, field="nn.SignalFilter: precision")
        self.learnable = learnable
        if mode == "zero_phase" and initial != "zero":
            raise ConfigError(f"nn.SignalFilter: initial={initial!r} is for mode='causal'; zero phase pads both ends")
        options: dict[str, Any] = {"dtype": dtype or torch.float64, "device": device}
        if isinstance(design, IirFilter):
            self._designed = torch.from_numpy(design.sos)
            self._padlen = default_padlen(self._designed)
            if learnable:
                self._learn_sections(design, options)
        elif isinstance(design, FirFilter):
            if precision != "float64":
                raise ConfigError(f"nn.SignalFilter: {design!r} is FIR; precision is for IIR designs")
            self._designed = torch.from_numpy(design.taps)
            self._delay = zero_phase_delay(design.taps) if mode == "zero_phase" else 0
            if learnable:
                self.taps = nn.Parameter(self._designed.to(**options))
        else:
            raise ConfigError(f"nn.SignalFilter: design must be a design or the name of one, got {design!r}")

    def forward(self, x: Tensor, zi: Tensor | None = None) -> Any:
        """Filter x [..., time].

        Args:
            x: the data; only read.
            zi: state to start from, [S, ..., 2], SciPy's layout; for causal IIR filters.

        Returns:
            y: shape and dtype of x; with `zi` given, `(y, zf)`, zf being the state after the last sample.

        Raises:
            DataError: a state that this filter has no use for, shapes that do not fit, too few samples to pad.
        """
        recursive = isinstance(self.design, IirFilter)
        if zi is not None and (self.mode != "causal" or not recursive):
            raise DataError("nn.SignalFilter: only a causal IIR filter starts from a state; leave zi out")
        if not recursive:
            return self._convolve(x)
        sections = self.sections()
        if self.mode == "zero_phase":
            return sosfiltfilt_tensor(sections, x, padlen=self._padlen, precision=self.precision)
        if zi is not None:
            return sosfilt_tensor(sections, x, zi, precision=self.precision)
        if self.initial == "steady" and x.shape[-1]:
            first = x[..., :1].to(float_dtype(x, double=True))
            steady = sosfilt_zi_tensor(sections).to(first.device)
            zi = first * steady.view(len(steady), *[1] * (x.ndim - 1), 2)
        return sosfilt_tensor(sections, x, zi, precision=self.precision)[0]

    def sections(self) -> Tensor:
        """The sections [S, 6] of an IIR filter as they are now, in float64; with gradient where learned."""
        if not isinstance(self.design, IirFilter):
            raise ConfigError(f"nn.SignalFilter: {self.design!r} has taps and no sections")
        if not self.learnable:
            return self._designed
        sections = _sections_from(self.poles.double(), self.levels.double(), self._scales())
        return sections + self.rounding.double()

    def designed(self) -> Design:
        """The filter as it is now, as a design for `bridgeflow.SignalFilter` or a configuration file."""
        if not self.learnable:
            return self.design
        if isinstance(self.design, IirFilter):
            rows = self.sections().detach().cpu().tolist()
            return Sos(sections=tuple(map(tuple, rows)), fs=self.design.fs)
        return Taps(values=tuple(self.taps.detach().double().cpu().tolist()), fs=self.design.fs)

    def extra_repr(self) -> str:
        """The design and the choices that are not the usual ones."""
        usual = {"mode": "causal", "initial": "zero", "precision": "float64", "learnable": False}
        chosen = [f"{name}={getattr(self, name)!r}" for name, value in usual.items() if getattr(self, name) != value]
        return ", ".join([repr(self.design), *chosen])

    def _scales(self) -> Tensor:
        """What the numerator of each section is multiplied by."""
        return torch.cat([self.gain.double() * self.scales[:1], self.scales[1:]])

    def _learn_sections(self, design: IirFilter, options: dict[str, Any]) -> None:
        poles, levels, scales = _parameters_of(design)
        self.gain = nn.Parameter(torch.ones((), **options))
        self.poles = nn.Parameter(torch.tensor(poles, **options))
        self.levels = nn.Parameter(torch.tensor(levels, **options))
        self.register_buffer("scales", torch.tensor(scales, device=options["device"]))
        # what rounding on the way to the parameters and back has cost: so little that no filter becomes unstable by it
        with torch.no_grad():
            sos = _sections_from(self.poles.double(), self.levels.double(), self._scales())
        lost = self._designed - sos.cpu()
        lost = torch.where(lost.abs() < _RIM / 4, lost, 0)
        self.register_buffer("rounding", lost.to(device=options["device"]))

    def _convolve(self, x: Tensor) -> Tensor:
        taps = self.taps if self.learnable else self._designed
        work = float_dtype(x, double=True)
        signal = x.to(work)
        memory, samples = len(taps) - 1, x.shape[-1]
        if not x.numel():
            return signal.to(float_dtype(x, double=False))
        if self.mode == "zero_phase":
            if samples <= self._delay:
                raise DataError(
                    f"nn.SignalFilter: {samples} samples cannot be padded by {self._delay}, half the taps; "
                    "pass a longer recording"
                )
            signal = pad_ends(signal, "odd", self._delay)
        else:
            before = signal[..., :1] if self.initial == "steady" else torch.zeros_like(signal[..., :1])
            signal = torch.cat([before.expand(*x.shape[:-1], memory), signal], dim=-1)
        parts = torch.view_as_real(signal).movedim(-1, 0) if work.is_complex else signal
        kernel = taps.to(device=x.device, dtype=parts.dtype).flip(0).view(1, 1, -1)
        sums = conv1d(parts.reshape(-1, 1, signal.shape[-1]), kernel).reshape(*parts.shape[:-1], samples)
        y = torch.complex(*sums.unbind(0)) if work.is_complex else sums
        return y.to(float_dtype(x, double=False))


_RIM: Final = 2.0**-46
"""How far learned sections stay away from the rim of the triangle: rounding `a1` and `a2` cannot take them there."""


def _parameters_of(design: IirFilter) -> tuple[Array, Array, Array]:
    """Poles, levels and scales of a design: the inverse of `_sections_from`."""
    b0, b1, b2, _, a1, a2 = design.sos.T
    p, m, r = (1 + a1) + a2, (1 - a1) + a2, 1 - a2
    levels = np.stack([((b0 + b2) + b1) / p, (b0 - b2) / r, ((b0 + b2) - b1) / m], axis=1)
    loudest = np.abs(levels).max(axis=1)
    # away from the rim, by the inverse of the map towards the middle, where p = m = r = 1
    p, m, r = ((part - _RIM) / (1 - _RIM) for part in (p, m, r))
    if min(p.min(), m.min(), r.min()) <= 0:
        raise ConfigError(
            f"nn.SignalFilter: {design!r} has a pole within {_RIM:.0e} of the unit circle, too close to be learned; "
            "raise the cutoff, or lower the order or Q"
        )
    poles = np.stack([np.log(p / m), np.log((p + m) / 2 / r)], axis=1) / 2
    return poles, levels / loudest[:, None], loudest


def _sections_from(poles: Tensor, levels: Tensor, scales: Tensor) -> Tensor:
    """Sections [S, 6] from poles [S, 2], levels [S, 3] and scales [S]; stable whatever the numbers are."""
    # 1 + a2 and 1 - a2 by themselves, for next to 1 there is no room for them in a2; likewise p and m
    decay, frequency = torch.sigmoid(2 * poles[:, 1]), torch.sigmoid(2 * poles[:, 0])
    inward = 1 - _RIM
    p = 4 * inward * decay * frequency + _RIM
    m = 4 * inward * decay * torch.sigmoid(-2 * poles[:, 0]) + _RIM
    r = 2 * inward * torch.sigmoid(-2 * poles[:, 1]) + _RIM
    low, middle, high = (levels * scales[:, None]).unbind(1)
    low, middle, high = low * p / 4, middle * r / 2, high * m / 4
    b = torch.stack([low + middle + high, 2 * (low - high), low - middle + high], dim=1)
    return torch.cat([b, torch.ones_like(b[:, :1]), ((p - m) / 2)[:, None], (1 - r)[:, None]], dim=1)
