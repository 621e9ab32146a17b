"""Arrow arrays that may be written to, because their memory is the caller's alone.

Arrow takes its data to be immutable, and that a buffer is mutable says nothing: pyarrow's own all are. So memory that
was made for one caller and for nobody else is registered here, by its address, for as long as it lives. An Arrow array
over it is described as writable, and crosses to NumPy and torch as a view that may be written to.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

import pyarrow as pa

__all__ = ["is_private", "private_buffer"]

_OWNERS: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""The ndarrays that keep private memory, by the address where it begins."""


def private_buffer(memory: Any) -> pa.Buffer:
    """An Arrow buffer over a writable ndarray that nobody else holds: whoever gets the buffer may write to it.

    >>> import numpy as np
    >>> from bridgeflow.bridge import to_tensor
    >>> column = pa.Array.from_buffers(pa.float64(), 3, [None, private_buffer(np.zeros(3))])
    >>> to_tensor(column)[0] = 7
    >>> column[0].as_py()
    7.0
    """
    buffer = pa.py_buffer(memory)
    if buffer.size:
        _OWNERS[buffer.address] = memory
    return buffer


def is_private(buffer: pa.Buffer | None) -> bool:
    """Whether the buffer was made by `private_buffer`."""
    return buffer is not None and buffer.is_mutable and buffer.address in _OWNERS
