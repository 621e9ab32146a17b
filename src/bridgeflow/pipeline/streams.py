"""Streams: recordings that arrive in chunks, several at a time, each with a state of its own.

Transforms remember nothing. `Streams` keeps what they carry, for each stream by name, checks that every chunk begins
where the last one ended, and writes all of it down so that another process can go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bridgeflow._state import StreamState, load_streams, save_streams
from bridgeflow.errors import DataError, naming
from bridgeflow.pipeline.compose import Compose, ComposeState
from bridgeflow.pipeline.joining import with_tail
from bridgeflow.signal._axes import axis_of, parse_axis
from bridgeflow.signal.streams import any_length
from bridgeflow.transforms import Transform
from bridgeflow.transforms.plan import describe_leaves, is_spec
from bridgeflow.tree import compile_recipe, map_leaves

__all__ = ["Chunk", "Streams"]


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A piece of a stream.

    Args:
        data: an array, or data with arrays in it, all of one length along the axis on which chunks follow each other.
        start: position of its first sample in the stream.
        stream: which stream it belongs to.
        last: whether the stream ends with it.
    """

    data: Any
    start: int
    stream: str = ""
    last: bool = False


@dataclass
class Streams:
    """Any number of streams on their way through one transform, each with its own state.

    Args:
        transform: what every stream goes through; it must stream.
        axis: on which axis of each array chunks follow each other: `None` for that of time, which the transform has
            (-1 unless it says another); 0 for rows of examples.

    Raises:
        CannotStream: the transform needs whole recordings; says why. Raised at the first chunk of a stream, too.

    Not for several threads at once. Chunks of different streams may come in any order.

    >>> import numpy as np
    >>> from bridgeflow.transforms import Resample
    >>> streams = Streams(Resample(from_hz=4, to_hz=2))
    >>> first = streams.push(Chunk(stream="a", start=0, data=np.ones(40)))
    >>> other = streams.push(Chunk(stream="b", start=0, data=np.ones(8), last=True))
    >>> rest = streams.push(Chunk(stream="a", start=40, data=np.ones(20), last=True))
    >>> len(first) + len(rest), len(other)
    (30, 4)
    >>> streams.push(Chunk(stream="c", start=5, data=np.ones(8)))
    Traceback (most recent call last):
    bridgeflow.errors.DataError: stream 'c': 5 samples are missing before this chunk: it begins at 5, and position 0 ...
    """

    transform: Transform
    axis: int | None = None
    _streams: dict[str, StreamState] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._row = self.transform if type(self.transform) is Compose else Compose([self.transform])
        with naming("Streams"):
            self.axis = self._row.time_axis if self.axis is None else parse_axis(self.axis)

    @property
    def latency(self) -> int:
        """By how many samples the output of a stream lags behind its input, at most."""
        return self._row.latency

    def push(self, chunk: Chunk) -> Any:
        """The next chunk of a stream.

        Returns:
            What has become certain, in the structure of the data; with the last chunk, all the rest. Put together along
            the axis on which they follow each other (`out_axes`), these are the result of the whole.

        Raises:
            DataError: a gap, an overlap, a chunk out of order, or one after the last; names stream and positions. The
                stream is as it was before.
        """
        stream = self._streams.get(chunk.stream, StreamState())
        self._require_next(chunk, stream)
        data = self._row.opened(chunk.data)
        specs = describe_leaves(data)
        length = _length(chunk, specs, self._axis)
        state = stream.state
        if state is None:
            state = self._row.init_state(
                map_leaves(partial(any_length, axis=self._axis), specs, is_spec), axis=self._axis
            )
        result, state = self._row.step(data, state)
        if chunk.last:
            result = with_tail(result, self._row.flush(state), state.axes[-1])
        self._streams[chunk.stream] = StreamState(chunk.start + length, None if chunk.last else state, chunk.last)
        return result

    def position(self, stream: str = "") -> int:
        """Where the next chunk of a stream must begin."""
        return self._streams.get(stream, StreamState()).position

    def carries(self, stream: str = "") -> bool:
        """Whether anything but its position is carried from the chunks so far to the next chunk of a stream."""
        state = self._streams.get(stream, StreamState()).state
        return state is not None and any(one is not None for stage in state.stages for one in stage.values())

    def skip(self, stream: str, to: int) -> None:
        """Go on at a later position of a stream that carries nothing; what lies between goes through elsewhere.

        Raises:
            DataError: it carries a state, has ended, or has not begun.
        """
        one = self._streams.get(stream)
        if one is None or one.ended or self.carries(stream):
            raise DataError(f"stream {stream!r}: only a stream that has begun and carries nothing can skip")
        self._streams[stream] = StreamState(to, one.state, False)

    def forget(self, stream: str = "") -> None:
        """Forget a stream: the next chunk of this name begins a new one, at position 0."""
        self._streams.pop(stream, None)

    def state_dict(self) -> dict[str, Any]:
        """All streams as they are now, as plain values that JSON can hold."""
        return save_streams(self._row, self._axis, self._streams)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where the streams that were saved had got to; those of now are forgotten.

        Args:
            saved: from `state_dict`, of streams through an equal transform.

        Raises:
            DataError: it was saved by another transform or an unknown version, or it is damaged.
        """
        streams = load_streams(saved, self._row, self._axis)
        for name, one in streams.items():
            if not isinstance(one.state, ComposeState | None):
                raise DataError(f"stream {name!r}: the saved state is damaged: it holds a {type(one.state).__name__}")
        self._streams = streams

    @property
    def _axis(self) -> int:
        return -1 if self.axis is None else self.axis

    def _require_next(self, chunk: Chunk, stream: StreamState) -> None:
        name, here = f"stream {chunk.stream!r}", stream.position
        if stream.ended:
            raise DataError(
                f"{name}: it ended at position {here}, and a chunk that begins at {chunk.start} follows; "
                "forget() lets a new stream of this name begin"
            )
        if chunk.start > here:
            raise DataError(
                f"{name}: {chunk.start - here} samples are missing before this chunk: it begins at {chunk.start}, "
                f"and position {here} comes next; bring what lies between, or begin a new stream"
            )
        if chunk.start < here:
            raise DataError(
                f"{name}: this chunk begins at {chunk.start}, and the stream has been seen up to position {here}: "
                "it overlaps what came before, or comes out of order"
            )


def _length(chunk: Chunk, specs: Any, axis: int) -> int:
    """Samples in a chunk."""
    recipe, leaves = compile_recipe(specs, is_spec)
    with naming(f"stream {chunk.stream!r}"):
        lengths = {
            place: spec.shape[axis_of(axis, spec.shape) if spec.ndim > 1 else 0]
            for place, spec in zip(recipe.places, leaves, strict=True)
            if spec.shape
        }
    if len(set(lengths.values())) != 1:
        named = ", ".join(f"{place} {length}" for place, length in lengths.items()) or "no array"
        raise DataError(f"stream {chunk.stream!r}: the arrays of a chunk must have one length, got {named}")
    return int(next(iter(lengths.values())) or 0)
