"""What a configuration may say, section by section, and how pydantic's findings become lines about the file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, TypeAlias, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, create_model
from pydantic_core import ErrorDetails

from bridgeflow._document import Document, Steps, shown
from bridgeflow.errors import ConfigError, nearest, quoted
from bridgeflow.pipeline.job_parts import JobReport, JobSink, JobSource
from bridgeflow.pipeline.recordings_source import RecordingsSource, RegridOptions
from bridgeflow.pipeline.training_parts import (
    BalancedOptions,
    BucketedOptions,
    DatasetOptions,
    LoaderOptions,
    PerGroupOptions,
    RejectOptions,
    SplitOptions,
    WeightedOptions,
)

__all__ = [
    "SAMPLERS",
    "DatasetSection",
    "LoaderSection",
    "RecordingsSection",
    "RegridSection",
    "RejectSection",
    "ReportSection",
    "Section",
    "SinkSection",
    "SourceSection",
    "SplitSection",
    "parse_section",
    "section_schema",
]

Word: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=1e9)]


class Section(BaseModel):
    """A part of a configuration: types are taken strictly, unknown keys refused, numbers finite."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


def _section(name: str, options: type[Any], about: str) -> type[Section]:
    """The section whose keys are those fields of a part of a job that `bridgeflow.io.options.option` declares."""
    hints = get_type_hints(options)
    keys: dict[str, Any] = {
        one.name: (
            _written(hints[one.name]),
            Field(one.default, description=one.metadata["about"], **one.metadata["limits"]),
        )
        for one in fields(options)
        if "about" in one.metadata
    }
    return create_model(name, __base__=Section, __doc__=about, **keys)


def _written(hint: Any) -> Any:
    """The type of a value in a configuration: text has a length, paths are text, and seconds have a range."""
    if hint in (str, Path):
        return Word
    if is_dataclass(hint):
        nested: Any = hint
        return _section(f"{nested.__name__}Section", nested, (nested.__doc__ or "").strip())
    if get_origin(hint) is Mapping:
        key, value = map(_written, get_args(hint))
        values: Any = dict
        return Annotated[values[key, value], Field(min_length=1, max_length=1000)]
    if get_origin(hint) is tuple and Ellipsis in get_args(hint):
        items: Any = tuple
        return Annotated[items[_written(get_args(hint)[0]), ...], Field(min_length=1, max_length=10_000)]
    if get_origin(hint) is tuple:
        return tuple[tuple(Seconds if one is float else _written(one) for one in get_args(hint))]  # type: ignore[misc]
    if get_origin(hint) is UnionType:
        return Union[tuple(map(_written, get_args(hint)))]  # noqa: UP007  (built from a list)
    return hint


_SECTIONS: Final[Mapping[str, tuple[type[Any], str]]] = {
    "SourceSection": (
        JobSource,
        "What is read: one `format: path` (see `bridgeflow list`), and what to know about it. The path is that of a "
        "file, of a folder of recordings, or a pattern (`*`, `?`, `[a-z]`, `**` for folders below).",
    ),
    "SinkSection": (
        JobSink,
        "What is written: one `format: path`. An existing file is replaced on the word of the command line alone. A "
        "path that ends with a slash is a folder of shards, which a job that was stopped continues.",
    ),
    "RecordingsSection": (
        RecordingsSource,
        "Recordings that are read: `recordings`, a path, a pattern or several of these; a `table` with a row for each; "
        "or an `index` that was saved; and what to know about them.",
    ),
    "RegridSection": (RegridOptions, (RegridOptions.__doc__ or "").strip()),
    "SplitSection": (
        SplitOptions,
        "Parts of the recordings that share no group: by fractions, folds, or a label.",
    ),
    "RejectSection": (RejectOptions, "Windows that are left out; all are computed once to find them."),
    "DatasetSection": (DatasetOptions, "What samples and batches are."),
    "LoaderSection": (LoaderOptions, "How batches are made."),
    "ReportSection": (
        JobReport,
        "What is measured and drawn, of one column: before (what was read, or what a stage made of it) and after.",
    ),
}
"""The sections by name, each with the options whose keys it has, and what it is."""

_SAMPLERS: Final[Mapping[str, type[Any]]] = {
    "Balanced": BalancedOptions,
    "Bucketed": BucketedOptions,
    "PerGroup": PerGroupOptions,
    "Weighted": WeightedOptions,
}

