"""The command line: thin. Each command says what it does, what went wrong in one line, and an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridgeflow._version import __version__
from bridgeflow.cli import options
from bridgeflow.cli.completion import completion_options
from bridgeflow.cli.console import echo, echo_json
from bridgeflow.cli.engines import address_option, chosen_engine, engine_option
from bridgeflow.cli.exits import SYSTEM, reporting_errors, run_to_exit, terminable
from bridgeflow.cli.filters import chosen_filter
from bridgeflow.cli.options import PATH, PATH_OR_URL, example
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


def _print_version(context: click.Context, option: click.Parameter, asked: bool) -> None:
    if asked:
        echo(f"bridgeflow {__version__}")
        context.exit()


@click.group(
    epilog="Exit codes: 0 done; 1 a bug in BridgeFlow; 2 bad input, configuration or arguments; "
    "3 the system refused (disk full, package missing); 130 interrupted; 143 terminated.",
    no_args_is_help=True,
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
@completion_options
def app() -> None:
    """Carry signal data from a file through transforms into a file, as a YAML configuration says."""


@app.group(
    epilog=example("bridgeflow plot recording night.edf --png night.png"),
    no_args_is_help=True,
)
def plot() -> None:
    """Draw pictures."""


app.add_command(info)
app.add_command(convert)
plot.add_command(plot_recording)


def main() -> None:
    """Run the command line."""
    run_to_exit(app)


@app.command(epilog=example("bridgeflow run job.yaml", "bridgeflow run job.yaml source.fs=250 --overwrite"))
@options.configuration
@options.overrides
@options.overwrite("Replace existing outputs: files, and folders of shards of a job.")
@options.roots
@options.output_roots
@options.threads
@engine_option
@address_option
@options.plugins
@options.as_json
@options.quiet
@options.debug
def run(
    file: Path,
    overrides: list[str] | None,
    overwrite: bool,
    root: list[Path] | None,
    output_root: list[Path] | None,
    threads: int | None,
    engine: str,
    address: str | None,
    plugins: list[str] | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Run a job; show progress, then what was done. A folder of shards continues where it was stopped."""
    with reporting_errors(as_json, debug), terminable():
        from bridgeflow.pipeline.job import Job

        run_folder = chosen_engine(engine, address)
        job = _load(file, root, output_root, threads, overrides=overrides, plugins=plugins)
        if not isinstance(job, Job) or job.sink.shards or engine != "local":
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
@options.configuration
@options.overrides
@options.overwrite("Replace existing outputs: files, and folders of shards of a job.")
@options.roots
@options.output_roots
@options.plugins
@options.as_json
@options.silent
@options.debug
def check(
    file: Path,
    overrides: list[str] | None,
    overwrite: bool,
    root: list[Path] | None,
    output_root: list[Path] | None,
    plugins: list[str] | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Validate a job without running it: the configuration, the source's schema, the transforms on it, the outputs.

    Of a pipeline file, which bridgeflow.load_pipeline reads: its sources, parts, transforms and loaders.
    """
    with reporting_errors(as_json, debug):
        from bridgeflow.config import is_pipeline

        if is_pipeline(file, overrides or ()):
            from bridgeflow.cli.checks import check_pipeline

            _refuse_options_of_jobs(file, **{"--overwrite": overwrite, "--output-root": output_root})
            from bridgeflow.config import load_pipeline

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
@options.configuration
@options.overrides
@options.roots
@options.output_roots
@options.plugins
@options.html
@click.option("--part", metavar="NAME", help="Of a pipeline: which part; train by default.")
@options.overwrite("Replace an existing page.")
@options.as_json
@options.silent
@options.debug
def explain(
    file: Path,
    overrides: list[str] | None,
    root: list[Path] | None,
    output_root: list[Path] | None,
    plugins: list[str] | None,
    html: Path | None,
    part: str | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Print the plan: stage by stage what will be a view, a copy or a move, and why; and whether it runs in chunks.

    Of a pipeline file, what becomes of a window of recordings, or of a row of a file, on its way into a batch.
    """
    with reporting_errors(as_json, debug):
        from bridgeflow.cli.checks import explain_job, explain_pipeline, write_page
        from bridgeflow.config import is_pipeline
        from bridgeflow.errors import ConfigError

        if is_pipeline(file, overrides or ()):
            _refuse_options_of_jobs(file, **{"--output-root": output_root})
            from bridgeflow.config import load_pipeline

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
@click.argument("folder", type=PATH_OR_URL, metavar="DIR", help="A folder of shards, or its URL.")
@options.as_json
@options.silent
@options.debug
def verify(
    folder: Path,
    as_json: bool,
    quiet: bool,
    debug: bool,
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
@click.pass_context
@click.option("--png", type=PATH, metavar="PATH", required=True, help="The picture to write.")
@click.option(
    "--stage",
    metavar="N",
    help="Which stage of FILE, counted as `explain` does (2; 3.1 in a composition). "
    "May be left out where there is only one filter.",
)
@options.overwrite("Replace an existing picture.")
@options.roots
@options.output_roots
@options.plugins
@options.as_json
@options.silent
@options.debug
def plot_filter(
    context: click.Context,
    png: Path,
    stage: str | None,
    overwrite: bool,
    root: list[Path] | None,
    output_root: list[Path] | None,
    plugins: list[str] | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
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
@click.argument(
    "name",
    required=False,
    metavar="[NAME]",
    help="A transform, a format, or a function for Scipy: its fields, their types, defaults and meanings.",
)
@options.plugins
@options.as_json
@click.option("--quiet", is_flag=True, help="Print names alone, one on a line.")
@options.debug
def list_(
    name: str | None,
    plugins: list[str] | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
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
@click.option("--pipeline", is_flag=True, help="Of a pipeline file, which bridgeflow.load_pipeline reads.")
@click.option("--transform", metavar="NAME", help="Of one transform's fields.")
@options.plugins
@click.option("--json", "as_json", is_flag=True, help="Print errors as JSON too; a schema always is.")
@options.silent
@options.debug
def schema(
    pipeline: bool,
    transform: str | None,
    plugins: list[str] | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
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
@click.argument(
    "file",
    type=PATH,
    required=False,
    metavar="[FILE]",
    help="Configuration (YAML) of a job or a pipeline.",
)
@options.overrides
@options.roots
@options.plugins
@options.as_json
@click.option("--quiet", is_flag=True, help="Print only what may hurt.")
@options.debug
def doctor(
    file: Path | None,
    overrides: list[str] | None,
    root: list[Path] | None,
    plugins: list[str] | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
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
        click.get_current_context().exit(SYSTEM)


# --- jobs ---


def _refuse_options_of_jobs(file: Path, **options: object) -> None:
    """Refuse options about outputs for a pipeline."""
    from bridgeflow.errors import ConfigError

    if (option := next((name for name, value in options.items() if value), None)) is not None:
        raise ConfigError(f"{option} is for a job, and {shown_path(file)} is a pipeline, which writes nothing")
