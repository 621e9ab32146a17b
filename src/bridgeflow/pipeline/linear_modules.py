"""Linear filters of time as modules of torch's own operators: FIR, resampling, IIR, short-time Fourier transforms.

Each is products of matrices over stretches of the signal. So it runs on any device, has gradients, and can be exported
to every format that knows products of matrices. Time is the last axis, of any leading shape, and of a length that is
known when a program is traced.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad

from bridgeflow.signal.iir.realisation import powers, realise
from bridgeflow.signal.resampling.polyphase import Polyphase

__all__ = [
    "AverageSpectrum",
    "Convolution",
    "MelSpectra",
    "Recursion",
    "Resampling",
    "ShortTime",
    "Slices",
    "TwoPasses",
    "Work",
    "frames_of",
]

_BLOCK = 32
_MOST_BLOCKS = 1 << 20

Ends = Literal["zero", "steady", "odd"]
"""What a signal is before its first sample: zero; its first sample; itself, upside down, at both ends."""


class Work(nn.Module):
    """A module that computes in one precision and gives results in the precision of its data.

    Args:
        dtype: what is computed in.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def constant(self, name: str, values: Any) -> None:
        """Keep an array as a buffer, in the precision that is computed in."""
        array = np.ascontiguousarray(np.asarray(values, np.float64))
        self.register_buffer(name, torch.from_numpy(array).to(self.dtype))

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Moves go along; a cast of the module leaves the constants as they are."""
        constants = dict(self._buffers)
        module = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, constant in constants.items():
            moved = self._buffers[name]
            if constant is not None and moved is not None and moved.dtype is not constant.dtype:
                self._buffers[name] = constant.to(moved.device)
        return module

    def opened(self, x: Tensor) -> Tensor:
        """Data in the precision that is computed in."""
        return x.to(self.dtype)

    def returned(self, y: Tensor, x: Tensor) -> Tensor:
        """A result in the precision of the data; float64 for integers and booleans, or what is computed in."""
        return y.to(x.dtype if x.is_floating_point() else self.dtype)


def frames_of(x: Tensor, length: int, hop: int) -> Tensor:
    """All whole stretches of rows [..., T]: [..., stretches, length]."""
    return x.unfold(-1, length, hop)


class _Stretches(Work):
    """Outputs in blocks, each the product of a stretch of the input and one matrix.

    Args:
        matrix: [span, block], from a stretch to a block of outputs.
        hop: samples from one stretch to the next.
        before: how many samples before the signal the first stretch begins.
        dtype: what is computed in.
    """

    matrix: Tensor

    def __init__(self, matrix: NDArray[np.float64], hop: int, before: int, dtype: torch.dtype) -> None:
        super().__init__(dtype)
        self.constant("matrix", matrix)
        self.hop, self.before = hop, before
        self.span, self.block = matrix.shape

    def outputs(self, x: Tensor, count: int, value: float = 0.0) -> Tensor:
        """`count` outputs of rows [..., T], which go on beyond their ends with a value."""
        blocks = -(-count // self.block)
        after = (blocks - 1) * self.hop + self.span - self.before - x.shape[-1]
        held = pad(x, (self.before, after), value=value)
        y = (frames_of(held, self.span, self.hop) @ self.matrix).flatten(-2)
        return y[..., :count]


class Convolution(_Stretches):
    """An FIR filter.

    Args:
        taps: [n].
        ends: `"odd"` takes half the taps off, so that nothing is delayed.
        scale, offset: the filter sees `scale * x + offset`.
        dtype: what is computed in.
    """

    def __init__(self, taps: Any, ends: Ends, scale: float, offset: float, dtype: torch.dtype) -> None:
        memory = len(taps) - 1
        block = max(_BLOCK, min(memory + 1, 256))
        matrix = np.zeros((block + memory, block))
        for number in range(block):
            matrix[number : number + memory + 1, number] = taps[::-1]
        super().__init__(matrix, block, 0, dtype)
        self.ends, self.memory, self.scale, self.offset = ends, memory, scale, offset

    def forward(self, x: Tensor) -> Tensor:
        """Rows [..., T] filtered."""
        units = self.opened(x) * self.scale + self.offset
        if self.ends == "odd":
            held = _odd(units, self.memory // 2)
        elif self.ends == "steady":
            held = torch.cat([units[..., :1].expand(*units.shape[:-1], self.memory), units], dim=-1)
        else:
            held = pad(units, (self.memory, 0))
        return self.returned(self.outputs(held, x.shape[-1]), x)


class Resampling(_Stretches):
    """Samples at another rate.

    Args:
        plan: the filter between the rates.
        ends: `"zero"`, or `"steady"` for the first and last sample held.
        value: what the signal is beyond its ends, for `"zero"`.
        dtype: what is computed in.
    """

    def __init__(self, plan: Polyphase, ends: Ends, value: float, dtype: torch.dtype) -> None:
        repeats = max(1, _BLOCK // plan.up)
        block, hop = repeats * plan.up, repeats * plan.down
        taps = plan.taps * plan.gain
        first = ceil((plan.centre - len(taps) + 1) / plan.up)
        last = (plan.centre + (block - 1) * plan.down) // plan.up
        samples = np.arange(first, last + 1)
        ticks = plan.centre + np.arange(block) * plan.down
        places = ticks[np.newaxis, :] - samples[:, np.newaxis] * plan.up
        inside = (places >= 0) & (places < len(taps))
        super().__init__(np.where(inside, taps[places.clip(0, len(taps) - 1)], 0.0), hop, max(-first, 0), dtype)
        self.skipped = max(first, 0)
        self.plan, self.ends, self.value = plan, ends, value

    def forward(self, x: Tensor) -> Tensor:
        """Rows [..., T] become [..., ceil(T * up / down)]."""
        held, count = self.opened(x), self.plan.outputs(x.shape[-1])
        if self.ends == "zero":
            return self.returned(self.outputs(held[..., self.skipped :], count, self.value), x)
        reach = self.span + self.hop
        blocks = -(-count // self.block)
        after = max((blocks - 1) * self.hop + self.span - self.before - x.shape[-1], 0)
        lead = held.shape[:-1]
        held = torch.cat(
            [held[..., :1].expand(*lead, self.before), held, held[..., -1:].expand(*lead, after + reach)], -1
        )
        y = (frames_of(held[..., self.skipped :], self.span, self.hop) @ self.matrix).flatten(-2)
        return self.returned(y[..., :count], x)


class Recursion(Work):
    """A causal IIR filter: blocks of outputs from blocks of samples and the states before them.

    The states follow by doubling: after k steps each holds what the last 2^k blocks have left, so that a row of m
    blocks takes log2(m) products and no loop over time.

    Args:
        sections: [S, 6].
        steady: the state of sections that have seen ones forever, SciPy's [S, 2]; `None` to start from silence.
        scale, offset: the filter sees `scale * x + offset`.
        dtype: what is computed in.
    """

    feed: Tensor
    gather: Tensor
    spread: Tensor
    advance: Tensor
    steady: Tensor

    def __init__(
        self, sections: NDArray[np.float64], steady: Any, scale: float, offset: float, dtype: torch.dtype
    ) -> None:
        super().__init__(dtype)
        cascade = realise(sections)
        steps = powers(cascade.a, _BLOCK)
        reached, seen = steps[:-1] @ cascade.b, cascade.c @ steps[:-1]
        response = np.concatenate([[cascade.d], reached[:-1] @ cascade.c])
        delay = np.subtract.outer(np.arange(_BLOCK), np.arange(_BLOCK)).T
        doubled = [steps[_BLOCK]]
        while 2 ** len(doubled) < _MOST_BLOCKS:
            doubled.append(doubled[-1] @ doubled[-1])
        self.constant("feed", np.where(delay >= 0, response[delay.clip(0)], 0))
        self.constant("gather", reached[::-1])
        self.constant("spread", seen.T)
        self.constant("advance", np.stack([_without_tiny(step.T) for step in doubled]))
        self.scale, self.offset = scale, offset
        self.starts_steady = steady is not None
        if steady is not None:
            self.constant("steady", cascade.enter @ np.asarray(steady).reshape(-1))

    def forward(self, x: Tensor) -> Tensor:
        """Rows [..., T] filtered."""
        return self.returned(self.run(self.opened(x) * self.scale + self.offset), x)

    def run(self, units: Tensor) -> Tensor:
        """The same for numbers in the precision that is computed in."""
        time = units.shape[-1]
        blocks = -(-time // _BLOCK)
        held = pad(units, (0, blocks * _BLOCK - time)).reshape(*units.shape[:-1], blocks, _BLOCK)
        left = held @ self.gather
        first = units[..., :1, None] * self.steady if self.starts_steady else torch.zeros_like(left[..., :1, :])
        states = torch.cat([first, left[..., :-1, :]], dim=-2)
        for step in range((blocks - 1).bit_length()):
            before = pad(states, (0, 0, 1 << step, 0))[..., :blocks, :]
            states = states + before @ self.advance[step]
        y: Tensor = held @ self.feed + states @ self.spread
        return y.flatten(-2)[..., :time]


class TwoPasses(Work):
    """An IIR filter run forwards and backwards over a signal that goes on upside down at both ends.

    Args:
        recursion: the filter, which starts as if the first sample had been there forever.
        edge: samples by which the signal goes on.
    """

    def __init__(self, recursion: Recursion, edge: int) -> None:
        super().__init__(recursion.dtype)
        self.recursion, self.edge = recursion, edge

    def forward(self, x: Tensor) -> Tensor:
        """Rows [..., T] filtered."""
        units = _odd(self.opened(x) * self.recursion.scale + self.recursion.offset, self.edge)
        y = self.recursion.run(self.recursion.run(units).flip(-1)).flip(-1)
        return self.returned(y[..., self.edge : self.edge + x.shape[-1]], x)


class Slices(NamedTuple):
    """Where the slices of a signal lie.

    Args:
        begin: the first sample of the first one; negative before the signal.
        length: samples of a slice.
        hop: samples from one slice to the next.
        least: samples that a signal has to have.
        counts: how many slices there are of `least` samples, of one more, and so on up to a hop more.
    """

    begin: int
    length: int
    hop: int
    least: int
    counts: tuple[int, ...]

    def after(self, samples: int) -> int:
        """By how many samples the last slice reaches beyond the end; negative where it ends before it."""
        hops, more = divmod(samples - self.least, self.hop)
        return self.begin + (self.counts[more] + hops - 1) * self.hop + self.length - samples


class ShortTime(Work):
    """A short-time Fourier transform, slice by slice the product with one matrix.

    Args:
        weights: [samples of a slice, frequencies], complex: the window and the transform.
        slices: where they lie.
        held: whether the first and last sample go on beyond the ends; else zero.
        centred: whether the mean is taken off each slice.
        power: squared magnitudes rather than complex numbers.
        dtype: what is computed in.
    """

    real: Tensor
    imaginary: Tensor

    def __init__(
        self, weights: Any, slices: Slices, held: bool, centred: bool, power: bool, dtype: torch.dtype
    ) -> None:
        super().__init__(dtype)
        self.constant("real", weights.real)
        self.constant("imaginary", weights.imag)
        self.slices, self.held, self.centred, self.power = slices, held, centred, power

    def forward(self, x: Tensor) -> Tensor:
        """Rows [..., T] become [..., frequencies, slices]."""
        samples = self.opened(x)
        before, after = -self.slices.begin, self.slices.after(x.shape[-1])
        if self.held:
            first, last = (
                end.expand(*samples.shape[:-1], max(count, 0))
                for end, count in ((samples[..., :1], before), (samples[..., -1:], after))
            )
            samples = torch.cat([first, samples, last], dim=-1)
            before, after = min(before, 0), min(after, 0)
        samples = pad(samples, (before, after))  # fewer than none cut off
        real, imaginary = self.products(samples)
        if self.power:
            return self.returned(real * real + imaginary * imaginary, x).transpose(-1, -2)
        return torch.complex(self.returned(real, x), self.returned(imaginary, x)).transpose(-1, -2)

    def products(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of all whole slices of rows [..., T]: [..., slices, frequencies] each."""
        slices = frames_of(samples, self.slices.length, self.slices.hop)
        if self.centred:
            slices = slices - slices.mean(-1, keepdim=True)
        return slices @ self.real, slices @ self.imaginary


