"""Banks of filters at work on recordings, whole or piece by piece: several IIR designs over one input.

Each band has the bits that its filter has alone. What is carried from one chunk to the next is a state, an argument and
a result, as for `CausalFilter` and `ZeroPhaseFilter`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bridgeflow.errors import ConfigError, DataError, names_errors
from bridgeflow.policy import Nonfinite
from bridgeflow.signal._chunks import as_kind, rows_shape
from bridgeflow.signal._input import Prepared, read_array
from bridgeflow.signal._specs import filtered_spec
from bridgeflow.signal.causal import CausalFilter, Initial, State, WithoutLatency
from bridgeflow.signal.design import IirFilter, Sos
from bridgeflow.signal.design.base import Array
from bridgeflow.signal.iir import same_sections, sosfiltfilt_bank
from bridgeflow.signal.iir.engine import EngineName, Pass, Precision
from bridgeflow.signal.iir.passes import fast_pass, prepare_for_engine
from bridgeflow.signal.zero_phase import ZeroPhaseFilter
from bridgeflow.spec import ArraySpec

__all__ = ["CausalBank", "ZeroPhaseBank"]

_NAME = "FilterBank"


@dataclass(frozen=True, kw_only=True)
class _Bank:
    """Designs over one input, on arrays [..., time]."""

    designs: tuple[IirFilter, ...]
    precision: Precision = "float64"
    nonfinite: Nonfinite = "raise"
    scale: float = 1.0
    offset: float = 0.0
    engine: EngineName | None = None

    def __post_init__(self) -> None:
        rates = {design.fs for design in self.designs if design.fs is not None}
        if len(rates) > 1:
            raise ConfigError(f"{_NAME}: its filters are designed for different fs, {sorted(rates)}", field="fs")
        self.bands  # noqa: B018  refused here, when built, or never

    @cached_property
    def sections(self) -> Array:
        """The sections of all filters, [filters, n, 6]."""
        return same_sections(self.designs)

    @property
    def bands(self) -> tuple[Any, ...]:
        """The filters one by one."""
        raise NotImplementedError

    @property
    def fs(self) -> float | None:
        """The sampling rate that the designs are for, where they say it."""
        return next((design.fs for design in self.designs if design.fs is not None), None)

    @names_errors(_NAME)
    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`: [..., filters, time]."""
        filtered = filtered_spec(spec, fs=self.fs)
        return filtered.fresh(shape=(*spec.shape[:-1], len(self.designs), spec.shape[-1]))

    def _settings(self) -> dict[str, Any]:
        names = ("precision", "nonfinite", "scale", "offset", "engine")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class CausalBank(WithoutLatency, _Bank):
    """Filters that go forward through a recording side by side: [..., time] to [..., filters, time].

    Args:
        designs: at least one; sections that change nothing fill up those with fewer sections.
        initial, precision, nonfinite, scale, offset, engine: as for `CausalFilter`.

    Raises:
        ConfigError, ValueError: a choice that does not exist, no design, or designs for different rates.

    >>> from bridgeflow.signal import Butter
    >>> halves = CausalBank(designs=(Butter(order=2, cutoff=10.0, fs=100.0), Butter(order=2, cutoff=20.0, fs=100.0)))
    >>> halves(np.ones(200))[:, -1].round(6)
    array([1., 1.])
    """

    initial: Initial = "zero"

    @cached_property
    def bands(self) -> tuple[CausalFilter, ...]:
        """The filters one by one, with equally many sections."""
        options = {**self._settings(), "initial": self.initial}
        return tuple(CausalFilter(design=Sos(sections=sos), **options) for sos in self.sections.tolist())

    @cached_property
    def _pass(self) -> Pass | None:
        """The settings of the fast path, where a chunk needs nothing but the native engine."""
        plain = self.engine in {None, "native"} and self.initial == "zero" and self.nonfinite != "reset"
        return Pass(self.precision, self.scale, self.offset) if plain else None

    def __call__(self, x: Any) -> Any:
        """A whole recording [..., T], from a fresh start."""
        if self._pass is not None:
            propagate = self.nonfinite == "propagate"
            passed = fast_pass(self.sections, x, None, self._pass, state=not propagate)
            if passed is not None:
                y, _, is_clean = passed
                if propagate or is_clean:
                    return y
        return self._run(x, None)[0]

    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk.

        Args:
            spec: of any chunk; its rows must be known.

        Returns:
            zi: [S, ..., filters, 2], zeros.
            position, fresh, gaps: as for `CausalFilter`; they are the same for all filters.
        """
        states = [band.init_state(spec) for band in self.bands]
        return {**states[0], "zi": np.stack([state["zi"] for state in states], axis=-2)}

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk [..., t], t >= 0: output [..., filters, t] and next state. Chunks give the whole, bit for bit."""
        if self._pass is not None:
            passed = fast_pass(self.sections, x, state["zi"], self._pass, state=True)
            if passed is not None:
                y, zf, is_clean = passed
                if is_clean:
                    return y, {"zi": zf, "position": state["position"] + x.shape[-1]}
        return self._run(x, state)

    def flush(self, state: State) -> None:
        """Nothing is held back."""

    @names_errors(_NAME)
    def _run(self, x: Any, state: State | None) -> tuple[Any, State]:
        """One filter after the other."""
        zi = None if state is None else state["zi"]
        _, data = prepare_for_engine(x, -1, self.engine, zi=zi)
        if zi is not None and tuple(data.values.shape[:-1]) != tuple(zi.shape[1:-2]):
            raise DataError(
                f"{_NAME}: a chunk of shape {tuple(data.values.shape)} in a stream whose rows have shape "
                f"{tuple(zi.shape[1:-2])}"
            )
        if state is None or zi is None:
            return _restored([band(data.values) for band in self.bands], data), {}
        results = [band.step(data.values, {**state, "zi": zi[..., f, :]}) for f, band in enumerate(self.bands)]
        next_state = {**results[0][1], "zi": _stack([after["zi"] for _, after in results])}
        return _restored([y for y, _ in results], data), next_state


