from .average import Average as Average
from .average import Scaling as Scaling
from .average import WelchAverage as WelchAverage
from .average import named_window as named_window
from .average import welch as welch
from .cross import coherence as coherence
from .cross import csd as csd
from .cross import periodogram as periodogram
from .live import LiveIstft as LiveIstft
from .live import LiveStft as LiveStft
from .segments import istft as istft
from .segments import spectrogram as spectrogram
from .segments import stft as stft
from .short_time import FftMode as FftMode
from .short_time import Padding as Padding
from .short_time import ScaleTo as ScaleTo
from .short_time import ShortTimeFFT as ShortTimeFFT

__all__ = [
    "Average",
    "FftMode",
    "LiveIstft",
    "LiveStft",
    "Padding",
    "ScaleTo",
    "Scaling",
    "ShortTimeFFT",
    "WelchAverage",
    "coherence",
    "csd",
    "istft",
    "named_window",
    "periodogram",
    "spectrogram",
    "stft",
    "welch",
]