class MelSpectra(ShortTime):
    """Spectra through mel filters, and what comes of them.

    Args:
        weights, slices, dtype: as for `ShortTime`.
        before: samples that are added before the first and after the last.
        mirrored: whether these are the signal mirrored; else zeros.
        exponent: of the squared magnitude.
        finish: what comes of powers [..., frequencies, slices], of tensors.
    """

    def __init__(
        self,
        weights: Any,
        slices: Slices,
        before: int,
        mirrored: bool,
        exponent: float,
        finish: Callable[[Tensor], Tensor],
        dtype: torch.dtype,
    ) -> None:
        super().__init__(weights, slices, False, False, True, dtype)
        self.before, self.mirrored, self.exponent, self.finish = before, mirrored, exponent, finish

    def forward(self, x: Tensor) -> Tensor:
        """Rows [..., T] become [..., filters or coefficients, slices]."""
        samples, count = self.opened(x), self.before
        if self.mirrored and count:
            first, last = samples[..., 1 : count + 1].flip(-1), samples[..., -count - 1 : -1].flip(-1)
            samples = torch.cat([first, samples, last], dim=-1)
        else:
            samples = pad(samples, (count, count))
        real, imaginary = self.products(samples)
        power = (real * real + imaginary * imaginary).transpose(-1, -2)
        power = power if self.exponent == 1 else power**self.exponent
        return self.returned(self.finish(power), x)


