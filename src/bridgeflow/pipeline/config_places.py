"""Where in a configuration the values of a job are written, and which of these places an error is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from bridgeflow.errors import BridgeflowError, DataError, Location
from bridgeflow.pipeline.job_parts import JobSource

__all__ = ["Steps", "locate", "locate_source"]

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


def locate_source(error: BridgeflowError, source: JobSource, places: Mapping[Steps, Location]) -> None:
    """Give an error about the source its place: the column that it is about where the job names it, else the path."""
    columns = source.columns or ()
    if isinstance(error, DataError) and error.column in columns:
        locate(error, places, ("source", "columns", columns.index(error.column)))
    locate(error, places, ("source", source.format or ""))
