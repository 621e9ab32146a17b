"""Importing bridgeflow stays cheap: names are there at once, the heavy libraries only when something needs them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bridgeflow
from bridgeflow import transforms

HEAVY = ("torch", "torchvision", "numpy", "scipy", "pyarrow", "matplotlib", "pydantic", "PIL")


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after running `code`."""
    show = "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code + show], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_import_loads_no_heavy_library():
    assert modules_after("import bridgeflow").isdisjoint(HEAVY)


def test_naming_what_is_there_loads_nothing_either():
    assert modules_after("import bridgeflow; dir(bridgeflow); bridgeflow.__all__").isdisjoint(HEAVY)


def test_public_names_are_sorted_and_listed():
    assert bridgeflow.__all__ == sorted(bridgeflow.__all__)
    assert set(bridgeflow.__all__) <= set(dir(bridgeflow))


@pytest.mark.parametrize("name", bridgeflow.__all__)
def test_public_name_resolves(name):
    assert getattr(bridgeflow, name) is not None


def test_every_transform_has_its_name_at_the_top():
    assert set(transforms.__all__) <= set(bridgeflow.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = bridgeflow.no_such_name
