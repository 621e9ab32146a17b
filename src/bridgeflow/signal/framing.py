"""Long recordings cut into windows of equal length, as views wherever that can be; and one label for each window.

Window i begins at sample `i * hop`. Whole windows come first. What then is left of a recording, samples that are in no
window yet, is dropped, or is completed to one window more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, overload

import numpy as np

from bridgeflow.bridge import describe, kind_of, route
from bridgeflow.bridge.rules import LISTS
from bridgeflow.errors import ConfigError, DataError, names_errors
from bridgeflow.policy import Ragged, parse_word
from bridgeflow.ranges import hold
from bridgeflow.signal._axes import time_last, time_where_it_was
from bridgeflow.signal._chunks import State, as_marked, count_rows, join, kind_mark, own, rows_shape, together
from bridgeflow.signal._input import prepare, require_strided
from bridgeflow.signal._labels import is_text, labels_as_marked, labels_like, read_labels, storable
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal.padding import extend
from bridgeflow.spec import ArraySpec

__all__ = [
    "Framing",
    "LabelRule",
    "Leftover",
    "LiveFrames",
    "LiveLabels",
    "frames",
    "labels_of_frames",
    "strided_windows",
]

Array: TypeAlias = np.ndarray[Any, Any]

Leftover: TypeAlias = Literal["drop", "zeros", "edge", "reflect"]
"""What becomes of the samples at the end that do not fill a window: dropped; or the window is completed with zeros,
with their last one, or with themselves mirrored."""

LabelRule: TypeAlias = Literal["majority", "any", "center", "last"]
"""How the labels of a window's samples become one: the most frequent (of equals the smallest); whether any is not zero;
that of the sample in the middle (of the later two); that of the last sample."""

_EXTENSIONS: Final = {"zeros": "constant", "edge": "edge", "reflect": "reflect"}
_MOST_CLASSES: Final = 4096
_HARDLY_COMPUTED: Final = frozenset(
    f"torch.{name}"
    for name in (
        "bool", "uint16", "uint32", "uint64", "complex32",
        "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu",
    )
)  # fmt: skip
"""Dtypes of tensors in which pieces cannot be put together, or zeros not be result, on every device."""


def strided_windows(x: Any, length: int, hop: int) -> Any:
    """All whole windows of rows [..., T] as a view [..., windows, length] that must not be written to.

    Args:
        x: ndarray or tensor, on any device.
        length: samples of a window.
        hop: samples from the start of one window to the start of the next.

    >>> strided_windows(np.arange(5), 3, 2)
    array([[0, 1, 2],
           [2, 3, 4]])
    """
    if isinstance(x, np.ndarray):
        if x.shape[-1] < length:
            return np.empty((*x.shape[:-1], 0, length), x.dtype)
        return np.lib.stride_tricks.sliding_window_view(x, length, axis=-1)[..., ::hop, :]
    if x.shape[-1] < length:
        return x.new_empty((*x.shape[:-1], 0, length))
    return x.unfold(-1, length, hop)


@overload
def frames(
    x: SameKind, length: int, hop: int | None = ..., *, pad: Leftover = ..., first: bool = ..., axis: int = ...
) -> SameKind: ...
@overload
def frames(
    x: Any, length: int, hop: int | None = ..., *, pad: Leftover = ..., first: bool = ..., axis: int = ...
) -> Any: ...
@names_errors("frames")
def frames(
    x: Any, length: int, hop: int | None = None, *, pad: Leftover = "drop", first: bool = False, axis: int = -1
) -> Any:
    """A recording cut into windows.

    Args:
        x: [..., T]: ndarray, tensor, Arrow array or nested lists of numbers.
        length: samples of a window.
        hop: samples from the start of one window to the start of the next; `None` for `length`: side by side.
        pad: what becomes of the samples at the end that do not fill a window.
        first: put the axis of windows first.
        axis: of time; windows and their samples take its place.

    Returns:
        [..., windows, length], or [windows, ..., length]; as x in kind, device and dtype. Where nothing is completed, a
        view of x: of an ndarray read-only, of a tensor not to be written to.

    Raises:
        ConfigError, ValueError: lengths below 1, an unknown policy.

    >>> frames(np.arange(7), 3, 2, pad="edge")
    array([[0, 1, 2],
           [2, 3, 4],
           [4, 5, 6]])
    >>> frames(np.arange(8), 3, 2, pad="edge")[-1]
    array([6, 7, 7])
    """
    framing = Framing(length, length if hop is None else hop, pad)
    if kind_of(x) == "torch":
        require_strided(x)
        if not x.ndim:
            raise DataError("frames: x must have at least one axis, got a single number")
        return _placed(framing.cut(time_last(x, axis)), first, axis)
    rows = prepare(x, axis, strided=True)
    return rows.restore_new(_placed(framing.cut(rows.values), first, axis))


@names_errors("labels")
def labels_of_frames(
    labels: Any,
    length: int,
    hop: int | None = None,
    *,
    pad: Leftover = "drop",
    rule: LabelRule = "majority",
    axis: int = -1,
) -> Any:
    """One label for each window that `frames` cuts.

    Args:
        labels: [..., T], one for each sample: any array of numbers, booleans or text.
        length, hop, pad: as for `frames`. Samples that a window was completed with do not count.
        rule: how many become one.
        axis: of time; windows take its place.

    Returns:
        [..., windows], as the labels in kind, device and dtype; booleans for `"any"`.

    Raises:
        ConfigError, ValueError: lengths below 1, unknown options.
        DataError: for `"majority"`, labels other than classes: too many different ones.

    >>> labels_of_frames(np.array([0, 0, 1, 1, 1, 2, 2]), 3, 2)
    array([0, 1, 2])
    """
    framing = Framing(length, length if hop is None else hop, pad)
    parse_word(rule, LabelRule, field="rule")
    values = time_last(read_labels(labels), axis)
    result = reduced(values, framing.bounds(values.shape[-1]), framing.length, rule)
    return labels_like(time_where_it_was(result, axis), labels)


@dataclass(frozen=True)
class Framing:
    """Where windows lie.

    Args:
        length: samples of a window.
        hop: samples from the start of one window to the start of the next.
        pad: what becomes of the samples at the end that do not fill a window.
    """

    length: int
    hop: int
    pad: Leftover = "drop"

    def __post_init__(self) -> None:
        parse_word(self.pad, Leftover, field="pad")
        for name in ("length", "hop"):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ConfigError(f"{name} must be an integer of at least 1, got {value!r}", field=name)

    def whole(self, samples: int) -> int:
        """How many windows lie in a recording."""
        return max((samples - self.length) // self.hop + 1, 0)

    def missing(self, samples: int) -> int:
        """How many samples one window more would need beyond the end, so that all are in a window; 0 for none."""
        windows = self.whole(samples)
        seen = (windows - 1) * self.hop + self.length if windows else 0
        start = windows * self.hop
        return start + self.length - samples if self.pad != "drop" and samples > max(seen, start) else 0

    def count(self, samples: int) -> int:
        """How many windows there will be."""
        return self.whole(samples) + (self.missing(samples) > 0)

    def bounds(self, samples: int) -> tuple[Array, Array]:
        """First samples and ends of all windows, as far as they lie in the recording, each [windows]."""
        starts = np.arange(self.count(samples)) * self.hop
        return starts, np.minimum(starts + self.length, samples)

    def cut(self, x: Any) -> Any:
        """Rows [..., T] to [..., windows, length]."""
        missing = self.missing(int(x.shape[-1]))
        self.hold(int(x.shape[-1]), count_rows(x))
        return strided_windows(self.completed(x, missing) if missing else x, self.length, self.hop)

    @names_errors("windows")
    def hold(self, samples: int, rows: int) -> None:
        """Refuse a window that would be completed out of all proportion to the data."""
        if missing := self.missing(samples):
            hold(rows * (samples + missing), rows * samples, length=self.length)

    def completed(self, x: Any, missing: int) -> Any:
        """Rows with samples more at the end, taken from their last, incomplete window."""
        held = self.length - missing
        bits = _as_bits(x)  # samples are copied and zeros added, and not all dtypes of torch can do that
        extra = extend(bits[..., -held:], _EXTENSIONS[self.pad], 0.0, 0, missing)[..., held:]
        longer = join([bits, extra])
        return longer if bits is x else longer.view(x.dtype)


def _as_bits(x: Any) -> Any:
    """A tensor of a type that torch hardly computes with, as integers of the same bits; all else as it is."""
    if kind_of(x) != "torch" or str(x.dtype) not in _HARDLY_COMPUTED or x.requires_grad:
        return x
    import torch

    return x.view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()])


def _from_bits(y: Any, mark: Any) -> Any:
    """Windows that no chunk stands beside, as the kind and type of the stream, of whose bits they may be."""
    kind, dtype = str(mark).split(" ", 1)
    if kind != "torch" or f"torch.{dtype}" not in _HARDLY_COMPUTED:
        return as_marked(y, mark, same_dtype=True)
    import torch

    return as_marked(y, mark).view(getattr(torch, dtype))


@dataclass(frozen=True)
class LiveFrames:
    """Rows [..., time] to windows [..., windows, length], whole or live.

    Args:
        framing: where windows lie.
        first: put the axis of windows first.
    """

    framing: Framing
    first: bool = False

    def __call__(self, x: Any) -> Any:
        """A whole recording; see `frames`."""
        return frames(x, self.framing.length, self.framing.hop, pad=self.framing.pad, first=self.first)

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        if not spec.shape:
            raise DataError(f"frames: data need an axis of time, got {spec}")
        self._refuse_text(spec)
        windows = None if spec.time is None else self.framing.count(spec.time)
        if spec.time is not None:
            self.framing.hold(spec.time, math.prod(n if n is not None else 1 for n in spec.shape[:-1]))
        kind = "arrow" if spec.kind == "capsule" else spec.kind
        rows, length = spec.shape[:-1], self.framing.length
        shape = (windows, *rows, length) if self.first else (*rows, windows, length)
        result = spec.fresh(kind=kind, shape=shape, null_count=0, writable=kind != "arrow")
        if not self.is_view(spec):
            return replace(result, flags=spec.flags & {"grad"})
        if spec.kind == "torch":
            return replace(result, flags=spec.flags & {"grad"} | {"non-contiguous"})
        if spec.strides is None:
            return replace(result, writable=False)
        *others, step = spec.strides
        between = self.framing.hop * step
        return _seen(result, (between, *others, step) if self.first else (*others, between, step))

    def is_view(self, spec: ArraySpec) -> bool:
        """Whether windows share memory with the data."""
        complete = self.framing.pad == "drop" or (spec.time is not None and not self.framing.missing(spec.time))
        return complete and spec.kind in {"numpy", "torch"} and "byte-order" not in spec.flags

    def _refuse_text(self, spec: ArraySpec) -> None:
        if not _is_number(spec.dtype):
            raise DataError(f"frames: cannot cut elements of type {spec.dtype}; WindowLabels takes labels of text")

    @property
    def latency(self) -> int:
        """By how many samples the windows of a stream lag behind its input, at most."""
        return self.framing.length - 1

    @names_errors("frames")
    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk.

        Returns:
            begun: bool [], whether there has been a window.
            skip: int64 [], samples to pass over before the next window begins.
            tail: [..., samples], from where it begins.
            kind: text [], kind and dtype of the chunks.
        """
        self.out_spec(spec.with_time(None))
        return _initial(spec)

    @names_errors("frames")
    def step(self, x: Any, state: State) -> tuple[Any, State]:
        """One chunk [..., t], t >= 0: the windows that end in it, [..., windows, length]."""
        bits = _as_bits(x)
        rows = prepare(bits, -1, strided=True)
        tail, chunk = together(state["tail"], rows.values)
        held, next_state, windows = _advanced(self.framing, tail, chunk, state)
        due = held[..., : (windows - 1) * self.framing.hop + self.framing.length] if windows else held[..., :0]
        y = _placed(strided_windows(due, self.framing.length, self.framing.hop), self.first)
        y = rows.restore(y if kind_of(x) == "numpy" or rows.is_tensor else own(y))
        return (y if bits is x else y.view(x.dtype)), next_state

    @names_errors("windows")
    def flush(self, state: State) -> Any | None:
        """The window that what is left has been completed to."""
        missing = _left(self.framing, state)
        if not missing:
            return None
        rows, held = count_rows(state["tail"]), int(state["tail"].shape[-1])
        hold(rows * (held + missing), rows * held, length=self.framing.length)
        window = _placed(self.framing.completed(state["tail"], missing)[..., None, :], self.first)
        return _from_bits(window, state["kind"])


