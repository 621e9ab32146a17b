from .base import Design as Design
from .base import FirFilter as FirFilter
from .base import IirFilter as IirFilter
from .fir import Firls as Firls
from .fir import Firwin as Firwin
from .fir import Remez as Remez
from .fir import Savgol as Savgol
from .fir import Taps as Taps
from .iir import Ba as Ba
from .iir import Bessel as Bessel
from .iir import Butter as Butter
from .iir import Cheby1 as Cheby1
from .iir import Cheby2 as Cheby2
from .iir import Comb as Comb
from .iir import Ellip as Ellip
from .iir import Notch as Notch
from .iir import Peak as Peak
from .iir import Sos as Sos
from .iir import Zpk as Zpk
from .registry import DESIGNS as DESIGNS
from .registry import make_design as make_design

__all__ = [
    "DESIGNS",
    "Ba",
    "Bessel",
    "Butter",
    "Cheby1",
    "Cheby2",
    "Comb",
    "Design",
    "Ellip",
    "FirFilter",
    "Firls",
    "Firwin",
    "IirFilter",
    "Notch",
    "Peak",
    "Remez",
    "Savgol",
    "Sos",
    "Taps",
    "Zpk",
    "make_design",
]
