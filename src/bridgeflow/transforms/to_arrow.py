"""ToArrow: arrays of any kind to Arrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from bridgeflow.bridge import to_arrow
from bridgeflow.bridge.rules import Target
from bridgeflow.policy import Copy, Grad, Layout
from bridgeflow.transforms.crossing import CrossingTransform
from bridgeflow.transforms.registry import register

__all__ = ["ToArrow"]


@register
@dataclass(frozen=True, kw_only=True)
class ToArrow(CrossingTransform[Any]):
    """Arrays as Arrow arrays over the same memory wherever that can be.

    One axis becomes a primitive array, `[B, ...]` a `FixedShapeTensorArray` of B rows, a 0-d value a scalar. Arrow
    takes its data to be immutable: what is written to the source afterwards is seen through it.

    Args:
        keys: paths of the arrays to convert; `None` for all.
        copy: `"auto"` copies only when needed, `"never"` shares or raises, `"always"` gives memory of its own.
        grad: `"detach"` a tensor that requires grad, or `"error"`.
        layout: axis order of PIL images, `"HWC"` or `"CHW"`; required for them, without effect on others.

    Raises:
        CopyRefused: `copy="never"`, and the memory of an array cannot be shared.
        NoRoute: Arrow has nothing that both sides read alike.

    >>> import numpy as np
    >>> ToArrow()({"ecg": np.arange(3.0)})["ecg"].type
    DataType(double)
    """

    target: ClassVar[Target] = "arrow"
    convert = staticmethod(to_arrow)

    copy: Copy = "auto"
    grad: Grad = "detach"
    layout: Layout | None = None
