"""Results that one program leaves in a folder for the next: named by what they depend on, and checked when read.

A file is a head (a mark, SHA-256 of the identity, SHA-256 of the contents, their length) and the contents. Whatever
does not fit is not one of ours, and what it was to hold is computed again. Files are written aside and renamed, so that
a reader sees a whole file or none, however many processes write it at once.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
import sys
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bridgeflow._version import __version__
from bridgeflow.errors import DataError
from bridgeflow.io.commit import canonical
from bridgeflow.io.files import data_error, open_regular, shown
from bridgeflow.policy import parse_integer

__all__ = ["DiskCache"]

_HEAD: Final = struct.Struct("<24s32s32sQ")
_MARK: Final = b"bridgeflow disk cache 1\n"
_SUFFIX: Final = ".bfcache"
_PART: Final = ".bfpart"
_ABANDONED: Final = 3600.0
"""Seconds after which a file that was written aside belongs to a program that was killed."""


class DiskCache:
    """A folder that keeps filter states and indexes of recordings between programs.

    Nothing in it is trusted: a file that is damaged, cut off, or of something else is computed again. It may be
    deleted at any time, and several processes may use it at once.

    Args:
        folder: made where it is missing.
        max_nbytes: of all files in it together; beyond that, those that were used least recently are removed.

    Raises:
        DataError: the folder cannot be made.

    >>> import tempfile
    >>> cache = DiskCache(tempfile.mkdtemp(), max_nbytes=1 << 20)
    >>> cache.put("example", {"of": "a"}, b"contents")
    >>> cache.get("example", {"of": "a"}), cache.get("example", {"of": "b"})
    (b'contents', None)
    """

    def __init__(self, folder: str | os.PathLike[str], *, max_nbytes: int = 4 << 30) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.max_nbytes = parse_integer(max_nbytes, field="max_nbytes", least=0)
        self._has_warned = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"cannot be a folder for a cache ({error.strerror})"
            raise data_error(self.folder, problem, "name another folder") from error

    @classmethod
    def of(cls, cache: str | os.PathLike[str] | DiskCache | None) -> DiskCache | None:
        """A cache of a path; a cache, and `None`, as it is."""
        return cache if cache is None or isinstance(cache, DiskCache) else cls(cache)

    def __repr__(self) -> str:
        return f"DiskCache({str(self.folder)!r}, max_nbytes={self.max_nbytes})"

    def get(self, kind: str, identity: Mapping[str, Any]) -> bytes | None:
        """The contents that were put under this identity; `None` where there are none that are whole.

        Args:
            kind: a word that the file's name begins with.
            identity: plain values that the contents depend on.
        """
        key = _key(kind, identity)
        try:
            descriptor = open_regular(self._path(kind, key))
        except DataError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            try:
                if os.fstat(file.fileno()).st_size > self.max_nbytes + _HEAD.size:
                    return None
                mark, of, digest, length = _HEAD.unpack(file.read(_HEAD.size))
                if (mark, of) != (_MARK, key) or length > self.max_nbytes:
                    return None
                contents = file.read(length + 1)
                if len(contents) != length or hashlib.sha256(contents).digest() != digest:
                    return None
                with suppress(OSError):  # of another user, perhaps
                    os.utime(file.fileno())
            except (OSError, struct.error):
                return None
        return contents

    def put(self, kind: str, identity: Mapping[str, Any], contents: bytes) -> None:
        """Keep contents for later programs; where the folder cannot be written to, warn once and leave it.

        Args:
            kind, identity: as for `get`.
        """
        if len(contents) + _HEAD.size > self.max_nbytes:
            return
        key = _key(kind, identity)
        path = self._path(kind, key)
        aside = self.folder / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}{_PART}"
        try:
            with open(aside, "xb") as file:
                file.write(_HEAD.pack(_MARK, key, hashlib.sha256(contents).digest(), len(contents)))
                file.write(contents)
            os.replace(aside, path)
            self._make_room(path)
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                warnings.warn(
                    f"{shown(self.folder)}: cannot be written to ({error.strerror}), so that nothing is cached there",
                    RuntimeWarning,
                    stacklevel=2,
                )
        finally:
            with suppress(OSError):
                aside.unlink(missing_ok=True)

    def _path(self, kind: str, key: bytes) -> Path:
        return self.folder / f"{kind}-{key.hex()[:40]}{_SUFFIX}"

    def _make_room(self, latest: Path) -> None:
        """Remove the files that were used least recently until all together are within the limit."""
        files = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if not entry.name.endswith((_SUFFIX, _PART)) or not entry.is_file(follow_symlinks=False):
                    continue
                with suppress(FileNotFoundError):  # removed by another process
                    status = entry.stat(follow_symlinks=False)
                    files.append((status.st_mtime, status.st_size, Path(entry.path)))
        size = sum(one for _, one, path in files if path.suffix == _SUFFIX)
        for used, nbytes, path in sorted(files):
            is_abandoned = path.suffix == _PART and time.time() - used > _ABANDONED
            is_too_much = path.suffix == _SUFFIX and size > self.max_nbytes and path != latest
            if is_abandoned or is_too_much:
                path.unlink(missing_ok=True)
                size -= nbytes * is_too_much


def _key(kind: str, identity: Mapping[str, Any]) -> bytes:
    """SHA-256 of what contents depend on, this version among it."""
    parts = {"kind": kind, "version": __version__, "byteorder": sys.byteorder, "identity": dict(identity)}
    return hashlib.sha256(canonical(parts)).digest()
