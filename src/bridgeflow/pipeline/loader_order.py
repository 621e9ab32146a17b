"""The order of rows that a `Loader` asks for, by its options."""

from __future__ import annotations

from typing import Any, Final

from bridgeflow.pipeline.dataset import SignalDataset
from bridgeflow.pipeline.epoch_plans import OrderOptions, RowOrder, Sampler, order_of
from bridgeflow.pipeline.hub_rows import HubStream
from bridgeflow.pipeline.iterable_sampler import IterableSampler
from bridgeflow.pipeline.mixture import Mixture
from bridgeflow.pipeline.sampling import Order, Shuffle
from bridgeflow.pipeline.streamed import StreamOrder

__all__ = ["loader_order", "row_nbytes"]

_BLOCK_NBYTES: Final = 8 << 20
_WINDOW_BLOCKS: Final = 8


def loader_order(
    dataset: SignalDataset | Mixture,
    sampler: Any,
    shuffle: object,
    window: int | None,
    options: OrderOptions,
    *,
    ahead: int,
) -> RowOrder:
    """The order of a dataset's rows.

    Args:
        dataset, sampler, shuffle, window: as for `Loader`.
        options: its others.
        ahead: batches that may be made before they are handed out.

    Raises:
        ValueError: options that do not go together.
    """
    shuffled = shuffle is not False or window is not None
    if isinstance(dataset, SignalDataset) and isinstance(dataset.source, HubStream):
        return _streamed(dataset.source, sampler, options, shuffled=shuffled, ahead=ahead)
    if isinstance(dataset, Mixture) or sampler is not None:
        return _sampled(dataset, sampler, options, shuffled=shuffled)
    if options.batch_size is None:
        raise ValueError("batch_size: expected a number of rows; None is for samplers that give whole batches")
    block = 1 << max(1, _BLOCK_NBYTES // row_nbytes(dataset)).bit_length() - 1
    return Order(
        rows=len(dataset),
        batch_size=options.batch_size,
        shuffle=_shuffle(shuffle, dataset),
        seed=options.seed,
        drop_last=options.drop_last,
        block=block,
        window=_WINDOW_BLOCKS * block if window is None else window,
        rank=options.rank,
        world_size=options.world_size,
        uneven="pad" if options.uneven is None else options.uneven,
    )


def _streamed(stream: HubStream, sampler: Any, options: OrderOptions, *, shuffled: bool, ahead: int) -> StreamOrder:
    """The order of rows that come one after the other."""
    if sampler is not None or shuffled:
        raise ValueError(f"shuffle, sampler, window: rows of {stream.name} come in its own order; {stream.remedy}")
    if options.world_size > 1:
        raise ValueError(
            f"rank, world_size: rows of {stream.name} have no numbers to share them out by; {stream.sharing}"
        )
    return StreamOrder(
        stream, batch_size=options.batch_size, seed=options.seed, drop_last=options.drop_last, ahead=ahead
    )


def _shuffle(shuffle: object, dataset: SignalDataset) -> Shuffle:
    if shuffle is True:
        return "exact" if dataset.source.random_access else "windowed"
    if shuffle is False:
        return "none"
    if shuffle in ("exact", "windowed"):
        return shuffle
    raise ValueError(f"shuffle must be True, False, 'exact' or 'windowed', got {shuffle!r}")


def _sampled(dataset: SignalDataset | Mixture, sampler: Any, options: OrderOptions, *, shuffled: bool) -> RowOrder:
    """The order that a sampler draws."""
    if shuffled:
        raise ValueError("shuffle, window: the sampler decides the order of rows; leave them out")
    if isinstance(dataset, Mixture):
        if sampler is not None:
            raise ValueError("sampler: a Mixture draws rows by its weights; leave the sampler out")
        return order_of(dataset, dataset.datasets[0], options)
    if isinstance(sampler, Mixture):
        raise ValueError("sampler: a Mixture stands in the place of the dataset; pass Loader(mixture, batch_size)")
    return order_of(sampler if isinstance(sampler, Sampler) else IterableSampler(sampler), dataset, options)


def row_nbytes(dataset: SignalDataset | Mixture) -> int:
    """Bytes of a row of all columns; a guess for text and lists, 1 where rows are not known before they come."""
    if isinstance(dataset, Mixture):
        return max(map(row_nbytes, dataset.datasets))
    if isinstance(dataset.source, HubStream):
        return 1
    sizes = [spec.expected_nbytes() for spec in dataset.source.specs.values()]
    rows = max(1, len(dataset))
    return max(1, sum(64 if size is None else -(-size // rows) for size in sizes))
