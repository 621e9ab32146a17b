"""Errors: each says where, what, what it got, and the remedy.

Every error that BridgeFlow raises on purpose is a `BridgeflowError`, and also the built-in type that a
reader of the calling code would expect (`ValueError`, `TypeError`, `KeyError`, ...), so existing handlers keep working.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import partial, wraps
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

__all__ = [
    "BatchTooLarge",
    "BridgeflowError",
    "CannotExport",
    "CannotFork",
    "CannotStream",
    "ConfigError",
    "CopyRefused",
    "DataError",
    "KeyNotFound",
    "Location",
    "MissingDependency",
    "NoRoute",
    "NonFinite",
    "NotSupported",
    "OutOfContext",
    "OutOfSharedMemory",
    "Reason",
    "StageId",
    "StaleHandle",
    "StoreError",
    "UnstableFilter",
    "UnsupportedSystem",
    "WorkerDied",
    "WorkerFailed",
    "at_place",
    "listed",
    "name_error",
    "names_errors",
    "naming",
    "nearest",
    "printable",
    "quoted",
    "readable",
]


class Location(NamedTuple):
    """Where something stands in a configuration: file, line and column (both from 1), and the keys that lead to it.

    >>> print(Location("job.yaml", 4, 26, "transforms[0].Scale.scale"))
    job.yaml:4:26: transforms[0].Scale.scale
    """

    file: str
    line: int
    column: int
    path: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" + (f": {self.path}" if self.path else "")


class StageId(NamedTuple):
    """Which stage of a composition: errors, plans and traces carry it, and it prints as text.

    Args:
        numbers: the numbers of the compositions that lead to the stage, and its own, each counted from 1; empty for a
            transform outside of compositions.
        name: the class of a transform, or the name of a function.

    >>> print(StageId((2, 1), "Scale"), StageId((), "Scale"), sep="; ")
    stage 2.1 (Scale); Scale
    """

    numbers: tuple[int, ...]
    name: str

    @classmethod
    def of(cls, stage: object, *numbers: int) -> StageId:
        """The identity of a transform or another callable."""
        while isinstance(stage, partial):
            stage = stage.func
        return cls(numbers, str(getattr(stage, "__name__", type(stage).__name__)))

    def within(self, outer: StageId | None) -> StageId:
        """The same stage, seen from outside of the composition that it is counted in.

        >>> StageId((1,), "Scale").within(StageId((2,), "Compose"))
        StageId(numbers=(2, 1), name='Scale')
        """
        return self if outer is None else StageId(outer.numbers + self.numbers, self.name)

    def __str__(self) -> str:
        return f"stage {'.'.join(map(str, self.numbers))} ({self.name})" if self.numbers else self.name


class BridgeflowError(Exception):
    """The root of all errors that BridgeFlow raises on purpose.

    Attributes, each set where it applies:
        function: the public function that was called, or what else an error begins with; empty for a message of SciPy's
            that has to begin as it does there.
        place: where in the data it happened.
        stage: in which stage of a composition.
        recording: in which of several recordings.
        location: where in a configuration the cause stands.
        field: the field of a transform that it is about.
    """

    function: str | None = None
    place: str = "$"
    stage: StageId | None = None
    recording: str = ""
    location: Location | None = None
    field: str | None = None

    def __str__(self) -> str:
        location = "" if self.location is None else str(self.location)
        recording = printable(self.recording, 200)
        words = (location, recording, self._where(), self.function or "", self._message())
        return ": ".join(word for word in words if word)

    def _where(self) -> str:
        words = (str(self.stage or ""), "" if self.place == "$" else self.place)
        return ", ".join(printable(word, 200) for word in words if word)

    def _message(self) -> str:
        return readable(str(self.args[0]) if len(self.args) == 1 else super().__str__())


_Error = TypeVar("_Error", bound=BridgeflowError)

_LONGEST_MESSAGE = 1_000

_COMPARED, _LONGEST_COMPARED = 1_000, 200
"""How many words a misspelt one is compared with, and how long they may be."""


Reason: TypeAlias = Literal[
    "asked",
    "bit-packed",
    "byte-order",
    "chunked",
    "conj-bit",
    "decode",
    "device",
    "dtype",
    "empty-storage",
    "functional",
    "grad",
    "layout",
    "masked",
    "neg-bit",
    "negative-stride",
    "no-data",
    "non-contiguous",
    "nulls",
    "odd-stride",
    "offsets",
    "overlap",
    "permutation",
    "process-owned",
    "ragged",
    "read-only",
    "subclass",
    "torch-owned",
    "unaligned",
    "unknown",
    "zero-dim",
]
"""Why a crossing copies or is refused."""


class _CrossingError(BridgeflowError):
    """A crossing that is not possible: `place` (where), `reason` (a word of `Reason`), `detail`, `remedy`."""

    def __init__(self, reason: Reason, detail: str, remedy: str, *, place: str = "$") -> None:
        self.place = place
        self.reason = reason
        self.detail = detail
        self.remedy = remedy
        super().__init__(reason, detail, remedy)

    def _where(self) -> str:
        place = printable(self.place, 200)
        return f"{self.stage}, {place}" if self.stage else place

    def _message(self) -> str:
        return readable(f"{self.detail} [{self.reason}]; {self.remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.reason, self.detail, self.remedy, self.place), self.__dict__


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


class NotSupported(DataError):
    """A file or column that is whole, of a kind that is not read or written here: a codec, an encoding, a type.

    `remedy` says what to do instead, where the message does not.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class CannotStream(BridgeflowError, TypeError):
    """A transform that needs the whole recording was asked to run chunk by chunk."""


