"""Calls of SciPy's functions over their options, run in child processes: what became of them.

The functions of the curated list, `"signal.decimate"`, and those of `bridgeflow.signal` by SciPy's names, `"lfilter"`.

As a script it is such a child: `curated.py FUNCTIONS EVERY START` makes the calls of functions from one on, every so
many, and writes for each its number before it begins and what came of it when it is over.
"""

from __future__ import annotations

import itertools
import os
import random
import resource
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

LENGTHS = (0, 1, 2, 3, 4, 5, 7, 8, 17)
DTYPES = ("float32", "float64", "int16", "complex64", "complex128")
ROWS = (1, 3)
MOST_MEMORY = 2 << 30
MOST_SECONDS = 10.0  # of the processor, so that a busy machine is no hang

INTEGERS = (0, 1, 2, 3, 4, 5, 6, 8, 9, 17, 18, 100, 4097, 1 << 15, 1 << 20, (1 << 31) - 1, -1, -2, -9, -(1 << 31))
NUMBERS = (
    0.0,
    0.5,
    1.0,
    1.5,
    2.0,
    7.0,
    33.0,
    1e3,
    1e6,
    1e9,
    1e15,
    1e308,
    1e-9,
    5e-324,
    -0.5,
    -1.0,
    -40.0,
    -1e9,
    -1e308,
)
TEXTS = ("", "none", "hann", "boxcar", "bartlett", "flattop", "parzen", "barthann", "cosine", "exponential", "tukey")
TUPLES = (
    ("kaiser", 5.0), ("kaiser", 1e9), ("tukey", -1.0), ("gaussian", 0.0), ("gaussian", 1e-300), ("dpss", 1e9),
    ("dpss", 2.0), ("taylor", 10**7), ("taylor", 4, 30), ("chebwin", 1e9), ("chebwin", 50), ("general_hamming", 1e15),
    ("general_cosine", 1.0), ("general_gaussian", 1e-300, 1.0), ("general_gaussian", 1.5, 0.0), ("exponential", None),
    ("exponential", 1.0, 3.0), ("kaiser_bessel_derived", 4.0), ("hann", 1.0, 2.0), ("kaiser", "kaiser"), (5.0,),
)  # fmt: skip


class Call(NamedTuple):
    """A function's options and the data that it gets."""

    function: str
    options: dict[str, Any]
    length: int
    dtype: str
    rows: int


def values_of(hint: Any) -> list[Any]:
    """Values of a type, small and large, at the ends of its range and just outside, and a wrong one."""
    from bridgeflow.ranges import Range

    origin, inner = get_origin(hint), get_args(hint)
    if hint is bool:
        return [False, True, 1]
    if hint is str:
        return list(TEXTS)
    if hint is type(None):
        return [None]
    if origin is Literal:
        return [*inner, "no such word"]
    if origin is Annotated:
        plain = INTEGERS if inner[0] is int else NUMBERS
        ends = [end for one in inner[1:] if isinstance(one, Range) for end in (one.least, one.most) if abs(end) < 1e300]
        step = 1 if inner[0] is int else 0.1
        return sorted({*plain, *(end + by for end in ends for by in (-step, 0, step))})
    if origin is tuple:
        if Ellipsis not in inner:
            each = [one for one in values_of(inner[0]) if one is not None]
            return [tuple(each[(place * 7 + k) % len(each)] for k in range(len(inner))) for place in range(len(each))]
        if str in get_args(inner[0]):
            return list(TUPLES)
        each = values_of(inner[0])
        return [
            (),
            *((one,) for one in each),
            (1.0, 0.0),
            (0.0, 1.0),
            (0.5,) * 9,
            (1e300, -1e300),
            (0.1,) * 5000,
        ]
    return [value for one in inner for value in values_of(one)]  # a union


def calls(function: str) -> Iterator[Call]:
    """Every option alone with all data, every pair of options with some."""
    from bridgeflow.signal.scipy_list import FUNCTIONS
    from tests.fuzz.stages import CALLS

    if function in NAMED:
        yield from named_calls(function)
        return
    rng = random.Random(function)
    reference = FUNCTIONS[function].options
    usual = [{name: _tuples(value) for name, value in one.items()} for one in CALLS.get(function, [{}])]
    bases = [*usual, {name: value for name, value in usual[0].items() if reference[name].required}]
    values = {name: values_of(option.hint) for name, option in reference.items()}
    data = list(itertools.product(LENGTHS, DTYPES, ROWS))
    for base in bases:
        yield from (Call(function, base, *one) for one in data)
        for name, several in values.items():
            yield from (Call(function, {**base, name: value}, *one) for value in several for one in data)
    for name, other in itertools.combinations(values, 2):
        for value, another in itertools.product(values[name], values[other]):
            base = rng.choice(bases)
            yield from (Call(function, {**base, name: value, other: another}, *one) for one in rng.sample(data, 3))


