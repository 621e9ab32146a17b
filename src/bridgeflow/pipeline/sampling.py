"""Which row comes when: an order of rows for each epoch, cut into batches, shared out among ranks.

An order is a function of (seed, epoch) and of what it is asked for. It is worked out piece by piece where it is needed,
so that the first batch of a billion rows costs what the first of a thousand does, a position is one small number, and
nothing depends on how many workers there are.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from threading import RLock
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from bridgeflow.errors import DataError
from bridgeflow.policy import parse_flag, parse_integer, parse_word
from bridgeflow.randomness import parse_seed, philox

__all__ = ["Indices", "Order", "PassPosition", "Passes", "Permutation", "Shuffle", "Uneven", "parse_state", "state_of"]

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
    network over the bits of a position, 16 half rounds keyed by the generator's words, repeated until it is below n;
    the round function is the finaliser of SplitMix64.

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
        window: for `"windowed"`: how many rows each row moves freely among; rounded up to whole blocks.
        rank, world_size: which share of the rows. Unwindowed, rank r gets positions r, r + world_size,
            r + 2 world_size, ... as from `torch.utils.data.DistributedSampler`; windowed, a stretch of its own, so that
            no two ranks read all blocks.
        uneven: `"pad"` or `"drop"`, where `world_size` does not divide `rows`.

    Raises:
        ConfigError: a number out of its range, an unknown option.

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
    world_size: int = 1
    uneven: Uneven = "pad"

    def __post_init__(self) -> None:
        parse_word(self.shuffle, Shuffle, field="shuffle")
        parse_word(self.uneven, Uneven, field="uneven")
        object.__setattr__(self, "seed", parse_seed(self.seed))
        object.__setattr__(self, "drop_last", parse_flag(self.drop_last, field="drop_last"))
        for field, least in (
            ("rows", 0),
            ("batch_size", 1),
            ("block", 1),
            ("window", 1),
            ("rank", 0),
            ("world_size", 1),
        ):
            object.__setattr__(self, field, parse_integer(getattr(self, field), field=field, least=least))
        if self.rank >= self.world_size:
            raise ValueError(f"rank must be below world_size ({self.world_size}), got {self.rank}")

    @property
    def rows_in_batches(self) -> int:
        """Rows in all batches of an epoch."""
        return len(self) * self.batch_size if self.drop_last else self.samples

    def batch_of(self, row: int) -> tuple[int, int]:
        """The batch that the row of this number in an epoch is in, and its place there."""
        return divmod(row, self.batch_size)

    @property
    def samples(self) -> int:
        """Rows that this rank gets in an epoch, those of an incomplete batch counted."""
        return self.rows // self.world_size if self.uneven == "drop" else -(-self.rows // self.world_size)

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
        if self.world_size == 1:
            return own
        positions = self.rank * self.samples + own if self.shuffle == "windowed" else own * self.world_size + self.rank
        return positions % self.rows  # rows that come twice are the first ones

    def _look_up(self, epoch: int) -> Callable[[Indices], Indices]:
        if self.shuffle == "exact":
            return Permutation(self.rows, philox(self.seed, epoch))
        if self.shuffle == "windowed" and self.rows:
            return _Windows(self, epoch)
        return lambda positions: positions


class Passes:
    """Which epoch the next pass over an order is, and how far the latest pass has come.

    Each pass is the epoch after the latest one's. Where a position has been set since, the next pass begins there, and
    so does a pass that was made before and has given nothing yet. Only the latest pass moves the position.

    Args:
        length: items in a pass.
        epoch: of the first pass.

    >>> passes = Passes(3)
    >>> first = passes.enter()
    >>> first.start(), first.advance(), passes.position
    ((0, 0), None, (0, 1))
    >>> passes.enter().start()
    (1, 0)
    """

    def __init__(self, length: int, epoch: int = 0) -> None:
        self._length = length
        self._next: tuple[int, int] | None = (epoch, 0)
        self._claimed = epoch
        self._position = (epoch, 0)
        self._latest: weakref.ref[PassPosition] | None = None
        self._lock = RLock()

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and items given out, of the latest pass or as set since; never a finished epoch."""
        return self._position

    def set(self, epoch: int, number: int = 0) -> None:
        """Let the next pass begin there."""
        with self._lock:
            self._next = self._position = self._normal(epoch, number)

    def set_epoch(self, epoch: int) -> None:
        """Let the next pass be of this epoch: at its beginning, or where a position that waits in it was set.

        A position also waits in a pass that was made and has given nothing yet: frameworks call `iter` first.
        """
        with self._lock:
            latest = None if self._latest is None else self._latest()
            if self._next is None and latest is not None and not latest.started:
                self._next = latest.epoch, latest.number
            if self._next is None or self._next[0] != epoch:
                self.set(epoch)

    def enter(self, where: tuple[int, int] | None = None) -> PassPosition:
        """Another pass, which is the latest from now on: it begins at `where`, if that is given."""
        with self._lock:
            if where is not None:
                self._next = where
            position = PassPosition(self, *self._claim())
            self._latest = weakref.ref(position)
            return position

    def _claim(self) -> tuple[int, int]:
        where = (self._claimed + 1, 0) if self._next is None else self._next
        self._next, self._position, self._claimed = None, where, where[0]
        return where

    def _normal(self, epoch: int, number: int) -> tuple[int, int]:
        return (epoch + 1, 0) if number >= self._length > 0 else (epoch, number)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_latest": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=RLock())


