"""`share(x)`: one buffer with three views, all over the same memory, guaranteed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.bridge.api import route, to_arrow, to_numpy, to_tensor
from bridgeflow.bridge.inputs import describe
from bridgeflow.bridge.rules import Target
from bridgeflow.bridge.tracing import ACTIVE, record
from bridgeflow.errors import CopyRefused, NoRoute
from bridgeflow.memory import Segment, require_shared_memory, segment_of
from bridgeflow.policy import Across, Copy, parse_copy, parse_word
from bridgeflow.spec import ArraySpec, Exchange

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

__all__ = ["Shared", "into_segment", "share"]


@dataclass(frozen=True, eq=False)
class Shared:
    """One buffer, seen as a tensor, as an ndarray and as an Arrow array.

    The memory belongs to NumPy or Arrow and is only wrapped by torch. That is what makes it safe: torch moves what it
    owns when it shares it with another process (`share_memory_()`, queues, DataLoader workers), and every view that
    NumPy or Arrow holds then dangles.

    `writable` is honoured by the NumPy view (`flags.writeable`) and the Arrow view (whose buffers are never mutable);
    torch has no read-only tensors, so the tensor of a read-only buffer is there on your promise not to write to it.

    `across="process"`: the buffer stands in anonymous shared memory, and a pickle holds a handle of it instead of the
    bytes. The process that receives a writable one shares the memory. One that is not writable is mapped copy-on-write
    on both sides: a stray write through the tensor is seen by no other process.
    """

    numpy: np.ndarray[Any, Any]
    writable: bool
    across: Across = "thread"

    @cached_property
    def tensor(self) -> torch.Tensor:
        """The torch view, `[...]` as the NumPy one, on the CPU."""
        tensor: torch.Tensor = to_tensor(self.numpy, copy="never", writable=self.writable)
        return tensor

    @cached_property
    def arrow(self) -> pa.Array:
        """The Arrow view: a primitive array for one axis, tensors of `[B, ...]` for more."""
        return to_arrow(_frozen(self.numpy), copy="never")

    def __bridgeflow_array__(self) -> Any:
        """The view that the bridge reads: DLPack says nothing of read-only memory, NumPy's export none of bfloat16."""
        return self.numpy if self.numpy.dtype.kind in "biufcmM" else self.tensor

    def __dlpack__(self, **how: Any) -> Any:
        """The buffer for any library that takes DLPack; the bridge reads its views."""
        return self.numpy.__dlpack__(**how)

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self.numpy.__dlpack_device__()
        return device

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """The NumPy view, for `np.asarray` and all else that takes array-likes; a copy where `dtype` or `copy` asks."""
        if dtype is not None and np.dtype(dtype) != self.numpy.dtype:
            if copy is False:
                raise ValueError(f"the shared array holds {self.numpy.dtype}; as {np.dtype(dtype)} it would be a copy")
            return self.numpy.astype(dtype)
        return self.numpy.copy() if copy else self.numpy

    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[Any, Any]:
        """The Arrow view, for `pa.array` and other libraries that read Arrow's C data interface."""
        capsules: tuple[Any, Any] = self.arrow.__arrow_c_array__(requested_schema)
        return capsules

    def __reduce__(self) -> tuple[Any, ...]:
        if self.across == "process" and (place := segment_of(self.numpy)) is not None:
            return _reopened, (*place, self.numpy.shape, self.numpy.dtype, self.writable)
        return _restored, (np.ascontiguousarray(self.numpy), self.writable)


def _frozen(x: Any) -> Any:
    view = x.view()
    view.flags.writeable = False
    return view


def _restored(numpy: Any, writable: bool) -> Shared:
    return Shared(numpy if writable else _frozen(numpy), writable)


def _reopened(segment: Segment, offset: int, shape: tuple[int, ...], dtype: Any, writable: bool) -> Shared:
    x = segment.array(shape, dtype, offset)
    return Shared(x if writable else _frozen(x), writable, "process")


def check_owner(spec: ArraySpec, policy: Copy, *, lent: bool = False) -> None:
    """Refuse to share memory that another library owns and may move; `lent` if an ndarray is a view of it."""
    if (lent or spec.kind in ("torch", "dlpack")) and policy == "never":
        raise CopyRefused(
            "torch-owned",
            'copy="never", but torch may move the memory of its tensors, which would invalidate the other views',
            'pass copy="auto", or allocate with NumPy and wrap it: share(np.empty(...)).tensor',
        )


