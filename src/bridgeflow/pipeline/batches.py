"""Samples put together to a batch, a batch taken apart into samples: containers keep their type, numbers their bits.

Between the two stands data whose leaves are arrays `[batch, ...]`, or `Values` where a sample holds no array: text,
plain numbers, arrays of unequal length. `Values` is neither an array nor a container, so that transforms pass it on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from bridgeflow._optional import loaded, require
from bridgeflow.bridge import kind_of, like, shape_of, to_numpy, to_tensor
from bridgeflow.bridge.array_like import RowList
from bridgeflow.errors import DataError, NoRoute, at_place
from bridgeflow.policy import parse_word
from bridgeflow.tree import Recipe, compile_recipe, map_leaves

__all__ = [
    "Batch",
    "Parts",
    "RaggedRows",
    "Sample",
    "SampleSet",
    "Samples",
    "Values",
    "collate",
    "finish",
    "is_flat",
    "plain_row",
    "register_with_torch",
    "stack",
]

RaggedRows: TypeAlias = Literal["error", "pad", "list"]
"""Arrays of unequal length in one batch: an error, completed with zeros at the end, or left as they are in a list."""


class Batch(dict[str, Any]):
    """A batch by column name, which can be moved and pinned as a whole; otherwise a dict.

    >>> import torch
    >>> Batch(ecg=torch.zeros(2, 3), id=["a", "b"]).to("meta")["ecg"].device
    device(type='meta')
    """

    def to(self, device: Any, *, non_blocking: bool = False) -> Batch:
        """The batch with its tensors on another device; all else stays as it is."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self, device: Any = None) -> Batch:
        """The batch with its tensors in page-locked memory, from which a GPU copies while the host goes on."""
        return self._with(lambda tensor: tensor.pin_memory() if device is None else tensor.pin_memory(device))

    def _with(self, function: Callable[[Any], Any]) -> Batch:
        torch = require("torch", needed_for="a batch of tensors")
        return Batch(map_leaves(function, dict(self), lambda leaf: isinstance(leaf, torch.Tensor)))


class Sample(dict[str, Any]):
    """A row by column name; otherwise a dict. By its class PyTorch's `default_collate` knows how to batch it."""