@dataclass(frozen=True)
class LiveLabels:
    """Labels [..., time] to one for each window [..., windows], whole or live.

    Args:
        framing: where windows lie.
        rule: how the labels of a window become one.
    """

    framing: Framing
    rule: LabelRule

    def __post_init__(self) -> None:
        parse_word(self.rule, LabelRule, field="rule")

    def __call__(self, labels: Any) -> Any:
        """Those of a whole recording; see `labels_of_frames`."""
        framing = self.framing
        return labels_of_frames(labels, framing.length, framing.hop, pad=framing.pad, rule=self.rule)

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of labels described by `spec`."""
        if not spec.shape:
            raise DataError(f"labels need an axis of time, got {spec}")
        if spec.null_count:
            raise DataError(f"labels: {spec.null_count} of them are null; fill them first, or leave these rows out")
        if spec.kind in ("arrow", "capsule") and not _is_number(spec.dtype) and not is_text(spec.dtype):
            ragged: Ragged = "list" if spec.layout in LISTS else "error"
            route(replace(spec, null_count=0), "numpy", ragged=ragged)  # which refuses what is neither number nor text
        if self.rule == "any" and not _is_number(spec.dtype):
            raise DataError(f"rule='any' asks which labels are not zero, and these are {spec.dtype}")
        windows = None if spec.time is None else self.framing.count(spec.time)
        kind = "arrow" if spec.kind == "capsule" else spec.kind
        result = spec.fresh(
            kind=kind, shape=(*spec.shape[:-1], windows), null_count=0, writable=kind != "arrow", fs=None
        )
        return replace(result, dtype="bool") if self.rule == "any" else result

    @property
    def latency(self) -> int:
        """By how many samples the labels of windows lag behind the input, at most."""
        return self.framing.length - 1

    @names_errors("labels")
    def init_state(self, spec: ArraySpec) -> State:
        """The state before the first chunk: that of `LiveFrames`, with labels as tail."""
        self.out_spec(spec.with_time(None))
        return _initial(spec)

    @names_errors("labels")
    def step(self, labels: Any, state: State) -> tuple[Any, State]:
        """One chunk [..., t], t >= 0: the labels of windows that end in it."""
        tail, chunk = together(state["tail"], read_labels(labels))
        held, next_state, windows = _advanced(self.framing, tail, chunk, state)
        starts = np.arange(windows) * self.framing.hop
        result = reduced(held, (starts, starts + self.framing.length), self.framing.length, self.rule)
        return labels_like(result, labels), {**next_state, "tail": storable(next_state["tail"])}

    def flush(self, state: State) -> Any | None:
        """The label of the window that what is left has been completed to."""
        tail, missing = state["tail"], _left(self.framing, state)
        if not missing:
            return None
        bounds = np.zeros(1, np.int64), np.full(1, tail.shape[-1])
        result = reduced(tail, bounds, self.framing.length, self.rule)
        return as_marked(result, state["kind"]) if self.rule == "any" else labels_as_marked(result, state["kind"])


def _is_number(dtype: str) -> bool:
    return dtype.startswith(
        ("bool", "int", "uint", "float", "complex", "bfloat", "longdouble", "clongdouble", "float8_")
    )


def _initial(spec: ArraySpec) -> State:
    return {
        "begun": np.zeros((), bool),
        "skip": np.zeros((), np.int64),
        "tail": np.zeros((*rows_shape(spec), 0)),
        "kind": kind_mark(spec),
    }


def _advanced(framing: Framing, tail: Any, chunk: Any, state: State) -> tuple[Any, State, int]:
    """What is held from the next window's beginning on, the state after it, and how many whole windows it holds."""
    skip = min(int(state["skip"]), int(chunk.shape[-1]))
    held = join([tail, chunk]) if tail.shape[-1] else chunk[..., skip:]
    samples = int(held.shape[-1])
    windows = framing.whole(samples)
    begin = windows * framing.hop
    next_state: State = {
        "begun": np.asarray(bool(state["begun"]) or windows > 0),
        "skip": np.asarray(int(state["skip"]) - skip + max(begin - samples, 0), np.int64),
        "tail": own(held[..., min(begin, samples) :]),
        "kind": state["kind"],
    }
    return held, next_state, windows


