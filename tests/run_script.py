"""`python -m tests.run_script FILE`: runs a script as `python FILE` would, with the real torchvision importable."""

from __future__ import annotations

import runpy
import sys

from tests.torchvision_operators import make_torchvision_importable

if __name__ == "__main__":
    make_torchvision_importable()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
