"""Channels chosen, referenced and combined: `PickChannels`, `Reference`, `MixChannels`, `Magnitude`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.errors import ConfigError, DataError, naming
from bridgeflow.ranges import Axis, Finite
from bridgeflow.signal._axes import axis_of, parse_axis
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.arithmetic import affine_dtype, elementwise, elementwise_spec
from bridgeflow.transforms.base import SameKindTransform
from bridgeflow.transforms.channel_names import Channel, NamedChannels, Picks, parse_picks
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.row_statistics import square

__all__ = ["ChannelTransform", "Magnitude", "MixChannels", "PickChannels", "Reference"]


@dataclass(frozen=True, kw_only=True)
class ChannelTransform(NamedChannels, SameKindTransform):
    """A transform across channels: every time step alone.

    Args:
        axis: of the channels.
    """

    reads_numbers = True
    reads_only = True

    axis: Axis = -2

    def check_shared_fields(self) -> None:
        """`keys`, `channels` and `axis`."""
        super().check_shared_fields()
        with naming(type(self).__name__):
            object.__setattr__(self, "axis", parse_axis(self.axis))

    # --- what a subclass says ---

    def count_after(self, count: int | None) -> int | None:
        """How many channels come of so many; refuses what it cannot take."""
        raise NotImplementedError

    def combine(self, x: list[Any], like: Any) -> list[Any]:
        """The channels that come of these.

        Args:
            x: the channels, each an ndarray or a tensor [...] of numbers that are computed with.
            like: one of them, or zeros of their shape where there are none.
        """
        raise NotImplementedError

    def dtype_after(self, dtype: str) -> str:
        """The element type of the result: floating and complex ones stay, integers and booleans become floats."""
        return affine_dtype(dtype, None)

    # --- the contract ---

    @property
    def core_ndim(self) -> int | None:
        """From the axis of the channels to the last."""
        return None if self.axis >= 0 else -self.axis

    def core_axes(self, ndim: int) -> frozenset[int] | None:
        """The channels alone."""
        return frozenset({range(ndim)[self.axis]}) if -ndim <= self.axis < ndim else None

    @property
    def time_axis(self) -> int:
        """The last axis that is not that of the channels."""
        return -2 if self.axis == -1 else -1

    @property
    def stream_axis(self) -> int:
        """As `time_axis`."""
        return self.time_axis

    @property
    def stream_obstacle(self) -> str:
        """None: every time step is treated alone."""
        return ""

    def apply(self, x: Any) -> Any:
        """The channels of an array."""
        return elementwise(self._of_values, x)

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same with other channels, in new memory."""
        axis = self._place(spec.shape)
        after = self.count_after(spec.shape[axis])
        mixed = elementwise_spec(spec, lambda inside: self.dtype_after(inside.dtype))
        return mixed.fresh(shape=(*spec.shape[:axis], after, *spec.shape[axis + 1 :]), flags=mixed.flags)

    def _place(self, shape: Any) -> int:
        with naming(type(self).__name__):
            return int(range(len(shape))[axis_of(self.axis, shape)])

    def _of_values(self, x: Any) -> Any:
        axis = self._place(x.shape)
        self.count_after(int(x.shape[axis]))
        is_array = isinstance(x, np.ndarray)
        name = str(x.dtype.name) if is_array else str(x.dtype).removeprefix("torch.")
        result = self.dtype_after(name)
        work = "float32" if self.computes and result in ("float16", "bfloat16") else result
        if name in ("complex64", "complex128") and result != name:
            work = name
        torch: Any = loaded("torch")
        values: Any = np.asarray(x).astype(work, copy=False) if is_array else x.to(getattr(torch, work))
        rows = list(np.moveaxis(values, axis, 0)) if is_array else list(values.unbind(axis))
        after = self.combine(rows, values[(slice(None),) * axis + (0,)] if rows else values)
        if is_array:
            return np.stack(after, axis=axis).astype(result, copy=False)
        return torch.stack(after, dim=axis).to(getattr(torch, result))

    computes = True
    """Whether numbers are computed with, in single precision where they have half."""


@register
@dataclass(frozen=True, kw_only=True)
class PickChannels(ChannelTransform):
    """Some of the channels, in the order in which they are named.

    Args:
        picks: channels by number (from 0; negative ones from the end), name or pattern (`"Fp*"`: all that match, in
            their order); each is taken once.
        channels: names of the data's channels; see `bridgeflow.transforms.channel_names`.
        keys: which arrays; `None` for the only one.
        axis: of the channels; -2 for arrays [..., channels, time].

    Arrays of any kind; kind, device and dtype stay. Gradients flow.

    Raises:
        ConfigError: names are not known here.
        DataError: there is no such channel.

    >>> PickChannels(picks=("ECG", 0), channels=("Fp1", "Fp2", "ECG"))(np.array([[1], [2], [3]]))[:, 0]
    array([3, 1])
    """

    computes = False

    picks: Picks

    def __post_init__(self) -> None:
        object.__setattr__(self, "picks", parse_picks(self.picks, what="PickChannels"))

    @property
    def named(self) -> Iterable[object]:
        """The picks."""
        return self.picks  # type: ignore[return-value]

    def dtype_after(self, dtype: str) -> str:
        """That of the data."""
        affine_dtype(dtype, None)  # refuses what is not a number
        return dtype

    def count_after(self, count: int | None) -> int | None:
        """As many as are picked."""
        return len(self.numbers(self.named, count))

    def channels_after(self, names: tuple[str, ...]) -> tuple[str, ...] | None:
        """Those that are picked."""
        names = self.channels or names
        return tuple(names[number] for number in self.at_channels(names).numbers(self.named, len(names)))

    def combine(self, x: list[Any], like: Any) -> list[Any]:
        """Those that are picked."""
        return [x[number] for number in self.numbers(self.named, len(x))]


