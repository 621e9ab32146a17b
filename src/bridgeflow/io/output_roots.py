"""Where the outputs of a configuration may go.

A configuration may come from anybody, and a file that a job writes can be more than data: Python runs what lies in
`site-packages`, Git what lies in `.git/hooks`, a shell what is called `.profile`. So a job writes beneath folders that
the caller names, never into hidden folders or those of installed packages, and its files have a suffix of their format.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath

from bridgeflow.io.urls import UrlPath

__all__ = ["OutputRoots", "default_output_roots", "reserved_part"]

_PACKAGES = frozenset({"site-packages", "dist-packages", "__pycache__"})


def reserved_part(path: PurePath) -> str:
    """The first part of a path that no output may have: a hidden name, or a folder of installed packages; else empty.

    >>> reserved_part(PurePath("a/.git/hooks")), reserved_part(PurePath("../results"))
    ('.git', '')
    """
    for part in path.parts:
        if (part.startswith(".") and part not in {".", ".."}) or part.casefold() in _PACKAGES:
            return part
    return ""


class OutputRoots(tuple[Path, ...]):
    """Folders beneath which outputs may lie, except in hidden folders and those of installed packages below them."""

    __slots__ = ()

    def problem(self, real: str | os.PathLike[str], *, shown: Callable[[Path], str] = str) -> str:
        """Why a path whose links are followed is not for outputs; empty where it is.

        Args:
            shown: spells folders for the message.

        >>> OutputRoots([Path("/data")]).problem("/data/.git/hooks")
        "lies in '.git': outputs go into no hidden folder and no folder of installed packages"
        """
        reserved = ""
        place = real if isinstance(real, UrlPath) else Path(real)
        for root in self:
            if isinstance(root, UrlPath) is not isinstance(place, UrlPath):
                continue
            try:
                below = place.relative_to(root if isinstance(root, UrlPath) else os.path.realpath(root))
            except ValueError:
                continue
            reserved = reserved_part(PurePath(*below.parts))
            if not reserved:
                return ""
        if reserved:
            return f"lies in {reserved!r}: outputs go into no hidden folder and no folder of installed packages"
        if isinstance(place, UrlPath):
            return "is a URL that no output root allows"
        names = " and ".join(dict.fromkeys(map(shown, self))) or "every folder for outputs (hidden ones are none)"
        return f"lies outside of {names}"


def default_output_roots(folders: Iterable[Path]) -> OutputRoots:
    """Those of the folders that are neither hidden themselves nor in a hidden folder or one of installed packages."""
    return OutputRoots(one for one in folders if not reserved_part(Path(os.path.realpath(one))))
