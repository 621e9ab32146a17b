"""Transforms whose work an object of `bridgeflow.signal` does, which knows how to go on from chunk to chunk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.along_time import TimeTransform
from bridgeflow.transforms.reach import Reach

__all__ = ["Live", "LiveTransform"]


class Live(Protocol):
    """What does the work. It may have a `stream_obstacle`, a `latency` and a `reach` too."""

    def __call__(self, x: Any, /) -> Any:
        """The whole array at once."""

    def out_spec(self, spec: ArraySpec, /) -> ArraySpec:
        """What comes of an array described by `spec`."""

    def init_state(self, spec: ArraySpec, /) -> Any:
        """The state before the first chunk."""

    def step(self, x: Any, state: Any, /) -> tuple[Any, Any]:
        """One chunk."""

    def flush(self, state: Any, /) -> Any | None:
        """What is left at the end."""


@dataclass(frozen=True, kw_only=True)
class LiveTransform(TimeTransform):
    """A thin shell around `live`, which a subclass derives from its fields, and which refuses what cannot be met."""

    def __post_init__(self) -> None:
        self.live  # noqa: B018  refused here, when made, or never

    @cached_property
    def live(self) -> Live:
        """What does the work, on rows [..., time]."""
        raise NotImplementedError

    def transform_rows(self, x: Any) -> Any:
        """The whole array at once."""
        return self.live(x)

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """What the worker promises."""
        return self.live.out_spec(spec)

    @property
    def stream_obstacle(self) -> str:
        """Choices that need samples which have not come yet; empty where there are none."""
        reason = getattr(self.live, "stream_obstacle", "")
        return f"{type(self).__name__}: {reason}" if reason else ""

    @property
    def latency(self) -> int:
        """By how many samples the output of a stream lags behind its input, at most."""
        return int(getattr(self.live, "latency", 0))

    @property
    def reach(self) -> Reach | None:
        """How far the worker looks, where it says so."""
        reach = getattr(self.live, "reach", None)
        return None if reach is None else Reach(*reach)

    def rows_state(self, spec: ArraySpec) -> Any:
        """What is carried before the first chunk."""
        self.rows_spec(spec.with_time(None))
        return self.live.init_state(spec)

    def step_rows(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One chunk: bit for bit its part of the whole."""
        return self.live.step(x, state)

    def flush_rows(self, state: Any) -> Any | None:
        """What was still held back."""
        return self.live.flush(state)
