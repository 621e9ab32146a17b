"""The reference engine: SciPy's own loops, in the precision of the recursion, whatever the dtype of the data.

This is the module that imports SciPy; it is loaded when it is first needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import sosfilt as scipy_sosfilt
from scipy.signal import sosfiltfilt as scipy_sosfiltfilt

from bridgeflow.signal.iir.engine import Array, Pass, rounded
from bridgeflow.signal.iir.steady import sosfilt_zi
from bridgeflow.signal.padding import Padtype

__all__ = ["sosfilt", "sosfilt_zi", "sosfiltfilt", "unavailable"]


def unavailable() -> str | None:
    """SciPy is one of the packages this library stands on."""
    return None


def sosfilt(sos: Array, x: Array, zi: Array | None, settings: Pass, out: Array | None = None) -> tuple[Array, Array]:
    """See `engine.Engine.sosfilt`."""
    work = settings.work_dtype(x.dtype)
    if zi is None:
        zi = np.zeros((len(sos), *x.shape[:-1], 2), dtype=work)
    if x.shape[-1]:
        y, zf = scipy_sosfilt(_coefficients(sos, work), settings.units(x, work), zi=zi.astype(work))
    else:  # SciPy fails on a recording without samples
        y, zf = x, zi.astype(work)
    if out is None:
        return rounded(y, x.dtype), zf
    out[...] = rounded(y, x.dtype)
    return out, zf


def sosfiltfilt(sos: Array, x: Array, padtype: Padtype | None, padlen: int | None, settings: Pass) -> Array:
    """See `engine.Engine.sosfiltfilt`."""
    work = settings.work_dtype(x.dtype)
    # SciPy solves for the steady state in the precision of the sections, and NumPy's solver has none beyond double
    sections = _coefficients(sos, np.dtype(np.float64) if work.char in "gG" else work)
    sosfilt_zi(sections)  # refused by name where SciPy would fail
    y: Array = scipy_sosfiltfilt(sections, settings.units(x, work), padtype=padtype, padlen=padlen)
    return rounded(y, x.dtype)


def _coefficients(sos: Array, work: np.dtype[Any]) -> Array:
    # a copy in any case: SciPy's compiled loop refuses read-only sections
    return sos.astype(work if work.kind == "f" else np.dtype(work.char.lower()))
