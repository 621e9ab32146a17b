"""What a forked child begins again: locks that a thread of its parent may have held, which the child does not have."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["BeginsInChild", "renew_in_children"]


class BeginsInChild(Protocol):
    """An object with locks."""

    def begin_in_child(self) -> None:
        """Take new locks, and drop what another thread may have left half done; called in a forked child."""


_OWNERS: WeakSet[BeginsInChild] = WeakSet()


def renew_in_children(owner: BeginsInChild) -> None:
    """Call `begin_in_child` of an object in every child that is forked while the object lives."""
    _OWNERS.add(owner)


def _begin() -> None:
    for owner in list(_OWNERS):
        owner.begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin)
