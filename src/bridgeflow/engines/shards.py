"""Many recordings, or a long one, to a folder of shards that survives whatever kills the job.

A shard is the result of a stretch of one recording. It is written under a hidden name, brought to the disk and given
its name, which says where it comes from; then a record in the log says its hash, and the state with which the recording
goes on behind it. That record is the commit: what has one is never made again, what has none is made anew with the same
bytes. The manifest comes last. Nothing in names or bytes depends on time, machine, number of threads, or on how often
the job was killed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Final, TypeAlias

from bridgeflow._threads import share_threads, usable_cores
from bridgeflow._version import __version__
from bridgeflow.engines.background import CancelToken, MemoryBudget, run_interruptibly
from bridgeflow.errors import BridgeflowError, DataError
from bridgeflow.io import Recording, Source, format_of, open_source, shown
from bridgeflow.io import recordings as files_of
from bridgeflow.io.commit import (
    JOB_RECORD,
    LOCK,
    MANIFEST,
    canonical,
    owned,
    publish,
    remove_leftovers,
    seal,
    sha256_at,
    sync_folder,
)
from bridgeflow.io.files import Roots, data_error, open_regular
from bridgeflow.io.mapped import Identity
from bridgeflow.io.records import VERSION, JobRecord, Shard, Step, open_shard, read_job, read_manifest, read_step
from bridgeflow.io.shard_folder import job_record, remove_shards
from bridgeflow.pipeline.chunked import ChunkedRun
from bridgeflow.pipeline.job import CHUNK_NBYTES, SHARD_CHUNKS, Job
from bridgeflow.signal.iir.engine import why_unavailable

__all__ = ["Moving", "Shard", "ShardsResult", "Watch", "check_folder", "run_shards", "verify_shards"]

LOG: Final = "log"
_JOB: Final = Path(JOB_RECORD).name
_MOST_THREADS: Final = 8
_WHOLE_TIMES: Final = 6
"""Times the bytes of a recording that are taken for what it needs when it goes through whole."""
_ANY: Final = 1 << 62
"""More bytes than anything becomes: what was just written needs no limit."""
_PACKAGES: Final = ("numpy", "scipy", "pyarrow", "torch")


@dataclass(frozen=True, kw_only=True)
class Moving:
    """How far a job has got.

    Attributes:
        done, total: bytes of input behind it, and in all; recordings, of: likewise recordings.
        rate: bytes of input a second; left: seconds that are left at that rate; 0 and `None` where it has not begun.
    """

    done: int
    total: int
    recordings: int
    of: int
    rate: float
    left: float | None


Watch = Callable[[Moving], None]
"""Told now and then how far a job has got, and once at the end."""


@dataclass(frozen=True, kw_only=True)
class ShardsResult:
    """What a job with shards did.

    Attributes:
        path: the folder.
        shards: all that the manifest lists.
        recordings: how many there are; rows_in: their rows in all; without_rows: those of which nothing came, such as
            recordings shorter than a window.
        made: shards that this run wrote; kept: those that an earlier run had committed.
        took: seconds.
        digest: SHA-256 of configuration, versions and inputs, in hexadecimal.
        was_complete: whether all was there already, and nothing was touched.
    """

    path: Path
    shards: tuple[Shard, ...] = field(repr=False)
    recordings: int
    rows_in: int
    made: int
    kept: int
    took: float
    digest: str
    was_complete: bool

    @property
    def without_rows(self) -> int:
        """Recordings of which nothing came."""
        return self.recordings - len({shard.recording for shard in self.shards})

    @property
    def rows(self) -> int:
        """Rows in all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def nbytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.nbytes for shard in self.shards)

    @property
    def saturated(self) -> int:
        """Values that the sink's `dtype` could not hold."""
        return sum(shard.saturated for shard in self.shards)

    @property
    def beyond(self) -> int:
        """Float samples beyond full scale in files of audio, which players clip."""
        return sum(shard.beyond for shard in self.shards)


