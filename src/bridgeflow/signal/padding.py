"""How a recording goes on beyond its ends, on ndarrays and tensors.

Three sets of words, as SciPy has them: those of the zero-phase filters (`Padtype`), those of `upfirdn` (`Extension`),
and zeros.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from bridgeflow.errors import DataError
from bridgeflow.policy import parse_word, words
from bridgeflow.signal._input import is_tracing
from bridgeflow.signal._typing import SameKind

__all__ = [
    "BACKGROUNDS",
    "EndExtension",
    "Extension",
    "Padtype",
    "default_padlen",
    "extend",
    "pad_after",
    "pad_before",
    "pad_ends",
    "pad_zeros",
    "parse_padding",
    "without_background",
]

Padtype: TypeAlias = Literal["odd", "even", "constant"]
"""Turned about its end point, mirrored, or held; `None`, where it may stand, is no padding."""

EndExtension: TypeAlias = Literal[
    "constant", "line", "symmetric", "reflect", "edge", "wrap", "smooth", "antisymmetric", "antireflect"
]
"""`cval` (or zero); a line through both ends; mirrored at the edge or about the last sample; held; periodic; a line
through the last two samples; and the mirrored ones upside down."""

Background: TypeAlias = Literal["mean", "median", "maximum", "minimum"]
"""Extensions that are a level, one for each row, which is taken off and put back."""

Extension: TypeAlias = Literal[EndExtension, Background]
"""All of them."""

BACKGROUNDS: Final = words(Background)
"""The words of `Background`."""


def parse_padding(padtype: object, padlen: int | None, default: int, samples: int) -> int:
    """The length of the padding at either end, checked against the length of the recording.

    Args:
        padtype: a word of `Padtype` or `None`.
        padlen: what the caller asks for; `None` for the default.
        default: the length where the caller asks for none.
        samples: length of the recording.
    """
    if padtype is not None:
        parse_word(padtype, Padtype, field="padtype")
    length: object = padlen
    if length is not None and (isinstance(length, bool) or not isinstance(length, (int, np.integer))):
        raise DataError(f"padlen must be an integer or None, got {length!r}")
    edge = 0 if padtype is None else default if padlen is None else int(padlen)
    if edge < 0:
        raise DataError(f"padlen must not be negative, got {edge}")
    if samples <= edge:
        raise DataError(
            f"the length of x along the axis must be greater than padlen, which is {edge}, "
            f"got {samples} samples; pass a longer recording (the function: or a smaller padlen, or no padtype)"
        )
    return edge


def default_padlen(sos: Any) -> int:
    """SciPy's rule for sections [S, 6]: three times the number of coefficients that they would have as one fraction.

    Raises:
        DataError: a tensor whose values cannot be read, under `torch.compile` or on the meta device.
    """
    if not isinstance(sos, np.ndarray):
        if sos.is_meta or is_tracing():
            raise DataError(
                "sosfiltfilt: SciPy's default for padlen depends on values that cannot be read here; pass padlen="
            )
        return _default_padlen(sos.detach())
    return _cached_padlen(sos.tobytes()) if sos.dtype == np.float64 else _default_padlen(sos)


@lru_cache(maxsize=256)
def _cached_padlen(sections: bytes) -> int:
    return _default_padlen(np.frombuffer(sections).reshape(-1, 6))


def _default_padlen(sos: Any) -> int:
    return 3 * (2 * len(sos) + 1 - min(int((sos[:, column] == 0).sum()) for column in (2, 5)))


def pad_ends(x: SameKind, padtype: str | None, edge: int) -> SameKind:
    """The recording [..., T] with `edge` samples more at either end, as SciPy's zero-phase filters continue it.

    Args:
        x: ndarray or tensor.
        padtype: a word of `Padtype`, or `None` for no padding.
        edge: less than T.

    >>> pad_ends(np.array([1.0, 2.0, 4.0]), "odd", 2)
    array([-2.,  0.,  1.,  2.,  4.,  6.,  7.])
    """
    if padtype is None or not edge:
        return x
    padded: SameKind = _joined([pad_before(x, padtype, edge), x, pad_after(x, padtype, edge)])
    return padded


def pad_before(x: Any, padtype: str, edge: int) -> Any:
    """The `edge` samples that `pad_ends` puts before the first."""
    return _padding(x[..., :1], x[..., 1 : edge + 1], padtype)


def pad_after(x: Any, padtype: str, edge: int) -> Any:
    """The `edge` samples that `pad_ends` puts after the last."""
    samples = x.shape[-1]
    return _padding(x[..., -1:], x[..., samples - edge - 1 : samples - 1], padtype)


def _padding(end: Any, inside: Any, padtype: str) -> Any:
    if padtype == "constant":
        return np.broadcast_to(end, inside.shape) if isinstance(inside, np.ndarray) else end.expand(inside.shape)
    mirrored = inside[..., ::-1] if isinstance(inside, np.ndarray) else inside.flip(-1)
    return 2 * end - mirrored if padtype == "odd" else mirrored


def pad_zeros(x: Any, before: int, after: int) -> Any:
    """Rows [..., T] with zeros around them."""
    if not before and not after:
        return x
    if isinstance(x, np.ndarray):
        return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, after)])
    import torch

    return torch.nn.functional.pad(x, (before, after))


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[1], np.ndarray):
        return np.concatenate(parts, axis=-1)
    import torch

    return torch.cat(parts, dim=-1)


def without_background(x: Any, padtype: str) -> tuple[Any, Any]:
    """Rows [..., T], T > 0, with their level taken off; and the level [..., 1]."""
    if isinstance(x, np.ndarray):
        function: Any = {"mean": np.mean, "median": np.median, "maximum": np.max, "minimum": np.min}[padtype]
        level = np.asarray(function(x, axis=-1, keepdims=True)).astype(x.dtype, copy=False)
    elif padtype == "median":  # torch's own takes the lower of the two in the middle
        middle = (x.shape[-1] - 1) // 2, x.shape[-1] // 2
        level = x.sort(dim=-1).values[..., list(middle)].mean(dim=-1, keepdim=True)
    else:
        level = {"mean": x.mean, "maximum": x.amax, "minimum": x.amin}[padtype](dim=-1, keepdim=True)
    return x - level, level


def extend(x: Any, padtype: str, cval: float, before: int, after: int) -> Any:
    """Rows [..., T], T > 0, with samples more at either end.

    A single sample has no slope and no neighbour: modes that need one hold it.

    >>> extend(np.array([1.0, 2.0, 4.0]), "antisymmetric", 0.0, 2, 2)
    array([-2., -1.,  1.,  2.,  4., -4., -2.])
    """
    samples = x.shape[-1]
    if samples == 1 and padtype in {"line", "reflect", "smooth", "antireflect"}:
        padtype = "edge"
    places = np.arange(-before, 0), np.arange(samples, samples + after)
    left, right = (_beyond(x, at, padtype, cval) for at in places)
    return _joined([left, x, right])


def _beyond(x: Any, at: np.ndarray[Any, Any], padtype: str, cval: float) -> Any:
    """What stands at indices that lie all before or all after the recording."""
    samples = x.shape[-1]
    left = len(at) > 0 and at[0] < 0
    first, last = x[..., :1], x[..., -1:]
    if padtype == "constant":
        return _spread(_numbers(x, np.full(len(at), cval)), x)
    if padtype == "edge":
        return _take(x, np.full(len(at), 0 if left else samples - 1))
    if padtype in {"line", "smooth"}:
        slope = (last - first) / (samples - 1)
        if padtype == "smooth":
            slope = x[..., 1:2] - first if left else last - x[..., -2:-1]
        return first + _numbers(x, at) * slope if left else last + _numbers(x, at - (samples - 1)) * slope
    if padtype == "wrap":
        return _take(x, at % samples)
    # mirrored at the edge, each sample counts; mirrored about the last sample, that one counts once
    period = samples if padtype.endswith("symmetric") else samples - 1
    turns, place = np.divmod(at, period)
    odd = turns % 2
    mirrored = _take(x, np.where(odd, samples - 1 - place, place))
    if padtype in {"symmetric", "reflect"}:
        return mirrored
    sign = _numbers(x, np.where(odd, -1, 1))
    if padtype == "antisymmetric":
        return sign * mirrored
    return sign * (mirrored - first) + first + _numbers(x, turns + odd) * (last - first)


def _take(x: Any, at: np.ndarray[Any, Any]) -> Any:
    return x[..., at] if isinstance(x, np.ndarray) else x[..., at.tolist()]


def _numbers(x: Any, values: np.ndarray[Any, Any]) -> Any:
    """Numbers as an array of x's kind, device and dtype."""
    return values.astype(x.dtype) if isinstance(x, np.ndarray) else x.new_tensor(values.tolist())


def _spread(row: Any, x: Any) -> Any:
    """One row for all rows of x."""
    shape = (*x.shape[:-1], len(row))
    return np.broadcast_to(row, shape) if isinstance(x, np.ndarray) else row.expand(shape)
