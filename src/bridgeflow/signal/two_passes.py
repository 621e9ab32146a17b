"""The two passes of a zero-phase filter, stretch by stretch, with the bits of both passes over the whole recording.

Forwards from the odd padding before the first sample, stretch after stretch; then, from the odd padding after the last
sample, backwards over what the forward pass puts out. Between stretches stand the states of either pass, which are all
that either remembers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bridgeflow.errors import NonFinite, name_error, names_errors
from bridgeflow.signal.design.base import Array, solved
from bridgeflow.signal.iir import native, sosfilt_zi
from bridgeflow.signal.iir import nonfinite as gaps
from bridgeflow.signal.iir.engine import Engine, Pass, choose, load, rounded
from bridgeflow.signal.iir.passes import steady_states
from bridgeflow.signal.padding import default_padlen, pad_after, pad_before, parse_padding
from bridgeflow.signal.zero_phase import ZeroPhaseFilter

__all__ = ["TwoPasses"]


@dataclass(frozen=True)
class TwoPasses:
    """A recursive zero-phase filter over rows [..., time] of one element type on the CPU.

    Args:
        filter: the filter.
        dtype: of the data.
    """

    filter: ZeroPhaseFilter
    dtype: np.dtype[Any]

    @property
    def obstacle(self) -> str:
        """Why stretches would not have the bits of the whole; empty where they have."""
        if self.filter.nonfinite == "reset":
            return "nonfinite='reset' filters each run of finite samples as a recording of its own"
        if self.filter.engine == "blocks" or self.dtype.char in "gG":
            return "engine='blocks' and longdouble have no states between samples"
        return ""

    @cached_property
    def edge(self) -> int:
        """Samples of padding at either end."""
        return default_padlen(self._sections)

    @cached_property
    def work(self) -> np.dtype[Any]:
        """The dtype of the recursion, and of what goes from pass to pass."""
        return self._inner.work_dtype(self.dtype)

    @cached_property
    def _input(self) -> Pass:
        return Pass(self.filter.precision, self.filter.scale, self.filter.offset)

    @cached_property
    def _inner(self) -> Pass:
        return Pass(self.filter.precision)

    @cached_property
    def _sections(self) -> Array:
        return solved(self.filter.design)

    @cached_property
    def _steady(self) -> Array:
        zi: Array = sosfilt_zi(self.filter.design)
        return zi

    @cached_property
    def _engine(self) -> Engine:
        return load(choose(self.filter.engine, self.dtype))

    @names_errors("sosfiltfilt")
    def check_length(self, samples: int) -> None:
        """Refuse a recording that is too short for its padding."""
        parse_padding("odd", None, self.edge, samples)

    def state_shape(self, rows: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a state of either pass, for rows of this shape."""
        return (len(self._sections), *rows, 2)

    def begin(self, head: Array) -> Array:
        """The state of the forward pass before the first sample.

        Args:
            head: the first `edge + 1` samples.
        """
        if not self.edge:
            return self._from_rest(self._units(head[..., :1]))
        padding = pad_before(self._units(head), "odd", self.edge)
        return self._pass(padding, self._from_rest(padding))[1]

    def forwards(self, x: Array, state: Array) -> tuple[Array, Array]:
        """A stretch forwards: what the backward pass reads, and the state after it."""
        if self._reads_raw:
            return self._pass(x, state, self._input)
        return self._pass(self._units(x), state)

    def turn(self, tail: Array, last: Array, state: Array) -> Array:
        """The state of the backward pass before the last sample.

        Args:
            tail: the last `edge + 1` samples.
            last: what the forward pass has put out for the last sample, [..., 1].
            state: of the forward pass after the last sample.
        """
        if not self.edge:
            return self._from_rest(last)
        padded, _ = self._pass(pad_after(self._units(tail), "odd", self.edge), state)
        return self._pass(padded[..., ::-1], self._from_rest(padded[..., ::-1]))[1]

    def backwards(self, forward: Array, state: Array) -> tuple[Array, Array]:
        """A stretch backwards: the result, in time order and in the dtype of results, and the state before it."""
        y, before = self._pass(forward[..., ::-1], state)
        return rounded(y[..., ::-1], self.dtype), before

    def refusal(self, x: Array, after: Array, position: int) -> NonFinite | None:
        """The error where a stretch of the forward pass has met NaN or infinity and none is allowed.

        Args:
            x: the stretch.
            after: the state after it.
            position: of its first sample.
        """
        if self.filter.nonfinite != "raise" or gaps.is_clean(after):
            return None
        dirty = gaps.dirty_rows(after)
        if not dirty.any():
            return None
        return name_error(gaps.refuse(x, None, dirty, position=position), "sosfiltfilt")

    def _units(self, x: Array) -> Array:
        return self._input.units(x, self.work)

    def _from_rest(self, x: Array) -> Array:
        state: Array = steady_states(self._steady, x, self._inner)
        return state

    @cached_property
    def _is_native(self) -> bool:
        return choose(self.filter.engine, self.dtype) == "native" and self.work.char in "fd"

    @cached_property
    def _reads_raw(self) -> bool:
        """Whether the forward pass turns counts into units as it goes."""
        return self._is_native and self.work == np.float64 and self.dtype.char in "hiBH" and self.dtype.isnative

    def _pass(self, x: Array, state: Array, settings: Pass | None = None) -> tuple[Array, Array]:
        if self._is_native and type(state) is np.ndarray and state.dtype == self.work:
            y, after, _ = native.plain_pass(self._sections, x, state, settings or self._inner, state=True)
            assert after is not None
            return y, after
        return self._engine.sosfilt(self._sections, x, state, settings or self._inner)
