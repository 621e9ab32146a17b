"""bfloat16 and float8, which NumPy lacks: what their bits become there."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from bridgeflow._optional import require
from bridgeflow.bridge.dtypes import CARRIED, HALF_TYPES
from bridgeflow.bridge.rules import Options, copies, refuse, views
from bridgeflow.spec import ArraySpec

__all__ = ["HALF_TO_NUMPY"]


def _as_ml_dtypes(x: Any, spec: ArraySpec, _options: Options) -> Any:
    ml_dtypes = require("ml_dtypes", needed_for=f'bfloat16="ml_dtypes" for {spec.dtype}')
    return x.view(getattr(ml_dtypes, spec.dtype))


def _widened(x: Any, spec: ArraySpec, _options: Options) -> Any:
    """Every bfloat16 and float8 value is a float32; bfloat16 is its upper half."""
    if spec.dtype == "bfloat16":
        return np.left_shift(x.view(np.uint16), 16, dtype=np.uint32, out=np.empty(x.shape, np.uint32)).view(np.float32)
    return np.asarray(np.take(_float8_values(spec.dtype), x.view(np.uint8)))


@cache
def _float8_values(dtype: str) -> Any:
    """The 256 values of a float8 type as float32, as torch decodes them."""
    import torch

    codes = torch.arange(256, dtype=torch.uint8).view(getattr(torch, dtype))
    return codes.to(torch.float32).numpy()


HALF_TO_NUMPY = (
    refuse(
        "half-error",
        'NumPy has no {spec.dtype}, and bfloat16="error"',
        'bfloat16="float32" widens exactly, "ml_dtypes" and "uint16" share',
        when=lambda s, o: s.dtype in CARRIED and o.bfloat16 == "error",
        reason="dtype",
    ),
    views(
        "half-ml_dtypes",
        "the bits, typed by the package ml_dtypes",
        when=lambda s, o: s.dtype in CARRIED and o.bfloat16 == "ml_dtypes",
        apply=_as_ml_dtypes,
    ),
    views(
        "half-bits",
        "the bits, as an unsigned integer",
        when=lambda s, o: s.dtype in CARRIED and o.bfloat16 == "uint16",
        then=lambda s, o: replace(s, dtype=np.dtype(HALF_TYPES[s.dtype]).name),
        apply=lambda x, s, o: x.view(HALF_TYPES[s.dtype]),
    ),
    copies(
        "half-float32",
        "NumPy has no {spec.dtype}; widened to float32, exactly",
        'bfloat16="ml_dtypes" or bfloat16="uint16" shares the bits',
        when=lambda s, o: s.dtype in CARRIED and o.bfloat16 == "float32",
        reason="dtype",
        then=lambda s, o: s.fresh(dtype="float32"),
        apply=_widened,
    ),
)
