"""Transforms along time that say what NaN and infinity do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, get_type_hints

import numpy as np

from bridgeflow.bridge import kind_of, like, to_numpy
from bridgeflow.errors import BridgeflowError, ConfigError, name_error, naming
from bridgeflow.policy import RecursiveGaps, words
from bridgeflow.ranges import Natural
from bridgeflow.signal import gaps
from bridgeflow.signal._chunks import as_marked, kind_mark
from bridgeflow.signal._input import Prepared, can_read_values, prepare
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.along_time import TimeTransform
from bridgeflow.transforms.reach import Reach

__all__ = ["GapTransform"]

Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class GapTransform(TimeTransform):
    """A transform along time with a policy for samples that are not finite.

    Args:
        nonfinite: what NaN and infinity do. `"raise"`: an error that names the row and the first such sample;
            `"propagate"`: they go through, as in SciPy; `"interpolate"`: gaps of at most `max_gap` samples are filled
            on the line between their neighbours (at an end of the recording, with the one neighbour), longer ones
            raise. Where torch traces (`torch.compile`, `torch.func`), values cannot be looked at, and `"raise"` lets
            them through.
        max_gap: for `"interpolate"`, samples of the longest gap to fill; a stream lags by as many samples more.
        keep_gaps: for `"interpolate"`, whether the result is NaN again where it stands for samples that were filled.
    """

    nonfinite: RecursiveGaps = "raise"
    max_gap: Natural | None = None
    keep_gaps: bool = False

    def check_shared_fields(self) -> None:
        """`keys`, `axis`, and the fields about gaps."""
        super().check_shared_fields()
        with naming(type(self).__name__):
            gaps.check_gap_policy(self.nonfinite, self.max_gap, self.keep_gaps, _words_of(type(self)))
        if self.max_gap is not None:
            object.__setattr__(self, "max_gap", int(self.max_gap))

    def require_places(self) -> None:
        """Refuse `keep_gaps` where results do not stand for places in time.

        Raises:
            ConfigError: it is asked for.
        """
        if self.keep_gaps:
            raise ConfigError(
                f"{type(self).__name__}: keep_gaps=True needs a result along time; leave it out", field="keep_gaps"
            )

    def sources(self, first: int, count: int) -> tuple[Array, Array]:
        """Which samples `[start, end)` of the input each of these places of the result stands for, from `first` on."""
        places = np.arange(first, first + count)
        return places, places + 1

    @property
    def guards(self) -> bool:
        """Whether the data are looked at before the transform; not where it says itself what NaN does."""
        return self.nonfinite in {"raise", "interpolate"}

    @property
    def reach(self) -> Reach | None:
        """That of the transform; filled gaps may have begun before any bound."""
        return None if self.nonfinite == "interpolate" else super().reach

    @property
    def latency(self) -> int:
        """By how many samples the output of a stream lags behind its input, at most."""
        return super().latency + (self.max_gap or 0)

    def whole(self, x: Any) -> Any:
        """Rows [..., time], looked at first."""
        if not self.guards:
            return self.transform_rows(x)
        if type(x) is np.ndarray and x.ndim and x.dtype.isnative and gaps.all_finite(x):
            return self.transform_rows(x)
        rows = self._read(x)
        if not self._can_read(rows.values) or gaps.all_finite(rows.values):
            return self.transform_rows(x)
        with naming(type(self).__name__):
            if self.nonfinite == "raise":
                raise gaps.refuse_nonfinite(rows.values, allowed=self._allowed)
            values, filled = gaps.fill_gaps(rows.values, self.max_gap or 0)
        y = self.transform_rows(rows.restore(values))
        if not self.keep_gaps or filled is None:
            return y
        return gaps.mark_gaps(y, filled, *self.sources(0, _length(y)))

    def begun(self, spec: ArraySpec) -> Any:
        """The state before the first chunk.

        Returns:
            inner: that of the transform; alone, where nothing is looked at.
            position: int64 [], samples so far.
            gaps, kind, filled, first, outputs: for `"interpolate"`: of `signal.gaps.step_gaps`; kind and dtype of the
                chunks; bool [..., n], which samples were filled, from sample `first` on; places given so far.
        """
        inner = self.rows_state(spec)
        if not self.guards:
            return inner
        state = {"inner": inner, "position": np.zeros((), np.int64)}
        if self.nonfinite == "interpolate":
            rows = tuple(0 if n is None else n for n in spec.shape[:-1])
            state |= {
                "gaps": {},
                "kind": kind_mark(spec),
                "filled": np.zeros((*rows, 0), bool),
                "first": np.zeros((), np.int64),
                "outputs": np.zeros((), np.int64),
            }
        return state

    def advanced(self, x: Any, state: Any) -> tuple[Any, Any]:
        """One chunk, looked at first."""
        if not self.guards:
            return self.step_rows(x, state)
        rows = self._read(x)
        samples = int(rows.values.shape[-1])
        if not _is_inexact(rows.values):
            y, inner = self.step_rows(x, state["inner"])
            return y, {**state, "inner": inner, "position": state["position"] + samples}
        if self.nonfinite == "interpolate":
            self._can_read(rows.values)
            with naming(type(self).__name__):
                done, after = gaps.step_gaps(rows.values, state["gaps"], self.max_gap or 0)
            y, inner = self.step_rows(rows.restore(done.values), state["inner"])
            y, marks = self._marked(y, done.filled, int(done.values.shape[-1]), state)
            return y, {**state, **marks, "inner": inner, "gaps": after, "position": state["position"] + samples}
        if self._can_read(rows.values) and not gaps.all_finite(rows.values):
            position = int(state["position"])
            error = gaps.refuse_nonfinite(rows.values, allowed=self._allowed, position=position)
            raise name_error(error, type(self).__name__)
        y, inner = self.step_rows(x, state["inner"])
        return y, {"inner": inner, "position": state["position"] + samples}

    def ended(self, state: Any) -> Any | None:
        """What was held back: first the samples, then what the transform makes of them."""
        if self.nonfinite != "interpolate":
            return self.flush_rows(state["inner"] if self.guards else state)
        with naming(type(self).__name__):
            done = gaps.end_gaps(state["gaps"], self.max_gap or 0)
        parts, inner = [], state["inner"]
        if done is not None:
            chunk = as_marked(done.values, state["kind"], same_dtype=True)
            y, inner = self.step_rows(chunk, inner)
            y, marks = self._marked(y, done.filled, int(done.values.shape[-1]), state)
            parts, state = [y], {**state, **marks}
        last = self.flush_rows(inner)
        if last is not None:
            parts.append(self._marked(last, None, 0, state)[0])
        return _joined(parts)

    def _marked(self, y: Any, filled: Array | None, samples: int, state: Any) -> tuple[Any, dict[str, Any]]:
        """A piece of the result, NaN where gaps are kept; and what the state knows of gaps afterwards."""
        if not self.keep_gaps:
            return y, {}
        first, outputs, marks = int(state["first"]), int(state["outputs"]), state["filled"]
        more = np.zeros((*marks.shape[:-1], samples), bool) if filled is None else filled
        marks = np.concatenate([marks, more], axis=-1)
        count = _length(y)
        starts, ends = self.sources(outputs, count)
        if count and marks.any():
            y = gaps.mark_gaps(y, marks, starts - first, ends - first)
        oldest = max(int(self.sources(outputs + count, 1)[0][0]) - first, 0)
        return y, {
            "filled": marks[..., oldest:].copy(),
            "first": np.asarray(first + min(oldest, marks.shape[-1]), np.int64),
            "outputs": np.asarray(outputs + count, np.int64),
        }

    def _read(self, x: Any) -> Prepared:
        """Rows to look at."""
        try:
            return prepare(x, strided=True)
        except BridgeflowError as error:
            name_error(error, type(self).__name__)
            raise

    def _can_read(self, x: Any) -> bool:
        if can_read_values(x):
            return True
        if self.nonfinite == "interpolate" and not getattr(x, "is_meta", False):
            raise ConfigError(
                f"{type(self).__name__}: nonfinite='interpolate' looks at values, which torch.compile, torch.export "
                "and torch.func do not allow; fill the gaps before, or choose nonfinite='propagate'"
            )
        return False

    @property
    def _allowed(self) -> tuple[str, ...]:
        return words(_words_of(type(self)))


@cache
def _words_of(cls: type) -> object:
    """The `Literal` of what `nonfinite` may be for a class of transforms."""
    return get_type_hints(cls)["nonfinite"]


def _is_inexact(x: Any) -> bool:
    """Whether an ndarray or tensor has a type that can hold NaN."""
    return bool(x.dtype.kind in "fc" if isinstance(x, np.ndarray) else x.is_floating_point() or x.is_complex())


def _length(y: Any) -> int:
    return int(y.shape[-1]) if hasattr(y, "shape") else int(to_numpy(y).shape[-1])


def _joined(parts: list[Any]) -> Any | None:
    """Pieces of a result, one after the other."""
    parts = [part for part in parts if _length(part)] or parts[:1]
    if len(parts) < 2:
        return parts[0] if parts else None
    if kind_of(parts[0]) == "torch":
        import torch

        return torch.cat(parts, dim=-1)
    together = np.concatenate([to_numpy(part) for part in parts], axis=-1)
    return together if isinstance(parts[0], np.ndarray) else like(together, parts[0])
