"""What this machine and installation offer: versions, limits, and what is likely to hurt."""

from __future__ import annotations

import json
import multiprocessing
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata, util
from typing import Literal, TypeAlias

from bridgeflow._threads import usable_cores
from bridgeflow.errors import printable
from bridgeflow.memory.available import installed

__all__ = ["Finding", "examine"]

Verdict: TypeAlias = Literal["ok", "note", "bad"]

_REQUIRED = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "scipy": "scipy.signal",
    "pyarrow": "pyarrow.parquet",
    "pydantic": "pydantic",
    "PyYAML": "yaml",
    "click": "click",
    "rich": "rich.progress",
}
"""The packages that are always needed, and the module of each that is imported to see whether it works."""

_OPTIONAL = {
    "h5py": ("h5py", "HDF5: pip install 'bridgeflow[hdf5]'"),
    "matplotlib": ("matplotlib.backends.backend_agg", "pictures: pip install 'bridgeflow[plot]'"),
    "ml_dtypes": ("ml_dtypes", "bfloat16 in NumPy: pip install 'bridgeflow[ml-dtypes]'"),
    "obspy": ("obspy", "miniSEED: pip install 'bridgeflow[miniseed]'"),
    "onnx": ("onnx", "export to ONNX: pip install 'bridgeflow[export]'"),
    "onnxruntime": ("onnxruntime", "export to ONNX: pip install 'bridgeflow[export]'"),
    "pillow": ("PIL.Image", "images: pip install 'bridgeflow[images]'"),
    "soundfile": ("soundfile", "FLAC and Ogg: pip install 'bridgeflow[audio]'"),
    "wfdb": ("wfdb", "WFDB: pip install 'bridgeflow[wfdb]'"),
    "zarr": ("zarr", "Zarr: pip install 'bridgeflow[zarr]'"),
}

_NEWEST = {
    "python": "3.14",
    "torch": "2.13",
    "torchvision": "0.28",
    "numpy": "2.4",
    "scipy": "1.17",
    "pyarrow": "26.0",
    "pydantic": "2.14",
    "PyYAML": "6.0",
    "click": "8.5",
    "rich": "15.0",
    "h5py": "3.16",
    "matplotlib": "3.11",
    "ml_dtypes": "0.6",
    "obspy": "1.5",
    "onnx": "1.23",
    "onnxruntime": "1.32",
    "pillow": "13.0",
    "soundfile": "0.14",
    "wfdb": "4.3",
    "zarr": "3.1",
}
"""The newest series of each that the tests ran with, as constraints.txt has them, and the newest Python of our wheels.
The oldest are in the installation's own metadata.
"""

_IMPORT = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); [*map(__import__, sys.argv[2:])]"
_NATIVE = """
import sys, json, warnings
sys.path[:] = json.loads(sys.argv[1])
warnings.simplefilter("ignore")
from bridgeflow.signal.iir import native
print(native.unavailable() or "+" + native.instruction_sets()[0])
"""
_LONGEST_IMPORT = 120.0
"""Seconds after which an import counts as hanging."""

_FEW_FILES = 1024
_SMALL_SHM = 64 << 20
_LITTLE_MEMORY = 4 << 30
"""Bytes below which a limit is reported: torch maps some two of them when it is imported."""

_GROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Finding:
    """One line of `bridgeflow doctor`: what, its value, and whether it is fine; what is not has a remedy."""

    what: str
    value: str
    verdict: Verdict = "ok"
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.verdict != "ok" and not self.remedy:
            raise ValueError(f"a finding that is not fine needs a remedy: {self.what}: {self.value}")


