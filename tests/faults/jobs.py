"""A small job that faults are tried on, a server that runs it with them, and what it leaves."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import bridgeflow

ROOT = Path(__file__).parents[2]
SOURCES = str(Path(bridgeflow.__file__).parents[1])
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCES, str(ROOT)]), "OMP_NUM_THREADS": "1"}

JOB = """\
version: 1
source: {parquet: in/, fs: 360}
transforms:
  - Scale: {keys: [ecg], scale: 0.005, offset: -5.12}
  - SignalFilter: {keys: [ecg], design: notch, w0: 60, Q: 30}
  - Resample: {keys: [ecg], from_hz: 360, to_hz: 250}
  - Window: {keys: [ecg], length: 100, hop: 50}
sink: {FORMAT: out/, shard_rows: 1500}
"""
SHARDS = 5


class Server:
    """Runs of the command line in a folder, each a fresh process, with or without a fault."""

    def __init__(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.shim"], env=ENVIRONMENT, cwd=ROOT, **pipes
        )

    def run(self, folder, *, fault=None, threads=1, report=None):
        """Exit status, negative for a signal, and what was said on standard error."""
        arguments = ["run", str(folder / "job.yaml"), "--root", str(folder), "--threads", str(threads)]
        asked = {"arguments": arguments, "fault": fault, "report": None if report is None else str(report)}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["status"], answer["said"]

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def tree(folder):
    """The SHA-256 of every file below a folder, hidden ones too."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def committed(files):
    """Records of shards in a tree."""
    return {name for name in files if name.startswith("log/r") and "/." not in name}


def shards(files):
    """Shards that can be seen in a tree."""
    return {name for name in files if name.startswith("part-")}


def require_whole(files, reference):
    """What can be seen has the bytes of the run that nothing stopped; what cannot be seen has a hidden name."""
    for name, digest in files.items():
        hidden = name.rpartition("/")[2].startswith(".")
        assert hidden or reference[name] == digest, f"{name} is torn"
