"""Publishing a file: whole or not at all, and never over another by accident.

The bytes go to a hidden neighbour (`.name.part`), reach the disk (fsync), and only then take their name, in one step.
Readers see no file or the finished one, whatever kills the writer. The neighbour is locked while it is written, so two
runs cannot share it; one left by a killed run is written again. So is one that could not be brought to the disk: what
an fsync has failed on may be lost although the next one succeeds.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from bridgeflow.errors import DataError
from bridgeflow.io.files import Roots, data_error, is_folder, is_there, open_folder, require_output, shown
from bridgeflow.io.object_commit import PROBE, publish_object, require_conditional_puts
from bridgeflow.io.opened import open_file
from bridgeflow.io.publication import (
    Overwrite,
    Publication,
    Receipt,
    already_there,
    other_bytes,
    receipt_of,
    sha256_at,
)
from bridgeflow.io.urls import UrlPath, as_path

with suppress(ImportError):  # Windows, where `open_folder` refuses before anything is locked
    import fcntl

__all__ = [
    "JOB_RECORD",
    "MANIFEST",
    "BeingWritten",
    "Overwrite",
    "Receipt",
    "abandon",
    "canonical",
    "names_in",
    "owned",
    "publish",
    "read_record",
    "refuse_existing",
    "remove_leftovers",
    "seal",
    "sha256_at",
    "sha256_of",
    "sync_folder",
    "unseal",
]

MANIFEST = "manifest.json"
"""The file in a folder of shards that lists them, in order, once all are there; sealed."""

JOB_RECORD = "log/job.json"
"""The file in a folder of shards that says whose they are, there from the beginning; sealed."""

LOCK = ".lock"
"""The file in a folder that its owner holds a lock on; removed when no process writes there."""


_LARGEST_RECORD = 1 << 28

_OPEN: set[Path] = set()
"""Hidden neighbours that this process is writing."""


class BeingWritten(DataError):
    """Another process is writing the file at this moment."""


@contextmanager
def publish(
    path: str | os.PathLike[str], *, overwrite: Overwrite = False, roots: Roots = None
) -> Iterator[Publication]:
    """Write a file that appears under its name when the block ends, complete, and not at all when the block fails.

    Args:
        path: the file to publish; its folder is made where it is missing. Or the URL of an object.
        overwrite: whether an existing file of that name may be replaced; `"same"`: only if it holds the same bytes.
        roots: folders beneath which `path` must lie, `None` for anywhere.

    Raises:
        DataError: the file exists and `overwrite` does not allow that, another run is writing it, or it lies outside
            the roots.
        OSError: the disk is full or broken. What was there before is still there.

    Example:
        >>> import tempfile, pathlib
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> with publish(folder / "a.txt") as output:
        ...     _ = output.file.write(b"whole")
        >>> output.receipt.nbytes, (folder / "a.txt").read_bytes()
        (5, b'whole')
    """
    place = as_path(path)
    if isinstance(place, UrlPath):
        with publish_object(place, overwrite=overwrite, roots=roots) as publication:
            yield publication
        return
    target = Path(os.path.abspath(path))
    refuse_existing(target, overwrite=overwrite)
    with open_folder(target, roots=roots) as folder:
        part = f".{target.name}.part"
        publication = Publication(target, _open_part(target, part, folder))
        with publication.file as file:
            try:
                _OPEN.add(target.parent / part)
                yield publication
                file.flush()
                os.fsync(file.fileno())
                receipt = receipt_of(target, file)
                _take_name(receipt, part, folder, overwrite=overwrite)
            except BaseException:
                _remove(part, folder)  # while the lock is held, so that it is ours
                raise
            finally:
                _OPEN.discard(target.parent / part)
        os.fsync(folder)
        publication.receipt = receipt


def abandon() -> None:
    """Remove what this process is writing: for the moment before it ends without waiting for those who write."""
    for part in tuple(_OPEN):
        with suppress(OSError):
            os.unlink(part)


def refuse_existing(path: str | os.PathLike[str], *, overwrite: Overwrite) -> None:
    """Refuse a path that cannot become an output: something is there and may not be replaced, or is not a file."""
    if is_folder(path):
        raise data_error(path, "is a folder", "name the file to write")
    if not overwrite and is_there(path):
        raise already_there(path)


def _open_part(target: Path, part: str, folder: int) -> BinaryIO:
    """The hidden neighbour, empty, locked, and still under its name (its last owner may just have published it)."""
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(part, flags, 0o666, dir_fd=folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
            if os.path.samestat(status, os.stat(part, dir_fd=folder, follow_symlinks=False)):
                if status.st_nlink == 1:
                    os.ftruncate(descriptor, 0)
                    return os.fdopen(descriptor, "w+b")
                os.unlink(part, dir_fd=folder)  # its writer was killed when it had both names: it is the result
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            os.close(descriptor)
            busy = data_error(target, "is being written by another run", "wait for it, or write to another path")
            raise BeingWritten(*busy.args) from error
        os.close(descriptor)


def sha256_of(path: str | os.PathLike[str], *, roots: Roots = None) -> str:
    """The SHA-256 of a regular file, in hexadecimal.

    Raises:
        DataError: no such file, or one that may not be opened.
    """
    return sha256_at(open_file(as_path(path), roots=roots))


def _take_name(receipt: Receipt, part: str, folder: int, *, overwrite: Overwrite) -> None:
    """Give the finished bytes their name in one step; a link, unlike a rename, refuses to replace."""
    target = receipt.path
    if overwrite is True:
        os.replace(part, target.name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    try:
        os.link(part, target.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError as error:
        if overwrite is False:
            raise already_there(target) from error
        _replace_same(receipt, part, folder)
        return
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        # A file system without hard links. The lock keeps other runs of ours away; a foreign writer may slip in.
        if overwrite == "same" and os.path.lexists(target):
            _replace_same(receipt, part, folder)
            return
        refuse_existing(target, overwrite=False)
        os.replace(part, target.name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    os.unlink(part, dir_fd=folder)


def _replace_same(receipt: Receipt, part: str, folder: int) -> None:
    """Put the bytes just brought to the disk in the place of equal ones, which may never have been brought there."""
    digest = sha256_of(receipt.path)
    if digest != receipt.sha256:
        raise other_bytes(receipt, digest)
    os.replace(part, receipt.path.name, src_dir_fd=folder, dst_dir_fd=folder)


def _remove(part: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=folder)


# --- folders ---


@contextmanager
def owned(folder: str | os.PathLike[str], *, roots: Roots = None) -> Iterator[int]:
    """Own a folder while the block runs: made where it is missing, locked against other runs. A folder on a store has
    no lock and needs none (`io.object_commit`); whether the store has what takes its place is asked here.

    Yields:
        The folder's descriptor; -1 on a store.

    Raises:
        DataError: another run owns it; names its process. Or it lies outside the roots.
    """
    place = as_path(folder)
    if isinstance(place, UrlPath):
        require_output(place, roots=roots)
        require_conditional_puts(place)
        yield -1
        return
    target = Path(os.path.abspath(folder))
    is_new = not target.exists()
    with (
        open_folder(target / LOCK, roots=roots) as opened,
        os.fdopen(_lock(target, opened), "w+b", buffering=0) as lock,
    ):
        try:
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n".encode())
            sync_folder(target.parent)
            os.fsync(opened)  # what is found in it is there to stay
            yield opened
        finally:
            _remove(LOCK, opened)  # while it is held, so that it is ours
            if is_new:
                with suppress(OSError):
                    os.rmdir(target)  # where the job has failed before there was anything to keep


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk; a store has done so when it answered."""
    if isinstance(folder, UrlPath):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(folder: Path, opened: int) -> int:
    """A descriptor of the folder's lock file, locked."""
    while True:
        lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=opened)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), os.stat(LOCK, dir_fd=opened, follow_symlinks=False)):
                return lock
        except FileNotFoundError:  # its last owner has just removed it
            pass
        except BlockingIOError as error:
            owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
            os.close(lock)
            problem = f"is being written by another run{f' (process {owner})' if owner.isdigit() else ''}"
            raise data_error(folder, problem, "wait for it, stop it, or write to another folder") from error
        os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs were writing in a folder of shards, which is for its owner to do.

    What a worker of a killed run is still writing stays: were it removed, the worker could give its name to what
    another process writes in its place.
    """
    if isinstance(folder, UrlPath):  # where nothing is half written
        return
    for name in os.listdir(folder):
        if name.startswith(".") and name.endswith(".part"):
            with suppress(FileNotFoundError):
                _remove_leftover(folder / name)


def _remove_leftover(part: Path) -> None:
    if part.is_symlink():
        part.unlink()
        return
    descriptor = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)


def names_in(folder: Path) -> list[str]:
    """The names of what lies in a folder, in no order."""
    if isinstance(folder, UrlPath):
        return [one.name for one in folder.entries() if one.name != PROBE]
    return os.listdir(folder)


# --- records ---


def canonical(value: Any) -> bytes:
    """Plain values as JSON: the same bytes for the same values, on any machine."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def seal(record: Mapping[str, Any]) -> bytes:
    """A record as a file of JSON that tells when it has been damaged: its SHA-256 stands in it.

    >>> unseal(seal({"rows": 3}), "a record")
    {'rows': 3}
    """
    sealed = {**record, "sha256": hashlib.sha256(canonical(dict(record))).hexdigest()}
    return json.dumps(sealed, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1).encode() + b"\n"


def read_record(path: Path, *, roots: Roots = None) -> dict[str, Any]:
    """The record in a sealed file.

    Raises:
        DataError: no such file, or it is damaged.
    """
    opened = open_file(path, roots=roots)
    try:
        if opened.nbytes > _LARGEST_RECORD:
            raise data_error(path, f"is longer than {_LARGEST_RECORD:,} bytes", "no job of ours wrote this record")
        return unseal(opened.read_at(opened.nbytes, 0), shown(path))
    finally:
        opened.close()


def unseal(data: bytes, name: str) -> dict[str, Any]:
    """The record that `seal` wrote.

    Args:
        name: what messages call it.

    Raises:
        DataError: it is not such a record, cut off, or damaged.
    """
    try:
        record = json.loads(data)
        kept = {key: value for key, value in record.items() if key != "sha256"}
        if hashlib.sha256(canonical(kept)).hexdigest() != record["sha256"]:
            raise ValueError("its SHA-256 is another")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(f"{name}: is damaged ({error}); delete its folder and run the job again") from error
    return kept
