"""Stages that cut recordings into windows by more than their length: events, chance, whole recordings; and labels.

They look at more than one array, so a `SignalDataset` of recordings does their work (`pipeline.window_places`); called
on an array, they say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from bridgeflow.errors import ConfigError
from bridgeflow.policy import parse_word
from bridgeflow.ranges import Count, Finite, Length, Position, Range
from bridgeflow.signal.framing import Leftover
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms import fields
from bridgeflow.transforms.base import LeafTransform, Transform
from bridgeflow.transforms.durations import parse_duration, samples_of
from bridgeflow.transforms.plan import Plan
from bridgeflow.transforms.registry import register

__all__ = ["EventLabels", "EventRule", "EventWindow", "RandomWindow", "RecordingCut", "WholeRecording"]

EventRule: TypeAlias = Literal["majority", "any", "center"]
"""Which class a window gets: the one that covers most of it; the first, in the order of the classes, that covers any of
it; the one at its middle."""

Share: TypeAlias = Annotated[float, Range(0, 1)]
"""A part of a whole."""

Texts: TypeAlias = str | tuple[str, ...]
"""Texts of events, or patterns with `*`, `?` and `[...]`."""


@dataclass(frozen=True, kw_only=True)
class RecordingCut(LeafTransform):
    """A stage that cuts windows out of recordings; `SignalDataset` asks it where they lie.

    Args:
        keys: which columns; `None` for the only one.
    """

    along_time: ClassVar[bool] = True
    reads_only: ClassVar[bool] = True

    def window_samples(self, fs: float) -> int | None:
        """Samples of a window at this rate; `None` where each has its own."""
        raise NotImplementedError

    def apply(self, x: Any) -> Any:
        """Refused: an array has no events and no other windows."""
        raise ConfigError(
            f"{type(self).__name__} cuts recordings, not arrays: SignalDataset(recordings, transform=...), or a job "
            "whose source is recordings"
        )

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """Refused, as `apply`."""
        self.apply(None)
        return spec


@register
@dataclass(frozen=True, kw_only=True)
class EventWindow(RecordingCut):
    """A window around each event of a recording, from `start` to `stop` seconds after its onset.

    Args:
        event: text of the events, or several; `*`, `?` and `[...]` match as in file names. `"*"` for all.
        start, stop: in seconds from the onset; negative before it. start < stop.
        keys: which columns; `None` for the only one.

    A window that does not lie between two gaps is left out. A sample adds `event`, the text.

    Raises:
        ConfigError: no text, or `stop` not after `start`.

    >>> EventWindow(event="T?", start=-0.2, stop=0.5).window_samples(fs=100.0)
    70
    """

    event: Texts
    start: Finite
    stop: Finite

    def __post_init__(self) -> None:
        object.__setattr__(self, "event", _texts(self.event, "EventWindow: event"))
        if not self.start < self.stop:
            raise ConfigError(f"EventWindow: stop must be after start={self.start!r}, got {self.stop!r}", field="stop")

    def window_samples(self, fs: float) -> int:
        """The same for all."""
        return max(round((self.stop - self.start) * fs), 1)


@register
@dataclass(frozen=True, kw_only=True)
class RandomWindow(RecordingCut):
    """Windows that begin anywhere, drawn for each epoch by the generators that belong to rows.

    Args:
        length: samples of a window, or a duration as text: `"2 s"`.
        per_recording: windows of each recording in an epoch; recordings too short for one have none.
        keys: which columns; `None` for the only one.

    All places between gaps are equally likely.
    """

    length: Length | str
    per_recording: Count = 1

    def __post_init__(self) -> None:
        parse_duration(self.length, field="RandomWindow: length")

    def window_samples(self, fs: float) -> int:
        """The same for all."""
        return samples_of(self.length, fs, field="RandomWindow: length")


@register
@dataclass(frozen=True, kw_only=True)
class WholeRecording(RecordingCut):
    """Each recording as one window, for short ones such as audio clips; of one with gaps, each part between them.

    Args:
        max_length: samples, or a duration as text (`"4 s"`), where longer recordings are cut off; `None` for none.
        pad: completes shorter ones to `max_length` with `"zeros"`, their last sample (`"edge"`), or themselves mirrored
            (`"reflect"`); `"drop"` leaves them as they are, so that batches want `ragged="pad"` of the dataset.
        keys: which columns; `None` for the only one.

    Raises:
        ConfigError: `pad` without `max_length`.
    """

    max_length: Length | str | None = None
    pad: Leftover = "drop"

    def __post_init__(self) -> None:
        parse_word(self.pad, Leftover, field="WholeRecording: pad")
        if self.max_length is not None:
            parse_duration(self.max_length, field="WholeRecording: max_length")
        elif self.pad != "drop":
            raise ConfigError(f"WholeRecording: pad={self.pad!r} needs max_length, to which it completes", field="pad")

    def window_samples(self, fs: float) -> int | None:
        """`max_length`, where all are brought to it."""
        return None if self.pad == "drop" else self.most_samples(fs)

    def most_samples(self, fs: float) -> int | None:
        """Where longer recordings are cut off."""
        return None if self.max_length is None else samples_of(self.max_length, fs, field="WholeRecording: max_length")


@register
@dataclass(frozen=True, kw_only=True)
class EventLabels(Transform):
    """A label for each window from the events of its recording; stands beside the stage that cuts windows.

    Args:
        classes: texts of events, or patterns; the label is the number of the class.
        rule: `"majority"`, `"any"` or `"center"`.
        min_overlap: the least part of a window that a class must cover to count, 0 to 1; not for `"center"`.
        default: the label where no class counts.
        name: what the label is called in a sample.

    An event without duration covers one sample. What events of one class cover is added up.

    Raises:
        ConfigError: no class, or an unknown rule.
    """

    classes: tuple[str, ...]
    rule: EventRule = "majority"
    min_overlap: Share = 0.0
    default: Position = -1
    name: str = "label"

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", _texts(self.classes, "EventLabels: classes"))
        parse_word(self.rule, EventRule, field="EventLabels: rule")
        if not self.name:
            raise ConfigError("EventLabels: name must be text, got ''", field="name")
        fields.refuse_outside(self)

    def __call__(self, data: Any, /, *more: Any) -> Any:
        """Refused: a sample has no events."""
        raise ConfigError(
            "EventLabels labels windows of recordings: put it next to Window in SignalDataset(recordings), or in a job "
            "whose source is recordings"
        )

    def plan(self, data: Any, stage: Any = None) -> Plan:
        """Refused, as a call."""
        return self(data)  # type: ignore[no-any-return]


def _texts(value: str | Sequence[str], field: str) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else tuple(value)
    if not texts or not all(texts):
        raise ConfigError(f"{field} must be the text of events or several texts, got {value!r}")
    return texts
