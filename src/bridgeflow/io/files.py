"""Paths: which files a job may open, opened so that what was checked is what is read.

A path in a configuration may come from a stranger. It must lead to a regular file beneath one of the folders that the
caller declared (`roots`), after every symbolic link; and the check holds for the file that is open, not for its name,
which another process may point elsewhere in between.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TypeVar

from bridgeflow.errors import BridgeflowError, DataError, NotSupported, UnsupportedSystem, printable
from bridgeflow.io.output_roots import OutputRoots
from bridgeflow.io.urls import UrlPath, as_path, is_url, redacted

__all__ = [
    "data_error",
    "descriptor_path",
    "first_line",
    "is_beneath",
    "is_folder",
    "is_there",
    "not_supported",
    "open_folder",
    "open_regular",
    "plainly",
    "printable",
    "reading_errors",
    "real_path",
    "refuse_overlap",
    "require_beneath",
    "require_local",
    "require_output",
    "shown",
]

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_DESCRIPTORS = "/proc/self/fd"

Roots = tuple[Path, ...] | None
"""Folders beneath which files may lie; `None` where the caller's own code names the files. `OutputRoots` are such, with
more rules for what lies below."""


def shown(path: str | os.PathLike[str]) -> str:
    """A path as messages show it: relative where it lies beneath the current folder, unprintable characters escaped;
    a URL without what may be secret in it.
    """
    if is_url(path):
        return printable(redacted(path.url if isinstance(path, UrlPath) else str(path)), 1_000)
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    return printable(absolute if relative.startswith("..") else relative, 1_000)


def not_supported(
    path: str | os.PathLike[str], problem: str, remedy: str = "", *, column: str | None = None
) -> NotSupported:
    """As `data_error`, for what is whole and of a kind not read or written here."""
    return _placed(NotSupported, path, problem, remedy or "it is whole, and not supported here: convert it", column)


def data_error(path: str | os.PathLike[str], problem: str, remedy: str = "", *, column: str | None = None) -> DataError:
    """A `DataError` that says where (file and column), what is wrong, and what to do.

    >>> str(data_error("/data/a.npy", "is empty (0 bytes)", "record it again"))
    '/data/a.npy: is empty (0 bytes); record it again'
    """
    return _placed(DataError, path, problem, remedy, column)


_Data = TypeVar("_Data", bound=DataError)


def _placed(kind: type[_Data], path: str | os.PathLike[str], problem: str, remedy: str, column: str | None) -> _Data:
    file = shown(path)
    place = file if column is None else f"{file}: column {printable(repr(column), 100)}"
    said = printable(problem, 500) + (f"; {printable(remedy, 500)}" if remedy else "")
    error = kind(f"{place}: {said}")
    error.file, error.column = file, column
    return error


def is_beneath(path: str | os.PathLike[str], roots: Iterable[Path]) -> bool:
    """Whether the path lies in one of the folders, links followed on both sides; a URL, below one of the URLs."""
    place = as_path(path)
    if isinstance(place, UrlPath):
        return any(isinstance(root, UrlPath) and place.is_relative_to(root) for root in roots)
    real = Path(real_path(place))
    return any(real.is_relative_to(os.path.realpath(root)) for root in roots if not isinstance(root, UrlPath))


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path leads to a folder; on a store, whether objects lie below."""
    place = as_path(path)
    with plainly(place):
        return place.is_dir() if isinstance(place, UrlPath) else os.path.isdir(place)


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether there is anything of this name, if a link to nothing."""
    place = as_path(path)
    with plainly(place):
        return place.exists() if isinstance(place, UrlPath) else os.path.lexists(place)


def open_regular(path: str | os.PathLike[str], *, roots: Roots = None) -> int:
    """Open an existing regular file for reading and return its descriptor, which the caller closes.

    Args:
        path: the file.
        roots: folders beneath one of which the file must lie once all links are followed; `None` for anywhere.

    Raises:
        UnsupportedSystem: the system cannot open a file so that what was checked is what is read (Windows).
        DataError: no such file, no permission, no regular file (a folder, a pipe, a device), outside the roots, empty.
    """
    require_local(path)
    _require_posix(path)
    real = real_path(path)
    _require_beneath(path, real, roots)
    with plainly(path):
        # Not blocking: opening a pipe must not wait for its writer. Not following: the links were followed above.
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise data_error(path, f"is {_kind(status.st_mode)}", "name a regular file")
        if roots is not None:
            _require_beneath(path, _opened_path(descriptor, real), roots)
        if status.st_size == 0:
            raise data_error(path, "is empty (0 bytes)", "nothing was written to it, or its writer was cut off")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def require_local(path: str | os.PathLike[str]) -> None:
    """Refuse a URL, for what takes files of this machine alone.

    Raises:
        NotSupported: says how to download it.
    """
    if is_url(path):
        problem = "is a URL, and what reads it takes files of this machine alone"
        scheme = str(path).partition(":")[0]
        raise not_supported(path, problem, f"download first: fsspec.filesystem({scheme!r}).get(url, path)")


def _require_posix(path: str | os.PathLike[str]) -> None:
    """Files are opened without following links, mapped and locked: POSIX's calls, which Windows lacks."""
    lacking = [f"os.{name}" for name in ("O_NOFOLLOW", "O_DIRECTORY", "pread") if not hasattr(os, name)]
    if lacking:
        raise UnsupportedSystem(
            f"{shown(path)}: needs files as POSIX has them, and this system ({sys.platform}) lacks "
            f"{', '.join(lacking)}; use another library and pass the arrays: SignalDataset({{name: array}})"
        )


