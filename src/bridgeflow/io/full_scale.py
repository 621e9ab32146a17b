"""Full scale: what the loudest value of an audio file is, and samples between -1 and 1 on both sides of it.

An integer of n bits has the full scale 2^(n-1), around 0 or (8 bits, unsigned) around 128; a float has 1. So the float
1.0 is 32,768 in 16 bits, of which 32,767 is the nearest there is. Readers (soundfile, librosa, torchaudio) and players
go by this, whatever the numbers were meant to be.
"""

from __future__ import annotations

import numpy as np

from bridgeflow.io.dtypes import Fitted, counted

__all__ = ["SCALE_REMEDY", "Level", "from_unit", "to_unit", "unit_dtype"]

SCALE_REMEDY = "set `normalize: true` if 1.0 is full scale (of a wav source too), or `normalize: false` for counts"

_SILENT = 2.0**-14
"""Part of the full scale (-84 dB) up to which a whole file is taken for values of another scale."""

_LEAST_COUNTS = 2.0
"""Counts up to which it is in any case: floats between -1 and 1, and a little beyond."""

_LOUD = 64.0
"""Times full scale (36 dB) beyond which values are taken for the counts of wider integers."""


def _scale(dtype: str) -> tuple[float, float]:
    """Full scale and midpoint of an element type; those of `int24`, which is int32 in memory, are int32's."""
    if dtype.startswith("float"):
        return 1.0, 0.0
    bits = 32 if dtype == "int24" else np.dtype(dtype).itemsize * 8
    scale = 2.0 ** (bits - 1)
    return scale, scale if dtype.startswith("uint") else 0.0


def unit_dtype(dtype: str) -> np.dtype:
    """The float type that holds every sample of an encoding exactly: float32 up to 24 bits.

    >>> unit_dtype("int24"), unit_dtype("int32")
    (dtype('float32'), dtype('float64'))
    """
    if dtype.startswith("float"):
        return np.dtype(dtype)
    return np.dtype("float32" if dtype in {"uint8", "int8", "int16", "uint16", "int24"} else "float64")


def to_unit(values: np.ndarray, encoding: str) -> np.ndarray:
    """Samples of a file as floats between -1 and 1, exactly; floats as they are.

    >>> to_unit(np.array([-32768, 0, 16384], "int16"), "int16")
    array([-1. ,  0. ,  0.5], dtype=float32)
    """
    if encoding.startswith("float"):
        return values
    scale, middle = _scale(encoding)
    unit = values.astype(unit_dtype(encoding))
    unit -= middle
    unit /= scale
    return unit


def from_unit(values: np.ndarray, encoding: str) -> Fitted:
    """Samples between -1 and 1, or integers of their own full scale, as the nearest of an encoding.

    What lies beyond full scale becomes the last value, and is counted.

    Raises:
        ValueError: NaN, of which integers have none.
        TypeError: values other than real numbers.

    >>> from_unit(np.array([0.5, 1.0, -1.5]), "int16")
    Fitted(values=array([ 16384,  32767, -32768], dtype=int16), outside=1, first=2)
    """
    if values.dtype.kind not in "iuf":
        raise TypeError(f"{values.dtype} values are not real numbers")
    dtype = str(values.dtype)
    if dtype == encoding or (dtype, encoding) == ("float64", "float64"):
        return Fitted(values, 0, -1)
    scale, middle = _scale(dtype)
    unit = values.astype(np.float64)
    if values.dtype.kind in "iu":
        unit -= middle
        unit /= scale
    if encoding.startswith("float"):
        return Fitted(unit.astype(encoding), 0, -1)
    if np.isnan(unit).any():
        raise ValueError(f"{int(np.isnan(unit).sum())} of the values are NaN, which {encoding} has not")
    outside = np.abs(unit) > 1
    scale, middle = _scale(encoding)
    step = 256 if encoding == "int24" else 1
    target = np.dtype("int32" if step > 1 else encoding)
    limits = np.iinfo(target)
    counts = np.rint(np.clip(unit, -1, 1) * (scale / step) + middle)
    counts = np.clip(counts, limits.min // step, limits.max // step).astype(target)
    return counted(counts * target.type(step), outside)


class Level:
    """How loud a file is that is being written, so that silence and clipping are noticed.

    Attributes:
        beyond: float samples beyond full scale, which are written as they are and clipped by players.
    """

    def __init__(self) -> None:
        self.beyond = 0
        self._peak = 0.0
        self._converted = False
        self._encoding = ""

    def take(self, values: np.ndarray, encoding: str) -> None:
        """Look at samples that become samples of `encoding` as they are, before they do."""
        self._encoding = encoding
        if values.dtype.kind not in "iuf" or not values.size:
            return
        is_float = encoding.startswith("float")
        self._converted |= is_float or str(values.dtype) != ("int32" if encoding == "int24" else encoding)
        if self._converted:
            with np.errstate(invalid="ignore"):
                self._peak = max(self._peak, float(np.fmax.reduce(values, axis=None)))
                self._peak = max(self._peak, -float(np.fmin.reduce(values, axis=None)))
                if is_float and self._peak > 1:
                    self.beyond += int(np.count_nonzero(np.abs(values) > 1))

    def noise(self) -> str:
        """That players would clip the whole file, where that cannot be meant; empty otherwise."""
        scale, _ = _scale(self._encoding) if self._encoding else (1.0, 0.0)
        if self._peak <= _LOUD * scale:
            return ""
        values = f"values of up to {self._peak:,.6g} in {self._encoding}"
        return f"{values}, whose full scale is {scale:,.0f}: players clip them"

    def silence(self) -> str:
        """That players would hear nothing, where that cannot be meant; empty otherwise."""
        if not self._converted or not self._peak or self._encoding.startswith("float"):
            return ""
        scale, _ = _scale(self._encoding)
        if self._peak > max(_LEAST_COUNTS, scale * _SILENT):
            return ""
        return f"values of at most {self._peak:,.3g} in {self._encoding}, whose full scale is {scale:,.0f}: silence"
