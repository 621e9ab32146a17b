"""How a source is opened and how a sink writes: the options, and the words that they accept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

from bridgeflow.errors import DataError
from bridgeflow.io.commit import canonical
from bridgeflow.io.dtypes import OnOverflow, SinkDtype
from bridgeflow.io.files import Roots, data_error

__all__ = [
    "ColumnNulls",
    "Compression",
    "OpenOptions",
    "Settings",
    "SinkOptions",
    "SourceOptions",
    "WriterOptions",
    "option",
    "options_of",
    "parse_settings",
]

ColumnNulls: TypeAlias = Literal["error", "keep"]
"""What a source does with nulls: refuse the column, or hand them on to a transform that knows what to do with them."""

Compression: TypeAlias = Literal["none", "lz4", "snappy", "zstd"]
"""How a sink may compress; each format takes some of these words."""

Settings: TypeAlias = Mapping[str, Any]
"""What a job stores in the file it writes: plain values, among them `fs`, the sampling rate of the columns in Hz."""

SETTINGS_KEY = b"bridgeflow"
"""The schema metadata entry that holds the settings as JSON."""


def option(default: Any, about: str, **limits: Any) -> Any:
    """A field of options that a configuration may set.

    Args:
        about: what it means, for the schema of a configuration.
        limits: of its values there, by pydantic's names (`gt`, `le`, `min_length`, ...).
    """
    return field(default=default, metadata={"about": about, "limits": limits})


def options_of(cls: type[Any], options: Any) -> dict[str, Any]:
    """The fields of `cls` with their values in `options`, which is of that class or of one derived from it.

    >>> options_of(SinkOptions, SinkOptions(dtype="int16"))["dtype"]
    'int16'
    """
    return {one.name: getattr(options, one.name) for one in fields(cls)}


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How a source is read: arguments of `open_source`, fields of a job's source, and keys in its configuration."""

    format: str | None = None
    columns: tuple[str, ...] | None = option(
        None,
        "Columns to read, in this order; all where left out. An npy file takes its one name from here.",
        min_length=1,
    )
    nulls: ColumnNulls = option(
        "error",
        "`error` refuses columns with nulls; `keep` hands them to a transform that says what they become.",
    )
    normalize: bool = option(
        False,
        "Of wav: integers become floats between -1 and 1, full scale; else they are the file's numbers.",
    )
    max_nbytes: int | None = option(
        None,
        "Most bytes that a file may become when it is decoded; where left out, 512 MiB, or 250 times the bytes of the "
        "file where that is more.",
        ge=1,
        le=2**62,
    )

    def require_small(self, path: Path, becomes: int, nbytes: int) -> None:
        """Refuse a file that becomes more than it may when it is decoded: a few bytes can say a great deal.

        Args:
            becomes: bytes of the decoded values, as the file declares them.
            nbytes: bytes of the file.

        Raises:
            DataError: more than `max_nbytes`, or where that is not set more than 512 MiB and 250 times its bytes.
        """
        limit = max(_BECOMES, _TIMES * nbytes) if self.max_nbytes is None else self.max_nbytes
        if becomes > limit:
            problem = f"its {nbytes:,} bytes become {becomes:,}, more than the {limit:,} that are allowed"
            raise data_error(path, problem, f"if that is meant, open it with max_nbytes={becomes}")


_BECOMES, _TIMES = 512 << 20, 250
"""What a file may become without a word from its user: a number of bytes, or a multiple of its own."""


@dataclass(frozen=True, kw_only=True)
class OpenOptions(SourceOptions):
    """All arguments of `open_source`: how a source is read, whether its file is mapped, and where it must lie."""

    mapped: bool = True
    roots: Roots = None


@dataclass(frozen=True, kw_only=True)
class SinkOptions:
    """How a sink writes: arguments of `open_sink`, fields of a job's sink, and keys in its configuration."""

    compression: Compression | None = option(
        None, "One of the format's words; where left out, the format's own choice."
    )
    dtype: SinkDtype | None = option(
        None, "Element type that every column is written in; where left out, what the transforms make."
    )
    on_overflow: OnOverflow = option(
        "raise", "What becomes of values that `dtype` cannot hold: an error, or the nearest it can."
    )
    normalize: bool | None = option(
        None,
        "Of wav: `true` where values are between -1 and 1, full scale, `false` for counts that are written as they "
        "are. Where left out they are too, and what would be silence or clipped is refused.",
    )


@dataclass(frozen=True, kw_only=True)
class WriterOptions(SinkOptions):
    """How a writer writes: the options of its sink, and the plain values to store (`settings`)."""

    settings: Settings = field(default_factory=dict)

    @property
    def metadata(self) -> dict[bytes, bytes] | None:
        """The settings as schema metadata."""
        return {SETTINGS_KEY: canonical(self.settings)} if self.settings else None


def parse_settings(path: Path, metadata: Mapping[bytes, bytes] | None) -> Settings:
    """The settings that a BridgeFlow sink stored in schema metadata; none in a foreign file."""
    text = (metadata or {}).get(SETTINGS_KEY)
    if text is None:
        return {}
    try:
        settings = json.loads(text)
        fs = settings.get("fs", 1)
        if type(fs) in (int, float) and 0 < fs < float("inf"):
            return dict(settings)
    except (ValueError, AttributeError, RecursionError):
        pass
    raise _unreadable_settings(path)


def _unreadable_settings(path: Path) -> DataError:
    return data_error(path, "its schema metadata entry 'bridgeflow' holds no settings of ours", "write the file again")
