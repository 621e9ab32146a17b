"""Parameters as Python's own values: what `x.std()`, `t.device` or an enum give means the number or word in it."""

from __future__ import annotations

import os
from enum import Enum
from typing import Any, Final

__all__ = ["plain_parameter"]

_PLAIN: Final = frozenset({bool, int, float, complex, str, bytes, type(None)})


def plain_parameter(value: Any) -> Any:
    """The Python value that a parameter stands for; what stands for nothing plainer comes back as it is.

    NumPy scalars, members of enums, paths, and the devices and element types of torch and NumPy become numbers and
    strings; arrays and tensors become numbers, or tuples of numbers; lists and tuples become tuples.

    >>> from pathlib import Path
    >>> import numpy as np
    >>> plain_parameter((np.float32(0.5), Path("a"), np.dtype("int16"), np.float32)), plain_parameter(np.array(3))
    ((0.5, 'a', 'int16', 'float32'), 3)
    """
    cls = type(value)
    if cls in _PLAIN:
        return value
    if cls is tuple or cls is list:
        return tuple(map(plain_parameter, value))
    if isinstance(value, Enum):
        return plain_parameter(value.value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, type):
        return value.__name__ if value.__module__ == "numpy" else value
    package = cls.__module__.partition(".")[0]
    if package == "torch" and cls.__name__ in ("device", "dtype"):
        return str(value).removeprefix("torch.")
    if package == "numpy" and hasattr(value, "newbyteorder") and not hasattr(value, "item"):
        return value.name if value.isnative else value.str
    if package in ("numpy", "torch") and hasattr(value, "tolist"):
        return plain_parameter(value.tolist())
    return value
