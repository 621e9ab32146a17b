"""Packages that a user may not need: imported at first use, or a clear word on how to get them."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

from bridgeflow.errors import MissingDependency

__all__ = ["loaded", "require"]

_EXTRAS = {"matplotlib": "plot", "ml_dtypes": "ml-dtypes", "PIL": "images"}


def loaded(name: str) -> ModuleType | None:
    """The module if it has been imported already, else `None`: a value can only be a tensor where torch is loaded."""
    return sys.modules.get(name)


def require(name: str, *, needed_for: str) -> ModuleType:
    """Import a package, turning a failure into `MissingDependency` with what needs it and the remedy."""
    try:
        return import_module(name)
    except Exception as error:  # a broken binary package can raise anything, torchvision a RuntimeError
        root = name.partition(".")[0]
        remedy = f"pip install 'bridgeflow[{_EXTRAS[root]}]'" if root in _EXTRAS else f"pip install {root}"
        found = "is not installed" if isinstance(error, ModuleNotFoundError) else f"fails to import ({error})"
        raise MissingDependency(f"{needed_for} needs {name}, which {found}; {remedy}", name=name) from error
