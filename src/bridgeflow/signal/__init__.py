"""Signals: arrays in, arrays out, under SciPy's names and with SciPy's numbers, on NumPy, torch and Arrow arrays.

Functions filter one array; designs (`Butter`, `Firwin`, ...) say which filter; `CausalFilter` and `ZeroPhaseFilter` put
a design to work on recordings. Data go in as `[..., time]` unless `axis` says otherwise, and come out as the kind of
array that went in.
"""

from importlib import import_module as _import_module
from importlib.util import find_spec as _find_spec
from typing import Any as _Any

import lazy_loader as _lazy

_attached, _, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name: str) -> _Any:
    """Ours, a module in here, or a name of SciPy that needs no engine of ours, see `scipy_names`."""
    if name in __all__:
        return _attached(name)
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bridgeflow.signal.scipy_names import find, is_passed

    if not is_passed(name) and _find_spec(f"{__name__}.{name}") is not None:
        return _import_module(f"{__name__}.{name}")
    return find(name, __all__)  # kept there, not here: SciPy's examples are no doctests of this module


def __dir__() -> list[str]:
    from bridgeflow.signal.scipy_names import SCIPYS_FUNCTIONS, SCIPYS_OBJECTS

    passed = [name for names in SCIPYS_FUNCTIONS.values() for name in names]
    return sorted({*globals(), *__all__, *passed, *SCIPYS_OBJECTS})
