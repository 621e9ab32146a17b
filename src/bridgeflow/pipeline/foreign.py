"""The global random generators of NumPy, torch and Python, for callables of others that draw from them.

Our own stages draw from `generators()`. torchvision's transforms and users' functions draw from generators that a
process has once: worker processes begin with copies of the same, and what threads draw depends on who comes first. So
while such a callable makes a batch, the global generators are seeded from (seed, epoch, batch), by one thread at a
time, and have their former states again afterwards.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock, get_ident
from typing import Any, Final, NamedTuple

import numpy as np

from bridgeflow._forks import call_in_children
from bridgeflow._optional import loaded
from bridgeflow.randomness import philox

__all__ = ["BatchKey", "is_foreign", "seed_globally", "seeded_globally"]

_numpy: Any = np.random  # whose stubs lack some names

_PATIENCE: Final = 60.0
"""Seconds to wait for another thread's callable, which may itself be waiting for this thread."""


class BatchKey(NamedTuple):
    """What the numbers of a batch depend on."""

    seed: int
    epoch: int
    batch: int


def is_foreign(stage: object) -> bool:
    """Whether a stage may draw from the global generators: all but ours, unless it says `global_random`.

    >>> from bridgeflow import Scale
    >>> is_foreign(Scale(scale=2.0)), is_foreign(abs)
    (False, True)
    """
    drawing = getattr(stage, "global_random", None)
    if isinstance(drawing, bool):
        return drawing
    while isinstance(stage, partial):
        stage = stage.func
    named = stage if hasattr(stage, "__qualname__") else type(stage)
    return not str(getattr(named, "__module__", "")).startswith("bridgeflow.")


def seed_globally(key: BatchKey, part: int = 0) -> None:
    """Seed the generators: NumPy's legacy one, Python's, and torch's for the CPU if torch is loaded.

    Args:
        key: the batch.
        part: the part of the pipeline, so that no two begin with the same numbers.
    """
    words = philox(key.seed, key.epoch, batch=key.batch, branch=part).random_raw(4)
    if not isinstance(_numpy.get_bit_generator(), np.random.MT19937):
        _numpy.set_bit_generator(np.random.MT19937())  # another one cannot be seeded
    np.random.seed(words.view(np.uint32))
    random.seed(int.from_bytes(words.tobytes(), "little"))
    if (torch := loaded("torch")) is not None:
        torch.default_generator.manual_seed(int(words[0]))


@contextmanager
def seeded_globally(key: BatchKey, part: int = 0) -> Iterator[None]:
    """Within the block the global generators are the batch's, and this thread's alone among those that come here.

    >>> before = random.getstate()
    >>> with seeded_globally(BatchKey(seed=0, epoch=0, batch=0)):
    ...     first = random.random()
    >>> with seeded_globally(BatchKey(seed=0, epoch=0, batch=0)):
    ...     first == random.random()
    True
    >>> random.getstate() == before
    True
    """
    with _turns.taken():
        before = _State()
        seed_globally(key, part)
        try:
            yield
        finally:
            before.restore()


class _State:
    """The states of the global generators."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._bits = _numpy.get_bit_generator()
        self._numpy = np.random.get_state(legacy=False)
        torch = loaded("torch")
        self._torch: Any = None if torch is None else torch.default_generator.get_state()

    def restore(self) -> None:
        """Go back to them."""
        random.setstate(self._python)
        if _numpy.get_bit_generator() is not self._bits:
            _numpy.set_bit_generator(self._bits)
        np.random.set_state(self._numpy)
        if self._torch is not None and (torch := loaded("torch")) is not None:
            torch.default_generator.set_state(self._torch)


class _Turns:
    """Whose turn it is to draw: one thread's at a time, which may ask again."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._owner: int | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Within the block it is this thread's."""
        if self._owner == get_ident():
            yield
            return
        if not self._lock.acquire(timeout=_PATIENCE):
            warnings.warn(
                "a transform in another thread has been drawing random numbers for a minute, or waits for this one: "
                "the numbers of both may not repeat",
                RuntimeWarning,
                stacklevel=4,
            )
            yield
            return
        self._owner = get_ident()
        try:
            yield
        finally:
            self._owner = None
            self._lock.release()


_turns = _Turns()


def _renew_turns() -> None:
    global _turns
    _turns = _Turns()  # the parent's may be held by a thread that this child does not have


call_in_children(_renew_turns)
