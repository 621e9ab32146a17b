"""Commands for recordings: what files hold, files of one format into another, pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bridgeflow.cli.exits import reporting_errors, terminable
from bridgeflow.cli.options import Debug, Json, Quiet
from bridgeflow.cli.output import duration, number_of, say, shown_path
from bridgeflow.cli.progress import show_counts
from bridgeflow.errors import ConfigError, listed

if TYPE_CHECKING:
    from bridgeflow.recordings import Recording

__all__ = ["convert", "info", "plot_recording"]

Format = Annotated[
    Optional[str],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Option(help="Name of the format that is read; by default what the suffix says.", show_default=False),
]
Fs = Annotated[
    Optional[float],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Option(help="Sampling rate in Hz, for files that do not say it.", show_default=False),
]
Inside = Annotated[
    Optional[str],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Option(help="Path of the array inside HDF5 and Zarr files.", show_default=False),
]
TimeAxis = Annotated[int, typer.Option(help="The axis of time in arrays of HDF5 and Zarr files.")]
Nulls = Annotated[
    str, typer.Option(help="What samples that a file marks as missing become: error, nan, or gap between segments.")
]
Time = Annotated[
    Optional[str],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Option(metavar="COLUMN", help="The column of times in files of rows; needs --to-hz.", show_default=False),
]
ToHz = Annotated[
    Optional[float],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Option(
        metavar="HZ", help="Rate of the grid onto which samples at those times are brought.", show_default=False
    ),
]
MaxGap = Annotated[
    Optional[float],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Option(metavar="SECONDS", help="Between samples that are further apart there is a gap.", show_default=False),
]
TimeUnit = Annotated[
    Optional[str],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Option(metavar="UNIT", help="What times that are integers count: s, ms, us, ns.", show_default=False),
]
Channels = Annotated[
    Optional[str],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
    typer.Option(
        metavar="NAME,...", help="Channels, by name or by pattern with * and ?; all where left out.", show_default=False
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]


def info(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of recordings.", show_default=False)],
    format: Format = None,
    fs: Fs = None,
    inside: Inside = None,
    time_axis: TimeAxis = 0,
    nulls: Nulls = "error",
    time: Time = None,
    to_hz: ToHz = None,
    max_gap: MaxGap = None,
    time_unit: TimeUnit = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say what recordings hold, one line each: channels, rates, units, length, events, gaps."""
    with reporting_errors(as_json, debug):
        from bridgeflow.recordings import Recording

        options = _options(format, fs, inside, time_axis, nulls, time, to_hz, max_gap, time_unit)
        facts = []
        with show_counts(quiet=quiet or as_json) as show:
            for number, file in enumerate(files):
                show(shown_path(file), number, len(files))
                recording = Recording.open(file, **options)
                facts.append(_recording_facts(file, recording))
        say(as_json, {"recordings": facts}, [_recording_line(one) for one in facts])


def convert(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN... OUT", help="Files of recordings, and a file or (with --to) a folder.", show_default=False
        ),
    ],
    to: Annotated[
        Optional[str],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
        typer.Option(
            metavar="FORMAT",
            help="Format of the files in the folder OUT: parquet, arrow, hdf5, zarr, edf, bdf, wfdb, flac, wav, npz, "
            "npy. By default what the suffix of OUT says.",
            show_default=False,
        ),
    ] = None,
    channels: Channels = None,
    units: Annotated[str, typer.Option(help="raw numbers of the file with their scale, or physical values.")] = "raw",
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Leave out what the format has no place for, and round what it cannot hold.")
    ] = False,
    overwrite: Overwrite = False,
    format: Format = None,
    fs: Fs = None,
    inside: Inside = None,
    time_axis: TimeAxis = 0,
    nulls: Nulls = "error",
    time: Time = None,
    to_hz: ToHz = None,
    max_gap: MaxGap = None,
    time_unit: TimeUnit = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write recordings in another format, with units, rates, events, start and gaps where it has a place for them.

    What it has no place for is refused by name, unless --lossy leaves it out. A file appears when it is complete.
    """
    with reporting_errors(as_json, debug), terminable():
        from bridgeflow.recordings import Recordings

        if len(paths) < 2:
            raise ConfigError("convert: expected one or more files and where to write, got one path; add OUT")
        *inputs, out = paths
        options = _options(format, fs, inside, time_axis, nulls, time, to_hz, max_gap, time_unit)
        with show_counts(quiet=quiet or as_json) as show:
            recordings = Recordings(
                inputs,
                **options,
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


def plot_recording(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of a recording.", show_default=False)],
    png: Annotated[Path, typer.Option("--png", metavar="PATH", help="The picture to write.", show_default=False)],
    channels: Channels = None,
    seconds: Annotated[
        Optional[str],  # noqa: UP045  (typer reads it at run time, on Python 3.10 too)
        typer.Option(metavar="FROM,TO", help="Stretch of time in seconds; all where left out.", show_default=False),
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Draw light on a dark ground.")] = False,
    overwrite: Overwrite = False,
    format: Format = None,
    fs: Fs = None,
    inside: Inside = None,
    time_axis: TimeAxis = 0,
    nulls: Nulls = "gap",
    time: Time = None,
    to_hz: ToHz = None,
    max_gap: MaxGap = None,
    time_unit: TimeUnit = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw channels over time with events and gaps; long stretches as bands from least to greatest value."""
    with reporting_errors(as_json, debug), terminable():
        from bridgeflow.io.commit import refuse_existing
        from bridgeflow.plots import draw_recording, require_matplotlib
        from bridgeflow.recordings import Recording

        require_matplotlib("the picture of a recording")
        refuse_existing(png, overwrite=overwrite)
        options = _options(format, fs, inside, time_axis, nulls, time, to_hz, max_gap, time_unit)
        recording = Recording.open(file, **options)
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
    return shown_path(Path(facts["path"])), ", ".join(words)


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
    lines = [("wrote", f"{shown_path(Path(facts['path']))}: {', '.join(words)}")]
    return [*lines, ("left out", listed(facts["left_out"], most=8))] if facts["left_out"] else lines


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _span(text: str) -> tuple[float, float]:
    try:
        begin, end = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--seconds: expected FROM,TO in seconds, as 60,90, got {text!r}") from None
    return begin, end
