"""What a cell of the matrix is: an array, and the expected outcome for each target kind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from bridgeflow.bridge import to_arrow, to_numpy, to_tensor
from bridgeflow.bridge.rules import Target
from tests.bridge import answers

CONVERT: dict[Target, Callable[..., Any]] = {"numpy": to_numpy, "torch": to_tensor, "arrow": to_arrow}


@dataclass(frozen=True)
class Outcome:
    """What happens under some options: `dtype` and `values` say what comes out where it is not what went in; a `late`
    refusal comes from the data, when they are read.
    """

    action: Literal["view", "copy", "refuse"]
    reason: str | None = None
    dtype: str | None = None
    values: Callable[[Any], Any] | None = None
    options: tuple[tuple[str, Any], ...] = ()
    target: Target = "numpy"
    late: bool = False


def view(*, dtype: str | None = None, values: Callable[[Any], Any] | None = None, **options: Any) -> Outcome:
    """The same memory."""
    return Outcome("view", None, dtype, values, tuple(options.items()))


def copy(
    reason: str, *, dtype: str | None = None, values: Callable[[Any], Any] | None = None, **options: Any
) -> Outcome:
    """New memory, `CopyRefused` with this reason under copy="never"."""
    return Outcome("copy", reason, dtype, values, tuple(options.items()))


def refuse(reason: str, *, late: bool = False, **options: Any) -> Outcome:
    """`NoRoute` with this reason."""
    return Outcome("refuse", reason, None, None, tuple(options.items()), late=late)


Outcomes = Outcome | tuple[Outcome, ...]


@dataclass(frozen=True)
class Cell:
    """One kind of array, built at each call of `make`."""

    name: str
    make: Callable[[], Any]
    outcomes: tuple[Outcome, ...]
    dtype: str | None = None
    values: Callable[[Any], Any] = answers.values
    once: bool = False

    def cases(self) -> Iterator[Case]:
        for outcome in self.outcomes:
            yield Case(self, outcome)


@dataclass(frozen=True)
class Case:
    """A cell under one outcome: what a single test asks about."""

    cell: Cell
    outcome: Outcome

    @property
    def id(self) -> str:
        options = [f"{name}={value!r}" for name, value in self.outcome.options]
        return "-".join((self.cell.name, self.outcome.target, *options)).replace(" ", "_")

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.outcome.options)

    def make(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of prototypes and deprecations in the libraries
            return self.cell.make()

    def convert(self, x: Any, **options: Any) -> Any:
        return CONVERT[self.outcome.target](x, **{**self.options, **options})

    def values(self, x: Any) -> Any:
        """What the result must hold."""
        return (self.outcome.values or self.cell.values)(x)

    def dtype(self, x: Any) -> str:
        """The element type that the result must have."""
        return self.outcome.dtype or self.cell.dtype or answers.dtype(x)


def cell(
    name: str,
    make: Callable[[], Any],
    *,
    numpy: Outcomes = (),
    torch: Outcomes = (),
    arrow: Outcomes = (),
    **about: Any,
) -> Cell:
    """A cell from what happens to its array on the way to each kind."""
    by_target: dict[Target, Outcomes] = {"numpy": numpy, "torch": torch, "arrow": arrow}
    outcomes = [
        replace(outcome, target=target)
        for target, some in by_target.items()
        for outcome in ((some,) if isinstance(some, Outcome) else some)
    ]
    return Cell(name, make, tuple(outcomes), **about)
