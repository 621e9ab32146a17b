"""`welch`: SciPy's average power spectra on NumPy, torch and Arrow arrays, and of endless recordings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, overload

import numpy as np

from bridgeflow.bridge import kind_of, like
from bridgeflow.errors import BridgeflowError, CannotStream, ConfigError, DataError, names_errors
from bridgeflow.policy import parse_word
from bridgeflow.signal._axes import time_where_it_was
from bridgeflow.signal._chunks import as_marked, join, kind_mark, own, rows_shape, together
from bridgeflow.signal._input import as_ndarray, prepare
from bridgeflow.signal._numbers import as_rate, as_size
from bridgeflow.signal._specs import hold_spec
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal._windows import named_window
from bridgeflow.signal.fourier import in_precision, is_complex, like_data, squared_magnitude
from bridgeflow.signal.spectral.live import State, spectral_spec
from bridgeflow.signal.spectral.short_time import ShortTimeFFT
from bridgeflow.signal.trends import Detrend, Trend
from bridgeflow.spec import ArraySpec

__all__ = [
    "Average",
    "Scaling",
    "WelchAverage",
    "frequencies",
    "median_bias",
    "named_window",
    "segment_median",
    "segment_window",
    "welch",
    "welch_transform",
    "window_samples",
    "with_both_sides",
]

Array: TypeAlias = np.ndarray[Any, Any]

Average: TypeAlias = Literal["mean", "median"]
"""Over segments; the median is corrected for its bias."""

Scaling: TypeAlias = Literal["density", "spectrum"]
"""Power per Hz, or power."""

_SHORTENED: Final = "nperseg={nperseg} is greater than the {samples} samples of the signal, using nperseg={samples}"

_SCALED: Final[dict[str, Any]] = {"density": "psd", "spectrum": "magnitude"}


@overload
def welch(
    x: SameKind,
    fs: float = ...,
    window: str | tuple[Any, ...] | Array | Sequence[float] = ...,
    nperseg: int | None = ...,
    noverlap: int | None = ...,
    nfft: int | None = ...,
    detrend: Trend | Callable[[Any], Any] | Literal[False] | None = ...,
    return_onesided: bool = ...,
    scaling: Scaling = ...,
    axis: int = ...,
    average: Average = ...,
) -> tuple[SameKind, SameKind]: ...
@overload
def welch(
    x: Any,
    fs: float = ...,
    window: str | tuple[Any, ...] | Array | Sequence[float] = ...,
    nperseg: int | None = ...,
    noverlap: int | None = ...,
    nfft: int | None = ...,
    detrend: Trend | Callable[[Any], Any] | Literal[False] | None = ...,
    return_onesided: bool = ...,
    scaling: Scaling = ...,
    axis: int = ...,
    average: Average = ...,
) -> tuple[Any, Any]: ...
@names_errors("welch")
def welch(
    x: Any,
    fs: float = 1.0,
    window: str | tuple[Any, ...] | Array | Sequence[float] = "hann",
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    detrend: Trend | Callable[[Any], Any] | Literal[False] | None = "constant",
    return_onesided: bool = True,
    scaling: Scaling = "density",
    axis: int = -1,
    average: Average = "mean",
) -> tuple[Any, Any]:
    """The power spectrum by Welch's method, as `scipy.signal.welch` gives it.

    Args:
        x: data of any shape: ndarray, tensor, Arrow array or nested lists; real or complex. Only read.
        fs: sampling rate in Hz.
        window: by the name that `scipy.signal.get_window` knows, or its samples.
        nperseg: samples of a segment; `None` for 256 or the window's. Recordings that are shorter are one segment, with
            a warning.
        noverlap: samples that neighbouring segments share; `None` for half.
        nfft: length of the transform; `None` for `nperseg`.
        detrend: taken off each segment: `"constant"`, `"linear"`, a function of segments [..., samples], or `False`.
        return_onesided: fold negative frequencies of real data onto the positive ones.
        scaling: `"density"` or `"spectrum"`.
        axis: of time.
        average: `"mean"` or `"median"`.

    Returns:
        f: frequencies in Hz, of the kind of x.
        Pxx: x with frequency in place of time; as x in kind and device; float64, or float32 for data of at most single
            precision. Gradients flow.

    Raises:
        ConfigError, DataError: parameters that do not fit each other, or the data.

    >>> x = np.sin(2 * np.pi * 10 * np.arange(2000) / 100)
    >>> f, power = welch(x, fs=100.0, nperseg=200, scaling="spectrum")
    >>> float(f[power.argmax()]), float(power.max().round(3))
    (10.0, 0.5)
    """
    rows = prepare(x, axis)
    samples = int(rows.values.shape[-1])
    if not rows.values.size if isinstance(rows.values, np.ndarray) else not rows.values.numel():
        empty = rows.restore(in_precision(rows.values))
        return empty, empty
    sft = welch_transform(
        window,
        nperseg,
        noverlap,
        nfft,
        fs,
        return_onesided and not is_complex(rows.values),
        scaling,
        samples,
    )
    run = WelchAverage(sft=sft, detr=detrend or None, average=average)
    power = run.averaged(rows.values)
    return frequencies(sft.f, x), rows.restore_new(time_where_it_was(power, axis))


def frequencies(f: Any, x: Any) -> Any:
    """Frequencies or times as the kind, and on the device, of the data."""
    return np.asarray(f) if kind_of(x) in {None, "numpy"} else like(np.asarray(f), x)


def welch_transform(
    window: Any,
    nperseg: int | None,
    noverlap: int | None,
    nfft: int | None,
    fs: float,
    onesided: bool,
    scaling: str,
    samples: int,
) -> ShortTimeFFT:
    """The transform of a segment that Welch's method asks for.

    Raises:
        ConfigError, DataError: parameters that do not fit each other, or the data.
    """
    weights = segment_window(window, nperseg, samples, _SHORTENED, stacklevel=5)
    length = len(weights)
    shared = length // 2 if noverlap is None else as_size(noverlap, name="noverlap", least=-(1 << 31))
    if shared >= length:
        raise ConfigError(f"noverlap={shared} must be less than nperseg={length}")
    return ShortTimeFFT(
        weights,
        length - shared,
        as_rate(fs, name="fs"),
        fft_mode="onesided" if onesided else "twosided",
        mfft=None if nfft is None else as_size(nfft, name="nfft"),
        scale_to=_SCALED[parse_word(scaling, Scaling, field="scaling")],
        phase_shift=None,
    )


def segment_window(window: Any, nperseg: int | None, samples: int, warning: str, *, stacklevel: int) -> Array:
    """The window of the segments of a recording; a named one becomes shorter, with a warning, where the recording is.

    Args:
        window: a name, a name and parameters, or the samples.
        nperseg: samples of a segment; `None` for 256 or the window's.
        samples: of the recording.
        warning: SciPy's text, which differs between its functions, with `{nperseg}` and `{samples}`.
        stacklevel: of the warning, counted from here.

    Raises:
        ConfigError, DataError: a window that does not exist, or does not fit nperseg or the recording.
    """
    size = None if nperseg is None else as_size(nperseg, name="nperseg")
    if size is not None and size < 1:
        raise ConfigError(f"Parameter nperseg={nperseg} is not a positive integer", field="nperseg")
    if isinstance(window, (str, tuple)):
        length = 256 if size is None else size
        if length > samples:
            warnings.warn(warning.format(nperseg=length, samples=samples), stacklevel=stacklevel)
            length = samples
        return named_window(window, length)
    weights = window_samples(window)
    if size is not None and size != len(weights):
        raise ConfigError(f"nperseg={nperseg}, but the window has {len(weights)} samples", field="nperseg")
    if len(weights) > samples:
        raise DataError(f"the window has {len(weights)} samples, and the data {samples}")
    return weights


def window_samples(window: Any) -> Array:
    """A window that is given by its samples.

    Raises:
        ConfigError: it is not a row of numbers.
    """
    try:
        weights = as_ndarray(window) if kind_of(window) is not None else np.asarray(window, np.float64)
    except BridgeflowError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"window must be a row of numbers ({error})", field="window") from error
    if weights.ndim != 1 or not len(weights):
        raise ConfigError(f"window must be a row of numbers, got shape {weights.shape}", field="window")
    return weights


@dataclass(frozen=True, kw_only=True, eq=False)
class WelchAverage:
    """The average power spectrum of rows [..., time], as [..., frequency].

    Args:
        sft: the transform of a segment: unshifted, hop and scaling as wanted.
        detr: taken off each segment.
        average: the mean can be streamed.
    """

    sft: ShortTimeFFT
    detr: Detrend = "constant"
    average: Average = "mean"

    def __post_init__(self) -> None:
        parse_word(self.average, Average, field="average")

    @names_errors("welch")
    def __call__(self, x: Any) -> Any:
        """A whole recording of at least one segment."""
        rows = prepare(x, -1)
        self._enough(int(rows.values.shape[-1]))
        return rows.restore_new(self.averaged(rows.values))

    @names_errors("welch")
    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        result = spectral_spec(spec, fs=self.sft.fs, is_complex=False)
        if self.sft.onesided_fft and spec.dtype.startswith("c"):
            raise DataError("complex data have no one-sided spectrum; take return_onesided=False")
        if spec.time is not None:
            self._enough(spec.time)
            segments = (spec.time - self.sft.m_num) // self.sft.hop + 1
            hold_spec(spec, segments * int(self.sft.mfft), nfft=int(self.sft.mfft))
        return result.fresh(shape=(*spec.shape[:-1], int(self.sft.f_pts)), fs=None)

    def _enough(self, samples: int) -> None:
        if samples < self.sft.m_num:
            raise DataError(f"a segment has {self.sft.m_num} samples, and the recording {samples}")

    @property
    def stream_obstacle(self) -> str:
        """Why it cannot run chunk by chunk; empty where it can."""
        return "" if self.average == "mean" else "the median needs all segments at once; average='mean' does not"

    def averaged(self, x: Any) -> Any:
        """Rows [..., T] of at least one segment to spectra [..., f]."""
        power = self._powers(in_precision(x))
        count = int(power.shape[-2])
        if self.average == "mean":
            return _added(None, power) / count
        median = segment_median(power) / median_bias(count)
        return median.astype(power.dtype) if isinstance(power, np.ndarray) else median

    def _powers(self, x: Any) -> Any:
        """The power [..., segments, f] of each whole segment."""
        return with_both_sides(self.sft, squared_magnitude(self.sft.transformed(x, self.detr)).swapaxes(-1, -2))

    @names_errors("welch")
    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk.

        Returns:
            segments: int64 [], how many have been averaged.
            sums: [..., f], of their powers.
            skip: int64 [], samples to pass over before the next segment begins.
            tail: [..., samples], from where the next segment begins.
            kind: text [], kind and dtype of the chunks.
        """
        if self.stream_obstacle:
            raise CannotStream(f"{self.stream_obstacle}")
        result, rows = self.out_spec(spec.with_time(None)), rows_shape(spec)
        return {
            "segments": np.zeros((), np.int64),
            "sums": np.zeros((*rows, int(self.sft.f_pts)), result.dtype),
            "skip": np.zeros((), np.int64),
            "tail": np.zeros((*rows, 0), result.dtype),
            "kind": kind_mark(spec),
        }

    @names_errors("welch")
    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk [..., t], t >= 0; nothing comes out, [..., 0], until the end."""
        rows = prepare(x, -1)
        tail, chunk = together(state["tail"], in_precision(rows.values))
        samples = int(chunk.shape[-1])
        skip = min(int(state["skip"]), samples)
        held = join([tail, chunk[..., skip:]]) if samples else tail
        due = max((int(held.shape[-1]) - self.sft.m_num) // self.sft.hop + 1, 0)
        sums = state["sums"]
        if due:
            sums = _added(sums, self._powers(held[..., : (due - 1) * self.sft.hop + self.sft.m_num]))
        begin = due * self.sft.hop
        kept = held[..., min(begin, int(held.shape[-1])) :]
        next_state: State = {
            "segments": state["segments"] + due,
            "sums": sums,
            "skip": np.asarray(int(state["skip"]) - skip + max(begin - int(held.shape[-1]), 0), np.int64),
            "tail": own(kept),
            "kind": state["kind"],
        }
        return rows.restore_new((chunk.real if is_complex(chunk) else chunk)[..., :0]), next_state

    def flush(self, state: State) -> Any | None:
        """The average spectrum; `None` for a recording without samples."""
        if not state["segments"]:
            samples = int(state["tail"].shape[-1])
            if not samples:
                return None
            self._enough(samples)
        return as_marked(state["sums"] / int(state["segments"]), state["kind"])


def _added(begun: Any, powers: Any) -> Any:
    """The sums [..., f] over segments [..., segments, f], from the first to the last, begun sums first of all."""
    if isinstance(powers, np.ndarray):
        first = np.zeros_like(powers[..., :1, :]) if begun is None else as_ndarray(begun)[..., None, :]
        return np.add.reduce(np.concatenate([first, powers], axis=-2), axis=-2)
    import torch

    sums = powers.sum(dim=-2)
    return sums if begun is None else sums + torch.as_tensor(begun).to(sums)


def with_both_sides(sft: ShortTimeFFT, power: Any, axis: int = -1) -> Any:
    """Power of both sides where the transform has one; frequency is on `axis`, the last or the last but one."""
    if not sft.onesided_fft:
        return power
    sides = np.full(int(sft.f_pts), 2.0)
    sides[0] = 1.0
    if sft.mfft % 2 == 0:
        sides[-1] = 1.0
    return power * like_data(sides if axis == -1 else sides[:, None], power)


def segment_median(power: Any) -> Any:
    """The median over segments, [..., segments, f] to [..., f]."""
    if isinstance(power, np.ndarray):
        return np.median(power, axis=-2)
    count = int(power.shape[-2])
    return power.sort(dim=-2).values[..., [(count - 1) // 2, count // 2], :].mean(dim=-2)


def median_bias(segments: int) -> float:
    """The median of exponentially distributed powers over their mean (B. Allen et al., Phys. Rev. D 85, 2012)."""
    even = 2 * np.arange(1.0, (segments - 1) // 2 + 1)
    return float(1 + np.sum(1.0 / (even + 1) - 1.0 / even))
