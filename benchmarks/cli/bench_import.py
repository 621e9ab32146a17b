"""What `import bridgeflow` costs a program that starts, beside what its dependencies would cost if imported with it."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks.harness import Race, benchmark

CODE = "from time import perf_counter as now; start = now(); import {name}; print(now() - start)"


def import_seconds(name: str) -> float:
    """Seconds that an import takes in a fresh interpreter, its start-up not counted."""
    run = subprocess.run([sys.executable, "-c", CODE.format(name=name)], check=True, capture_output=True, text=True)
    return float(run.stdout)


@benchmark("import bridgeflow, which imports its dependencies at first use")
def import_bridgeflow() -> Race:
    return Race(
        ours=partial(import_seconds, "bridgeflow"),
        peers={f"import {name}": partial(import_seconds, name) for name in ("numpy", "torch")},
        limit=0.1,
        self_timed=True,
    )
