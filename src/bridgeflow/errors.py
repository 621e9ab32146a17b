"""Errors: each says where, what, what it got, and the remedy.

Every error that BridgeFlow raises on purpose is a `BridgeflowError`, and also the built-in type that a
reader of the calling code would expect (`ValueError`, `TypeError`, `KeyError`, ...), so existing handlers keep working.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TypeVar

from bridgeflow.policy import Reason

__all__ = [
    "BridgeflowError",
    "CannotStream",
    "ConfigError",
    "CopyRefused",
    "DataError",
    "KeyNotFound",
    "MissingDependency",
    "NoRoute",
    "NonFinite",
    "OutOfContext",
    "UnstableFilter",
    "at_place",
    "nearest",
]


class BridgeflowError(Exception):
    """The root of all errors that BridgeFlow raises on purpose.

    `place` is where in the data it happened, `stage` in which stage of a composition: set by whoever knows them.
    """

    place: str = "$"
    stage: str = ""

    def __str__(self) -> str:
        where = ", ".join(word for word in (self.stage, "" if self.place == "$" else self.place) if word)
        return f"{where}: {self._message()}" if where else self._message()

    def _message(self) -> str:
        return str(self.args[0]) if len(self.args) == 1 else super().__str__()


_Error = TypeVar("_Error", bound=BridgeflowError)


class _CrossingError(BridgeflowError):
    """A crossing that cannot be made: `place` (where), `reason` (a word of `policy.Reason`), `detail`, `remedy`."""

    def __init__(self, reason: Reason, detail: str, remedy: str, *, place: str = "$") -> None:
        self.place = place
        self.reason = reason
        self.detail = detail
        self.remedy = remedy
        super().__init__(reason, detail, remedy)

    def __str__(self) -> str:
        stage = f"{self.stage}, " if self.stage else ""
        return f"{stage}{self.place}: {self.detail} [{self.reason}]; {self.remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.reason, self.detail, self.remedy, self.place), {"stage": self.stage}


def _rebuild(cls: type[_CrossingError], reason: Reason, detail: str, remedy: str, place: str) -> _CrossingError:
    return cls(reason, detail, remedy, place=place)


class CopyRefused(_CrossingError, BufferError, ValueError):
    """`copy="never"` was asked for, and the crossing cannot share memory."""


class NoRoute(_CrossingError, TypeError):
    """The value has no faithful counterpart on the other side: refused rather than converted wrongly."""


class DataError(BridgeflowError, ValueError):
    """Input data that does not have the promised form: a file, a column, a shape, a dtype."""

    file: str | None = None
    column: str | None = None


class CannotStream(BridgeflowError, TypeError):
    """A transform that needs the whole recording was asked to run chunk by chunk."""


class NonFinite(DataError):
    """NaN or infinity met where `nonfinite="raise"` holds; names the row and the first such sample."""


class UnstableFilter(BridgeflowError, ValueError):
    """A filter whose largest pole radius is 1 or more; its output would grow without bound."""


class ConfigError(BridgeflowError, ValueError):
    """A configuration that does not say what it must, with file, line and column where it came from a file."""

    file: str | None = None
    line: int | None = None
    column: int | None = None


class KeyNotFound(BridgeflowError, KeyError):
    """A key that matches nothing in the data; names the nearest that exist."""


class OutOfContext(BridgeflowError, LookupError):
    """Something was asked for that exists only while samples are being loaded."""


class MissingDependency(BridgeflowError, ImportError):
    """An optional package is needed and cannot be imported; says what needs it and how to install it."""


def nearest(word: str, words: Iterable[str], *, count: int = 3) -> str:
    """The known words closest to an unknown one, as the tail of an error message.

    >>> nearest("Scael", ["Scale", "Cast"])
    "did you mean 'Scale'?"
    >>> nearest("x", ["Scale", "Cast"])
    "known: 'Cast', 'Scale'"
    """
    known = sorted(set(words))
    close = get_close_matches(word, known, n=count)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    if not known:
        return "there are none"
    shown = ", ".join(map(repr, known[:12]))
    return f"known: {shown}" + (f" and {len(known) - 12} more" if len(known) > 12 else "")


def at_place(error: _Error, place: str) -> _Error:
    """Put `place` in front of where an error happened, once, at the public door that knows the path."""
    error.place = place + error.place.removeprefix("$")
    return error
