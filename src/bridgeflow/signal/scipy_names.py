"""The names of `scipy.signal` that need no engine of ours: SciPy's functions on every kind of array.

Designs, conversions between forms of a filter, responses, peaks, waveforms: SciPy's own code computes, with SciPy's
signature, defaults, docstring and numbers. What is added is the way in and the way back: arguments may be ndarrays,
tensors on any device, Arrow arrays, DLPack objects or lists, also within a tuple or list, and arrays among the results
are of the kind (and on the device) of the first argument that is not an ndarray. SciPy is imported when a name is used.

`docs/scipy.md` lists all names; a test compares it, and these tables, with `scipy.signal.__all__`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np

from bridgeflow.bridge import kind_of, like, to_numpy
from bridgeflow.errors import BridgeflowError, DataError, NoRoute, naming, nearest, printable
from bridgeflow.signal._input import needs_gradient, refuse_table
from bridgeflow.signal._scipy_fixes import FIXED

__all__ = ["NOT_HERE", "SCIPYS_FUNCTIONS", "SCIPYS_OBJECTS", "call_scipy", "find", "is_passed"]

SCIPYS_FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "designs": (
        *("band_stop_obj", "bessel", "besselap", "buttap", "butter", "buttord", "cheb1ap", "cheb1ord", "cheb2ap"),
        *("cheb2ord", "cheby1", "cheby2", "ellip", "ellipap", "ellipord", "firls", "firwin", "firwin2", "firwin_2d"),
        *("gammatone", "iircomb", "iirdesign", "iirfilter", "iirnotch", "iirpeak", "kaiser_atten", "kaiser_beta"),
        *("kaiserord", "minimum_phase", "remez", "savgol_coeffs"),
    ),
    "forms of a filter": (
        *("bilinear", "bilinear_zpk", "invres", "invresz", "lp2bp", "lp2bp_zpk", "lp2bs", "lp2bs_zpk", "lp2hp"),
        *("lp2hp_zpk", "lp2lp", "lp2lp_zpk", "normalize", "residue", "residuez", "sos2tf", "sos2zpk", "tf2sos"),
        *("tf2zpk", "unique_roots", "zpk2sos", "zpk2tf"),
    ),
    "responses": (
        *("findfreqs", "freqs", "freqs_zpk", "freqz", "freqz_sos", "freqz_zpk", "group_delay", "sosfreqz"),
        "lfiltic",
    ),
    "peaks": (
        *("argrelextrema", "argrelmax", "argrelmin", "find_peaks", "find_peaks_cwt", "peak_prominences"),
        "peak_widths",
    ),
    "waveforms": ("chirp", "gausspulse", "max_len_seq", "sawtooth", "square", "sweep_poly", "unit_impulse"),
    "windows": ("check_COLA", "check_NOLA", "closest_STFT_dual_window", "get_window"),
    "spectra": ("czt", "czt_points", "lombscargle", "vectorstrength", "zoom_fft"),
    "convolution and order": (
        *("choose_conv_method", "convolve2d", "correlate2d", "correlation_lags", "deconvolve", "hilbert2"),
        *("medfilt2d", "order_filter", "wiener"),
    ),
}
"""Functions that are SciPy's, called with ndarrays, by family. No gradient passes through them."""

SCIPYS_OBJECTS: Final = ("BadCoefficients", "CZT", "ZoomFFT", "dlti", "windows")
"""Classes and modules that are SciPy's own objects, unchanged: they make ndarrays, or take no data at all."""

_SYSTEMS: Final = "it simulates or transforms LTI systems, which does not preprocess of recordings"
_SPLINES: Final = "it fits B-splines to images, which does not preprocess of recordings"

NOT_HERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            *("StateSpace", "TransferFunction", "ZerosPolesGain", "abcd_normalize", "bode", "cont2discrete", "dbode"),
            *("dfreqresp", "dimpulse", "dlsim", "dstep", "freqresp", "impulse", "lsim", "lti", "place_poles", "ss2tf"),
            *("ss2zpk", "step", "tf2ss", "zpk2ss"),
        ),
        _SYSTEMS,
    ),
    **dict.fromkeys(
        (
            *("cspline1d", "cspline1d_eval", "cspline2d", "gauss_spline", "qspline1d", "qspline1d_eval", "qspline2d"),
            *("sepfir2d", "spline_filter", "symiirorder1", "symiirorder2"),
        ),
        _SPLINES,
    ),
}
"""Names that stay SciPy's alone, each with the reason."""

_OF_INPUT: Final = frozenset(
    {ValueError, IndexError, KeyError, AttributeError, OverflowError, ZeroDivisionError}
    | {RuntimeError, NotImplementedError}
)
"""What SciPy raises for input that it does not take; classes below these say more, and stay."""

_FUNCTIONS: Final = frozenset(name for names in SCIPYS_FUNCTIONS.values() for name in names)