def run_shards(job: Job, *, overwrite: bool = False, watch: Watch | None = None) -> ShardsResult:
    """Run a job whose sink is a folder of shards, or go on with it where an earlier run was stopped.

    Args:
        overwrite: whether a finished folder of this job, or one of another job, may be replaced: its shards, log and
            manifest are removed, and only they; a folder that holds anything else is refused. What this job has begun
            is gone on with all the same.
        watch: told how far it has got.

    Raises:
        DataError: the source, the outputs or the data are not as the job says; another run owns the folder (its process
            is named); the folder holds the results of another job, or of nobody knows what.
        BridgeflowError: what a transform refuses.
        OSError: the disk is full or broken. What was committed stays; the next run goes on from there.
    """
    began = monotonic()
    job.check_outputs(overwrite=overwrite)
    recordings = job.recordings()
    with job.open(recordings[0].path) as source:  # refused here, or after all inputs were read
        plan, makes = job.plan_alike(source, None)
        job.settings(plan, source=recordings[0].name)
    if job.sink.shard_rows is not None:
        job.require_few_shards(plan, list(_rows_of(job, recordings)))
    folder = job.sink.path
    if (folder / MANIFEST).exists() and not overwrite:
        with job.locating(*job.sink_steps):
            done = _complete(job, recordings, _identity(job, recordings), began)
        _tidy(folder, job.output_roots)
        return done
    with job.locating(*job.sink_steps), owned(folder, roots=job.output_roots) as opened:
        identity = _identity(job, recordings)
        if overwrite:
            _make_way(folder, opened, identity, job.output_roots)
        elif (folder / MANIFEST).exists():  # its owner has just gone
            return _complete(job, recordings, identity, began)
        _claim(folder, opened, identity, job.output_roots)
        try:
            run = _Run(job, recordings, makes, identity, watch)
            run.all()
        except Exception:
            _unclaim(folder)
            raise
        shards, rows_in = run.committed()
        _publish_record(folder / MANIFEST, _manifest(identity, shards, rows_in), job.output_roots)
    return ShardsResult(
        path=folder,
        shards=shards,
        recordings=len(recordings),
        rows_in=sum(rows_in.values()),
        made=run.made,
        kept=len(shards) - run.made,
        took=monotonic() - began,
        digest=identity.digest,
        was_complete=False,
    )


def _rows_of(job: Job, recordings: Sequence[Recording]) -> Iterator[int]:
    for one in recordings:
        with job.open(one.path) as source:
            yield source.rows


def verify_shards(folder: str | os.PathLike[str], *, roots: Roots = None) -> tuple[Shard, ...]:
    """Read every shard of a finished job again and hold it to the hash in the manifest.

    Raises:
        DataError: there is no manifest, or it is damaged; a shard is gone or is not the one that was written.
    """
    path = Path(folder)
    shards = read_manifest(path, roots=roots).shards
    for shard in shards:
        _require_there(path, shard)
        found = sha256_at(open_shard(path, shard, roots=roots))
        if found != shard.sha256:
            problem = f"has the SHA-256 {found[:12]}, and the manifest says {shard.sha256[:12]}"
            raise data_error(path / shard.name, problem, "its bytes have changed: delete the folder, run the job again")
    return shards


# --- what is to be done, and whether it is what was begun ---


_Stamps: TypeAlias = tuple["tuple[int, ...]", ...]
"""Of each file of a recording: device, inode, bytes, and when its bytes, and anything about it, changed."""


@dataclass(frozen=True)
class _Identity:
    """What the results depend on, part by part, and its SHA-256; and the state in which each input was hashed."""

    parts: dict[str, Any]
    stamps: tuple[_Stamps, ...] = ()

    @property
    def digest(self) -> str:
        return hashlib.sha256(canonical(self.parts)).hexdigest()


def _identity(job: Job, recordings: Sequence[Recording]) -> _Identity:
    """Configuration, versions, and the bytes of all inputs; no path, time or number of threads."""
    hashes: dict[int, tuple[str, _Stamps]] = {}
    waiting = iter(range(len(recordings)))
    cancel, lock = CancelToken(), Lock()

    def hash_some() -> None:
        while True:
            cancel.check()
            with lock:
                number = next(waiting, None)
            if number is None:
                return
            hashes[number] = _hash(recordings[number], job.roots)

    with job.reading():
        run_interruptibly([hash_some] * min(_threads(job), len(recordings)), cancel)
    inputs = [
        {"name": one.name, "nbytes": one.nbytes, "sha256": hashes[number][0]} for number, one in enumerate(recordings)
    ]
    return _Identity(_parts(job, inputs), tuple(hashes[number][1] for number in range(len(recordings))))


