"""The harness itself, judged with contestants that say how long they took; no clock decides anything here."""

from __future__ import annotations

import gc
import itertools
from functools import partial

import pytest
import torch

from benchmarks import report
from benchmarks.harness import Benchmark, MissingPeer, Outcome, Race, faster, measure, need, within


def says(*seconds: float):
    return partial(next, itertools.cycle(seconds))


def test_ratio_is_taken_within_each_round():
    race = Race(ours=says(1), peers={"peer": says(1)}, self_timed=True)
    outcome = Outcome(race, ours=[1.0, 10.0, 2.0], peers={"peer": [3.0, 30.0, 6.0]})
    assert outcome.speedup("peer") == 3.0


def test_disturbed_rounds_do_not_count():
    race = Race(ours=says(1), peers={"peer": says(1)}, self_timed=True)
    outcome = Outcome(race, ours=[1.0, 9.0, 1.0, 1.0], peers={"peer": [2.0, 2.0, 2.0, 40.0]})
    assert outcome.speedup("peer") == 2.0


@pytest.mark.parametrize(
    ("target", "theirs", "kept"),
    [(faster(5), 5.0, True), (faster(5), 4.9, False), (within(2.5), 0.4, True), (within(2.5), 0.39, False)],
)
def test_promise_is_kept_or_not(target, theirs, kept):
    race = Race(ours=says(1.0), peers={"peer": says(theirs)}, targets={"peer": target}, self_timed=True)
    assert list(measure(race, seconds=0).verdicts()) == [kept]


def test_absolute_limit_is_a_promise_too():
    assert list(measure(Race(ours=says(0.2), limit=0.1, self_timed=True), seconds=0).verdicts()) == [False]


def test_every_contestant_runs_in_every_round_and_the_first_changes():
    order: list[str] = []

    def contestant(name: str) -> float:
        order.append(name)
        return 1.0

    names = ("ours", "a", "b")
    race = Race(
        ours=partial(contestant, "ours"), peers={name: partial(contestant, name) for name in names[1:]}, self_timed=True
    )
    outcome = measure(race, seconds=0)
    rounds = [tuple(order[i : i + 3]) for i in range(3, len(order), 3)]  # the first three calls are the rehearsal
    assert len(rounds) == len(outcome.ours)
    assert all(sorted(each) == sorted(names) for each in rounds)
    assert {each[0] for each in rounds} == set(names)


def test_contestants_that_disagree_are_not_timed():
    def agree(ours: float, theirs: float) -> None:
        assert ours == theirs

    race = Race(ours=says(1.0), peers={"peer": says(2.0)}, agree=agree, self_timed=True)
    with pytest.raises(AssertionError):
        measure(race, seconds=0)


def test_threads_and_collector_are_as_before():
    before = torch.get_num_threads()
    seen = []

    def contestant() -> float:
        seen.append((torch.get_num_threads(), gc.isenabled()))
        return 1.0

    measure(Race(ours=contestant, threads=before + 1, self_timed=True), seconds=0)
    assert set(seen) == {(before + 1, False)}
    assert torch.get_num_threads() == before
    assert gc.isenabled()


def test_short_calls_are_timed_in_batches():
    calls = itertools.count()
    outcome = measure(Race(ours=partial(next, calls)), seconds=0)
    assert next(calls) > 100 * len(outcome.ours)


def test_target_must_name_a_peer():
    with pytest.raises(ValueError, match="scipi"):
        Race(ours=says(1), peers={"scipy": says(1)}, targets={"scipi": faster(2)})


def test_missing_peer_says_how_to_get_it():
    with pytest.raises(MissingPeer, match=r"pip install -e '\.\[bench\]'"):
        need("no_such_peer")


def test_report_shows_losses():
    race = Race(
        ours=says(2e-6),
        peers={"a": says(1e-6), "b": says(8e-6)},
        targets={"a": within(1.5)},
        self_timed=True,
        work=(4, "sample"),
    )
    mine, a, b = report.rows(measure(race, seconds=0))
    assert mine.cells()[1:4] == ("2 us", "2 us", "500 ns/sample")
    assert a.cells()[4:] == ("2x its time", "<= 1.5x its time", "NO")
    assert b.cells()[4:] == ("4x faster", "", "")
    page = report.markdown([(Benchmark("signal.bench_x", "A title", lambda: race), [mine, a, b])])
    assert "## A title" in page
    assert "| a | 1 us | 1 us | 250 ns/sample | 2x its time | <= 1.5x its time | **NO** |" in page


def test_memory_is_reported_in_mebibytes():
    race = Race(
        ours=says(3 << 20),
        peers={"a": says(2 << 20)},
        targets={"a": within(1.1)},
        self_timed=True,
        unit="byte",
        rounds=2,
    )
    outcome = measure(race, seconds=0)
    assert len(outcome.ours) == 2
    mine, a = report.rows(outcome)
    assert mine.cells()[1] == "3 MiB"
    assert a.cells()[4:] == ("1.5x its memory", "<= 1.1x its time", "NO")


def test_memory_is_not_measured_from_outside():
    with pytest.raises(ValueError, match="self_timed"):
        Race(ours=says(1), unit="byte")
