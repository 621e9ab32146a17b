"""The command line: thin. Each command says what it does, what went wrong in one line, and an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bridgeflow._version import __version__
from bridgeflow.cli.console import echo, echo_json
from bridgeflow.cli.engines import Address, Engine, chosen_engine
from bridgeflow.cli.exits import SYSTEM, reporting_errors, run_to_exit, terminable
from bridgeflow.cli.filters import chosen_filter
from bridgeflow.cli.options import Debug, Json, Quiet, Silent, example
from bridgeflow.cli.output import (
    number_of,
    run_facts,
    run_lines,
    say,
    shards_facts,
    shards_lines,
    shown_path,
)
from bridgeflow.cli.progress import show_progress, show_steps
from bridgeflow.cli.recordings import convert, info, plot_recording
from bridgeflow.cli.report_picture import drawn_picture, publish_report_picture, require_picture

if TYPE_CHECKING:
    from bridgeflow.pipeline.job import Job
    from bridgeflow.pipeline.windows_job import WindowsJob

__all__ = ["app", "main"]

app = typer.Typer(
    name="bridgeflow",
    help="Carry signal data from a file through transforms into a file, as a YAML configuration says.",
    epilog="Exit codes: 0 done; 1 a bug in BridgeFlow; 2 bad input, configuration or arguments; "
    "3 the system refused (disk full, package missing); 130 interrupted; 143 terminated.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich takes longer to import than all the rest
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="Configuration (YAML).", show_default=False)]
Overrides = Annotated[
    Optional[list[str]],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Values that take the place of those in FILE: source.fs=250, transforms[1].SignalFilter.order=4.",
        show_default=False,
    ),
]
Plugins = Annotated[
    Optional[list[str]],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Option(
        "--plugins",
        metavar="NAME",
        help="Installed plugin whose transforms the configuration may name; may be repeated.",
        show_default=False,
    ),
]
Roots = Annotated[
    Optional[list[Path]],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Option(
        "--root",
        metavar="DIR",
        help="Folder beneath which the job may read; may be repeated. "
        "By default the current folder and the configuration's own.",
        show_default=False,
    ),
]
OutputRoots = Annotated[
    Optional[list[Path]],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Option(
        "--output-root",
        metavar="DIR",
        help="Folder beneath which the job may write, hidden folders and site-packages left out; may be repeated. "
        "By default the current folder and the configuration's own.",
        show_default=False,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace existing outputs: files, and folders of shards of a job."),
]
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


plot = typer.Typer(
    help="Draw pictures.",
    epilog=example("bridgeflow plot recording night.edf --png night.png"),
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(plot, name="plot")
app.command(epilog=example("bridgeflow info night.edf", "bridgeflow info data/*.csv --fs 360 --json"))(info)
app.command(epilog=example("bridgeflow convert data/*.edf converted --to parquet"))(convert)
plot.command("recording", epilog=example("bridgeflow plot recording night.edf --seconds 60,90 --png night.png"))(
    plot_recording
)


def _print_version(asked: bool) -> None:
    if asked:
        echo(f"bridgeflow {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    run_to_exit(app)


@app.command(epilog=example("bridgeflow run job.yaml", "bridgeflow run job.yaml source.fs=250 --overwrite"))
def run(
    file: File,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    root: Roots = None,
    output_root: OutputRoots = None,
    threads: Threads = None,
    engine: Engine = "local",
    address: Address = None,
    plugins: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run a job; show progress, then what was done. A folder of shards continues where it was stopped."""
    with reporting_errors(as_json, debug), terminable():
        from bridgeflow.pipeline.windows_job import WindowsJob

        run_folder = chosen_engine(engine, address)
        job = _load(file, root, output_root, threads, overrides=overrides, plugins=plugins)
        if isinstance(job, WindowsJob) or job.sink.shards or engine != "local":
            with show_progress(quiet=quiet or as_json) as progress:
                shards = run_folder(job, overwrite=overwrite, progress=progress)
            say(as_json, shards_facts(job, shards), shards_lines(job, shards))
            return
        from bridgeflow.engines.local import run_job

        require_picture(job)
        with show_steps(quiet=quiet or as_json) as on_step:
            drawn: list[bytes] = []
            result = run_job(
                job,
                overwrite=overwrite,
                progress=on_step,
                picture=lambda pair, hum: drawn.extend(drawn_picture(job, pair, hum)),
            )
        picture = publish_report_picture(job, drawn, overwrite=overwrite)
        say(as_json, run_facts(job, result, picture), run_lines(job, result, picture))


