"""The command line: thin. Each command says what it does, what went wrong in one line, and an exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bridgeflow.errors import BridgeflowError, MissingDependency

if TYPE_CHECKING:
    from bridgeflow.engines.local import Progress, Result
    from bridgeflow.engines.shards import Moving, ShardsResult, Watch
    from bridgeflow.io import Source
    from bridgeflow.pipeline.job import Job
    from bridgeflow.transforms import Plan, SignalFilter

__all__ = ["app", "main"]

BUG, BAD_INPUT, SYSTEM, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143

app = typer.Typer(
    name="bridgeflow",
    help="Carry signal data from a file through transforms into a file, as a YAML configuration says.",
    epilog="Exit codes: 0 done; 1 a bug in BridgeFlow; 2 bad input, configuration or arguments; "
    "3 the system refused (disk full, package missing); 130 interrupted; 143 terminated.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="Configuration (YAML).", show_default=False)]
Roots = Annotated[
    Optional[list[Path]],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Option(
        "--root",
        metavar="DIR",
        help="Folder beneath which the job may read and write; may be repeated. "
        "By default the current folder and the configuration's own.",
        show_default=False,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")]
Threads = Annotated[
    Optional[int],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Option(
        "--threads",
        min=1,
        max=256,
        metavar="N",
        help="Recordings to work on at a time, for a folder of shards; by default what the configuration says, or as "
        "many as there are processors, at most 8.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


plot = typer.Typer(help="Draw pictures.", no_args_is_help=True)
app.add_typer(plot, name="plot")


def main() -> None:
    """Run the command line."""
    app(prog_name="bridgeflow")


@app.command()
def run(
    file: File,
    overwrite: Overwrite = False,
    root: Roots = None,
    threads: Threads = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run a job; show progress, then what was done. Where it was stopped, a folder of shards goes on."""
    with _errors(as_json, debug), _terminable():
        job = _load(file, root, threads)
        if job.sink.shards:
            from bridgeflow.engines.shards import run_shards

            with _watching(quiet=as_json) as watch:
                done = run_shards(job, overwrite=overwrite, watch=watch)
            _say(as_json, _shards_facts(job, done), _shards_lines(job, done))
            return
        from bridgeflow.engines.local import run_job

        _require_picture(job)
        with _progress(quiet=as_json) as progress:
            result = run_job(job, overwrite=overwrite, progress=progress)
        picture = _draw(job, result, overwrite=overwrite)
        _say(as_json, _run_facts(job, result, picture), _run_lines(job, result, picture))


def _load(file: Path, root: list[Path] | None, threads: int | None = None) -> Job:
    from dataclasses import replace

    from bridgeflow.config import load_job
    from bridgeflow.errors import ConfigError

    job = load_job(file, roots=root)
    if threads is not None and not job.sink.shards:
        raise ConfigError("--threads is for several recordings side by side, and the sink of this job is one file")
    return job if threads is None else replace(job, threads=threads)


@app.command()
def check(
    file: File, overwrite: Overwrite = False, root: Roots = None, as_json: Json = False, debug: Debug = False
) -> None:
    """Validate a job without running it: the configuration, the source's schema, the transforms on it, the outputs."""
    with _errors(as_json, debug):
        job = _load(file, root)
        _require_picture(job)
        job.check_outputs(overwrite=overwrite)
        recordings = job.recordings()
        rows, columns, summary, how, makes = 0, [""], "", "", None
        for one in recordings:
            with job.open(one.path) as source:
                plan, makes = job.plan_alike(source, makes)
                rows += source.rows
                if one is recordings[0]:
                    columns, summary, how = list(source.specs), plan.summary(), _how(job, source, plan)
        many = f"{_number(len(recordings), 'recording')}, " if job.source.is_many else ""
        lines = [
            ("reads", f"{_shown(job.source.path)}: {many}{rows:,} rows of {', '.join(columns)}"),
            ("stages", f"{len(job.transform.stages)}, {summary}"),
            ("runs", how),
            ("writes", ", ".join(map(_shown, job.outputs.values()))),
        ]
        stages = len(job.transform.stages)
        facts = {"recordings": len(recordings), "rows": rows, "columns": columns, "stages": stages, "runs": how}
        _say(as_json, {"ok": True, **facts}, [*lines, ("", "all fine")])


