"""Publishing a file: whole or not at all, and never over another by accident.

The bytes go to a hidden neighbour (`.name.part`), reach the disk (fsync), and only then take their name, in one step.
Readers see no file or the finished one, whatever kills the writer. The neighbour is locked while it is written, so two
runs cannot share it; one left by a killed run is written anew.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bridgeflow.errors import DataError
from bridgeflow.io.files import Roots, data_error, open_folder

__all__ = ["Receipt", "publish", "refuse_existing"]


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


@contextmanager
def publish(path: str | os.PathLike[str], *, overwrite: bool = False, roots: Roots = None) -> Iterator[Publication]:
    """Write a file that appears under its name when the block ends, complete, and not at all when the block fails.

    Args:
        path: the file to publish; its folder is made where it is missing.
        overwrite: whether an existing file of that name may be replaced.
        roots: folders beneath which `path` must lie, `None` for anywhere.

    Raises:
        DataError: the file exists and `overwrite` is false, another run is writing it, or it lies outside the roots.
        OSError: the disk is full or broken. What was there before is still there.

    Example:
        >>> import tempfile, pathlib
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> with publish(folder / "a.txt") as output:
        ...     _ = output.file.write(b"whole")
        >>> output.receipt.nbytes, (folder / "a.txt").read_bytes()
        (5, b'whole')
    """
    target = Path(os.path.abspath(path))
    refuse_existing(target, overwrite=overwrite)
    with open_folder(target, roots=roots) as folder:
        part = f".{target.name}.part"
        publication = Publication(target, _open_part(target, part, folder))
        with publication.file as file:
            try:
                yield publication
                file.flush()
                os.fsync(file.fileno())
                receipt = _receipt(target, file)
                _take_name(target, part, folder, overwrite=overwrite)
            except BaseException:
                _remove(part, folder)  # while the lock is held, so that it is ours
                raise
        os.fsync(folder)
        publication.receipt = receipt


def refuse_existing(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Refuse a path that cannot become an output: something is there and may not be replaced, or is no file."""
    if os.path.isdir(path):
        raise data_error(path, "is a folder", "name the file to write")
    if os.path.lexists(path) and not overwrite:
        raise _exists(path)


def _exists(path: str | os.PathLike[str]) -> DataError:
    return data_error(
        path, "exists already", "pass --overwrite (overwrite=True) to replace it, or write to another path"
    )


def _open_part(target: Path, part: str, folder: int) -> BinaryIO:
    """The hidden neighbour, empty, locked, and still under its name (its last owner may just have published it)."""
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(part, flags, 0o666, dir_fd=folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(part, dir_fd=folder, follow_symlinks=False)):
                os.ftruncate(descriptor, 0)
                return os.fdopen(descriptor, "w+b")
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            os.close(descriptor)
            raise data_error(
                target, "is being written by another run", "wait for it, or write to another path"
            ) from error
        os.close(descriptor)


def _receipt(target: Path, file: BinaryIO) -> Receipt:
    """Size and hash of what the file holds now, read back."""
    digest = hashlib.sha256()
    file.seek(0)
    while piece := file.read(1 << 20):
        digest.update(piece)
    return Receipt(path=target, nbytes=file.tell(), sha256=digest.hexdigest())


def _take_name(target: Path, part: str, folder: int, *, overwrite: bool) -> None:
    """Give the finished bytes their name in one step; a link, unlike a rename, refuses to replace."""
    if overwrite:
        os.replace(part, target.name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    try:
        os.link(part, target.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError as error:
        raise _exists(target) from error
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        # A file system without hard links. The lock keeps other runs of ours away; a foreign writer may slip in.
        refuse_existing(target, overwrite=False)
        os.replace(part, target.name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    os.unlink(part, dir_fd=folder)


def _remove(part: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=folder)
