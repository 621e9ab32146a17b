"""Which files a folder or a pattern means: always the same ones in the same order, each with a name of its own.

The walk is ours rather than `glob`'s: it visits a folder once however many `**` the pattern has, follows no link to a
folder, and stops where a tree has more entries than anybody means.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import translate
from pathlib import Path
from typing import NamedTuple

from bridgeflow.io.files import (
    Roots,
    data_error,
    is_beneath,
    is_folder,
    is_there,
    plainly,
    real_path,
    require_beneath,
    shown,
)
from bridgeflow.io.formats.registry import all_formats, format_of
from bridgeflow.io.stores.objects import Entry
from bridgeflow.io.urls import UrlPath, as_path

__all__ = ["MAX_ENTRIES", "MAX_FILES", "Recording", "has_pattern", "recordings"]

MAX_FILES = 20_000
"""Most files that one path may mean."""

MAX_ENTRIES = 200_000
"""Most entries of folders that are looked at for one path."""

MAX_PATTERN = 1_000
"""Longest pattern, in characters."""

_SIGNS = frozenset("*?[")


class Recording(NamedTuple):
    """One file of several.

    Attributes:
        name: its own among the files: the path below what was asked for, without suffix, `_` for `/`.
        path: where it is.
        nbytes: how large it is.
    """

    name: str
    path: Path
    nbytes: int


def has_pattern(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a pattern: it has one of `*?[`, and no file has that very name."""
    place = as_path(path)
    if isinstance(place, UrlPath):
        return not _SIGNS.isdisjoint(str(place)) and not place.store.no_listing and not is_there(place)
    return not _SIGNS.isdisjoint(os.fspath(place)) and not os.path.lexists(place)


def recordings(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    roots: Roots = None,
    limit: int = MAX_FILES,
) -> tuple[Recording, ...]:
    """The files that a path means, in the order of their paths: one file, those of a folder, or those of a pattern.

    Args:
        path: a file; a folder, for the files in it (not below, none hidden) whose suffix means a format; or a pattern
            with `*`, `?`, `[a-z]`, and `**` for any number of folders, which means all files that it matches.
        format: name of the format whose suffixes count in a folder; `None` for those of all formats.
        roots: folders beneath one of which each file must lie, all links followed; `None` for anywhere.
        limit: most files that may be found.

    Raises:
        DataError: nothing is found, more than `limit`, two would have one name, or something that was found is no
            regular file, or lies outside the roots.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("b.npy", "a.npy", "notes.txt"):
        ...     _ = (folder / name).write_bytes(b"12345")
        >>> [(one.name, one.nbytes) for one in recordings(folder)]
        [('a', 5), ('b', 5)]
    """
    path = as_path(path)
    if isinstance(path, UrlPath):
        require_beneath(path, roots)
    forms = all_formats().values() if format is None else [format_of(path, format)]
    suffixes = sorted(suffix for form in forms for suffix in form.suffixes)
    base, files, sizes = _matching_files(path, suffixes, roots)
    if len(files) > limit:
        raise data_error(path, f"means {len(files):,} files, more than {limit:,}", "name fewer of them")
    if not files:
        what = "no file matches" if has_pattern(path) else f"no file in it ends in {', '.join(suffixes)}"
        raise data_error(path, what, "check the path")
    result: dict[str, Recording] = {}
    for parts in sorted(files):
        one = _recording(base.joinpath(*parts) if parts else base, parts, roots, sizes.get(parts))
        if one.name in result:
            problem = f"and {shown(result[one.name].path)} would both be called {one.name!r}"
            raise data_error(one.path, problem, "name their format or suffix, or rename one")
        result[one.name] = one
    return tuple(result.values())


