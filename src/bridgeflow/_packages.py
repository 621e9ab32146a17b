"""The packages inside bridgeflow, each of which runs its own file when a name of it is first asked for.

Python runs `bridgeflow/signal/__init__.py` before it imports `bridgeflow.signal.fir`, under a lock for each of the two.
The file imports `fir` in its turn, so threads that begin at different ends wait for each other: Python notices, and one
of them fails. Where a package waits with its file, no module waits for its package, and threads wait in one direction
only, as long as no module imports what imports it. `importlib.util.LazyLoader` is the same idea, without the care for
threads. The finder that makes packages wait is in `bridgeflow/__init__.py`, since it must be there first.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from threading import RLock
from types import ModuleType
from typing import Any

__all__ = ["attribute", "run"]

_locks: dict[str, Any] = {}
_running: set[str] = set()


def attribute(package: ModuleType, name: str) -> Any:
    """An attribute of a package whose file waits: a module in it, which does without the file, or the file's."""
    if any(found.name == name for found in iter_modules(package.__path__)):
        return import_module(f"{package.__name__}.{name}")
    if name.startswith("_") and name != "__all__":  # asked of every module by tools that look around
        raise AttributeError(f"module {package.__name__!r} has no attribute {name!r}")
    run(package)
    return getattr(package, name)


def run(package: ModuleType) -> None:
    """Run the package's file; once, and again where that has failed."""
    name = package.__name__
    with _locks.setdefault(name, RLock()):
        if type(package) is ModuleType:  # another thread has
            return
        if name in _running:
            raise AttributeError(f"module {name!r} is asked for a name by a module that it imports")
        before = dict(package.__dict__)
        _running.add(name)
        try:
            package.__loader__.exec_module(package)  # type: ignore[union-attr]
        except BaseException:
            for added in set(package.__dict__) - set(before):
                if type(package.__dict__[added]) is not ModuleType:
                    del package.__dict__[added]
            raise
        finally:
            _running.discard(name)
        package.__class__ = ModuleType
