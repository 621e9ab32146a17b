"""URLs as paths: what code asks of a path it can ask of a URL, and whatever needs a local file is refused by name.

A URL is `scheme://bucket/key` or `scheme://host/path`. It says nothing secret: credentials belong to the environment or
to fsspec's configuration, and what follows `?`, which may be a signature, is asked for and never shown.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING, Any, Final

from bridgeflow.errors import DataError, NotSupported, printable
from bridgeflow.io.stores.objects import Entry, ObjectVersion

if TYPE_CHECKING:
    from bridgeflow.io.stores.base import Store

__all__ = ["UrlPath", "as_path", "is_url", "redacted"]

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(://|::)")
_LONGEST: Final = 4096
_WEB: Final = ("http", "https")
_LOCAL: Final = ("file", "local")
_SAME: Final = {"s3a": "s3", "gcs": "gs"}
_PORTS: Final = {"http": "80", "https": "443"}

_Base: Any = type(Path())
if TYPE_CHECKING:
    _Base = PosixPath


class UrlPath(_Base):  # type: ignore[misc]
    """A URL as a path; made by `as_path`. Names, suffixes, parents and `/` are those of paths.

    >>> path = as_path("s3://bucket/night/a.parquet")
    >>> str(path.parent / "b.parquet"), path.suffix, path.scheme
    ('s3://bucket/night/b.parquet', '.parquet', 's3')
    """

    _query = ""

    def __str__(self) -> str:
        return f"{self.parts[0]}//{'/'.join(self.parts[1:])}"

    def __repr__(self) -> str:
        return f"UrlPath({str(self)!r})"

    def __fspath__(self) -> str:
        raise NotSupported(f"{printable(str(self))}: {_needs_local(self)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return as_path, (self.url,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UrlPath) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    @property
    def parent(self) -> UrlPath:
        """The folder; of a bucket or a host, itself."""
        return self if self.is_top else super().parent

    @property
    def parents(self) -> Any:
        """The folders up to the bucket or host."""
        above, path = [], self
        while not path.is_top:
            path = path.parent
            above.append(path)
        return tuple(above)

    def as_posix(self) -> str:
        """The URL, without what follows `?`."""
        return str(self)

    @property
    def scheme(self) -> str:
        """The scheme, as `s3`."""
        return str(self.parts[0][:-1])

    @property
    def url(self) -> str:
        """The URL as it is asked for."""
        return str(self) + self._query

    @property
    def store(self) -> Store:
        """What it is asked from."""
        from bridgeflow.io.stores.registry import store_of  # which imports asyncio, and no path of a file needs that

        return store_of(self.scheme)

    @property
    def is_top(self) -> bool:
        """Whether it is a bucket or a host."""
        return len(self.parts) <= 2

    # --- what paths can be asked ---

    def version(self) -> ObjectVersion | None:
        """The version of the object as it is now; `None` where there is none."""
        if self.is_top and self.scheme not in _WEB:
            return None
        try:
            return self.store.version(self.url)
        except FileNotFoundError:
            return None

    def entries(self, most: int | None = None) -> list[Entry]:
        """What lies directly in the folder; nothing where there is none."""
        if self.store.no_listing:
            raise NotSupported(f"{printable(str(self))}: cannot be listed: {self.store.no_listing}")
        return self.store.list(str(self)) if most is None else self.store.list(str(self), most)

    def exists(self, **_: Any) -> bool:
        """Whether there is an object or a folder of this name."""
        return self.version() is not None or self.is_dir()

    def is_file(self, **_: Any) -> bool:
        """Whether there is an object of this name."""
        return self.version() is not None

    def is_dir(self, **_: Any) -> bool:
        """Whether objects lie below."""
        return not self.store.no_listing and bool(self.store.list(str(self), 1))

    def is_symlink(self) -> bool:
        """Never: stores have no links."""
        return False

    def stat(self, **_: Any) -> os.stat_result:
        """Mode and size."""
        version = self.version()
        if version is None:
            raise FileNotFoundError(str(self))
        return os.stat_result((stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, version.nbytes, 0, 0, 0))

    def iterdir(self) -> Iterator[UrlPath]:
        """What lies directly in the folder."""
        return (self / one.name for one in self.entries())

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object."""
        self.store.delete(self.url)

    def mkdir(self, *_: Any, **__: Any) -> None:
        """Nothing: a folder is there where something lies in it."""

    def rmdir(self) -> None:
        """Nothing, likewise."""

    def absolute(self) -> UrlPath:
        """Itself."""
        return self

    def resolve(self, strict: bool = False) -> UrlPath:
        """Itself."""
        return self


