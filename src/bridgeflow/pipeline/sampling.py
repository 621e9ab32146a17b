"""Which row comes when: an order of rows for each epoch, cut into batches, shared out among ranks.

An order is a function of (seed, epoch) and of what it is asked for. It is worked out piece by piece where it is needed,
so that the first batch of a billion rows costs what the first of a thousand does, a position is one small number, and
nothing depends on how many workers there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from bridgeflow.errors import DataError
from bridgeflow.pipeline.randomness import parse_seed, philox
from bridgeflow.policy import parse_word

__all__ = ["BatchSampler", "Order", "Permutation", "Shuffle", "Uneven", "parse_state"]

Shuffle: TypeAlias = Literal["none", "exact", "windowed"]
"""Rows as they stand; any row at any place, each order equally likely; blocks of rows shuffled, and rows among those of
a few neighbouring blocks, for sources that read a block at the cost of a row."""

Uneven: TypeAlias = Literal["pad", "drop"]
"""Where rows cannot be shared out evenly: some rows come twice, or some do not; every rank gets as many."""

Indices: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

_DRAWN: Final = 1 << 16
"""Permutations up to this length are drawn as a whole: every one of them equally likely."""

_ROUNDS: Final = 8
_AHEAD: Final = 1 << 13
"""Positions that are looked up at once, so that NumPy's calls cost little for each."""


