"""PyTorch's own samplers, and any others that give row numbers or lists of them, as samplers of a `Loader`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.errors import DataError
from bridgeflow.pipeline.epoch_plans import BatchPlan, OrderOptions, RowPlan, Sampler
from bridgeflow.pipeline.foreign import BatchKey, seeded_globally
from bridgeflow.pipeline.sampling import Indices
from bridgeflow.randomness import philox

if TYPE_CHECKING:
    from bridgeflow.pipeline.dataset import SignalDataset

__all__ = ["IterableSampler"]

_PART: Final = (1 << 32) + 1
"""The part of an epoch's random numbers that is a sampler's."""


class IterableSampler(Sampler):
    """An iterable of row numbers, or of lists of them, iterated over once for each epoch.

    While it gives its rows, the global generators of NumPy, torch and Python are seeded from (seed, epoch), and so is a
    `generator` of its own (from its initial seed too), each of which has its former state afterwards; `set_epoch` is
    called where it has one. So a pass can be resumed exactly.

    Args:
        sampler: with a length.

    Raises:
        TypeError: it cannot be iterated, or has no length.
    """

    def __init__(self, sampler: Any) -> None:
        if isinstance(sampler, type) or not hasattr(sampler, "__iter__") or not hasattr(sampler, "__len__"):
            raise TypeError(
                "Loader: sampler must be a sampler, or another iterable of row numbers with a length, got "
                f"{sampler!r:.80}"
            )
        self.sampler = sampler

    def plan(self, dataset: SignalDataset, options: OrderOptions) -> RowPlan | BatchPlan:
        """What an epoch is; the first is drawn to see what the sampler gives."""
        first = self._draw(len(dataset), options.seed, 0)
        name = type(self.sampler).__name__
        chain = self._chain()
        if options.world_size > 1 and any(getattr(one, "num_replicas", 1) > 1 for one in chain):
            raise ValueError(f"world_size={options.world_size}: {name} shares rows out itself; leave rank and it out")
        draw = partial(self._draw, len(dataset))
        identity = {"name": name, "length": len(self.sampler)}
        if not (first and isinstance(first[0], np.ndarray)):
            return RowPlan(len(first), partial(self._draw_rows, len(dataset)), identity)
        if options.batch_size is not None or options.drop_last or options.world_size > 1:
            raise ValueError(
                f"batch_size: {name} gives whole batches; pass batch_size=None, and leave out drop_last, rank and "
                "world_size"
            )
        return BatchPlan([len(batch) for batch in first], draw, identity, None)

    def _draw_rows(self, rows: int, seed: int, epoch: int) -> Indices:
        return np.array(self._draw(rows, seed, epoch), np.int64)

    def _draw(self, rows: int, seed: int, epoch: int) -> list[Any]:
        """The rows of an epoch, as numbers or as arrays of them."""
        chain = self._chain()
        for one in chain:
            if callable(set_epoch := getattr(one, "set_epoch", None)):
                set_epoch(epoch)
        key = BatchKey(seed, epoch, 0)
        with seeded_globally(key, _PART), _generators_seeded(chain, key):
            items = list(self.sampler)
        if len(items) != len(self.sampler):
            raise DataError(
                f"sampler: {type(self.sampler).__name__} says {len(self.sampler)} and gives {len(items)} in epoch "
                f"{epoch}; its length must be right"
            )
        if any(isinstance(item, (list, tuple, np.ndarray)) for item in items):
            return [_checked(np.asarray(item), rows) for item in items]
        return list(_checked(np.asarray(items), rows).tolist())

    def _chain(self) -> list[Any]:
        """The sampler, and those that it takes its rows from."""
        chain, one = [], self.sampler
        while one is not None and one not in chain:
            chain.append(one)
            one = getattr(one, "sampler", None)
        return chain


def _checked(rows: Any, count: int) -> Indices:
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise TypeError(f"sampler: rows are named by whole numbers, got {rows.dtype} of shape {rows.shape}")
    if rows.size and not 0 <= rows.min() <= rows.max() < count:
        raise IndexError(f"sampler: the dataset has rows 0 to {count - 1}, got {rows.min()} to {rows.max()}")
    return rows.astype(np.int64)  # type: ignore[no-any-return]


@contextmanager
def _generators_seeded(chain: list[Any], key: BatchKey) -> Iterator[None]:
    """Within the block, the torch generators that samplers have are those of the epoch."""
    torch = loaded("torch")
    owned = [getattr(one, "generator", None) for one in chain]
    generators = [one for one in owned if torch is not None and isinstance(one, torch.Generator)]
    before = [one.get_state() for one in generators]
    for one in generators:
        words = philox((key.seed + one.initial_seed()) % (1 << 64), key.epoch, branch=_PART).random_raw(1)
        one.manual_seed(int(words[0]))
    try:
        yield
    finally:
        for one, state in zip(generators, before, strict=True):
            one.set_state(state)