class AverageSpectrum(ShortTime):
    """The mean power of all whole slices.

    Args:
        weights, slices, centred, dtype: as for `ShortTime`.
        sides: what each frequency counts, [frequencies].
        finish: what comes of powers [..., frequencies], of tensors; `None` for nothing.
    """

    sides: Tensor

    def __init__(
        self,
        weights: Any,
        slices: Slices,
        centred: bool,
        sides: Any,
        finish: Callable[[Tensor], Tensor] | None,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(weights, slices, False, centred, True, dtype)
        self.constant("sides", sides)
        self.finish = finish

    def forward(self, x: Tensor) -> Tensor:
        """Rows [..., T] become [..., frequencies or bands]."""
        real, imaginary = self.products(self.opened(x))
        power = (real * real + imaginary * imaginary).mean(-2) * self.sides
        return self.returned(power if self.finish is None else self.finish(power), x)


def _odd(x: Tensor, count: int) -> Tensor:
    """A signal that goes on upside down at both ends, mirrored at its first and last sample."""
    if not count:
        return x
    before = 2 * x[..., :1] - x[..., 1 : count + 1].flip(-1)
    after = 2 * x[..., -1:] - x[..., -count - 1 : -1].flip(-1)
    return torch.cat([before, x, after], dim=-1)


def _without_tiny(matrix: Any) -> NDArray[np.float64]:
    """A matrix without numbers that are too small to matter, and would cost time."""
    values = np.asarray(matrix, np.float64)
    return np.where(np.abs(values) < 1e-30, 0.0, values)
