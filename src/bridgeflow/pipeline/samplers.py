"""An order of rows as PyTorch's samplers: `torch.utils.data.Sampler`s that know epochs and have a state.

PyTorch's `DataLoader`, torchdata's `StatefulDataLoader`, Lightning and Accelerate find here what they look for:
`set_epoch`, `sampler`, `batch_size`, `drop_last`, `state_dict`. This module imports torch, so it is loaded when a
sampler is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from torch.utils.data import Sampler

from bridgeflow.pipeline.epoch_plans import RowOrder
from bridgeflow.pipeline.sampling import Passes, PassPosition, parse_state, state_of
from bridgeflow.randomness import parse_seed

__all__ = ["BatchSampler", "RowSampler"]

_Item = TypeVar("_Item", covariant=True)


class _OrderSampler(Sampler[_Item]):
    """Passes over an order, each of which is the next epoch.

    Args:
        order: which rows, in which batches.
        epoch: of the first pass.
        on_set_epoch: called with every epoch that is set here, for a loader that shares it.
    """

    _unit = ""

    def __init__(self, order: RowOrder, epoch: int = 0, *, on_set_epoch: Callable[[int], None] | None = None) -> None:
        self.order = order
        self._on_set_epoch = on_set_epoch
        self._passes = Passes(len(self), parse_seed(epoch, field="epoch"))

    def __len__(self) -> int:
        raise NotImplementedError

    def _items(self, epoch: int, first: int) -> Iterator[_Item]:
        raise NotImplementedError

    @property
    def epoch(self) -> int:
        """Of the pass under way, or of the next one where it has ended or an epoch was set."""
        return self._passes.position[0]

    def __iter__(self) -> Iterator[_Item]:
        """A pass, which begins with its first item: PyTorch makes iterators that it never asks for one."""
        return _Items(self)

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` the next pass's, and of the loader that this sampler is of; a restored position in it stays."""
        number = parse_seed(epoch, field="epoch")
        self.follow(number)
        if self._on_set_epoch is not None:
            self._on_set_epoch(number)

    def follow(self, epoch: int) -> None:
        """`set_epoch`, as the loader says it."""
        self._passes.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Epoch, what was given out of it, and what that belongs to, as plain values; never a finished epoch."""
        return state_of(self._passes, self.order.settings(), unit=self._unit)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass go on where the state was taken.

        Raises:
            DataError: the state is of another order, or is not a state.
        """
        self._passes.set(*parse_state(state, self.order.settings(), len(self), unit=self._unit))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_on_set_epoch": None}


class _Items(Iterator[_Item]):
    """A pass of a sampler. torchdata asks it for a state too, and of a finished pass wants the end, not the next."""

    def __init__(self, sampler: _OrderSampler[_Item]) -> None:
        self._sampler = sampler
        self._position: PassPosition | None = None
        self._items: Iterator[_Item] = iter(())

    def __next__(self) -> _Item:
        if self._position is None:
            self._begin(self._sampler._passes.enter())
        assert self._position is not None
        try:
            item = next(self._items)
        except StopIteration:
            self._position.end()
            raise
        self._position.advance()
        return item

    def _begin(self, position: PassPosition) -> None:
        self._position = position
        self._items = self._sampler._items(*position.start())

    def state_dict(self) -> dict[str, Any]:
        """The sampler's state, but for the end of an epoch, which is not the beginning of the next one here."""
        state = self._sampler.state_dict()
        if self._position is not None:
            state |= {"epoch": self._position.epoch, self._sampler._unit: self._position.number}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a pass was, at its end too."""
        sampler = self._sampler
        where = parse_state(state, sampler.order.settings(), len(sampler), unit=sampler._unit)
        self._begin(sampler._passes.enter(where))


class BatchSampler(_OrderSampler["list[int]"]):
    """An order as a batch sampler for `torch.utils.data.DataLoader`, with a state for `torchdata`'s.

    Each pass is the next epoch, whether or not it ran to its end; `set_epoch` chooses one, for the next
    pass or the one that has given nothing yet.

    Args:
        order: which rows, in which batches.
        epoch: of the first pass.
        on_set_epoch: called with every epoch that is set here.

    >>> from bridgeflow.pipeline.sampling import Order
    >>> sampler = BatchSampler(Order(rows=5, batch_size=2))
    >>> list(sampler)
    [[0, 1], [2, 3], [4]]
    """

    _unit = "batch"

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.order)

    def _items(self, epoch: int, first: int) -> Iterator[list[int]]:
        for rows in self.order.batches(epoch, first):
            yield rows.tolist()

    @property
    def batch_size(self) -> int | None:
        """Rows in a batch; `None` where a sampler gives batches of its own."""
        return self.order.batch_size

    @property
    def drop_last(self) -> bool:
        """Whether a last batch that would be smaller is left out."""
        return self.order.drop_last

    @property
    def sampler(self) -> RowSampler:
        """The same rows one by one, from the next pass on; an epoch set there is set here."""
        return RowSampler(self.order, self.epoch, on_set_epoch=self.set_epoch)


class RowSampler(_OrderSampler[int]):
    """An order as a sampler of single rows: `torch.utils.data.DataLoader(dataset, batch_size, sampler=loader.sampler)`.

    Args:
        order: which rows; its batches play no part, but for `drop_last`.
        epoch: of the first pass.
        on_set_epoch: called with every epoch that is set here.

    >>> from bridgeflow.pipeline.sampling import Order
    >>> list(RowSampler(Order(rows=5, batch_size=2)))
    [0, 1, 2, 3, 4]
    """

    _unit = "row"

    def __len__(self) -> int:
        """Rows in an epoch."""
        return self.order.rows_in_batches

    def _items(self, epoch: int, first: int) -> Iterator[int]:
        batch, skipped = self.order.batch_of(first)
        for rows in self.order.batches(epoch, batch):
            yield from rows[skipped:].tolist()
            skipped = 0
