"""Transforms of other packages: registered when their entry point is loaded, which the caller asks for by name.

A package offers them in its `pyproject.toml`:

    [project.entry-points."bridgeflow.transforms"]
    mine = "my_package.transforms"

A configuration cannot ask for one: loading it runs the package's code.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

from bridgeflow.errors import ConfigError, nearest, printable, quoted

__all__ = ["GROUP", "load_plugins"]

GROUP = "bridgeflow.transforms"
"""The group of entry points."""


def load_plugins(names: Sequence[str]) -> None:
    """Register the transforms of these plugins.

    Args:
        names: of entry points of the group `bridgeflow.transforms`, each a module that registers transforms, or one.

    Raises:
        ConfigError: no installed package offers a plugin of that name, several do, or it cannot be imported.
    """
    if not names:
        return
    installed = metadata.entry_points(group=GROUP)
    for name in names:
        matching = [one for one in installed if one.name == name]
        if not matching:
            hint = nearest(name, [one.name for one in installed]) if list(installed) else "none is installed"
            raise ConfigError(f"there is no plugin {quoted(name)}; {hint}")
        if len({one.value for one in matching}) > 1:
            several = " and ".join(sorted(one.value for one in matching))
            raise ConfigError(f"several packages offer the plugin {quoted(name)} ({several}); uninstall one")
        try:
            matching[0].load()
        except Exception as error:  # the code of another package may raise anything
            raise ConfigError(f"the plugin {quoted(name)} fails to load ({printable(str(error), 200)})") from error
