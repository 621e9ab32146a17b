"""Files that are open as pyarrow reads them."""

from __future__ import annotations

import pyarrow as pa

from bridgeflow.io.files import descriptor_path
from bridgeflow.io.opened import Cursor, LocalFile, OpenedFile

__all__ = ["arrow_file"]


def arrow_file(opened: OpenedFile) -> pa.NativeFile:
    """What pyarrow reads a file from, at a position of its own."""
    if isinstance(opened, LocalFile):
        return pa.OSFile(descriptor_path(opened.descriptor))
    return pa.PythonFile(Cursor(opened), mode="r")
