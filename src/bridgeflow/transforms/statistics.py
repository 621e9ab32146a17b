"""Statistics of many rows: levels and scales of a training set, merged without rounding from any parts of it.

Of each row (a sample's signal along time) the number of finite samples, their sum, and their squared distance from the
row's mean are computed in float64, by sums whose order depends on the row's length alone. Over rows these are added
without rounding (`signal.exact_sums`), so that the result does not depend on the order of rows, nor on how they are
spread over batches, threads, processes and ranks. The variance follows from sums as in Chan, Golub and LeVeque (1983),
here with exact numbers: nothing cancels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

import numpy as np

from bridgeflow.errors import DataError
from bridgeflow.signal.exact_sums import ExactSums, exact_square
from bridgeflow.transforms.row_statistics import sum_of
from bridgeflow.transforms.standardize import StandardizeMethod

__all__ = ["Moments", "Part"]

_HELD: Final = 1 << 16
"""Numbers of rows that are held before they are added."""

_AT_ONCE: Final = 1 << 16
"""Numbers that are computed with at once: some arrays of them fit into a cache."""

_VALUES_NBYTES: Final = 2 << 30
"""Bytes of different values that `"robust"` may keep."""

Array = np.ndarray[Any, Any]


class Moments:
    """What is known of the rows of one group, at each of some places (channels).

    Args:
        method: which statistics will be asked for.
        places: how many.
    """

    def __init__(self, method: StandardizeMethod, places: int) -> None:
        self.method = method
        self.places = places
        self.counts = [0] * places
        self.sums = ExactSums(places)
        self.squares = ExactSums(places)
        self.low = np.full(places, np.inf)
        self.high = np.full(places, -np.inf)
        self.values: list[dict[str, Array]] = [{"values": np.zeros(0), "counts": np.zeros(0, np.int64)}] * places
        self._held: list[tuple[Array, ...]] = []

    def add(self, x: Array) -> None:
        """Add rows [n, places, time] of float64; NaN and infinity are left out.

        Raises:
            DataError: numbers too large to be squared; more different values than can be kept.
        """
        if self.method == "robust":
            self._add_values(x, np.isfinite(x))
            return
        rows = max(_AT_ONCE // max(x.shape[1] * x.shape[2], 1), 1)
        for first in range(0, len(x), rows):
            self._add_rows(x[first : first + rows])

    def _add_rows(self, x: Array) -> None:
        finite = np.isfinite(x)
        if self.method in ("min-max", "peak"):
            self.low = np.minimum(self.low, np.where(finite, x, np.inf).min((0, 2), initial=np.inf))
            self.high = np.maximum(self.high, np.where(finite, x, -np.inf).max((0, 2), initial=-np.inf))
            self._held.append((finite.sum(-1),))
        else:
            counts = finite.sum(-1)
            clean = x if finite.all() else np.where(finite, x, 0.0)
            least = np.maximum(counts, 1)
            with np.errstate(over="ignore", invalid="ignore"):
                if self.method == "rms":
                    parts: tuple[Array, ...] = (sum_of(clean * clean),)
                else:
                    totals = sum_of(clean)
                    apart = x - (totals / least)[..., None]
                    apart = apart if clean is x else np.where(finite, apart, 0.0)
                    parts = (totals, sum_of(apart * apart), *_square_by(totals, least))
            if not all(np.isfinite(part).all() for part in parts):
                raise DataError("values are too large to be squared; scale them first")
            self._held.append((counts, *parts))
        if sum(one[0].size for one in self._held) > _HELD:
            self._settle()

    def settled_counts(self) -> list[int]:
        """How many finite numbers each place has had."""
        self._settle()
        return self.counts

    def _settle(self) -> None:
        """Add what is held."""
        if not self._held:
            return
        counts, *parts = (np.concatenate(each) for each in zip(*self._held, strict=True))
        self._held = []
        self.counts = [mine + more for mine, more in zip(self.counts, counts.sum(0).tolist(), strict=True)]
        if self.method == "z-score":
            self.sums.add(parts[0])
            parts = parts[1:]
        for part in parts:
            self.squares.add(part)

    def _add_values(self, x: Array, finite: Array) -> None:
        after = []
        for place in range(self.places):
            values, counts = np.unique(x[:, place][finite[:, place]], return_counts=True)
            after.append(_merged([self.values[place], {"values": values + 0.0, "counts": counts.astype(np.int64)}]))
            self.counts[place] += int(counts.sum())
        self.values = after
        size = sum(16 * len(one["values"]) for one in after)
        if size > _VALUES_NBYTES:
            raise DataError(
                f"robust statistics keep every different value, {size:,} bytes so far, and {_VALUES_NBYTES:,} are "
                "allowed; take fewer rows, or another method"
            )

    def merge(self, other: Moments) -> None:
        """Add the rows of another part."""
        self._settle()
        other._settle()
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sums.merge(other.sums)
        self.squares.merge(other.squares)
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        self.values = [_merged(list(pair)) for pair in zip(self.values, other.values, strict=True)]

    def level_and_scale(self) -> tuple[list[float], list[float]]:
        """The level and the scale of each place.

        Raises:
            DataError: a place without a finite number.
        """
        self._settle()
        if not all(self.counts):
            raise DataError(f"channel {self.counts.index(0)} has no finite number in all the data")
        pairs = [self._of_place(place) for place in range(self.places)]
        return [float(level) for level, _ in pairs], [float(scale) for _, scale in pairs]

    def _of_place(self, place: int) -> tuple[float, float]:
        count = self.counts[place]
        if self.method == "z-score":
            total = self.sums[place]
            return float(total / count), math.sqrt(
                max((self.squares[place] - total * total / count) / count, Fraction(0))
            )
        if self.method == "rms":
            return 0.0, math.sqrt(self.squares[place] / count)
        low, high = self.low[place], self.high[place]
        if self.method == "min-max":
            return low, high - low
        if self.method == "peak":
            return 0.0, max(abs(low), abs(high))
        lower, middle, upper = (_quantile(self.values[place], part) for part in (0.25, 0.5, 0.75))
        return middle, upper - lower

    # --- as plain values ---

    def to_plain(self) -> dict[str, Any]:
        """Everything as values that JSON can hold; sums as hexadecimal text."""
        self._settle()
        return {
            "counts": self.counts,
            "sums": [hex(unit) for unit in self.sums.units],
            "squares": [hex(unit) for unit in self.squares.units],
            "low": [value.hex() for value in self.low.tolist()],
            "high": [value.hex() for value in self.high.tolist()],
            "values": [
                {"values": [value.hex() for value in one["values"].tolist()], "counts": one["counts"].tolist()}
                for one in self.values
            ],
        }

    @classmethod
    def from_plain(cls, method: StandardizeMethod, plain: Mapping[str, Any]) -> Moments:
        """What `to_plain` wrote."""
        moments = cls(method, len(plain["counts"]))
        moments.counts = [int(count) for count in plain["counts"]]
        moments.sums = ExactSums(moments.places, [int(unit, 16) for unit in plain["sums"]])
        moments.squares = ExactSums(moments.places, [int(unit, 16) for unit in plain["squares"]])
        moments.low = np.array([float.fromhex(value) for value in plain["low"]])
        moments.high = np.array([float.fromhex(value) for value in plain["high"]])
        moments.values = [
            {
                "values": np.array([float.fromhex(value) for value in one["values"]], np.float64),
                "counts": np.array(one["counts"], np.int64),
            }
            for one in plain["values"]
        ]
        return moments


class Part:
    """What is known of some rows, group by group.

    Args:
        method, per: of what will be fitted.

    Attributes:
        shape: of a sample but for time; `None` before the first row.
        groups: by the label of the group; one `None` where there are no groups.
    """

    def __init__(self, method: StandardizeMethod, per: str) -> None:
        self.method = method
        self.per = per
        self.shape: tuple[int, ...] | None = None
        self.groups: dict[Any, Moments] = {}

    def add(self, x: Array, labels: Iterable[Any]) -> None:
        """Add samples [n, ..., time] of float64, each of the group of its label.

        Raises:
            DataError: samples of another shape, but for time.
        """
        shape = () if self.per == "all" else tuple(x.shape[1:-1])
        if self.shape is None:
            self.shape = shape
        if shape != self.shape:
            raise DataError(
                f"FitStandardize: samples of shape {list(shape)}, but for time, after others of {list(self.shape)}; "
                "pick the same channels, or per='all'"
            )
        by_label: dict[Any, list[int]] = {}
        for row, label in enumerate(labels):
            by_label.setdefault(label, []).append(row)
        for label, rows in by_label.items():
            some = x if len(by_label) == 1 else x[rows]
            some = some.reshape(-1, 1, x.shape[-1]) if self.per == "all" else some.reshape(len(rows), -1, x.shape[-1])
            if label not in self.groups:
                self.groups[label] = Moments(self.method, some.shape[1])
            self.groups[label].add(some)

    def merge(self, other: Part) -> None:
        """Add the rows of another part.

        Raises:
            DataError: it is of another method, scope or shape.
        """
        mine, theirs = (self.method, self.per), (other.method, other.per)
        if mine != theirs or (None not in (self.shape, other.shape) and self.shape != other.shape):
            raise DataError(
                f"statistics that were fitted alike are merged, got {[*mine, self.shape]} and {[*theirs, other.shape]}"
            )
        self.shape = self.shape if other.shape is None else other.shape
        for label, moments in other.groups.items():
            if label not in self.groups:
                self.groups[label] = Moments(self.method, moments.places)
            self.groups[label].merge(moments)


def _square_by(totals: Array, counts: Array) -> tuple[Array, Array]:
    """`totals**2 / counts` as the sum of two numbers, to twice the precision of one."""
    upper, lower = exact_square(totals)
    quotient = upper / counts
    back_upper = quotient * counts  # counts are small whole numbers: the product's error is found as that of a square
    rest = (upper - back_upper) - _product_error(quotient, counts.astype(np.float64), back_upper)
    return quotient, (rest + lower) / counts


def _product_error(a: Array, b: Array, product: Array) -> Array:
    """`a * b - product`, without rounding (Dekker 1971)."""
    a_spread, b_spread = 134217729.0 * a, 134217729.0 * b
    a_high, b_high = a_spread - (a_spread - a), b_spread - (b_spread - b)
    a_low, b_low = a - a_high, b - b_high
    error: Array = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return error


def _merged(parts: list[dict[str, Array]]) -> dict[str, Array]:
    values, places = np.unique(np.concatenate([one["values"] for one in parts]), return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, places, np.concatenate([one["counts"] for one in parts]))
    return {"values": values, "counts": counts}


def _quantile(one: dict[str, Array], part: float) -> float:
    """A quantile of values with counts, linear between neighbours, as `numpy.quantile` gives it."""
    ends = np.cumsum(one["counts"])
    place = (int(ends[-1]) - 1) * part
    below = math.floor(place)
    low, high = (
        float(one["values"][np.searchsorted(ends, n, side="right")]) for n in (below, min(below + 1, int(ends[-1]) - 1))
    )
    return low + (high - low) * (place - below)
