"""Running level and scale: exponential averages of the samples so far, whole or chunk by chunk with the same bits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bridgeflow.errors import DataError
from bridgeflow.signal._chunks import rows_shape
from bridgeflow.signal._input import prepare
from bridgeflow.signal._specs import filtered_spec
from bridgeflow.signal.fourier import is_complex, like_data
from bridgeflow.signal.iir import sosfilt
from bridgeflow.signal.spectral.live import State
from bridgeflow.spec import ArraySpec

__all__ = ["LiveRunning"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveRunning:
    """Rows [..., time] at their running level and scale.

    With weights `(1 - alpha)**k` for the sample k places back, over all samples so far: the level is their mean, the
    variance that of the squared distance of each sample from the level at its time.

    Args:
        alpha: share of the newest sample, 0 < alpha <= 1.
        eps: least scale.
        divide: whether the scale divides.
    """

    alpha: float
    eps: float = 1e-4
    divide: bool = True

    def __call__(self, x: Any) -> Any:
        """A whole recording."""
        return self._run(x, None)[0]

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        if spec.dtype.startswith("c"):
            raise DataError("real numbers are needed, got complex ones; take their size, or parts, first")
        return filtered_spec(spec, fs=None)

    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk.

        Returns:
            samples: int64 [], how many have come.
            level, square: float64 [1, ..., 2], the states of the two averages.
        """
        rows = rows_shape(spec)
        return {
            "samples": np.zeros((), np.int64),
            "level": np.zeros((1, *rows, 2)),
            "square": np.zeros((1, *rows, 2)),
        }

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk."""
        return self._run(x, state)

    def flush(self, state: State) -> None:
        """Nothing is held back."""

    @cached_property
    def _sos(self) -> np.ndarray[Any, Any]:
        return np.array([[self.alpha, 0.0, 0.0, 1.0, self.alpha - 1.0, 0.0]])

    def _run(self, x: Any, state: State | None) -> tuple[Any, State]:
        rows = prepare(x, -1)
        if is_complex(rows.values):
            raise DataError("real numbers are needed, got complex ones; take their size, or parts, first")
        wide = _double(rows.values)
        if state is None:
            zeros = np.zeros((1, *wide.shape[:-1], 2))
            state = {"samples": np.zeros((), np.int64), "level": zeros, "square": zeros}
        if tuple(state["level"].shape[1:-1]) != tuple(wide.shape[:-1]):
            shapes = f"{tuple(wide.shape)} in a stream whose rows have shape {tuple(state['level'].shape[1:-1])}"
            raise DataError(f"a chunk of shape {shapes}")
        first, samples = int(state["samples"]), int(wide.shape[-1])
        weights = like_data(self._weights(first, samples), wide)
        level, after = self._averaged(wide, state["level"])
        apart = wide - level / weights
        next_state: State = {
            "samples": np.asarray(first + samples, np.int64),
            "level": after,
            "square": state["square"],
        }
        if self.divide:
            square, next_state["square"] = self._averaged(apart * apart, state["square"])
            variance = square / weights
            least = self.eps**2
            if isinstance(variance, np.ndarray):
                apart = apart / np.sqrt(np.maximum(variance, least))
            else:
                apart = apart / variance.clamp(min=least).sqrt()
        return rows.restore(_as_data(apart, rows.values)), next_state

    def _averaged(self, x: Any, zi: Any) -> tuple[Any, Any]:
        """`alpha * x` summed with the weights of time, and the state after it."""
        if not x.shape[-1]:
            return x, zi
        if isinstance(x, np.ndarray) != isinstance(zi, np.ndarray):
            import torch

            zi = torch.as_tensor(zi).to(x.device) if isinstance(zi, np.ndarray) else zi.detach().cpu().numpy()
        y, zf = sosfilt(self._sos, x, zi=zi, nonfinite="propagate")
        return y, zf

    def _weights(self, first: int, samples: int) -> np.ndarray[Any, Any]:
        """The sum of the weights of all samples up to each: `1 - (1 - alpha)**n`."""
        if self.alpha == 1:
            return np.ones(samples)
        return np.asarray(-np.expm1(np.arange(first + 1, first + samples + 1) * np.log1p(-self.alpha)))


def _double(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return x.astype(np.float64, copy=False)
    return x.double()


def _as_data(y: Any, x: Any) -> Any:
    """In the type of the data, double precision for integers."""
    if isinstance(y, np.ndarray):
        return y.astype(x.dtype, copy=False) if x.dtype.kind == "f" else y
    return y.to(x.dtype) if x.is_floating_point() else y
