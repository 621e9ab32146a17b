"""Random numbers that belong to a row: the same whichever batch, thread, process or run the row is in.

Everything random in loading comes from Philox-4x64-10, a counter-based generator whose bits NumPy keeps from version to
version. The key is (seed, epoch); the highest word of the counter is the row, so that every row of every epoch has a
sequence of 2^192 blocks of its own, and the last of these words is kept for the order of rows.

Source: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, overload

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.errors import OutOfContext

__all__ = ["Generators", "generators", "parse_seed", "philox", "seeded"]

_WORD = 1 << 64
_ORDER = _WORD - 1
"""The counter's highest word for everything that is drawn for an order of rows and not for a row."""
_BATCHES = _WORD - 2
"""The same for what is drawn for a batch."""


def parse_seed(value: object, *, field: str = "seed") -> int:
    """A whole number that fits a word of Philox's key.

    Raises:
        ValueError: it is none, is negative, or is 2^64 or more.
    """
    try:
        number = value.__index__() if not isinstance(value, bool) else -1  # type: ignore[attr-defined]
    except (AttributeError, TypeError):
        number = -1
    if not 0 <= number < _WORD:
        raise ValueError(f"{field} must be a whole number from 0 to 2**64 - 1, got {value!r}")
    return int(number)


def philox(
    seed: int, epoch: int, *, row: int | None = None, batch: int | None = None, branch: int = 0
) -> np.random.Philox:
    """The bits that belong to a row or a batch in an epoch, or, without either, to the order of rows; each in branches.

    >>> int(philox(1, 0, row=5).random_raw()) == int(philox(1, 0, row=5).random_raw())
    True
    """
    if batch is not None:
        counter = _words(0, branch, batch, _BATCHES)
    else:
        counter = _words(0, 0, branch, _ORDER if row is None else row)
    return np.random.Philox(_Key(_words(seed, epoch)), counter=counter)  # type: ignore[arg-type]  # NumPy takes any


def _words(*values: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return np.array(values, dtype=np.uint64)


class _Key(np.random.bit_generator.ISeedSequence):
    """A key of Philox in the form of a seed; given as a key, it costs a useless seed from the system beside it."""

    def __init__(self, words: np.ndarray[Any, np.dtype[np.uint64]]) -> None:
        self._words = words

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> Any:
        """The key."""
        return self._words


class Generators(Sequence[np.random.Generator]):
    """One `np.random.Generator` for each sample of the data that is being transformed, made when first asked for.

    Attributes:
        batched: whether the data is a batch (arrays `[len(self), ...]`) or one sample (arrays `[...]`).
        rows: the number of each sample's row.
        used: whether a transform has asked for them.
    """

    def __init__(self, seed: int, epoch: int, rows: Sequence[int], *, batched: bool, branch: int = 0) -> None:
        self.batched = batched
        self._seed = seed
        self._epoch = epoch
        self._branch = branch
        self._branches = branch
        self.rows = rows
        self.used = False
        self._by_row: list[np.random.Generator | None] = [None] * len(rows)
        self._origin: tuple[Generators, Sequence[int]] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, number: int) -> np.random.Generator: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[np.random.Generator]: ...
    def __getitem__(self, number: int | slice) -> np.random.Generator | Sequence[np.random.Generator]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        generator = self._by_row[number]
        if generator is None:
            if self._origin is not None:
                batch, places = self._origin
                generator = batch[places[number]]
            else:
                generator = np.random.Generator(
                    philox(self._seed, self._epoch, row=int(self.rows[number]), branch=self._branch)
                )
            self._by_row[number] = generator
        return generator

    def draw(self, x: Any, function: Callable[[np.random.Generator, tuple[int, ...]], Any]) -> Any:
        """What `function` draws for each sample of `x`, put together so that it fits `x`.

        Args:
            x: the array being transformed: a batch `[len(self), ...]` if `batched`, else one sample.
            function: takes a sample's generator and the sample's shape; returns an array of that number of axes, whose
                lengths may be 1 where it is the same along an axis.

        Returns:
            An ndarray where `x` is one, otherwise a tensor on the device of `x`; dtype as drawn.
        """
        shape = tuple(x.shape)
        if self.batched:
            drawn = np.stack([np.asarray(function(one, shape[1:])) for one in self])
        else:
            drawn = np.asarray(function(self[0], shape))
        torch = loaded("torch")
        if torch is None or not isinstance(x, torch.Tensor):
            return drawn
        return torch.from_numpy(drawn).to(x.device)

    def branch(self) -> Generators:
        """Generators of the same rows with numbers of their own, which do not depend on what has been drawn; the first
        call gives branch 1, the next one branch 2.
        """
        self._branches += 1
        return Generators(self._seed, self._epoch, self.rows, batched=self.batched, branch=self._branches)

    def afresh(self) -> Generators:
        """The same generators, as if nothing had been drawn."""
        return Generators(self._seed, self._epoch, self.rows, batched=self.batched)

    def one(self, number: int) -> Generators:
        """The same generators, of one sample alone; they go on where they are."""
        return self._part([number], batched=False)

    def some(self, numbers: Sequence[int]) -> Generators:
        """The same generators, of a batch of some of the samples; they go on where they are."""
        return self._part(numbers, batched=True)

    def _part(self, numbers: Sequence[int], *, batched: bool) -> Generators:
        part = Generators(self._seed, self._epoch, [self.rows[number] for number in numbers], batched=batched)
        part._origin = (self, numbers)
        return part


