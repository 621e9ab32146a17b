"""torchvision's v2 transforms by name, so that configurations can hold them: `torchvision.Resize`.

A name is one of `registry.TORCHVISION`, and means the class of the installed torchvision that has it. Arguments are
plain values, compared with the signature; what a signature wants to be called is never taken from a configuration.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from numbers import Number
from types import NoneType, UnionType
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from bridgeflow._optional import require
from bridgeflow.errors import ConfigError, StageId, nearest, quoted
from bridgeflow.transforms.base import Transform
from bridgeflow.transforms.fields import plain
from bridgeflow.transforms.plan import UNKNOWN, Opaque, Plan

__all__ = ["Torchvision", "named"]

_Self = TypeVar("_Self", bound="Torchvision")


@dataclass(frozen=True, kw_only=True)
class Torchvision(Transform):
    """A v2 transform of torchvision, which is given the whole sample, as it is in a `v2.Compose`.

    Args:
        name: of the transform, `torchvision.Resize`.
        arguments: name and plain value of each argument: numbers, text, lists as tuples; `"float32"` for a dtype, the
            words of an enumeration (`"bilinear"`) for its members.

    Raises:
        ConfigError: no such transform or argument, or a value of another type.
        MissingDependency: torchvision does not import.
    """

    global_random: ClassVar[bool] = True

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        self.module  # noqa: B018  refused here, when made, or never

    @cached_property
    def module(self) -> Any:
        """The transform of torchvision."""
        cls = _class_of(self.name)
        values = {name: _value(self.name, name, _hints(cls).get(name, Any), value) for name, value in self.arguments}
        _require_arguments(self.name, cls, values)
        try:
            return cls(**values)
        except (TypeError, ValueError, RuntimeError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
            raise ConfigError(f"{self.name}: {error}") from error

    def __call__(self, data: Any, /, *more: Any) -> Any:
        """What torchvision makes of the sample."""
        return self.module(data, *more)

    def plan(self, data: Any, stage: StageId | None = None) -> Plan:
        """Nothing is known beforehand."""
        opaque = Opaque(stage=stage or StageId.of(self), detail=f"{self.name}: says nothing of what it does")
        return Plan((opaque,), UNKNOWN, (self.stream_obstacle,))

    @property
    def random(self) -> bool:
        """Whether it is an augmentation: torchvision calls these `Random...`, or they draw from a policy."""
        return self.name.partition(".")[2].startswith(_RANDOM)

    @property
    def stream_obstacle(self) -> str:
        """torchvision's transforms have no state."""
        return f"{self.name} does not say how to carry on from one chunk to the next"

    def to_config(self) -> dict[str, Any]:
        """`{"torchvision.Resize": {"size": [224, 224]}}`."""
        return {self.name: {name: plain(value) for name, value in self.arguments}}


_RANDOM = (
    "Random",
    "AugMix",
    "AutoAugment",
    "ColorJitter",
    "ElasticTransform",
    "GaussianBlur",
    "GaussianNoise",
    "RandAugment",
    "ScaleJitter",
    "TrivialAugmentWide",
)


@cache
def named(name: str) -> type[Torchvision]:
    """The class that makes the transform of this name from the fields of a configuration."""
    return type(name, (_Named,), {"spelled": name, "__doc__": f"torchvision.transforms.v2.{name.partition('.')[2]}."})


class _Named(Torchvision):
    """What stands for one of torchvision's transforms in the registry; makes a `Torchvision`."""

    spelled: ClassVar[str] = ""

    @classmethod
    def field_names(cls, raw: Mapping[str, Any]) -> tuple[str, ...]:
        """The arguments of its signature."""
        return tuple(_parameters(_class_of(cls.spelled)))

    @classmethod
    def from_fields(cls: type[_Self], raw: Mapping[str, Any]) -> _Self:
        """The transform with these arguments."""
        arguments = tuple(sorted((name, _tuples(value)) for name, value in raw.items()))
        return Torchvision(name=cls.spelled, arguments=arguments)  # type: ignore[attr-defined, return-value]

    @classmethod
    def field_schema(cls) -> dict[str, Any]:
        """The JSON Schema: names of arguments, and which of them are needed."""
        parameters = _parameters(_class_of(cls.spelled))
        about = f"As torchvision.transforms.v2.{cls.spelled.partition('.')[2]} documents it."
        return {
            "type": "object",
            "description": about,
            "properties": {name: {"description": f"{one}. {about}"} for name, one in parameters.items()},
            "required": [name for name, one in parameters.items() if one.default is inspect.Parameter.empty],
            "additionalProperties": False,
        }


def _class_of(name: str) -> Any:
    v2 = require("torchvision.transforms.v2", needed_for=name)
    cls = getattr(v2, name.partition(".")[2], None)
    if not (isinstance(cls, type) and issubclass(cls, v2.Transform) and cls.__module__.startswith(v2.__name__)):
        raise ConfigError(f"there is no transform {quoted(name)} in the installed torchvision")
    return cls


def _parameters(cls: Any) -> dict[str, inspect.Parameter]:
    """The parameters that a configuration may give: those other than callables."""
    parameters = inspect.signature(cls.__init__).parameters
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: one for name, one in list(parameters.items())[1:] if one.kind in named}


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls.__init__)


def _require_arguments(name: str, cls: Any, values: Mapping[str, Any]) -> None:
    parameters = _parameters(cls)
    for one in values:
        if one not in parameters:
            raise ConfigError(f"{name} has no argument {quoted(one)}; {nearest(one, parameters)}", field=one)
    for one, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and one not in values:
            raise ConfigError(f"{name} needs the argument {one!r}", field=one)


def _value(name: str, field: str, hint: Any, value: Any) -> Any:
    """The value of an argument: as it is, or the dtype or member of an enumeration that its text names.

    Raises:
        ConfigError: its type is none of those in the signature.
    """
    kinds = set(_kinds(hint))
    members = {
        word: member
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, Enum)
        for member in kind
        for word in (member.name.lower(), member.value)
    }
    if isinstance(value, str):
        torch = require("torch", needed_for=name)
        if torch.dtype in kinds and isinstance(getattr(torch, value, None), torch.dtype):
            return getattr(torch, value)
        if value in members:
            return members[value]
    if _fits(value, kinds) and not (isinstance(value, str) and members):
        return value
    raise ConfigError(f"{name}: {field} takes {_words(kinds)}, got {quoted(plain(value))}", field=field)


def _kinds(hint: Any) -> Iterator[Any]:
    """The types of which a hint is made, those of elements left out."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        for one in get_args(hint):
            yield from _kinds(one)
    else:
        yield hint if origin is None else origin


def _fits(value: Any, kinds: set[Any]) -> bool:
    if value is None or isinstance(value, (bool, str)):
        return (NoneType if value is None else type(value)) in kinds or (isinstance(value, bool) and Any in kinds)
    if isinstance(value, int):
        return bool(kinds & {int, float, Number, Any})
    if isinstance(value, float):
        return bool(kinds & {float, Number, Any})
    if isinstance(value, tuple):
        of_lists = any(
            getattr(kind, "__name__", "") in {"Sequence", "list", "tuple", "List", "Tuple"} for kind in kinds
        )
        return of_lists and all(isinstance(one, (int, float, str, tuple, bool)) for one in value)
    return False


def _words(kinds: set[Any]) -> str:
    return " or ".join(sorted(getattr(kind, "__name__", str(kind)) for kind in kinds))


def _tuples(value: Any) -> Any:
    """Lists, as configurations write tuples, as tuples."""
    return tuple(_tuples(one) for one in value) if isinstance(value, (list, tuple)) else value