TAPS = (1.0, 0.5, 0.25)
NAMED: dict[str, dict[str, Any]] = {
    "convolve": {"in2": TAPS, "mode": "full", "method": "auto"},
    "coherence": {"y": None, "fs": 9.0, "window": "hann", "nperseg": 4, "noverlap": 1, "nfft": 8, "detrend": "linear"},
    "correlate": {"in2": TAPS, "mode": "full", "method": "auto"},
    "csd": {"y": None, "fs": 9.0, "window": "hann", "nperseg": 4, "noverlap": 1, "nfft": 8, "scaling": "density"},
    "decimate": {"q": 2, "n": 4, "ftype": "fir", "axis": -1, "zero_phase": True},
    "detrend": {"axis": -1, "type": "linear", "bp": 1},
    "envelope": {"bp_in": (1, None), "n_out": 9, "squared": False, "residual": "lowpass", "axis": -1},
    "fftconvolve": {"in2": TAPS, "mode": "full", "axes": None},
    "filtfilt": {"padtype": "odd", "padlen": 1, "method": "pad", "irlen": None, "axis": -1},
    "hilbert": {"N": 9, "axis": -1},
    "istft": {"fs": 9.0, "window": "hann", "nperseg": 4, "noverlap": 2, "nfft": 8, "time_axis": -1, "freq_axis": -2},
    "lfilter": {"axis": -1, "zi": None},
    "medfilt": {"kernel_size": 3},
    "oaconvolve": {"in2": TAPS, "mode": "full", "axes": None},
    "periodogram": {"fs": 9.0, "window": "hann", "nfft": 8, "detrend": "constant", "scaling": "density", "axis": -1},
    "resample": {"num": 9, "t": None, "axis": -1, "window": "hann", "domain": "time"},
    "resample_poly": {"up": 3, "down": 2, "axis": -1, "window": "hann", "padtype": "constant", "cval": 1.0},
    "savgol_filter": {"window_length": 3, "polyorder": 1, "deriv": 0, "delta": 1.0, "axis": -1, "mode": "nearest"},
    "sosfilt": {"axis": -1, "zi": None},
    "sosfiltfilt": {"axis": -1, "padtype": "odd", "padlen": 1},
    "spectrogram": {"fs": 9.0, "window": "hann", "nperseg": 4, "noverlap": 1, "nfft": 8, "mode": "psd", "axis": -1},
    "stft": {"fs": 9.0, "window": "hann", "nperseg": 4, "noverlap": 2, "nfft": 8, "boundary": "zeros", "padded": True},
    "upfirdn": {"up": 3, "down": 2, "axis": -1, "mode": "constant", "cval": 1.0},
    "welch": {"fs": 9.0, "window": "hann", "nperseg": 4, "noverlap": 1, "nfft": 8, "average": "mean", "axis": -1},
}
"""Options of the functions by SciPy's names, beside the data."""

LEADING: dict[str, tuple[Any, ...]] = {
    "filtfilt": (TAPS, (1.0, -0.5)),
    "lfilter": (TAPS, (1.0, -0.5)),
    "sosfilt": ([[1.0, 0.5, 0.2, 1.0, -0.5, 0.1]],),
    "sosfiltfilt": ([[1.0, 0.5, 0.2, 1.0, -0.5, 0.1]],),
    "upfirdn": (TAPS,),
}
ODD: tuple[Any, ...] = (
    0, 1, -1, 2, 17, 18, 63, 64, 100, 1 << 20, (1 << 31) - 1, 1 << 31, 1 << 62, 1 << 63, -(1 << 62), 10**400,
    0.5, 3.0, 1e-9, 1e15, 1e308, 5e-324, float("nan"), float("inf"), -float("inf"), 2j, None, True, False, "", "odd",
    "constant", "valid", "same", "direct", "taylor", (), (0,), (1 << 62,), ("taylor", 10**7), ("dpss", 1e9), [], [0.0],
    [float("nan")], ["a"], [[1.0], [2.0, 3.0]], {}, b"x", object,
)  # fmt: skip


