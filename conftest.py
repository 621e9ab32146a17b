"""Shared by tests and doctests: a torchvision that imports, Hypothesis profiles, skips for what the machine lacks."""

from __future__ import annotations

import ast
import os
from importlib.util import find_spec

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.torchvision_operators import make_torchvision_importable

make_torchvision_importable()

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each process of a test compiles all our modules again

collect_ignore = [] if find_spec("ray") else ["src/bridgeflow/engines/ray_rows.py"]
"""Modules whose doctests cannot be looked for without a package that is an extra."""

settings.register_profile(
    "default",
    deadline=None,  # a slow moment of a shared machine is not a failure
    derandomize=True,  # the same examples on every machine, so a red run can be repeated
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", parent=settings.get_profile("default"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `cuda` on a machine without a GPU, and examples of integrations without their package."""
    for item in items:
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU"))
        if isinstance(item, pytest.DoctestItem) and item.name.startswith("bridgeflow.integrations."):
            source = "".join(example.source for example in item.dtest.examples)
            for name in _imported(source):
                if find_spec(name) is None:
                    item.add_marker(pytest.mark.skip(reason=f"needs {name}"))


def _imported(source: str) -> set[str]:
    """The packages that code imports."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.partition(".")[0] for name in names}
