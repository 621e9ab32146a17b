"""A wheel that is built here, installed where there is no compiler, and tested from there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.workplace import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="needs a C++ compiler"),
]
COMPILERS = re.compile(r"g?cc|g\+\+|c\+\+|cc1|clang|cpp|cmake|ninja|make$|g?as$|ld|.*-linux-gnu")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-C",
        f"build-dir={folder / 'build'}",
        "--wheel-dir",
        folder,
        ROOT,
    ]
    subprocess.run([sys.executable, *command], check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_tag_is_of_what_is_inside(wheel: Path):
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert re.fullmatch(rf"bridgeflow-[\d.]+(\.?dev\d+)?-{python}-{python}-{platform}\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    compiled = [name for name in names if name.endswith(".so")]
    assert {name.rpartition("/")[0] for name in compiled} == {"bridgeflow/signal/iir", "bridgeflow/signal/resampling"}
    assert all(name.endswith(sysconfig.get_config_var("EXT_SUFFIX")) for name in compiled)
    assert "bridgeflow/py.typed" in names
    assert not [name for name in names if name.endswith((".cpp", ".hpp", "CMakeLists.txt")) or "/tests/" in name]


def test_it_passes_tests_without_a_compiler(wheel: Path, tmp_path: Path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    packages = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    (packages / "tested.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")  # torch and the others
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    programs = tmp_path / "programs"
    programs.mkdir()
    for program in Path("/usr/bin").iterdir():
        if not COMPILERS.match(program.name):
            (programs / program.name).symlink_to(program)
    assert not any(
        shutil.which(name, path=programs) for name in ("gcc", "g++", "cc", "c++", "clang++", "cmake", "ninja")
    )

    for name in ("tests", "configs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    chosen = ["tests/bridge/test_cells.py", "tests/signal/iir/test_sosfilt.py", "tests/test_import.py"]
    where = "import {0}.iir._native as a, {0}.resampling._native as b; print(a.__file__, b.__file__)"
    where = where.format("bridgeflow.signal")
    python = tmp_path / "venv" / "bin" / "python"
    environment = {"PATH": str(programs), "HOME": os.environ.get("HOME", "/")}
    for command in ([python, "-c", where], [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen]):
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        if "-c" in command:
            assert all(Path(file).is_relative_to(packages) for file in run.stdout.split())
