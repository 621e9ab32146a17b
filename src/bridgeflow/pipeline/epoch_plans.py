"""The order of rows that a sampler draws for each epoch, cut into batches and shared out among ranks.

A sampler says what an epoch is made of (`RowPlan`, `BatchPlan`), as a function of (seed, epoch) alone. The orders here
share it out: a position is an epoch and a number of batches, as in `bridgeflow.pipeline.sampling.Order`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bridgeflow.pipeline.sampling import Indices, Uneven
from bridgeflow.policy import parse_flag, parse_integer, parse_word
from bridgeflow.randomness import parse_seed

if TYPE_CHECKING:
    from bridgeflow.pipeline.dataset import SignalDataset

__all__ = ["BatchPlan", "BatchedOrder", "RowOrder", "RowPlan", "SampledOrder", "Sampler", "order_of", "rounds"]


class RowOrder(Protocol):
    """The batches of one of several ranks, epoch by epoch."""

    @property
    def batch_size(self) -> int | None:
        """Rows in a batch at most; `None` where that is not known before they are drawn."""

    @property
    def drop_last(self) -> bool:
        """Whether incomplete batches are left out."""

    @property
    def seed(self) -> int:
        """With the epoch, decides the order."""

    @property
    def rows_in_batches(self) -> int:
        """Rows in all batches of an epoch."""

    def __len__(self) -> int:
        """Batches in an epoch."""

    def settings(self) -> dict[str, Any]:
        """Everything that the order depends on, as plain values."""

    def batches(self, epoch: int, first: int = 0) -> Iterator[Indices]:
        """The rows of each batch of an epoch, from batch number `first` on."""

    def batch_of(self, row: int) -> tuple[int, int]:
        """The batch that the row of this number in an epoch is in, and its place there."""


@dataclass(frozen=True)
class RowPlan:
    """What an epoch of all ranks together is: rows one after the other.

    Args:
        rows: how many.
        draw: the rows of an epoch, int64 `[rows]`, of (seed, epoch).
        identity: what the draw depends on besides, as plain values.
        unit: rows that stay together on a rank.
        repeats: whether a row may come twice in an epoch.
    """

    rows: int
    draw: Callable[[int, int], Indices]
    identity: dict[str, Any]
    unit: int = 1
    repeats: bool = True


@dataclass(frozen=True)
class BatchPlan:
    """What an epoch of one rank is: batches one after the other.

    Args:
        sizes: rows of each batch before they are shuffled: their number and sum hold for every epoch.
        draw: the batches of an epoch, of (seed, epoch).
        identity: what the draw depends on besides, as plain values.
        batch_size: rows in a batch at most; `None` where the sampler does not say.
        varies: whether sizes come in another order in each epoch.
    """

    sizes: Sequence[int]
    draw: Callable[[int, int], Sequence[Indices]]
    identity: dict[str, Any]
    batch_size: int | None
    varies: bool = True


class Sampler(ABC):
    """Which rows an epoch has, and in which order: what `Loader(sampler=...)` takes."""

    @abstractmethod
    def plan(self, dataset: SignalDataset, options: OrderOptions) -> RowPlan | BatchPlan:
        """What an epoch of a dataset is."""


@dataclass(frozen=True, kw_only=True)
class OrderOptions:
    """How a loader shares rows out.

    Args:
        batch_size: rows in a batch; `None` where the sampler gives whole batches.
        seed: with the epoch, decides every order.
        drop_last: leave out batches that would be smaller.
        rank, world_size: which share, of how many.
        uneven: where rows cannot be shared out evenly; `None` for `"drop"` where no row is to come twice, else `"pad"`.
    """

    batch_size: int | None
    seed: int = 0
    drop_last: bool = False
    rank: int = 0
    world_size: int = 1
    uneven: Uneven | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", parse_seed(self.seed))
        object.__setattr__(self, "drop_last", parse_flag(self.drop_last, field="drop_last"))
        if self.uneven is not None:
            parse_word(self.uneven, Uneven, field="uneven")
        least = {"batch_size": 1, "rank": 0, "world_size": 1}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None or name != "batch_size":
                object.__setattr__(self, name, parse_integer(value, field=name, least=lowest))
        if self.rank >= self.world_size:
            raise ValueError(f"rank must be below world_size ({self.world_size}), got {self.rank}")

    def require_batch_size(self, what: str) -> int:
        """The size of batches, which this sampler needs."""
        if self.batch_size is None:
            raise ValueError(f"batch_size: {what} gives rows, which need a number of rows in a batch, got None")
        return self.batch_size


def order_of(sampler: Sampler, dataset: SignalDataset, options: OrderOptions) -> SampledOrder | BatchedOrder:
    """The order in which a rank gets rows that a sampler draws."""
    plan = sampler.plan(dataset, options)
    if isinstance(plan, BatchPlan):
        return BatchedOrder(plan, options)
    options.require_batch_size(type(sampler).__name__)
    return SampledOrder(plan, options)


class _Drawn:
    """The last epoch that was drawn, kept: passes begin and are resumed in it."""

    def __init__(self, draw: Callable[[int, int], Any], seed: int) -> None:
        self._draw, self._seed = draw, seed
        self._latest: tuple[int, Any] | None = None

    def __call__(self, epoch: int) -> Any:
        latest = self._latest
        if latest is None or latest[0] != epoch:
            self._latest = latest = (epoch, self._draw(self._seed, epoch))
        return latest[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_latest": None}


class _PlannedOrder:
    """What orders of rows and of batches say of their options alike."""

    options: OrderOptions

    @property
    def drop_last(self) -> bool:
        """Whether incomplete batches are left out."""
        return self.options.drop_last

    @property
    def seed(self) -> int:
        """With the epoch, decides the order."""
        return self.options.seed


@dataclass(frozen=True)
class SampledOrder(_PlannedOrder):
    """Rows that a sampler draws, cut into batches; each rank gets whole units.

    >>> plan = RowPlan(5, lambda seed, epoch: np.arange(5), {})
    >>> order = SampledOrder(plan, OrderOptions(batch_size=2))
    >>> [batch.tolist() for batch in order.batches(epoch=0)]
    [[0, 1], [2, 3], [4]]
    """

    plan: RowPlan
    options: OrderOptions
    _rows: _Drawn = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", _Drawn(self.plan.draw, self.options.seed))

    @property
    def batch_size(self) -> int:
        """Rows in a batch; the last batch of an epoch may have fewer."""
        return self.options.require_batch_size("this order")

    @property
    def samples(self) -> int:
        """Rows that this rank gets in an epoch, those of an incomplete batch counted."""
        rows, unit, world = self.plan.rows, self.plan.unit, self.options.world_size
        if world == 1:
            return rows
        return rows // unit // world * unit if self._uneven == "drop" else -(-rows // unit // world) * unit

    @property
    def rows_in_batches(self) -> int:
        """Rows in all batches of an epoch."""
        return len(self) * self.batch_size if self.drop_last else self.samples

    @property
    def _uneven(self) -> Uneven:
        return self.options.uneven or ("pad" if self.plan.repeats else "drop")

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.samples // self.batch_size if self.drop_last else -(-self.samples // self.batch_size)

    def settings(self) -> dict[str, Any]:
        """Everything that the order depends on, as plain values."""
        return _settings(self.options, self.plan.identity) | {"rows": self.plan.rows, "uneven": self._uneven}

    def batches(self, epoch: int, first: int = 0) -> Iterator[Indices]:
        """The rows of each batch of an epoch, int64 `[batch]`, from batch number `first` on."""
        number = parse_seed(epoch, field="epoch")
        size, samples = self.batch_size, self.samples
        for begin in range(first, len(self)):
            own = np.arange(begin * size, min((begin + 1) * size, samples))
            yield self._rows(number)[self._positions(own)]

    def batch_of(self, row: int) -> tuple[int, int]:
        """The batch that the row of this number in an epoch is in, and its place there."""
        return divmod(row, self.batch_size)

    def _positions(self, own: Indices) -> Indices:
        """Positions in the order of all ranks, of positions in this rank's: units are dealt out in turn."""
        unit, world = self.plan.unit, self.options.world_size
        if world == 1:
            return own
        return ((own // unit * world + self.options.rank) * unit + own % unit) % self.plan.rows


@dataclass(frozen=True)
class BatchedOrder(_PlannedOrder):
    """Batches that a sampler draws."""

    plan: BatchPlan
    options: OrderOptions
    _drawn: _Drawn = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_drawn", _Drawn(self.plan.draw, self.options.seed))

    @property
    def batch_size(self) -> int | None:
        """Rows in a batch at most; `None` where that is not known before they are drawn."""
        return self.plan.batch_size

    @property
    def rows_in_batches(self) -> int:
        """Rows in all batches of an epoch."""
        return sum(self.plan.sizes)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.plan.sizes)

    def settings(self) -> dict[str, Any]:
        """Everything that the order depends on, as plain values."""
        return _settings(self.options, self.plan.identity) | {"batches": len(self), "uneven": self.options.uneven}

    def batches(self, epoch: int, first: int = 0) -> Iterator[Indices]:
        """The rows of each batch of an epoch, int64 `[batch]`, from batch number `first` on."""
        number = parse_seed(epoch, field="epoch")
        for begin in range(first, len(self)):
            yield self._drawn(number)[begin]

    def batch_of(self, row: int) -> tuple[int, int]:
        """The batch that the row of this number in an epoch is in, and its place there.

        Raises:
            ValueError: batches of unequal size come in another order in each epoch, so that no number of rows says
                where an epoch stands.
        """
        if self.plan.varies and row:
            raise ValueError("batches of unequal size can be resumed batch by batch alone; use loader.batch_sampler")
        ends = list(accumulate(self.plan.sizes))
        batch = bisect_right(ends, row)
        return batch, row - (ends[batch - 1] if batch else 0)


def _settings(options: OrderOptions, identity: dict[str, Any]) -> dict[str, Any]:
    names = ("batch_size", "seed", "drop_last", "rank", "world_size")
    return {name: getattr(options, name) for name in names} | {"sampler": identity}


def rounds(rows: Indices, count: int, bits: np.random.Philox) -> Indices:
    """`count` of the rows: all of them in one random order, then all in another, and so on, so that none comes again
    before every other has come as often.

    >>> rounds(np.array([7, 8, 9]), 6, np.random.Philox(0)).tolist()
    [7, 8, 9, 7, 9, 8]
    """
    each = len(rows)
    words = np.asarray(bits.random_raw(-(-count // each) * each), dtype=np.uint64).reshape(-1, each)
    return rows[np.argsort(words, axis=1, kind="stable").ravel()[:count]]
