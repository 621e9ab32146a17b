"""`LoaderProfile`: where a training loop's time goes: reading, each stage, collation, hand-over, or the consumer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bridgeflow.errors import StageId
from bridgeflow.pipeline.batches import SampleSet
from bridgeflow.pipeline.mixture import Mixture
from bridgeflow.pipeline.segments import PartialBatch, Segment, SegmentedTransform
from bridgeflow.pipeline.stage_functions import as_function
from bridgeflow.transforms.augment.mixing import Mixing

if TYPE_CHECKING:
    from bridgeflow.pipeline.dataset import SignalDataset

__all__ = ["LoaderProfile", "ProfileRow", "ProfiledFetch", "Timings", "transferred"]

_READING, _COLLATION, _TRANSFER = "reading", "collation", "to the device"

_NEGLIGIBLE: Final = 0.05
"""The share of waiting up to which the consumer is what takes the time."""


class Timings(NamedTuple):
    """How long the parts of a batch took, in seconds, and when it was complete (`time.perf_counter`)."""

    seconds: dict[str, float]
    finished: float


class ProfileRow(NamedTuple):
    """One line of a profile.

    Args:
        name: what takes the time.
        seconds: in all.
        per_batch: milliseconds for a batch.
        per_cent: of the loop's time for the consumer's lines, of the time that making batches takes for the others.
    """

    name: str
    seconds: float
    per_batch: float
    per_cent: float


class LoaderProfile:
    """Where the time of the passes over a loader goes that begin while it is open; from `Loader.profile`.

    The consumer either waits for a batch or works with it; what it waits after a batch is complete is the hand-over.
    Making a batch is reading its rows (and converting them), each stage of the transform, collation, and, to a GPU, the
    staging. Prints as a table, at any time.

    Attributes:
        batches: how many were handed out.
        seconds: from the first request to the last, those of the consumer included.
        waiting, hand_over, working: seconds of the consumer; the hand-over is a part of the waiting.
        making: seconds of each part of the making, of all threads or workers together.
        makers: threads or workers that make batches.
    """

    def __init__(self, makers: int, close: Callable[[LoaderProfile], None]) -> None:
        self.batches = 0
        self.waiting = self.hand_over = self.working = 0.0
        self.making: dict[str, float] = {}
        self.makers = makers
        self._close = close
        self._lock = Lock()
        self._handed_out: float | None = None

    # --- values ---

    @property
    def seconds(self) -> float:
        """Of the consumer, waiting and working."""
        return self.waiting + self.working

    @property
    def consumer(self) -> list[ProfileRow]:
        """What the consumer does, in per cent of the loop's time."""
        times = {"waits for batches": self.waiting, "of which hand-over": self.hand_over, "works": self.working}
        return self._rows(times, self.seconds)

    @property
    def stages(self) -> list[ProfileRow]:
        """What making batches takes, in per cent of all making."""
        return self._rows(self.making, sum(self.making.values()))

    @property
    def busy(self) -> float:
        """The share of their time, 0 to 1, that threads or workers make batches."""
        return min(sum(self.making.values()) / (self.makers * self.seconds), 1.0) if self.seconds else 0.0

    @property
    def bottleneck(self) -> str:
        """What to make faster first: `"consumer"`, `"hand-over"`, or the part of the making that takes longest."""
        if self.waiting <= _NEGLIGIBLE * self.seconds or not self.making:
            return "consumer"
        if self.hand_over > self.waiting / 2:
            return "hand-over"
        return max(self.making, key=lambda name: self.making[name])

    def __str__(self) -> str:
        if not self.batches:
            return "no batch has been handed out since the profile began"
        makers = "1 thread or worker" if self.makers == 1 else f"{self.makers} threads or workers"
        return "\n".join(
            [
                f"{self.batches:,} batches in {self.seconds:.2f} s; first to make faster: {self.bottleneck}",
                *_table("the consumer", self.consumer),
                *_table(f"making batches ({makers}, busy {self.busy:.0%})", self.stages),
            ]
        )

    __repr__ = __str__

    def _rows(self, times: dict[str, float], whole: float) -> list[ProfileRow]:
        count = max(self.batches, 1)
        return [
            ProfileRow(name, seconds, 1e3 * seconds / count, 100 * seconds / whole if whole else 0.0)
            for name, seconds in times.items()
        ]

    # --- recording ---

    def stop(self) -> None:
        """End the profile: passes that begin later are not measured."""
        self._close(self)

    def __enter__(self) -> LoaderProfile:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add(self, seconds: dict[str, float]) -> None:
        """Take note of how long the parts of a batch took; from any thread."""
        with self._lock:
            for name, value in seconds.items():
                self.making[name] = self.making.get(name, 0.0) + value

    def asked(self) -> float:
        """The consumer wants its next batch."""
        now = perf_counter()
        with self._lock:
            if self._handed_out is not None:
                self.working += now - self._handed_out
                self._handed_out = None
        return now

    def gave(self, asked: float, finished: float) -> None:
        """The consumer has a batch, which was complete at a time."""
        now = perf_counter()
        with self._lock:
            self.batches += 1
            self.waiting += now - asked
            self.hand_over += max(now - max(asked, finished), 0.0)
            self._handed_out = now


