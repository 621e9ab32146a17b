"""What this machine and installation offer: versions, limits, and what is likely to hurt."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Literal, TypeAlias

from bridgeflow._threads import usable_cores

__all__ = ["Finding", "examine"]

Verdict: TypeAlias = Literal["ok", "note", "bad"]

_REQUIRED = ("torch", "torchvision", "numpy", "scipy", "pyarrow", "pydantic", "PyYAML", "typer", "rich")
_OPTIONAL = {
    "matplotlib": "pictures: pip install 'bridgeflow[plot]'",
    "ml_dtypes": "bfloat16 in NumPy: pip install 'bridgeflow[ml-dtypes]'",
    "pillow": "images: pip install 'bridgeflow[images]'",
}
_FEW_FILES = 1024
_SMALL_SHM = 64 << 20


@dataclass(frozen=True)
class Finding:
    """One line of `bridgeflow doctor`: what, the value found, and whether it is fine."""

    what: str
    found: str
    verdict: Verdict = "ok"
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at the installation and the machine; imports torch.

    >>> {finding.what for finding in examine()} >= {"python", "torch", "cores", "memory", "open files"}
    True
    """
    return [
        Finding("python", f"{platform.python_version()} ({sys.executable})"),
        *map(_package, ("bridgeflow", *_REQUIRED)),
        *(_optional(name, use) for name, use in _OPTIONAL.items()),
        _yaml_parser(),
        _cores(),
        _accelerator(),
        _memory(),
        _open_files(),
        _shared_memory(),
    ]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Finding:
    version = _version(name)
    if version is None and name == "bridgeflow":
        return Finding(name, "used from its sources", "note", "pip install -e . to install it")
    return Finding(name, version) if version else Finding(name, "missing", "bad", f"pip install {name}")


def _optional(name: str, use: str) -> Finding:
    version = _version(name)
    return Finding(name, version) if version else Finding(name, "not installed", "note", use)


def _yaml_parser() -> Finding:
    import yaml

    if hasattr(yaml, "CSafeLoader"):
        return Finding("YAML parser", "libyaml")
    return Finding(
        "YAML parser", "pure Python", "note", "large configurations parse slowly; PyYAML's wheels have libyaml"
    )


def _cores() -> Finding:
    import torch

    usable = usable_cores()
    threads = torch.get_num_threads()
    found = f"{usable} usable, torch uses {threads} threads"
    if threads > usable:
        return Finding("cores", found, "note", f"set OMP_NUM_THREADS={usable}")
    return Finding("cores", found)


def _accelerator() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("accelerator", "none that torch can use")
    return Finding("accelerator", f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}")


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Finding("memory", _gib(total))


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{soft:,} (may be raised to {hard:,})"
    if soft < _FEW_FILES:
        return Finding("open files", found, "bad", f"workers that share tensors need more: ulimit -n {_FEW_FILES * 4}")
    return Finding("open files", found)


def _shared_memory() -> Finding:
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return Finding("/dev/shm", "none", "note", "DataLoader workers need it to hand over tensors")
    if free < _SMALL_SHM:
        remedy = "DataLoader workers may die with a bus error; enlarge it (docker: --shm-size)"
        return Finding("/dev/shm", f"{_gib(free)} free", "bad", remedy)
    return Finding("/dev/shm", f"{_gib(free)} free")


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
