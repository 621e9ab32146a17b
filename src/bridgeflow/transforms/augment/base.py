"""The contract of an augmentation, and how a batch gets the draws of its rows.

An augmentation says what it draws for one sample (`draw`) and what it does to a batch with the draws of all rows
(`augment`). A single sample runs as a batch of one row. Draws are made in NumPy on the CPU, row by row from the
generator of each row, and moved to the data's device; `augment` treats every row alone, so that a batch has the bits of
its samples. What lies on the CPU and is not under autograd is computed by NumPy; torch computes everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from bridgeflow._optional import loaded
from bridgeflow.bridge import to_numpy
from bridgeflow.errors import ConfigError, DataError
from bridgeflow.randomness import Generators, generators
from bridgeflow.ranges import Range
from bridgeflow.signal._input import dispatch_of
from bridgeflow.signal._memory import empty
from bridgeflow.spec import ArraySpec
from bridgeflow.transforms.along_time import TimeTransform
from bridgeflow.transforms.arithmetic import affine_dtype, elementwise, elementwise_spec

__all__ = ["Array", "Augmentation", "Probability", "as_batch", "duplicated", "parse_p"]

Array = np.ndarray[Any, Any]

Probability = Annotated[float, Range(0, 1)]
"""A probability, from 0 to 1."""

_HALF = ("float16", "bfloat16")
_SIGNED = {"uint16": "int16", "uint32": "int32", "uint64": "int64"}
"""Types that torch stores but hardly computes with, and those of the same size that it can move and mask."""


@dataclass(frozen=True, kw_only=True)
class Augmentation(TimeTransform):
    """A random change of samples along one axis; the draws of a row depend on seed, epoch and row alone.

    Within a `SignalDataset` or `Loader` the draws come from the generators of the rows. A call elsewhere needs
    `with bridgeflow.seeded(seed, rows=...)`, and raises `OutOfContext` without. Several arrays named by `keys` are
    given draws of their own, one after the other.

    Args:
        p: how often it is applied, the probability for each sample.
    """

    p: Probability = 1.0

    keeps_values: ClassVar[bool] = False
    """Whether samples are only moved or set to zero, so that integers stay integers."""

    def check_shared_fields(self) -> None:
        """`keys`, `axis` and `p`."""
        super().check_shared_fields()
        parse_p(self.p, what=type(self).__name__)

    # --- what a subclass says ---

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
        """The random numbers of one sample `[..., time]`: each one number, an array along the axis, or one of as many
        axes as the sample.

        Args:
            rng: the generator of the sample's row.
            shape: of the sample, the axis last.
            dtype: of the values: that of the data, or the float type that they have become.
        """
        return ()

    def draw_rows(self, rngs: Sequence[np.random.Generator], shape: tuple[int, ...], dtype: str) -> tuple[Array, ...]:
        """The same for several samples, stacked."""
        draws = [self.draw(rng, shape, dtype) for rng in rngs]
        return tuple(map(np.asarray, zip(*draws, strict=True)))

    def augment(self, x: Any, *draws: Array) -> Any:
        """The change of rows `[rows, ..., time]`, an ndarray or a tensor that is only read, as new memory.

        Args:
            draws: what `draw_rows` gave, which may be written to.
        """
        raise NotImplementedError

    def augment_some(self, rows: Array, chosen: list[int], *draws: Array) -> Array:
        """`augment` for some rows of an ndarray, and `untouched` for the others; each is written once.

        Args:
            chosen: the numbers of the rows that are changed.
            draws: for these.
        """
        part = self.augment(rows[chosen], *draws)
        others = sorted(set(range(len(rows))).difference(chosen))
        result = empty((len(rows), *part.shape[1:]), part.dtype)
        if part.shape[1:] == rows.shape[1:]:
            for number in others:
                result[number] = rows[number]
        else:
            result[others] = self.untouched(rows[others])
        for number, one in zip(chosen, part, strict=True):
            result[number] = one
        return result

    def untouched(self, x: Any) -> Any:
        """What becomes of rows `[rows, ..., time]` to which it is not applied: a copy."""
        return duplicated(x)

    # --- the contract ---

    @property
    def random(self) -> bool:
        """Whether it is ever applied."""
        return self.p > 0

    @property
    def stream_obstacle(self) -> str:
        """Draws belong to whole samples."""
        return f"{type(self).__name__} draws random numbers for whole samples; pipeline.eval() leaves it out"

    def transform_rows(self, x: Any) -> Any:
        """The sample or batch, each of whose rows is changed with probability `p`."""
        return elementwise(self._of_values, x)

    def rows_spec(self, spec: ArraySpec) -> ArraySpec:
        """New memory; integers and booleans as floats where values are changed."""
        return elementwise_spec(spec, lambda inside: self._result_dtype(inside.dtype))

    def _result_dtype(self, dtype: str) -> str:
        number = affine_dtype(dtype, None)  # refuses what is not a number
        return dtype if self.keeps_values else number

    def _of_values(self, x: Any) -> Any:
        """An ndarray or tensor, in the type that the work is done in, and back."""
        name = _dtype_name(x)
        result = self._result_dtype(name)
        work = _SIGNED.get(name, name) if self.keeps_values and not isinstance(x, np.ndarray) else result
        if not self.keeps_values and result in _HALF:
            work = "float32"
        if isinstance(x, np.ndarray):
            values = np.asarray(x).astype(work, copy=False)
            return np.ascontiguousarray(self._of_rows(values, work)).astype(result, copy=False)
        torch: Any = loaded("torch")
        by_numpy = dispatch_of(x) == "numpy"
        if self.keeps_values:
            if by_numpy and name == "bfloat16":
                work = "int16"  # NumPy lacks it, and zero has the same bits
            values = x.view(getattr(torch, work)) if work != name else x
        else:
            values = x.to(getattr(torch, work))
        if by_numpy:
            y = torch.from_numpy(np.ascontiguousarray(self._of_rows(to_numpy(values), work)))
        else:
            y = self._of_rows(values, work)
        return y.view(x.dtype) if self.keeps_values and work != name else y.to(getattr(torch, result))

    def _of_rows(self, x: Any, dtype: str) -> Any:
        if not self.random:
            return self.untouched(x[None])[0]
        drawing = generators()
        rows = as_batch(x, drawing, self.core_ndim, what=type(self).__name__)
        chosen = [number for number, rng in enumerate(drawing) if self.p >= 1 or rng.random() < self.p]
        if not chosen:
            y = self.untouched(rows)
        else:
            draws = self.draw_rows([drawing[number] for number in chosen], tuple(rows.shape[1:]), dtype)
            if len(chosen) == len(rows):
                y = self.augment(rows, *draws)
            elif isinstance(rows, np.ndarray):
                y = self.augment_some(rows, chosen, *draws)
            else:
                y = self.untouched(rows)
                y[chosen] = self.augment(rows[chosen], *draws)
        return y if drawing.batched else y[0]


def parse_p(value: Any, *, what: str, field: str = "p") -> None:
    """Refuse what is not a probability.

    Raises:
        ConfigError: it is not a number from 0 to 1.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ConfigError(f"{what}: {field} must be a probability from 0 to 1, got {value!r}", field=field)


def as_batch(x: Any, drawing: Generators, core_ndim: int | None, *, what: str) -> Any:
    """The data as rows `[rows, ...]`: a batch as it is, a sample as one row.

    Raises:
        DataError: a batch of another length than there are generators, or without axes for the samples.
    """
    if not drawing.batched:
        return x[None]
    if core_ndim is None:
        raise DataError(f"{what}: an axis counted from the front takes samples one by one; count it from the end")
    if x.ndim <= core_ndim or len(x) != len(drawing):
        expected = f"a batch of {len(drawing)} samples, each of {core_ndim} axes or more"
        raise DataError(f"{what}: expected {expected}, got an array of shape {list(x.shape)}; see bridgeflow.seeded")
    return x


def duplicated(x: Any) -> Any:
    """A copy of an ndarray or a tensor."""
    if not isinstance(x, np.ndarray):
        return x.clone()
    duplicate = empty(x.shape, x.dtype)
    duplicate[...] = x
    return duplicate


def _dtype_name(x: Any) -> str:
    return str(x.dtype.name) if isinstance(x, np.ndarray) else str(x.dtype).removeprefix("torch.")
