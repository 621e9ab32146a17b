"""ToNumpy: arrays of any kind to NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from bridgeflow.bridge import to_numpy
from bridgeflow.bridge.rules import Target
from bridgeflow.policy import Bfloat16, Copy, Grad, Layout, Nulls, Ragged
from bridgeflow.ranges import Fill
from bridgeflow.transforms.crossing import CrossingTransform
from bridgeflow.transforms.registry import register

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ToNumpy"]

_Result: TypeAlias = "np.ndarray[Any, Any]"


@register
@dataclass(frozen=True, kw_only=True)
class ToNumpy(CrossingTransform[_Result]):
    """Arrays as ndarrays: views of the same memory wherever that can be, dtypes kept.

    Args:
        keys: paths of the arrays to convert; `None` for all.
        copy: `"auto"` copies only when needed, `"never"` shares or raises, `"always"` gives memory of its own.
        grad: `"detach"` a tensor that requires grad, or `"error"`.
        bfloat16: what bfloat16 and float8 become: `"float32"`, `"ml_dtypes"`, `"uint16"` (the bits) or `"error"`.
        nulls: what Arrow nulls become: `"error"`, `"nan"`, a number to fill in, or `"mask"`, which adds a boolean array
            `<key>_mask` beside each Arrow array (True where null), whether or not there are nulls in it.
        ragged: what Arrow lists of unequal length become: `"error"`, `"list"`, or `"pad"`, which adds `<key>_length`.
        pad_value: what `ragged="pad"` fills with.
        layout: axis order of PIL images, `"HWC"` or `"CHW"`; required for them, without effect on others.
        writable: `None` leaves memory as it is, `True` copies what is read-only, `False` marks results read-only.

    Raises:
        CopyRefused: `copy="never"`, and the memory of an array cannot be shared.
        NoRoute: NumPy has nothing that says the same.
        DataError: there is no dict around an array for `<key>_mask` or `<key>_length` to stand in. An array that is all
            of the data comes back as `Masked(values, mask)` or `Padded(values, lengths)`.

    >>> import torch
    >>> ToNumpy()({"ecg": torch.arange(3.0, requires_grad=True), "label": "N"})
    {'ecg': array([0., 1., 2.], dtype=float32), 'label': 'N'}
    """

    target: ClassVar[Target] = "numpy"
    convert = staticmethod(to_numpy)

    copy: Copy = "auto"
    grad: Grad = "detach"
    bfloat16: Bfloat16 = "float32"
    nulls: Nulls | Fill = "error"
    ragged: Ragged = "error"
    pad_value: Fill = 0.0
    layout: Layout | None = None
    writable: bool | None = None
