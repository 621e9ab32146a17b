from .base import ColumnNulls as ColumnNulls
from .base import Columns as Columns
from .base import Compression as Compression
from .base import Format as Format
from .base import OnOverflow as OnOverflow
from .base import Part as Part
from .base import Sink as Sink
from .base import SinkDtype as SinkDtype
from .base import Source as Source
from .commit import Overwrite as Overwrite
from .commit import Receipt as Receipt
from .commit import publish as publish
from .commit import refuse_existing as refuse_existing
from .files import Roots as Roots
from .files import printable as printable
from .files import refuse_overlap as refuse_overlap
from .files import shown as shown
from .listing import Recording as Recording
from .listing import recordings as recordings
from .opening import open_sink as open_sink
from .opening import open_source as open_source
from .opening import require_writable as require_writable
from .registry import format_of as format_of
from .registry import formats as formats

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