@dataclass(frozen=True, kw_only=True)
class ZeroPhaseBank(_Bank):
    """Filters that run forwards and backwards side by side: [..., time] to [..., filters, time].

    Args:
        designs: at least one.
        tolerance, precision, nonfinite, scale, offset, engine: as for `ZeroPhaseFilter`.

    Raises:
        ConfigError, ValueError: as for `CausalBank`; a tolerance that cannot be met.

    >>> from bridgeflow.signal import Butter
    >>> halves = ZeroPhaseBank(designs=(Butter(order=2, cutoff=10.0, fs=100.0), Butter(order=2, cutoff=20.0, fs=100.0)))
    >>> halves(np.ones((3, 200))).shape
    (3, 2, 200)
    """

    tolerance: float | None = None

    @cached_property
    def bands(self) -> tuple[ZeroPhaseFilter, ...]:
        """The filters one by one."""
        return tuple(
            ZeroPhaseFilter(design=design, tolerance=self.tolerance, **self._settings()) for design in self.designs
        )

    def __call__(self, x: Any) -> Any:
        """A whole recording [..., T]."""
        return sosfiltfilt_bank(self.designs, x, **self._settings())

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`: [..., filters, time]."""
        for band in self.bands:
            band.out_spec(spec)
        return super().out_spec(spec)

    @property
    def stream_obstacle(self) -> str:
        """Why this cannot be done chunk by chunk; empty where it can."""
        return self.bands[0].stream_obstacle

    @property
    def latency(self) -> int:
        """By how many samples the output of a stream lags behind its input, at most: that of the slowest filter."""
        return max(band.latency for band in self.bands)

    @names_errors(_NAME)
    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk.

        Args:
            spec: of any chunk; its rows must be known.

        Returns:
            kind: text [], what results are: kind, dtype, device.
            bands: for each filter its state, and `ready` [..., k], what it has given and a slower one has not.
        """
        rows = rows_shape(spec)
        out = self.out_spec(spec.with_time(None))
        wide = "complex128" if out.dtype.startswith(("complex", "clong")) else "float64"
        plain = ArraySpec(kind="numpy", dtype=wide, shape=(*rows, None))
        return {
            "kind": np.array(f"{out.kind} {out.dtype} {out.device}"),
            "bands": [{**band.init_state(plain), "ready": np.zeros((*rows, 0), wide)} for band in self.bands],
        }

    @names_errors(_NAME)
    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk [..., t], t >= 0: what all filters are certain of, [..., filters, u], and the state after it."""
        values = read_array(x)
        each = [band.step(values, before) for band, before in zip(self.bands, state["bands"], strict=True)]
        ready = [
            np.concatenate([before["ready"], y], axis=-1) for (y, _), before in zip(each, state["bands"], strict=True)
        ]
        count = min(y.shape[-1] for y in ready)
        bands = [{**after, "ready": y[..., count:]} for (_, after), y in zip(each, ready, strict=True)]
        return self._as_kind([y[..., :count] for y in ready], state), {**state, "bands": bands}

    def flush(self, state: State) -> Any | None:
        """What is left when the recording has ended."""
        rest = [band.flush(before) for band, before in zip(self.bands, state["bands"], strict=True)]
        if rest[0] is None:
            return None
        parts = [np.concatenate([before["ready"], y], axis=-1) for y, before in zip(rest, state["bands"], strict=True)]
        return self._as_kind(parts, state)

    def _as_kind(self, parts: list[Array], state: State) -> Any:
        kind, dtype, device = str(state["kind"]).split()
        return as_kind(np.stack(parts, axis=-2), kind, dtype, device)


def _stack(parts: list[Any]) -> Any:
    """Results [..., n] of several filters as one array [..., filters, n]."""
    if isinstance(parts[0], np.ndarray):
        return np.stack(parts, axis=-2)
    import torch

    return torch.stack(parts, dim=-2)


def _restored(parts: list[Any], data: Prepared) -> Any:
    return data.restore(_stack(parts))
