import typing

from .analytic import envelope as envelope
from .analytic import hilbert as hilbert
from .causal import CausalFilter as CausalFilter
from .convenience import butter_bandpass_filter as butter_bandpass_filter
from .convenience import butter_bandstop_filter as butter_bandstop_filter
from .convenience import butter_highpass_filter as butter_highpass_filter
from .convenience import butter_lowpass_filter as butter_lowpass_filter
from .convenience import notch_filter as notch_filter
from .convolution import convolve as convolve
from .convolution import correlate as correlate
from .convolution import fftconvolve as fftconvolve
from .convolution import oaconvolve as oaconvolve
from .design import DESIGNS as DESIGNS
from .design import Ba as Ba
from .design import Bessel as Bessel
from .design import Butter as Butter
from .design import Cheby1 as Cheby1
from .design import Cheby2 as Cheby2
from .design import Comb as Comb
from .design import Design as Design
from .design import Ellip as Ellip
from .design import FirFilter as FirFilter
from .design import Firls as Firls
from .design import Firwin as Firwin
from .design import IirFilter as IirFilter
from .design import Notch as Notch
from .design import Peak as Peak
from .design import Remez as Remez
from .design import Savgol as Savgol
from .design import Sos as Sos
from .design import Taps as Taps
from .design import Zpk as Zpk
from .design import make_design as make_design
from .fir import fir_filter as fir_filter
from .fir import fir_filtfilt as fir_filtfilt
from .fir import fir_zero_phase as fir_zero_phase
from .framing import frames as frames
from .framing import labels_of_frames as labels_of_frames
from .iir import sosfilt as sosfilt
from .iir import sosfilt_bank as sosfilt_bank
from .iir import sosfilt_zi as sosfilt_zi
from .iir import sosfiltfilt as sosfiltfilt
from .iir import sosfiltfilt_bank as sosfiltfilt_bank
from .medians import medfilt as medfilt
from .peaks import peak_rate as peak_rate
from .resampling import Resampler as Resampler
from .resampling import decimate as decimate
from .resampling import resample as resample
from .resampling import resample_poly as resample_poly
from .resampling import upfirdn as upfirdn
from .savgol import savgol_filter as savgol_filter
from .spectral import ShortTimeFFT as ShortTimeFFT
from .spectral import coherence as coherence
from .spectral import csd as csd
from .spectral import istft as istft
from .spectral import periodogram as periodogram
from .spectral import spectrogram as spectrogram
from .spectral import stft as stft
from .spectral import welch as welch
from .streams import Stream as Stream
from .streams import stream as stream
from .transfer import filtfilt as filtfilt
from .transfer import lfilter as lfilter
from .transfer import lfilter_zi as lfilter_zi
from .trends import detrend as detrend
from .zero_phase import ZeroPhaseFilter as ZeroPhaseFilter

__all__ = [
    "DESIGNS",
    "Ba",
    "Bessel",
    "Butter",
    "CausalFilter",
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
    "Resampler",
    "Savgol",
    "ShortTimeFFT",
    "Sos",
    "Stream",
    "Taps",
    "ZeroPhaseFilter",
    "Zpk",
    "butter_bandpass_filter",
    "butter_bandstop_filter",
    "butter_highpass_filter",
    "butter_lowpass_filter",
    "coherence",
    "convolve",
    "correlate",
    "csd",
    "decimate",
    "detrend",
    "envelope",
    "fftconvolve",
    "filtfilt",
    "fir_filter",
    "fir_filtfilt",
    "fir_zero_phase",
    "frames",
    "hilbert",
    "istft",
    "labels_of_frames",
    "lfilter",
    "lfilter_zi",
    "make_design",
    "medfilt",
    "notch_filter",
    "oaconvolve",
    "peak_rate",
    "periodogram",
    "resample",
    "resample_poly",
    "savgol_filter",
    "sosfilt",
    "sosfilt_bank",
    "sosfilt_zi",
    "sosfiltfilt",
    "sosfiltfilt_bank",
    "spectrogram",
    "stft",
    "stream",
    "upfirdn",
    "welch",
]

def __getattr__(name: str) -> typing.Any: ...  # the names in `scipy_names`
