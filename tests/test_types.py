"""What a type checker knows of a user's program: mypy in strict mode, on code as the documentation writes it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

PROGRAM = """
from typing import Any
import numpy as np
import torch
import bridgeflow as bf
from bridgeflow import signal

x = np.zeros((2, 300))
t = torch.zeros(2, 300)
anything: Any = x
sos = np.ones((1, 6))

low = bf.SignalFilter(keys="ecg", design="butter", cutoff=40, order=2, fs=360)
bf.Compose([low, bf.Scale(keys=["ecg", "eeg"], scale=2), bf.ToTensor(keys=("ecg",)), bf.Welch(fs=100.0, keys=None)])

reveal_type(bf.to_numpy(t))  # ndarray
reveal_type(bf.to_numpy(t, nulls="nan"))  # ndarray
reveal_type(bf.to_numpy(t, nulls="mask"))  # Masked
reveal_type(bf.to_numpy(t, copy="never", bfloat16="uint16", writable=False))  # ndarray
reveal_type(bf.to_numpy([[1.0], [2.0, 3.0]], ragged="pad"))  # Padded
reveal_type(bf.to_numpy(anything, nulls=-1.5, pad_value=2, layout="CHW", grad="error"))  # ndarray
reveal_type(bf.to_tensor(x))  # Tensor
reveal_type(bf.to_tensor(anything, ragged="jagged", nulls=0, writable=False))  # Tensor
reveal_type(bf.to_tensor(anything, ragged="pad", pad_value=-1))  # Padded
reveal_type(bf.to_tensor(anything, ragged="list"))  # Any
reveal_type(bf.to_tensor(x, device="cpu", copy=True))  # Tensor
reveal_type(bf.to_tensor(x, nulls="mask"))  # Masked
reveal_type(bf.share(x))  # Shared
reveal_type(bf.share(x).numpy)  # ndarray
reveal_type(bf.share(x).tensor)  # Tensor
reveal_type(bf.describe(x))  # ArraySpec

reveal_type(signal.sosfilt(sos, x))  # ndarray
reveal_type(signal.sosfilt(sos, t, axis=0, precision="float32"))  # Tensor
reveal_type(signal.sosfilt(bf.signal.Butter(order=2, cutoff=10, fs=100), x=x))  # ndarray
reveal_type(signal.sosfiltfilt(sos, t))  # Tensor
reveal_type(signal.filtfilt([1.0], [1.0], x))  # ndarray
reveal_type(signal.butter_lowpass_filter(x, cutoff=20, fs=100, order=4))  # ndarray
reveal_type(signal.resample_poly(t, 1, 2))  # Tensor
reveal_type(signal.decimate(x, 2))  # ndarray
reveal_type(signal.hilbert(t))  # Tensor
reveal_type(signal.detrend(x))  # ndarray
reveal_type(signal.savgol_filter(x, 5, 2))  # ndarray
reveal_type(signal.fftconvolve(t, t))  # Tensor
reveal_type(signal.welch(x)[1])  # ndarray

reveal_type(low(x))  # ndarray
reveal_type(low(t))  # Tensor
reveal_type(low({"ecg": x}))  # dict
reveal_type(low(anything))  # Any
reveal_type(bf.Scale(scale=2.0)(t))  # Tensor
reveal_type(bf.Resample(from_hz=4, to_hz=2)(x))  # ndarray
reveal_type(bf.ToTensor()(x))  # Tensor
reveal_type(bf.ToNumpy(copy="never")(t))  # ndarray
reveal_type(bf.ToTensor()({"ecg": x, "label": 1}))  # dict
reveal_type(bf.ToArrow()(x))  # Any
reveal_type(bf.Compose([low])(x))  # Any

bf.to_numpy([1.0, 2.0])
signal.sosfilt(sos, [1.0, 2.0])
signal.sosfilt(sos, anything)
"""
MISTAKES = """
import bridgeflow as bf
bf.SignalFilter(keys=3, design="butter", cutoff=40, order=2, fs=360)
bf.to_numpy([1.0], copy="sometimes")
bf.to_tensor([1.0]).no_such_method()
bf.to_numpy([1.0], device="cpu")
bf.to_tensor([1.0], writable=None)
bf.to_numpy([1.0], nulls="mask").shape
"""


CACHE = Path(__file__).parent.parent / ".mypy_cache" / "users"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What mypy says of both programs; what it learns of torch is kept for the next run."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "program.py").write_text(PROGRAM)
    (folder / "mistakes.py").write_text(MISTAKES)
    line = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", f"--cache-dir={CACHE}", "."]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=500).stdout


def test_a_users_program_is_understood(said: str):
    assert [line for line in said.splitlines() if line.startswith("program.py") and "error:" in line] == []
    types = re.findall(r'Revealed type is "(.*)"', said)
    expected = re.findall(r"^reveal_type.*# (\w+)$", PROGRAM, re.MULTILINE)
    assert len(types) == len(expected)
    for one, name in zip(types, expected, strict=True):
        assert re.search(rf"\b{name}\b", one.partition("[")[0] if "fallback" not in one else one), (one, name)


def test_mistakes_in_a_users_program_are_found(said: str):
    lines = re.findall(r"mistakes\.py:(\d+): error", said)
    assert sorted(set(lines)) == ["3", "4", "5", "6", "7", "8"], said