@app.command()
def explain(file: File, root: Roots = None, as_json: Json = False, debug: Debug = False) -> None:
    """Print the plan: stage by stage what will be a view, a copy or a move, and why; and whether it runs in chunks."""
    with _errors(as_json, debug):
        job = _load(file, root)
        first, *others = job.recordings()
        with job.open(first.path) as source:
            plan = job.plan(source)
            how = _how(job, source, plan)
        if as_json:
            names = ("stage", "place", "from", "to", "action", "bytes", "why")
            steps = [dict(zip(names, row, strict=True)) for row in plan.rows()]
            facts = {"steps": steps, "bytes": plan.total_bytes, "obstacles": list(plan.obstacles), "runs": how}
            _print_json({"recording": str(first.path), "recordings": 1 + len(others), **facts})
        else:
            typer.echo(f"{plan}\nruns {how}")
            if others:
                typer.echo(f"this is {_shown(first.path)}, the first of {1 + len(others):,} recordings")


def _how(job: Job, source: Source, plan: Plan) -> str:
    """Whether the rows go through in chunks, or why not."""
    if reason := job.whole(plan):
        return f"on the whole recording at once: {reason}"
    rows = job.chunk_rows(source)
    shards = f"; a shard for each {job.shard_rows(source):,} rows" if job.sink.shards else ""
    at_once = source.rows <= rows and not job.sink.shards
    return f"at once: {source.rows:,} rows are one chunk" if at_once else f"in chunks of {rows:,} rows{shards}"


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of shards.", show_default=False)],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Read a folder of shards again, and hold every byte to the hashes in its manifest."""
    with _errors(as_json, debug), _terminable():
        from bridgeflow.engines.shards import verify_shards

        shards = verify_shards(folder)
        rows, nbytes = sum(shard.rows for shard in shards), sum(shard.nbytes for shard in shards)
        lines = [
            ("read", f"{_shown(folder)}: {_number(len(shards), 'shard')}, {rows:,} rows, {nbytes:,} bytes"),
            ("", "all as written"),
        ]
        _say(as_json, {"ok": True, "shards": len(shards), "rows": rows, "nbytes": nbytes}, lines)


