"""Arguments of a type that a function does not take: named in place of Python's own error about them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, wraps
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from bridgeflow.bridge import kind_of
from bridgeflow.errors import BridgeflowError, NoRoute, name_error, printable
from bridgeflow.signal._numbers import as_number

__all__ = ["names_arguments"]

F = TypeVar("F", bound=Callable[..., Any])


def names_arguments(function: F) -> F:
    """A public function whose errors begin with its name, and name the argument whose type it does not take.

    Raises:
        NoRoute: where the function ends in a TypeError or ValueError of Python's or NumPy's, and an argument is not of
            the type that its hint says.
    """

    @wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except BridgeflowError as error:
            name_error(error, function.__name__)
            raise
        except (TypeError, ValueError) as error:
            parameters = inspect.signature(function).parameters
            for name, value in {**dict(zip(parameters, args, strict=False)), **options}.items():
                hint = _hints(function).get(name, Any)
                if not _is_a(value, hint):
                    shown = printable(repr(value), 60)
                    raise NoRoute(
                        "dtype",
                        f"{function.__name__}: {name} must be {_spelled(hint)}, got {shown}",
                        f"see help(bridgeflow.signal.{function.__name__})",
                    ) from error
            raise

    return called  # type: ignore[return-value]


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(function)


def _is_a(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, numbers and arrays of any kind being as good as Python's."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if origin is Annotated:
        return _is_a(value, inner[0])
    if origin in (Union, UnionType):
        return any(_is_a(value, one) for one in inner)
    if origin is Literal:
        return True  # words are checked by `parse_word`, which names the option
    if hint in (int, float):
        number = as_number(value)
        return isinstance(number, (int,) if hint is int else (int, float)) and not isinstance(number, bool)
    if origin is tuple:
        items = inner[:1] * len(value) if isinstance(value, tuple) and inner[-1] is Ellipsis else inner
        return isinstance(value, tuple) and len(value) == len(items) and all(map(_is_a, value, items))
    if (origin or hint) is np.ndarray:
        return kind_of(value) is not None
    if origin is not None and isinstance(value, (str, bytes)):
        return False
    if origin is not None and isinstance(value, (list, tuple)) and len(inner) == 1:
        return all(_is_a(item, inner[0]) for item in value)
    return value is None if hint in (None, type(None)) else isinstance(value, origin or hint)


def _spelled(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _spelled(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_spelled, inner)))
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is tuple:
        return f"a tuple ({', '.join('...' if one is Ellipsis else _spelled(one) for one in inner)})"
    words = {int: "an integer", float: "a number", bool: "True or False", str: "a text", type(None): "None"}
    if hint in words:
        return words[hint]
    if (origin or hint) is np.ndarray:
        return "an array"
    return "a function" if "Callable" in str(hint) else "a sequence"
