"""The filter that `bridgeflow plot filter` draws: a stage of a job, or fields as options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridgeflow.cli.output import shown_path

if TYPE_CHECKING:
    from bridgeflow.transforms import SignalFilter

__all__ = ["chosen_filter"]


def chosen_filter(
    words: Sequence[str],
    stage: str | None,
    roots: list[Path] | None,
    output_roots: list[Path] | None,
    plugins: Sequence[str] = (),
) -> tuple[str, SignalFilter]:
    """Where it is written, and the filter that the arguments mean: a stage of a job, or fields."""
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
        return _filter_of_job(Path(files[0]), stage, roots, output_roots, plugins)
    if not fields:
        raise ConfigError("which filter? Give a configuration (FILE), or fields: --design butter --cutoff 20 ...")
    if stage is not None:
        raise ConfigError("--stage is for a configuration; the fields describe one filter")
    return "", SignalFilter.from_config({"SignalFilter": fields})


def _files_and_fields(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """`--name value` and `--name=value` as fields, with values as in a configuration; the rest is files."""
    from bridgeflow._document import read_document
    from bridgeflow.errors import ConfigError

    files: list[str] = []
    fields: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            files.append(word)
            continue
        option, equals, text = word.partition("=")
        value = text if equals else next(rest, None)
        name = option[2:].replace("-", "_")
        if value is None:
            raise ConfigError(f"{option}: its value is missing")
        if name in fields:
            raise ConfigError(f"{option}: is there twice")
        listed = value if "," not in value or value.startswith("[") else f"[{value}]"
        fields[name] = read_document(listed.encode(), option).root.plain()
    return files, fields


def _filter_of_job(
    file: Path,
    stage: str | None,
    roots: list[Path] | None,
    output_roots: list[Path] | None,
    plugins: Sequence[str],
) -> tuple[str, SignalFilter]:
    from bridgeflow.config import load_job
    from bridgeflow.errors import ConfigError

    job = load_job(file, roots=roots, output_roots=output_roots, plugins=plugins)
    filters = dict(_filters(job.transform.stages))
    numbers = ", ".join(filters)
    if not filters:
        raise ConfigError(f"{shown_path(file)}: no stage is a SignalFilter")
    if stage is None and len(filters) > 1:
        raise ConfigError(f"{shown_path(file)}: several stages are filters; choose with --stage, one of {numbers}")
    number = next(iter(filters)) if stage is None else stage
    if number not in filters:
        raise ConfigError(f"{shown_path(file)}: stage {number} is not a SignalFilter; --stage takes one of {numbers}")
    return f"{shown_path(file)}, stage {number}: ", filters[number]


def _filters(stages: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, SignalFilter]]:
    """The filters among the stages, by the numbers that plans and messages use."""
    from bridgeflow.pipeline.compose import Compose
    from bridgeflow.transforms import SignalFilter

    for index, one in enumerate(stages, 1):
        if isinstance(one, Compose):
            yield from _filters(one.stages, f"{prefix}{index}.")
        elif isinstance(one, SignalFilter):
            yield f"{prefix}{index}", one
