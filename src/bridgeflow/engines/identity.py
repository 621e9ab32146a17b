"""The identity of a job with shards: what its results depend on, and whether its inputs are still those it was hashed
from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, NamedTuple, TypeAlias

from bridgeflow._optional import installed_versions
from bridgeflow._version import __version__
from bridgeflow.engines.background import CancelToken, run_interruptibly
from bridgeflow.errors import DataError
from bridgeflow.io import Recording, Source, format_of
from bridgeflow.io.commit import canonical, sha256_at
from bridgeflow.io.files import data_error
from bridgeflow.io.opened import Identity, open_file, stamp_of
from bridgeflow.io.stores.objects import ObjectVersion
from bridgeflow.pipeline.job import CHUNK_NBYTES, SHARD_CHUNKS
from bridgeflow.pipeline.job_base import BaseJob
from bridgeflow.pipeline.job_parts import chosen_options
from bridgeflow.signal.iir.engine import why_unavailable

__all__ = [
    "Hashed",
    "JobIdentity",
    "Stamps",
    "differences",
    "hash_recording",
    "identify",
    "identity_of",
    "identity_parts",
    "require_hashed",
    "stamps_here",
    "versions",
]

_PACKAGES: Final = ("numpy", "scipy", "pyarrow", "torch")
"""Whose arithmetic or encoding the bytes depend on."""

Stamps: TypeAlias = tuple["tuple[Any, ...]", ...]
"""What tells the state of each file of a recording from others (`OpenedFile.stamp`)."""


class Hashed(NamedTuple):
    """The SHA-256 of a recording, in hexadecimal, and the state in which its files were hashed."""

    sha256: str
    stamps: Stamps


@dataclass(frozen=True)
class JobIdentity:
    """What the results depend on, part by part, and the SHA-256 of that in hexadecimal; and in which state each input,
    by its number, was hashed.
    """

    parts: dict[str, Any]
    digest: str
    stamps: Mapping[int, Stamps]


def identify(job: BaseJob, recordings: Sequence[Recording], threads: int) -> JobIdentity:
    """Configuration, versions, and the bytes of all inputs; no path, time or number of threads.

    Raises:
        DataError: an input cannot be read, or was written to while it was hashed.
    """
    hashes: dict[int, Hashed] = {}
    waiting = iter(range(len(recordings)))
    cancel, lock = CancelToken(), Lock()

    def hash_some() -> None:
        while True:
            cancel.check()
            with lock:
                number = next(waiting, None)
            if number is None:
                return
            hashes[number] = hash_recording(job, recordings[number])

    with job.reading():
        run_interruptibly([hash_some] * min(threads, len(recordings)), cancel)
    return identity_of(job, recordings, hashes)


def identity_of(job: BaseJob, recordings: Sequence[Recording], hashes: Mapping[int, Hashed]) -> JobIdentity:
    """The identity of a job whose inputs, by their number, have these hashes."""
    inputs = [
        {"name": one.name, "nbytes": one.nbytes, "sha256": hashes[number].sha256}
        for number, one in enumerate(recordings)
    ]
    parts = identity_parts(job, inputs)
    digest = hashlib.sha256(canonical(parts)).hexdigest()
    return JobIdentity(parts, digest, {number: one.stamps for number, one in hashes.items()})


def identity_parts(job: BaseJob, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the results depend on: the configuration, versions, and the inputs as described."""
    sink = job.sink
    return {
        "configuration": {
            "source": job.source_identity(),
            "transforms": job.transform.to_config()["Compose"]["stages"],
            "sink": {
                **chosen_options(sink, without=("path", "shards")),
                "format": format_of(sink.path, sink.format).name,
            },
            "grid": {"chunk_nbytes": CHUNK_NBYTES, "shard_chunks": SHARD_CHUNKS},
        },
        "versions": versions(),
        "inputs": inputs,
    }


def versions() -> dict[str, Any]:
    """The versions on which bytes depend."""
    native = why_unavailable("native") is None
    return {"bridgeflow": __version__, "native": native, **installed_versions(*_PACKAGES)}


def differences(record: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """How the parts of a recorded identity differ from those of another; empty where they do not."""
    texts = []
    for part in ("configuration", "versions"):
        then, now = record.get(part, {}), parts[part]
        keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
        if keys:
            texts.append(f"{part}: {', '.join(keys)}")
    then, now = ({one["name"]: one["sha256"] for one in some["inputs"]} for some in (record, parts))
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    if names:
        texts.append(f"inputs: {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}")
    return "; ".join(texts)


def require_hashed(job: BaseJob, recording: Recording, stamps: Stamps, source: Source | None) -> None:
    """Refuse to continue with files that are not, or no longer, those whose hashes identify the job.

    Args:
        source: what is read of it, where one file or folder is kept open.

    Raises:
        DataError: a file was replaced or written to since it was hashed.
    """
    read = sorted(stamp[:4] for stamp in stamps)
    if source is not None:
        opened: Any = source.identity
        read = sorted(tuple(one) for one in ([opened] if isinstance(opened, (Identity, ObjectVersion)) else opened))
    now = tuple(stamp_of(path) for path in job.files(recording))
    if now != stamps or read != sorted(stamp[:4] for stamp in stamps):
        raise _changed(recording)


def _changed(recording: Recording) -> DataError:
    remedy = "let no job write its inputs, and run it again"
    return data_error(recording.path, "has changed since it was hashed for the manifest", remedy)


def stamps_here(job: BaseJob, recording: Recording, hashed: Hashed) -> Stamps:
    """The state of a recording that another process hashed, maybe on another machine, as this one sees it.

    Device numbers are each machine's own; where more differs, the recording is hashed again.

    Raises:
        DataError: it is missing here, or was written to since it was hashed.
    """
    here = tuple(stamp_of(path) for path in job.files(recording))
    if [one[1:] for one in here] == [one[1:] for one in hashed.stamps]:
        return here
    again = hash_recording(job, recording)
    if again.sha256 != hashed.sha256:
        raise _changed(recording)
    return again.stamps


def hash_recording(job: BaseJob, recording: Recording) -> Hashed:
    """The SHA-256 of a recording's file, of several, that of theirs, and of what else is known of it; and the state in
    which they were hashed.

    Raises:
        DataError: it cannot be read, or was written to meanwhile.
    """
    hashes, stamps = [], []
    for path in job.files(recording):
        opened = open_file(path, roots=job.roots)
        before = opened.stamp()
        hashes.append(sha256_at(opened))
        if stamp_of(path) != before:
            raise data_error(path, "was written to while it was read", "let no job write its inputs")
        stamps.append(before)
    hashes += job.described(recording)
    digest = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return Hashed(digest, tuple(stamps))
