"""`Balanced`, `Weighted`, `PerGroup`: rows drawn by their labels, weights or groups."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bridgeflow.errors import DataError, quoted
from bridgeflow.pipeline.epoch_plans import OrderOptions, RowPlan, Sampler, rounds
from bridgeflow.pipeline.row_values import Groups, digest_of, groups_of, row_weights
from bridgeflow.pipeline.sampling import Indices
from bridgeflow.policy import parse_flag, parse_integer
from bridgeflow.randomness import philox

if TYPE_CHECKING:
    from bridgeflow.pipeline.dataset import SignalDataset

__all__ = ["Balanced", "PerGroup", "Weighted"]

_BRANCH: Final = 1
"""What samplers draw comes from another branch than the order of a loader without one."""


class Balanced(Sampler):
    """As many rows of each class: any k rows one after the other have one of each of the k classes.

    A batch whose size is a multiple of k has exactly as many of each; so has every rank.

    Args:
        by: the column of labels, read without running the transform (a column of stored rows; of windows of recordings
            `"recording"`, a column of their table, `"event"`, or the name of `EventLabels`); or an array with a label
            for each row.
        replacement: `True` lets rows of the smaller classes come again, each as often as any other of its class, give
            or take one; `False` takes as many of each class as the smallest has, others in each epoch, and no row
            twice.
        num_samples: rows in an epoch, of all ranks together; `None` for as many as the dataset has, or without
            replacement for all that there can be.

    Raises:
        KeyNotFound, DataError: (when a loader is made) no such column; a row without a label; without replacement, more
            rows than there can be.

    >>> from bridgeflow import Loader, SignalDataset
    >>> dataset = SignalDataset({"x": np.arange(9), "label": np.array([0, 0, 0, 0, 0, 0, 1, 1, 1])})
    >>> loader = Loader(dataset, 4, sampler=Balanced(by="label", replacement=False))
    >>> [batch["label"].tolist() for batch in loader]
    [[0, 1, 1, 0], [1, 0]]
    """

    def __init__(self, by: Any = "label", *, replacement: bool = True, num_samples: int | None = None) -> None:
        self.by = by
        self.replacement = parse_flag(replacement, field="replacement")
        self.num_samples = _parse_samples(num_samples)

    def __repr__(self) -> str:
        return f"Balanced({_shown(self.by)}, replacement={self.replacement}, num_samples={self.num_samples})"

    def plan(self, dataset: SignalDataset, options: OrderOptions) -> RowPlan:
        """What an epoch is: cycles with a row of each class, in a random order of classes."""
        groups = groups_of(dataset, self.by, what="Balanced")
        classes = len(groups.values)
        most = int(groups.counts.min()) * classes if classes else 0
        count = (len(dataset) if self.replacement else most) if self.num_samples is None else self.num_samples
        if not classes:
            count = 0
        if count > most and not self.replacement:
            raise DataError(
                f"Balanced: {count:,} rows without replacement, where the smallest of {classes} classes "
                f"({quoted(groups.values[int(groups.counts.argmin())])}) allows {most:,}; pass replacement=True"
            )
        draw = partial(_draw_balanced, _members(groups), count)
        identity = {"name": "Balanced", "replacement": self.replacement, "labels": _digest(groups)}
        return RowPlan(count, draw, identity, unit=max(classes, 1), repeats=self.replacement)


class Weighted(Sampler):
    """Rows drawn with a probability in proportion to their weights.

    Args:
        weights: a column of weights, read without running the transform, or an array with one for each row; finite and
            not negative. Rows of weight 0 never come.
        replacement: `True` draws each row independently of all others, as `torch.utils.data.WeightedRandomSampler`
            does; `False` draws one after the other from those that are left, so that no row comes twice.
        num_samples: rows in an epoch, of all ranks together; `None` for as many as the dataset has, or without
            replacement for all whose weight is not 0.

    Raises:
        KeyNotFound, DataError: (when a loader is made) no such column; weights that are negative, infinite or NaN;
            without replacement, more rows than have a weight.

    Source: P. Efraimidis, P. Spirakis, Information Processing Letters 97(5):181-185, 2006 (without replacement).

    >>> from bridgeflow import Loader, SignalDataset
    >>> loader = Loader(SignalDataset({"x": np.arange(4)}), 8, sampler=Weighted([0, 0, 1, 1], num_samples=8))
    >>> sorted(set(next(iter(loader))["x"].tolist()))
    [2, 3]
    """

    def __init__(self, weights: Any, *, replacement: bool = True, num_samples: int | None = None) -> None:
        self.weights = weights
        self.replacement = parse_flag(replacement, field="replacement")
        self.num_samples = _parse_samples(num_samples)

    def __repr__(self) -> str:
        return f"Weighted({_shown(self.weights)}, replacement={self.replacement}, num_samples={self.num_samples})"

    def plan(self, dataset: SignalDataset, options: OrderOptions) -> RowPlan:
        """What an epoch is."""
        weights = row_weights(dataset, self.weights, what="Weighted")
        eligible = np.flatnonzero(weights)
        most = len(eligible)
        count = (len(dataset) if self.replacement else most) if self.num_samples is None else self.num_samples
        if count > most and not self.replacement:
            raise DataError(
                f"Weighted: {count:,} rows without replacement, where {most:,} have a weight above 0; "
                "pass replacement=True, or fewer num_samples"
            )
        draw = partial(_draw_weighted, weights, count, self.replacement)
        identity = {"name": "Weighted", "replacement": self.replacement, "weights": digest_of(weights)}
        return RowPlan(count, draw, identity, repeats=self.replacement)


class PerGroup(Sampler):
    """In each epoch k rows of each group, others in each epoch: k windows of each recording, k rows of each subject.

    Args:
        k: rows of each group.
        by: the column of groups, or an array with a group for each row; see `Balanced`.
        replacement: what a group with fewer than k rows gives: `False` all it has, `True` rows that come again.
        together: `True` lets the k rows of a group stand next to each other, as losses that compare them want: a batch
            whose size is a multiple of k has whole groups. `False` shuffles all rows.

    Raises:
        KeyNotFound, DataError: (when a loader is made) no such column; a row without a group; `together` without
            replacement, where a group has fewer than k rows.

    >>> from bridgeflow import Loader, SignalDataset
    >>> dataset = SignalDataset({"x": np.arange(6), "subject": np.array([0, 0, 0, 0, 1, 1])})
    >>> batch = next(iter(Loader(dataset, 4, sampler=PerGroup(2, by="subject", together=True))))
    >>> batch["subject"].tolist()
    [1, 1, 0, 0]
    """

    def __init__(self, k: int, *, by: Any = "recording", replacement: bool = False, together: bool = False) -> None:
        self.k = parse_integer(k, field="k", least=1)
        self.by = by
        self.replacement = parse_flag(replacement, field="replacement")
        self.together = parse_flag(together, field="together")

    def __repr__(self) -> str:
        return f"PerGroup({self.k}, by={_shown(self.by)}, replacement={self.replacement}, together={self.together})"

    def plan(self, dataset: SignalDataset, options: OrderOptions) -> RowPlan:
        """What an epoch is."""
        groups = groups_of(dataset, self.by, what="PerGroup")
        k, counts = self.k, groups.counts
        shares = np.full(len(counts), k) if self.replacement else np.minimum(counts, k)
        if self.together and len(counts) and shares.min() < k:
            smallest = int(counts.argmin())
            raise DataError(
                f"PerGroup: group {quoted(groups.values[smallest])} has {counts[smallest]} rows, and {k} stand "
                "together; pass replacement=True, or a smaller k"
            )
        count = int(shares.sum())
        draw = partial(_draw_groups, groups.codes, shares, k, self.together)
        identity = {
            "name": "PerGroup",
            "k": k,
            "replacement": self.replacement,
            "together": self.together,
            "groups": _digest(groups),
        }
        repeats = self.replacement and bool(len(counts)) and bool(counts.min() < k)
        return RowPlan(count, draw, identity, unit=k if self.together else 1, repeats=repeats)


def _draw_balanced(members: list[Indices], count: int, seed: int, epoch: int) -> Indices:
    """Cycles with one row of each class, in a random order of classes."""
    if not count:
        return np.zeros(0, np.int64)
    bits = philox(seed, epoch, branch=_BRANCH)
    classes = len(members)
    cycles = -(-count // classes)
    order = np.argsort(np.asarray(bits.random_raw(cycles * classes)).reshape(cycles, classes), axis=1, kind="stable")
    rows = np.stack([rounds(own, cycles, bits) for own in members])
    return np.asarray(rows[order, np.arange(cycles)[:, np.newaxis]].ravel()[:count])


def _draw_weighted(weights: Any, count: int, replacement: bool, seed: int, epoch: int) -> Indices:
    """Rows drawn by their weights."""
    bits = philox(seed, epoch, branch=_BRANCH)
    eligible = np.flatnonzero(weights)
    if not count:
        return eligible[:0]
    if replacement:
        until = np.cumsum(weights[eligible])
        places = np.searchsorted(until, _uniform(bits, count) * until[-1], side="right")
        return np.asarray(eligible[np.minimum(places, len(eligible) - 1)])
    waits: Any = -np.log1p(-_uniform(bits, len(eligible))) / weights[eligible]  # exponential; the shortest comes first
    return np.asarray(eligible[np.argsort(waits, kind="stable")[:count]])


def _draw_groups(codes: Indices, shares: Indices, k: int, together: bool, seed: int, epoch: int) -> Indices:
    """The share of each group; rows of a group that has fewer come again, after all of them have come."""
    bits = philox(seed, epoch, branch=_BRANCH)
    rows, of = _firsts(codes, k, bits)
    left = shares - np.bincount(of, minlength=len(shares))
    while left.any():
        again, whose = _firsts(np.where(left[codes] > 0, codes, -1), k, bits)
        keep = _place_in_group(whose) < left[whose]
        rows, of = np.concatenate([rows, again[keep]]), np.concatenate([of, whose[keep]])
        left = shares - np.bincount(of, minlength=len(shares))
    if not together:
        return rows[np.argsort(np.asarray(bits.random_raw(len(rows))), kind="stable")]
    places = np.argsort(np.argsort(np.asarray(bits.random_raw(len(shares))), kind="stable"))
    return np.asarray(rows[np.argsort(places[of], kind="stable")])


def _firsts(codes: Indices, k: int, bits: np.random.Philox) -> tuple[Indices, Indices]:
    """Up to k rows of each group in a random order, groups one after the other, and the groups they are of; rows of
    group -1 are left out.
    """
    words = np.asarray(bits.random_raw(len(codes)))
    order = np.lexsort((words, codes))
    order = order[codes[order] >= 0]
    first = _place_in_group(codes[order]) < k
    return order[first], codes[order][first]


def _place_in_group(codes: Indices) -> Indices:
    """How many of the same group stand before each, where groups stand one after the other."""
    if not len(codes):
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(codes)]]))
    return np.arange(len(codes)) - np.repeat(starts, lengths)


def _members(groups: Groups) -> list[Indices]:
    """The rows of each group."""
    order = np.argsort(groups.codes, kind="stable")
    return np.split(order, np.cumsum(groups.counts)[:-1]) if len(groups.values) else []


def _uniform(bits: np.random.Philox, count: int) -> Any:
    """Numbers from 0 up to 1, float64."""
    words: Any = np.asarray(bits.random_raw(count), dtype=np.uint64)
    return (words >> np.uint64(11)) * 2.0**-53


def _digest(groups: Groups) -> str:
    return digest_of(groups.codes, [str(value) for value in groups.values])


def _parse_samples(value: int | None) -> int | None:
    return None if value is None else parse_integer(value, field="num_samples", least=1)


def _shown(by: Any) -> str:
    return repr(by) if isinstance(by, str) else f"<{type(by).__name__}>"
