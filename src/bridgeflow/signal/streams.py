"""`stream(filter)`: an object to push chunks into, for code that has no place to keep a state.

Filters remember nothing; `init_state`, `step` and `flush` take and give a state. A `Stream` holds that state for one
recording, and writes it down as plain text and numbers: what `state_dict` returns goes through JSON, with no pickle,
and every array in it carries its own hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any, Protocol, cast

import numpy as np

from bridgeflow._state import StreamState, load_streams, save_streams
from bridgeflow.bridge import describe, kind_of, like, shape_of, to_numpy
from bridgeflow.bridge.rules import LISTS
from bridgeflow.errors import CannotStream, ConfigError, DataError, names_errors, naming
from bridgeflow.policy import parse_word
from bridgeflow.signal._axes import axis_of, parse_axis, time_last, time_where_it_was
from bridgeflow.signal.causal import CausalFilter
from bridgeflow.signal.convenience import Mode
from bridgeflow.signal.design import Design, Sos
from bridgeflow.signal.zero_phase import ZeroPhaseFilter
from bridgeflow.spec import ArraySpec
from bridgeflow.tree import leaves_of, map_leaves

__all__ = ["Stream", "Streamable", "any_length", "stream"]


class Streamable(Protocol):
    """What can be streamed: the filters of this package, and every transform that streams."""

    def init_state(self, spec: Any) -> Any:
        """The state before the first chunk, from the spec of a chunk."""

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One chunk: what comes out, and the state after it."""

    def flush(self, state: Any) -> Any | None:
        """What is left when the recording has ended; `None` for nothing."""


class Stream:
    """One recording on its way through a filter; made by `stream`. Not for several threads at once.

    Args:
        run: what the chunks go through.
        axis: of time in the chunks.
    """

    def __init__(self, run: Streamable, axis: int = -1) -> None:
        self._run = run
        self._axis = axis
        self._stream = StreamState()

    @property
    def latency(self) -> int:
        """By how many samples the output lags behind the input, at most."""
        return int(getattr(self._run, "latency", 0))

    @property
    def position(self) -> int:
        """Samples so far."""
        return self._stream.position

    def push(self, chunk: Any) -> Any:
        """The next chunk of the recording.

        Args:
            chunk: [..., t], t >= 0, or with time on the stream's axis; kind, dtype and rows are those of the first. For
                a composition also a dict with such arrays.

        Returns:
            What has become certain: as many samples for a causal filter, fewer or more where there is latency or
                another rate.

        Raises:
            DataError: the stream has ended, or the chunk does not go with the first.
        """
        stream = self._stream
        if stream.ended:
            raise DataError("this stream has been flushed: its recording is over; reset() begins another")
        plain = type(chunk) is np.ndarray
        if not plain and kind_of(chunk) is None and not isinstance(chunk, Mapping):
            chunk = np.asarray(chunk)
        state = stream.state
        y, stream.state = self._run.step(chunk, self._first_state(chunk) if state is None else state)
        stream.position += chunk.shape[-1] if plain and self._axis == -1 else _samples(chunk, self._axis)
        return y

    def _first_state(self, chunk: Any) -> Any:
        specs = map_leaves(describe, chunk, lambda leaf: kind_of(leaf) is not None)
        specs = map_leaves(partial(any_length, axis=self._axis), specs, lambda leaf: isinstance(leaf, ArraySpec))
        return self._run.init_state(specs)

    def flush(self) -> Any | None:
        """The end of the recording: what was still held back, `None` for nothing."""
        stream = self._stream
        if stream.ended:
            raise DataError("this stream has been flushed already; reset() begins another recording")
        y = None if stream.state is None else self._run.flush(stream.state)
        self._stream = StreamState(stream.position, None, ended=True)
        return y

    def reset(self) -> None:
        """Forget the recording; the next chunk begins another, of any kind and number of rows."""
        self._stream = StreamState()

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on elsewhere, as text, numbers, lists and dictionaries: what JSON can hold."""
        return save_streams(self._run, self._axis, {"": self._stream})

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where the stream that was saved had got to.

        Args:
            saved: from `state_dict`, of a stream through an equal filter.

        Raises:
            DataError: it was saved by another filter, or by an unknown version of the format, or it is damaged.
        """
        streams = load_streams(saved, self._run, self._axis)
        if set(streams) != {""}:
            raise DataError(f"load_state_dict: the state is of {len(streams)} streams with names; load it into Streams")
        self._stream = streams[""]


@names_errors("stream")
def any_length(spec: ArraySpec, axis: int) -> ArraySpec:
    """The description of a chunk of any length along an axis, from that of one chunk."""
    shape = list(spec.shape)
    if shape:
        shape[axis_of(axis, shape) if len(shape) > 1 else 0] = None
    if spec.layout in LISTS and not spec.shape[0] and len(shape) > 1:
        shape[1] = None  # without lists, their length is not known
    return replace(spec, shape=tuple(shape), strides=None, nbytes=None)


