"""Transforms: immutable objects, configuration in, `__call__(data)`. One file each; importing one registers it."""

from __future__ import annotations

from bridgeflow.transforms.analytic import Envelope, Hilbert
from bridgeflow.transforms.base import LeafTransform, Transform
from bridgeflow.transforms.cast import Cast
from bridgeflow.transforms.clone import Clone
from bridgeflow.transforms.detach import Detach
from bridgeflow.transforms.peak_rate import PeakRate
from bridgeflow.transforms.plan import Plan
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.resample import Decimate, Resample
from bridgeflow.transforms.scale import Scale
from bridgeflow.transforms.scipy_call import Scipy
from bridgeflow.transforms.shared_view import SharedView
from bridgeflow.transforms.signal_filter import SignalFilter
from bridgeflow.transforms.smooth import Detrend, MedianFilter, SavgolFilter
from bridgeflow.transforms.spectral import Istft, Spectrogram, Stft, Welch
from bridgeflow.transforms.to_arrow import ToArrow
from bridgeflow.transforms.to_device import ToDevice
from bridgeflow.transforms.to_numpy import ToNumpy
from bridgeflow.transforms.to_tensor import ToTensor
from bridgeflow.transforms.window import Window, WindowLabels

__all__ = [
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
]
