"""What a dataset needs of recordings, and whether a source is such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeGuard

from bridgeflow.pipeline.stretches import RecordedColumn

__all__ = ["RecordingLike", "RecordingsLike", "is_recordings"]


class RecordingLike(Protocol):
    """A recording, as `bridgeflow.recordings` has it."""

    @property
    def id(self) -> str:
        """Its name among the others."""

    @property
    def columns(self) -> Mapping[str, RecordedColumn]:
        """Its signals."""

    @property
    def labels(self) -> Mapping[str, Any]:
        """What is known of it: groups, columns of a table."""


class RecordingsLike(Protocol):
    """Recordings, as `bridgeflow.recordings` has them, or a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> RecordingLike: ...


def is_recordings(source: object) -> TypeGuard[RecordingsLike]:
    """Whether a dataset's source is recordings rather than rows: a sequence of them, with or without a table."""
    if not isinstance(source, Sequence) and not (hasattr(source, "table") and hasattr(source, "__getitem__")):
        return False
    recordings: Any = source
    if not len(recordings):
        return hasattr(source, "table") and hasattr(source, "ids")
    return hasattr(recordings[0], "columns") and hasattr(recordings[0], "id")