def _samples(chunk: Any, axis: int) -> int:
    """The length of a chunk along time, of its first array where it is nested."""
    if type(chunk) is np.ndarray:
        return int(chunk.shape[axis if chunk.ndim > 1 else 0])
    if kind_of(chunk) is None:
        return _samples(next(iter(leaves_of(chunk, lambda leaf: kind_of(leaf) is not None).values())), axis)
    shape = shape_of(chunk)
    return int(shape[axis if len(shape) > 1 else 0] or 0)


@dataclass(frozen=True)
class _Along:
    """Something that streams rows [..., time], on chunks with time on another axis."""

    run: Any
    axis: int

    @property
    def latency(self) -> int:
        """That of what runs."""
        return int(getattr(self.run, "latency", 0))

    @property
    def stages(self) -> tuple[Any, ...]:
        """What runs."""
        return (self.run,)

    @property
    def stream_obstacle(self) -> str:
        """That of what runs."""
        return str(getattr(self.run, "stream_obstacle", ""))

    def init_state(self, spec: ArraySpec) -> Any:
        """The state before the first chunk."""
        with naming("stream"):
            time = axis_of(self.axis, spec.shape)
        shape = (*(n for number, n in enumerate(spec.shape) if number != time), spec.shape[time])
        return self.run.init_state(replace(spec, shape=shape, strides=None))

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One chunk."""
        values = self._values(x)
        with naming("stream"):
            axis_of(self.axis, values.shape)
        y, after = self.run.step(time_last(values, self.axis), state)
        return self._back(y, x), after

    def flush(self, state: Any) -> Any | None:
        """What is left."""
        y = self.run.flush(state)
        return None if y is None else self._back(y, y)

    def _values(self, x: Any) -> Any:
        return x if kind_of(x) == "torch" else np.asarray(to_numpy(x) if kind_of(x) is not None else x)

    def _back(self, y: Any, x: Any) -> Any:
        array = time_where_it_was(self._values(y), self.axis)
        array = np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array.contiguous()
        return array if kind_of(x) in {None, "numpy", "torch"} else like(array, x)


def stream(filter: Any, *, mode: Mode = "causal", axis: int | None = None, **choices: Any) -> Stream:
    """A filter to push chunks into.

    Args:
        filter: a design, sections [n, 6] as an array, or whatever has `init_state`, `step` and `flush`: a
            `CausalFilter`, a transform that streams.
        mode: for a design: `"causal"`, or `"zero_phase"` (IIR designs then want `tolerance`).
        axis: of time in the chunks; `None` for the last, or the one that a transform has.
        **choices: for a design: those of `CausalFilter` or `ZeroPhaseFilter` (`initial`, `nonfinite`, `tolerance`,
            ...).

    Raises:
        CannotStream: the filter needs the whole recording; says why.
        ConfigError: choices that do not go with the filter.

    >>> import numpy as np
    >>> from bridgeflow.signal import Butter, sosfilt
    >>> lowpass = Butter(order=4, cutoff=20.0, fs=100.0)
    >>> live, x = stream(lowpass), np.arange(100.0)
    >>> y = np.concatenate([live.push(x[:30]), live.push(x[30:])])
    >>> bool((y == sosfilt(lowpass, x)).all())
    True
    """
    parse_word(mode, Mode, field="mode")
    if isinstance(filter, Design) or kind_of(filter) is not None:
        design = filter if isinstance(filter, Design) else Sos(sections=cast(Any, to_numpy(filter)))
        run: Any = (CausalFilter if mode == "causal" else ZeroPhaseFilter)(design=design, **choices)
    elif choices or mode != "causal":
        raise ConfigError(f"{type(filter).__name__} has made its choices already; mode and others are for designs")
    elif not all(callable(getattr(filter, name, None)) for name in ("init_state", "step", "flush")):
        raise ConfigError(f"cannot stream a {type(filter).__name__}: it has no init_state, step and flush")
    else:
        run = filter
    if axis is not None:
        with naming("stream"):
            axis = parse_axis(axis)
        run = _with_axis(run, axis)
    if obstacle := getattr(run, "stream_obstacle", ""):
        raise CannotStream(obstacle)
    return Stream(run, getattr(run, "time_axis", -1) if axis is None else axis)


def _with_axis(run: Any, axis: int) -> Any:
    """What runs, for chunks with time on this axis."""
    own = getattr(run, "time_axis", None)
    if own is None:  # it knows rows [..., time] alone
        return run if axis == -1 else _Along(run, axis)
    if axis == own:
        return run
    name = type(run).__name__
    if own == -1 and is_dataclass(run) and "axis" in {field.name for field in fields(run)}:
        return replace(run, axis=axis)  # type: ignore[type-var]
    raise ConfigError(
        f"stream: axis={axis}, but {name} has time on axis {own}; leave axis out, and say it in the transform (in each "
        "stage of a composition)"
    )
