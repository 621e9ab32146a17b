"""What a transform may be told of the recording that its data are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["RecordingFacts"]


class RecordingFacts(NamedTuple):
    """What is known of a recording beside its samples.

    Args:
        recording: its name.
        channels: the names of the channels of this column, after the stages before; `None` where they are not known.
        labels: what else is known of the recording: groups, columns of a table.
    """

    recording: str
    channels: tuple[str, ...] | None
    labels: Mapping[str, Any]
