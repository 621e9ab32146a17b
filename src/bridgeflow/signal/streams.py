"""`stream(filter)`: an object to push chunks into, for code that has no place to keep a state.

Filters remember nothing; `init_state`, `step` and `flush` take and give a state. A `Stream` holds that state for one
recording, and writes it down as plain text and numbers: what `state_dict` returns goes through JSON, with no pickle,
and every array in it carries its own hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final, Protocol, cast

import numpy as np

from bridgeflow.bridge import describe, kind_of, like, to_numpy
from bridgeflow.errors import CannotStream, ConfigError, DataError
from bridgeflow.policy import parse_word
from bridgeflow.signal._axes import axis_of, parse_axis, time_last, time_where_it_was
from bridgeflow.signal.causal import CausalFilter
from bridgeflow.signal.convenience import Mode
from bridgeflow.signal.design import Design, Sos
from bridgeflow.signal.zero_phase import ZeroPhaseFilter
from bridgeflow.spec import ArraySpec

__all__ = ["Stream", "Streamable", "pack_state", "stream", "unpack_state"]

_VERSION: Final = 1


class Streamable(Protocol):
    """What can be streamed: the filters of this room, and every transform that streams."""

    def init_state(self, spec: Any) -> Any:
        """The state before the first chunk, from the spec of a chunk."""

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One chunk: what comes out, and the state behind it."""

    def flush(self, state: Any) -> Any | None:
        """What is left when the recording has ended; `None` for nothing."""


class Stream:
    """One recording on its way through a filter; made by `stream`. Not for several threads at once."""

    def __init__(self, run: Streamable) -> None:
        self._run = run
        self._state: Any = None
        self._ended = False

    @property
    def latency(self) -> int:
        """By how many samples the output lags behind the input, at most."""
        return int(getattr(self._run, "latency", 0))

    def push(self, chunk: Any) -> Any:
        """The next chunk of the recording.

        Args:
            chunk: [..., t], t >= 0, or with time on the stream's axis; kind, dtype and rows are those of the first.

        Returns:
            What has become certain: as many samples for a causal filter, fewer or more where there is latency or
                another rate.

        Raises:
            DataError: the stream has ended, or the chunk does not go with the first.
        """
        if self._ended:
            raise DataError("this stream has been flushed: its recording is over; reset() begins another")
        chunk = np.asarray(chunk) if kind_of(chunk) is None else chunk
        if self._state is None:
            self._state = self._run.init_state(describe(chunk))
        y, self._state = self._run.step(chunk, self._state)
        return y

    def flush(self) -> Any | None:
        """The end of the recording: what was still held back, `None` for nothing."""
        if self._ended:
            raise DataError("this stream has been flushed already; reset() begins another recording")
        self._ended = True
        return None if self._state is None else self._run.flush(self._state)

    def reset(self) -> None:
        """Forget the recording; the next chunk begins another, of any kind and number of rows."""
        self._state, self._ended = None, False

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on elsewhere, as text, numbers, lists and dictionaries: what JSON can hold."""
        state = None if self._state is None else pack_state(self._state)
        return {"version": _VERSION, "filter": repr(self._run), "ended": self._ended, "state": state}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where the stream that was saved had got to.

        Args:
            saved: from `state_dict`, of a stream with the same filter.

        Raises:
            ConfigError: it was saved by another filter, or by a version unknown to this one.
            DataError: it is damaged.
        """
        missing = {"version", "filter", "ended", "state"} - saved.keys()
        if missing:
            raise DataError(f"this is no state of a stream: it lacks {', '.join(sorted(missing))}")
        if saved["version"] != _VERSION:
            raise ConfigError(f"the state is of version {saved['version']!r}, this library reads version {_VERSION}")
        if saved["filter"] != repr(self._run):
            raise ConfigError(
                f"the state belongs to another filter: saved by {saved['filter']}, loaded into {self._run!r}"
            )
        self._state = None if saved["state"] is None else unpack_state(saved["state"])
        self._ended = bool(saved["ended"])


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
    def stream_obstacle(self) -> str:
        """That of what runs."""
        return str(getattr(self.run, "stream_obstacle", ""))

    def init_state(self, spec: ArraySpec) -> Any:
        """The state before the first chunk."""
        time = axis_of(self.axis, spec.shape, what="stream")
        shape = (*(n for number, n in enumerate(spec.shape) if number != time), spec.shape[time])
        return self.run.init_state(replace(spec, shape=shape, strides=None))

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One chunk."""
        values = self._values(x)
        axis_of(self.axis, values.shape, what="stream")
        y, after = self.run.step(time_last(values, self.axis, what="stream"), state)
        return self._back(y, x), after

    def flush(self, state: Any) -> Any | None:
        """What is left."""
        y = self.run.flush(state)
        return None if y is None else self._back(y, y)

    def _values(self, x: Any) -> Any:
        return x if kind_of(x) == "torch" else np.asarray(to_numpy(x) if kind_of(x) is not None else x)

    def _back(self, y: Any, x: Any) -> Any:
        made = time_where_it_was(self._values(y), self.axis)
        made = np.ascontiguousarray(made) if isinstance(made, np.ndarray) else made.contiguous()
        return made if kind_of(x) in {None, "numpy", "torch"} else like(made, x)


def stream(filter: Any, *, mode: Mode = "causal", axis: int | None = None, **choices: Any) -> Stream:
    """A filter to push chunks into.

    Args:
        filter: a design, sections [n, 6] as an array, or whatever has `init_state`, `step` and `flush`: a
            `CausalFilter`, a transform that streams.
        mode: for a design: `"causal"`, or `"zero_phase"` (recursive designs then want `tolerance`).
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
        run = _with_axis(run, parse_axis(axis, what="stream"))
    if obstacle := getattr(run, "stream_obstacle", ""):
        raise CannotStream(obstacle)
    return Stream(run)


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


