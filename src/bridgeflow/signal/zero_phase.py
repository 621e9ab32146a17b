"""A filter that delays nothing, over a whole recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridgeflow.errors import ConfigError
from bridgeflow.policy import Nonfinite, parse_word
from bridgeflow.signal._specs import filtered_spec
from bridgeflow.signal.design import Design, FirFilter
from bridgeflow.signal.fir import fir_zero_phase, taps_of, zero_phase_delay
from bridgeflow.signal.iir import sosfiltfilt
from bridgeflow.signal.iir.engine import EngineName, Pass, Precision
from bridgeflow.spec import ArraySpec

__all__ = ["ZeroPhaseFilter"]


@dataclass(frozen=True, kw_only=True)
class ZeroPhaseFilter:
    """A design at work without delay, on arrays [..., time].

    A recursive design runs forwards and backwards (`sosfiltfilt`: gain squared, SciPy's odd padding). One of finite
    memory, whose taps must be symmetric and of odd count, runs once and its delay is taken back (`fir_zero_phase`: gain
    as designed).

    Args:
        design: recursive, or of finite memory with symmetric taps of odd count.
        precision, nonfinite, scale, offset, engine: as for `CausalFilter`.

    Raises:
        ConfigError, ValueError: a choice that does not exist or does not go with the design.
    """

    design: Design
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
                    f"{self.design.name} has finite memory: engine and precision are for recursive designs"
                )

    def __call__(self, x: Any) -> Any:
        """A whole recording [..., T] through the filter."""
        units: dict[str, Any] = {"nonfinite": self.nonfinite, "scale": self.scale, "offset": self.offset}
        if isinstance(self.design, FirFilter):
            return fir_zero_phase(self.design, x, **units)
        return sosfiltfilt(self.design, x, engine=self.engine, precision=self.precision, **units)

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        return filtered_spec(spec, fs=self.design.fs, what=self.design.name)
