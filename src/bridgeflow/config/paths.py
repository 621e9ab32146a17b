"""Paths in a configuration: taken as they are written, relative to its folder, beneath the caller's roots."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from bridgeflow._document import Document, Steps, shown
from bridgeflow.errors import ConfigError, DataError, quoted
from bridgeflow.io import shown as shown_path
from bridgeflow.io.files import is_beneath, real_path
from bridgeflow.io.output_roots import OutputRoots, reserved_part
from bridgeflow.io.urls import UrlPath, as_path, is_url, redacted
from bridgeflow.transforms import Transform, load_statistics

__all__ = ["PathReader", "declared_roots"]

_LONGEST_PATH = 1024
_LONGEST_NAME = 249
"""Bytes of a file's name: 255, of which the hidden file that becomes it takes 6 more."""
_NEVER_EXPANDED = {"~": "~ (a home)", "$": "$ (a variable)"}
_PATTERNS = {"*": "* (a pattern)", "?": "? (a pattern)"}


def declared_roots(roots: Sequence[str | os.PathLike[str]] | None, own: tuple[Path, ...]) -> tuple[Path, ...]:
    """The roots that a caller declares: folders, and URLs below which URLs are allowed.

    Args:
        own: the folders where the caller names none, or URLs alone.
    """
    if roots is None:
        return own
    places = [as_path(root) for root in roots]
    folders = tuple(Path(os.path.abspath(one)) for one in places if not isinstance(one, UrlPath))
    urls = tuple(one for one in places if isinstance(one, UrlPath))
    return (*(own if urls and not folders else folders), *urls)


