"""Parts and folds of recordings that share no group and no file."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence, Sized
from math import isfinite
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from bridgeflow.errors import DataError, listed, nearest, quoted
from bridgeflow.policy import parse_integer
from bridgeflow.recordings.scan import read_table

__all__ = [
    "Splitter",
    "as_fold_table",
    "call_text",
    "fold_names",
    "folds",
    "leave_one_group_out",
    "parse_fractions",
    "part_names",
    "parts",
]

Indices = np.ndarray


def part_names(count: int) -> list[str]:
    """The names of the parts of a split."""
    return [f"part {number + 1} of {count}" for number in range(count)]


def fold_names(count: int) -> list[tuple[str, str]]:
    """The names of the training and test parts of folds."""
    return [tuple(f"{role} part of fold {n + 1} of {count}" for role in ("training", "test")) for n in range(count)]  # type: ignore[misc]


def as_fold_table(k: Any) -> pa.Table | None:
    """The table of folds that a path, a table or a dict of columns is; `None` for a number or a splitter."""
    if isinstance(k, (str, os.PathLike, Mapping, pa.Table)):
        return read_table(k, None)[0]
    return None


def call_text(name: str, what: Any, **options: Any) -> str:
    """A call as text, with the options that were chosen."""
    shown_options = "".join(f", {key}={value!r}" for key, value in options.items() if value is not None)
    text = repr(os.fspath(what)) if isinstance(what, os.PathLike) else repr(what)
    if isinstance(what, (Mapping, pa.Table)):
        text = "table"
    return f"{name}({text if len(text) < 200 else type(what).__name__}{shown_options})"


class Labelled(Sized, Protocol):
    """What is split: `Recordings`."""

    @property
    def ids(self) -> list[str]: ...
    @property
    def sources(self) -> list[Hashable]: ...
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
    shares = parse_fractions(fractions)
    members = _assigned(recordings, np.array(shares), by=by, stratify=stratify, seed=seed)
    _require_files_apart(recordings, members)
    return members


def parse_fractions(fractions: Sequence[float]) -> list[float]:
    """The shares of parts.

    Raises:
        ValueError: fewer than two, one that is not above 0, or another sum than 1.
    """
    shares = [float(fraction) for fraction in fractions]
    if len(shares) < 2 or not all(isfinite(one) and one > 0 for one in shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"fractions: expected two or more above 0 that sum to 1, got {tuple(fractions)}")
    return shares


def folds(
    recordings: Labelled, k: int | Splitter | pa.Table, *, by: str | None, stratify: str | None, seed: int
) -> list[tuple[Indices, Indices]]:
    """The positions of each pair; see `Recordings.folds`."""
    if isinstance(k, pa.Table):
        return _folds_of_table(recordings, k, by)
    if isinstance(k, Splitter):
        groups = None if by is None else _values(recordings, by)
        classes = None if stratify is None else _values(recordings, stratify)
        pairs = [(np.asarray(train), np.asarray(test)) for train, test in k.split(recordings.ids, classes, groups)]
        for train, test in pairs:
            _require_disjoint(recordings, by, train, test)
            _require_files_apart(recordings, [train, test])
        return pairs
    count = parse_integer(k, field="k", least=2)
    tests = _assigned(recordings, np.full(count, 1 / count), by=by, stratify=stratify, seed=seed)
    _require_files_apart(recordings, tests)
    return [(_others(len(recordings), test), test) for test in tests]


def _folds_of_table(recordings: Labelled, table: pa.Table, by: str | None) -> list[tuple[Indices, Indices]]:
    """Each value of the column `fold` is the test part once, in sorted order."""
    for name in ("id", "fold"):
        if name not in table.column_names:
            raise DataError(f"table of folds: no column {quoted(name)}; {nearest(name, table.column_names)}")
    fold_of: dict[str, Any] = {}
    for id, fold in zip(table["id"].to_pylist(), table["fold"].to_pylist(), strict=True):
        if fold is None or fold_of.setdefault(str(id), fold) != fold:
            problem = "has no fold" if fold is None else f"is in the folds {fold_of[str(id)]!r} and {fold!r}"
            raise DataError(f"table of folds: {quoted(str(id))} {problem}; give each recording one")
    if lacking := [id for id in recordings.ids if id not in fold_of]:
        raise DataError(f"table of folds: no row for {listed(lacking)}; add them, or filter them out")
    values = [fold_of[id] for id in recordings.ids]
    tests = [np.flatnonzero([one == value for one in values]) for value in _distinct(values)]
    if len(tests) < 2:
        raise DataError(f"table of folds: {len(tests)} folds for these recordings, and two or more are needed")
    for test in tests:
        _require_disjoint(recordings, by, _others(len(recordings), test), test)
    _require_files_apart(recordings, tests)
    return [(_others(len(recordings), test), test) for test in tests]


def leave_one_group_out(recordings: Labelled, by: str) -> list[tuple[Indices, Indices]]:
    """The positions of each pair; see `Recordings.leave_one_group_out`."""
    values = _values(recordings, by)
    distinct = _distinct(values)
    if len(distinct) < 2:
        raise DataError(f"label {quoted(by)} has {len(distinct)} values; leaving one out needs two or more")
    tests = [np.flatnonzero([one == value for one in values]) for value in distinct]
    _require_files_apart(recordings, tests)
    return [(_others(len(recordings), test), test) for test in tests]


def _distinct(values: Sequence[Any]) -> list[Any]:
    """The different values, sorted."""
    distinct = list(dict.fromkeys(values))
    try:
        distinct.sort()
    except TypeError:  # of several types
        distinct.sort(key=lambda value: (type(value).__name__, str(value)))
    return distinct


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


def _require_files_apart(recordings: Labelled, members: Sequence[Indices]) -> None:
    """Refuse parts among which two have the samples of one file."""
    sources = recordings.sources
    part_of: dict[Hashable, tuple[int, int]] = {}
    for part, positions in enumerate(members):
        for position in positions.tolist():
            other, first = part_of.setdefault(sources[position], (part, position))
            if other != part:
                both = listed([recordings.ids[first], recordings.ids[position]])
                raise DataError(f"recordings of one file in several parts: {both}; give them one value of a label `by`")


def _others(count: int, positions: Indices) -> Indices:
    return np.setdiff1d(np.arange(count), positions)


def _assigned(
    recordings: Labelled, shares: np.ndarray, *, by: str | None, stratify: str | None, seed: int
) -> list[Indices]:
    """Groups assigned to parts one by one, the largest first, each to the part that then comes closest to its share of
    every class; equally large ones in an order that the seed draws.
    """
    groups = list(recordings.sources) if by is None else _values(recordings, by)
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
