"""Clone: arrays in memory of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from bridgeflow.bridge import describe, kind_of, to_arrow
from bridgeflow.bridge.tracing import ACTIVE, record
from bridgeflow.errors import NoRoute
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms.base import SameKindTransform
from bridgeflow.transforms.registry import register

__all__ = ["Clone"]


@register
@dataclass(frozen=True, kw_only=True)
class Clone(SameKindTransform):
    """Arrays in memory of their own: same kind, writable (except Arrow's), and editing them leaves the source alone.

    Tensors keep their graph, as `Tensor.clone()` does; `Detach` cuts it. NumPy subclasses (masked arrays) stay
    themselves.

    Args:
        keys: paths of the arrays to clone; `None` for all.

    Raises:
        NoRoute: a foreign array (DLPack, Arrow capsules): only its own library can clone it.

    >>> import numpy as np
    >>> x = np.zeros(3)
    >>> y = Clone()(x)
    >>> y[0] = 1
    >>> x
    array([0., 0., 0.])
    """

    pointwise: ClassVar[bool] = True
    reads_only: ClassVar[bool] = True

    def apply(self, x: Any) -> Any:
        """The clone."""
        kind = kind_of(x)
        if kind == "arrow":
            return to_arrow(x, copy="always")
        if kind not in ("numpy", "torch", "pil"):
            raise _foreign(kind)
        if ACTIVE:
            record(self.exchanges(describe(x))[0])
        return x.clone() if kind == "torch" else x.copy()

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same in new memory."""
        if spec.kind in ("dlpack", "capsule"):
            raise _foreign(spec.kind)
        return replace(spec, strides=None, writable=spec.kind != "arrow")

    def exchanges(self, spec: ArraySpec) -> tuple[Exchange, ...]:
        """A copy, because it was asked for."""
        target = self.out_spec(spec)
        nbytes = target.expected_nbytes() if spec.layout == "strided" else spec.nbytes
        return (Exchange(source=spec, target=target, action="copy", nbytes=nbytes, reason="asked", detail="Clone"),)


def _foreign(kind: str | None) -> NoRoute:
    return NoRoute(
        "unknown", f"values of kind {kind} can be cloned by their own library alone", "put ToNumpy before Clone"
    )
