"""`python -m tests.run_script FILE`: runs a script as `python FILE` would, with the real torchvision importable."""

from __future__ import annotations

import runpy
import sys
import warnings
from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    del sys.argv[0]
    text = Path(sys.argv[0]).read_text(encoding="utf-8")
    if "torchvision" in text or "lightning" in text:
        from tests.torchvision_operators import make_torchvision_importable

        make_torchvision_importable()
    for name in ("obspy", "lightning.pytorch"):
        if f"import {name}" in text or f"from {name}" in text:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # which their imports cause
                import_module(name)
    runpy.run_path(sys.argv[0], run_name="__main__")
