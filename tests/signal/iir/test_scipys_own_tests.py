"""SciPy's own tests of second-order sections, with our functions in SciPy's place."""

from __future__ import annotations

from tests.signal.scipy_suite import run_scipy_tests

OURS = dict.fromkeys(("sosfilt", "sosfiltfilt", "sosfilt_zi"), "tests.signal.iir.in_scipys_place")

NARROW = "float32 and complex64 data keep their dtype beside float64 sections; SciPy answers in double"
EXCEPTIONS = {
    f"TestSOSFilt.{test}[numpy-{dtype}]": NARROW
    for test in ("test_initial_conditions", "test_initial_conditions_3d_axis1", "test_sosfilt_zi")
    for dtype in ("float32", "complex64")
}


def test_sections(tmp_path):
    run_scipy_tests("test_signaltools", ["TestSOSFilt", "TestSOSFiltFilt"], OURS, tmp_path, exceptions=EXCEPTIONS)
