"""Parts and folds of recordings that share no group."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence, Sized
from math import isfinite
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bridgeflow.errors import DataError, listed, quoted
from bridgeflow.policy import parse_integer

__all__ = ["Splitter", "folds", "leave_one_group_out", "parts"]

Indices = np.ndarray


class Labelled(Sized, Protocol):
    """What is split: `Recordings`."""

    @property
    def ids(self) -> list[str]: ...
    def labels(self, name: str) -> list[Any]: ...


@runtime_checkable
class Splitter(Protocol):
    """What scikit-learn's splitters have in common."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Any, Any]]:
        """Pairs of positions: for training, for the test."""


def parts(
    recordings: Labelled, fractions: Sequence[float], *, by: str | None, stratify: str | None, seed: int
) -> list[Indices]:
    """The positions of each part, in the order of the recordings; see `Recordings.split`."""
    shares = [float(fraction) for fraction in fractions]
    if len(shares) < 2 or not all(isfinite(one) and one > 0 for one in shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"fractions: expected two or more above 0 that sum to 1, got {tuple(fractions)}")
    return _assigned(recordings, np.array(shares), by=by, stratify=stratify, seed=seed)


def folds(
    recordings: Labelled, k: int | Splitter, *, by: str | None, stratify: str | None, seed: int
) -> list[tuple[Indices, Indices]]:
    """The positions of each pair; see `Recordings.folds`."""
    if isinstance(k, Splitter):
        groups = None if by is None else _values(recordings, by)
        classes = None if stratify is None else _values(recordings, stratify)
        pairs = [(np.asarray(train), np.asarray(test)) for train, test in k.split(recordings.ids, classes, groups)]
        for train, test in pairs:
            _require_disjoint(recordings, by, train, test)
        return pairs
    count = parse_integer(k, field="k", least=2)
    tests = _assigned(recordings, np.full(count, 1 / count), by=by, stratify=stratify, seed=seed)
    return [(_others(len(recordings), test), test) for test in tests]


def leave_one_group_out(recordings: Labelled, by: str) -> list[tuple[Indices, Indices]]:
    """The positions of each pair; see `Recordings.leave_one_group_out`."""
    values = _values(recordings, by)
    distinct = list(dict.fromkeys(values))
    if len(distinct) < 2:
        raise DataError(f"label {quoted(by)} has {len(distinct)} values; leaving one out needs two or more")
    try:
        distinct.sort()
    except TypeError:  # of several types
        distinct.sort(key=lambda value: (type(value).__name__, str(value)))
    tests = [np.flatnonzero([one == value for one in values]) for value in distinct]
    return [(_others(len(recordings), test), test) for test in tests]


def _values(recordings: Labelled, label: str) -> list[Any]:
    values = recordings.labels(label)
    lacking = [id for id, value in zip(recordings.ids, values, strict=True) if value is None]
    if lacking:
        raise DataError(f"recordings without the label {quoted(label)}: {listed(lacking)}; filter them out")
    if not all(isinstance(value, Hashable) for value in values):
        raise DataError(f"label {quoted(label)}: expected text or numbers, got lists; use another label")
    return values


def _require_disjoint(recordings: Labelled, by: str | None, train: Indices, test: Indices) -> None:
    """Refuse a pair of parts that share a recording or a group."""
    values = recordings.ids if by is None else _values(recordings, by)
    shared = sorted({str(values[n]) for n in train} & {str(values[n]) for n in test})
    if shared:
        what = "recordings" if by is None else f"values of {quoted(by)}"
        raise DataError(f"{what} in training and test both: {listed(shared)}; use a splitter of groups")


def _others(count: int, positions: Indices) -> Indices:
    return np.setdiff1d(np.arange(count), positions)


def _assigned(
    recordings: Labelled, shares: np.ndarray, *, by: str | None, stratify: str | None, seed: int
) -> list[Indices]:
    """Groups assigned to parts one by one, the largest first, each to the part that then comes closest to its share of
    every class; equally large ones in an order that the seed draws.
    """
    groups = list(range(len(recordings))) if by is None else _values(recordings, by)
    classes = [0] * len(recordings) if stratify is None else _values(recordings, stratify)
    group_numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    class_numbers = {one: number for number, one in enumerate(dict.fromkeys(classes))}
    if len(group_numbers) < len(shares):
        what = "recordings" if by is None else f"values of {quoted(by)}"
        raise DataError(f"{len(group_numbers)} {what} cannot make {len(shares)} parts; ask for fewer")
    counts = np.zeros((len(group_numbers), len(class_numbers)))
    for group, one in zip(groups, classes, strict=True):
        counts[group_numbers[group], class_numbers[one]] += 1
    drawn = np.random.Philox(key=parse_integer(seed, field="seed", least=0) % 2**64).random_raw(len(counts))
    order = np.lexsort((drawn, -counts.sum(axis=1)))
    targets = shares[:, np.newaxis] * counts.sum(axis=0)
    counted = np.zeros_like(targets)
    members: list[list[int]] = [[] for _ in shares]
    for place, group in enumerate(order):
        empty = [part for part, one in enumerate(members) if not one]
        candidates = empty if len(order) - place <= len(empty) else range(len(shares))
        lacking = targets - counted
        size = counts[group].sum()
        gain = [float(counts[group] @ lacking[part] + 0.5 * size * lacking[part].sum()) for part in candidates]
        part = candidates[int(np.argmax(gain))]
        members[part].append(int(group))
        counted[part] += counts[group]
    numbers = np.array([group_numbers[group] for group in groups])
    return [np.flatnonzero(np.isin(numbers, one)) for one in members]
