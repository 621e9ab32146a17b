"""Fields of a transform, to and from plain configuration values; pydantic does the checking, and only when asked."""

from __future__ import annotations

import dataclasses
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_type_hints

from bridgeflow import ranges
from bridgeflow.errors import ConfigError, at_place, nearest, quoted
from bridgeflow.transforms.meanings import meanings_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["field_names", "field_schema", "hint_schema", "parse_field", "parse_fields", "plain", "refuse_outside"]


@lru_cache(maxsize=256)
def _adapters(cls: type) -> dict[str, TypeAdapter[Any]]:
    from pydantic import TypeAdapter

    hints = dict(_hints(cls))
    return {field.name: TypeAdapter(hints[field.name]) for field in _fields(cls)}


@lru_cache(maxsize=256)
def _hints(cls: type) -> dict[str, Any]:
    """The types of the fields, with the ranges of their numbers."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in _fields(cls)}


def refuse_outside(transform: object) -> None:
    """Refuse a transform with a number outside of its field's range.

    Raises:
        ConfigError: naming the field, the range and the number.
    """
    cls: type = type(transform)
    ranges.refuse_outside(_hints(cls), transform, what=cls.__name__)


def _fields(cls: type) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(cls) if field.init]


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def field_names(cls: type) -> tuple[str, ...]:
    """The names of the fields that a transform is made with."""
    return tuple(field.name for field in _fields(cls))


def parse_fields(cls: type, raw: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments for `cls` from configuration values of the very type: `"1"` is not a number, `true` is not 1.

    Raises:
        ConfigError: an unknown or a missing field, or a value of the wrong type; its `field` names it.
    """
    by_name = {field.name: field for field in _fields(cls)}
    for name in raw:
        if name not in by_name:
            raise ConfigError(f"{cls.__name__} has no field {quoted(name)}; {nearest(str(name), by_name)}")
    for name, field in by_name.items():
        if _required(field) and name not in raw:
            raise ConfigError(f"{cls.__name__} needs the field {name!r}", field=name)
    return {name: parse_field(cls, name, value) for name, value in raw.items()}


def parse_field(cls: type, name: str, value: Any) -> Any:
    """The value of one field from a configuration.

    Raises:
        ConfigError: it has the wrong type, or lies outside of its range; names the field.
    """
    from pydantic import ValidationError

    try:
        # Strict about types, but in JSON's eyes: a list is how a tuple is written, an integer is a number.
        parsed = _adapters(cls)[name].validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        reasons = dict.fromkeys(problem["msg"] for problem in error.errors())
        message = f"{cls.__name__}: {' or: '.join(reasons)}; got {quoted(value)}"
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{cls.__name__}: {quoted(value)} is not a plain value ({error})"
    else:
        if wrong := ranges.problem(_hints(cls)[name], parsed):
            raise ConfigError(f"{cls.__name__}: {name} {wrong}", field=name)
        return parsed
    raise at_place(ConfigError(message, field=name), f"$.{name}")


def plain(value: Any) -> Any:
    """A field's value as configuration files hold it: tuples become lists.

    >>> plain((1, ("a", None)))
    [1, ['a', None]]
    """
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def hint_schema(hint: Any) -> dict[str, Any]:
    """The JSON Schema of a type.

    >>> hint_schema(int)
    {'type': 'integer'}
    """
    from pydantic import TypeAdapter

    return TypeAdapter(hint).json_schema()


def field_schema(cls: type) -> dict[str, Any]:
    """The JSON Schema of the fields."""
    properties, definitions, meanings = {}, {}, meanings_of(cls)
    for field in _fields(cls):
        one = _adapters(cls)[field.name].json_schema(ref_template="#/$defs/{model}")
        definitions.update(one.pop("$defs", {}))
        if not _required(field):
            one["default"] = plain(field.default)
        if field.name in meanings:
            one["description"] = meanings[field.name]
        properties[field.name] = one
    return {
        "type": "object",
        "description": (cls.__doc__ or "").strip().partition("\n")[0],
        "properties": properties,
        "required": [field.name for field in _fields(cls) if _required(field)],
        "additionalProperties": False,
        **({"$defs": definitions} if definitions else {}),
    }
