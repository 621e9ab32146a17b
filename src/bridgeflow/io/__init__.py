"""Files in and out: one module per format, each with a reader and a writer of columns."""

from bridgeflow.io.base import ColumnNulls, Columns, Compression, Format, OnOverflow, Part, Sink, SinkDtype, Source
from bridgeflow.io.commit import Overwrite, Receipt, publish, refuse_existing
from bridgeflow.io.files import Roots, printable, refuse_overlap, shown
from bridgeflow.io.listing import Recording, recordings
from bridgeflow.io.opening import open_sink, open_source, require_writable
from bridgeflow.io.registry import format_of, formats

__all__ = [
    "ColumnNulls",
    "Columns",
    "Compression",
    "Format",
    "OnOverflow",
    "Overwrite",
    "Part",
    "Receipt",
    "Recording",
    "Roots",
    "Sink",
    "SinkDtype",
    "Source",
    "format_of",
    "formats",
    "open_sink",
    "open_source",
    "printable",
    "publish",
    "recordings",
    "refuse_existing",
    "refuse_overlap",
    "require_writable",
    "shown",
]
