"""How a configuration may name a transform: by its class, or as files of Hydra and Lightning spell targets.

A spelled target (`bridgeflow.SignalFilter`) is compared with the names that registered transforms have; nothing is
imported by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridgeflow.errors import ConfigError, nearest, quoted
from bridgeflow.transforms.registry import is_name, lookup, names

__all__ = ["HYDRA", "LIGHTNING", "name_of_target", "spelled"]

HYDRA = "_target_"
"""The key of a map of Hydra that says what it makes; the others are arguments."""

LIGHTNING = ("class_path", "init_args")
"""The keys of a map of Lightning's command line: what it makes, and its arguments."""

_OURS = ("bridgeflow.", "bridgeflow.transforms.")
_TORCHVISION = "torchvision.transforms.v2."


def spelled(keys: Mapping[str, Any]) -> str:
    """The key that holds the target in a map that Hydra or Lightning would read; empty where it is none.

    >>> spelled({"_target_": "bridgeflow.Scale", "scale": 2}), spelled({"Scale": {}})
    ('_target_', '')
    """
    if HYDRA in keys:
        return HYDRA
    return LIGHTNING[0] if LIGHTNING[0] in keys and set(keys) <= set(LIGHTNING) else ""


def name_of_target(target: object) -> str:
    """The name under which the transform of a dotted path is registered.

    Raises:
        ConfigError: no registered transform has that path.

    >>> name_of_target("bridgeflow.Scale"), name_of_target("torchvision.transforms.v2.Resize")
    ('Scale', 'torchvision.Resize')
    """
    if isinstance(target, str):
        if target.startswith(_TORCHVISION) and is_name(name := f"torchvision.{target.removeprefix(_TORCHVISION)}"):
            return name
        paths = {path: name for name in names() for path in _paths(name)}
        if target in paths:
            return paths[target]
        raise ConfigError(f"no registered transform is {quoted(target)}; {nearest(target, paths)}")
    raise ConfigError(f"a target is the path of a registered transform, got {quoted(target)}")


def _paths(name: str) -> list[str]:
    cls = lookup(name)
    own = f"{cls.__module__}.{cls.__qualname__}"
    return [own, *(f"{prefix}{name}" for prefix in _OURS)] if cls.__module__.startswith("bridgeflow.") else [own]
