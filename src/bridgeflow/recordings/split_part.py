"""Which part of a split recordings or windows are."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SplitPart"]


@dataclass(frozen=True)
class SplitPart:
    """Which part of a split recordings or windows are; loaders name it in their states.

    Attributes:
        name: which one: `"part 1 of 3"`, or `"training part of fold 2 of 5"`.
        split: the call that made it.
        parent: digest of what was split.
    """

    name: str
    split: str
    parent: str

    def __str__(self) -> str:
        return f"{self.name} of {self.split} of {self.parent[:8]}"
