"""A crossing that shares memory, against the bare call that does no checks, keeps no record and knows no options."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchmarks.harness import Race, benchmark, within
from bridgeflow.bridge import to_arrow, to_numpy, to_tensor

SHAPE = (8, 1024)


def share_memory(ours: Any, theirs: Any) -> None:
    """Both contestants give a view of the same buffer."""
    addresses = [x.data_ptr() if isinstance(x, torch.Tensor) else x.ctypes.data for x in (ours, theirs)]
    assert addresses[0] == addresses[1]


@benchmark("to_numpy(tensor), shared")
def tensor_to_numpy() -> Race:
    tensor = torch.zeros(SHAPE)
    return Race(
        ours=partial(to_numpy, tensor),
        peers={"tensor.numpy()": tensor.numpy},
        targets={"tensor.numpy()": within(2.5)},
        agree=share_memory,
    )


@benchmark("to_tensor(array), shared")
def array_to_tensor() -> Race:
    array = np.zeros(SHAPE, np.float32)
    return Race(
        ours=partial(to_tensor, array),
        peers={"torch.from_numpy(array)": partial(torch.from_numpy, array)},
        targets={"torch.from_numpy(array)": within(2.5)},
        agree=share_memory,
    )


@benchmark("to_numpy(arrow array), shared")
def arrow_to_numpy() -> Race:
    column = pa.array(np.zeros(SHAPE[1], np.float32))
    return Race(
        ours=partial(to_numpy, column),
        peers={"column.to_numpy()": column.to_numpy},
        agree=share_memory,
    )


@benchmark("to_arrow(tensor batch), shared")
def tensor_to_arrow() -> Race:
    tensor = torch.zeros(64, 8, 1024)

    def bare() -> pa.Array:
        return pa.FixedShapeTensorArray.from_numpy_ndarray(tensor.numpy())

    def same(ours: pa.Array, theirs: pa.Array) -> None:
        assert ours.storage.flatten().buffers()[1].address == theirs.storage.flatten().buffers()[1].address

    return Race(ours=partial(to_arrow, tensor), peers={"FixedShapeTensorArray.from_numpy_ndarray": bare}, agree=same)
