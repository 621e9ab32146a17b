"""Commands for recordings: what files hold, files of one format into another, pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridgeflow.cli import options
from bridgeflow.cli.exits import reporting_errors, terminable
from bridgeflow.cli.options import PATH, PATH_OR_URL, example
from bridgeflow.cli.output import duration, number_of, say, shown_path
from bridgeflow.cli.progress import show_counts
from bridgeflow.errors import ConfigError, listed

if TYPE_CHECKING:
    from bridgeflow.recordings import Recording

__all__ = ["convert", "info", "plot_recording"]

_channels = click.option(
    "--channels", metavar="NAME,...", help="Channels, by name or by pattern with * and ?; all where left out."
)


@click.command(epilog=example("bridgeflow info night.edf", "bridgeflow info data/*.csv --fs 360 --json"))
@click.argument(
    "files", type=PATH_OR_URL, nargs=-1, required=True, metavar="FILE...", help="Files of recordings, or their URLs."
)
@options.opening(nulls="error")
@options.as_json
@options.quiet
@options.debug
def info(
    files: tuple[Path, ...],
    as_json: bool,
    quiet: bool,
    debug: bool,
    **opening: Any,
) -> None:
    """Say what recordings hold, one line each: channels, rates, units, length, events, gaps."""
    with reporting_errors(as_json, debug):
        from bridgeflow.recordings import Recording

        how = _options(**opening)
        facts = []
        with show_counts(quiet=quiet or as_json) as show:
            for number, file in enumerate(files):
                show(shown_path(file), number, len(files))
                recording = Recording.open(file, **how)
                facts.append(_recording_facts(file, recording))
        say(as_json, {"recordings": facts}, [_recording_line(one) for one in facts])


@click.command(epilog=example("bridgeflow convert data/*.edf converted --to parquet"))
@click.argument(
    "paths",
    type=PATH_OR_URL,
    nargs=-1,
    required=True,
    metavar="IN... OUT",
    help="Files of recordings, and a file or (with --to) a folder.",
)
@click.option(
    "--to",
    metavar="FORMAT",
    help="Format of the files in the folder OUT: parquet, arrow, hdf5, zarr, edf, bdf, wfdb, flac, wav, npz, "
    "npy. By default what the suffix of OUT says.",
)
@_channels
@click.option(
    "--units", default="raw", show_default=True, help="raw numbers of the file with their scale, or physical values."
)
@click.option(
    "--lossy", is_flag=True, help="Leave out what the format has no place for, and round what it cannot hold."
)
@options.overwrite("Replace existing files.")
@options.opening(nulls="error")
@options.as_json
@options.quiet
@options.debug
def convert(
    paths: tuple[Path, ...],
    to: str | None,
    channels: str | None,
    units: str,
    lossy: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **opening: Any,
) -> None:
    """Write recordings in another format, with units, rates, events, start and gaps where it has a place for them.

    What it has no place for is refused by name, unless --lossy leaves it out. A file appears when it is complete.
    """
    with reporting_errors(as_json, debug), terminable():
        from bridgeflow.recordings import Recordings

        if len(paths) < 2:
            raise ConfigError("convert: expected one or more files and where to write, got one path; add OUT")
        *inputs, out = paths
        how = _options(**opening)
        with show_counts(quiet=quiet or as_json) as show:
            recordings = Recordings(
                inputs,
                **how,
                units=units,  # type: ignore[arg-type]
                progress=lambda done, total: show("headers", done, total),
            )
            if channels is not None:
                recordings = recordings.pick(_names(channels))
            targets = _targets(recordings.ids, out, to)
            total = sum(map(_values_of, recordings))
            done = 0
            written = []
            for recording, target in zip(recordings, targets, strict=True):
                add = _adder(show, recording.id, done, total)
                result = recording.write(target, lossy=lossy, overwrite=overwrite, progress=add)
                done += _values_of(recording)
                written.append((recording, result))
        facts = [
            {
                "input": getattr(recording.source, "path", recording.id),
                "path": str(result.path),
                "channels": len(recording.channels),
                "seconds": recording.duration,
                "events": recording.events.num_rows,
                "left_out": list(result.left_out),
            }
            for recording, result in written
        ]
        say(as_json, {"ok": True, "written": facts}, [line for one in facts for line in _written_lines(one)])


@click.command("recording", epilog=example("bridgeflow plot recording night.edf --seconds 60,90 --png night.png"))
@click.argument("file", type=PATH_OR_URL, metavar="FILE", help="A file of a recording, or its URL.")
@click.option("--png", type=PATH, metavar="PATH", required=True, help="The picture to write.")
@_channels
@click.option("--seconds", metavar="FROM,TO", help="Stretch of time in seconds; all where left out.")
@click.option("--dark", is_flag=True, help="Draw light on a dark ground.")
@options.overwrite("Replace existing files.")
@options.opening(nulls="gap")
@options.as_json
@options.quiet
@options.debug
def plot_recording(
    file: Path,
    png: Path,
    channels: str | None,
    seconds: str | None,
    dark: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **opening: Any,
) -> None:
    """Draw channels over time with events and gaps; long stretches as bands from least to greatest value."""
    with reporting_errors(as_json, debug), terminable():
        from bridgeflow.io.commit import refuse_existing
        from bridgeflow.plots import draw_recording, require_matplotlib
        from bridgeflow.recordings import Recording

        require_matplotlib("the picture of a recording")
        refuse_existing(png, overwrite=overwrite)
        how = _options(**opening)
        recording = Recording.open(file, **how)
        if channels is not None:
            recording = recording.pick(_names(channels))
        span = None if seconds is None else _span(seconds)
        with show_counts(quiet=quiet or as_json) as show:
            total = (
                _values_of(recording)
                if span is None
                else round(sum(one.fs for one in recording.channels) * (span[1] - span[0]))
            )
            drawn = draw_recording(
                recording,
                png,
                seconds=span,
                dark=dark,
                overwrite=overwrite,
                on_samples=_adder(show, recording.id, 0, total),
            )
        few = f" of {drawn.of:,}" if len(drawn.channels) < drawn.of else ""
        lanes = number_of(len(drawn.channels), "channel")
        lines = [
            (
                "recording",
                f"{shown_path(file)}: {lanes}{few}, {number_of(drawn.events, 'event')}",
            ),
            ("seconds", f"{drawn.seconds[0]:g} to {drawn.seconds[1]:g}"),
            ("picture", shown_path(png)),
        ]
        facts = {
            "ok": True,
            "channels": drawn.channels,
            "of": drawn.of,
            "events": drawn.events,
            "seconds": drawn.seconds,
            "picture": str(png),
        }
        say(as_json, facts, lines)


def _options(
    format: str | None,
    fs: float | None,
    inside: str | None,
    time_axis: int,
    nulls: str,
    time: str | None,
    to_hz: float | None,
    max_gap: float | None,
    time_unit: str | None,
) -> dict[str, Any]:
    """How files are opened."""
    from bridgeflow.recordings import Regrid

    if (time is None) != (to_hz is None):
        raise ConfigError("--time names a column and --to-hz the rate of its grid; give both")
    options: dict[str, Any] = {"format": format, "fs": fs, "inside": inside, "time_axis": time_axis, "nulls": nulls}
    if to_hz is not None:
        unit: Any = time_unit
        options |= {"time": time, "regrid": Regrid(to_hz=to_hz, max_gap=max_gap, unit=unit)}
    return options


# --- what recordings hold ---


def _recording_facts(path: Path, recording: Recording) -> dict[str, Any]:
    """What a file says of its channels, times, events and gaps, for machines."""
    return {
        "path": str(path),
        "seconds": recording.duration,
        "start": None if recording.start is None else recording.start.isoformat(),
        "events": recording.events.num_rows,
        "columns": [_column_facts(recording, name) for name in recording.columns],
        "metadata": dict(recording.metadata),
    }


def _column_facts(recording: Recording, name: str) -> dict[str, Any]:
    column = recording.columns[name]
    return {
        "name": name,
        "fs": column.fs,
        "length": column.length,
        "dtype": str(column.dtype),
        "channels": [channel.name for channel in column.channels],
        "units": [channel.unit for channel in column.channels],
        "segments": column.segments,
        "onsets": column.onsets,
        "gaps": max(len(column.segments) - 1, 0),
    }


def _recording_line(facts: dict[str, Any]) -> tuple[str, str]:
    """The same for people: the path, and a line."""
    words = [_column_words(column) for column in facts["columns"]] or ["no channels"]
    gaps = max((column["gaps"] for column in facts["columns"]), default=0)
    words += [duration(facts["seconds"]), number_of(facts["events"], "event"), number_of(gaps, "gap")]
    if facts["start"] is not None:
        words.append(f"from {facts['start']}")
    return shown_path(facts["path"]), ", ".join(words)


def _column_words(column: dict[str, Any]) -> str:
    units: Sequence[str] = [unit for unit in dict.fromkeys(column["units"]) if unit]
    unit = f" in {listed(units, most=3)}" if units else ""
    names = listed(column["channels"], most=4)
    return f"{number_of(len(column['channels']), 'channel')} at {column['fs']:g} Hz ({names}){unit}"


# --- what is written ---


def _targets(ids: Sequence[str], out: Path, to: str | None) -> list[Path]:
    """Where each recording is written: one into the file, several into the folder."""
    from bridgeflow.recordings.writing import format_suffix

    if to is not None:
        try:
            suffix = format_suffix(to)
        except ValueError as error:
            raise ConfigError(f"convert: {error}") from error
        if out.suffix and not out.is_dir():
            raise ConfigError(f"convert: with --to, OUT is a folder, got {shown_path(out)}; leave out one of them")
        return [out / f"{Path(id).stem if '/' in id else id}{suffix}" for id in ids]
    if len(ids) == 1 and not out.is_dir():
        return [out]
    if len(ids) == 1 or out.is_dir():
        raise ConfigError(f"convert: {shown_path(out)} is a folder; say with --to which format its files are to have")
    raise ConfigError(f"convert: {len(ids)} recordings do not fit into one file; give a folder and --to FORMAT")


def _values_of(recording: Recording) -> int:
    return sum(track.length for track in recording.tracks)


def _adder(show: Callable[[str, int, int], None], label: str, before: int, total: int) -> Callable[[int], None]:
    """Adds up what a function is told, and shows the sum."""
    done = [before]

    def add(count: int) -> None:
        done[0] += count
        show(label, min(done[0], total), total)

    return add


def _written_lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    words = (number_of(facts["channels"], "channel"), duration(facts["seconds"]), number_of(facts["events"], "event"))
    lines = [("wrote", f"{shown_path(facts['path'])}: {', '.join(words)}")]
    return [*lines, ("left out", listed(facts["left_out"], most=8))] if facts["left_out"] else lines


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _span(text: str) -> tuple[float, float]:
    try:
        begin, end = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--seconds: expected FROM,TO in seconds, as 60,90, got {text!r}") from None
    return begin, end
