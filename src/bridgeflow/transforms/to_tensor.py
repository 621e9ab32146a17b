"""ToTensor: arrays of any kind to torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from bridgeflow.bridge import to_tensor
from bridgeflow.bridge.rules import Target
from bridgeflow.policy import Copy, Layout, Nulls, Ragged
from bridgeflow.ranges import Fill
from bridgeflow.transforms.crossing import CrossingTransform
from bridgeflow.transforms.registry import register

if TYPE_CHECKING:
    import torch

__all__ = ["ToTensor"]

_Result: TypeAlias = "torch.Tensor"


@register
@dataclass(frozen=True, kw_only=True)
class ToTensor(CrossingTransform[_Result]):
    """Arrays as tensors: views of the same memory wherever that can be, dtypes kept, values never rescaled.

    torchvision's `ToTensor` is another thing: it divides 8-bit values by 255, turns `[H, W, C]` into `[C, H, W]`,
    always copies, and takes images alone. Here values stay what they are, axes move only for PIL images and only as
    `layout` says, memory is shared, and any array in any nesting is taken. Rescaling is `Scale`'s, another dtype is
    `Cast`'s.

    Args:
        keys: paths of the arrays to convert; `None` for all.
        device: where the tensors shall live, such as `"cuda:0"`; `None` leaves them where their memory is.
        copy: `"auto"` copies only when needed, `"never"` shares or raises, `"always"` gives memory of its own.
        nulls: what Arrow nulls become: `"error"`, `"nan"`, a number to fill in, or `"mask"`, which adds a boolean
            tensor `<key>_mask` beside each Arrow array (True where null), whether or not there are nulls in it.
        ragged: what Arrow lists of unequal length become: `"error"`, `"jagged"` (torch's nested layout over the same
            values), `"list"`, or `"pad"`, which adds `<key>_length`.
        pad_value: what `ragged="pad"` fills with.
        layout: axis order of PIL images, `"HWC"` or `"CHW"`; required for them, without effect on others.
        writable: torch cannot mark a tensor read-only. `True` copies read-only memory (Arrow arrays, memory maps);
            `False` is your promise not to write: shares it, without a warning.

    Raises:
        CopyRefused: `copy="never"`, and the memory of an array cannot be shared.
        NoRoute: torch has nothing that says the same.
        DataError: there is no dict around an array for `<key>_mask` or `<key>_length` to stand in. An array that is all
            of the data comes back as `Masked(values, mask)` or `Padded(values, lengths)`.

    >>> import numpy as np
    >>> ToTensor(keys=("ecg",))({"ecg": np.arange(3, dtype="uint8"), "raw": np.zeros(2)})
    {'ecg': tensor([0, 1, 2], dtype=torch.uint8), 'raw': array([0., 0.])}
    """

    target: ClassVar[Target] = "torch"
    convert = staticmethod(to_tensor)

    device: str | None = None
    copy: Copy = "auto"
    nulls: Nulls | Fill = "error"
    ragged: Ragged = "error"
    pad_value: Fill = 0.0
    layout: Layout | None = None
    writable: bool = True
