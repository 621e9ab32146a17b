"""The bytes of a configuration's file."""

from __future__ import annotations

import os

from bridgeflow._document import MAX_BYTES
from bridgeflow.io.files import open_regular

__all__ = ["read_bytes"]


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file, one more than a configuration may have at most.

    Raises:
        DataError: it cannot be opened, or is not a regular file.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(MAX_BYTES + 1)
