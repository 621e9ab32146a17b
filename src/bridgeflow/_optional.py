"""Packages that a user may not need: imported at first use, or a clear word on how to get them."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module, metadata, util
from types import ModuleType

from bridgeflow.errors import MissingDependency

__all__ = ["being_imported", "installed_versions", "loaded", "require", "require_installed"]

_EXTRAS = {
    "PIL": "images",
    "aiohttp": "object-stores",
    "datasets": "huggingface",
    "fsspec": "object-stores",
    "h5py": "hdf5",
    "jax": "jax",
    "lightning": "lightning",
    "matplotlib": "plot",
    "ml_dtypes": "ml-dtypes",
    "mne": "mne",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "obspy": "miniseed",
    "dask": "dask",
    "pyspark": "spark",
    "ray": "ray",
    "s3fs": "object-stores",
    "sklearn": "sklearn",
    "soundfile": "audio",
    "tensordict": "tensordict",
    "wfdb": "wfdb",
    "zarr": "zarr",
}


_COMPLETE: dict[str, ModuleType] = {}
"""Modules whose import has ended."""


def loaded(name: str) -> ModuleType | None:
    """The module if its import has ended, else `None`: a value can only be a tensor where torch is loaded.

    While another thread imports a package it stands in `sys.modules` already, without most of its attributes.
    """
    module = sys.modules.get(name)
    if module is _COMPLETE.get(name):
        return module
    return _ended(name, module)


def being_imported(name: str) -> bool:
    """Whether some thread is importing the module at this moment."""
    return name in sys.modules and loaded(name) is None


def _ended(name: str, module: ModuleType | None) -> ModuleType | None:
    """The module unless it is being imported, as `importlib` itself asks."""
    if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
        return None
    root = name.partition(".")[0]
    if root != name and loaded(root) is None:  # a part may be complete before the package is
        return None
    _COMPLETE[name] = module
    return module


def require(name: str, *, needed_for: str) -> ModuleType:
    """Import a package, turning a failure into `MissingDependency` with what needs it and the remedy."""
    try:
        return import_module(name)
    except Exception as error:  # a broken binary package can raise anything, torchvision a RuntimeError
        root = name.partition(".")[0]
        remedy = f"pip install 'bridgeflow[{_EXTRAS[root]}]'" if root in _EXTRAS else f"pip install {root}"
        problem = "is not installed" if isinstance(error, ModuleNotFoundError) else f"fails to import ({error})"
        raise MissingDependency(f"{needed_for} needs {name}, which {problem}; {remedy}", name=name) from error


def require_installed(name: str, *, needed_for: str) -> None:
    """Refuse where a package is not installed; whether it can be imported is not tried, which may take a second."""
    try:
        found = name in sys.modules or util.find_spec(name) is not None
    except (ImportError, ValueError):
        found = False
    if not found or sys.modules.get(name, sys) is None:
        require(name, needed_for=needed_for)


def installed_versions(*names: str) -> dict[str, str]:
    """The versions of those of these packages that are installed."""
    versions = {name: _version(name) for name in names}
    return {name: version for name, version in versions.items() if version is not None}


@cache
def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