def pack_state(state: Any) -> Any:
    """A state as JSON can hold it: each array as base64 of its little-endian bytes, with dtype, shape and SHA-256.

    Args:
        state: arrays, numbers, text and `None`, in dictionaries (with text as keys) and lists.

    >>> pack_state({"position": np.array(7), "rows": 2})["position"]["array"]
    '<i8'
    """
    if state is None or isinstance(state, (bool, int, float, str)):
        return state
    if isinstance(state, Mapping):
        return {str(name): pack_state(part) for name, part in state.items()}
    if isinstance(state, (list, tuple)):
        return [pack_state(part) for part in state]
    if kind_of(state) is None:
        raise DataError(f"a {type(state).__name__} cannot be written down as part of a stream's state")
    array = np.asarray(to_numpy(state))
    raw = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return {
        "array": array.dtype.newbyteorder("<").str,
        "shape": list(array.shape),
        "data": base64.b64encode(raw).decode("ascii"),
        "sha256": hashlib.sha256(raw).hexdigest(),
    }


def unpack_state(packed: Any) -> Any:
    """The state that `pack_state` wrote, its arrays checked against their hashes.

    Raises:
        DataError: bytes that are not those written.

    >>> unpack_state(pack_state({"zi": np.zeros((2, 1))}))["zi"].shape
    (2, 1)
    """
    if isinstance(packed, Mapping):
        if set(packed) == {"array", "shape", "data", "sha256"}:
            return _array(packed)
        return {name: unpack_state(part) for name, part in packed.items()}
    if isinstance(packed, (list, tuple)):
        return [unpack_state(part) for part in packed]
    return packed


def _array(packed: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    try:
        raw = base64.b64decode(packed["data"], validate=True)
        if hashlib.sha256(raw).hexdigest() != packed["sha256"]:
            raise ValueError("its SHA-256 is another")
        dtype = np.dtype(packed["array"])
        if dtype.kind not in "biufcU":
            raise ValueError(f"{dtype} is no type of numbers or text")
        array = np.frombuffer(raw, dtype).reshape(packed["shape"])
    except (TypeError, ValueError) as error:
        raise DataError(f"an array in the saved state is damaged: {error}") from error
    return array.astype(dtype.newbyteorder("="), copy=False)
