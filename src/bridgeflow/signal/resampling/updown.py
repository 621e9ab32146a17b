"""`upfirdn`: SciPy's function, a filter between two rates, on every kind of array, differentiable."""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from bridgeflow.errors import DataError, names_errors
from bridgeflow.policy import parse_word
from bridgeflow.ranges import hold, whole_number
from bridgeflow.signal._axes import time_last
from bridgeflow.signal._input import as_ndarray, dispatch_of, read_array, restore
from bridgeflow.signal._numbers import undivided
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal.iir.engine import result_dtype
from bridgeflow.signal.padding import BACKGROUNDS, Extension
from bridgeflow.signal.scipy_names import call_scipy

__all__ = ["upfirdn"]


@overload
def upfirdn(
    h: Any, x: SameKind, up: int = ..., down: int = ..., axis: int = ..., mode: Extension = ..., cval: float = ...
) -> SameKind: ...
@overload
def upfirdn(
    h: Any, x: Any, up: int = ..., down: int = ..., axis: int = ..., mode: Extension = ..., cval: float = ...
) -> Any: ...
@names_errors("upfirdn")
def upfirdn(
    h: Any, x: Any, up: int = 1, down: int = 1, axis: int = -1, mode: Extension = "constant", cval: float = 0
) -> Any:
    """Put in `up - 1` zeros after each sample, filter by `h`, keep every `down`-th: as `scipy.signal.upfirdn` does.

    Args:
        h: taps [n] of any kind, real or complex.
        x: data of any shape: ndarray, tensor, Arrow array or nested lists; real, complex, integer or boolean. Only
            read.
        up: factor by which the rate grows, at least 1.
        down: factor by which it shrinks, at least 1.
        axis: the axis of time.
        mode: how x goes on beyond its ends; as `padtype` of `resample_poly`, without the levels.
        cval: the value for `"constant"`.

    Returns:
        As x in kind and device; in dtype too, but for integers and booleans, which become float64, and for real data
        with complex taps. Gradients flow to x and h.

    Raises:
        DataError: factors, taps or data that do not fit.
        ValueError: a mode that does not exist.

    >>> upfirdn([1.0, 1.0], [1.0, 2.0, 3.0], up=2).tolist()
    [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    """
    parse_word(mode, Extension, field="mode")
    if mode in BACKGROUNDS:
        raise DataError(f"mode={mode!r} takes a level off, which only resample_poly does")
    factors: tuple[tuple[str, Any], ...] = (("up", up), ("down", down))
    for name, factor in factors:
        whole_number(undivided(factor), name=name, error=DataError)
    if dispatch_of(h, x) != "numpy":
        from bridgeflow.signal.resampling import torch_ops

        return torch_ops.upfirdn_tensor(h, x, int(up), int(down), axis, mode, float(cval))
    taps = as_ndarray(h)
    if taps.ndim != 1 or not len(taps) or taps.dtype.kind not in "fciub":
        raise DataError(f"h must be 1-D with non-zero length, got {taps.dtype} of shape {taps.shape}")
    values = read_array(x)
    time_last(values, axis)
    if not values.shape[axis]:
        raise DataError("there are no samples")
    hold(
        max(values.size // values.shape[axis] * -(-values.shape[axis] * int(up) // int(down)), len(taps) * int(up)),
        values.size,
        up=up,
        down=down,
    )
    import scipy.signal

    single = values.dtype.char in "fF" and taps.dtype.char in "fF"
    wide = values if single else values.astype(np.result_type(values.dtype, np.float64))
    y = call_scipy(scipy.signal.upfirdn, "upfirdn", taps, wide, int(up), int(down), axis, mode, cval)
    owed = result_dtype(values.dtype)
    if y.dtype.kind == "c" and owed.kind != "c":
        owed = np.dtype(np.result_type(owed, np.complex64))
    return restore(np.ascontiguousarray(y.astype(owed, copy=False)), x)