def _left(framing: Framing, state: State) -> int:
    """How many samples the last window lacks; 0 where there is none to be completed."""
    samples = int(state["tail"].shape[-1])
    seen = max(framing.length - framing.hop, 0) if state["begun"] else 0
    return framing.length - samples if framing.pad != "drop" and samples > seen else 0


def _seen(result: ArraySpec, strides: tuple[int, ...]) -> ArraySpec:
    """The spec of windows that are a view of an ndarray; `describe` knows what such a view is in the way of."""
    shape = tuple(0 if n is None else n for n in result.shape)
    never_read = np.lib.stride_tricks.as_strided(np.empty(1, result.dtype), shape, strides, writeable=False)
    seen = describe(never_read)
    return replace(seen, shape=result.shape, nbytes=result.nbytes, fs=result.fs)


def _placed(windows: Any, first: bool, axis: int = -1) -> Any:
    """Windows [..., windows, length] with these two axes in the place of time, or the windows first."""
    time = range(windows.ndim - 1)[axis]
    places = (0, time + 1) if first else (time, time + 1)
    if places == (windows.ndim - 2, windows.ndim - 1):
        return windows
    moved = np.moveaxis if isinstance(windows, np.ndarray) else type(windows).movedim
    return moved(windows, (-2, -1), places)


