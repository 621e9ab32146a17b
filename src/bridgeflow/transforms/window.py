"""`Window` and `WindowLabels`: long recordings cut into examples, each with its label."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

from bridgeflow.policy import parse_word
from bridgeflow.ranges import Length
from bridgeflow.signal.framing import Framing, LabelRule, Leftover, LiveFrames, LiveLabels
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms.along_time import Order
from bridgeflow.transforms.durations import parse_duration, samples_of
from bridgeflow.transforms.live import LiveTransform
from bridgeflow.transforms.registry import register

__all__ = ["Window", "WindowLabels"]


@register
@dataclass(frozen=True, kw_only=True)
class Window(LiveTransform):
    """Cut signals into windows along their last axis, whole or chunk by chunk.

    Window i begins at sample `i * hop`. Labels go with `WindowLabels` of the same length, hop and pad.

    Args:
        length: samples of a window; or a duration as text (`"2 s"`, `"250 ms"`), for recordings, which know their rate.
        hop: samples, or a duration, from the start of one window to the start of the next; `None` for `length`: side by
            side.
        pad: what becomes of samples at the end that are in no whole window: `"drop"`; or one window more is completed
            with `"zeros"`, with their last one (`"edge"`), or with themselves mirrored (`"reflect"`).
        first: put the axis of windows first, `[windows, ..., length]`, rather than before the last: examples of one
            recording.
        keys: which arrays; `None` for all.
        axis: of time; windows and their samples take its place: [time, channels] with `axis=0` becomes
            [windows, length, channels].

    Arrays [..., time] of any kind become [..., windows, length]; kind, device and dtype stay. Where nothing is
    completed, the result is a view: of an ndarray read-only, of a tensor not to be written to. In a stream, pieces
    follow each other along the axis of windows.

    Raises:
        ConfigError: a length below 1, an unknown option.

    >>> import numpy as np
    >>> Window(length=4, hop=2)(np.zeros((2, 1000), "float32")).shape
    (2, 499, 4)
    """

    cuts: ClassVar[bool] = True

    length: Length | str
    hop: Length | str | None = None
    pad: Leftover = "drop"
    first: bool = False

    @cached_property
    def live(self) -> LiveFrames:
        """What cuts."""
        return LiveFrames(self.framing(None), self.first)

    def __post_init__(self) -> None:
        _check_lengths(self)

    def framing(self, fs: float | None) -> Framing:
        """Where windows lie in data of this rate; `None` where it is not known, which durations need."""
        return _framing(self, fs)

    along_time: ClassVar[bool] = True

    @property
    def core_ndim(self) -> int | None:
        """As for others; with the windows first they stand before the batch, so each example is cut by itself."""
        return None if self.first else super().core_ndim

    def core_axes(self, ndim: int) -> frozenset[int] | None:
        """Time; with the windows first, nothing is said."""
        return None if self.first else super().core_axes(ndim)

    @property
    def stream_axis(self) -> int:
        """Pieces of the result follow each other along the axis of windows."""
        return 0 if self.first else self.axis - (self.axis < 0)

    @property
    def rate_factor(self) -> Fraction:
        """Windows that come out for a sample that goes in."""
        return Fraction(1, self.live.framing.hop)

    def result_order(self, ndim: int, result_ndim: int) -> Order:
        """Windows and their samples where time was; or the windows first."""
        if not self.first:
            return super().result_order(ndim, result_ndim)
        time = range(ndim)[self.axis]
        return [*range(time + 1), ndim, *range(time + 1, ndim)]

    def _rows_before(self, result_ndim: int) -> int:
        return result_ndim - 1

    @property
    def gives_views(self) -> bool:
        """Windows are views wherever that can be."""
        return True

    def rows_exchanges(self, spec: ArraySpec) -> tuple[Exchange, ...]:
        """A view, or a copy of what has to be completed."""
        if not self.live.is_view(spec):
            return super().rows_exchanges(spec)
        return (Exchange(source=spec, target=self.rows_spec(spec), action="view", nbytes=0),)


@register
@dataclass(frozen=True, kw_only=True)
class WindowLabels(LiveTransform):
    """One label for each window that `Window` of the same length, hop and pad cuts, from a label for each sample.

    Args:
        length, hop, pad: as for `Window`. Samples that a window was completed with do not count.
        rule: how the labels of a window's samples become one: `"majority"`, the most frequent (of equals the smallest);
            `"any"`, whether any is not zero; `"center"`, that of the sample in the middle (of the later two); `"last"`.
        keys: which arrays of labels; `None` for all.
        axis: of time; windows take its place.

    Labels [..., time] (numbers, booleans, text; ndarrays, tensors, Arrow arrays, lists) become [..., windows]; kind,
    device and dtype stay, but for booleans from `"any"`.

    Raises:
        ConfigError: a length below 1, an unknown option.
        DataError: for `"majority"`, labels that cannot be classes: too many different ones.

    >>> import numpy as np
    >>> from bridgeflow import Compose
    >>> cut = {"length": 4, "hop": 2}
    >>> examples = Compose([Window(**cut, keys=("ecg",)), WindowLabels(**cut, keys=("beat",))])
    >>> examples({"ecg": np.zeros((2, 8)), "beat": np.array([0, 0, 0, 1, 1, 1, 1, 0])})["beat"]
    array([0, 1, 1])
    """

    reads_numbers: ClassVar[bool] = False
    reads_text: ClassVar[bool] = True

    length: Length | str
    hop: Length | str | None = None
    pad: Leftover = "drop"
    rule: LabelRule = "majority"

    @cached_property
    def live(self) -> LiveLabels:
        """What asks the labels."""
        return LiveLabels(self.framing(None), self.rule)

    def __post_init__(self) -> None:
        parse_word(self.rule, LabelRule, field="rule")
        _check_lengths(self)

    def framing(self, fs: float | None) -> Framing:
        """Where windows lie in labels of this rate; `None` where it is not known, which durations need."""
        return _framing(self, fs)

    @property
    def rate_factor(self) -> Fraction:
        """Labels that come out for one that goes in."""
        return Fraction(1, self.live.framing.hop)


def _check_lengths(stage: Window | WindowLabels) -> None:
    """Refuse lengths below 1; durations wait for the rate of the data."""
    for name in ("length", "hop"):
        value = getattr(stage, name)
        if isinstance(value, str):
            parse_duration(value, field=f"{type(stage).__name__}: {name}")
    if not any(isinstance(value, str) for value in (stage.length, stage.hop)):
        stage.live  # noqa: B018  refused here, when made, or never
    parse_word(stage.pad, Leftover, field="pad")


def _framing(stage: Window | WindowLabels, fs: float | None) -> Framing:
    name = type(stage).__name__
    length = samples_of(stage.length, fs, field=f"{name}: length") if isinstance(stage.length, str) else stage.length
    hop = length if stage.hop is None else stage.hop
    return Framing(length, samples_of(hop, fs, field=f"{name}: hop") if isinstance(hop, str) else hop, stage.pad)
