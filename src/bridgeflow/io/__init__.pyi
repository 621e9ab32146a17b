from .base import Columns as Columns
from .base import Format as Format
from .base import Part as Part
from .commit import Overwrite as Overwrite
from .commit import Receipt as Receipt
from .commit import publish as publish
from .commit import refuse_existing as refuse_existing
from .dtypes import OnOverflow as OnOverflow
from .dtypes import SinkDtype as SinkDtype
from .files import Roots as Roots
from .files import printable as printable
from .files import refuse_overlap as refuse_overlap
from .files import shown as shown
from .formats.registry import all_formats as all_formats
from .formats.registry import format_of as format_of
from .listing import Recording as Recording
from .listing import recordings as recordings
from .opening import open_source as open_source
from .options import ColumnNulls as ColumnNulls
from .options import Compression as Compression
from .sink import Sink as Sink
from .sink import open_sink as open_sink
from .sink import require_writable as require_writable
from .source import Source as Source
from .stores.options import StoreOptions as StoreOptions
from .stores.options import configure_stores as configure_stores

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
    "StoreOptions",
    "all_formats",
    "configure_stores",
    "format_of",
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