def is_passed(name: str) -> bool:
    """Whether a name of `bridgeflow.signal` is SciPy's function or object.

    >>> is_passed("butter"), is_passed("sosfilt")
    (True, False)
    """
    return name in _FUNCTIONS or name in SCIPYS_OBJECTS


def find(name: str, ours: Iterable[str]) -> Any:
    """What `bridgeflow.signal` has under a name of SciPy's.

    Args:
        name: asked for.
        ours: the names of `bridgeflow.signal`, for the error.

    Raises:
        AttributeError: a name that is not here, with the nearest, or with where it is and why.

    >>> find("lsim", ())
    Traceback (most recent call last):
    AttributeError: bridgeflow.signal has no 'lsim': it simulates or transforms LTI systems, which does not preprocess \
of recordings; use scipy.signal.lsim
    """
    if is_passed(name):
        import scipy.signal

        if (original := getattr(scipy.signal, name, None)) is not None:
            return _wrapped(original, name) if name in _FUNCTIONS else original
        raise AttributeError(f"bridgeflow.signal.{name} is a function of a later SciPy than {scipy.__version__}")
    if name in NOT_HERE:
        raise AttributeError(f"bridgeflow.signal has no {name!r}: {NOT_HERE[name]}; use scipy.signal.{name}")
    names = {*_FUNCTIONS, *SCIPYS_OBJECTS, *ours}
    raise AttributeError(f"bridgeflow.signal has no {name!r}: {nearest(name, names)}")


def call_scipy(function: Callable[..., Any], name: str, *args: Any, **options: Any) -> Any:
    """Call a function of SciPy with arguments of any kind; results are of the kind of the first that is not an ndarray.

    Args:
        function: SciPy's.
        name: the caller's name, for errors.
        args, options: as for the function.

    Raises:
        NoRoute: a tensor that requires grad; what ends in a TypeError in SciPy.
        DataError: what SciPy refuses with a ValueError, in its words, or stumbles over; a table in the place of an
            array.
    """
    reader = _Reader()
    with naming(name):
        read_args = [reader.read(value) for value in args]
        read_options = {key: reader.read(value) for key, value in options.items()}
    try:
        result = function(*read_args, **read_options)
    except BridgeflowError:
        raise
    except TypeError as error:
        inspect.signature(function).bind(*args, **options)  # an argument that is missing stays Python's own error
        detail = f"{name}: {_suspects(function, args, options)}{error}"
        raise NoRoute("dtype", detail, f"see what scipy.signal.{name} takes") from error
    except (ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        if type(error) not in _OF_INPUT:
            raise
        raise DataError(f"{name}: {error}") from error
    return result if reader.template is None else _restored(result, reader.template)


def _suspects(function: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any]) -> str:
    """The arguments that are neither numbers nor arrays, among which is the one that SciPy does not take."""
    parameters = inspect.signature(function).parameters
    arguments = inspect.signature(function).bind(*args, **options).arguments
    odd = [
        f"{name}={printable(repr(value), 40)}"
        for name, value in arguments.items()
        if not isinstance(value, (int, float, complex, np.generic))
        and kind_of(value) is None
        and not callable(value)
        and not (isinstance(value, str) and isinstance(parameters[name].default, str))
    ]
    return f"with {', '.join(odd)}, " if odd else ""


@functools.cache
def _wrapped(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    called = FIXED.get(f"signal.{name}", original)

    @functools.wraps(original)
    def function(*args: Any, **options: Any) -> Any:
        return call_scipy(called, name, *args, **options)

    function.__module__, function.__qualname__ = "bridgeflow.signal", name
    return function


class _Reader:
    """Turns arguments into what SciPy takes, and remembers the first array that is not an ndarray."""

    def __init__(self) -> None:
        self.template: Any = None

    def read(self, value: Any) -> Any:
        """An argument as SciPy takes it."""
        if isinstance(value, (str, int, float, complex, np.ndarray)) or value is None or callable(value):
            return value
        if type(value) in (list, tuple):
            if any(kind_of(item) not in {None, "numpy"} for item in value):
                return type(value)(self.read(item) for item in value)
            return value
        kind = kind_of(value)
        if kind == "numpy":
            return value
        if not isinstance(value, Mapping):
            refuse_table(value)
        if kind is None:
            return value
        if needs_gradient(value):
            raise NoRoute(
                "grad",
                "a tensor that requires grad was given, and no gradient passes through SciPy's code",
                "pass x.detach(), or call it under torch.no_grad()",
            )
        if self.template is None:
            self.template = value
        return to_numpy(value)


def _restored(result: Any, template: Any) -> Any:
    """Results with their arrays as the kind of `template`."""
    if isinstance(result, np.ndarray):
        return like(np.ascontiguousarray(result) if result.ndim else result, template)
    if isinstance(result, np.generic) and kind_of(template) == "torch":
        return like(np.asarray(result), template)
    if isinstance(result, tuple):
        items = [_restored(item, template) for item in result]
        return result._make(items) if hasattr(result, "_make") else tuple(items)
    if isinstance(result, dict):
        return {key: _restored(value, template) for key, value in result.items()}
    return result