def _load(
    file: Path,
    root: list[Path] | None,
    output_root: list[Path] | None,
    threads: int | None = None,
    *,
    overrides: list[str] | None,
    plugins: list[str] | None,
) -> Job | WindowsJob:
    from dataclasses import replace

    from bridgeflow.config import load_job
    from bridgeflow.errors import ConfigError

    job = load_job(file, roots=root, output_roots=output_root, overrides=overrides or (), plugins=plugins or ())
    if threads is not None and not job.sink.shards:
        raise ConfigError("--threads is for several recordings side by side, and the sink of this job is one file")
    return job if threads is None else replace(job, threads=threads)


@app.command(epilog=example("bridgeflow check job.yaml", "bridgeflow check train.yaml loader.batch_size=8"))
def check(
    file: File,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    root: Roots = None,
    output_root: OutputRoots = None,
    plugins: Plugins = None,
    as_json: Json = False,
    quiet: Silent = False,
    debug: Debug = False,
) -> None:
    """Validate a job without running it: the configuration, the source's schema, the transforms on it, the outputs.

    Of a pipeline file, which bridgeflow.load_pipeline reads: its sources, parts, transforms and loaders.
    """
    with reporting_errors(as_json, debug):
        from bridgeflow.config import is_pipeline, load_pipeline

        if is_pipeline(file, overrides or ()):
            from bridgeflow.cli.checks import check_pipeline

            _refuse_options_of_jobs(file, **{"--overwrite": overwrite, "--output-root": output_root})
            pipeline = load_pipeline(file, roots=root, overrides=overrides or (), plugins=plugins or ())
            facts, lines = check_pipeline(pipeline)
        else:
            from bridgeflow.cli.checks import check_job

            job = _load(file, root, output_root, overrides=overrides, plugins=plugins)
            require_picture(job, imported=False)
            facts, lines = check_job(job, overwrite=overwrite)
        if as_json or not quiet:
            say(as_json, facts, lines)


@app.command(epilog=example("bridgeflow explain job.yaml", "bridgeflow explain job.yaml --html plan.html"))
def explain(
    file: File,
    overrides: Overrides = None,
    root: Roots = None,
    output_root: OutputRoots = None,
    plugins: Plugins = None,
    html: Annotated[
        Optional[Path],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
        typer.Option("--html", metavar="PATH", help="Write the plan as a page too.", show_default=False),
    ] = None,
    part: Annotated[
        Optional[str],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
        typer.Option("--part", metavar="NAME", help="Of a pipeline: which part; train by default.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing page.")] = False,
    as_json: Json = False,
    quiet: Silent = False,
    debug: Debug = False,
) -> None:
    """Print the plan: stage by stage what will be a view, a copy or a move, and why; and whether it runs in chunks.

    Of a pipeline file, what becomes of a window of recordings, or of a row of a file, on its way into a batch.
    """
    with reporting_errors(as_json, debug):
        from bridgeflow.cli.checks import explain_job, explain_pipeline, write_page
        from bridgeflow.config import is_pipeline, load_pipeline
        from bridgeflow.errors import ConfigError

        if is_pipeline(file, overrides or ()):
            _refuse_options_of_jobs(file, **{"--output-root": output_root})
            pipeline = load_pipeline(file, roots=root, overrides=overrides or (), plugins=plugins or ())
            explained = explain_pipeline(pipeline, part, shown_path(file))
        else:
            if part is not None:
                raise ConfigError(f"--part is for a pipeline, and {shown_path(file)} is a job; leave it out")
            job = _load(file, root, output_root, overrides=overrides, plugins=plugins)
            explained = explain_job(job, shown_path(file))
        if html is not None:
            write_page(explained, html, overwrite=overwrite)
        if as_json:
            echo_json(explained.facts)
        elif not quiet:
            echo("\n".join(explained.lines))


