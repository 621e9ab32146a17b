"""What the project's own files promise each other."""

from __future__ import annotations

import re
import sys
from datetime import date
from importlib import metadata

import pytest
import yaml
from packaging.version import Version

import bridgeflow
from tests.workplace import ROOT

if sys.version_info < (3, 11):
    pytest.skip("reads pyproject.toml with tomllib, which Python 3.10 lacks", allow_module_level=True)

import tomllib

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
DEV = PROJECT["optional-dependencies"]["dev"]
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
    assert PROJECT["dynamic"] == ["version"]
    assert metadata.version("bridgeflow") == bridgeflow.__version__
    assert "version:" not in re.sub("cff-version:", "", (ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_changelog_dates_the_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    released, _, day = headings[1].partition(" - ")
    date.fromisoformat(day)
    version, newest = Version(bridgeflow.__version__), Version(released.strip("[]"))
    waiting = text.partition("## [Unreleased]")[2].partition("\n## ")[0].strip()
    assert version > newest if waiting else version == newest, "see Releasing in CONTRIBUTING.md"


OLDEST = dict(
    line.split("==")
    for line in (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line
)
TOOLS = {"import-linter", "mypy", "ruff", "scipy-stubs", "types-PyYAML"}  # no test runs them
TESTED = [
    *PROJECT["dependencies"],
    *(
        each
        for extra in re.findall(r"[\w-]+", DEV[0].partition("[")[2])
        for each in PROJECT["optional-dependencies"][extra]
    ),
    *(each for each in DEV[1:] if re.match(r"[\w-]+", each)[0] not in TOOLS),
]


@pytest.mark.parametrize("requirement", TESTED)
def test_a_range_begins_at_the_oldest_version_that_is_tested(requirement):
    package, _, least = requirement.partition(">=")
    assert Version(OLDEST[package]) == Version(least)


def test_the_oldest_set_holds_nothing_else():
    assert sorted(OLDEST) == sorted(requirement.partition(">=")[0] for requirement in TESTED)


def test_forms_and_workflows_are_whole():
    for path in sorted([*(ROOT / ".github").rglob("*.yml"), ROOT / "CITATION.cff", ROOT / ".pre-commit-config.yaml"]):
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict), path
    for form in ("bug", "feature"):
        asked = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{form}.yml").read_text(encoding="utf-8"))
        assert asked.keys() >= {"name", "description", "body"}
        assert all(part["type"] in {"markdown", "textarea", "dropdown"} for part in asked["body"])


def test_the_compiler_is_told_no_processor_of_its_own():
    """A wheel runs on every processor of its architecture: wider instructions only in the kernels that ask first."""
    rules = (ROOT / "src" / "bridgeflow" / "signal" / "CMakeLists.txt").read_text(encoding="utf-8")
    assert not re.search(r"-(march|mtune|mcpu)", rules)
    wide = [line for line in rules.splitlines() if " -mavx" in line]
    assert all(line.strip().startswith("add_kernel(${folder} avx") for line in wide)


def test_every_room_has_its_floor_in_the_architecture():
    floors = [re.sub(r"[()]", "", floor) for floor in LAYERS["layers"]]
    (drawn,) = re.findall(
        r"```text\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert [line.split("  ")[0] for line in drawn.splitlines()] == floors