def named_calls(function: str) -> Iterator[Call]:
    """Every argument odd with some data, every pair of arguments odd with one."""
    rng = random.Random(function)
    base = NAMED[function]
    data = list(itertools.product(LENGTHS, ("float32", "float64", "int16", "complex128"), ROWS))
    yield from (Call(function, base, *one) for one in data)
    yield from (
        Call(function, {**base, name: value}, *one) for name in base for value in ODD for one in rng.sample(data, 8)
    )
    for name, other in itertools.combinations(base, 2):
        pairs = rng.sample(list(itertools.product(ODD, ODD)), 300)
        yield from (Call(function, {**base, name: one, other: two}, *rng.choice(data)) for one, two in pairs)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def all_calls(functions: Iterable[str]) -> Iterator[Call]:
    """Of several functions, one after the other."""
    return itertools.chain.from_iterable(map(calls, functions))


def fuzz(functions: Iterable[str], every: int) -> tuple[Counter[str], list[str]]:
    """How the calls of functions ended, and those that ended badly: a crash, a hang, an exception of another kind."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    start, several = 0, list(functions)
    while True:
        child = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.fuzz.curated", ",".join(several), str(every), str(start)],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        lines = child.stdout.splitlines()
        for line in lines:
            word, _, said = line.partition(" ")
            if word in ("done", "refused"):
                counts[word] += int(said)
            elif word == "raw":
                counts[word] += 1
                wrong.append(said)
        if lines and lines[-1] == "end":
            return counts, wrong
        begun = [line for line in lines if line.startswith("at ")]
        if not begun:
            raise AssertionError(f"{several}: no child: {child.stderr[-2000:]}")
        number = int(begun[-1].split()[1])
        how = "hang" if child.returncode == -signal.SIGPROF else f"crash {child.returncode}"
        counts[how] += 1
        found = next(itertools.islice(all_calls(several), number, None))
        wrong.append(f"{how}: {shortly(found)}")
        start = number + every


def shortly(call: Call) -> str:
    """A call in a message."""
    return (
        f"{call.function} with {str(call.options)[:300]} on {call.rows} rows of {call.length} samples of {call.dtype}"
    )


@cache
def _runner(function: str) -> Callable[[Any, dict[str, Any]], object]:
    from bridgeflow import signal as named
    from bridgeflow.signal.scipy_call import ScipyCall
    from bridgeflow.signal.scipy_list import FUNCTIONS

    if function not in NAMED:
        FUNCTIONS[function].find()
        return lambda x, options: ScipyCall(function, options)(x)
    called = getattr(named, function)

    def run(x: Any, options: dict[str, Any]) -> object:
        second = {"y": x} if "y" in options and options["y"] is None else {}
        return called(*LEADING.get(function, ()), x, **{**options, **second})

    return run


def _serve(functions: list[str], every: int, start: int) -> None:
    import numpy as np

    from bridgeflow.errors import BridgeflowError
    from tests.fuzz import layouts

    for function in functions:
        _runner(function)
    rng = np.random.default_rng(0)
    with open("/proc/self/statm", encoding="ascii") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MOST_MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    for number, call in enumerate(all_calls(functions)):
        if number < start or (number - start) % every:
            continue
        x = rng.standard_normal((call.rows, call.length)) * 3
        if call.dtype.startswith("complex"):
            x = x + 1j * x[::-1]
        data = x.astype(call.dtype)
        if call.function in NAMED:
            layout = layouts.LAYOUTS[rng.integers(len(layouts.LAYOUTS))]
            data = layout(data.astype(data.dtype.newbyteorder("=<>"[rng.integers(3)])))
        os.write(1, f"at {number}\n".encode())
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        try:
            _runner(call.function)(data, call.options)
            end = "done 1"
        except BridgeflowError:
            end = "refused 1"
        except Exception as error:
            end = f"raw {type(error).__name__}: {str(error)[:200]!r}: {shortly(call)}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.write(1, f"{end}\n".encode())
    os.write(1, b"end\n")


if __name__ == "__main__":
    _serve(sys.argv[1].split(","), int(sys.argv[2]), int(sys.argv[3]))
