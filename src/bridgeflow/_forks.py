"""What a forked child begins again: locks that a thread of its parent may have held, which the child does not have."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock
from typing import Protocol
from weakref import WeakSet

__all__ = ["BeginsInChild", "ForkLock", "call_in_children", "renew_in_children"]


class BeginsInChild(Protocol):
    """An object with locks."""

    def begin_in_child(self) -> None:
        """Take new locks, and drop what another thread may have left half done; called in a forked child."""


_OWNERS: WeakSet[BeginsInChild] = WeakSet()


def renew_in_children(owner: BeginsInChild) -> None:
    """Call `begin_in_child` of an object in every child that is forked while the object lives."""
    _OWNERS.add(owner)


class ForkLock:
    """A lock that is free in a forked child, whichever thread of the parent holds it."""

    def __init__(self) -> None:
        self.begin_in_child()
        renew_in_children(self)

    def begin_in_child(self) -> None:
        """Take a new lock."""
        self._lock = Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def call_in_children(call: Callable[[], object]) -> None:
    """Call this in every child that is forked from now on; nothing on systems that cannot fork (Windows)."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)


def _begin() -> None:
    for owner in list(_OWNERS):
        owner.begin_in_child()


call_in_children(_begin)
