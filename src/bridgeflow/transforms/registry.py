"""The closed list of transforms: what a configuration may name, and nothing else.

A transform enters it by `@register` when its module is imported. Nothing is looked up by dotted path, and nothing is
scanned for: a plugin's transforms are known once the plugin has been imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from bridgeflow.errors import ConfigError, nearest, quoted

__all__ = ["TORCHVISION", "is_name", "lookup", "names", "register", "schema", "split_config"]

_Class = TypeVar("_Class", bound="type[Any]")

_REGISTERED: dict[str, type[Any]] = {}
"""Subclasses of `Transform`, whose module needs this one."""

_V2 = """
AugMix AutoAugment CenterCrop ClampBoundingBoxes ClampKeyPoints ColorJitter ConvertBoundingBoxFormat ConvertImageDtype
ElasticTransform FiveCrop GaussianBlur GaussianNoise Grayscale Identity JPEG Normalize Pad PILToTensor RandAugment
RandomAdjustSharpness RandomAffine RandomAutocontrast RandomChannelPermutation RandomCrop RandomEqualize RandomErasing
RandomGrayscale RandomHorizontalFlip RandomInvert RandomIoUCrop RandomPerspective RandomPhotometricDistort
RandomPosterize RandomResize RandomResizedCrop RandomRotation RandomShortestSize RandomSolarize RandomVerticalFlip
RandomZoomOut Resize RGB ScaleJitter TenCrop ToDtype ToImage ToPILImage ToPureTensor TrivialAugmentWide
UniformTemporalSubsample
"""

TORCHVISION = tuple(f"torchvision.{name}" for name in _V2.split())
"""Names of torchvision's v2 transforms that a configuration may use: those whose arguments are plain values."""


def register(cls: _Class) -> _Class:
    """Class decorator: make a transform known by its class name, to configurations and to the contract suite.

    Stands above `@dataclass`. Running the same definition again (a notebook cell, a module reload) replaces the class.

    Raises:
        ValueError: another class has the name already.
    """
    if not cls.__module__.startswith("bridgeflow."):
        _load_ours()  # whose names are taken, wherever a plugin comes first
    before = _REGISTERED.get(cls.__name__)
    if before is not None and _origin(before) != _origin(cls):
        raise ValueError(
            f"register: the name {cls.__name__!r} is taken by {'.'.join(_origin(before))}; "
            f"call the class in {cls.__module__} something else"
        )
    _REGISTERED[cls.__name__] = cls
    return cls


def _origin(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


@cache
def _load_ours() -> None:
    """Register our own: each is registered where its module is imported, and a package imports none until asked."""
    package = import_module("bridgeflow.transforms")
    for name in package.__all__:
        getattr(package, name)


def _known(name: str) -> type[Any] | None:
    """The transform of that name, for which no other is imported; `None` where there is none."""
    package = import_module("bridgeflow.transforms")
    if name not in _REGISTERED and name in package.__all__:
        getattr(package, name)
    return _REGISTERED.get(name)


def _registered() -> dict[str, type[Any]]:
    """All that are known, ours included."""
    _load_ours()
    return _REGISTERED


def names() -> tuple[str, ...]:
    """The names of all transforms, sorted.

    >>> {"Scale", "ToTensor"} <= set(names())
    True
    """
    return tuple(sorted(_registered()))


def lookup(name: str) -> type[Any]:
    """The transform of that name.

    Raises:
        ConfigError: there is none; names the nearest.

    >>> lookup("Scael")
    Traceback (most recent call last):
    bridgeflow.errors.ConfigError: there is no transform 'Scael'; did you mean 'Scale'?
    """
    if (known := _known(name)) is not None:
        return known
    if name in TORCHVISION:
        return import_module("bridgeflow.transforms.torchvision_v2").named(name)  # type: ignore[no-any-return]
    registered = _registered()
    hint = nearest(name, [*registered, *TORCHVISION] if name.startswith("torchvision") else registered)
    raise ConfigError(f"there is no transform {quoted(name)}; {hint}")


def is_name(name: str) -> bool:
    """Whether a configuration may use the name: of a registered transform, or of one of torchvision's."""
    return _known(name) is not None or name in TORCHVISION


def split_config(config: object) -> tuple[str, dict[str, Any]]:
    """The name and the raw fields in a configuration: `{"Scale": {"scale": 0.005}}`, or just `"Detach"`.

    >>> split_config({"Scale": {"scale": 0.005}}), split_config("Detach")
    (('Scale', {'scale': 0.005}), ('Detach', {}))
    """
    if isinstance(config, str):
        return config, {}
    if isinstance(config, Mapping) and len(config) == 1:
        ((name, fields),) = config.items()
        if isinstance(name, str) and (fields is None or isinstance(fields, Mapping)):
            return name, dict(fields or {})
    raise ConfigError(f"a transform is written as Name or as {{Name: {{field: value}}}}, got {quoted(config)}")


def schema(*, filled: Iterable[str] = ()) -> dict[str, Any]:
    """The JSON Schema of one transform in a configuration, whichever it is; each is defined under `$defs`.

    Args:
        filled: fields that the reader of the configuration fills in where they are left out: none requires them.
    """
    fields = {name: _REGISTERED[name].field_schema() for name in names()}
    for one in fields.values():
        one["required"] = [field for field in one.get("required", ()) if field not in filled]
    bare = [name for name, one in fields.items() if not one.get("required")]
    return {
        "$defs": {
            **{name: {**one, "type": ["object", "null"]} if name in bare else one for name, one in fields.items()},
            "transform": {
                "description": "One transform: `Name` or `Name: {field: value}`, or as Hydra or Lightning spell it.",
                "oneOf": [
                    {"enum": [*bare, *TORCHVISION]},
                    {
                        "type": "object",
                        "properties": {
                            **{name: {"$ref": f"#/$defs/{name}"} for name in fields},
                            **{name: _torchvision_schema(name) for name in TORCHVISION},
                        },
                        "additionalProperties": False,
                        "minProperties": 1,
                        "maxProperties": 1,
                    },
                    *_spelled_schemas(fields),
                ],
            },
        },
        "$ref": "#/$defs/transform",
    }


def _torchvision_schema(name: str) -> dict[str, Any]:
    """Of the arguments of one of torchvision's transforms, which is not imported for it."""
    about = f"Arguments of torchvision.transforms.v2.{name.partition('.')[2]}, as torchvision documents them."
    return {"type": ["object", "null"], "description": about}


def _spelled_schemas(names: Iterable[str]) -> list[dict[str, Any]]:
    """Of transforms as files of Hydra and Lightning spell them."""
    targets = [f"bridgeflow.{name}" for name in names]
    targets += [f"torchvision.transforms.v2.{name.partition('.')[2]}" for name in TORCHVISION]
    target = {"type": "string", "examples": targets, "description": "The path of a registered transform."}
    arguments = {"type": ["object", "null"], "description": "Its fields."}
    return [
        {"type": "object", "properties": {"_target_": target}, "required": ["_target_"]},
        {
            "type": "object",
            "properties": {"class_path": target, "init_args": arguments},
            "required": ["class_path"],
            "additionalProperties": False,
        },
    ]
