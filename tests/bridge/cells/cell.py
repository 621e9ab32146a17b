"""What a cell of the matrix is: an array, and the deed that each target kind calls for."""

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
class Deed:
    """What happens under some options: `dtype` and `values` say what comes out where it is not what went in; a `late`
    refusal is found in the data, when they are looked at.
    """

    action: Literal["view", "copy", "refuse"]
    reason: str | None = None
    dtype: str | None = None
    values: Callable[[Any], Any] | None = None
    options: tuple[tuple[str, Any], ...] = ()
    target: Target = "numpy"
    late: bool = False


def view(*, dtype: str | None = None, values: Callable[[Any], Any] | None = None, **options: Any) -> Deed:
    """The same memory."""
    return Deed("view", None, dtype, values, tuple(options.items()))


def copy(reason: str, *, dtype: str | None = None, values: Callable[[Any], Any] | None = None, **options: Any) -> Deed:
    """New memory, `CopyRefused` with this reason under copy="never"."""
    return Deed("copy", reason, dtype, values, tuple(options.items()))


def refuse(reason: str, *, late: bool = False, **options: Any) -> Deed:
    """`NoRoute` with this reason."""
    return Deed("refuse", reason, None, None, tuple(options.items()), late=late)


Deeds = Deed | tuple[Deed, ...]


@dataclass(frozen=True)
class Cell:
    """One kind of array, made anew at each call of `make`."""

    name: str
    make: Callable[[], Any]
    deeds: tuple[Deed, ...]
    dtype: str | None = None
    values: Callable[[Any], Any] = answers.values
    once: bool = False

    def cases(self) -> Iterator[Case]:
        for deed in self.deeds:
            yield Case(self, deed)


@dataclass(frozen=True)
class Case:
    """A cell under one deed: what a single test asks about."""

    cell: Cell
    deed: Deed

    @property
    def id(self) -> str:
        options = [f"{name}={value!r}" for name, value in self.deed.options]
        return "-".join((self.cell.name, self.deed.target, *options)).replace(" ", "_")

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.deed.options)

    def make(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of prototypes and deprecations in the libraries
            return self.cell.make()

    def convert(self, x: Any, **options: Any) -> Any:
        return CONVERT[self.deed.target](x, **{**self.options, **options})

    def values(self, x: Any) -> Any:
        """What the result must hold."""
        return (self.deed.values or self.cell.values)(x)

    def dtype(self, x: Any) -> str:
        """The element type that the result must have."""
        return self.deed.dtype or self.cell.dtype or answers.dtype(x)


def cell(
    name: str, make: Callable[[], Any], *, numpy: Deeds = (), torch: Deeds = (), arrow: Deeds = (), **about: Any
) -> Cell:
    """A cell from what happens to its array on the way to each kind."""
    given: dict[Target, Deeds] = {"numpy": numpy, "torch": torch, "arrow": arrow}
    deeds = [
        replace(deed, target=target)
        for target, some in given.items()
        for deed in ((some,) if isinstance(some, Deed) else some)
    ]
    return Cell(name, make, tuple(deeds), **about)
