"""Standardize: signals brought to a common level and scale, each window or recording by its own statistics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.errors import DataError
from bridgeflow.policy import parse_word
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.along_time import TimeTransform
from bridgeflow.transforms.arithmetic import affine_dtype, elementwise, elementwise_spec
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.row_statistics import Pieces, extremes_of, mean_over, quantiles, square

__all__ = ["Scope", "Standardize", "StandardizeMethod"]

StandardizeMethod: TypeAlias = Literal["z-score", "robust", "min-max", "peak", "rms"]
"""Which level is taken off and which scale divides: mean and standard deviation, median and interquartile range,
minimum and range, or zero and the largest absolute value, or zero and the root mean square."""

Scope: TypeAlias = Literal["channel", "all"]
"""What shares its statistics: each channel by itself, or all of a sample."""


@register
@dataclass(frozen=True, kw_only=True)
class Standardize(TimeTransform):
    """Take a level off signals and divide them by a scale, both of the same window, or of the same recording.

    Args:
        method: `"z-score"`: mean and standard deviation (of the population); `"robust"`: median and interquartile
            range; `"min-max"`: minimum and range, for values from 0 to 1; `"peak"`: zero and the largest absolute
            value; `"rms"`: zero and the root mean square.
        per: `"channel"`, statistics for each channel (every axis but time); `"all"`, for the whole sample, which a
            loader then transforms by itself and not in a batch.
        keys: which arrays; `None` for the only one.
        axis: of time.

    The statistics are those of what it is given: of a window after `Window`; of the whole recording before it. In a
    dataset of recordings that is the stretch between two gaps, as the stages before leave it, whose statistics are
    computed once, in passes that hold a piece of it at a time (`"robust"` holds it whole for a moment).

    Arrays [..., time] of real numbers of any kind; kind, device, shape and dtype stay (integers and booleans become
    float32, wide ones float64). NaN and infinity are left out of the statistics, and stay. What is constant has the
    scale 0 and becomes 0 (as it is, by `"peak"` and `"rms"`, where it is 0 anyway). Gradients flow, also through the
    statistics. It does not stream: the statistics are those of the whole.

    Raises:
        ConfigError: a word that is not one.
        DataError: complex numbers.

    >>> Standardize(method="min-max")(np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]))
    array([[0. , 0.5, 1. ],
           [0. , 0. , 0. ]])
    """

    method: StandardizeMethod = "z-score"
    per: Scope = "channel"

    def __post_init__(self) -> None:
        parse_word(self.method, StandardizeMethod, field="Standardize: method")
        parse_word(self.per, Scope, field="Standardize: per")

    @property
    def core_ndim(self) -> int | None:
        """Time; `None` where the whole sample shares its statistics."""
        return super().core_ndim if self.per == "channel" else None

    def core_axes(self, ndim: int) -> frozenset[int] | None:
        """Time, or all axes."""
        return super().core_axes(ndim) if self.per == "channel" else None

    @property
    def stream_obstacle(self) -> str:
        """The statistics are those of the whole."""
        return "Standardize divides by statistics of the whole recording; cut it into windows first"

    def transform_rows(self, x: Any) -> Any:
        """The signals at their new level and scale."""
        return elementwise(self._of_values, x)

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same shape in new memory; integers and booleans as floats."""
        return elementwise_spec(spec, lambda inside: _float_dtype(inside.dtype))

    summarizes = True

    def settled(self, pieces: Pieces) -> Callable[[Any], Any]:
        """What it does to pieces of a recording, by the statistics of all of them."""
        level, scale = self._statistics(lambda: (_values(piece)[0] for piece in pieces()))
        return lambda piece: _returned(_moved(_values(piece)[0], level, scale), piece)

    def _of_values(self, x: Any) -> Any:
        values, fresh = _values(x)
        if 0 not in values.shape:
            level, scale = self._statistics(lambda: (values,))
            values = _moved(values, level, scale)
        elif not fresh:
            values = np.array(values) if isinstance(values, np.ndarray) else values.clone()
        return _returned(values, x)

    def _statistics(self, pieces: Pieces) -> tuple[Any, Any]:
        """The level, `None` for zero, and the scale of rows, or of all of them together."""
        together = self.per == "all"
        if self.method == "rms":
            return None, _root(mean_over(pieces, square, together=together))
        if self.method == "robust":
            whole = _whole(pieces)
            lower, middle, upper = quantiles(whole.reshape(-1) if together else whole, (0.25, 0.5, 0.75))
            return middle, upper - lower
        if self.method == "z-score":
            mean = mean_over(pieces, together=together)
            return mean, _root(mean_over(pieces, lambda x: square(x - mean), together=together))
        low, high = extremes_of(pieces, together=together)
        if self.method == "min-max":
            return low, high - low
        xp: Any = np if isinstance(low, np.ndarray) else loaded("torch")
        return None, xp.maximum(abs(low), abs(high))


def _values(x: Any) -> tuple[Any, bool]:
    """The numbers in the type that is computed with, and whether they are new memory."""
    name = str(x.dtype.name) if isinstance(x, np.ndarray) else str(x.dtype).removeprefix("torch.")
    result = _float_dtype(name)
    work = "float32" if result in ("float16", "bfloat16") else result
    if isinstance(x, np.ndarray):
        values: Any = np.asarray(x).astype(work, order="C", copy=False)
    else:
        values = x.to(getattr(loaded("torch"), work))
    return values, values is not x and name != work


def _returned(values: Any, x: Any) -> Any:
    """Numbers in the type that the result has."""
    if isinstance(x, np.ndarray):
        return values.astype(_float_dtype(str(x.dtype.name)), copy=False)
    return values.to(getattr(loaded("torch"), _float_dtype(str(x.dtype).removeprefix("torch."))))


def _moved(x: Any, level: Any, scale: Any) -> Any:
    return (x if level is None else x - level) / (scale + (scale == 0))


def _whole(pieces: Pieces) -> Any:
    parts = list(pieces())
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts, axis=-1) if isinstance(parts[0], np.ndarray) else loaded("torch").cat(parts, dim=-1)  # type: ignore[union-attr]


def _root(x: Any) -> Any:
    """The square root, with the gradient 0 at 0."""
    safe = x + (x == 0)
    return (np.sqrt(safe) if isinstance(x, np.ndarray) else safe.sqrt()) * (x > 0)


def _float_dtype(dtype: str) -> str:
    result = affine_dtype(dtype, None)
    if result.startswith("complex"):
        raise DataError("Standardize: expected real numbers, got complex ones; take their size, or parts, first")
    return result
