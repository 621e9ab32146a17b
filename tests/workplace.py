"""What a reader of the documents does after a clone: a working directory, scripts run in it, `bridgeflow` commands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryFile

import pytest

ROOT = Path(__file__).parents[1]


def furnish(folder: Path) -> Path:
    """Copy configs and examples into `folder`, so that what a script writes stays there."""
    for name in ("configs", "examples"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run_script(script: Path, *, folder: Path) -> str:
    """Run a Python file in `folder`, every warning an error, and give what it printed; fails with its complaint."""
    inherited = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    path = os.pathsep.join((str(ROOT), *map(os.path.abspath, inherited)))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "error", "MPLBACKEND": "Agg"}
    command = [sys.executable, "-m", "tests.run_script", str(script)]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, f"{script.name} ended with {run.returncode}:\n{run.stdout}\n{run.stderr}"
    return run.stdout


def run_command(command: str, *shown: str) -> None:
    """A `bridgeflow` command succeeds, and prints every line of `shown`, where `...` stands for anything."""
    code, output = bridgeflow(command)
    assert code == 0, f"{command} ended with {code}:\n{output}"
    printed = " ".join(output.split())
    for line in filter(str.strip, shown):
        pattern = r".*?".join(re.escape(" ".join(part.split())) for part in line.split("..."))
        assert re.search(pattern, printed), f"{command} does not print {line!r}, but:\n{output}"


def check_job(text: str) -> None:
    """A YAML job or pipeline is valid; one that names its file in its first line is saved there for later commands."""
    named = re.match(r"# (\S+\.yaml)\b", text)
    file = Path(named[1] if named else "document.yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    if re.search(r"^sink:", text, re.MULTILINE):
        run_command(f"bridgeflow check {file} --overwrite")  # valid, also where it has run before
    else:
        from bridgeflow import load_pipeline

        load_pipeline(file)


def bridgeflow(command: str) -> tuple[int, str]:
    """Exit code of a command line, and its output and errors, which come together as a terminal shows them.

    It runs in this process, where torch and the library are imported already; tests/test_cli.py starts processes.
    """
    from bridgeflow.cli import main

    before = sys.argv
    sys.argv = shlex.split(command)
    try:
        with TemporaryFile("w+", encoding="utf-8") as output:
            with redirect_stdout(output), redirect_stderr(output), pytest.raises(SystemExit) as ended:
                main()
            output.seek(0)
            return ended.value.code, output.read()
    finally:
        sys.argv = before
