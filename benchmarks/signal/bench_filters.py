"""Filters as users call them, against SciPy: a small chunk, finite memory, zero phase piece by piece."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.signal

from benchmarks.harness import Race, benchmark, faster
from bridgeflow import signal
from bridgeflow.bridge import describe
from bridgeflow.transforms import SignalFilter

LOWPASS = signal.Butter(order=4, cutoff=20.0, fs=100.0)


def noise(*shape: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def close(ours: Any, theirs: Any) -> None:
    """Equal within the rounding of float32 data."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@benchmark("sosfilt, chunk [8, 100] float32")
def small_chunk() -> Race:
    x, sos = noise(8, 100), LOWPASS.sos
    return Race(
        ours=partial(signal.sosfilt, LOWPASS, x),
        peers={"scipy.signal.sosfilt": partial(scipy.signal.sosfilt, sos, x)},
        targets={"scipy.signal.sosfilt": faster(5)},
        agree=close,
    )


@benchmark("SignalFilter.step, chunk [8, 100] float32, checked for NaN")
def small_step() -> Race:
    x, sos = noise(8, 100), LOWPASS.sos
    result = SignalFilter(design="butter", order=4, cutoff=20.0, fs=100.0)
    state, zi = result.init_state(describe(x)), np.zeros((2, 8, 2))

    def theirs() -> Any:
        return scipy.signal.sosfilt(sos, x, zi=zi)[0]

    return Race(
        ours=lambda: result.step(x, state)[0],
        peers={"scipy.signal.sosfilt with zi": theirs},
        targets={"scipy.signal.sosfilt with zi": faster(3)},
        agree=close,
    )


@benchmark("fir_filter, {taps} taps, [64, 16384] {dtype}, direct", taps=[31, 101], dtype=["float32", "float64"])
def direct_form(taps: int, dtype: str) -> Race:
    x, weights = noise(64, 16384, dtype=dtype), scipy.signal.firwin(taps, 0.2)
    return Race(
        ours=partial(signal.fir_filter, weights, x),
        peers={
            "scipy.signal.lfilter": partial(scipy.signal.lfilter, weights, 1.0, x),
            "scipy.signal.oaconvolve": lambda: scipy.signal.oaconvolve(x, weights[None], axes=-1)[:, : x.shape[-1]],
        },
        work=(x.size, "sample"),
        agree=close,
    )


@benchmark("fir_filter, 1001 taps, [64, 16384] float32, fft")
def overlap_add() -> Race:
    x, weights = noise(64, 16384), scipy.signal.firwin(1001, 0.2)
    return Race(
        ours=partial(signal.fir_filter, weights, x, method="fft"),
        peers={"scipy.signal.lfilter": partial(scipy.signal.lfilter, weights, 1.0, x)},
        work=(x.size, "sample"),
        agree=close,
    )


@benchmark("zero phase in chunks of 4096, [8, 2^17] float32, tolerance 1e-6")
def zero_phase_stream() -> Race:
    x, sos = noise(8, 1 << 17), LOWPASS.sos

    def ours() -> Any:
        live = signal.stream(LOWPASS, mode="zero_phase", tolerance=1e-6)
        pieces = [live.push(x[:, begin : begin + 4096]) for begin in range(0, x.shape[-1], 4096)]
        return np.concatenate([*pieces, live.flush()], axis=-1)

    return Race(
        ours=ours,
        peers={"scipy.signal.sosfiltfilt over the whole": partial(scipy.signal.sosfiltfilt, sos, x)},
        work=(x.size, "sample"),
        agree=close,
    )


@benchmark("a design built again")
def design_again() -> Race:
    return Race(
        ours=partial(signal.Butter, order=4, cutoff=20.0, fs=100.0),
        peers={"scipy.signal.butter": partial(scipy.signal.butter, 4, 20.0, fs=100.0, output="sos")},
    )
