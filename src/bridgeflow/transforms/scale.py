"""Scale: counts to units."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

from bridgeflow.bridge import kind_of
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.policy import parse_word
from bridgeflow.ranges import Finite
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms.arithmetic import FloatDtype, affine, affine_dtype, elementwise, elementwise_spec
from bridgeflow.transforms.base import SameKindTransform
from bridgeflow.transforms.registry import register

__all__ = ["Scale"]


@register
@dataclass(frozen=True, kw_only=True)
class Scale(SameKindTransform):
    """`scale * x + offset` for every sample: counts of a converter to physical units, kind in = kind out.

    The same meaning as `scale_factor` and `add_offset` in NetCDF, slope and intercept in DICOM, and `scale=`, `offset=`
    of `SignalFilter`. A header that gives gain (counts per unit) and the count of zero, as PhysioNet's do, says
    `(x - zero) / gain`: pass `scale=1 / gain, offset=-zero / gain`.

    Args:
        keys: paths of the arrays to scale; `None` for all.
        scale: units per count; finite.
        offset: units at count 0; finite.
        dtype: of the result: `"float16"`, `"bfloat16"` (tensors only), `"float32"`, `"float64"`. `None` keeps float and
            complex types, makes float32 of integers of up to 16 bits (which it holds exactly) and float64 of wider
            ones.
        inplace: write the result over the input, which must be a writable ndarray or tensor of float32, float64 or
            complex numbers, and keep its dtype.

    Raises:
        NoRoute: elements other than numbers.
        DataError: `inplace=True` for other memory; a result beyond the range of a 16-bit float.

    >>> import numpy as np
    >>> counts = np.array([1024, 1224], "uint16")
    >>> Scale(scale=1 / 200, offset=-1024 / 200)({"ecg": counts})  # millivolt
    {'ecg': array([0., 1.], dtype=float32)}
    """

    reads_numbers: ClassVar[bool] = True

    pointwise: ClassVar[bool] = True

    scale: Finite = 1.0
    offset: Finite = 0.0
    dtype: FloatDtype | None = None
    inplace: bool = False

    @property
    def reads_only(self) -> bool:
        """Unless `inplace`."""
        return not self.inplace

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ConfigError(f"Scale: {name} must be a finite number, got {value!r}", field=name)
        if self.dtype is not None:
            parse_word(self.dtype, FloatDtype, field="Scale: dtype")

    def apply(self, x: Any) -> Any:
        """The array in units."""
        if self.inplace and kind_of(x) not in ("numpy", "torch"):
            raise DataError(f"inplace=True, but memory of kind {kind_of(x)} is not ours to write; leave inplace=False")
        return elementwise(self._work, x)

    @cached_property
    def _work(self) -> Callable[[Any], Any]:
        return partial(affine, scale=self.scale, offset=self.offset, dtype=self.dtype, inplace=self.inplace)

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same shape in the float type."""
        return elementwise_spec(spec, lambda inside: affine_dtype(inside.dtype, self.dtype))

    def exchanges(self, spec: ArraySpec) -> tuple[Exchange, ...]:
        """A copy in units; a view where the result is written over the input."""
        target = self.out_spec(spec)
        if self.inplace:
            return (Exchange(source=spec, target=target, action="view", nbytes=0, detail="written over the input"),)
        return (Exchange(source=spec, target=target, action="copy", nbytes=target.nbytes, detail="new values"),)
