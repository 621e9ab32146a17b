"""Run the benchmarks: `python -m benchmarks [WORD ...] [--seconds S]`; a run of all of them writes RESULTS.md."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.harness import MissingPeer, discover, measure
from tests.torchvision_operators import make_torchvision_importable

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("words", nargs="*", help="run only benchmarks whose file or title contains one of these")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long to measure each (default: 0.5)")
    arguments = parser.parse_args()

    console = Console()
    if not console.is_terminal:
        console.width = 140  # a log has room for whole lines
    make_torchvision_importable()
    results, kept = [], []
    for benchmark in discover(*arguments.words):
        try:
            outcome = measure(benchmark.build(), seconds=arguments.seconds)
        except MissingPeer as missing:
            lines = report.skipped(missing)
        else:
            lines = report.rows(outcome)
            kept += outcome.verdicts()
        results.append((benchmark, lines))
        console.print(report.table(benchmark, lines))

    console.print(f"{sum(kept)} of {len(kept)} promises kept")
    if not arguments.words:
        RESULTS.write_text(report.markdown(results), encoding="utf-8")
        console.print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
