"""How a transform knows the names of channels: from its field `channels`, or from the recording that its data are of.

Arrays have no names. A transform that takes channels by name is given those of its data, in order, as `channels`. In a
dataset of recordings they may be left out: before `Window` each recording gives its own, after it all must have the
same. Numbers, counted from 0 or, if negative, from the end, need no names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from bridgeflow.errors import ConfigError, DataError, nearest, quoted
from bridgeflow.ranges import Position
from bridgeflow.transforms.base import LeafTransform

if TYPE_CHECKING:
    from bridgeflow.transforms.facts import RecordingFacts

__all__ = ["Channel", "NamedChannels", "Picks", "matching_numbers", "parse_picks"]

Channel: TypeAlias = Position | str
"""A channel by its number, or by its name; a pattern with `*`, `?` or `[...]` means all that match, in their order."""

Picks: TypeAlias = Channel | tuple[Channel, ...]
"""One channel or several."""

_Self = TypeVar("_Self", bound="NamedChannels")


@dataclass(frozen=True, kw_only=True)
class NamedChannels(LeafTransform):
    """A transform that takes channels by number or by name.

    Args:
        channels: the names of all channels of the data, in order; `None` where numbers are enough, and in a dataset of
            recordings, which have them.
    """

    channels: tuple[str, ...] | None = None

    def check_shared_fields(self) -> None:
        """`keys`, and `channels` as a tuple of names."""
        super().check_shared_fields()
        names: Any = self.channels
        if isinstance(names, list):
            names = tuple(names)
            object.__setattr__(self, "channels", names)
        if names is not None and not (isinstance(names, tuple) and all(isinstance(one, str) for one in names)):
            what = type(self).__name__
            raise ConfigError(
                f"{what}: channels must be the names of the data's channels, got {names!r}", field="channels"
            )

    @property
    def named(self) -> Iterable[object]:
        """The channels that the fields name, by number or name."""
        raise NotImplementedError

    def at_channels(self: _Self, names: tuple[str, ...]) -> _Self:
        """The transform for data whose channels have these names; itself where it needs none, or has them."""
        if self.channels is not None or not any(isinstance(one, str) for one in self.named):
            return self
        return replace(self, channels=names)

    def in_recording(self, facts: RecordingFacts) -> LeafTransform:
        """The transform for the channels of a recording."""
        return self if facts.channels is None else self.at_channels(facts.channels)

    def numbers(self, picks: Iterable[object], count: int | None) -> list[int]:
        """The numbers of these channels, each once, in the order in which they are named.

        Args:
            picks: numbers, names and patterns.
            count: how many channels the data have; `None` where that is not known.

        Raises:
            ConfigError: names are not known here.
            DataError: there is no such channel; `channels` has more or fewer names than the data have channels.
        """
        what = type(self).__name__
        if self.channels is not None and count not in (None, len(self.channels)):
            raise DataError(f"{what}: channels names {len(self.channels)} channels, and the data have {count}")
        count = count if self.channels is None else len(self.channels)
        chosen: list[int] = []
        for one in picks:
            if isinstance(one, str):
                if self.channels is None:
                    raise ConfigError(
                        f"{what}: the name of channel {quoted(one)} is not known here; give those of the data as "
                        "channels=, or put it before the windows of recordings that differ in theirs",
                        field="channels",
                    )
                numbers = matching_numbers(one, self.channels)
                if len(numbers) != 1 and one in self.channels:
                    raise DataError(f"{what}: {len(numbers)} channels are called {quoted(one)}; take them by number")
                if not numbers:
                    raise DataError(f"{what}: no channel matches {quoted(one)}; {nearest(one, self.channels)}")
                chosen += numbers
            elif isinstance(one, int):
                if count is not None and not -count <= one < count:
                    raise DataError(f"{what}: there is no channel {one}; the data have {count}, counted from 0")
                chosen.append(one if one >= 0 or count is None else one + count)
        return list(dict.fromkeys(chosen))

    def number(self, channel: object, count: int | None) -> int:
        """The number of one channel.

        Raises:
            DataError: a pattern that several match, and as for `numbers`.
        """
        numbers = self.numbers((channel,), count)
        if len(numbers) != 1:
            raise DataError(f"{type(self).__name__}: {channel!r} means {len(numbers)} channels, and one is needed")
        return numbers[0]


def matching_numbers(pattern: str, names: Sequence[str]) -> list[int]:
    """The numbers of the names that a name or a pattern means; all of that name, where one is the pattern itself.

    >>> matching_numbers("Fp*", ["Fp1", "ECG", "Fp2"])
    [0, 2]
    """
    exact = [number for number, name in enumerate(names) if name == pattern]
    if exact or not set("*?[") & set(pattern):
        return exact
    return [number for number, name in enumerate(names) if fnmatchcase(name, pattern)]


def parse_picks(value: Any, *, what: str, field: str = "picks") -> tuple[int | str, ...]:
    """One channel or several as a tuple.

    Raises:
        ConfigError: neither a number nor a name, or nothing at all.

    >>> parse_picks("Fp*", what="PickChannels"), parse_picks((0, "ECG"), what="PickChannels")
    (('Fp*',), (0, 'ECG'))
    """
    several = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not several or not all(isinstance(one, (int, str)) and not isinstance(one, bool) for one in several):
        raise ConfigError(f"{what}: {field} must be one or more channels by number or name, got {value!r}", field=field)
    return several
