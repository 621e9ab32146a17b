"""Batches as `TensorDict`s. Our transforms take them, and give them back, as any other container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridgeflow._optional import require
from bridgeflow.bridge import to_tensor
from bridgeflow.errors import DataError, quoted
from bridgeflow.pipeline.batches import collate
from bridgeflow.transforms.runner import is_array

__all__ = ["collate_tensordict", "to_tensordict"]


def collate_tensordict(samples: Sequence[Any]) -> Any:
    """Samples as a `TensorDict` of their number: `Loader(dataset, 32, collate_fn=collate_tensordict)`.

    What a `SignalDataset` made as one batch is taken as it is, without a copy. Text and other values that are not
    arrays become non-tensor data.

    Raises:
        DataError: samples that differ in structure or shape, or are not dicts.
        MissingDependency: tensordict is not installed.

    Example:
        >>> import tensordict, numpy as np
        >>> from bridgeflow import Loader, SignalDataset
        >>> dataset = SignalDataset({"ecg": np.zeros((5, 2, 100), "float32"), "label": np.arange(5)})
        >>> batch = next(iter(Loader(dataset, 4, collate_fn=collate_tensordict)))
        >>> batch.batch_size, batch["ecg"].shape
        (torch.Size([4]), torch.Size([4, 2, 100]))
    """
    return to_tensordict(collate(samples))


def to_tensordict(batch: Any) -> Any:
    """A batch as a `TensorDict` over the same memory.

    Args:
        batch: what a `Loader` gives: a dict, nested or not, of arrays `[batch, ...]` and of lists.

    Raises:
        DataError: not a dict, or without an array, so that its number of samples is not known.
    """
    tensordict = require("tensordict", needed_for="to_tensordict")
    if not isinstance(batch, Mapping):
        raise DataError(f"to_tensordict: expected a batch that is a dict, got a {type(batch).__name__}")
    sizes = {len(leaf) for leaf in _arrays(batch)}
    if len(sizes) != 1:
        what = f"arrays of {', '.join(map(str, sorted(sizes)))} rows" if sizes else "no array"
        raise DataError(f"to_tensordict: expected arrays of one number of rows, got {what}")
    return _converted(batch, sizes.pop(), tensordict)


def _arrays(batch: Mapping[str, Any]) -> list[Any]:
    nested = [_arrays(leaf) if isinstance(leaf, Mapping) else [leaf] * is_array(leaf) for leaf in batch.values()]
    return [leaf for leaves in nested for leaf in leaves]


def _converted(batch: Mapping[str, Any], rows: int, tensordict: Any) -> Any:
    converted: dict[str, Any] = {}
    for name, leaf in batch.items():
        if not isinstance(name, str):
            raise DataError(f"to_tensordict: keys of a TensorDict are text, got {quoted(name)}")
        if isinstance(leaf, Mapping):
            converted[name] = _converted(leaf, rows, tensordict)
        elif is_array(leaf):
            converted[name] = to_tensor(leaf)
        elif isinstance(leaf, list) and len(leaf) == rows:
            converted[name] = tensordict.NonTensorStack(*leaf)
        else:
            converted[name] = tensordict.NonTensorData(leaf, batch_size=[rows])
    return tensordict.TensorDict(converted, batch_size=[rows])
