"""Model output that requires grad, plotted with matplotlib.

    python examples/plot_model_output.py [PICTURE.png]

`Tensor.numpy()` refuses such a tensor. `ToNumpy` detaches it, shares its memory, and the trace says so.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch

from bridgeflow import ToNumpy, trace

FS = 100.0


def main(picture: Path) -> None:
    torch.manual_seed(0)
    time = torch.arange(200) / FS
    noisy = torch.sin(2 * torch.pi * 1.5 * time) + 0.3 * torch.randn(200)
    model = torch.nn.Conv1d(1, 1, kernel_size=15, padding=7, padding_mode="replicate")
    torch.nn.init.constant_(model.weight, 1 / 15)
    torch.nn.init.zeros_(model.bias)
    output = {"time": time, "noisy": noisy, "smooth": model(noisy.reshape(1, 1, -1)).reshape(-1)}

    try:
        output["smooth"].numpy()
    except RuntimeError as error:
        print("torch says:", error)

    with trace() as crossings:
        drawn = ToNumpy()(output)
    print(crossings)
    assert crossings.total_bytes == 0
    assert np.shares_memory(drawn["smooth"], output["smooth"].detach().numpy())
    assert output["smooth"].requires_grad, "the model's output keeps its graph"

    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    axes.plot(drawn["time"], drawn["noisy"], color="0.7", label="noisy")
    axes.plot(drawn["time"], drawn["smooth"], label="model")
    axes.set(xlabel="time (s)", ylabel="amplitude")
    axes.legend(loc="upper right")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture)
    plt.close(figure)
    print(f"drawn to {picture}")
    assert picture.stat().st_size > 10_000


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/model_output.png"))
