"""Shared by tests and doctests: a torchvision that imports, Hypothesis profiles, and skips for what the machine lacks."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import HealthCheck, settings

# Tests use the real torchvision. Its Python part registers fake kernels for operators that its compiled part defines, so
# where the two were built for different torch builds (a CPU torch beside the wheel made for the CUDA one) the import fails on
# the missing schemas. Declaring the two that it registers for is enough: no test here calls them.
_TORCHVISION_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _make_torchvision_importable() -> torch.library.Library | None:
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for schema in _TORCHVISION_OPERATORS:
            library.define(schema)
        return library
    return None


_torchvision_library = _make_torchvision_importable()  # the schemas live as long as this object

settings.register_profile(
    "default",
    deadline=None,  # a slow moment of a shared machine is not a failure
    derandomize=True,  # the same examples on every machine, so a red run can be repeated
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", parent=settings.get_profile("default"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `cuda` on a machine without a GPU."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU"))
