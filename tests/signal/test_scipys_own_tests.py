"""SciPy's own tests with our functions in SciPy's place, whole files, with ndarrays and with tensors.

What still fails is declared: `docs/scipy.md` lists these differences with their reasons, and a test that fails for
another reason than the declared one fails here too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.signal.scipy_suite import every_name_of_ours, outcomes


class Difference(NamedTuple):
    """What our functions promise otherwise: the tests that notice it, and what their failures say."""

    reason: str
    tests: tuple[str, ...]
    said: str


BACKEND = "(numpy|torch)"

DIFFERENCES = [
    Difference(
        "Integers and booleans are accepted wherever numbers are, and become float64",
        (
            rf"TestLinearFilter\w+\.test_invalid_params\[{BACKEND}\]",
            rf"TestMedFilt\.test_invalid_dtypes\[{BACKEND}-bool\]",
        ),
        "DID NOT RAISE",
    ),
    Difference(
        "Half precision is accepted and stays half precision",
        (rf"TestMedFilt\.test_invalid_dtypes\[{BACKEND}-float16\]", r"TestDecimate\.test_float16_upcast"),
        r"DID NOT RAISE|dtype\('float16'\)",
    ),
    Difference(
        "Single precision stays single precision beside double coefficients",
        (r"TestSOSFilt\.test_sosfilt_zi\[numpy-(float32|complex64)\]",),
        r"dtypes do not match.\s+E?\s+Actual: (torch\.)?(float32|complex64)",
    ),
    Difference(
        "Spectra of single precision are computed in single precision",
        (r"test_roundtrip_windows\[hann-1024-256-(128|127|5)\]",),
        "Roundtrip for 32 Bit float values failed",
    ),
    Difference(
        "The state of a filter is in double precision",
        (rf"TestLinearFilter(Float32|Complex64)\.test_empty_zi\[{BACKEND}\]",),
        r"(float64|complex128)'?\)? == ",
    ),
    Difference(
        "Unstable filters are refused",
        (
            rf"TestLinearFilter\w+\.test_lfiltic\[{BACKEND}-\[\d, .*\]\]",
            rf"test_lfilter_notimplemented_input\[{BACKEND}\]",
            rf"TestFiltFilt\.test_basic\[{BACKEND}\]",
        ),
        "UnstableFilter: (lfilter|filtfilt): unstable: a has a pole at",
    ),
    Difference(
        "Python objects in the place of numbers are a ValueError",
        (rf"test_lfilter_bad_object\[{BACKEND}\]",),
        "DataError: .* cannot filter elements of type object",
    ),
]


def declared(name: str) -> list[Difference]:
    return [difference for difference in DIFFERENCES if any(re.fullmatch(test, name) for test in difference.tests)]


def run(file, tests, backend, tmp_path):
    passed, failed = outcomes(file, tests, every_name_of_ours(), tmp_path, backend=backend)
    print(f"{file} with {backend}: {len(passed)} of {len(passed) + len(failed)} pass, {len(failed)} are declared")
    assert passed
    surprises = {name: said for name, said in failed.items() if not declared(name)}
    assert not surprises, f"{len(surprises)} unexpected failures\n\n" + "\n\n".join(map(": ".join, surprises.items()))
    for name, said in failed.items():
        assert any(re.search(difference.said, said) for difference in declared(name)), f"{name}: {said}"
    by_now = [name for name in passed if declared(name)]
    assert not by_now, f"these pass by now: {by_now}"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("file", ["test_signaltools", "test_spectral", "test_short_time_fft", "test_savitzky_golay"])
def test_whole_files(file, backend, tmp_path):
    run(file, [], backend, tmp_path)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_sections(backend, tmp_path):
    run("test_signaltools", ["TestSOSFilt", "TestSOSFiltFilt", "TestLFilterZI"], backend, tmp_path)


def test_each_difference_stands_in_the_docs():
    listed = (Path(__file__).parents[2] / "docs" / "scipy.md").read_text(encoding="utf-8")
    for difference in DIFFERENCES:
        assert difference.reason in " ".join(listed.split()), difference.reason
