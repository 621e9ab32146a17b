"""Editing a view in place, and editing a clone.

    python examples/views_and_clones.py

A view is the same memory: an edit shows everywhere. A clone is memory of its own. Read-only memory is copied before
it is given out for writing, unless you promise not to write.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from bridgeflow import Clone, Compose, CopyRefused, ToNumpy, ToTensor, trace


def main() -> None:
    tensor = torch.arange(5.0)
    view = ToNumpy(copy="never")(tensor)  # shares, or raises
    view[0] = 100.0
    print("after editing the view: ", tensor.tolist())
    assert tensor[0] == 100.0

    clone = Compose([Clone(), ToNumpy()])(tensor)
    clone[1] = -1.0
    print("after editing the clone:", tensor.tolist())
    assert tensor[1] == 1.0

    # Arrow's data cannot change. torch has no read-only tensors, so ToTensor copies, and says why.
    column = pa.array([1.0, 2.0, 3.0])
    with trace() as crossings:
        ToTensor()(column).fill_(0.0)
    print(crossings)
    assert column.to_pylist() == [1.0, 2.0, 3.0]
    assert crossings.total_bytes == 24
    reason = ""
    try:
        ToTensor(copy="never")(column)
    except CopyRefused as refusal:
        print("refused:", refusal)
        reason = refusal.reason
    assert reason == "read-only"
    shared = ToTensor(copy="never", writable=False)(column)  # your promise not to write
    assert shared.data_ptr() == column.buffers()[1].address

    # A view keeps its memory alive: the source may go.
    rows = ToNumpy()(torch.ones(1000, 1000))[::2]
    assert rows.sum() == 500_000
    assert np.isfinite(rows).all()


if __name__ == "__main__":
    main()
