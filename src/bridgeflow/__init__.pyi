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
from .config import load_pipeline as load_pipeline
from .engines.ledger import verify_shards as verify_shards
from .engines.local import run_job as run_job
from .engines.shards import run_shards as run_shards
from .errors import BridgeflowError as BridgeflowError
from .errors import ConfigError as ConfigError
from .errors import CopyRefused as CopyRefused
from .errors import DataError as DataError
from .errors import KeyNotFound as KeyNotFound
from .errors import NoRoute as NoRoute
from .io.disk_cache import DiskCache as DiskCache
from .io.recording_file import Channel as Channel
from .pipeline import Balanced as Balanced
from .pipeline import Batch as Batch
from .pipeline import Bucketed as Bucketed
from .pipeline import Compose as Compose
from .pipeline import FitStandardize as FitStandardize
from .pipeline import FittedStatistics as FittedStatistics
from .pipeline import Loader as Loader
from .pipeline import Mixture as Mixture
from .pipeline import PerGroup as PerGroup
from .pipeline import SignalDataset as SignalDataset
from .pipeline import Weighted as Weighted
from .pipeline import WorkerPool as WorkerPool
from .pipeline import collate as collate
from .pipeline import export_onnx as export_onnx
from .pipeline import merge_statistics as merge_statistics
from .pipeline.streams import Chunk as Chunk
from .pipeline.streams import Streams as Streams
from .pipeline.training import TrainingPipeline as TrainingPipeline
from .randomness import generators as generators
from .randomness import seeded as seeded
from .recordings import Recording as Recording
from .recordings import Recordings as Recordings
from .recordings import Regrid as Regrid
from .recordings import SplitPart as SplitPart
from .spec import ArraySpec as ArraySpec
from .spec import Exchange as Exchange
from .transforms import AddNoise as AddNoise
from .transforms import AddRecording as AddRecording
from .transforms import BandPower as BandPower
from .transforms import BandStop as BandStop
from .transforms import BaselineWander as BaselineWander
from .transforms import Cast as Cast
from .transforms import ChannelDropout as ChannelDropout
from .transforms import ChannelShuffle as ChannelShuffle
from .transforms import ChannelSymmetry as ChannelSymmetry
from .transforms import Clip as Clip
from .transforms import Clone as Clone
from .transforms import CutMix as CutMix
from .transforms import Decimate as Decimate
from .transforms import DecodeImages as DecodeImages
from .transforms import Detach as Detach
from .transforms import Detrend as Detrend
from .transforms import DropSamples as DropSamples
from .transforms import Envelope as Envelope
from .transforms import EventLabels as EventLabels
from .transforms import EventWindow as EventWindow
from .transforms import FilterBank as FilterBank
from .transforms import FrequencyMask as FrequencyMask
from .transforms import Gain as Gain
from .transforms import Hilbert as Hilbert
from .transforms import Istft as Istft
from .transforms import LeafTransform as LeafTransform
from .transforms import LogAmplitude as LogAmplitude
from .transforms import Magnitude as Magnitude
from .transforms import MainsInterference as MainsInterference
from .transforms import MedianFilter as MedianFilter
from .transforms import MelSpectrogram as MelSpectrogram
from .transforms import Mfcc as Mfcc
from .transforms import MixChannels as MixChannels
from .transforms import Mixup as Mixup
from .transforms import Normalize as Normalize
from .transforms import NormalizeBy as NormalizeBy
from .transforms import OneOf as OneOf
from .transforms import PeakRate as PeakRate
from .transforms import PickChannels as PickChannels
from .transforms import Plan as Plan
from .transforms import Polarity as Polarity
from .transforms import Quantize as Quantize
from .transforms import RandomApply as RandomApply
from .transforms import RandomCrop as RandomCrop
from .transforms import RandomWindow as RandomWindow
from .transforms import Reference as Reference
from .transforms import Resample as Resample
from .transforms import Reverberate as Reverberate
from .transforms import RunningStandardize as RunningStandardize
from .transforms import SavgolFilter as SavgolFilter
from .transforms import Scale as Scale
from .transforms import Scipy as Scipy
from .transforms import SharedView as SharedView
from .transforms import SignalFilter as SignalFilter
from .transforms import SomeOf as SomeOf
from .transforms import Spectrogram as Spectrogram
from .transforms import Speed as Speed
from .transforms import Standardize as Standardize
from .transforms import Stft as Stft
from .transforms import TimeMask as TimeMask
from .transforms import TimeReverse as TimeReverse
from .transforms import TimeShift as TimeShift
from .transforms import TimeWarp as TimeWarp
from .transforms import ToArrow as ToArrow
from .transforms import ToDevice as ToDevice
from .transforms import ToNumpy as ToNumpy
from .transforms import ToTensor as ToTensor
from .transforms import Transform as Transform
from .transforms import Welch as Welch
from .transforms import WholeRecording as WholeRecording
from .transforms import Window as Window
from .transforms import WindowLabels as WindowLabels
from .transforms import load_statistics as load_statistics
from .transforms import register as register
from .transforms import save_statistics as save_statistics

