"""How a source is opened and how a sink writes: the options, and the words that they accept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from bridgeflow.errors import DataError
from bridgeflow.io.commit import canonical
from bridgeflow.io.dtypes import OnOverflow, SinkDtype
from bridgeflow.io.files import Roots, data_error

__all__ = ["ColumnNulls", "Compression", "Settings", "SinkOptions", "SourceOptions", "parse_settings"]

ColumnNulls: TypeAlias = Literal["error", "keep"]
"""What a source does with nulls: refuse the column, or hand them on to a transform that knows what to do with them."""

Compression: TypeAlias = Literal["none", "lz4", "snappy", "zstd"]
"""How a sink may compress; each format takes some of these words."""

Settings: TypeAlias = Mapping[str, Any]
"""What a job stores in the file it writes: plain values, among them `fs`, the sampling rate of the columns in Hz."""

SETTINGS_KEY = b"bridgeflow"
"""The schema metadata entry that holds the settings as JSON."""


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How a source is to be opened: the arguments of `open_source`."""

    format: str | None = None
    columns: tuple[str, ...] | None = None
    nulls: ColumnNulls = "error"
    normalize: bool = False
    max_nbytes: int | None = None
    mapped: bool = True
    roots: Roots = None

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
"""What a file may become without a word from its user: so many bytes, or so many times its own."""


@dataclass(frozen=True, kw_only=True)
class SinkOptions:
    """How a sink writes, apart from its path and format: the arguments of `open_sink`.

    Attributes:
        compression: `None` for the format's own choice.
        dtype: what the values of every column become; `None` for what they are.
        on_overflow: what becomes of values that `dtype` cannot hold.
        normalize: whether values are between -1 and 1, full scale; see `open_sink`.
        settings: plain values to store.
    """

    compression: Compression | None = None
    dtype: SinkDtype | None = None
    on_overflow: OnOverflow = "raise"
    normalize: bool | None = None
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
