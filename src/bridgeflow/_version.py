"""The version, where every room can read it: whatever writes files says in them what wrote them."""

__version__ = "0.1.0"
