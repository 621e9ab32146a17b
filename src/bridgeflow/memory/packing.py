"""A batch as arrays in a slot and a small pickle beside them.

The pickle holds the structure and everything but the arrays; each array or CPU tensor is a number in it, and a
`Piece` says where in the slot it lies. What pickles out-of-band (Arrow's buffers, for one) goes into the slot as well.
Arrays that were allocated there (`memory.empty`) stay where they are.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bridgeflow._optional import loaded, require
from bridgeflow.errors import BatchTooLarge, NoRoute
from bridgeflow.memory.ring import ALIGNMENT, Slot

if TYPE_CHECKING:
    import torch

__all__ = ["Packed", "Piece", "pack", "unpack"]

_Array = np.ndarray[Any, Any]


class Piece(NamedTuple):
    """An array in the slot: where it begins, its strides in bytes (`None` in C order), and what it is.

    `tensor` is torch's name of the dtype where it was a tensor, empty for an ndarray; `grad` is `requires_grad`.
    """

    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    dtype: np.dtype[Any]
    tensor: str = ""
    grad: bool = False


class Packed(NamedTuple):
    """A batch in a slot: its pickle, its arrays, its out-of-band buffers, and how many bytes of the slot it takes."""

    pickle: bytes
    pieces: tuple[Piece, ...]
    buffers: tuple[Piece, ...]
    used: int


def pack(batch: Any, slot: Slot) -> Packed:
    """Put the arrays of a batch into a slot, where they are not there already.

    Args:
        batch: any nesting of containers. Strided tensors on the CPU and ndarrays of plain dtypes go into the slot, with
            the order of their axes in memory; everything else is pickled.
        slot: where the batch was assembled.

    Raises:
        BatchTooLarge: its arrays need more than the slot has.
        NoRoute: a tensor belongs to a graph, which cannot follow it to another process.
        pickle.PicklingError, TypeError, AttributeError: something else cannot be pickled.
    """
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(batch)
    count = len(pickler.arrays)
    pieces, used = _place([*(array for array, _, _ in pickler.arrays), *pickler.buffers], slot)
    for number, (_, tensor, grad) in enumerate(pickler.arrays):
        pieces[number] = pieces[number]._replace(tensor=tensor, grad=grad)
    return Packed(file.getvalue(), tuple(pieces[:count]), tuple(pieces[count:]), used)


def unpack(packed: Packed, memory: _Array) -> Any:
    """The batch again, its arrays standing on `memory` (uint8, the slot or a copy of its first `used` bytes)."""
    buffers = (_array(piece, memory) for piece in packed.buffers)
    return _Unpickler(io.BytesIO(packed.pickle), packed.pieces, memory, buffers).load()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        self._out_of_band: list[pickle.PickleBuffer] = []  # a method of ours as callback would be a cycle
        super().__init__(file, protocol=5, buffer_callback=self._out_of_band.append)
        self.arrays: list[tuple[_Array, str, bool]] = []
        self._numbers: dict[int, int] = {}
        self._kept: list[object] = []  # what has a number keeps its id until the end
        torch = loaded("torch")
        self._tensor: type | None = None if torch is None else torch.Tensor

    def persistent_id(self, obj: Any) -> int | None:
        cls = type(obj)
        if cls is np.ndarray:
            if obj.dtype.hasobject:
                return None
        elif cls is not self._tensor or not _is_plain(obj):
            return None
        number = self._numbers.get(id(obj))
        if number is None:
            number = self._numbers[id(obj)] = len(self.arrays)
            self._kept.append(obj)
            self.arrays.append((obj, "", False) if cls is np.ndarray else _carried(obj))
        return number

    def reducer_override(self, obj: Any) -> Any:
        """Tensors without plain memory go by value. (Unpickled otherwise, sparse ones stay in a list of torch.)"""
        if type(obj) is not self._tensor:
            return NotImplemented
        import torch

        file = io.BytesIO()
        torch.save(obj, file)
        return _loaded, (file.getvalue(),)

    @property
    def buffers(self) -> list[_Array]:
        """What pickled itself out-of-band, as bytes."""
        return [np.frombuffer(buffer.raw(), np.uint8) for buffer in self._out_of_band]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, pieces: Sequence[Piece], memory: _Array, buffers: Iterable[_Array]) -> None:
        super().__init__(file, buffers=buffers)
        self._pieces = pieces
        self._memory = memory

    def persistent_load(self, number: Any) -> Any:
        piece = self._pieces[number]
        array = _array(piece, self._memory)
        if not piece.tensor:
            return array
        torch = require("torch", needed_for="a batch with tensors")
        tensor = torch.from_numpy(array)
        dtype = getattr(torch, piece.tensor)
        return (tensor if tensor.dtype is dtype else tensor.view(dtype)).requires_grad_(piece.grad)


def _array(piece: Piece, memory: _Array) -> _Array:
    return np.ndarray(piece.shape, piece.dtype, memory, piece.start, piece.strides)


def _loaded(saved: bytes) -> Any:
    import torch

    return torch.load(io.BytesIO(saved), weights_only=True)


def _is_plain(x: torch.Tensor) -> bool:
    """Memory with strides, on the CPU, that all tensors of this dtype have; the rest pickles by torch's own ways."""
    import torch

    return x.device.type == "cpu" and x.layout is torch.strided and not x.is_quantized and not x.is_nested


