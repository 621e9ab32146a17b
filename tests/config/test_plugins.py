"""Transforms of another package, which this test builds and installs: known when the caller asks, never by the file."""

# ruff: noqa: E501  (tables read better unbroken)

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest

import bridgeflow
from bridgeflow.io import open_sink, open_source

MODULE = """
from dataclasses import dataclass

from bridgeflow import LeafTransform, register


@register
@dataclass(frozen=True, kw_only=True)
class Twice(LeafTransform):
    \"\"\"Twice the values.

    Args:
        times: how often.
    \"\"\"

    pointwise = True
    times: int = 1

    def apply(self, x):
        return x * 2**self.times

    def out_spec(self, spec):
        return spec.fresh()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that a wheel with a plugin, and one with a broken plugin, was installed into."""
    folder = tmp_path_factory.mktemp("plugin")
    files = {
        "doubling/__init__.py": "",
        "doubling/stages.py": MODULE,
        "doubling/broken.py": "raise RuntimeError('no')",
        "doubling-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: doubling\nVersion: 1.0\n",
        "doubling-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "doubling-1.0.dist-info/entry_points.txt": "[bridgeflow.transforms]\ndoubling = doubling.stages\nbroken = doubling.broken\n",
    }
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}"
        for name, text in files.items()
    ]
    files["doubling-1.0.dist-info/RECORD"] = "\n".join([*lines, "doubling-1.0.dist-info/RECORD,,\n"])
    wheel = folder / "doubling-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    target = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    return target


@pytest.fixture
def folder(tmp_path):
    with open_sink(tmp_path / "in.parquet") as sink:
        sink.write({"x": np.arange(4.0)})
    (tmp_path / "job.yaml").write_text(
        "version: 1\nsource: {parquet: in.parquet}\ntransforms: [Twice: {times: 3}]\nsink: {parquet: out.parquet}\n"
    )
    return tmp_path


def run(installed, folder, *arguments):
    sources = str(Path(bridgeflow.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), sources])}
    command = [sys.executable, *(arguments if arguments[0] == "-c" else ["-m", "bridgeflow", *arguments])]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_plugin_is_known_where_the_caller_asks_for_it(installed, folder):
    done = run(installed, folder, "run", "job.yaml", "--plugins", "doubling")
    assert done.returncode == 0, done.stderr
    with open_source(folder / "out.parquet") as source:
        assert np.asarray(source.read()["x"]).tolist() == [0.0, 8.0, 16.0, 24.0]
    listed = run(installed, folder, "list", "Twice", "--plugins", "doubling")
    assert "Twice the values." in listed.stdout
    code = """
        import bridgeflow
        job = bridgeflow.load_job("job.yaml", plugins=["doubling"])
        spelled = bridgeflow.Compose.from_yaml("- {_target_: doubling.stages.Twice, times: 3}\\n")
        print(job.transform == spelled)
    """
    assert run(installed, folder, "-c", textwrap.dedent(code)).stdout == "True\n"


def test_a_file_alone_cannot_ask_for_it(installed, folder):
    done = run(installed, folder, "check", "job.yaml")
    assert done.returncode == 2
    assert "job.yaml:3:14: transforms[0]: there is no transform 'Twice'" in done.stderr
    for text in (
        "plugins: [doubling]",
        "transforms: [doubling.stages.Twice]",
        "transforms: [{_target_: doubling.stages.Twice}]",
    ):
        (folder / "job.yaml").write_text(
            f"version: 1\nsource: {{parquet: in.parquet}}\nsink: {{parquet: o.parquet}}\n{text}\n"
        )
        code = "import sys, bridgeflow\ntry:\n    bridgeflow.load_job('job.yaml')\nexcept bridgeflow.ConfigError:\n    print('doubling' in sys.modules)"
        assert run(installed, folder, "-c", code).stdout == "False\n"


def test_what_is_not_there_or_fails(installed, folder):
    done = run(installed, folder, "check", "job.yaml", "--plugins", "doublin")
    assert (done.returncode, "there is no plugin 'doublin'; did you mean 'doubling'?" in done.stderr) == (2, True)
    done = run(installed, folder, "check", "job.yaml", "--plugins", "broken")
    assert (done.returncode, "the plugin 'broken' fails to load (no)" in done.stderr) == (2, True)