class Values:
    """What the samples of a batch hold in one place where that is not an array, one for each sample."""

    __slots__ = ("rows",)

    ndim = -1
    """No array has -1 axes."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)


class RowTuple(tuple[Any, ...]):
    """A row of a structured ndarray: one value to `collate`, which makes a list of many; otherwise a tuple."""

    __slots__ = ()


class RowDict(dict[str, Any]):
    """A row that is a structure: one value to `collate`, which makes a list of many; otherwise a dict."""

    __slots__ = ()


_ROWS: dict[type, Callable[[Any], Any]] = {tuple: RowTuple, dict: RowDict, list: RowList}


def plain_row(value: Any) -> Any:
    """A row of a column without arrays, as a plain value that samples and batches treat alike."""
    cls = _ROWS.get(type(value))
    return value if cls is None else cls(value)


class Samples(Sequence[Any]):
    """The samples of a batch: a list to any code, the batch itself to `collate`.

    Args:
        count: how many.
        samples: gives them one after the other, when they are first asked for.
        batch: makes all of them as one.
    """

    def __init__(self, count: int, samples: Callable[[], Sequence[Any]], batch: Callable[[], Any]) -> None:
        self._count = count
        self._make = samples
        self._taken_apart: Sequence[Any] | None = None
        self._batch = batch

    @property
    def batch(self) -> Any:
        """All samples as one, as `collate` of a list of them would give."""
        return self._batch()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        if self._taken_apart is None:
            self._taken_apart = self._make()
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(self._count))]
        sample = self._taken_apart[number]
        return Sample(sample) if type(sample) is dict else sample

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


class Parts(Sequence[Any]):
    """The samples of a structure of arrays `[batch, ...]` and `Values`, each made when it is asked for, of views."""

    def __init__(self, data: Any, count: int) -> None:
        self._data = data
        self._count = count
        self._recipe, leaves = compile_recipe(data, _any_leaf)
        self._columns = [leaf.unbind(0) if kind_of(leaf) == "torch" else leaf for leaf in leaves]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(self._count))]
        if not -self._count <= number < self._count:
            raise IndexError(f"there are {self._count} samples, got number {number}")
        return self._recipe.put(self._data, [_part(column, number) for column in self._columns])


def _part(column: Any, number: int) -> Any:
    if isinstance(column, Values):
        return column.rows[number]
    if isinstance(column, tuple):
        return column[number]
    return column[number, ...] if kind_of(column) == "numpy" else like(to_numpy(column)[number, ...], column)


class SampleSet:
    """Samples as one structure of arrays, or one by one, whichever there is; the other is made where it is needed."""

    def __init__(self, data: Any, count: int, samples: Sequence[Any] | None = None) -> None:
        self.data = data
        self.count = count
        self._list = samples

    @property
    def samples(self) -> Sequence[Any]:
        """One by one."""
        if self._list is None:
            self._list = Parts(self.data, self.count)
        return self._list

    def stack(self) -> bool:
        """Have `data`, if the samples are of one shape."""
        if self.data is None and self._list is not None:
            try:
                self.data = stack(self._list)
            except (DataError, NoRoute):
                return False
        return True

    def batch(self, ragged: RaggedRows) -> Any:
        """As one batch, for users."""
        if self.data is None and self._list is not None:
            self.data = stack(self._list, ragged=ragged)
        return finish(self.data)

    def columns(self, ragged: RaggedRows) -> Any:
        """As `batch`, with numbers beside the arrays as ndarrays: for files, which need no torch."""
        if self.data is None and self._list is not None:
            self.data = stack(self._list, ragged=ragged)
        return finish(self.data, _as_column)

    def with_lengths(self, names: Sequence[str]) -> SampleSet:
        """With `<name>_length` beside each of these that is an array in the samples."""
        samples = []
        for sample in self.samples:
            lengths = {}
            for name in names:
                array = sample.get(name) if type(sample) is dict else None
                if array is not None and kind_of(array) is not None and (shape := shape_of(array)):
                    lengths[f"{name}_length"] = shape[-1]
            samples.append({**sample, **lengths} if lengths else sample)
        return SampleSet(None, self.count, samples)


def collate(samples: Sequence[Any], *, ragged: RaggedRows = "error") -> Any:
    """Samples of one structure as a batch: for `torch.utils.data.DataLoader(dataset, collate_fn=collate)`.

    What a `SignalDataset` made as one batch is handed on as it is, without a copy.

    Args:
        samples: one or more; dicts, lists, tuples, namedtuples and dataclasses, nested in any way.
        ragged: arrays of unequal length along their last axis are an `"error"`, completed with zeros (`"pad"`), or
            left alone in a `"list"`.

    Returns:
        The same containers (a dict as `Batch`). Tensors and ndarrays are stacked along a new first axis; numbers and
        booleans become a tensor, integers int64 and floats float64 as in PyTorch; everything else a list.

    Raises:
        DataError: samples that differ in structure or shape; names the place.
        NoRoute: nested tensors, unless `ragged="list"`.
        ValueError: no samples, or an unknown option.

    >>> import numpy as np
    >>> batch = collate([{"ecg": np.zeros(3), "label": 1, "id": "a"}, {"ecg": np.ones(3), "label": 0, "id": "b"}])
    >>> batch["ecg"].shape, batch["label"], batch["id"]
    ((2, 3), tensor([1, 0]), ['a', 'b'])
    """
    parse_word(ragged, RaggedRows, field="ragged")
    return samples.batch if isinstance(samples, Samples) else finish(stack(samples, ragged=ragged))


def register_with_torch() -> None:
    """Let PyTorch's `default_collate` put our samples together as `collate` does, if it is loaded."""
    module = loaded("torch.utils.data._utils.collate")
    if module is not None:
        module.default_collate_fn_map.setdefault(Sample, _default_collate)


def _default_collate(samples: Sequence[Any], *, collate_fn_map: object = None) -> Any:
    """`collate`, and ndarrays as tensors, as PyTorch has it."""
    return map_leaves(
        to_tensor, collate(samples), lambda leaf: isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc"
    )


def stack(samples: Sequence[Any], *, ragged: RaggedRows = "error") -> Any:
    """The samples as one structure of arrays and `Values`."""
    if not len(samples):
        raise ValueError("a batch needs at least one sample, got none")
    recipe, first = compile_recipe(samples[0], _any_leaf)
    rows = [first, *(_leaves_like(recipe, samples, number) for number in range(1, len(samples)))]
    leaves = []
    for place, column in zip(recipe.places, zip(*rows, strict=True), strict=True):
        try:
            leaves.append(_stacked(column, ragged))
        except (DataError, NoRoute) as error:
            raise at_place(error, place) from error.__cause__
    return recipe.put(samples[0], leaves)


def finish(data: Any, finished: Callable[[Values], Any] | None = None) -> Any:
    """Structure of arrays and `Values` as a batch.

    Args:
        finished: what `Values` become; `None` for what a loader gives.
    """
    finished = finished or _finished
    if is_flat(data):
        return Batch({name: finished(leaf) if type(leaf) is Values else leaf for name, leaf in data.items()})
    batch = map_leaves(finished, data, lambda leaf: isinstance(leaf, Values))
    return Batch(batch) if type(batch) in (dict, Sample) else batch


