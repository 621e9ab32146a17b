"""Memory that processes share: anonymous segments, the handles that carry them, and rings of slots for batches."""

from __future__ import annotations

from bridgeflow.memory.mapping import Access, Descriptor
from bridgeflow.memory.packing import Packed, pack, unpack
from bridgeflow.memory.ring import Lease, Ring, Slot, empty, in_slot, making
from bridgeflow.memory.segment import Segment, segment_of

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
    "making",
    "pack",
    "segment_of",
    "unpack",
]
