"""`Bucketed`: batches of rows of like length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bridgeflow.errors import DataError
from bridgeflow.pipeline.epoch_plans import BatchPlan, OrderOptions, Sampler
from bridgeflow.pipeline.row_values import digest_of, row_lengths
from bridgeflow.pipeline.sampling import Indices
from bridgeflow.policy import parse_flag, parse_integer
from bridgeflow.randomness import philox

if TYPE_CHECKING:
    from bridgeflow.pipeline.dataset import SignalDataset

__all__ = ["Bucketed"]


class Bucketed(Sampler):
    """Batches of rows of like length, for datasets with `ragged="pad"`.

    Rows are sorted into buckets, and a batch is of one bucket; rows move within their bucket and batches among each
    other, in each epoch differently. All ranks have a batch of the same bucket and size at the same time.

    Args:
        by: the column of lists whose lengths count, a column of lengths, or an array with the length of each row;
            `None` for the only column of lists, or for the windows of recordings. Read without running the transform.
        max_padding: the largest share of a batch that may be padding, 0 up to 1: in a bucket the shortest row has at
            least `1 - max_padding` times the samples of the longest.
        max_samples: the most samples in a padded batch, rows times the longest; batches of long rows have fewer rows.
            `None` for no limit but `batch_size`.
        shuffle: `False` leaves batches in the order of length and rows in that of the dataset.

    Each bucket may end in a smaller batch, which `drop_last` leaves out.

    Raises:
        KeyNotFound, DataError: (when a loader is made) no such column; a row longer than `max_samples`.

    >>> from bridgeflow import Loader, SignalDataset
    >>> dataset = SignalDataset({"x": np.arange(6)})
    >>> loader = Loader(dataset, 4, sampler=Bucketed([10, 100, 11, 90, 10, 95], max_samples=200))
    >>> sorted(sorted(batch["x"].tolist()) for batch in loader)
    [[0, 2, 4], [1, 3], [5]]
    """

    def __init__(
        self,
        by: Any = None,
        *,
        max_padding: float = 0.2,
        max_samples: int | None = None,
        shuffle: bool = True,
    ) -> None:
        if isinstance(max_padding, bool) or not 0 <= max_padding < 1:
            raise ValueError(f"max_padding must be from 0 up to 1, got {max_padding!r}")
        self.by = by
        self.max_padding = float(max_padding)
        self.max_samples = None if max_samples is None else parse_integer(max_samples, field="max_samples", least=1)
        self.shuffle = parse_flag(shuffle, field="shuffle")

    def __repr__(self) -> str:
        by = repr(self.by) if self.by is None or isinstance(self.by, str) else f"<{type(self.by).__name__}>"
        return f"Bucketed({by}, max_padding={self.max_padding}, max_samples={self.max_samples}, shuffle={self.shuffle})"

    def plan(self, dataset: SignalDataset, options: OrderOptions) -> BatchPlan:
        """What an epoch is: the batches of each bucket."""
        lengths = row_lengths(dataset, self.by, what="Bucketed")
        largest = options.require_batch_size("Bucketed")
        buckets = self._buckets(lengths, largest)
        world, pad = options.world_size, options.uneven == "pad" or (options.uneven is None and options.world_size > 1)
        steps: list[_Step] = []
        for number, bucket in enumerate(buckets):
            rows, size = len(bucket.rows), bucket.batch_size
            full, rest = divmod(rows, size * world)
            steps += [_Step(number, step * size * world, size) for step in range(full)]
            last = -(-rest // world) if pad else rest // world
            if last and (last == size or not options.drop_last):
                steps.append(_Step(number, full * size * world, last))
        identity = {
            "name": "Bucketed",
            "max_padding": self.max_padding,
            "max_samples": self.max_samples,
            "shuffle": self.shuffle,
            "lengths": digest_of(lengths),
        }
        draw = partial(_batches, [bucket.rows for bucket in buckets], steps, options.rank, self.shuffle)
        return BatchPlan([step.size for step in steps], draw, identity, largest, varies=self.shuffle)

    def _buckets(self, lengths: Indices, largest: int) -> list[_Bucket]:
        """From the longest row down: each bucket takes what its longest row allows."""
        order = np.argsort(-lengths, kind="stable")
        buckets: list[_Bucket] = []
        first = 0
        while first < len(order):
            longest = int(lengths[order[first]])
            size = largest if self.max_samples is None else min(largest, self.max_samples // max(longest, 1))
            if not size:
                raise DataError(
                    f"Bucketed: row {order[first]} has {longest:,} samples, more than max_samples="
                    f"{self.max_samples:,} for a batch; raise it, or cut such rows"
                )
            shortest = (1 - self.max_padding) * longest
            end = int(np.searchsorted(-lengths[order], -shortest, side="right"))
            buckets.append(_Bucket(np.sort(order[first:end]), size))
            first = end
        return buckets


class _Bucket(NamedTuple):
    """Rows of like length, and how many of them are a batch."""

    rows: Indices
    batch_size: int


class _Step(NamedTuple):
    """A batch of every rank: its bucket, its first row there, and the rows of each rank."""

    bucket: int
    first: int
    size: int


def _batches(
    buckets: Sequence[Indices], steps: Sequence[_Step], rank: int, shuffle: bool, seed: int, epoch: int
) -> list[Indices]:
    """The batches of a rank in an epoch; where a bucket's last rows are too few for all ranks, its first come again."""
    bits = philox(seed, epoch, branch=1)
    orders = [_shuffled(rows, bits) if shuffle else rows for rows in buckets]
    batches = []
    for number, first, size in steps:
        rows = orders[number]
        batches.append(rows[(first + rank * size + np.arange(size)) % len(rows)])
    sequence = _shuffled(np.arange(len(steps)), bits) if shuffle else range(len(steps))
    return [batches[number] for number in sequence]


def _shuffled(values: Indices, bits: np.random.Philox) -> Indices:
    return values[np.argsort(np.asarray(bits.random_raw(len(values))), kind="stable")]
