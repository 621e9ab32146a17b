"""`Mixture`: several datasets as one, of which an epoch takes shares by weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.errors import DataError
from bridgeflow.pipeline.batches import RaggedRows, Samples, SampleSet, is_flat
from bridgeflow.pipeline.dataset import SignalDataset
from bridgeflow.pipeline.epoch_plans import OrderOptions, RowPlan, Sampler, rounds
from bridgeflow.pipeline.foreign import BatchKey
from bridgeflow.pipeline.row_values import digest_of
from bridgeflow.pipeline.sampling import Indices
from bridgeflow.pipeline.segments import PartialBatch
from bridgeflow.policy import parse_flag, parse_integer
from bridgeflow.randomness import philox

__all__ = ["Mixture"]

_WORD = 1 << 64


class _Part(NamedTuple):
    """The rows of a batch that are of one dataset: its number, their places in the batch, and what is known of them."""

    number: int
    places: Indices
    batch: PartialBatch


class Mixture(Sampler):
    """Datasets of which each epoch takes shares in proportion to weights, each with its own transform.

    A `Loader` takes it in place of a dataset. An epoch has exactly the share of each dataset, to a row, and every
    stretch of it nearly so. The rows of a dataset come in random order, none again before all others of it have come
    as often. Rows are numbered through: those of the first dataset, then those of the second, and so on, which is what
    random numbers belong to.

    Args:
        parts: datasets and their weights, a dict or a list of pairs; weights are above 0 and need not sum to 1. Their
            samples have the same columns.
        num_samples: rows in an epoch, of all ranks together; `None` for as many as all datasets have, or without
            replacement for as many as there can be.
        replacement: `False` lets no row come twice in an epoch.

    Raises:
        TypeError: what is not a `SignalDataset`.
        ValueError: no datasets, weights that are not finite and above 0, datasets with different `ragged`.
        DataError: an empty dataset; without replacement, more rows than there can be.

    >>> from bridgeflow import Loader
    >>> few, many = (SignalDataset({"x": np.arange(n) + n}) for n in (3, 300))
    >>> batch = next(iter(Loader(Mixture([(few, 0.5), (many, 0.5)]), 16)))
    >>> int((batch["x"] < 6).sum())
    8
    """

    def __init__(
        self,
        parts: Mapping[SignalDataset, float] | Sequence[tuple[SignalDataset, float]],
        *,
        num_samples: int | None = None,
        replacement: bool = True,
    ) -> None:
        pairs: list[Any] = list(parts.items()) if isinstance(parts, Mapping) else [tuple(pair) for pair in parts]
        if not pairs or any(len(pair) != 2 for pair in pairs):
            raise ValueError("Mixture: expected datasets and their weights, as a dict or as pairs (dataset, weight)")
        self.datasets: tuple[SignalDataset, ...] = tuple(dataset for dataset, _ in pairs)
        for dataset in self.datasets:
            if not isinstance(dataset, SignalDataset):
                raise TypeError(f"Mixture: needs SignalDatasets, got a {type(dataset).__name__}")
        weights = np.array([weight for _, weight in pairs], np.float64)
        if not all(isfinite(weight) and weight > 0 for weight in weights):
            raise ValueError(f"Mixture: weights must be finite and above 0, got {weights.tolist()}")
        self.weights = tuple((weights / weights.sum()).tolist())
        self.replacement = parse_flag(replacement, field="replacement")
        rules = {dataset.ragged for dataset in self.datasets}
        if len(rules) > 1:
            raise ValueError(f"Mixture: datasets of one batch need one ragged, got {', '.join(sorted(rules))}")
        self.ragged: RaggedRows = self.datasets[0].ragged
        counts = [len(dataset) for dataset in self.datasets]
        if not all(counts):
            raise DataError(f"Mixture: dataset {counts.index(0)} has no rows; leave it out")
        self._first_rows = np.concatenate([[0], np.cumsum(counts)])
        self._counts = counts
        most = self._most()
        if num_samples is not None:
            self.num_samples = parse_integer(num_samples, field="num_samples", least=1)
        else:
            self.num_samples = len(self) if self.replacement else most
        if not self.replacement and self.num_samples > most:
            raise DataError(
                f"Mixture: {self.num_samples:,} rows without replacement, where the weights allow {most:,}; "
                "pass replacement=True, or fewer num_samples"
            )

    def __len__(self) -> int:
        """Rows of all datasets."""
        return int(self._first_rows[-1])

    def __getitem__(self, index: int) -> Any:
        """The sample of one row, counted through all datasets."""
        return self.samples([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Samples:
        """`samples`, for PyTorch's `DataLoader`."""
        return self.samples(indices)

    def samples(self, indices: Iterable[int]) -> Samples:
        """The samples of several rows, counted through all datasets.

        Raises:
            IndexError: there is no such row.
        """
        rows = np.asarray(list(indices))
        if not rows.size or rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise TypeError(f"rows are named by whole numbers, got {rows.tolist()}")
        if rows.min() < -len(self) or rows.max() >= len(self):
            raise IndexError(f"the mixture has {len(self)} rows, got {rows.min()} to {rows.max()}")
        return self._samples(self._finish(self._begin(rows % len(self), as_samples=True)))

    def __repr__(self) -> str:
        shares = ", ".join(f"{weight:.3g}: {one!r}" for one, weight in zip(self.datasets, self.weights, strict=True))
        return f"Mixture({shares})"

    def digest(self) -> str:
        """What tells the rows from others'."""
        return digest_of([dataset.digest() for dataset in self.datasets])

    def plan(self, dataset: Any, options: OrderOptions) -> RowPlan:
        """What an epoch is: the rows of each dataset at even distances, each a little moved."""
        draw = partial(_draw, self._first_rows.tolist(), self._shares(self.num_samples))
        identity = {"name": "Mixture", "weights": list(self.weights), "replacement": self.replacement}
        return RowPlan(self.num_samples, draw, identity, repeats=self.replacement)

    def _shares(self, rows: int) -> list[int]:
        """How many rows are of each dataset: the nearest whole numbers that sum up to all."""
        exact = np.array(self.weights) * rows
        shares = np.floor(exact + 1e-9).astype(np.int64)
        for number in np.argsort(shares - exact, kind="stable")[: rows - int(shares.sum())]:
            shares[number] += 1
        return shares.tolist()  # type: ignore[no-any-return]

    def _most(self) -> int:
        """Rows that there can be without one that comes twice."""
        rows = int(min(count / weight for count, weight in zip(self._counts, self.weights, strict=True)) + 1e-6) + len(
            self._counts
        )
        while rows and any(share > count for share, count in zip(self._shares(rows), self._counts, strict=True)):
            rows -= 1
        return rows

    # --- what a loader asks of a dataset ---

    @property
    def _foreign(self) -> bool:
        return any(dataset._foreign for dataset in self.datasets)

    def _begin(
        self, rows: Indices, *, seed: int | None = None, epoch: int | None = None, as_samples: bool = False
    ) -> list[_Part]:
        of = np.searchsorted(self._first_rows, rows, side="right") - 1
        parts = []
        for number in np.unique(of).tolist():
            places = np.flatnonzero(of == number)
            first = int(self._first_rows[number])
            batch = self.datasets[number]._begin(
                rows[places] - first,
                seed=seed,
                epoch=epoch,
                as_samples=as_samples or self.ragged != "error",
                first=first,
            )
            parts.append(_Part(number, places, batch))
        return parts

    def _finish(self, parts: list[_Part], key: BatchKey | None = None) -> SampleSet:
        count = sum(len(part.places) for part in parts)
        sets = []
        for part in parts:
            own = key and key._replace(seed=(key.seed + part.number * 0x9E3779B97F4A7C15) % _WORD)
            sets.append(self.datasets[part.number]._finish(part.batch, own))
        if len(parts) == 1:
            return sets[0]
        together = _scattered([one.data for one in sets], [part.places for part in parts], count)
        if together is not None:
            return SampleSet(together, count)
        samples: list[Any] = [None] * count
        for part, one in zip(parts, sets, strict=True):
            for place, sample in zip(part.places.tolist(), one.samples, strict=True):
                samples[place] = sample
        return SampleSet(None, count, samples)

    def _samples(self, samples: SampleSet) -> Samples:
        return Samples(samples.count, lambda: samples.samples, lambda: samples.batch(self.ragged))


