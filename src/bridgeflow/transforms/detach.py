"""Detach: tensors out of their graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from bridgeflow.bridge import kind_of
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms.base import SameKindTransform
from bridgeflow.transforms.registry import register

__all__ = ["Detach"]


@register
@dataclass(frozen=True, kw_only=True)
class Detach(SameKindTransform):
    """Tensors without their graph, as views of the same memory; arrays of other kinds have none and stay as they are.

    Args:
        keys: paths of the arrays to detach; `None` for all.

    >>> import torch
    >>> Detach()({"logits": torch.ones(2, requires_grad=True)})
    {'logits': tensor([1., 1.])}
    """

    pointwise: ClassVar[bool] = True
    reads_only: ClassVar[bool] = True

    def apply(self, x: Any) -> Any:
        """The array without a graph."""
        return x.detach() if kind_of(x) == "torch" else x

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """The same without the `grad` flag."""
        return replace(spec, flags=spec.flags - {"grad"})

    def exchanges(self, spec: ArraySpec) -> tuple[Exchange, ...]:
        """A view."""
        return (Exchange(source=spec, target=self.out_spec(spec), action="view", nbytes=0),)