def share(
    x: Any, *, copy: Copy | bool | None = "auto", writable: bool | None = None, across: Across = "thread"
) -> Shared:
    """One buffer with three views, `.tensor`, `.numpy` and `.arrow`, all over the same memory.

    Args:
        x: any array that the bridge carries, of one axis or more. An ndarray in C order and an Arrow array are shared
            as they are; what torch owns (also through `t.numpy()` or DLPack) is copied once into memory that torch will
            not move; strided and byte-swapped memory is copied once into C order.
        copy: `"auto"`, `"never"` (the buffer of `x` itself, or `CopyRefused`) or `"always"`.
        writable: `None` keeps what the memory is; `True` copies read-only memory; `False` marks the views read-only.
        across: `"process"` copies `x` once into anonymous shared memory, unless it stands there already; the result
            pickles as a handle of constant size, for processes of this machine and user.

    Raises:
        CopyRefused: `copy="never"`, and the memory of `x` does not serve all three views.
        NoRoute: one of the views does not exist for the value (text, sparse, 0-d, ...).
        OutOfSharedMemory: `across="process"`, and that much memory, or a file descriptor for it, cannot be had.

    >>> import numpy as np
    >>> x = np.zeros(3)
    >>> buffer = share(x)
    >>> buffer.tensor[1] = 5
    >>> x, buffer.arrow[1].as_py()
    (array([0., 5., 0.]), 5.0)

    >>> import pickle
    >>> large = share(np.zeros(1_000_000), across="process")
    >>> there = pickle.loads(pickle.dumps(large))  # in another process, as a rule
    >>> there.tensor[0] = 7
    >>> large.numpy[0], len(pickle.dumps(large)) < 1000
    (np.float64(7.0), True)
    """
    policy = parse_copy(copy)
    parse_word(across, Across, field="across")
    if isinstance(x, Shared):
        x = x.numpy
    spec = describe(x)
    if spec.shape == ():
        raise NoRoute("zero-dim", "a value without axes has no Arrow array to stand beside it", "share(x.reshape(1))")
    array = (
        _between_processes(x, policy, writable) if across == "process" else _between_threads(x, spec, policy, writable)
    )
    shared = Shared(array, bool(array.flags.writeable), across)
    try:
        _ = shared.tensor, shared.arrow
    except CopyRefused as refusal:
        raise no_common_memory(refusal) from None
    return shared


def no_common_memory(refusal: CopyRefused) -> NoRoute:
    """The error for an array of which one view would be a copy, from the refusal of that copy."""
    detail = refusal.detail.removeprefix('copy="never", but ')
    remedy = "cast it to a dtype of all three, or use ToNumpy, ToTensor or ToArrow"
    return NoRoute(refusal.reason, f"no memory serves all three views: {detail}", remedy)


def _between_threads(x: Any, spec: ArraySpec, policy: Copy, writable: bool | None) -> Any:
    lent = _lent(x)
    check_owner(spec, policy, lent=lent)
    if lent or spec.kind in ("torch", "dlpack"):
        policy = "always"
    array = to_numpy(x, copy=policy, writable=writable, bfloat16="ml_dtypes")
    spec = describe(array)
    target: Target = "torch" if "unaligned" in spec.flags else "arrow"
    plan = route(spec, target, copy="never" if policy == "never" else "auto", writable=False)
    if plan.action != "view":  # memory on which one of the views cannot stand: strided, byte-swapped, unaligned
        if ACTIVE:
            record(plan.exchange())
        array = np.array(array, array.dtype.newbyteorder("="), order="C")
    return array


def _between_processes(x: Any, policy: Copy, writable: bool | None) -> Any:
    place = None if policy == "always" else _place_in_segment(x, writable)
    if place is not None:
        segment, offset, source = *place, x
    else:
        if policy == "never":
            raise _owned_by_the_process()
        require_shared_memory('share(across="process")', 'across="thread" does without')
        source = to_numpy(x, bfloat16="ml_dtypes")
        native = source.dtype.newbyteorder("=")
        segment, offset = Segment(source.size * native.itemsize), 0
        segment.array(source.shape, native)[...] = source
        if ACTIVE:
            record(into_segment(describe(source)))
    if writable is False and segment.access == "shared":
        segment = segment.private()
    array = segment.array(source.shape, source.dtype.newbyteorder("="), offset)
    closed = writable is False or (place is not None and not x.flags.writeable)
    return _frozen(array) if closed else array


def _place_in_segment(x: Any, writable: bool | None) -> tuple[Segment, int] | None:
    """Where in a segment `x` stands; `None` for other memory, and where it does not fit the request."""
    place = segment_of(x) if type(x) is np.ndarray else None
    if place is None or not (x.flags.c_contiguous and x.dtype.isnative):
        return None
    # What was written to private pages is here alone: only memory that was never to be written to goes on from there.
    fitting = not x.flags.writeable or place[0].access == "shared"
    return place if fitting and (writable is not True or x.flags.writeable) else None


def into_segment(spec: ArraySpec) -> Exchange:
    """The copy of an ndarray into memory that processes share."""
    return Exchange(
        source=spec,
        target=spec.fresh(),
        action="copy",
        nbytes=spec.expected_nbytes(),
        reason="process-owned",
        detail="copied into memory that processes share",
    )


def _owned_by_the_process() -> CopyRefused:
    return CopyRefused(
        "process-owned",
        'copy="never", but the memory belongs to this process alone',
        'pass copy="auto", or make the array in shared memory: share(np.empty(...), across="process").numpy',
    )


def _lent(x: Any) -> bool:
    """Whether an ndarray looks at memory that torch, or a library unknown (a DLPack capsule), owns and may move."""
    while isinstance(x, (np.ndarray, memoryview)):
        x = x.base if isinstance(x, np.ndarray) else x.obj
    torch = loaded("torch")
    return type(x).__name__ == "PyCapsule" or (torch is not None and isinstance(x, torch.Tensor))
