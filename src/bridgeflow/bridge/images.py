"""PIL images -> NumPy. The axis order is declared, never guessed, and values are never rescaled."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridgeflow.bridge.rules import Options, copies, is_kind, refuse
from bridgeflow.spec import ArraySpec

__all__ = ["PIL_TO_NUMPY", "describe_pil"]

_MODES = {
    "1": ("bool", 1),
    "L": ("uint8", 1),
    "I;16": ("uint16", 1),
    "I": ("int32", 1),
    "F": ("float32", 1),
    "LA": ("uint8", 2),
    "RGB": ("uint8", 3),
    "YCbCr": ("uint8", 3),
    "LAB": ("uint8", 3),
    "HSV": ("uint8", 3),
    "RGBA": ("uint8", 4),
    "CMYK": ("uint8", 4),
}
"""Element type and channels of each image mode whose values are colours (a palette's are not)."""


def describe_pil(image: Any) -> ArraySpec:
    """The spec of a PIL image: `(height, width, channels)`, whatever layout it is going to have."""
    dtype, channels = _MODES.get(image.mode, (f"mode {image.mode}", 1))
    width, height = image.size
    spec = ArraySpec(kind="pil", dtype=dtype, shape=(height, width, channels), writable=False)
    return spec if image.mode not in _MODES else spec.fresh(writable=False)


def _shape(spec: ArraySpec, options: Options) -> ArraySpec:
    height, width, channels = spec.shape
    shape = (channels, height, width) if options.layout == "CHW" else (height, width, channels)
    return spec.fresh(kind="numpy", shape=shape)


def _pixels(image: Any, spec: ArraySpec, options: Options) -> Any:
    pixels = np.array(image).reshape(tuple(n for n in spec.shape if n is not None))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if options.layout == "CHW" else pixels


PIL_TO_NUMPY = (
    refuse(
        "mode",
        "the values of a PIL image of {spec.dtype} are not colours",
        'image.convert("RGB") or another plain mode first',
        when=lambda s, o: s.dtype.startswith("mode "),
        reason="dtype",
    ),
    refuse(
        "layout",
        "an image's axes can be ordered in two ways, and neither is guessed",
        'pass layout="HWC" or layout="CHW"',
        when=lambda s, o: s.kind == "pil" and o.layout is None,
    ),
    copies("decode", "PIL hands out its pixels as a copy only", when=is_kind("pil"), then=_shape, apply=_pixels),
)
