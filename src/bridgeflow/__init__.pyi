from . import memory as memory
from . import nn as nn
from . import signal as signal
from ._version import __version__ as __version__
from .bridge import Masked as Masked
from .bridge import Shared as Shared
from .bridge import describe as describe
from .bridge import share as share
from .bridge import to_arrow as to_arrow
from .bridge import to_numpy as to_numpy
from .bridge import to_tensor as to_tensor
from .bridge import trace as trace
from .config import load_job as load_job
from .engines.ledger import verify_shards as verify_shards
from .engines.local import run_job as run_job
from .engines.shards import run_shards as run_shards
from .errors import BridgeflowError as BridgeflowError
from .errors import ConfigError as ConfigError
from .errors import CopyRefused as CopyRefused
from .errors import DataError as DataError
from .errors import KeyNotFound as KeyNotFound
from .errors import NoRoute as NoRoute
from .io.recording_file import Channel as Channel
from .pipeline import Batch as Batch
from .pipeline import Compose as Compose
from .pipeline import Loader as Loader
from .pipeline import SignalDataset as SignalDataset
from .pipeline import WorkerPool as WorkerPool
from .pipeline import collate as collate
from .pipeline.streams import Chunk as Chunk
from .pipeline.streams import Streams as Streams
from .randomness import generators as generators
from .randomness import seeded as seeded
from .recordings import Recording as Recording
from .recordings import Recordings as Recordings
from .spec import ArraySpec as ArraySpec
from .spec import Exchange as Exchange
from .transforms import Cast as Cast
from .transforms import Clone as Clone
from .transforms import Decimate as Decimate
from .transforms import Detach as Detach
from .transforms import Detrend as Detrend
from .transforms import Envelope as Envelope
from .transforms import EventLabels as EventLabels
from .transforms import EventWindow as EventWindow
from .transforms import Hilbert as Hilbert
from .transforms import Istft as Istft
from .transforms import LeafTransform as LeafTransform
from .transforms import MedianFilter as MedianFilter
from .transforms import PeakRate as PeakRate
from .transforms import Plan as Plan
from .transforms import RandomWindow as RandomWindow
from .transforms import Resample as Resample
from .transforms import SavgolFilter as SavgolFilter
from .transforms import Scale as Scale
from .transforms import Scipy as Scipy
from .transforms import SharedView as SharedView
from .transforms import SignalFilter as SignalFilter
from .transforms import Spectrogram as Spectrogram
from .transforms import Stft as Stft
from .transforms import ToArrow as ToArrow
from .transforms import ToDevice as ToDevice
from .transforms import ToNumpy as ToNumpy
from .transforms import ToTensor as ToTensor
from .transforms import Transform as Transform
from .transforms import Welch as Welch
from .transforms import WholeRecording as WholeRecording
from .transforms import Window as Window
from .transforms import WindowLabels as WindowLabels
from .transforms import register as register

__all__ = [
    "ArraySpec",
    "Batch",
    "BridgeflowError",
    "Cast",
    "Channel",
    "Chunk",
    "Clone",
    "Compose",
    "ConfigError",
    "CopyRefused",
    "DataError",
    "Decimate",
    "Detach",
    "Detrend",
    "Envelope",
    "EventLabels",
    "EventWindow",
    "Exchange",
    "Hilbert",
    "Istft",
    "KeyNotFound",
    "LeafTransform",
    "Loader",
    "Masked",
    "MedianFilter",
    "NoRoute",
    "PeakRate",
    "Plan",
    "RandomWindow",
    "Recording",
    "Recordings",
    "Resample",
    "SavgolFilter",
    "Scale",
    "Scipy",
    "Shared",
    "SharedView",
    "SignalDataset",
    "SignalFilter",
    "Spectrogram",
    "Stft",
    "Streams",
    "ToArrow",
    "ToDevice",
    "ToNumpy",
    "ToTensor",
    "Transform",
    "Welch",
    "WholeRecording",
    "Window",
    "WindowLabels",
    "WorkerPool",
    "__version__",
    "collate",
    "describe",
    "generators",
    "load_job",
    "memory",
    "nn",
    "register",
    "run_job",
    "run_shards",
    "seeded",
    "share",
    "signal",
    "to_arrow",
    "to_numpy",
    "to_tensor",
    "trace",
    "verify_shards",
]
