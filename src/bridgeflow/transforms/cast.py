"""Cast: arrays in another element type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from bridgeflow.policy import parse_word
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms.arithmetic import (
    Dtype,
    OnOverflow,
    Rounding,
    cast_rule,
    caster,
    elementwise,
    elementwise_spec,
)
from bridgeflow.transforms.base import SameKindTransform
from bridgeflow.transforms.registry import register

__all__ = ["Cast"]


@register
@dataclass(frozen=True, kw_only=True)
class Cast(SameKindTransform):
    """Arrays in another element type, kind in = kind out; what does not fit is an error unless you say otherwise.

    Values that fit are converted as `ndarray.astype` and `Tensor.to` do it. Arrays that have the type already stay the
    objects they are.

    Args:
        keys: paths of the arrays to cast; `None` for all.
        dtype: the element type: `"bool"`, `"int8"` to `"int64"`, `"uint8"` to `"uint64"`, `"float16"`, `"bfloat16"`
            (tensors only), `"float32"`, `"float64"`, `"complex64"`, `"complex128"`.
        on_overflow: for values that the type cannot hold (integers out of range, finite floats that would become
            infinite, NaN and infinities as integers): `"raise"`; `"saturate"` for the nearest value that it can hold
            (NaN has none and raises); `"ignore"` for whatever NumPy or torch make of them. The first two look at the
            data, which on a GPU waits for it; `"ignore"` does not, and suits `torch.compile`.
        rounding: for floats that become integers: `"truncate"` towards zero, or `"nearest"`, halves to the even one.

    Raises:
        DataError: values do not fit; says how many and the first.
        NoRoute: complex to real, elements other than numbers, or a type that the kind lacks.

    >>> import numpy as np
    >>> Cast(dtype="int16", on_overflow="saturate")(np.array([1.5, 1e6], "float32"))
    array([    1, 32767], dtype=int16)
    """

    reads_numbers: ClassVar[bool] = True

    pointwise: ClassVar[bool] = True
    reads_only: ClassVar[bool] = True

    dtype: Dtype
    on_overflow: OnOverflow = "raise"
    rounding: Rounding = "truncate"

    def __post_init__(self) -> None:
        parse_word(self.dtype, Dtype, field="Cast: dtype")
        parse_word(self.on_overflow, OnOverflow, field="Cast: on_overflow")
        parse_word(self.rounding, Rounding, field="Cast: rounding")

    def apply(self, x: Any) -> Any:
        """The array with its values in `dtype`."""
        return elementwise(caster(self.dtype, self.on_overflow, self.rounding), x)

    def leaf_function(self) -> Callable[[Any], Any]:
        """The same with its options bound."""
        return partial(elementwise, caster(self.dtype, self.on_overflow, self.rounding))

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same in `dtype`."""
        if self._stays(spec):
            return spec
        cast_rule(spec.dtype, self.dtype)
        return elementwise_spec(spec, lambda _: self.dtype)

    def exchanges(self, spec: ArraySpec) -> tuple[Exchange, ...]:
        """A copy in the new type, or a view where the type is the same."""
        target = self.out_spec(spec)
        if self._stays(spec):
            return (Exchange(source=spec, target=target, action="view", nbytes=0),)
        detail = f"{spec.dtype} to {self.dtype}"
        return (
            Exchange(source=spec, target=target, action="copy", nbytes=target.nbytes, reason="dtype", detail=detail),
        )

    def _stays(self, spec: ArraySpec) -> bool:
        return spec.dtype == self.dtype and spec.kind in ("numpy", "torch") and "byte-order" not in spec.flags
