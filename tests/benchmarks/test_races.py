"""Every benchmark still runs, and its contestants compute the same; how fast they are is not asked here."""

from __future__ import annotations

import pytest

from benchmarks.harness import Benchmark, MissingPeer, discover


@pytest.mark.parametrize("benchmark", discover(), ids=lambda each: f"{each.module}: {each.title}")
def test_race_runs_and_results_agree(benchmark: Benchmark):
    try:
        race = benchmark.build()
    except MissingPeer as missing:
        pytest.skip(str(missing))
    race.rehearse()