@register
@dataclass(frozen=True, kw_only=True)
class Reference(ChannelTransform):
    """Channels against a reference: their average, channels by name, or each against another one (bipolar).

    Args:
        to: `"average"`, the mean of all channels (of `picks`, where given); or the channel, or channels, whose mean is
            taken off, by number or name.
        pairs: `(("Fp1", "F3"), ("F3", "C3"))`: the first of each pair minus the second; these differences are the
            result, called `Fp1-F3`. `to` and `picks` play no part.
        picks: the channels that are referenced; all others stay as they are. `None` for all.
        channels: names of the data's channels; see `bridgeflow.transforms.channel_names`.
        keys: which arrays; `None` for the only one.
        axis: of the channels; -2 for arrays [..., channels, time].

    Arrays of numbers of any kind; kind, device and dtype stay (integers and booleans become float32, wide ones
    float64). Gradients flow.

    Raises:
        ConfigError: pairs that are not pairs; names are not known here.
        DataError: there is no such channel.

    >>> Reference()(np.array([[1.0], [2.0], [6.0]]))[:, 0]
    array([-2., -1.,  3.])
    >>> Reference(pairs=((2, 0),))(np.array([[1.0], [2.0], [6.0]]))[:, 0]
    array([5.])
    """

    to: Picks = "average"
    pairs: tuple[tuple[Channel, Channel], ...] | None = None
    picks: Picks | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "to", parse_picks(self.to, what="Reference", field="to"))
        if self.picks is not None:
            object.__setattr__(self, "picks", parse_picks(self.picks, what="Reference"))
        if self.pairs is not None:
            pairs: Any = self.pairs
            pairs = tuple(tuple(pair) if isinstance(pair, list) else pair for pair in pairs)
            if not pairs or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
                raise ConfigError(
                    f"Reference: pairs must be one or more pairs of channels, got {pairs!r}", field="pairs"
                )
            for pair in pairs:
                parse_picks(pair, what="Reference", field="pairs")
            object.__setattr__(self, "pairs", pairs)

    @property
    def _is_average(self) -> bool:
        return self.to == ("average",)

    @property
    def named(self) -> Iterable[object]:
        """All that are named."""
        if self.pairs is not None:
            return [one for pair in self.pairs for one in pair]
        named: Any = () if self._is_average else self.to
        return [*named, *(self.picks or ())]  # type: ignore[misc]

    def count_after(self, count: int | None) -> int | None:
        """All, or one for each pair."""
        if count == 0:
            raise DataError("Reference: the data have no channels")
        self.numbers(self.named, count)
        return count if self.pairs is None else len(self.pairs)

    def channels_after(self, names: tuple[str, ...]) -> tuple[str, ...] | None:
        """Their names, or those of the differences."""
        if self.pairs is None:
            return names
        names = self.channels or names
        named = self.at_channels(names)
        return tuple("-".join(names[named.number(one, len(names))] for one in pair) for pair in self.pairs)

    def combine(self, x: list[Any], like: Any) -> list[Any]:
        """Differences."""
        if self.pairs is not None:
            return [x[self.number(one, len(x))] - x[self.number(other, len(x))] for one, other in self.pairs]
        picked: Any = self.picks
        chosen = list(range(len(x))) if picked is None else self.numbers(picked, len(x))
        to: Any = self.to
        reference = chosen if self._is_average else self.numbers(to, len(x))
        total = x[reference[0]]
        for number in reference[1:]:
            total = total + x[number]
        mean = total / len(reference) if len(reference) > 1 else total
        return [one - mean if number in chosen else one for number, one in enumerate(x)]


