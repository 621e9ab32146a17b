"""Arguments and options that several commands take, and the example below a command's help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "PATH",
    "PATH_OR_URL",
    "as_json",
    "configuration",
    "debug",
    "example",
    "html",
    "opening",
    "output_roots",
    "overrides",
    "overwrite",
    "plugins",
    "quiet",
    "roots",
    "silent",
    "stacked",
    "threads",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Decorator = Callable[[_Function], _Function]

PATH: click.Path = click.Path(path_type=Path)


class _PathOrUrl(click.ParamType):  # type: ignore[type-arg]
    """A path of this machine, or a URL of a store, which is refused without what may be secret in it."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path."""
        from bridgeflow.errors import DataError
        from bridgeflow.io.urls import as_path

        try:
            return as_path(value)
        except DataError as error:
            self.fail(str(error), param, ctx)


PATH_OR_URL = _PathOrUrl()


def example(*lines: str) -> str:
    """Commands to copy, each on a line of its own below the help."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def stacked(*options: _Decorator[Any]) -> _Decorator[Any]:
    """Several options as one, in this order."""

    def decorate(function: Any) -> Any:
        for one in reversed(options):
            function = one(function)
        return function

    return decorate


def _listed(context: click.Context, option: click.Parameter, values: tuple[Any, ...]) -> list[Any] | None:
    """What may be repeated as a list; `None` where it was left out."""
    return list(values) or None


# --- of all commands ---

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
debug = click.option("--debug", is_flag=True, help="Show tracebacks.")
quiet = click.option("--quiet", is_flag=True, help="Show no progress.")
silent = click.option("--quiet", is_flag=True, help="Print nothing where all is fine; the exit code says it.")


def overwrite(help: str) -> _Decorator[Any]:
    """`--overwrite`, with what is replaced."""
    return click.option("--overwrite", is_flag=True, help=help)


# --- of configurations ---

configuration = click.argument("file", type=PATH, metavar="FILE", help="Configuration (YAML).")
overrides = click.argument(
    "overrides",
    nargs=-1,
    metavar="[KEY=VALUE]...",
    callback=_listed,
    help="Values that take the place of those in FILE: source.fs=250, transforms[1].SignalFilter.order=4.",
)
plugins = click.option(
    "--plugins",
    metavar="NAME",
    multiple=True,
    callback=_listed,
    help="Installed plugin whose transforms the configuration may name; may be repeated.",
)
roots = click.option(
    "--root",
    type=PATH_OR_URL,
    metavar="DIR",
    multiple=True,
    callback=_listed,
    help="Folder, or URL (s3://bucket/), beneath which the job may read; may be repeated. By default the current "
    "folder and the configuration's own, and no URL.",
)
output_roots = click.option(
    "--output-root",
    type=PATH_OR_URL,
    metavar="DIR",
    multiple=True,
    callback=_listed,
    help="Folder, or URL (s3://bucket/results/), beneath which the job may write, hidden folders and site-packages "
    "left out; may be repeated. By default the current folder and the configuration's own, and no URL.",
)
threads = click.option(
    "--threads",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Recordings to work on at a time, for a folder of shards; by default what the configuration says, or as "
    "many as there are processors, at most 8.",
)
html = click.option("--html", type=PATH, metavar="PATH", help="Write the plan as a page too.")


# --- of recordings ---


def opening(nulls: str) -> _Decorator[Any]:
    """How files of recordings are opened.

    Args:
        nulls: the default of `--nulls`.
    """
    return stacked(
        click.option("--format", metavar="NAME", help="Format that is read; by default what the suffix says."),
        click.option("--fs", type=float, metavar="HZ", help="Sampling rate, for files that do not say it."),
        click.option("--inside", metavar="PATH", help="Path of the array inside HDF5 and Zarr files."),
        click.option(
            "--time-axis", type=int, default=0, show_default=True, help="The axis of time in arrays of HDF5 and Zarr."
        ),
        click.option(
            "--nulls",
            default=nulls,
            show_default=True,
            help="What samples that a file marks as missing become: error, nan, or gap between segments.",
        ),
        click.option("--time", metavar="COLUMN", help="The column of times in files of rows; needs --to-hz."),
        click.option(
            "--to-hz",
            type=float,
            metavar="HZ",
            help="Rate of the grid onto which samples at those times are brought.",
        ),
        click.option(
            "--max-gap",
            type=float,
            metavar="SECONDS",
            help="Between samples that are further apart there is a gap.",
        ),
        click.option("--time-unit", metavar="UNIT", help="What times that are integers count: s, ms, us, ns."),
    )
