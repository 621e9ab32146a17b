"""What the project's own files promise each other."""

from __future__ import annotations

import re
import sys

import pytest

import bridgeflow
from tests.workplace import ROOT

if sys.version_info < (3, 11):
    pytest.skip("reads pyproject.toml with tomllib, which Python 3.10 lacks", allow_module_level=True)

import tomllib

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
LAYERS = next(each for each in PYPROJECT["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
REQUIREMENTS = [
    *PROJECT["dependencies"],
    *(each for extra in PROJECT["optional-dependencies"].values() for each in extra),
]
PACKAGES = sorted({re.match(r"[\w-]+", each)[0] for each in REQUIREMENTS} - {"bridgeflow"})


@pytest.mark.parametrize("package", PACKAGES)
def test_dependency_is_explained_and_pinned(package):
    assert re.search(rf"\b{package}\b", (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8"))
    assert re.search(rf"^{package}==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)


def test_version_is_said_once():
    assert bridgeflow.__version__ == PROJECT["version"]


def test_every_room_has_its_floor_in_the_architecture():
    floors = [re.sub(r"[()]", "", floor) for floor in LAYERS["layers"]]
    (drawn,) = re.findall(
        r"```text\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert [line.split("  ")[0] for line in drawn.splitlines()] == floors
