"""`share(x)`: one buffer with three faces, all over the same memory, guaranteed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.bridge.api import describe, route, to_arrow, to_numpy, to_tensor
from bridgeflow.bridge.tracing import ACTIVE, record
from bridgeflow.errors import CopyRefused, NoRoute
from bridgeflow.policy import Copy, parse_copy
from bridgeflow.spec import ArraySpec

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

__all__ = ["Shared", "share"]


@dataclass(frozen=True, eq=False)
class Shared:
    """One buffer, seen as a tensor, as an ndarray and as an Arrow array.

    The memory belongs to NumPy or Arrow and is only wrapped by torch. That is what makes it safe: torch moves what it
    owns when it shares it with another process (`share_memory_()`, queues, DataLoader workers), and every view that
    NumPy or Arrow holds then dangles.

    `writable` is honoured by the NumPy face (`flags.writeable`) and the Arrow face (whose buffers are never mutable);
    torch has no read-only tensors, so the tensor of a read-only buffer is there on your promise not to write to it.
    """

    numpy: Any
    writable: bool

    @cached_property
    def tensor(self) -> torch.Tensor:
        """The torch face, `[...]` as the NumPy one, on the CPU."""
        tensor: torch.Tensor = to_tensor(self.numpy, copy="never", writable=self.writable)
        return tensor

    @cached_property
    def arrow(self) -> pa.Array:
        """The Arrow face: a primitive array for one axis, tensors of `[B, ...]` for more."""
        return to_arrow(_frozen(self.numpy), copy="never")

    def __dlpack__(self, **how: Any) -> Any:
        """The buffer for any library that takes DLPack; this is also how the bridge itself reads a `Shared`."""
        return self.numpy.__dlpack__(**how)

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self.numpy.__dlpack_device__()
        return device

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (np.ascontiguousarray(self.numpy), self.writable)


def _frozen(x: Any) -> Any:
    view = x.view()
    view.flags.writeable = False
    return view


def _restored(numpy: Any, writable: bool) -> Shared:
    return Shared(numpy if writable else _frozen(numpy), writable)


def check_owner(spec: ArraySpec, policy: Copy, *, lent: bool = False) -> None:
    """Refuse to share memory that another library owns and may move; `lent` if an ndarray is known to look at it."""
    if (lent or spec.kind in ("torch", "dlpack")) and policy == "never":
        raise CopyRefused(
            "torch-owned",
            'copy="never", but torch may move the memory of its tensors, under the feet of the other faces',
            'pass copy="auto", or allocate with NumPy and wrap it: share(np.empty(...)).tensor',
        )


def share(x: Any, *, copy: Copy | bool | None = "auto", writable: bool | None = None) -> Shared:
    """One buffer with three faces, `.tensor`, `.numpy` and `.arrow`, all over the same memory.

    Args:
        x: any array that the bridge carries, of one axis or more. An ndarray in C order and an Arrow array are shared
            as they are; what torch owns (also behind `t.numpy()` or DLPack) is copied once into memory that torch will
            not move; strided and byte-swapped memory is copied once into C order.
        copy: `"auto"`, `"never"` (the buffer of `x` itself, or `CopyRefused`) or `"always"`.
        writable: `None` keeps what the memory is; `True` copies read-only memory; `False` marks the faces read-only.

    Raises:
        CopyRefused: `copy="never"`, and the three faces cannot stand on the memory of `x`.
        NoRoute: one of the faces does not exist for the value (text, sparse, 0-d, ...).

    >>> import numpy as np
    >>> x = np.zeros(3)
    >>> faces = share(x)
    >>> faces.tensor[1] = 5
    >>> x, faces.arrow[1].as_py()
    (array([0., 5., 0.]), 5.0)
    """
    policy = parse_copy(copy)
    if isinstance(x, Shared):
        x = x.numpy
    spec = describe(x)
    if spec.shape == ():
        raise NoRoute("zero-dim", "a value without axes has no Arrow array to stand beside it", "share(x.reshape(1))")
    lent = _lent(x)
    check_owner(spec, policy, lent=lent)
    if lent or spec.kind in ("torch", "dlpack"):
        policy = "always"
    array = to_numpy(x, copy=policy, writable=writable, bfloat16="ml_dtypes")
    plan = route(describe(array), "arrow", copy="never" if policy == "never" else "auto")
    if plan.action != "view":  # strided or byte-swapped memory, which Arrow cannot stand on
        if ACTIVE:
            record(plan.exchange())
        array = np.array(array, array.dtype.newbyteorder("="), order="C")
    shared = Shared(array, bool(array.flags.writeable))
    try:
        _ = shared.tensor, shared.arrow
    except CopyRefused as refusal:
        detail = refusal.detail.removeprefix('copy="never", but ')
        raise NoRoute(refusal.reason, f"no memory serves all three faces: {detail}", refusal.remedy) from None
    return shared


def _lent(x: Any) -> bool:
    """Whether an ndarray looks at memory that torch, or a library unknown (a DLPack capsule), owns and may move."""
    while isinstance(x, np.ndarray):
        x = x.base
    torch = loaded("torch")
    return type(x).__name__ == "PyCapsule" or (torch is not None and isinstance(x, torch.Tensor))
