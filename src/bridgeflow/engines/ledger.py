"""The commit protocol of a folder of shards.

A shard is written under a hidden name, brought to the disk and renamed to its name, which says where it comes from;
then a record in the log says its hash, and the state with which the recording continues after it. That record is the
commit: what has one is never written again, what has none is written again with the same bytes. The manifest is last.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bridgeflow.engines.identity import JobIdentity, differences, identity_parts
from bridgeflow.errors import DataError
from bridgeflow.io import Recording, shown
from bridgeflow.io.commit import (
    JOB_RECORD,
    LOCK,
    MANIFEST,
    names_in,
    owned,
    publish,
    remove_leftovers,
    seal,
    sha256_at,
    sync_folder,
)
from bridgeflow.io.files import Roots, data_error, is_folder, plainly
from bridgeflow.io.records import (
    VERSION,
    JobRecord,
    Manifest,
    Shard,
    Step,
    open_shard,
    read_job,
    read_manifest,
    read_step,
)
from bridgeflow.io.shard_folder import job_record, remove_shards
from bridgeflow.io.urls import UrlPath, as_path
from bridgeflow.pipeline.job_base import BaseJob

__all__ = ["Ledger", "RecordingLog", "check_folder", "require_there", "verify_shards"]

_LOG: Final = "log"
_JOB: Final = Path(JOB_RECORD).name


@dataclass
class RecordingLog:
    """What is committed of one recording of `rows`: its shards, where it continues, in which state, and if it is done.

    `records` is how many there are, `path` that of the last.
    """

    shards: list[Shard] = field(default_factory=list)
    records: int = 0
    rows: int = 0
    end: int = 0
    state: dict[str, Any] | None = None
    last: bool = False
    path: Path | None = None


class Ledger:
    """The records of one job in a folder of shards that it owns.

    Args:
        folder: the folder.
        identity: of the job.
        suffix: of the shards.
        roots: folders beneath which every record must lie.
    """

    def __init__(self, folder: Path, identity: JobIdentity, suffix: str, roots: Roots) -> None:
        self.folder = folder
        self.identity = identity
        self._digest = identity.digest
        self._suffix = suffix
        self._roots = roots
        self._log = folder / _LOG

    @property
    def is_complete(self) -> bool:
        """Whether the folder has its manifest."""
        return (self.folder / MANIFEST).exists()

    def make_way(self, opened: int) -> None:
        """Empty a folder that may be replaced, unless this job has begun there and can continue.

        Args:
            opened: a descriptor of the folder.
        """
        record = job_record(self.folder, roots=self._roots)
        if record is None or (record.digest == self._digest and not self.is_complete):
            return
        remove_shards(self.folder, opened, record)

    def claim(self, opened: int) -> None:
        """Make the folder this job's, or see that it is.

        Args:
            opened: a descriptor of the folder.

        Raises:
            DataError: the folder holds the results of another job, or other files.
        """
        folder, log = self.folder, self._log
        if (log / _JOB).exists():
            self._require_same(read_job(folder, roots=self._roots))
            remove_leftovers(folder)
            remove_leftovers(log)
            sync_folder(log)  # a record that is there now is there to stay
            return
        foreign = [name for name in names_in(folder) if name not in {LOCK, _LOG}]
        foreign += [f"{_LOG}/{name}" for name in (names_in(log) if log.is_dir() else ()) if name != f".{_JOB}.part"]
        if foreign:
            some = ", ".join(map(shown, sorted(foreign)[:3]))
            raise data_error(folder, f"holds files that no job of ours has put there ({some})", "name an empty folder")
        log.mkdir(exist_ok=True)
        sync_folder(folder)
        self._publish_job()

    def _publish_job(self) -> None:
        self._publish(self._log / _JOB, {"version": VERSION, "digest": self._digest, **self.identity.parts})

    def unclaim(self) -> None:
        """Leave nothing of a job that has failed before anything was committed."""
        if set(names_in(self.folder)) <= {_LOG, LOCK} and names_in(self._log) == [_JOB]:
            (self._log / _JOB).unlink()
            self._log.rmdir()

    def read_manifest(self) -> Manifest:
        """The manifest of this job, whose shards are all there.

        Raises:
            DataError: it is damaged or another job's, or a shard is missing or has another size.
        """
        manifest = read_manifest(self.folder, roots=self._roots)
        self._require_same(manifest)
        for shard in manifest.shards:
            require_there(self.folder, shard)
        return manifest

    def write_manifest(self, shards: Sequence[Shard], rows: dict[str, int]) -> None:
        """Say that all shards are there: the last step of a job.

        Args:
            shards: all of them, in order.
            rows: of each recording, by its name.
        """
        if isinstance(self.folder, UrlPath):  # which no lock has kept from others
            self._publish_job()
            sizes = {one.name: one.nbytes for one in self.folder.entries()}
            for shard in shards:
                if sizes.get(shard.name) != shard.nbytes:
                    require_there(self.folder, shard)
        manifest = {
            "version": VERSION,
            "digest": self._digest,
            **self.identity.parts,
            "recordings": [{"name": name, "rows": count} for name, count in rows.items()],
            "shards": [vars(shard) for shard in shards],
            "rows": sum(shard.rows for shard in shards),
        }
        self._publish(self.folder / MANIFEST, manifest)

    def tidy(self) -> None:
        """Remove what a run left that was killed between the manifest and its own end; else touch nothing."""
        places = [place for place in (self.folder, self._log) if place.is_dir()]
        if any(name.startswith(".") for place in places for name in names_in(place)):
            with suppress(DataError), owned(self.folder, roots=self._roots):  # unless that run is about to do so itself
                for place in places:
                    remove_leftovers(place)

    def shard_name(self, recording: Recording, start: int, end: int) -> str:
        """The name of the shard that these rows of a recording become."""
        return f"part-{_stem(recording.name)}-{start:012d}-{end:012d}-{self._digest[:8]}{self._suffix}"

    def commit(
        self,
        recording: Recording,
        number: int,
        *,
        start: int,
        end: int,
        rows: int,
        shard: Shard | None,
        state: dict[str, Any] | None,
    ) -> None:
        """Publish the record that commits rows `start` to `end` of a recording of `rows`.

        Args:
            number: how many records the recording has already.
            shard: what came out, where anything did.
            state: with which the recording continues; `None` at its end, or where it goes through whole.
        """
        record = {
            "version": VERSION,
            "digest": self._digest,
            "recording": recording.name,
            "number": number,
            "start": start,
            "end": end,
            "rows": rows,
            "last": end == rows,
            "shard": None if shard is None else vars(shard),
            "state": state,
        }
        self._publish(self._record_path(recording, number), record)

    def read_log(self, recording: Recording) -> RecordingLog:
        """What earlier runs have committed of a recording.

        Raises:
            DataError: a record is damaged or does not follow the one before it, or a shard is missing.
        """
        log = RecordingLog()
        while (path := self._record_path(recording, log.records)).exists():
            step = read_step(path, roots=self._roots)
            if log.last or not self._continues(log, step, recording):
                raise data_error(path, "does not go with the records before it", "delete the folder and run again")
            if step.shard is not None:
                require_there(self.folder, step.shard)
                log.shards.append(step.shard)
            log.records += 1
            log.end, log.rows, log.last, log.state = step.end, step.rows, step.last, step.state
            log.path = path
        return log

    def _continues(self, log: RecordingLog, step: Step, recording: Recording) -> bool:
        """Whether a record is the next one of its recording, and its shard the one that it would have."""
        facts = (step.digest, step.recording, step.number, step.start, step.last)
        rows = step.rows if log.path is None else log.rows
        if facts != (self._digest, recording.name, log.records, log.end, step.end == step.rows) or step.rows != rows:
            return False
        name = self.shard_name(recording, step.start, step.end)
        shard = step.shard
        stretch = (name, recording.name, step.start, step.end)
        return shard is None or (shard.name, shard.recording, shard.start, shard.end) == stretch

    def _record_path(self, recording: Recording, number: int) -> Path:
        return self._log / f"{_stem(recording.name)}-{number:06d}.json"

    def _require_same(self, record: JobRecord) -> None:
        """Refuse to mix the results of two jobs; say what is not the same."""
        if record.digest != self._digest:
            problem = differences(record.parts, self.identity.parts) or "its record contradicts itself"
            raise _other_job(self.folder, problem)

    def _publish(self, path: Path, record: dict[str, Any]) -> None:
        with publish(path, overwrite="same", roots=self._roots) as output:
            output.file.write(seal(record))


def check_folder(job: BaseJob, recordings: Sequence[Recording], *, overwrite: bool = False) -> None:
    """Refuse what `run_shards` would refuse about a folder that is there, without reading inputs: their sizes tell.

    Raises:
        DataError: the folder holds the results of another job.
    """
    folder = job.sink.path
    record = job_record(folder, roots=job.output_roots) if is_folder(folder) else None
    if record is None or overwrite:
        return
    parts = identity_parts(job, [{"name": one.name, "sha256": one.nbytes} for one in recordings])
    sizes = [{"name": one["name"], "sha256": one["nbytes"]} for one in record.parts["inputs"]]
    with job.locating(*job.sink_steps):
        if problem := differences({**record.parts, "inputs": sizes}, parts):
            raise _other_job(folder, problem)


def verify_shards(folder: str | os.PathLike[str], *, roots: Roots = None) -> tuple[Shard, ...]:
    """Read every shard of a finished job again and compare its SHA-256 with that in the manifest.

    Raises:
        DataError: there is no manifest, or it is damaged; a shard is missing or is not the one that was written.
    """
    path = as_path(folder)
    shards = read_manifest(path, roots=roots).shards
    for shard in shards:
        require_there(path, shard)
        sha256 = sha256_at(open_shard(path, shard, roots=roots))
        if sha256 != shard.sha256:
            problem = f"has the SHA-256 {sha256[:12]}, and the manifest says {shard.sha256[:12]}"
            raise data_error(path / shard.name, problem, "its bytes have changed: delete the folder, run the job again")
    return shards


def _other_job(folder: Path, problem: str) -> DataError:
    remedy = "write to another folder, or pass --overwrite (overwrite=True) to replace it"
    return data_error(folder, f"holds the results of another job ({problem})", remedy)


def require_there(folder: Path, shard: Shard) -> None:
    """What is committed must be there, whole; its hash is for its readers to check."""
    path = folder / shard.name
    with plainly(path):
        nbytes = path.stat().st_size if path.is_file() else None
    if path.is_symlink():
        problem = "is a link"
    elif nbytes is None:
        problem = "is missing"
    elif nbytes != shard.nbytes:
        problem = f"has {nbytes:,} bytes"
    else:
        return
    remedy = "another program changed the folder: delete it and run the job again"
    raise data_error(path, f"{problem}, and the log says {shard.nbytes:,} bytes", remedy)


def _stem(name: str) -> str:
    """The name of a recording as part of file names: letters and digits that every file system knows."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
