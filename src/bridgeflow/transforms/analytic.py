"""Analytic signals as transforms: `Hilbert`, `Envelope`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bridgeflow.errors import ConfigError, DataError, naming
from bridgeflow.policy import Gaps
from bridgeflow.ranges import Length, Position
from bridgeflow.signal._specs import hold_spec
from bridgeflow.signal.analytic import band_within, check_band, envelope, hilbert
from bridgeflow.signal.spectral.live import spectral_spec
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.gaps import GapTransform
from bridgeflow.transforms.registry import register

__all__ = ["Envelope", "Hilbert"]

_OBSTACLE: Final = (
    "comes from one Fourier transform of the whole recording; live, SignalFilter(design='remez', type='hilbert') gives "
    "the quadrature within a band, with a delay"
)


@register
@dataclass(frozen=True, kw_only=True)
class Hilbert(GapTransform):
    """The analytic signal along the last axis, as `scipy.signal.hilbert`: data and quadrature as one complex number.

    Args:
        keys: which arrays; `None` for all.
        axis: of time.
        nonfinite, max_gap, keep_gaps: what NaN and infinity do; see `GapTransform`.

    Real arrays [..., time] of any kind become complex ones: complex64 for data of at most single precision, else
    complex128. Gradients flow. It does not stream: see `bridgeflow.signal.analytic`.

    >>> import numpy as np
    >>> z = Hilbert()(np.cos(2 * np.pi * 5 * np.arange(64) / 64))
    >>> np.allclose(abs(z), 1)
    True
    """

    nonfinite: Gaps = "raise"

    def transform_rows(self, x: Any) -> Any:
        """The analytic signal of the whole array."""
        return hilbert(x)

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same shape, complex, in new memory."""
        if spec.dtype.startswith("c") or spec.time == 0:
            raise DataError(f"Hilbert: real samples are needed, got {spec}")
        with naming("Hilbert"):
            return spectral_spec(spec, fs=None, is_complex=True)

    @property
    def stream_obstacle(self) -> str:
        """Every sample depends on all others."""
        return f"Hilbert {_OBSTACLE}"


@register
@dataclass(frozen=True, kw_only=True)
class Envelope(GapTransform):
    """The envelope of signals within a band, along the last axis, as `scipy.signal.envelope` without residual.

    Args:
        bp_in: the band, from and to (exclusive), in multiples of 1 over the recording's duration; `None` for as far as
            there is any. The default leaves out the mean.
        n_out: samples to resample the result to; `None` for as many as there are.
        squared: give the square, which has less bandwidth.
        keys: which arrays; `None` for all.
        axis: of time.
        nonfinite, max_gap, keep_gaps: what NaN and infinity do; see `GapTransform`.

    Arrays [..., time] of any kind, real (standing for their analytic signal) or complex, become real ones: float32 for
    data of at most single precision, else float64. Gradients flow. It does not stream: see
    `bridgeflow.signal.analytic`.

    Raises:
        ConfigError: a band that is not low to high.

    >>> import numpy as np
    >>> t = np.arange(200) / 200
    >>> slow = 2 + np.cos(2 * np.pi * 3 * t)
    >>> np.allclose(Envelope()(slow * np.cos(2 * np.pi * 40 * t)), slow)
    True
    """

    bp_in: tuple[Position | None, Position | None] = (1, None)
    n_out: Length | None = None
    squared: bool = False
    nonfinite: Gaps = "raise"

    def __post_init__(self) -> None:
        check_band(self.bp_in)
        if self.n_out is not None and self.n_out < 1:
            raise ConfigError(f"Envelope: n_out must be at least 1, got {self.n_out}", field="n_out")
        if self.n_out is not None:
            self.require_places()

    def transform_rows(self, x: Any) -> Any:
        """The envelope of the whole array."""
        return envelope(x, self.bp_in, n_out=self.n_out, squared=self.squared, residual=None)

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """Real, in new memory."""
        with naming("Envelope"):
            result = spectral_spec(spec, fs=None, is_complex=False)
        if spec.time is not None:
            band_within(self.bp_in, spec.time)
        if self.n_out is not None:
            with naming("Envelope"):
                hold_spec(spec, self.n_out, n_out=self.n_out)
        if self.n_out is None:
            return result
        fs = None if spec.fs is None or not spec.time else spec.fs * self.n_out / spec.time
        return result.fresh(shape=(*spec.shape[:-1], self.n_out), fs=fs)

    @property
    def stream_obstacle(self) -> str:
        """Every sample depends on all others."""
        return f"Envelope {_OBSTACLE}"