@plot.command(
    "filter",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    options_metavar="[FILE [--stage N] | --FIELD VALUE ...] --png PATH",
    epilog="bridgeflow plot filter --design butter --btype bandpass --cutoff 0.5,40 --order 2 --fs 360 --png out.png",
)
def plot_filter(
    context: typer.Context,
    png: Annotated[Path, typer.Option("--png", metavar="PATH", help="The picture to write.", show_default=False)],
    stage: Annotated[
        Optional[str],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
        typer.Option(
            "--stage",
            metavar="N",
            help="Which stage of FILE, counted as `explain` does (2; 3.1 in a composition). "
            "May be left out where there is only one filter.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing picture.")] = False,
    root: Roots = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw a filter: magnitude, phase, group delay, zeros and poles, impulse response.

    The filter is a SignalFilter stage of the job FILE, or is said by that transform's fields as options: --design,
    --cutoff, --fs, --mode and so on, with values as in a configuration; commas make a list. It is drawn as it is put to
    work: mode zero_phase squares the gain of a recursive filter and has no delay.
    """
    with _errors(as_json, debug):
        from bridgeflow.plots import draw_filter

        where, signal_filter = _chosen_filter(context.args, stage, root)
        curves = draw_filter(signal_filter.filter, png, overwrite=overwrite)
        design = signal_filter.designed
        unit = " Hz" if design.fs else " cycles per sample"
        half = ", ".join(f"{frequency:.4g}" for frequency in curves.half_power)
        lines = [
            ("filter", f"{where}{design}, {signal_filter.mode}"),
            ("-3 dB", f"{half}{unit}" if half else "nowhere"),
            ("picture", _shown(png)),
        ]
        facts = {
            "ok": True,
            "filter": signal_filter.to_config(),
            "half_power": list(curves.half_power),
            "picture": str(png),
        }
        _say(as_json, facts, lines)


@app.command("list")
def list_(as_json: Json = False, debug: Debug = False) -> None:
    """List what a configuration may name: transforms and formats."""
    with _errors(as_json, debug):
        from bridgeflow.io import formats
        from bridgeflow.transforms import registry

        transforms = {name: registry.lookup(name).field_schema()["description"] for name in registry.names()}
        files = {name: f"{form.about} ({' '.join(form.suffixes)})" for name, form in formats().items()}
        lines = [("transforms", ""), *transforms.items(), ("", ""), ("formats", ""), *files.items()]
        _say(as_json, {"transforms": transforms, "formats": files}, lines)


@app.command()
def schema(debug: Debug = False) -> None:
    """Print the JSON Schema of a configuration, for editors that complete and check."""
    with _errors(True, debug):
        from bridgeflow.config import config_schema

        _print_json(config_schema())


@app.command()
def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Say which versions and limits this machine has, and what may hurt; exit with 3 where something is bad."""
    with _errors(as_json, debug):
        from dataclasses import asdict

        from bridgeflow.engines.machine import examine

        findings = examine()
        marks = {"ok": "", "note": "note: ", "bad": "BAD: "}
        lines = [
            (one.what, f"{one.found}" + (f"; {marks[one.verdict]}{one.remedy}" if one.remedy else ""))
            for one in findings
        ]
        _say(as_json, {"findings": [asdict(one) for one in findings]}, lines)
    if any(one.verdict == "bad" for one in findings):
        raise typer.Exit(SYSTEM)


# --- a filter from the command line ---


def _chosen_filter(words: Sequence[str], stage: str | None, roots: list[Path] | None) -> tuple[str, SignalFilter]:
    """Where it was found, and the filter that the arguments mean: a stage of a job, or fields."""
    from bridgeflow.errors import ConfigError
    from bridgeflow.transforms import SignalFilter

    files, fields = _files_and_fields(words)
    if len(files) > 1:
        raise ConfigError(f"one configuration, please; got {', '.join(files)}; a list is written with commas: 0.5,40")
    if files and fields:
        raise ConfigError(
            f"give a configuration or the fields of a filter, not both: {files[0]} and --{next(iter(fields))}"
        )
    if files:
        return _filter_of_job(Path(files[0]), stage, roots)
    if not fields:
        raise ConfigError("which filter? Give a configuration (FILE), or fields: --design butter --cutoff 20 ...")
    if stage is not None:
        raise ConfigError("--stage is for a configuration; the fields describe one filter")
    return "", SignalFilter.from_config({"SignalFilter": fields})


def _files_and_fields(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """`--name value` and `--name=value` as fields, with values as in a configuration; the rest is files."""
    from bridgeflow.config.document import read_document
    from bridgeflow.errors import ConfigError

    files: list[str] = []
    fields: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            files.append(word)
            continue
        option, given, text = word.partition("=")
        value = text if given else next(rest, None)
        name = option[2:].replace("-", "_")
        if value is None:
            raise ConfigError(f"{option}: its value is missing")
        if name in fields:
            raise ConfigError(f"{option}: given twice")
        listed = value if "," not in value or value.startswith("[") else f"[{value}]"
        fields[name] = read_document(listed.encode(), option).root.plain()
    return files, fields


def _filter_of_job(file: Path, stage: str | None, roots: list[Path] | None) -> tuple[str, SignalFilter]:
    from bridgeflow.config import load_job
    from bridgeflow.errors import ConfigError

    filters = dict(_filters(load_job(file, roots=roots).transform.stages))
    known = ", ".join(filters)
    if not filters:
        raise ConfigError(f"{_shown(file)}: no stage is a SignalFilter")
    if stage is None and len(filters) > 1:
        raise ConfigError(f"{_shown(file)}: several stages are filters; choose with --stage, one of {known}")
    number = next(iter(filters)) if stage is None else stage
    if number not in filters:
        raise ConfigError(f"{_shown(file)}: stage {number} is no SignalFilter; --stage takes one of {known}")
    return f"{_shown(file)}, stage {number}: ", filters[number]


def _filters(stages: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, SignalFilter]]:
    """The filters among the stages, by the numbers that plans and messages use."""
    from bridgeflow.pipeline.compose import Compose
    from bridgeflow.transforms import SignalFilter

    for index, one in enumerate(stages, 1):
        if isinstance(one, Compose):
            yield from _filters(one.stages, f"{prefix}{index}.")
        elif isinstance(one, SignalFilter):
            yield f"{prefix}{index}", one


# --- errors ---


class _Terminated(BaseException):
    """SIGTERM, on its way out through every `finally`."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind like an interrupt, so that nothing half-written stays behind."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _errors(as_json: bool, debug: bool) -> Iterator[None]:
    """Turn what goes wrong into one line and an exit code; the traceback only on request."""
    try:
        yield
    except BaseException as error:
        verdict = _verdict(error, debug)
        if verdict is None:
            raise
        if debug:
            traceback.print_exc()
        code, message = verdict
        _say_error(as_json, message, error)
        if code in {INTERRUPTED, TERMINATED}:
            _end_if_busy(error, code)
        raise typer.Exit(code) from None


def _end_if_busy(error: BaseException, code: int) -> None:
    """End at once where work goes on that nobody may wait for: what is committed stays, the rest was never visible."""
    from bridgeflow.engines.attended import was_left_running

    if was_left_running(error):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _verdict(error: BaseException, debug: bool) -> tuple[int, str] | None:
    """Exit code and message; `None` for what is no business of ours (an exit that somebody has decided on)."""
    match error:
        case KeyboardInterrupt():
            return INTERRUPTED, "interrupted; nothing half-written was left"
        case _Terminated():
            return TERMINATED, "terminated; nothing half-written was left"
        case MissingDependency():
            return SYSTEM, str(error)
        case BridgeflowError():
            return BAD_INPUT, str(error)
        case OSError():
            return SYSTEM, f"the system refused: {error}"
        case typer.Exit() | SystemExit() | GeneratorExit():
            return None
        case _:
            hint = "" if debug else "; run it again with --debug and report the traceback"
            return BUG, f"a bug in BridgeFlow: {type(error).__name__}: {error}{hint}"


def _say_error(as_json: bool, message: str, error: BaseException) -> None:
    from bridgeflow.io import printable

    line = printable(" ".join(message.split()))
    if as_json:
        facts = {name: getattr(error, name, None) for name in ("file", "line", "column")}
        known = {name: value for name, value in facts.items() if value is not None}
        _print_json({"ok": False, "error": {"type": type(error).__name__, "message": line, **known}})
    else:
        typer.echo(f"bridgeflow: {line}", err=True)


# --- what a run says ---


def _require_picture(job: Job) -> None:
    """Refuse before the work what could not be drawn after it."""
    if job.report and job.report.png:
        from bridgeflow.plots import require_matplotlib

        require_matplotlib()


def _draw(job: Job, result: Result, *, overwrite: bool) -> Path | None:
    """The picture of the report, where it wants one."""
    report, pair = job.report, result.pair
    if report is None or report.png is None or pair is None:
        return None
    from bridgeflow.plots import BeforeAfter, draw_before_after

    hum = result.hum
    what = BeforeAfter(
        before=pair.before,
        after=pair.after,
        fs=pair.fs,
        title=job.source.path.stem,
        name=pair.name,
        unit=report.unit,
        hum=None if hum is None else (hum.frequency, hum.before_db, hum.after_db),
        seconds=report.seconds,
    )
    draw_before_after(what, report.png, overwrite=overwrite, roots=job.roots)
    return report.png


def _run_facts(job: Job, result: Result, picture: Path | None) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "ok": True,
        "source": str(job.source.path.resolve()),
        "rows": result.rows,
        "samples": result.samples,
        "fs": result.fs,
        "seconds": result.seconds,
        "samples_per_second": result.rate,
        "took": result.took,
        "crossings": result.crossings,
        "copies": [asdict(copy) for copy in result.copies],
        "hum": None if result.hum is None else asdict(result.hum),
        "sink": {**asdict(result.receipt), "path": str(result.receipt.path)},
        "chunks": result.chunks,
        "saturated": result.saturated,
        "picture": None if picture is None else str(picture),
    }


def _run_lines(job: Job, result: Result, picture: Path | None) -> list[tuple[str, str]]:
    long = "" if result.fs is None else f", {_duration(result.seconds or 0)} at {result.fs:g} Hz"
    took = ", ".join(f"{_step(name)} {seconds:.2f}" for name, seconds in result.took.items())
    lines = [
        ("read", f"{_shown(job.source.path)}: {result.samples:,} samples{long}"),
        ("time", f"{sum(result.took.values()):.2f} s ({took}): {result.rate:,.0f} samples/s"),
        *_copy_lines(result),
    ]
    if result.hum is not None:
        frequency, before, after = result.hum.frequency, result.hum.before_db, result.hum.after_db
        change = f"{abs(before - after):.1f} dB {'less' if after <= before else 'more'}"
        lines.append(
            (
                "hum",
                f"{frequency:g} Hz against its neighbours: {before:+.1f} dB before, {after:+.1f} dB after: {change}",
            )
        )
    lines.append(
        (
            "wrote",
            f"{_shown(result.receipt.path)}: {result.receipt.nbytes:,} bytes, SHA-256 {result.receipt.sha256[:12]}",
        )
    )
    lines += _saturated_lines(result.saturated)
    if picture is not None:
        lines.append(("picture", _shown(picture)))
    return lines


def _saturated_lines(count: int) -> list[tuple[str, str]]:
    return [("saturated", f"{count:,} values out of the range of the sink's dtype")] if count else []


def _shards_facts(job: Job, result: ShardsResult) -> dict[str, Any]:
    return {
        "ok": True,
        "source": str(job.source.path.resolve()),
        "recordings": result.recordings,
        "rows": result.rows_in,
        "sink": {"path": str(result.path), "rows": result.rows, "nbytes": result.nbytes, "digest": result.digest},
        "shards": len(result.shards),
        "made": result.made,
        "kept": result.kept,
        "saturated": result.saturated,
        "seconds": result.took,
        "was_complete": result.was_complete,
    }


def _shards_lines(job: Job, result: ShardsResult) -> list[tuple[str, str]]:
    kept = f", {result.kept:,} of them by an earlier run" if result.kept else ""
    if result.was_complete:
        kept = ", all of them there already: nothing was touched"
    return [
        ("read", f"{_shown(job.source.path)}: {_number(result.recordings, 'recording')}, {result.rows_in:,} rows"),
        ("time", f"{result.took:.2f} s: {result.rows_in / max(result.took, 1e-9):,.0f} rows/s"),
        ("wrote", f"{_shown(result.path)}: {_number(len(result.shards), 'shard')}{kept}"),
        ("", f"{result.rows:,} rows, {result.nbytes:,} bytes, job {result.digest[:8]}"),
        *_saturated_lines(result.saturated),
    ]


def _copy_lines(result: Result) -> list[tuple[str, str]]:
    """The copies that crossings made, or that they made none."""
    if not result.crossings:
        return [("copies", "none")]
    if not result.copies:
        return [("copies", f"none: all {result.crossings} crossings between Arrow, NumPy and torch shared memory")]
    total = sum(copy.nbytes or 0 for copy in result.copies)
    head = f"{len(result.copies)} of {result.crossings} crossings, {total:,} bytes"
    each = [
        f"{copy.stage}, {copy.place}: {copy.action} of {copy.nbytes or 0:,} bytes; {copy.why}" for copy in result.copies
    ]
    return [("copies", head), *(("", line) for line in each)]


def _duration(seconds: float) -> str:
    """A length of time for people.

    >>> _duration(300), _duration(3725.5), _duration(0.25)
    ('5 min', '1 h 2 min 5.5 s', '0.25 s')
    """
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{value:g} {unit}" for value, unit in ((hours, "h"), (minutes, "min"), (round(rest, 3), "s")) if value]
    return " ".join(parts) or "0 s"


def _step(label: str) -> str:
    """The name of a step without its number: `stage 2 (Scale)` is `Scale`."""
    return label.partition("(")[2].rstrip(")") or label


def _shown(path: Path) -> str:
    from bridgeflow.io import shown

    return shown(path)


# --- output ---


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress]:
    """A bar on a terminal, a line for each step otherwise; on standard error, so that the summary can be piped."""
    if quiet:
        yield lambda name, number, total: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress as Bar

        with Bar(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("")
            yield lambda name, number, total: bar.update(task, description=_step(name), completed=number, total=total)
    else:
        yield (
            lambda name, number, total: typer.echo(f"[{number + 1}/{total}] {_step(name)}", err=True) if name else None
        )


@contextmanager
def _watching(*, quiet: bool) -> Iterator[Watch]:
    """A bar with rate and time left on a terminal, a line every few seconds otherwise; on standard error."""
    if quiet:
        yield lambda moving: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("")
            yield lambda moving: bar.update(
                task, description=_moving_words(moving), completed=moving.done, total=max(moving.total, 1)
            )
    else:
        yield _Lines()


class _Lines:
    """Progress as lines: the first after two seconds, then as the work goes on, ever more rarely."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._next = 2.0

    def __call__(self, moving: Moving) -> None:
        passed = monotonic() - self._began
        if passed >= self._next or moving.recordings == moving.of:
            self._next = max(passed * 1.5, passed + 5)
            percent = 100 * moving.done / max(moving.total, 1)
            typer.echo(f"[{percent:.0f} %] {_moving_words(moving)}", err=True)


def _moving_words(moving: Moving) -> str:
    """Recordings done, rate, and time left."""
    rate = f", {moving.rate / 2**20:,.1f} MiB/s" if moving.rate else ""
    left = "" if moving.left is None or moving.recordings == moving.of else f", {_duration(round(moving.left))} left"
    return f"{moving.recordings:,} of {_number(moving.of, 'recording')}{rate}{left}"


def _number(count: int, what: str) -> str:
    """So many of them.

    >>> _number(1, "shard"), _number(2000, "shard")
    ('1 shard', '2,000 shards')
    """
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _say(as_json: bool, facts: dict[str, Any], lines: Sequence[tuple[str, str]]) -> None:
    """The same for machines, for a terminal, and for a pipe."""
    if as_json:
        _print_json(facts)
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for label, text in lines:
            table.add_row(Text(label, style="bold"), Text(text))
        Console().print(table)
    else:
        width = max(len(label) for label, _ in lines) + 2
        for label, text in lines:
            typer.echo(f"{label:<{width}}{text}".rstrip())


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
