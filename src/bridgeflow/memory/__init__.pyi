from .mapping import Access as Access
from .mapping import Descriptor as Descriptor
from .packing import Packed as Packed
from .packing import pack as pack
from .packing import unpack as unpack
from .reuse import trim as trim
from .ring import Lease as Lease
from .ring import Ring as Ring
from .ring import Slot as Slot
from .ring import empty as empty
from .ring import in_slot as in_slot
from .ring import writing_batch as writing_batch
from .segment import Segment as Segment
from .segment import require_shared_memory as require_shared_memory
from .segment import segment_of as segment_of

__all__ = [
    "Access",
    "Descriptor",
    "Lease",
    "Packed",
    "Ring",
    "Segment",
    "Slot",
    "empty",
    "in_slot",
    "pack",
    "require_shared_memory",
    "segment_of",
    "trim",
    "unpack",
    "writing_batch",
]
