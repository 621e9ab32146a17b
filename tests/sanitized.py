"""A pytest plugin for `make sanitize`: the compiled modules under BRIDGEFLOW_SANITIZED replace the installed ones."""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

root = Path(os.environ["BRIDGEFLOW_SANITIZED"])
found = sorted(root.glob("bridgeflow/**/*.so"))
if not found:
    raise SystemExit(f"no compiled modules under {root}: did the compiler fail?")
for file in found:
    name = ".".join((*file.relative_to(root).parent.parts, file.name.partition(".")[0]))
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
