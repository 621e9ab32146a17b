"""The engines that run second-order sections, what each must offer, and which one a call gets.

| engine | what it is | takes |
| --- | --- | --- |
| `"native"` | SIMD over rows, CPU | ndarray |
| `"blocks"` | block state space in torch operations, any device, after a differentiable operator | tensor |
| `"scipy"` | SciPy's loops, the reference | ndarray |

The choice looks at where the data are and what they are, never at how long they are or how many rows there are: a
stream must get the same engine, and so the same bits, however it is cut into chunks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from math import isfinite
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

import numpy as np

from bridgeflow.errors import ConfigError, DataError, MissingDependency
from bridgeflow.policy import parse_word, words
from bridgeflow.signal.padding import Padtype

__all__ = [
    "Array",
    "Engine",
    "EngineName",
    "Parallel",
    "Pass",
    "Precision",
    "choose",
    "load",
    "make_pass",
    "require_sections",
    "result_dtype",
    "rounded",
    "why_unavailable",
]

Array: TypeAlias = np.ndarray[Any, Any]

EngineName: TypeAlias = Literal["native", "blocks", "scipy"]
"""The engines, best first on a CPU."""

Precision: TypeAlias = Literal["float64", "float32"]
"""Number format of the recursion; complex data use its complex twin."""

Parallel: TypeAlias = Literal["time"]
"""What else than rows may be worked on side by side."""

_WORK: Final[dict[tuple[Precision, bool], np.dtype[Any]]] = {
    ("float64", False): np.dtype(np.float64),
    ("float64", True): np.dtype(np.complex128),
    ("float32", False): np.dtype(np.float32),
    ("float32", True): np.dtype(np.complex64),
}
_SAME: Final = frozenset("efdgFDG")
_DOUBLE: Final = np.dtype(np.float64)


@dataclass(frozen=True)
class Pass:
    """How one pass over the data computes.

    Args:
        precision: of the recursion and of the state, whatever the dtype of the data.
        scale: with `offset`, what turns the input into units, `scale * x + offset`, in the same pass.
        offset: see `scale`.
        parallel: `"time"` allows segments of one row side by side, at the price of other bits, within a stated
            tolerance. An engine that gains nothing by it takes the rows as a whole.
    """

    precision: Precision = "float64"
    scale: float = 1.0
    offset: float = 0.0
    parallel: Parallel | None = None

    def __post_init__(self) -> None:
        parse_word(self.precision, Precision, field="precision")
        if self.parallel is not None:
            parse_word(self.parallel, Parallel, field="parallel")
        for field in ("scale", "offset"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not isfinite(value):
                raise ConfigError(f"{field} must be a finite number, got {value!r}", field=field)

    def work_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The dtype of recursion and state for data of `dtype`: longdouble stays, all else follows `precision`."""
        return dtype if dtype.char in "gG" else _WORK[self.precision, dtype.kind == "c"]

    def units(self, x: Array, work: np.dtype[Any]) -> Array:
        """The data in units, in the dtype of the recursion. May be `x` itself."""
        plain = self.scale == 1.0 and self.offset == 0.0
        if plain and x.dtype == work:
            return x
        with np.errstate(invalid="ignore", over="ignore"):
            if plain:
                return x.astype(work)
            return (x.astype(np.result_type(work, _DOUBLE)) * self.scale + self.offset).astype(work, copy=False)


_PLAIN: Final = Pass()


def make_pass(precision: Precision, scale: float, offset: float, parallel: Parallel | None = None) -> Pass:
    """A `Pass`; that of default options exists already."""
    numbers = type(scale) is float and type(offset) is float
    if numbers and scale == 1.0 and offset == 0.0 and precision == "float64" and parallel is None:
        return _PLAIN
    return Pass(precision, scale, offset, parallel)


def rounded(y: Array, dtype: np.dtype[Any]) -> Array:
    """Results in the dtype that they are owed to data of `dtype`; what is too large for it becomes infinite."""
    expected = result_dtype(dtype)
    if y.dtype == expected:
        return y
    with np.errstate(over="ignore"):
        return y.astype(expected)


def require_sections(sos: Any) -> None:
    """Refuse an ndarray or a tensor of another shape than [sections, 6].

    Raises:
        DataError: it has another, or no sections.
    """
    if sos.ndim != 2 or sos.shape[1] != 6 or not len(sos):
        raise DataError(f"sos must be an array of shape [sections, 6], got {tuple(sos.shape)}")


def result_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the output: floating and complex data keep theirs, integers and booleans become float64 as in SciPy.

    >>> result_dtype(np.dtype("float32")), result_dtype(np.dtype("int16"))
    (dtype('float32'), dtype('float64'))
    """
    return dtype if dtype.char in _SAME else _DOUBLE


class Engine(Protocol):
    """What the modules of `"native"` and `"scipy"` offer; `"blocks"` is called by the operator in `iir.torch_ops`."""

    def unavailable(self) -> str | None:
        """Why this engine cannot run here, in words; `None` where it can."""

    def sosfilt(self, sos: Array, x: Any, zi: Any | None, settings: Pass, out: Any | None = None) -> tuple[Any, Any]:
        """One pass of all sections over every row.

        Args:
            sos: sections [S, 6], float64, `sos[:, 3] == 1`, only read.
            x: data [..., T], of any strides, any real or complex dtype but longdouble; only read. T and the other axes
                may be 0.
            zi: state [S, ..., 2] in `settings.work_dtype(x.dtype)`, SciPy's layout and meaning; only read. `None` is
                zero.
            settings: precision and units.
            out: [..., T] of `result_dtype(x.dtype)` and any strides, to write y into; may be x itself, no other
                overlap.

        Returns:
            y: [..., T] of `result_dtype(x.dtype)`, `out` or new memory.
            zf: [S, ..., 2], new memory, of the state's dtype. Not finite for exactly the rows that met NaN or infinity.
        """

    def sosfiltfilt(self, sos: Array, x: Any, padtype: Padtype | None, padlen: int | None, settings: Pass) -> Any:
        """Forward and backward with SciPy's padding, all arguments checked, T > padlen; returns y as `sosfilt` does."""


@cache
def why_unavailable(name: EngineName) -> str | None:
    """Why an engine cannot run here, in words; `None` where it can."""
    try:
        return load(name).unavailable()
    except ImportError as error:
        return f"it is not part of this installation ({error})"


@cache
def load(name: EngineName) -> Engine:
    """The module of an engine."""
    return cast(Engine, import_module(f"bridgeflow.signal.iir.{name}"))


def choose(asked: str | None, dtype: np.dtype[Any]) -> EngineName:
    """The engine of a call on data that lie on the CPU.

    Args:
        asked: the caller's word, or `None` for the best.
        dtype: of the data.

    Raises:
        ConfigError: an engine that cannot do this.
        ValueError: an unknown engine.
        MissingDependency: an engine asked for by name that cannot run here.
    """
    wider = dtype.char in "gG"
    if asked is None:
        return "scipy" if wider or why_unavailable("native") is not None else "native"
    name = cast(EngineName, parse_word(asked, EngineName, field="engine"))
    reason = why_unavailable(name)
    if reason is not None:
        others = [repr(other) for other in words(EngineName) if why_unavailable(cast(EngineName, other)) is None]
        raise MissingDependency(f"engine {name!r} cannot run here: {reason}; available: {', '.join(others)}")
    if wider and name != "scipy":
        raise ConfigError(f"engine {name!r} has no {dtype}; leave engine=None, or convert to float64")
    return name
