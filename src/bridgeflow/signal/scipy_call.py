"""A curated function of SciPy with its options, as a function of arrays [..., time] of any kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from bridgeflow.bridge import describe, kind_of, like
from bridgeflow.errors import ConfigError, DataError, naming, nearest
from bridgeflow.signal._chunks import as_kind
from bridgeflow.signal._input import read_array
from bridgeflow.signal.scipy_limits import refuse_together, refuse_with
from bridgeflow.signal.scipy_list import FUNCTIONS, ScipyFunction
from bridgeflow.signal.scipy_options import spelled
from bridgeflow.spec import ArraySpec

__all__ = ["ScipyCall"]

Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ScipyCall:
    """A function of the list with options: arrays [..., time] in, arrays of any kind out as they came in.

    Args:
        function: its name in `FUNCTIONS`.
        options: what it is given beside the data, by name.

    Raises:
        ConfigError: a function or an option that the list does not have, an option missing, a value of the wrong type
            or range.

    >>> ScipyCall("signal.medfilt", {"kernel_size": 3})(np.array([[1.0, 9.0, 2.0, 3.0, 2.0]]))
    array([[1., 2., 3., 2., 2.]])
    >>> ScipyCall("signal.medfil", {})
    Traceback (most recent call last):
    bridgeflow.errors.ConfigError: Scipy: function 'signal.medfil' is not in the list; did you mean 'signal.medfilt'?
    """

    function: str
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise ConfigError(
                f"Scipy: function {self.function!r} is not in the list; {_nearest(self.function)}", field="function"
            )
        options = self.entry.options
        for name, value in self.options.items():
            if name not in options:
                raise ConfigError(
                    f"Scipy: {self.function} has no option {name!r} here; {nearest(name, options)}", field=name
                )
            problem = options[name].problem(value)
            if problem:
                raise ConfigError(f"Scipy: {name} of {self.function} {problem}", field=name)
        for name, option in options.items():
            if option.required and name not in self.options:
                raise ConfigError(
                    f"Scipy: {self.function} needs the option {name!r}, {spelled(option.hint)}", field=name
                )
        refuse_together(self.function, self.options)

    @property
    def entry(self) -> ScipyFunction:
        """What the list says of the function."""
        return FUNCTIONS[self.function]

    def __call__(self, x: Any) -> Any:
        """The function of each row of data [..., time] of at least one sample.

        Returns:
            [..., n], or [...] where it makes one number of a row, of the kind of x.

        Raises:
            DataError: elements that the function does not take; what SciPy itself refuses, in its words.
            NoRoute: a tensor whose gradient is wanted.
        """
        with naming(self.function):
            values = read_array(x)
        spec = describe(values if kind_of(x) is None else x)
        dtype, length = self._dtype(spec.dtype), self._length(values.shape)
        shape = (*values.shape[:-1], *length)
        y = self._rows(self._working(values)) if values.size else np.empty(shape)
        if any(n is not None and n != m for n, m in zip(shape, y.shape, strict=True)):
            raise DataError(f"Scipy: {self.function} gave {y.shape} for {values.shape} instead of {shape}")
        if dtype == "bfloat16":
            return as_kind(y, spec.kind, dtype, spec.device)
        y = np.ascontiguousarray(y, dtype).reshape(y.shape)
        return y if kind_of(x) is None else like(y, x)

    def out_spec(self, spec: ArraySpec) -> ArraySpec:
        """What comes of an array described by `spec`."""
        if not spec.shape:
            raise DataError(f"{self.function}: x must have at least one axis, got a single number")
        length = self._length(spec.shape)
        described = spec.with_time(spec.time or 1000)  # where their number is not known, that of any signal
        same = self.entry.length(described.time, self.options) == (described.time,)
        fs = spec.fs if same and not self.function.startswith("fft.") else None
        return spec.fresh(
            kind="arrow" if spec.kind == "capsule" else spec.kind,
            dtype=self._dtype(spec.dtype),
            shape=(*spec.shape[:-1], *length),
            layout="strided",
            null_count=0,
            writable=spec.kind not in {"arrow", "capsule"},
            fs=fs,
        )

    def _length(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """What takes the place of the samples of a row."""
        time = shape[-1]
        if time == 0:
            raise DataError(f"Scipy: {self.function} needs at least one sample along the last axis, got none")
        length = self.entry.length(time, self.options)
        if time is not None:
            rows = math.prod(n if n is not None else 1 for n in shape[:-1])
            result = math.prod(n for n in length if n is not None) if None not in length else None
            refuse_with(self.function, self.options, time, rows, result)
        return length

    def _dtype(self, dtype: str) -> str:
        """The dtype of the result for data of `dtype`."""
        half = dtype in {"float16", "bfloat16"}
        work = "float32" if half else "float64" if dtype == "bool" else dtype
        if work not in _TAKEN or (work.startswith("complex") and not self.entry.is_complex):
            raise DataError(f"Scipy: {self.function} does not take elements of type {dtype}; convert them first")
        if self.entry.dtype != "kept" and work not in _FLOATS:
            work = "float64"
        if self.entry.dtype in {"kept", "float"}:
            return dtype if half else work
        single = work in {"float32", "complex64"}
        if self.entry.dtype == "real":
            return dtype if half else "float32" if single else "float64"
        if self.entry.dtype == "complex":
            return "complex64" if single else "complex128"
        return "complex128" if self.entry.dtype == "complex128" or work.startswith("complex") else "float64"

    def _working(self, values: Array) -> Array:
        """The data as SciPy is given them."""
        if values.dtype == np.float16:
            return values.astype(np.float32)
        if not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
        exact = self.entry.dtype == "kept" and values.dtype != bool
        return values if exact or values.dtype.kind in "fc" else values.astype(np.float64)

    def _rows(self, values: Array) -> Array:
        function, options = self.entry.find(), dict(self.options)
        before = [options.pop(name) for name in self.entry.before]
        item = self.entry.item

        def call(x: Array, **where: Any) -> Array:
            try:
                y = function(*before, x, **{**options, **where})
            except (ValueError, TypeError, IndexError, ArithmeticError, RuntimeError, NotImplementedError) as error:
                raise DataError(
                    f"Scipy: {self.function} refuses an array of shape {values.shape} and type {values.dtype}: {error}"
                ) from error
            return np.asarray(y if item is None else y[item])

        if self.entry.by == "axis":
            return call(values, axis=-1)
        if self.entry.by == "axes":
            return call(values, axes=(-1,))
        if self.entry.by == "size":
            size = options.get(self.entry.size, 3)
            return call(values, **{self.entry.size: (1,) * (values.ndim - 1) + (size,)})
        y = np.stack([call(row) for row in values.reshape(-1, values.shape[-1])])
        return y.reshape(*values.shape[:-1], *y.shape[1:])


_FLOATS: Final = ("float32", "float64", "complex64", "complex128")
_TAKEN: Final = (*_FLOATS, *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


def _nearest(name: str) -> str:
    """By the whole name; or by what stands after the dot, where the module is wrong or missing."""
    last = name.rpartition(".")[2]
    same = [name for name in FUNCTIONS if name.rpartition(".")[2] == last]
    return f"did you mean {' or '.join(map(repr, same))}?" if same else nearest(name, FUNCTIONS, count=1)
