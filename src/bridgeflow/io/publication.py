"""What publishing a file is about, wherever it goes: the file being written, and what became of it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from bridgeflow.errors import DataError
from bridgeflow.io.files import data_error
from bridgeflow.io.opened import LocalFile, OpenedFile

__all__ = ["Overwrite", "Publication", "Receipt", "already_there", "other_bytes", "receipt_of", "sha256_at"]

Overwrite: TypeAlias = bool | Literal["same"]
"""Whether an existing file may be replaced; `"same"`: it is taken for this one if it holds the same bytes."""

_PIECE, _REMOTE_PIECE = 1 << 20, 32 << 20


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What was published: where, how many bytes, and their SHA-256."""

    path: Path
    nbytes: int
    sha256: str


class Publication:
    """A file being written: `file` takes the bytes, `receipt` is there once they have their name."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.receipt: Receipt | None = None


def already_there(path: str | os.PathLike[str]) -> DataError:
    """The error of a file that may not be replaced."""
    return data_error(
        path, "exists already", "pass --overwrite (overwrite=True) to replace it, or write to another path"
    )


def other_bytes(receipt: Receipt, sha256: str) -> DataError:
    """The error of a file that holds other bytes than those that it should."""
    problem = f"exists already and holds other bytes (SHA-256 {sha256[:12]}, expected {receipt.sha256[:12]})"
    return data_error(receipt.path, problem, "it was changed: delete its folder and run the job again")


def receipt_of(target: Path, file: BinaryIO) -> Receipt:
    """Size and hash of what a file that is being written holds now, read back."""
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return Receipt(path=target, nbytes=file.tell(), sha256=digest.hexdigest())


def sha256_at(opened: OpenedFile) -> str:
    """The SHA-256 of a file that is open, in hexadecimal; closes it."""
    digest, position = hashlib.sha256(), 0
    count = _PIECE if isinstance(opened, LocalFile) else _REMOTE_PIECE
    try:
        while piece := opened.read_at(count, position):
            digest.update(piece)
            position += len(piece)
    finally:
        opened.close()
    return digest.hexdigest()
