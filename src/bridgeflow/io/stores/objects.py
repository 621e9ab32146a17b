"""What stores say of objects: which version, what lies in a folder, and what is not as it was expected."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["MAX_ENTRIES", "Entry", "ObjectChanged", "ObjectExists", "ObjectVersion", "Opening"]

MAX_ENTRIES: Final = 200_000
"""Most entries of a listing."""


class ObjectVersion(NamedTuple):
    """Which version of an object: its size, and what the store calls the version (ETag, generation) and its time."""

    nbytes: int
    etag: str
    modified: str


class Opening(NamedTuple):
    """What opening an object gives: its version, its first bytes, and where its server gives no ranges, a descriptor of
    a file without a name that holds the whole.
    """

    version: ObjectVersion
    head: bytes
    whole: int | None = None


class Entry(NamedTuple):
    """What lies directly in a folder of a store: its name, whether it is a folder too, and its size."""

    name: str
    is_folder: bool
    nbytes: int

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder, as entries of `os.scandir` say it."""
        return self.is_folder


class ObjectChanged(Exception):
    """The object is not the version that was opened."""


class ObjectExists(Exception):
    """A conditional put met an object: another's, or that of an attempt whose answer was lost."""