@dataclass(frozen=True)
class PathReader:
    """Reads the paths of a document.

    Args:
        document: where they are written.
        folder: what they are relative to.
        roots, output_roots: folders beneath which files that are read, and written, must lie; `None` for anywhere.
    """

    document: Document
    folder: Path
    roots: tuple[Path, ...] | None
    output_roots: OutputRoots | None

    def input(self, steps: Steps, *, pattern: bool = False, url: bool = False) -> Path:
        """The path of something to read.

        Args:
            pattern: whether it may be a pattern.
            url: whether it may be a URL, which a root must allow.

        Raises:
            ConfigError: it is not such a path, or lies outside the roots.
        """
        text = self._text(steps)
        if is_url(text) and isinstance(place := self._url(steps, text, url, pattern=pattern), UrlPath):
            if self.roots is None or not is_beneath(place, self.roots):
                raise self._refused(steps, place, "root")
            return place
        path = self._path(steps, text, _NEVER_EXPANDED if pattern else {**_NEVER_EXPANDED, **_PATTERNS})
        if self.roots is not None and not is_beneath(path, self.roots):
            folders = " and ".join(dict.fromkeys(map(shown_path, self.roots)))
            raise self.document.error(steps, f"{quoted(text)} lies outside of {folders}; allow its folder with --root")
        return path

    def statistics(self, steps: Steps) -> Transform:
        """The transform in a file of `save_statistics`.

        Raises:
            ConfigError: as for `input`.
            DataError: it is not such a file.
        """
        return load_statistics(self.input(steps), roots=self.roots)

    def output(self, steps: Steps, *, url: bool = False) -> Path:
        """The path of something to write.

        Args:
            url: whether it may be a URL, which an output root must allow.

        Raises:
            ConfigError: it is not such a path, lies outside the folders for outputs, or is hidden.
        """
        text = self._text(steps)
        if is_url(text) and isinstance(place := self._url(steps, text, url, pattern=False), UrlPath):
            return self._output_url(steps, place)
        path = self._path(steps, text, {**_NEVER_EXPANDED, **_PATTERNS})
        if part := reserved_part(Path(text)):
            problem = (
                f"outputs go into no hidden file or folder and no folder of installed packages, got {quoted(part)}"
            )
            raise self.document.error(steps, f"{problem} in {quoted(text)}")
        if self.output_roots is None:
            return path
        if problem := self.output_roots.problem(real_path(path), shown=shown_path):
            raise self.document.error(steps, f"{quoted(text)} {problem}; allow another folder with --output-root")
        above = next(folder for folder in path.parents if os.path.lexists(folder))
        if not os.path.isdir(above):
            problem = f"{shown_path(above)} is not a folder, or a link to none; name another folder"
            raise self.document.error(steps, f"{quoted(text)}: {problem}")
        return path

    def _output_url(self, steps: Steps, place: UrlPath) -> Path:
        if self.output_roots is None or not is_beneath(place, self.output_roots):
            raise self._refused(steps, place, "output-root")
        if part := reserved_part(PurePath(*place.parts[2:])):
            problem = f"outputs go into no hidden folder and no folder of installed packages, got {quoted(part)}"
            raise self.document.error(steps, f"{problem} in {quoted(str(place))}")
        if place.store.no_writing:
            raise self.document.error(steps, f"{quoted(str(place))} cannot be written to: {place.store.no_writing}")
        return place

    def _refused(self, steps: Steps, place: UrlPath, option: str) -> ConfigError:
        where = f"{place.scheme}://{place.parts[1]}/"
        problem = f"{quoted(str(place))} is a URL that no {option.replace('-', ' ')} allows"
        return self.document.error(steps, f"{problem}; allow its bucket or host with --{option} {where}")

    def _url(self, steps: Steps, text: str, allowed: bool, *, pattern: bool) -> Path:
        """The path of a URL; a local one for `file://`, whose place is checked as that of other paths.

        Raises:
            ConfigError: no URL has a place here, it cannot be used, or may hold something secret.
        """
        shown_url = quoted(redacted(text))
        signs = {**_NEVER_EXPANDED, **({} if pattern else _PATTERNS)}
        what = next((word for sign, word in signs.items() if sign in text.partition("?")[0]), "")
        if not allowed or what:
            problem = f"a path is taken as it is written, so {what or 'a URL'} has no place in {shown_url}"
            raise self.document.error(steps, problem)
        try:
            place = as_path(text)
        except DataError as error:
            raise self.document.error(steps, str(error)) from None
        if isinstance(place, UrlPath) and place.url != str(place):
            problem = "what follows ? may be a signature, and a configuration is no place for it"
            raise self.document.error(steps, f"{problem}, in {shown_url}")
        return place

    def require_suffix(self, steps: Steps, path: Path, suffixes: Sequence[str], what: str) -> None:
        """Refuse a path with another suffix.

        Args:
            what: has these suffixes, in a sentence.
        """
        if path.suffix.lower() not in suffixes:
            problem = f"{what} {' or '.join(suffixes)}, got {quoted(path.name)}; a file is not called something else"
            raise self.document.error(steps, problem)

    def _text(self, steps: Steps) -> str:
        node = self.document.root.at(steps)
        if not isinstance(node.value, str):
            raise self.document.error(steps, f"expected a path, got {shown(node)}")
        return node.value

    def _path(self, steps: Steps, text: str, refused: dict[str, str]) -> Path:
        for sign, what in refused.items():
            if sign in text:
                problem = f"a path is taken as it is written, so {what} has no place in {quoted(text)}"
                raise self.document.error(steps, problem)
        if not 0 < len(text) <= _LONGEST_PATH:
            raise self.document.error(steps, f"expected a path of 1 to {_LONGEST_PATH} characters, got {len(text)}")
        path = self.folder / (as_path(text) if is_url(text) else text)
        if too_long := next((part for part in path.parts if len(os.fsencode(part)) > _LONGEST_NAME), ""):
            problem = f"a name of {len(os.fsencode(too_long))} bytes; file systems take {_LONGEST_NAME} of ours"
            raise self.document.error(steps, f"{quoted(text)} has {problem}")
        return path