def reduced(labels: Array, bounds: tuple[Array, Array], length: int, rule: str) -> Array:
    """Labels [..., T] to one for each window [..., windows]."""
    starts, ends = bounds
    if rule == "last":
        return labels[..., ends - 1]
    if rule == "center":
        return labels[..., np.minimum(starts + length // 2, ends - 1)]
    if rule == "any":
        if labels.dtype.kind not in "biufc":
            raise DataError(f"rule='any' asks which labels are not zero, and these are {labels.dtype}")
        return _counts(labels != 0, starts, ends) > 0
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise DataError(f"rule='majority' compares labels, and these cannot be compared: {error}") from None
    if len(classes) > _MOST_CLASSES:
        raise DataError(f"rule='majority' is for classes, and there are {len(classes)} different labels")
    if not len(classes) or not len(starts):
        return np.empty((*labels.shape[:-1], len(starts)), labels.dtype)
    codes = codes.reshape(labels.shape)
    best = np.zeros((*labels.shape[:-1], len(starts)), np.intp)
    most = np.full(best.shape, -1)
    for code in range(len(classes)):
        counts = _counts(codes == code, starts, ends)
        best[counts > most] = code
        most = np.maximum(most, counts)
    return np.asarray(classes[best])


def _counts(marked: Array, starts: Array, ends: Array) -> Array:
    """How many samples are marked in each window."""
    up_to = np.concatenate([np.zeros((*marked.shape[:-1], 1), np.int64), np.cumsum(marked, axis=-1)], axis=-1)
    return np.asarray(up_to[..., ends] - up_to[..., starts])
