"""The steady state of second-order sections, in NumPy alone, as `scipy.signal.sosfilt_zi` solves for it."""

from __future__ import annotations

import numpy as np

from bridgeflow.errors import DataError
from bridgeflow.signal.iir.engine import Array

__all__ = ["sosfilt_zi"]


def sosfilt_zi(sos: Array) -> Array:
    """The state [S, 2] of sections [S, 6] that have seen ones forever, in the precision of the sections.

    Raises:
        DataError: a section with a pole at 1.

    >>> sosfilt_zi(np.array([[0.25, 0.25, 0.0, 1.0, -0.5, 0.0]]))
    array([[0.75, 0.  ]])
    """
    sos = sos if sos.dtype.kind == "f" else sos.astype(np.float64)
    zi = np.empty((len(sos), 2), sos.dtype)
    scale = 1.0
    for number, section in enumerate(sos):
        b, a = section[:3] / section[3], section[3:] / section[3]
        step = np.array([[1 + a[1], -1.0], [a[2], 1.0]], sos.dtype)
        try:
            zi[number] = scale * np.linalg.solve(step, b[1:] - a[1:] * b[0])
        except np.linalg.LinAlgError as error:
            raise DataError(
                f"sosfilt_zi: a section with a pole at 1 has no steady state, so it cannot start from one ({error})"
            ) from None
        scale *= section[:3].sum() / section[3:].sum()  # the gain at frequency 0
    return zi
