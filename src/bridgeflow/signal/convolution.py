"""Convolution and correlation: SciPy's functions on every kind of array, differentiable.

What lies on the CPU and is not under autograd is SciPy's own computation. Tensors on a device or under autograd are
convolved by Fourier transforms in torch; `convolve` and `correlate` in double precision, rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, overload

import numpy as np

from bridgeflow.bridge import kind_of
from bridgeflow.errors import DataError, names_errors
from bridgeflow.policy import parse_word
from bridgeflow.signal._input import dispatch_of, read_nested, refuse_table
from bridgeflow.signal._typing import SameKind
from bridgeflow.signal.scipy_names import call_scipy

__all__ = ["ConvolutionMethod", "ConvolutionMode", "convolve", "correlate", "fftconvolve", "oaconvolve"]

ConvolutionMode: TypeAlias = Literal["full", "valid", "same"]
"""All sums; those in which neither operand ends; as many as the first operand has, in the middle."""

ConvolutionMethod: TypeAlias = Literal["auto", "direct", "fft"]
"""By sums, by Fourier transforms, or by what is faster."""


@overload
def convolve(in1: SameKind, in2: Any, mode: ConvolutionMode = ..., method: ConvolutionMethod = ...) -> SameKind: ...
@overload
def convolve(in1: Any, in2: Any, mode: ConvolutionMode = ..., method: ConvolutionMethod = ...) -> Any: ...
@names_errors("convolve")
def convolve(in1: Any, in2: Any, mode: ConvolutionMode = "full", method: ConvolutionMethod = "auto") -> Any:
    """The convolution of two arrays of equally many axes, as `scipy.signal.convolve` gives it.

    Args:
        in1, in2: data of any kind, real, complex, integer or boolean. Only read.
        mode: `"full"`, `"valid"` or `"same"`, as in1.
        method: `"auto"`, `"direct"` or `"fft"`; of tensors on a device or under autograd all are the same.

    Returns:
        Of the kind of the first argument that is not an ndarray, in the dtype that both promote to. Gradients flow to
        both.

    Raises:
        DataError: shapes that do not fit.
        ValueError: an option that does not exist.

    >>> convolve([1.0, 2.0, 3.0], [0.0, 1.0, 0.5]).tolist()
    [0.0, 1.0, 2.5, 4.0, 1.5]
    """
    parse_word(mode, ConvolutionMode, field="mode")
    parse_word(method, ConvolutionMethod, field="method")
    if dispatch_of(in1, in2) != "numpy":
        from bridgeflow.signal import convolution_torch

        return convolution_torch.convolve(in1, in2, mode, None, double=method != "fft")
    return _by_scipy("convolve", in1, in2, mode=mode, method=method)


@overload
def correlate(in1: SameKind, in2: Any, mode: ConvolutionMode = ..., method: ConvolutionMethod = ...) -> SameKind: ...
@overload
def correlate(in1: Any, in2: Any, mode: ConvolutionMode = ..., method: ConvolutionMethod = ...) -> Any: ...
@names_errors("correlate")
def correlate(in1: Any, in2: Any, mode: ConvolutionMode = "full", method: ConvolutionMethod = "auto") -> Any:
    """The cross-correlation of two arrays of equally many axes, as `scipy.signal.correlate` gives it.

    Args:
        in1, in2, mode, method: as for `convolve`. in2 is the one that is conjugated and moved.

    Returns:
        As for `convolve`; `correlation_lags` says which lag stands where.

    Raises:
        DataError: shapes that do not fit.
        ValueError: an option that does not exist.

    >>> correlate([1.0, 2.0, 3.0], [0.0, 1.0, 0.5]).tolist()
    [0.5, 2.0, 3.5, 3.0, 0.0]
    """
    parse_word(mode, ConvolutionMode, field="mode")
    parse_word(method, ConvolutionMethod, field="method")
    if dispatch_of(in1, in2) != "numpy":
        from bridgeflow.signal import convolution_torch

        return convolution_torch.correlate(in1, in2, mode, double=method != "fft")
    return _by_scipy("correlate", in1, in2, mode=mode, method=method)


@overload
def fftconvolve(
    in1: SameKind, in2: Any, mode: ConvolutionMode = ..., axes: int | Sequence[int] | None = ...
) -> SameKind: ...
@overload
def fftconvolve(in1: Any, in2: Any, mode: ConvolutionMode = ..., axes: int | Sequence[int] | None = ...) -> Any: ...
@names_errors("fftconvolve")
def fftconvolve(in1: Any, in2: Any, mode: ConvolutionMode = "full", axes: int | Sequence[int] | None = None) -> Any:
    """The convolution by Fourier transforms, as `scipy.signal.fftconvolve` gives it.

    Args:
        in1, in2: data of any kind and of equally many axes. Only read.
        mode: as for `convolve`.
        axes: to convolve along; others broadcast. `None` for all.

    Returns:
        As for `convolve`; integers become float64.

    Raises:
        DataError: shapes or axes that do not fit.
        ValueError: an option that does not exist.

    >>> import numpy as np
    >>> np.allclose(fftconvolve([1.0, 2.0, 3.0], [0.0, 1.0, 0.5]), [0, 1, 2.5, 4, 1.5])
    True
    """
    return _by_transforms("fftconvolve", in1, in2, mode, axes)


@overload
def oaconvolve(
    in1: SameKind, in2: Any, mode: ConvolutionMode = ..., axes: int | Sequence[int] | None = ...
) -> SameKind: ...
@overload
def oaconvolve(in1: Any, in2: Any, mode: ConvolutionMode = ..., axes: int | Sequence[int] | None = ...) -> Any: ...
@names_errors("oaconvolve")
def oaconvolve(in1: Any, in2: Any, mode: ConvolutionMode = "full", axes: int | Sequence[int] | None = None) -> Any:
    """The convolution block by block (overlap-add), as `scipy.signal.oaconvolve` gives it.

    Args:
        in1, in2, mode, axes: as for `fftconvolve`. Tensors on a device or under autograd are not cut into blocks.

    Returns:
        As for `fftconvolve`.

    Raises:
        DataError: shapes or axes that do not fit.
        ValueError: an option that does not exist.

    >>> import numpy as np
    >>> np.allclose(oaconvolve([1.0, 2.0, 3.0], [0.0, 1.0, 0.5]), [0, 1, 2.5, 4, 1.5])
    True
    """
    return _by_transforms("oaconvolve", in1, in2, mode, axes)


def _by_transforms(name: str, in1: Any, in2: Any, mode: ConvolutionMode, axes: Any) -> Any:
    parse_word(mode, ConvolutionMode, field="mode")
    if dispatch_of(in1, in2) != "numpy":
        from bridgeflow.signal import convolution_torch

        return convolution_torch.convolve(in1, in2, mode, axes, double=False)
    return _by_scipy(name, in1, in2, mode=mode, axes=axes)


def _by_scipy(name: str, *operands: Any, **options: Any) -> Any:
    import scipy.signal

    read = [_numbers(x) for x in operands]
    result = call_scipy(getattr(scipy.signal, name), name, *read, **options)
    half = kind_of(result) == "torch" and all(str(getattr(x, "dtype", "")) == "torch.bfloat16" for x in operands)
    return result.bfloat16() if half else result


def _numbers(x: Any) -> Any:
    """An operand that holds numbers; booleans as integers, so that they can be added.

    Raises:
        DataError: what cannot be read as numbers.
    """
    if kind_of(x) in {"torch", "arrow", "dlpack", "capsule"}:
        return x.long() if str(getattr(x, "dtype", "")) == "torch.bool" else x
    refuse_table(x)
    values = read_nested(x)
    if values.dtype.kind not in "fciub":
        raise DataError(f"cannot convolve elements of type {values.dtype}; convert them to numbers first")
    return values.astype(np.int64) if values.dtype.kind == "b" else values
