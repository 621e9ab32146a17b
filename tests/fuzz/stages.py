"""A stage of every registered transform and curated call, and the same with one number of it odd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bridgeflow.signal.scipy_list import FUNCTIONS
from tests.fuzz.odd_values import VALUES

Stage = dict[str, Any]

BUTTER = {"design": "butter", "order": 2, "cutoff": 20.0, "fs": 100.0, "scale": 1.0, "offset": 0.0}
SHORT_TIME = {"fs": 100.0, "hop": 8, "nperseg": 16, "mfft": 16, "phase_shift": 0}
STAGES: dict[str, list[Stage]] = {
    "Cast": [],
    "Clone": [],
    "Compose": [],
    "Decimate": [
        {"q": 3, "n": 4},
        {"q": 3},
        {"q": 3, "n": 20, "ftype": "fir"},
        {"q": 3, "ftype": "fir"},
        {"q": 3, "zero_phase": False},
    ],
    "DecodeImages": [],
    "Detach": [],
    "Detrend": [{"bp": [100, 200]}, {"axis": 0, "nonfinite": "interpolate", "max_gap": 5}],
    "Envelope": [{"bp_in": [1, 100], "n_out": 40}, {"bp_in": [None, 20], "squared": True}],
    "Hilbert": [],
    "FilterBank": [
        {"bands": [[None, 10.0], [10.0, 20.0]], "fs": 100.0, "order": 2},
        {"bands": [[10.0, None]], "fs": 100.0, "order": 2, "mode": "zero_phase"},
        {"bands": [[10.0, 20.0]], "fs": 100.0, "order": 2, "mode": "zero_phase", "tolerance": 1e-3},
        {"bands": [[10.0, 20.0]], "fs": 100.0, "order": 2, "initial": "steady", "engine": "blocks"},
        {"bands": [[10.0, 20.0]], "fs": 100.0, "order": 2, "design": "ellip", "rp": 1.0, "rs": 30.0},
        {"sos": [[[1.0, 0.0, 0.0, 1.0, -0.5, 0.0]]], "scale": 0.5, "offset": 1.0, "precision": "float32"},
    ],
    "Istft": [{**SHORT_TIME, "k1": 400}],
    "BandPower": [{"fs": 100.0, "bands": [[1.0, 8.0]], "nperseg": 16, "noverlap": 8, "nfft": 16}],
    "LogAmplitude": [{"floor": 1e-6, "ref": 2.0, "top_db": 60.0}],
    "MelSpectrogram": [
        {"fs": 100.0, "n_fft": 16, "hop": 4, "n_mels": 6, "win_length": 12, "fmin": 1.0, "fmax": 40.0, "power": 1.0}
    ],
    "Mfcc": [{"fs": 100.0, "n_fft": 16, "hop": 4, "n_mels": 6, "n_mfcc": 4, "top_db": 60.0, "lifter": 10.0}],
    "Magnitude": [{"picks": [0]}],
    "MixChannels": [{"matrix": [[1.0, 2.0]], "picks": [0, 1]}],
    "Normalize": [{"center": 0.5, "scale": 2.0}],
    "NormalizeBy": [{"by": "id", "groups": ["a"], "centers": [0.5], "scales": [2.0]}],
    "PickChannels": [{"picks": [0, 1]}],
    "Reference": [{"to": [0]}, {"pairs": [[0, 1]]}],
    "MedianFilter": [{"kernel_size": 5}],
    "PeakRate": [{"fs": 100.0, "height": 0.5, "prominence": 0.5, "distance": 0.1}],
    "Resample": [
        {"from_hz": 100.0, "to_hz": 50.0, "cval": 0.5},
        {"from_hz": 100.0, "to_hz": 150.0, "window": ["kaiser", 5.0], "padtype": "edge"},
        {"from_hz": 100.0, "to_hz": 50.0, "window": [0.25, 0.5, 0.25]},
    ],
    "SavgolFilter": [
        {"window_length": 7, "polyorder": 2, "deriv": 1, "delta": 0.5, "mode": "constant", "cval": 1.0},
        {"window_length": 7, "polyorder": 2},
        {"window_length": 7, "polyorder": 2, "mode": "mirror"},
    ],
    "Scale": [{"scale": 2.0, "offset": 1.0}, {"scale": 2.0, "offset": 1.0, "dtype": "float16"}],
    "RunningStandardize": [{"alpha": 0.1, "eps": 1e-3}],
    "Scipy": [],
    "Standardize": [],
    "SharedView": [],
    "SignalFilter": [
        BUTTER,
        {**BUTTER, "mode": "zero_phase"},
        {**BUTTER, "mode": "zero_phase", "tolerance": 1e-3},
        {**BUTTER, "btype": "bandpass", "cutoff": [10.0, 20.0], "initial": "steady"},
        {**BUTTER, "precision": "float32", "engine": "blocks"},
        {**BUTTER, "engine": "scipy"},
        {**BUTTER, "parallel": "time"},
        {"design": "cheby1", "order": 2, "cutoff": 20.0, "fs": 100.0, "rp": 1.0},
        {"design": "cheby2", "order": 2, "cutoff": 20.0, "fs": 100.0, "rs": 30.0},
        {"design": "ellip", "order": 2, "cutoff": 20.0, "fs": 100.0, "rp": 1.0, "rs": 30.0},
        {"design": "bessel", "order": 2, "cutoff": 20.0, "fs": 100.0, "norm": "phase"},
        {"design": "notch", "w0": 20.0, "Q": 30.0, "fs": 100.0},
        {"design": "peak", "w0": 20.0, "Q": 30.0, "fs": 100.0},
        {"design": "comb", "w0": 20.0, "Q": 30.0, "fs": 100.0, "ftype": "notch"},
        {"design": "firwin", "numtaps": 21, "cutoff": 20.0, "fs": 100.0, "window": ["kaiser", 4.0]},
        {"design": "firwin", "numtaps": 21, "cutoff": [10.0, 20.0], "fs": 100.0, "width": 4.0, "pass_zero": False},
        {
            "design": "firls",
            "numtaps": 21,
            "bands": [0.0, 10.0, 20.0, 50.0],
            "desired": [1.0, 1.0, 0.0, 0.0],
            "weight": [1.0, 2.0],
            "fs": 100.0,
        },
        {
            "design": "remez",
            "numtaps": 21,
            "bands": [0.0, 10.0, 20.0, 50.0],
            "desired": [1.0, 0.0],
            "weight": [1.0, 2.0],
            "fs": 100.0,
            "maxiter": 25,
            "grid_density": 16,
        },
        {"design": "savgol", "window_length": 7, "polyorder": 2, "deriv": 1, "delta": 0.5},
        {"sos": [[0.5, 0.5, 0.0, 1.0, -0.2, 0.0]]},
        {"zpk": [[-1.0], [0.5], 0.25], "fs": 100.0},
        {"zpk": [[[0.0, 1.0], [0.0, -1.0]], [[0.5, 0.2], [0.5, -0.2]], 0.25]},
        {"ba": [[0.5, 0.5], [1.0, -0.2]]},
        {"taps": [0.25, 0.5, 0.25]},
        {"taps": [0.25, 0.5, 0.25], "mode": "zero_phase"},
    ],
    "Spectrogram": [SHORT_TIME, {"fs": 100.0, "hop": 1, "win": [1.0, 2.0, 1.0], "mfft": 3, "scale_to": "psd"}],
    "Stft": [
        SHORT_TIME,
        {**SHORT_TIME, "win": ["kaiser", 4.0]},
        {**SHORT_TIME, "win": ["general_gaussian", 1.5, 4.0], "detr": "linear", "padding": "even"},
    ],
    "ToArrow": [],
    "ToDevice": [],
    "ToNumpy": [{"nulls": 0.5, "ragged": "pad", "pad_value": 0.5}],
    "ToTensor": [{"nulls": 0.5, "ragged": "pad", "pad_value": 0.5}],
    "Welch": [
        {"fs": 100.0, "nperseg": 64, "noverlap": 32, "nfft": 64},
        {"fs": 100.0, "nperseg": 64, "window": ["tukey", 0.25], "average": "median"},
        {"fs": 100.0, "window": [1.0, 2.0, 1.0], "noverlap": 1, "nfft": 8},
    ],
    "Window": [
        {"length": 40, "hop": 20, "pad": "zeros"},
        {"length": 40, "hop": 20},
        {"length": 40, "pad": "reflect"},
        {"length": 40, "hop": 20, "pad": "edge", "first": True},
    ],
    "WindowLabels": [],
}
"""Fields by which every number of the transform is in use; `[]` where there is none."""

RATIO = {"b": [0.5, 0.5], "a": [1.0, -0.5]}
KERNEL = {"size": 5, "mode": "constant", "cval": 1.0, "origin": 1}
TURNED = {"n": 40}
COSINE = {"n": 40, "type": 2}
MOVED = {"order": 3, "mode": "constant", "cval": 1.0}
CALLS: dict[str, list[Stage]] = {
    "fft.dct": [COSINE],
    "fft.dst": [COSINE],
    "fft.fft": [TURNED],
    "fft.idct": [COSINE],
    "fft.idst": [COSINE],
    "fft.ifft": [TURNED],
    "fft.irfft": [TURNED],
    "fft.rfft": [TURNED],
    "ndimage.convolve1d": [{"weights": [1.0, 2.0, 0.5], "mode": "constant", "cval": 1.0, "origin": 1}],
    "ndimage.correlate1d": [{"weights": [1.0, 2.0, 0.5], "mode": "constant", "cval": 1.0, "origin": 1}],
    "ndimage.gaussian_filter1d": [
        {"sigma": 2.0, "order": 1, "mode": "constant", "cval": 1.0, "truncate": 3.0},
        {"sigma": 2.0, "radius": 5},
    ],
    "ndimage.percentile_filter": [{**KERNEL, "percentile": 40.0}],
    "ndimage.rank_filter": [{**KERNEL, "rank": 2}],
    **{
        f"ndimage.{name}": [KERNEL]
        for name in ("uniform_filter1d", "maximum_filter1d", "minimum_filter1d", "median_filter")
    },
    **{
        f"ndimage.{name}": [{"size": 5, "mode": "constant", "cval": 1.0}]
        for name in (
            "black_tophat",
            "grey_closing",
            "grey_dilation",
            "grey_erosion",
            "grey_opening",
            "morphological_gradient",
            "white_tophat",
        )
    },
    "ndimage.shift": [{**MOVED, "shift": 1.5}],
    "ndimage.zoom": [{**MOVED, "zoom": 1.5}],
    "signal.decimate": [{"q": 3, "n": 4}, {"q": 3, "n": 20, "ftype": "fir"}, {"q": 3}],
    "signal.detrend": [{"bp": [100, 200]}, {"bp": 100}],
    "signal.filtfilt": [{**RATIO, "padlen": 10}, {**RATIO, "method": "gust", "irlen": 20}],
    "signal.hilbert": [{"N": 40}],
    "signal.lfilter": [RATIO],
    "signal.medfilt": [{"kernel_size": 5}],
    "signal.periodogram": [{"fs": 100.0, "nfft": 600, "window": ["tukey", 0.5]}],
    "signal.resample": [{"num": 40, "window": ["kaiser", 4.0]}],
    "signal.resample_poly": [{"up": 3, "down": 2, "cval": 1.0, "window": ["kaiser", 4.0]}],
    "signal.savgol_filter": [
        {"window_length": 7, "polyorder": 2, "deriv": 1, "delta": 0.5, "mode": "constant", "cval": 1.0},
        {"window_length": 7, "polyorder": 2},
    ],
    "signal.upfirdn": [
        {"h": [1.0, 2.0], "up": 3, "down": 2, "cval": 1.0},
        {"h": [1.0, 2.0], "up": 3, "down": 2, "mode": "reflect"},
    ],
    "signal.wiener": [{"mysize": 5, "noise": 0.5}],
    "signal.zoom_fft": [{"fn": [0.1, 0.4], "m": 20, "fs": 2.0}, {"fn": 0.5, "m": 20, "fs": 2.0}],
    **{f"stats.{name}": [{"high": 10.0, "low": -1.0}] for name in ("circmean", "circstd", "circvar")},
    "stats.differential_entropy": [{"window_length": 10, "base": 2.0}],
    "stats.entropy": [{"base": 2.0}],
    "stats.iqr": [{"rng": [10, 90], "scale": 2.0}],
    "stats.median_abs_deviation": [{"scale": 2.0}],
    "stats.moment": [{"order": 3}],
    "stats.pmean": [{"p": 3.0}],
    "stats.sem": [{"ddof": 0}],
    "stats.trim_mean": [{"proportiontocut": 0.1}],
    "stats.variation": [{"ddof": 1}],
    "stats.zscore": [{"ddof": 1}],
}
"""Options by which every number of the call is in use."""


def stages() -> Iterator[Any]:
    """Every base, and every base with one number replaced by each odd one."""
    bases = [(name, fields) for name, several in STAGES.items() for fields in several]
    bases += [
        ("Scipy", {"function": name, **options}) for name in sorted(FUNCTIONS) for options in CALLS.get(name, [{}])
    ]
    for name, base in bases:
        if name == "Istft":
            stft = {"Stft": SHORT_TIME}
            yield [stft, {name: base}]
            yield from ([stft, {name: fields}] for fields in varied(base))
            continue
        yield {name: base}
        yield from ({name: fields} for fields in varied(base))


def varied(base: Any) -> Iterator[Any]:
    """A field's value with each number in it replaced in turn by each odd value."""
    if isinstance(base, dict):
        for name, value in base.items():
            yield from ({**base, name: other} for other in varied(value))
    elif isinstance(base, list):
        for place, value in enumerate(base):
            yield from ([*base[:place], other, *base[place + 1 :]] for other in varied(value))
    elif isinstance(base, (int, float)) and not isinstance(base, bool):
        yield from VALUES
