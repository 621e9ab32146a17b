"""Channels chosen by name or pattern."""

from __future__ import annotations

from collections.abc import Sequence

from bridgeflow.errors import DataError, nearest, quoted
from bridgeflow.transforms.channel_names import matching_numbers

__all__ = ["Names", "as_names", "matching"]

Names = str | Sequence[str]
"""A name, a pattern with `*`, `?` or `[...]`, or several of them."""


def as_names(names: Names) -> tuple[str, ...]:
    """One name or several, as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


def matching(pattern: str, names: Sequence[str], *, recording: str) -> list[int]:
    """The numbers of the names that a name or a pattern means; none where it matches nothing.

    >>> matching("Fp*", ["Fp1", "ECG", "Fp2"], recording="s1")
    [0, 2]

    Raises:
        DataError: several channels have the one name.
    """
    numbers = matching_numbers(pattern, names)
    if len(numbers) > 1 and names[numbers[0]] == pattern:
        raise _named(
            f"{len(numbers)} channels are called {quoted(pattern)}; a pattern takes them all, one needs its own name",
            recording,
            pattern,
        )
    return numbers


def no_channel(pattern: str, names: Sequence[str], recording: str) -> DataError:
    """That a recording lacks a channel."""
    return _named(f"no channel matches {quoted(pattern)}; {nearest(pattern, names)}", recording, pattern)


def _named(message: str, recording: str, column: str) -> DataError:
    error = DataError(message)
    error.recording, error.column = recording, column
    return error
