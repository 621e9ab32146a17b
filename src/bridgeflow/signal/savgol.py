"""Polynomials fitted to windows: `savgol_filter`, SciPy's function, on NumPy, torch and Arrow arrays, and live.

In the middle of a recording, fitting a polynomial to the window around each sample and reading it off there is one
fixed set of taps (A. Savitzky, M. J. E. Golay, Analytical Chemistry 36, 1964). At the ends it is read off elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias, overload

import numpy as np

from bridgeflow.errors import CannotStream, ConfigError, DataError, names_errors, naming
from bridgeflow.policy import parse_word
from bridgeflow.ranges import hold, hold_window, power_is_beyond, whole_number
from bridgeflow.signal._arguments import names_arguments
from bridgeflow.signal._chunks import State, as_marked, join, kind_mark, own, rows_shape, together
from bridgeflow.signal._input import prepare
from bridgeflow.signal._numbers import as_number
from bridgeflow.signal._specs import filtered_spec
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal.fir import fir_filter
from bridgeflow.signal.padding import extend
from bridgeflow.spec import ArraySpec

__all__ = ["Ends", "SavgolSmoother", "savgol_filter"]

Array: TypeAlias = np.ndarray[Any, Any]

Ends: TypeAlias = Literal["interp", "mirror", "nearest", "constant", "wrap"]
"""What happens within half a window of the ends: read off the polynomial fitted to the last whole window; or how the
recording goes on, in the words of `scipy.ndimage`.
"""

_EXTENSIONS: Final = {"mirror": "reflect", "nearest": "edge", "constant": "constant", "wrap": "wrap"}


@overload
def savgol_filter(
    x: SameKind,
    window_length: int,
    polyorder: int,
    deriv: int = ...,
    delta: float = ...,
    axis: int = ...,
    mode: Ends = ...,
    cval: float = ...,
) -> SameKind: ...
@overload
def savgol_filter(
    x: Any,
    window_length: int,
    polyorder: int,
    deriv: int = ...,
    delta: float = ...,
    axis: int = ...,
    mode: Ends = ...,
    cval: float = ...,
) -> Any: ...
@names_arguments
def savgol_filter(
    x: Any,
    window_length: int,
    polyorder: int,
    deriv: int = 0,
    delta: float = 1.0,
    axis: int = -1,
    mode: Ends = "interp",
    cval: float = 0.0,
) -> Any:
    """Smooth along one axis, or differentiate, by polynomials, as `scipy.signal.savgol_filter` does.

    Args:
        x: data of any shape: ndarray, tensor, Arrow array or nested lists; real, complex, integer or boolean. Only
            read.
        window_length: samples that a polynomial is fitted to.
        polyorder: its order, less than `window_length`.
        deriv: which derivative to give; 0 smooths.
        delta: distance between samples, for derivatives.
        axis: the axis of time.
        mode: the ends: `"interp"`, `"mirror"`, `"nearest"`, `"constant"` or `"wrap"`.
        cval: the value for `"constant"`.

    Returns:
        As x in kind, device, shape and dtype, but for integers and booleans, which become float64. Sums are float64.
        Gradients flow.

    Raises:
        ConfigError: orders and lengths that do not go together.
        DataError: fewer samples than a window, for `"interp"`.

    >>> np.abs(savgol_filter(np.arange(8.0) ** 2, 5, 2) - np.arange(8) ** 2).max() < 1e-9  # a parabola fits itself
    np.True_
    """
    run = SavgolSmoother(
        window_length=as_number(window_length),
        polyorder=as_number(polyorder),
        deriv=as_number(deriv),
        delta=as_number(delta),
        mode=mode,
        cval=as_number(cval),
    )
    rows = prepare(x, axis)
    return rows.restore(run.smoothed(_floating(rows.values)))


@dataclass(frozen=True, kw_only=True)
class SavgolSmoother:
    """`savgol_filter` along the last axis, whole or live.

    Args:
        window_length, polyorder, deriv, delta, mode, cval: as for `savgol_filter`; all modes but `"wrap"` stream.

    Raises:
        ConfigError: orders and lengths that do not go together.
    """

    window_length: int
    polyorder: int
    deriv: int = 0
    delta: float = 1.0
    mode: Ends = "interp"
    cval: float = 0.0

    @names_errors("savgol")
    def __post_init__(self) -> None:
        parse_word(self.mode, Ends, field="savgol: mode")
        for name, least in (("window_length", 1), ("polyorder", 0), ("deriv", 0)):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ConfigError(f"savgol: {name} must be an integer of at least {least}, got {value!r}", field=name)
        if self.polyorder >= self.window_length:
            raise ConfigError(
                f"savgol: polyorder={self.polyorder} must be less than window_length={self.window_length}",
                field="polyorder",
            )
        whole_number(self.window_length, name="window_length", most=1 << 20)
        whole_number(self.polyorder, name="polyorder", least=0, most=100)
        whole_number(self.deriv, name="deriv", least=0)
        fields = {"window_length": self.window_length, "polyorder": self.polyorder}
        hold(self.window_length * (self.polyorder + 1), 0, **fields)
        if self.mode == "interp":  # two matrices that read off each half window
            with naming("savgol with mode='interp'"):
                hold(self.window_length**2 / 4, 0, window_length=self.window_length)
        if not np.isfinite(self.delta) or self.delta == 0:
            raise ConfigError(f"savgol: delta must be a finite number other than 0, got {self.delta!r}", field="delta")
        if self.deriv <= self.polyorder and power_is_beyond(self.delta, self.deriv):
            raise ConfigError(
                f"savgol: delta={self.delta!r} to the power of deriv={self.deriv} is beyond float64; take another unit",
                field="delta",
            )

    @cached_property
    def _taps(self) -> Array:
        return self._fitted(None)

    @cached_property
    def _ends(self) -> tuple[Array, Array]:
        """What reads the polynomial of the first and of the last window off, each [half a window, window_length]."""
        half, length = self.window_length // 2, self.window_length
        first = [self._fitted(place) for place in range(half)]
        last = [self._fitted(place) for place in range(length - half, length)]
        return np.reshape(first, (half, length)), np.reshape(last, (half, length))

    def _fitted(self, place: int | None) -> Array:
        from scipy.signal import savgol_coeffs

        chosen: Any = {"use": "conv"} if place is None else {"use": "dot", "pos": place}
        taps = savgol_coeffs(self.window_length, self.polyorder, deriv=self.deriv, delta=self.delta, **chosen)
        return np.asarray(taps, np.float64)

    @names_errors("savgol_filter")
    def __call__(self, x: Any) -> Any:
        """A whole recording [..., T]."""
        rows = prepare(x, -1)
        return rows.restore(self.smoothed(_floating(rows.values)))

    def smoothed(self, x: Any) -> Any:
        """Rows [..., T], floating: an ndarray, or a tensor."""
        samples = int(x.shape[-1])
        self._enough(samples)
        if not samples:
            return own(x)
        half, even = self.window_length // 2, self.window_length % 2 == 0
        if self.mode == "interp":
            inner = self._inner(x)[..., even : even + samples - 2 * half]
            ends = x[..., : self.window_length], x[..., -self.window_length :]
            return join([self._read(ends[0], 0), inner, self._read(ends[1], 1)])
        return self._inner(extend(x, _EXTENSIONS[self.mode], self.cval, half - even, half))

    @names_errors("savgol")
    def _enough(self, samples: int) -> None:
        if self.mode == "interp" and samples < self.window_length:
            raise DataError(
                f"savgol: for mode='interp', window_length must be less than or equal to the number of samples, got "
                f"{self.window_length} and {samples}; take another mode, such as 'mirror'"
            )
        hold_window(self.window_length, samples, name="window_length")

    def _inner(self, x: Any) -> Any:
        """Where the window lies within x: [..., T - window_length + 1]."""
        return fir_filter(self._taps, x)[..., self.window_length - 1 :]

    def _read(self, window: Any, end: int) -> Any:
        """A window [..., window_length] to the samples at an end of the recording, [..., half a window]."""
        read = self._ends[end]
        if isinstance(window, np.ndarray):
            wide = window.astype(np.result_type(window.dtype, np.float64))
            return (wide[..., None, :] * read).sum(-1).astype(window.dtype)
        from bridgeflow.signal._torch import float_dtype

        wide = window.to(float_dtype(window, double=True))
        return (wide.unsqueeze(-2) * wide.new_tensor(read.tolist())).sum(-1).to(window.dtype)

    @property
    def reach(self) -> tuple[int, int, int] | None:
        """Samples before and after its place that an output depends on, and those that matter at an end.

        `None` for `"wrap"`, which begins with the end of the recording.
        """
        half = self.window_length // 2
        return None if self.mode == "wrap" else (half, half, 2 * self.window_length)

    @property
    def latency(self) -> int:
        """By how many samples the output of a stream lags behind its input, at most.

        Half a window; for `"interp"` a window less one sample, because the first half of a window is read off the
        polynomial of the whole.
        """
        return self.window_length - 1 if self.mode == "interp" else self.window_length // 2

    @names_errors("savgol")
    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`: the same shape in new memory."""
        if spec.time is not None:
            self._enough(spec.time)
        return filtered_spec(spec, fs=None)

    @property
    def stream_obstacle(self) -> str:
        """Why it cannot run chunk by chunk; empty where it can."""
        if self.mode == "wrap":
            return "mode='wrap' begins with the end of the recording"
        return "" if self.window_length % 2 else "an even window has no sample in its middle; take an odd window_length"

    @names_errors("savgol_filter")
    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk.

        Returns:
            begun: bool [], whether there has been output.
            tail: [..., samples], the last window, with what comes before the recording; all samples before there is
                output.
            kind: text [], kind and dtype of the chunks.
        """
        if self.stream_obstacle:
            raise CannotStream(f"savgol: {self.stream_obstacle}")
        self.out_spec(spec.with_time(None))
        rows = rows_shape(spec)
        return {"begun": np.zeros((), bool), "tail": np.zeros((*rows, 0)), "kind": kind_mark(spec)}

    @names_errors("savgol_filter")
    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk [..., t], t >= 0: what is certain by now, bit for bit as in the whole."""
        rows = prepare(x, -1)
        tail, chunk = together(state["tail"], _floating(rows.values))
        held = join([tail, chunk]) if tail.shape[-1] else own(chunk)
        begins = not state["begun"] and int(held.shape[-1]) > self.latency
        if not chunk.shape[-1] or not (state["begun"] or begins):
            return rows.restore(chunk[..., :0]), {**state, "tail": held}
        if not begins:
            y = self._inner(held[..., 1:])
        elif self.mode == "interp":
            y = join([self._read(held[..., : self.window_length], 0), self._inner(held)])
        else:
            held = extend(held, _EXTENSIONS[self.mode], self.cval, self.window_length // 2, 0)
            y = self._inner(held)
        next_state: State = {
            "begun": np.ones((), bool),
            "tail": own(held[..., -self.window_length :]),
            "kind": state["kind"],
        }
        return rows.restore(y), next_state

    def flush(self, state: State) -> Any | None:
        """The last half window; all of a recording that was too short for any output."""
        tail, half = state["tail"], self.window_length // 2
        if not tail.shape[-1] or (state["begun"] and not half):
            return None
        if not state["begun"]:
            y = self.smoothed(tail)
        elif self.mode == "interp":
            y = self._read(tail, 1)
        else:
            y = self._inner(extend(tail[..., 1:], _EXTENSIONS[self.mode], self.cval, 0, half))
        return as_marked(y, state["kind"], same_dtype=True)


def _floating(x: Any) -> Any:
    """Rows as numbers that have fractions: integers and booleans as float64."""
    if isinstance(x, np.ndarray):
        return x if x.dtype.kind in "fc" else x.astype(np.float64)
    return x if x.is_floating_point() or x.is_complex() else x.double()