def examine() -> list[Finding]:
    """Look at the installation and the machine. Every package is imported, in processes of their own.

    >>> {finding.what for finding in examine()} >= {"python", "torch", "cores", "memory", "open files"}
    True
    """
    path = json.dumps(sys.path)
    modules = (*_REQUIRED.values(), *(module for module, _ in _OPTIONAL.values()))
    with ThreadPoolExecutor(1) as pool:
        native = pool.submit(_native, path)
        failures = _failures(modules, path)
    packages = [_package(name, failures[module]) for name, module in _REQUIRED.items()]
    has_torch = failures[_REQUIRED["torch"]] is None
    return [
        _python(),
        _ourselves(),
        *packages,
        *(_optional(name, failures[module], use) for name, (module, use) in _OPTIONAL.items()),
        native.result(),
        *([] if failures[_REQUIRED["PyYAML"]] is not None else [_yaml_parser()]),
        _cores() if has_torch else Finding("cores", f"{usable_cores()} usable"),
        *([_accelerator(), _start_method()] if has_torch else []),
        _memory(),
        _memory_limit(),
        _open_files(),
        _shared_memory(),
    ]


def _failures(modules: Sequence[str], path: str) -> dict[str, str | None]:
    """Why each module cannot be imported; `None` where it can."""
    missing = {module: _why_missing(module) for module in modules}
    installed = tuple(module for module in modules if missing[module] is None)
    if not installed or _are_imported_together(installed, path):
        return missing
    with ThreadPoolExecutor(4) as pool:
        return {
            **missing,
            **dict(zip(installed, pool.map(lambda module: _why_not_imported(module, path), installed), strict=True)),
        }


def _why_missing(module: str) -> str | None:
    root = module.partition(".")[0]
    return None if util.find_spec(root) is not None else f"ModuleNotFoundError: No module named {root!r}"


@lru_cache(maxsize=4)
def _are_imported_together(modules: tuple[str, ...], path: str) -> bool:
    """Whether one process can import all of them, which takes a fraction of a process for each."""
    return _child(_IMPORT, path, *modules)[0] == 0


@lru_cache(maxsize=64)
def _why_not_imported(module: str, path: str) -> str | None:
    """Why a module cannot be imported, asked of another process, which it may end; `None` where it can."""
    code, said = _child(_IMPORT, path, module)
    return None if code == 0 else said


@lru_cache(maxsize=4)
def _native(path: str) -> Finding:
    """Whether filters run in the compiled kernels, and why not."""
    code, said = _child(_NATIVE, path)
    if code == 0 and said.startswith("+"):
        return Finding("native engine", f"built, runs with {said[1:]}")
    remedy = "filters run in SciPy, slower; install GCC or Clang, then BridgeFlow again (pip install --force-reinstall)"
    return Finding("native engine", f"missing: {said}", "note", remedy)


