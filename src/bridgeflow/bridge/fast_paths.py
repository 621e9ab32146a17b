"""Views without the table of routes: for plain memory that can be shared, looked up by the class of a value.

Such a function returns `None` for a value that needs more than a view; the table of routes then decides. It never
decides otherwise than the table would: the tests compare both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from bridgeflow._optional import require
from bridgeflow.bridge.dtypes import SHARED_DTYPES

__all__ = ["ARROW_VIEWS", "NUMPY_VIEWS", "TENSOR_VIEWS"]

_View = Callable[..., Any]

_SHARED_NUMPY: Final = {np.dtype(name): name for name in SHARED_DTYPES}


def _no_view(*_arguments: Any) -> None:
    """Classes whose values all go through the table."""


def _itself(x: Any) -> Any:
    return x if x.dtype in _SHARED_NUMPY else None


class _Views(dict[type, _View]):
    """The view of each class, worked out when the class first occurs: by then its library has been imported."""

    def __init__(self, view_of: Callable[[type], _View]) -> None:
        self._view_of = view_of

    def __missing__(self, cls: type) -> _View:
        view = self._view_of(cls)
        if view is not _no_view:
            self[cls] = view
        return view


def _numpy_view(cls: type) -> _View:
    if cls is np.ndarray:
        return _itself
    package = cls.__module__.partition(".")[0]
    if package == "torch":
        from bridgeflow.bridge.torch_views import PLAIN, numpy_of_tensor

        return numpy_of_tensor if cls in PLAIN else _no_view
    if package == "pyarrow":
        from bridgeflow.bridge.arrow_numpy import VIEWS

        return VIEWS.get(cls, _no_view)
    return _no_view


def _numpy_view_first(cls: type, library: str, needed_for: str) -> _View:
    """The view as an ndarray, from which that of another library goes on; where there is one, with that library."""
    look = NUMPY_VIEWS[cls]
    if look is not _no_view:
        require(library, needed_for=needed_for)
    return look


def _tensor_view(cls: type) -> _View:
    look = _numpy_view_first(cls, "torch", "to_tensor")
    if look is _no_view:
        return _no_view
    from bridgeflow.bridge.torch_views import PLAIN, tensor_itself, tensor_of_array, tensor_through

    if cls in PLAIN:
        return tensor_itself
    return tensor_of_array if cls is np.ndarray else tensor_through(look)


def _arrow_view(cls: type) -> _View:
    look = _numpy_view_first(cls, "pyarrow", "to_arrow")
    if look is _no_view:
        return _no_view
    from bridgeflow.bridge.arrow_numpy import VIEWS, WIDEST, from_numpy

    if cls in VIEWS:
        return _no_view

    def view(x: Any) -> Any:
        array = look(x)
        if array is None or not (array.ndim and 0 < array.size <= WIDEST and array.flags.c_contiguous):
            return None
        dtype = _SHARED_NUMPY.get(array.dtype)
        return None if dtype is None else from_numpy(array, dtype)

    return view


NUMPY_VIEWS: Final = _Views(_numpy_view)
"""From a value to an ndarray over its memory."""

TENSOR_VIEWS: Final = _Views(_tensor_view)
"""From a value, and `writable`, to a tensor over its memory."""

ARROW_VIEWS: Final = _Views(_arrow_view)
"""From a value to an Arrow array over its memory."""
