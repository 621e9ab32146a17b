"""The contract of a transform of signals, over all that may hold them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from bridgeflow.testing import check_transform


def check_kinds(transform, *, half=0.0):
    """Hold it to its contract over every kind; batches of bfloat16 may differ from samples by `half`."""
    x = np.random.default_rng(0).standard_normal((3, 96))
    check_transform(transform)
    check_transform(transform, pa.FixedShapeTensorArray.from_numpy_ndarray(x.astype("float32")))
    check_transform(transform, pa.array(x[0]))
    check_transform(transform, (100 * x).astype("int16"))
    check_transform(transform, torch.from_numpy(x).bfloat16(), tolerance=half)
    check_transform(transform, torch.from_numpy(x).requires_grad_(), tolerance=1e-9)
    check_transform(transform, {"ecg": x, "label": 3})
