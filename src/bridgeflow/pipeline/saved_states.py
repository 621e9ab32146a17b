"""States of filters over recordings, kept in a folder between programs.

A file is named by what the states depend on: the samples (a file's path, size and time, or the digest of an array), the
segment, the stages up to the one whose states they are, the grid, and the versions of what computed them.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np

from bridgeflow._optional import installed_versions
from bridgeflow._state import modules_of, pack_state, unpack_state
from bridgeflow.errors import DataError
from bridgeflow.io.disk_cache import DiskCache
from bridgeflow.signal.iir.engine import why_unavailable

__all__ = ["SavedStates", "saved_states"]

_KIND = "states"


class SavedStates:
    """Where the states of one stage over one segment of a column are kept.

    Args:
        cache: the folder.
        column: of a recording, with an `identity`.
        segment: its first sample and its end.
        stages: the continuous stages up to this one, as text.
    """

    def __init__(self, cache: DiskCache, column: Any, segment: tuple[int, int], stages: Sequence[str]) -> None:
        self._cache = cache
        self._column = column
        self._segment = segment
        self._stages = list(stages)

    def part(self, number: int) -> SavedStates:
        """Where the states of one of several filters of the stage are kept."""
        return SavedStates(self._cache, self._column, self._segment, [*self._stages, f"filter {number}"])

    def arrays(self, shape: tuple[int, ...], dtype: np.dtype[Any], count: int, grid: int) -> list[Any] | None:
        """Arrays of one shape, not to be written to; `None` where none are kept."""
        contents = self._cache.get(_KIND, self._identity(grid))
        size = int(np.prod(shape)) * dtype.itemsize
        if contents is None or len(contents) != count * size:
            return None
        together = np.frombuffer(contents, dtype).reshape(count, *shape)
        return list(together)

    def keep_arrays(self, arrays: Sequence[Any], grid: int) -> None:
        """Keep arrays of one shape and type."""
        self._cache.put(_KIND, self._identity(grid), b"".join(np.ascontiguousarray(one).tobytes() for one in arrays))

    def steps(self, stage: Any, first: Any, count: int, grid: int) -> tuple[list[Any], list[int]] | None:
        """The states before each block of a grid, and how many samples come out before it; `None` where none are kept.

        Args:
            first: the state before the first block, which the others are like.
            count: how many blocks.
        """
        contents = self._cache.get(_KIND, self._identity(grid))
        if contents is None:
            return None
        try:
            saved = json.loads(contents)
            places = [int(place) for place in saved["places"]]
            states = unpack_state(saved["states"], modules=modules_of(stage))
        except (DataError, ValueError, KeyError, TypeError, RecursionError):
            return None
        if len(places) != count - 1 or not isinstance(states, list) or len(states) != count - 1:
            return None
        if any(b < a for a, b in zip([0, *places], places, strict=False)) or not all(_alike(first, s) for s in states):
            return None
        return [first, *states], [0, *places]

    def keep_steps(self, stage: Any, states: Sequence[Any], places: Sequence[int], grid: int) -> None:
        """Keep states before each block; the first is the beginning, which is not kept."""
        try:
            packed = pack_state(list(states[1:]), modules=modules_of(stage))
        except DataError:  # a state that has no form outside of memory is computed again
            return
        text = json.dumps({"places": list(places[1:]), "states": packed}, separators=(",", ":"))
        self._cache.put(_KIND, self._identity(grid), text.encode())

    def _identity(self, grid: int) -> dict[str, Any]:
        return {
            "column": self._column.identity,
            "segment": list(self._segment),
            "stages": self._stages,
            "grid": grid,
            "packages": installed_versions("numpy", "scipy", "torch"),
            "machine": platform.machine(),
            "native": why_unavailable("native") is None,
        }


def saved_states(
    cache: DiskCache | None, column: Any, segment: tuple[int, int], stages: Sequence[Any]
) -> SavedStates | None:
    """Where the states of the last of these stages are kept; `None` without a cache, or with a stage that is not ours,
    whose code no version names.
    """
    if cache is None or not all(type(stage).__module__.startswith("bridgeflow.") for stage in stages):
        return None
    return SavedStates(cache, column, segment, [repr(stage) for stage in stages])


def _alike(a: Any, b: Any) -> bool:
    """Whether two states have the same form: names, lengths, types, and numbers of axes."""
    if hasattr(a, "dtype") and hasattr(b, "dtype"):  # an array without axes may have become a number of NumPy
        same = str(a.dtype) == str(b.dtype) and len(a.shape) == len(b.shape)
        return same and isinstance(a, (np.ndarray, np.generic)) == isinstance(b, (np.ndarray, np.generic))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[name], b[name]) for name in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_alike, a, b))
    return type(a) is type(b)
