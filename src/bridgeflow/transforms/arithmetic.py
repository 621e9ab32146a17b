"""Casting and scaling of ndarrays and tensors, with the same numbers from both; the other kinds pass through NumPy.

NumPy and torch wrap integers, turn large floats into infinities, and leave NaN-to-integer to the processor, all without
a word. `cast` looks first: one pass for the extremes, or one sum that would show an infinity.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Final, Literal, NamedTuple, NoReturn, TypeAlias

import numpy as np

from bridgeflow._optional import loaded, require
from bridgeflow.bridge import kind_of, like, route, to_numpy, to_tensor
from bridgeflow.errors import DataError, NoRoute
from bridgeflow.spec import ArraySpec

__all__ = [
    "Dtype",
    "FloatDtype",
    "OnOverflow",
    "Rounding",
    "affine",
    "affine_dtype",
    "cast",
    "cast_rule",
    "caster",
    "elementwise",
    "elementwise_spec",
]

Dtype: TypeAlias = Literal[
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
"""Element types that data can be cast to."""

FloatDtype: TypeAlias = Literal["float16", "bfloat16", "float32", "float64"]
"""Element types of scaled data."""

OnOverflow: TypeAlias = Literal["raise", "saturate", "ignore"]
"""Values that the new type cannot hold: an error, the nearest it can hold, or whatever the library makes of them."""

Rounding: TypeAlias = Literal["truncate", "nearest"]
"""Floats to integers: towards zero, as NumPy and torch do, or to the nearest, halves to the even one."""

_LARGEST: Final = {
    "float16": 65504.0,
    "bfloat16": 3.3895313892515355e38,
    "float32": 3.4028234663852886e38,
    "float64": 1.7976931348623157e308,
}
_PART: Final = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}
_TORCH_METHODS: Final = {
    "bool": "bool",
    "int8": "char",
    "int16": "short",
    "int32": "int",
    "int64": "long",
    "uint8": "byte",
    "float16": "half",
    "bfloat16": "bfloat16",
    "float32": "float",
    "float64": "double",
}
SATURATE: Final = 'on_overflow="saturate" takes the nearest that it can hold'
_WIDER: Final = "take a wider dtype, or a smaller scale"
_FEW_TORCH_OPS: Final = frozenset({"uint16", "uint32", "uint64"})
"""Types that torch stores, but cannot compare."""


# --- the other kinds --------------------------------------------------------------------------------------------------


def elementwise(function: Callable[[Any], Any], x: Any) -> Any:
    """`function`, which takes ndarrays and tensors, on an array of any kind: kind in, kind out.

    Arrow arrays pass through NumPy, without a copy of their own. Foreign arrays (DLPack) come back as tensors.
    """
    kind = kind_of(x)
    if kind == "torch":
        y = function(x)
        return y if type(y) is type(x) else _as_the_class_of(x, y)
    if type(x) is np.ndarray:
        return function(x)
    return function(np.asanyarray(x)) if kind == "numpy" else like(function(to_numpy(x)), x)


def _as_the_class_of(x: Any, y: Any) -> Any:
    """A result as the image, mask, video, boxes or key points (with their metadata) that torchvision was given.

    torchvision's classes let go of arithmetic's results, whose meaning they cannot know; scaled or cast, an image is
    still one. All other subclasses of torch.Tensor come out of arithmetic as torch decides.
    """
    tv_tensors = loaded("torchvision.tv_tensors")
    return tv_tensors.wrap(y, like=x) if tv_tensors is not None and isinstance(x, tv_tensors.TVTensor) else y


def elementwise_spec(spec: ArraySpec, dtype: Callable[[ArraySpec], str]) -> ArraySpec:
    """What `elementwise` returns for an array described by `spec`, if the function gives fresh memory of `dtype`."""
    if spec.kind != "torch" and dtype(spec) == "bfloat16":
        raise _no_bfloat16()
    if spec.kind in ("numpy", "torch"):
        return replace(spec.fresh(dtype=dtype(spec)), flags=spec.flags & {"grad", "subclass"})
    inside = route(spec, "numpy").target
    result = inside.fresh(dtype=dtype(inside))
    return route(
        result, "arrow" if spec.kind in ("arrow", "capsule") else "torch" if spec.kind == "dlpack" else "numpy"
    ).target


def _no_bfloat16() -> NoRoute:
    return NoRoute("dtype", "torch alone computes with bfloat16", "put ToTensor before, or take float16 or float32")


def _name(x: Any) -> str:
    return str(x.dtype.name) if isinstance(x, np.ndarray) else str(x.dtype).removeprefix("torch.")


# --- cast -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def cast_rule(source: str, target: Dtype) -> Literal["free", "narrow", "whole", "bounded"]:
    """What can go wrong: nothing, infinities, values without an integer, or integers out of range.

    Raises:
        NoRoute: the types have nothing in common.

    >>> cast_rule("int16", "float32"), cast_rule("float64", "float32"), cast_rule("float32", "int16")
    ('free', 'narrow', 'whole')
    """
    if _sort(source) == "other":
        raise NoRoute("dtype", f"elements of type {source} are not numbers", "convert them where they are read")
    if _sort(source) == "complex" and _sort(target) not in ("complex", "bool"):
        raise NoRoute("dtype", f"{target} would drop the imaginary parts of {source}", "take .real or .abs() first")
    if "bool" in (source, target):
        return "free"
    if _sort(target) != "int":
        return "free" if _largest(source) <= _largest(target) else "narrow"
    if _sort(source) != "int":
        return "whole"
    (low, high), (lowest, highest) = _range(source), _range(target)
    return "free" if lowest <= low and high <= highest else "bounded"


def _sort(name: str) -> str:
    if name == "bool" or name in _PART:
        return "complex" if name in _PART else "bool"
    digits = name.lstrip("uint")
    if digits in {"8", "16", "32", "64"} and name.removesuffix(digits) in {"int", "uint"}:
        return "int"
    return "float" if name in _LARGEST or name.startswith("float8_") else "other"


def _range(name: str) -> tuple[int, int]:
    bits = int(name.lstrip("uint"))
    return (0, 2**bits - 1) if name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _largest(name: str) -> float:
    if _sort(name) == "int":
        return float(_range(name)[1])
    return 448.0 if name.startswith("float8_") else _LARGEST[_PART.get(name, name)]


def cast(
    x: Any, dtype: Dtype, *, on_overflow: OnOverflow = "raise", rounding: Rounding = "truncate", remedy: str = SATURATE
) -> Any:
    """The values of `x` in another element type; `x` itself where it has that type.

    Args:
        x: ndarray or tensor `[...]` of numbers, on any device.
        dtype: the element type wanted.
        on_overflow: for values that it cannot hold. Infinities stay infinities, and NaN stays NaN, where the type has
            them; NaN has no integer, which `"saturate"` cannot mend either.
        rounding: for floats that become integers.
        remedy: what the caller can do about values that do not fit, for the error.

    Raises:
        DataError: values do not fit and `on_overflow="raise"`; says how many, and the first.
        NoRoute: complex to real, or a type that the library lacks.

    >>> cast(np.array([1.9, -1.9, 200.0]), "int8", on_overflow="saturate")
    array([  1,  -1, 127], dtype=int8)
    """
    return caster(dtype, on_overflow, rounding, remedy)(x)


@lru_cache(maxsize=256)
def caster(dtype: Dtype, on_overflow: OnOverflow, rounding: Rounding, remedy: str = SATURATE) -> Callable[[Any], Any]:
    """`cast` with its options fixed, which decides once for each element type."""
    casts: dict[Any, Callable[[Any], Any]] = {}

    def run(x: Any) -> Any:
        way = casts.get(x.dtype)
        if way is None:
            way = casts[x.dtype] = _way(x, dtype, on_overflow, rounding, remedy)
        return way(x)

    return run


def _way(x: Any, dtype: Dtype, on_overflow: OnOverflow, rounding: Rounding, remedy: str) -> Callable[[Any], Any]:
    """How arrays of the library and element type of `x` are cast."""
    source, is_numpy = _name(x), isinstance(x, np.ndarray)
    if source == dtype and (not is_numpy or x.dtype.isnative):
        return _itself
    rule = cast_rule(source, dtype)
    if is_numpy and dtype == "bfloat16":
        raise _no_bfloat16()
    plain = _numpy_converter(dtype) if is_numpy else _torch_converter(dtype)
    if rule == "whole" and rounding == "nearest":
        plain = partial(_rounded, plain=plain)
    if on_overflow == "ignore" or rule == "free":
        return plain
    if source.startswith("float8_"):  # torch stores it, and little more
        return lambda x: cast(x.float(), dtype, on_overflow=on_overflow, rounding=rounding, remedy=remedy)
    if rule == "narrow":
        return partial(_narrow, plain=plain, dtype=dtype, on_overflow=on_overflow, remedy=remedy)
    if not is_numpy and _FEW_TORCH_OPS & {source, dtype}:
        return partial(
            _through_numpy, plain=plain, dtype=dtype, on_overflow=on_overflow, rounding=rounding, remedy=remedy
        )
    settle = round if rule == "whole" and rounding == "nearest" else math.trunc
    return partial(_to_integer, plain=plain, dtype=dtype, on_overflow=on_overflow, settle=settle, remedy=remedy)


def _itself(x: Any) -> Any:
    return x


def _numpy_converter(dtype: Dtype) -> Callable[[Any], Any]:
    target = np.dtype(dtype)

    def convert(x: Any) -> Any:
        with np.errstate(over="ignore", invalid="ignore"):
            return x.astype(target)

    return convert


def _torch_converter(dtype: Dtype) -> Callable[[Any], Any]:
    torch: Any = require("torch", needed_for="a tensor")
    if dtype in _TORCH_METHODS:  # the named methods cost half of what Tensor.to() does
        method: Callable[[Any], Any] = getattr(torch.Tensor, _TORCH_METHODS[dtype])
        return method
    target = getattr(torch, dtype)
    return lambda x: x.to(target)


def _rounded(x: Any, plain: Callable[[Any], Any]) -> Any:
    return plain(np.rint(x) if isinstance(x, np.ndarray) else x.round())


def _through_numpy(x: Any, plain: Callable[[Any], Any], **options: Any) -> Any:
    """For the types that torch stores but cannot compare."""
    if x.is_meta:
        return plain(x)
    if x.device.type != "cpu":
        what = f"torch cannot compare {_name(x)} with the range of {options['dtype']} on {x.device}"
        raise NoRoute("dtype", what, 'pass on_overflow="ignore", or cast on the CPU')
    return to_tensor(cast(to_numpy(x), **options))


def _narrow(x: Any, plain: Callable[[Any], Any], dtype: Dtype, on_overflow: OnOverflow, remedy: str) -> Any:
    """To a float type with a smaller range."""
    if not isinstance(x, np.ndarray) and x.is_nested:
        options: dict[str, Any] = {"plain": plain, "dtype": dtype, "on_overflow": on_overflow, "remedy": remedy}
        return _row_by_row(partial(_narrow, **options), x)
    y = plain(x)
    if _is_finite(y, dtype):
        return y
    xp: Any = np if isinstance(x, np.ndarray) else loaded("torch")
    lost = xp.isinf(y) & xp.isfinite(x)
    if not lost.any():
        return y
    if on_overflow == "raise" or dtype in _PART:
        _refuse(x, lost, dtype, remedy if dtype not in _PART else "divide by a constant first")
    edge = xp.where(x > 0, _LARGEST[dtype], -_LARGEST[dtype])
    return xp.where(lost, plain(edge), y)


def _row_by_row(function: Callable[[Any], Any], x: Any) -> Any:
    """A function of tensors on a nested tensor, which has no sums and comparisons over all of its rows."""
    torch = require("torch", needed_for="a nested tensor")
    if x.layout == torch.jagged and x.lengths() is None:
        return torch.nested.nested_tensor_from_jagged(function(x.values()), x.offsets())
    return torch.nested.nested_tensor([function(row) for row in x.unbind()], layout=x.layout)


def _is_finite(y: Any, dtype: Dtype) -> bool:
    """Whether one sum shows that all values are finite: an infinity makes it infinite, or NaN. May err to False."""
    half = dtype in ("float16", "bfloat16")
    if isinstance(y, np.ndarray):
        with np.errstate(over="ignore", invalid="ignore"):
            total = y.sum(dtype=np.float32 if half else None)
    elif y.is_meta:
        return True
    else:
        total = (y.float() if half else y.detach()).sum().item()
    return cmath.isfinite(total)


def _to_integer(
    x: Any,
    plain: Callable[[Any], Any],
    dtype: Dtype,
    on_overflow: OnOverflow,
    settle: Callable[[float], int],
    remedy: str,
) -> Any:
    """To an integer type that may be too small; `settle` rounds as `plain` does."""
    if not isinstance(x, np.ndarray) and x.is_nested:
        options: dict[str, Any] = {
            "plain": plain,
            "dtype": dtype,
            "on_overflow": on_overflow,
            "settle": settle,
            "remedy": remedy,
        }
        return _row_by_row(partial(_to_integer, **options), x)
    low, high = _range(dtype)
    if _lies_within(x, low, high, settle):
        return plain(x)
    xp: Any = np if isinstance(x, np.ndarray) else loaded("torch")
    is_float = _sort(_name(x)) == "float"
    whole = x
    if is_float:
        wide = cast(x, "float64")  # exact, and wide enough for the bounds
        whole = xp.round(wide) if settle is round else xp.trunc(wide)
    elif not isinstance(x, np.ndarray):
        whole = x.long()  # torch wraps a bound that the element type cannot hold
    # one more than the largest integer is a power of two, so it is exact as a float, other than the largest itself
    below, above = whole < low, whole >= float(high + 1) if is_float else whole > high
    missing = xp.isnan(whole) if is_float else None
    lost = below | above if missing is None else below | above | missing
    if on_overflow == "raise" or (missing is not None and bool(missing.any())):
        _refuse(x, lost, dtype, remedy)
    y = cast(xp.where(lost, xp.zeros_like(whole), whole), dtype, on_overflow="ignore")
    y[below], y[above] = low, high
    return y


def _lies_within(x: Any, low: int, high: int, settle: Callable[[float], int]) -> bool:
    if 0 in x.shape:
        return True
    if isinstance(x, np.ndarray):
        ends = (x.min(), x.max())
    elif x.is_meta:
        return True
    else:
        ends = x.detach().aminmax()
    smallest, largest = (end.item() for end in ends)
    return math.isfinite(smallest) and math.isfinite(largest) and low <= settle(smallest) and settle(largest) <= high


def _refuse(x: Any, lost: Any, dtype: Dtype, remedy: str) -> NoReturn:
    lost = to_numpy(lost)
    first = tuple(int(i) for i in np.argwhere(lost)[0])
    value = x[first].item() if first else x.item()
    remedy = remedy if not _is_nan(value) else "replace NaN first"
    many = f"{int(lost.sum()):,} of {lost.size:,} values"
    raise DataError(f"{many} have no {dtype}, the first at {list(first)}: {value!r}; {remedy}")


def _is_nan(value: Any) -> bool:
    return bool(value != value)


# --- affine -----------------------------------------------------------------------------------------------------------


def affine_dtype(source: str, dtype: FloatDtype | None) -> str:
    """The type of scaled data: as asked, else floats stay, integers of up to 16 bits become float32, wider float64.

    >>> affine_dtype("int16", None), affine_dtype("int32", None), affine_dtype("float16", None)
    ('float32', 'float64', 'float16')
    """
    sort = _sort(source)
    if sort == "other" or source.startswith("float8_") or source == "complex32":
        raise NoRoute("dtype", f"elements of type {source} cannot be scaled", "cast or convert them first")
    if sort == "complex":
        if dtype is not None:
            raise NoRoute("dtype", f"{dtype} would drop the imaginary parts of {source}", "leave dtype=None")
        return source
    if dtype is not None:
        return dtype
    if sort == "float":
        return source
    return "float32" if sort == "bool" or int(source.lstrip("uint")) <= 16 else "float64"


def _work_dtype(source: str, result: str) -> str:
    """What the arithmetic is done in: never narrower than data or result, and in float32 for 16-bit floats."""
    if result in _PART:
        return result
    own = affine_dtype(source, None)
    return "float64" if "float64" in (own, result) else "float32"


def affine(x: Any, scale: float, offset: float, *, dtype: FloatDtype | None = None, inplace: bool = False) -> Any:
    """`scale * x + offset`, rounded after the product and after the sum; differentiable for tensors.

    Args:
        x: ndarray or tensor `[...]` of numbers, on any device.
        scale: units per count.
        offset: units at count 0.
        dtype: of the result; `None` as `affine_dtype` says. 16-bit floats are scaled in float32 and rounded once more.
        inplace: write the result over `x`.

    Raises:
        DataError: `inplace`, and `x` is read-only or the result has another dtype; a result beyond a 16-bit float's
            range.
        NoRoute: the elements are not numbers.

    >>> affine(np.array([1024, 1224], "uint16"), 0.005, -5.12)
    array([0., 1.], dtype=float32)
    """
    is_numpy = isinstance(x, np.ndarray)
    types = _affine_types(x.dtype, is_numpy, dtype)
    if inplace:
        _check_inplace(x, types.source, types.result, types.work)
    if is_numpy:
        with np.errstate(over="ignore", invalid="ignore"):  # torch says nothing of them either
            y = np.multiply(x, scale, dtype=types.own, out=x if inplace else None)
            if not isinstance(y, np.ndarray):
                y = np.asanyarray(y)
            if offset:
                np.add(y, offset, out=y)
    else:
        y = x.to(types.own)
        y = y.mul_(scale) if inplace or y is not x else y * scale
        y = y.add_(offset) if offset else y
    return y if types.result == types.work else cast(y, types.result, remedy=_WIDER)


class _AffineTypes(NamedTuple):
    """The element types of data, result and arithmetic by name, and the last one as its library has it."""

    source: str
    result: Any
    work: str
    own: Any


@lru_cache(maxsize=256)
def _affine_types(element: Any, is_numpy: bool, dtype: FloatDtype | None) -> _AffineTypes:
    source = str(element.name) if is_numpy else str(element).removeprefix("torch.")
    result = affine_dtype(source, dtype)
    work = _work_dtype(source, result)
    own = np.dtype(work) if is_numpy else getattr(require("torch", needed_for="a tensor"), work)
    return _AffineTypes(source, result, work, own)


def _check_inplace(x: Any, source: str, result: str, work: str) -> None:
    if source != result or source != work:
        raise DataError(f"inplace=True, but {source} data become {result} (in {work}); leave inplace=False")
    if isinstance(x, np.ndarray) and not x.flags.writeable:
        raise DataError("inplace=True, but the array is read-only; leave inplace=False, or put Clone before")
