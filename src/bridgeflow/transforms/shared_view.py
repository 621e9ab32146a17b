"""SharedView: one buffer seen as a tensor, an ndarray and an Arrow array at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from bridgeflow.bridge import Route, route, share
from bridgeflow.bridge.shared import check_owner, into_segment, no_common_memory
from bridgeflow.errors import CopyRefused
from bridgeflow.policy import Across, Copy, parse_copy, parse_word
from bridgeflow.spec import ArraySpec, Exchange
from bridgeflow.transforms.base import LeafTransform
from bridgeflow.transforms.registry import register

__all__ = ["SharedView"]


@register
@dataclass(frozen=True, kw_only=True)
class SharedView(LeafTransform):
    """Arrays as `Shared`: one buffer with the views `.tensor`, `.numpy` and `.arrow`, all over the same memory.

    What is written through one view is read through the others. The memory is NumPy's or Arrow's and is only wrapped by
    torch, so nothing that torch does later can move it. Any stage that follows takes a `Shared` as an array (through
    DLPack). It pickles by value; with `across="process"` it stands in anonymous shared memory and pickles as a handle.

    Args:
        keys: paths of the arrays to share; `None` for all.
        copy: `"auto"` copies once what cannot be shared as it is (memory that torch owns or that is not in C order),
            `"never"` raises for it, `"always"` gives memory of its own.
        writable: `None` keeps what the memory is, `True` copies read-only memory, `False` marks the NumPy and Arrow
            views read-only (torch has no such mark: do not write to the tensor then).
        across: `"process"` copies once into memory that processes share, unless the array stands there already (which
            a plan cannot see). Who receives a read-only one has it copy-on-write.

    Raises:
        CopyRefused: `copy="never"`, and the memory of the input does not serve all views.
        NoRoute: one of the views does not exist for the array.
        OutOfSharedMemory: `across="process"`, and that much shared memory cannot be had.

    >>> import numpy as np
    >>> x = np.zeros(3)
    >>> buffer = SharedView()({"ecg": x})["ecg"]
    >>> buffer.tensor[1] = 5
    >>> x, buffer.arrow[1].as_py()
    (array([0., 5., 0.]), 5.0)
    """

    pointwise: ClassVar[bool] = True
    reads_only: ClassVar[bool] = True

    copy: Copy = "auto"
    writable: bool | None = None
    across: Across = "thread"

    def __post_init__(self) -> None:
        object.__setattr__(self, "copy", parse_copy(self.copy))
        parse_word(self.across, Across, field="across")

    def apply(self, x: Any) -> Any:
        """The buffer with its views."""
        return share(x, copy=self.copy, writable=self.writable, across=self.across)

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """The NumPy view, handed on by DLPack."""
        return replace(self.exchanges(spec)[-1].target, kind="dlpack")

    def exchanges(self, spec: ArraySpec) -> tuple[Exchange, ...]:
        """Into memory that can be shared, this machine's byte order, and C order, each where need be."""
        if self.across == "process" and self.copy != "never":
            first = route(spec, "numpy", bfloat16="ml_dtypes").exchange()
            last = into_segment(first.target)
            _require_views(last.target)
            closed = self.writable is False
            return first, replace(last, target=replace(last.target, writable=not closed))
        return tuple(one.exchange() for one in self._routes(spec))

    def _routes(self, spec: ArraySpec) -> tuple[Route, ...]:
        check_owner(spec, self.copy)
        copy: Copy = "always" if spec.kind in ("torch", "dlpack") and self.copy == "auto" else self.copy
        routes = [route(spec, "numpy", copy=copy, writable=self.writable, bfloat16="ml_dtypes")]
        again: Copy = "never" if self.copy == "never" else "auto"
        if {"byte-order", "unaligned"} & routes[-1].target.flags:
            routes.append(route(routes[-1].target, "torch", copy=again))
            routes.append(route(routes[-1].target, "numpy", writable=self.writable))
        if "non-contiguous" in routes[-1].target.flags:
            routes.append(route(routes[-1].target, "numpy", copy="never" if self.copy == "never" else "always"))
        _require_views(routes[-1].target)
        return tuple(routes)


def _require_views(spec: ArraySpec) -> None:
    """Refuse what has no tensor or no Arrow array over the same memory.

    Raises:
        NoRoute: as `share` would.
    """
    try:
        route(spec, "torch", copy="never", writable=False)
        route(spec, "arrow", copy="never")
    except CopyRefused as refusal:
        raise no_common_memory(refusal) from None
