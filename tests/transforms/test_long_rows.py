"""A long row has the same bits alone and in a batch: libraries sum it in pieces that may depend on other rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bridgeflow import ToArrow, ToDevice, ToTensor, seeded
from tests.transforms.augmentations import AUGMENTATIONS
from tests.transforms.test_contracts import EXAMPLES

SAMPLES = 20_011
"""More than twice the 8192 numbers that NumPy's buffers hold, and no multiple of anything."""

NO_ROWS = {"Istft"}
"""What takes spectra."""


def examples():
    """The first example of every transform that gives numbers; further ones are slow."""
    for table in (EXAMPLES, AUGMENTATIONS):
        for name in sorted(table.keys() - NO_ROWS):
            for number, transform in enumerate(table[name]):
                if isinstance(transform, (ToArrow, ToDevice)) or transform == ToTensor(device="meta"):
                    continue
                marks = [pytest.mark.slow] if number else []
                yield pytest.param(transform, id=f"{name}{number}", marks=marks)


@pytest.mark.parametrize("transform", list(examples()))
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_a_long_row_has_the_bits_that_it_has_in_a_batch(transform, kind):
    x = 0.1 + np.random.default_rng(0).standard_normal((3, 4, SAMPLES)).astype("float32")
    data = torch.from_numpy(x) if kind == "torch" else x
    with seeded(5, rows=range(len(x))):
        batch = np.asarray(transform(data))
    for row in range(len(x)):
        with seeded(5, rows=row):
            np.testing.assert_array_equal(np.asarray(transform(data[row])), batch[row])
