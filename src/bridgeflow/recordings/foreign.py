"""What other packages call a recording, where a recording is expected: MNE's `Raw`, ObsPy's `Stream` and `Trace`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bridgeflow._optional import loaded
from bridgeflow.recordings.recording import Recording

__all__ = ["as_recording", "as_recordings", "is_foreign_recording"]


def is_foreign_recording(value: object) -> bool:
    """Whether a value is one of them; asked of packages that are loaded already.

    >>> is_foreign_recording("night.edf")
    False
    """
    mne, obspy = loaded("mne.io.base"), loaded("obspy.core.stream")
    if mne is not None and isinstance(value, mne.BaseRaw):
        return True
    return obspy is not None and isinstance(value, (obspy.Stream, obspy.Trace))


def as_recording(value: Any) -> Recording:
    """The recording of one of them.

    Raises:
        DataError: traces that overlap, or no samples.
    """
    if hasattr(value, "ch_names"):
        from bridgeflow.recordings.of_mne import from_raw

        return from_raw(value)
    from bridgeflow.recordings.of_obspy import from_stream

    return from_stream(value)


def as_recordings(values: Iterable[Any]) -> list[Any]:
    """Values with recordings in the place of those of other packages. Those that would be called alike are numbered."""
    results: list[Any] = []
    every = list(values)
    ids = {one.id for one in every if isinstance(one, Recording)}
    for value in every:
        if is_foreign_recording(value):
            one = as_recording(value)
            names = (one.id, *(f"{one.id}_{number}" for number in range(2, len(ids) + 3)))
            value = replace(one, id=next(name for name in names if name not in ids))
            ids.add(value.id)
        results.append(value)
    return results