def descriptor_path(descriptor: int) -> str:
    """A path that opens what the descriptor has open, for libraries that take nothing but paths."""
    folder = _DESCRIPTORS if os.path.isdir(_DESCRIPTORS) else "/dev/fd"
    return f"{folder}/{descriptor}"


def _opened_path(descriptor: int, path: str) -> str:
    """Where the file of a descriptor that was opened as `path` really lies."""
    try:
        return os.readlink(f"{_DESCRIPTORS}/{descriptor}")
    except FileNotFoundError:  # a system without /proc
        if hasattr(fcntl, "F_GETPATH"):
            return os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
        return os.path.realpath(path)


@contextmanager
def open_folder(path: str | os.PathLike[str], *, roots: Roots = None) -> Iterator[int]:
    """Open the folder that will hold `path`, made where it is missing, and yield its descriptor.

    Where the block fails, folders that were made are removed again, unless something lies in them by then.

    Raises:
        UnsupportedSystem: the system cannot do so safely (Windows).
        DataError: the folder is outside the roots, cannot be made, or is not a folder.
    """
    _require_posix(path)
    folder = os.path.dirname(os.path.abspath(path))
    real = real_path(folder)
    _require_beneath(path, real, roots)
    missing = _missing(folder)
    try:
        with plainly(path):
            os.makedirs(folder, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if roots is not None:
                _require_beneath(path, _opened_path(descriptor, real), roots)
            yield descriptor
        finally:
            os.close(descriptor)
    except BaseException:
        with suppress(OSError):  # something lies in one, and so in those above
            for one in missing:
                with suppress(FileNotFoundError):
                    os.rmdir(one)
        raise


def require_output(path: str | os.PathLike[str], *, roots: Roots) -> None:
    """Refuse an output whose folder lies outside the roots, before anything is made."""
    if isinstance(path, UrlPath):
        require_beneath(path, roots)
        if path.store.no_writing:
            raise not_supported(path, f"cannot be written to: {path.store.no_writing}", "write to a folder or to S3")
        return
    _require_beneath(path, real_path(os.path.dirname(os.path.abspath(path))), roots)


def _missing(folder: str) -> list[str]:
    """The folders on the way to this one that are not there, the innermost first."""
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def refuse_overlap(outputs: Mapping[str, str | os.PathLike[str]], inputs: Mapping[str, str | os.PathLike[str]]) -> None:
    """Refuse outputs that are an input, lie inside one, or are each other; links count as what they lead to.

    Args:
        outputs, inputs: what each file is for ("sink", "source") and its path.
    """
    seen = {role: _real(path) for role, path in inputs.items()}
    for role, path in outputs.items():
        real = _real(path)
        for other, taken in seen.items():
            if isinstance(real, UrlPath) is not isinstance(taken, UrlPath):
                continue
            if real == taken or (
                not isinstance(real, UrlPath) and real.exists() and taken.exists() and real.samefile(taken)
            ):
                raise data_error(path, f"the {role} is the same file as the {other}", "write to another path")
            if taken in real.parents and taken.is_dir():
                raise data_error(path, f"the {role} lies inside the {other} {shown(taken)}", "write to another folder")
        seen[role] = real


def _real(path: str | os.PathLike[str]) -> Path:
    """The path with links followed; a URL as it is."""
    place = as_path(path)
    return place if isinstance(place, UrlPath) else Path(real_path(place))


def real_path(path: str | os.PathLike[str]) -> str:
    """The path with every link followed."""
    if "\0" in os.fspath(path):
        raise data_error(path, "a path cannot hold a NUL character")
    with plainly(path):
        return os.path.realpath(path)


def require_beneath(path: Path, roots: Roots) -> None:
    """Refuse a path that does not lie beneath one of the roots.

    Raises:
        DataError: it does not.
    """
    if isinstance(path, UrlPath) and not isinstance(roots, OutputRoots):
        if roots is None or is_beneath(path, roots):
            return
        where = f"{path.scheme}://{path.parts[1]}/"
        raise data_error(path, "is a URL that no root allows", f"name its bucket or host: --root {where}")
    _require_beneath(path, path if isinstance(path, UrlPath) else real_path(path), roots)


def _require_beneath(path: str | os.PathLike[str], real: str | UrlPath, roots: Roots) -> None:
    if isinstance(roots, OutputRoots):
        if problem := roots.problem(real, shown=shown):
            raise data_error(path, problem, "allow another folder with --output-root")
        return
    if roots is None or is_beneath(real, roots):
        return
    names = " and ".join(dict.fromkeys(shown(root) for root in roots))
    raise data_error(path, f"lies outside of {names}", "files must lie beneath a root: name its folder with --root")


@contextmanager
def plainly(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the operating system or a store refuses into a `DataError` that names the file."""
    try:
        yield
    except BridgeflowError:
        raise
    except FileNotFoundError as error:
        if isinstance(path, UrlPath):
            raise data_error(path, "no such file", "check the URL, and for whom it is there") from None
        if os.path.islink(path):
            raise data_error(path, "no such file: it is a link to nothing", "name a file that is there") from error
        raise data_error(path, "no such file", _neighbours(path)) from error
    except PermissionError as error:
        if isinstance(path, UrlPath):
            remedy = "credentials come from the environment or from fsspec.config.conf"
            raise data_error(path, "permission denied by the store", remedy) from None
        raise data_error(path, "permission denied", "this user may not open it") from error
    except OSError as error:
        raise data_error(path, f"cannot be opened ({error.strerror})", "check the path") from error


def _neighbours(path: str | os.PathLike[str]) -> str:
    """What a missing file was probably called, as a remedy."""
    missing = Path(os.path.abspath(path))
    while not missing.parent.is_dir():
        missing = missing.parent
    with os.scandir(missing.parent) as entries:
        names = [entry.name for entry in islice(entries, 1000)]
    close = get_close_matches(missing.name, names, n=1)
    return (
        f"did you mean {shown(missing.parent / close[0])}?"
        if close
        else f"{shown(missing.parent)} has no {missing.name!r}"
    )


def _kind(mode: int) -> str:
    names: Iterable[tuple[bool, str]] = (
        (stat.S_ISDIR(mode), "a folder"),
        (stat.S_ISFIFO(mode), "a pipe"),
        (stat.S_ISSOCK(mode), "a socket"),
        (stat.S_ISCHR(mode) or stat.S_ISBLK(mode), "a device"),
    )
    return next((name for matches, name in names if matches), "no regular file")


def first_line(error: Exception) -> str:
    """The first line of what a library says."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


_NOT_SUPPORTED = re.compile(
    r"not (yet |currently )?(supported|implemented)|unsupported|Expected all lists to be of size", re.IGNORECASE
)
"""What libraries say of files that are whole, whatever the class of the error. The last is what pyarrow up to 25 says
of nulls among lists of a fixed length in Parquet.
"""


@contextmanager
def reading_errors(
    path: str | os.PathLike[str], format: str, *, remedy: str = "the file is damaged or cut off; write it again"
) -> Iterator[None]:
    """Turn what a format's library raises over bad bytes into a `DataError` or `NotSupported` that names the file.

    What the system says of the disk stays an `OSError`.

    Args:
        path: the file.
        format: what it is read as.
        remedy: what to do where the bytes are at fault.
    """
    try:
        yield
    except Exception as error:  # the libraries raise anything, from AssertionError to struct.error
        has_no_file = isinstance(error, NotSupported) and error.file is None
        if (isinstance(error, BridgeflowError) and not has_no_file) or (isinstance(error, OSError) and error.errno):
            raise
        problem = f"cannot be read as {format} ({first_line(error)})"
        if isinstance(error, NotSupported):
            raise not_supported(path, problem, error.remedy) from error
        says_so = not isinstance(error, TypeError) and _NOT_SUPPORTED.search(str(error))
        if says_so or isinstance(error, NotImplementedError):
            raise not_supported(path, problem) from error
        if isinstance(error, MemoryError):
            remedy = "it needs more memory than there is"
        elif "offset overflow" in problem:
            remedy = "its texts or lists are too long for one array of their type: read it in pieces"
        raise data_error(path, problem, remedy) from error
