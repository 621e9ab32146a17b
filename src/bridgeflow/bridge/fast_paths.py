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


def _through_numpy(view_of: Callable[[type, _View], _View], library: str, function: str) -> Callable[[type], _View]:
    """The view of a class from its view as an ndarray; none where there is no such view.

    Args:
        view_of: the view of a class, whose view as an ndarray is the second argument.
        library: which must be there; `function` names what needs it.
    """

    def view_of_class(cls: type) -> _View:
        numpy_view = NUMPY_VIEWS[cls]
        if numpy_view is _no_view:
            return _no_view
        require(library, needed_for=function)
        return view_of(cls, numpy_view)

    return view_of_class


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


def _tensor_view(cls: type, numpy_view: _View) -> _View:
    from bridgeflow.bridge.torch_views import PLAIN, tensor_itself, tensor_of_array, tensor_through

    if cls in PLAIN:
        return tensor_itself
    return tensor_of_array if cls is np.ndarray else tensor_through(numpy_view)


def _arrow_view(cls: type, numpy_view: _View) -> _View:
    from bridgeflow.bridge.arrow_numpy import VIEWS, WIDEST, from_numpy

    if cls in VIEWS:
        return _no_view

    def view(x: Any) -> Any:
        array = numpy_view(x)
        if array is None or not (array.ndim and 0 < array.size <= WIDEST and array.flags.c_contiguous):
            return None
        dtype = _SHARED_NUMPY.get(array.dtype)
        return None if dtype is None else from_numpy(array, dtype)

    return view


NUMPY_VIEWS: Final = _Views(_numpy_view)
"""From a value to an ndarray over its memory."""

TENSOR_VIEWS: Final = _Views(_through_numpy(_tensor_view, "torch", "to_tensor"))
"""From a value, and `writable`, to a tensor over its memory."""

ARROW_VIEWS: Final = _Views(_through_numpy(_arrow_view, "pyarrow", "to_arrow"))
"""From a value to an Arrow array over its memory."""