SourceSection: type[Section]
SinkSection: type[Section]
RecordingsSection: type[Section]
RegridSection: type[Section]
SplitSection: type[Section]
RejectSection: type[Section]
DatasetSection: type[Section]
LoaderSection: type[Section]
ReportSection: type[Section]
SAMPLERS: Mapping[str, type[Section]]
"""The samplers that a pipeline file may name."""


def __getattr__(name: str) -> Any:
    """A section is made when it is first asked for: each takes pydantic milliseconds, and a job has four of them."""
    if name == "SAMPLERS":
        value: Any = {
            key: _section(f"{key}Section", cls, (cls.__doc__ or "").strip()) for key, cls in _SAMPLERS.items()
        }
    elif name in _SECTIONS:
        value = _section(name, *_SECTIONS[name])
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def parse_section(
    document: Document, steps: Steps, model: type[Section], others: Sequence[str] = (), *, near: Sequence[str] = ()
) -> dict[str, Any]:
    """The values of the section that stands at `steps`, by their keys.

    Args:
        others: keys that the section may have and that the caller reads; the model does not see them.
        near: further keys, of other such sections, that an unknown one may have been meant for.

    Raises:
        ConfigError: an unknown key (with the nearest known), or a value of the wrong type or outside its range.
    """
    node = document.root.at(steps)
    assert isinstance(node.value, dict)
    values = {key: child.plain() for key, child in node.value.items() if key not in others}
    keys = [*others, *model.model_fields]
    for key in values:
        if key not in keys:
            raise document.error(
                [*steps, key], f"unknown key {quoted(key)}; {nearest(key, [*keys, *near])}", at_key=True
            )
    try:
        # In JSON's types, strictly: a list is how a tuple is written, but `true` is not a number and `1` not text.
        return dict(model.model_validate_json(json.dumps(values)))
    except ValidationError as error:
        raise _first(document, steps, error.errors()) from None


def _first(document: Document, steps: Steps, errors: Sequence[ErrorDetails]) -> ConfigError:
    """The first finding, in the order of the file."""
    problems = [(_written_steps(document, [*steps, *error["loc"]]), _expected(error)) for error in errors]
    first = min(document.root.at(where).mark for where, _ in problems)
    where, expected = next(one for one in reversed(problems) if document.root.at(one[0]).mark == first)
    return document.error(where, f"expected {expected}, got {shown(document.root.at(where))}")


def _written_steps(document: Document, steps: list[str | int]) -> list[str | int]:
    """Steps as far as they lead to something that is written: pydantic adds names of the types that it has tried."""
    for count in range(len(steps), 0, -1):
        children = document.root.at(steps[: count - 1]).value
        step = steps[count - 1]
        if (isinstance(children, dict) and step in children) or (
            isinstance(children, list) and isinstance(step, int) and step <= len(children)
        ):
            return steps[:count]
    return steps


def _expected(error: ErrorDetails) -> str:
    """What pydantic would have liked, in the words of a configuration."""
    limits = error.get("ctx", {})
    words = {
        "float_type": "a number",
        "int_type": "a whole number",
        "string_type": "text",
        "tuple_type": "a list",
        "greater_than": "a number above {gt:g}",
        "less_than": "a number below {lt:g}",
        "greater_than_equal": "a number of at least {ge:g}",
        "less_than_equal": "a number of at most {le:g}",
        "string_too_short": "text of at least {min_length} characters",
        "string_too_long": "text of at most {max_length} characters",
        "too_short": "a list of at least {min_length}",
        "too_long": "a list of at most {max_length}",
        "missing": "a list of more",
        "bool_type": "true or false",
        "dict_type": "a map",
    }
    if error["type"] in words:
        return words[error["type"]].format(**limits)
    return error["msg"].removeprefix("Input should be ")


def section_schema(model: type[Section], paths: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The JSON Schema of a section.

    Args:
        paths: the schemas of keys of which exactly one is there beside its own.
    """
    schema = model.model_json_schema()
    schema.pop("title", None)
    for one in schema["properties"].values():
        one.pop("title", None)
    if paths is not None:
        schema["properties"] = {**paths, **schema["properties"]}
        schema["oneOf"] = [{"required": [name]} for name in paths]
    return schema
