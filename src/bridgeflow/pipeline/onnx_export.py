"""`export_onnx`: a pipeline's module, or one with a model after it, as an ONNX file that was run and compared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bridgeflow._optional import require
from bridgeflow.errors import CannotExport, MissingDependency, NoRoute, StageId
from bridgeflow.pipeline.stage_modules import PipelineModule

__all__ = ["OnnxExport", "export_onnx"]


class OnnxExport(NamedTuple):
    """What was written.

    Args:
        path: the file.
        error: the largest difference between what onnxruntime makes of the example and what the module does, relative
            to the largest value; `None` where onnxruntime is not installed.
    """

    path: Path
    error: float | None


def export_onnx(module: nn.Module, example: Tensor, path: str | os.PathLike[str]) -> OnnxExport:
    """Write a module as an ONNX file, and compare onnxruntime's results with the module's.

    Args:
        module: `pipeline.to_module()`, or a module that contains it: `nn.Sequential(pipeline.to_module(), model)`.
        example: a batch [batch, ...] as the module takes it. The first axis may have any length afterwards, the others
            have this one.
        path: of the file.

    Needs onnx and onnxscript, and onnxruntime for the comparison: `pip install 'bridgeflow[export]'`. Complex results
    become pairs of real and imaginary part on a last axis.

    Raises:
        CannotExport: an operator that ONNX lacks; names the stage of the pipeline where it is one.
        MissingDependency: a package is not installed.
        NoRoute: an example without an axis for the batch.
    """
    for name in ("onnx", "onnxscript"):
        require(name, needed_for="export_onnx")
    if not example.ndim:
        raise NoRoute("zero-dim", "the example has no axis for the batch", "pass a batch [batch, ...]")
    batch = example if len(example) > 1 else torch.cat([example, example])  # torch takes a length of 1 for fixed
    was_training = module.training
    module.eval()
    try:
        try:
            program = _program(module, batch)
        except Exception as error:
            raise _cannot(module, batch, error) from error
        program.save(os.fspath(path))
        return OnnxExport(Path(path), _error(module, example, path))
    finally:
        module.train(was_training)


def _program(module: nn.Module, batch: Tensor) -> Any:
    shapes = ({0: torch.export.Dim("batch")},)
    with torch.no_grad():
        return torch.onnx.export(module, (batch,), dynamo=True, dynamic_shapes=shapes, verbose=False)


def _cannot(module: nn.Module, batch: Tensor, cause: Exception) -> CannotExport:
    """The error, with the first stage of the pipeline that cannot be exported by itself."""
    label = _culprit(module, batch)
    reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0][:200]
    what = "this stage" if label is not None else "the module"
    error = CannotExport(f"ONNX cannot say what {what} does ({reason}); leave it out of the export")
    error.stage = label
    return error


def _culprit(module: nn.Module, batch: Tensor) -> StageId | None:
    pipeline = next((one for one in module.modules() if isinstance(one, PipelineModule)), None)
    if pipeline is None:
        return None
    x = batch
    for label, stage in zip(pipeline.labels, pipeline, strict=True):
        try:
            _program(stage, x)
        except Exception:
            return label
        with torch.no_grad():
            x = stage(x)
    return None


def _error(module: nn.Module, example: Tensor, path: str | os.PathLike[str]) -> float | None:
    """How far onnxruntime's result is from the module's."""
    try:
        runtime = require("onnxruntime", needed_for="the comparison of an ONNX file")
    except MissingDependency:
        return None
    session = runtime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = module(example)
    expected = torch.view_as_real(expected) if expected.is_complex() else expected
    (result, *_) = session.run(None, {session.get_inputs()[0].name: example.detach().cpu().numpy()})
    reference = expected.detach().cpu().double()
    difference = (torch.from_numpy(result).double() - reference).abs().max() if reference.numel() else 0.0
    return float(difference / reference.abs().max().clamp(min=1e-300)) if reference.numel() else 0.0
