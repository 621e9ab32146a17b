"""Which way each continuous stage of a pipeline goes over a recording, and the chains of them over many recordings."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, TypeAlias

import numpy as np

from bridgeflow._forks import renew_in_children
from bridgeflow.bridge import has_numpy_dtype
from bridgeflow.errors import BridgeflowError, CannotStream, ConfigError, StageId, at_place
from bridgeflow.io.disk_cache import DiskCache
from bridgeflow.pipeline.grid_states import Carried, Returning, StateStorage
from bridgeflow.pipeline.saved_states import SavedStates, saved_states
from bridgeflow.pipeline.stretches import (
    Across,
    EveryNth,
    Nearby,
    Recorded,
    Stacked,
    StretchCache,
    Stretches,
    Summarized,
    Whole,
)
from bridgeflow.signal.two_passes import TwoPasses
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.base import LeafTransform
from bridgeflow.transforms.facts import RecordingFacts
from bridgeflow.tree import place

__all__ = ["ChainSettings", "Chains", "WholeRecordings", "add_stage", "in_recording", "spec_after"]

WholeRecordings: TypeAlias = Literal["refuse", "cache"]
"""What happens to a stage before the windows that needs the whole recording: an error that names it; or it is computed
once for each recording, whole in memory, and kept while the cache has room."""


class ChainSettings:
    """What the chains of a dataset share.

    Args:
        whole: a word of `WholeRecordings`.
        state_nbytes: bytes of states for one recording.
        cache_nbytes: bytes of stretches computed lately, of all recordings together.
        disk: where states are kept between programs.
    """

    def __init__(
        self, whole: WholeRecordings, state_nbytes: int, cache_nbytes: int, disk: DiskCache | None = None
    ) -> None:
        self.whole = whole
        self.state_nbytes = state_nbytes
        self.disk = disk
        self.cache = StretchCache(cache_nbytes)


def spec_after(stage: LeafTransform, spec: ArraySpec) -> ArraySpec:
    """What a continuous stage makes of a whole recording [channels, time].

    Raises:
        ConfigError: the result has no time axis, or is nothing that windows are cut out of.
    """
    stage = stage.at_rate(spec.fs)
    result = stage.out_spec(spec)
    is_own = type(stage).__module__.startswith("bridgeflow.")
    problem = ""
    if result.kind not in {"numpy", "torch"} or result.device == "meta":
        what = "tensors without data" if result.kind == "torch" else f"values of kind {result.kind}"
        problem = f"gives {what}, and windows are cut out of ndarrays and tensors"
    elif is_own and spec.fs is not None and result.fs is None and spec.ndim - 1 in (stage.core_axes(spec.ndim) or ()):
        problem = "gives no signals along time, which windows are cut out of"
    if problem:
        raise ConfigError(f"{type(stage).__name__} stands before the windows and {problem}; put it after Window")
    return result if result.fs is not None or spec.fs is None else result.fresh(fs=spec.fs * float(stage.rate_factor))


def in_recording(
    stages: Sequence[tuple[StageId | None, LeafTransform]], spec: ArraySpec, facts: RecordingFacts, name: str
) -> tuple[list[tuple[StageId | None, LeafTransform]], ArraySpec, tuple[str, ...] | None]:
    """The stages as they are for one column of one recording, and what comes after them: its spec and channel names.

    Args:
        spec: of the column, or of a segment of it.
        facts: what is known of the recording; the names are those of the column's channels.
        name: of the column.
    """
    bound = []
    for label, stage in stages:
        try:
            stage = stage.in_recording(facts).at_rate(spec.fs)
            after = spec_after(stage, spec)
        except BridgeflowError as error:
            error.stage, error.recording = error.stage or label, error.recording or facts.recording
            at_place(error, place([name]))
            raise
        names = None if facts.channels is None else stage.channels_after(facts.channels)
        if names is not None and (after.ndim != spec.ndim or after.shape[-2] != len(names)):
            names = None
        facts, spec = facts._replace(channels=names), after
        bound.append((label, stage))
    return bound, spec, facts.channels


def add_stage(
    source: Stretches, stage: LeafTransform, settings: ChainSettings, saved: SavedStates | None = None
) -> Stretches:
    """A signal after one stage more, by the first way that has the bits of the whole.

    Args:
        saved: where its states are kept between programs.

    Raises:
        CannotStream: the stage needs the whole recording, and that is refused.
    """
    stage = stage.at_rate(source.spec.fs)
    spec, ndim = spec_after(stage, source.spec), source.spec.ndim
    core = stage.core_axes(ndim)
    if core is not None and ndim - 1 not in core:
        return Nearby(source, stage, spec) if stage.pointwise else Across(source, stage, spec)
    along_last = -ndim <= stage.time_axis < ndim and range(ndim)[stage.time_axis] == ndim - 1
    storage = StateStorage(settings.cache, settings.state_nbytes, saved)
    on_cpu = source.spec.kind in {"numpy", "torch"} and source.spec.device == "cpu"
    if along_last and on_cpu:
        if stage.summarizes:
            return Summarized(source, stage, spec)
        if stage.reach is not None:
            return Nearby(source, stage, spec)
        if stage.two_passes is not None and source.spec.kind == "numpy" and has_numpy_dtype(source.spec.dtype):
            filter, step = stage.two_passes
            passes = TwoPasses(filter, np.dtype(source.spec.dtype))
            if not passes.obstacle:
                back_rate = source.spec.fresh(dtype=spec.dtype)
                done = Returning(source, passes, back_rate, storage)
                return done if step == 1 else EveryNth(done, step)
        if stage.bank_passes and source.spec.kind == "numpy" and has_numpy_dtype(source.spec.dtype):
            bank = [TwoPasses(filter, np.dtype(source.spec.dtype)) for filter in stage.bank_passes]
            if not any(passes.obstacle for passes in bank):
                one = source.spec.fresh(dtype=spec.dtype)
                kept = [None if saved is None else saved.part(number) for number in range(len(bank))]
                budget = settings.state_nbytes // len(bank)
                each = [
                    Returning(source, passes, one, StateStorage(settings.cache, budget, own))
                    for passes, own in zip(bank, kept, strict=True)
                ]
                return Stacked(each, spec)
        if stage.streams_exactly and stage.stream_axis in {-1, spec.ndim - 1}:
            return Carried(source, stage, spec, storage)
    if settings.whole == "refuse":
        reason = stage.stream_obstacle or "its chunks have not the bits of the whole"
        raise CannotStream(
            f"{type(stage).__name__} stands before the windows and needs the whole recording ({reason}); put it after "
            "them, or pass whole='cache' to compute each recording once and keep it in memory"
        )
    return Whole(source, stage, spec, settings.cache)


class Chains:
    """The chains over the recordings used lately, whose states stay within a number of bytes."""

    def __init__(self, max_nbytes: int) -> None:
        self._max_nbytes = max_nbytes
        self.begin_in_child()
        renew_in_children(self)
        self._kept: OrderedDict[Hashable, tuple[Stretches, int]] = OrderedDict()

    def begin_in_child(self) -> None:
        """With a lock that is free."""
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], tuple[Stretches, int]]) -> Stretches:
        """The chain under a key.

        Args:
            make: gives it, and how many bytes it will keep, where there is none.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        chain, size = make()
        with self._lock:
            if key in self._kept:  # by another thread
                return self._kept[key][0]
            self._kept[key] = chain, size
            while sum(size for _, size in self._kept.values()) > self._max_nbytes and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return chain


def build(
    first: Recorded,
    stages: Sequence[tuple[StageId | None, LeafTransform]],
    settings: ChainSettings,
    name: str,
    recording: str,
) -> tuple[Stretches, int]:
    """The chain of stages over a column of a recording, and the bytes that it will keep."""
    chain: Stretches = first
    size = 1024
    for number, (label, stage) in enumerate(stages):
        saved = saved_states(settings.disk, first.column, first.segment, [one for _, one in stages[: number + 1]])
        try:
            chain = add_stage(chain, stage, settings, saved)
        except BridgeflowError as error:
            error.stage, error.recording = error.stage or label, error.recording or recording
            at_place(error, place([name]))
            raise
        size += chain.state_nbytes
    return chain, size