def _child(code: str, *arguments: str) -> tuple[int, str]:
    """The exit code of a piece of Python, and the last line that it said."""
    line = [sys.executable, "-c", code, *arguments]
    try:
        done = subprocess.run(
            line, capture_output=True, text=True, errors="replace", check=False, timeout=_LONGEST_IMPORT,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, f"its import has not ended after {_LONGEST_IMPORT:.0f} s"
    if done.returncode < 0:
        return done.returncode, f"its import ends the process ({signal.Signals(-done.returncode).name})"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode, printable(lines[-1] if lines else f"exit code {done.returncode}", 300)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _ourselves() -> Finding:
    version = _version("bridgeflow")
    if version is None:
        return Finding("bridgeflow", "used from its sources", "note", "pip install -e . to install it")
    return Finding("bridgeflow", version)


def _python() -> Finding:
    version, newest = platform.python_version(), _NEWEST["python"]
    value = f"{version} ({sys.executable})"
    if _series(version) > _series(newest):
        remedy = f"where something fails, use Python {newest}, the newest that was tested"
        return Finding("python", f"{value}, newer than the newest that was tested", "note", remedy)
    return Finding("python", value)


def _untested(name: str, version: str | None) -> Finding | None:
    """A package older or newer than those that the tests ran with."""
    if version is None:
        return None
    newest = _NEWEST[name]
    if _series(version) > _series(newest):
        value = f"{version}, newer than the newest that was tested, {newest}"
        return Finding(name, value, "note", f"where something fails, pip install '{name}=={newest}.*'")
    return _too_old(name, version)


def _series(version: str) -> tuple[int, ...]:
    """The first two numbers of a release: what follows repairs it."""
    return (*_release(version), 0, 0)[:2]


def _too_old(name: str, version: str) -> Finding | None:
    """A package older than the range that the tests ran with, which the installation's own metadata say."""
    try:
        lines = metadata.requires("bridgeflow") or []
    except metadata.PackageNotFoundError:
        return None
    key = _normal(name)
    for line in lines:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*>=\s*([0-9.]+)", line)
        if match is not None and _normal(match[1]) == key:
            if _release(version) < _release(match[2]):
                value = f"{version}, older than the oldest that was tested, {match[2]}"
                return Finding(name, value, "bad", f"pip install '{name}>={match[2]}'")
            return None
    return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a release, without zeros at the end: 2.13 and 2.13.0 are one."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [] if match is None else [int(number) for number in match[0].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _package(name: str, failure: str | None) -> Finding:
    version = _version(name)
    if failure is None:
        return _untested(name, version) or Finding(name, version or "of unknown version")
    if version is None and failure.startswith("ModuleNotFoundError"):
        return Finding(name, "missing", "bad", f"pip install {name}")
    remedy = f"pip install --force-reinstall {name}"
    if name == "torchvision":
        remedy += f", built for torch {_version('torch')}; where its transforms are not used, nothing else needs it"
    return Finding(name, f"{version or 'of unknown version'}, cannot be imported: {failure}", "bad", remedy)


def _optional(name: str, failure: str | None, use: str) -> Finding:
    version = _version(name)
    if failure is None:
        return _untested(name, version) or Finding(name, version or "of unknown version")
    if version is None and failure.startswith("ModuleNotFoundError"):
        return Finding(name, "not installed", "note", use)
    remedy = f"pip install --force-reinstall {name}"
    return Finding(name, f"{version or 'of unknown version'}, cannot be imported: {failure}", "bad", remedy)


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
    value = f"{usable} usable, torch uses {threads} threads"
    if threads > usable:
        return Finding("cores", value, "note", f"set OMP_NUM_THREADS={usable}")
    return Finding("cores", value)


def _accelerator() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("accelerator", "none that torch can use")
    return Finding("accelerator", f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}")


def _start_method() -> Finding:
    """How this Python starts processes, which matters where CUDA is in use."""
    import torch

    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    if method == "fork" and torch.cuda.is_available():
        remedy = "a forked process cannot use CUDA: give DataLoader and Loader multiprocessing_context='forkserver'"
        return Finding("start method", method, "note", remedy)
    return Finding("start method", method)


def _memory_limit() -> Finding:
    """What this process may use of the memory: its own limit, and that of its control group."""
    limits = []
    with suppress(ImportError):  # Windows
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            limits.append(("address space", soft, "ulimit -v unlimited; mapped files count too"))
    for path in _GROUP_LIMITS:
        try:
            with open(path) as file:
                text = file.read().strip()
        except OSError:
            continue
        if text.isdigit() and (total := installed()) is not None and int(text) < total:
            limits.append(("control group", int(text), "the kernel ends what uses more (docker: --memory)"))
    if not limits:
        return Finding("memory limit", "none")
    value = ", ".join(f"{what} {_gib(size)}" for what, size, _ in limits)
    _, least, remedy = min(limits, key=lambda limit: limit[1])
    return Finding("memory limit", value, "note", remedy) if least < _LITTLE_MEMORY else Finding("memory limit", value)


def _memory() -> Finding:
    total = installed()
    return Finding("memory", "not told by this system" if total is None else _gib(total))


def _open_files() -> Finding:
    try:
        import resource
    except ImportError:  # Windows
        return Finding("open files", "no limit of the process")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    value = f"{soft:,} (may be raised to {hard:,})"
    if soft < _FEW_FILES:
        return Finding("open files", value, "bad", f"workers that share tensors need more: ulimit -n {_FEW_FILES * 4}")
    return Finding("open files", value)


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
