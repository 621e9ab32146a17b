"""Makes the real torchvision importable beside a torch that its compiled part was not built for.

torchvision registers fake kernels for operators that its compiled part defines. Where that part does not load (a CPU
build of torch beside the wheel made for the CUDA one) the import fails on the missing schemas. Declaring the two that
it registers for is enough for the transforms, which do not call them.
"""

from __future__ import annotations

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: torch.library.Library | None = None  # the schemas live as long as this object


def make_torchvision_importable() -> None:
    """Import torchvision; only where that fails, declare the two schemas, so that the next import succeeds."""
    global _library
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        _library = torch.library.Library("torchvision", "DEF")
        for schema in _SCHEMAS:
            _library.define(schema)