class ProfiledFetch:
    """Makes the batch of a task and says how long each part took; goes to worker processes.

    Args:
        fetch: makes batches: the loader's own.
    """

    def __init__(self, fetch: Any) -> None:
        self._fetch = fetch
        self._timed: Any = None

    def __call__(self, task: Any) -> tuple[Any, Timings]:
        return self.finish(self.begin(task))

    def begin(self, task: Any) -> tuple[Any, dict[str, float]]:
        """The batch as far as our own stages go, and what that took."""
        timed = self._with_timers()
        seconds: dict[str, float] = {}
        _TASK.seconds = seconds
        start = perf_counter()
        begun = timed.begin(task)
        reading = perf_counter() - start - sum(seconds.values())
        return begun, {_READING: reading, **seconds}

    def finish(self, begun: tuple[Any, dict[str, float]]) -> tuple[Any, Timings]:
        """The whole batch, and what all of it took."""
        timed = self._with_timers()
        seconds: dict[str, float] = {}
        _TASK.seconds = seconds
        start = perf_counter()
        batch = timed.finish(begun[0])
        end = perf_counter()
        collation = end - start - sum(seconds.values())
        return batch, Timings({**begun[1], **seconds, _COLLATION: collation}, end)

    def _with_timers(self) -> Any:
        if self._timed is None:
            timed = copy(self._fetch)
            timed._dataset = _with_timers(timed._dataset)
            self._timed = timed
        return self._timed

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_timed": None}


class _Task(threading.local):
    """The stages' seconds of the batch that this thread is at."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}


_TASK: Final = _Task()


def transferred(send: Callable[[Any], Any], measured: tuple[Any, Timings], profile: LoaderProfile) -> tuple[Any, float]:
    """A batch on its way to the device, and when it was; what making it took is noted."""
    batch, timings = measured
    start = perf_counter()
    sent = send(batch)
    end = perf_counter()
    moved = {} if sent is batch else {_TRANSFER: end - start}
    profile.add({**timings.seconds, **moved})
    return sent, end if moved else timings.finished


def _with_timers(dataset: SignalDataset | Mixture) -> Any:
    """A dataset that notes how long its stages take."""
    timed = copy(dataset)
    if isinstance(timed, Mixture):
        timed.datasets = tuple(_timed(one, f"dataset {number}, ") for number, one in enumerate(timed.datasets, 1))
        return timed
    return _timed(timed, "")


def _timed(dataset: SignalDataset, prefix: str) -> SignalDataset:
    timed = copy(dataset)
    timed.__dict__["_segmented"] = _TimedTransform(timed._segmented, prefix)  # in the place of the cached property
    return timed


class _TimedTransform(SegmentedTransform):
    """A transform whose stages are measured."""

    def __init__(self, segmented: SegmentedTransform, prefix: str) -> None:
        self.__dict__.update(segmented.__dict__)
        self.segments = tuple(_timed_segment(segment, prefix) for segment in segmented.segments)
        self._prefix = prefix

    def _mixed(self, batch: PartialBatch, stage: Mixing, label: StageId | None) -> SampleSet:
        start = perf_counter()
        samples = super()._mixed(batch, stage, label)
        name = f"{self._prefix}{_name(label, stage)}"
        _TASK.seconds[name] = _TASK.seconds.get(name, 0.0) + perf_counter() - start
        return samples


def _name(label: StageId | None, stage: object) -> str:
    return str(label) if label is not None else type(stage).__name__


def _timed_segment(segment: Segment, prefix: str) -> Segment:
    """A segment whose stages run one by one, each measured; it keeps its number, and so its random numbers."""
    timed = copy(segment)
    functions = []
    for label, stage in segment.stages:
        functions.append((f"{prefix}{_name(label, stage)}", as_function(label, stage)))
    timed.function = partial(_measured, functions)
    return timed


def _measured(functions: Sequence[tuple[str, Callable[[Any], Any]]], data: Any) -> Any:
    seconds = _TASK.seconds
    for name, function in functions:
        start = perf_counter()
        data = function(data)
        seconds[name] = seconds.get(name, 0.0) + perf_counter() - start
    return data


def _table(title: str, rows: Sequence[ProfileRow]) -> list[str]:
    width = max([len(title), *(len(row.name) + 2 for row in rows)])
    lines = [f"{title:<{width}}  {'%':>5}  {'ms a batch':>10}"]
    for row in rows:
        lines.append(f"  {row.name:<{width - 2}}  {row.per_cent:>5.1f}  {row.per_batch:>10.3f}")
    return lines
