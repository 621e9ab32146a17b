"""Types of functions whose result is of the kind that came in, for type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["SameKind"]

SameKind = TypeVar("SameKind", "np.ndarray[Any, Any]", "torch.Tensor")
"""An ndarray or a tensor. Arrow has no types that a checker could read, and lists become ndarrays: both are `Any`."""
