"""A NumPy array seen as a tensor, changed on both sides.

    python examples/one_buffer_two_sides.py

`to_tensor` shares the memory of a writable array. `SharedView` promises it: one buffer, three views.
"""

from __future__ import annotations

import numpy as np
import torch

from bridgeflow import SharedView, share, to_tensor


def main() -> None:
    signal = np.zeros(6, dtype="float32")
    tensor = to_tensor(signal, copy="never")
    tensor[0] = 1.0  # torch writes, NumPy reads
    signal[1] = 2.0  # NumPy writes, torch reads
    print("NumPy:", signal, " torch:", tensor)
    assert signal[0] == 1.0
    assert tensor[1] == 2.0

    # Rebinding a name does not edit the memory: `a = a + 1` makes a new array, `a += 1` changes this one.
    other = signal
    other = other + 1
    assert tensor[0] == 1.0
    signal += 1
    assert tensor[0] == 2.0

    buffer = share(np.zeros((2, 3)))
    buffer.tensor[0] = torch.tensor([1.0, 2.0, 3.0])
    buffer.numpy[1] = 10.0
    print("Arrow:", buffer.arrow.storage.flatten().to_pylist())
    assert buffer.arrow.storage.flatten().to_pylist() == [1.0, 2.0, 3.0, 10.0, 10.0, 10.0]

    sample = SharedView(keys=("ecg",))({"ecg": signal, "label": "N"})
    sample["ecg"].tensor.zero_()
    print("zeroed through the sample:", signal)
    assert not signal.any()


if __name__ == "__main__":
    main()