@app.command(epilog=example("bridgeflow verify shards/"))
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of shards.", show_default=False)],
    as_json: Json = False,
    quiet: Silent = False,
    debug: Debug = False,
) -> None:
    """Read a folder of shards again, and verify every byte against the hashes in its manifest."""
    with reporting_errors(as_json, debug), terminable():
        from bridgeflow.engines.ledger import verify_shards

        shards = verify_shards(folder)
        rows, nbytes = sum(shard.rows for shard in shards), sum(shard.nbytes for shard in shards)
        lines = [
            ("read", f"{shown_path(folder)}: {number_of(len(shards), 'shard')}, {rows:,} rows, {nbytes:,} bytes"),
            ("", "all as written"),
        ]
        if as_json or not quiet:
            say(as_json, {"ok": True, "shards": len(shards), "rows": rows, "nbytes": nbytes}, lines)


@plot.command(
    "filter",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    options_metavar="[FILE [--stage N] | --FIELD VALUE ...] --png PATH",
    epilog=example(
        "bridgeflow plot filter --design butter --btype bandpass --cutoff 0.5,40 --order 2 --fs 360 --png out.png",
        "bridgeflow plot filter job.yaml --stage 2 --png out.png",
    ),
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
    output_root: OutputRoots = None,
    plugins: Plugins = None,
    as_json: Json = False,
    quiet: Silent = False,
    debug: Debug = False,
) -> None:
    """Draw a filter: magnitude, phase, group delay, zeros and poles, impulse response.

    The filter is a SignalFilter stage of the job FILE, or is said by that transform's fields as options: --design,
    --cutoff, --fs, --mode and so on, with values as in a configuration; commas make a list. It is drawn as it is
    applied: mode zero_phase squares the gain of an IIR filter and has no delay.
    """
    with reporting_errors(as_json, debug):
        from bridgeflow.plots import draw_filter

        where, signal_filter = chosen_filter(context.args, stage, root, output_root, plugins or ())
        curves = draw_filter(signal_filter.live, png, overwrite=overwrite)
        design = signal_filter.designed
        unit = " Hz" if design.fs else " cycles per sample"
        half = ", ".join(f"{frequency:.4g}" for frequency in curves.half_power)
        lines = [
            ("filter", f"{where}{design}, {signal_filter.mode}"),
            ("-3 dB", f"{half}{unit}" if half else "nowhere"),
            ("picture", shown_path(png)),
        ]
        facts = {
            "ok": True,
            "filter": signal_filter.to_config(),
            "half_power": list(curves.half_power),
            "picture": str(png),
        }
        if as_json or not quiet:
            say(as_json, facts, lines)


@app.command("list", epilog=example("bridgeflow list", "bridgeflow list SignalFilter"))
def list_(
    name: Annotated[
        Optional[str],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
        typer.Argument(
            metavar="NAME",
            help="A transform, a format, or a function for Scipy: its fields, their types, defaults and meanings.",
            show_default=False,
        ),
    ] = None,
    plugins: Plugins = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print names alone, one on a line.")] = False,
    debug: Debug = False,
) -> None:
    """List what a configuration may name, transforms and formats; or what one of them takes."""
    with reporting_errors(as_json, debug):
        from bridgeflow.transforms.plugins import load_plugins

        load_plugins(plugins or ())
        if name is not None:
            from bridgeflow.cli.catalog import describe, entry_lines

            entry = describe(name)
            _say_names(as_json, quiet, entry, entry_lines(entry), [field["name"] for field in entry["fields"]])
            return
        from bridgeflow.io import all_formats
        from bridgeflow.transforms import registry

        transforms = {name: registry.lookup(name).field_schema()["description"] for name in registry.names()}
        files = {name: f"{form.about} ({' '.join(form.suffixes)})" for name, form in all_formats().items()}
        lines = [("transforms", ""), *transforms.items(), ("", ""), ("formats", ""), *files.items()]
        _say_names(as_json, quiet, {"transforms": transforms, "formats": files}, lines, [*transforms, *files])


