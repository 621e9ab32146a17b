"""Paths in a configuration: taken as they are written, relative to its folder, beneath the caller's roots."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bridgeflow._document import Document, Steps, shown
from bridgeflow.errors import quoted
from bridgeflow.io import shown as shown_path
from bridgeflow.io.files import is_beneath, real_path
from bridgeflow.io.output_roots import OutputRoots, reserved_part
from bridgeflow.transforms import Transform, load_statistics

__all__ = ["PathReader"]

_LONGEST_PATH = 1024
_LONGEST_NAME = 249
"""Bytes of a file's name: 255, of which the hidden file that becomes it takes 6 more."""
_NEVER_EXPANDED = {"~": "~ (a home)", "$": "$ (a variable)", "://": "a URL"}
_PATTERNS = {"*": "* (a pattern)", "?": "? (a pattern)"}


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

    def input(self, steps: Steps, *, pattern: bool = False) -> Path:
        """The path of something to read.

        Args:
            pattern: whether it may be a pattern.

        Raises:
            ConfigError: it is not such a path, or lies outside the roots.
        """
        text = self._text(steps)
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

    def output(self, steps: Steps) -> Path:
        """The path of something to write.

        Raises:
            ConfigError: it is not such a path, lies outside the folders for outputs, or is hidden.
        """
        text = self._text(steps)
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
        path = self.folder / text
        if too_long := next((part for part in path.parts if len(os.fsencode(part)) > _LONGEST_NAME), ""):
            problem = f"a name of {len(os.fsencode(too_long))} bytes; file systems take {_LONGEST_NAME} of ours"
            raise self.document.error(steps, f"{quoted(text)} has {problem}")
        return path