def _draw(first_rows: list[int], shares: list[int], seed: int, epoch: int) -> Indices:
    """The rows of an epoch, those of each dataset at even distances, each moved by less than one distance."""
    bits = philox(seed, epoch, branch=1)
    rows, places = [], []
    for first, end, share in zip(first_rows[:-1], first_rows[1:], shares, strict=True):
        if share:
            moved = (np.asarray(bits.random_raw(share)) >> np.uint64(11)) * 2.0**-53
            places.append((np.arange(share) + moved) / share)
            rows.append(rounds(np.arange(first, end), share, bits))
    return np.concatenate(rows)[np.argsort(np.concatenate(places), kind="stable")]


def _scattered(batches: Sequence[Any], places: Sequence[Indices], count: int) -> Any | None:
    """Batches with the same columns of tensors of one shape and type as one, each row at its place; else `None`."""
    torch = loaded("torch")
    if torch is None or not all(is_flat(batch) for batch in batches):
        return None
    names = list(batches[0])
    if any(list(batch) != names for batch in batches):
        return None
    together: dict[str, Any] = {}
    for name in names:
        columns = [batch[name] for batch in batches]
        if any(type(column) is not torch.Tensor or column.requires_grad for column in columns):
            return None
        if len({(column.shape[1:], column.dtype, column.device, column.layout) for column in columns}) > 1:
            return None
        together[name] = out = columns[0].new_empty((count, *columns[0].shape[1:]))
        for column, own in zip(columns, places, strict=True):
            out[torch.from_numpy(own).to(column.device)] = column
    return together
