"""Call the functions of one family of `scipy_names` with arguments of any kind: `any_arguments.py FAMILY CALLS`.

What is wrong ends in an error of BridgeFlow's own or in a MemoryError; run in a process of its own, because a function
that reads beyond an array ends it. Prints, for each function, how the calls ended.
"""

from __future__ import annotations

import inspect
import random
import resource
import sys
import warnings
from collections import Counter

import numpy as np

from bridgeflow import signal
from bridgeflow.errors import BridgeflowError
from bridgeflow.signal.scipy_names import SCIPYS_FUNCTIONS

WORDS = ["hann", "same", "full", "lowpass", "bandpass", "butter", "constant", "interp", "sos", "zpk", "x", ""]
NUMBERS = [0, 1, -1, 2, 3, 7, 2**31, -(2**62), 0.0, 0.1, 0.5, 1.0, -1.0, np.nan, np.inf, 1e300, True, np.int64(4)]


def value(dice: random.Random, numbers: np.random.Generator) -> object:
    """An argument of some kind."""
    kinds = [
        lambda: numbers.standard_normal(dice.choice([0, 1, 2, 3, 5, 20])),
        lambda: numbers.standard_normal((dice.choice([0, 1, 3]), dice.choice([0, 1, 4]))),
        lambda: numbers.integers(-5, 5, dice.choice([0, 1, 3, 9])),
        lambda: numbers.standard_normal(6) + 1j,
        lambda: sorted(dice.random() for _ in range(dice.choice([0, 1, 2, 4, 6]))),
        lambda: (dice.random(), dice.random()),
        lambda: np.ones(dice.choice([1, 3]), np.float32),
        lambda: dice.choice(WORDS),
        lambda: dice.choice(NUMBERS),
        lambda: None,
    ]
    return dice.choice(kinds)()


def main(family: str, calls: int) -> None:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    for name in SCIPYS_FUNCTIONS[family]:
        function = getattr(signal, name, None)
        if function is None:  # of a later SciPy
            continue
        dice, numbers, ended = random.Random(name), np.random.default_rng(0), Counter()
        parameters = [p for p in inspect.signature(function).parameters.values() if p.name not in {"xp", "device"}]
        for _ in range(calls):
            options = {p.name: value(dice, numbers) for p in parameters if p.default is p.empty or dice.random() < 0.25}
            if "comparator" in options:
                options["comparator"] = np.greater
            try:
                function(**options)
                ended["results"] += 1
            except BridgeflowError:
                ended["refused"] += 1
            except (MemoryError, np.linalg.LinAlgError) as error:
                ended[type(error).__name__] += 1
        print(f"{name}: {dict(ended)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
