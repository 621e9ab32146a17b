"""Where in a configuration the values of a job are written, and which of these places an error is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from bridgeflow.errors import BridgeflowError, DataError, Location
from bridgeflow.pipeline.job_parts import JobSource

__all__ = ["Steps", "locate", "locate_recordings", "locate_source"]

Steps: TypeAlias = tuple["str | int", ...]
"""The way to a value of a configuration: keys and list positions."""


def locate(error: BridgeflowError, places: Mapping[Steps, Location], steps: Steps, further: Steps = ()) -> None:
    """Give an error that has none the place of what `steps` lead to, or of the nearest above it that is written.

    Args:
        further: steps below, taken only where they are written to the end.
    """
    if error.location is not None or not places:
        return
    if further and (*steps, *further) in places:
        steps = (*steps, *further)
    while steps not in places and steps:
        steps = steps[:-1]
    error.location = places.get(steps)


def locate_source(
    error: BridgeflowError, source: JobSource, places: Mapping[Steps, Location], steps: Steps = ("source",)
) -> None:
    """Give an error about the source its place: the column that it is about where the job names it, else the path."""
    columns = source.columns or ()
    if isinstance(error, DataError) and error.column in columns:
        locate(error, places, (*steps, "columns", columns.index(error.column)))
    locate(error, places, (*steps, source.format or ""))


def locate_recordings(
    error: BridgeflowError,
    channels: str | Sequence[str] | None,
    columns: Mapping[str, str | Sequence[str]] | None,
    places: Mapping[Steps, Location],
    source: Steps = ("source",),
) -> None:
    """Give an error about recordings its place: the option or the channel that it is about, else what names them.

    Args:
        channels, columns: of the source.
        source: where it is written.
    """
    if error.field is not None and (*source, error.field) in places:
        locate(error, places, (*source, error.field))
    named = getattr(error, "column", None)
    if named is not None:
        chosen: list[Steps] = [
            (*source, "channels", number) for number, one in enumerate(channels or ()) if one == named
        ]
        chosen += [(*source, "channels")] if channels == named else []
        for key, names in (columns or {}).items():
            within = enumerate(names) if not isinstance(names, str) else ()
            chosen += [(*source, "columns", key, number) for number, one in within if one == named]
            chosen += [(*source, "columns", key)] if names == named else []
        chosen += [(*source, "columns", named)]
        if where := next((steps for steps in chosen if steps in places), None):
            locate(error, places, where)
    for key in ("recordings", "table", "index"):
        if (*source, key) in places:
            locate(error, places, (*source, key))