class CannotExport(BridgeflowError, TypeError):
    """A stage of a pipeline has no module, or a format cannot say what a stage does; names the stage."""


class NonFinite(DataError):
    """NaN or infinity met where `nonfinite="raise"` holds; names the row and the first such sample."""


class UnstableFilter(BridgeflowError, ValueError):
    """A filter whose largest pole radius is 1 or more; its output would grow without bound."""


class ConfigError(BridgeflowError, ValueError):
    """An option that does not take its value, or a configuration that does not say what it must; with file, line and
    column where it came from a file.

    Args:
        message: what is wrong.
        field: the option, or field of a transform, that it is about, where it is about one.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        # BaseException.__new__ has kept the message; torch.compile cannot trace a call of BaseException.__init__
        if field is not None:
            self.field = field

    @property
    def file(self) -> str | None:
        """The configuration, as messages call it."""
        return None if self.location is None else self.location.file

    @property
    def line(self) -> int | None:
        """The line, from 1."""
        return None if self.location is None else self.location.line

    @property
    def column(self) -> int | None:
        """The column, from 1."""
        return None if self.location is None else self.location.column


class KeyNotFound(BridgeflowError, KeyError):
    """A key that matches nothing in the data; names the nearest that exist."""


class OutOfContext(BridgeflowError, LookupError):
    """Something was asked for that exists only while samples are being loaded."""


class MissingDependency(BridgeflowError, ImportError):
    """An optional package is needed and cannot be imported; says what needs it and how to install it."""


class OutOfSharedMemory(BridgeflowError, MemoryError):
    """Shared memory, or a file descriptor or address space for it, cannot be had.

    `needed` is how many bytes were asked for, `available` how many there are (`None` where unknown), `errno` the
    system's reason (0 where it is a limit of ours: too many handles sent and never opened).
    """

    def __init__(self, *, needed: int, number: int, available: int | None, handles: int | None = None) -> None:
        self.needed = needed
        self.errno = number
        self.available = available
        self.handles = handles
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        if self.handles is not None:
            return (
                f"{self.handles:,} handles were sent to other processes and not opened by any; open or drop them, or "
                "raise the limit of open files (ulimit -n), of which they may take a quarter"
            )
        memory = f"{self.needed:,} bytes of shared memory" if self.needed else "a handle of shared memory"
        left = "" if self.available is None else f", of which about {self.available:,} are left"
        if self.errno in (errno.EMFILE, errno.ENFILE):
            return f"{memory}: no file descriptor is left; drop arrays that share memory, or raise ulimit -n"
        if self.errno == errno.EFBIG:
            return f"{memory}: larger than files may be here; ask for less, or raise ulimit -f"
        return f"{memory}{left}: {os.strerror(self.errno)}; ask for less: smaller batches, fewer slots"

    def __reduce__(self) -> tuple[object, ...]:
        return _out_of_shared_memory, (self.needed, self.errno, self.available, self.handles)


def _out_of_shared_memory(needed: int, number: int, available: int | None, handles: int | None) -> OutOfSharedMemory:
    return OutOfSharedMemory(needed=needed, number=number, available=available, handles=handles)


class StaleHandle(BridgeflowError, ConnectionError):
    """A handle of shared memory leads nowhere any more: its sender has ended or no longer keeps the memory."""


class StoreError(BridgeflowError, OSError):
    """An object store cannot be reached, or refuses: names the URL, the cause, and how often it was tried."""


class UnsupportedSystem(BridgeflowError, NotImplementedError):
    """The operating system lacks what this needs; names both, and what does without it."""


class BatchTooLarge(BridgeflowError, ValueError):
    """A batch that does not fit into a slot of the ring, with both sizes in bytes."""

    batch_nbytes: int = 0
    slot_nbytes: int = 0


class CannotFork(BridgeflowError, RuntimeError):
    """A process that cannot be forked safely was about to be: raised before the fork."""


class WorkerDied(BridgeflowError, RuntimeError):
    """A worker process ended without being asked to: `exitcode` as multiprocessing has it (negative: the signal),
    `task` what it was working on (`None` where it was not), `attempts` how many workers that task has cost.
    """

    exitcode: int | None = None
    task: object = None
    attempts: int = 0


class WorkerFailed(BridgeflowError, RuntimeError):
    """What a worker raised, where the exception itself could not come across; its traceback is a note."""


def printable(text: str, limit: int | None = None) -> str:
    r"""Text from a file, a configuration or another library, fit for a terminal, a log or a message.

    Control, bidirectional and zero-width characters, lone surrogates and line breaks are escaped. With a `limit`, what
    is longer is cut in its middle, so that both ends can be read.

    >>> print(printable("a\x1b[31mb"))
    a\x1b[31mb
    >>> printable("column" * 1000, limit=20)
    'columncol...mncolumn'
    """
    if limit is not None and len(text) > limit:
        text = _cut(text, limit)  # escaping may make a text ten times as long
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
        if limit is not None and len(text) > limit:
            text = _cut(text, limit)
    return text


def listed(names: Iterable[object], *, most: int = 12) -> str:
    """Names one after the other, each cut to what a person reads; of many the first ones and their number.

    >>> listed(["ecg", "resp"]), listed(range(1000), most=2)
    ('ecg, resp', '0, 1 and 998 more')
    """
    every = list(names)
    shown = ", ".join(printable(str(name), 60) for name in every[:most])
    return shown + (f" and {len(every) - most:,} more" if len(every) > most else "")


def readable(message: str) -> str:
    """A message fit to be read: printable line by line, and cut in its middle where a value in it has no end."""
    if len(message) <= _LONGEST_MESSAGE and message.isprintable():
        return message
    return _cut("\n".join(map(printable, _cut(message, _LONGEST_MESSAGE).split("\n"))), _LONGEST_MESSAGE)


def _cut(text: str, limit: int) -> str:
    """The two ends of a text, `limit` characters in all, an ellipsis between them; a shorter text as it is."""
    if len(text) <= limit:
        return text
    tail = max(limit - 3, 0) // 2
    return f"{text[: max(limit - 3, 0) - tail]}...{text[len(text) - tail :]}"


def nearest(word: str, words: Iterable[str], *, count: int = 3) -> str:
    """The known words closest to an unknown one, as the tail of an error message.

    >>> nearest("Scael", ["Scale", "Cast"])
    "did you mean 'Scale'?"
    >>> nearest("x", ["Scale", "Cast"])
    "known: 'Cast', 'Scale'"
    """
    candidates = sorted(set(words))
    close: list[str] = []
    if len(word) <= _LONGEST_COMPARED:  # difflib takes time that grows with the square of the length
        alike = [one for one in candidates if len(word) <= 3 * len(one) and len(one) <= 3 * len(word)]
        close = get_close_matches(word, alike[:_COMPARED], n=count)
    if close:
        return f"did you mean {' or '.join(map(quoted, close))}?"
    if not candidates:
        return "there are none"
    shown = ", ".join(map(quoted, candidates[:12]))
    return f"known: {shown}" + (f" and {len(candidates) - 12} more" if len(candidates) > 12 else "")


def quoted(value: object) -> str:
    """A name or value as messages repeat it: as Python writes it, cut to what a person reads.

    >>> quoted("ecg"), quoted("e" * 1000)
    ("'ecg'", "'eeeeeeeeeeeeeeeeeeeeeeeeeeee...eeeeeeeeeeeeeeeeeeeeeeeeeee'")
    """
    return printable(repr(value), 60)


def name_error(error: _Error, name: str) -> _Error:
    """Let an error begin with the name of the function that was called, unless it does already or has another.

    >>> print(name_error(name_error(DataError("there are no samples"), "resample"), "decimate"))
    resample: there are no samples
    """
    if error.function is None and not error._message().startswith(name):
        error.function = name
    return error


class naming:
    """Errors that arise in this block begin with a name: `with naming("resample"): ...`."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if isinstance(error, BridgeflowError):
            name_error(error, self._name)


_Function = TypeVar("_Function", bound=Callable[..., Any])


def names_errors(name: str | Callable[[Any], str]) -> Callable[[_Function], _Function]:
    """Errors that arise in a function begin with a name.

    Args:
        name: the name; for a method also what gives it, of the object.

    >>> @names_errors("resample")
    ... def checked(num):
    ...     raise DataError("num must be a number")
    >>> checked("x")
    Traceback (most recent call last):
    bridgeflow.errors.DataError: resample: num must be a number
    """

    def decorate(function: _Function) -> _Function:
        @wraps(function)
        def named(*args: Any, **options: Any) -> Any:
            try:
                return function(*args, **options)
            except BridgeflowError as error:
                name_error(error, name if isinstance(name, str) else name(args[0]))
                raise

        return named  # type: ignore[return-value]

    return decorate


def at_place(error: _Error, place: str) -> _Error:
    """Put `place` in front of where an error happened, once, in the public function that knows the path."""
    error.place = place + error.place.removeprefix("$")
    return error