__all__ = [
    "AddNoise",
    "AddRecording",
    "ArraySpec",
    "Balanced",
    "BandPower",
    "BandStop",
    "BaselineWander",
    "Batch",
    "BridgeflowError",
    "Bucketed",
    "Cast",
    "Channel",
    "ChannelDropout",
    "ChannelShuffle",
    "ChannelSymmetry",
    "Chunk",
    "Clip",
    "Clone",
    "Compose",
    "ConfigError",
    "CopyRefused",
    "CutMix",
    "DataError",
    "Decimate",
    "DecodeImages",
    "Detach",
    "Detrend",
    "DiskCache",
    "DropSamples",
    "Envelope",
    "EventLabels",
    "EventWindow",
    "Exchange",
    "FilterBank",
    "FitStandardize",
    "FittedStatistics",
    "FrequencyMask",
    "Gain",
    "Hilbert",
    "Istft",
    "KeyNotFound",
    "LeafTransform",
    "Loader",
    "LogAmplitude",
    "Magnitude",
    "MainsInterference",
    "Masked",
    "MedianFilter",
    "MelSpectrogram",
    "Mfcc",
    "MixChannels",
    "Mixture",
    "Mixup",
    "NoRoute",
    "Normalize",
    "NormalizeBy",
    "OneOf",
    "PeakRate",
    "PerGroup",
    "PickChannels",
    "Plan",
    "Polarity",
    "Quantize",
    "RandomApply",
    "RandomCrop",
    "RandomWindow",
    "Recording",
    "Recordings",
    "Reference",
    "Regrid",
    "Resample",
    "Reverberate",
    "RunningStandardize",
    "SavgolFilter",
    "Scale",
    "Scipy",
    "Shared",
    "SharedView",
    "SignalDataset",
    "SignalFilter",
    "SomeOf",
    "Spectrogram",
    "Speed",
    "SplitPart",
    "Standardize",
    "Stft",
    "Streams",
    "TimeMask",
    "TimeReverse",
    "TimeShift",
    "TimeWarp",
    "ToArrow",
    "ToDevice",
    "ToNumpy",
    "ToTensor",
    "TrainingPipeline",
    "Transform",
    "Weighted",
    "Welch",
    "WholeRecording",
    "Window",
    "WindowLabels",
    "WorkerPool",
    "__version__",
    "collate",
    "describe",
    "export_onnx",
    "generators",
    "load_job",
    "load_pipeline",
    "load_statistics",
    "memory",
    "merge_statistics",
    "nn",
    "register",
    "run_job",
    "run_shards",
    "save_statistics",
    "seeded",
    "share",
    "signal",
    "to_arrow",
    "to_numpy",
    "to_tensor",
    "trace",
    "verify_shards",
]
