"""Resampling whole or piece by piece. One integer says where recording and output stand to each other.

Counted in ticks of the common multiple of both rates, sample n stands at tick `n * up` and output m at `m * down`.
After n samples and m outputs, `ahead = n * up - m * down` is how many ticks the recording is ahead of the next output.
It stays small however long the recording, and everything follows from it: the phase of the filter, where the window of
the next output begins, and how many outputs are due at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from bridgeflow.bridge import kind_of
from bridgeflow.errors import CannotStream, ConfigError, DataError, names_errors, naming
from bridgeflow.policy import Nonfinite, parse_word
from bridgeflow.ranges import hold
from bridgeflow.signal._chunks import State, as_marked, count, count_rows, join, kind_mark, own, rows_shape, together
from bridgeflow.signal._input import prepare
from bridgeflow.signal._specs import filtered_spec, hold_spec
from bridgeflow.signal.causal import CausalFilter
from bridgeflow.signal.design import Sos
from bridgeflow.signal.padding import BACKGROUNDS, Extension, extend, without_background
from bridgeflow.signal.resampling.between import Between
from bridgeflow.signal.resampling.polyphase import Polyphase, Window, floating, lowpass, narrowed, reduced, widened
from bridgeflow.signal.resampling.quality import Quality, polyphase_taps
from bridgeflow.signal.resampling.rates import LARGEST_FACTOR, LARGEST_TICKS, hold_taps, is_quick
from bridgeflow.spec import ArraySpec

__all__ = ["Decimator", "Resampler", "State", "places_of", "whole"]

_SCIPYS_WINDOW: Final = ("kaiser", 5.0)

_TABLED: Final = (1024, 8192)
"""Up to which `up` and `down` the taps of a filter by quality are tabled; with more they are computed."""

_STREAMED: Final = ("constant", "edge")
"""Extensions that need no more than the first and the last sample."""


@dataclass(frozen=True, kw_only=True)
class Resampler:
    """Resampling by `up / down` along the last axis.

    Args:
        up: factor by which the rate grows, a positive integer.
        down: factor by which it shrinks, a positive integer.
        window: of the anti-alias filter, by name or (name, parameters), as for `resample_poly`; or its taps.
        padtype: how a recording goes on beyond its ends, as for `resample_poly`; `"constant"` and `"edge"` stream.
        cval: the value for `"constant"`; `None` for zero.
        zero_phase: take back the delay of the filter, which must then be symmetric; else output 0 meets tap 0.
        quality: of the filter: `"scipy"`, with `window`; or `"medium"`, `"high"`, `"very high"` without one, for any
            ratio of the rates. docs/resampling.md has what they keep and stop. float32 data are computed in float64 for
            `"very high"`, and rounded once.

    Raises:
        DataError, ValueError: as `resample_poly`.
        ConfigError: a window with another quality than SciPy's, or `zero_phase=False`.

    >>> twice = Resampler(up=2, down=1)
    >>> x = np.arange(50.0)
    >>> state = twice.init_state(ArraySpec(kind="numpy", dtype="float64", shape=(50,)))
    >>> first, state = twice.step(x[:20], state)
    >>> second, state = twice.step(x[20:], state)
    >>> pieces = [first, second, twice.flush(state)]
    >>> [len(piece) for piece in pieces], np.array_equal(np.concatenate(pieces), twice(x))
    ([20, 60, 20], True)
    """

    up: int
    down: int
    window: Window | tuple[float, ...] = _SCIPYS_WINDOW
    padtype: Extension = "constant"
    cval: float | None = None
    zero_phase: bool = True
    quality: Quality = "scipy"

    def __post_init__(self) -> None:
        parse_word(self.quality, Quality, field="quality")
        if self.quality != "scipy" and self.window != _SCIPYS_WINDOW:
            raise ConfigError(
                f"window is for quality='scipy'; quality={self.quality!r} has a filter of its own, leave window out",
                field="window",
            )
        if self.quality != "scipy" and not self.zero_phase:
            raise ConfigError("zero_phase=False is for quality='scipy'; leave it out", field="zero_phase")
        parse_word(self.padtype, Extension, field="padtype")
        if self.cval is not None and self.padtype != "constant":
            raise DataError(
                f'cval has no effect when padtype is "{self.padtype}"; leave it out, or take padtype="constant"'
            )
        self._factors  # noqa: B018

    @cached_property
    def _factors(self) -> tuple[int, int]:
        return reduced(self.up, self.down, LARGEST_FACTOR if self.quality == "scipy" else LARGEST_TICKS)

    @property
    def _window_is_taps(self) -> bool:
        """Whether the window is the taps themselves."""
        return isinstance(self.window, tuple) and not (self.window and isinstance(self.window[0], str))

    def prepare(self) -> None:
        """Design the filter, or refuse it; one that takes long to design waits for the data, and may not fit them."""
        up, down = self._factors
        if self._window_is_taps or self.quality != "scipy" or is_quick(up, down):
            self.plan  # noqa: B018
        else:
            lowpass(2, 1, self.window)

    @cached_property
    def plan(self) -> Polyphase | Between | None:
        """The filter; `None` where the rate stays."""
        up, down = self._factors
        if up == down and not self._window_is_taps:
            return None
        if self.quality != "scipy":
            if up > _TABLED[0] or down > _TABLED[1]:
                return Between(up, down, self.quality)
            taps, centre = polyphase_taps(self.quality, up, down)
            return Polyphase(up, down, taps, centre, float(up), fused=True)
        plan = lowpass(up, down, np.asarray(self.window, np.float64) if self._window_is_taps else self.window)
        return plan if self.zero_phase else Polyphase(up, down, plan.taps, 0, plan.gain)

    @names_errors("Resampler")
    def __call__(self, x: Any) -> Any:
        """A whole recording [..., T] to [..., ceil(T * up / down)]."""
        rows = prepare(x, -1)
        self._hold(int(rows.values.shape[-1]))
        x = floating(rows.values)
        return rows.restore(narrowed(whole(self.plan, self._wide(x), self.padtype, self.cval or 0.0), x))

    def _wide(self, x: Any) -> Any:
        """Rows in what the quality is computed in."""
        if self.quality != "very high":
            return x
        if isinstance(x, np.ndarray):
            return x.astype(np.result_type(x.dtype, np.float64), copy=False)
        import torch

        return x.to(torch.promote_types(x.dtype, torch.float64))

    @names_errors("Resampler")
    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        out = filtered_spec(spec, fs=None)
        up, down = self._factors
        if spec.time is not None:
            self._hold(spec.time)
            with naming("resampling"):
                hold_spec(spec, -(-spec.time * up // down), up=up, down=down)
        time = None if spec.time is None else -(-spec.time * up // down)
        return out.fresh(shape=(*out.shape[:-1], time), fs=None if spec.fs is None else spec.fs * up / down)

    def _hold(self, samples: int) -> None:
        up, down = self._factors
        if self.quality == "scipy" and not self._window_is_taps and up != down:
            hold_taps(up, down, samples)

    @property
    def stream_obstacle(self) -> str:
        """Why it cannot run chunk by chunk; empty where it can."""
        if self.padtype in _STREAMED:
            return ""
        choices = " or ".join(map(repr, _STREAMED))
        return f"padtype={self.padtype!r} needs samples of the recording that have not come yet; {choices} do not"

    @property
    def reach(self) -> tuple[int, int, int] | None:
        """Samples before and after its place that an output depends on, and those that matter at an end.

        `None` where a recording goes on beyond its ends by what lies further inside.
        """
        if self.stream_obstacle:
            return None
        if self.plan is None:
            return 0, 0, 0
        before = self.plan.reach - self.plan.centre // self.plan.up + 1
        return before, -(-self.plan.centre // self.plan.up) + 1, 1

    @property
    def latency(self) -> int:
        """By how many samples the output of a stream lags behind its input, at most: half the filter."""
        return 0 if self.plan is None else -(-self.plan.centre // self.plan.up)

    @names_errors("Resampler")
    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk.

        Args:
            spec: of any chunk; its rows must be known.

        Returns:
            ahead: int64 [], ticks that the recording is ahead of the output.
            begun: bool [], whether a sample has come.
            tail: [..., samples], of the dtype of the output: the samples that outputs to come still need. An ndarray; a
                tensor where the chunks have to be.
            kind: text [], kind and dtype of the chunks.
        """
        if self.stream_obstacle:
            raise CannotStream(f"Resampler: {self.stream_obstacle}")
        self.out_spec(spec.with_time(None))  # a chunk says nothing of how long the recording is
        return {
            "ahead": np.zeros((), np.int64),
            "begun": np.zeros((), bool),
            "tail": np.zeros((*rows_shape(spec), 0)),
            "kind": kind_mark(spec),
        }

    @names_errors("Resampler")
    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk [..., t], t >= 0. The pieces that come out are, bit for bit, the whole that `__call__` gives."""
        rows = prepare(x, -1)
        tail, chunk = together(state["tail"], floating(rows.values))
        samples = int(chunk.shape[-1])
        if self.plan is None or not samples:
            return rows.restore(chunk + 0), state
        plan, ahead = self.plan, int(state["ahead"])
        if not state["begun"]:
            before = max(-plan.span(plan.centre, 1)[0], 0)
            tail = extend(chunk[..., :1], self.padtype, self.cval or 0.0, before, 0)[..., :before]
        held = join([tail, chunk])
        # the tick of the next output, counted from the first sample that is held
        tick = plan.centre - ahead + int(tail.shape[-1]) * plan.up
        due = max(-((tick - int(held.shape[-1]) * plan.up) // plan.down), 0)
        y = narrowed(_run(plan, self._wide(held), tick, due), held)
        begin, _end = plan.span(tick + due * plan.down, 1)
        kept = held[..., min(max(begin, 0), held.shape[-1] - 1) :]
        next_state: State = {
            "ahead": np.asarray(ahead + samples * plan.up - due * plan.down, np.int64),
            "begun": np.ones((), bool),
            "tail": own(kept),
            "kind": state["kind"],
        }
        return rows.restore(y), next_state

    def flush(self, state: State) -> Any | None:
        """What is due after the last chunk: the outputs whose windows reach beyond the end. `None` where nothing is."""
        plan, ahead = self.plan, int(state["ahead"])
        if plan is None or not ahead:
            return None
        due, tail = -(-ahead // plan.down), state["tail"]
        samples = int(tail.shape[-1])
        tick = plan.centre - ahead + samples * plan.up
        missing = max(plan.span(tick, due)[1] - samples, 0)
        held = extend(tail, self.padtype, self.cval or 0.0, 0, missing)
        y = narrowed(_run(plan, self._wide(held), tick, due), held)
        return as_marked(y, state["kind"], same_dtype=True)


@dataclass(frozen=True, kw_only=True)
class Decimator:
    """Every q-th sample after an IIR filter, forward in time, along the last axis.

    Args:
        q: the factor.
        sections: [n, 6], of the anti-alias filter.
        nonfinite: `"propagate"`, `"raise"` or `"reset"`, as for `sosfilt`.

    >>> live = Decimator(q=3, sections=((1.0, 0.0, 0.0, 1.0, 0.0, 0.0),))
    >>> state = live.init_state(ArraySpec(kind="numpy", dtype="float64", shape=(4,)))
    >>> first, state = live.step(np.arange(4.0), state)
    >>> first, live.step(np.arange(4.0, 8.0), state)[0]
    (array([0., 3.]), array([6.]))
    """

    q: int
    sections: tuple[tuple[float, ...], ...]
    nonfinite: Nonfinite = "propagate"

    @cached_property
    def _filter(self) -> CausalFilter:
        return CausalFilter(design=Sos(sections=self.sections), nonfinite=self.nonfinite)  # type: ignore[arg-type]

    @names_errors("Decimator")
    def __call__(self, x: Any) -> Any:
        """A whole recording [..., T] to [..., ceil(T / q)]."""
        rows = prepare(x, -1)
        return rows.restore(self._filter(rows.values)[..., :: self.q])

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        return Resampler(up=1, down=self.q, window=(1.0,)).out_spec(spec)

    def init_state(self, spec: ArraySpec) -> State:
        """See `CausalFilter.init_state`."""
        return self._filter.init_state(spec)

    @names_errors("Decimator")
    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk [..., t], t >= 0."""
        rows = prepare(x, -1)
        y, next_state = self._filter.step(rows.values, state)
        return rows.restore(y[..., -int(state["position"]) % self.q :: self.q]), next_state

    def flush(self, state: State) -> None:
        """Nothing is held back."""


