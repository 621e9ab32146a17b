"""ONNX files of pipelines, judged by onnxruntime against the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bridgeflow import Compose, Hilbert, SignalFilter, export_onnx
from bridgeflow.errors import CannotExport, NoRoute
from tests.pipeline.test_to_module import STAGES, noise

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
runtime = pytest.importorskip("onnxruntime")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

QUICK = ["spectrogram"]


def run(path: Path, x: torch.Tensor) -> Any:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (y, *_) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return torch.from_numpy(y)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in STAGES]
)
def test_each_stage_has_the_pipelines_numbers(name: str, tmp_path: Path):
    pipeline = Compose([STAGES[name]])
    report = export_onnx(pipeline.to_module(), noise((3, 2, 701), "float32"), tmp_path / "stage.onnx")
    assert report.path.exists()
    bound = 5e-5 if name == "decibels" else 2e-6
    assert report.error is not None
    assert report.error < bound
    x = noise((5, 2, 701), "float32", seed=5)
    y, expected = run(report.path, x), pipeline(x)
    expected = torch.view_as_real(expected) if expected.is_complex() else expected
    assert y.shape == expected.shape
    assert ((y - expected).abs().max() / expected.abs().max()) < bound


def test_preprocessing_and_model_are_one_file(tmp_path: Path):
    pipeline = Compose([STAGES["iir"], STAGES["resample down"], STAGES["z-score"]])
    model = nn.Sequential(nn.Conv1d(2, 4, 9), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3))
    both = nn.Sequential(pipeline.to_module(), model)
    report = export_onnx(both, noise((1, 2, 500), "float32"), tmp_path / "both.onnx")
    x = noise((6, 2, 500), "float32", seed=1)
    expected = model(pipeline(x)).detach()
    assert np.abs(run(report.path, x).numpy() - expected.numpy()).max() < 1e-5
    assert both.training


class Unsayable(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


@pytest.mark.slow
def test_what_onnx_lacks_is_refused_by_name(tmp_path: Path):
    module = Compose([SignalFilter(design="butter", order=2, cutoff=10.0, fs=100.0), STAGES["scale"]]).to_module()
    module[1] = Unsayable()
    with pytest.raises(CannotExport, match=r"stage 2 \(Scale\): ONNX cannot say what this stage does"):
        export_onnx(module, noise((2, 2, 100), "float32"), tmp_path / "none.onnx")
    with pytest.raises(NoRoute, match="no axis for the batch"):
        export_onnx(module, torch.ones(()), tmp_path / "none.onnx")
    with pytest.raises(CannotExport, match="Hilbert has no module"):
        Compose([Hilbert()]).to_module()
