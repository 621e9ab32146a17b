"""A folder of shards from outside: whose it is, what in it no job has put there, and how it is emptied.

Only names that follow from the folder's own records count as its job's: all else that lies there belongs to a user, and
the folder is left alone.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from bridgeflow.io.commit import JOB_RECORD, LOCK, MANIFEST
from bridgeflow.io.files import Roots, data_error, plainly, shown
from bridgeflow.io.object_commit import PROBE
from bridgeflow.io.records import JobRecord, read_job, read_manifest
from bridgeflow.io.urls import UrlPath

__all__ = ["foreign_files", "job_record", "refuse_foreign", "remove_shards"]

_LOG = Path(JOB_RECORD).parent.name
_JOB = Path(JOB_RECORD).name


def job_record(folder: Path, *, roots: Roots = None) -> JobRecord | None:
    """What a folder says of the job whose it is: its job record, or else its manifest; `None` where it has neither.

    Raises:
        DataError: the record is damaged, or no job of ours has written it.
    """
    if (folder / JOB_RECORD).exists():
        return read_job(folder, roots=roots)
    return read_manifest(folder, roots=roots) if (folder / MANIFEST).exists() else None


def foreign_files(folder: Path, record: JobRecord | None) -> list[str]:
    """Names in the folder that its job has not put there, sorted.

    Args:
        record: as `job_record` gives it; of a folder without one, every file is foreign.
    """
    return sorted(
        name for name, is_dir in _names(folder).items() if not _is_ours(name, record) or is_dir is not (name == _LOG)
    )


def refuse_foreign(folder: Path, record: JobRecord | None) -> None:
    """Refuse a folder that holds something else than its job's files.

    Raises:
        DataError: names some of them.
    """
    foreign = foreign_files(folder, record)
    if foreign:
        some = ", ".join(shown(folder / name) for name in foreign[:3])
        raise data_error(folder, f"holds files that no job of ours has put there ({some})", "name an empty folder")


def remove_shards(folder: Path, opened: int, record: JobRecord) -> None:
    """Empty a folder of shards for another run: the manifest first, so that no reader takes the rest for whole; the job
    record last, so that a removal that was stopped can be done again.

    Args:
        opened: a descriptor of the folder, which the caller owns.
        record: as `job_record` gives it.

    Raises:
        DataError: something else lies there. Nothing has been removed.
    """
    refuse_foreign(folder, record)
    if isinstance(folder, UrlPath):
        names = [name for name, is_dir in _names(folder).items() if not is_dir and name != MANIFEST]
        with plainly(folder):
            for name in (MANIFEST, *sorted(names, key=lambda name: name == JOB_RECORD)):
                (folder / name).unlink()
        return
    with suppress(FileNotFoundError):
        os.unlink(MANIFEST, dir_fd=opened)
    os.fsync(opened)
    for name in os.listdir(opened):
        if name not in {_LOG, LOCK}:
            os.unlink(name, dir_fd=opened)
    with suppress(FileNotFoundError):
        log = os.open(_LOG, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=opened)
        try:
            for name in sorted(os.listdir(log), key=lambda name: name == _JOB):
                os.unlink(name, dir_fd=log)
            os.fsync(log)
        finally:
            os.close(log)
    os.fsync(opened)


def _names(folder: Path) -> dict[str, bool]:
    """What lies in the folder and in its log, by name, and whether it is a folder."""
    if isinstance(folder, UrlPath):
        with plainly(folder):
            entries = [(one.name, one.is_folder) for one in folder.entries() if one.name != PROBE]
            log = [(f"{_LOG}/{one.name}", one.is_folder) for one in (folder / _LOG).entries()]
        return dict([*entries, *log])
    names = [name for name in os.listdir(folder) if name != LOCK]
    if _LOG in names and (folder / _LOG).is_dir() and not (folder / _LOG).is_symlink():
        names += [f"{_LOG}/{name}" for name in os.listdir(folder / _LOG)]
    return {name: (folder / name).is_dir() for name in names}


def _is_ours(name: str, record: JobRecord | None) -> bool:
    if name in {_LOG, f"{_LOG}/.{_JOB}.part"}:
        return True
    if record is None:
        return False
    shard = rf"part-[A-Za-z0-9._-]+-\d{{12}}-\d{{12}}-{re.escape(record.digest[:8])}\.[a-z0-9]+"
    files = rf"({shard}|{re.escape(MANIFEST)})"
    records = rf"([A-Za-z0-9._-]+-\d{{6}}\.json|{re.escape(_JOB)})"
    return re.fullmatch(rf"{files}|\.{files}\.part|{_LOG}/{records}|{_LOG}/\.{records}\.part", name) is not None
