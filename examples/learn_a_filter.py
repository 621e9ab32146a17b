"""Learn an unknown band-pass from its input and output.

    python examples/learn_a_filter.py [PICTURE.png]

The unknown box keeps 8 to 12 Hz. The filter that is to become like it begins as 3 to 30 Hz and learns its poles, levels
and gain by gradient descent; it cannot become unstable on the way.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch

from bridgeflow.nn import SignalFilter
from bridgeflow.signal import Butter

FS = 100.0
STEPS = 300


def edges(gain: np.ndarray, frequency: np.ndarray) -> tuple[float, float]:
    """Where the gain crosses -3 dB below its largest, in Hz."""
    inside = np.flatnonzero(gain > gain.max() / np.sqrt(2))
    return float(frequency[inside[0]]), float(frequency[inside[-1]])


def main(picture: Path) -> None:
    torch.manual_seed(0)
    unknown = Butter(order=2, cutoff=(8.0, 12.0), btype="bandpass", fs=FS)
    begin = Butter(order=2, cutoff=(3.0, 30.0), btype="bandpass", fs=FS)
    learner = SignalFilter(begin, learnable=True)
    sent = torch.randn(16, 1000)
    received = SignalFilter(unknown)(sent)

    # gradients shrink a thousandfold on the way: a shorter memory than usual keeps the steps in proportion
    optimizer = torch.optim.Adam(learner.parameters(), lr=0.1, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=STEPS)
    errors = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        error = (learner(sent) - received).square().mean() / received.square().mean()
        error.backward()
        optimizer.step()
        schedule.step()
        errors.append(error.item())

    frequency = np.linspace(0.0, FS / 2, 5001)
    gains = {
        "unknown": np.abs(unknown.response(frequency)),
        "at the beginning": np.abs(begin.response(frequency)),
        "learned": np.abs(learner.designed().response(frequency)),
    }
    low, high = edges(gains["learned"], frequency)
    furthest = np.abs(gains["learned"] - gains["unknown"]).max()
    print(f"learned to keep {low:.2f} to {high:.2f} Hz; gain within {furthest:.1e} of the unknown filter's everywhere")
    print(f"error {errors[0]:.2f} -> {errors[-1]:.1e} of the power, in {STEPS} steps")
    assert abs(low - 8.0) < 0.05
    assert abs(high - 12.0) < 0.05
    assert furthest < 0.01

    figure, (response, descent) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for (name, gain), style in zip(gains.items(), ("k-", "C7:", "C1--"), strict=True):
        response.plot(frequency[1:], 20 * np.log10(np.maximum(gain[1:], 1e-5)), style, label=name)
    response.set(xscale="log", xlim=(1, FS / 2), ylim=(-60, 5), xlabel="frequency (Hz)", ylabel="gain (dB)")
    response.set_xticks([1, 2, 5, 10, 20, 50], labels=["1", "2", "5", "10", "20", "50"])
    response.legend(loc="lower center")
    descent.semilogy(errors)
    descent.set(xlabel="step", ylabel="error (share of the power)")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture)
    plt.close(figure)
    print(f"drawn to {picture}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/learn_a_filter.png"))
