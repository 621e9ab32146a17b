from .amplitude import Clip as Clip
from .amplitude import Gain as Gain
from .amplitude import Polarity as Polarity
from .amplitude import Quantize as Quantize
from .base import Augmentation as Augmentation
from .channels import ChannelDropout as ChannelDropout
from .channels import ChannelShuffle as ChannelShuffle
from .channels import ChannelSymmetry as ChannelSymmetry
from .choices import OneOf as OneOf
from .choices import RandomApply as RandomApply
from .choices import SomeOf as SomeOf
from .masks import BandStop as BandStop
from .masks import DropSamples as DropSamples
from .masks import FrequencyMask as FrequencyMask
from .masks import TimeMask as TimeMask
from .mixing import CutMix as CutMix
from .mixing import Mixup as Mixup
from .noise import AddNoise as AddNoise
from .noise import BaselineWander as BaselineWander
from .noise import MainsInterference as MainsInterference
from .recorded import AddRecording as AddRecording
from .recorded import Reverberate as Reverberate
from .shifts import RandomCrop as RandomCrop
from .shifts import Speed as Speed
from .shifts import TimeReverse as TimeReverse
from .shifts import TimeShift as TimeShift
from .warp import TimeWarp as TimeWarp

__all__ = [
    "AddNoise",
    "AddRecording",
    "Augmentation",
    "BandStop",
    "BaselineWander",
    "ChannelDropout",
    "ChannelShuffle",
    "ChannelSymmetry",
    "Clip",
    "CutMix",
    "DropSamples",
    "FrequencyMask",
    "Gain",
    "MainsInterference",
    "Mixup",
    "OneOf",
    "Polarity",
    "Quantize",
    "RandomApply",
    "RandomCrop",
    "Reverberate",
    "SomeOf",
    "Speed",
    "TimeMask",
    "TimeReverse",
    "TimeShift",
    "TimeWarp",
]