def _carried(x: torch.Tensor) -> tuple[_Array, str, bool]:
    """A tensor's memory as an ndarray, torch's name for its dtype, and whether it is a leaf that collects a gradient.

    Negative strides, conjugate and negative bits have no counterpart in strides, so these are copied.
    """
    if x.grad_fn is not None:
        raise NoRoute(
            "grad",
            "the tensor belongs to a graph, which cannot follow it to another process",
            "hand over x.detach(), or work under torch.no_grad()",
        )
    grad = x.requires_grad
    plain = x.detach().resolve_conj().resolve_neg()
    name = str(plain.dtype).removeprefix("torch.")
    try:
        return plain.numpy(), name, grad
    except TypeError:  # a dtype that NumPy has not
        import torch

        carrier = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32}[plain.element_size()]
        return plain.view(carrier).numpy(), name, grad


def _place(arrays: Sequence[_Array], slot: Slot) -> tuple[list[Piece], int]:
    """Where each array lies in the slot, after it has been put there if need be; and the end of all.

    What lies in the slot already stays. The rest goes into the gaps, so that arrays which were only steps on the way
    take no room; where the gaps are too small, everything is put in order.
    """
    pieces: dict[int, Piece] = {}
    taken = []
    for number, array in enumerate(arrays):
        low, high = (bound - slot.address for bound in np.lib.array_utils.byte_bounds(array))
        if low >= 0 and high <= slot.nbytes:
            taken.append((low, high))
            start = array.__array_interface__["data"][0] - slot.address
            strides = None if array.flags.c_contiguous else array.strides
            pieces[number] = Piece(start, array.shape, strides, array.dtype)
    gaps, end = [], 0
    for low, high in sorted(taken):
        gaps.append((end, low))
        end = max(end, high)
    gaps.append((end, slot.nbytes))
    moved = sorted(set(range(len(arrays))) - set(pieces), key=lambda number: -arrays[number].nbytes)
    for number in moved:
        start = _fill(gaps, arrays[number].nbytes)
        if start is None:
            return _place_in_order(arrays, slot)
        pieces[number] = _dense(arrays[number], start)
        end = max(end, start + arrays[number].nbytes)
    for number in moved:
        _array(pieces[number], slot.bytes())[...] = arrays[number]
    return [pieces[number] for number in range(len(arrays))], end


def _place_in_order(arrays: Sequence[_Array], slot: Slot) -> tuple[list[Piece], int]:
    pieces, end = [], 0
    for array in arrays:
        pieces.append(_dense(array, _aligned(end)))
        end = pieces[-1].start + array.nbytes
    if end > slot.nbytes:
        error = BatchTooLarge(
            f"a batch of {end:,} bytes does not fit into a slot of {slot.nbytes:,} bytes; make the slots larger "
            f"(slot_nbytes={end}) or the batches smaller"
        )
        error.batch_nbytes, error.slot_nbytes = end, slot.nbytes
        raise error
    memory = slot.bytes()
    apart = [array.copy(order="K") if np.may_share_memory(array, memory) else array for array in arrays]
    for array, piece in zip(apart, pieces, strict=True):
        _array(piece, memory)[...] = array
    return pieces, end


def _fill(gaps: list[tuple[int, int]], nbytes: int) -> int | None:
    """The start of `nbytes` in the first gap that holds them, which becomes smaller."""
    for number, (low, high) in enumerate(gaps):
        start = _aligned(low)
        if start + nbytes <= high:
            gaps[number] = (start + nbytes, high)
            return start
    return None


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def _dense(array: _Array, start: int) -> Piece:
    """A copy of the array from `start` on: without holes, its axes in the same order in memory."""
    strides = None if array.flags.c_contiguous else np.empty_like(array).strides
    return Piece(start, array.shape, strides, array.dtype)