class PassPosition:
    """One pass over an order: its epoch, the number of the item that comes next, and whether one was asked for."""

    def __init__(self, passes: Passes, epoch: int, number: int) -> None:
        self._passes = passes
        self.epoch, self.number = epoch, number
        self.started = False

    def start(self) -> tuple[int, int]:
        """Where the pass begins, decided when its first item is asked for."""
        passes = self._passes
        self.started = True
        with passes._lock:
            if self._is_latest() and passes._next is not None:
                self.epoch, self.number = passes._claim()
        return self.epoch, self.number

    def advance(self) -> None:
        """One more item has been given out."""
        self.number += 1
        with self._passes._lock:
            if self._is_latest():
                self._passes._position = self._passes._normal(self.epoch, self.number)

    def end(self) -> None:
        """There are no more items."""
        with self._passes._lock:
            if self._is_latest() and self._passes._next is None:
                self._passes._position = (self.epoch + 1, 0)

    def _is_latest(self) -> bool:
        return self._passes._latest is not None and self._passes._latest() is self


def state_of(passes: Passes, identity: Mapping[str, Any], *, unit: str = "batch") -> dict[str, Any]:
    """The position of passes as plain values: epoch, items given out, and what they belong to."""
    epoch, number = passes.position
    return {"version": 1, "epoch": epoch, unit: number, "of": dict(identity)}


def parse_state(state: object, identity: Mapping[str, Any], length: int, *, unit: str = "batch") -> tuple[int, int]:
    """Epoch and number of items given out, of a position in an order of `length` items.

    Raises:
        DataError: the state belongs to something else, or is not a state.
    """
    saved = state if isinstance(state, Mapping) else {}
    version, epoch, batch, of = (saved.get(name) for name in ("version", "epoch", unit, "of"))
    if version != 1 or type(epoch) is not int or type(batch) is not int or not isinstance(of, Mapping):
        raise DataError(f"load_state_dict: {str(state)[:100]} is not a state of a loader; pass what state_dict() gave")
    differing = [name for name, value in identity.items() if of.get(name) != value]
    if differing:
        both = ", ".join(f"{name}={of.get(name)!r} (here {identity[name]!r})" for name in differing)
        raise DataError(f"load_state_dict: the state was taken with {both}; its position means nothing here")
    if not 0 <= batch <= length or not 0 <= epoch < 1 << 64:
        raise DataError(f"load_state_dict: {unit} {batch} of {length} in epoch {epoch}: the state was changed")
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
