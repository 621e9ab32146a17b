"""A filter that goes forward through a recording, whole or piece by piece, with the same bits.

`CausalFilter` binds a design to the choices that a recording needs: where it starts from, what happens at NaN, which
units. It remembers nothing between calls. What must be carried from one chunk to the next is a `State`, an argument and
a result: a plain dictionary of arrays, which any format can hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np

from bridgeflow.bridge import kind_of
from bridgeflow.errors import ConfigError, DataError, names_errors
from bridgeflow.policy import Nonfinite, parse_word
from bridgeflow.signal import fir
from bridgeflow.signal._chunks import State
from bridgeflow.signal._input import Prepared, as_ndarray
from bridgeflow.signal._specs import filtered_spec
from bridgeflow.signal.design import Design, FirFilter, IirFilter
from bridgeflow.signal.design.base import Array, solved
from bridgeflow.signal.iir import nonfinite as gaps
from bridgeflow.signal.iir import sosfilt_zi
from bridgeflow.signal.iir.engine import EngineName, Parallel, Pass, Precision
from bridgeflow.signal.iir.passes import Passed, as_state, fast_pass, one_way, prepare_for_engine, steady_states
from bridgeflow.spec import ArraySpec

__all__ = ["CausalFilter", "Initial", "State", "WithoutLatency", "design_name"]

Initial: TypeAlias = Literal["zero", "steady"]
"""Start from silence, or as if the first sample had been there forever (no jump at the start)."""


def design_name(filter: Any) -> str:
    """What errors of a filter begin with: the name of its design."""
    return str(filter.design.name)


class WithoutLatency:
    """A filter that gives a sample for each sample as it comes."""

    @property
    def stream_obstacle(self) -> str:
        """Why it cannot run chunk by chunk: it always can."""
        return ""

    @property
    def latency(self) -> int:
        """By how many samples the output of a stream lags behind its input: by none."""
        return 0


@dataclass(frozen=True, kw_only=True)
class CausalFilter(WithoutLatency):
    """A design at work, forward in time, on arrays [..., time].

    Args:
        design: IIR or FIR.
        initial: `"zero"` or `"steady"`; also how it starts again after a gap with `nonfinite="reset"`.
        precision: of the recursion; an FIR filter always sums in float64.
        nonfinite: `"raise"`, `"propagate"` or `"reset"`, as for `sosfilt`.
        scale: the filter sees `scale * x + offset`.
        offset: see `scale`.
        engine: for IIR designs, as for `sosfilt`.
        parallel: for IIR designs, as for `sosfilt`; with `"time"`, chunks equal the whole within a tolerance
            only.

    Raises:
        ConfigError, ValueError: a choice that does not exist or does not go with the design.

    >>> from bridgeflow.signal import Butter
    >>> lowpass = CausalFilter(design=Butter(order=2, cutoff=10.0, fs=100.0), initial="steady")
    >>> lowpass(np.full(5, 3.0)).round(9)
    array([3., 3., 3., 3., 3.])
    """

    design: Design
    initial: Initial = "zero"
    precision: Precision = "float64"
    nonfinite: Nonfinite = "raise"
    scale: float = 1.0
    offset: float = 0.0
    engine: EngineName | None = None
    parallel: Parallel | None = None

    def __post_init__(self) -> None:
        parse_word(self.initial, Initial, field="initial")
        parse_word(self.nonfinite, Nonfinite, field="nonfinite")
        Pass(self.precision, self.scale, self.offset, self.parallel)
        if self.engine is not None:
            parse_word(self.engine, EngineName, field="engine")
        if isinstance(self.design, FirFilter) and (self.engine, self.precision, self.parallel) != (
            None,
            "float64",
            None,
        ):
            raise ConfigError(f"{self.design.name} is an FIR filter: engine, precision, parallel are for IIR filters")

    def __call__(self, x: Any) -> Any:
        """A whole recording [..., T] through the filter, from a fresh start."""
        if self._may_be_fast:
            propagate = self.nonfinite == "propagate"
            passed = fast_pass(solved(self.design), x, None, self._settings, state=not propagate)
            if passed is not None:
                y, _, is_clean = passed
                if propagate or is_clean:
                    return y
        return self._run(x, None)[0]

    @names_errors(design_name)
    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        return filtered_spec(spec, fs=self.design.fs)

    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk.

        Args:
            spec: of any chunk; its rows must be known.

        Returns:
            zi: [S, ..., 2] for S sections, [..., n - 1] for n taps; zeros.
            position: int64 [], samples so far.
            fresh: bool [...], rows whose next sample is the first, of the recording or after a gap; where that
                matters.
            gaps: int64 [...], with `nonfinite="reset"`: the gaps met so far, each of which was a restart.
        """
        out = self.out_spec(spec.with_time(None))
        rows = out.shape[:-1]
        if any(n is None for n in rows):
            raise DataError(f"{self.design.name}: the rows of a stream must be known before it starts, got {spec}")
        work = Pass(self.precision).work_dtype(np.dtype("c16" if out.dtype.startswith(("complex", "clong")) else "f8"))
        lead = tuple(n for n in rows if n is not None)
        coefficients = solved(self.design)
        memory = (len(coefficients), *lead, 2) if self._recursive else (*lead, len(coefficients) - 1)
        state: State = {"zi": np.zeros(memory, work), "position": np.zeros((), np.int64)}
        if self.initial == "steady" or self.nonfinite == "reset":
            state["fresh"] = np.ones(lead, bool)
        if self.nonfinite == "reset":
            state["gaps"] = np.zeros(lead, np.int64)
        return state

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk [..., t], t >= 0: output and next state. Chunk by chunk gives the whole, bit for bit."""
        if self._may_be_fast:
            passed = fast_pass(solved(self.design), x, state["zi"], self._settings, state=True)
            if passed is not None:
                y, zf, is_clean = passed
                if is_clean:
                    return y, {"zi": zf, "position": state["position"] + x.shape[-1]}
        return self._run(x, state)

    def flush(self, state: State) -> None:
        """Nothing is held back."""

    @cached_property
    def _may_be_fast(self) -> bool:
        """Whether a chunk needs nothing but the native engine."""
        return (
            self._recursive
            and self.engine in {None, "native"}
            and (self.initial, self.parallel) == ("zero", None)
            and self.nonfinite != "reset"
        )

    @cached_property
    def _recursive(self) -> bool:
        return isinstance(self.design, IirFilter)

    @cached_property
    def _settings(self) -> Pass:
        return Pass(self.precision, self.scale, self.offset, self.parallel)

    @names_errors(design_name)
    def _run(self, x: Any, state: State | None) -> tuple[Any, State]:
        if self._recursive:
            zi = None if state is None else state["zi"]
            engine, data = prepare_for_engine(x, -1, self.engine, zi=zi)
            self._check_rows(data.values, state)
            done = self._through_sections(engine, data, state)
        else:
            data = fir.prepare_for_taps(x, -1, self.nonfinite)
            self._check_rows(data.values, state)
            done = self._through_taps(data.values, state)
        return data.restore(done.y), {} if state is None else self._next_state(state, data.values, done)

    def _through_sections(self, engine: EngineName | None, data: Prepared, state: State | None) -> Passed:
        settings = self._settings
        steady = _steady(self.design) if self.initial == "steady" else None
        zi = None if state is None else as_state(state["zi"], data, settings)
        if steady is not None and data.values.shape[-1]:
            begun = steady_states(steady, data.values, settings)
            zi = begun if zi is None or state is None else _where(state["fresh"][None, ..., None], begun, zi)
        return one_way(
            engine,
            solved(self.design),
            data.values,
            zi,
            settings,
            self.nonfinite,
            steady=steady,
            position=_position(state),
        )

    def _through_taps(self, values: Any, state: State | None) -> Passed:
        taps, settings, steady = solved(self.design), Pass("float64", self.scale, self.offset), self.initial == "steady"
        zi = None if state is None else state["zi"]
        if steady and values.shape[-1]:
            begun = fir.steady_state(taps, values, settings)
            zi = begun if state is None else _where(state["fresh"][..., None], begun, zi)
        return fir.one_pass(taps, values, zi, settings, self.nonfinite, steady=steady, position=_position(state))

    def _check_rows(self, values: Any, state: State | None) -> None:
        if state is None:
            return
        zi = state["zi"]
        rows = tuple(zi.shape[1:-1] if self._recursive else zi.shape[:-1])
        if tuple(values.shape[:-1]) != rows:
            raise DataError(
                f"{self.design.name}: a chunk of shape {tuple(values.shape)} in a stream whose rows have shape {rows}"
            )

    def _next_state(self, state: State, values: Any, done: Passed) -> State:
        samples = int(values.shape[-1])
        next_state: State = {"zi": done.zf, "position": state["position"] + samples}
        if "fresh" not in state or not samples:
            return {**state, **next_state}
        next_state["fresh"] = np.zeros_like(state["fresh"])
        if "gaps" in state:
            next_state["gaps"] = state["gaps"]
            if done.dirty is not None and done.dirty.any():
                next_state["fresh"] = ~gaps.finite(values[..., -1])
                goes_on = state["fresh"] & (state["position"] > 0)
                next_state["gaps"] = state["gaps"] + gaps.new_gaps(values, done.dirty, goes_on)
        return next_state


def _position(state: State | None) -> int:
    return 0 if state is None else int(state["position"])


@lru_cache(maxsize=256)
def _steady(design: Design) -> Array:
    zi: Array = sosfilt_zi(design)
    return zi


def _where(fresh: Array, begun: Any, zi: Any) -> Any:
    """Rows that begin now take the steady state, the others what they carry."""
    if not fresh.any():
        return zi
    if kind_of(begun) == "torch":
        return begun.where(begun.new_tensor(fresh, dtype=bool), zi)
    return np.where(fresh, begun, as_ndarray(zi))