def _say_names(
    as_json: bool, quiet: bool, facts: dict[str, Any], lines: list[tuple[str, str]], names: list[str]
) -> None:
    if as_json or not quiet:
        say(as_json, facts, lines)
    else:
        echo("\n".join(names))


@app.command(epilog=example("bridgeflow schema > job.schema.json", "bridgeflow schema --transform SignalFilter"))
def schema(
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="Of a pipeline file, which bridgeflow.load_pipeline reads.")
    ] = False,
    transform: Annotated[
        Optional[str],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
        typer.Option("--transform", metavar="NAME", help="Of one transform's fields.", show_default=False),
    ] = None,
    plugins: Plugins = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print errors as JSON too; a schema always is.")] = False,
    quiet: Silent = False,
    debug: Debug = False,
) -> None:
    """Print the JSON Schema of a configuration, for editors that complete and check."""
    with reporting_errors(as_json, debug):
        from bridgeflow.config import config_schema, pipeline_schema, transform_schema
        from bridgeflow.errors import ConfigError
        from bridgeflow.transforms.plugins import load_plugins

        load_plugins(plugins or ())
        if transform is not None and pipeline:
            raise ConfigError("--pipeline and --transform are schemas of different things; give one of them")
        said = transform_schema(transform) if transform else pipeline_schema() if pipeline else config_schema()
        if as_json or not quiet:
            echo_json(said)


@app.command(epilog=example("bridgeflow doctor", "bridgeflow doctor train.yaml"))
def doctor(
    file: Annotated[
        Optional[Path],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
        typer.Argument(metavar="[FILE]", help="Configuration (YAML) of a job or a pipeline.", show_default=False),
    ] = None,
    overrides: Overrides = None,
    root: Roots = None,
    plugins: Plugins = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only what may hurt.")] = False,
    debug: Debug = False,
) -> None:
    """Say which versions and limits this machine has, and what may hurt; exit with 3 where something is bad.

    Given a configuration, say too what does not fit in it: filters that ring longer than the windows they see, or do
    not bear float32, stages that lose their state when rows are shuffled, workers that the machine has no cores for.
    """
    with reporting_errors(as_json, debug):
        from dataclasses import asdict

        from bridgeflow.cli.job_findings import examine_file
        from bridgeflow.doctor import examine

        of_file = [] if file is None else examine_file(file, overrides or (), root, plugins or ())
        findings = [one for one in (*examine(), *of_file) if not quiet or one.verdict != "ok"]
        marks = {"ok": "", "note": "note: ", "bad": "BAD: "}
        lines = [
            (one.what, one.value + (f"; {marks[one.verdict]}{one.remedy}" if one.remedy else "")) for one in findings
        ]
        if as_json or findings:
            say(as_json, {"findings": [asdict(one) for one in findings]}, lines)
    if any(one.verdict == "bad" for one in findings):
        raise typer.Exit(SYSTEM)


# --- jobs ---


def _refuse_options_of_jobs(file: Path, **options: object) -> None:
    """Refuse options about outputs for a pipeline."""
    from bridgeflow.errors import ConfigError

    if (option := next((name for name, value in options.items() if value), None)) is not None:
        raise ConfigError(f"{option} is for a job, and {shown_path(file)} is a pipeline, which writes nothing")