def is_flat(data: Any) -> bool:
    """Whether data is a dict of nothing but arrays and `Values`: the common case, which takes the fast path."""
    torch = loaded("torch")
    plain = {Values, np.ndarray, None if torch is None else torch.Tensor}
    return type(data) is dict and all(type(leaf) in plain for leaf in data.values())


def _any_leaf(leaf: object) -> bool:
    """Every leaf counts; containers of other classes are asked about because they could be arrays, or rows."""
    if type(leaf) in (RowTuple, RowDict, RowList):
        return True
    return not (isinstance(leaf, (tuple, list, Mapping)) or is_dataclass(leaf)) or kind_of(leaf) is not None


def _leaves_like(recipe: Recipe, samples: Sequence[Any], number: int) -> list[Any]:
    """The leaves of a sample, which must have the structure of the first; classes of leaves may differ."""
    leaves = recipe.take(samples[number])
    if leaves is not None:
        return leaves
    other, leaves = compile_recipe(samples[number], _any_leaf)
    if other.places != recipe.places:
        differing = sorted(set(other.places) ^ set(recipe.places))
        where = f"at {', '.join(differing[:3])}" if differing else "in the order of its parts"
        raise DataError(
            f"sample {number} of the batch has another structure than the first, {where}; "
            "samples of one batch have the same parts"
        )
    return leaves


def _stacked(rows: tuple[Any, ...], ragged: RaggedRows) -> Any:
    kinds = {kind_of(row) for row in rows}
    if kinds == {None}:
        return Values(rows)
    if None in kinds or len(kinds) > 1:
        raise DataError(
            f"arrays of several kinds, or beside other values ({', '.join(sorted(map(str, kinds)))}), make no batch; "
            "convert them alike, such as by ToTensor"
        )
    (kind,) = kinds
    if kind in ("dlpack", "capsule"):
        rows = tuple(map(to_tensor, rows))
    elif kind not in ("torch", "numpy"):
        stacked = _stacked(tuple(map(to_numpy, rows)), ragged)
        return Values(rows) if isinstance(stacked, Values) else like(stacked, rows[0])
    if kind == "torch" and any(row.is_nested for row in rows):
        if ragged == "list":
            return Values(rows)
        remedy = 'pass ragged="list", or pad them first (torch.nested.to_padded_tensor)'
        raise NoRoute("ragged", "nested tensors, whose rows have lengths of their own, cannot be stacked", remedy)
    shapes = {tuple(row.shape) for row in rows}
    if len(shapes) > 1:
        if ragged == "list":
            return Values(rows)
        can_pad = len({shape[:-1] for shape in shapes}) == 1 and () not in shapes
        if ragged == "error" or not can_pad:
            remedy = ', or pass ragged="list"' + (' or ragged="pad"' if can_pad else "")
            raise DataError(
                f"shapes {', '.join(map(str, sorted(shapes)[:3]))} make no batch; cut or resample to one shape{remedy}"
            )
        rows = tuple(_padded(row, max(shape[-1] for shape in shapes)) for row in rows)
    if kind == "numpy" and len({row.dtype.kind in "OSTUV" for row in rows}) > 1:
        dtypes = ", ".join(sorted({str(row.dtype) for row in rows}))
        raise DataError(f"arrays of {dtypes} make no batch: numbers would become text or objects; convert them alike")
    join = np.stack if kind == "numpy" else require("torch", needed_for="a batch of tensors").stack
    try:
        return join(rows)
    except (RuntimeError, TypeError, ValueError) as error:
        types = sorted({f"{row.dtype}{f' on {row.device}' if kind == 'torch' else ''}" for row in rows})
        raise DataError(f"arrays of {', '.join(types)} make no batch: {error}; convert them alike") from error


def _padded(row: Any, length: int) -> Any:
    if isinstance(row, np.ndarray):
        padded = np.zeros((*row.shape[:-1], length), row.dtype)
    else:
        padded = row.new_zeros((*row.shape[:-1], length))
    padded[..., : row.shape[-1]] = row
    return padded


def _finished(values: Any) -> Any:
    """Numbers as a tensor, as PyTorch's `default_collate` has it; others as a list."""
    dtype = _number_type(values.rows)
    if not dtype:
        return list(values.rows)
    torch = require("torch", needed_for="a batch of numbers")
    return torch.tensor(values.rows, dtype=getattr(torch, dtype))


def _as_column(values: Values) -> Any:
    """Numbers as an ndarray, others as a list."""
    dtype = _number_type(values.rows)
    return np.array(values.rows, dtype) if dtype else list(values.rows)


def _number_type(rows: Sequence[Any]) -> str:
    """The type of a batch of plain numbers; empty for what is none."""
    for plain, dtype in ((bool, "bool"), (int, "int64"), (float, "float64")):
        if all(type(row) is plain or (plain is float and type(row) is int) for row in rows):
            return dtype
    return ""
