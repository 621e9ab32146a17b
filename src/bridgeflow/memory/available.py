"""How much memory can be had: asked before it is taken, because the kernel would rather kill than refuse."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["available", "installed"]

_CGROUPS = Path("/sys/fs/cgroup")


def available() -> int | None:
    """Bytes that this process could still allocate: free or reclaimable, swap included, within its cgroup's limit.

    `None` where the system does not tell.
    """
    limits = [number for number in (_of_the_machine(), *_of_the_groups()) if number is not None]
    return min(limits) if limits else None


def installed() -> int | None:
    """Bytes of memory that the machine has; `None` where the system does not tell."""
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _of_the_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return (kib["MemAvailable"] + kib.get("SwapFree", 0)) * 1024 if "MemAvailable" in kib else None


def _of_the_groups() -> list[int | None]:
    try:
        memberships = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    left: list[int | None] = []
    for line in memberships:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            left.append(_left(_CGROUPS / path.lstrip("/"), "memory.max", "memory.current", "inactive_file"))
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            # A container sees its own group as the root of the tree, under a path that belongs to the host.
            for folder in (_CGROUPS / "memory" / path.lstrip("/"), _CGROUPS / "memory"):
                left.append(_left(folder, *names))
    return left


def _left(folder: Path, limit: str, usage: str, reclaimable: str) -> int | None:
    """Limit less usage, where cached file pages that the kernel would drop first do not count as used."""
    try:
        allowed = (folder / limit).read_text(encoding="ascii").strip()
        if allowed == "max":
            return None
        used = int((folder / usage).read_text(encoding="ascii"))
        for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines():
            name, _, number = line.partition(" ")
            if name == reclaimable:
                used -= int(number)
        return max(0, int(allowed) - max(0, used))
    except (OSError, ValueError):
        return None
