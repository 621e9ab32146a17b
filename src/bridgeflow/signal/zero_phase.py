"""A filter that delays nothing, over a whole recording or piece by piece with look-ahead.

Piece by piece, the forward pass goes on from chunk to chunk with the bits of the whole. The backward pass cannot begin
at an end that has not come yet. An IIR filter therefore runs backwards over blocks, each from so far ahead that
what lies beyond changes the block by less than `tolerance` (`signal.lookahead`). Blocks lie on a grid of their own, so
the result does not depend on the chunks, bit for bit. Symmetric taps need no tolerance: they look ahead by half their
count.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bridgeflow.errors import CannotStream, ConfigError, DataError, names_errors, naming
from bridgeflow.policy import Nonfinite, parse_word
from bridgeflow.signal._chunks import as_kind
from bridgeflow.signal._input import read_array
from bridgeflow.signal._specs import filtered_spec
from bridgeflow.signal.causal import State, design_name
from bridgeflow.signal.design import Design, FirFilter, IirFilter
from bridgeflow.signal.design.base import Array, solved
from bridgeflow.signal.fir import fir_zero_phase, one_pass, taps_of, zero_phase_delay
from bridgeflow.signal.iir import nonfinite as gaps
from bridgeflow.signal.iir import sosfilt_zi, sosfiltfilt
from bridgeflow.signal.iir.engine import EngineName, Pass, Precision
from bridgeflow.signal.iir.passes import as_state, one_way, prepare_for_engine, steady_states
from bridgeflow.signal.lookahead import look_ahead
from bridgeflow.signal.padding import default_padlen, pad_after, pad_before, parse_padding
from bridgeflow.spec import ArraySpec

__all__ = ["ZeroPhaseFilter"]


@dataclass(frozen=True, kw_only=True)
class ZeroPhaseFilter:
    """A design at work without delay, on arrays [..., time].

    An IIR design runs forwards and backwards (`sosfiltfilt`: gain squared, SciPy's odd padding). An FIR
    design, whose taps must be symmetric and of odd count, runs once and its delay is taken back (`fir_zero_phase`: gain
    as designed).

    Args:
        design: IIR, or FIR with symmetric taps of odd count.
        tolerance: how far a stream may be from the whole recording's result, relative to its largest sample; 0 <
            tolerance. IIR designs cannot be streamed without. The look-ahead, and with it the latency, follows
            from the poles.
        precision, nonfinite, scale, offset, engine: as for `CausalFilter`.

    Raises:
        ConfigError, ValueError: a choice that does not exist or does not go with the design, or a tolerance that cannot
            be met.

    >>> from bridgeflow.signal import Butter
    >>> smooth = ZeroPhaseFilter(design=Butter(order=2, cutoff=10.0, fs=100.0), tolerance=1e-6)
    >>> smooth.latency  # samples
    74
    """

    design: Design
    tolerance: float | None = None
    precision: Precision = "float64"
    nonfinite: Nonfinite = "raise"
    scale: float = 1.0
    offset: float = 0.0
    engine: EngineName | None = None

    def __post_init__(self) -> None:
        parse_word(self.nonfinite, Nonfinite, field="nonfinite")
        Pass(self.precision, self.scale, self.offset)
        if self.engine is not None:
            parse_word(self.engine, EngineName, field="engine")
        if isinstance(self.design, FirFilter):
            zero_phase_delay(taps_of(self.design))
            if self.engine is not None or self.precision != "float64":
                raise ConfigError(
                    f"{self.design.name} is an FIR filter: engine and precision are for IIR designs",
                    field="engine" if self.engine is not None else "precision",
                )
            if self.tolerance is not None:
                raise ConfigError(
                    f"{self.design.name} is an FIR filter: it streams exactly, leave tolerance out", field="tolerance"
                )
        elif self.tolerance is not None:
            if isinstance(self.tolerance, bool) or not 0 < self.tolerance < np.inf:
                raise ConfigError(f"tolerance must be a number above 0, got {self.tolerance!r}", field="tolerance")
            self._ahead  # noqa: B018  what cannot be met is refused here

    def __call__(self, x: Any) -> Any:
        """A whole recording [..., T] through the filter."""
        units: dict[str, Any] = {"nonfinite": self.nonfinite, "scale": self.scale, "offset": self.offset}
        if isinstance(self.design, FirFilter):
            return fir_zero_phase(self.design, x, **units)
        return sosfiltfilt(self.design, x, engine=self.engine, precision=self.precision, **units)

    @names_errors(design_name)
    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        result = filtered_spec(spec, fs=self.design.fs)
        if isinstance(self.design, IirFilter) and spec.time is not None:
            with naming("sosfiltfilt"):
                parse_padding("odd", None, self._edge, spec.time)
        return result

    # --- piece by piece ---

    @property
    def stream_obstacle(self) -> str:
        """Why this cannot be done chunk by chunk; empty where it can."""
        if self.nonfinite == "reset":
            return "zero phase with nonfinite='reset' ends rows at different places; pass 'raise' or 'propagate'"
        if isinstance(self.design, IirFilter) and self.tolerance is None:
            return "zero phase filters backwards from the end of the recording; give tolerance=1e-6, or mode='causal'"
        return ""

    @property
    def latency(self) -> int:
        """By how many samples the output of a stream lags behind its input, at most."""
        if self.stream_obstacle:
            raise CannotStream(self.stream_obstacle)
        return max(2 * self._ahead, self._edge) if isinstance(self.design, IirFilter) else self._edge

    @cached_property
    def _ahead(self) -> int:
        """Look-ahead of the backward pass, and length of its blocks."""
        assert isinstance(self.design, IirFilter)
        assert self.tolerance is not None
        return max(look_ahead(self.design, float(self.tolerance), float(np.finfo(self.precision).eps)), 32)

    @cached_property
    def _edge(self) -> int:
        """By how many samples a recording is continued beyond its ends."""
        return (
            default_padlen(solved(self.design))
            if isinstance(self.design, IirFilter)
            else zero_phase_delay(taps_of(self.design))
        )

    @cached_property
    def _steady(self) -> Array:
        zi: Array = sosfilt_zi(self.design)
        return zi

    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk.

        Args:
            spec: of any chunk; its rows must be known.

        Returns:
            kind: text [], what results are: kind, dtype, device.
            position: int64 [], samples so far.
            edge: [..., k], the samples from which the ends are continued: the first ones until there are enough, then
                the last.
            memory: of the forward pass, [S, ..., 2] or [..., n - 1]; without meaning until there are enough samples.
            held: [..., k], what the forward pass has put out and the backward pass has not used up.
        """
        if self.stream_obstacle:
            raise CannotStream(self.stream_obstacle)
        out = self.out_spec(spec.with_time(None))  # of a chunk, which may be shorter than the padding
        if any(n is None for n in out.shape[:-1]):
            raise DataError(f"{self.design.name}: the rows of a stream must be known before it starts, got {spec}")
        rows = tuple(n for n in out.shape[:-1] if n is not None)
        work = Pass(self.precision).work_dtype(np.dtype("c16" if out.dtype.startswith(("complex", "clong")) else "f8"))
        coefficients = solved(self.design)
        recursive = isinstance(self.design, IirFilter)
        return {
            "kind": np.array(f"{out.kind} {out.dtype} {out.device}"),
            "position": np.zeros((), np.int64),
            "edge": np.zeros((*rows, 0), work),
            "memory": np.zeros((len(coefficients), *rows, 2) if recursive else (*rows, len(coefficients) - 1), work),
            "held": np.zeros((*rows, 0), work),
        }

    @names_errors(design_name)
    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk [..., t], t >= 0: what has become certain, [..., u] with u of its own, and the state after it."""
        values = np.asarray(read_array(x))
        edge, position = state["edge"], int(state["position"])
        if values.shape[:-1] != edge.shape[:-1]:
            raise DataError(
                f"{self.design.name}: a chunk of shape {values.shape} in a stream "
                f"whose rows have shape {edge.shape[:-1]}"
            )
        units = Pass(self.precision, self.scale, self.offset).units(values, edge.dtype)
        seen = np.concatenate([edge, units], axis=-1)
        after: State = {**state, "position": state["position"] + values.shape[-1]}
        if seen.shape[-1] <= self._edge:  # too few yet to continue the recording before its start
            return self._give(seen[..., :0], state), {**after, "edge": seen}
        if position <= self._edge:
            before = pad_before(seen, "odd", self._edge)
            fresh, memory = self._forward(np.concatenate([before, seen], axis=-1), None)
            self._refuse_nonfinite(seen, memory, 0)
        else:
            fresh, memory = self._forward(units, state["memory"])
            self._refuse_nonfinite(units, memory, position)
        held = np.concatenate([state["held"], fresh], axis=-1)
        ready, held = self._backward(held) if isinstance(self.design, IirFilter) else (held, held[..., :0])
        after |= {"edge": seen[..., seen.shape[-1] - self._edge - 1 :], "memory": memory, "held": held}
        return self._give(ready, state), after

    @names_errors(design_name)
    def flush(self, state: State) -> Any | None:
        """What is left when the recording has ended, filtered to its very end as the whole would be.

        Raises:
            DataError: a recording too short to be continued beyond its ends, as for the whole.
        """
        position, edge = int(state["position"]), state["edge"]
        if position == 0:
            return None
        parse_padding("odd", None, self._edge, position)
        after = pad_after(edge, "odd", self._edge)
        fresh, _ = self._forward(after, state["memory"])
        if isinstance(self.design, FirFilter):
            return self._give(fresh, state)
        rest = np.concatenate([state["held"], fresh], axis=-1)
        y = self._backwards_from_end(rest)
        return self._give(y[..., : y.shape[-1] - self._edge], state)

    def _forward(self, units: Array, memory: Array | None) -> tuple[Array, Array]:
        """The forward pass over more samples; at the start, less what comes of the continuation before the first."""
        if isinstance(self.design, FirFilter):
            done = one_pass(taps_of(self.design), units, memory, Pass(self.precision), "propagate")
            return done.y if memory is not None else done.y[..., 2 * self._edge :], done.zf
        y, zf = self._pass(units, memory)
        return y if memory is not None else y[..., self._edge :], zf

    def _backward(self, held: Array) -> tuple[Array, Array]:
        """The blocks of the backward pass that can be done, put together, and what is held for the next ones."""
        length = self._ahead
        count = (held.shape[-1] - length) // length
        if count < 1:
            return held[..., :0], held
        blocks = sliding_window_view(held, 2 * length, axis=-1)[..., ::length, :][..., :count, :]
        done = self._backwards_from_end(blocks)[..., :length]
        return done.reshape(*held.shape[:-1], count * length), held[..., count * length :]

    def _backwards_from_end(self, f: Array) -> Array:
        return self._pass(f[..., ::-1], None)[0][..., ::-1]

    def _pass(self, x: Array, memory: Array | None) -> tuple[Array, Array]:
        """One pass of an IIR design, from `memory` or from the steady state of the first sample."""
        settings = Pass(self.precision)
        engine, data = prepare_for_engine(x, -1, self.engine)
        zi = steady_states(self._steady, data.values, settings) if memory is None else as_state(memory, data, settings)
        done = one_way(engine, solved(self.design), data.values, zi, settings, "propagate")
        return data.restore(done.y), data.restore_state(done.zf)

    def _refuse_nonfinite(self, units: Array, memory: Array, position: int) -> None:
        if self.nonfinite != "raise":
            return
        recursive = isinstance(self.design, IirFilter)
        dirty = gaps.dirty_rows(memory) if recursive else np.asarray(~gaps.finite(units).all(axis=-1))
        if dirty.any():
            raise gaps.refuse(units, None, dirty, position=position)

    def _give(self, y: Array, state: State) -> Any:
        kind, dtype, device = str(state["kind"]).split()
        return as_kind(y, kind, dtype, device)
