"""Every benchmark still runs, and its contestants compute the same; how fast they are is not asked here."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.harness import Benchmark, MissingPeer, discover


def races() -> list[Any]:
    """All; in the quick suite a sixth of the grid of shapes, sections and threads, and no long files or many."""
    chosen = []
    for each in discover():
        left_out = (
            each.module.endswith("bench_grid") and "threads" in each.title and "2 sections, 1 thr" not in each.title
        )
        left_out |= each.title.startswith(
            (
                "the first pass over 10 hours",
                "headers of 2,000",
                "a saved index of 2,000",
                "bridgeflow ",
                "opening a folder",
            )
        )
        marks = [pytest.mark.slow] if left_out else []
        chosen.append(pytest.param(each, id=f"{each.module}: {each.title}", marks=marks))
    return chosen


@pytest.mark.filterwarnings("default")  # what peers warn of is theirs
@pytest.mark.parametrize("benchmark", races())
def test_race_runs_and_results_agree(benchmark: Benchmark):
    try:
        race = benchmark.build()
    except MissingPeer as missing:
        pytest.skip(str(missing))
    race.rehearse()
