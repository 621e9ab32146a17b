"""Memory that processes share (anonymous segments, handles, rings of slots for batches), and that is used again."""

from __future__ import annotations

from bridgeflow.memory.mapping import Access, Descriptor
from bridgeflow.memory.packing import Packed, pack, unpack
from bridgeflow.memory.reuse import trim
from bridgeflow.memory.ring import Lease, Ring, Slot, empty, in_slot, making
from bridgeflow.memory.segment import Segment, require_shared_memory, segment_of

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
    "require_shared_memory",
    "segment_of",
    "trim",
    "unpack",
]
