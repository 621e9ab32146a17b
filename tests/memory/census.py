"""What a process holds: descriptors, mappings, threads, children. Counted before and after, it shows a leak."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

gc.freeze()  # the libraries' own objects: no collection below need walk them


class Census(NamedTuple):
    """Counts for this process."""

    descriptors: int
    memfds: int
    mappings: int
    threads: int
    children: int


def census() -> Census:
    """Take the count, after a collection."""
    gc.collect()
    return Census(
        descriptors=len(os.listdir("/proc/self/fd")),
        memfds=len(memfds(os.getpid())),
        mappings=sum("memfd:bridgeflow" in line for line in Path("/proc/self/maps").read_text().splitlines()),
        threads=threading.active_count(),
        children=len(children(os.getpid())),
    )


def memfds(pid: int) -> list[str]:
    """Our anonymous memory among a process's open files."""
    entries = []
    for entry in _listed(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{entry}")
        except OSError:
            continue
        if "memfd:bridgeflow" in target:
            entries.append(target)
    return entries


def everywhere() -> int:
    """How many descriptors and mappings of our anonymous memory there are in all processes that we may look at."""
    count = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        count += len(memfds(int(pid)))
        try:
            count += Path(f"/proc/{pid}/maps").read_text().count("memfd:bridgeflow")
        except OSError:
            continue
    return count


def children(pid: int) -> list[int]:
    """The child processes of a process, of all its threads."""
    entries = []
    for thread in _listed(f"/proc/{pid}/task"):
        try:
            entries += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
        except OSError:
            continue
    return entries


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def eventually(condition: object, *, within: float = 20.0) -> bool:
    """Whether a condition (a callable) comes true; how soon decides nothing."""
    deadline = time.monotonic() + within
    while not (met := condition()) and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.005)
    return bool(met)


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
