"""Descriptions: what a value is (`ArraySpec`) and what a crossing did or will do (`Exchange`).

Both are plain frozen records without any array inside, so a plan can be drawn, compared and printed
before a byte moves. `bridgeflow.describe(x)` makes an `ArraySpec` of a real value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

from bridgeflow._html import card, table
from bridgeflow.errors import Reason, StageId
from bridgeflow.policy import Action, Kind

__all__ = ["ArraySpec", "Exchange", "Shape"]

Shape = tuple[int | None, ...]
"""Lengths along each axis; `None` where a length depends on the data."""

_ITEMSIZE_EXTRA = {
    "bool": 1,
    "bfloat16": 2,
    "complex32": 4,
    "complex64": 8,
    "complex128": 16,
    "float128": 16,
    "complex256": 32,
}


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """What a value is: kind, dtype, shape, memory.

    Args:
        kind: whose memory it is.
        dtype: element type, spelled as NumPy does (`"float32"`, `"complex64"`, `"datetime64[ns]"`), torch's own where
            NumPy has none (`"bfloat16"`, `"float8_e4m3fn"`), Arrow's for types that neither has (`"string"`,
            `"list<item: float>"`).
        shape: lengths along each axis, `None` where unknown. Arrow arrays are `(rows,)`, or `(rows, *inner)` for
            tensors.
        strides: bytes between neighbours along each axis; `None` where unknown or meaningless (Arrow, sparse).
        device: torch's spelling (`"cpu"`, `"cuda:0"`, `"meta"`).
        writable: whether writing through it is allowed.
        flags: what stands in the way of sharing: `"grad"`, `"conj"`, `"neg"`, and the words in
            `bridgeflow.bridge.describe`.
        null_count: Arrow rows that are null; `None` where unknown.
        layout: torch's layout, or `"strided"`.
        nbytes: bytes of the values; `None` where unknown.
        fs: sampling rate in Hz along time, the last axis unless a transform says another, where a source knows it.
    """

    kind: Kind
    dtype: str
    shape: Shape
    strides: tuple[int, ...] | None = None
    device: str = "cpu"
    writable: bool = True
    flags: frozenset[str] = frozenset()
    null_count: int | None = 0
    layout: str = "strided"
    nbytes: int | None = None
    fs: float | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def time(self) -> int | None:
        """Length of the last axis, by convention time; `None` where unknown or where there is no axis."""
        return self.shape[-1] if self.shape else None

    def with_time(self, time: int | None) -> ArraySpec:
        """The same, fresh in memory, with another length along the last axis."""
        return self.fresh(shape=(*self.shape[:-1], time))

    def fresh(self, **changes: object) -> ArraySpec:
        """The same in new memory: C order, writable, no flags; `changes` as for `dataclasses.replace`."""
        fields: dict[str, Any] = {"strides": None, "writable": True, "flags": frozenset(), "nbytes": None, **changes}
        changed = replace(self, **fields)
        return replace(changed, nbytes=changed.expected_nbytes()) if changed.nbytes is None else changed

    def expected_nbytes(self) -> int | None:
        """Bytes of the values from shape and dtype alone; `None` where either does not tell."""
        size = itemsize(self.dtype)
        if size is None or any(n is None for n in self.shape):
            return None
        return prod(n for n in self.shape if n is not None) * size

    def admits(self, other: ArraySpec) -> bool:
        """Whether a value described by `other` keeps the promise that `self` makes.

        Kind, dtype, device and lengths must agree; lengths that the promise leaves open (`None`) may be any.

        >>> promise = ArraySpec(kind="numpy", dtype="float32", shape=(2, None))
        >>> promise.admits(ArraySpec(kind="numpy", dtype="float32", shape=(2, 100)))
        True
        >>> promise.admits(ArraySpec(kind="numpy", dtype="float64", shape=(2, 100)))
        False
        """
        return (
            self.kind == other.kind
            and self.dtype == other.dtype
            and self.device == other.device
            and self.layout == other.layout
            and len(self.shape) == len(other.shape)
            and all(mine is None or mine == theirs for mine, theirs in zip(self.shape, other.shape, strict=True))
        )

    def __str__(self) -> str:
        lengths = ", ".join("?" if n is None else str(n) for n in self.shape)
        notes = [] if self.device == "cpu" else [self.device]
        notes += [] if self.layout == "strided" else [self.layout]
        notes += [] if self.writable else ["read-only"]
        notes += sorted(self.flags)
        notes += [f"{self.null_count} nulls"] if self.null_count else []
        return f"{self.kind} {self.dtype}[{lengths}]" + (f" ({', '.join(notes)})" if notes else "")

    def _repr_html_(self) -> str:
        lengths = " \N{MULTIPLICATION SIGN} ".join("?" if n is None else f"{n:,}" for n in self.shape)
        rows = [
            ("kind", self.kind),
            ("dtype", self.dtype),
            ("shape", lengths or "one value"),
            ("device", self.device),
            ("memory", "writable" if self.writable else "read-only"),
            ("layout", "" if self.layout == "strided" else self.layout),
            ("in the way of sharing", ", ".join(sorted(self.flags))),
            ("nulls", "not known" if self.null_count is None else self.null_count or ""),
            ("bytes", "not known" if self.nbytes is None else f"{self.nbytes:,}"),
            ("rate", "" if self.fs is None else f"{self.fs:g} Hz"),
        ]
        return card("ArraySpec", table(("property", "value"), [(name, value) for name, value in rows if value != ""]))


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """The record of one crossing: from what, to what, how, how many bytes were newly written, and why.

    `nbytes` is 0 for a view. `detail` is the sentence that explains `reason`; both are empty for a plain view.
    """

    source: ArraySpec
    target: ArraySpec
    action: Action
    nbytes: int | None
    reason: Reason | None = None
    detail: str = ""
    place: str = "$"
    stage: StageId | None = None

    def __str__(self) -> str:
        size = "? bytes" if self.nbytes is None else f"{self.nbytes:,} bytes"
        why = "" if self.reason is None else f", {self.reason}: {self.detail}"
        return f"{self.place}: {self.source} -> {self.target}: {self.action} ({size}{why})"


def itemsize(dtype: str) -> int | None:
    """Bytes of one element, or `None` for types without a fixed whole number of them.

    >>> itemsize("float32"), itemsize("bfloat16"), itemsize("datetime64[ns]"), itemsize("string")
    (4, 2, 8, None)
    """
    if dtype in _ITEMSIZE_EXTRA:
        return _ITEMSIZE_EXTRA[dtype]
    if dtype.startswith("float8_"):
        return 1
    name, _, unit = dtype.partition("[")
    if unit and name in {"datetime64", "timedelta64"}:
        return 8
    digits = name.lstrip("abcdefghijklmnopqrstuvwxyz")
    if name[: len(name) - len(digits)] in {"int", "uint", "float"} and digits in {"8", "16", "32", "64"}:
        return int(digits) // 8
    return None