class Permutation:
    """A permutation of 0 to n - 1 in constant memory, looked up at any position.

    Up to 65,536 numbers it is the order that sorts as many raw 64-bit words of the generator. Beyond, it is a Feistel
    network over the bits of a position, 16 half rounds keyed by the generator's words, walked on until it lands below
    n; the round function is the finaliser of SplitMix64.

    Sources: M. Luby, C. Rackoff, SIAM J. Comput. 17(2):373-386, 1988; J. Black, P. Rogaway, "Ciphers with arbitrary
    finite domains", CT-RSA 2002; G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014.

    Args:
        n: how many numbers.
        bits: where the randomness comes from.

    >>> sorted(Permutation(5, philox(0, 0))(np.arange(5)).tolist())
    [0, 1, 2, 3, 4]
    """

    def __init__(self, n: int, bits: np.random.Philox) -> None:
        self.n = n
        self._drawn: Indices | None = None
        if n <= _DRAWN:
            words = np.asarray(bits.random_raw(n), dtype=np.uint64)
            self._drawn = np.argsort(words, kind="stable").astype(np.int64)
            return
        width = (n - 1).bit_length()
        self._shift = np.uint64(width // 2)
        self._low = np.uint64((1 << width // 2) - 1)
        self._high = np.uint64((1 << width - width // 2) - 1)
        keys = np.asarray(bits.random_raw(2 * _ROUNDS), dtype=np.uint64)
        self._keys = list(zip(keys[::2], keys[1::2], strict=True))

    def __call__(self, positions: Indices) -> Indices:
        """The numbers at these positions."""
        if self._drawn is not None:
            return self._drawn[positions]
        return self._walk(positions, self._forwards)

    def position_of(self, number: int) -> int:
        """Where a number stands."""
        if self._drawn is not None:
            return int(np.flatnonzero(self._drawn == number)[0])
        return int(self._walk(np.array([number]), self._backwards)[0])

    def _walk(self, values: Indices, step: Callable[[Any], Any]) -> Indices:
        walked = step(values.astype(np.uint64))
        while (outside := np.flatnonzero(walked >= self.n)).size:
            walked[outside] = step(walked[outside])
        return walked.astype(np.int64)  # type: ignore[no-any-return]

    def _forwards(self, values: Any) -> Any:
        low, high = values & self._low, values >> self._shift
        for one, other in self._keys:
            low ^= _mixed(high + one) & self._low
            high ^= _mixed(low + other) & self._high
        return high << self._shift | low

    def _backwards(self, values: Any) -> Any:
        low, high = values & self._low, values >> self._shift
        for one, other in reversed(self._keys):
            high ^= _mixed(low + other) & self._high
            low ^= _mixed(high + one) & self._low
        return high << self._shift | low


def _mixed(x: Any) -> Any:
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


@dataclass(frozen=True, kw_only=True)
class Order:
    """The order in which one of several ranks gets rows, batch by batch, in every epoch.

    Args:
        rows: number of rows in all.
        batch_size: rows in a batch; the last batch of an epoch may have fewer.
        shuffle: `"none"`, `"exact"` or `"windowed"`.
        seed: with the epoch, decides every order.
        drop_last: leave out the last batch where it would be smaller.
        block: for `"windowed"`: rows that stand together in the source and are read together.
        window: for `"windowed"`: among so many rows each row moves freely; rounded up to whole blocks.
        rank, world: which share of the rows. Unwindowed, rank r gets positions r, r + world, r + 2 world, ... as from
            `torch.utils.data.DistributedSampler`; windowed, a stretch of its own, so that no two ranks read all blocks.
        uneven: `"pad"` or `"drop"`, where `world` does not divide `rows`.

    Raises:
        ValueError: a number that is out of its range, a word that is none.

    >>> order = Order(rows=10, batch_size=4, shuffle="exact", seed=3)
    >>> [batch.tolist() for batch in order.batches(epoch=0)]
    [[8, 5, 2, 1], [9, 7, 6, 4], [0, 3]]
    """

    rows: int
    batch_size: int
    shuffle: Shuffle = "none"
    seed: int = 0
    drop_last: bool = False
    block: int = 1
    window: int = 1
    rank: int = 0
    world: int = 1
    uneven: Uneven = "pad"

    def __post_init__(self) -> None:
        parse_word(self.shuffle, Shuffle, field="shuffle")
        parse_word(self.uneven, Uneven, field="uneven")
        object.__setattr__(self, "seed", parse_seed(self.seed))
        for field, least in (("rows", 0), ("batch_size", 1), ("block", 1), ("window", 1), ("rank", 0), ("world", 1)):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{field} must be a whole number of at least {least}, got {value!r}")
        if self.rank >= self.world:
            raise ValueError(f"rank must be below world ({self.world}), got {self.rank}")

    @property
    def samples(self) -> int:
        """Rows that this rank gets in an epoch, those of an incomplete batch counted."""
        return self.rows // self.world if self.uneven == "drop" else -(-self.rows // self.world)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.samples // self.batch_size if self.drop_last else -(-self.samples // self.batch_size)

    def settings(self) -> dict[str, Any]:
        """Everything that the order depends on, as plain values."""
        return asdict(self)

    def batches(self, epoch: int, first: int = 0) -> Iterator[Indices]:
        """The rows of each batch of an epoch, int64 `[batch]`, from batch number `first` on."""
        look_up = self._look_up(parse_seed(epoch, field="epoch"))
        step = max(1, _AHEAD // self.batch_size)
        for begin in range(first, len(self), step):
            end = min(begin + step, len(self))
            own = np.arange(begin * self.batch_size, min(end * self.batch_size, self.samples))
            rows = look_up(self._positions(own))
            for start in range(0, len(rows), self.batch_size):
                yield rows[start : start + self.batch_size]

    def _positions(self, own: Indices) -> Indices:
        """Positions in the order of all ranks, of positions in this rank's."""
        if self.world == 1:
            return own
        positions = self.rank * self.samples + own if self.shuffle == "windowed" else own * self.world + self.rank
        return positions % self.rows  # rows that come twice are the first ones

    def _look_up(self, epoch: int) -> Callable[[Indices], Indices]:
        if self.shuffle == "exact":
            return Permutation(self.rows, philox(self.seed, epoch))
        if self.shuffle == "windowed" and self.rows:
            return _Windows(self, epoch)
        return lambda positions: positions


class BatchSampler:
    """An order as a batch sampler for `torch.utils.data.DataLoader`, with a state for `torchdata`'s.

    Each complete pass is the next epoch; `set_epoch` chooses one.

    Args:
        order: which rows, in which batches.
        epoch: of the first pass.

    >>> sampler = BatchSampler(Order(rows=5, batch_size=2))
    >>> list(sampler)
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, order: Order, epoch: int = 0) -> None:
        self.order = order
        self.epoch = parse_seed(epoch, field="epoch")
        self._position = 0
        self._resumes = False

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[list[int]]:
        first = self._position if self._resumes else 0
        self._position, self._resumes = first, False
        for rows in self.order.batches(self.epoch, first):
            self._position += 1
            yield rows.tolist()
        self.epoch, self._position = self.epoch + 1, 0

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` the next pass's; a restored position in the same epoch stays."""
        number = parse_seed(epoch, field="epoch")
        if number != self.epoch:
            self.epoch, self._position, self._resumes = number, 0, False

    def state_dict(self) -> dict[str, Any]:
        """Epoch, batches given out, and what they belong to, as plain values."""
        return {"version": 1, "epoch": self.epoch, "batch": self._position, "of": self.order.settings()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass go on where the state was taken.

        Raises:
            DataError: the state is of another order, or is none.
        """
        self.epoch, self._position = parse_state(state, self.order.settings(), len(self))
        self._resumes = True


def parse_state(state: object, identity: Mapping[str, Any], batches: int) -> tuple[int, int]:
    """Epoch and batch of a position in an order.

    Raises:
        DataError: the state belongs to something else, or is none.
    """
    told = state if isinstance(state, Mapping) else {}
    version, epoch, batch, of = (told.get(name) for name in ("version", "epoch", "batch", "of"))
    if version != 1 or type(epoch) is not int or type(batch) is not int or not isinstance(of, Mapping):
        raise DataError(f"load_state_dict: {str(state)[:100]} is no state of a loader; pass what state_dict() gave")
    differing = [name for name, value in identity.items() if of.get(name) != value]
    if differing:
        both = ", ".join(f"{name}={of.get(name)!r} (here {identity[name]!r})" for name in differing)
        raise DataError(f"load_state_dict: the state was taken with {both}; its position means nothing here")
    if not 0 <= batch <= batches or not 0 <= epoch < 1 << 64:
        raise DataError(f"load_state_dict: batch {batch} of {batches} in epoch {epoch}: the state was changed")
    return epoch, batch


class _Windows:
    """Rows by position under windowed shuffling.

    The blocks stand in a shuffled order; `width` blocks that follow each other are a window, whose rows are shuffled.
    All blocks have the same length but for the source's last one, wherever in the order that has come to stand.
    """

    def __init__(self, order: Order, epoch: int) -> None:
        self._rows, self._block = order.rows, order.block
        count = -(-order.rows // order.block)
        self._blocks = Permutation(count, philox(order.seed, epoch))
        self._lacks = count * order.block - order.rows
        self._short = self._blocks.position_of(count - 1)
        self._width = -(-order.window // order.block)
        self._bits = partial(philox, order.seed, epoch)
        self._latest: tuple[int, Permutation] = (-1, self._blocks)

    def __call__(self, positions: Indices) -> Indices:
        windows = positions // (self._width * self._block)
        windows += positions >= self._start((windows + 1) * self._width)
        rows = np.empty_like(positions)
        for window in np.unique(windows).tolist():
            inside = windows == window
            rows[inside] = self._within(window, positions[inside])
        return rows

    def _start(self, block: Any) -> Any:
        """The position at which the block of that number in the shuffled order begins."""
        return np.minimum(block * self._block - (block > self._short) * self._lacks, self._rows)

    def _within(self, window: int, positions: Indices) -> Indices:
        start, stop = int(self._start(window * self._width)), int(self._start((window + 1) * self._width))
        if self._latest[0] != window:
            self._latest = (window, Permutation(stop - start, self._bits(branch=window + 1)))
        moved = start + self._latest[1](positions - start)
        block = moved // self._block
        block += moved >= self._start(block + 1)
        return self._blocks(block) * self._block + moved - self._start(block)  # type: ignore[no-any-return]
