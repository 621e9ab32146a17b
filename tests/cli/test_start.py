"""What commands import: help without any array library, checks without torch, SciPy and matplotlib."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from bridgeflow.io import open_sink
from tests.workplace import ROOT

ARRAYS = {"torch", "torchvision", "numpy", "scipy", "pyarrow", "pandas", "matplotlib", "PIL"}
RUN = """
import json, sys
from bridgeflow.cli.app import app
from bridgeflow.cli.exits import run_to_exit
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    try:
        run_to_exit(app)
    except SystemExit as end:
        assert not end.code, (words, end.code)
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def imported(folder, *calls):
    """The packages that a process holds after these commands."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(calls)], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def test_help_imports_no_array_library(tmp_path):
    from tests.cli.test_commands import ALL

    calls = [["--help"], ["--version"], *([*words, "--help"] for words in ALL)]
    assert imported(tmp_path, *calls).isdisjoint({*ARRAYS, "yaml", "rich"})


SOURCES = {"parquet": "in.parquet", "npy": "in.npy"}


@pytest.mark.parametrize("format", SOURCES)
def test_a_check_imports_what_the_source_needs_and_no_more(tmp_path, format):
    """NumPy describes columns and solves designs, and pyarrow reads headers and asks whether the sink can hold what
    comes out; SciPy would only be needed for other designs, torch for transforms that make tensors, matplotlib never.
    """
    with open_sink(tmp_path / SOURCES[format], settings={"fs": 360} if format == "parquet" else {}) as sink:
        sink.write({"signal": np.zeros(7200)})
    text = (
        f"version: 1\nsource: {{{format}: {SOURCES[format]}, fs: 360}}\n"
        "transforms:\n"
        "  - Scale: {scale: 0.005}\n"
        "  - SignalFilter: {design: notch, w0: 60, Q: 30, mode: zero_phase}\n"
        "  - SignalFilter: {design: butter, btype: bandpass, cutoff: [0.5, 40], order: 2, mode: zero_phase}\n"
        f"sink: {{{format}: out.{format}}}\nreport: {{hum: 60, png: out.png}}\n"
    )
    (tmp_path / "job.yaml").write_text(text)
    beyond = imported(tmp_path, ["check", "job.yaml"], ["explain", "job.yaml"]) & {*ARRAYS, "rich", "asyncio"}
    assert beyond == {"numpy", "pyarrow"}


def test_a_run_of_the_demo_imports_neither_torch_nor_scipy(tmp_path):
    calls = ["run", str(ROOT / "configs/ecg_denoise.yaml"), "--root", str(ROOT), "--output-root", str(tmp_path)]
    calls += [f"sink.parquet={tmp_path}/out.parquet", f"report.png={tmp_path}/out.png", "--quiet"]
    names = imported(tmp_path, calls)
    assert names.isdisjoint({"torch", "torchvision", "scipy", "rich"})
    assert (tmp_path / "out.png").stat().st_size > 10_000
