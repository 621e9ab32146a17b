"""What a configuration may say, section by section, and how pydantic's findings become lines about the file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from bridgeflow.config.document import Document, Steps, shown
from bridgeflow.errors import ConfigError, nearest, quoted
from bridgeflow.io import ColumnNulls, Compression, OnOverflow, SinkDtype
from bridgeflow.pipeline.chunked import RowsAre

__all__ = ["ReportSection", "Section", "SinkSection", "SourceSection", "parse_section"]

Word: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Hertz: TypeAlias = Annotated[float, Field(gt=0, le=1e12)]
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=1e9)]
Nbytes: TypeAlias = Annotated[int, Field(ge=1, le=2**62)]
Rows: TypeAlias = Annotated[int, Field(ge=1, le=10**12)]


class Section(BaseModel):
    """A part of a configuration: types are taken strictly, unknown keys refused, numbers finite."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class SourceSection(Section):
    """What is read: one `format: path` (see `bridgeflow list`), and what to know about it. The path is that of a file,
    of a folder of recordings, or a pattern (`*`, `?`, `[a-z]`, `**` for folders below).
    """

    columns: Annotated[tuple[Word, ...], Field(min_length=1)] | None = Field(
        None,
        description="Columns to read, in this order; all where left out. An npy file takes its one name from here.",
    )
    fs: Hertz | None = Field(
        None,
        description="Sampling rate in Hz; where left out, the file must say it. Transforms take their `fs` from here.",
    )
    nulls: ColumnNulls = Field(
        "error",
        description="`error` refuses columns with nulls; `keep` hands them to a transform that says what they become.",
    )
    rows: RowsAre | None = Field(
        None,
        description="What a row of several numbers is: `instants` of a recording, whose channels they are, or "
        "`examples`, pieces of signal. Where left out, instants in wav files and examples in others.",
    )
    normalize: bool = Field(
        False,
        description="Of wav: integers become floats between -1 and 1, full scale; else they are the file's numbers.",
    )
    max_nbytes: Nbytes | None = Field(
        None,
        description="Most bytes that a file may become when it is decoded; where left out, 512 MiB, or 250 times the "
        "bytes of the file where that is more.",
    )


class SinkSection(Section):
    """What is written: one `format: path`. An existing file is replaced on the word of the command line alone. A path
    that ends with a slash is a folder of shards, which a job that was stopped goes on with.
    """

    compression: Compression | None = Field(
        None, description="One of the format's words; where left out, the format's own choice."
    )
    dtype: SinkDtype | None = Field(
        None, description="Element type that every column is written in; where left out, what the transforms make."
    )
    on_overflow: OnOverflow = Field(
        "raise", description="What becomes of values that `dtype` cannot hold: an error, or the nearest it can."
    )
    normalize: bool | None = Field(
        None,
        description="Of wav: `true` where values are between -1 and 1, full scale, `false` for counts that are written "
        "as they are. Where left out they are too, and what would be silence or clipped is refused.",
    )
    shard_rows: Rows | None = Field(
        None,
        description="For a folder: rows of a recording whose results become one shard; where left out, some 64 MiB "
        "of input.",
    )


class ReportSection(Section):
    """What is measured and drawn, of one column: before (what was read, or what a stage made of it) and after."""

    column: Word | None = Field(None, description="The column; may be left out where there is only one.")
    before: Word | None = Field(
        None,
        description="The first stage of this name makes the `before`, for instance the one that brings units; "
        "where left out, `before` is what was read.",
    )
    hum: Hertz | None = Field(
        None, description="Frequency in Hz whose hum is measured, against its neighbours, before and after."
    )
    unit: Word | None = Field(None, description="The unit of the values, for the picture's axis.")
    png: Word | None = Field(None, description="Picture to draw: before and after, in time and as spectra.")
    seconds: tuple[Seconds, Seconds] | None = Field(
        None,
        description="Stretch of time to draw, from and to, in seconds; a few seconds from the middle where left out.",
    )


_Section = TypeVar("_Section", bound=Section)


def parse_section(document: Document, steps: Steps, model: type[_Section], others: Sequence[str] = ()) -> _Section:
    """The section that stands at `steps`.

    Args:
        others: keys that the section may have and that the caller reads; the model does not see them.

    Raises:
        ConfigError: an unknown key (with the nearest known), or a value of the wrong type or outside its range.
    """
    node = document.root.at(steps)
    assert isinstance(node.value, dict)
    mine = {key: child.plain() for key, child in node.value.items() if key not in others}
    known = [*others, *model.model_fields]
    for key in mine:
        if key not in known:
            raise document.error([*steps, key], f"unknown key {quoted(key)}; {nearest(key, known)}", at_key=True)
    try:
        # JSON's eyes, strictly: a list is how a tuple is written, but `true` is no number and `1` no text.
        return model.model_validate_json(json.dumps(mine))
    except ValidationError as error:
        raise _first(document, steps, error.errors()) from None


def _first(document: Document, steps: Steps, errors: Sequence[ErrorDetails]) -> ConfigError:
    """The first finding, in the order of the file."""
    found = [([*steps, *error["loc"]], _expected(error)) for error in errors]
    where, expected = min(found, key=lambda one: document.root.at(one[0]).mark)
    return document.error(where, f"expected {expected}, got {shown(document.root.at(where))}")


def _expected(error: ErrorDetails) -> str:
    """What pydantic would have liked, in the words of a configuration."""
    limits = error.get("ctx", {})
    words = {
        "float_type": "a number",
        "int_type": "a whole number",
        "string_type": "text",
        "tuple_type": "a list",
        "greater_than": "a number above {gt:g}",
        "greater_than_equal": "a number of at least {ge:g}",
        "less_than_equal": "a number of at most {le:g}",
        "string_too_short": "text of at least {min_length} characters",
        "string_too_long": "text of at most {max_length} characters",
        "too_short": "a list of at least {min_length}",
        "too_long": "a list of at most {max_length}",
        "missing": "a list of more",
    }
    if error["type"] in words:
        return words[error["type"]].format(**limits)
    return error["msg"].removeprefix("Input should be ")


def section_schema(model: type[Section], formats: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON Schema of a section that names exactly one of `formats` beside its own keys."""
    schema = model.model_json_schema()
    schema.pop("title", None)
    for one in schema["properties"].values():
        one.pop("title", None)
    if formats:
        path = {"type": "string", "minLength": 1, "description": "Path, relative to the configuration's own folder."}
        schema["properties"] = {**dict.fromkeys(formats, path), **schema["properties"]}
        schema["oneOf"] = [{"required": [name]} for name in formats]
    return schema
