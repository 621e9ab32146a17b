"""The kinds of column that files and libraries hold, each made from one ndarray, for tests of what has to treat them
alike.
"""

import numpy as np
import pyarrow as pa
import torch

from bridgeflow.bridge import to_arrow


def fixed_size_list(x):
    column = pa.array(x.ravel())
    for length in reversed(x.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, length)
    return column


def listed(make, offset_type=np.int32):
    def column(x):
        offsets = pa.array(np.arange(len(x) + 1, dtype=offset_type) * x.shape[1])
        return make(offsets, fixed_size_list(x.reshape(-1, *x.shape[2:])) if x.ndim > 2 else pa.array(x.ravel()))

    return column


def list_view(make, offset_type):
    def column(x):
        offsets = pa.array(np.arange(len(x), dtype=offset_type) * x.shape[1])
        return make(offsets, pa.array(np.full(len(x), x.shape[1], offset_type)), pa.array(x.ravel()))

    return column


def dictionary_encoded(x):
    return pa.array(x).dictionary_encode()


def in_two_chunks(make):
    def column(x):
        half = len(x) // 2
        return pa.chunked_array([make(x[:half]), make(x[half:])])

    return column


ROWS_OF_SEVERAL = {
    "ndarray": np.asarray,
    "tensor": torch.tensor,
    "fixed_shape_tensor": to_arrow,
    "permuted_tensor": lambda x: pa.FixedShapeTensorArray.from_numpy_ndarray(np.asfortranarray(x.T).T),
    "fixed_size_list": fixed_size_list,
    "list": listed(pa.ListArray.from_arrays),
    "large_list": listed(pa.LargeListArray.from_arrays, np.int64),
    "list_view": list_view(pa.ListViewArray.from_arrays, np.int32),
    "large_list_view": list_view(pa.LargeListViewArray.from_arrays, np.int64),
}
"""Columns [rows, n]."""

ONE_NUMBER_A_ROW = {
    "ndarray": np.asarray,
    "tensor": torch.tensor,
    "primitive": pa.array,
    "dictionary": dictionary_encoded,
}
"""Columns [rows]."""
