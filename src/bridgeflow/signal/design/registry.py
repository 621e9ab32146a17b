"""Every design by the name that configurations use, and the one way to make a design from such a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import MappingProxyType
from typing import Any, Final

from bridgeflow.errors import ConfigError, nearest
from bridgeflow.signal.design.base import Design
from bridgeflow.signal.design.fir import Firls, Firwin, Remez, Savgol, Taps
from bridgeflow.signal.design.iir import Ba, Bessel, Butter, Cheby1, Cheby2, Comb, Ellip, Notch, Peak, Sos, Zpk

__all__ = [
    "DESIGNS",
    "make_design",
]

_ALL: Final[tuple[type[Design], ...]] = (
    Ba, Bessel, Butter, Cheby1, Cheby2, Comb, Ellip, Firls, Firwin, Notch, Peak, Remez, Savgol, Sos, Taps, Zpk
)  # fmt: skip

DESIGNS: Final[Mapping[str, type[Design]]] = MappingProxyType({design.name: design for design in _ALL})
"""Every design under the name that configurations use."""


def make_design(name: str, **parameters: Any) -> Design:
    """The design of that name.

    Args:
        name: a key of `DESIGNS`.
        parameters: its fields.

    Raises:
        ConfigError: an unknown name, a parameter that this design does not take, or one that it needs and did not get.
        UnstableFilter: a pole on or outside the unit circle.

    >>> make_design("notch", w0=50.0, Q=30.0, fs=500.0)
    Notch(fs=500.0, w0=50.0, Q=30.0)
    """
    key: object = name
    if not isinstance(key, str) or key not in DESIGNS:
        raise ConfigError(f"there is no filter design {name!r}; {nearest(str(name), DESIGNS)}", field="design")
    design = DESIGNS[name]
    by_name = {field.name: field for field in fields(design)}
    takes = f"{name} takes {', '.join(by_name)}"
    for unknown in parameters.keys() - by_name.keys():
        raise ConfigError(f"design {name!r} has no parameter {unknown!r}; {takes}", field=unknown)
    for field in by_name.values():
        if field.default is MISSING and field.name not in parameters:
            raise ConfigError(f"design {name!r} needs {field.name}; {takes}", field=field.name)
    return design(**parameters)