@register
@dataclass(frozen=True, kw_only=True)
class MixChannels(ChannelTransform):
    """New channels as sums of others with weights: montages, rotations of sensors, spatial filters.

    Args:
        matrix: weights, one row for each channel of the result, with one number for each that goes in.
        picks: the channels that go in, in the order of the columns; `None` for all.
        names: of the channels of the result, for stages that take them by name; `None` for none.
        channels: names of the data's channels; see `bridgeflow.transforms.channel_names`.
        keys: which arrays; `None` for the only one.
        axis: of the channels; -2 for arrays [..., channels, time].

    Arrays of numbers of any kind; kind, device and dtype stay (integers and booleans become float32, wide ones
    float64). Sums go from the first channel to the last, in the precision of the data (half precision in single);
    channels whose weight is 0 are left out, whatever they hold. Gradients flow.

    Raises:
        ConfigError: rows of unequal length, as many names as there are not rows; names are not known here.
        DataError: the data have another number of channels than the matrix has columns.

    >>> quarter_turn = MixChannels(matrix=((0, -1, 0), (1, 0, 0), (0, 0, 1)))
    >>> quarter_turn(np.array([[1.0], [2.0], [3.0]]))[:, 0]
    array([-2.,  1.,  3.])
    """

    matrix: tuple[tuple[Finite, ...], ...]
    picks: Picks | None = None
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        rows: Any = self.matrix
        if isinstance(rows, np.ndarray):
            rows = rows.tolist()
        if isinstance(rows, (list, tuple)):
            rows = tuple(tuple(row) if isinstance(row, (list, tuple, np.ndarray)) else row for row in rows)
        right = isinstance(rows, tuple) and rows and all(isinstance(row, tuple) and row for row in rows)
        if (
            not right
            or len({len(row) for row in rows}) > 1
            or not all(map(_is_number, (n for row in rows for n in row)))
        ):
            raise ConfigError("MixChannels: matrix must be one or more rows of as many finite numbers", field="matrix")
        object.__setattr__(self, "matrix", tuple(tuple(float(n) for n in row) for row in rows))
        if self.picks is not None:
            object.__setattr__(self, "picks", parse_picks(self.picks, what="MixChannels"))
        if self.names is not None:
            object.__setattr__(self, "names", tuple(self.names))
            if len(self.names) != len(rows) or not all(isinstance(one, str) for one in self.names):
                raise ConfigError(f"MixChannels: names must be {len(rows)} names, one for each row", field="names")

    @property
    def named(self) -> Iterable[object]:
        """The picks."""
        return self.picks or ()  # type: ignore[return-value]

    def _inputs(self, count: int | None) -> list[int]:
        numbers = list(range(len(self.matrix[0]))) if self.picks is None else self.numbers(self.named, count)
        channels = count if self.picks is None else len(numbers)
        if channels is not None and channels != len(self.matrix[0]):
            raise DataError(f"MixChannels: matrix has {len(self.matrix[0])} columns for {channels} channels")
        return numbers

    def count_after(self, count: int | None) -> int | None:
        """One for each row."""
        self._inputs(count)
        return len(self.matrix)

    def channels_after(self, names: tuple[str, ...]) -> tuple[str, ...] | None:
        """Those that were given."""
        return self.names

    def combine(self, x: list[Any], like: Any) -> list[Any]:
        """Sums with weights."""
        inputs = self._inputs(len(x))
        after = []
        for row in self.matrix:
            total = None
            for weight, number in zip(row, inputs, strict=True):
                if weight:
                    term = x[number] * weight
                    total = term if total is None else total + term
            after.append(like * 0 if total is None else total)
        return after


@register
@dataclass(frozen=True, kw_only=True)
class Magnitude(ChannelTransform):
    """The length of the vector that channels make up at each time step: three axes of a sensor become one channel.

    Args:
        picks: the channels; `None` for all. Others are left out.
        channels: names of the data's channels; see `bridgeflow.transforms.channel_names`.
        keys: which arrays; `None` for the only one.
        axis: of the channels, which has length 1 afterwards; -2 for arrays [..., channels, time].

    Arrays of numbers of any kind; kind, device and dtype stay (integers and booleans become float32, wide ones float64;
    complex numbers give the length of all their parts, real). Gradients flow; where the length is 0 they are 0.

    Raises:
        ConfigError: names are not known here.
        DataError: there is no such channel, or none at all.

    >>> Magnitude()(np.array([[3.0, 0.0], [4.0, 0.0]]))
    array([[5., 0.]])
    """

    picks: Picks | None = None

    def __post_init__(self) -> None:
        if self.picks is not None:
            object.__setattr__(self, "picks", parse_picks(self.picks, what="Magnitude"))

    @property
    def named(self) -> Iterable[object]:
        """The picks."""
        return self.picks or ()  # type: ignore[return-value]

    def dtype_after(self, dtype: str) -> str:
        """A real one."""
        name = affine_dtype(dtype, None)
        return {"complex64": "float32", "complex128": "float64"}.get(name, name)

    def count_after(self, count: int | None) -> int | None:
        """One."""
        if count == 0:
            raise DataError("Magnitude: the data have no channels")
        self.numbers(self.named, count)
        return 1

    def channels_after(self, names: tuple[str, ...]) -> tuple[str, ...] | None:
        """One that is called after what it is."""
        return ("magnitude",)

    def combine(self, x: list[Any], like: Any) -> list[Any]:
        """The root of the sum of squares."""
        numbers = range(len(x)) if self.picks is None else self.numbers(self.named, len(x))
        total: Any = 0
        for number in numbers:
            total = total + square(x[number])
        safe = total + (total == 0)
        return [(np.sqrt(safe) if isinstance(total, np.ndarray) else safe.sqrt()) * (total > 0)]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
