from .fourier import resample as resample
from .polyphase import Window as Window
from .quality import Quality as Quality
from .rates import Rate as Rate
from .rates import rate_ratio as rate_ratio
from .rational import Extension as Extension
from .rational import antialias as antialias
from .rational import decimate as decimate
from .rational import resample_poly as resample_poly
from .stream import Decimator as Decimator
from .stream import Resampler as Resampler
from .stream import places_of as places_of
from .updown import upfirdn as upfirdn

__all__ = [
    "Decimator",
    "Extension",
    "Quality",
    "Rate",
    "Resampler",
    "Window",
    "antialias",
    "decimate",
    "places_of",
    "rate_ratio",
    "resample",
    "resample_poly",
    "upfirdn",
]
