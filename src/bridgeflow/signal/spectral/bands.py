"""The power in bands of frequency, out of an average spectrum, whole or at the end of a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bridgeflow.bridge import describe, kind_of, like, to_numpy
from bridgeflow.errors import DataError
from bridgeflow.signal.spectral.average import WelchAverage
from bridgeflow.signal.spectral.live import State
from bridgeflow.spec import ArraySpec

__all__ = ["LiveBandPower"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveBandPower:
    """Rows [..., time] to powers [..., bands].

    Args:
        welch: the average density.
        places: of each band, its first frequency and the one after its last.
        spacing: distance of frequencies in Hz.
        relative: whether powers are shares of the whole.
    """

    welch: WelchAverage
    places: tuple[tuple[int, int], ...]
    spacing: float
    relative: bool = False

    def __call__(self, x: Any) -> Any:
        """A whole recording of at least one segment."""
        self._require_real(describe(x) if kind_of(x) is not None else None)
        return self._bands(self.welch(x))

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        self._require_real(spec)
        density = self.welch.out_spec(spec)
        return density.fresh(shape=(*density.shape[:-1], len(self.places)), fs=None)

    def _require_real(self, spec: ArraySpec | None) -> None:
        if spec is not None and spec.dtype.startswith("c"):
            raise DataError("powers of bands are of real data; take parts, or the magnitude, first")

    @property
    def stream_obstacle(self) -> str:
        """That of the average."""
        return self.welch.stream_obstacle

    def init_state(self, spec: ArraySpec) -> State:
        """That of the average."""
        return self.welch.init_state(spec)

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk."""
        return self.welch.step(x, state)

    def flush(self, state: State) -> Any | None:
        """The powers; `None` for a recording without samples."""
        density = self.welch.flush(state)
        return None if density is None else self._bands(density)

    def _bands(self, density: Any) -> Any:
        """Of densities [..., frequency] of any kind."""
        if kind_of(density) not in ("numpy", "torch"):
            return like(self._bands(to_numpy(density)), density)
        sums = [_sum(density[..., first:end]) for first, end in self.places]
        if self.relative:
            total = _sum(density)
            total = total + (total == 0)
            sums = [one / total for one in sums]
        else:
            sums = [one * self.spacing for one in sums]
        if isinstance(density, np.ndarray):
            return np.stack(sums, axis=-1)
        import torch

        return torch.stack(sums, dim=-1)


def _sum(x: Any) -> Any:
    """The sum along the last axis, by halving: its bits depend on nothing but the row."""
    while x.shape[-1] > 1:
        half, odd = divmod(int(x.shape[-1]), 2)
        total = x[..., :half] + x[..., half : 2 * half]
        if odd:
            parts = [total[..., :1] + x[..., -1:], total[..., 1:]]
            total = np.concatenate(parts, -1) if isinstance(x, np.ndarray) else _cat(parts)
        x = total
    return x[..., 0]


def _cat(parts: list[Any]) -> Any:
    import torch

    return torch.cat(parts, dim=-1)
