from .analytic import Envelope as Envelope
from .analytic import Hilbert as Hilbert
from .augment.amplitude import Clip as Clip
from .augment.amplitude import Gain as Gain
from .augment.amplitude import Polarity as Polarity
from .augment.amplitude import Quantize as Quantize
from .augment.channels import ChannelDropout as ChannelDropout
from .augment.channels import ChannelShuffle as ChannelShuffle
from .augment.channels import ChannelSymmetry as ChannelSymmetry
from .augment.choices import OneOf as OneOf
from .augment.choices import RandomApply as RandomApply
from .augment.choices import SomeOf as SomeOf
from .augment.masks import BandStop as BandStop
from .augment.masks import DropSamples as DropSamples
from .augment.masks import FrequencyMask as FrequencyMask
from .augment.masks import TimeMask as TimeMask
from .augment.mixing import CutMix as CutMix
from .augment.mixing import Mixup as Mixup
from .augment.noise import AddNoise as AddNoise
from .augment.noise import BaselineWander as BaselineWander
from .augment.noise import MainsInterference as MainsInterference
from .augment.recorded import AddRecording as AddRecording
from .augment.recorded import Reverberate as Reverberate
from .augment.shifts import RandomCrop as RandomCrop
from .augment.shifts import Speed as Speed
from .augment.shifts import TimeReverse as TimeReverse
from .augment.shifts import TimeShift as TimeShift
from .augment.warp import TimeWarp as TimeWarp
from .base import LeafTransform as LeafTransform
from .base import Transform as Transform
from .cast import Cast as Cast
from .channels import Magnitude as Magnitude
from .channels import MixChannels as MixChannels
from .channels import PickChannels as PickChannels
from .channels import Reference as Reference
from .clone import Clone as Clone
from .decode_images import DecodeImages as DecodeImages
from .detach import Detach as Detach
from .features import BandPower as BandPower
from .features import LogAmplitude as LogAmplitude
from .features import MelSpectrogram as MelSpectrogram
from .features import Mfcc as Mfcc
from .filter_bank import FilterBank as FilterBank
from .normalize import Normalize as Normalize
from .normalize import NormalizeBy as NormalizeBy
from .normalize import load_statistics as load_statistics
from .normalize import save_statistics as save_statistics
from .peak_rate import PeakRate as PeakRate
from .plan import Plan as Plan
from .recording_windows import EventLabels as EventLabels
from .recording_windows import EventWindow as EventWindow
from .recording_windows import RandomWindow as RandomWindow
from .recording_windows import WholeRecording as WholeRecording
from .registry import register as register
from .resample import Decimate as Decimate
from .resample import Resample as Resample
from .running_standardize import RunningStandardize as RunningStandardize
from .scale import Scale as Scale
from .scipy_call import Scipy as Scipy
from .shared_view import SharedView as SharedView
from .signal_filter import SignalFilter as SignalFilter
from .smooth import Detrend as Detrend
from .smooth import MedianFilter as MedianFilter
from .smooth import SavgolFilter as SavgolFilter
from .spectral import Istft as Istft
from .spectral import Spectrogram as Spectrogram
from .spectral import Stft as Stft
from .spectral import Welch as Welch
from .standardize import Standardize as Standardize
from .to_arrow import ToArrow as ToArrow
from .to_device import ToDevice as ToDevice
from .to_numpy import ToNumpy as ToNumpy
from .to_tensor import ToTensor as ToTensor
from .window import Window as Window
from .window import WindowLabels as WindowLabels

__all__ = [
    "AddNoise",
    "AddRecording",
    "BandPower",
    "BandStop",
    "BaselineWander",
    "Cast",
    "ChannelDropout",
    "ChannelShuffle",
    "ChannelSymmetry",
    "Clip",
    "Clone",
    "CutMix",
    "Decimate",
    "DecodeImages",
    "Detach",
    "Detrend",
    "DropSamples",
    "Envelope",
    "EventLabels",
    "EventWindow",
    "FilterBank",
    "FrequencyMask",
    "Gain",
    "Hilbert",
    "Istft",
    "LeafTransform",
    "LogAmplitude",
    "Magnitude",
    "MainsInterference",
    "MedianFilter",
    "MelSpectrogram",
    "Mfcc",
    "MixChannels",
    "Mixup",
    "Normalize",
    "NormalizeBy",
    "OneOf",
    "PeakRate",
    "PickChannels",
    "Plan",
    "Polarity",
    "Quantize",
    "RandomApply",
    "RandomCrop",
    "RandomWindow",
    "Reference",
    "Resample",
    "Reverberate",
    "RunningStandardize",
    "SavgolFilter",
    "Scale",
    "Scipy",
    "SharedView",
    "SignalFilter",
    "SomeOf",
    "Spectrogram",
    "Speed",
    "Standardize",
    "Stft",
    "TimeMask",
    "TimeReverse",
    "TimeShift",
    "TimeWarp",
    "ToArrow",
    "ToDevice",
    "ToNumpy",
    "ToTensor",
    "Transform",
    "Welch",
    "WholeRecording",
    "Window",
    "WindowLabels",
    "load_statistics",
    "register",
    "save_statistics",
]
