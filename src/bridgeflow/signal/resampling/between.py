"""Resampling between rates whose ratio has too many phases for a table of them.

The taps of an output are values of the filter's impulse response, at the distances of the samples from its time. Here
the response is cut into pieces, so many to a sample, each a cubic polynomial through its values at the four Chebyshev
nodes. The error of such a polynomial is at most `D / 4! * 2 * (d / 4)^4` for pieces of length d, where D is the largest
fourth derivative (Chebyshev's interpolation error); and a response that keeps nothing above half the sampling rate has
at most pi^4 / 5 (Bernstein): with P pieces, `0.00635 / P^4` a tap. There are so many pieces that this is 24 dB below
the attenuation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np

from bridgeflow.errors import ConfigError
from bridgeflow.signal.resampling import cpu
from bridgeflow.signal.resampling.polyphase import RateFilter
from bridgeflow.signal.resampling.quality import GRADES

__all__ = ["Between"]

Array: TypeAlias = np.ndarray[Any, Any]

_TAPS_UNIT: Final = 16
_MOST_TAPS: Final = 1 << 20


@dataclass(frozen=True, eq=False)
class Between(RateFilter):
    """A filter of some quality between two rates; stands in for `Polyphase`.

    Args:
        up, down: the ratio of the rates, without a common factor, at most `rates.LARGEST_TICKS`.
        quality: of `GRADES`.
    """

    up: int
    down: int
    quality: str

    def __post_init__(self) -> None:
        if self._half > _MOST_TAPS / 2:
            raise ConfigError(
                f"resampling by {self.up}/{self.down} takes a filter of {2 * self._half} taps, at most {_MOST_TAPS}; "
                "resample in several steps",
                field="to_hz",
            )

    @cached_property
    def _scale(self) -> float:
        """The lower rate, as a part of the data's."""
        return min(1.0, self.up / self.down)

    @cached_property
    def _half(self) -> int:
        """Half the length of the filter in samples of the data, rounded up."""
        return int(np.ceil(GRADES[self.quality].half / self._scale))

    @property
    def centre(self) -> int:
        """Which tick of the filter meets sample 0 in output 0."""
        return self._half * self.up

    @property
    def reach(self) -> int:
        """Samples that an output depends on."""
        return -(-2 * self._half // _TAPS_UNIT) * _TAPS_UNIT

    @cached_property
    def pieces(self) -> int:
        """Polynomials to a sample of the data."""
        error = 10 ** (-GRADES[self.quality].attenuation / 20) / 16
        return max(4, int(np.ceil((0.00635 / error) ** 0.25 * self._scale)))

    @cached_property
    def tables(self) -> dict[str, Array]:
        """The polynomials [pieces, 4, reach], from the tap for the oldest sample to that for the newest, by dtype."""
        grade, count = GRADES[self.quality], self.pieces
        nodes = (1 + np.cos((2 * np.arange(4) + 1) * np.pi / 8)) / 2
        places = (np.arange(count)[:, np.newaxis] + nodes) / count  # [pieces, 4]
        whole = np.arange(self.reach - 1, -1, -1) - self._half
        values = grade.impulse((places[..., np.newaxis] + whole) * self._scale) * self._scale  # [pieces, 4, reach]
        coefficients = np.linalg.inv(np.vander(nodes, increasing=True)) @ values
        return {name: np.ascontiguousarray(coefficients, name) for name in ("float32", "float64")}

    def _run_real(self, x: Array, first_tick: int, outputs: int) -> Array:
        begin, _end = self.span(first_tick, max(outputs, 1))
        table = self.tables[x.dtype.name]
        return cpu.run_between(x, table, self.up, self.down, phase=first_tick % self.up, first=begin, outputs=outputs)
