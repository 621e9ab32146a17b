"""`python -m tests.run_script FILE`: runs a script as `python FILE` would, with the real torchvision importable."""

from __future__ import annotations

import runpy
import sys
import warnings
from pathlib import Path

if __name__ == "__main__":
    del sys.argv[0]
    text = Path(sys.argv[0]).read_text(encoding="utf-8")
    if "import obspy" in text:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # which its import of entry points causes
            import obspy  # noqa: F401
    if "torchvision" in text:
        from tests.torchvision_operators import make_torchvision_importable

        make_torchvision_importable()
    runpy.run_path(sys.argv[0], run_name="__main__")