def _matching_files(
    path: Path, suffixes: Sequence[str], roots: Roots
) -> tuple[Path, list[tuple[str, ...]], Mapping[tuple[str, ...], int]]:
    """The folder where the search begins, the paths below it that were found, as parts, and their sizes where the
    listing said them. Of a single file, which is where the search begins, the parts are empty.
    """
    real = path if isinstance(path, UrlPath) else Path(real_path(path))
    if has_pattern(path):
        if len(str(path)) > MAX_PATTERN:
            raise data_error(path, f"is a pattern of more than {MAX_PATTERN:,} characters", "shorten it")
        parts = path.parts
        first = next(index for index, part in enumerate(parts) if not _SIGNS.isdisjoint(part))
        if isinstance(path, UrlPath) and first < 2:
            raise data_error(path, "has a pattern for the name of its bucket", "name the bucket")
        base = [path, *path.parents][len(parts) - first]
        if ".." in parts[first:]:
            raise data_error(path, "goes back up (..) after a wildcard of its pattern", "write the folder out")
        _require(path, base, roots)
        walk = _Walk(base, path, parts[first:])
        return base, list(walk.matches()), walk.sizes
    if not is_folder(real):
        return path, [()], {}
    _require(path, path, roots)
    walk = _Walk(path, path, ("*",))
    return path, [name for name in walk.matches() if Path(name[-1]).suffix.lower() in suffixes], walk.sizes


def _require(path: str | os.PathLike[str], folder: Path, roots: Roots) -> None:
    if roots is not None and not is_beneath(folder, roots):
        names = " and ".join(dict.fromkeys(shown(root) for root in roots))
        raise data_error(path, f"lies outside of {names}", "files must lie beneath a root: name its folder with --root")


def _recording(path: Path, parts: tuple[str, ...], roots: Roots, nbytes: int | None) -> Recording:
    _require(path, path, roots)
    if nbytes is None:
        with plainly(path):
            status = path.stat() if isinstance(path, UrlPath) else os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise data_error(path, "is not a regular file", "leave it out, or name the files")
        nbytes = status.st_size
    name = "_".join((*parts[:-1], path.stem))
    return Recording(name, path, nbytes)


class _Walk:
    """A walk over the folders that a pattern can match, each visited once: which parts of the pattern may come next is
    a set, not a path to try.
    """

    def __init__(self, base: Path, path: str | os.PathLike[str], pattern: Sequence[str]) -> None:
        self._base = base
        self._path = path
        self._any = [part == "**" for part in pattern]
        self._one = [re.compile(translate(part)) for part in pattern]
        self._hidden = [part.startswith(".") for part in pattern]
        self._entries = 0
        self.sizes: dict[tuple[str, ...], int] = {}

    def matches(self) -> Iterator[tuple[str, ...]]:
        """The files, as parts below the base, in no order."""
        folders: list[tuple[tuple[str, ...], frozenset[int]]] = [((), self._reached({0}))]
        while folders:
            above, states = folders.pop()
            for entry in self._list(above):
                after = self._reached(self._next(states, entry.name))
                if after and entry.is_dir(follow_symlinks=False):
                    folders.append(((*above, entry.name), after))
                elif len(self._one) in after and not entry.is_dir():
                    if isinstance(entry, Entry):
                        self.sizes[(*above, entry.name)] = entry.nbytes
                    yield (*above, entry.name)

    def _reached(self, states: set[int]) -> frozenset[int]:
        """The states, and those after each `**`, which may stand for no folder at all."""
        reached = set(states)
        for state in sorted(states):
            while state < len(self._any) and self._any[state]:
                state += 1
                reached.add(state)
        return frozenset(reached)

    def _next(self, states: frozenset[int], name: str) -> set[int]:
        after = set()
        for state in states:
            if state == len(self._one) or (name.startswith(".") and not self._hidden[state]):
                continue
            if self._any[state]:
                after.add(state)
            elif self._one[state].match(name):
                after.add(state + 1)
        return after

    def _list(self, parts: tuple[str, ...]) -> Sequence[os.DirEntry[str] | Entry]:
        folder = self._base.joinpath(*parts)
        if isinstance(folder, UrlPath):
            with plainly(folder):
                listed = folder.entries(MAX_ENTRIES + 1 - self._entries)
            self._entries += len(listed)
            if self._entries > MAX_ENTRIES:
                raise data_error(self._path, f"needs more than {MAX_ENTRIES:,} entries looked at", "be more exact")
            return listed
        with plainly(folder), os.scandir(folder) as entries:
            result = []
            for entry in entries:
                self._entries += 1
                if self._entries > MAX_ENTRIES:
                    raise data_error(self._path, f"needs more than {MAX_ENTRIES:,} entries looked at", "be more exact")
                result.append(entry)
            return result
