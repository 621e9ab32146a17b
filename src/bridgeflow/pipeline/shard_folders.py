"""Folders of shards that other jobs have written: as the source of a job, and in the way of its outputs."""

from __future__ import annotations

from pathlib import Path

from bridgeflow.io import Recording, Roots
from bridgeflow.io.commit import JOB_RECORD, MANIFEST
from bridgeflow.io.files import data_error, real_path, shown
from bridgeflow.io.records import read_manifest
from bridgeflow.io.urls import UrlPath

__all__ = ["refuse_inside_shards", "sharded_recordings"]


def sharded_recordings(folder: Path, roots: Roots) -> tuple[Recording, ...]:
    """The recordings whose results a folder of shards holds; each goes on from shard to shard."""
    if not (folder / MANIFEST).exists():
        raise data_error(folder, "has the results of a job that has not finished", "run the job again: it goes on")
    if any(sign in str(folder) for sign in "*?["):
        raise data_error(folder, "has signs of a pattern in its name", "rename it")
    recordings: dict[str, Recording] = {}
    for shard in read_manifest(folder, roots=roots).shards:
        name, earlier = shard.recording, recordings.get(shard.recording)
        stretch = f"-{shard.start:012d}-{shard.end:012d}-"
        several = shard.name.replace(stretch, f"-{'?' * 12}-{'?' * 12}-")
        path = folder / (shard.name if earlier is None else several)
        recordings[name] = Recording(name, path, shard.nbytes + (earlier.nbytes if earlier else 0))
    if not recordings:
        raise data_error(folder / MANIFEST, "lists no shards", "the job that wrote it made no rows")
    return tuple(recordings.values())


def refuse_inside_shards(path: Path) -> None:
    """Refuse an output among the files of a folder of shards, which hold to what its records name."""
    place = path if isinstance(path, UrlPath) else Path(real_path(path))
    for parent in place.parents[:2]:
        if (parent / JOB_RECORD).exists() or (parent / MANIFEST).exists():
            problem = f"lies in {shown(parent)}, a folder of shards, which holds what its job has put there"
            raise data_error(path, problem, "write to another folder")