def _parts(job: Job, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the results depend on: the configuration, versions, and the inputs as described."""
    source, sink = job.source, job.sink
    return {
        "configuration": {
            "source": {
                "format": source.format,
                "columns": None if source.columns is None else list(source.columns),
                "fs": source.fs,
                "nulls": source.nulls,
                "rows": source.rows,
                **({"normalize": True} if source.normalize else {}),
            },
            "transforms": job.transform.to_config()["Compose"]["stages"],
            "sink": {
                "format": format_of(sink.path, sink.format).name,
                "compression": sink.compression,
                "dtype": sink.dtype,
                "on_overflow": sink.on_overflow,
                "shard_rows": sink.shard_rows,
                **({} if sink.normalize is None else {"normalize": sink.normalize}),
            },
            "grid": {"chunk_nbytes": CHUNK_NBYTES, "shard_chunks": SHARD_CHUNKS},
        },
        "versions": {"bridgeflow": __version__, "native": why_unavailable("native") is None, **_versions()},
        "inputs": inputs,
    }


def _hash(recording: Recording, roots: Roots) -> tuple[str, _Stamps]:
    """The SHA-256 of a recording's file, of several, that of theirs; and the state in which they were hashed."""
    hashes, stamps = [], []
    for one in files_of(recording.path, roots=roots):
        descriptor = open_regular(one.path, roots=roots)
        held = os.dup(descriptor)
        try:
            before = _stamp(os.fstat(held))
            hashes.append(sha256_at(descriptor))
            if _stamp(os.fstat(held)) != before:
                raise data_error(one.path, "was written to while it was read", "let no job write its inputs")
            stamps.append(before)
        finally:
            os.close(held)
    digest = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return digest, tuple(stamps)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _versions() -> dict[str, str]:
    """Packages whose arithmetic or encoding the bytes depend on."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _threads(job: Job) -> int:
    return job.threads or min(usable_cores(), _MOST_THREADS)


def _complete(job: Job, recordings: Sequence[Recording], identity: _Identity, began: float) -> ShardsResult:
    """The result of a run that found everything done."""
    folder = job.sink.path
    manifest = read_manifest(folder, roots=job.output_roots)
    _require_same(folder, manifest, identity)
    for shard in manifest.shards:
        _require_there(folder, shard)
    return ShardsResult(
        path=folder,
        shards=manifest.shards,
        recordings=len(recordings),
        rows_in=sum(manifest.recordings.values()),
        made=0,
        kept=len(manifest.shards),
        took=monotonic() - began,
        digest=identity.digest,
        was_complete=True,
    )


def _tidy(folder: Path, roots: Roots) -> None:
    """Remove what a run left that was killed between the manifest and its own end; touch nothing where that is none."""
    places = [place for place in (folder, folder / LOG) if place.is_dir()]
    if any(name.startswith(".") for place in places for name in os.listdir(place)):
        with suppress(DataError), owned(folder, roots=roots):  # unless it is just about to do so itself
            for place in places:
                remove_leftovers(place)


def check_folder(job: Job, recordings: Sequence[Recording], *, overwrite: bool = False) -> None:
    """Refuse what `run_shards` would refuse about a folder that is there, without reading inputs: their sizes tell.

    Raises:
        DataError: the folder holds the results of another job.
    """
    folder = job.sink.path
    record = job_record(folder, roots=job.output_roots) if folder.is_dir() else None
    if record is None or overwrite:
        return
    parts = _parts(job, [{"name": one.name, "sha256": one.nbytes} for one in recordings])
    with job.locating(*job.sink_steps):
        sizes = [{"name": one["name"], "sha256": one["nbytes"]} for one in record.parts["inputs"]]
        differ = "; ".join(_differences({**record.parts, "inputs": sizes}, parts))
        if differ:
            raise _other_job(folder, differ)


def _make_way(folder: Path, opened: int, identity: _Identity, roots: Roots) -> None:
    """Empty a folder that may be replaced, unless this job has begun there and can go on."""
    record = job_record(folder, roots=roots)
    if record is None or (record.digest == identity.digest and not (folder / MANIFEST).exists()):
        return
    remove_shards(folder, opened, record)


def _claim(folder: Path, opened: int, identity: _Identity, roots: Roots) -> None:
    """Make the folder this job's, or see that it is."""
    log = folder / LOG
    if (log / _JOB).exists():
        _require_same(folder, read_job(folder, roots=roots), identity)
        remove_leftovers(folder)
        remove_leftovers(log)
        sync_folder(log)  # a record that is found is there to stay
        return
    foreign = [name for name in os.listdir(folder) if name not in {".lock", LOG}]
    foreign += [f"{LOG}/{name}" for name in (os.listdir(log) if log.is_dir() else ()) if name != f".{_JOB}.part"]
    if foreign:
        some = ", ".join(map(shown, sorted(foreign)[:3]))
        raise data_error(folder, f"holds files that no job of ours has put there ({some})", "name an empty folder")
    log.mkdir(exist_ok=True)
    os.fsync(opened)
    _publish_record(log / _JOB, {"version": VERSION, "digest": identity.digest, **identity.parts}, roots)


def _unclaim(folder: Path) -> None:
    """Leave nothing of a job that has failed before anything was committed."""
    log = folder / LOG
    if set(os.listdir(folder)) <= {LOG, LOCK} and os.listdir(log) == [_JOB]:
        (log / _JOB).unlink()
        log.rmdir()


def _require_same(folder: Path, record: JobRecord, identity: _Identity) -> None:
    """Refuse to mix the results of two jobs; say what is not the same."""
    if record.digest == identity.digest:
        return
    raise _other_job(folder, "; ".join(_differences(record.parts, identity.parts)) or "its record contradicts itself")


def _other_job(folder: Path, differ: str) -> DataError:
    remedy = "write to another folder, or pass --overwrite (overwrite=True) to replace it"
    return data_error(folder, f"holds the results of another job ({differ})", remedy)


def _differences(record: Mapping[str, Any], parts: Mapping[str, Any]) -> Iterator[str]:
    for part in ("configuration", "versions"):
        then, now = record.get(part, {}), parts[part]
        keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
        if keys:
            yield f"{part}: {', '.join(keys)}"
    then, now = ({one["name"]: one["sha256"] for one in some["inputs"]} for some in (record, parts))
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    if names:
        yield f"inputs: {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"


def _manifest(identity: _Identity, shards: Sequence[Shard], rows_in: dict[str, int]) -> dict[str, Any]:
    return {
        "version": VERSION,
        "digest": identity.digest,
        **identity.parts,
        "recordings": [{"name": name, "rows": rows} for name, rows in rows_in.items()],
        "shards": [vars(shard) for shard in shards],
        "rows": sum(shard.rows for shard in shards),
    }


# --- records ---


def _publish_record(path: Path, record: dict[str, Any], roots: Roots) -> None:
    with publish(path, overwrite="same", roots=roots) as output:
        output.file.write(seal(record))


def _require_there(folder: Path, shard: Shard) -> None:
    """What is committed must be there, whole; its hash is for its readers to ask about."""
    path = folder / shard.name
    if path.is_symlink() or not path.is_file() or path.stat().st_size != shard.nbytes:
        found = f"has {path.stat().st_size:,} bytes" if path.is_file() else "is gone"
        found = "is a link" if path.is_symlink() else found
        problem = f"{found}, and the log says {shard.nbytes:,}"
        raise data_error(path, problem, "somebody changed the folder: delete it and run the job again")


def _stem(name: str) -> str:
    """The name of a recording as part of file names: letters and digits that every file system knows."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


# --- the work ---


@dataclass
class _Log:
    """What is committed of one recording of `rows`: its shards, where it goes on, in which state, and if it is done."""

    shards: list[Shard] = field(default_factory=list)
    records: int = 0
    rows: int = 0
    end: int = 0
    state: dict[str, Any] | None = None
    last: bool = False
    path: Path | None = None


class _Run:
    """One run of a job in a folder that it owns."""

    def __init__(
        self, job: Job, recordings: Sequence[Recording], makes: dict[str, str], identity: _Identity, watch: Watch | None
    ) -> None:
        self._job = job
        self._makes = makes
        self._folder = job.sink.path
        self._recordings = recordings
        self._digest = identity.digest
        self._stamps = identity.stamps
        self._watch = watch
        self._suffix = format_of(job.sink.path, job.sink.format).suffixes[0]
        self._cancel = CancelToken()
        self._memory = MemoryBudget(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
        self._lock = Lock()
        self._waiting = iter(range(len(recordings)))
        self._done = dict.fromkeys(range(len(recordings)), 0.0)  # bytes of each recording
        self._finished = 0
        self.made = 0
        self._logs = [self._read_log(one) for one in recordings]
        self._began = monotonic()
        self._before = 0.0

    def all(self) -> None:
        """Commit all shards of all recordings."""
        for number, log in enumerate(self._logs):
            self._advance(number, log.end, log.last, rows=log.rows)
        self._before = sum(self._done.values())
        errors: list[tuple[int, BaseException]] = []
        threads = min(_threads(self._job), len(self._recordings))
        run_interruptibly([lambda: self._some(errors, threads)] * threads, self._cancel, tick=self._tell)
        if errors:
            raise min(errors, key=lambda one: one[0])[1]
        self._tell()

    def committed(self) -> tuple[tuple[Shard, ...], dict[str, int]]:
        """All shards in order, and the rows of each recording that they come from."""
        rows = {one.name: log.end for one, log in zip(self._recordings, self._logs, strict=True)}
        return tuple(shard for log in self._logs for shard in log.shards), rows

    def _some(self, errors: list[tuple[int, BaseException]], threads: int) -> None:
        """One recording after the other, until there is none left; one of so many threads that do this."""
        share_threads(threads)
        while True:
            self._cancel.check()
            with self._lock:
                number = next(self._waiting, None)
            if number is None:
                return
            try:
                self._recording(number)
            except (BridgeflowError, OSError) as error:
                errors.append((number, error))
                self._cancel.set()

    def _recording(self, number: int) -> None:
        recording, log, job = self._recordings[number], self._logs[number], self._job
        if log.last:
            return
        with job.open(recording.path) as source:
            self._require_hashed(number, source)
            plan, _ = job.plan_alike(source, self._makes)
            settings = job.settings(plan, source=recording.name)
            if job.whole(plan):
                nbytes = sum(spec.expected_nbytes() or spec.nbytes or 0 for spec in source.specs.values())
                with self._memory.of(_WHOLE_TIMES * nbytes, self._cancel.check):
                    self._shard(number, source, 0, source.rows, settings, self._whole(source))
                return
            chunked = ChunkedRun(job.transform, job.layout(source), job.specs(source), name=recording.name)
            if log.path is not None:
                self._go_on(chunked, log, source)
            rows = job.shard_rows(source)
            for start in range(log.end, source.rows, rows):
                end = min(start + rows, source.rows)
                pieces = self._pieces(number, source, chunked, start, end)
                self._shard(number, source, start, end, settings, pieces, chunked)

    def _require_hashed(self, number: int, source: Source) -> None:
        """Refuse to go on with files that are not, or are not any more, those whose hashes name the job.

        Raises:
            DataError: a file was replaced or written to since it was hashed.
        """
        recording, hashed = self._recordings[number], self._stamps[number]
        opened: Any = source.identity
        read = sorted(tuple(one) for one in ([opened] if isinstance(opened, Identity) else opened))
        now = tuple(_stamp(os.stat(one.path)) for one in files_of(recording.path, roots=self._job.roots))
        if now != hashed or read != sorted(stamp[:4] for stamp in hashed):
            remedy = "let no job write its inputs, and run it again"
            raise data_error(recording.path, "has changed since it was hashed for the manifest", remedy)

    def _go_on(self, chunked: ChunkedRun, log: _Log, source: Source) -> None:
        """Bring a chunked run to where the log says that it was."""
        assert log.path is not None
        remedy = "delete the folder and run the job again"
        if log.rows != source.rows:
            raise data_error(log.path, f"speaks of {log.rows:,} rows, and there are {source.rows:,}", remedy)
        if log.state is None:
            raise data_error(log.path, "has no state to go on with", remedy)
        try:
            chunked.load_state_dict(log.state)
        except (BridgeflowError, ValueError, TypeError, LookupError, AttributeError, MemoryError) as error:
            raise data_error(log.path, f"has a state that does not fit the job ({error})", remedy) from error

    def _pieces(self, number: int, source: Source, chunked: ChunkedRun, start: int, end: int) -> Iterator[Any]:
        """What becomes certain of a stretch, chunk by chunk."""
        rows = self._job.chunk_rows(source)
        chunks = source.chunks(rows, start=start, stop=end)
        for position in range(start, end, rows):
            self._cancel.check()
            upto = min(position + rows, end)
            with self._job.reading():
                columns = next(chunks)
            with self._locating(source):
                columns = chunked.push(columns, last=upto == source.rows)
            yield columns
            self._advance(number, upto, False, rows=source.rows)

    def _whole(self, source: Source) -> Iterator[Any]:
        """What the transforms make of a recording that they need whole."""
        job, layout = self._job, self._job.layout(source)
        with job.reading():
            read = source.read()
        with self._locating(source):
            made = job.transform(layout.opened(read))
        columns = layout.closed(made, job.axes(source))
        self._cancel.check()
        yield columns

    @contextmanager
    def _locating(self, source: Source) -> Iterator[None]:
        """Say of errors in the block which recording they are about, and where their stage is written."""
        try:
            yield
        except BridgeflowError as error:
            error.recording = shown(source.path)
            self._job.locate_stage(error)
            raise

    def _shard(
        self,
        number: int,
        source: Source,
        start: int,
        end: int,
        settings: dict[str, Any],
        pieces: Iterator[Any],
        chunked: ChunkedRun | None = None,
    ) -> None:
        """Write one shard, and the record that commits it with the state behind it."""
        recording, log, job = self._recordings[number], self._logs[number], self._job
        stem, name = _stem(recording.name), self._shard_name(recording, start, end)
        sink = None
        with ExitStack() as stack:
            for columns in pieces:
                if not any(map(len, columns.values())):
                    continue
                if sink is None:  # a stretch of which nothing comes out has no file
                    opened = job.open_sink(settings, self._folder / name, overwrite="same", source=source)
                    sink = stack.enter_context(opened)
                sink.write(columns)
            self._require_hashed(number, source)  # before the shard gets its name
        shard = None
        if sink is not None:
            assert sink.receipt is not None
            self._require_rows(sink.receipt.path, sink.rows)
            shard = Shard(
                name=name,
                recording=recording.name,
                start=start,
                end=end,
                rows=sink.rows,
                nbytes=sink.receipt.nbytes,
                sha256=sink.receipt.sha256,
                saturated=sink.saturated,
                beyond=sink.beyond,
            )
        last = end == source.rows
        record = {
            "version": VERSION,
            "digest": self._digest,
            "recording": recording.name,
            "number": log.records,
            "start": start,
            "end": end,
            "rows": source.rows,
            "last": last,
            "shard": None if shard is None else vars(shard),
            "state": None if last or chunked is None else chunked.state_dict(),
        }
        _publish_record(self._folder / LOG / f"{stem}-{log.records:06d}.json", record, job.output_roots)
        with self._lock:
            log.records += 1
            log.end, log.last = end, last
            if shard is not None:
                log.shards.append(shard)
                self.made += 1
        self._advance(number, end, last, rows=source.rows)

    def _shard_name(self, recording: Recording, start: int, end: int) -> str:
        return f"part-{_stem(recording.name)}-{start:012d}-{end:012d}-{self._digest[:8]}{self._suffix}"

    def _require_rows(self, path: Path, rows: int) -> None:
        """What was written must read as what was meant."""
        options: dict[str, Any] = {"format": self._job.sink.format, "nulls": "keep", "roots": self._job.output_roots}
        with open_source(path, max_nbytes=_ANY, **options) as written:
            if written.rows != rows:
                raise data_error(path, f"holds {written.rows} rows where {rows} were written", "check the disk")

    # --- what is there ---

    def _read_log(self, recording: Recording) -> _Log:
        """What earlier runs have committed of a recording."""
        log, stem = _Log(), _stem(recording.name)
        while (path := self._folder / LOG / f"{stem}-{log.records:06d}.json").exists():
            step = read_step(path, roots=self._job.output_roots)
            if log.last or not self._continues(log, step, recording):
                raise data_error(path, "does not go with the records before it", "delete the folder and run again")
            if step.shard is not None:
                _require_there(self._folder, step.shard)
                log.shards.append(step.shard)
            log.records += 1
            log.end, log.rows, log.last, log.state = step.end, step.rows, step.last, step.state
            log.path = path
        return log

    def _continues(self, log: _Log, step: Step, recording: Recording) -> bool:
        """Whether a record is the next one of its recording, and its shard the one that it would have made."""
        found = (step.digest, step.recording, step.number, step.start, step.last)
        rows = step.rows if log.path is None else log.rows
        if found != (self._digest, recording.name, log.records, log.end, step.end == step.rows) or step.rows != rows:
            return False
        name = self._shard_name(recording, step.start, step.end)
        shard = step.shard
        stretch = (name, recording.name, step.start, step.end)
        return shard is None or (shard.name, shard.recording, shard.start, shard.end) == stretch

    # --- progress ---

    def _advance(self, number: int, end: int, last: bool, *, rows: int) -> None:
        with self._lock:
            self._finished += last
            self._done[number] = self._recordings[number].nbytes * end / max(rows, 1)

    def _tell(self) -> None:
        if self._watch is None:
            return
        with self._lock:
            done, finished = sum(self._done.values()), self._finished
        total = sum(one.nbytes for one in self._recordings)
        rate = (done - self._before) / max(monotonic() - self._began, 1e-9)
        self._watch(
            Moving(
                done=int(done),
                total=total,
                recordings=finished,
                of=len(self._recordings),
                rate=rate,
                left=(total - done) / rate if rate > 0 else None,
            )
        )