_CURRENT: ContextVar[Generators] = ContextVar("bridgeflow_generators")


def generators() -> Generators:
    """The generators of the samples that are being transformed in this thread; to be called within a transform.

    Row i of a dataset gets the same numbers in an epoch whatever batch it is in, in whatever order, by however many
    workers it is loaded, alone or in a batch; other numbers in another epoch, and under another seed.

    Raises:
        OutOfContext: no sample is being loaded. `seeded` stands in for a loader, to try a transform out.

    A transform that adds noise, and may be given a batch as one array because it says so with `core_ndim`:

    >>> from dataclasses import dataclass
    >>> from bridgeflow.transforms import LeafTransform
    >>> @dataclass(frozen=True, kw_only=True)
    ... class AddNoise(LeafTransform):
    ...     sigma: float
    ...     core_ndim = 0
    ...
    ...     def apply(self, x):
    ...         return x + generators().draw(x, lambda rng, shape: rng.normal(0, self.sigma, shape))
    ...
    ...     def out_spec(self, spec):
    ...         return spec.fresh(dtype="float64")
    >>> noisy = AddNoise(sigma=0.1)
    >>> with seeded(0, rows=[7, 8]):
    ...     batch = noisy(np.zeros((2, 3)))
    >>> with seeded(0, rows=8):
    ...     sample = noisy(np.zeros(3))
    >>> bool((batch[1] == sample).all())
    True
    """
    try:
        of_rows = _CURRENT.get()
        of_rows.used = True
        return of_rows
    except LookupError:
        raise OutOfContext(
            "generators(): no sample is being loaded here; within a transform a dataset or loader provides them; "
            "to try the transform out, `with bridgeflow.seeded(seed, rows=[0, 1, 2]):`"
        ) from None


@contextmanager
def seeded(seed: int, *, epoch: int = 0, rows: int | Sequence[int] = 0) -> Iterator[Generators]:
    """Within the block, `generators()` are those of these rows: a batch for a sequence, one sample for a number.

    >>> with seeded(3, rows=5):
    ...     len(generators()), generators().batched
    (1, False)
    """
    key = parse_seed(seed), parse_seed(epoch, field="epoch")
    alone = isinstance(rows, (int, np.integer))
    with current(Generators(*key, [rows] if alone else rows, batched=not alone)) as of_rows:  # type: ignore[list-item, arg-type]
        yield of_rows


@contextmanager
def current(of_rows: Generators) -> Iterator[Generators]:
    """Within the block, `generators()` are these."""
    token = _CURRENT.set(of_rows)
    try:
        yield of_rows
    finally:
        _CURRENT.reset(token)