def places_of(
    first: int, count: int, up: int, down: int, centre: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Which samples `[start, end)` each of `count` outputs from `first` on stands for.

    An output lies between two samples, or on one; those passed over since the output before belong to it as well. No
    sample is named on which the output does not depend.

    >>> places_of(0, 3, 1, 4, 40)
    (array([0, 1, 5]), array([1, 5, 9]))
    >>> places_of(1, 3, 2, 1, 40)
    (array([0, 1, 1]), array([2, 2, 3]))
    """
    before, phase = divmod(first * down, up)  # whole samples apart, so that large numbers stay small
    ticks = phase + np.arange(count) * down
    here, since = ticks // up, (ticks - down) // up + 1
    beyond = np.minimum(-(-ticks // up), (ticks + centre) // up)
    return np.maximum(before + np.minimum(here, since), 0), before + beyond + 1


def _run(plan: Polyphase | Between, x: Any, first_tick: int, outputs: int) -> Any:
    """`Polyphase.run_array` for ndarrays and tensors."""
    if kind_of(x) == "torch":
        from bridgeflow.signal.resampling.torch_ops import resample_tensor

        return resample_tensor(x, plan, first_tick, outputs)
    return plan.run_array(x, first_tick, outputs)


def whole(plan: Polyphase | Between | None, x: Any, padtype: str, cval: float) -> Any:
    """A whole recording [..., T], floating, through the filter; `None` for none."""
    if plan is None:
        return x + 0
    outputs = plan.outputs(x.shape[-1])
    with naming("resampling"):
        hold(outputs * count_rows(x), count(x), up=plan.up, down=plan.down)
    if not outputs or (padtype == "constant" and cval == 0.0):
        return _run(plan, x, plan.centre, outputs)
    wide = widened(x)
    if padtype in BACKGROUNDS:
        level_off, level = without_background(wide, padtype)
        return narrowed(_run(plan, level_off, plan.centre, outputs) + level, x)
    begin, end = plan.span(plan.centre, outputs)
    before, after = max(-begin, 0), max(end - x.shape[-1], 0)
    extended = extend(wide, padtype, cval, before, after)
    return narrowed(_run(plan, extended, plan.centre + before * plan.up, outputs), x)
