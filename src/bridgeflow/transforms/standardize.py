"""Standardize: signals brought to a common level and scale, each window by its own statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.errors import DataError
from bridgeflow.policy import parse_word
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.along_time import TimeTransform
from bridgeflow.transforms.arithmetic import affine_dtype, elementwise, made_of
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.row_statistics import extremes, mean_of, peak, power, quantiles

__all__ = ["Scope", "Standardize", "StandardizeMethod"]

StandardizeMethod: TypeAlias = Literal["z-score", "robust", "min-max", "peak", "rms"]
"""Which level is taken off and which scale divides: mean and standard deviation, median and interquartile range,
minimum and range, or zero and the largest absolute value, or zero and the root mean square."""

Scope: TypeAlias = Literal["channel", "all"]
"""What shares its statistics: each channel by itself, or all of a sample."""


@register
@dataclass(frozen=True, kw_only=True)
class Standardize(TimeTransform):
    """Take a level off signals and divide them by a scale, both of the same window.

    Args:
        method: `"z-score"`: mean and standard deviation (of the population); `"robust"`: median and interquartile
            range; `"min-max"`: minimum and range, for values from 0 to 1; `"peak"`: zero and the largest absolute
            value; `"rms"`: zero and the root mean square.
        per: `"channel"`, statistics for each channel (every axis but time); `"all"`, for the whole sample, which a
            loader then transforms by itself and not in a batch.
        keys: which arrays; `None` for the only one.
        axis: of time.

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
        return made_of(spec, lambda inside: _float_dtype(inside.dtype))

    def _of_values(self, x: Any) -> Any:
        is_numpy = isinstance(x, np.ndarray)
        result = _float_dtype(str(x.dtype.name) if is_numpy else str(x.dtype).removeprefix("torch."))
        work = "float32" if result in ("float16", "bfloat16") else result
        torch: Any = loaded("torch")
        values: Any = np.array(x, dtype=work, order="C") if is_numpy else x.to(getattr(torch, work))
        if 0 not in values.shape:
            rows = values if self.per == "channel" else values.reshape(-1)
            values = self._standardized(rows).reshape(values.shape)
        elif not is_numpy:
            values = values.clone()
        return values.astype(result, copy=False) if is_numpy else values.to(getattr(torch, result))

    def _standardized(self, x: Any) -> Any:
        if self.method in ("peak", "rms"):
            scale = peak(x) if self.method == "peak" else _root(power(x))
        elif self.method == "min-max":
            low, high = extremes(x)
            x, scale = x - low, high - low
        elif self.method == "robust":
            lower, middle, upper = quantiles(x, (0.25, 0.5, 0.75))
            x, scale = x - middle, upper - lower
        else:
            x = x - mean_of(x)
            scale = _root(power(x))
        return x / (scale + (scale == 0))


def _root(x: Any) -> Any:
    """The square root, with the gradient 0 at 0."""
    safe = x + (x == 0)
    return (np.sqrt(safe) if isinstance(x, np.ndarray) else safe.sqrt()) * (x > 0)


def _float_dtype(dtype: str) -> str:
    result = affine_dtype(dtype, None)
    if result.startswith("complex"):
        raise DataError("Standardize: expected real numbers, got complex ones; take their size, or parts, first")
    return result
