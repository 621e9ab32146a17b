"""The words that options accept: one list each, checked in one place, shown by every schema."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import signature
from typing import Any, Final, Literal, TypeAlias, get_args

from bridgeflow.errors import ConfigError, nearest, quoted

__all__ = [
    "Across",
    "Action",
    "Bfloat16",
    "Copy",
    "Gaps",
    "Grad",
    "Kind",
    "Layout",
    "Nonfinite",
    "Nulls",
    "Ragged",
    "RecursiveGaps",
    "parse_copy",
    "parse_flag",
    "parse_integer",
    "parse_word",
    "refuse_arguments",
    "words",
]

Across: TypeAlias = Literal["thread", "process"]
"""Who shares a buffer: the threads of one process, or also other processes, through memory that has no owner."""

Kind: TypeAlias = Literal["torch", "numpy", "arrow", "pil", "dlpack", "capsule", "buffer", "array_like"]
"""Whose memory a value is."""

Action: TypeAlias = Literal["view", "copy", "move"]
"""What a crossing does: the same memory, new memory on the same device, new memory on another device."""

Copy: TypeAlias = Literal["auto", "never", "always"]
"""Copy only when needed; share or raise `CopyRefused`; memory of its own. `None`, `False`, `True` mean the same."""

Grad: TypeAlias = Literal["detach", "error"]
"""What to do with a tensor that requires grad."""

Bfloat16: TypeAlias = Literal["float32", "ml_dtypes", "uint16", "error"]
"""How bfloat16 and float8 (torch only) arrive in NumPy: exact float32, ml_dtypes' type, the raw bits, or not at all."""

Nulls: TypeAlias = Literal["error", "nan", "mask"]
"""What to do with Arrow nulls; a number instead of a word is a fill value."""

Ragged: TypeAlias = Literal["error", "jagged", "pad", "list"]
"""What to do with Arrow lists of unequal length."""

Layout: TypeAlias = Literal["HWC", "CHW"]
"""The axis order of an image array, declared and never guessed."""

Nonfinite: TypeAlias = Literal["raise", "propagate", "reset"]
"""What a filter does with NaN and infinity: an error that names the first such sample; let them through; NaN in the
gap, and a fresh start after it."""

Gaps: TypeAlias = Literal["raise", "propagate", "interpolate"]
"""What a transform along time does with NaN and infinity: an error that names the first such sample; let them through;
fill gaps up to a length on the line between their neighbours."""

RecursiveGaps: TypeAlias = Literal["raise", "propagate", "reset", "interpolate"]
"""The same where an IIR filter can start again after a gap, too."""

_COPY_WORDS: Final[dict[object, Copy]] = {
    "auto": "auto",
    "never": "never",
    "always": "always",
    None: "auto",
    False: "never",
    True: "always",
}


def words(alias: object) -> tuple[str, ...]:
    """The words of a `Literal` alias, in the order they were declared."""
    return tuple(get_args(alias))


def parse_word(value: object, alias: object, *, field: str) -> str:
    """`value` if it is one of the alias's words.

    Raises:
        ConfigError: it is not; lists them.

    >>> parse_word("pad", Ragged, field="ragged")
    'pad'
    """
    allowed = words(alias)
    if isinstance(value, str) and value in allowed:
        return value
    raise _refused(field, f"one of {', '.join(map(repr, allowed))}", value)


def parse_integer(value: Any, *, field: str, least: int) -> int:
    """A whole number of at least `least` as Python's own: NumPy's scalars are taken too, booleans are not.

    >>> parse_integer(4, field="batch_size", least=1)
    4
    """
    try:
        number = None if isinstance(value, bool) else int(value.__index__())
    except (AttributeError, TypeError):
        number = None
    if number is None or number < least:
        raise _refused(field, f"a whole number of at least {least}", value)
    return number


def parse_flag(value: Any, *, field: str) -> bool:
    """`True` or `False`, NumPy's included; nothing else that happens to be true or false.

    >>> parse_flag(True, field="drop_last")
    True
    """
    if type(value).__name__ in ("bool", "bool_") and value in (True, False):
        return bool(value)
    raise _refused(field, "True or False", value)


def parse_copy(value: object) -> Copy:
    """The copy policy, from our words or the array API's `None`, `False`, `True`.

    >>> parse_copy(False)
    'never'
    """
    try:
        if value is None or isinstance(value, (str, int)):
            return _COPY_WORDS[value]  # 0 and 1 are False and True, as everywhere in Python
    except KeyError:
        pass
    raise _refused("copy", f"one of {', '.join(map(repr, words(Copy)))} (or None, False, True)", value)


def refuse_arguments(unknown: Iterable[str], cls: type) -> None:
    """Refuse keyword arguments that a class lacks.

    Raises:
        TypeError: there is one; names the argument of that name in PyTorch, or the nearest.
    """
    for name in unknown:
        arguments = [one for one in signature(cls).parameters if one != "unknown"]
        longer = [one for one in arguments if name in one.split("_")]
        if name == "pin_memory":
            hint = "device= a GPU stages batches in pinned memory"
        else:
            hint = f"did you mean {quoted(longer[0])}?" if len(longer) == 1 else nearest(name, arguments)
        raise TypeError(f"{cls.__name__}: no argument is called {quoted(name)}; {hint}")


def _refused(field: str, expected: str, value: object) -> ConfigError:
    return ConfigError(f"{field} must be {expected}, got {value!r}", field=field.rpartition(" ")[2])
