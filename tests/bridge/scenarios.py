"""Runs scenarios that could kill the interpreter, each in a process of its own, and says how each ended.

`python -m tests.bridge.scenarios MODULE` imports the module (and torch, once), forks for every function in it whose
name starts with `scenario_`, and prints a JSON object from name to outcome: empty for a clean end, else the traceback
or the signal.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType

from tests.workplace import ROOT


def names(module: ModuleType) -> list[str]:
    """The scenarios of a module."""
    return [name for name, _ in inspect.getmembers(module, inspect.isfunction) if name.startswith("scenario_")]


@cache
def outcomes(module: str) -> dict[str, str]:
    """How every scenario of the module ended, in a fresh interpreter."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.bridge.scenarios", module],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    ended: dict[str, str] = json.loads(run.stdout.splitlines()[-1])
    return ended


def in_a_child(scenario: Callable[[], None]) -> str:
    """Fork, run, and say how it ended."""
    with tempfile.TemporaryFile("w+") as report:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                scenario()
                status = 0
            except BaseException:
                report.write(traceback.format_exc())
                report.flush()
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        report.seek(0)
        text = report.read()
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return text or ("" if status == 0 else f"exit status {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    loaded = import_module(sys.argv[1])
    gc.freeze()  # the libraries' own objects: a collection in a scenario need not walk them
    print(json.dumps({name: in_a_child(getattr(loaded, name)) for name in names(loaded)}))
