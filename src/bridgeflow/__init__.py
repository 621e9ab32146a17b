"""BridgeFlow: signal data between PyTorch, NumPy, Arrow and SciPy without hidden copies, filtered at memory speed.

Importing this package imports none of torch, SciPy, pyarrow, torchvision or matplotlib: each name below is loaded
when it is first used.
"""

from __future__ import annotations

import sys


class _Package(type(sys)):  # type: ignore[misc]
    """A package in here whose file has not been run: see `bridgeflow._packages`."""

    def __getattr__(self, name: str) -> object:
        from bridgeflow._packages import attribute

        return attribute(self, name)

    def __dir__(self) -> list[str]:
        from bridgeflow._packages import run

        run(self)
        return dir(self)


class _Waiting:
    """Loads a package without running its file."""

    def __init__(self, loader: object) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)

    def exec_module(self, module: object) -> None:
        module.__spec__.loader = module.__loader__ = self._loader  # type: ignore[attr-defined]
        module.__class__ = _Package


class _Finder:
    """Finds the packages in here. Python may hold its lock of all imports meanwhile, so nothing is imported for it."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if not name.startswith("bridgeflow.") or name == "bridgeflow.cli":  # whose `app` is a module's name as well
            return None
        others: list[Any] = [finder for finder in sys.meta_path if finder is not _finder]
        for finder in others:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.submodule_search_locations is not None and spec.loader is not None:
                    spec.loader = _Waiting(spec.loader)
                return spec
        return None


_finder: Any = _Finder()
sys.meta_path.insert(0, _finder)  # before anything else is imported, which lets other threads come between

from importlib import import_module  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

from bridgeflow._version import __version__ as __version__  # noqa: E402

if TYPE_CHECKING:
    from bridgeflow.bridge import Masked as Masked
    from bridgeflow.bridge import Shared as Shared
    from bridgeflow.bridge import describe as describe
    from bridgeflow.bridge import share as share
    from bridgeflow.bridge import to_arrow as to_arrow
    from bridgeflow.bridge import to_numpy as to_numpy
    from bridgeflow.bridge import to_tensor as to_tensor
    from bridgeflow.bridge import trace as trace
    from bridgeflow.config import load_job as load_job
    from bridgeflow.engines.local import run_job as run_job
    from bridgeflow.engines.shards import run_shards as run_shards
    from bridgeflow.engines.shards import verify_shards as verify_shards
    from bridgeflow.pipeline import Batch as Batch
    from bridgeflow.pipeline import Compose as Compose
    from bridgeflow.pipeline import Loader as Loader
    from bridgeflow.pipeline import SignalDataset as SignalDataset
    from bridgeflow.pipeline import WorkerPool as WorkerPool
    from bridgeflow.pipeline import collate as collate
    from bridgeflow.pipeline.stream import Chunk as Chunk
    from bridgeflow.pipeline.stream import Streams as Streams
    from bridgeflow.transforms import Cast as Cast
    from bridgeflow.transforms import Clone as Clone
    from bridgeflow.transforms import Decimate as Decimate
    from bridgeflow.transforms import Detach as Detach
    from bridgeflow.transforms import Detrend as Detrend
    from bridgeflow.transforms import Envelope as Envelope
    from bridgeflow.transforms import Hilbert as Hilbert
    from bridgeflow.transforms import Istft as Istft
    from bridgeflow.transforms import LeafTransform as LeafTransform
    from bridgeflow.transforms import MedianFilter as MedianFilter
    from bridgeflow.transforms import PeakRate as PeakRate
    from bridgeflow.transforms import Plan as Plan
    from bridgeflow.transforms import Resample as Resample
    from bridgeflow.transforms import SavgolFilter as SavgolFilter
    from bridgeflow.transforms import Scale as Scale
    from bridgeflow.transforms import Scipy as Scipy
    from bridgeflow.transforms import SharedView as SharedView
    from bridgeflow.transforms import SignalFilter as SignalFilter
    from bridgeflow.transforms import Spectrogram as Spectrogram
    from bridgeflow.transforms import Stft as Stft
    from bridgeflow.transforms import ToArrow as ToArrow
    from bridgeflow.transforms import ToDevice as ToDevice
    from bridgeflow.transforms import ToNumpy as ToNumpy
    from bridgeflow.transforms import ToTensor as ToTensor
    from bridgeflow.transforms import Transform as Transform
    from bridgeflow.transforms import Welch as Welch
    from bridgeflow.transforms import Window as Window
    from bridgeflow.transforms import WindowLabels as WindowLabels
    from bridgeflow.transforms import register as register

_EXPORTS = {
    "bridgeflow.bridge": ("Masked", "Shared", "describe", "share", "to_arrow", "to_numpy", "to_tensor", "trace"),
    "bridgeflow.config": ("load_job",),
    "bridgeflow.engines.local": ("run_job",),
    "bridgeflow.engines.shards": ("run_shards", "verify_shards"),
    "bridgeflow.errors": ("BridgeflowError", "ConfigError", "CopyRefused", "DataError", "KeyNotFound", "NoRoute"),
    "bridgeflow.pipeline": ("Batch", "Compose", "Loader", "SignalDataset", "WorkerPool", "collate"),
    "bridgeflow.pipeline.stream": ("Chunk", "Streams"),
    "bridgeflow.spec": ("ArraySpec", "Exchange"),
    "bridgeflow.transforms": (
        "Cast",
        "Clone",
        "Decimate",
        "Detach",
        "Detrend",
        "Envelope",
        "Hilbert",
        "Istft",
        "LeafTransform",
        "MedianFilter",
        "PeakRate",
        "Plan",
        "Resample",
        "SavgolFilter",
        "Scale",
        "Scipy",
        "SharedView",
        "SignalFilter",
        "Spectrogram",
        "Stft",
        "ToArrow",
        "ToDevice",
        "ToNumpy",
        "ToTensor",
        "Transform",
        "Welch",
        "Window",
        "WindowLabels",
        "register",
    ),
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}
_MODULES = ("memory", "nn", "signal")

__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name in _MODULES:
        value = import_module(f"bridgeflow.{name}")
    else:
        raise AttributeError(f"module 'bridgeflow' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
