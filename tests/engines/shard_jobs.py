"""A pipeline for jobs of shards, and what their folders hold."""

import hashlib

import numpy as np

from bridgeflow.io import open_source
from bridgeflow.pipeline.compose import Compose
from bridgeflow.transforms import Scale, SignalFilter, Window, WindowLabels

FS = 360.0
NOTCH = SignalFilter(design="notch", w0=60.0, Q=30.0, fs=FS, keys=("ecg",))
CUT = {"length": 100, "hop": 50}
ROW = Compose(
    [Scale(scale=0.005, keys=("ecg",)), NOTCH, Window(**CUT, keys=("ecg",)), WindowLabels(**CUT, keys=("beat",))]
)


def tree(folder):
    """Every file below a folder with its hash; what stays the same is the same."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(result):
    """All shards put together."""
    parts = []
    for shard in result.shards:
        with open_source(result.path / shard.name) as source:
            assert source.rows == shard.rows
            parts.append(source.read())
    wide = np.concatenate([part["ecg"] for part in parts])
    return wide, np.concatenate([part["beat"] for part in parts])
