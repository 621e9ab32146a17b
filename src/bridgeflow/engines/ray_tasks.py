"""What workers of Ray do for a job: hash inputs, and commit the shards of a recording by the local engine."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, Final, NamedTuple

from bridgeflow._optional import require
from bridgeflow.engines.identity import Hashed, JobIdentity, hash_recording, stamps_here, versions
from bridgeflow.engines.ledger import Ledger
from bridgeflow.engines.ray_cluster import failures_returned
from bridgeflow.engines.shards import new_run, shard_suffix
from bridgeflow.errors import ConfigError
from bridgeflow.io import Recording
from bridgeflow.io.commit import BeingWritten
from bridgeflow.io.records import Shard
from bridgeflow.pipeline.job import Job
from bridgeflow.pipeline.windows_job import WindowsJob

__all__ = ["Receipt", "Shared", "commit_recording", "hash_some", "ledger_here", "shared_of"]

_PATIENCE: Final = 60.0
"""Seconds to wait for a worker of a driver that was killed, until it has noticed that."""


@dataclass(frozen=True)
class Shared:
    """What all tasks of a job are given: the job, its recordings, what a row of the results is, the digest of its
    identity, and the versions on which bytes depend.
    """

    job: Job | WindowsJob
    recordings: Sequence[Recording]
    row_types: Mapping[str, str]
    digest: str
    versions: Mapping[str, Any]


class Receipt(NamedTuple):
    """What a task has committed of a recording: all its shards, its rows, how many shards it wrote, and where."""

    shards: tuple[Shard, ...]
    rows: int
    written: int
    node: str


_LATEST: dict[str, Shared] = {}
"""What the latest task of this worker was given, by the number of its object: unpickled once, not for each task."""


def shared_of(reference: Sequence[Any]) -> Shared:
    """What the driver has put into the object store, and whether this worker can do it.

    Args:
        reference: the object in a list, which Ray hands on without fetching it.

    Raises:
        ConfigError: packages have other versions here, so that bytes would differ.
    """
    (one,) = reference
    key = one.hex()
    if key not in _LATEST:
        ray = require("ray", needed_for="the engine ray")
        shared: Shared = ray.get(one)
        here = versions()
        differing = [name for name in {**here, **shared.versions} if here.get(name) != shared.versions.get(name)]
        if differing:
            each = ", ".join(f"{name} {here.get(name)} for {shared.versions.get(name)}" for name in differing)
            raise ConfigError(
                f"the engine ray: {platform.node()} has {each} of the driver, and bytes depend on them; install the "
                "same versions on every machine"
            )
        _LATEST.clear()
        _LATEST[key] = shared
    return _LATEST[key]


@failures_returned
def hash_some(reference: Sequence[Any], numbers: Sequence[int]) -> list[Hashed]:
    """The hashes of these recordings."""
    shared = shared_of(reference)
    return [hash_recording(shared.job, shared.recordings[number]) for number in numbers]


@failures_returned
def commit_recording(reference: Sequence[Any], number: int, hashed: Hashed) -> Receipt:
    """Commit what is left of a recording, by the local engine, in the folder that the driver owns."""
    shared = shared_of(reference)
    ledger = ledger_here(shared, number, hashed)
    until = monotonic() + _PATIENCE
    while True:
        run = new_run(shared.job, shared.recordings, dict(shared.row_types), ledger, None, [number])
        try:
            run.all()
        except BeingWritten:
            if monotonic() > until:
                raise
            sleep(0.1)
        else:
            log = run.logs[number]
            return Receipt(tuple(log.shards), log.end, run.written, platform.node())


def ledger_here(shared: Shared, number: int, hashed: Hashed) -> Ledger:
    """The ledger of the job's folder as this worker needs it for one recording.

    Raises:
        DataError: the recording is missing here, or has changed since it was hashed.
    """
    job = shared.job
    stamps = stamps_here(job, shared.recordings[number], hashed)
    identity = JobIdentity({}, shared.digest, {number: stamps})
    return Ledger(job.sink.path, identity, shard_suffix(job), job.output_roots)