def _needs_local(path: UrlPath) -> str:
    return (
        f"is a URL, and what reads or writes it takes files of this machine alone; download first: "
        f"fsspec.filesystem({path.scheme!r}).get(url, path)"
    )


def is_url(path: Any) -> bool:
    """Whether a path is a URL.

    >>> is_url("s3://bucket/a.npy"), is_url("data/a.npy"), is_url("zip::https://host/a.zip")
    (True, False, True)
    """
    return isinstance(path, UrlPath) or (isinstance(path, str) and _URL.match(path) is not None)


def as_path(path: str | os.PathLike[str]) -> Path:
    """A path; of text that is a URL, a `UrlPath`, or for `file://` the local path.

    Raises:
        DataError: the text is a URL that cannot be used; says why.
        NotSupported: it is a chain of URLs.
    """
    if isinstance(path, Path):
        return path
    text = os.fspath(path)
    return _parsed(text) if is_url(text) else Path(text)


def redacted(text: str) -> str:
    """The text of a URL without what may be secret: what stands before `@`, and what follows `?` and `#`.

    >>> redacted("https://user:secret@host/a.npy?signature=abc")
    'https://…@host/a.npy?…'
    """
    text = re.sub(r"(://|::)[^/?#]*@", r"\1…@", text)
    return re.sub(r"([?#]).*", r"\1…", text, flags=re.DOTALL)


def _parsed(text: str) -> Path:
    name = printable(redacted(text), 1_000)
    match = _URL.match(text)
    assert match is not None
    scheme, rest = match[1].lower(), text[match.end() :]
    scheme = _SAME.get(scheme, scheme)
    if match[2] == "::" or "::" in rest:
        problem = "is a chain of URLs; name one file in one store"
        raise NotSupported(f"{name}: {problem}, and download first what has to be unpacked")
    if len(text) > _LONGEST or re.search(r"[\x00-\x20\x7f\\]", text.strip(" ") if scheme in _LOCAL else text):
        raise DataError(f"{name}: is not a URL: it has spaces, backslashes or control characters, or is too long")
    if scheme in _LOCAL:
        if not rest.startswith("/"):
            raise DataError(f"{name}: a {scheme} URL names an absolute path: {scheme}:///folder/file")
        return Path(rest)
    query = ""
    if scheme in _WEB:
        rest, sign, query = rest.partition("?")
        query = sign + query
    if scheme in _WEB and "#" in rest + query:
        raise DataError(f"{name}: a part of a page (#) is not a file; leave it out")
    place, slash, key = rest.lstrip("/" if scheme == "memory" else "").partition("/")
    if "@" in place and (scheme in _WEB or ":" in place.partition("@")[0]):
        remedy = "set them by the environment, or in fsspec.config.conf"
        raise DataError(f"{name}: has credentials, which have no place in a URL; {remedy}")
    if not place:
        raise DataError(f"{name}: names no {'host' if scheme in _WEB else 'bucket'}; expected {scheme}://name/...")
    if scheme in _WEB:
        host, colon, port = place.lower().rpartition(":")
        place = host if colon and port == _PORTS[scheme] else place.lower()
    parts = key.rstrip("/").split("/") if slash and key.rstrip("/") else []
    plain = [part.lower().replace("%2e", ".") if scheme in _WEB else part for part in parts]
    if any(part in ("", ".", "..") for part in plain) or (scheme in _WEB and "%2f" in key.lower()):
        raise DataError(f"{name}: has empty parts, . or .., which stores do not resolve; write the name out")
    path = UrlPath(f"{scheme}:", place, *parts)
    if query:
        path._query = query
    return path
