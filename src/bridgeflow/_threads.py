"""How many threads are worth starting, and how many one calculation may use."""

from __future__ import annotations

import os
from contextvars import ContextVar

from bridgeflow._optional import loaded

__all__ = ["compute_threads", "share_threads", "usable_cores"]

_SHARED_BY: ContextVar[int] = ContextVar("bridgeflow_threads_shared_by", default=1)


def usable_cores() -> int:
    """Processors that this process may use; all of the machine's where the system does not tell.

    >>> usable_cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compute_threads() -> int:
    """As many as torch uses, if it is loaded; else `OMP_NUM_THREADS`, or one per processor that this process has.

    Divided among the callers that `share_threads` names, but at least one.
    """
    return max(1, _all_threads() // _SHARED_BY.get())


def share_threads(callers: int) -> None:
    """Leave the other `callers - 1` threads that compute at the same time their share of the processor.

    Holds for this thread (its context) from now on.
    """
    _SHARED_BY.set(callers)


def _all_threads() -> int:
    torch = loaded("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdecimal() and int(limit) > 0:
        return int(limit)
    return usable_cores()
