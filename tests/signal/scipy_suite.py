"""SciPy's own installed tests, with our functions in SciPy's place.

As a pytest plugin (in the subprocess that `outcomes` starts) it puts our functions where the collected modules
of SciPy's tests look for theirs. Not before they are collected: the tests' decorators know SciPy's functions alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

OURS = "BRIDGEFLOW_IN_SCIPYS_PLACE"
"""Environment variable: `name=module` of each function to replace, separated by blanks."""


def pytest_collection_finish(session: Any) -> None:
    import scipy.signal

    stand_in = ModuleType("scipy.signal")  # ours may ask the real one
    vars(stand_in).update(vars(scipy.signal))
    modules = {item.module for item in session.items}
    for entry in os.environ.get(OURS, "").split():
        name, _, place = entry.partition("=")
        theirs, ours = getattr(scipy.signal, name), getattr(import_module(place), name)
        assert theirs is not ours
        setattr(stand_in, name, ours)
        for module in modules:
            if getattr(module, name, None) is theirs:
                setattr(module, name, ours)
    for module in modules:
        if getattr(module, "signal", None) is scipy.signal:
            module.signal = stand_in


def every_name_of_ours() -> dict[str, str]:
    """All of SciPy's names that `bridgeflow.signal` offers as functions or classes of its own."""
    import scipy.signal

    from bridgeflow import signal

    names = sorted(set(scipy.signal.__all__) & set(signal.__all__))
    return {name: "bridgeflow.signal" for name in names if getattr(signal, name) is not getattr(scipy.signal, name)}


def outcomes(
    file: str, tests: Sequence[str], ours: dict[str, str], tmp_path: Path, *, backend: str = "numpy"
) -> tuple[list[str], dict[str, str]]:
    """Run tests of `scipy.signal.tests` with functions of ours.

    Args:
        file: the test module, such as `"test_signaltools"`.
        tests: classes and functions of it; none for all.
        ours: where each function is that takes SciPy's place: `{"decimate": "bridgeflow.signal"}`.
        tmp_path: for the report.
        backend: whose arrays the tests make, `"numpy"` or `"torch"`.

    Returns:
        passed: names of the tests that passed.
        failed: what each of the others says.
    """
    import scipy.signal

    module = Path(scipy.signal.__file__).parent / "tests" / f"{file}.py"
    if not module.exists():
        pytest.skip("this SciPy is installed without its tests")
    report, root = tmp_path / "report.xml", Path(__file__).parents[2]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    command += [f"--rootdir={tmp_path}", "-p", "tests.signal.scipy_suite", f"--junitxml={report}"]
    command += [f"{module}::{test}" for test in tests] or [str(module)]
    environment = os.environ | {OURS: " ".join(f"{name}={place}" for name, place in ours.items())}
    if backend != "numpy":
        environment["SCIPY_ARRAY_API"] = f'["{backend}"]'
    environment["PYTHONPATH"] = os.pathsep.join([str(root), str(root / "src"), environment.get("PYTHONPATH", "")])
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert report.exists(), done.stdout + done.stderr
    passed, failed = [], {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}".lstrip(".")
        problems = [child.text or "" for child in case if child.tag in {"failure", "error"}]
        if problems:
            failed[name] = problems[0]
        elif not len(case):
            passed.append(name)
    return passed, failed
