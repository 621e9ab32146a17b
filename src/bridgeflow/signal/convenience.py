"""One call from data to filtered data: Butterworth low-pass, high-pass, band-pass and band-stop filters, and a notch.

Each designs (once: equal designs are shared) and filters along one axis. There is no such function in SciPy, though
many believe there is a `scipy.signal.butter_lowpass_filter`: it is a recipe of its cookbook.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, overload

from bridgeflow.policy import parse_word
from bridgeflow.signal._input import is_tracing
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal.design import Butter, IirFilter, Notch
from bridgeflow.signal.iir import sosfilt, sosfiltfilt, traced_sections

__all__ = [
    "Mode",
    "butter_bandpass_filter",
    "butter_bandstop_filter",
    "butter_highpass_filter",
    "butter_lowpass_filter",
    "notch_filter",
]

Mode: TypeAlias = Literal["causal", "zero_phase"]
"""Filter once, as it can be done live; or forwards and backwards, without delay, gain squared."""


@overload
def butter_lowpass_filter(
    x: SameKind, cutoff: float, fs: float, order: int = ..., axis: int = ..., *, mode: Mode = ..., **options: Any
) -> SameKind: ...
@overload
def butter_lowpass_filter(
    x: Any, cutoff: float, fs: float, order: int = ..., axis: int = ..., *, mode: Mode = ..., **options: Any
) -> Any: ...
def butter_lowpass_filter(
    x: Any, cutoff: float, fs: float, order: int = 4, axis: int = -1, *, mode: Mode = "causal", **options: Any
) -> Any:
    """Keep what lies below `cutoff`.

    Args:
        x: data of any shape and kind. Only read.
        cutoff: where the gain is -3 dB (-6 dB for zero phase), in Hz, 0 < cutoff < fs/2.
        fs: sampling rate in Hz.
        order: steepness: 6 dB per octave and order.
        axis: the axis of time.
        mode: `"causal"` or `"zero_phase"`.
        **options: those of `sosfilt` or `sosfiltfilt` (`engine`, `precision`, `nonfinite`, ...).

    Returns:
        y: as x in kind, device and shape; in dtype too, but for integers and booleans, which become float64.

    Raises:
        ConfigError, UnstableFilter: the design cannot be.
        DataError: the data cannot be filtered.

    >>> import numpy as np
    >>> t = np.arange(1000) / 100
    >>> slow, fast = np.sin(2 * np.pi * 1 * t), np.sin(2 * np.pi * 40 * t)
    >>> y = butter_lowpass_filter(slow + fast, cutoff=20, fs=100, order=4, mode="zero_phase")
    >>> bool(np.abs(y - slow)[100:-100].max() < 0.01)
    True
    """
    return _run(x, axis, mode, options, Butter, order=order, cutoff=cutoff, btype="lowpass", fs=fs)


@overload
def butter_highpass_filter(
    x: SameKind, cutoff: float, fs: float, order: int = ..., axis: int = ..., *, mode: Mode = ..., **options: Any
) -> SameKind: ...
@overload
def butter_highpass_filter(
    x: Any, cutoff: float, fs: float, order: int = ..., axis: int = ..., *, mode: Mode = ..., **options: Any
) -> Any: ...
def butter_highpass_filter(
    x: Any, cutoff: float, fs: float, order: int = 4, axis: int = -1, *, mode: Mode = "causal", **options: Any
) -> Any:
    """Keep what lies above `cutoff`; arguments as for `butter_lowpass_filter`.

    >>> import numpy as np
    >>> bool(abs(butter_highpass_filter(np.ones(1000), cutoff=1, fs=100)[-1]) < 1e-6)
    True
    """
    return _run(x, axis, mode, options, Butter, order=order, cutoff=cutoff, btype="highpass", fs=fs)


@overload
def butter_bandpass_filter(
    x: SameKind,
    cutoff: tuple[float, float],
    fs: float,
    order: int = ...,
    axis: int = ...,
    *,
    mode: Mode = ...,
    **options: Any,
) -> SameKind: ...
@overload
def butter_bandpass_filter(
    x: Any,
    cutoff: tuple[float, float],
    fs: float,
    order: int = ...,
    axis: int = ...,
    *,
    mode: Mode = ...,
    **options: Any,
) -> Any: ...
def butter_bandpass_filter(
    x: Any,
    cutoff: tuple[float, float],
    fs: float,
    order: int = 4,
    axis: int = -1,
    *,
    mode: Mode = "causal",
    **options: Any,
) -> Any:
    """Keep what lies between the two frequencies `cutoff`; arguments as for `butter_lowpass_filter`.

    As in SciPy, `order` is that of each edge: the filter has twice as many poles.

    >>> import numpy as np
    >>> bool(abs(butter_bandpass_filter(np.ones(1000), cutoff=(1, 20), fs=100)[-1]) < 1e-6)
    True
    """
    return _run(x, axis, mode, options, Butter, order=order, cutoff=cutoff, btype="bandpass", fs=fs)


@overload
def butter_bandstop_filter(
    x: SameKind,
    cutoff: tuple[float, float],
    fs: float,
    order: int = ...,
    axis: int = ...,
    *,
    mode: Mode = ...,
    **options: Any,
) -> SameKind: ...
@overload
def butter_bandstop_filter(
    x: Any,
    cutoff: tuple[float, float],
    fs: float,
    order: int = ...,
    axis: int = ...,
    *,
    mode: Mode = ...,
    **options: Any,
) -> Any: ...
def butter_bandstop_filter(
    x: Any,
    cutoff: tuple[float, float],
    fs: float,
    order: int = 4,
    axis: int = -1,
    *,
    mode: Mode = "causal",
    **options: Any,
) -> Any:
    """Take away what lies between the two frequencies `cutoff`; arguments as for `butter_lowpass_filter`.

    >>> import numpy as np
    >>> butter_bandstop_filter(np.ones(1000), cutoff=(10, 20), fs=100)[-1].round(6)
    np.float64(1.0)
    """
    return _run(x, axis, mode, options, Butter, order=order, cutoff=cutoff, btype="bandstop", fs=fs)


@overload
def notch_filter(
    x: SameKind, w0: float, fs: float, Q: float = ..., axis: int = ..., *, mode: Mode = ..., **options: Any
) -> SameKind: ...
@overload
def notch_filter(
    x: Any, w0: float, fs: float, Q: float = ..., axis: int = ..., *, mode: Mode = ..., **options: Any
) -> Any: ...
def notch_filter(
    x: Any, w0: float, fs: float, Q: float = 30.0, axis: int = -1, *, mode: Mode = "causal", **options: Any
) -> Any:
    """Take away one frequency, mains interference for example.

    Args:
        x: data of any shape and kind. Only read.
        w0: the frequency in Hz, 0 < w0 < fs/2.
        fs: sampling rate in Hz.
        Q: quality: `w0` divided by the width of the notch at -3 dB.
        axis, mode, **options: as for `butter_lowpass_filter`.

    >>> import numpy as np
    >>> mains = np.sin(2 * np.pi * 50 * np.arange(5000) / 500)
    >>> bool(np.abs(notch_filter(mains, w0=50, fs=500))[-500:].max() < 1e-3)
    True
    """
    return _run(x, axis, mode, options, Notch, w0=w0, Q=Q, fs=fs)


def _run(x: Any, axis: int, mode: Mode, options: dict[str, Any], design: type[IirFilter], **fields: Any) -> Any:
    parse_word(mode, Mode, field="mode")
    sections = traced_sections(design.__name__, **fields) if is_tracing() else design(**fields)
    return (sosfilt if mode == "causal" else sosfiltfilt)(sections, x, axis, **options)
