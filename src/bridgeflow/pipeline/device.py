"""Batches on their way to a GPU: through page-locked memory, on a stream of their own, beside the computation.

The bytes of a batch are put into a pinned buffer and copied from there by the GPU's copy engine while the host and the
GPU's other streams go on. Who receives the batch makes their stream wait for the copy, which costs the host nothing. A
buffer is written to again when the copy out of it has ended. On the CPU there is nothing to do, and nothing is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import cycle
from threading import Lock
from typing import Any, Final, NamedTuple, Protocol

from bridgeflow._optional import require
from bridgeflow.bridge.devices import available_device
from bridgeflow.errors import NoRoute
from bridgeflow.tree import compile_recipe

__all__ = ["Backend", "PinnedTransfer", "Transfer", "transfer_to"]

_ALIGNED: Final = 64


class Sent(NamedTuple):
    """A batch whose copies may still be under way, which of its tensors they are, and the event that tells the end."""

    batch: Any
    copies: Sequence[Any]
    arrived: Any


class Transfer:
    """The way to where the batches are already."""

    def send(self, batch: Any) -> Any:
        """Start on the way; in any thread."""
        return batch

    def receive(self, sent: Any) -> Any:
        """The batch, for the stream of this thread."""
        return sent


class Backend(Protocol):
    """What a transfer needs of a GPU."""

    def pinned(self, nbytes: int) -> Any:
        """A uint8 tensor of that length in page-locked memory."""

    def stream(self) -> Any:
        """A new stream on the device."""

    def event(self) -> Any:
        """A new event, with `record(stream)` and `synchronize()`."""

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        """Within the block, work goes to this stream."""

    def current(self) -> Any:
        """The stream of this thread, with `wait_event(event)`."""


class _Cuda:
    """torch.cuda for one device."""

    def __init__(self, device: Any) -> None:
        self._torch = require("torch", needed_for="batches on a GPU")
        self._device = device

    def pinned(self, nbytes: int) -> Any:
        return self._torch.empty(nbytes, dtype=self._torch.uint8, pin_memory=True)

    def stream(self) -> Any:
        return self._torch.cuda.Stream(self._device)

    def event(self) -> Any:
        return self._torch.cuda.Event()

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self._torch.cuda.stream(stream)
        return context

    def current(self) -> Any:
        return self._torch.cuda.current_stream(self._device)


class _Slot:
    """One pinned buffer: who fills it, and when the copy out of it has ended."""

    def __init__(self, event: Any) -> None:
        self.lock = Lock()
        self.emptied = event
        self.memory: Any = None


class PinnedTransfer(Transfer):
    """The way to a GPU.

    Args:
        device: a torch device.
        slots: pinned buffers; as many batches may be under way at a time.
        backend: what does the work; `None` for torch.cuda.
    """

    def __init__(self, device: Any, slots: int, backend: Backend | None = None) -> None:
        self._torch = require("torch", needed_for="batches on a GPU")
        self._device = device
        self._backend: Backend = _Cuda(device) if backend is None else backend
        self._stream = self._backend.stream()
        self._turn = Lock()
        self._slots = cycle([_Slot(self._backend.event()) for _ in range(slots)])

    def send(self, batch: Any) -> Sent:
        """Put the tensors into a pinned buffer and start the copy; blocks while the buffer's last one is under way."""
        recipe, tensors = compile_recipe(batch, self._travels)
        arrived = self._backend.event()
        with self._turn:
            slot = next(self._slots)
        with slot.lock:
            slot.emptied.synchronize()
            staged = self._staged(slot, tensors)
            with self._backend.on(self._stream):
                moved = [tensor.to(self._device, non_blocking=True) for tensor in staged]
                arrived.record(self._stream)
                slot.emptied.record(self._stream)
        return Sent(recipe.put(batch, moved), moved, arrived)

    def receive(self, sent: Sent) -> Any:
        """The batch: what this thread's stream is given from now on waits for the copy."""
        stream = self._backend.current()
        stream.wait_event(sent.arrived)
        for tensor in sent.copies:
            tensor.record_stream(stream)  # its memory is the side stream's, and may go back there only after this one
        return sent.batch

    def _staged(self, slot: _Slot, tensors: Sequence[Any]) -> list[Any]:
        """Copies of the tensors in the slot's buffer, which grows as need be."""
        ends: list[int] = []
        for tensor in tensors:
            ends.append(_aligned(ends[-1] if ends else 0) + tensor.nbytes)
        need = ends[-1] if ends else 0
        if slot.memory is None or len(slot.memory) < need:
            slot.memory = self._backend.pinned(_aligned(need + need // 4))
        staged = []
        for tensor, end in zip(tensors, ends, strict=True):
            place = slot.memory[end - tensor.nbytes : end].view(tensor.dtype).view(tensor.shape)
            staged.append(place.copy_(tensor))
        return staged

    def _travels(self, leaf: Any) -> bool:
        """Whether a tensor is in the host's memory as plain numbers."""
        if not isinstance(leaf, self._torch.Tensor) or leaf.device.type != "cpu":
            return False
        if leaf.layout is not self._torch.strided:
            raise NoRoute("layout", f"a {leaf.layout} tensor cannot be staged", "convert it in the transform")
        return True


def _aligned(nbytes: int) -> int:
    return -(-nbytes // _ALIGNED) * _ALIGNED


def transfer_to(device: Any, slots: int) -> Transfer:
    """The way to a device, by name; to the CPU, or to `None`, there is none to go.

    Raises:
        NoRoute: torch knows no such device, or the machine has none.
    """
    if device is None:
        return Transfer()
    torch = require("torch", needed_for="batches on a device")
    try:
        target = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise NoRoute("device", f"torch knows no device {device!r} ({error})", "name one that it knows") from None
    if target.type == "cpu":
        return Transfer()
    if target.type != "cuda" or not torch.cuda.is_available():
        reason = f"batches can go to the CPU and to CUDA devices that are there, not to {target}"
        raise NoRoute("device", reason, "leave device out, and move them with batch.to(device)")
    return PinnedTransfer(available_device(torch, target, str(device)), slots)
